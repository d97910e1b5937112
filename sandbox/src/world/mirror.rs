//! The objects as the world last saw them.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use serde_json::Value;
use tokio::sync::watch;

use super::{
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
        Self {
            shelves: RwLock::default(),
            changed: watch::Sender::new(0),
        }
    }
}

pub(crate) fn shelf_of(object: &Value) -> String {
    let group = text(&object["apiVersion"])
        .rsplit_once('/')
        .map_or("", |(group, _)| group);
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
        self.read(|shelves| {
            shelves
                .get(&res.shelf())
                .map(|shelf| shelf.there.values().cloned().collect())
                .unwrap_or_default()
        })
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
        let (shelf, key) = (
            shelf_of(&object),
            (namespace(&object).to_owned(), name(&object).to_owned()),
        );
        let mut changed = false;
        if let Ok(mut shelves) = self.shelves.write() {
            let shelf = shelves.entry(shelf).or_default();
            let new = version(&object);
            let newer = shelf
                .there
                .get(&key)
                .is_none_or(|there| version(there) < new);
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
        let (shelf, key) = (
            shelf_of(object),
            (namespace(object).to_owned(), name(object).to_owned()),
        );
        if let Ok(mut shelves) = self.shelves.write() {
            let shelf = shelves.entry(shelf).or_default();
            let last = version(object);
            if shelf
                .there
                .get(&key)
                .is_some_and(|there| version(there) <= last)
            {
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
            .map(|object| {
                (
                    (namespace(&object).to_owned(), name(&object).to_owned()),
                    Arc::new(object),
                )
            })
            .collect();
        if let Ok(mut shelves) = self.shelves.write() {
            shelves.entry(res.shelf()).or_default().there = shelf;
        }
        self.wake();
    }

    /// Everything, in no order that matters.
    pub(crate) fn all(&self) -> Vec<Arc<Value>> {
        self.read(|shelves| {
            shelves
                .values()
                .flat_map(|shelf| shelf.there.values())
                .cloned()
                .collect()
        })
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Shelf>) -> T) -> T {
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        look(&shelves)
    }
}

fn version(object: &Value) -> u64 {
    text(&object["metadata"]["resourceVersion"])
        .parse()
        .unwrap_or(0)
}

impl Res {
    fn shelf(&self) -> String {
        format!("{}.{}", self.kind, self.group)
    }
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
        assert_eq!(
            mirror.get(&PODS, "n", "a").unwrap()["metadata"]["resourceVersion"],
            "3"
        );
        mirror.remove(&pod(5));
        mirror.put(pod(4));
        assert!(mirror.get(&PODS, "n", "a").is_none());
        mirror.put(pod(6));
        assert!(mirror.get(&PODS, "n", "a").is_some());
    }
}
