//! What an actor sees when it acts, and what it can do.
//!
//! An actor is a plain function from a [`Scene`] to [`Change`]s: it looks at the objects and says what it would write.
//! The same functions run against the API of a living cluster and, in an instant, over the objects in memory that a
//! sandbox begins with, so that a cluster always begins as its own actors would have made it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::watch;

use super::{
    cast::{Cast, Pace},
    kinds::Res,
    make::{name, namespace, text},
};

type Key = (String, String);

/// The objects of one kind.
#[derive(Debug, Default)]
struct Shelf {
    there: BTreeMap<Key, Arc<Value>>,
    /// At which version an object went: an answer that was on its way meanwhile must not bring it back.
    gone: BTreeMap<Key, u64>,
}

/// The objects as the world last saw them.
#[derive(Debug)]
pub(crate) struct Mirror {
    shelves: RwLock<BTreeMap<String, Shelf>>,
    changed: watch::Sender<u64>,
}

impl Default for Mirror {
    fn default() -> Self {
        Self { shelves: RwLock::default(), changed: watch::Sender::new(0) }
    }
}

fn shelf_of(object: &Value) -> String {
    let group = text(&object["apiVersion"]).rsplit_once('/').map_or("", |(group, _)| group);
    format!("{}.{group}", text(&object["kind"]))
}

impl Mirror {
    /// Wakes whoever waits, whenever an object changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Wakes everybody, for a change that is not in the objects.
    pub(crate) fn wake(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Every object of the kind, in the order of namespaces and names.
    pub(crate) fn list(&self, res: &Res) -> Vec<Arc<Value>> {
        self.read(|shelves| shelves.get(&res.shelf()).map(|shelf| shelf.there.values().cloned().collect()).unwrap_or_default())
    }

    /// One object.
    pub(crate) fn get(&self, res: &Res, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.read(|shelves| shelves.get(&res.shelf())?.there.get(&key).cloned())
    }

    /// The stored state of an object that describes itself.
    pub(crate) fn find(&self, like: &Value) -> Option<Arc<Value>> {
        let key = (namespace(like).to_owned(), name(like).to_owned());
        self.read(|shelves| shelves.get(&shelf_of(like))?.there.get(&key).cloned())
    }

    /// Takes an object in, unless a newer state of it is here already.
    pub(crate) fn put(&self, object: Value) {
        let (shelf, key) = (shelf_of(&object), (namespace(&object).to_owned(), name(&object).to_owned()));
        let mut changed = false;
        if let Ok(mut shelves) = self.shelves.write() {
            let shelf = shelves.entry(shelf).or_default();
            let new = version(&object);
            let newer = shelf.there.get(&key).is_none_or(|there| version(there) < new);
            let ghost = shelf.gone.get(&key).is_some_and(|gone| new <= *gone);
            if new == 0 || (newer && !ghost) {
                shelf.there.insert(key, Arc::new(object));
                changed = true;
            }
        }
        if changed {
            self.wake();
        }
    }

    /// Forgets an object that was deleted, unless it has come back since.
    pub(crate) fn remove(&self, object: &Value) {
        let (shelf, key) = (shelf_of(object), (namespace(object).to_owned(), name(object).to_owned()));
        if let Ok(mut shelves) = self.shelves.write() {
            let shelf = shelves.entry(shelf).or_default();
            let last = version(object);
            if shelf.there.get(&key).is_some_and(|there| version(there) <= last) {
                shelf.there.remove(&key);
            }
            if last > 0 {
                let gone = shelf.gone.entry(key).or_default();
                *gone = last.max(*gone);
            }
        }
        self.wake();
    }

    /// Replaces everything of a kind by a fresh list.
    pub(crate) fn replace(&self, res: &Res, objects: Vec<Value>) {
        let shelf = objects
            .into_iter()
            .map(|object| ((namespace(&object).to_owned(), name(&object).to_owned()), Arc::new(object)))
            .collect();
        if let Ok(mut shelves) = self.shelves.write() {
            shelves.entry(res.shelf()).or_default().there = shelf;
        }
        self.wake();
    }

    /// Everything, in no order that matters.
    pub(crate) fn all(&self) -> Vec<Arc<Value>> {
        self.read(|shelves| shelves.values().flat_map(|shelf| shelf.there.values()).cloned().collect())
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Shelf>) -> T) -> T {
        let shelves = self.shelves.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        look(&shelves)
    }
}

fn version(object: &Value) -> u64 {
    text(&object["metadata"]["resourceVersion"]).parse().unwrap_or(0)
}

impl Res {
    fn shelf(&self) -> String {
        format!("{}.{}", self.kind, self.group)
    }
}

/// The faults that are on.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    on: RwLock<BTreeSet<String>>,
}

impl Faults {
    /// Whether this fault is on.
    pub(crate) fn on(&self, name: &str) -> bool {
        self.on.read().is_ok_and(|on| on.contains(name))
    }

    /// Replaces what is on.
    pub(crate) fn set(&self, names: BTreeSet<String>) {
        if let Ok(mut on) = self.on.write() {
            *on = names;
        }
    }
}

/// What an actor wants done.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A new object.
    Create(Value),
    /// A JSON merge patch, to the object or its status.
    Patch {
        /// Its kind.
        res: &'static Res,
        /// Its namespace, empty for none.
        namespace: String,
        /// Its name.
        name: String,
        /// Whether it goes to the `status` subresource.
        status: bool,
        /// The patch.
        patch: Value,
    },
    /// A server-side apply with this field manager, forced.
    Apply {
        /// The field manager.
        manager: &'static str,
        /// The whole intent.
        object: Value,
    },
    /// A pod is bound to a node.
    Bind {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The node.
        node: String,
    },
    /// The last word on a namespace whose content is gone.
    Finalize(String),
    /// A deletion.
    Delete {
        /// Its kind.
        res: &'static Res,
        /// Its namespace, empty for none.
        namespace: String,
        /// Its name.
        name: String,
        /// Only this object, not one that took its name since; empty for any.
        uid: String,
        /// Without grace: the kubelet's last word on a pod.
        now: bool,
    },
}

impl Change {
    /// A patch of the object itself.
    pub(crate) fn spec(res: &'static Res, object: &Value, patch: Value) -> Self {
        Self::patch(res, object, false, patch)
    }

    /// A patch of its status; `status` is what stands below `status`.
    pub(crate) fn status(res: &'static Res, object: &Value, status: Value) -> Self {
        Self::patch(res, object, true, serde_json::json!({"status": status}))
    }

    fn patch(res: &'static Res, object: &Value, status: bool, patch: Value) -> Self {
        Self::Patch { res, namespace: namespace(object).into(), name: name(object).into(), status, patch }
    }

    /// A deletion of exactly this object.
    pub(crate) fn delete(res: &'static Res, object: &Value) -> Self {
        Self::Delete {
            res,
            namespace: namespace(object).into(),
            name: name(object).into(),
            uid: super::make::uid_of(object).into(),
            now: false,
        }
    }

    /// A deletion of exactly this pod, at once.
    pub(crate) fn end(pod: &Value) -> Self {
        let mut change = Self::delete(&super::kinds::PODS, pod);
        if let Self::Delete { now, .. } = &mut change {
            *now = true;
        }
        change
    }
}

/// Remembers since when something is so.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    since: Mutex<BTreeMap<String, Instant>>,
    /// Nothing takes time: for the cluster that a sandbox begins with.
    pub(crate) instant: bool,
    /// What the API server refused of the last applies: object, and why.
    refused: Mutex<BTreeMap<String, String>>,
}

impl Timers {
    /// For a cluster in which nothing takes time.
    pub(crate) fn instant() -> Self {
        Self { instant: true, ..Self::default() }
    }

    /// Whether this long has passed since it was first asked; work takes no time when nothing does.
    pub(crate) fn waited(&self, key: &str, long: Duration) -> bool {
        self.instant || self.elapsed(key) >= long
    }

    /// Whether this long has passed since it was first asked; patience never ends when nothing takes time.
    pub(crate) fn overdue(&self, key: &str, long: Duration) -> bool {
        !self.instant && self.elapsed(key) >= long
    }

    fn elapsed(&self, key: &str) -> Duration {
        hold(&self.since).entry(key.to_owned()).or_insert_with(Instant::now).elapsed()
    }

    /// Notes whether an apply was refused.
    pub(crate) fn note_apply(&self, object: &Value, refusal: Option<String>) {
        let key = format!("{}/{}/{}", shelf_of(object), namespace(object), name(object));
        match refusal {
            Some(why) => hold(&self.refused).insert(key, why),
            None => hold(&self.refused).remove(&key),
        };
    }

    /// Why the last apply of this object was refused, if it was.
    pub(crate) fn refusal(&self, object: &Value) -> Option<String> {
        let key = format!("{}/{}/{}", shelf_of(object), namespace(object), name(object));
        hold(&self.refused).get(&key).cloned()
    }

    /// Forgets it, so that the next question starts anew.
    pub(crate) fn forget(&self, key: &str) {
        hold(&self.since).remove(key);
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an actor sees.
pub(crate) struct Scene<'a> {
    /// The objects.
    pub(crate) mirror: &'a Mirror,
    /// Who takes part.
    pub(crate) cast: &'a Cast,
    /// How long things take.
    pub(crate) pace: Pace,
    /// What is wrong on purpose.
    pub(crate) faults: &'a Faults,
    /// Since when things are so, for this actor.
    pub(crate) timers: &'a Timers,
}

impl Scene<'_> {
    /// Whether a fault is on.
    pub(crate) fn fault(&self, name: &str) -> bool {
        self.faults.on(name)
    }

    /// Every object of the kind.
    pub(crate) fn list(&self, res: &Res) -> Vec<Arc<Value>> {
        self.mirror.list(res)
    }

    /// One object.
    pub(crate) fn get(&self, res: &Res, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.mirror.get(res, namespace, name)
    }
}

/// Somebody who lives in the cluster.
pub(crate) trait Actor: Send + 'static {
    /// What it would change now.
    fn step(&mut self, scene: &Scene<'_>) -> Vec<Change>;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::world::kinds::PODS;

    #[test]
    fn an_answer_that_comes_late_brings_no_object_back() {
        let pod = |version: u32| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
                "name": "a", "namespace": "n", "resourceVersion": version.to_string(),
            }})
        };
        let mirror = Mirror::default();
        mirror.put(pod(3));
        mirror.put(pod(2));
        assert_eq!(mirror.get(&PODS, "n", "a").unwrap()["metadata"]["resourceVersion"], "3");
        mirror.remove(&pod(5));
        mirror.put(pod(4));
        assert!(mirror.get(&PODS, "n", "a").is_none());
        mirror.put(pod(6));
        assert!(mirror.get(&PODS, "n", "a").is_some());
    }
}
