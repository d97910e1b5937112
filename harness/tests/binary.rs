//! That there is a test here makes Cargo build the binary whenever the workspace's tests are built; the `tests` package
//! drives it from outside.

use std::process::Command;

#[test]
fn the_binary_says_its_version_and_asks_no_cluster() {
    let output = Command::new(env!("CARGO_BIN_EXE_harness"))
        .arg("--version")
        .env("KUBECONFIG", "/nonexistent")
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said.trim(),
        format!("harness {}", env!("CARGO_PKG_VERSION"))
    );
}
