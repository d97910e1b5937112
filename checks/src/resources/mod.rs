//! The fields of objects that checks look at, as types: small, and tolerant of everything else.
//!
//! Built-in kinds are read with `k8s-openapi`; only custom resources have types here. Actions read the same types.

pub mod cidr;
pub mod condition;
pub mod exposition;
pub mod flux;
pub mod longhorn;
pub mod meta;
pub mod node;
pub mod quantity;
pub mod workload;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// `namespace/name`, as objects of a namespace are named in messages.
#[must_use]
pub fn full_name(meta: &ObjectMeta) -> String {
    format!(
        "{}/{}",
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default()
    )
}
