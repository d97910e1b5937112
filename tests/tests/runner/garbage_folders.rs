//! Garbage in: state and log folders that must not be trusted, or cannot be written.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::Path,
};

use tests::{Running, TestEnvironment};

use crate::garbage::{Spoiled, content, is_root};

/// A folder that is refused.
struct Folder {
    name: &'static str,
    /// Puts it where the path says; a neighbour that is not to be touched may stand beside it.
    make: fn(&Path, &Path),
    says: &'static str,
    root_only: bool,
}

const FOLDERS: &[Folder] = &[
    Folder {
        name: "link",
        make: |path, beside| symlink(beside, path).unwrap(),
        says: "is a link",
        root_only: false,
    },
    Folder {
        name: "dangling",
        make: |path, beside| symlink(beside.join("nothing"), path).unwrap(),
        says: "is a link",
        root_only: false,
    },
    Folder {
        name: "file",
        make: |path, _| fs::write(path, "mine").unwrap(),
        says: "is a file",
        root_only: false,
    },
    Folder {
        name: "group",
        make: |path, _| with_mode(path, 0o770),
        says: "0770",
        root_only: false,
    },
    Folder {
        name: "world",
        make: |path, _| with_mode(path, 0o777),
        says: "0777",
        root_only: false,
    },
    Folder {
        name: "foreign",
        make: |path, _| {
            with_mode(path, 0o700);
            chown(path, Some(54321), None).unwrap();
        },
        says: "belongs to user 54321",
        root_only: true,
    },
];

fn with_mode(path: &Path, mode: u32) {
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_that_somebody_else_could_write_to_is_refused_and_left_as_it_is() {
    let env = TestEnvironment::new();
    for folder in FOLDERS {
        if folder.root_only && !is_root() {
            println!("skipped, only root can make it: {}", folder.name);
            continue;
        }
        for kind in ["state", "logs"] {
            let name = format!("{}-{kind}", folder.name);
            let place = Spoiled::new(&env, &name);
            let beside = env.root().join(format!("{name}-beside"));
            fs::create_dir(&beside).unwrap();
            fs::write(beside.join("precious"), "keep").unwrap();
            let path = if kind == "state" {
                &place.state
            } else {
                &place.logs
            };
            (folder.make)(path, &beside);
            let around = || {
                let mut kept = content(env.root());
                kept.retain(|at, _| at.starts_with(path) || at.starts_with(&beside));
                kept
            };
            let (before, everything, since) = (around(), place.everything(), env.requests().len());
            let out = place.run(&[]).exits(3);
            assert!(out.stderr.contains(folder.says), "{name}: {}", out.stderr);
            assert!(
                out.stderr.contains(&path.display().to_string()),
                "{name}: {}",
                out.stderr
            );
            assert!(
                out.stderr.contains("another place"),
                "{name}: no hint: {}",
                out.stderr
            );
            assert_eq!(around(), before, "{name}");
            assert_eq!(place.everything(), everything, "{name}");
            let changes = env.changes(since);
            assert!(changes.is_empty(), "{name}: {changes:?}");
            assert!(!place.state.join("onboarding.xml").exists(), "{name}");
        }
    }
}

#[test]
fn a_state_folder_that_cannot_be_written_stops_the_run_before_anything_is_changed() {
    let env = TestEnvironment::new();
    let place = Spoiled::new(&env, "closed");
    // Root writes everywhere, but not below a place where nothing can be made at all.
    let closed = if is_root() {
        Path::new("/proc/self/onboarding-state").to_owned()
    } else {
        with_mode(&place.state, 0o500);
        place.state.clone()
    };
    let (everything, since) = (place.everything(), env.requests().len());
    let mut command = env.command();
    command
        .arg("--kubeconfig")
        .arg(env.sandbox().kubeconfig())
        .arg("--repo")
        .arg(&place.repo)
        .arg("--state-dir")
        .arg(&closed)
        .arg("--log-dir")
        .arg(&place.logs);
    let out = Running::start(command, env.root()).wait().exits(3);
    assert!(
        out.stderr.contains(&closed.display().to_string()),
        "{}",
        out.stderr
    );
    assert_eq!(place.everything(), everything);
    let changes = env.changes(since);
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn folders_and_files_are_for_their_owner_alone() {
    let env = TestEnvironment::new();
    let place = Spoiled::new(&env, "modes");
    // One that is only too open to readers is our own and is closed.
    with_mode(&place.logs, 0o755);
    env.fault("longhorn-disk-not-ready", true);
    let _ = place.run(&["--timeout", "storage=2s", "--report"]).exits(1);
    for folder in [&place.state, &place.logs] {
        let mode = fs::metadata(folder).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", folder.display());
        for (path, (mode, _)) in content(folder) {
            assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        }
    }
    assert!(
        place.state.join("onboarding.xml").exists(),
        "it has stopped on the way"
    );
}
