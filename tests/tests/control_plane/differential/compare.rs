//! Where two answers differ, apart from what is different in any two clusters.

use serde_json::{Map, Value, json};

use super::{servers::Answer, step::Step};

/// The label of what the table made. Lists show other things too, which are not compared.
pub(super) const OURS: &str = "made-by";

/// Every difference, as `where: real …, sandbox …`.
pub(super) fn differences(step: &Step, real: &Answer, ours: &Answer) -> Vec<String> {
    let mut found = Vec::new();
    if real.code != ours.code {
        found.push(format!(
            "status: real {} {}, sandbox {} {}",
            real.code,
            short(&real.body["message"]),
            ours.code,
            short(&ours.body["message"])
        ));
        return found;
    }
    let (real, ours) = (plain(&real.body), plain(&ours.body));
    if step.only.is_empty() {
        walk("", &real, &ours, &mut found);
    }
    for part in step.only {
        let at = |body: &Value| body.pointer(part).cloned().unwrap_or_default();
        walk(part, &at(&real), &at(&ours), &mut found);
    }
    found
}

fn walk(at: &str, real: &Value, ours: &Value, found: &mut Vec<String>) {
    match (real, ours) {
        (Value::Object(left), Value::Object(right)) => {
            let mut keys: Vec<&String> = left.keys().chain(right.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                walk(&format!("{at}/{key}"), &of(left), &of(right), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                walk(&format!("{at}/{index}"), left, right, found);
            }
        }
        // Emptied of what is not compared, an object is as good as none.
        _ if real == ours
            || [real, ours]
                .iter()
                .all(|it| it.is_null() || **it == json!({})) => {}
        _ => found.push(format!(
            "{at}: real {}, sandbox {}",
            short(real),
            short(ours)
        )),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 400 {
        format!("{}…", text.chars().take(400).collect::<String>())
    } else {
        text
    }
}

/// The answer without what no two clusters share: ids, versions, times, and objects that are not of the table.
fn plain(body: &Value) -> Value {
    match body {
        Value::Object(map) => {
            let mut kept = Map::new();
            for (key, value) in map {
                match key.as_str() {
                    "uid" | "resourceVersion" | "selfLink" | "managedFields" => {}
                    // Columns of a table are described in prose, which nobody shows.
                    "description" if map.contains_key("priority") => {}
                    _ if value.is_null() || *value == json!({}) => {}
                    key if key.ends_with("controller-uid") => {
                        kept.insert(key.to_owned(), "an id".into());
                    }
                    key if key.ends_with("Timestamp") || key.ends_with("Time") => {
                        kept.insert(key.to_owned(), "a time".into());
                    }
                    "continue" => {
                        if *value != "" {
                            kept.insert(key.clone(), "more".into());
                        }
                    }
                    "items" | "rows" => {
                        let items = value
                            .as_array()
                            .into_iter()
                            .flatten()
                            .filter(|item| is_ours(item))
                            .map(plain);
                        kept.insert(key.clone(), items.collect());
                    }
                    _ => {
                        kept.insert(key.clone(), plain(value));
                    }
                }
            }
            kept.into()
        }
        Value::Array(items)
            if items
                .iter()
                .any(|item| item["type"].is_string() && item["object"].is_object()) =>
        {
            // When a bookmark comes is the server's own business.
            let ours = items
                .iter()
                .filter(|event| event["type"] == "ERROR" || is_ours(&event["object"]))
                .filter(|event| event["type"] != "BOOKMARK");
            ours.map(plain).collect()
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn is_ours(item: &Value) -> bool {
    let metadata = if item["object"].is_object() {
        &item["object"]["metadata"]
    } else {
        &item["metadata"]
    };
    metadata["labels"][OURS] == "table"
        || metadata["labels"].is_null() && item["apiVersion"].is_null() && metadata.is_null()
}
