//! One object as the server sent it.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use kube::api::DynamicObject;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

/// One object as compact text: as a tree of values it would take ten times as much, and a cluster may have 20,000 pods.
/// Cheap to clone, so that a list can be copied at each event of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object(Arc<str>);

/// The parts of an object that are looked at by name; the others stay as they came.
type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The list of who wrote what, which is often longer than the rest of the object.
const MANAGED: &str = "managedFields";
/// The part of it that names each field. No check reads it; who wrote when is read.
const WRITTEN: &str = "fieldsV1";

impl Object {
    /// Takes an object of a list.
    pub(super) fn sent(raw: &RawValue) -> Self {
        Self::of(raw.get())
    }

    /// Takes an object of a watch.
    pub(super) fn watched(object: &DynamicObject) -> Self {
        Self::of(&serde_json::to_string(object).unwrap_or_default())
    }

    fn of(text: &str) -> Self {
        Self(match without_field_names(text) {
            Some(shorter) => shorter.into(),
            None => text.into(),
        })
    }

    /// The object as a type.
    ///
    /// # Errors
    /// It is not one.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0)
    }

    /// `namespace/name`, or only the name; empty where that cannot be told.
    pub(super) fn name(&self) -> String {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Named {
            metadata: Metadata,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Metadata {
            namespace: String,
            name: String,
        }
        let Named { metadata } = self.read().unwrap_or_default();
        if metadata.namespace.is_empty() {
            metadata.name
        } else {
            format!("{}/{}", metadata.namespace, metadata.name)
        }
    }
}

/// The same without the names of the fields that each writer has written; nothing where there are none.
fn without_field_names(text: &str) -> Option<String> {
    if !text.contains(WRITTEN) {
        return None;
    }
    let mut object: Fields<'_> = serde_json::from_str(text).ok()?;
    let mut metadata: Fields<'_> = serde_json::from_str(object.get("metadata")?.get()).ok()?;
    let mut writers: Vec<Fields<'_>> = serde_json::from_str(metadata.get(MANAGED)?.get()).ok()?;
    for writer in &mut writers {
        writer.remove(WRITTEN);
    }
    let writers = serde_json::value::to_raw_value(&writers).ok()?;
    metadata.insert(MANAGED.into(), &writers);
    let metadata = serde_json::value::to_raw_value(&metadata).ok()?;
    object.insert("metadata".into(), &metadata);
    serde_json::to_string(&object).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sent(value: &Value) -> Object {
        Object::sent(&serde_json::value::to_raw_value(value).unwrap())
    }

    #[test]
    fn what_was_sent_is_read_but_for_the_names_of_written_fields() {
        let mut pod = json!({
            "metadata": {
                "name": "a \"quoted\" \u{e9} name", "namespace": "n", "annotations": {"note": "fieldsV1 is a word"},
                "managedFields": [
                    {"manager": "kubectl", "time": "2026-11-22T10:15:00Z", "fieldsV1": {"f:spec": {}}},
                    {"manager": "kubelet", "subresource": "status", "fieldsV1": {"f:status": {}}},
                ],
            },
            "spec": {"fieldsV1": {"kept": 1.5}, "list": [1, null, true]},
        });
        let kept = sent(&pod);
        for writer in pod["metadata"]["managedFields"].as_array_mut().unwrap() {
            writer.as_object_mut().unwrap().remove("fieldsV1");
        }
        assert_eq!(kept.read::<Value>().unwrap(), pod);
        assert_eq!(kept.name(), "n/a \"quoted\" \u{e9} name");
    }

    #[test]
    fn what_has_no_metadata_stays_as_it_came() {
        for odd in [
            json!({"fieldsV1": 1}),
            json!(["fieldsV1"]),
            json!({"metadata": {"managedFields": "fieldsV1"}}),
            json!({"metadata": null, "a": "fieldsV1"}),
            json!("fieldsV1"),
        ] {
            assert_eq!(sent(&odd).read::<Value>().unwrap(), odd);
            assert_eq!(sent(&odd).name(), "");
        }
        assert_eq!(sent(&json!({"metadata": {"name": "k3s1"}})).name(), "k3s1");
    }
}
