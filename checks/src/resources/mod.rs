//! The fields of objects that checks look at, as types: small, and tolerant of everything else.
//!
//! Built-in kinds are read with `k8s-openapi`; only custom resources have types here. Actions read the same types.

pub mod condition;
pub mod flux;
pub mod longhorn;
pub mod meta;
