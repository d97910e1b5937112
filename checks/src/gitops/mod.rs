//! `gitops`: is the node's configuration in git, and did Flux take it?

pub(crate) mod declared;
pub(crate) mod revision;

use crate::Check;

/// The checks of this phase, in order.
pub const CHECKS: &[Check] = &[];
