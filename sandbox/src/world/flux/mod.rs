//! Flux: source-controller follows the git remote, kustomize-controller applies what it finds.

mod build;
pub(crate) mod decrypt;
mod health;
mod inventory;
mod kustomization;
mod source;
mod verdict;

use std::path::PathBuf;

use super::{
    cast::Cast,
    scene::{Actor, Change, Scene},
};

pub(crate) use build::build_at;

/// Flux, as one actor.
pub(crate) struct Flux {
    source: source::Source,
    kustomize: kustomization::Kustomize,
}

impl Flux {
    /// With Flux's own copy of the repository in `store`.
    pub(crate) fn new(cast: &Cast, store: PathBuf) -> Self {
        Self {
            source: source::Source::new(cast.remote_path().to_owned(), store.clone()),
            kustomize: kustomization::Kustomize::new(store),
        }
    }
}

impl Actor for Flux {
    fn step(&mut self, scene: &Scene<'_>) -> Vec<Change> {
        let mut changes = Vec::new();
        self.source.step(scene, &mut changes);
        self.kustomize.step(scene, &mut changes);
        changes
    }
}
