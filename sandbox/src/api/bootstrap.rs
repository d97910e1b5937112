//! What an API server creates by itself when it starts: namespaces and the roles that everybody builds on.

use serde_json::{Value, json};

use super::store::Store;

/// The objects that every cluster has.
fn objects() -> Vec<Value> {
    let mut objects: Vec<Value> = ["default", "kube-system", "kube-public", "kube-node-lease"]
        .iter()
        .map(
            |name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }),
        )
        .collect();
    objects.push(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "kubernetes", "namespace": "default", "labels": { "component": "apiserver", "provider": "kubernetes" } },
        "spec": { "clusterIP": "10.43.0.1", "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443 }] },
    }));
    let read = json!(["get", "list", "watch"]);
    let write = json!(["create", "delete", "deletecollection", "patch", "update"]);
    let workloads = json!([
        { "apiGroups": [""], "resources": ["configmaps", "endpoints", "persistentvolumeclaims", "pods", "replicationcontrollers", "serviceaccounts", "services"], "verbs": [] },
        { "apiGroups": ["apps"], "resources": ["daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets", "statefulsets/scale"], "verbs": [] },
        { "apiGroups": ["batch"], "resources": ["cronjobs", "jobs"], "verbs": [] },
        { "apiGroups": ["networking.k8s.io"], "resources": ["ingresses", "networkpolicies"], "verbs": [] },
        { "apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": [] },
    ]);
    let with = |verbs: &Value| {
        let mut rules = workloads.clone();
        for rule in rules.as_array_mut().into_iter().flatten() {
            rule["verbs"] = verbs.clone();
        }
        rules.as_array().cloned().unwrap_or_default()
    };
    let mut view = with(&read);
    view.push(json!({ "apiGroups": [""], "resources": ["bindings", "events", "limitranges", "namespaces", "namespaces/status", "pods/log", "pods/status", "resourcequotas"], "verbs": read }));
    let mut edit = with(&write);
    edit.push(json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch", "create", "delete", "deletecollection", "patch", "update"] }));
    edit.push(json!({ "apiGroups": [""], "resources": ["pods/eviction", "serviceaccounts/token"], "verbs": ["create"] }));
    edit.push(json!({ "apiGroups": [""], "resources": ["pods/proxy", "services/proxy", "pods/exec", "pods/portforward", "pods/attach"], "verbs": ["get", "list", "watch", "create"] }));
    let admin = json!([
        { "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings", "roles"], "verbs": ["*"] },
        { "apiGroups": ["authorization.k8s.io"], "resources": ["localsubjectaccessreviews"], "verbs": ["create"] },
    ]);
    objects.push(role(
        "cluster-admin",
        json!([
            { "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] },
            { "nonResourceURLs": ["*"], "verbs": ["*"] },
        ]),
    ));
    for (name, rules, into) in [
        ("view", json!(view), "edit"),
        ("edit", json!(edit), "admin"),
        ("admin", admin, ""),
    ] {
        let mut part = role(&format!("system:aggregate-to-{name}"), rules);
        part["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{name}")] =
            "true".into();
        objects.push(part);
        let mut whole = role(name, Value::Null);
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{name}");
        whole["aggregationRule"] =
            json!({ "clusterRoleSelectors": [{ "matchLabels": { label: "true" } }] });
        if !into.is_empty() {
            whole["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{into}")] =
                "true".into();
        }
        objects.push(whole);
    }
    objects.push(role("system:basic-user", json!([
        { "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], "verbs": ["create"] },
        { "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"] },
    ])));
    objects.push(role("system:discovery", json!([{
        "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"],
        "verbs": ["get"],
    }])));
    objects.push(role("system:public-info-viewer", json!([
        { "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"], "verbs": ["get"] },
    ])));
    objects.push(role("system:service-account-issuer-discovery", json!([{
        "nonResourceURLs": ["/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks", "/openid/v1/jwks/"],
        "verbs": ["get"],
    }])));
    objects.push(role("system:auth-delegator", json!([
        { "apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"] },
        { "apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"] },
    ])));
    for (name, role, group) in [
        ("cluster-admin", "cluster-admin", "system:masters"),
        (
            "system:basic-user",
            "system:basic-user",
            "system:authenticated",
        ),
        (
            "system:discovery",
            "system:discovery",
            "system:authenticated",
        ),
        (
            "system:service-account-issuer-discovery",
            "system:service-account-issuer-discovery",
            "system:serviceaccounts",
        ),
        (
            "system:public-info-viewer",
            "system:public-info-viewer",
            "system:authenticated",
        ),
    ] {
        objects.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": name, "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" } },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group }],
        }));
    }
    objects
}

fn role(name: &str, rules: Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": name, "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
            "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" } },
        "rules": rules,
    })
}

/// Loads what is not there yet.
pub(crate) fn load(store: &Store) -> Result<(), super::store::LoadError> {
    let missing = objects().into_iter().filter(|object| {
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let resource = store
            .registry
            .find_kind(group, object["kind"].as_str().unwrap_or_default());
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        resource.is_some_and(|r| store.get(&r, text("namespace"), text("name")).is_none())
    });
    store.load(missing.collect())
}
