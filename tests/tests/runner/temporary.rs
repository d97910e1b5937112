//! Objects that a run makes for itself: gone however it ended, and found again when it was killed.

use sandbox::Stage;
use serde_json::Value;
use tests::TestEnvironment;

tests::on_both!(
    an_onboarding_leaves_nothing_behind,
    an_interrupt_in_the_middle_leaves_nothing_behind,
    what_a_killed_run_leaves_is_removed_by_cleanup_and_by_the_next_start,
    what_a_killed_run_leaves_goes_with_its_rollback_and_with_the_run_that_replaces_it,
    without_any_record_leftovers_are_found_by_their_node,
    an_inspection_makes_no_pods_and_says_how_to,
    a_namespace_that_somebody_has_prepared_is_used_and_left_alone,
);

const LABEL: &str = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Donboarding";

/// Everything in the cluster that carries our label, and does not go already.
fn ours(world: &TestEnvironment) -> Vec<String> {
    let mut found = Vec::new();
    for path in [
        "/api/v1/pods",
        "/api/v1/persistentvolumeclaims",
        "/api/v1/namespaces",
        "/apis/storage.k8s.io/v1/storageclasses",
    ] {
        let list = world.object(&format!("{path}?{LABEL}"));
        let items: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
        for one in items {
            let metadata = &one["metadata"];
            if metadata["deletionTimestamp"].is_null() {
                found.push(format!("{path} {}", metadata["name"]));
            }
        }
    }
    found
}

/// A run that has a probe pod which never gets its image.
fn stuck(world: &TestEnvironment) -> tests::Running {
    world.fault("image-pull-fails-on-node", true);
    let mut run = world.spawn_onboard(&["--phase", "network", "--apply"]);
    run.until("the wait for a pod", |run| {
        run.said().contains("ImagePullBackOff")
    });
    run
}

fn an_onboarding_leaves_nothing_behind() {
    let world = TestEnvironment::new();
    let since = world.requests().len();
    let _ = world.onboard(&[]).exits(0);
    let made = world.changes(since);
    let pods = made
        .iter()
        .filter(|one| one.verb == "create" && one.resource == "pods")
        .count();
    assert_eq!(pods, 7, "one before, four across, a writer and a workload");
    assert!(
        made.iter()
            .all(|one| !one.resource.starts_with("pods/exec")),
        "no right to exec is used"
    );
    let left = ours(&world);
    assert!(left.is_empty(), "{left:?}");
    let report = world.archived().unwrap();
    for id in [
        "network::pod_to_pod_from_node",
        "health::storage_redundancy",
        "health::nothing_left_behind",
    ] {
        let ended = report.case(id).and_then(|case| case.ended()).unwrap();
        assert_eq!(ended.outcome.name(), "pass", "{id}: {ended:?}");
    }
}

fn an_interrupt_in_the_middle_leaves_nothing_behind() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    let mut run = stuck(&world);
    assert!(!ours(&world).is_empty(), "there are pods while it waits");
    run.signal("INT");
    let _ = run.wait().exits(130);
    let left = ours(&world);
    assert!(left.is_empty(), "{left:?}");
}

fn what_a_killed_run_leaves_is_removed_by_cleanup_and_by_the_next_start() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    let mut run = stuck(&world);
    run.signal("KILL");
    let _ = run.wait();
    let left = ours(&world);
    assert!(
        left.iter().any(|one| one.starts_with("/api/v1/pods")),
        "{left:?}"
    );
    let listed = world.onboard(&["--cleanup"]).exits(8);
    listed.says("namespace onboarding-probe");
    assert_eq!(ours(&world), left, "nobody agreed, so nothing is removed");
    let _ = world.onboard(&["--cleanup", "--yes"]).exits(0);
    let left = ours(&world);
    assert!(left.is_empty(), "{left:?}");

    // Once more, and gone on with: the first start's pods go before the second one makes its own.
    let mut run = stuck(&world);
    run.signal("KILL");
    let _ = run.wait();
    assert!(!ours(&world).is_empty());
    world.fault("image-pull-fails-on-node", false);
    let _ = world.onboard(&["--phase", "network", "--apply"]).exits(0);
    let left = ours(&world);
    assert!(left.is_empty(), "{left:?}");
}

fn what_a_killed_run_leaves_goes_with_its_rollback_and_with_the_run_that_replaces_it() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    let mut run = stuck(&world);
    run.signal("KILL");
    let _ = run.wait();
    let left = ours(&world);
    let pods = |left: &[String]| left.iter().any(|one| one.starts_with("/api/v1/pods"));
    assert!(pods(&left), "{left:?}");
    world.fault("image-pull-fails-on-node", false);

    // The run that replaces it removes them; its dry run says so and does not.
    let since = world.requests().len();
    let planned = world.onboard(&["--fresh", "--dry-run"]);
    planned.says("would delete pods onboarding-probe/");
    planned.says("(server accepts)");
    assert!(
        world.changes(since).is_empty(),
        "{:?}",
        world.changes(since)
    );
    let old = world.report().unwrap().run;
    let fresh = world.onboard(&["--fresh", "--timeout", "pre=1s"]);
    fresh.says(&format!(
        "run {old} has left objects of its own in the cluster; removed: Pod "
    ));
    assert_ne!(world.report().map(|report| report.run), Some(old));
    let left = ours(&world);
    assert!(!pods(&left), "{left:?}");

    let mut run = stuck(&world);
    run.signal("KILL");
    let _ = run.wait();
    assert!(pods(&ours(&world)));
    let since = world.requests().len();
    let planned = world.onboard(&["--rollback", "--dry-run"]).exits(0);
    planned.says("delete pods onboarding-probe/");
    planned.says("delete namespaces onboarding-probe (server accepts)");
    assert!(
        world.changes(since).is_empty(),
        "{:?}",
        world.changes(since)
    );
    let _ = world.onboard(&["--rollback", "--yes"]).exits(0);
    let left = ours(&world);
    assert!(left.is_empty(), "{left:?}");
    let report = world.archived().unwrap();
    let record = report.action("rollback::leftovers").unwrap();
    let ended = report
        .case("rollback::leftovers")
        .and_then(|one| one.ended());
    let evidence = &ended.unwrap().evidence;
    assert!(
        evidence
            .iter()
            .any(|one| one.starts_with("pods onboarding-probe/")),
        "{evidence:?}"
    );
    assert_eq!(record.state, reports::model::ActionState::Done);
}

fn without_any_record_leftovers_are_found_by_their_node() {
    let world = TestEnvironment::at(Stage::Onboarded, &["image-pull-fails-on-node"]);
    let config = world.root().join("short.toml");
    std::fs::write(&config, "lock_duration = \"3s\"\n").unwrap();
    let config = config.display().to_string();
    let mut run = world.spawn_onboard(&["--phase", "network", "--apply", "--config", &config]);
    run.until("the wait for a pod", |run| {
        run.said().contains("ImagePullBackOff")
    });
    run.signal("KILL");
    let _ = run.wait();
    // The machine of whoever ran it was started anew, so /tmp is empty.
    std::fs::remove_dir_all(world.state()).unwrap();
    std::fs::remove_dir_all(world.logs()).unwrap();
    world.fault("image-pull-fails-on-node", false);
    assert!(!ours(&world).is_empty());
    world.until("the lock of the killed run is over", || {
        let output = world.onboard(&["--rollback", "--yes", "--config", &config]);
        assert!(matches!(output.code, 0 | 6), "{}", output.stderr);
        output.code == 0
    });
    let left = ours(&world);
    assert!(left.is_empty(), "{left:?}");
}

fn an_inspection_makes_no_pods_and_says_how_to() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    let since = world.requests().len();
    let output = world.onboard(&["--phase", "network"]).exits(0);
    output.says("network::pod_to_pod_from_node");
    output.says("--apply");
    let changes = world.changes(since);
    assert!(changes.is_empty(), "{changes:?}");
    // A check that is chosen alone brings the action that it rests on.
    let output = world
        .onboard(&["--phase", "network", "dns_from_node", "--apply"])
        .exits(0);
    output.says("network::probe_pods");
    output.says("in part · ");
    assert!(ours(&world).is_empty());
}

fn a_namespace_that_somebody_has_prepared_is_used_and_left_alone() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    // It comes with a quota of no pods; that refuses the first, and says so.
    world.fault("probe-namespace-full", true);
    let output = world.onboard(&["--phase", "network", "--apply"]).exits(1);
    output.says("QuotaExceeded");
    let space = world.object("/api/v1/namespaces/onboarding-probe");
    assert_eq!(space["status"]["phase"], "Active", "{space}");
    assert!(ours(&world).is_empty());
}
