//! Flux's own controllers, and the objects with which the cluster follows git. What git holds is applied by Flux.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::world::{
    cast::Cast,
    make::{merge, object},
    tree,
};

use super::workload::{container, deployment, restricted};

const NAMESPACE: &str = "flux-system";

pub(super) fn objects(cast: &Cast) -> Vec<Value> {
    let mut all = Vec::new();
    for (name, image, version) in [
        ("source-controller", "source-controller", "v1.6.2"),
        ("kustomize-controller", "kustomize-controller", "v1.6.1"),
        ("helm-controller", "helm-controller", "v1.3.0"),
        (
            "notification-controller",
            "notification-controller",
            "v1.6.0",
        ),
    ] {
        let labels = json!({
            "app": name, "app.kubernetes.io/component": name, "app.kubernetes.io/instance": NAMESPACE,
            "app.kubernetes.io/part-of": "flux", "app.kubernetes.io/version": "v2.6.4",
        });
        let mut spec = restricted(vec![container(
            "manager",
            &format!("ghcr.io/fluxcd/{image}:{version}"),
            &[("http-prom", 8080), ("healthz", 9440)],
        )]);
        merge(
            &mut spec,
            json!({
                "serviceAccountName": name, "priorityClassName": "system-cluster-critical",
                "nodeSelector": {"kubernetes.io/os": "linux"},
            }),
        );
        all.push(deployment(
            NAMESPACE,
            name,
            &labels,
            &json!({"app": name}),
            spec,
        ));
        all.push(object(
            "v1",
            "ServiceAccount",
            NAMESPACE,
            name,
            json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "flux"}}}),
        ));
    }
    for (name, selector, ingress) in [
        (
            "allow-egress",
            json!({}),
            json!([{"from": [{"podSelector": {}}]}]),
        ),
        (
            "allow-scraping",
            json!({}),
            json!([{"from": [{"namespaceSelector": {}}], "ports": [{"port": 8080, "protocol": "TCP"}]}]),
        ),
        (
            "allow-webhooks",
            json!({"matchLabels": {"app": "notification-controller"}}),
            json!([{"from": [{"namespaceSelector": {}}]}]),
        ),
    ] {
        let mut spec =
            json!({"podSelector": selector, "ingress": ingress, "policyTypes": ["Ingress"]});
        if name == "allow-egress" {
            merge(
                &mut spec,
                json!({"egress": [{}], "policyTypes": ["Ingress", "Egress"]}),
            );
        }
        all.push(object(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            NAMESPACE,
            name,
            json!({"spec": spec}),
        ));
    }
    all.push(object(
        "v1",
        "ResourceQuota",
        NAMESPACE,
        "critical-pods-flux-system",
        json!({
            "spec": {
                "hard": {"pods": "1k"},
                "scopeSelector": {"matchExpressions": [{
                    "operator": "In", "scopeName": "PriorityClass",
                    "values": ["system-node-critical", "system-cluster-critical"],
                }]},
            },
            "status": {"hard": {"pods": "1k"}, "used": {"pods": "4"}},
        }),
    ));
    all.push(sops_key());
    all.extend(sync(cast));
    all
}

/// The key that the Secrets in git are decrypted with: a key in form only.
fn sops_key() -> Value {
    let text = format!(
        "# made for the sandbox\nAGE-SECRET-KEY-1{}\n",
        "Q".repeat(58)
    );
    object(
        "v1",
        "Secret",
        NAMESPACE,
        "sops-age",
        json!({"type": "Opaque", "data": {"age.agekey": STANDARD.encode(text)}}),
    )
}

/// `flux bootstrap` applies these once; from then on they come from git.
fn sync(cast: &Cast) -> Vec<Value> {
    let path = format!("{}/flux-system.yaml", tree::ROOT);
    tree::files(cast, false)
        .into_iter()
        .filter(|(file, _)| *file == path)
        .flat_map(|(_, text)| serde_saphyr::from_multiple::<Value>(&text).unwrap_or_default())
        .collect()
}
