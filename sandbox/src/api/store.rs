//! The objects: held by resource, versioned, and every change told to those who watch.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::{
    defaults,
    resource::{GroupResource, Registry, Resource},
};

/// How many changes of one resource are remembered for watches and consistent pages.
const LOG: usize = 20_000;

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
struct Shelf {
    objects: BTreeMap<Key, Arc<Value>>,
    log: VecDeque<Change>,
    /// The newest revision whose change is no longer in the log.
    dropped: u64,
    wake: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    revision: u64,
    /// Changes before this were made by a former process.
    start: u64,
    shelves: HashMap<GroupResource, Shelf>,
}

/// Every object of the cluster. Reads hand out shared pointers; nothing is copied under the lock.
#[derive(Debug)]
pub struct Store {
    pub(crate) registry: Registry,
    inner: Mutex<Inner>,
    ca: std::sync::OnceLock<String>,
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

/// What a list found.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) items: Vec<Arc<Value>>,
    pub(crate) revision: u64,
    /// Key of the last item when there are more.
    pub(crate) more: Option<Key>,
    /// How many remain after this page, known only for a list without selectors.
    pub(crate) remaining: usize,
}

/// A list at an old revision that cannot be told any more, or a watch from one.
#[derive(Debug)]
pub(crate) struct TooOld {
    pub(crate) oldest: u64,
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
        self.no_node_authorizer.store(!on, std::sync::atomic::Ordering::Relaxed);
    }

    pub(crate) fn authorizes_nodes(&self) -> bool {
        !self.no_node_authorizer.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Says which certificate authority namespaces are told of.
    pub(crate) fn trust(&self, ca: &str) {
        self.ca.get_or_init(|| ca.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
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

    /// A page of objects after `from`, as they stood at `at` (now when absent).
    pub(crate) fn list(
        &self,
        resource: &Resource,
        namespace: &str,
        from: Option<&Key>,
        at: Option<u64>,
        limit: usize,
        keep: &dyn Fn(&Value) -> bool,
    ) -> Result<Listing, TooOld> {
        let inner = self.lock();
        let revision = at.unwrap_or(inner.revision);
        let Some(shelf) = inner.shelves.get(&resource.shelf()) else {
            return Ok(Listing {
                items: Vec::new(),
                revision,
                more: None,
                remaining: 0,
            });
        };
        // What has changed since then is undone on the side, newest change first.
        let mut former: BTreeMap<&Key, Option<&Arc<Value>>> = BTreeMap::new();
        if let Some(at) = at {
            if at < shelf.dropped.max(inner.start) {
                return Err(TooOld {
                    oldest: shelf.dropped.max(inner.start),
                });
            }
            for change in shelf
                .log
                .iter()
                .rev()
                .take_while(|change| change.revision > at)
            {
                former.insert(&change.key, change.old.as_ref());
            }
        }
        let after = |key: &Key| from.is_none_or(|from| key > from);
        let mut gone: Vec<(&Key, &Arc<Value>)> = former
            .iter()
            .filter(|(key, _)| !shelf.objects.contains_key(**key))
            .filter(|(key, _)| (namespace.is_empty() || key.0 == namespace) && after(key))
            .filter_map(|(key, old)| old.map(|old| (*key, old)))
            .collect();
        gone.reverse();
        let mut listing = Listing {
            items: Vec::new(),
            revision,
            more: None,
            remaining: 0,
        };
        let mut last: Option<&Key> = None;
        let mut present = after_key(&shelf.objects, namespace, from).filter_map(|(key, object)| {
            match former.get(key) {
                Some(old) => old.map(|old| (key, old)),
                None => Some((key, object)),
            }
        });
        let mut next = present.next();
        loop {
            let take_gone = match (gone.last(), next) {
                (None, None) => break,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((gone, _)), Some((key, _))) => *gone < key,
            };
            let Some((key, object)) = (if take_gone {
                gone.pop()
            } else {
                std::mem::replace(&mut next, present.next())
            }) else {
                break;
            };
            if !keep(object) {
                continue;
            }
            if limit > 0 && listing.items.len() == limit {
                listing.more = last.cloned();
                listing.remaining = 1 + gone.len() + usize::from(next.is_some()) + present.count();
                break;
            }
            listing.items.push(object.clone());
            last = Some(key);
        }
        Ok(listing)
    }

    /// Something to wait on until the resource changes.
    pub(crate) fn subscribe(&self, resource: &Resource) -> watch::Receiver<u64> {
        self.lock().shelf(resource.shelf()).wake.subscribe()
    }

    /// The changes after a revision, oldest first, at most 500, with the revision up to which they are complete.
    pub(crate) fn changes(
        &self,
        resource: &Resource,
        after: u64,
    ) -> Result<(Vec<Change>, u64), TooOld> {
        let mut inner = self.lock();
        let (revision, start) = (inner.revision, inner.start);
        let shelf = inner.shelf(resource.shelf());
        let oldest = shelf.dropped.max(start);
        if after < oldest {
            return Err(TooOld { oldest });
        }
        let begin = shelf.log.partition_point(|change| change.revision <= after);
        let changes: Vec<Change> = shelf.log.range(begin..).take(500).cloned().collect();
        let upto = match changes.last() {
            Some(last) if changes.len() == 500 => last.revision,
            _ => revision,
        };
        Ok((changes, upto))
    }
}

impl Inner {
    fn shelf(&mut self, key: GroupResource) -> &mut Shelf {
        self.shelves.entry(key).or_insert_with(|| Shelf {
            objects: BTreeMap::new(),
            log: VecDeque::new(),
            dropped: 0,
            wake: watch::Sender::new(0),
        })
    }

    fn record(&mut self, key: GroupResource, change: Change) {
        let shelf = self.shelf(key);
        match &change.new {
            Some(new) => shelf.objects.insert(change.key.clone(), new.clone()),
            None => shelf.objects.remove(&change.key),
        };
        let revision = change.revision;
        shelf.log.push_back(change);
        if shelf.log.len() > LOG
            && let Some(first) = shelf.log.pop_front()
        {
            shelf.dropped = first.revision;
        }
        shelf.wake.send_replace(revision);
    }
}

/// A change of one or several objects under one lock.
pub(crate) struct Transaction<'a> {
    store: &'a Store,
    inner: MutexGuard<'a, Inner>,
    /// Whether nothing is kept.
    pub(crate) dry: bool,
}

impl Transaction<'_> {
    pub(crate) fn registry(&self) -> &Registry {
        &self.store.registry
    }

    /// The certificate of the authority, as PEM.
    pub(crate) fn ca(&self) -> String {
        self.store.ca.get().cloned().unwrap_or_default()
    }

    pub(crate) fn get(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Value>> {
        let shelf = self.inner.shelves.get(&resource.shelf())?;
        shelf
            .objects
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    /// An object of a built-in resource.
    pub(crate) fn find(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Value>> {
        let shelf = self
            .inner
            .shelves
            .get(&(group.to_owned(), plural.to_owned()))?;
        shelf
            .objects
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    pub(crate) fn all(&self, resource: &Resource, namespace: &str) -> Vec<Arc<Value>> {
        let Some(shelf) = self.inner.shelves.get(&resource.shelf()) else {
            return Vec::new();
        };
        in_namespace(&shelf.objects, namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Keeps an object under the next revision and returns it as it stands then.
    pub(crate) fn put(&mut self, resource: &Resource, key: Key, object: Value) -> Arc<Value> {
        let revision = self.inner.revision + 1;
        self.put_at(resource, key, object, revision)
    }

    fn put_at(
        &mut self,
        resource: &Resource,
        key: Key,
        mut object: Value,
        revision: u64,
    ) -> Arc<Value> {
        if self.dry {
            return Arc::new(object);
        }
        self.inner.revision = self.inner.revision.max(revision);
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        let new = Arc::new(object);
        let old = self.get(resource, &key.0, &key.1);
        self.inner.record(
            resource.shelf(),
            Change {
                revision,
                key,
                old,
                new: Some(new.clone()),
            },
        );
        if resource.plural == "customresourcedefinitions" {
            self.store.registry.define(&new);
        }
        self.tell_sweeper(resource, &new);
        new
    }

    /// Removes an object and returns its last state.
    pub(crate) fn remove(&mut self, resource: &Resource, key: Key) -> Option<Arc<Value>> {
        let old = self.get(resource, &key.0, &key.1)?;
        if self.dry {
            return Some(old);
        }
        self.inner.revision += 1;
        let revision = self.inner.revision;
        let mut last = (*old).clone();
        last["metadata"]["resourceVersion"] = revision.to_string().into();
        let last = Arc::new(last);
        if resource.plural == "customresourcedefinitions" {
            self.store.registry.forget(&key.1);
        }
        // The removed object is told with the revision of its removal.
        self.inner.record(
            resource.shelf(),
            Change {
                revision,
                key,
                old: Some(last.clone()),
                new: None,
            },
        );
        Some(last)
    }

    fn tell_sweeper(&self, resource: &Resource, object: &Value) {
        let going = object["metadata"].get("deletionTimestamp").is_some();
        if going
            && matches!(
                resource.plural.as_str(),
                "namespaces" | "customresourcedefinitions"
            )
        {
            self.store.sweep.notify_one();
        }
    }
}

fn in_namespace<'a>(
    objects: &'a BTreeMap<Key, Arc<Value>>,
    namespace: &'a str,
) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
    after_key(objects, namespace, None)
}

fn after_key<'a>(
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
