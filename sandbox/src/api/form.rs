//! In which shape objects are told: whole, metadata only, or as a Table.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::{call::Call, resource::Resource, table};

/// The shape that a client asked for with `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Object,
    Metadata,
    /// With metadata, whole objects or nothing in the rows.
    Table(Include),
}

/// `includeObject` of a Table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl Form {
    /// Reads the header: the first shape that we can make.
    pub(crate) fn of(call: &Call) -> Self {
        for part in call.accept.split(',') {
            let part = part.trim();
            if !part.starts_with("application/json") && !part.starts_with("*/*") {
                continue;
            }
            let named = |wanted: &str| part.split(';').any(|p| p.trim() == wanted);
            if named("as=Table") {
                let include = match call.query.get("includeObject") {
                    Some("None") => Include::None,
                    Some("Object") => Include::Object,
                    _ => Include::Metadata,
                };
                return Self::Table(include);
            }
            if named("as=PartialObjectMetadata") || named("as=PartialObjectMetadataList") {
                return Self::Metadata;
            }
            return Self::Object;
        }
        Self::Object
    }
}

/// Whether one of the media types is one that an API server has. We answer all of them in JSON.
pub(crate) fn acceptable(accept: &str) -> bool {
    accept.is_empty()
        || accept.split(',').any(|part| {
            let media = part.split(';').next().unwrap_or_default().trim();
            matches!(
                media,
                "application/json"
                    | "application/yaml"
                    | "application/vnd.kubernetes.protobuf"
                    | "application/*"
                    | "*/*"
            )
        })
}

/// An object on its way out, in the version asked for, without copying it.
pub(crate) struct Out<'a> {
    pub(crate) object: &'a Value,
    pub(crate) api_version: &'a str,
    /// Items of built-in lists do not repeat `kind` and `apiVersion`.
    pub(crate) typed: bool,
}

impl Serialize for Out<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(map) = self.object.as_object() else {
            return self.object.serialize(serializer);
        };
        let mut out = serializer.serialize_map(None)?;
        for (key, value) in map {
            match key.as_str() {
                "apiVersion" | "kind" if !self.typed => {}
                "apiVersion" => out.serialize_entry(key, self.api_version)?,
                _ => out.serialize_entry(key, value)?,
            }
        }
        out.end()
    }
}

/// An object as the version asked for has it; the same but for events, whose two groups name fields differently.
pub(crate) fn in_version<'a>(resource: &Resource, object: &'a Value) -> Cow<'a, Value> {
    if resource.group != "events.k8s.io" {
        return Cow::Borrowed(object);
    }
    let mut event = object.clone();
    event["apiVersion"] = "events.k8s.io/v1".into();
    if let Some(map) = event.as_object_mut() {
        for (core, new) in [
            ("involvedObject", "regarding"),
            ("message", "note"),
            ("source", "deprecatedSource"),
            ("firstTimestamp", "deprecatedFirstTimestamp"),
            ("lastTimestamp", "deprecatedLastTimestamp"),
            ("count", "deprecatedCount"),
            ("reportingComponent", "reportingController"),
        ] {
            if let Some(value) = map.remove(core) {
                map.insert(new.to_owned(), value);
            }
        }
    }
    Cow::Owned(event)
}

/// A body of the events group as core events hold it.
pub(crate) fn from_version(resource: &Resource, mut body: Value) -> Value {
    if resource.group == "events.k8s.io"
        && let Some(map) = body.as_object_mut()
    {
        for (core, new) in [
            ("involvedObject", "regarding"),
            ("message", "note"),
            ("source", "deprecatedSource"),
            ("reportingComponent", "reportingController"),
        ] {
            if let Some(value) = map.remove(new) {
                map.insert(core.to_owned(), value);
            }
        }
    }
    body
}

fn metadata_only(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

/// One object.
pub(crate) fn one(form: Form, resource: &Resource, version: &str, object: &Value) -> Vec<u8> {
    let converted = in_version(resource, object);
    let api_version = resource.api_version(version);
    match form {
        Form::Object => bytes(&Out {
            object: &converted,
            api_version: &api_version,
            typed: true,
        }),
        Form::Metadata => bytes(&metadata_only(object)),
        Form::Table(include) => {
            let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
            bytes(&table::render(
                resource,
                version,
                &[object],
                include,
                metadata,
                true,
            ))
        }
    }
}

/// A list.
pub(crate) fn list(
    form: Form,
    resource: &Resource,
    version: &str,
    items: &[std::sync::Arc<Value>],
    metadata: Value,
) -> Vec<u8> {
    let api_version = resource.api_version(version);
    let refs: Vec<&Value> = items.iter().map(AsRef::as_ref).collect();
    match form {
        Form::Table(include) => bytes(&table::render(
            resource, version, &refs, include, metadata, true,
        )),
        Form::Metadata => bytes(&json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "items": refs.iter().map(|o| metadata_only(o)).collect::<Vec<_>>(),
        })),
        Form::Object => {
            #[derive(serde::Serialize)]
            struct List<'a> {
                kind: &'a str,
                #[serde(rename = "apiVersion")]
                api_version: &'a str,
                metadata: Value,
                items: Vec<Out<'a>>,
            }
            let typed = resource.custom.is_some();
            let converted: Vec<Cow<'_, Value>> =
                refs.iter().map(|o| in_version(resource, o)).collect();
            let items = converted
                .iter()
                .map(|object| Out {
                    object,
                    api_version: &api_version,
                    typed,
                })
                .collect();
            bytes(&List {
                kind: &resource.list_kind,
                api_version: &api_version,
                metadata,
                items,
            })
        }
    }
}

/// JSON. Values that came in as JSON always go out as JSON; an empty body is the answer to the impossible.
pub(crate) fn bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
