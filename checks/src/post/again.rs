//! `post`, the questions of `pre` once more, over all nodes where `pre` could only ask one.
//!
//! What a question reads, why it matters and what to do are the same as in `pre`; only its place in the run differs.

use k8s_openapi::api::core::v1::Node;

use crate::{
    Answer, Check, Context, Need, Reason, ask, kinds,
    network::node_port,
    pre::{api, cluster, longhorn, monitoring, network, services, volumes},
    resources::{longhorn::Node as LonghornNode, node},
    view::{ReadError, Scope},
};

/// A check of `pre`, found when this program is compiled.
const fn before(checks: &'static [Check], id: &str) -> &'static Check {
    let mut at = 0;
    while at < checks.len() {
        if same(checks[at].id.as_bytes(), id.as_bytes()) {
            return &checks[at];
        }
        at += 1;
    }
    panic!("there is no such check in pre")
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    one.len() == other.len()
}

/// The checks of this file, in order.
pub const CHECKS: &[Check] = &[
    Check {
        id: "post::api_ready",
        requires: &[],
        ..*before(api::CHECKS, "pre::api_ready")
    },
    Check {
        id: "post::nodes_ready",
        title: "Every node is Ready, {node} and {control_plane} among them.",
        requires: &[],
        reasons: &[Reason::new(
            "NodeNotReady",
            "see why: kubectl describe node with the named node",
        )],
        ask: ask!(nodes_ready),
        ..*before(cluster::CHECKS, "pre::control_plane_ready")
    },
    Check {
        id: "post::no_pressure",
        title: "No node is short of memory, disk or process ids.",
        requires: &["post::nodes_ready"],
        reasons: &[
            Reason::new(
                "NodePressure",
                "free what is short: kubectl describe node with the named node, part Conditions",
            ),
            Reason::new(
                "PressureUnknown",
                "see what its kubelet reports: kubectl describe node with the named node, part Conditions",
            ),
        ],
        ask: ask!(no_pressure),
        ..*before(cluster::CHECKS, "pre::control_plane_pressure")
    },
    Check {
        id: "post::datastore",
        requires: &[],
        ..*before(cluster::CHECKS, "pre::datastore")
    },
    Check {
        id: "post::coredns",
        requires: &[],
        ..*before(services::CHECKS, "pre::coredns")
    },
    Check {
        id: "post::pod_capacity",
        requires: &[],
        ..*before(services::CHECKS, "pre::pod_capacity")
    },
    Check {
        id: "post::flannel",
        title: "Every node has a flannel lease, all of one backend.",
        requires: &["post::nodes_ready"],
        ask: ask!(flannel),
        ..*before(network::CHECKS, "pre::flannel")
    },
    Check {
        id: "post::ingress_controller",
        requires: &[],
        ..*before(network::CHECKS, "pre::ingress_controller")
    },
    Check {
        id: "post::nodeports",
        title: "The node ports of the ingress still answer on the control-plane node.",
        requires: &["post::ingress_controller"],
        ask: ask!(nodeports),
        ..*before(network::CHECKS, "pre::nodeports")
    },
    Check {
        id: "post::longhorn_managers",
        requires: &[],
        ..*before(longhorn::CHECKS, "pre::longhorn_managers")
    },
    Check {
        id: "post::longhorn_csi",
        title: "Longhorn's volumes can be attached on every node that Longhorn knows.",
        requires: &["join::registered"],
        // Which nodes Longhorn knows is asked besides.
        needs: &[
            Need::list(&kinds::NODES),
            Need::list(&kinds::CSI_DRIVERS),
            Need::list(&kinds::CSI_NODES),
            Need::list(&kinds::LONGHORN_NODES),
        ],
        ask: ask!(longhorn_csi),
        ..*before(longhorn::CHECKS, "pre::longhorn_csi")
    },
    Check {
        id: "post::longhorn_nodes",
        title: "Longhorn can put replicas on every node that it knows.",
        requires: &["join::registered"],
        reasons: &[
            Reason::new(
                "LonghornNodeMissing",
                "see which nodes Longhorn knows: kubectl -n {longhorn} get nodes.longhorn.io",
            ),
            Reason::new(
                "LonghornNodeUnusable",
                "look at its conditions and disks: kubectl -n {longhorn} describe nodes.longhorn.io with the named node",
            ),
        ],
        ask: ask!(longhorn_nodes),
        ..*before(longhorn::CHECKS, "pre::longhorn_control_plane_node")
    },
    Check {
        id: "post::longhorn_volumes",
        requires: &[],
        ..*before(volumes::CHECKS, "pre::longhorn_volumes")
    },
    Check {
        id: "post::prometheus_answers",
        requires: &[],
        ..*before(monitoring::CHECKS, "pre::prometheus_answers")
    },
    Check {
        id: "post::grafana",
        requires: &[],
        ..*before(monitoring::CHECKS, "pre::grafana")
    },
];

async fn nodes_ready(cx: &Context) -> Answer {
    let nodes = node::all(cx).await?;
    // Both must be there: a node that is gone is not among those that are not Ready.
    node::control_plane(cx).await?;
    if node::named(&nodes, cx.node()).is_none() {
        return Err(ReadError::Absent {
            what: format!("node {}", cx.node()),
        });
    }
    Ok(cluster::readiness(&nodes))
}

async fn no_pressure(cx: &Context) -> Answer {
    Ok(cluster::pressure(&node::all(cx).await?))
}

async fn flannel(cx: &Context) -> Answer {
    let nodes = node::all(cx).await?;
    let each: Vec<&Node> = nodes.iter().collect();
    Ok(network::leases(&each, node::runs_flannel(&nodes)))
}

async fn nodeports(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    node_port::judge(cx, node::name(&server)).await
}

/// Names of the nodes that Longhorn knows.
async fn known(cx: &Context) -> Result<Vec<String>, ReadError> {
    let scope = Scope::namespace(&cx.settings.longhorn.namespace);
    let nodes = cx
        .view
        .list::<LonghornNode>(&kinds::LONGHORN_NODES, scope)
        .await?;
    let mut names: Vec<String> = nodes.iter().map(|one| one.metadata.name.clone()).collect();
    if !names.iter().any(|name| name == cx.node()) {
        names.push(cx.node().to_owned());
    }
    Ok(names)
}

async fn longhorn_csi(cx: &Context) -> Answer {
    let names = known(cx).await?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    longhorn::csi_on(cx, &names).await
}

async fn longhorn_nodes(cx: &Context) -> Answer {
    let names = known(cx).await?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    longhorn::usable(cx, &names).await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        pre::example::{engine_image, instance_manager, longhorn, longhorn_node, node},
        testing::{Fixture, check},
    };

    #[tokio::test]
    async fn one_node_that_is_not_ready_is_enough() {
        let check = check("post::nodes_ready");
        let mut sick = node("k3s2");
        sick["status"]["conditions"] = json!([{"type": "Ready", "status": "Unknown"}]);
        let with = |second: Value| Fixture::new().with(node("k3s1")).with(second).ask(check);
        assert_eq!(with(node("k3s2")).await.message(), "k3s1, k3s2 Ready");
        let verdict = with(sick).await;
        assert_eq!(
            (verdict.reason(), verdict.message()),
            ("NodeNotReady", "k3s2: Ready=Unknown")
        );
        // Nobody is unready, because the new node is gone.
        let gone = with(node("k3s9")).await;
        assert_eq!(gone.reason(), "NotFound");
        assert!(gone.message().contains("k3s2"), "{}", gone.message());
    }

    #[tokio::test]
    async fn pressure_on_the_new_node_counts_as_well() {
        let mut full = node("k3s2");
        full["status"]["conditions"] = json!([
            {"type": "Ready", "status": "True"},
            {"type": "MemoryPressure", "status": "True"},
        ]);
        let verdict = Fixture::new()
            .with(node("k3s1"))
            .with(full)
            .ask(check("post::no_pressure"))
            .await;
        assert!(
            verdict.message().contains("k3s2: MemoryPressure=True"),
            "{}",
            verdict.message()
        );
    }

    #[tokio::test]
    async fn longhorn_must_know_and_use_both_nodes() {
        let check = check("post::longhorn_nodes");
        let one = longhorn("k3s1").ask(check).await;
        assert_eq!(one.reason(), "LonghornNodeMissing");
        let mut images = engine_image("k3s1", true);
        images["status"]["nodeDeploymentMap"] = json!({"k3s1": true, "k3s2": true});
        let both = Fixture::new()
            .with(longhorn_node("k3s1"))
            .with(longhorn_node("k3s2"))
            .with(instance_manager("k3s1", "running"))
            .with(instance_manager("k3s2", "running"))
            .with(images)
            .ask(check)
            .await;
        assert_eq!(both.message(), "k3s1, k3s2 can take replicas");
    }

    #[tokio::test]
    async fn a_new_node_without_a_lease_is_named_now() {
        let mut leased = node("k3s1");
        leased["metadata"]["annotations"] = json!({
            "flannel.alpha.coreos.com/kube-subnet-manager": "true",
            "flannel.alpha.coreos.com/backend-type": "vxlan",
            "flannel.alpha.coreos.com/public-ip": "10.0.0.1",
        });
        let verdict = Fixture::new()
            .with(leased)
            .with(node("k3s2"))
            .ask(check("post::flannel"))
            .await;
        assert_eq!(verdict.reason(), "NoLease");
        assert!(verdict.message().contains("k3s2"), "{}", verdict.message());
    }

    #[test]
    fn a_question_of_pre_keeps_its_remedies() {
        let (then, now) = (check("pre::datastore"), check("post::datastore"));
        assert_eq!(then.reasons, now.reasons);
        assert_eq!(then.title, now.title);
    }
}
