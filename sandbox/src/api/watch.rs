//! Watches: what has changed since a revision, as it changes.

use std::{sync::Arc, time::Duration};

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    call::Call,
    form::{Form, Include, Out, bytes, in_version},
    listing::TooOld,
    read::Selection,
    refusal::Refusal,
    resource::Resource,
    store::{Change, Store},
    table,
};

/// How often a bookmark tells how far the watch has come.
const BOOKMARK: Duration = Duration::from_secs(10);

/// A watch that has been accepted.
pub(crate) struct Watch {
    store: Arc<Store>,
    resource: Arc<Resource>,
    version: String,
    namespace: String,
    selection: Selection,
    form: Form,
    bookmarks: bool,
    /// Where it begins: after a revision, or with everything that is there.
    from: Option<u64>,
    /// Whether the end of the first events is told.
    tell_end: bool,
    deadline: Instant,
    /// Whether a Table has told its columns.
    columns_told: bool,
    out: mpsc::Sender<Bytes>,
}

impl Watch {
    /// Reads the parameters of a watch.
    pub(crate) fn new(
        store: Arc<Store>,
        resource: Arc<Resource>,
        call: &Call,
        out: mpsc::Sender<Bytes>,
    ) -> Result<Self, Refusal> {
        let selection = Selection::of(call, &resource)?;
        let initial = call.query.flag("sendInitialEvents");
        let revision = call.query.get("resourceVersion");
        let from = match revision {
            None | Some("0") => None,
            Some(_) if initial => None,
            Some(text) => Some(text.parse::<u64>().map_err(|_| {
                Refusal::unexpected(format!(
                    "resourceVersion: Invalid value: \"{text}\": {}",
                    super::accept::unreadable(text)
                ))
            })?),
        };
        let suppressed = call.query.get("sendInitialEvents") == Some("false");
        let seconds = call
            .query
            .get("timeoutSeconds")
            .and_then(|t| t.parse().ok())
            .filter(|t| *t > 0);
        let seconds: u64 = seconds.unwrap_or_else(|| fastrand::u64(1800..3600));
        let from = if suppressed && from.is_none() {
            Some(store.revision())
        } else {
            from
        };
        Ok(Self {
            version: call.version.clone(),
            namespace: call.namespace.clone(),
            selection,
            form: Form::of(call),
            bookmarks: call.query.flag("allowWatchBookmarks"),
            from,
            tell_end: initial,
            deadline: Instant::now() + Duration::from_secs(seconds),
            columns_told: false,
            store,
            resource,
            out,
        })
    }

    /// Tells until the client goes, the time is over or the server ends.
    pub(crate) async fn run(mut self, mut ending: watch::Receiver<bool>) {
        let mut wake = self.store.subscribe(&self.resource);
        let mut after = match self.from {
            Some(revision) => revision,
            None => match self.begin().await {
                Some(revision) => revision,
                None => return,
            },
        };
        let mut next_bookmark = Instant::now() + BOOKMARK;
        loop {
            wake.mark_unchanged();
            match self.store.changes(&self.resource, after) {
                Err(TooOld { oldest }) => {
                    let refusal =
                        Refusal::expired(format!("too old resource version: {after} ({oldest})"));
                    self.send("ERROR", &refusal.to_status()).await;
                    return;
                }
                Ok((changes, upto)) => {
                    let full = changes.len() == 500;
                    for change in changes {
                        if !self.tell(&change).await {
                            return;
                        }
                    }
                    after = after.max(upto);
                    if full {
                        continue;
                    }
                }
            }
            tokio::select! {
                changed = wake.changed() => if changed.is_err() { return },
                () = self.out.closed() => return,
                _ = ending.changed() => return,
                () = tokio::time::sleep_until(next_bookmark.min(self.deadline)) => {
                    if self.bookmarks && !self.bookmark(after, false).await {
                        return;
                    }
                    if Instant::now() >= self.deadline {
                        return;
                    }
                    next_bookmark = Instant::now() + BOOKMARK;
                }
            }
        }
    }

    async fn begin(&mut self) -> Option<u64> {
        let selection = self.selection.clone();
        let listing = self
            .store
            .list(&self.resource, &self.namespace, None, None, 0, &move |o| {
                selection.matches(o)
            })
            .ok()?;
        for object in &listing.items {
            if !self.event("ADDED", object).await {
                return None;
            }
        }
        if self.tell_end && self.bookmarks && !self.bookmark(listing.revision, true).await {
            return None;
        }
        Some(listing.revision)
    }

    async fn tell(&mut self, change: &Change) -> bool {
        if !self.namespace.is_empty() && change.key.0 != self.namespace {
            return true;
        }
        let before = change.old.as_ref().filter(|o| self.selection.matches(o));
        let after = change.new.as_ref().filter(|o| self.selection.matches(o));
        match (before, after) {
            (None, None) => true,
            (None, Some(new)) => self.event("ADDED", new).await,
            (Some(_), Some(new)) => self.event("MODIFIED", new).await,
            (Some(old), None) => {
                // What leaves the selection is told as it was, at the revision of the change.
                let mut last = (**old).clone();
                last["metadata"]["resourceVersion"] = change.revision.to_string().into();
                self.event("DELETED", &last).await
            }
        }
    }

    async fn event(&mut self, kind: &str, object: &Value) -> bool {
        match self.form {
            Form::Object => {
                let converted = in_version(&self.resource, object);
                let api_version = self.resource.api_version(&self.version);
                let out = Out {
                    object: &converted,
                    api_version: &api_version,
                    typed: true,
                };
                let line = line(kind, &out);
                self.out.send(line).await.is_ok()
            }
            Form::Metadata => {
                let value = json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] });
                self.send(kind, &value).await
            }
            Form::Table(include) => {
                let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
                let columns = !std::mem::replace(&mut self.columns_told, true);
                let table = table::render(
                    &self.resource,
                    &self.version,
                    &[object],
                    include,
                    metadata,
                    columns,
                );
                self.send(kind, &table).await
            }
        }
    }

    async fn bookmark(&mut self, revision: u64, end: bool) -> bool {
        let mut metadata =
            json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
        if end {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let object = json!({ "kind": self.resource.kind, "apiVersion": self.resource.api_version(&self.version), "metadata": metadata });
        match self.form {
            Form::Table(_) => {
                let table = table::render(
                    &self.resource,
                    &self.version,
                    &[&object],
                    Include::Metadata,
                    json!({ "resourceVersion": revision.to_string() }),
                    false,
                );
                self.send("BOOKMARK", &table).await
            }
            _ => self.send("BOOKMARK", &object).await,
        }
    }

    async fn send(&self, kind: &str, object: &Value) -> bool {
        self.out.send(line(kind, object)).await.is_ok()
    }
}

fn line(kind: &str, object: &impl serde::Serialize) -> Bytes {
    #[derive(serde::Serialize)]
    struct Event<'a, T> {
        r#type: &'a str,
        object: &'a T,
    }
    let mut line = bytes(&Event {
        r#type: kind,
        object,
    });
    line.push(b'\n');
    line.into()
}
