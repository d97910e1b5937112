//! `gitops`: is the node's configuration in git, and did Flux take it?
//!
//! - [`clone`]: the repository and the remote that it follows.
//! - [`manifests`]: the node's entry, its folder, and the Longhorn Node in it.
//! - [`builders`]: which Flux Kustomizations build what, and in which versions.
//! - [`taken`]: what an activation leads to: the entry, the commit, the push, Flux.

mod builders;
mod clone;
pub(crate) mod declared;
mod manifests;
pub(crate) mod revision;
mod taken;

use crate::{
    Check, Context,
    kinds::GIT_REPOSITORIES,
    resources::flux::GitRepository,
    view::{ReadError, Scope},
};

/// The repository and its remote.
pub const CLONE: &[Check] = clone::CHECKS;
/// What it declares for the node.
pub const MANIFESTS: &[Check] = manifests::CHECKS;
/// Who builds it.
pub const BUILDERS: &[Check] = builders::CHECKS;
/// What came of the activation.
pub const TAKEN: &[Check] = taken::CHECKS;

/// The GitRepository that Flux follows.
///
/// # Errors
/// Absent when there is none of the configured name; otherwise as any list.
async fn source(cx: &Context) -> Result<GitRepository, ReadError> {
    let names = &cx.settings.flux;
    let wanted = format!("{}/{}", names.namespace, names.source);
    let all = cx
        .view
        .list::<GitRepository>(&GIT_REPOSITORIES, Scope::all())
        .await?;
    all.iter()
        .find(|one| one.metadata.full_name() == wanted)
        .cloned()
        .ok_or_else(|| ReadError::Absent {
            what: format!("gitrepository {wanted}"),
        })
}

#[cfg(test)]
mod tests;
