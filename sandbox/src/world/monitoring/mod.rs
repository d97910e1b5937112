//! Prometheus, Alertmanager and Grafana behind their Services, answering from the state of the world.

mod query;
mod targets;

use serde_json::{Value, json};

use crate::api::{ProxyRequest, ProxyResponse, ServiceTarget};

use super::{
    backend::{answer, plain},
    kinds::SERVICES,
    make::text,
    scene::Scene,
};

/// Answers a request to a Service; the API server has seen that an endpoint is ready.
pub(crate) fn serve(
    scene: &Scene<'_>,
    target: &ServiceTarget,
    request: &ProxyRequest,
) -> ProxyResponse {
    let service = scene.get(&SERVICES, &target.namespace, &target.name);
    let app = service
        .map(|it| text(&it["spec"]["selector"]["app.kubernetes.io/name"]).to_owned())
        .unwrap_or_default();
    program(scene, &app, request)
}

/// What the program of this `app.kubernetes.io/name` answers.
pub(crate) fn program(scene: &Scene<'_>, app: &str, request: &ProxyRequest) -> ProxyResponse {
    match (app, request.path.as_str()) {
        ("prometheus", path) => prometheus(scene, path, request),
        ("alertmanager", "/-/ready" | "/-/healthy") => plain(200, "OK"),
        ("alertmanager", "/api/v2/status") => {
            answer(&json!({"cluster": {"status": "ready"}, "versionInfo": {"version": "0.28.1"}}))
        }
        ("alertmanager", "/api/v2/alerts") => answer(&Value::Array(Vec::new())),
        ("grafana", "/api/health") => answer(
            &json!({"database": "ok", "version": "12.0.1", "commit": "80658a73c5355e3ed318e5e021c0866285153b57"}),
        ),
        ("grafana", "/api/search") => ProxyResponse {
            status: 401,
            ..answer(
                &json!({"message": "Unauthorized", "messageId": "auth.unauthorized", "statusCode": 401}),
            )
        },
        ("ingress-nginx", _) => plain(404, "404 page not found\n"),
        ("kube-state-metrics", "/healthz" | "/livez" | "/readyz") => plain(200, "OK"),
        _ => plain(404, "404 page not found\n"),
    }
}

fn prometheus(scene: &Scene<'_>, path: &str, request: &ProxyRequest) -> ProxyResponse {
    let parameter = |key: &str| {
        let in_query = request
            .query
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.clone());
        in_query.unwrap_or_default()
    };
    if scene.fault("prometheus-refusing") && path.starts_with("/api/") {
        let error = "query processing would load too many samples into memory";
        return ProxyResponse {
            status: 422,
            ..answer(&json!({"status": "error", "errorType": "execution", "error": error}))
        };
    }
    match path {
        "/-/ready" => plain(200, "Prometheus Server is Ready.\n"),
        "/-/healthy" => plain(200, "Prometheus Server is Healthy.\n"),
        "/api/v1/targets" => answer(&json!({
            "status": "success",
            "data": {
                "activeTargets": targets::all(scene).iter().map(targets::Target::json).collect::<Vec<_>>(),
                "droppedTargets": [], "droppedTargetCounts": {},
            },
        })),
        "/api/v1/query" => match query::evaluate(scene, &parameter("query")) {
            Ok(result) => answer(
                &json!({"status": "success", "data": {"resultType": "vector", "result": result}}),
            ),
            Err(error) => ProxyResponse {
                status: 400,
                ..answer(&json!({"status": "error", "errorType": "bad_data", "error": error}))
            },
        },
        "/api/v1/alerts" => {
            answer(&json!({"status": "success", "data": {"alerts": query::alerts(scene)}}))
        }
        "/api/v1/rules" => {
            answer(&json!({"status": "success", "data": {"groups": query::rules(scene)}}))
        }
        "/api/v1/status/buildinfo" => {
            answer(&json!({"status": "success", "data": {"version": "3.4.1"}}))
        }
        _ => plain(404, "404 page not found\n"),
    }
}
