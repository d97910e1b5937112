//! The GitOps repository, read.

/// A working copy of the GitOps repository.
#[derive(Debug)]
pub struct Repository;
