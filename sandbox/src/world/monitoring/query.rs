//! A small part of PromQL: one metric with label matchers, and at most one comparison with a number.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{
    k3s,
    kinds::{NODES, PODS, RULES},
    make::{condition, items, name, namespace, now, text},
    scene::Scene,
};

use super::targets;

/// A series: labels and the value now.
type Series = (BTreeMap<String, String>, f64);

/// Evaluates a query to an instant vector.
pub(crate) fn evaluate(scene: &Scene<'_>, query: &str) -> Result<Value, String> {
    let parsed = Query::parse(query)?;
    let stamp = jiff::Timestamp::now().as_millisecond();
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of this century fit a double"
    )]
    let seconds = stamp as f64 / 1000.0;
    let found: Vec<Series> = series(scene, &parsed.metric)
        .into_iter()
        .filter(|one| parsed.takes(one))
        .collect();
    if parsed.count {
        let result = if found.is_empty() {
            json!([])
        } else {
            json!([{"metric": {}, "value": [seconds, found.len().to_string()]}])
        };
        return Ok(result);
    }
    let vector = found
        .into_iter()
        .map(|(mut labels, value)| {
            labels.insert("__name__".to_owned(), parsed.metric.clone());
            json!({"metric": labels, "value": [seconds, value.to_string()]})
        })
        .collect();
    Ok(Value::Array(vector))
}

struct Query {
    metric: String,
    matchers: Vec<(String, String, String)>,
    comparison: Option<(String, f64)>,
    count: bool,
}

impl Query {
    fn parse(query: &str) -> Result<Self, String> {
        let mut rest = query.trim();
        let mut count = false;
        if let Some(inner) = rest
            .strip_prefix("count(")
            .and_then(|it| it.strip_suffix(')'))
        {
            count = true;
            rest = inner.trim();
        }
        let bad = |at: &str| format!("invalid parameter \"query\": parse error near {at:?}");
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
            .unwrap_or(rest.len());
        let metric = rest[..end].to_owned();
        if metric.is_empty() {
            return Err(bad(rest));
        }
        rest = rest[end..].trim_start();
        let mut matchers = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside.trim_start();
            loop {
                if let Some(after) = rest.strip_prefix('}') {
                    rest = after.trim_start();
                    break;
                }
                let (matcher, after) = matcher(rest).ok_or_else(|| bad(rest))?;
                matchers.push(matcher);
                rest = after.trim_start().trim_start_matches(',').trim_start();
            }
        }
        let comparison = match ["==", "!=", ">=", "<=", ">", "<"]
            .iter()
            .find(|sign| rest.starts_with(**sign))
        {
            Some(sign) => {
                let number = rest[sign.len()..].trim();
                Some(((*sign).to_owned(), number.parse().map_err(|_| bad(number))?))
            }
            None if rest.is_empty() => None,
            None => return Err(bad(rest)),
        };
        Ok(Self {
            metric,
            matchers,
            comparison,
            count,
        })
    }

    fn takes(&self, (labels, value): &Series) -> bool {
        let matched = self.matchers.iter().all(|(label, sign, wanted)| {
            let there = labels.get(label).map_or("", String::as_str);
            match sign.as_str() {
                "=" => there == wanted,
                "!=" => there != wanted,
                "=~" => wanted.split('|').any(|pattern| like(pattern, there)),
                _ => !wanted.split('|').any(|pattern| like(pattern, there)),
            }
        });
        let compared = self
            .comparison
            .as_ref()
            .is_none_or(|(sign, number)| match sign.as_str() {
                "==" => (value - number).abs() < f64::EPSILON,
                "!=" => (value - number).abs() >= f64::EPSILON,
                ">=" => value >= number,
                "<=" => value <= number,
                ">" => value > number,
                _ => value < number,
            });
        matched && compared
    }
}

type Matcher = (String, String, String);

fn matcher(text: &str) -> Option<(Matcher, &str)> {
    let end = text.find(['=', '!'])?;
    let label = text[..end].trim().to_owned();
    let rest = &text[end..];
    let sign = ["=~", "!~", "!=", "="]
        .iter()
        .find(|sign| rest.starts_with(**sign))?;
    let quoted = rest[sign.len()..].trim_start();
    let quote = quoted
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let mut value = String::new();
    let mut escaped = false;
    for (at, letter) in quoted.char_indices().skip(1) {
        if escaped {
            value.push(letter);
            escaped = false;
        } else if letter == '\\' && quote != '`' {
            escaped = true;
        } else if letter == quote {
            return Some(((label, (*sign).to_owned(), value), &quoted[at + 1..]));
        } else {
            value.push(letter);
        }
    }
    None
}

/// A regular expression of letters, dots, escaped dots, `.*` and `.+`, anchored at both ends.
fn like(pattern: &str, there: &str) -> bool {
    let pattern = pattern.trim_start_matches('(').trim_end_matches(')');
    let Some(first) = pattern.chars().next() else {
        return there.is_empty();
    };
    for (wild, least) in [(".*", 0), (".+", 1)] {
        if let Some(rest) = pattern.strip_prefix(wild) {
            return (least..=there.len())
                .any(|at| there.is_char_boundary(at) && like(rest, &there[at..]));
        }
    }
    let (literal, rest) = match pattern.strip_prefix('\\') {
        Some(after) => (after.chars().next(), after.get(1..).unwrap_or_default()),
        None if first == '.' => (None, &pattern[1..]),
        None => (Some(first), &pattern[first.len_utf8()..]),
    };
    let Some(letter) = there.chars().next() else {
        return false;
    };
    literal.is_none_or(|literal| literal == letter) && like(rest, &there[letter.len_utf8()..])
}

/// The series of a metric as the world has them.
fn series(scene: &Scene<'_>, metric: &str) -> Vec<Series> {
    let all = targets::all(scene);
    // A relabelling rule that drops what it should keep: the target is up and its series are not there.
    let dropped = |node: &str| scene.fault("node-metrics-dropped") && node == scene.cast.node;
    let scraped = |job: &'static str| {
        all.iter().filter(move |it| {
            it.labels["job"] == job
                && it.error.is_none()
                && !(job == "node-exporter" && dropped(&it.node))
        })
    };
    match metric {
        "up" => all
            .iter()
            .map(|it| (it.labels.clone(), f64::from(u8::from(it.error.is_none()))))
            .collect(),
        "node_uname_info" => scraped("node-exporter")
            .map(|it| {
                let mut labels = it.labels.clone();
                for (key, value) in [
                    ("nodename", it.node.as_str()),
                    ("machine", "x86_64"),
                    ("sysname", "Linux"),
                ] {
                    labels.insert(key.to_owned(), value.to_owned());
                }
                (labels, 1.0)
            })
            .collect(),
        "node_load1" | "node_memory_MemAvailable_bytes" | "node_filesystem_avail_bytes" => {
            scraped("node-exporter")
                .map(|it| {
                    let (cpu, memory) = k3s::usage(scene, &it.node);
                    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                    let value = match metric {
                        "node_load1" => cpu as f64 / 1000.0,
                        "node_memory_MemAvailable_bytes" => (7940.0 - memory as f64) * 1_048_576.0,
                        _ => 8.1e10,
                    };
                    (it.labels.clone(), value)
                })
                .collect()
        }
        "kubelet_node_name" => scraped("kubelet")
            .map(|it| (it.labels.clone(), 1.0))
            .collect(),
        "gotk_reconcile_duration_seconds_count" | "controller_runtime_reconcile_total" => {
            scraped("flux-system/flux-system")
                .map(|it| (it.labels.clone(), 120.0))
                .collect()
        }
        "ALERTS" => alerts(scene)
            .iter()
            .map(|alert| {
                let mut labels: BTreeMap<String, String> =
                    serde_json::from_value(alert["labels"].clone()).unwrap_or_default();
                labels.insert("alertstate".to_owned(), "firing".to_owned());
                (labels, 1.0)
            })
            .collect(),
        _ => scraped("kube-state-metrics")
            .next()
            .map(|it| state_metrics(scene, metric, &it.labels))
            .unwrap_or_default(),
    }
}

/// What kube-state-metrics tells.
fn state_metrics(scene: &Scene<'_>, metric: &str, base: &BTreeMap<String, String>) -> Vec<Series> {
    let labelled = |pairs: &[(&str, &str)]| {
        let mut labels = base.clone();
        labels.extend(
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        labels
    };
    match metric {
        "kube_node_info" => scene
            .list(&NODES)
            .iter()
            .map(|node| {
                let address = scene
                    .cast
                    .address(name(node))
                    .map(|ip| ip.to_string())
                    .unwrap_or_default();
                let version = text(&node["status"]["nodeInfo"]["kubeletVersion"]).to_owned();
                (
                    labelled(&[
                        ("node", name(node)),
                        ("internal_ip", &address),
                        ("kubelet_version", &version),
                    ]),
                    1.0,
                )
            })
            .collect(),
        "kube_node_status_condition" => scene
            .list(&NODES)
            .iter()
            .flat_map(|node| {
                ["true", "false", "unknown"].map(|status| {
                    let holds = condition(node, "Ready").eq_ignore_ascii_case(status);
                    let labels = labelled(&[
                        ("node", name(node)),
                        ("condition", "Ready"),
                        ("status", status),
                    ]);
                    (labels, f64::from(u8::from(holds)))
                })
            })
            .collect(),
        "kube_pod_info" => scene
            .list(&PODS)
            .iter()
            .map(|pod| {
                let node = text(&pod["spec"]["nodeName"]);
                (
                    labelled(&[
                        ("namespace", namespace(pod)),
                        ("pod", name(pod)),
                        ("node", node),
                    ]),
                    1.0,
                )
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The alerts that fire: rules whose expression this evaluator understands and that find something.
pub(crate) fn alerts(scene: &Scene<'_>) -> Vec<Value> {
    let mut firing = Vec::new();
    for rule in all_rules(scene) {
        let expression = text(&rule["expr"]);
        let Ok(parsed) = Query::parse(expression) else {
            continue;
        };
        if parsed.metric == "ALERTS" {
            continue;
        }
        for (mut labels, value) in series(scene, &parsed.metric)
            .into_iter()
            .filter(|one| parsed.takes(one))
        {
            labels.insert("alertname".to_owned(), text(&rule["alert"]).to_owned());
            labels.insert(
                "severity".to_owned(),
                text(&rule["labels"]["severity"]).to_owned(),
            );
            firing.push(json!({
                "labels": labels, "annotations": rule["annotations"], "state": "firing", "activeAt": now(),
                "value": value.to_string(),
            }));
        }
    }
    firing
}

fn all_rules(scene: &Scene<'_>) -> Vec<Value> {
    scene
        .list(&RULES)
        .iter()
        .flat_map(|object| items(&object["spec"]["groups"]).to_vec())
        .flat_map(|group| items(&group["rules"]).to_vec())
        .filter(|rule| rule["alert"].is_string())
        .collect()
}

/// The loaded rules, by group.
pub(crate) fn rules(scene: &Scene<'_>) -> Vec<Value> {
    scene
        .list(&RULES)
        .iter()
        .flat_map(|object| {
            let file = format!("/etc/prometheus/rules/{}-{}.yaml", namespace(object), name(object));
            items(&object["spec"]["groups"])
                .iter()
                .map(|group| {
                    let rules: Vec<Value> = items(&group["rules"])
                        .iter()
                        .map(|rule| {
                            json!({
                                "name": rule["alert"], "query": rule["expr"], "labels": rule["labels"],
                                "annotations": rule["annotations"], "type": "alerting", "health": "ok",
                                "state": "inactive",
                            })
                        })
                        .collect();
                    json!({"name": group["name"], "file": file, "rules": rules, "interval": 30})
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_and_comparisons_are_understood() {
        let query =
            Query::parse("up{job=\"node-exporter\", instance=~\"127\\\\.1\\\\.2\\\\.2:.*\"} == 1")
                .unwrap();
        let labels = |instance: &str| {
            BTreeMap::from([
                ("job".to_owned(), "node-exporter".to_owned()),
                ("instance".to_owned(), instance.to_owned()),
            ])
        };
        assert!(query.takes(&(labels("127.1.2.2:9100"), 1.0)));
        assert!(!query.takes(&(labels("127.1.2.2:9100"), 0.0)));
        assert!(!query.takes(&(labels("127.1.2.3:9100"), 1.0)));
        assert!(Query::parse("rate(up[5m])").is_err());
    }

    #[test]
    fn patterns_are_anchored() {
        assert!(like("k3s.*", "k3s2"));
        assert!(!like("k3s", "k3s2"));
        assert!(like("a\\.b", "a.b"));
        assert!(!like("a\\.b", "axb"));
    }
}
