//! One object of a YAML file.

use std::path::PathBuf;

use serde_json::{Map, Value};

/// One object and the file that it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The file, from the root of the work tree.
    pub file: PathBuf,
    /// The object, patches applied.
    pub value: Value,
}

/// Kinds without a namespace, which kustomize leaves alone when it sets one. All are of Kubernetes' own groups, as it
/// cannot know the scope of others.
const CLUSTER_SCOPED: [&str; 14] = [
    "APIService",
    "CSIDriver",
    "CSINode",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
    "ValidatingWebhookConfiguration",
];

impl Document {
    /// `apiVersion`, or an empty text.
    #[must_use]
    pub fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// The group of `apiVersion`; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version()
            .split_once('/')
            .map_or("", |(group, _)| group)
    }

    /// `kind`, or an empty text.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `metadata.name`, or an empty text.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `metadata.namespace`, if it is set.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.value
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
    }

    /// The text at this JSON pointer, or an empty one.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(super) fn set_namespace(&mut self, namespace: &str) {
        let group = self.group();
        let own_group = !group.contains('.') || group.ends_with(".k8s.io");
        if own_group && CLUSTER_SCOPED.contains(&self.kind()) {
            return;
        }
        self.set_metadata("namespace", namespace.to_owned());
    }

    pub(super) fn rename(&mut self, prefix: &str, suffix: &str) {
        let exempt = matches!(
            self.kind(),
            "Namespace" | "CustomResourceDefinition" | "APIService"
        );
        if !(exempt || prefix.is_empty() && suffix.is_empty()) {
            let name = format!("{prefix}{}{suffix}", self.name());
            self.set_metadata("name", name);
        }
    }

    fn set_metadata(&mut self, key: &str, value: String) {
        let Some(object) = self.value.as_object_mut() else {
            return;
        };
        let metadata = object
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert(key.to_owned(), Value::String(value));
        }
    }
}
