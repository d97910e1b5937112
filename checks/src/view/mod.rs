//! Reading the cluster: each kind is asked for once and the answer shared.
//!
//! A *snapshot* view lists a kind on first use, in pages, and keeps the answer: every check of a group sees the same
//! cluster. A *live* view watches a kind from first use on and always has the newest state: waits use it, so that a
//! wait costs one list and one watch for each kind, however long it lasts and however many checks look.

mod error;
#[cfg(test)]
mod every_kind;
mod live;
mod object;
mod slot;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Method;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::sync::{OnceCell, watch};

pub use error::ReadError;
use object::Object;
use slot::Slot;

use crate::{
    cluster::{Asked, Meter, Raw, Reader},
    kinds::Kind,
};

/// Objects a page.
const PAGE: usize = 500;
/// How often a list begins anew because its pages expired (410).
const RESTARTS: u32 = 3;

/// Which objects of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    namespace: Option<String>,
    fields: Option<String>,
    labels: Option<String>,
}

impl Scope {
    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of one namespace.
    #[must_use]
    pub fn namespace(name: impl Into<String>) -> Self {
        Self {
            namespace: Some(name.into()),
            ..Self::default()
        }
    }

    /// Pods bound to one node.
    #[must_use]
    pub fn on_node(node: &str) -> Self {
        Self::default().fields(format!("spec.nodeName={node}"))
    }

    /// Only those that a field selector selects.
    #[must_use]
    pub fn fields(mut self, selector: impl Into<String>) -> Self {
        self.fields = Some(selector.into());
        self
    }

    fn asked(&self, verb: &str, kind: &Kind, name: &str) -> Asked {
        Asked {
            verb: verb.to_owned(),
            group: kind.group.to_owned(),
            resource: kind.plural.to_owned(),
            namespace: self.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
            path: false,
        }
    }

    /// Only those that a label selector selects.
    #[must_use]
    pub fn labels(mut self, selector: impl Into<String>) -> Self {
        self.labels = Some(selector.into());
        self
    }
}

/// The cluster as the checks of one group see it. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct View {
    inner: Arc<Inner>,
}

struct Inner {
    reader: Reader,
    live: bool,
    slots: Mutex<HashMap<(&'static Kind, Scope), Arc<Slot>>>,
    raws: Mutex<HashMap<String, Arc<RawSlot>>>,
    generation: AtomicU64,
    groups: OnceCell<HashMap<String, Vec<String>>>,
    changed: watch::Sender<u64>,
}

/// An answer that cannot be watched, and the generation in which it was asked for.
#[derive(Default)]
struct RawSlot(tokio::sync::Mutex<Option<Answered>>);

type Answered = (u64, Result<Arc<Raw>, ReadError>);

impl View {
    /// A view that lists a kind once and keeps the answer.
    #[must_use]
    pub fn snapshot(reader: Reader) -> Self {
        Self::new(reader, false)
    }

    /// A view that watches what it is asked for. Its watches end with its last clone.
    #[must_use]
    pub fn live(reader: Reader) -> Self {
        Self::new(reader, true)
    }

    /// A snapshot of the same cluster that has read nothing yet.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::snapshot(self.reader().clone())
    }

    fn new(reader: Reader, live: bool) -> Self {
        let inner = Inner {
            reader,
            live,
            slots: Mutex::default(),
            raws: Mutex::default(),
            generation: AtomicU64::new(0),
            groups: OnceCell::new(),
            changed: watch::Sender::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Whether this view watches.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.inner.live
    }

    /// The reader underneath, for what is not a list of objects.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    /// Raised whenever something that is watched has changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Forgets the answers that cannot be watched, so that they are asked for again.
    pub fn forget_unwatched(&self) {
        self.inner.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// All objects of a kind in a scope.
    ///
    /// # Errors
    /// See [`ReadError`]; one object that cannot be read as `T` makes the list malformed, and the error names it.
    pub async fn list<T>(&self, kind: &'static Kind, scope: Scope) -> Result<Arc<Vec<T>>, ReadError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        Meter::note(scope.asked("list", kind, ""));
        self.listed(kind, scope).await
    }

    async fn listed<T>(&self, kind: &'static Kind, scope: Scope) -> Result<Arc<Vec<T>>, ReadError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let slot = self.slot(kind, &scope);
        if self.inner.live {
            live::begin(self, kind, &scope, &slot);
            let what = kind.name();
            slot.typed_when_ready(&what, Duration::from_secs(40)).await
        } else {
            slot.load(self.pages(kind, &scope)).await;
            slot.typed(&kind.name())
        }
    }

    /// One object.
    ///
    /// # Errors
    /// [`ReadError::Absent`] when it does not exist; otherwise see [`ReadError`].
    pub async fn get<T>(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Arc<T>, ReadError>
    where
        T: DeserializeOwned + Send + Sync + Clone + 'static,
    {
        let scope = Scope {
            namespace: kind.namespaced.then(|| namespace.to_owned()),
            fields: Some(format!("metadata.name={name}")),
            labels: None,
        };
        Meter::note(scope.asked("get", kind, name));
        let found = if self.inner.live {
            self.listed::<T>(kind, scope).await?
        } else {
            let slot = self.slot(kind, &scope);
            slot.load(self.single(kind, &scope, name)).await;
            slot.typed(&kind.name())?
        };
        found
            .first()
            .map(|one| Arc::new(one.clone()))
            .ok_or_else(|| {
                let place = if kind.namespaced {
                    format!(" in namespace {namespace}")
                } else {
                    String::new()
                };
                ReadError::Absent {
                    what: format!("{} {name}{place}", kind.name()),
                }
            })
    }

    /// One object, or nothing when it does not exist.
    ///
    /// # Errors
    /// As [`View::get`], without absence. A kind that is not served stays an error.
    pub async fn find<T>(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<T>>, ReadError>
    where
        T: DeserializeOwned + Send + Sync + Clone + 'static,
    {
        match self.get(kind, namespace, name).await {
            Ok(found) => Ok(Some(found)),
            Err(ReadError::Absent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// GET on a path that is no object, such as `/readyz?verbose`, shared like a list. An error status of the
    /// component is an answer here: look at [`Raw::status`].
    ///
    /// # Errors
    /// Forbidden, unreachable, timed out.
    pub async fn raw(&self, path: &str) -> Result<Arc<Raw>, ReadError> {
        Meter::note(Asked::of(&Method::GET, path));
        let slot = Arc::clone(
            self.lock(&self.inner.raws)
                .entry(path.to_owned())
                .or_default(),
        );
        let generation = self.inner.generation.load(Ordering::Acquire);
        let mut held = slot.0.lock().await;
        if let Some((asked, answer)) = held.as_ref()
            && (*asked == generation || !self.inner.live)
        {
            return answer.clone();
        }
        let answer = self.inner.reader.get_any(path).await.map(Arc::new);
        *held = Some((generation, answer.clone()));
        answer
    }

    /// GET through the kubelet of a node: `/healthz`, `/metrics`, `/configz`. Needs `get nodes/proxy`.
    ///
    /// # Errors
    /// As [`View::raw`].
    pub async fn node_proxy(&self, node: &str, path: &str) -> Result<Arc<Raw>, ReadError> {
        self.raw(&format!("/api/v1/nodes/{node}/proxy{path}")).await
    }

    /// GET through a Service: `target` is `[scheme:]name[:port]`, `path` has its query encoded. Needs
    /// `get services/proxy`.
    ///
    /// # Errors
    /// As [`View::raw`].
    pub async fn service_proxy(
        &self,
        namespace: &str,
        target: &str,
        path: &str,
    ) -> Result<Arc<Raw>, ReadError> {
        self.raw(&format!(
            "/api/v1/namespaces/{namespace}/services/{target}/proxy{path}"
        ))
        .await
    }

    /// Asks a review: a question that creates nothing. Not shared.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn review<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, ReadError> {
        Meter::note(Asked::of(&Method::POST, path));
        self.inner.reader.review(path, question).await
    }

    /// Which versions of a group the cluster serves; empty when it does not know the group. One request a view.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn served(&self, group: &str) -> Result<Vec<String>, ReadError> {
        #[derive(Deserialize)]
        struct Groups {
            groups: Vec<Group>,
        }
        #[derive(Deserialize)]
        struct Group {
            name: String,
            versions: Vec<Version>,
        }
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let known = self
            .inner
            .groups
            .get_or_try_init(|| async {
                let answer: Groups = self.inner.reader.json("/apis").await?;
                Ok(answer
                    .groups
                    .into_iter()
                    .map(|group| {
                        (
                            group.name,
                            group.versions.into_iter().map(|one| one.version).collect(),
                        )
                    })
                    .collect())
            })
            .await?;
        Ok(known.get(group).cloned().unwrap_or_default())
    }

    /// The version of a kind to read: the best that both sides know.
    pub(crate) async fn version(&self, kind: &'static Kind) -> Result<&'static str, ReadError> {
        let [best, others @ ..] = kind.versions else {
            return Err(ReadError::NotServed { what: kind.name() });
        };
        if others.is_empty() {
            return Ok(best);
        }
        let served = self.served(kind.group).await?;
        kind.versions
            .iter()
            .find(|version| served.iter().any(|one| one == *version))
            .copied()
            .ok_or_else(|| ReadError::NotServed { what: kind.name() })
    }

    /// The path of one object, in the version that is read.
    ///
    /// # Errors
    /// The kind is not served, or that cannot be told.
    pub async fn object_path(
        &self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
    ) -> Result<String, ReadError> {
        let scope = if kind.namespaced {
            Scope::namespace(namespace)
        } else {
            Scope::all()
        };
        Ok(format!("{}/{name}", self.collection(kind, &scope).await?))
    }

    async fn collection(&self, kind: &'static Kind, scope: &Scope) -> Result<String, ReadError> {
        let version = self.version(kind).await?;
        let root = if kind.group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{}/{version}", kind.group)
        };
        let place = scope
            .namespace
            .as_ref()
            .map(|name| format!("/namespaces/{name}"))
            .unwrap_or_default();
        Ok(format!("{root}{place}/{}", kind.plural))
    }

    async fn single(
        &self,
        kind: &'static Kind,
        scope: &Scope,
        name: &str,
    ) -> Result<Vec<Object>, ReadError> {
        let path = format!("{}/{name}", self.collection(kind, scope).await?);
        match self.inner.reader.json::<Box<RawValue>>(&path).await {
            Ok(object) => Ok(vec![Object::sent(&object)]),
            Err(ReadError::Absent { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn pages(&self, kind: &'static Kind, scope: &Scope) -> Result<Vec<Object>, ReadError> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            metadata: ListMeta,
            #[serde(default)]
            items: Option<Vec<Box<RawValue>>>,
        }
        #[derive(Deserialize, Default)]
        struct ListMeta {
            #[serde(default, rename = "continue")]
            next: String,
        }
        let collection = self.collection(kind, scope).await?;
        let mut query = format!("?limit={PAGE}");
        for (name, value) in [
            ("fieldSelector", &scope.fields),
            ("labelSelector", &scope.labels),
        ] {
            if let Some(value) = value {
                query.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        let mut restarts = 0;
        'anew: loop {
            let mut items = Vec::new();
            let mut next = String::new();
            loop {
                let more = if next.is_empty() {
                    String::new()
                } else {
                    format!("&continue={}", encode(&next))
                };
                let page: Page = match self
                    .inner
                    .reader
                    .json(&format!("{collection}{query}{more}"))
                    .await
                {
                    Ok(page) => page,
                    Err(ReadError::Server { status: 410, .. }) if restarts < RESTARTS => {
                        restarts += 1;
                        continue 'anew;
                    }
                    Err(error) => return Err(error),
                };
                let page_items = page.items.unwrap_or_default();
                items.extend(page_items.iter().map(|one| Object::sent(one)));
                next = page.metadata.next;
                if next.is_empty() {
                    return Ok(items);
                }
            }
        }
    }

    fn slot(&self, kind: &'static Kind, scope: &Scope) -> Arc<Slot> {
        Arc::clone(
            self.lock(&self.inner.slots)
                .entry((kind, scope.clone()))
                .or_default(),
        )
    }

    #[expect(clippy::unused_self, reason = "reads as what it is at the call")]
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Percent-encodes a query value.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
