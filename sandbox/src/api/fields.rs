//! Sets of fields, as `metadata.managedFields` holds them (`fieldsV1`): who owns what in an object.

use serde_json::{Map, Value, json};

use super::typing::{ListKind, Typing, key_value, same_item};

/// Metadata that nobody owns.
const UNOWNED: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generateName",
];

/// The fields of a whole object.
pub(crate) fn of_object(object: &Value, typing: Typing<'_>) -> Value {
    let mut owned = object.clone();
    if let Some(map) = owned.as_object_mut() {
        map.remove("apiVersion");
        map.remove("kind");
    }
    if let Some(metadata) = owned["metadata"].as_object_mut() {
        metadata.retain(|key, _| !UNOWNED.contains(&key.as_str()));
    }
    if owned["metadata"].as_object().is_none_or(Map::is_empty)
        && let Some(map) = owned.as_object_mut()
    {
        map.remove("metadata");
    }
    of(&owned, typing)
}

fn of(value: &Value, typing: Typing<'_>) -> Value {
    let mut set = Map::new();
    match value {
        Value::Object(map) if !typing.atomic_map() => {
            for (key, value) in map {
                set.insert(format!("f:{key}"), of(value, typing.child(key)));
            }
        }
        Value::Array(items) => match typing.list() {
            ListKind::Atomic => {}
            ListKind::Set => {
                for item in items {
                    set.insert(format!("v:{item}"), json!({}));
                }
            }
            ListKind::Map(keys) => {
                for item in items {
                    let mut child = of(item, typing.items());
                    child["."] = json!({});
                    set.insert(item_element(&keys, item), child);
                }
            }
        },
        _ => {}
    }
    Value::Object(set)
}

fn item_element(keys: &[String], item: &Value) -> String {
    let key: Map<String, Value> = keys
        .iter()
        .map(|key| (key.clone(), key_value(item, key)))
        .collect();
    format!("k:{}", Value::Object(key))
}

/// The fields that differ between two values: set or changed, and gone.
pub(crate) fn difference(old: &Value, new: &Value, typing: Typing<'_>) -> (Value, Value) {
    let (mut changed, mut gone) = (Map::new(), Map::new());
    let mut both = |element: String, a: &Value, b: &Value, typing: Typing<'_>| {
        if a == b {
            return;
        }
        let deep = match (a, b) {
            (Value::Object(_), Value::Object(_)) => !typing.atomic_map(),
            (Value::Array(_), Value::Array(_)) => typing.list() != ListKind::Atomic,
            _ => false,
        };
        if !deep {
            changed.insert(element, of(b, typing));
            return;
        }
        let (c, g) = difference(a, b, typing);
        if !is_empty(&c) {
            changed.insert(element.clone(), c);
        }
        if !is_empty(&g) {
            gone.insert(element, g);
        }
    };
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in b {
                if let Some(former) = a.get(key) {
                    both(format!("f:{key}"), former, value, typing.child(key));
                }
            }
            for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                changed.insert(format!("f:{key}"), of(value, typing.child(key)));
            }
            for (key, value) in a.iter().filter(|(key, _)| !b.contains_key(*key)) {
                gone.insert(format!("f:{key}"), of(value, typing.child(key)));
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            let keys = match typing.list() {
                ListKind::Map(keys) => keys,
                _ => {
                    for item in b.iter().filter(|item| !a.contains(item)) {
                        changed.insert(format!("v:{item}"), json!({}));
                    }
                    for item in a.iter().filter(|item| !b.contains(item)) {
                        gone.insert(format!("v:{item}"), json!({}));
                    }
                    return (Value::Object(changed), Value::Object(gone));
                }
            };
            for item in b {
                if let Some(former) = a.iter().find(|x| same_item(&keys, x, item)) {
                    both(item_element(&keys, item), former, item, typing.items());
                }
            }
            for item in b
                .iter()
                .filter(|item| !a.iter().any(|x| same_item(&keys, x, item)))
            {
                let mut child = of(item, typing.items());
                child["."] = json!({});
                changed.insert(item_element(&keys, item), child);
            }
            for item in a
                .iter()
                .filter(|item| !b.iter().any(|x| same_item(&keys, x, item)))
            {
                let mut child = of(item, typing.items());
                child["."] = json!({});
                gone.insert(item_element(&keys, item), child);
            }
        }
        _ => {}
    }
    (Value::Object(changed), Value::Object(gone))
}

pub(crate) fn is_empty(set: &Value) -> bool {
    set.as_object().is_none_or(Map::is_empty)
}

/// Everything in either set.
pub(crate) fn union(a: &Value, b: &Value) -> Value {
    let mut set = a.as_object().cloned().unwrap_or_default();
    for (element, child) in b.as_object().into_iter().flatten() {
        let merged = match set.get(element) {
            Some(present) => union(present, child),
            None => child.clone(),
        };
        set.insert(element.clone(), merged);
    }
    Value::Object(set)
}

/// What is in `a` and not in `b`. A leaf of `b` takes everything below it.
pub(crate) fn subtract(a: &Value, b: &Value) -> Value {
    let mut set = Map::new();
    for (element, child) in a.as_object().into_iter().flatten() {
        match b.get(element) {
            None => {
                set.insert(element.clone(), child.clone());
            }
            Some(taken) if is_empty(taken) || is_empty(child) => {}
            Some(taken) => {
                let rest = subtract(child, taken);
                if !is_empty(&rest) {
                    set.insert(element.clone(), rest);
                }
            }
        }
    }
    Value::Object(set)
}

/// The value that an element of a path names.
pub(crate) fn step<'a>(value: &'a Value, element: &str) -> Option<&'a Value> {
    if element == "." {
        return Some(value);
    }
    let (kind, rest) = element.split_once(':')?;
    match kind {
        "f" => value.get(rest),
        "v" => {
            let wanted: Value = serde_json::from_str(rest).ok()?;
            value.as_array()?.iter().find(|item| **item == wanted)
        }
        "k" => {
            let keys: Value = serde_json::from_str(rest).ok()?;
            let names: Vec<String> = keys.as_object()?.keys().cloned().collect();
            value
                .as_array()?
                .iter()
                .find(|item| same_item(&names, item, &keys))
        }
        _ => None,
    }
}

/// Removes from `value` what `former` names, `wanted` does not and nobody else owns.
pub(crate) fn prune(value: &mut Value, former: &Value, wanted: &Value, others: &[&Value]) {
    for (element, child) in former.as_object().into_iter().flatten() {
        if element == "." {
            continue;
        }
        let kept = wanted.get(element);
        let below: Vec<&Value> = others.iter().filter_map(|set| set.get(element)).collect();
        if kept.is_none() && below.is_empty() {
            remove(value, element);
        } else if !is_empty(child)
            && let Some(value) = step_mut(value, element)
        {
            prune(value, child, kept.unwrap_or(&Value::Null), &below);
        }
    }
}

fn step_mut<'a>(value: &'a mut Value, element: &str) -> Option<&'a mut Value> {
    let (kind, rest) = element.split_once(':')?;
    match kind {
        "f" => value.get_mut(rest),
        "k" => {
            let keys: Value = serde_json::from_str(rest).ok()?;
            let names: Vec<String> = keys.as_object()?.keys().cloned().collect();
            value
                .as_array_mut()?
                .iter_mut()
                .find(|item| same_item(&names, item, &keys))
        }
        _ => None,
    }
}

fn remove(value: &mut Value, element: &str) {
    let Some((kind, rest)) = element.split_once(':') else {
        return;
    };
    match kind {
        "f" => {
            if let Some(map) = value.as_object_mut() {
                map.remove(rest);
            }
        }
        "v" => {
            if let (Some(list), Ok(gone)) =
                (value.as_array_mut(), serde_json::from_str::<Value>(rest))
            {
                list.retain(|item| *item != gone);
            }
        }
        "k" => {
            if let (Some(list), Ok(keys)) =
                (value.as_array_mut(), serde_json::from_str::<Value>(rest))
            {
                let names: Vec<String> = keys
                    .as_object()
                    .map(|m| m.keys().cloned().collect())
                    .unwrap_or_default();
                list.retain(|item| !same_item(&names, item, &keys));
            }
        }
        _ => {}
    }
}

/// `.spec.containers[name="x"]`.
pub(crate) fn element_text(element: &str) -> String {
    match element.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("v", value)) => format!("[={value}]"),
        Some(("k", keys)) => {
            let keys: Value = serde_json::from_str(keys).unwrap_or_default();
            let terms = keys
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| format!("{key}={value}"));
            format!("[{}]", terms.collect::<Vec<_>>().join(","))
        }
        _ => String::new(),
    }
}
