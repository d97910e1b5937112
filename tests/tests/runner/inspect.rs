//! `--phase` and filters ask only what they say and change nothing.

use std::collections::BTreeSet;

use sandbox::Stage;
use tests::{Output, TestEnvironment};

/// The checks that were asked, by their ids.
fn asked(output: &Output) -> BTreeSet<&str> {
    let lines = output.stdout.lines();
    let cases = lines.filter_map(|line| line.strip_prefix("test ")?.split(' ').next());
    cases.collect()
}

/// The checks that `--list` names for a selection.
fn listed(world: &TestEnvironment, selection: &[&str]) -> BTreeSet<String> {
    let output = world
        .harness(&[&["--list", "--format", "json"], selection].concat())
        .exits(0);
    let all = output
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    all.filter(|one| one["kind"] == "check")
        .filter_map(|one| one["id"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn an_inspection_asks_what_it_says_and_changes_nothing() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    let before = world.repository_state();
    for (selection, some, not) in [
        (
            &["--phase", "storage"][..],
            "storage::node_ready",
            "join::ready",
        ),
        (
            &["--phase", "storage", "disks"],
            "storage::disks_ready",
            "storage::node_ready",
        ),
        (
            &["storage::node_ready", "--exact"],
            "storage::node_ready",
            "storage::node_schedulable",
        ),
    ] {
        let since = world.requests().len();
        let output = world.onboard(selection).exits(0);
        let asked = asked(&output);
        assert!(
            asked.contains(some) && !asked.contains(not),
            "{selection:?} asked {asked:?}"
        );
        let expected = listed(&world, selection);
        assert_eq!(
            asked,
            expected.iter().map(String::as_str).collect(),
            "{selection:?}"
        );
        let changes = world.changes(since);
        assert!(changes.is_empty(), "{selection:?} changed {changes:?}");
        assert!(
            world.requests().len() > since,
            "{selection:?} asked the cluster nothing"
        );
        assert_eq!(world.repository_state(), before, "{selection:?}");
        assert!(
            !world.state().exists(),
            "{selection:?} wrote a state folder"
        );
    }
}

#[test]
fn one_check_reads_only_the_kinds_that_it_needs() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    let since = world.requests().len();
    let _ = world.onboard(&["storage::node_ready", "--exact"]).exits(0);
    let requests = world.requests();
    let resources: BTreeSet<&str> = requests[since..]
        .iter()
        .map(|one| one.resource.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    // What the check and its requirements look at, and what every start asks: which cluster and control plane it is.
    let allowed = BTreeSet::from(["nodes", "namespaces", "pods", "daemonsets", "csinodes"]);
    assert!(resources.is_subset(&allowed), "asked for {resources:?}");
}
