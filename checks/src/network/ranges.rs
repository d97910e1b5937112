//! The ranges that pods get their addresses from.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    resources::{
        cidr::Cidr,
        node::{self, Arguments},
        workload,
    },
    view::Scope,
};

/// The ranges that pods get their addresses from.
pub const CHECKS: &[Check] = &[
    Check {
        id: "network::pod_cidrs_disjoint",
        title: "Every node has a pod range of its own inside the cluster's range.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[Need::list(&kinds::NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("4.1"),
        why: "Each node gives its pods addresses from its own range. Where two ranges overlap, two pods can have the \
              same address and packets reach the wrong one.",
        reasons: &[
            Reason::new(
                "NoPodRange",
                "kubectl get node {node} -o jsonpath={.spec.podCIDRs}: while it is empty, look for CIDRNotAvailable in kubectl get events -A",
            ),
            Reason::new(
                "RangesOverlap",
                "delete the Node of the machine that joined last and let it join again, so that a free range is allocated",
            ),
            Reason::new(
                "OutsideClusterRange",
                "compare --cluster-cidr of all servers; a node that kept a range from another cluster must be deleted and join again",
            ),
        ],
        ask: ask!(pod_cidrs_disjoint),
    },
    Check {
        id: "network::pod_ips_in_range",
        title: "Every pod on {node} has its address from the node's range.",
        severity: Severity::Fail,
        requires: &["network::pod_cidrs_disjoint"],
        needs: &[Need::list(&kinds::NODES), Need::list(&kinds::PODS)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("4.1"),
        why: "The other nodes send packets for this range to {node} and nothing else. A pod with an address from \
              elsewhere, left over from an earlier network configuration, answers nobody.",
        reasons: &[
            Reason::new(
                "OutsideRange",
                "delete the named pods so that they start again; if it comes back, on {node}: rm -r /var/lib/cni/networks/cbr0 and restart k3s-agent",
            ),
            Reason::new(
                "NothingToLookAt",
                "no pod with an address of its own runs on {node} yet: ask again when one does",
            ),
        ],
        ask: ask!(pod_ips_in_range),
    },
];

/// What k3s uses where `--cluster-cidr` does not say otherwise.
const DEFAULT_CLUSTER_RANGE: &str = "10.42.0.0/16";

/// A node's ranges. One that cannot be read is left out.
fn ranges_of(node: &Node) -> Vec<Cidr> {
    node::pod_ranges(node)
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

/// The ranges of the cluster as a server was told; none when no server's arguments can be read.
fn cluster_ranges(nodes: &[Node]) -> Vec<Cidr> {
    let server = nodes
        .iter()
        .filter_map(Arguments::of)
        .find(|args| args.role() == "server");
    let Some(args) = server else {
        return Vec::new();
    };
    let told = args.values("--cluster-cidr");
    let told = if told.is_empty() {
        vec![DEFAULT_CLUSTER_RANGE]
    } else {
        told
    };
    told.iter().filter_map(|text| text.parse().ok()).collect()
}

async fn pod_cidrs_disjoint(cx: &Context) -> Answer {
    let nodes = node::all(cx).await?;
    let new = node::named(&nodes, cx.node());
    if new.is_none_or(|node| ranges_of(node).is_empty()) {
        return Ok(Verdict::fail(
            "NoPodRange",
            match new {
                Some(_) => format!("node {} has no pod range yet", cx.node()),
                None => format!("node {} does not exist", cx.node()),
            },
        ));
    }
    let without: Vec<String> = nodes
        .iter()
        .filter(|node| ranges_of(node).is_empty())
        .map(ResourceExt::name_any)
        .collect();
    if !without.is_empty() {
        return Ok(Verdict::fail(
            "NoPodRange",
            format!("without a pod range: {}", without.join(", ")),
        ));
    }
    let all: Vec<(String, Cidr)> = nodes
        .iter()
        .flat_map(|node| {
            ranges_of(node)
                .into_iter()
                .map(|range| (node.name_any(), range))
        })
        .collect();
    let whole = cluster_ranges(&nodes);
    let seen: Vec<String> = all
        .iter()
        .map(|(node, range)| format!("{node}: {range}"))
        .chain(whole.iter().map(|range| format!("cluster: {range}")))
        .collect();
    for (at, (node, range)) in all.iter().enumerate() {
        let other = all
            .iter()
            .skip(at + 1)
            .find(|(_, other)| range.overlaps(other));
        if let Some((other, other_range)) = other {
            return Ok(Verdict::fail(
                "RangesOverlap",
                format!("{range} of {node} and {other_range} of {other} overlap"),
            )
            .saw_all(seen));
        }
        let mut family = whole
            .iter()
            .filter(|whole| whole.is_ipv4() == range.is_ipv4())
            .peekable();
        if family.peek().is_some() && !family.any(|whole| whole.covers(range)) {
            return Ok(Verdict::fail(
                "OutsideClusterRange",
                format!("{range} of {node} lies outside the cluster's range"),
            )
            .saw_all(seen));
        }
    }
    Ok(Verdict::pass(format!("{} ranges, none overlaps", all.len())).saw_all(seen))
}

async fn pod_ips_in_range(cx: &Context) -> Answer {
    let ranges = ranges_of(&node::new(cx).await?);
    let pods = cx
        .view
        .list::<Pod>(&kinds::PODS, Scope::on_node(cx.node()))
        .await?;
    let listed = ranges
        .iter()
        .map(Cidr::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let mut looked_at = 0;
    let mut outside = Vec::new();
    for pod in pods.iter().filter(|pod| has_own_address(pod)) {
        for address in addresses(pod) {
            looked_at += 1;
            let inside = address
                .parse()
                .is_ok_and(|address| ranges.iter().any(|range| range.contains(address)));
            if !inside {
                outside.push(format!(
                    "{}/{} has {address}",
                    pod.namespace().unwrap_or_default(),
                    pod.name_any()
                ));
            }
        }
    }
    if let Some(first) = outside.first() {
        let others = match outside.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        return Ok(Verdict::fail(
            "OutsideRange",
            format!("pod {first}, which is outside {listed}{others}"),
        )
        .saw_all(outside));
    }
    if looked_at == 0 {
        return Ok(Verdict::skip(
            "NothingToLookAt",
            format!("no pod on {} has an address of its own yet", cx.node()),
        ));
    }
    Ok(Verdict::pass(format!(
        "{looked_at} addresses of pods, all inside {listed}"
    )))
}

/// Pods of the host's network share the node's address, and finished pods have given theirs back.
fn has_own_address(pod: &Pod) -> bool {
    let on_host = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.host_network)
        .unwrap_or(false);
    !on_host && !workload::is_finished(pod)
}

fn addresses(pod: &Pod) -> Vec<&str> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let plural: Vec<&str> = status
        .pod_ips
        .iter()
        .flatten()
        .map(|one| one.ip.as_str())
        .collect();
    if plural.is_empty() {
        status.pod_ip.as_deref().into_iter().collect()
    } else {
        plural
    }
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        network::example::{annotate, node},
        testing::Fixture,
    };

    fn pod(name: &str, ip: &str, on_host: bool) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "x"},
            "spec": {"nodeName": "k3s2", "hostNetwork": on_host, "containers": []},
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]},
        })
    }

    fn with_range(mut node: Value, range: &str) -> Value {
        node["spec"] = json!({"podCIDR": range, "podCIDRs": [range]});
        node
    }

    fn two(second: Value) -> Fixture {
        let server = annotate(node("k3s1", 1), "k3s.io/node-args", r#"["server"]"#);
        Fixture::new().with(server).with(second)
    }

    #[tokio::test]
    async fn separate_ranges_pass_and_the_cluster_range_is_shown() {
        let verdict = two(node("k3s2", 2)).ask(&CHECKS[0]).await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
        assert!(
            verdict
                .evidence()
                .contains(&"cluster: 10.42.0.0/16".to_owned()),
            "{verdict:?}"
        );
    }

    #[tokio::test]
    async fn overlapping_missing_and_foreign_ranges_are_told_apart() {
        for (range, reason) in [
            ("10.42.0.0/23", "RangesOverlap"),
            ("", "NoPodRange"),
            ("10.99.0.0/24", "OutsideClusterRange"),
        ] {
            let verdict = two(with_range(node("k3s2", 2), range))
                .ask(&CHECKS[0])
                .await;
            assert_eq!(verdict.reason(), reason, "{verdict:?}");
            assert!(verdict.message().contains("k3s2"), "{verdict:?}");
        }
    }

    #[tokio::test]
    async fn a_node_without_a_range_is_not_passed_over() {
        let mut bare = node("k3s3", 3);
        bare["spec"] = json!({});
        let verdict = two(node("k3s2", 2)).with(bare).ask(&CHECKS[0]).await;
        assert_eq!(verdict.reason(), "NoPodRange", "{verdict:?}");
        assert!(verdict.message().contains("k3s3"), "{verdict:?}");
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_leaves_the_cluster_range_open() {
        let verdict = Fixture::new()
            .with(node("k3s1", 1))
            .with(with_range(node("k3s2", 2), "10.99.0.0/24"))
            .ask(&CHECKS[0])
            .await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
    }

    #[tokio::test]
    async fn only_pods_with_an_address_of_their_own_count() {
        let verdict = two(node("k3s2", 2))
            .with(pod("in", "10.42.2.7", false))
            .with(pod("host", "192.168.86.72", true))
            .ask(&CHECKS[1])
            .await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
        assert!(verdict.message().starts_with("1 "), "{verdict:?}");
        let verdict = two(node("k3s2", 2))
            .with(pod("stray", "10.42.9.7", false))
            .ask(&CHECKS[1])
            .await;
        assert_eq!(verdict.reason(), "OutsideRange");
        assert!(verdict.message().contains("x/stray"), "{verdict:?}");
        let verdict = two(node("k3s2", 2)).ask(&CHECKS[1]).await;
        assert_eq!(verdict.reason(), "NothingToLookAt");
    }
}
