//! What the server refuses in an object: names, fields that must be there, fields that never change.

use serde_json::Value;

use super::{
    refusal::{Cause, Refusal},
    resource::Resource,
};

/// Checks a new object.
pub(crate) fn new_object(
    resource: &Resource,
    version: &str,
    object: &Value,
) -> Result<(), Refusal> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut causes = Vec::new();
    if let Some(why) = bad_name(resource, name) {
        causes.push(Cause::invalid(
            "metadata.name",
            &Value::String(name.to_owned()),
            why,
        ));
    }
    labels(object, &mut causes);
    if resource.custom.is_none() {
        finalizers(object, &mut causes);
    }
    required(resource, object, &mut causes);
    if let Some(schema) = resource.schema(version) {
        against_schema(schema, object, "", &mut causes);
    }
    refuse(resource, name, &causes)
}

/// Checks a change.
pub(crate) fn changed_object(
    resource: &Resource,
    version: &str,
    old: &Value,
    new: &Value,
) -> Result<(), Refusal> {
    let name = old["metadata"]["name"].as_str().unwrap_or_default();
    let mut causes = Vec::new();
    labels(new, &mut causes);
    required(resource, new, &mut causes);
    immutable(resource, old, new, &mut causes);
    if let Some(schema) = resource.schema(version)
        && old["spec"] != new["spec"]
    {
        against_schema(schema, new, "", &mut causes);
    }
    refuse(resource, name, &causes)
}

fn refuse(resource: &Resource, name: &str, causes: &[Cause]) -> Result<(), Refusal> {
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Refusal::invalid(resource, name, causes))
    }
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Why a name is not acceptable.
fn bad_name(resource: &Resource, name: &str) -> Option<&'static str> {
    if resource.group == "rbac.authorization.k8s.io" {
        return (name.contains('/') || name.contains('%')).then_some("may not contain '/' or '%'");
    }
    if resource.group == "metrics.k8s.io" || resource.group == "apiregistration.k8s.io" {
        return None;
    }
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "namespaces") => (!is_label(name, 63)).then_some(LABEL),
        ("", "services") => {
            let letter = name.starts_with(|c: char| c.is_ascii_lowercase());
            (!letter || !is_label(name, 63)).then_some(LABEL_1035)
        }
        _ => (!is_subdomain(name)).then_some(SUBDOMAIN),
    }
}

fn is_label(text: &str, limit: usize) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= limit
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|part| is_label(part, 253))
}

fn labels(object: &Value, causes: &mut Vec<Cause>) {
    for (key, value) in object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
    {
        if key == "kubernetes.io/metadata.name" {
            // The server's own, and as good as the name.
            continue;
        }
        let text = value.as_str().unwrap_or_default();
        let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
        let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !value.is_string()
            || text.len() > 63
            || !edge(text.chars().next())
            || !edge(text.chars().next_back())
            || !text.chars().all(inner)
        {
            let why = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
            causes.push(Cause::invalid("metadata.labels", value, why));
        }
        let (prefix, local) = key.split_once('/').unwrap_or(("", key));
        let local_ok = !local.is_empty()
            && local.len() <= 63
            && edge(local.chars().next())
            && edge(local.chars().next_back())
            && local.chars().all(inner);
        if !local_ok || (key.contains('/') && !is_subdomain(prefix)) {
            let why = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
            causes.push(Cause::invalid(
                "metadata.labels",
                &Value::String(key.clone()),
                why,
            ));
        }
    }
}

/// Finalizers of built-in kinds have a domain, but for those that the API itself knows.
fn finalizers(object: &Value, causes: &mut Vec<Cause>) {
    let list = object["metadata"]["finalizers"].as_array();
    for (at, finalizer) in list.into_iter().flatten().enumerate() {
        let name = finalizer.as_str().unwrap_or_default();
        if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
            causes.push(Cause::invalid(
                format!("metadata.finalizers[{at}]"),
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
}

fn required(resource: &Resource, object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let empty = |value: &Value| {
        value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value == ""
    };
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => pod_spec(spec, "spec", causes),
        ("apps", "deployments" | "daemonsets" | "replicasets" | "statefulsets") => {
            let labels = &spec["template"]["metadata"]["labels"];
            if empty(&spec["selector"]) {
                causes.push(Cause::required("spec.selector", ""));
            } else {
                let selector = super::selector::LabelSelector::from_object(&spec["selector"]);
                if !selector.matches(&spec["template"]) {
                    causes.push(Cause::invalid(
                        "spec.template.metadata.labels",
                        labels,
                        "`selector` does not match template `labels`",
                    ));
                }
            }
            pod_spec(&spec["template"]["spec"], "spec.template.spec", causes);
        }
        ("batch", "jobs") => pod_spec(&spec["template"]["spec"], "spec.template.spec", causes),
        ("", "services")
            if spec["type"] != "ExternalName"
                && spec["clusterIP"] != "None"
                && empty(&spec["ports"]) =>
        {
            causes.push(Cause::required("spec.ports", ""));
        }
        ("", "nodes") => {
            for (at, taint) in spec["taints"].as_array().into_iter().flatten().enumerate() {
                let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
                if !effects.iter().any(|e| taint["effect"] == *e) {
                    causes.push(Cause::unsupported(
                        format!("metadata.taints[{at}].effect"),
                        &taint["effect"],
                        &effects,
                    ));
                }
            }
        }
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings")
            if empty(&object["roleRef"]["name"]) =>
        {
            causes.push(Cause::required("roleRef.name", ""));
        }
        _ => {}
    }
}

fn pod_spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(containers) = spec["containers"]
        .as_array()
        .filter(|list| !list.is_empty())
    else {
        // Loaded objects of the world are whole; only requests come here.
        causes.push(Cause::required(format!("{path}.containers"), ""));
        return;
    };
    let mut seen = std::collections::HashSet::new();
    for (at, container) in containers.iter().enumerate() {
        match container["name"].as_str() {
            None | Some("") => {
                causes.push(Cause::required(format!("{path}.containers[{at}].name"), ""))
            }
            Some(name) if !is_label(name, 63) => {
                causes.push(Cause::invalid(
                    format!("{path}.containers[{at}].name"),
                    &container["name"],
                    LABEL,
                ));
            }
            Some(name) if !seen.insert(name) => causes.push(Cause {
                field: format!("{path}.containers[{at}].name"),
                reason: "FieldValueDuplicate",
                message: format!("Duplicate value: {name:?}"),
            }),
            Some(_) => {}
        }
        if container["image"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(
                format!("{path}.containers[{at}].image"),
                "",
            ));
        }
    }
    let policies = ["Always", "OnFailure", "Never"];
    let policy = &spec["restartPolicy"];
    if !policy.is_null() && !policies.iter().any(|p| policy == *p) {
        causes.push(Cause::unsupported(
            format!("{path}.restartPolicy"),
            policy,
            &policies,
        ));
    }
}

fn immutable(resource: &Resource, old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let mut fixed = |path: &str, old: &Value, new: &Value| {
        if old != new && !old.is_null() {
            causes.push(Cause::invalid(path, new, "field is immutable"));
        }
    };
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("apps", _) => fixed(
            "spec.selector",
            &old["spec"]["selector"],
            &new["spec"]["selector"],
        ),
        ("batch", "jobs") => fixed(
            "spec.template",
            &old["spec"]["template"],
            &new["spec"]["template"],
        ),
        ("", "secrets") if old["type"] != new["type"] => fixed("type", &old["type"], &new["type"]),
        ("", "services") if new["spec"]["type"] != "ExternalName" => {
            fixed(
                "spec.clusterIP",
                &old["spec"]["clusterIP"],
                &new["spec"]["clusterIP"],
            );
        }
        ("storage.k8s.io", "storageclasses") => {
            for field in [
                "provisioner",
                "parameters",
                "reclaimPolicy",
                "volumeBindingMode",
            ] {
                fixed(field, &old[field], &new[field]);
            }
        }
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings")
            if old["roleRef"] != new["roleRef"] =>
        {
            causes.push(Cause::invalid(
                "roleRef",
                &new["roleRef"],
                "cannot change roleRef",
            ));
        }
        ("", "secrets" | "configmaps")
            if old["immutable"] == true && old["data"] != new["data"] =>
        {
            causes.push(Cause::forbidden(
                "data",
                "field is immutable when `immutable` is set",
            ));
        }
        ("", "pods") if !same_pod_spec(&old["spec"], &new["spec"]) => {
            causes.push(Cause::forbidden(
                "spec",
                "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
            ));
        }
        _ => {}
    }
}

fn same_pod_spec(old: &Value, new: &Value) -> bool {
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        if let Some(map) = spec.as_object_mut() {
            for key in [
                "activeDeadlineSeconds",
                "tolerations",
                "terminationGracePeriodSeconds",
                "schedulingGates",
                "ephemeralContainers",
            ] {
                map.remove(key);
            }
        }
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                if let Some(map) = container.as_object_mut() {
                    map.remove("image");
                }
            }
            if spec[list].is_null()
                && let Some(map) = spec.as_object_mut()
            {
                map.remove(list);
            }
        }
        spec
    };
    old == new || fixed(old) == fixed(new)
}

/// Types, required properties and enumerations of a structural schema; the rest of it is not looked at.
fn against_schema(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() || schema["x-kubernetes-int-or-string"] == true {
        return;
    }
    let at = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    let (fits, found) = match (schema["type"].as_str(), value) {
        (Some("object"), Value::Object(_))
        | (Some("array"), Value::Array(_))
        | (Some("string"), Value::String(_)) => (true, ""),
        (Some("boolean"), Value::Bool(_)) | (None, _) => (true, ""),
        (Some("integer"), Value::Number(n)) => (
            n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|f| f.fract() == 0.0),
            "number",
        ),
        (Some("number"), Value::Number(_)) => (true, ""),
        (_, Value::Object(_)) => (false, "object"),
        (_, Value::Array(_)) => (false, "array"),
        (_, Value::String(_)) => (false, "string"),
        (_, Value::Bool(_)) => (false, "boolean"),
        (_, Value::Number(_)) => (false, "integer"),
        (_, Value::Null) => (true, ""),
    };
    if !fits {
        let wanted = schema["type"].as_str().unwrap_or_default();
        let detail = format!("{path} in body must be of type {wanted}: \"{found}\"");
        causes.push(Cause {
            field: path.to_owned(),
            reason: "FieldValueTypeInvalid",
            message: format!("Invalid value: \"{found}\": {detail}"),
        });
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        causes.push(Cause::unsupported(path, value, &allowed));
    }
    for name in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        let defaulted = schema["properties"][name].get("default").is_some();
        if value.get(name).is_none_or(Value::is_null) && !defaulted {
            causes.push(Cause::required(at(name), ""));
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        if path.is_empty() && matches!(name.as_str(), "metadata" | "apiVersion" | "kind" | "status")
        {
            continue;
        }
        let known = schema["properties"]
            .get(name)
            .or_else(|| schema.get("additionalProperties"));
        if let Some(schema) = known.filter(|s| s.is_object()) {
            against_schema(schema, value, &at(name), causes);
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        if schema["items"].is_object() {
            against_schema(&schema["items"], item, &format!("{path}[{index}]"), causes);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::resource::Registry, *};

    #[test]
    fn causes_name_the_field() {
        let pods = Registry::new().find("", "pods").expect("pods");
        let pod = json!({ "metadata": { "name": "Bad_Name" }, "spec": { "containers": [{ "name": "x" }] } });
        let refusal = new_object(&pods, "v1", &pod).expect_err("invalid");
        assert_eq!(refusal.code, 422);
        let fields: Vec<_> = refusal.details["causes"]
            .as_array()
            .expect("causes")
            .iter()
            .map(|c| &c["field"])
            .collect();
        assert_eq!(fields, ["metadata.name", "spec.containers[0].image"]);
        assert!(
            refusal
                .message
                .starts_with("Pod \"Bad_Name\" is invalid: ["),
            "{}",
            refusal.message
        );
    }

    #[test]
    fn pods_keep_their_spec_but_for_images() {
        let pods = Registry::new().find("", "pods").expect("pods");
        let pod = json!({ "metadata": { "name": "p" }, "spec": { "nodeName": "a", "containers": [{ "name": "x", "image": "1" }] } });
        let mut new = pod.clone();
        new["spec"]["containers"][0]["image"] = "2".into();
        assert!(changed_object(&pods, "v1", &pod, &new).is_ok());
        new["spec"]["nodeName"] = "b".into();
        assert_eq!(
            changed_object(&pods, "v1", &pod, &new)
                .expect_err("moved")
                .code,
            422
        );
    }

    #[test]
    fn schemas_are_held_to() {
        let schema = json!({ "type": "object", "properties": { "spec": { "type": "object", "required": ["size"],
            "properties": { "size": { "type": "integer" }, "mode": { "type": "string", "enum": ["a", "b"] } } } } });
        let mut causes = Vec::new();
        against_schema(
            &schema,
            &json!({ "spec": { "mode": "c" } }),
            "",
            &mut causes,
        );
        let fields: Vec<_> = causes
            .iter()
            .map(|c| (c.field.as_str(), c.reason))
            .collect();
        assert_eq!(
            fields,
            [
                ("spec.size", "FieldValueRequired"),
                ("spec.mode", "FieldValueNotSupported")
            ]
            .into_iter()
            .collect::<Vec<_>>()
        );
    }
}
