//! Roles that every cluster has, and those that Flux and k3s bring.

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
    object(API, "ClusterRole", "", name, json!({"metadata": bootstrap(), "rules": rules}))
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

fn group(name: &str) -> Value {
    json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name}])
}

fn account(namespace: &str, name: &str) -> Value {
    json!({"kind": "ServiceAccount", "namespace": namespace, "name": name})
}

pub(super) fn objects() -> Vec<Value> {
    let read = json!(["get", "list", "watch"]);
    let change = json!(["create", "delete", "deletecollection", "patch", "update"]);
    let workloads = json!(["deployments", "daemonsets", "replicasets", "statefulsets"]);
    let core = json!(["configmaps", "endpoints", "persistentvolumeclaims", "pods", "services", "serviceaccounts"]);
    let view = json!([
        {"apiGroups": [""], "resources": core, "verbs": read},
        {"apiGroups": ["apps"], "resources": workloads, "verbs": read},
    ]);
    let mut edit = view.as_array().cloned().unwrap_or_default();
    edit.extend([
        json!({"apiGroups": [""], "resources": core, "verbs": change}),
        json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]}),
        json!({"apiGroups": ["apps"], "resources": workloads, "verbs": change}),
    ]);
    vec![
        role("cluster-admin", json!([
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ])),
        role("admin", edit.clone().into()),
        role("edit", edit.into()),
        role("view", view),
        role("system:basic-user", json!([{
            "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            "verbs": ["create"],
        }, {
            "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"],
        }])),
        role("system:discovery", json!([{
            "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"],
            "verbs": ["get"],
        }])),
        role("system:public-info-viewer", json!([{
            "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"], "verbs": ["get"],
        }])),
        // Not bound to anybody: the node authorizer gives nodes their rights.
        role("system:node", json!([
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["create", "get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch", "update"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "delete", "get", "patch", "update"]},
            {"apiGroups": ["storage.k8s.io"], "resources": ["csinodes"], "verbs": ["create", "delete", "get", "patch", "update"]},
        ])),
        binding("cluster-admin", "cluster-admin", group("system:masters"), bootstrap()),
        binding("system:basic-user", "system:basic-user", group("system:authenticated"), bootstrap()),
        binding("system:discovery", "system:discovery", group("system:authenticated"), bootstrap()),
        binding("system:public-info-viewer", "system:public-info-viewer", group("system:authenticated"), bootstrap()),
        binding("system:node", "system:node", json!([]), bootstrap()),
        // Flux reconciles anything: its two appliers are administrators by design.
        binding(
            "cluster-reconciler-flux-system",
            "cluster-admin",
            json!([account("flux-system", "kustomize-controller"), account("flux-system", "helm-controller")]),
            json!({"labels": {"app.kubernetes.io/instance": "flux-system", "app.kubernetes.io/part-of": "flux"}}),
        ),
        object(API, "ClusterRole", "", "longhorn-role", json!({"rules": [
            {"apiGroups": ["longhorn.io"], "resources": ["volumes", "replicas", "engines", "nodes", "settings"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]},
            {"apiGroups": [""], "resources": ["pods", "nodes", "persistentvolumes", "persistentvolumeclaims"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"]},
        ]})),
        binding("longhorn-bind", "longhorn-role", json!([account("longhorn-system", "longhorn-service-account")]), json!({})),
    ]
}
