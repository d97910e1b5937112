//! Taking a node out while a PodDisruptionBudget lets one pod go at a time: the rollback asks again until it may.

use sandbox::Stage;
use serde_json::{Value, json};
use tests::TestEnvironment;

tests::on_both!(a_budget_that_lets_go_of_one_pod_at_a_time_is_waited_for);

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const BUDGET: &str = "/apis/policy/v1/namespaces/apps/poddisruptionbudgets/twins";
const PODS: &str = "/api/v1/namespaces/apps/pods?labelSelector=app%3Dtwins";

/// What the twins ask of their node. A node that has it takes them.
const HOME: &str = "example.com/twins";

/// From now on this node takes the twins.
fn takes_them(world: &TestEnvironment, node: &str) {
    let label = json!({"metadata": {"labels": {HOME: "here"}}});
    world.send("PATCH", &format!("/api/v1/nodes/{node}"), MERGE, &label);
}

/// Two pods of one Deployment on the new node, of which one has to stay healthy. No other node takes them yet.
fn twins(world: &TestEnvironment) {
    takes_them(world, "k3s2");
    let labels = json!({"app": "twins"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "twins", "namespace": "apps"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {HOME: "here"},
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
}

/// The evictions of the twins since then, each with its answer.
fn evictions(world: &TestEnvironment, since: usize) -> Vec<(String, u16)> {
    let all = world.requests().into_iter().skip(since);
    all.filter(|one| one.resource == "pods/eviction" && !one.dry_run)
        .filter(|one| one.name.starts_with("twins-"))
        .map(|one| (one.name, one.status))
        .collect()
}

fn a_budget_that_lets_go_of_one_pod_at_a_time_is_waited_for() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    twins(&world);
    let since = world.requests().len();
    let run = world.spawn_onboard(&["--rollback", "--yes"]);
    // The first has gone and has no successor, so the second has to stay.
    world.until("the budget says no", || {
        let asked = evictions(&world, since);
        asked.iter().any(|(_, status)| *status == 429)
    });
    takes_them(&world, "k3s1");
    run.wait().exits(0).says("k3s2 is out");

    let asked = evictions(&world, since);
    let refused = asked.iter().find(|(_, status)| *status == 429);
    let (name, _) = refused.unwrap();
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
