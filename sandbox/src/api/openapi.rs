//! Schemas of what is served, as far as `kubectl` asks.

use super::{Core, handle::Answer};

/// Answers `/openapi/...`.
pub(crate) fn answer(core: &Core, rest: &[&str]) -> Option<Answer> {
    let _ = (core, rest);
    None
}
