//! `pre`, the cluster itself: is its control plane well, and is there a place for the new node?

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Secret};
use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Named, Need, Place, Reason, Spot, Verdict, ask, kinds,
    resources::{
        cidr::Cidr,
        node::{self, Arguments},
    },
};

/// k3s sweeps away password secrets without a node that are older than this, in seconds.
const SWEPT_AFTER: i64 = 600;
/// What k3s gives to pods when nothing else is configured.
/// <https://docs.k3s.io/cli/server#networking>
const DEFAULT_POD_RANGE: &str = "10.42.0.0/16";

/// The checks of this file, in order.
pub const CHECKS: &[Check] = &[
    Check {
        id: "pre::control_plane_ready",
        title: "The control-plane node is Ready.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[Need::list(&kinds::NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "It carries the whole cluster until the new node is there; a node must not join a sick one.",
        reasons: &[Reason::new(
            "NodeNotReady",
            "see why: kubectl describe node {control_plane}",
        )],
        ask: ask!(control_plane_ready),
    },
    Check {
        id: "pre::control_plane_pressure",
        title: "The control-plane node is short of neither memory, disk nor process ids.",
        severity: Severity::Fail,
        requires: &["pre::control_plane_ready"],
        needs: &[Need::list(&kinds::NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "Under pressure the kubelet evicts pods; an onboarding adds load before it takes any away.",
        reasons: &[
            Reason::new(
                "NodePressure",
                "free what is short: kubectl describe node {control_plane}",
            ),
            Reason::new(
                "PressureUnknown",
                "see what its kubelet reports: kubectl describe node with the named node, part Conditions",
            ),
        ],
        ask: ask!(control_plane_pressure),
    },
    Check {
        id: "pre::datastore",
        title: "The datastore of the cluster is healthy.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[Need::list(&kinds::NODES), Need::Path("/readyz")],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "Everything the cluster knows is kept there; a node that joins is written into it.",
        reasons: &[
            Reason::new(
                "DatastoreUnhealthy",
                "look at k3s on {control_plane}: journalctl -u k3s | grep -iE 'etcd|kine|database'",
            ),
            Reason::new(
                "DatastoreUnknown",
                "see whether a proxy answers in place of the API server: kubectl get --raw '/readyz?verbose'",
            ),
        ],
        ask: ask!(datastore),
    },
    Check {
        id: "pre::node_name_free",
        title: "No node is called {node} yet.",
        severity: Severity::Warn,
        requires: &["pre::api_live"],
        needs: &[Need::list(&kinds::NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("1.1"),
        why: "A node of that name is either this one, already joined, or another machine with the same name.",
        reasons: &[
            Reason::new(
                "NodeExists",
                "if this is the machine that you mean, go on; else see which it is: kubectl get node {node} -o wide",
            ),
            Reason::new(
                "NodeExistsNotReady",
                "see what keeps it: kubectl describe node {node}; if it is a leftover: kubectl delete node {node}",
            ),
        ],
        ask: ask!(node_name_free),
    },
    Check {
        id: "pre::node_password_free",
        title: "No password of an earlier {node} is kept.",
        severity: Severity::Fail,
        requires: &["pre::node_name_free"],
        needs: &[
            Need::list(&kinds::NODES),
            Need::get(&kinds::SECRETS).at(Place::Object(Spot::KubeSystem, Named::NodePassword)),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("1.1"),
        why: "k3s remembers a password for every node name; a new machine under an old name is turned away with \
              'Node password rejected', which only its own log shows.",
        reasons: &[
            Reason::new(
                "StalePassword",
                "kubectl -n kube-system delete secret {node}.node-password.k3s",
            ),
            Reason::new(
                "JoinInProgress",
                "wait a minute and ask again: a join may be under way (journalctl -u k3s-agent on {node})",
            ),
        ],
        ask: ask!(node_password_free),
    },
    Check {
        id: "pre::pod_cidr_room",
        title: "There is a pod range left for one more node.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[Need::list(&kinds::NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("4.1"),
        why: "Every node gets a range of pod addresses of its own; without one it registers and never becomes Ready.",
        reasons: &[
            Reason::new(
                "NoRangeLeft",
                "delete nodes that are gone for good (kubectl get nodes), or give the cluster a second pod range",
            ),
            Reason::new(
                "RangeUnknown",
                "compare by hand: kubectl get nodes -o custom-columns=N:.metadata.name,R:.spec.podCIDRs",
            ),
        ],
        ask: ask!(pod_cidr_room),
    },
];

async fn control_plane_ready(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    Ok(readiness(std::slice::from_ref(&server)))
}

/// Whether nodes are Ready, by the condition of that type.
pub(crate) fn readiness(nodes: &[Node]) -> Verdict {
    let names: Vec<&str> = nodes.iter().map(node::name).collect();
    let unready: Vec<String> = nodes
        .iter()
        .filter(|one| !node::is_ready(one))
        .map(|one| format!("{}: {}", node::name(one), node::condition(one, "Ready")))
        .collect();
    if unready.is_empty() {
        Verdict::pass(format!("{} Ready", names.join(", ")))
    } else {
        Verdict::fail("NodeNotReady", unready.join("; "))
    }
}

async fn control_plane_pressure(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    Ok(pressure(std::slice::from_ref(&server)))
}

/// Whether nodes are short of something. Every kubelet reports the first three: one that is not there is not known to
/// be False. Nodes of k3s have no NetworkUnavailable, so its absence says nothing.
pub(crate) fn pressure(nodes: &[Node]) -> Verdict {
    const REPORTED: [&str; 3] = ["MemoryPressure", "DiskPressure", "PIDPressure"];
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    let mut lines = Vec::new();
    for one in nodes {
        let name = node::name(one);
        for kind in REPORTED.into_iter().chain(["NetworkUnavailable"]) {
            let seen = node::condition(one, kind);
            if seen.is_present() {
                lines.push(format!("{name}: {seen}"));
                if !seen.is_false() {
                    found.push(format!("{name}: {seen}"));
                }
            } else if REPORTED.contains(&kind) {
                unknown.push(format!("{name}: {seen}"));
            }
        }
    }
    if !found.is_empty() {
        Verdict::fail("NodePressure", found.join("; "))
    } else if !unknown.is_empty() {
        Verdict::warn("PressureUnknown", unknown.join("; "))
    } else {
        let names: Vec<&str> = nodes.iter().map(node::name).collect();
        Verdict::pass(format!("no pressure on {}", names.join(", ")))
    }
    .saw_all(lines)
}

pub(crate) async fn datastore(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    let kind = datastore_kind(&server);
    let voter = node::condition(&server, "EtcdIsVoter");
    if voter.is_false() {
        return Ok(Verdict::fail(
            "DatastoreUnhealthy",
            format!("{kind} on {}: {voter}", node::name(&server)),
        ));
    }
    // k3s speaks to every datastore in etcd's language, so the part is called etcd with SQLite as well.
    let answer = cx.view.raw("/readyz?verbose").await?;
    let text = answer.text();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.contains("]etcd"))
        .collect();
    Ok(match lines.as_slice() {
        [] => Verdict::warn(
            "DatastoreUnknown",
            format!("{kind}; /readyz names no part etcd"),
        ),
        lines if lines.iter().all(|line| line.starts_with("[+]")) => {
            Verdict::pass(format!("{kind}, healthy")).saw_all(lines.iter().copied())
        }
        lines => Verdict::fail(
            "DatastoreUnhealthy",
            format!("{kind}: /readyz says {}", lines.join(", ")),
        ),
    })
}

/// Which datastore the cluster has, as a server node shows it.
fn datastore_kind(server: &Node) -> &'static str {
    if node::label(server, "node-role.kubernetes.io/etcd").is_some()
        || node::condition(server, "EtcdIsVoter").is_present()
    {
        return "embedded etcd";
    }
    match Arguments::of(server) {
        Some(arguments) if !arguments.values("--datastore-endpoint").is_empty() => {
            "an external database"
        }
        Some(_) => "SQLite on the single server",
        None => "a datastore of unknown kind",
    }
}

async fn node_name_free(cx: &Context) -> Answer {
    let name = cx.node();
    let nodes = node::all(cx).await?;
    let Some(found) = nodes.iter().find(|one| node::name(one) == name) else {
        return Ok(Verdict::pass(format!("no node is called {name}")));
    };
    let address = node::internal_ip(found).unwrap_or("no InternalIP");
    let ready = node::condition(found, "Ready");
    Ok(if ready.is_true() {
        Verdict::fail(
            "NodeExists",
            format!("node {name} exists and is Ready ({address}); the run goes on with it"),
        )
    } else {
        Verdict::fail(
            "NodeExistsNotReady",
            format!("node {name} exists ({address}) and is not Ready: {ready}"),
        )
    })
}

async fn node_password_free(cx: &Context) -> Answer {
    let name = format!("{}.node-password.k3s", cx.node());
    let secret = cx
        .view
        .find::<Secret>(&kinds::SECRETS, "kube-system", &name)
        .await?;
    let Some(secret) = secret else {
        return Ok(Verdict::pass(format!(
            "no secret kube-system/{name} is there"
        )));
    };
    let nodes = node::all(cx).await?;
    if nodes.iter().any(|one| node::name(one) == cx.node()) {
        return Ok(Verdict::pass(format!(
            "secret kube-system/{name} belongs to node {}, which exists",
            cx.node()
        )));
    }
    let age = secret
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|created| Timestamp::now().duration_since(created.0).as_secs());
    Ok(judge_password(&name, age))
}

fn judge_password(name: &str, age: Option<i64>) -> Verdict {
    let what = format!("secret kube-system/{name} is there without its node");
    match age {
        Some(age) if age <= SWEPT_AFTER => Verdict::warn(
            "JoinInProgress",
            format!("{what}, since {age} s: a join may be under way"),
        ),
        Some(age) => Verdict::fail("StalePassword", format!("{what}, since {} min", age / 60)),
        None => Verdict::fail("StalePassword", format!("{what}, since an unknown time")),
    }
}

async fn pod_cidr_room(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    let nodes = node::all(cx).await?;
    if let Some(joined) = nodes
        .iter()
        .find(|one| node::name(one) == cx.node() && !node::pod_ranges(one).is_empty())
    {
        return Ok(Verdict::pass(format!(
            "{} has {}",
            cx.node(),
            node::pod_ranges(joined).join(", ")
        )));
    }
    let arguments = Arguments::of(&server).unwrap_or_default();
    let configured = arguments.values("--cluster-cidr");
    let clusters: Vec<Cidr> = if configured.is_empty() {
        DEFAULT_POD_RANGE.parse().into_iter().collect()
    } else {
        configured
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect()
    };
    Ok(room(&clusters, &nodes))
}

/// Whether every family has a range left. How large a node's range is, is seen on the nodes that have one.
fn room(clusters: &[Cidr], nodes: &[Node]) -> Verdict {
    let taken: BTreeSet<Cidr> = nodes
        .iter()
        .flat_map(node::pod_ranges)
        .filter_map(|text| text.parse().ok())
        .collect();
    let mut seen = Vec::new();
    let mut full = Vec::new();
    for cluster in clusters {
        let inside: Vec<&Cidr> = taken.iter().filter(|one| cluster.covers(one)).collect();
        let Some(size) = inside.iter().map(|one| one.prefix()).max() else {
            return Verdict::warn(
                "RangeUnknown",
                format!("no node has a range inside {cluster}, so how many there are is not known"),
            );
        };
        let total = 1_u64
            .checked_shl(u32::from(size - cluster.prefix()))
            .unwrap_or(u64::MAX);
        // A larger range takes the place of several small ones.
        let used: u64 = inside
            .iter()
            .map(|one| {
                1_u64
                    .checked_shl(u32::from(size - one.prefix()))
                    .unwrap_or(u64::MAX)
            })
            .sum();
        let line = format!("{used} of {total} ranges /{size} of {cluster} are taken");
        if used >= total {
            full.push(line.clone());
        }
        seen.push(line);
    }
    if full.is_empty() {
        Verdict::pass(seen.join("; "))
    } else {
        Verdict::fail("NoRangeLeft", full.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Fixture, check};

    fn node(name: &str, conditions: &[(&str, &str)], ranges: &[&str]) -> Value {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(kind, status)| json!({"type": kind, "status": status, "reason": "Because"}))
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "spec": {"podCIDRs": ranges},
            "status": {"conditions": conditions},
        })
    }

    fn typed(name: &str, ranges: &[&str]) -> Node {
        serde_json::from_value(node(name, &[], ranges)).unwrap()
    }

    #[tokio::test]
    async fn readiness_is_the_condition_of_that_type() {
        let check = check("pre::control_plane_ready");
        // EtcdIsVoter=True stands first and must not be taken for readiness.
        let sick = node("k3s1", &[("EtcdIsVoter", "True"), ("Ready", "False")], &[]);
        let verdict = Fixture::new().with(sick).ask(check).await;
        assert_eq!(verdict.reason(), "NodeNotReady");
        assert!(
            verdict.message().contains("k3s1: Ready=False"),
            "{}",
            verdict.message()
        );
        let well = node("k3s1", &[("Ready", "True")], &[]);
        assert_eq!(Fixture::new().with(well).ask(check).await.reason(), "");
        let nobody = Fixture::new().ask(check).await;
        assert_eq!(nobody.reason(), "NotFound");
    }

    #[tokio::test]
    async fn pressure_is_bad_and_unknown_where_nobody_reports_it() {
        let check = check("pre::control_plane_pressure");
        let full = node("k3s1", &[("Ready", "True"), ("DiskPressure", "True")], &[]);
        let verdict = Fixture::new().with(full).ask(check).await;
        assert_eq!(verdict.reason(), "NodePressure");
        assert!(verdict.message().contains("k3s1: DiskPressure=True"));
        let all = [
            ("Ready", "True"),
            ("MemoryPressure", "False"),
            ("DiskPressure", "False"),
            ("PIDPressure", "False"),
        ];
        let well = Fixture::new().with(node("k3s1", &all, &[])).ask(check);
        assert_eq!(well.await.reason(), "");
        let half = Fixture::new()
            .with(node("k3s1", &all[..3], &[]))
            .ask(check)
            .await;
        assert_eq!(
            (half.outcome().name(), half.message()),
            ("warn", "k3s1: no condition PIDPressure")
        );
        assert_eq!(half.reason(), "PressureUnknown");
    }

    #[tokio::test]
    async fn the_datastore_is_named_and_judged_by_the_part_etcd() {
        let check = check("pre::datastore");
        let mut server = node("k3s1", &[("Ready", "True")], &[]);
        server["metadata"]["annotations"] = json!({"k3s.io/node-args": "[\"server\"]"});
        let fixture = Fixture::new().with(server);
        let well = fixture
            .clone()
            .raw(
                "/readyz",
                200,
                "[+]ping ok\n[+]etcd ok\n[+]etcd-readiness ok",
            )
            .ask(check)
            .await;
        assert_eq!(well.message(), "SQLite on the single server, healthy");
        let ill = fixture
            .clone()
            .raw(
                "/readyz",
                500,
                "[+]ping ok\n[-]etcd failed: reason withheld",
            )
            .ask(check)
            .await;
        assert_eq!(ill.reason(), "DatastoreUnhealthy");
        let silent = fixture.raw("/readyz", 200, "ok").ask(check).await;
        assert_eq!(silent.reason(), "DatastoreUnknown");
        let voter = node("k3s1", &[("EtcdIsVoter", "False")], &[]);
        let out = Fixture::new().with(voter).ask(check).await;
        assert!(
            out.message().starts_with("embedded etcd"),
            "{}",
            out.message()
        );
        assert_eq!(out.reason(), "DatastoreUnhealthy");
    }

    #[tokio::test]
    async fn a_node_of_that_name_is_told() {
        let check = check("pre::node_name_free");
        for (status, reason) in [("True", "NodeExists"), ("Unknown", "NodeExistsNotReady")] {
            let there = node("k3s2", &[("Ready", status)], &[]);
            assert_eq!(Fixture::new().with(there).ask(check).await.reason(), reason);
        }
        let near = node("k3s20", &[("Ready", "True")], &[]);
        assert_eq!(Fixture::new().with(near).ask(check).await.reason(), "");
    }

    #[tokio::test]
    async fn a_password_without_its_node_is_stale_after_ten_minutes() {
        let check = check("pre::node_password_free");
        assert_eq!(judge_password("x", Some(600)).reason(), "JoinInProgress");
        assert_eq!(judge_password("x", Some(601)).reason(), "StalePassword");
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {
                "name": "k3s2.node-password.k3s", "namespace": "kube-system",
                "creationTimestamp": "2020-01-01T00:00:00Z",
            },
        });
        let stale = Fixture::new().with(secret.clone()).ask(check).await;
        assert_eq!(stale.reason(), "StalePassword");
        assert!(stale.message().contains("k3s2.node-password.k3s"));
        let owned = Fixture::new()
            .with(secret)
            .with(node("k3s2", &[], &[]))
            .ask(check)
            .await;
        assert_eq!(owned.reason(), "", "{}", owned.message());
        assert_eq!(Fixture::new().ask(check).await.reason(), "");
    }

    #[test]
    fn ranges_are_counted_in_the_size_that_nodes_have() {
        let cluster: Vec<Cidr> = ["10.42.0.0/22"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let nodes = |count: u8| -> Vec<Node> {
            (0..count)
                .map(|one| typed(&format!("n{one}"), &[&format!("10.42.{one}.0/24")]))
                .collect()
        };
        let three = room(&cluster, &nodes(3));
        assert_eq!(
            three.message(),
            "3 of 4 ranges /24 of 10.42.0.0/22 are taken"
        );
        assert_eq!(three.reason(), "");
        assert_eq!(room(&cluster, &nodes(4)).reason(), "NoRangeLeft");
        assert_eq!(room(&cluster, &[]).reason(), "RangeUnknown");
    }

    #[tokio::test]
    async fn the_range_of_the_cluster_is_read_from_the_servers_arguments() {
        let mut server = node("k3s1", &[], &["10.99.0.0/24"]);
        server["metadata"]["annotations"] =
            json!({"k3s.io/node-args": "[\"server\",\"--cluster-cidr\",\"10.99.0.0/24\"]"});
        let verdict = Fixture::new()
            .with(server)
            .ask(check("pre::pod_cidr_room"))
            .await;
        assert_eq!(verdict.reason(), "NoRangeLeft", "{}", verdict.message());
    }
}
