//! The columns of built-in kinds.

use serde_json::Value;

use super::resource::Resource;

pub(crate) type Row = (&'static str, &'static str, i64, fn(&Value) -> Value);

/// The columns after the name; empty for kinds that have none of their own.
pub(crate) fn of(resource: &Resource) -> Vec<Row> {
    let _ = resource;
    vec![("Age", "date", 0, super::columns::age)]
}
