//! Server-side apply, and who owns which field after any write.

use serde_json::{Value, json};

use super::{
    fields,
    refusal::Refusal,
    resource::Resource,
    store::now,
    typing::{ListKind, Typing, same_item},
};

/// Who writes, in the words of `managedFields`.
#[derive(Clone, Debug)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

impl Manager {
    fn is(&self, entry: &Value, operation: &str) -> bool {
        entry["manager"] == self.name.as_str()
            && entry["operation"] == operation
            && entry["subresource"].as_str().unwrap_or_default() == self.subresource
    }

    fn entry(&self, operation: &str, fields: Value) -> Value {
        let mut entry = json!({
            "manager": self.name, "operation": operation, "apiVersion": self.api_version, "time": now(),
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        });
        if !self.subresource.is_empty() {
            entry["subresource"] = self.subresource.clone().into();
        }
        entry
    }
}

fn typing<'a>(resource: &'a Resource, version: &str) -> Typing<'a> {
    Typing::root(resource.schema(version), resource.custom.is_some())
}

fn entries(object: &Value) -> Vec<Value> {
    object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

fn set_entries(object: &mut Value, mut entries: Vec<Value>) {
    entries.retain(|entry| !fields::is_empty(&entry["fieldsV1"]));
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    if entries.is_empty() {
        metadata.remove("managedFields");
    } else {
        metadata.insert("managedFields".to_owned(), Value::Array(entries));
    }
}

/// Notes in `new` that this manager has written what differs from `old` (everything when created).
pub(crate) fn track_update(
    resource: &Resource,
    version: &str,
    manager: &Manager,
    old: Option<&Value>,
    new: &mut Value,
) {
    let typing = typing(resource, version);
    let owned = |object: &Value| {
        let mut object = object.clone();
        if let Some(map) = object.as_object_mut() {
            map.remove("apiVersion");
            map.remove("kind");
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.retain(|key, _| {
                matches!(
                    key.as_str(),
                    "labels" | "annotations" | "finalizers" | "ownerReferences"
                )
            });
        }
        object
    };
    let (changed, gone, mut list) = match old {
        None => (fields::of_object(new, typing), json!({}), Vec::new()),
        Some(old) => {
            let (changed, gone) = fields::difference(&owned(old), &owned(new), typing);
            (changed, gone, entries(old))
        }
    };
    if fields::is_empty(&changed) && fields::is_empty(&gone) {
        set_entries(new, list);
        return;
    }
    let mut found = false;
    for entry in &mut list {
        if manager.is(entry, "Update") {
            found = true;
            entry["fieldsV1"] =
                fields::union(&fields::subtract(&entry["fieldsV1"], &gone), &changed);
            entry["time"] = now();
            entry["apiVersion"] = manager.api_version.clone().into();
        } else {
            entry["fieldsV1"] =
                fields::subtract(&fields::subtract(&entry["fieldsV1"], &changed), &gone);
        }
    }
    if !found {
        list.push(manager.entry("Update", changed));
    }
    set_entries(new, list);
}

/// Applies `wanted` to `live` in the name of a manager; the result carries the new `managedFields`.
pub(crate) fn apply(
    resource: &Resource,
    version: &str,
    manager: &Manager,
    live: &Value,
    wanted: &Value,
    force: bool,
) -> Result<Value, Refusal> {
    let typing = typing(resource, version);
    let set = fields::of_object(wanted, typing);
    let mut list = entries(live);
    if list.is_empty() && live["metadata"].get("uid").is_some() {
        let before = Manager {
            name: "before-first-apply".to_owned(),
            ..manager.clone()
        };
        list.push(before.entry("Update", fields::of_object(live, typing)));
    }
    let mut conflicts = Vec::new();
    for (at, entry) in list.iter().enumerate() {
        if !manager.is(entry, "Apply") {
            let mut paths = Vec::new();
            find_conflicts(&set, &entry["fieldsV1"], wanted, live, "", &mut paths);
            if !paths.is_empty() {
                conflicts.push((at, paths));
            }
        }
    }
    if !conflicts.is_empty() && !force {
        return Err(conflict(&list, &conflicts));
    }
    let mut result = live.clone();
    overlay(&mut result, wanted, typing);
    let former = list
        .iter()
        .find(|entry| manager.is(entry, "Apply"))
        .map(|entry| entry["fieldsV1"].clone());
    if let Some(former) = &former {
        let others: Vec<&Value> = list
            .iter()
            .filter(|entry| !manager.is(entry, "Apply"))
            .map(|entry| &entry["fieldsV1"])
            .collect();
        fields::prune(&mut result, former, &set, &others);
    }
    // What was taken by force, and what others own that is of the same value, stays theirs only in the second case.
    for (at, paths) in &conflicts {
        let mut taken = json!({});
        for (_, path) in paths {
            taken = fields::union(&taken, path);
        }
        list[*at]["fieldsV1"] = fields::subtract(&list[*at]["fieldsV1"], &taken);
    }
    match list.iter_mut().find(|entry| manager.is(entry, "Apply")) {
        Some(entry) if entry["fieldsV1"] == set => {}
        Some(entry) => *entry = manager.entry("Apply", set),
        None => list.push(manager.entry("Apply", set)),
    }
    set_entries(&mut result, list);
    Ok(result)
}

/// Collects leaves of `set` that `owned` has too and where the values differ: path as text, path as a set.
fn find_conflicts(
    set: &Value,
    owned: &Value,
    wanted: &Value,
    live: &Value,
    path: &str,
    found: &mut Vec<(String, Value)>,
) {
    for (element, child) in set.as_object().into_iter().flatten() {
        let Some(theirs) = owned.get(element) else {
            continue;
        };
        if element == "." {
            continue;
        }
        let (Some(new), present) = (fields::step(wanted, element), fields::step(live, element))
        else {
            continue;
        };
        let text = format!("{path}{}", fields::element_text(element));
        let bare = matches!(new, Value::Object(map) if map.is_empty())
            || matches!(new, Value::Array(list) if list.is_empty());
        if fields::is_empty(child) && !fields::is_empty(theirs) && bare {
            // An empty map or keyed list wants nothing in particular.
            continue;
        }
        if fields::is_empty(child) || fields::is_empty(theirs) {
            if present.is_some_and(|present| present != new) {
                found.push((text, json!({ element: {} })));
            }
            continue;
        }
        let mut below = Vec::new();
        find_conflicts(
            child,
            theirs,
            new,
            present.unwrap_or(&Value::Null),
            &text,
            &mut below,
        );
        found.extend(
            below
                .into_iter()
                .map(|(text, set)| (text, json!({ element: set }))),
        );
    }
}

type Found = (usize, Vec<(String, Value)>);

fn conflict(list: &[Value], conflicts: &[Found]) -> Refusal {
    let total: usize = conflicts.iter().map(|(_, paths)| paths.len()).sum();
    let (mut lines, mut causes) = (Vec::new(), Vec::new());
    for (at, paths) in conflicts {
        let entry = &list[*at];
        let mut who = format!("{}", entry["manager"]);
        if let Some(subresource) = entry["subresource"].as_str() {
            who.push_str(&format!(" with subresource \"{subresource}\""));
        }
        if entry["operation"] == "Update" {
            who.push_str(&format!(
                " using {}",
                entry["apiVersion"].as_str().unwrap_or_default()
            ));
        }
        if let [(path, _)] = paths.as_slice() {
            lines.push(format!("conflict with {who}: {path}"));
        } else {
            let paths = paths
                .iter()
                .map(|(path, _)| format!("- {path}"))
                .collect::<Vec<_>>()
                .join("\n");
            lines.push(format!("conflicts with {who}:\n{paths}"));
        }
        for (path, _) in paths {
            causes.push(json!({ "reason": "FieldManagerConflict", "message": format!("conflict with {who}"), "field": path }));
        }
    }
    let plural = if total == 1 { "conflict" } else { "conflicts" };
    Refusal::apply_conflict(
        format!("Apply failed with {total} {plural}: {}", lines.join("\n")),
        causes,
    )
}

/// Lays what is wanted over what is there.
fn overlay(object: &mut Value, wanted: &Value, typing: Typing<'_>) {
    match (object, wanted) {
        (Value::Object(object), Value::Object(wanted)) if !typing.atomic_map() => {
            for (key, value) in wanted {
                match object.get_mut(key) {
                    Some(present) => overlay(present, value, typing.child(key)),
                    None => {
                        object.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(object), Value::Array(wanted)) => match typing.list() {
            ListKind::Atomic => object.clone_from(wanted),
            ListKind::Set => {
                for item in wanted {
                    if !object.contains(item) {
                        object.push(item.clone());
                    }
                }
            }
            ListKind::Map(keys) => {
                for item in wanted {
                    match object
                        .iter_mut()
                        .find(|present| same_item(&keys, present, item))
                    {
                        Some(present) => overlay(present, item, typing.items()),
                        None => object.push(item.clone()),
                    }
                }
            }
        },
        (object, wanted) => *object = wanted.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::resource::Registry, *};

    fn manager(name: &str) -> Manager {
        Manager {
            name: name.into(),
            api_version: "v1".into(),
            subresource: String::new(),
        }
    }

    fn resource(plural: &str) -> std::sync::Arc<Resource> {
        Registry::new().find("", plural).expect("resource")
    }

    #[test]
    fn appliers_share_and_conflict_field_by_field() {
        let maps = resource("configmaps");
        let wanted = json!({ "metadata": { "name": "m" }, "data": { "a": "1", "b": "1" } });
        let live = apply(
            &maps,
            "v1",
            &manager("one"),
            &json!({ "metadata": {} }),
            &wanted,
            false,
        )
        .expect("created");
        let other = json!({ "data": { "b": "1", "c": "1" } });
        let live = apply(&maps, "v1", &manager("two"), &live, &other, false)
            .expect("same value is no conflict");
        let other = json!({ "data": { "b": "2" } });
        let refusal =
            apply(&maps, "v1", &manager("two"), &live, &other, false).expect_err("conflict");
        assert_eq!(refusal.code, 409);
        assert_eq!(
            refusal.message,
            "Apply failed with 1 conflict: conflict with \"one\": .data.b"
        );
        assert_eq!(refusal.details["causes"][0]["field"], ".data.b");
        let live = apply(&maps, "v1", &manager("two"), &live, &other, true).expect("forced");
        assert_eq!(
            live["data"],
            json!({ "a": "1", "b": "2" }),
            "c was only two's, who no longer wants it"
        );
        let live = apply(
            &maps,
            "v1",
            &manager("one"),
            &live,
            &json!({ "data": {} }),
            false,
        )
        .expect("let go");
        assert_eq!(live["data"], json!({ "b": "2" }));
    }

    #[test]
    fn updates_take_fields_over() {
        let nodes = resource("nodes");
        let wanted =
            json!({ "spec": { "unschedulable": true }, "metadata": { "labels": { "a": "1" } } });
        let live = apply(
            &nodes,
            "v1",
            &manager("flux"),
            &json!({ "metadata": {} }),
            &wanted,
            false,
        )
        .expect("created");
        let mut new = live.clone();
        new["spec"]["unschedulable"] = false.into();
        track_update(&nodes, "v1", &manager("kubectl"), Some(&live), &mut new);
        let owners = new["metadata"]["managedFields"]
            .as_array()
            .expect("managers");
        assert_eq!(
            owners[0]["fieldsV1"],
            json!({ "f:metadata": { "f:labels": { "f:a": {} } } })
        );
        assert_eq!(
            owners[1]["fieldsV1"],
            json!({ "f:spec": { "f:unschedulable": {} } })
        );
        let refusal =
            apply(&nodes, "v1", &manager("flux"), &new, &wanted, false).expect_err("conflict");
        assert!(
            refusal
                .message
                .contains("conflict with \"kubectl\" using v1: "),
            "{}",
            refusal.message
        );
        assert!(
            refusal.message.ends_with(": .spec.unschedulable"),
            "{}",
            refusal.message
        );
    }

    #[test]
    fn items_of_keyed_lists_belong_to_those_who_named_them() {
        let pods = resource("pods");
        let one = json!({ "spec": { "containers": [{ "name": "x", "image": "1" }] } });
        let live = apply(
            &pods,
            "v1",
            &manager("one"),
            &json!({ "metadata": {} }),
            &one,
            false,
        )
        .expect("created");
        let two = json!({ "spec": { "containers": [{ "name": "y", "image": "1" }] } });
        let live =
            apply(&pods, "v1", &manager("two"), &live, &two, false).expect("another container");
        assert_eq!(live["spec"]["containers"].as_array().map(Vec::len), Some(2));
        let live = apply(
            &pods,
            "v1",
            &manager("two"),
            &live,
            &json!({ "spec": {} }),
            false,
        )
        .expect("let go");
        assert_eq!(
            live["spec"]["containers"],
            json!([{ "name": "x", "image": "1" }])
        );
    }
}
