//! How a change reaches the API: one request each, and what came back is in the mirror at once.

use std::sync::Arc;

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use super::{
    kinds::{self, PODS, Res},
    make::{name, namespace, text},
    mirror::Mirror,
    scene::{Change, Timers},
};

/// Writes for one actor.
#[derive(Clone)]
pub(crate) struct Hand {
    client: Client,
    mirror: Arc<Mirror>,
}

impl Hand {
    pub(crate) fn new(client: Client, mirror: Arc<Mirror>) -> Self {
        Self { client, mirror }
    }

    /// Does one change. What the API refuses is left to the next look, which sees why by itself.
    pub(crate) async fn apply(&self, change: Change, timers: &Timers) {
        let (about, result) = match change {
            Change::Create(object) => {
                let about = format!("create {}/{}", text(&object["kind"]), name(&object));
                let Some(res) = kinds::of(&object) else {
                    return;
                };
                (
                    about,
                    self.send(
                        Method::POST,
                        res.collection(namespace(&object)),
                        "application/json",
                        object,
                    )
                    .await,
                )
            }
            Change::Patch {
                res,
                namespace,
                name,
                status,
                patch,
            } => {
                let path = res.object(&namespace, &name) + if status { "/status" } else { "" };
                let about = format!("patch {path}");
                (
                    about,
                    self.send(Method::PATCH, path, "application/merge-patch+json", patch)
                        .await,
                )
            }
            Change::Apply { manager, object } => {
                let about = format!("apply {}/{}", text(&object["kind"]), name(&object));
                let result = self.server_side_apply(manager, &object).await;
                timers.note_apply(&object, result.as_ref().err().map(ToString::to_string));
                (about, result)
            }
            Change::Bind {
                namespace,
                name,
                node,
            } => {
                let path = format!("{}/binding", PODS.object(&namespace, &name));
                let body = json!({
                    "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "namespace": namespace},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": node},
                });
                let about = format!("bind {namespace}/{name}");
                (
                    about,
                    self.send(Method::POST, path, "application/json", body)
                        .await,
                )
            }
            Change::Finalize(name) => {
                let path = format!("/api/v1/namespaces/{name}/finalize");
                let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "spec": {"finalizers": []}});
                (
                    format!("finalize {name}"),
                    self.send(Method::PUT, path, "application/json", body).await,
                )
            }
            Change::Delete {
                res,
                namespace,
                name,
                uid,
                now,
            } => {
                let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
                if !uid.is_empty() {
                    options["preconditions"] = json!({"uid": uid});
                }
                if now {
                    options["gracePeriodSeconds"] = 0.into();
                }
                let path = res.object(&namespace, &name);
                let about = format!("delete {path}");
                (
                    about,
                    self.send(Method::DELETE, path, "application/json", options)
                        .await,
                )
            }
        };
        match result {
            Ok(answer) if kinds::of(&answer).is_some() => self.mirror.put(answer),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, about, "refused"),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: String,
        content_type: &str,
        body: Value,
    ) -> Result<Value, kube::Error> {
        let deletes = method == Method::DELETE;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, content_type)
            .body(serde_json::to_vec(&body).map_err(kube::Error::SerdeError)?)
            .map_err(kube::Error::HttpError)?;
        let answer: Value = self.client.request(request).await?;
        let meta = &answer["metadata"];
        let lingers = !super::make::items(&meta["finalizers"]).is_empty()
            || meta["deletionGracePeriodSeconds"]
                .as_u64()
                .is_some_and(|seconds| seconds > 0);
        if deletes && answer["kind"] != "Status" && !lingers {
            // Gone: the answer is its last state.
            self.mirror.remove(&answer);
            return Ok(Value::Null);
        }
        Ok(answer)
    }

    async fn server_side_apply(&self, manager: &str, object: &Value) -> Result<Value, kube::Error> {
        let api_version = text(&object["apiVersion"]);
        let collection = match kinds::of(object) {
            Some(res) => res.collection(namespace(object)),
            None => {
                let plural = self.plural(api_version, text(&object["kind"])).await?;
                kinds::collection(api_version, &plural, namespace(object))
            }
        };
        let path = format!(
            "{collection}/{}?fieldManager={manager}&force=true",
            name(object)
        );
        self.send(
            Method::PATCH,
            path,
            "application/apply-patch+yaml",
            object.clone(),
        )
        .await
    }

    /// Asks the server how it spells a kind.
    async fn plural(&self, api_version: &str, kind: &str) -> Result<String, kube::Error> {
        let root = if api_version.contains('/') {
            "apis"
        } else {
            "api"
        };
        let request = Request::get(format!("/{root}/{api_version}"))
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        let list: Value = self.client.request(request).await?;
        let found = super::make::items(&list["resources"])
            .iter()
            .find(|it| it["kind"] == kind && !text(&it["name"]).contains('/'))
            .map(|it| text(&it["name"]).to_owned());
        Ok(found.unwrap_or_else(|| format!("{}s", kind.to_lowercase())))
    }
}

/// Follows every object of a kind for as long as it is polled.
pub(crate) async fn follow(
    client: Client,
    mirror: Arc<Mirror>,
    res: &'static Res,
    mut revision: String,
) {
    let api: kube::Api<kube::core::DynamicObject> =
        kube::Api::all_with(client.clone(), &res.api_resource());
    loop {
        if revision.is_empty() {
            match list(&client, res).await {
                Ok((objects, at)) => {
                    mirror.replace(res, objects);
                    revision = at;
                }
                Err(error) => {
                    tracing::debug!(%error, kind = res.kind, "cannot be listed yet");
                    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                    continue;
                }
            }
        }
        revision = watch(&api, &mirror, &revision).await.unwrap_or_default();
        // A watch that ends at once must not spin.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

pub(crate) async fn list(client: &Client, res: &Res) -> Result<(Vec<Value>, String), kube::Error> {
    let request = Request::get(res.collection(""))
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    let mut list: Value = client.request(request).await?;
    let mut objects = match list["items"].take() {
        Value::Array(objects) => objects,
        _ => Vec::new(),
    };
    for object in &mut objects {
        object["apiVersion"] = res.api_version().into();
        object["kind"] = res.kind.into();
    }
    Ok((
        objects,
        text(&list["metadata"]["resourceVersion"]).to_owned(),
    ))
}

/// Watches until the stream ends; the revision to go on from, or nothing when a fresh list is needed.
async fn watch(
    api: &kube::Api<kube::core::DynamicObject>,
    mirror: &Mirror,
    from: &str,
) -> Option<String> {
    use futures::StreamExt as _;
    use kube::core::WatchEvent;
    let params = kube::api::WatchParams::default().timeout(290);
    let mut events = Box::pin(api.watch(&params, from).await.ok()?);
    let mut revision = from.to_owned();
    while let Some(event) = events.next().await {
        let (object, gone) = match event.ok()? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(bookmark) => {
                revision.clone_from(&bookmark.metadata.resource_version);
                continue;
            }
            WatchEvent::Error(_) => return None,
        };
        if let Some(at) = &object.metadata.resource_version {
            revision.clone_from(at);
        }
        let object = serde_json::to_value(&object).ok()?;
        if gone {
            mirror.remove(&object)
        } else {
            mirror.put(object)
        }
    }
    Some(revision)
}
