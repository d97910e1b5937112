//! How lists and maps merge: as one value, as a set, or by the keys of their items.
//!
//! Built-in kinds follow the markers of the upstream types (`+listType`, `patchMergeKey`), custom resources the
//! `x-kubernetes-*` extensions of their schema.

use serde_json::Value;

/// How a list merges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListKind {
    Atomic,
    Set,
    /// By these keys of its items.
    Map(Vec<String>),
}

/// Where in an object we are, as far as merging asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Typing<'a> {
    /// In a built-in kind: the field, and the field that holds it.
    Builtin { parent: &'a str, field: &'a str },
    /// In a custom resource: the schema of the value.
    Schema { schema: &'a Value, root: bool },
    /// Nothing is known: maps merge, lists are one value.
    Free,
}

impl<'a> Typing<'a> {
    pub(crate) fn root(schema: Option<&'a Value>, custom: bool) -> Self {
        match (schema, custom) {
            (Some(schema), _) => Self::Schema { schema, root: true },
            (None, true) => Self::Free,
            (None, false) => Self::Builtin {
                parent: "",
                field: "",
            },
        }
    }

    pub(crate) fn child(self, name: &'a str) -> Self {
        match self {
            Self::Builtin { field, .. } => Self::Builtin {
                parent: field,
                field: name,
            },
            Self::Schema { root: true, .. } if name == "metadata" => Self::Builtin {
                parent: "",
                field: "metadata",
            },
            Self::Schema { schema, .. } => {
                let known = schema["properties"]
                    .get(name)
                    .or_else(|| schema.get("additionalProperties"));
                match known {
                    Some(schema) if schema.is_object() => Self::Schema {
                        schema,
                        root: false,
                    },
                    _ => Self::Free,
                }
            }
            Self::Free => Self::Free,
        }
    }

    pub(crate) fn items(self) -> Self {
        match self {
            Self::Schema { schema, .. } if schema["items"].is_object() => Self::Schema {
                schema: &schema["items"],
                root: false,
            },
            Self::Schema { .. } => Self::Free,
            other => other,
        }
    }

    /// Whether a map is one value.
    pub(crate) fn atomic_map(self) -> bool {
        match self {
            Self::Builtin { field, .. } => {
                matches!(
                    field,
                    "nodeSelector" | "selector" | "labelSelector" | "roleRef" | "nodeSelectorTerms"
                )
            }
            Self::Schema { schema, .. } => schema["x-kubernetes-map-type"] == "atomic",
            Self::Free => false,
        }
    }

    /// How the list here merges in server-side apply.
    pub(crate) fn list(self) -> ListKind {
        let map = |keys: &[&str]| ListKind::Map(keys.iter().map(|k| (*k).to_owned()).collect());
        match self {
            Self::Free => ListKind::Atomic,
            Self::Schema { schema, .. } => match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => ListKind::Set,
                Some("map") => {
                    let keys = schema["x-kubernetes-list-map-keys"]
                        .as_array()
                        .into_iter()
                        .flatten();
                    ListKind::Map(keys.filter_map(|k| k.as_str().map(str::to_owned)).collect())
                }
                _ => ListKind::Atomic,
            },
            Self::Builtin { parent, field } => match (parent, field) {
                ("containers" | "initContainers" | "ephemeralContainers", "ports") => {
                    map(&["containerPort", "protocol"])
                }
                ("spec", "ports") => map(&["port", "protocol"]),
                ("spec", "topologySpreadConstraints") => map(&["topologyKey", "whenUnsatisfiable"]),
                ("metadata" | "spec", "finalizers") | ("spec", "podCIDRs" | "accessModes") => {
                    ListKind::Set
                }
                _ => match merge_key(parent, field) {
                    Some(key) => map(&[key]),
                    None => ListKind::Atomic,
                },
            },
        }
    }

    /// How the list here merges in a strategic merge patch, which knows a single key.
    pub(crate) fn strategic(self) -> ListKind {
        match self {
            Self::Builtin {
                parent: "containers" | "initContainers" | "ephemeralContainers",
                field: "ports",
            } => ListKind::Map(vec!["containerPort".to_owned()]),
            Self::Builtin {
                parent: "spec",
                field: "ports",
            } => ListKind::Map(vec!["port".to_owned()]),
            Self::Builtin {
                parent: "spec",
                field: "topologySpreadConstraints",
            } => ListKind::Map(vec!["topologyKey".to_owned()]),
            Self::Builtin {
                parent: "spec",
                field: "accessModes",
            } => ListKind::Atomic,
            other => other.list(),
        }
    }
}

/// The key of lists that merge by one key. Taints and tolerations are not among them, upstream too.
fn merge_key(parent: &str, field: &str) -> Option<&'static str> {
    Some(match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "webhooks"
        | "secrets"
        | "resourceClaims"
        | "validations" => "name",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "conditions" | "addresses" => "type",
        "ownerReferences" => "uid",
        "hostAliases" | "podIPs" | "hostIPs" => "ip",
        "drivers" if parent == "spec" => "name",
        _ => return None,
    })
}

/// The item of a list that has the same keys; a missing `protocol` is TCP.
pub(crate) fn same_item(keys: &[String], a: &Value, b: &Value) -> bool {
    keys.iter()
        .all(|key| key_value(a, key) == key_value(b, key))
}

/// The value of a key of a list's item.
pub(crate) fn key_value(item: &Value, key: &str) -> Value {
    match &item[key] {
        Value::Null if key == "protocol" => Value::String("TCP".to_owned()),
        other => other.clone(),
    }
}
