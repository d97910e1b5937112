//! The GitOps repository, read.

/// A working copy of the GitOps repository.
#[derive(Debug)]
pub struct Repository;

/// How to reach the git remote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// By the `git` command where it is installed, by libgit2 otherwise.
    #[default]
    Auto,
    /// By the `git` command.
    Git,
    /// By libgit2.
    Libgit2,
}
