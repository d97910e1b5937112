//! What becomes of an object that is changed: what stays as it was, what counts, and when it is gone.

use std::sync::Arc;

use serde_json::Value;

use super::{
    apply, defaults, node_restriction,
    refusal::{Cause, Refusal},
    resource::Resource,
    transaction::Transaction,
    validate,
    write::Writer,
    zeros,
};

impl Writer<'_> {
    /// Makes a changed object what the endpoint may make of it: identity and the other half stay as they were.
    pub(crate) fn accept(&self, old: &Value, mut new: Value) -> Result<Value, Refusal> {
        if let Some(revision) = new["metadata"]["resourceVersion"]
            .as_str()
            .filter(|v| !v.is_empty() && *v != "0")
            && old["metadata"]["resourceVersion"] != revision
        {
            if revision.parse::<u64>().is_err() {
                return Err(Refusal::unexpected(unreadable(revision)));
            }
            return Err(Refusal::stale(self.resource, &self.call.name));
        }
        if let Some(uid) = new["metadata"]["uid"]
            .as_str()
            .filter(|uid| !uid.is_empty())
            && old["metadata"]["uid"] != uid
        {
            if self.call.verb == "patch" {
                let cause = Cause::invalid("metadata.uid", &uid.into(), "field is immutable");
                return Err(Refusal::invalid(self.resource, &self.call.name, &[cause]));
            }
            let found = old["metadata"]["uid"].as_str().unwrap_or_default();
            let why = format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {found}"
            );
            return Err(Refusal::conflict(self.resource, &self.call.name, &why));
        }
        let status_only = self.call.subresource == "status";
        if status_only {
            let status = new["status"].take();
            let metadata = new["metadata"].take();
            new = old.clone();
            put_or_remove(&mut new, "status", status);
            if self.resource.custom.is_none() {
                new["metadata"] = metadata;
            } else if metadata.get("managedFields").is_some() {
                new["metadata"]["managedFields"] = metadata["managedFields"].clone();
            }
        } else if self.resource.status {
            put_or_remove(&mut new, "status", old["status"].clone());
        }
        new["apiVersion"] = self.resource.api_version(&self.resource.storage).into();
        new["kind"] = self.resource.kind.clone().into();
        for key in [
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "resourceVersion",
            "selfLink",
            "namespace",
            "name",
        ] {
            put_or_remove(&mut new["metadata"], key, old["metadata"][key].clone());
        }
        if new["metadata"].get("managedFields").is_none() {
            put_or_remove(
                &mut new["metadata"],
                "managedFields",
                old["metadata"]["managedFields"].clone(),
            );
        }
        defaults::identify(self.resource, &mut new);
        defaults::without_nulls(&mut new);
        zeros::fill(self.resource, &mut new);
        if !status_only {
            defaults::fill(self.resource, &mut new);
            count_template(self.resource, old, &mut new);
            if self.resource.plural == "services" && self.resource.group.is_empty() {
                keep_allocations(old, &mut new);
            }
        }
        node_restriction::check_labels(self.call, old, &new)?;
        if old["metadata"].get("deletionTimestamp").is_some() {
            let before = old["metadata"]["finalizers"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let added: Vec<&Value> = new["metadata"]["finalizers"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|f| !before.contains(f))
                .collect();
            if !added.is_empty() {
                let list = added
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ");
                let why = format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
                );
                // Told twice: once for every object, once for the kind.
                let cause = Cause::forbidden("metadata.finalizers", &why);
                return Err(Refusal::invalid(
                    self.resource,
                    &self.call.name,
                    &[cause.clone(), cause],
                ));
            }
        }
        if !status_only && self.call.subresource.is_empty() {
            validate::changed_object(self.resource, &self.call.version, old, &new)?;
        }
        if self.resource.has_generation() && wanted_part(old) != wanted_part(&new) {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            new["metadata"]["generation"] = generation.into();
        }
        Ok(new)
    }

    /// Keeps a changed object; nothing happens when nothing differs, and the object goes when nothing holds it.
    pub(crate) fn keep(
        &self,
        transaction: &mut Transaction<'_>,
        old: &Arc<Value>,
        mut new: Value,
        track: bool,
    ) -> Result<Arc<Value>, Refusal> {
        if track {
            let version = &self.resource.storage;
            apply::track_update(self.resource, version, &self.manager(), Some(old), &mut new);
        }
        if **old == new || same_but_times(old, &new) {
            return Ok(old.clone());
        }
        let key = (
            new["metadata"]["namespace"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            new["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
        if is_finished(self.resource, &new) {
            transaction.put(self.resource, key.clone(), new.clone());
            return Ok(transaction
                .remove(self.resource, key)
                .unwrap_or_else(|| Arc::new(new)));
        }
        Ok(transaction.put(self.resource, key, new))
    }
}

/// Whether an object that is being deleted is held by nothing any more.
pub(crate) fn is_finished(resource: &Resource, object: &Value) -> bool {
    let metadata = &object["metadata"];
    if metadata.get("deletionTimestamp").is_none()
        || metadata["finalizers"]
            .as_array()
            .is_some_and(|f| !f.is_empty())
    {
        return false;
    }
    if resource.group.is_empty() && resource.plural == "namespaces" {
        return object["spec"]["finalizers"]
            .as_array()
            .is_none_or(Vec::is_empty);
    }
    metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
}

/// What a real server says of a version that is no number.
pub(crate) fn unreadable(version: &str) -> String {
    format!("strconv.ParseUint: parsing \"{version}\": invalid syntax")
}

/// A DaemonSet counts the changes of its template in an annotation, which nobody else sets.
fn count_template(resource: &Resource, old: &Value, new: &mut Value) {
    if resource.group != "apps" || resource.plural != "daemonsets" {
        return;
    }
    let before = old["metadata"]["annotations"][defaults::TEMPLATE]
        .as_str()
        .and_then(|text| text.parse::<u64>().ok());
    let Some(before) = before else {
        return;
    };
    let changed = old["spec"]["template"] != new["spec"]["template"];
    if !new["metadata"]["annotations"].is_object() {
        new["metadata"]["annotations"] = serde_json::json!({});
    }
    new["metadata"]["annotations"][defaults::TEMPLATE] =
        (before + u64::from(changed)).to_string().into();
}

fn put_or_remove(object: &mut Value, key: &str, value: Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    if value.is_null() {
        map.remove(key);
    } else {
        map.insert(key.to_owned(), value);
    }
}

/// What `metadata.generation` counts: everything but metadata and status.
fn wanted_part(object: &Value) -> Vec<(&String, &Value)> {
    object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !matches!(key.as_str(), "metadata" | "status" | "apiVersion" | "kind"))
        .collect()
}

fn same_but_times(old: &Value, new: &Value) -> bool {
    let timeless = |object: &Value| {
        let mut object = object.clone();
        for entry in object["metadata"]["managedFields"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some(map) = entry.as_object_mut() {
                map.remove("time");
            }
        }
        object
    };
    old["spec"] == new["spec"] && old["status"] == new["status"] && timeless(old) == timeless(new)
}

/// A Service keeps addresses and ports that were allocated, when the new object does not say otherwise.
fn keep_allocations(old: &Value, new: &mut Value) {
    for (at, port) in new["spec"]["ports"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let former = &old["spec"]["ports"][at];
        if former["port"] == port["port"]
            && !former["nodePort"].is_null()
            && port.get("nodePort").is_none()
        {
            port["nodePort"] = former["nodePort"].clone();
        }
    }
}
