//! What a kustomization names beside its resources: patches, which are applied where they are simple, and files that
//! must exist.

use std::path::Path;

use serde_json::Value;

use super::build::{Builder, first_line, is_remote, joined, strings};
use super::patch::{self, Target};
use crate::yaml;

impl Builder<'_> {
    pub(super) fn patches(&mut self, folder: &Path, file: &Path, document: &Value, from: usize) {
        for strategic in strings(document, "patchesStrategicMerge") {
            if !strategic.contains('\n') {
                self.locate(file, &joined(folder, &strategic));
            }
            self.not_applied(
                file,
                format!("strategic merge patch {}", first_line(&strategic)),
            );
        }
        for key in ["patches", "patchesJson6902"] {
            for patch in document
                .get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                self.patch(folder, file, patch, from);
            }
        }
    }

    fn patch(&mut self, folder: &Path, file: &Path, patch: &Value, from: usize) {
        let inline = patch
            .get("patch")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let (origin, text) = match (inline, patch.get("path").and_then(Value::as_str)) {
            (Some(text), _) => (file.to_owned(), text),
            (None, Some(path)) => {
                let Some(path) = self.locate(file, &joined(folder, path)) else {
                    return;
                };
                match std::fs::read_to_string(self.manifests.root().join(&path)) {
                    Ok(text) => (path, text),
                    Err(error) => return self.problem(&path, error.to_string()),
                }
            }
            (None, None) => return self.problem(file, "has a patch with neither patch nor path"),
        };
        let operations = match serde_saphyr::from_str::<Value>(&text) {
            Ok(Value::Array(operations)) => operations,
            Ok(_) => return self.not_applied(&origin, "strategic merge patch"),
            Err(error) => {
                let why = yaml::trouble(error);
                return self.problem(&origin, format!("has a patch that is no YAML: {why}"));
            }
        };
        let target = Target::of(patch.get("target").unwrap_or(&Value::Null));
        if !target.is_plain() || !patch::is_simple(&operations) {
            return self.not_applied(
                &origin,
                "JSON 6902 patch with a selector, a pattern, move or copy",
            );
        }
        let mut failures = Vec::new();
        for built in self
            .build
            .documents
            .iter_mut()
            .skip(from)
            .filter(|built| target.matches(built))
        {
            if let Err(why) = patch::apply(&mut built.value, &operations) {
                failures.push(format!(
                    "has a patch for {} {}: {why}",
                    built.kind(),
                    built.name()
                ));
            }
        }
        for failure in failures {
            self.problem(&origin, failure);
        }
    }

    /// Files that are only named: they must exist for the build to succeed.
    pub(super) fn referenced_files(&mut self, folder: &Path, file: &Path, document: &Value) {
        let mut named = Vec::new();
        for key in [
            "configurations",
            "crds",
            "generators",
            "transformers",
            "validators",
        ] {
            named.extend(
                strings(document, key)
                    .into_iter()
                    .filter(|entry| !entry.contains('\n') && !is_remote(entry)),
            );
        }
        for key in ["configMapGenerator", "secretGenerator"] {
            for generator in document
                .get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let name = generator
                    .get("name")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                self.not_applied(file, format!("{key} {name}"));
                named.extend(strings(generator, "envs"));
                // `key=path` or just a path
                let files = strings(generator, "files");
                named.extend(
                    files
                        .iter()
                        .map(|file| file.rsplit('=').next().unwrap_or_default().to_owned()),
                );
            }
        }
        for key in ["helmCharts", "replacements"] {
            if document.get(key).is_some() {
                self.not_applied(file, key);
            }
        }
        for entry in named {
            self.locate(file, &joined(folder, &entry));
        }
    }
}
