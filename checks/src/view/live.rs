//! The watch behind a live view.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api,
    api::{ApiResource, DynamicObject},
    runtime::{WatchStreamExt, utils::Backoff, watcher},
};
use tokio::sync::watch;

use super::{Inner, Object, PAGE, ReadError, Scope, Slot, View, slot::Content};
use crate::{
    cluster::{Meter, counted},
    kinds::Kind,
    pause::{self, Pause},
};

/// How often a kind is listed that may not be watched.
const LIST_AGAIN: Duration = Duration::from_secs(2);

/// Watches a kind from now on, if it is not watched yet.
pub(super) fn begin(view: &View, kind: &'static Kind, scope: &Scope, slot: &Arc<Slot>) {
    slot.watch_once(|| {
        let task = follow(
            Arc::downgrade(&view.inner),
            Arc::downgrade(slot),
            kind,
            scope.clone(),
        );
        // What a watch costs is counted for whoever was the first to look.
        match Meter::cause() {
            Some(cause) => tokio::spawn(Meter::count_for(cause, task)),
            None => tokio::spawn(task),
        }
        .abort_handle()
    });
}

/// Follows a kind until its slot is gone. Holds only weak references, so that a watch ends with its view.
async fn follow(inner: Weak<Inner>, weak: Weak<Slot>, kind: &'static Kind, scope: Scope) {
    let mut pauses = Pauses::default();
    let Some((api, changed)) = resolve(&inner, &weak, kind, &scope, &mut pauses).await else {
        return;
    };
    let mut config = watcher::Config::default()
        .timeout(290)
        .page_size(u32::try_from(PAGE).unwrap_or(500));
    if let Some(fields) = &scope.fields {
        config = config.fields(fields);
    }
    if let Some(labels) = &scope.labels {
        config = config.labels(labels);
    }
    let mut events = watcher(api, config).backoff(pauses).boxed();
    let mut objects: BTreeMap<(String, String), Object> = BTreeMap::new();
    let mut coming: BTreeMap<(String, String), Object> = BTreeMap::new();
    let mut number = 0;
    while let Some(event) = events.next().await {
        let Some(slot) = weak.upgrade() else { return };
        let whole = match event {
            Ok(watcher::Event::Init) => {
                coming.clear();
                false
            }
            Ok(watcher::Event::InitApply(object)) => {
                coming.insert(key(&object), Object::watched(&object));
                false
            }
            Ok(watcher::Event::InitDone) => {
                objects = std::mem::take(&mut coming);
                true
            }
            Ok(watcher::Event::Apply(object)) => {
                objects.insert(key(&object), Object::watched(&object));
                true
            }
            Ok(watcher::Event::Delete(object)) => {
                objects.remove(&key(&object));
                true
            }
            // Without a way to be told of changes, what was listed would stand for ever.
            Err(error) if may_not_watch(&error) => {
                tracing::debug!(
                    "{} may not be watched and is listed again and again",
                    kind.name()
                );
                drop(slot);
                return list_again(&inner, &weak, kind, &scope).await;
            }
            Err(error) => {
                let error = meaning(kind, &error);
                tracing::debug!("watch of {}: {error}", kind.name());
                let settled = matches!(
                    error,
                    ReadError::Forbidden { .. } | ReadError::NotServed { .. }
                );
                match slot.content() {
                    // What was known stays until something newer is: a watch that broke begins again by itself.
                    Content::Ready(..) => {}
                    _ if settled => slot.set(Content::Failed(error)),
                    _ => slot.set(Content::Pending(Some(error))),
                }
                false
            }
        };
        if whole {
            number += 1;
            slot.set(Content::Ready(
                number,
                Arc::new(objects.values().cloned().collect()),
            ));
            changed.send_modify(|count| *count += 1);
        }
    }
}

/// Whether the list was allowed and the watch is not.
fn may_not_watch(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 403)
}

/// Keeps a slot current by listing, until it is gone. What was known stays while a list fails.
async fn list_again(inner: &Weak<Inner>, slot: &Weak<Slot>, kind: &'static Kind, scope: &Scope) {
    let mut number = u64::MAX / 2;
    loop {
        tokio::time::sleep(pause::about(LIST_AGAIN)).await;
        let Some(inner) = inner.upgrade() else { return };
        let view = View { inner };
        let found = view.pages(kind, scope).await;
        let Some(slot) = slot.upgrade() else { return };
        let Ok(objects) = found else { continue };
        if matches!(slot.content(), Content::Ready(_, known) if *known == objects) {
            continue;
        }
        number += 1;
        slot.set(Content::Ready(number, Arc::new(objects)));
        view.inner.changed.send_modify(|count| *count += 1);
    }
}

/// Finds the version that is served, asking again while that cannot be told.
async fn resolve(
    inner: &Weak<Inner>,
    slot: &Weak<Slot>,
    kind: &'static Kind,
    scope: &Scope,
    pauses: &mut Pauses,
) -> Option<(Api<DynamicObject>, watch::Sender<u64>)> {
    loop {
        let view = View {
            inner: inner.upgrade()?,
        };
        let error = match view.version(kind).await {
            Ok(version) => {
                let resource = ApiResource {
                    group: kind.group.into(),
                    version: version.into(),
                    api_version: if kind.group.is_empty() {
                        version.into()
                    } else {
                        format!("{}/{version}", kind.group)
                    },
                    kind: kind.kind.into(),
                    plural: kind.plural.into(),
                };
                let client = view.inner.reader.streaming();
                let client = match Meter::cause() {
                    Some(cause) => counted(&client, &cause),
                    None => client,
                };
                let api = match &scope.namespace {
                    Some(namespace) => Api::namespaced_with(client, namespace, &resource),
                    None => Api::all_with(client, &resource),
                };
                return Some((api, view.inner.changed.clone()));
            }
            Err(error) => error,
        };
        {
            let slot = slot.upgrade()?;
            slot.set(match error {
                ReadError::NotServed { .. } | ReadError::Forbidden { .. } => Content::Failed(error),
                error => Content::Pending(Some(error)),
            });
        }
        drop(view);
        tokio::time::sleep(pauses.next().unwrap_or(Duration::from_secs(5))).await;
    }
}

fn key(object: &DynamicObject) -> (String, String) {
    (
        object.metadata.namespace.clone().unwrap_or_default(),
        object.metadata.name.clone().unwrap_or_default(),
    )
}

fn meaning(kind: &Kind, error: &watcher::Error) -> ReadError {
    let what = kind.name();
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => ReadError::from_kube(&what, error),
        watcher::Error::WatchError(status) => ReadError::Server {
            what,
            status: status.code,
            message: status.message.clone(),
        },
        watcher::Error::NoResourceVersion => ReadError::Malformed {
            what,
            message: "the list carries no resourceVersion".into(),
        },
    }
}

/// Pauses between attempts: 100 ms doubling to 5 s, half of each random. kube's own begin at 0.8 s and end at 30 s,
/// which would make a person wait for nothing after a short trouble.
struct Pauses(Pause);

impl Default for Pauses {
    fn default() -> Self {
        Self(Pause::new(
            Duration::from_millis(100),
            Duration::from_secs(5),
        ))
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.0.take())
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU64, Ordering},
    };

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::Node;
    use kube::{Client, client::Body};
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;
    use crate::{
        cluster::{Meter, Reader},
        kinds,
    };

    /// A cluster that lists nodes, one more each time, and answers a watch with 403.
    fn unwatchable() -> (View, Arc<AtomicU64>) {
        let lists = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&lists);
        let service = service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default();
            let (status, body) = if query.contains("watch=") {
                let forbidden = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                    "reason": "Forbidden", "message": "may not watch"});
                (403, forbidden)
            } else {
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let nodes: Vec<Value> = (0..number)
                    .map(|one| json!({"metadata": {"name": format!("k3s{one}")}}))
                    .collect();
                (
                    200,
                    json!({"metadata": {"resourceVersion": "1"}, "items": nodes}),
                )
            };
            let response = Response::builder()
                .status(status)
                .body(Body::from(body.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(response.unwrap()) }
        });
        let client = Client::new(service, "default");
        let reader = Reader::new(client.clone(), client, Meter::default());
        (View::live(reader), lists)
    }

    #[tokio::test]
    async fn what_may_be_listed_and_not_watched_is_listed_again() {
        let (view, lists) = unwatchable();
        let mut changes = view.changes();
        let nodes = view
            .list::<Node>(&kinds::NODES, Scope::all())
            .await
            .unwrap();
        assert_eq!(nodes.len(), 1);
        let patience = Duration::from_secs(30);
        let newer = async {
            while view
                .list::<Node>(&kinds::NODES, Scope::all())
                .await
                .unwrap()
                .len()
                < 2
            {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(patience, newer).await.unwrap();
        // It ends with its view.
        drop(view);
        let asked = lists.load(Ordering::SeqCst);
        tokio::time::sleep(LIST_AGAIN * 2).await;
        assert_eq!(lists.load(Ordering::SeqCst), asked);
    }
}
