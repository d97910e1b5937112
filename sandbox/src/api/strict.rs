//! Fields that a kind has not, and values that do not fit a field.
//!
//! A real server drops the first, or refuses them when asked to be strict, and refuses the second always.

use serde_json::Value;

use super::{
    call::Call,
    refusal::{Cause, Refusal},
    resource::Resource,
    shapes::{self, Shape, Shapes},
};

/// Drops unknown fields of a body, or refuses them.
///
/// `patch` is the text of the patch that the object came of, which the refusal shows.
pub(crate) fn check(
    call: &Call,
    resource: &Resource,
    object: &mut Value,
    patch: Option<&[u8]>,
) -> Result<(), Refusal> {
    let mut found = Found::default();
    if let Some(schema) = resource.schema(&call.version) {
        by_schema(schema, object, "", true, &mut found);
    } else if let Some(shapes) = shapes::of(&resource.group, &resource.kind) {
        by_shape(shapes, &Shape::Struct(shapes.root), object, "", &mut found);
    }
    let kind = &resource.kind;
    if let Some((path, what, wanted)) = found.misfit {
        let why = format!(
            "json: cannot unmarshal {what} into Go struct field {kind}.{path} of type {wanted}"
        );
        return Err(match patch {
            None => Refusal::bad_request(format!(
                "{kind} in version \"{}\" cannot be handled as a {kind}: {why}",
                call.version
            )),
            Some(patch) => in_patch(patch, &why),
        });
    }
    if found.unknown.is_empty() || call.query.get("fieldValidation") != Some("Strict") {
        return Ok(());
    }
    let list: Vec<String> = found
        .unknown
        .iter()
        .map(|path| format!("unknown field {path:?}"))
        .collect();
    let why = format!("strict decoding error: {}", list.join(", "));
    match patch {
        None => Err(Refusal::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {kind}: {why}",
            call.version
        ))),
        Some(patch) => Err(in_patch(patch, &why)),
    }
}

fn in_patch(patch: &[u8], why: &str) -> Refusal {
    let text = Value::String(String::from_utf8_lossy(patch).into_owned());
    Refusal::unnamed(&[Cause::invalid("patch", &text, why)])
}

#[derive(Default)]
struct Found {
    unknown: Vec<String>,
    /// Where, what stands there, and what is wanted.
    misfit: Option<(String, &'static str, &'static str)>,
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn by_shape(shapes: &Shapes, shape: &Shape, value: &mut Value, path: &str, found: &mut Found) {
    match (shape, &mut *value) {
        (_, Value::Null) | (Shape::Any, _) => {}
        (Shape::Struct(name), Value::Object(map)) => {
            let Some(fields) = shapes.structs.get(name) else {
                return;
            };
            map.retain(|key, value| {
                let at = below(path, key);
                let Some(shape) = fields.get(key.as_str()) else {
                    found.unknown.push(at);
                    return false;
                };
                by_shape(shapes, shape, value, &at, found);
                true
            });
        }
        (Shape::List(inner), Value::Array(list)) => {
            for (index, item) in list.iter_mut().enumerate() {
                by_shape(shapes, inner, item, &format!("{path}[{index}]"), found);
            }
        }
        (Shape::Map(inner), Value::Object(map)) => {
            for (key, item) in map {
                by_shape(shapes, inner, item, &below(path, key), found);
            }
        }
        (Shape::Text | Shape::Time, Value::String(_))
        | (Shape::Truth, Value::Bool(_))
        | (Shape::Number, Value::Number(_))
        | (Shape::Quantity | Shape::Either, Value::String(_) | Value::Number(_)) => {}
        (Shape::Whole, Value::Number(number)) if !number.is_f64() => {}
        (shape, value) => {
            let wanted = match shape {
                Shape::Text | Shape::Either | Shape::Quantity => "string",
                Shape::Time => "v1.Time",
                Shape::Whole => "int64",
                Shape::Number => "float64",
                Shape::Truth => "bool",
                Shape::List(_) => "[]",
                Shape::Map(_) => "map[string]",
                Shape::Struct(name) => name,
                Shape::Any => return,
            };
            found
                .misfit
                .get_or_insert_with(|| (path.to_owned(), what(value), wanted));
        }
    }
}

fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A custom resource keeps what its schema names, or everything where the schema says so. Types are looked at when the
/// object is validated.
fn by_schema(schema: &Value, value: &mut Value, path: &str, root: bool, found: &mut Found) {
    if schema["x-kubernetes-preserve-unknown-fields"] == true && schema["properties"].is_null() {
        return;
    }
    let keeps = schema["x-kubernetes-preserve-unknown-fields"] == true
        || schema["x-kubernetes-embedded-resource"] == true;
    match value {
        Value::Object(map) => {
            let properties = schema["properties"].as_object();
            let others = schema.get("additionalProperties");
            map.retain(|key, value| {
                if root && matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                    return true;
                }
                let at = below(path, key);
                match (properties.and_then(|all| all.get(key)), others) {
                    (Some(schema), _) => by_schema(schema, value, &at, false, found),
                    (None, Some(schema)) if schema.is_object() => {
                        by_schema(schema, value, &at, false, found);
                    }
                    (None, Some(all)) if *all == Value::Bool(true) => {}
                    _ if keeps => {}
                    _ => {
                        found.unknown.push(at);
                        return false;
                    }
                }
                true
            });
        }
        Value::Array(list) if schema["items"].is_object() => {
            for (index, item) in list.iter_mut().enumerate() {
                by_schema(
                    &schema["items"],
                    item,
                    &format!("{path}[{index}]"),
                    false,
                    found,
                );
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::resource::Registry, *};

    fn checked(query: &str, object: &mut Value) -> Result<(), Refusal> {
        let call = Call::read("POST", "/api/v1/namespaces/a/pods", query);
        let pods = Registry::new().find("", "pods").expect("pods");
        check(&call, &pods, object, None)
    }

    #[test]
    fn unknown_fields_are_dropped_or_refused() {
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "nmae": "q" },
            "spec": { "containers": [{ "name": "a", "imag": "b" }] } });
        let mut kept = pod.clone();
        checked("", &mut kept).expect("unknown fields are dropped");
        assert_eq!(kept["metadata"], json!({ "name": "p" }));
        assert_eq!(kept["spec"]["containers"][0], json!({ "name": "a" }));
        let refusal = checked("fieldValidation=Strict", &mut pod.clone()).expect_err("strict");
        assert_eq!(refusal.code, 400);
        assert_eq!(
            refusal.message,
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"metadata.nmae\", unknown field \"spec.containers[0].imag\""
        );
    }

    #[test]
    fn values_that_do_not_fit_are_refused_always() {
        let refusal = checked(
            "",
            &mut json!({ "spec": { "terminationGracePeriodSeconds": "x" } }),
        );
        assert_eq!(refusal.expect_err("text").code, 400);
        let mut fits = json!({ "spec": { "containers": [{ "resources": { "limits": { "cpu": 1, "memory": "1Gi" } },
            "readinessProbe": { "httpGet": { "port": "http" } } }], "nodeName": null } });
        checked("fieldValidation=Strict", &mut fits).expect("everything fits");
    }

    #[test]
    fn custom_resources_keep_what_their_schema_names() {
        let schema = json!({ "properties": { "spec": { "properties": {
            "size": {}, "free": { "x-kubernetes-preserve-unknown-fields": true }, "map": { "additionalProperties": { "properties": { "a": {} } } } } } } });
        let mut object = json!({ "metadata": { "any": 1 }, "spec": { "size": 1, "sise": 2, "free": { "x": 1 },
            "map": { "k": { "a": 1, "b": 2 } } } });
        let mut found = Found::default();
        by_schema(&schema, &mut object, "", true, &mut found);
        assert_eq!(found.unknown, ["spec.map.k.b", "spec.sise"]);
        assert_eq!(
            object,
            json!({ "metadata": { "any": 1 }, "spec": { "size": 1, "free": { "x": 1 }, "map": { "k": { "a": 1 } } } })
        );
    }
}
