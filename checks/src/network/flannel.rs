//! Flannel as k3s embeds it: no pods and no ConfigMap, only annotations on the nodes.
//!
//! <https://github.com/flannel-io/flannel/blob/master/pkg/subnet/kube/annotations.go>

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use reports::model::Severity;
use serde::Deserialize;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds, resources::node,
    view::ReadError,
};

/// How the nodes are joined into one pod network.
pub const CHECKS: &[Check] = &[
    Check {
        id: "network::flannel_backend",
        title: "Flannel has a lease on {node} and uses the same backend on every node.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[Need::list(&kinds::NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("4.1"),
        why: "Flannel carries the traffic between pods on different nodes. A node without a lease, or with another \
              backend than the rest, starts pods that reach nobody outside their own node.",
        reasons: &[
            Reason::new(
                "NodeMissing",
                "the node has not joined: harness --phase join",
            ),
            Reason::new(
                "NoLease",
                "on {node}: journalctl -u k3s-agent | grep -i flannel, and see that the vxlan kernel module loads and a default route exists",
            ),
            Reason::new(
                "BackendDiffers",
                "give all servers the same --flannel-backend and restart k3s on every node; agents take it from the server",
            ),
            Reason::new(
                "OtherNetwork",
                "the cluster uses another network plugin: verify it by that plugin's own means",
            ),
        ],
        ask: ask!(flannel_backend),
    },
    Check {
        id: "network::flannel_unique",
        title: "Every node has its own tunnel address.",
        severity: Severity::Fail,
        requires: &["network::flannel_backend"],
        needs: &[Need::list(&kinds::NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("4.1"),
        why: "Two nodes with the same tunnel MAC or the same public address, as cloned machines have, receive each \
              other's packets. Traffic then comes and goes in a way that is hard to explain.",
        reasons: &[
            Reason::new(
                "SameTunnelAddress",
                "on the cloned machine: rm /etc/machine-id && systemd-machine-id-setup, ip link delete flannel.1, then restart k3s",
            ),
            Reason::new(
                "SamePublicAddress",
                "give each machine its own address, or set --node-ip, then restart k3s there",
            ),
            Reason::new(
                "BackendDataUnreadable",
                "restart k3s on the named node so that flannel writes its annotations again",
            ),
        ],
        ask: ask!(flannel_unique),
    },
    Check {
        id: "network::public_ip",
        title: "Flannel's public address of every node is the address that the other nodes reach it at.",
        severity: Severity::Fail,
        requires: &["network::flannel_backend"],
        needs: &[Need::list(&kinds::NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("4.1"),
        why: "Packets for a node's pods are sent to this address. Flannel takes it from the interface of the default \
              route, which on a machine with several networks may be the wrong one.",
        reasons: &[
            Reason::new(
                "AddressDiffers",
                "on the named node set --flannel-iface or --node-ip so that both name the same interface, then restart k3s",
            ),
            Reason::new(
                "NoInternalAddress",
                "kubectl get node {node} -o jsonpath={.status.addresses} shows no InternalIP: look at the agent's journal",
            ),
        ],
        ask: ask!(public_ip),
    },
];

const PREFIX: &str = "flannel.alpha.coreos.com/";

/// What flannel wrote on one node.
struct Lease {
    node: String,
    backend: String,
    data: String,
    public_ip: String,
    overwrite: Option<String>,
}

impl Lease {
    /// The lease, or the annotations that are missing from it.
    fn of(node: &Node) -> Result<Self, Vec<&'static str>> {
        let get = |key: &str| {
            node.annotations()
                .get(&format!("{PREFIX}{key}"))
                .filter(|value| !value.is_empty())
                .cloned()
        };
        let lease = Self {
            node: node.name_any(),
            backend: get("backend-type").unwrap_or_default(),
            data: get("backend-data").unwrap_or_default(),
            public_ip: get("public-ip")
                .or_else(|| get("public-ipv6"))
                .unwrap_or_default(),
            overwrite: get("public-ip-overwrite").or_else(|| get("public-ipv6-overwrite")),
        };
        let mut missing = Vec::new();
        if get("kube-subnet-manager").as_deref() != Some("true") {
            missing.push("kube-subnet-manager");
        }
        if lease.backend.is_empty() {
            missing.push("backend-type");
        }
        if lease.public_ip.is_empty() {
            missing.push("public-ip");
        }
        if missing.is_empty() {
            Ok(lease)
        } else {
            Err(missing)
        }
    }

    /// The tunnel's own hardware address; only VXLAN has one.
    fn tunnel_address(&self) -> Result<Option<String>, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Data {
            #[serde(rename = "VtepMAC")]
            vtep_mac: String,
        }
        if self.backend != "vxlan" {
            return Ok(None);
        }
        serde_json::from_str::<Data>(&self.data).map(|data| Some(data.vtep_mac.to_lowercase()))
    }
}

/// The leases of all nodes that have a whole one.
async fn leases(cx: &Context) -> Result<Vec<Lease>, ReadError> {
    let nodes = node::all(cx).await?;
    Ok(nodes
        .iter()
        .filter_map(|node| Lease::of(node).ok())
        .collect())
}

async fn flannel_backend(cx: &Context) -> Answer {
    let nodes = node::all(cx).await?;
    let Some(new) = node::named(&nodes, cx.node()) else {
        return Ok(Verdict::fail(
            "NodeMissing",
            format!("node {} does not exist", cx.node()),
        ));
    };
    // Another plugin leaves the nodes Ready and without any trace of flannel; what the servers say goes before that.
    let no_trace = nodes
        .iter()
        .all(|node| !node.annotations().keys().any(|key| key.starts_with(PREFIX)));
    match node::runs_flannel(&nodes) {
        Some(false) => {
            return Ok(Verdict::skip(
                "OtherNetwork",
                "the servers run with --flannel-backend=none: another plugin runs the pod network",
            ));
        }
        None if no_trace && nodes.iter().all(node::is_ready) => {
            return Ok(Verdict::skip(
                "OtherNetwork",
                "no node carries flannel's annotations: another plugin runs the pod network",
            ));
        }
        _ => {}
    }
    let lease = match Lease::of(new) {
        Ok(lease) => lease,
        Err(missing) => {
            return Ok(Verdict::fail(
                "NoLease",
                format!("flannel has no lease on {} yet", cx.node()),
            )
            .saw(format!(
                "node {} lacks {}",
                cx.node(),
                missing
                    .iter()
                    .map(|key| format!("{PREFIX}{key}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
    };
    let mut by_backend: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut without = Vec::new();
    for node in nodes.iter() {
        match Lease::of(node) {
            Ok(lease) => by_backend
                .entry(lease.backend)
                .or_default()
                .push(lease.node),
            Err(_) => without.push(node.name_any()),
        }
    }
    let seen: Vec<String> = by_backend
        .iter()
        .map(|(backend, nodes)| format!("{backend} on {}", nodes.join(", ")))
        .collect();
    if !without.is_empty() {
        return Ok(Verdict::fail(
            "NoLease",
            format!("flannel has no lease on {}", without.join(", ")),
        )
        .saw_all(seen));
    }
    if by_backend.len() > 1 {
        return Ok(Verdict::fail(
            "BackendDiffers",
            format!("the nodes use different backends: {}", seen.join("; ")),
        )
        .saw_all(seen));
    }
    Ok(Verdict::pass(format!("{} on all {} nodes", lease.backend, nodes.len())).saw_all(seen))
}

async fn flannel_unique(cx: &Context) -> Answer {
    let leases = leases(cx).await?;
    let mut macs: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut addresses: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut seen = Vec::new();
    for lease in &leases {
        addresses
            .entry(&lease.public_ip)
            .or_default()
            .push(&lease.node);
        match lease.tunnel_address() {
            Ok(None) => seen.push(format!("{}: public {}", lease.node, lease.public_ip)),
            Ok(Some(mac)) => {
                seen.push(format!(
                    "{}: public {}, tunnel {mac}",
                    lease.node, lease.public_ip
                ));
                macs.entry(mac).or_default().push(&lease.node);
            }
            Err(_) => {
                return Ok(Verdict::fail(
                    "BackendDataUnreadable",
                    format!("node {}: {PREFIX}backend-data names no VtepMAC", lease.node),
                )
                .saw(format!("backend-data: {}", lease.data)));
            }
        }
    }
    let shared_mac = macs.iter().find(|(_, nodes)| nodes.len() > 1);
    if let Some((mac, nodes)) = shared_mac {
        return Ok(Verdict::fail(
            "SameTunnelAddress",
            format!("{} have the same tunnel MAC {mac}", nodes.join(" and ")),
        )
        .saw_all(seen));
    }
    let shared_ip = addresses.iter().find(|(_, nodes)| nodes.len() > 1);
    if let Some((address, nodes)) = shared_ip {
        return Ok(Verdict::fail(
            "SamePublicAddress",
            format!(
                "{} have the same public address {address}",
                nodes.join(" and ")
            ),
        )
        .saw_all(seen));
    }
    Ok(Verdict::pass(format!("{} nodes, no address twice", leases.len())).saw_all(seen))
}

async fn public_ip(cx: &Context) -> Answer {
    let nodes = node::all(cx).await?;
    let mut seen = Vec::new();
    for node in nodes.iter() {
        let Ok(lease) = Lease::of(node) else {
            continue;
        };
        let internal = internal_ips(node);
        if let Some(wanted) = &lease.overwrite {
            seen.push(format!(
                "{}: {} (overwritten with {wanted})",
                lease.node, lease.public_ip
            ));
            if *wanted != lease.public_ip {
                return Ok(Verdict::fail(
                    "AddressDiffers",
                    format!(
                        "node {}: flannel uses {}, the overwrite says {wanted}",
                        lease.node, lease.public_ip
                    ),
                )
                .saw_all(seen));
            }
            continue;
        }
        let listed = internal
            .iter()
            .map(IpAddr::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        seen.push(format!(
            "{}: flannel {}, InternalIP {listed}",
            lease.node, lease.public_ip
        ));
        if internal.is_empty() {
            return Ok(Verdict::fail(
                "NoInternalAddress",
                format!("node {} has no InternalIP", lease.node),
            )
            .saw_all(seen));
        }
        let public: Option<IpAddr> = lease.public_ip.parse().ok();
        if !public.is_some_and(|address| internal.contains(&address)) {
            return Ok(Verdict::fail(
                "AddressDiffers",
                format!(
                    "node {}: flannel sends to {}, the node's InternalIP is {listed}",
                    lease.node, lease.public_ip
                ),
            )
            .saw_all(seen));
        }
    }
    Ok(Verdict::pass(format!("{} nodes", seen.len())).saw_all(seen))
}

/// All addresses inside the cluster's network; a node with both families has two.
fn internal_ips(node: &Node) -> Vec<IpAddr> {
    node.status
        .iter()
        .flat_map(|status| status.addresses.iter().flatten())
        .filter(|address| address.type_ == "InternalIP")
        .filter_map(|address| address.address.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;

    use super::*;
    use crate::{
        network::example::{annotate, node},
        testing::Fixture,
    };

    fn check(id: &str) -> &'static Check {
        CHECKS.iter().find(|check| check.id == id).unwrap()
    }

    fn key(name: &str) -> String {
        format!("{PREFIX}{name}")
    }

    async fn ask(id: &str, new: serde_json::Value) -> Verdict {
        Fixture::new()
            .with(node("k3s1", 1))
            .with(new)
            .ask(check(id))
            .await
    }

    #[tokio::test]
    async fn two_nodes_with_leases_of_one_backend_pass() {
        for check in CHECKS {
            let verdict = ask(check.id, node("k3s2", 2)).await;
            assert_eq!(
                verdict.outcome(),
                Outcome::Pass,
                "{}: {verdict:?}",
                check.id
            );
        }
    }

    #[tokio::test]
    async fn a_node_without_a_lease_is_named() {
        let new = annotate(
            node("k3s2", 2),
            &key("backend-type"),
            serde_json::Value::Null,
        );
        let verdict = ask("network::flannel_backend", new).await;
        assert_eq!(verdict.reason(), "NoLease");
        assert!(verdict.message().contains("k3s2"), "{verdict:?}");
        assert!(
            verdict.evidence()[0].contains("backend-type"),
            "{verdict:?}"
        );
    }

    #[tokio::test]
    async fn another_backend_is_a_failure() {
        let new = annotate(node("k3s2", 2), &key("backend-type"), "host-gw");
        let verdict = ask("network::flannel_backend", new).await;
        assert_eq!(verdict.reason(), "BackendDiffers");
        assert!(verdict.message().contains("host-gw on k3s2"), "{verdict:?}");
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_is_not_another_plugin() {
        let verdict = Fixture::new()
            .with(node("k3s1", 1))
            .ask(check("network::flannel_backend"))
            .await;
        assert_eq!(verdict.reason(), "NodeMissing");
    }

    #[tokio::test]
    async fn no_trace_of_flannel_on_ready_nodes_is_another_plugin() {
        let bare = |name, number| {
            let mut node = node(name, number);
            node["metadata"]["annotations"] = serde_json::json!({});
            node
        };
        let verdict = Fixture::new()
            .with(bare("k3s1", 1))
            .with(bare("k3s2", 2))
            .ask(check("network::flannel_backend"))
            .await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Skip, "OtherNetwork")
        );
        let server = annotate(bare("k3s1", 1), "k3s.io/node-args", r#"["server"]"#);
        let verdict = Fixture::new()
            .with(server)
            .with(bare("k3s2", 2))
            .ask(check("network::flannel_backend"))
            .await;
        assert_eq!(verdict.reason(), "NoLease", "k3s runs flannel: {verdict:?}");
    }

    #[tokio::test]
    async fn a_clone_is_found_by_its_tunnel_address() {
        let new = annotate(
            node("k3s2", 2),
            &key("backend-data"),
            r#"{"VNI":1,"VtepMAC":"0A:00:00:00:00:01"}"#,
        );
        let verdict = ask("network::flannel_unique", new).await;
        assert_eq!(verdict.reason(), "SameTunnelAddress");
        assert!(verdict.message().contains("k3s1 and k3s2"), "{verdict:?}");
        let new = annotate(node("k3s2", 2), &key("public-ip"), "192.168.86.71");
        let verdict = ask("network::flannel_unique", new).await;
        assert_eq!(verdict.reason(), "SamePublicAddress");
        let new = annotate(node("k3s2", 2), &key("backend-data"), "null");
        let verdict = ask("network::flannel_unique", new).await;
        assert_eq!(verdict.reason(), "BackendDataUnreadable");
    }

    #[tokio::test]
    async fn the_public_address_must_be_the_nodes_own_unless_overwritten() {
        let elsewhere = annotate(node("k3s2", 2), &key("public-ip"), "10.0.0.9");
        let verdict = ask("network::public_ip", elsewhere.clone()).await;
        assert_eq!(verdict.reason(), "AddressDiffers");
        assert!(verdict.message().contains("10.0.0.9"), "{verdict:?}");
        let wanted = annotate(elsewhere, &key("public-ip-overwrite"), "10.0.0.9");
        let verdict = ask("network::public_ip", wanted).await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
        let mut no_address = node("k3s2", 2);
        no_address["status"]["addresses"] = serde_json::json!([]);
        let verdict = ask("network::public_ip", no_address).await;
        assert_eq!(verdict.reason(), "NoInternalAddress");
    }
}
