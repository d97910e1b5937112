//! What the ingress-nginx chart installs: a controller on every node, behind node ports that answer locally.

use serde_json::{Value, json};

use crate::world::make::{merge, object};

use super::workload::{container, daemon_set, service};

const NAMESPACE: &str = "ingress-nginx";

pub(super) fn objects() -> Vec<Value> {
    let labels = json!({
        "app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/instance": "ingress-nginx",
        "app.kubernetes.io/component": "controller", "app.kubernetes.io/part-of": "ingress-nginx",
    });
    let mut controller = container(
        "controller",
        "registry.k8s.io/ingress-nginx/controller:v1.12.1",
        &[("http", 80), ("https", 443), ("webhook", 8443)],
    );
    controller["securityContext"] = json!({
        "runAsNonRoot": true, "runAsUser": 101, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    });
    let spec = json!({
        "containers": [controller], "serviceAccountName": "ingress-nginx", "nodeSelector": {"kubernetes.io/os": "linux"},
    });
    let mut node_port = service(
        NAMESPACE,
        "ingress-nginx-controller",
        &labels,
        &labels,
        &[("http", 80, "http"), ("https", 443, "https")],
    );
    merge(
        &mut node_port,
        json!({"spec": {"type": "NodePort", "externalTrafficPolicy": "Local"}}),
    );
    node_port["spec"]["ports"][0]["nodePort"] = 30080.into();
    node_port["spec"]["ports"][1]["nodePort"] = 30443.into();
    vec![
        daemon_set(
            NAMESPACE,
            "ingress-nginx-controller",
            &labels,
            &labels,
            spec,
        ),
        node_port,
        service(
            NAMESPACE,
            "ingress-nginx-controller-admission",
            &labels,
            &labels,
            &[("https-webhook", 443, "webhook")],
        ),
        object(
            "networking.k8s.io/v1",
            "IngressClass",
            "",
            "nginx",
            json!({
                "metadata": {"labels": labels}, "spec": {"controller": "k8s.io/ingress-nginx"},
            }),
        ),
        object(
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            "",
            "ingress-nginx-admission",
            json!({
                "webhooks": [{
                    "name": "validate.nginx.ingress.kubernetes.io", "failurePolicy": "Fail", "sideEffects": "None",
                    "admissionReviewVersions": ["v1"], "matchPolicy": "Equivalent",
                    "clientConfig": {"service": {
                        "name": "ingress-nginx-controller-admission", "namespace": NAMESPACE, "port": 443,
                        "path": "/networking/v1/ingresses",
                    }},
                    "rules": [{
                        "apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                        "resources": ["ingresses"],
                    }],
                }],
            }),
        ),
        object(
            "networking.k8s.io/v1",
            "Ingress",
            "default",
            "home",
            json!({"spec": {
                "ingressClassName": "nginx",
                "rules": [{"host": "home.invalid", "http": {"paths": [{
                    "path": "/", "pathType": "Prefix",
                    "backend": {"service": {"name": "kubernetes", "port": {"number": 443}}},
                }]}}],
            }}),
        ),
    ]
}
