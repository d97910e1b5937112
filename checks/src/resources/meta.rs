//! Metadata of custom resources.
#![expect(
    missing_docs,
    reason = "fields are named as in the reference of Kubernetes, which explains them"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// The part of an object's metadata that checks look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub generation: i64,
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    pub deletion_timestamp: Option<String>,
}

impl Meta {
    /// `flux-system/infrastructure-storage`, as it is named in messages.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Reads `null` as empty: controllers written in Go write it for a list or map that they never filled.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
