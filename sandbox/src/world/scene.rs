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

use super::{
    cast::{Cast, Pace},
    kinds::Res,
    make::{name, namespace},
    mirror::{Mirror, shelf_of},
};

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
        Self::Patch {
            res,
            namespace: namespace(object).into(),
            name: name(object).into(),
            status,
            patch,
        }
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
        Self {
            instant: true,
            ..Self::default()
        }
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
        hold(&self.since)
            .entry(key.to_owned())
            .or_insert_with(Instant::now)
            .elapsed()
    }

    /// Notes whether an apply was refused.
    pub(crate) fn note_apply(&self, object: &Value, refusal: Option<String>) {
        let key = format!(
            "{}/{}/{}",
            shelf_of(object),
            namespace(object),
            name(object)
        );
        match refusal {
            Some(why) => hold(&self.refused).insert(key, why),
            None => hold(&self.refused).remove(&key),
        };
    }

    /// Why the last apply of this object was refused, if it was.
    pub(crate) fn refusal(&self, object: &Value) -> Option<String> {
        let key = format!(
            "{}/{}/{}",
            shelf_of(object),
            namespace(object),
            name(object)
        );
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
