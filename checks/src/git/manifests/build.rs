//! Follows a kustomization through its files and folders.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::kustomization;
use super::document::Document;
use super::{Build, Manifests, Problem};
use crate::yaml;

/// The names that kustomize looks for, in its order.
const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// A manifest larger than this was not written by hand; we do not read it.
const LARGEST_FILE: u64 = 4 << 20;

/// Deeper nesting of folders than this is a mistake.
const DEEPEST: usize = 32;

pub(super) fn folder(manifests: &Manifests, folder: &Path) -> Build {
    let mut builder = Builder::new(manifests);
    builder.kustomization(folder);
    builder.build
}

pub(super) fn under(manifests: &Manifests, folder: &Path) -> Build {
    let mut builder = Builder::new(manifests);
    if let Some(folder) = builder.locate(folder, folder) {
        builder.everything(&folder);
    }
    builder.build
}

/// The documents of one file; empty ones are left out.
pub(super) fn documents(root: &Path, file: &Path) -> Result<Vec<Document>, String> {
    let full = root.join(file);
    let size = full.metadata().map_err(|error| error.to_string())?.len();
    if size > LARGEST_FILE {
        return Err(format!(
            "has {size} bytes, which is more than a manifest should have"
        ));
    }
    let text = std::fs::read_to_string(&full).map_err(|error| error.to_string())?;
    let options = serde_saphyr::options! { leading_zero_numbers_as_strings: true };
    let values: Vec<Value> = serde_saphyr::from_multiple_with_options(&text, options)
        .map_err(|error| format!("is no YAML: {}", yaml::trouble(error)))?;
    let mut documents = Vec::new();
    for value in values.into_iter().filter(|value| !value.is_null()) {
        let items = value.get("items").and_then(Value::as_array).cloned();
        let is_list = value
            .get("kind")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind.ends_with("List"));
        match items.filter(|_| is_list) {
            Some(items) => documents.extend(items.into_iter().map(|value| Document {
                file: file.to_owned(),
                value,
            })),
            None => documents.push(Document {
                file: file.to_owned(),
                value,
            }),
        }
    }
    match documents
        .iter()
        .find(|document| document.kind().is_empty() || document.api_version().is_empty())
    {
        Some(_) => Err("has a document without apiVersion and kind".into()),
        None => Ok(documents),
    }
}

pub(super) struct Builder<'m> {
    pub(super) manifests: &'m Manifests,
    pub(super) build: Build,
    /// The folders that we are inside of, to see a circle.
    open: Vec<PathBuf>,
}

impl<'m> Builder<'m> {
    fn new(manifests: &'m Manifests) -> Self {
        Self {
            manifests,
            build: Build::default(),
            open: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, file: &Path, what: impl Into<String>) {
        self.build.problems.push(Problem {
            file: file.to_owned(),
            what: what.into(),
        });
    }

    pub(super) fn not_applied(&mut self, file: &Path, what: impl Into<String>) {
        self.build.not_applied.push(Problem {
            file: file.to_owned(),
            what: what.into(),
        });
    }

    /// The path from the root of what is there, links followed; a problem of `referrer` if it is not or lies outside.
    pub(super) fn locate(&mut self, referrer: &Path, path: &Path) -> Option<PathBuf> {
        let root = self.manifests.root();
        let Ok(full) = root.join(path).canonicalize() else {
            self.problem(
                referrer,
                format!("refers to {}, which does not exist", path.display()),
            );
            return None;
        };
        match full.strip_prefix(root) {
            Ok(inside) => Some(inside.to_owned()),
            Err(_) => {
                self.problem(
                    referrer,
                    format!(
                        "refers to {}, which lies outside the repository",
                        path.display()
                    ),
                );
                None
            }
        }
    }

    fn kustomization_file(&self, folder: &Path) -> Option<PathBuf> {
        NAMES
            .iter()
            .map(|name| folder.join(name))
            .find(|file| self.manifests.root().join(file).is_file())
    }

    /// What `kustomize build` reads of a folder.
    fn kustomization(&mut self, folder: &Path) {
        let Some(folder) = self.locate(folder, folder) else {
            return;
        };
        let Some(file) = self.kustomization_file(&folder) else {
            self.problem(&folder, "has no kustomization.yaml");
            return;
        };
        if self.open.contains(&folder) || self.open.len() >= DEEPEST {
            self.problem(&file, "refers back to itself");
            return;
        }
        let document = match std::fs::read_to_string(self.manifests.root().join(&file)) {
            Ok(text) => kustomization::document(&file, &text).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match document {
            Ok(document) => {
                self.open.push(folder.clone());
                self.read(&folder, &file, &document);
                self.open.pop();
            }
            Err(why) => self.problem(&file, why),
        }
    }

    fn read(&mut self, folder: &Path, file: &Path, document: &Value) {
        let from = self.build.documents.len();
        let mut entries = match kustomization::listed(document) {
            Ok(entries) => entries,
            Err(why) => {
                self.problem(file, why);
                Vec::new()
            }
        };
        let assumed = self.manifests.assumed_in(file).iter().filter(|assumed| {
            let assumed = kustomization::normalised(assumed);
            !entries
                .iter()
                .any(|entry| kustomization::normalised(entry) == assumed)
        });
        let assumed: Vec<String> = assumed.cloned().collect();
        entries.extend(assumed);
        entries.extend(strings(document, "bases"));
        for entry in &entries {
            self.entry(folder, file, entry);
        }
        // Components work on what was gathered before them, which does not matter to what we look at.
        for entry in strings(document, "components") {
            self.entry(folder, file, &entry);
        }
        self.patches(folder, file, document, from);
        self.referenced_files(folder, file, document);
        let text = |key: &str| {
            document
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        for built in self.build.documents.iter_mut().skip(from) {
            built.rename(text("namePrefix"), text("nameSuffix"));
            if !text("namespace").is_empty() {
                built.set_namespace(text("namespace"));
            }
        }
    }

    fn entry(&mut self, folder: &Path, file: &Path, entry: &str) {
        let path = joined(folder, entry);
        let exists = self.manifests.root().join(&path).exists();
        if !exists && is_remote(entry) {
            self.build.remote.push(entry.to_owned());
            return;
        }
        let Some(path) = self.locate(file, &path) else {
            return;
        };
        if self.manifests.root().join(&path).is_dir() {
            self.kustomization(&path);
        } else {
            self.file(&path);
        }
    }

    fn file(&mut self, file: &Path) {
        match documents(self.manifests.root(), file) {
            Ok(documents) => self.build.documents.extend(documents),
            Err(why) => self.problem(file, why),
        }
    }

    /// What Flux generates a kustomization of: all manifests below, and folders with a kustomization as a whole.
    fn everything(&mut self, folder: &Path) {
        if self.kustomization_file(folder).is_some() {
            self.kustomization(folder);
            return;
        }
        for path in super::flux::children(self.manifests.root(), folder) {
            if self.manifests.root().join(&path).is_dir() {
                self.everything(&path);
            } else if is_manifest(&path) {
                self.file(&path);
            }
        }
    }
}

pub(super) fn strings(value: &Value, key: &str) -> Vec<String> {
    let entries = value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    entries
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

pub(super) fn joined(folder: &Path, entry: &str) -> PathBuf {
    PathBuf::from(
        kustomization::normalised(&format!("{}/{entry}", folder.display())).trim_start_matches('/'),
    )
}

pub(super) fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// kustomize takes these for addresses; a file of that name would have won.
pub(super) fn is_remote(entry: &str) -> bool {
    entry.contains("://")
        || entry.contains("?ref=")
        || entry.starts_with("github.com/")
        || entry.starts_with("git@")
}

pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
