//! What the programs in pods answer: monitoring as everywhere, metrics-server to the aggregator, webhooks to admission.

use serde_json::{Value, json};

use crate::{
    api::{ProxyRequest, ProxyResponse, longhorn_guard},
    world::{
        backend::{answer, plain},
        k3s,
        kinds::{LH_ENGINES, LH_NODES, LH_REPLICAS, LH_VOLUMES, NODES, PODS},
        make::{condition, name, namespace, text},
        monitoring,
        scene::Scene,
    },
};

/// The names by which the API server calls webhooks.
pub(super) const WEBHOOKS: &[&str] = &[
    "longhorn-admission-webhook.longhorn-system.svc",
    "ingress-nginx-controller-admission.ingress-nginx.svc",
    "metrics-server.kube-system.svc",
];

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

/// What a pod answers at one of its ports.
pub(super) fn pod(
    scene: &Scene<'_>,
    namespace: &str,
    pod: &str,
    port: u16,
    request: &ProxyRequest,
) -> ProxyResponse {
    let Some(pod) = scene.get(&PODS, namespace, pod) else {
        return plain(502, "no such pod");
    };
    let labels = &pod["metadata"]["labels"];
    match (text(&labels["app"]), text(&labels["k8s-app"]), port) {
        ("longhorn-manager", _, 9502) => longhorn(scene, request),
        (_, "metrics-server", _) => metrics(scene, request),
        _ if labels["app.kubernetes.io/name"] == "ingress-nginx" && port == 8443 => {
            reviewed(&review(request), None)
        }
        _ => monitoring::program(scene, text(&labels["app.kubernetes.io/name"]), request),
    }
}

/// What a webhook answers to a review: nothing against it, or a status that says what.
fn reviewed(review: &Value, refused: Option<Value>) -> ProxyResponse {
    let mut response = json!({"uid": review["request"]["uid"], "allowed": refused.is_none()});
    if let Some(status) = refused {
        response["status"] = status;
    }
    answer(&json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response,
    }))
}

/// The review in a request.
fn review(request: &ProxyRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

/// Longhorn's webhook: what it refuses on the sandbox's own API server it refuses here as well.
fn longhorn(scene: &Scene<'_>, request: &ProxyRequest) -> ProxyResponse {
    let review = review(request);
    let asked = &review["request"];
    let machines = scene
        .cast
        .outside
        .as_ref()
        .map(|outside| &*outside.machines);
    let by_longhorn = asked["userInfo"]["username"].as_str() == machines;
    if by_longhorn || request.path != "/v1/webhook/validation" {
        return reviewed(&review, None);
    }
    let known = |group: &str, plural: &str, wanted: &str| {
        let res = match (group, plural) {
            ("", "nodes") => &NODES,
            (_, "nodes") => &LH_NODES,
            (_, "replicas") => &LH_REPLICAS,
            (_, "engines") => &LH_ENGINES,
            (_, "volumes") => &LH_VOLUMES,
            _ => return Vec::new(),
        };
        let all = scene.list(res).into_iter();
        all.filter(|one| wanted.is_empty() || namespace(one) == wanted)
            .collect()
    };
    let change = longhorn_guard::Asked {
        resource: text(&asked["resource"]["resource"]),
        deleted: asked["operation"] == "DELETE",
        namespace: text(&asked["namespace"]),
        name: text(&asked["name"]),
        object: &asked["object"],
    };
    let refused = longhorn_guard::refusal(&known, &change);
    reviewed(&review, refused.as_deref().map(longhorn_guard::status))
}

/// The aggregated API of metrics-server.
fn metrics(scene: &Scene<'_>, request: &ProxyRequest) -> ProxyResponse {
    let known = scene.list(&NODES);
    let seen = known
        .iter()
        .filter(|node| condition(node, "Ready") == "True");
    let list = |kind: &str, items: Vec<Value>| {
        answer(&json!({
            "kind": kind, "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items,
        }))
    };
    let watched = request
        .query
        .iter()
        .any(|(key, value)| key == "watch" && value != "false" && value != "0");
    match request.path.strip_prefix(METRICS) {
        _ if watched => status(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        Some("" | "/") => answer(&json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1",
            "resources": [
                {"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list"]},
                {"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"]},
            ],
        })),
        Some("/nodes") => list(
            "NodeMetricsList",
            seen.map(|node| k3s::numbers(scene, node)).collect(),
        ),
        Some("/pods") => list("PodMetricsList", Vec::new()),
        Some(path) => {
            let wanted = path.strip_prefix("/nodes/").unwrap_or_default();
            match seen.into_iter().find(|node| name(node) == wanted) {
                Some(node) => answer(&k3s::numbers(scene, node)),
                None => status(404, "NotFound", "nodemetrics not found"),
            }
        }
        None => plain(404, "404 page not found\n"),
    }
}

fn status(code: u16, reason: &str, message: &str) -> ProxyResponse {
    ProxyResponse {
        status: code,
        ..answer(&json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "code": code,
        }))
    }
}
