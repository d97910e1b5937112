//! What kustomize would build from a folder of a commit: the resources, with namespace and JSON patches applied.

use std::path::Path;

use git2::{ObjectType, Oid, Repository, Tree};
use serde_json::Value;

use crate::world::make::{items, name, text};

/// Why a folder does not build.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BuildTrouble(String);

impl From<git2::Error> for BuildTrouble {
    fn from(error: git2::Error) -> Self {
        Self(error.message().to_owned())
    }
}

/// Builds `path` of a commit in the repository at `repository`.
pub(crate) fn build_at(
    repository: &Path,
    commit: &str,
    path: &str,
) -> Result<Vec<Value>, BuildTrouble> {
    let repository = Repository::open_bare(repository)?;
    let tree = repository.find_commit(Oid::from_str(commit)?)?.tree()?;
    let builder = Builder {
        repository: &repository,
        tree,
    };
    builder.folder(&normal(path)?, 0)
}

struct Builder<'a> {
    repository: &'a Repository,
    tree: Tree<'a>,
}

impl Builder<'_> {
    fn folder(&self, folder: &str, depth: usize) -> Result<Vec<Value>, BuildTrouble> {
        if depth > 16 {
            return Err(BuildTrouble(format!(
                "kustomization path {folder}: resources refer to each other in a circle"
            )));
        }
        let Some(text) = self.file(&join(folder, "kustomization.yaml")?)? else {
            return self.plain(folder);
        };
        let kustomization: Value = serde_saphyr::from_str(&text).map_err(|error| {
            BuildTrouble(format!(
                "{folder}/kustomization.yaml: invalid YAML: {error}"
            ))
        })?;
        let mut objects = Vec::new();
        for resource in items(&kustomization["resources"])
            .iter()
            .filter_map(Value::as_str)
        {
            let path = join(folder, resource)?;
            match self.kind(&path) {
                Some(ObjectType::Tree) => objects.extend(self.folder(&path, depth + 1)?),
                Some(ObjectType::Blob) => objects.extend(self.documents(&path)?),
                _ => {
                    return Err(BuildTrouble(format!(
                        "kustomize build failed: accumulating resources: accumulation err='accumulating resources \
                         from '{resource}': no such file or directory'"
                    )));
                }
            }
        }
        if let Some(namespace) = kustomization["namespace"].as_str() {
            objects
                .iter_mut()
                .for_each(|object| set_namespace(object, namespace));
        }
        for patch in items(&kustomization["patches"]) {
            self.patch(folder, patch, &mut objects)?;
        }
        Ok(objects)
    }

    /// A folder without a kustomization: every manifest in it.
    fn plain(&self, folder: &str) -> Result<Vec<Value>, BuildTrouble> {
        let tree = if folder.is_empty() {
            self.tree.clone()
        } else {
            let entry = self.tree.get_path(Path::new(folder)).map_err(|_| {
                BuildTrouble(format!(
                    "kustomization path not found: stat /{folder}: no such file or directory"
                ))
            })?;
            entry.to_object(self.repository)?.peel_to_tree()?
        };
        let mut objects = Vec::new();
        for entry in &tree {
            let file = entry.name().unwrap_or_default().to_owned();
            if file.ends_with(".yaml") || file.ends_with(".yml") {
                objects.extend(self.documents(&join(folder, &file)?)?);
            }
        }
        Ok(objects)
    }

    fn documents(&self, path: &str) -> Result<Vec<Value>, BuildTrouble> {
        let text = self.file(path)?.unwrap_or_default();
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
            .map_err(|error| BuildTrouble(format!("{path}: invalid YAML: {error}")))?;
        let objects: Vec<Value> = documents.into_iter().filter(Value::is_object).collect();
        for object in &objects {
            if name(object).is_empty() || text_of(object, "kind").is_empty() {
                return Err(BuildTrouble(format!(
                    "{path}: missing metadata.name or kind in object"
                )));
            }
        }
        Ok(objects)
    }

    fn patch(
        &self,
        folder: &str,
        patch: &Value,
        objects: &mut [Value],
    ) -> Result<(), BuildTrouble> {
        let content = match patch["path"].as_str() {
            Some(path) => self.file(&join(folder, path)?)?.unwrap_or_default(),
            None => text(&patch["patch"]).to_owned(),
        };
        let document: Value = serde_saphyr::from_str(&content)
            .map_err(|error| BuildTrouble(format!("{folder}: invalid patch: {error}")))?;
        let target = &patch["target"];
        let matches = |object: &Value| {
            if target.is_null() {
                object["kind"] == document["kind"] && name(object) == name(&document)
            } else {
                ["kind", "name", "namespace"].iter().all(|key| {
                    let there = if *key == "kind" {
                        &object["kind"]
                    } else {
                        &object["metadata"][*key]
                    };
                    target[*key].is_null() || &target[*key] == there
                })
            }
        };
        for object in objects.iter_mut().filter(|object| matches(object)) {
            if document.is_array() {
                let operations: json_patch::Patch = serde_json::from_value(document.clone())
                    .map_err(|error| BuildTrouble(format!("{folder}: invalid patch: {error}")))?;
                json_patch::patch(object, &operations)
                    .map_err(|error| BuildTrouble(format!("{folder}: {error}")))?;
            } else {
                crate::world::memory::merge_patch(object, &document);
            }
        }
        Ok(())
    }

    fn kind(&self, path: &str) -> Option<ObjectType> {
        self.tree.get_path(Path::new(path)).ok()?.kind()
    }

    fn file(&self, path: &str) -> Result<Option<String>, BuildTrouble> {
        let Ok(entry) = self.tree.get_path(Path::new(path)) else {
            return Ok(None);
        };
        let blob = entry.to_object(self.repository)?.peel_to_blob()?;
        Ok(Some(String::from_utf8_lossy(blob.content()).into_owned()))
    }
}

fn text_of<'a>(object: &'a Value, key: &str) -> &'a str {
    text(&object[key])
}

/// Sets the namespace of an object that has one; the kinds of the cluster itself keep none.
pub(crate) fn set_namespace(object: &mut Value, namespace: &str) {
    let cluster = matches!(
        text_of(object, "kind"),
        "Namespace"
            | "ClusterRole"
            | "ClusterRoleBinding"
            | "CustomResourceDefinition"
            | "StorageClass"
            | "PersistentVolume"
    );
    if !cluster {
        object["metadata"]["namespace"] = namespace.into();
    }
}

fn join(folder: &str, path: &str) -> Result<String, BuildTrouble> {
    normal(&format!("{folder}/{path}"))
}

/// Resolves `.` and `..`; a path that leaves the repository is refused.
fn normal(path: &str) -> Result<String, BuildTrouble> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(|| {
                    BuildTrouble(format!("{path}: path outside of the repository"))
                })?;
            }
            other => parts.push(other),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_repository() {
        assert_eq!(normal("./a/../b/").unwrap(), "b");
        assert!(normal("a/../../b").is_err());
    }
}
