//! Strategic merge patches of built-in kinds.

use serde_json::{Map, Value};

use super::{
    refusal::Refusal,
    typing::{ListKind, Typing, same_item},
};

/// Merges `patch` into `object`.
pub(crate) fn merge(object: &mut Value, patch: &Value) -> Result<(), Refusal> {
    merge_value(object, patch, Typing::root(None, false))
}

fn merge_value(object: &mut Value, patch: &Value, typing: Typing<'_>) -> Result<(), Refusal> {
    let Value::Object(changes) = patch else {
        *object = patch.clone();
        return Ok(());
    };
    match changes.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            *object = cleaned(patch);
            return Ok(());
        }
        Some("delete") => {
            *object = Value::Object(Map::new());
            return Ok(());
        }
        Some("merge") | None => {}
        Some(other) => {
            return Err(Refusal::bad_request(format!(
                "unknown patch type found: {other}"
            )));
        }
    }
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(target) = object.as_object_mut() else {
        return Ok(());
    };
    if let Some(keep) = changes.get("$retainKeys").and_then(Value::as_array) {
        target.retain(|key, _| keep.iter().any(|k| k == key.as_str()));
    }
    for (key, change) in changes {
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(values), Some(gone)) = (
                target.get_mut(list).and_then(Value::as_array_mut),
                change.as_array(),
            ) {
                values.retain(|value| !gone.contains(value));
            }
            continue;
        }
        if key.starts_with('$') {
            continue;
        }
        let typing = typing.child(key);
        match (change, target.get_mut(key)) {
            (Value::Null, _) => {
                target.remove(key);
            }
            (Value::Object(_), Some(present)) => merge_value(present, change, typing)?,
            (Value::Array(items), present) => {
                let mut list = present
                    .and_then(|p| p.as_array().cloned())
                    .unwrap_or_default();
                merge_list(&mut list, items, typing)?;
                target.insert(key.clone(), Value::Array(list));
            }
            _ => {
                target.insert(key.clone(), cleaned(change));
            }
        }
    }
    for (key, order) in changes {
        if let (Some(list), Some(order)) = (key.strip_prefix("$setElementOrder/"), order.as_array())
            && let Some(items) = target.get_mut(list).and_then(Value::as_array_mut)
        {
            reorder(items, order, &typing.child(list).strategic());
        }
    }
    Ok(())
}

fn merge_list(list: &mut Vec<Value>, items: &[Value], typing: Typing<'_>) -> Result<(), Refusal> {
    let replaces = items.iter().any(|item| item["$patch"] == "replace");
    let rest = items.iter().filter(|item| item["$patch"] != "replace");
    match typing.strategic() {
        ListKind::Map(keys) if !replaces => {
            for item in rest {
                if keys.iter().any(|key| item.get(key).is_none()) {
                    let key = keys.first().cloned().unwrap_or_default();
                    return Err(Refusal::bad_request(format!(
                        "map: {item} does not contain declared merge key: {key}"
                    )));
                }
                let at = list
                    .iter()
                    .position(|present| strategic_same(&keys, present, item));
                match (item["$patch"] == "delete", at) {
                    (true, _) => list.retain(|present| !strategic_same(&keys, present, item)),
                    (false, Some(at)) => merge_value(&mut list[at], item, typing.items())?,
                    (false, None) => list.push(cleaned(item)),
                }
            }
        }
        ListKind::Set if !replaces => {
            for item in rest {
                if !list.contains(item) {
                    list.push(item.clone());
                }
            }
        }
        _ => *list = rest.map(cleaned).collect(),
    }
    Ok(())
}

fn strategic_same(keys: &[String], a: &Value, b: &Value) -> bool {
    same_item(keys, a, b)
}

/// Puts the items that `order` names into that order; the others follow.
fn reorder(items: &mut Vec<Value>, order: &[Value], kind: &ListKind) {
    let mut rest = std::mem::take(items);
    for wanted in order {
        let same = |item: &Value| match kind {
            ListKind::Map(keys) => same_item(keys, item, wanted),
            _ => item == wanted,
        };
        if let Some(at) = rest.iter().position(same) {
            items.push(rest.remove(at));
        }
    }
    items.append(&mut rest);
}

/// A patch's value as an object holds it: without directives and nulls.
fn cleaned(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, value)| !key.starts_with('$') && !value.is_null())
                .map(|(key, value)| (key.clone(), cleaned(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .filter(|item| item["$patch"] != "delete")
                .map(cleaned)
                .collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(mut object: Value, patch: Value) -> Value {
        merge(&mut object, &patch).expect("patch");
        object
    }

    #[test]
    fn conditions_merge_by_type_and_taints_are_replaced() {
        let node = json!({ "spec": { "taints": [{ "key": "a", "effect": "NoSchedule" }] },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }, { "type": "DiskPressure", "status": "False" }] } });
        let patch = json!({ "spec": { "taints": [{ "key": "b", "effect": "NoExecute" }] },
            "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } });
        let node = merged(node, patch);
        assert_eq!(
            node["spec"]["taints"],
            json!([{ "key": "b", "effect": "NoExecute" }])
        );
        assert_eq!(
            node["status"]["conditions"][0],
            json!({ "type": "Ready", "status": "Unknown" })
        );
        assert_eq!(node["status"]["conditions"][1]["type"], "DiskPressure");
    }

    #[test]
    fn directives_delete_replace_and_order() {
        let pod = json!({ "metadata": { "finalizers": ["a", "b"] },
            "spec": { "containers": [{ "name": "x", "image": "1" }, { "name": "y", "image": "1" }], "strategy": { "a": 1, "b": 2 } } });
        let patch = json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["a"] },
            "spec": { "$setElementOrder/containers": [{ "name": "z" }, { "name": "y" }],
                "containers": [{ "name": "x", "$patch": "delete" }, { "name": "z", "image": "3" }, { "name": "y", "image": "2" }],
                "strategy": { "$retainKeys": ["b"], "b": 3 } } });
        let pod = merged(pod, patch);
        assert_eq!(pod["metadata"]["finalizers"], json!(["b"]));
        assert_eq!(
            pod["spec"]["containers"],
            json!([{ "name": "z", "image": "3" }, { "name": "y", "image": "2" }])
        );
        assert_eq!(pod["spec"]["strategy"], json!({ "b": 3 }));
        let replaced = merged(
            json!({ "data": { "a": "1" } }),
            json!({ "data": { "$patch": "replace", "b": "2" } }),
        );
        assert_eq!(replaced, json!({ "data": { "b": "2" } }));
    }

    #[test]
    fn an_item_without_its_key_is_refused() {
        let mut pod = json!({ "spec": { "containers": [{ "name": "x" }] } });
        let refusal = merge(
            &mut pod,
            &json!({ "spec": { "containers": [{ "image": "1" }] } }),
        )
        .expect_err("no name");
        assert_eq!(refusal.code, 400);
    }
}
