//! Objects as rows, the way `kubectl get` shows them.

use serde_json::{Value, json};

use super::{columns, form::Include, resource::Resource};

/// A `Table` with one row an object.
pub(crate) fn render(
    resource: &Resource,
    version: &str,
    objects: &[&Value],
    include: Include,
    metadata: Value,
    with_columns: bool,
) -> Value {
    let columns = columns::of(resource, version);
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells: Vec<Value> = columns.iter().map(|column| column.cell(object)).collect();
            let mut row = json!({ "cells": cells });
            match include {
                Include::None => {}
                Include::Metadata => {
                    row["object"] = json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] });
                }
                Include::Object => row["object"] = (*object).clone(),
            }
            row
        })
        .collect();
    let definitions: Vec<Value> = if with_columns {
        columns.iter().map(columns::Column::definition).collect()
    } else {
        Vec::new()
    };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}
