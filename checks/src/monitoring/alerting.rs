//! Reading alerts: would this expression fire for a node that is gone, and is this alert about the node?
//!
//! An expression is not evaluated here. It is asked for the series that tell of nodes, and for matchers that shut this
//! node out; what is more intricate than that is taken for watching something else.

use std::net::IpAddr;

use super::prometheus::Sample;

/// What an expression watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Watches {
    /// This node, among others or alone.
    Yes,
    /// Nodes, and never this one.
    NotThisNode(String),
    /// Something else.
    SomethingElse,
}

/// Whether an expression would give a result if the node were gone.
pub(super) fn watches(query: &str, node: &str, address: Option<IpAddr>) -> Watches {
    if !tells_of_gone_nodes(query) {
        return Watches::SomethingElse;
    }
    let address = address.map(|one| one.to_string()).unwrap_or_default();
    for (label, value) in matchers(query) {
        let names_something = value.chars().any(char::is_alphanumeric);
        let shuts_out = match label {
            // The value of `instance` is the address and port that is scraped, not a name.
            "instance" => names_something && (address.is_empty() || !value.contains(&address)),
            "node" | "nodename" | "kubernetes_node" => names_something && !value.contains(node),
            _ => false,
        };
        if shuts_out {
            return Watches::NotThisNode(format!(
                "its matcher on {label} (`{value}`) does not fit {node}"
            ));
        }
    }
    Watches::Yes
}

fn tells_of_gone_nodes(query: &str) -> bool {
    let words: Vec<&str> = query
        .split(|one: char| !(one.is_ascii_alphanumeric() || one == '_' || one == ':'))
        .collect();
    let has = |word: &str| words.contains(&word);
    if has("kube_node_status_condition") && query.contains("Ready") {
        return true;
    }
    if has("kube_node_spec_taint") && query.contains("unreachable") {
        return true;
    }
    // `absent(up{…})` fires when the last of all nodes is gone.
    let down = ["== 0", "==0", "< 1", "<1", "!= 1", "!=1"]
        .iter()
        .any(|comparison| query.contains(comparison));
    if !has("up") || !down || has("absent") {
        return false;
    }
    matchers(query)
        .filter(|(label, _)| *label == "job")
        .all(|(_, job)| {
            ["node", "kubelet", "k3s", ".*", ".+"]
                .iter()
                .any(|part| job.contains(part))
        })
}

/// Label and value of each `label="value"` and `label=~"value"`; those that exclude are left out.
fn matchers(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts: Vec<&str> = query.split('"').collect();
    let found: Vec<(&str, &str)> = parts
        .chunks(2)
        .filter_map(|pair| {
            let [before, value] = pair else { return None };
            let before = before.trim_end();
            let label = before
                .strip_suffix("=~")
                .or_else(|| before.strip_suffix('='))?;
            if label.ends_with('!') {
                return None;
            }
            let label = label
                .trim_end()
                .rsplit(|one: char| !(one.is_ascii_alphanumeric() || one == '_'))
                .next()?;
            Some((label, *value))
        })
        .collect();
    found.into_iter()
}

/// Whether a firing alert carries the node's name or address.
pub(super) fn is_about(alert: &Sample, node: &str, address: Option<IpAddr>) -> bool {
    let by_name = [
        "node",
        "nodename",
        "kubernetes_node",
        "exported_node",
        "host",
    ]
    .iter()
    .any(|label| alert.label(label) == node);
    let instance = alert.label("instance");
    let host = instance
        .rsplit_once(':')
        .map_or(instance, |(host, _)| host)
        .trim_matches(['[', ']']);
    by_name || host == node || address.is_some_and(|address| host == address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(query: &str) -> Watches {
        watches(query, "k3s2", "192.168.86.72".parse().ok())
    }

    #[test]
    fn rules_of_the_usual_charts_watch_every_node() {
        for query in [
            "kube_node_status_condition{job=\"kube-state-metrics\",condition=\"Ready\",status=\"true\"} == 0 and on (cluster, node) kube_node_spec_unschedulable == 0",
            "(kube_node_spec_taint{key=\"node.kubernetes.io/unreachable\",effect=\"NoSchedule\"} unless ignoring(key,value) kube_node_spec_taint{key=~\"ToBeDeletedByClusterAutoscaler\"}) == 1",
            "100 * (count by (job) (up == 0) / count by (job) (up)) > 10",
            "up{job=\"node-exporter\"} == 0",
            "up{job=\"node-exporter\",instance=\"192.168.86.72:9100\"} == 0",
            "up{instance=~\".+\",job!=\"node-exporter\"} == 0",
        ] {
            assert_eq!(watched(query), Watches::Yes, "{query}");
        }
    }

    #[test]
    fn a_pattern_that_the_series_do_not_carry_never_fires() {
        for query in [
            "up{job=\"node-exporter\",instance=~\".*k3s2.*\"} == 0",
            "kube_node_status_condition{node=\"k3s1\",condition=\"Ready\"} == 0",
        ] {
            assert!(
                matches!(watched(query), Watches::NotThisNode(_)),
                "{query}: {:?}",
                watched(query)
            );
        }
    }

    #[test]
    fn what_tells_of_something_else_does_not_count() {
        for query in [
            "absent(up{job=\"kubelet\"} == 1)",
            "up{job=\"alertmanager\"} == 0",
            "kube_pod_status_ready == 0",
            "node_load1 > 10",
            "group_up == 0",
            "",
        ] {
            assert_eq!(watched(query), Watches::SomethingElse, "{query}");
        }
    }
}
