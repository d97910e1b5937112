//! `--auto-fix`: shown, mended, asked again, on record; and without the option nothing is changed.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::TestEnvironment;

tests::on_both!(
    a_stale_password_is_only_deleted_where_that_was_asked_for,
    an_onboarding_mends_what_would_stop_it,
    what_nobody_has_on_record_is_left_alone,
    a_request_that_was_handled_with_an_old_commit_is_made_once_more,
);

const SECRET: &str = "/api/v1/namespaces/kube-system/secrets/k3s2.node-password.k3s";
const FIX: &[&str] = &["--phase", "pre", "--auto-fix", "--apply"];

fn a_stale_password_is_only_deleted_where_that_was_asked_for() {
    let world = TestEnvironment::new();
    world.fault("node-password-conflict", true);
    let before = world.object(SECRET);
    assert_ne!(before, Value::Null);
    let created: Timestamp = before["metadata"]["creationTimestamp"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    if Timestamp::now().duration_since(created) < SignedDuration::from_mins(10) {
        // A real server dates it itself, so it is a join under way there, and nobody may delete it.
        let output = world.onboard(FIX);
        assert!(!output.stdout.contains("fixed by fix::stale_password"));
        assert_ne!(world.object(SECRET), Value::Null);
        return;
    }

    let _ = world.onboard(&["--phase", "pre"]).exits(1);
    let _ = world.onboard(&["--phase", "pre", "--auto-fix"]).exits(2);
    let since = world.requests().len();
    let preview = world
        .onboard(&["--phase", "pre", "--auto-fix", "--dry-run"])
        .exits(1);
    preview.says("fix::stale_password for pre::node_password_free: would delete secrets");
    preview.says("(server accepts)");
    assert!(world.changes(since).is_empty());
    assert_eq!(
        world.object(SECRET)["metadata"]["uid"],
        before["metadata"]["uid"]
    );

    let output = world.onboard(FIX);
    output.says("fix::stale_password for pre::node_password_free: delete secrets");
    output.says("fixed by fix::stale_password for pre::node_password_free");
    assert_eq!(world.object(SECRET), Value::Null);
    let report = world.report().unwrap();
    let record = report.action("fix::stale_password").unwrap();
    assert_eq!(record.recorded["fixed"], "true");
    let case = report.case("pre::node_password_free").unwrap();
    let ended = case.ended().unwrap();
    assert!(
        ended.message.ends_with("(fixed by fix::stale_password)"),
        "{}",
        ended.message
    );
    assert!(
        ended
            .evidence
            .iter()
            .any(|fact| fact.starts_with("before: StalePassword"))
    );
    for copy in ["onboarding.xml", "onboarding.md"] {
        let text = std::fs::read_to_string(world.state().join(copy)).unwrap();
        assert!(text.contains("fix::stale_password"), "{copy}");
    }
    let deleted: Vec<_> = world
        .changes(since)
        .into_iter()
        .filter(|one| one.verb == "delete" && one.resource == "secrets")
        .collect();
    assert_eq!(deleted.len(), 1, "{deleted:?}");
}

fn an_onboarding_mends_what_would_stop_it() {
    let world = TestEnvironment::new();
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "onboarding-probe", "labels": {"app.kubernetes.io/managed-by": "onboarding"}},
    });
    let path = "/api/v1/namespaces/onboarding-probe";
    world.send("POST", "/api/v1/namespaces", "application/json", &namespace);
    let uid = world.object(path)["metadata"]["uid"].clone();
    let _ = world.onboard(&["--dry-run"]).exits(0);
    assert_eq!(world.object(path)["metadata"]["uid"], uid);
    let preview = world.onboard(&["--dry-run", "--auto-fix"]).exits(0);
    preview.says("fix::leftovers: would delete namespace onboarding-probe");
    assert_eq!(world.object(path)["metadata"]["uid"], uid);
    let output = world.onboard(&["--auto-fix"]).exits(0);
    output.says("fixed by fix::leftovers");
    let after = world.object(path);
    assert!(
        after == Value::Null
            || after["metadata"]["uid"] != uid
            || after["metadata"]["deletionTimestamp"] != Value::Null,
        "{after}"
    );
    let report = world.archived().unwrap();
    assert!(report.complete());
    assert_eq!(
        report.action("fix::leftovers").unwrap().recorded["fixed"],
        "true"
    );
}

fn what_nobody_has_on_record_is_left_alone() {
    let world = TestEnvironment::at(sandbox::Stage::Onboarded, &[]);
    let node = "/api/v1/nodes/k3s2";
    let patch = json!({"spec": {"unschedulable": true}});
    world.send("PATCH", node, "application/merge-patch+json", &patch);
    let since = world.requests().len();
    let arguments = [
        "--phase",
        "health",
        "health::nodes_ready",
        "--auto-fix",
        "--apply",
        "--timeout",
        "health=1s",
    ];
    let output = world.onboard(&arguments);
    output.says("no run of this program is on record as having cordoned node k3s2");
    let ours: Vec<_> = world
        .changes(since)
        .into_iter()
        .filter(|one| one.resource == "nodes" && one.agent.contains("onboarding/"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert_eq!(world.object(node)["spec"]["unschedulable"], true);
}

/// Waits until Flux has fetched a commit.
#[expect(
    clippy::disallowed_methods,
    reason = "a world that is not ours to watch is looked at again and again"
)]
fn fetched(world: &TestEnvironment, commit: &str) {
    let path =
        "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories/flux-system";
    for _ in 0..600 {
        let revision = world.object(path)["status"]["artifact"]["revision"].clone();
        if revision.as_str().is_some_and(|one| one.ends_with(commit)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("Flux has not fetched {commit}");
}

/// Flux has handled the request of this run, and applied what it knew before: asked again, it applies the commit.
fn a_request_that_was_handled_with_an_old_commit_is_made_once_more() {
    let world = TestEnvironment::at(sandbox::Stage::Onboarded, &[]);
    world.fault("flux-artifact-late", true);
    let clone = world.sandbox().checkout();
    std::fs::write(clone.join("NOTES.md"), "a word about the cluster\n").unwrap();
    for arguments in [
        &["add", "NOTES.md"][..],
        &["commit", "--quiet", "--message", "docs: a word"],
        &["push", "--quiet"],
    ] {
        let _ = world.git(&clone, arguments);
    }
    let tip = world.commits().first().cloned().unwrap();
    fetched(&world, &tip);
    let arguments = ["--phase", "storage", "--apply", "--timeout", "storage=3s"];
    let output = world.onboard(&arguments).exits(1);
    output.says("OtherRevision");
    let output = world
        .onboard(&[&arguments[..], &["--auto-fix"]].concat())
        .exits(0);
    output.says("fix::reconcile for storage::gitops_applied");
    output.says("fixed by fix::reconcile for storage::gitops_applied");
    let report = world.report().unwrap();
    let record = report.action("fix::reconcile").unwrap();
    assert_eq!(record.recorded["fixed"], "true");
    let storage = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/infrastructure-storage";
    let status = world.object(storage)["status"].clone();
    let applied = status["lastAppliedRevision"].as_str().unwrap_or_default();
    assert!(applied.ends_with(&tip), "{status}");
}

#[test]
fn what_a_rollback_of_ours_cordoned_and_suspended_is_given_free() {
    use reports::{
        archive,
        folder::LogFolder,
        model::{ActionRecord, ActionState, Mode},
    };

    let world = TestEnvironment::new();
    let _ = world.onboard(&[]).exits(0);
    let node = "/api/v1/nodes/k3s2";
    let flux = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/infrastructure-storage";
    let merge = "application/merge-patch+json";
    world.send(
        "PATCH",
        node,
        merge,
        &json!({"spec": {"unschedulable": true}}),
    );
    world.send("PATCH", flux, merge, &json!({"spec": {"suspend": true}}));

    // A rollback that stopped half way, as it stands in the archive.
    let mut report = world.archived().unwrap();
    report.mode = Mode::Rollback;
    report.run = "0000beef".into();
    let record = |id: &str, key: &str| ActionRecord {
        id: id.into(),
        state: ActionState::Done,
        started: report.started,
        finished: report.finished,
        recorded: [(key.to_owned(), "false".to_owned())].into(),
    };
    report.actions = vec![
        record("rollback::cordon", "before unschedulable"),
        record(
            "rollback::suspend_flux",
            "before flux-system/infrastructure-storage",
        ),
    ];
    let logs = LogFolder::open_or_create(&world.logs()).unwrap();
    let later = Timestamp::now() + SignedDuration::from_secs(60);
    archive::write_junit(&logs, &report, later).unwrap();

    let common = ["--auto-fix", "--apply", "--exact"];
    let arguments = |phase, check| [&["--phase", phase, check][..], &common].concat();
    let output = world.onboard(&arguments("pre", "pre::flux_kustomizations"));
    output.says("fixed by fix::resume_flux for pre::flux_kustomizations");
    output.says("changed by fix::resume_flux");
    assert_ne!(world.object(flux)["spec"]["suspend"], true);
    let output = world.onboard(&arguments("health", "health::nodes_ready"));
    output.says("fixed by fix::uncordon for health::nodes_ready");
    assert_ne!(world.object(node)["spec"]["unschedulable"], true);
}
