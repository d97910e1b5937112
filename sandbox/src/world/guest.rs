//! What stands in the way when a node is to be taken out: workloads that cannot simply be evicted, and data that lies
//! on the node itself. Faults bring them.

use serde_json::{Value, json};

use super::{longhorn, make::object};

/// A container that only waits.
pub(crate) fn pod_spec() -> Value {
    json!({
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "guest", "image": "docker.io/library/busybox:1.37", "args": ["sleep", "infinity"],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            },
        }],
    })
}

/// A Deployment whose one pod prefers nobody and is placed on the new node, and what guards it.
pub(crate) fn objects(fault: &str, node: &str) -> Vec<Value> {
    let labels = json!({"app": fault});
    let mut spec = pod_spec();
    spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [
            {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]},
        ]}],
    }}});
    if fault == "pod-emptydir" {
        spec["volumes"] = json!([{"name": "cache", "emptyDir": {}}]);
    }
    let mut all = vec![object(
        "apps/v1",
        "Deployment",
        "apps",
        fault,
        json!({
            "metadata": {"labels": labels},
            "spec": {
                "replicas": 1, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }),
    )];
    let budgets: &[&str] = match fault {
        "pod-budget-exhausted" => &["guard"],
        "pod-budgets-two" => &["guard-one", "guard-two"],
        _ => &[],
    };
    for name in budgets {
        all.push(object(
            "policy/v1",
            "PodDisruptionBudget",
            "apps",
            name,
            json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": labels}}}),
        ));
    }
    all
}

/// A volume that only this node can mount, and the claim that it is bound to.
pub(crate) fn local_volume(node: &str) -> [Value; 2] {
    let volume = object(
        "v1",
        "PersistentVolume",
        "",
        "local-scratch",
        json!({"spec": {
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": "local-path",
            "persistentVolumeReclaimPolicy": "Delete", "volumeMode": "Filesystem",
            "hostPath": {"path": "/var/lib/rancher/k3s/storage/local-scratch", "type": "DirectoryOrCreate"},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "apps", "name": "local-scratch",
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]},
            ]}]}},
        }}),
    );
    let claim = object(
        "v1",
        "PersistentVolumeClaim",
        "apps",
        "local-scratch",
        json!({"spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "local-path", "volumeName": "local-scratch",
            "resources": {"requests": {"storage": "1Gi"}},
        }}),
    );
    [volume, claim]
}

/// A volume of Longhorn that somebody has attached in its own interface.
pub(crate) fn volume_by_hand(node: &str) -> Value {
    object(
        "longhorn.io/v1beta2",
        "Volume",
        longhorn::NAMESPACE,
        "by-hand",
        json!({
            "metadata": {"labels": {"longhornvolume": "by-hand"}},
            "spec": {
                "size": "1073741824", "numberOfReplicas": 1, "dataLocality": "disabled", "nodeID": node,
                "dataEngine": "v1", "frontend": "blockdev", "accessMode": "rwo",
                "replicaSoftAntiAffinity": "ignored", "replicaAutoBalance": "ignored", "staleReplicaTimeout": 30,
            },
        }),
    )
}
