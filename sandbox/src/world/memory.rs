//! A cluster in memory, in which nothing takes time: how the objects of a beginning sandbox come about.

use serde_json::{Map, Value, json};

use super::{
    cast::{Cast, Pace},
    kinds,
    make::{merge, name, now, uid, uid_of, would_change},
    mirror::Mirror,
    scene::{Actor, Change, Faults, Scene, Timers},
};

/// Objects without an API around them.
pub(crate) struct Memory {
    mirror: Mirror,
    timers: Timers,
}

impl Memory {
    /// An empty cluster.
    pub(crate) fn new() -> Self {
        Self {
            mirror: Mirror::default(),
            timers: Timers::instant(),
        }
    }

    /// The objects.
    pub(crate) fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Takes an object in as the API server would: with UID, creation time and generation.
    pub(crate) fn add(&self, mut object: Value) {
        let fresh =
            json!({"metadata": {"uid": uid(), "creationTimestamp": now(), "generation": 1}});
        let own = std::mem::replace(&mut object, fresh);
        merge(&mut object, own);
        self.mirror.put(object);
    }

    /// Lets the actors act until none of them changes anything.
    ///
    /// Returns whether that point was reached.
    pub(crate) fn settle(
        &self,
        actors: &mut [Box<dyn Actor>],
        cast: &Cast,
        pace: Pace,
        faults: &Faults,
    ) -> bool {
        for _ in 0..80 {
            let mut quiet = true;
            for actor in actors.iter_mut() {
                let scene = Scene {
                    mirror: &self.mirror,
                    cast,
                    pace,
                    faults,
                    timers: &self.timers,
                };
                for change in actor.step(&scene) {
                    quiet &= !self.apply(change);
                }
            }
            if quiet {
                return true;
            }
        }
        false
    }

    /// Does one change; whether it changed anything.
    pub(crate) fn apply(&self, change: Change) -> bool {
        match change {
            Change::Create(mut object) => {
                if self.mirror.find(&object).is_some() {
                    return false;
                }
                if let Some(prefix) = object["metadata"]["generateName"].as_str() {
                    let generated = format!("{prefix}{}", super::make::suffix(5));
                    object["metadata"]["name"] = generated.into();
                }
                self.add(object);
                true
            }
            Change::Apply { mut object, .. } => {
                let Some(there) = self.mirror.find(&object) else {
                    self.add(object);
                    return true;
                };
                object["metadata"]
                    .as_object_mut()
                    .map(|metadata| metadata.remove("uid"));
                self.rewrite(&there, &object, false)
            }
            Change::Patch {
                res,
                namespace,
                name,
                patch,
                status,
            } => self
                .mirror
                .get(res, &namespace, &name)
                .is_some_and(|there| self.rewrite(&there, &patch, status)),
            Change::Bind {
                namespace,
                name,
                node,
            } => {
                let Some(there) = self.mirror.get(&kinds::PODS, &namespace, &name) else {
                    return false;
                };
                self.rewrite(&there, &json!({"spec": {"nodeName": node}}), false)
            }
            Change::Finalize(name) => {
                let Some(there) = self.mirror.get(&kinds::NAMESPACES, "", &name) else {
                    return false;
                };
                self.mirror.remove(&there);
                true
            }
            Change::Delete {
                res,
                namespace,
                name,
                uid,
                ..
            } => {
                let Some(there) = self.mirror.get(res, &namespace, &name) else {
                    return false;
                };
                if !uid.is_empty() && uid != uid_of(&there) {
                    return false;
                }
                if there["metadata"]["finalizers"]
                    .as_array()
                    .is_some_and(|left| !left.is_empty())
                {
                    let stamp = there["metadata"]["deletionTimestamp"]
                        .as_str()
                        .map_or_else(now, str::to_owned);
                    return self.rewrite(
                        &there,
                        &json!({"metadata": {"deletionTimestamp": stamp}}),
                        false,
                    );
                }
                self.mirror.remove(&there);
                true
            }
        }
    }

    fn rewrite(&self, there: &Value, patch: &Value, status: bool) -> bool {
        if !would_change(there, patch) {
            return false;
        }
        let mut object = there.clone();
        let before = object["spec"].clone();
        merge_patch(&mut object, patch);
        if !status && object["spec"] != before {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(1);
            object["metadata"]["generation"] = (generation + 1).into();
        }
        let gone = object["metadata"]["deletionTimestamp"].is_string()
            && object["metadata"]["finalizers"]
                .as_array()
                .is_none_or(Vec::is_empty)
            && kinds::of(&object) != Some(&kinds::PODS);
        if gone {
            self.mirror.remove(&object)
        } else {
            self.mirror.put(object)
        }
        true
    }

    /// Every object, ready to be loaded into an API server: those that others rest on first.
    pub(crate) fn into_objects(self) -> Vec<Value> {
        let mut objects: Vec<Value> = self
            .mirror
            .all()
            .into_iter()
            .map(|object| (*object).clone())
            .collect();
        objects.sort_by_key(|object| {
            let rank = match object["kind"].as_str() {
                Some("CustomResourceDefinition") => 0,
                Some("Namespace") => 1,
                _ => 2,
            };
            (rank, name(object).to_owned())
        });
        objects
    }
}

/// RFC 7386: null removes.
pub(crate) fn merge_patch(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    if let Value::Object(object) = object {
        for (key, value) in patch {
            if value.is_null() {
                object.remove(key);
            } else {
                merge_patch(object.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}
