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
use serde_json::Value;
use tokio::sync::watch;

use super::{Inner, PAGE, ReadError, Scope, Slot, View, slot::Content};
use crate::kinds::Kind;

/// Watches a kind from now on, if it is not watched yet.
pub(super) fn begin(view: &View, kind: &'static Kind, scope: &Scope, slot: &Arc<Slot>) {
    slot.watch_once(|| {
        let task = follow(
            Arc::downgrade(&view.inner),
            Arc::downgrade(slot),
            kind,
            scope.clone(),
        );
        tokio::spawn(task).abort_handle()
    });
}

/// Follows a kind until its slot is gone. Holds only weak references, so that a watch ends with its view.
async fn follow(inner: Weak<Inner>, slot: Weak<Slot>, kind: &'static Kind, scope: Scope) {
    let mut pauses = Pauses::default();
    let Some((api, changed)) = resolve(&inner, &slot, kind, &scope, &mut pauses).await else {
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
    let mut objects: BTreeMap<(String, String), Value> = BTreeMap::new();
    let mut coming: BTreeMap<(String, String), Value> = BTreeMap::new();
    let mut number = 0;
    while let Some(event) = events.next().await {
        let Some(slot) = slot.upgrade() else { return };
        let whole = match event {
            Ok(watcher::Event::Init) => {
                coming.clear();
                false
            }
            Ok(watcher::Event::InitApply(object)) => {
                coming.insert(key(&object), value(&object));
                false
            }
            Ok(watcher::Event::InitDone) => {
                objects = std::mem::take(&mut coming);
                true
            }
            Ok(watcher::Event::Apply(object)) => {
                objects.insert(key(&object), value(&object));
                true
            }
            Ok(watcher::Event::Delete(object)) => {
                objects.remove(&key(&object));
                true
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

fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
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
struct Pauses {
    next: Duration,
}

impl Pauses {
    const FIRST: Duration = Duration::from_millis(100);
    const LAST: Duration = Duration::from_secs(5);
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: Self::FIRST }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next;
        self.next = (self.next * 2).min(Self::LAST);
        Some(pause / 2 + pause.mul_f64(fastrand::f64() / 2.0))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}
