//! Label and field selectors, as they stand in a query.

use std::borrow::Cow;

use serde_json::Value;

use super::{refusal::Refusal, resource::Resource};

/// A label selector; every requirement must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

impl LabelSelector {
    /// Reads `a=b,c in (d,e),!f`.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut requirements = Vec::new();
        for part in split_outside_brackets(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            requirements.push(Requirement::parse(part).ok_or_else(|| {
                Refusal::bad_request(format!(
                    "unable to parse requirement: found '{part}', expected: a label requirement"
                ))
            })?);
        }
        Ok(Self(requirements))
    }

    /// Reads a `LabelSelector` object (`matchLabels`, `matchExpressions`).
    pub(crate) fn from_object(selector: &Value) -> Self {
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            let operator = Operator::In(vec![value.as_str().unwrap_or_default().to_owned()]);
            requirements.push(Requirement {
                key: key.clone(),
                operator,
            });
        }
        for expression in selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let values = expression["values"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|v| v.as_str().map(str::to_owned));
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In(values.collect()),
                "NotIn" => Operator::NotIn(values.collect()),
                "Exists" => Operator::Exists,
                _ => Operator::Absent,
            };
            requirements.push(Requirement {
                key: expression["key"].as_str().unwrap_or_default().to_owned(),
                operator,
            });
        }
        Self(requirements)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object's labels satisfy every requirement.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key).and_then(Value::as_str);
            match (&requirement.operator, value) {
                (Operator::In(values), Some(value)) => values.iter().any(|v| v == value),
                (Operator::NotIn(values), Some(value)) => !values.iter().any(|v| v == value),
                (Operator::NotIn(_) | Operator::Absent, None) | (Operator::Exists, Some(_)) => true,
                (Operator::Greater(limit), Some(value)) => {
                    value.parse::<i64>().is_ok_and(|v| v > *limit)
                }
                (Operator::Less(limit), Some(value)) => {
                    value.parse::<i64>().is_ok_and(|v| v < *limit)
                }
                _ => false,
            }
        })
    }
}

impl Requirement {
    fn parse(part: &str) -> Option<Self> {
        if let Some(key) = part.strip_prefix('!') {
            return Self::build(key, Operator::Absent);
        }
        if let Some((left, values)) = part.split_once('(') {
            let values = values
                .strip_suffix(')')?
                .split(',')
                .map(|v| v.trim().to_owned())
                .collect();
            let mut words = left.split_whitespace();
            let key = words.next()?;
            let operator = match words.next()? {
                "in" => Operator::In(values),
                "notin" => Operator::NotIn(values),
                _ => return None,
            };
            return Self::build(key, operator);
        }
        if let Some((key, value)) = part.split_once("!=") {
            return Self::build(key, Operator::NotIn(vec![value.trim().to_owned()]));
        }
        if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            return Self::build(key, Operator::In(vec![value.trim().to_owned()]));
        }
        if let Some((key, value)) = part.split_once('>') {
            return Self::build(key, Operator::Greater(value.trim().parse().ok()?));
        }
        if let Some((key, value)) = part.split_once('<') {
            return Self::build(key, Operator::Less(value.trim().parse().ok()?));
        }
        Self::build(part, Operator::Exists)
    }

    fn build(key: &str, operator: Operator) -> Option<Self> {
        let key = key.trim();
        let known = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let value_ok = |v: &String| {
            v.len() <= 63
                && v.chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        let values_ok = match &operator {
            Operator::In(values) | Operator::NotIn(values) => values.iter().all(value_ok),
            _ => true,
        };
        (!key.is_empty() && key.chars().all(known) && values_ok).then(|| Self {
            key: key.to_owned(),
            operator,
        })
    }
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_u32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A field selector: path, whether it must be equal, value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    /// Reads `spec.nodeName=x,status.phase!=Failed`.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut terms = Vec::new();
        for term in split_terms(text) {
            if term.is_empty() {
                continue;
            }
            let (key, equal, value) = if let Some((key, value)) = term.split_once("!=") {
                (key, false, value)
            } else if let Some((key, value)) =
                term.split_once("==").or_else(|| term.split_once('='))
            {
                (key, true, value)
            } else {
                return Err(Refusal::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                )));
            };
            let value = value
                .replace("\\,", ",")
                .replace("\\=", "=")
                .replace("\\\\", "\\");
            terms.push((key.trim().to_owned(), equal, value));
        }
        Ok(Self(terms))
    }

    /// Refuses fields that the resource cannot be selected by.
    pub(crate) fn check(&self, resource: &Resource, version: &str) -> Result<(), Refusal> {
        for (field, _, _) in &self.0 {
            if !selectable(resource, version, field) {
                if resource.custom.is_none() && plain(resource) {
                    let known = if resource.namespaced {
                        "\"metadata.name\", \"metadata.namespace\""
                    } else {
                        "\"metadata.name\""
                    };
                    return Err(Refusal::bad_request(format!(
                        "\"{field}\" is not a known field selector: only {known}"
                    )));
                }
                return Err(Refusal::bad_request(format!(
                    "field label not supported: {field}"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that a field must equal.
    pub(crate) fn exact(&self, field: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, equal, _)| key == field && *equal)
            .map(|(_, _, value)| value.as_str())
    }

    /// Whether an object satisfies every term; a missing field is the empty string.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0
            .iter()
            .all(|(field, equal, wanted)| (field_text(object, field) == *wanted) == *equal)
    }
}

fn split_terms(text: &str) -> Vec<String> {
    let (mut terms, mut term, mut escaped) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        if c == ',' && !escaped {
            terms.push(std::mem::take(&mut term));
        } else {
            term.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    terms.push(term);
    terms
}

fn field_text<'a>(object: &'a Value, field: &str) -> Cow<'a, str> {
    let mut value = object;
    for part in field.split('.') {
        value = &value[part];
    }
    let component = || object["source"]["component"].as_str().unwrap_or_default();
    match value {
        Value::Null if field == "spec.unschedulable" || field == "spec.hostNetwork" => {
            "false".into()
        }
        Value::Null if field == "status.replicas" => "0".into(),
        Value::Null | Value::Object(_) if field == "source" => component().into(),
        Value::String(text) => text.into(),
        Value::Null => "".into(),
        other => other.to_string().into(),
    }
}

/// Whether a kind is selected by nothing but name and namespace.
fn plain(resource: &Resource) -> bool {
    !matches!(
        (resource.group.as_str(), resource.plural.as_str()),
        (
            "",
            "pods"
                | "nodes"
                | "events"
                | "secrets"
                | "services"
                | "namespaces"
                | "replicationcontrollers"
        ) | ("events.k8s.io", "events")
            | (
                "apps",
                "replicasets" | "statefulsets" | "deployments" | "daemonsets"
            )
            | ("batch", "jobs")
            | ("certificates.k8s.io", _)
    )
}

fn selectable(resource: &Resource, version: &str, field: &str) -> bool {
    if field == "metadata.name" || (field == "metadata.namespace" && resource.namespaced) {
        return true;
    }
    if let Some(custom) = &resource.custom {
        return custom
            .selectable
            .get(version)
            .is_some_and(|fields| fields.iter().any(|f| f == field));
    }
    let fields: &[&str] = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "events") => &[
            "reason",
            "type",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "reportingController",
        ],
        ("", "secrets") => &["type"],
        ("", "services") => &["spec.type", "spec.clusterIP"],
        ("", "namespaces") => &["status.phase", "name"],
        ("", "replicationcontrollers") | ("apps", "replicasets") => &["status.replicas"],
        ("batch", "jobs") => &["status.successful"],
        ("certificates.k8s.io", _) => &["spec.signerName"],
        _ => &[],
    };
    fields.contains(&field)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labelled(labels: Value) -> Value {
        json!({ "metadata": { "labels": labels } })
    }

    #[test]
    fn label_selectors_hold_all_requirements() {
        let object = labelled(json!({ "app": "web", "tier": "front" }));
        for (text, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (api, web)", true),
            ("app notin (api,web)", false),
            ("tier", true),
            ("!tier", false),
            ("!zone,zone!=a", true),
            ("app=web,zone", false),
        ] {
            let selector = LabelSelector::parse(text).expect(text);
            assert_eq!(selector.matches(&object), expected, "{text}");
        }
        assert_eq!(
            LabelSelector::parse("a b c").expect_err("three words").code,
            400
        );
    }

    #[test]
    fn selectors_as_objects_are_the_same() {
        let selector = LabelSelector::from_object(&json!({
            "matchLabels": { "app": "web" },
            "matchExpressions": [{ "key": "tier", "operator": "NotIn", "values": ["back"] }],
        }));
        assert!(selector.matches(&labelled(json!({ "app": "web" }))));
        assert!(!selector.matches(&labelled(json!({ "app": "web", "tier": "back" }))));
    }

    #[test]
    fn field_selectors_read_paths_and_defaults() {
        let pod = json!({ "spec": { "nodeName": "a" }, "status": { "phase": "Running" } });
        let selector =
            FieldSelector::parse("spec.nodeName=a,status.phase!=Failed").expect("selector");
        assert!(selector.matches(&pod));
        assert_eq!(selector.exact("spec.nodeName"), Some("a"));
        let node = json!({ "spec": {} });
        assert!(
            FieldSelector::parse("spec.unschedulable=false")
                .expect("selector")
                .matches(&node)
        );
    }

    #[test]
    fn unknown_fields_are_refused() {
        let registry = super::super::resource::Registry::new();
        let pods = registry.find("", "pods").expect("pods");
        let selector = FieldSelector::parse("spec.color=red").expect("selector");
        let refusal = selector.check(&pods, "v1").expect_err("unknown field");
        assert_eq!(refusal.code, 400);
        assert_eq!(refusal.message, "field label not supported: spec.color");
    }
}
