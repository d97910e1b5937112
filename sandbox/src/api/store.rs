//! The objects: held by resource, versioned, and every change told to those who watch.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::{
    defaults,
    resource::{GroupResource, Registry, Resource},
    transaction::Transaction,
};

/// How many changes of one resource are remembered for watches and consistent pages.
const LOG: usize = 10_000;
/// How many of them stay, however old; the others go after [`COMPACTION`].
const KEPT: usize = 500;
/// How long changes are remembered: as long as a real API server does before it compacts.
const COMPACTION: Duration = Duration::from_secs(300);

/// Namespace (empty for cluster scope) and name.
pub(crate) type Key = (String, String);

/// One change: what an object was and what it is; absent on either side for creation and removal.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: Key,
    pub(crate) old: Option<Arc<Value>>,
    pub(crate) new: Option<Arc<Value>>,
}

#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) objects: BTreeMap<Key, Arc<Value>>,
    pub(super) log: VecDeque<(Instant, Change)>,
    /// The newest revision whose change is no longer in the log.
    pub(super) dropped: u64,
    pub(super) wake: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) revision: u64,
    /// Changes before this were made by a former process.
    pub(super) start: u64,
    pub(super) shelves: HashMap<GroupResource, Shelf>,
}

/// Every object of the cluster. Reads hand out shared pointers; nothing is copied under the lock.
#[derive(Debug)]
pub struct Store {
    pub(crate) registry: Registry,
    inner: Mutex<Inner>,
    pub(super) ca: std::sync::OnceLock<String>,
    /// The node authorizer is switched off, as with `--authorization-mode=RBAC`.
    no_node_authorizer: std::sync::atomic::AtomicBool,
    /// Told when something may have to be cleaned up after: a namespace or a definition that is going away.
    pub(crate) sweep: Notify,
}

/// An object that cannot be held.
#[derive(Debug, thiserror::Error)]
#[error("object {object} cannot be held: {why}")]
pub struct LoadError {
    object: String,
    why: String,
}

impl Store {
    pub(crate) fn new() -> Self {
        Self {
            registry: Registry::new(),
            inner: Mutex::new(Inner {
                revision: 1,
                start: 1,
                shelves: HashMap::new(),
            }),
            ca: std::sync::OnceLock::new(),
            no_node_authorizer: std::sync::atomic::AtomicBool::new(false),
            sweep: Notify::new(),
        }
    }

    /// Says whether the node authorizer answers; without it nodes have only the rights that RBAC gives them.
    pub fn authorize_nodes(&self, on: bool) {
        self.no_node_authorizer
            .store(!on, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn authorizes_nodes(&self) -> bool {
        !self
            .no_node_authorizer
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Says which certificate authority namespaces are told of.
    pub(crate) fn trust(&self, ca: &str) {
        self.ca.get_or_init(|| ca.to_owned());
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes objects in as they are: what they lack (`uid`, `creationTimestamp`, defaults) is added, status and
    /// metadata that they carry stay. An object that is already there is replaced. CustomResourceDefinitions and
    /// namespaces go first, whatever the order.
    ///
    /// # Errors
    /// The object has no kind or name, or nobody serves its kind.
    pub fn load(&self, mut objects: Vec<Value>) -> Result<(), LoadError> {
        objects.sort_by_key(|object| match object["kind"].as_str() {
            Some("CustomResourceDefinition") => 0,
            Some("Namespace") => 1,
            _ => 2,
        });
        let highest = objects.iter().filter_map(revision_of).max().unwrap_or(0);
        if highest > 0 {
            // Watches from before a restart must list again: the changes in between are not known here.
            let mut inner = self.lock();
            inner.revision = inner.revision.max(highest) + 1000;
            inner.start = inner.revision;
        }
        for object in objects {
            self.load_one(object)?;
        }
        Ok(())
    }

    fn load_one(&self, mut object: Value) -> Result<(), LoadError> {
        let fail = |object: &Value, why: &str| LoadError {
            object: format!("{} {}", object["kind"], object["metadata"]["name"]),
            why: why.to_owned(),
        };
        let api_version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let kind = object["kind"].as_str().unwrap_or_default();
        let Some(resource) = self.registry.find_kind(group, kind) else {
            return Err(fail(
                &object,
                &format!("no resource {kind} in {api_version} is served"),
            ));
        };
        if !resource.versions.iter().any(|v| v == version) && resource.storage != version {
            return Err(fail(
                &object,
                &format!("version {version} of {kind} is not served"),
            ));
        }
        let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) else {
            return Err(fail(&object, "it has no metadata.name"));
        };
        let namespace = if resource.namespaced {
            let namespace = object["metadata"]["namespace"]
                .as_str()
                .unwrap_or("default")
                .to_owned();
            object["metadata"]["namespace"] = namespace.clone().into();
            namespace
        } else {
            String::new()
        };
        defaults::identify(&resource, &mut object);
        defaults::fill(&resource, &mut object);
        let mut transaction = self.begin(false);
        if let Some(revision) = revision_of(&object) {
            transaction.put_at(&resource, (namespace, name), object, revision);
        } else {
            let kept = transaction.put(&resource, (namespace, name), object);
            defaults::companions(&mut transaction, &resource, &kept);
        }
        Ok(())
    }

    /// Every object as it stands, in an order that [`Store::load`] takes.
    #[must_use]
    pub fn dump(&self) -> Vec<Value> {
        let inner = self.lock();
        let mut shelves: Vec<_> = inner.shelves.iter().collect();
        shelves.sort_by_key(|(key, _)| (*key).clone());
        shelves
            .into_iter()
            .flat_map(|(_, shelf)| shelf.objects.values())
            .map(|object| (**object).clone())
            .collect()
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// Begins a change of several objects that nobody sees half done. A dry one changes nothing.
    pub(crate) fn begin(&self, dry: bool) -> Transaction<'_> {
        Transaction {
            store: self,
            inner: self.lock(),
            dry,
        }
    }

    pub(crate) fn get(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Value>> {
        let inner = self.lock();
        inner
            .shelves
            .get(&resource.shelf())?
            .objects
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    /// Every object of a built-in resource; for evaluations inside the server.
    pub(crate) fn all(&self, group: &str, plural: &str, namespace: &str) -> Vec<Arc<Value>> {
        let inner = self.lock();
        let Some(shelf) = inner.shelves.get(&(group.to_owned(), plural.to_owned())) else {
            return Vec::new();
        };
        in_namespace(&shelf.objects, namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Something to wait on until the resource changes.
    pub(crate) fn subscribe(&self, resource: &Resource) -> watch::Receiver<u64> {
        self.lock().shelf(resource.shelf()).wake.subscribe()
    }
}

impl Inner {
    pub(super) fn shelf(&mut self, key: GroupResource) -> &mut Shelf {
        self.shelves.entry(key).or_insert_with(|| Shelf {
            objects: BTreeMap::new(),
            log: VecDeque::new(),
            dropped: 0,
            wake: watch::Sender::new(0),
        })
    }

    pub(super) fn record(&mut self, key: GroupResource, change: Change) {
        let shelf = self.shelf(key);
        match &change.new {
            Some(new) => shelf.objects.insert(change.key.clone(), new.clone()),
            None => shelf.objects.remove(&change.key),
        };
        let revision = change.revision;
        let now = Instant::now();
        shelf.log.push_back((now, change));
        while shelf.log.len() > KEPT
            && let Some((at, first)) = shelf.log.front()
            && (shelf.log.len() > LOG || now.duration_since(*at) > COMPACTION)
        {
            shelf.dropped = first.revision;
            shelf.log.pop_front();
        }
        shelf.wake.send_replace(revision);
    }
}

pub(super) fn in_namespace<'a>(
    objects: &'a BTreeMap<Key, Arc<Value>>,
    namespace: &'a str,
) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
    after_key(objects, namespace, None)
}

pub(super) fn after_key<'a>(
    objects: &'a BTreeMap<Key, Arc<Value>>,
    namespace: &'a str,
    from: Option<&Key>,
) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
    use std::ops::Bound;
    let start = match from {
        Some(key) => Bound::Excluded(key.clone()),
        None => Bound::Included((namespace.to_owned(), String::new())),
    };
    objects
        .range((start, Bound::Unbounded))
        .take_while(move |(key, _)| namespace.is_empty() || key.0 == namespace)
}

/// The revision that an object's metadata names.
pub(crate) fn revision_of(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

/// The moment, as object metadata spells it.
pub(crate) fn now() -> Value {
    json!(
        jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    )
}
