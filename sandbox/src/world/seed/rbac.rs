//! Roles that k3s, Flux and Longhorn bring; those of every cluster come with the API server.

use serde_json::{Value, json};

use crate::world::make::object;

const API: &str = "rbac.authorization.k8s.io/v1";

fn bootstrap() -> Value {
    json!({
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}

fn role(name: &str, rules: Value) -> Value {
    object(
        API,
        "ClusterRole",
        "",
        name,
        json!({"metadata": bootstrap(), "rules": rules}),
    )
}

fn binding(name: &str, role: &str, subjects: Value, own: Value) -> Value {
    object(
        API,
        "ClusterRoleBinding",
        "",
        name,
        json!({
            "metadata": own,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": subjects,
        }),
    )
}

fn account(namespace: &str, name: &str) -> Value {
    json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
}

pub(super) fn objects() -> Vec<Value> {
    vec![
        // Not bound to anybody: the node authorizer gives nodes their rights.
        role(
            "system:node",
            json!([
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["create", "get", "list", "watch"]},
                {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch", "update"]},
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "delete", "get", "patch", "update"]},
                {"apiGroups": ["storage.k8s.io"], "resources": ["csinodes"], "verbs": ["create", "delete", "get", "patch", "update"]},
            ]),
        ),
        binding("system:node", "system:node", json!([]), bootstrap()),
        // Flux reconciles anything: its two appliers are administrators by design.
        binding(
            "cluster-reconciler-flux-system",
            "cluster-admin",
            json!([
                account("flux-system", "kustomize-controller"),
                account("flux-system", "helm-controller")
            ]),
            json!({"labels": {"app.kubernetes.io/instance": "flux-system", "app.kubernetes.io/part-of": "flux"}}),
        ),
        object(
            API,
            "ClusterRole",
            "",
            "longhorn-role",
            json!({"rules": [
                {"apiGroups": ["longhorn.io"], "resources": ["volumes", "replicas", "engines", "nodes", "settings"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]},
                {"apiGroups": [""], "resources": ["pods", "nodes", "persistentvolumes", "persistentvolumeclaims"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]},
            ]}),
        ),
        binding(
            "longhorn-bind",
            "longhorn-role",
            json!([account("longhorn-system", "longhorn-service-account")]),
            json!({}),
        ),
    ]
}
