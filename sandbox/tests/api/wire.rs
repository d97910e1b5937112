//! Proxies, health, discovery, trouble on the wire, and the record of it all.

use std::time::{Duration, Instant};

use sandbox::api::Disturbance;
use serde_json::{Value, json};

use crate::support::{World, call, config_map, send};

#[tokio::test]
async fn proxies_reach_what_is_ready() {
    let world = World::start().await;
    let client = world.admin().await;
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "prom", "namespace": "default" }, "spec": { "ports": [{ "name": "web", "port": 9090 }] } });
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" } });
    world
        .server
        .store()
        .load(vec![service, node])
        .expect("objects");
    let path =
        "/api/v1/namespaces/default/services/http:prom:web/proxy/api/v1/query?query=up%3D%3D1";
    let refused = send(&client, "GET", path, "")
        .await
        .expect_err("no endpoints");
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (503, "no endpoints available for service \"http:prom:web\"")
    );
    let slice = json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "prom-1", "namespace": "default", "labels": { "kubernetes.io/service-name": "prom" } },
        "endpoints": [{ "addresses": ["10.42.0.9"], "conditions": { "ready": true } }], "ports": [] });
    world.server.store().load(vec![slice]).expect("slice");
    assert_eq!(
        send(&client, "GET", path, "").await.expect("proxied"),
        "default/prom:web /api/v1/query [(\"query\", \"up==1\")]"
    );
    assert_eq!(
        send(&client, "GET", "/api/v1/nodes/n1/proxy/configz", "")
            .await
            .expect("proxied"),
        "n1 GET /configz"
    );
    assert_eq!(
        send(&client, "GET", "/api/v1/nodes/n9/proxy/configz", "")
            .await
            .expect_err("no node")
            .code,
        404
    );
}

#[tokio::test]
async fn health_names_what_fails() {
    let world = World::start().await;
    let client = world.admin().await;
    assert_eq!(
        send(&client, "GET", "/readyz", "").await.expect("ready"),
        "ok"
    );
    *world.behind.broken.lock().expect("lock") = Some("etcd".into());
    let text = send(&client, "GET", "/readyz?verbose", "")
        .await
        .expect_err("not ready");
    assert_eq!(text.code, 500);
    for line in [
        "[+]ping ok",
        "[-]etcd failed: reason withheld",
        "readyz check failed",
    ] {
        assert!(text.message.contains(line), "{line} in {}", text.message);
    }
    let version = call(&client, "GET", "/version", Value::Null)
        .await
        .expect("version");
    assert_eq!(
        (&version["gitVersion"], &version["minor"]),
        (&json!("v1.36.2+k3s1"), &json!("36"))
    );
}

#[tokio::test]
async fn the_metrics_api_is_there_while_its_service_is_available() {
    let world = World::start().await;
    let client = world.admin().await;
    let list = "/apis/metrics.k8s.io/v1beta1/nodes";
    assert_eq!(
        send(&client, "GET", list, "")
            .await
            .expect_err("no APIService")
            .code,
        404
    );
    let service = |status: &str| {
        json!({ "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": { "name": "v1beta1.metrics.k8s.io" },
        "spec": { "group": "metrics.k8s.io", "version": "v1beta1" }, "status": { "conditions": [{ "type": "Available", "status": status }] } })
    };
    let metrics = json!({ "apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics", "metadata": { "name": "n1" }, "timestamp": "2026-01-01T00:00:00Z", "window": "10s", "usage": { "cpu": "1" } });
    world
        .server
        .store()
        .load(vec![service("False"), metrics])
        .expect("objects");
    assert_eq!(
        send(&client, "GET", list, "")
            .await
            .expect_err("unavailable")
            .code,
        503
    );
    world
        .server
        .store()
        .load(vec![service("True")])
        .expect("objects");
    let answer = call(&client, "GET", list, Value::Null)
        .await
        .expect("metrics");
    assert_eq!(
        (&answer["kind"], &answer["items"][0]["usage"]["cpu"]),
        (&json!("NodeMetricsList"), &json!("1"))
    );
    let groups = call(&client, "GET", "/apis", Value::Null)
        .await
        .expect("groups");
    assert!(
        groups["groups"]
            .as_array()
            .expect("groups")
            .iter()
            .any(|g| g["name"] == "metrics.k8s.io")
    );
}

#[tokio::test]
async fn the_wire_disturbs_clients_and_not_actors() {
    let world = World::start().await;
    let (client, actor) = (world.admin().await, world.client("actor-token").await);
    let set = |disturbance: Disturbance| *world.wire.0.lock().expect("lock") = disturbance;
    set(Disturbance::Answer(429));
    let refused = send(&client, "GET", "/version", "")
        .await
        .expect_err("too many requests");
    assert_eq!(
        (
            refused.code,
            refused
                .details
                .as_ref()
                .expect("details")
                .retry_after_seconds
        ),
        (429, 1)
    );
    assert!(send(&actor, "GET", "/version", "").await.is_ok());
    set(Disturbance::Reset);
    let request = http::Request::get("/version")
        .body(Vec::new())
        .expect("request");
    assert!(matches!(
        client.request_text(request).await,
        Err(kube::Error::HyperError(_) | kube::Error::Service(_))
    ));
    set(Disturbance::Slow(Duration::from_millis(80)));
    let start = Instant::now();
    send(&client, "GET", "/version", "").await.expect("slow");
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn requests_are_recorded_with_what_they_asked() {
    let world = World::start().await;
    let (client, actor) = (world.admin().await, world.client("actor-token").await);
    call(
        &actor,
        "POST",
        "/api/v1/namespaces/default/configmaps",
        config_map("theirs", json!({})),
    )
    .await
    .expect("created");
    call(
        &client,
        "POST",
        "/api/v1/namespaces/default/configmaps?dryRun=All",
        config_map("m", json!({})),
    )
    .await
    .expect("dry run");
    call(
        &client,
        "POST",
        "/api/v1/namespaces/default/configmaps",
        config_map("m", json!({})),
    )
    .await
    .expect("created");
    call(
        &client,
        "DELETE",
        "/api/v1/namespaces/default/configmaps/m",
        json!({ "dryRun": ["All"] }),
    )
    .await
    .expect("dry run");
    send(&client, "GET", "/api/v1/pods?limit=5", "")
        .await
        .expect("listed");
    let seen: Vec<_> = world
        .server
        .requests()
        .into_iter()
        .map(|r| {
            (
                r.user.clone(),
                r.verb.clone(),
                r.resource.clone(),
                r.status,
                r.mutates(),
            )
        })
        .collect();
    let row = |verb: &str, resource: &str, status: u16, mutates: bool| {
        (
            "system:admin".to_owned(),
            verb.to_owned(),
            resource.to_owned(),
            status,
            mutates,
        )
    };
    assert_eq!(
        seen,
        [
            row("create", "configmaps", 201, false),
            row("create", "configmaps", 201, true),
            row("delete", "configmaps", 200, false),
            row("list", "pods", 200, false),
        ]
    );
}
