//! Changes the GitOps repository: one entry of one file, one signed commit, one push.
//!
//! The steps, each of which can be applied again after a crash:
//! [`progress`] says how far it has come; [`edit::activate`] makes the bytes; [`write::backup`] keeps the old ones;
//! [`write::write`] puts the new ones in place; [`commit::prepare`] and [`commit::land`] commit that file alone;
//! [`push::push`] sends the commit with the expected old one; [`rebase::rebase_once`] makes it again where somebody
//! else was faster; [`rebase::take_back`] undoes a commit that never left. Reading is in `checks::git`.

pub mod commit;
pub mod edit;
pub mod error;
pub mod progress;
pub mod push;
mod push_libgit2;
pub mod rebase;
pub mod sign;
pub mod write;

pub use commit::{Prepared, Proposal, Signature};
pub use edit::{Edit, Wanted};
pub use error::ChangeError;
pub use progress::{Looked, Progress, progress};
pub use push::Pushed;
pub use rebase::{Change, Rebased};

#[cfg(test)]
mod tests;
