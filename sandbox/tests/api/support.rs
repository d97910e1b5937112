//! A server for one test, and clients for it.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use futures::{FutureExt as _, future::BoxFuture};
use kube::{Client, Config, config::Kubeconfig, core::Status};
use sandbox::api::{
    ApiOptions, ApiServer, Backend, Disturbance, ProxyRequest, ProxyResponse, ServiceTarget, Tls,
    Transport,
};
use serde_json::{Value, json};

/// Kubelets and Services that say what they were asked, and health that can be broken.
#[derive(Default)]
pub(crate) struct Behind {
    pub(crate) broken: Mutex<Option<String>>,
}

impl Backend for Behind {
    fn node_proxy(&self, node: String, request: ProxyRequest) -> BoxFuture<'static, ProxyResponse> {
        answer(format!("{node} {} {}", request.method, request.path))
    }

    fn service_proxy(
        &self,
        target: ServiceTarget,
        request: ProxyRequest,
    ) -> BoxFuture<'static, ProxyResponse> {
        answer(format!(
            "{}/{}:{} {} {:?}",
            target.namespace, target.name, target.port, request.path, request.query
        ))
    }

    fn health(&self) -> Vec<(String, Result<(), String>)> {
        let broken = self.broken.lock().expect("lock").clone();
        ["ping", "etcd", "log"]
            .iter()
            .map(|name| {
                (
                    (*name).to_owned(),
                    if broken.as_deref() == Some(name) {
                        Err("broken".to_owned())
                    } else {
                        Ok(())
                    },
                )
            })
            .collect()
    }
}

fn answer(text: String) -> BoxFuture<'static, ProxyResponse> {
    async move {
        ProxyResponse {
            status: 200,
            content_type: "text/plain".into(),
            body: text.into_bytes(),
        }
    }
    .boxed()
}

/// A wire that does to every request what the test says.
pub(crate) struct Wire(pub(crate) Mutex<Disturbance>);

impl Transport for Wire {
    fn disturb(&self, _method: &str, _path: &str) -> Disturbance {
        self.0.lock().expect("lock").clone()
    }
}

/// A running server with what stands behind it.
pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) behind: Arc<Behind>,
    pub(crate) wire: Arc<Wire>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Vec::new()).await
    }

    pub(crate) async fn with(objects: Vec<Value>) -> Self {
        let address: IpAddr = [127, 0, 0, 1].into();
        let behind = Arc::new(Behind::default());
        let wire = Arc::new(Wire(Mutex::new(Disturbance::None)));
        let server = ApiServer::start(ApiOptions {
            listen: vec![(address, 0).into()],
            tls: Tls::generate(&[address], &["kubernetes"]).expect("certificate"),
            version: "v1.36.2+k3s1".into(),
            backend: behind.clone(),
            transport: wire.clone(),
            objects,
            record: None,
            actor_token: "actor-token".into(),
            admin_token: "admin-token".into(),
        })
        .await
        .expect("server");
        server.add_user("eve-token", "eve", &["team"]);
        Self {
            server,
            behind,
            wire,
        }
    }

    pub(crate) async fn client(&self, token: &str) -> Client {
        self.client_as(token, |_| {}).await
    }

    pub(crate) async fn client_as(&self, token: &str, change: impl FnOnce(&mut Config)) -> Client {
        let text = self.server.kubeconfig("sandbox", "user", token);
        let kubeconfig: Kubeconfig = serde_json::from_str(&text).expect("kubeconfig");
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &Default::default())
            .await
            .expect("config");
        config.default_retry = false;
        config.default_namespace = "default".into();
        if token.is_empty() {
            config.auth_info.token = None;
        }
        change(&mut config);
        Client::try_from(config).expect("client")
    }

    pub(crate) async fn admin(&self) -> Client {
        self.client("admin-token").await
    }
}

/// Sends a request as it is; the answer's text, or the `Status` that refused it.
pub(crate) async fn send(
    client: &Client,
    method: &str,
    path: &str,
    body: &str,
) -> Result<String, Box<Status>> {
    send_as(client, method, path, "application/json", body).await
}

pub(crate) async fn send_as(
    client: &Client,
    method: &str,
    path: &str,
    media: &str,
    body: &str,
) -> Result<String, Box<Status>> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media);
    let request = request.body(body.as_bytes().to_vec()).expect("request");
    match client.request_text(request).await {
        Ok(text) => Ok(text),
        Err(kube::Error::Api(status)) => Err(status),
        Err(other) => panic!("{method} {path}: {other}"),
    }
}

/// The same, with JSON on both sides.
pub(crate) async fn call(
    client: &Client,
    method: &str,
    path: &str,
    body: Value,
) -> Result<Value, Box<Status>> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    send(client, method, path, &body)
        .await
        .map(|text| serde_json::from_str(&text).expect("JSON"))
}

pub(crate) fn config_map(name: &str, labels: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": labels }, "data": { "a": "1" } })
}

pub(crate) fn pod(name: &str, node: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default", "labels": { "app": name } },
        "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "img:1" }] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } })
}

pub(crate) fn widgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "widgets.example.com" },
        "spec": { "group": "example.com", "scope": "Namespaced",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"] },
            "versions": [
                { "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                  "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                      "spec": { "type": "object", "required": ["size"], "properties": { "size": { "type": "integer" }, "mode": { "type": "string", "default": "slow" } } },
                      "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } } },
                  "additionalPrinterColumns": [{ "name": "Size", "type": "integer", "jsonPath": ".spec.size" }] },
                { "name": "v1beta1", "served": true, "storage": false, "subresources": { "status": {} },
                  "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } },
            ] },
    })
}
