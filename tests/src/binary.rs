//! The program under test, built once a process.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Where the binary `harness` is: what `HARNESS_BIN` names, or the one next to this test, brought up to date first.
///
/// Cargo tells a test only of binaries of its own package, so it is asked to build the other one.
///
/// # Panics
/// It does not build.
#[must_use]
pub fn harness() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("HARNESS_BIN") {
        Some(path) if !path.is_empty() => path.into(),
        _ => build(),
    })
}

fn build() -> PathBuf {
    // target/debug/deps/runner-0123: the folder above `deps` is of the profile, the one above that is the target's.
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name == "deps"))
        .and_then(Path::parent)
        .expect("a test that Cargo built, in a folder deps");
    // Where all tests of the workspace are built, the binary is built with them and nothing is left to do. Asking
    // Cargo all the same would build its dependencies anew, with the features of one package instead of all.
    if is_current(&profile.join("harness")) {
        return profile.join("harness");
    }
    let target = profile.parent().expect("a target folder");
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "-p",
            "harness",
            "--bin",
            "harness",
            "--profile",
            name,
        ])
        .arg("--target-dir")
        .arg(target)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(
        built.status.success(),
        "harness does not build:\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    profile.join("harness")
}

/// Whether the binary is newer than every source that it could be made of.
fn is_current(binary: &Path) -> bool {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let Ok(built) = binary.metadata().and_then(|file| file.modified()) else {
        return false;
    };
    let rooms = ["harness", "phases", "checks", "reports", "sandbox"];
    let mut open: Vec<PathBuf> = rooms
        .iter()
        .map(|room| root.join(room).join("src"))
        .collect();
    open.push(root.join("Cargo.lock"));
    while let Some(path) = open.pop() {
        let Ok(about) = path.metadata() else {
            return false;
        };
        if about.is_dir() {
            let Ok(entries) = path.read_dir() else {
                return false;
            };
            open.extend(entries.flatten().map(|entry| entry.path()));
        } else if about.modified().is_ok_and(|changed| changed > built) {
            return false;
        }
    }
    true
}
