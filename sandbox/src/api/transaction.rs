//! Changes of several objects that nobody sees half done.

use std::sync::{Arc, MutexGuard};

use serde_json::Value;

use super::{
    resource::{Registry, Resource},
    store::{Change, Inner, Key, Store, in_namespace},
};

/// A change of one or several objects under one lock.
pub(crate) struct Transaction<'a> {
    pub(super) store: &'a Store,
    pub(super) inner: MutexGuard<'a, Inner>,
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

    pub(super) fn put_at(
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
        // Watches tell the removed object with the revision of its removal; lists at an older one tell it as it was.
        self.inner.record(
            resource.shelf(),
            Change {
                revision,
                key,
                old: Some(old),
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
