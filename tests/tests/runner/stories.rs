//! A node is onboarded, and the same again.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use reports::model::PhaseState;
use tests::TestEnvironment;

tests::on_both!(
    a_new_cluster_is_onboarded,
    the_commit_is_signed_by_the_person_of_the_repository,
    once_more_on_an_onboarded_cluster_changes_nothing_in_git,
);

fn a_new_cluster_is_onboarded() {
    let world = TestEnvironment::new();
    let before = world.commits();
    let output = world.onboard(&["--report"]).exits(0);
    output.says("9 of 9 phases completed");

    let after = world.commits();
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(after[1..], before);
    let remote = world.sandbox().remote();
    let changed = world.git(&remote, &["diff", "--numstat", "main~1", "main"]);
    assert_eq!(changed, "1\t1\tinfrastructure/storage/kustomization.yaml");
    let lines = world.git(&remote, &["diff", "-U0", "main~1", "main"]);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(
        lines[lines.len() - 2..],
        ["-  # - ../k3s2-node-config/", "+  - ../k3s2-node-config/"]
    );

    let node = world.object("/api/v1/nodes/k3s2");
    let conditions = node["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .any(|it| it["type"] == "Ready" && it["status"] == "True")
    );
    let labels = &node["metadata"]["labels"];
    assert_eq!(
        labels["node.longhorn.io/create-default-disk"], "config",
        "{labels}"
    );

    let left: Vec<_> = names(&world.state())
        .into_iter()
        .filter(|name| name != "lock")
        .collect();
    assert!(left.is_empty(), "left in the state folder: {left:?}");
    let report = world.archived().unwrap();
    assert!(report.complete());
    assert_eq!(report.count(PhaseState::Completed), 9);
    assert_eq!(report.exit_code, Some(0));
    for kind in [".log", ".xml", ".md"] {
        let name = names(&world.logs())
            .into_iter()
            .find(|name| name.ends_with(kind))
            .unwrap();
        output.says(&world.logs().join(name).display().to_string());
    }
    private(&world.state());
    private(&world.logs());
}

#[expect(clippy::print_stderr, reason = "a test that asks nothing says so")]
fn the_commit_is_signed_by_the_person_of_the_repository() {
    if std::process::Command::new("ssh-keygen")
        .arg("-?")
        .output()
        .is_err()
    {
        eprintln!("not asked: ssh-keygen is not installed");
        return;
    }
    let world = TestEnvironment::new();
    let _ = world.onboard(&["--require-signed"]).exits(0);
    let _ = world.git(&world.sandbox().checkout(), &["verify-commit", "main"]);
    assert_eq!(
        world.git(&world.sandbox().checkout(), &["rev-parse", "main"]),
        world.commits()[0]
    );
}

fn once_more_on_an_onboarded_cluster_changes_nothing_in_git() {
    let world = TestEnvironment::new();
    let _ = world.onboard(&[]).exits(0);
    let before = world.repository_state();
    let output = world.onboard(&[]).exits(0);
    output.says("9 of 9 phases completed");
    assert_eq!(world.repository_state(), before);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Folders 0700 and files 0600, all the way down.
fn private(path: &Path) {
    let about = fs::symlink_metadata(path).unwrap();
    let mode = about.permissions().mode() & 0o7777;
    let wanted = if about.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(mode, wanted, "{} has {mode:o}", path.display());
    if about.is_dir() {
        names(path)
            .iter()
            .for_each(|name| private(&path.join(name)));
    }
}
