//! `network`: the checks of this phase.

use crate::Check;

/// The checks of this phase, in order.
pub const CHECKS: &[Check] = &[];
