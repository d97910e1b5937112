//! What a folder of the repository builds, as far as questions need it: every referenced file exists and parses, and
//! these are the objects.
//!
//! This follows kustomize (<https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/>) for `resources`,
//! `bases`, `components`, `namespace`, `namePrefix`, `nameSuffix` and JSON 6902 patches. Strategic merge patches,
//! generators and remote bases are recorded, not applied; a question that depends on them can see that.

mod build;
mod document;
mod flux;
mod named;
mod patch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use document::Document;
pub use flux::{FluxKustomization, Owner};

use super::kustomization::normalised;
use super::repository::Repository;

/// The files of the work tree, read as manifests.
#[derive(Debug, Clone)]
pub struct Manifests {
    root: PathBuf,
    assumed: BTreeMap<PathBuf, Vec<String>>,
}

/// What a folder builds.
#[derive(Debug, Clone, Default)]
pub struct Build {
    /// The objects, in the order in which they are referenced.
    pub documents: Vec<Document>,
    /// Why it does not build; empty when it does.
    pub problems: Vec<Problem>,
    /// Patches and generators that exist and were not applied here.
    pub not_applied: Vec<Problem>,
    /// Bases that lie elsewhere and were not fetched.
    pub remote: Vec<String>,
}

/// Something about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder, from the root of the work tree.
    pub file: PathBuf,
    /// What is the matter.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.what)
    }
}

impl Manifests {
    /// The manifests of this repository's work tree.
    #[must_use]
    pub fn of(repository: &Repository) -> Self {
        Self {
            root: repository.work_dir().to_owned(),
            assumed: BTreeMap::new(),
        }
    }

    /// The same as if this entry were active under `resources` of this kustomization file: what would be built after
    /// an activation.
    #[must_use]
    pub fn assuming(mut self, kustomization: &Path, entry: &str) -> Self {
        self.assumed
            .entry(kustomization.to_owned())
            .or_default()
            .push(entry.to_owned());
        self
    }

    /// The folder that an entry of this kustomization file names, from the root of the work tree.
    #[must_use]
    pub fn entry_folder(kustomization: &Path, entry: &str) -> PathBuf {
        let folder = kustomization.parent().unwrap_or(Path::new(""));
        PathBuf::from(normalised(&format!("{}/{entry}", folder.display())))
    }

    /// What `kustomize build` would make of this folder.
    #[must_use]
    pub fn folder(&self, folder: &Path) -> Build {
        build::folder(self, folder)
    }

    /// What Flux would build of this folder: as kustomize does where it has a kustomization file, else of every
    /// manifest below it.
    #[must_use]
    pub fn documents_under(&self, folder: &Path) -> Build {
        build::under(self, folder)
    }

    /// Every Flux Kustomization that stands in a file of the repository, and the files that looked like one and could
    /// not be read.
    #[must_use]
    pub fn flux_kustomizations(&self) -> (Vec<FluxKustomization>, Vec<Problem>) {
        flux::find(self)
    }

    /// Every Flux Kustomization that builds an object of this API group, kind and name, with the namespace in which
    /// it puts it.
    #[must_use]
    pub fn owners(&self, group: &str, kind: &str, name: &str) -> Vec<Owner> {
        flux::owners(self, group, kind, name)
    }

    fn root(&self) -> &Path {
        &self.root
    }

    fn assumed_in(&self, kustomization: &Path) -> &[String] {
        self.assumed.get(kustomization).map_or(&[], Vec::as_slice)
    }
}
