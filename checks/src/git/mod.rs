//! Questions about the GitOps repository and its remote. Nothing here changes either: what does is in `phases::git`.
//!
//! [`Repository`] answers for the clone, [`Remote`] for where it follows, [`kustomization`] for the one file that an
//! onboarding edits, [`manifests`] for what a folder builds. Every error carries a reason for reports and a hint.

mod configuration;
pub mod environment;
pub mod error;
pub mod files;
pub mod history;
pub mod kustomization;
pub mod manifests;
pub mod process;
pub mod remote;
pub mod repository;
pub mod signing;
pub mod transport;
pub mod url;
pub mod words;

pub use environment::Environment;
pub use error::GitError;
pub use files::FileStatus;
pub use git2::Oid;
pub use history::{Commit, Distance, short};
pub use kustomization::{EntryState, Resources};
pub use manifests::Manifests;
pub use remote::Remote;
pub use repository::{Identity, Repository};
pub use signing::{SignatureFormat, Signing, SigningKey};
pub use transport::Transport;
pub use url::same_repository;

#[cfg(test)]
mod tests;
