//! The Flux Kustomizations that stand in the repository, and which of them build an object.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::kustomization::normalised;
use super::build::{documents, is_manifest};
use super::{Document, Manifests, Problem};

const GROUP: &str = "kustomize.toolkit.fluxcd.io";

/// One `Kustomization` of `kustomize.toolkit.fluxcd.io`, as a file of the repository declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct FluxKustomization {
    /// `metadata.name`
    pub name: String,
    /// `metadata.namespace`; empty if it is not set.
    pub namespace: String,
    /// The folder that it builds, from the root of the repository, normalised.
    pub path: PathBuf,
    /// `spec.targetNamespace`: every object is put there.
    pub target_namespace: Option<String>,
    /// `spec.wait`
    pub wait: bool,
    /// `spec.suspend`
    pub suspended: bool,
    /// The names in `spec.dependsOn`.
    pub depends_on: Vec<String>,
    /// `spec.sourceRef.kind` and name, for example `GitRepository/flux-system`.
    pub source: String,
    /// The object as it stands, with its file.
    pub document: Document,
}

/// A Flux Kustomization that builds the object that was asked for.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Who builds it.
    pub kustomization: FluxKustomization,
    /// The object as built; its namespace is where it would be put.
    pub document: Document,
}

impl FluxKustomization {
    fn of(document: Document) -> Self {
        let flag = |pointer| {
            document
                .value
                .pointer(pointer)
                .and_then(Value::as_bool)
                .unwrap_or(false)
        };
        let depends_on = document
            .value
            .pointer("/spec/dependsOn")
            .and_then(Value::as_array);
        let target = document.text("/spec/targetNamespace");
        Self {
            name: document.name().to_owned(),
            namespace: document.namespace().unwrap_or_default().to_owned(),
            path: PathBuf::from(normalised(document.text("/spec/path")).trim_start_matches('/')),
            target_namespace: Some(target.to_owned()).filter(|target| !target.is_empty()),
            wait: flag("/spec/wait"),
            suspended: flag("/spec/suspend"),
            depends_on: depends_on
                .into_iter()
                .flatten()
                .filter_map(|dependency| dependency.get("name")?.as_str().map(str::to_owned))
                .collect(),
            source: format!(
                "{}/{}",
                document.text("/spec/sourceRef/kind"),
                document.text("/spec/sourceRef/name")
            ),
            document,
        }
    }
}

pub(super) fn find(manifests: &Manifests) -> (Vec<FluxKustomization>, Vec<Problem>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for path in children(manifests.root(), &folder) {
            let full = manifests.root().join(&path);
            if full.is_dir() {
                folders.push(path);
            } else if is_manifest(&path) && mentions_flux(&full) {
                match documents(manifests.root(), &path) {
                    Ok(documents) => found.extend(
                        documents
                            .into_iter()
                            .filter(|document| {
                                document.group() == GROUP && document.kind() == "Kustomization"
                            })
                            .map(FluxKustomization::of),
                    ),
                    Err(what) => problems.push(Problem { file: path, what }),
                }
            }
        }
    }
    found.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    (found, problems)
}

pub(super) fn owners(manifests: &Manifests, group: &str, kind: &str, name: &str) -> Vec<Owner> {
    let mut owners = Vec::new();
    for kustomization in find(manifests).0 {
        for mut document in manifests.documents_under(&kustomization.path).documents {
            if document.group() == group && document.kind() == kind && document.name() == name {
                if let Some(namespace) = &kustomization.target_namespace {
                    document.set_namespace(namespace);
                }
                owners.push(Owner {
                    kustomization: kustomization.clone(),
                    document,
                });
            }
        }
    }
    owners
}

/// What lies in a folder, sorted, without git's own folder and without links.
pub(super) fn children(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root.join(folder))
        .into_iter()
        .flatten()
        .flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| {
            entry.file_name() != ".git" && entry.file_type().is_ok_and(|kind| !kind.is_symlink())
        })
        .map(|entry| folder.join(entry.file_name()))
        .collect();
    paths.sort();
    paths
}

fn mentions_flux(file: &Path) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text.contains(GROUP))
}
