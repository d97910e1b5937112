//! Which resources are served: the built-in ones and those of CustomResourceDefinitions.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock},
};

use serde_json::Value;

use super::builtin;

/// One served resource.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) group: String,
    /// Served versions, the preferred one first.
    pub(crate) versions: Vec<String>,
    /// The version that objects are held in.
    pub(crate) storage: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) namespaced: bool,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    /// Whether `status` is a subresource, so that the main endpoint ignores it.
    pub(crate) status: bool,
    /// Subresources besides `status`, with the kind they speak.
    pub(crate) subresources: Vec<(&'static str, &'static str)>,
    /// A question that is answered and not kept (access reviews and the like).
    pub(crate) virtual_: bool,
    /// Set for resources that a CustomResourceDefinition defines.
    pub(crate) custom: Option<Custom>,
}

/// What a CustomResourceDefinition says beyond names.
#[derive(Debug)]
pub(crate) struct Custom {
    /// `openAPIV3Schema` by version.
    pub(crate) schemas: BTreeMap<String, Value>,
    /// `additionalPrinterColumns` by version.
    pub(crate) columns: BTreeMap<String, Vec<Value>>,
    /// `subresources.scale` by version.
    pub(crate) scale: BTreeMap<String, Value>,
    /// `selectableFields` by version, without the leading dot.
    pub(crate) selectable: BTreeMap<String, Vec<String>>,
}

/// Group and plural name, under which objects are held.
pub(crate) type GroupResource = (String, String);

impl Resource {
    /// Where the objects are held; `events.k8s.io` shows the core events.
    pub(crate) fn shelf(&self) -> GroupResource {
        if self.group == "events.k8s.io" {
            return (String::new(), self.plural.clone());
        }
        (self.group.clone(), self.plural.clone())
    }

    /// `apps/v1`, `v1`.
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    /// The `openAPIV3Schema` of a custom resource.
    pub(crate) fn schema(&self, version: &str) -> Option<&Value> {
        self.custom.as_ref()?.schemas.get(version)
    }

    /// Whether `metadata.generation` counts changes of what is wanted.
    pub(crate) fn has_generation(&self) -> bool {
        self.custom.is_some()
            || matches!(
                self.group.as_str(),
                "apps"
                    | "batch"
                    | "policy"
                    | "networking.k8s.io"
                    | "apiextensions.k8s.io"
                    | "admissionregistration.k8s.io"
                    | "discovery.k8s.io"
                    | "scheduling.k8s.io"
                    | "flowcontrol.apiserver.k8s.io"
            )
            || (self.group.is_empty()
                && matches!(self.plural.as_str(), "pods" | "replicationcontrollers"))
    }

    /// The verbs that discovery tells.
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        if self.virtual_ {
            return &["create"];
        }
        if self.group == "metrics.k8s.io" {
            return &["get", "list"];
        }
        if self.group.is_empty() && self.plural == "namespaces" {
            return &[
                "create", "delete", "get", "list", "patch", "update", "watch",
            ];
        }
        &[
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch",
        ]
    }

    /// Reads a CustomResourceDefinition; `None` when it serves nothing that can be read.
    pub(crate) fn from_crd(crd: &Value) -> Option<Self> {
        let spec = &crd["spec"];
        let names = &spec["names"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let list = |value: &Value| -> Vec<String> {
            value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(text)
                .collect()
        };
        let kind = text(&names["kind"])?;
        let mut versions = Vec::new();
        let mut storage = None;
        let mut custom = Custom {
            schemas: BTreeMap::new(),
            columns: BTreeMap::new(),
            scale: BTreeMap::new(),
            selectable: BTreeMap::new(),
        };
        let mut status = false;
        for version in spec["versions"].as_array()? {
            let name = text(&version["name"])?;
            if version["storage"] == true {
                storage = Some(name.clone());
            }
            if version["served"] != true {
                continue;
            }
            status |= version["subresources"].get("status").is_some();
            if let Some(scale) = version["subresources"].get("scale") {
                custom.scale.insert(name.clone(), scale.clone());
            }
            if let Some(columns) = version["additionalPrinterColumns"].as_array() {
                custom.columns.insert(name.clone(), columns.clone());
            }
            if let Some(schema) = version["schema"].get("openAPIV3Schema") {
                custom.schemas.insert(name.clone(), schema.clone());
            }
            let selectable = version["selectableFields"].as_array().into_iter().flatten();
            let selectable = selectable
                .filter_map(|f| Some(f["jsonPath"].as_str()?.trim_start_matches('.').to_owned()));
            custom.selectable.insert(name.clone(), selectable.collect());
            versions.push(name);
        }
        versions
            .sort_by_key(|version| std::cmp::Reverse(super::discovery::version_priority(version)));
        let scale = !custom.scale.is_empty();
        Some(Self {
            group: text(&spec["group"])?,
            storage: storage.or_else(|| versions.first().cloned())?,
            versions,
            plural: text(&names["plural"])?,
            singular: text(&names["singular"]).unwrap_or_else(|| kind.to_lowercase()),
            list_kind: text(&names["listKind"]).unwrap_or_else(|| format!("{kind}List")),
            kind,
            namespaced: spec["scope"] == "Namespaced",
            short_names: list(&names["shortNames"]),
            categories: list(&names["categories"]),
            status,
            subresources: if scale {
                vec![("scale", "Scale")]
            } else {
                Vec::new()
            },
            virtual_: false,
            custom: Some(custom),
        })
    }
}

/// The served resources, looked up by group and plural, or by group and kind.
#[derive(Debug)]
pub(crate) struct Registry {
    builtin: HashMap<GroupResource, Arc<Resource>>,
    custom: RwLock<BTreeMap<String, Arc<Resource>>>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let builtin = builtin::resources()
            .into_iter()
            .map(|r| ((r.group.clone(), r.plural.clone()), Arc::new(r)))
            .collect();
        Self {
            builtin,
            custom: RwLock::new(BTreeMap::new()),
        }
    }

    fn custom(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Resource>>> {
        self.custom
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn find(&self, group: &str, plural: &str) -> Option<Arc<Resource>> {
        if let Some(resource) = self.builtin.get(&(group.to_owned(), plural.to_owned())) {
            return Some(resource.clone());
        }
        self.custom().get(&format!("{plural}.{group}")).cloned()
    }

    /// Whether a group and version is one of those that every API server has.
    pub(crate) fn has_builtin(&self, group: &str, version: &str) -> bool {
        self.builtin
            .values()
            .any(|r| r.group == group && r.versions.iter().any(|v| v == version))
    }

    pub(crate) fn find_kind(&self, group: &str, kind: &str) -> Option<Arc<Resource>> {
        let matches = |r: &&Arc<Resource>| r.group == group && r.kind == kind && !r.virtual_;
        self.builtin
            .values()
            .find(matches)
            .cloned()
            .or_else(|| self.custom().values().find(matches).cloned())
    }

    /// All resources, ordered by group and plural.
    pub(crate) fn all(&self) -> Vec<Arc<Resource>> {
        let mut all: Vec<_> = self
            .builtin
            .values()
            .cloned()
            .chain(self.custom().values().cloned())
            .collect();
        all.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural)));
        all
    }

    /// Serves what a CustomResourceDefinition says from now on.
    pub(crate) fn define(&self, crd: &Value) {
        let Some(name) = crd["metadata"]["name"].as_str() else {
            return;
        };
        let mut custom = self
            .custom
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match Resource::from_crd(crd) {
            Some(resource) => custom.insert(name.to_owned(), Arc::new(resource)),
            None => custom.remove(name),
        };
    }

    /// Ends the serving of a CustomResourceDefinition's resources.
    pub(crate) fn forget(&self, name: &str) {
        self.custom
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(name);
    }
}
