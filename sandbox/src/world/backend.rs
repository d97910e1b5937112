//! What stands behind the API server: kubelets, Services, and the server's own health.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use serde_json::{Value, json};

use crate::api::{Backend, ProxyRequest, ProxyResponse, ServiceTarget};

use super::{
    engine::Shared,
    k3s,
    kinds::NODES,
    monitoring,
    scene::{Scene, Timers},
};

/// Answers for the machines and the Services of a world.
pub(crate) struct Behind {
    shared: Arc<Shared>,
}

impl Behind {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

/// Looks at the world as it is now.
pub(crate) fn look<T>(shared: &Shared, ask: impl FnOnce(&Scene<'_>) -> T) -> T {
    let timers = Timers::default();
    ask(&Scene {
        mirror: &shared.mirror,
        cast: &shared.cast,
        pace: shared.pace,
        faults: &shared.faults,
        timers: &timers,
    })
}

pub(crate) fn plain(status: u16, body: &str) -> ProxyResponse {
    ProxyResponse {
        status,
        content_type: "text/plain; charset=utf-8".into(),
        body: body.as_bytes().to_vec(),
    }
}

pub(crate) fn answer(body: &Value) -> ProxyResponse {
    ProxyResponse {
        status: 200,
        content_type: "application/json".into(),
        body: body.to_string().into_bytes(),
    }
}

impl Backend for Behind {
    fn node_proxy(&self, node: String, request: ProxyRequest) -> BoxFuture<'static, ProxyResponse> {
        let response = look(&self.shared, |scene| kubelet(scene, &node, &request));
        async move { response }.boxed()
    }

    fn service_proxy(
        &self,
        target: ServiceTarget,
        request: ProxyRequest,
    ) -> BoxFuture<'static, ProxyResponse> {
        let response = look(&self.shared, |scene| {
            monitoring::serve(scene, &target, &request)
        });
        async move { response }.boxed()
    }

    fn health(&self) -> Vec<(String, Result<(), String>)> {
        let faults = &self.shared.faults;
        let check = |name: &str, broken: bool, why: &str| {
            (
                name.to_owned(),
                if broken { Err(why.to_owned()) } else { Ok(()) },
            )
        };
        let datastore = faults.on("datastore-unhealthy");
        vec![
            check("ping", false, ""),
            check("log", false, ""),
            check(
                "etcd",
                faults.on("datastore-lost"),
                "error getting data from datastore: context deadline exceeded",
            ),
            check(
                "etcd-readiness",
                datastore || faults.on("datastore-lost"),
                "error getting data from datastore: context deadline exceeded",
            ),
            check(
                "informer-sync",
                faults.on("apiserver-not-ready"),
                "8 informers not started yet: [*v1.Pod *v1.Node]",
            ),
            check("poststarthook/start-apiextensions-controllers", false, ""),
            check("poststarthook/crd-informer-synced", false, ""),
            check("poststarthook/rbac/bootstrap-roles", false, ""),
            check(
                "poststarthook/apiservice-registration-controller",
                false,
                "",
            ),
            check("shutdown", false, ""),
        ]
    }
}

/// The kubelet's own HTTP endpoints, over the supervisor's tunnel.
pub(crate) fn kubelet(scene: &Scene<'_>, node: &str, request: &ProxyRequest) -> ProxyResponse {
    let new = node == scene.cast.node;
    if new && (scene.fault("kubelet-tunnel-broken") || scene.fault("node-unreachable")) {
        let address = scene
            .cast
            .address(node)
            .map(|ip| ip.to_string())
            .unwrap_or_default();
        let why = format!(
            "error trying to reach service: dial tcp {address}:10250: connect: connection refused"
        );
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": why,
            "reason": "ServiceUnavailable", "code": 503,
        });
        return ProxyResponse {
            status: 503,
            ..answer(&status)
        };
    }
    if scene.get(&NODES, "", node).is_none() {
        return plain(502, "no such node");
    }
    match request.path.as_str() {
        "/healthz" | "/healthz/ping" => plain(200, "ok"),
        "/configz" => answer(&json!({"kubeletconfig": {
            "authentication": {
                "anonymous": {"enabled": new && scene.fault("kubelet-anonymous")},
                "webhook": {"enabled": true, "cacheTTL": "2m0s"},
                "x509": {"clientCAFile": "/var/lib/rancher/k3s/agent/client-ca.crt"},
            },
            "authorization": {"mode": if new && scene.fault("kubelet-anonymous") { "AlwaysAllow" } else { "Webhook" }},
            "readOnlyPort": 0, "port": 10250, "clusterDNS": [super::cast::DNS_ADDRESS], "clusterDomain": "cluster.local",
            "maxPods": 110, "cgroupDriver": "systemd", "rotateCertificates": false,
        }})),
        "/metrics" => plain(200, &metrics(scene, node)),
        "/stats/summary" => answer(&json!({"node": {"nodeName": node}, "pods": []})),
        _ => plain(404, "404 page not found\n"),
    }
}

/// The one registry of a k3s process: kubelet and kube-proxy together.
fn metrics(scene: &Scene<'_>, node: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let version = k3s::kubelet_version(scene, node);
    let pods = scene
        .list(&super::kinds::PODS)
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == node)
        .count();
    let mut text = format!(
        "# TYPE kubelet_node_name gauge\nkubelet_node_name{{node=\"{node}\"}} 1\n\
         # TYPE kubelet_running_pods gauge\nkubelet_running_pods {pods}\n\
         # TYPE kubernetes_build_info gauge\nkubernetes_build_info{{git_version=\"{version}\"}} 1\n"
    );
    if !(node == scene.cast.node && scene.fault("kube-proxy-stuck")) {
        text.push_str(&format!(
            "# TYPE kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds gauge\n\
             kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds {}\n\
             # TYPE kubeproxy_sync_proxy_rules_last_timestamp_seconds gauge\n\
             kubeproxy_sync_proxy_rules_last_timestamp_seconds {}\n",
            now - 12,
            now - 11,
        ));
    }
    if node == scene.cast.control_plane {
        text.push_str(
            "# TYPE apiserver_audit_event_total counter\napiserver_audit_event_total 48211\n",
        );
    }
    text
}
