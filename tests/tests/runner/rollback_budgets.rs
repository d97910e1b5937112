//! Taking a node out while a PodDisruptionBudget lets one pod go at a time: the rollback asks again until it may.

use sandbox::Stage;
use serde_json::{Value, json};
use tests::TestEnvironment;

tests::on_both!(a_budget_that_lets_go_of_one_pod_at_a_time_is_waited_for);

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const BUDGET: &str = "/apis/policy/v1/namespaces/apps/poddisruptionbudgets/twins";
const PODS: &str = "/api/v1/namespaces/apps/pods?labelSelector=app%3Dtwins";

/// Two pods of one Deployment on the new node, of which one has to stay healthy.
fn twins(world: &TestEnvironment) {
    let control_plane = "/api/v1/nodes/k3s1";
    let cordon =
        |on: bool| json!({"spec": {"unschedulable": if on { json!(true) } else { Value::Null }}});
    world.send("PATCH", control_plane, MERGE, &cordon(true));
    let labels = json!({"app": "twins"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "twins", "namespace": "apps"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "twin", "image": "docker.io/library/busybox:1.37"}],
                },
            },
        },
    });
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "twins", "namespace": "apps"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
    });
    let of = |group: &str, plural: &str| format!("/apis/{group}/v1/namespaces/apps/{plural}");
    world.send("POST", &of("policy", "poddisruptionbudgets"), JSON, &budget);
    world.send("POST", &of("apps", "deployments"), JSON, &deployment);
    world.until("both pods are ready on the new node", || {
        let pods = world.object(PODS);
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let placed = pods.len() == 2 && pods.iter().all(|pod| pod["spec"]["nodeName"] == "k3s2");
        placed && world.object(BUDGET)["status"]["disruptionsAllowed"] == 1
    });
    world.send("PATCH", control_plane, MERGE, &cordon(false));
}

fn a_budget_that_lets_go_of_one_pod_at_a_time_is_waited_for() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    twins(&world);
    let since = world.requests().len();
    let output = world.onboard(&["--rollback", "--yes"]).exits(0);
    output.says("k3s2 is out");

    let asked: Vec<(String, u16)> = world
        .requests()
        .into_iter()
        .skip(since)
        .filter(|one| one.resource == "pods/eviction" && !one.dry_run)
        .filter(|one| one.name.starts_with("twins-"))
        .map(|one| (one.name, one.status))
        .collect();
    let refused = asked.iter().find(|(_, status)| *status == 429);
    let (name, _) = refused.unwrap_or_else(|| panic!("no budget said no: {asked:?}"));
    let accepted: Vec<&String> = asked
        .iter()
        .filter(|(_, status)| *status == 201)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(accepted.len(), 2, "{asked:?}");
    assert_eq!(
        accepted[1], name,
        "the one that was refused goes later: {asked:?}"
    );
    // Evicted, never deleted.
    let deleted = world.changes(since).into_iter();
    let deleted: Vec<_> = deleted
        .filter(|one| one.verb == "delete" && one.resource == "pods")
        .collect();
    assert!(deleted.is_empty(), "{deleted:?}");
    assert_eq!(world.object("/api/v1/nodes/k3s2"), Value::Null);
    world.until("the workload is whole on the node that stays", || {
        world.object(BUDGET)["status"]["currentHealthy"] == 2
    });
}
