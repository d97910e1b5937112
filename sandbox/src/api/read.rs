//! Getting and listing.

use base64::Engine as _;
use serde_json::{Value, json};

use super::{
    call::Call,
    form::{self, Form},
    refusal::Refusal,
    resource::Resource,
    selector::{FieldSelector, LabelSelector},
    store::{Key, Store},
};

/// Which objects of a collection are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    pub(crate) fn of(call: &Call, resource: &Resource) -> Result<Self, Refusal> {
        let labels = LabelSelector::parse(call.query.get("labelSelector").unwrap_or_default())?;
        let fields = FieldSelector::parse(call.query.get("fieldSelector").unwrap_or_default())?;
        fields.check(resource, &call.version)?;
        Ok(Self { labels, fields })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }
}

/// One object, as asked for.
pub(crate) fn get(store: &Store, call: &Call, resource: &Resource) -> Result<Vec<u8>, Refusal> {
    let namespace = if resource.namespaced {
        call.namespace.as_str()
    } else {
        ""
    };
    let object = store
        .get(resource, namespace, &call.name)
        .ok_or_else(|| Refusal::not_found(&resource.group, &resource.plural, &call.name))?;
    let object = super::rbac_view(store, resource, object);
    Ok(form::one(Form::of(call), resource, &call.version, &object))
}

const TOO_OLD: &str = "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.";

/// A list or a page of one.
pub(crate) fn list(store: &Store, call: &Call, resource: &Resource) -> Result<Vec<u8>, Refusal> {
    let selection = Selection::of(call, resource)?;
    let limit = match call.query.get("limit") {
        // A negative limit is none.
        Some(text) => text
            .parse::<i64>()
            .map_err(|_| Refusal::bad_request(format!("invalid limit: {text}")))
            .map(|limit| usize::try_from(limit).unwrap_or(0))?,
        None => 0,
    };
    let (from, at) = match call.query.get("continue") {
        Some(token) => {
            let (key, revision) = read_token(token).ok_or_else(|| {
                Refusal::bad_request("continue key is not valid: it was not given by this server")
            })?;
            (Some(key), Some(revision))
        }
        None if call.query.get("resourceVersionMatch") == Some("Exact") => {
            let revision = call
                .query
                .get("resourceVersion")
                .and_then(|r| r.parse().ok());
            (None, revision)
        }
        None => (None, None),
    };
    let namespace = if resource.namespaced {
        call.namespace.as_str()
    } else {
        ""
    };
    let listing = store
        .list(resource, namespace, from.as_ref(), at, limit, &|object| {
            selection.matches(object)
        })
        .map_err(|_| Refusal::expired(TOO_OLD))?;
    let mut metadata = json!({ "resourceVersion": listing.revision.to_string() });
    if let Some(key) = &listing.more {
        metadata["continue"] = token(key, listing.revision).into();
        if selection.is_empty() {
            metadata["remainingItemCount"] = listing.remaining.into();
        }
    }
    let items: Vec<_> = listing
        .items
        .into_iter()
        .map(|o| super::rbac_view(store, resource, o))
        .collect();
    Ok(form::list(
        Form::of(call),
        resource,
        &call.version,
        &items,
        metadata,
    ))
}

fn token(key: &Key, revision: u64) -> String {
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    engine.encode(
        json!({ "v": "meta.k8s.io/v1", "rv": revision, "ns": key.0, "start": key.1 }).to_string(),
    )
}

fn read_token(token: &str) -> Option<(Key, u64)> {
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let value: Value = serde_json::from_slice(&engine.decode(token).ok()?).ok()?;
    let key = (
        value["ns"].as_str()?.to_owned(),
        value["start"].as_str()?.to_owned(),
    );
    Some((key, value["rv"].as_u64()?))
}
