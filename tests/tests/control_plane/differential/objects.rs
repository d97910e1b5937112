//! What the table is about: the objects of a small cluster, created on both servers.

use serde_json::{Value, json};

use super::{compare::OURS, step::Step};

/// Group, version, kind, plural.
const DEFINITIONS: &[(&str, &str, &str, &str)] = &[
    (
        "source.toolkit.fluxcd.io",
        "v1",
        "GitRepository",
        "gitrepositories",
    ),
    (
        "kustomize.toolkit.fluxcd.io",
        "v1",
        "Kustomization",
        "kustomizations",
    ),
    (
        "helm.toolkit.fluxcd.io",
        "v2",
        "HelmRelease",
        "helmreleases",
    ),
    ("longhorn.io", "v1beta2", "Node", "nodes"),
    ("longhorn.io", "v1beta2", "Volume", "volumes"),
    ("longhorn.io", "v1beta2", "Replica", "replicas"),
    ("longhorn.io", "v1beta2", "Engine", "engines"),
    ("longhorn.io", "v1beta2", "Setting", "settings"),
    ("longhorn.io", "v1beta2", "EngineImage", "engineimages"),
    (
        "longhorn.io",
        "v1beta2",
        "InstanceManager",
        "instancemanagers",
    ),
    ("longhorn.io", "v1beta2", "BackupTarget", "backuptargets"),
    (
        "monitoring.coreos.com",
        "v1",
        "PrometheusRule",
        "prometheusrules",
    ),
    ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
    (
        "monitoring.coreos.com",
        "v1",
        "ServiceMonitor",
        "servicemonitors",
    ),
    ("monitoring.coreos.com", "v1", "Prometheus", "prometheuses"),
];

/// Metadata of an object of the table.
pub(super) fn meta(name: &str) -> Value {
    json!({"name": name, "labels": {OURS: "table", "app": name}})
}

/// A ConfigMap of the table.
pub(super) fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(name), "data": {"a": "1"}})
}

/// A pod of the table, on a node unless that is empty. It names its account, which a cluster with controllers would do.
pub(super) fn pod(name: &str, node: &str) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta(name), "spec": {
        "serviceAccountName": "default",
        "containers": [{"name": "main", "image": "image:1", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}],
    }});
    if !node.is_empty() {
        pod["spec"]["nodeName"] = node.into();
    }
    pod
}

fn custom(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": meta(name), "spec": {"size": "10Gi", "deep": {"list": [1, 2]}}})
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "image:1"}]}})
}

/// The rows that make them. What a server adds to each is compared too.
pub(super) fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for (group, version, kind, plural) in DEFINITIONS {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}"), "labels": {OURS: "table"}},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
                "versions": [{
                    "name": version, "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                    "additionalPrinterColumns": [{"name": "Size", "type": "string", "jsonPath": ".spec.size"}],
                }],
            },
        });
        steps.push(
            Step::post(
                "create",
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
                definition,
            )
            .only(&["/kind", "/metadata/name", "/metadata/generation", "/spec"]),
        );
    }
    for (group, version, _, plural) in DEFINITIONS {
        steps.push(Step::get("verb", &format!("/apis/{group}/{version}/{plural}")).settles());
    }
    for name in ["table", "flux-system", "longhorn-system", "monitoring"] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": meta(name)});
        steps.push(Step::post("create", "/api/v1/namespaces", namespace));
    }
    for name in ["k3s1", "k3s2"] {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": meta(name), "spec": {"podCIDR": if name == "k3s1" { "10.42.0.0/24" } else { "10.42.1.0/24" }}});
        steps.push(Step::post("create", "/api/v1/nodes", node));
        let csi = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": meta(name), "spec": {"drivers": [{"name": "driver.longhorn.io", "nodeID": name}]}});
        steps.push(Step::post(
            "create",
            "/apis/storage.k8s.io/v1/csinodes",
            csi,
        ));
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta(name), "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": "2026-01-01T00:00:00.000000Z"}});
        steps.push(Step::post(
            "create",
            "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
            lease,
        ));
    }
    for (name, node) in [
        ("one", "k3s1"),
        ("two", "k3s2"),
        ("three", "k3s2"),
        ("waiting", ""),
    ] {
        steps.push(Step::post(
            "create",
            "/api/v1/namespaces/table/pods",
            pod(name, node),
        ));
    }
    steps.extend(
        kinds()
            .into_iter()
            .map(|(path, object)| Step::post("create", path, object)),
    );
    for (group, version, kind, plural) in DEFINITIONS {
        let namespace = match *group {
            "longhorn.io" => "longhorn-system",
            "monitoring.coreos.com" => "monitoring",
            _ => "flux-system",
        };
        let object = custom(&format!("{group}/{version}"), kind, "first");
        steps.push(Step::post(
            "create",
            &format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"),
            object,
        ));
    }
    steps
}

/// One object of each other kind that the checks read.
fn kinds() -> Vec<(&'static str, Value)> {
    vec![
        (
            "/api/v1/namespaces/table/configmaps",
            config_map("settings"),
        ),
        (
            "/api/v1/namespaces/table/secrets",
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": meta("keys"), "stringData": {"key": "value"}}),
        ),
        (
            "/api/v1/namespaces/table/services",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("web"), "spec": {"clusterIP": "None", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}}),
        ),
        (
            "/api/v1/namespaces/table/persistentvolumeclaims",
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta("data"), "spec": {"storageClassName": "longhorn", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
        ),
        (
            "/apis/apps/v1/namespaces/table/daemonsets",
            json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta("each"), "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template()}}),
        ),
        (
            "/apis/apps/v1/namespaces/table/deployments",
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta("web"), "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template()}}),
        ),
        (
            "/apis/apps/v1/namespaces/table/statefulsets",
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta("db"), "spec": {"serviceName": "web", "selector": {"matchLabels": {"app": "web"}}, "template": template()}}),
        ),
        (
            "/apis/batch/v1/namespaces/table/jobs",
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta("once"), "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "image:1"}]}}}}),
        ),
        (
            "/apis/discovery.k8s.io/v1/namespaces/table/endpointslices",
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta("web-1"), "addressType": "IPv4", "endpoints": [{"addresses": ["10.42.0.9"], "conditions": {"ready": true}, "nodeName": "k3s1"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}),
        ),
        (
            "/apis/policy/v1/namespaces/table/poddisruptionbudgets",
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta("guard"), "spec": {"minAvailable": 1, "selector": {"matchLabels": {"guarded": "yes"}}}}),
        ),
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": meta("longhorn"), "provisioner": "driver.longhorn.io"}),
        ),
        (
            "/apis/storage.k8s.io/v1/csidrivers",
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": meta("driver.longhorn.io"), "spec": {"attachRequired": true}}),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": meta("reader"), "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]}),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/namespaces/table/rolebindings",
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta("team-reads"), "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reader"}, "subjects": [{"kind": "Group", "name": "team", "apiGroup": "rbac.authorization.k8s.io"}]}),
        ),
    ]
}
