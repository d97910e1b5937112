//! JSON 6902 patches of a kustomization: `add`, `replace`, `remove` and `test` on objects of a plain kind and name.

use serde_json::{Map, Value};

use super::document::Document;

/// Which objects a patch is for. All that are given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Target {
    group: Option<String>,
    version: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    /// Something that we do not evaluate: selectors and patterns.
    beyond: bool,
}

impl Target {
    pub(super) fn of(value: &Value) -> Self {
        let text = |key: &str| {
            value
                .get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let target = Self {
            group: text("group"),
            version: text("version"),
            kind: text("kind"),
            name: text("name"),
            namespace: text("namespace"),
            beyond: value.get("labelSelector").is_some()
                || value.get("annotationSelector").is_some(),
        };
        // kustomize reads these as patterns; without special characters a pattern is the text itself.
        let plain = |text: &Option<String>| {
            text.as_ref().is_none_or(|text| {
                text.chars()
                    .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
            })
        };
        let beyond = target.beyond
            || !plain(&target.kind)
            || !plain(&target.name)
            || !plain(&target.namespace);
        Self { beyond, ..target }
    }

    pub(super) fn is_plain(&self) -> bool {
        !self.beyond
    }

    pub(super) fn matches(&self, document: &Document) -> bool {
        let version = document
            .api_version()
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        is(&self.group, document.group())
            && is(&self.version, version)
            && is(&self.kind, document.kind())
            && is(&self.name, document.name())
            && is(&self.namespace, document.namespace().unwrap_or_default())
    }
}

/// Applies the operations in order.
///
/// # Errors
/// The first that does not apply, and why.
pub(super) fn apply(object: &mut Value, operations: &[Value]) -> Result<(), String> {
    operations
        .iter()
        .try_for_each(|operation| one(object, operation))
}

/// Whether we know every operation of it.
pub(super) fn is_simple(operations: &[Value]) -> bool {
    operations.iter().all(|operation| {
        matches!(
            operation.get("op").and_then(Value::as_str),
            Some("add" | "replace" | "remove" | "test")
        )
    })
}

fn one(object: &mut Value, operation: &Value) -> Result<(), String> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    let op = text("op").ok_or("an operation without op")?;
    let path = text("path").ok_or("an operation without path")?;
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    let fails = || format!("{op} {path} does not apply");
    if op == "test" {
        return if object.pointer(path) == Some(&value()) {
            Ok(())
        } else {
            Err(fails())
        };
    }
    let (parent, key) = path.rsplit_once('/').ok_or_else(fails)?;
    // kustomize accepts this on an object that has no annotations yet: it keeps notes of its own there.
    if op == "add"
        && parent == "/metadata/annotations"
        && let Some(Value::Object(metadata)) = object.pointer_mut("/metadata")
    {
        let map = metadata.entry("annotations").or_insert(Value::Null);
        if map.is_null() {
            *map = Value::Object(Map::new());
        }
    }
    let key = key.replace("~1", "/").replace("~0", "~");
    match (object.pointer_mut(parent).ok_or_else(fails)?, op) {
        (Value::Object(map), "add") => {
            map.insert(key, value());
        }
        (Value::Object(map), "replace") => *map.get_mut(&key).ok_or_else(fails)? = value(),
        (Value::Object(map), "remove") => {
            map.remove(&key).ok_or_else(fails)?;
        }
        (Value::Array(list), "add") => {
            let at = if key == "-" {
                list.len()
            } else {
                key.parse().map_err(|_| fails())?
            };
            if at > list.len() {
                return Err(fails());
            }
            list.insert(at, value());
        }
        (Value::Array(list), "replace") => {
            let at: usize = key.parse().map_err(|_| fails())?;
            *list.get_mut(at).ok_or_else(fails)? = value();
        }
        (Value::Array(list), "remove") => {
            let at: usize = key.parse().map_err(|_| fails())?;
            if at >= list.len() {
                return Err(fails());
            }
            list.remove(at);
        }
        _ => return Err(fails()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations_apply_in_order_and_fail_by_name() {
        let mut object = json!({"metadata": {"name": "n"}, "spec": {"tags": ["a"], "x": 1}});
        let operations = [
            json!({"op": "add", "path": "/metadata/annotations/node.longhorn.io~1paths", "value": "/mnt"}),
            json!({"op": "add", "path": "/spec/tags/-", "value": "b"}),
            json!({"op": "replace", "path": "/spec/x", "value": 2}),
            json!({"op": "remove", "path": "/spec/tags/0"}),
            json!({"op": "test", "path": "/spec/x", "value": 2}),
        ];
        assert!(is_simple(&operations));
        apply(&mut object, &operations).unwrap();
        assert_eq!(
            object,
            json!({"metadata": {"name": "n", "annotations": {"node.longhorn.io/paths": "/mnt"}}, "spec": {"tags": ["b"], "x": 2}})
        );
        let error = apply(
            &mut object,
            &[json!({"op": "replace", "path": "/spec/none", "value": 1})],
        )
        .unwrap_err();
        assert_eq!(error, "replace /spec/none does not apply");
        assert!(
            apply(
                &mut object,
                &[json!({"op": "add", "path": "/none/x", "value": 1})]
            )
            .is_err()
        );
        assert!(!is_simple(&[
            json!({"op": "move", "from": "/a", "path": "/b"})
        ]));
    }

    #[test]
    fn a_target_matches_by_all_that_it_names() {
        let document = Document {
            file: "n.yaml".into(),
            value: json!({"apiVersion": "longhorn.io/v1beta2", "kind": "Node", "metadata": {"name": "k3s2"}}),
        };
        assert!(Target::of(&json!({"kind": "Node", "name": "k3s2"})).matches(&document));
        assert!(
            Target::of(&json!({"group": "longhorn.io", "version": "v1beta2"})).matches(&document)
        );
        assert!(!Target::of(&json!({"kind": "Node", "name": "k3s1"})).matches(&document));
        assert!(!Target::of(&json!({"kind": "Node", "name": "k3s.*"})).is_plain());
        assert!(!Target::of(&json!({"labelSelector": "a=b"})).is_plain());
    }
}
