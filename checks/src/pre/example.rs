//! Objects of a healthy cluster, for unit tests.

use serde_json::{Value, json};

use crate::testing::Fixture;

fn yes(kinds: &[&str]) -> Value {
    kinds
        .iter()
        .map(|kind| json!({"type": kind, "status": "True", "reason": "", "lastTransitionTime": ""}))
        .collect()
}

/// A node that is Ready.
pub(crate) fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        },
    })
}

const GIB: i64 = 1 << 30;

/// A Longhorn node with one usable disk of 100 GiB, of which 20 are promised.
pub(crate) fn longhorn_node(name: &str) -> Value {
    json!({
        "apiVersion": "longhorn.io/v1beta2", "kind": "Node",
        "metadata": {"name": name, "namespace": "longhorn-system"},
        "spec": {
            "name": name, "allowScheduling": true,
            "disks": {"d": {"path": "/var/lib/longhorn", "diskType": "filesystem", "allowScheduling": true}},
        },
        "status": {
            "conditions": yes(&["Ready", "Schedulable"]),
            "diskStatus": {"d": {
                "conditions": yes(&["Ready", "Schedulable"]),
                "storageMaximum": 100 * GIB, "storageAvailable": 70 * GIB, "storageScheduled": 20 * GIB,
            }},
        },
    })
}

pub(crate) fn instance_manager(node: &str, state: &str) -> Value {
    json!({
        "apiVersion": "longhorn.io/v1beta2", "kind": "InstanceManager",
        "metadata": {"name": format!("instance-manager-{node}"), "namespace": "longhorn-system"},
        "spec": {"nodeID": node, "type": "aio"},
        "status": {"currentState": state},
    })
}

pub(crate) fn engine_image(node: &str, deployed: bool) -> Value {
    json!({
        "apiVersion": "longhorn.io/v1beta2", "kind": "EngineImage",
        "metadata": {"name": "ei-1", "namespace": "longhorn-system"},
        "spec": {"image": "longhornio/longhorn-engine:v1.9.0"},
        "status": {"state": "deployed", "nodeDeploymentMap": {node: deployed}},
    })
}

/// Longhorn, well, on one node.
pub(crate) fn longhorn(node: &str) -> Fixture {
    Fixture::new()
        .with(longhorn_node(node))
        .with(instance_manager(node, "running"))
        .with(engine_image(node, true))
}

/// A volume of so many GiB.
pub(crate) fn volume(name: &str, gib: i64, replicas: i64, state: &str, robustness: &str) -> Value {
    json!({
        "apiVersion": "longhorn.io/v1beta2", "kind": "Volume",
        "metadata": {"name": name, "namespace": "longhorn-system"},
        "spec": {"size": (gib * GIB).to_string(), "numberOfReplicas": replicas},
        "status": {"state": state, "robustness": robustness},
    })
}
