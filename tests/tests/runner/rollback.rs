//! Taking the node out again: what it asks, what stands in the way, in which order it goes, and that the node may join
//! again.

use reports::model::{ActionState, Mode};
use sandbox::Stage;
use serde_json::{Value, json};
use tests::{Output, TestEnvironment};

tests::on_both!(
    it_asks_before_it_changes_anything_and_nothing_to_undo_is_no_failure,
    a_node_goes_in_the_order_that_keeps_every_volume_and_joins_again,
    pods_that_cannot_be_evicted_stop_it_before_the_first_change,
    replicas_that_no_other_node_can_take_are_deleted_where_a_copy_stays,
    the_last_copy_of_a_volume_is_never_let_go_without_a_word,
    a_volume_is_lost_only_by_its_name,
    longhorns_webhook_guards_the_last_copy_and_a_node_that_is_used,
    what_holds_it_up_on_the_way_is_said_and_it_goes_on_afterwards,
    what_does_not_go_by_itself_is_deleted_and_said,
    an_onboarding_that_failed_is_taken_back_as_far_as_it_came,
    a_node_whose_kubelet_is_silent_goes_without_being_copied_from,
    ctrl_c_leaves_a_rollback_that_goes_on,
    an_agent_that_is_started_again_is_noticed,
    a_step_that_waits_does_not_take_from_a_node_that_came_back,
    a_dry_run_of_it_changes_nothing_and_tells_what_the_server_says,
);

pub(crate) const NODE: &str = "/api/v1/nodes/k3s2";
pub(crate) const STORAGE: &str = "/apis/longhorn.io/v1beta2/namespaces/longhorn-system";
const KUSTOMIZATION: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/infrastructure-storage";

pub(crate) fn onboarded(faults: &[&str]) -> TestEnvironment {
    TestEnvironment::at(Stage::Onboarded, faults)
}

pub(crate) fn roll_back(world: &TestEnvironment) -> Output {
    world.onboard(&["--rollback", "--yes"])
}

/// Everything that the node was is gone, and every volume is well.
#[track_caller]
pub(crate) fn is_out(world: &TestEnvironment) {
    assert_eq!(world.object(NODE), Value::Null, "the node is there");
    assert_eq!(
        world.object(&format!("{STORAGE}/nodes/k3s2")),
        Value::Null,
        "Longhorn knows it"
    );
    let secret = "/api/v1/namespaces/kube-system/secrets/k3s2.node-password.k3s";
    assert_eq!(world.object(secret), Value::Null, "its password is there");
    let entry = "../k3s2-node-config/";
    let file = world.git(
        &world.sandbox().remote(),
        &["show", "main:infrastructure/storage/kustomization.yaml"],
    );
    let line = file.lines().find(|line| line.contains(entry));
    assert!(
        line.is_some_and(|line| line.trim_start().starts_with('#')),
        "{file}"
    );
    assert_ne!(
        world.object(KUSTOMIZATION)["spec"]["suspend"],
        true,
        "Flux is suspended"
    );
    keeps_its_volumes(world);
    assert!(world.report().is_none(), "the state is left");
    assert_eq!(world.archived().map(|one| one.mode), Some(Mode::Rollback));
}

/// Longhorn's objects of a kind.
fn stored(world: &TestEnvironment, kind: &str) -> Vec<Value> {
    let list = world.object(&format!("{STORAGE}/{kind}"));
    list["items"].as_array().cloned().unwrap_or_default()
}

/// No volume is without a healthy copy on the node that stays.
#[track_caller]
fn keeps_its_volumes(world: &TestEnvironment) {
    let replicas = stored(world, "replicas");
    for volume in stored(world, "volumes") {
        let name = &volume["metadata"]["name"];
        assert_ne!(volume["status"]["robustness"], "faulted", "{name}");
        let safe = replicas.iter().any(|one| {
            one["spec"]["volumeName"] == *name
                && one["spec"]["nodeID"] == "k3s1"
                && one["spec"]["healthyAt"] != ""
                && one["spec"]["failedAt"] == ""
        });
        assert!(safe, "{name} has no healthy copy left: {replicas:#?}");
    }
}

fn it_asks_before_it_changes_anything_and_nothing_to_undo_is_no_failure() {
    let world = onboarded(&[]);
    let (before, since) = (world.repository_state(), world.requests().len());
    let asked = world.onboard(&["--rollback"]).exits(3);
    asked.says("add --yes");
    asked.says("Longhorn copies it to k3s1");
    assert!(
        world.changes(since).is_empty(),
        "{:?}",
        world.changes(since)
    );
    assert_eq!(world.repository_state(), before);
    assert!(world.report().is_none());

    let fresh = TestEnvironment::new();
    let since = fresh.requests().len();
    roll_back(&fresh).exits(0).says("nothing to undo");
    assert!(fresh.changes(since).is_empty());
}

fn a_node_goes_in_the_order_that_keeps_every_volume_and_joins_again() {
    let world = TestEnvironment::new();
    for round in 0..2 {
        let _ = world.onboard(&[]).exits(0);
        let commits = world.commits().len();
        let since = world.requests().len();
        let output = roll_back(&world).exits(0);
        output.says("systemctl disable --now k3s-agent");
        is_out(&world);
        assert_eq!(world.commits().len(), commits + 1, "round {round}");
        let changes: Vec<String> = world
            .changes(since)
            .iter()
            .map(|one| format!("{} {}", one.verb, one.path))
            .collect();
        let at = |wanted: &str| {
            let found = changes.iter().position(|one| one.starts_with(wanted));
            found.unwrap_or_else(|| panic!("{wanted} is not in {changes:#?}"))
        };
        let order = [
            at(&format!("patch {KUSTOMIZATION}")),
            at(&format!("patch {NODE}")),
            at(&format!("patch {STORAGE}/nodes/k3s2")),
            at(&format!("delete {NODE}")),
        ];
        assert!(order.is_sorted(), "{changes:#?}");
        let report = world.archived().unwrap();
        let undone = ["gitops::push", "join::label", "storage::reconcile"];
        for id in undone {
            let record = report.action(id).unwrap();
            assert_eq!(record.state, ActionState::Undone, "{id}");
        }
        let steps = report.actions.iter();
        let steps = steps.filter(|one| one.id.starts_with("rollback::"));
        let all = phases::rollback::ACTIONS.len();
        assert_eq!(steps.clone().count(), all);
        for step in steps {
            assert_eq!(step.state, ActionState::Done, "{}", step.id);
        }
        assert_eq!(report.steps.len(), all, "a suite of its own");
        for step in &report.steps {
            let passed = step.outcome().is_some_and(|one| one.satisfies());
            assert!(passed, "{step:?}");
        }
    }
    let _ = world.onboard(&[]).exits(0);
}

fn pods_that_cannot_be_evicted_stop_it_before_the_first_change() {
    for (fault, reason, flag) in [
        ("pod-budget-exhausted", "DisruptionBudget", None),
        ("pod-budgets-two", "SeveralBudgets", None),
        ("pod-unmanaged", "UnmanagedPod", Some(vec!["--force"])),
        (
            "pod-emptydir",
            "EmptyDirData",
            Some(vec!["--delete-emptydir-data"]),
        ),
        (
            "local-volume",
            "LocalVolume",
            Some(vec!["--lose-volume", "local-scratch"]),
        ),
    ] {
        let world = onboarded(&[]);
        world.fault(fault, true);
        wait_for(&world, fault, reason);
        let since = world.requests().len();
        roll_back(&world).exits(8).says(reason);
        assert!(
            world.changes(since).is_empty(),
            "{fault}: {:?}",
            world.changes(since)
        );
        match flag {
            Some(flag) => {
                let mut arguments = vec!["--rollback", "--yes"];
                arguments.extend(flag);
                let _ = world.onboard(&arguments).exits(0);
            }
            None => {
                world.fault(fault, false);
                settle(&world);
            }
        }
        is_out(&world);
    }
}

/// Once the trouble is gone it goes on, in the world's own time.
#[track_caller]
pub(crate) fn settle(world: &TestEnvironment) {
    for _ in 0..20 {
        let output = roll_back(world);
        if output.code == 0 {
            return;
        }
        let _ = output.exits(8);
    }
    let _ = roll_back(world).exits(0);
}

/// Until the trouble has come about and a rollback sees it.
#[track_caller]
pub(crate) fn wait_for(world: &TestEnvironment, fault: &str, reason: &str) {
    for _ in 0..40 {
        let output = world.onboard(&["--rollback"]);
        if output.stdout.contains(reason) {
            return;
        }
    }
    panic!("{fault} does not lead to {reason}");
}

fn replicas_that_no_other_node_can_take_are_deleted_where_a_copy_stays() {
    let world = onboarded(&["longhorn-hard-anti-affinity"]);
    let output = roll_back(&world).exits(0);
    output.says("no other node can take it, a healthy copy is on k3s1");
    is_out(&world);
    let record = world.archived().unwrap();
    let moved = record.action("rollback::move_replicas").unwrap();
    let removed = moved.recorded.keys();
    assert_eq!(removed.filter(|key| key.starts_with("removed ")).count(), 3);
}

fn the_last_copy_of_a_volume_is_never_let_go_without_a_word() {
    let world = onboarded(&[]);
    world.fault("longhorn-single-copy", true);
    world.fault("longhorn-control-plane-disk-full", true);
    wait_for(&world, "longhorn-single-copy", "LastReplica");
    let since = world.requests().len();
    roll_back(&world).exits(8).says("LastReplica");
    assert!(world.changes(since).is_empty());
    // With room elsewhere it is moved.
    world.fault("longhorn-control-plane-disk-full", false);
    settle(&world);
    is_out(&world);
}

fn longhorns_webhook_guards_the_last_copy_and_a_node_that_is_used() {
    let world = onboarded(&[]);
    world.fault("longhorn-single-copy", true);
    world.fault("longhorn-control-plane-disk-full", true);
    wait_for(&world, "longhorn-single-copy", "LastReplica");
    let volumes = stored(&world, "volumes");
    let single = volumes
        .iter()
        .find(|one| one["spec"]["numberOfReplicas"] == 1)
        .unwrap();
    let replicas = stored(&world, "replicas");
    let last = replicas
        .iter()
        .find(|one| one["spec"]["volumeName"] == single["metadata"]["name"])
        .and_then(|one| one["metadata"]["name"].as_str())
        .unwrap();
    let node = format!("{STORAGE}/nodes/k3s2");
    let evict = json!({"spec": {"evictionRequested": true}});
    for (method, path, body, words) in [
        (
            "DELETE",
            format!("{STORAGE}/replicas/{last}"),
            json!({}),
            "it is the last available replica of volume",
        ),
        (
            "DELETE",
            node.clone(),
            json!({}),
            "its Kubernetes node is still there",
        ),
        ("PATCH", node, evict, "need to disable scheduling"),
    ] {
        let (code, reason, message) = world.refused(method, &path, &body);
        assert_eq!((code, reason.as_str()), (422, "Invalid"), "{message}");
        let denied = "admission webhook \"validator.longhorn.io\" denied the request: ";
        let said = message.strip_prefix(denied);
        assert!(said.is_some_and(|said| said.contains(words)), "{message}");
    }
}

fn a_volume_is_lost_only_by_its_name() {
    let world = onboarded(&[]);
    world.fault("longhorn-single-copy", true);
    world.fault("longhorn-control-plane-disk-full", true);
    wait_for(&world, "longhorn-single-copy", "LastReplica");
    let list = world.object(&format!("{STORAGE}/volumes"));
    let (single, other): (Vec<_>, Vec<_>) = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .partition(|one| one["spec"]["numberOfReplicas"] == 1);
    let name = |volumes: &[&Value]| volumes[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let (single, other) = (name(&single), name(&other));
    let wrong = world.onboard(&["--rollback", "--yes", "--lose-volume", &other]);
    wrong.exits(8).says("LastReplica");
    let output = world.onboard(&["--rollback", "--yes", "--lose-volume", &single]);
    output.exits(0).says("LOST");
    assert_eq!(world.object(NODE), Value::Null);
}

fn what_holds_it_up_on_the_way_is_said_and_it_goes_on_afterwards() {
    for (fault, step, reason) in [
        (
            "longhorn-eviction-stuck",
            "rollback::move_replicas",
            "ReplicasStay",
        ),
        ("node-finalizer-stuck", "rollback::delete_node", "NodeHeld"),
        ("push-refused", "rollback::push", "PushRejected"),
    ] {
        let world = onboarded(&[fault]);
        let arguments = [
            "--rollback",
            "--yes",
            "--timeout",
            "storage=2s",
            "--timeout",
            "join=2s",
        ];
        let output = world.onboard(&arguments).exits(8);
        output.says(step);
        output.says(reason);
        output.says("--rollback goes on with it");
        output.says("Kustomization flux-system/infrastructure-storage is suspended");
        let report = world.report().unwrap();
        assert_eq!(report.mode, Mode::Rollback);
        keeps_its_volumes(&world);
        world
            .onboard(&["--resume"])
            .exits(7)
            .says("go on with it: --rollback");
        world.onboard(&[]).exits(7).says("--rollback");
        world.onboard(&["--status"]).exits(0).says("--rollback");
        world.fault(fault, false);
        settle(&world);
        is_out(&world);
    }
}

fn what_does_not_go_by_itself_is_deleted_and_said() {
    let world = onboarded(&["longhorn-node-kept"]);
    roll_back(&world)
        .exits(0)
        .says("Longhorn kept its Node, so it was deleted");
    is_out(&world);

    let world = TestEnvironment::new();
    let _ = world.onboard(&[]).exits(0);
    world.fault("node-password-kept", true);
    roll_back(&world).exits(0).says("and is deleted");
    is_out(&world);
}

fn an_onboarding_that_failed_is_taken_back_as_far_as_it_came() {
    // The node never came: only git and Flux.
    let world = TestEnvironment::at(Stage::New, &["node-never-registers"]);
    let failed = world.onboard(&["--timeout", "join=1s"]).exits(1);
    failed.says("--rollback   takes k3s2 out again: the node is not in the cluster");
    roll_back(&world).exits(0).says("k3s2 is out");
    is_out(&world);

    // The commit never left: the branch goes back.
    let world = TestEnvironment::at(Stage::New, &["push-refused"]);
    let before = world.repository_state();
    let _ = world.onboard(&[]).exits(1);
    world.fault("push-refused", false);
    roll_back(&world).exits(0).says("never left");
    assert_eq!(world.repository_state(), before);
    is_out(&world);
    let _ = world.onboard(&[]).exits(0);
}

fn a_node_whose_kubelet_is_silent_goes_without_being_copied_from() {
    let world = onboarded(&["longhorn-hard-anti-affinity"]);
    world.fault("node-unreachable", true);
    let output = {
        let mut output = world.onboard(&["--rollback"]);
        for _ in 0..40 {
            if output.stdout.contains("silent") {
                break;
            }
            output = world.onboard(&["--rollback"]);
        }
        output
    };
    output.says("silent");
    let since = world.requests().len();
    let _ = roll_back(&world).exits(0);
    is_out(&world);
    let evicting = world.changes(since).iter().any(|one| {
        one.path.ends_with("/nodes/k3s2")
            && one.path.contains("longhorn")
            && format!("{one:?}").contains("evictionRequested")
    });
    assert!(!evicting);
}

fn ctrl_c_leaves_a_rollback_that_goes_on() {
    let world = onboarded(&["longhorn-eviction-stuck"]);
    let mut running = world.spawn_onboard(&["--rollback", "--yes"]);
    running.until("it waits for replicas", |one| {
        one.said().contains("waiting for rollback::move_replicas")
    });
    running.signal("INT");
    let output = running.wait().exits(130);
    output.says("--rollback goes on with it");
    assert_eq!(world.report().unwrap().mode, Mode::Rollback);
    world.fault("longhorn-eviction-stuck", false);
    let _ = roll_back(&world).exits(0);
    is_out(&world);
}

fn an_agent_that_is_started_again_is_noticed() {
    let world = onboarded(&["agent-restarted"]);
    let output = roll_back(&world);
    // Whenever it registers, the rollback ends with it: it may only be taken for done when the node stays away.
    let output = output.exits(8);
    output.says("registered again");
    world.fault("agent-restarted", false);
    settle(&world);
    is_out(&world);
}

fn a_step_that_waits_does_not_take_from_a_node_that_came_back() {
    for (fault, step, object) in [
        (
            "longhorn-node-kept",
            "rollback::longhorn_node",
            format!("{STORAGE}/nodes/k3s2"),
        ),
        (
            "node-password-kept",
            "rollback::node_password",
            "/api/v1/namespaces/kube-system/secrets/k3s2.node-password.k3s".to_owned(),
        ),
    ] {
        let world = onboarded(&[fault]);
        let since = world.requests().len();
        let mut running = world.spawn_onboard(&["--rollback", "--yes"]);
        running.until(step, |one| {
            one.said().contains(&format!("waiting for {step}"))
        });
        world.fault("agent-restarted", true);
        let output = running.wait().exits(8);
        output.says(&format!("stopped at {step}: NodeCameBack"));
        output.says("do: stop it on the host: systemctl disable --now k3s-agent");
        let changes = world.changes(since);
        assert!(
            !changes
                .iter()
                .any(|one| one.verb == "delete" && one.path == object),
            "{changes:?}"
        );
        world.fault("agent-restarted", false);
        world.fault(fault, false);
        settle(&world);
        is_out(&world);
    }
}

const REHEARSAL: [&str; 3] = ["--rollback", "--dry-run", "--delete-emptydir-data"];

/// Every change that the dry run of a rollback plans.
fn planned(world: &TestEnvironment) -> Vec<String> {
    let output = world.onboard(&[&REHEARSAL[..], &["--format", "json"]].concat());
    let events = output.stdout.lines();
    let mut events = events.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let forecast = events.find(|event| event["event"] == "forecast").unwrap();
    let steps = forecast["plan"].as_array().unwrap().iter();
    steps
        .flat_map(|step| step["changes"].as_array().unwrap())
        .map(|change| change.as_str().unwrap().to_owned())
        .collect()
}

fn a_dry_run_of_it_changes_nothing_and_tells_what_the_server_says() {
    let world = onboarded(&["longhorn-hard-anti-affinity", "pod-emptydir"]);
    world.until("there is a pod to evict", || {
        let plan = planned(&world);
        plan.iter().any(|part| part.starts_with("evict pod "))
    });
    let (before, since) = (world.repository_state(), world.requests().len());
    let output = world.onboard(&REHEARSAL).exits(0);
    output.says("[DRY RUN]");
    output.says("nothing was changed");
    // Each change of the plan carries the server's own answer, as things are now.
    let plan = planned(&world);
    // Longhorn's webhook keeps a Node whose Kubernetes node is there.
    let kept = "(as things are, ";
    for (change, said) in [
        ("patch kustomization flux-system/", "(server accepts)"),
        ("patch node k3s2 ", "(server accepts)"),
        (
            "patch nodes.longhorn.io longhorn-system/k3s2 ",
            "(server accepts)",
        ),
        ("evict pod ", "(server accepts)"),
        ("delete replica longhorn-system/", "(server accepts)"),
        ("delete node k3s2, uid ", "(server accepts)"),
        ("Node longhorn-system/k3s2", kept),
        ("k3s2.node-password.k3s", "(server accepts)"),
        ("annotate gitrepository flux-system/", "(server accepts)"),
        ("annotate kustomization flux-system/", "(server accepts)"),
    ] {
        let parts: Vec<&String> = plan.iter().filter(|part| part.contains(change)).collect();
        assert!(!parts.is_empty(), "nothing says {change}: {plan:#?}");
        let others: Vec<_> = parts.iter().filter(|part| !part.contains(said)).collect();
        assert!(others.is_empty(), "{change} without {said}: {others:#?}");
    }
    let diff = plan.iter().find(|part| part.starts_with("--- a/")).unwrap();
    assert!(
        diff.contains("\n-  - ../k3s2-node-config/\n+  # - ../"),
        "{diff}"
    );
    assert!(!world.state().exists() && !world.logs().exists());
    assert_eq!(world.repository_state(), before);
    let kept = world.changes(since).into_iter();
    let kept: Vec<_> = kept
        .filter(|one| !format!("{one:?}").contains("dryRun=All"))
        .collect();
    assert!(kept.is_empty(), "{kept:?}");
    assert_ne!(world.object(NODE)["spec"]["unschedulable"], true);
}
