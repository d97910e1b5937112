//! The paths of `additionalPrinterColumns`: `.spec.size`, `.items[0].name`, `.conditions[?(@.type=="Ready")].status`.

use serde_json::Value;

/// The first value that the path leads to.
pub(crate) fn first(object: &Value, path: &str) -> Option<Value> {
    let mut found = vec![object.clone()];
    let mut rest = path
        .trim()
        .trim_start_matches('{')
        .trim_end_matches('}')
        .trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let end = closing(after)?;
            let inner = &after[..end];
            found = found
                .iter()
                .flat_map(|value| bracket(value, inner))
                .collect();
            rest = &after[end + 1..];
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            if rest.is_empty() {
                break;
            }
            let (name, after) = name(rest);
            found = found
                .iter()
                .filter_map(|value| value.get(&name).cloned())
                .collect();
            rest = after;
        }
    }
    found.into_iter().next().filter(|value| !value.is_null())
}

/// A field's name, with escaped dots, and what follows it.
fn name(text: &str) -> (String, &str) {
    let (mut name, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '.' | '[' if !escaped => return (name, &text[at..]),
            _ => {
                name.push(c);
                escaped = false;
            }
        }
    }
    (name, "")
}

fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_u32, None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            ('[', None) => depth += 1,
            (']', None) if depth == 0 => return Some(at),
            (']', None) => depth -= 1,
            _ => {}
        }
    }
    None
}

fn bracket(value: &Value, inner: &str) -> Vec<Value> {
    let inner = inner.trim();
    if inner == "*" {
        return match value {
            Value::Array(items) => items.clone(),
            Value::Object(map) => map.values().cloned().collect(),
            _ => Vec::new(),
        };
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        let Some((left, right)) = filter.split_once("==") else {
            return Vec::new();
        };
        let path = left.trim().trim_start_matches('@');
        let wanted = right.trim().trim_matches(['"', '\'']);
        let items = value.as_array().cloned().unwrap_or_default();
        return items
            .into_iter()
            .filter(|item| first(item, path).is_some_and(|v| text(&v) == wanted))
            .collect();
    }
    if let Ok(index) = inner.parse::<i64>() {
        let Some(items) = value.as_array() else {
            return Vec::new();
        };
        let at = if index < 0 {
            items.len() as i64 + index
        } else {
            index
        };
        return usize::try_from(at)
            .ok()
            .and_then(|at| items.get(at).cloned())
            .into_iter()
            .collect();
    }
    value
        .get(inner.trim_matches(['"', '\'']))
        .cloned()
        .into_iter()
        .collect()
}

/// A value as text: strings without quotes.
pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_printer_columns_lead_to_values() {
        let object = json!({ "spec": { "size": 3, "a.b": "dotted" }, "status": { "conditions": [
            { "type": "Ready", "status": "True" }, { "type": "Other", "status": "False" }], "names": ["x", "y"] } });
        for (path, wanted) in [
            (".spec.size", Some(json!(3))),
            (
                ".status.conditions[?(@.type==\"Ready\")].status",
                Some(json!("True")),
            ),
            (
                ".status.conditions[?(@.type=='Other')].status",
                Some(json!("False")),
            ),
            (".status.names[1]", Some(json!("y"))),
            (".status.names[-1]", Some(json!("y"))),
            (".spec.a\\.b", Some(json!("dotted"))),
            (".spec['a.b']", Some(json!("dotted"))),
            (".spec.none", None),
            (".status.conditions[?(@.type==\"None\")].status", None),
        ] {
            assert_eq!(first(&object, path), wanted, "{path}");
        }
    }
}
