//! Whether every volume is as well as it was before the node came.

use std::collections::{BTreeMap, BTreeSet};

use checks::pre::volumes::VOLUME_WAS;
use k8s_openapi::api::core::v1::Node;
use reports::model::{Case, Report};

use super::{copies::Copies, seen::Storage};

/// What `pre` of the onboarding recorded: the robustness of each volume. Nothing when it was not asked, or by an
/// earlier version that did not write it down.
pub(super) fn recorded(report: &Report) -> Option<BTreeMap<String, String>> {
    let ended = report.case("pre::longhorn_volumes").and_then(Case::ended)?;
    let lines: BTreeMap<String, String> = ended
        .evidence
        .iter()
        .filter_map(|line| {
            let (name, state) = line.strip_prefix(VOLUME_WAS)?.split_once(": ")?;
            let robustness = state.split_whitespace().last()?;
            Some((name.to_owned(), robustness.to_owned()))
        })
        .collect();
    (!lines.is_empty()).then_some(lines)
}

/// What a volume may be.
pub(super) struct Rule<'a> {
    /// Robustness before, by volume; nothing without a record.
    pub(super) before: Option<&'a BTreeMap<String, String>>,
    /// Volumes that a person has agreed to lose.
    pub(super) lost: &'a BTreeSet<String>,
    /// Volumes that have one copy less because no other node could take it.
    pub(super) removed: &'a BTreeSet<String>,
    /// The node that went.
    pub(super) leaving: &'a str,
}

/// The worse the higher. A volume that nobody has attached is `unknown`, which says nothing against it.
fn rank(robustness: &str) -> u8 {
    match robustness {
        "faulted" => 2,
        "degraded" => 1,
        _ => 0,
    }
}

impl Rule<'_> {
    /// The volumes that are worse than they may be, each with what is seen of it.
    pub(super) fn worse(&self, storage: &Storage, nodes: &[Node]) -> Vec<String> {
        let copies = Copies::new(storage, nodes, self.leaving, false);
        let mut worse = Vec::new();
        for volume in storage.volumes.iter() {
            let name = &volume.metadata.name;
            if self.lost.contains(name) || volume.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let was = self.before.and_then(|all| all.get(name));
            let now = volume.status.robustness.as_str();
            let faulted_before = was.is_some_and(|was| was == "faulted");
            if faulted_before {
                continue;
            }
            let written = storage
                .replicas
                .iter()
                .any(|one| one.spec.volume_name == *name && !one.spec.healthy_at.is_empty());
            if rank(now) == 2 {
                worse.push(format!("{name} is faulted"));
            } else if written && copies.safe(name).is_empty() {
                worse.push(format!("{name} has no healthy copy on a node that stays"));
            } else if let Some(was) = was
                && rank(now) > rank(was)
                && !self.removed.contains(name)
            {
                worse.push(format!("{name} is {now} and was {was}"));
            }
        }
        worse
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn storage(robustness: &str, node: &str) -> Storage {
        let list = |value: Value| value;
        Storage {
            volumes: Arc::new(
                serde_json::from_value(list(
                    json!([{"metadata": {"name": "v"}, "status": {"robustness": robustness}}]),
                ))
                .unwrap(),
            ),
            replicas: Arc::new(
                serde_json::from_value(list(json!([
                    {"metadata": {"name": "r"}, "spec": {"volumeName": "v", "nodeID": node, "healthyAt": "t"}},
                ])))
                .unwrap(),
            ),
            managers: Arc::new(
                serde_json::from_value(list(
                    json!([{"spec": {"nodeID": "k3s1"}, "status": {"currentState": "running"}}]),
                ))
                .unwrap(),
            ),
            ..Storage::default()
        }
    }

    fn worse(before: &[(&str, &str)], now: &Storage, removed: &[&str]) -> usize {
        let nodes: Vec<Node> = serde_json::from_value(json!([
            {"metadata": {"name": "k3s1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
        ]))
        .unwrap();
        let before: BTreeMap<String, String> = before
            .iter()
            .map(|(name, state)| ((*name).to_owned(), (*state).to_owned()))
            .collect();
        let removed = removed.iter().map(|name| (*name).to_owned()).collect();
        let lost = BTreeSet::new();
        Rule {
            before: (!before.is_empty()).then_some(&before),
            lost: &lost,
            removed: &removed,
            leaving: "k3s2",
        }
        .worse(now, &nodes)
        .len()
    }

    #[test]
    fn a_volume_may_be_as_bad_as_it_was_and_no_worse() {
        let degraded = storage("degraded", "k3s1");
        assert_eq!(worse(&[("v", "degraded")], &degraded, &[]), 0);
        assert_eq!(worse(&[("v", "healthy")], &degraded, &[]), 1);
        assert_eq!(worse(&[("v", "healthy")], &degraded, &["v"]), 0);
        assert_eq!(worse(&[], &degraded, &[]), 0, "without a record");
        let faulted = storage("faulted", "k3s1");
        assert_eq!(worse(&[("v", "faulted")], &faulted, &[]), 0);
        assert_eq!(worse(&[("v", "degraded")], &faulted, &[]), 1);
        assert_eq!(worse(&[], &faulted, &[]), 1);
    }

    #[test]
    fn a_copy_only_on_the_node_that_goes_is_no_copy() {
        assert_eq!(worse(&[], &storage("healthy", "k3s2"), &[]), 1);
        assert_eq!(worse(&[], &storage("healthy", "k3s1"), &[]), 0);
    }
}
