//! The cluster as a whole, with the new node in it.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Node, Pod},
};
use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    resources::{full_name, node, quantity, workload},
    view::Scope,
};

/// The cluster as a whole.
pub const CHECKS: &[Check] = &[
    Check {
        id: "health::nodes_ready",
        title: "Every node is Ready, {node} among them.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::list(&kinds::NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("7.3"),
        why: "A second node that costs the first one its health is no gain.",
        reasons: &[
            Reason::new(
                "NodeMissing",
                "the node has not joined: harness --phase join",
            ),
            Reason::new(
                "NodeNotReady",
                "kubectl describe node with the named node, and on the machine: journalctl -u k3s-agent -n 100 (k3s on a server)",
            ),
            Reason::new(
                "NodeCordoned",
                "kubectl uncordon the named node when its maintenance is over",
            ),
        ],
        ask: ask!(nodes_ready),
    },
    Check {
        id: "health::daemonsets_complete",
        title: "Every DaemonSet has a ready pod on every node that it is for.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::list(&kinds::DAEMONSETS)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("7.3"),
        why: "Storage, monitoring and ingress run as one pod a node. A DaemonSet that is short of a pod serves one \
              node less than it seems to.",
        reasons: &[
            Reason::new(
                "PodsMissing",
                "kubectl describe the named DaemonSet, then its pod on the node that lacks it: image, port and volume problems stand in the events",
            ),
            Reason::new(
                "NoDaemonSet",
                "see whether this is the cluster that you mean: kubectl get daemonsets -A",
            ),
        ],
        ask: ask!(daemonsets_complete),
    },
    Check {
        id: "health::pods_spread",
        title: "No node is full and {node} carries pods.",
        severity: Severity::Warn,
        requires: &["join::registered"],
        needs: &[Need::list(&kinds::NODES), Need::list(&kinds::PODS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("1.3"),
        why: "Kubernetes does not move running pods to a new node by itself. The numbers show how much it carries \
              today, and whether a node is near its limit of pods.",
        reasons: &[
            Reason::new(
                "NodeFull",
                "restart some Deployments so that their pods are spread again: kubectl rollout restart deployment -n NAMESPACE NAME",
            ),
            Reason::new(
                "NodeEmpty",
                "kubectl describe node {node} shows taints that keep pods away; pods of DaemonSets should be there at least",
            ),
        ],
        ask: ask!(pods_spread),
    },
];

async fn nodes_ready(cx: &Context) -> Answer {
    let nodes = node::all(cx).await?;
    let seen: Vec<String> = nodes
        .iter()
        .map(|one| format!("{}: {}", node::name(one), node::condition(one, "Ready")))
        .collect();
    if node::named(&nodes, cx.node()).is_none() {
        return Ok(
            Verdict::fail("NodeMissing", format!("node {} does not exist", cx.node()))
                .saw_all(seen),
        );
    }
    let unready: Vec<&str> = nodes
        .iter()
        .filter(|one| !node::is_ready(one))
        .map(node::name)
        .collect();
    let cordoned: Vec<&str> = nodes
        .iter()
        .filter(|one| is_cordoned(one))
        .map(node::name)
        .collect();
    Ok(if !unready.is_empty() {
        Verdict::fail("NodeNotReady", format!("not Ready: {}", unready.join(", ")))
    } else if !cordoned.is_empty() {
        Verdict::warn(
            "NodeCordoned",
            format!("Ready, but takes no pods: {}", cordoned.join(", ")),
        )
    } else {
        Verdict::pass(format!("{} of {} nodes", nodes.len(), nodes.len()))
    }
    .saw_all(seen))
}

fn is_cordoned(node: &Node) -> bool {
    node.spec
        .as_ref()
        .and_then(|spec| spec.unschedulable)
        .unwrap_or(false)
}

async fn daemonsets_complete(cx: &Context) -> Answer {
    let sets = cx
        .view
        .list::<DaemonSet>(&kinds::DAEMONSETS, Scope::all())
        .await?;
    let short: Vec<String> = sets
        .iter()
        .filter_map(|set| {
            workload::daemonset_trouble(set)
                .map(|trouble| format!("{}: {trouble}", full_name(&set.metadata)))
        })
        .collect();
    if sets.is_empty() {
        return Ok(Verdict::skip(
            "NoDaemonSet",
            "there is no DaemonSet in the cluster",
        ));
    }
    Ok(match short.first() {
        None => Verdict::pass(format!("{} DaemonSets", sets.len())),
        Some(first) if short.len() == 1 => {
            Verdict::fail("PodsMissing", format!("DaemonSet {first}"))
        }
        Some(first) => Verdict::fail(
            "PodsMissing",
            format!(
                "{} of {} DaemonSets are short, among them {first}",
                short.len(),
                sets.len()
            ),
        ),
    }
    .saw_all(short))
}

/// Beyond this share of its limit of pods a node counts as full.
const FULL: f64 = 0.9;

async fn pods_spread(cx: &Context) -> Answer {
    let nodes = node::all(cx).await?;
    let pods = cx.view.list::<Pod>(&kinds::PODS, Scope::all()).await?;
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !workload::is_finished(pod)) {
        if let Some(node) = workload::node_of(pod) {
            *counts.entry(node).or_default() += 1;
        }
    }
    let mut full = Vec::new();
    let mut seen = Vec::new();
    for one in nodes.iter() {
        let name = node::name(one);
        let count = counts.get(name).copied().unwrap_or_default();
        let limit = one
            .status
            .as_ref()
            .and_then(|status| status.allocatable.as_ref())
            .and_then(|allocatable| quantity::of(allocatable.get("pods")));
        match limit {
            Some(limit) => seen.push(format!("{name} {count} of {limit:.0}")),
            None => seen.push(format!("{name} {count}")),
        }
        if limit.is_some_and(|limit| f64::from(count) > limit * FULL) {
            full.push(name);
        }
    }
    let message = format!("pods on nodes: {}", seen.join(", "));
    let own = counts.get(cx.node()).copied().unwrap_or_default();
    Ok(if own == 0 {
        Verdict::fail("NodeEmpty", format!("no pod runs on {}", cx.node()))
    } else if full.is_empty() {
        Verdict::pass(message)
    } else {
        Verdict::fail("NodeFull", format!("nearly full: {}", full.join(", ")))
    }
    .saw_all(seen))
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use crate::testing::{Fixture, check};

    fn node(name: &str, ready: &str, cordoned: bool) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "spec": {"unschedulable": cordoned},
            "status": {
                "conditions": [{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": ready}],
                "allocatable": {"pods": "3"},
            },
        })
    }

    fn pod(name: &str, node: &str, phase: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x"},
            "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase},
        })
    }

    #[tokio::test]
    async fn all_nodes_count_and_a_cordon_is_a_warning() {
        let ask = |nodes: Vec<Value>| {
            nodes
                .into_iter()
                .fold(Fixture::new(), Fixture::with)
                .ask(check("health::nodes_ready"))
        };
        let good = ask(vec![
            node("k3s1", "True", false),
            node("k3s2", "True", false),
        ])
        .await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        let first = ask(vec![
            node("k3s1", "Unknown", false),
            node("k3s2", "True", false),
        ])
        .await;
        assert_eq!(first.reason(), "NodeNotReady");
        assert!(first.message().ends_with(": k3s1"), "{first:?}");
        let cordoned = ask(vec![node("k3s2", "True", true)]).await;
        assert_eq!(
            (cordoned.outcome(), cordoned.reason()),
            (Outcome::Warn, "NodeCordoned")
        );
        let missing = ask(vec![node("k3s1", "True", false)]).await;
        assert_eq!(missing.reason(), "NodeMissing");
    }

    #[tokio::test]
    async fn a_daemonset_that_is_short_is_named() {
        let set = |name: &str, ready: i32| {
            json!({
                "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name, "namespace": "x", "generation": 1},
                "status": {
                    "observedGeneration": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": 2,
                    "numberMisscheduled": 0, "numberReady": ready, "updatedNumberScheduled": 2,
                },
            })
        };
        let ask = |fixture: Fixture| fixture.ask(check("health::daemonsets_complete"));
        let good = ask(Fixture::new().with(set("a", 2))).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        let short = ask(Fixture::new().with(set("a", 2)).with(set("b", 1))).await;
        assert_eq!(short.reason(), "PodsMissing");
        assert!(
            short.message().contains("x/b: 1 of 2 pods ready"),
            "{short:?}"
        );
        let none = ask(Fixture::new()).await;
        assert_eq!(
            (none.outcome(), none.reason()),
            (Outcome::Skip, "NoDaemonSet")
        );
    }

    #[tokio::test]
    async fn pods_are_counted_by_node_without_finished_ones() {
        let base = || {
            Fixture::new()
                .with(node("k3s1", "True", false))
                .with(node("k3s2", "True", false))
                .with(pod("a", "k3s2", "Running"))
                .with(pod("done", "k3s2", "Succeeded"))
        };
        let good = base().ask(check("health::pods_spread")).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        assert!(good.message().contains("k3s2 1 of 3"), "{good:?}");
        let full = base()
            .with(pod("b", "k3s2", "Running"))
            .with(pod("c", "k3s2", "Pending"))
            .ask(check("health::pods_spread"))
            .await;
        assert_eq!(full.reason(), "NodeFull");
        assert!(full.message().contains("k3s2"), "{full:?}");
        let empty = Fixture::new()
            .with(node("k3s2", "True", false))
            .ask(check("health::pods_spread"))
            .await;
        assert_eq!(empty.reason(), "NodeEmpty");
    }
}
