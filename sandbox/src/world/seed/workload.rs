//! Deployments, DaemonSets and Services in a few words.

use serde_json::{Value, json};

use crate::world::make::{merge, object};

/// A container: image, arguments, ports as (name, number).
pub(super) fn container(name: &str, image: &str, ports: &[(&str, u16)]) -> Value {
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, port)| json!({"name": name, "containerPort": port, "protocol": "TCP"}))
        .collect();
    json!({
        "name": name, "image": image, "imagePullPolicy": "IfNotPresent", "ports": ports,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
    })
}

/// A pod spec that runs as a plain user.
pub(super) fn restricted(containers: Vec<Value>) -> Value {
    json!({
        "containers": containers,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
    })
}

/// A Deployment with one replica.
pub(super) fn deployment(
    namespace: &str,
    name: &str,
    labels: &Value,
    select: &Value,
    spec: Value,
) -> Value {
    workload(
        "Deployment",
        namespace,
        name,
        labels,
        select,
        json!({"replicas": 1}),
        spec,
    )
}

/// A DaemonSet.
pub(super) fn daemon_set(
    namespace: &str,
    name: &str,
    labels: &Value,
    select: &Value,
    spec: Value,
) -> Value {
    let update = json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}});
    workload("DaemonSet", namespace, name, labels, select, update, spec)
}

/// A StatefulSet with one replica.
pub(super) fn stateful_set(
    namespace: &str,
    name: &str,
    labels: &Value,
    select: &Value,
    spec: Value,
) -> Value {
    workload(
        "StatefulSet",
        namespace,
        name,
        labels,
        select,
        json!({"replicas": 1, "serviceName": name}),
        spec,
    )
}

fn workload(
    kind: &str,
    namespace: &str,
    name: &str,
    labels: &Value,
    select: &Value,
    own: Value,
    pod: Value,
) -> Value {
    let mut spec = json!({
        "selector": {"matchLabels": select},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    });
    merge(&mut spec, own);
    object(
        "apps/v1",
        kind,
        namespace,
        name,
        json!({"metadata": {"labels": labels}, "spec": spec}),
    )
}

/// A Service inside the cluster: ports as (name, port, target).
pub(super) fn service(
    namespace: &str,
    name: &str,
    labels: &Value,
    select: &Value,
    ports: &[(&str, u16, &str)],
) -> Value {
    let ports: Vec<Value> = ports
        .iter()
        .map(|(name, port, target)| {
            let target: Value = target
                .parse::<u16>()
                .map_or_else(|_| json!(target), |number| json!(number));
            json!({"name": name, "port": port, "protocol": "TCP", "targetPort": target})
        })
        .collect();
    object(
        "v1",
        "Service",
        namespace,
        name,
        json!({"metadata": {"labels": labels}, "spec": {"type": "ClusterIP", "selector": select, "ports": ports}}),
    )
}

/// A namespace with its Pod Security level.
pub(super) fn namespace(name: &str, level: &str) -> Value {
    object(
        "v1",
        "Namespace",
        "",
        name,
        json!({
            "metadata": {"labels": {
                "kubernetes.io/metadata.name": name, "pod-security.kubernetes.io/enforce": level,
                "pod-security.kubernetes.io/warn": level,
            }},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }),
    )
}
