//! `pre`, the network: is there one that the new node can join, and does the ingress answer where it should?

use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
    networking::v1::IngressClass,
};
use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    network::node_port,
    resources::{full_name, node, workload},
    view::Scope,
};

const PREFIX: &str = "flannel.alpha.coreos.com/";
/// What flannel writes on every node that has a lease.
const LEASE: [&str; 3] = ["kube-subnet-manager", "backend-type", "public-ip"];

/// The checks of this file, in order.
pub const CHECKS: &[Check] = &[
    Check {
        id: "pre::flannel",
        title: "Every node that is there has a flannel lease, all of one backend.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[Need::list(&kinds::NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("4.1"),
        why: "The new node joins the network that these leases describe.",
        reasons: &[
            Reason::new(
                "NoLease",
                "look at flannel on the named node: journalctl -u k3s | grep -i flannel",
            ),
            Reason::new(
                "BackendDiffers",
                "give all servers the same --flannel-backend and restart k3s on every node",
            ),
            Reason::new(
                "OtherNetwork",
                "the cluster uses another network plugin: verify it by that plugin's own means",
            ),
        ],
        ask: ask!(flannel),
    },
    Check {
        id: "pre::ingress_controller",
        title: "An ingress controller is ready behind the node ports, and has a class.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[
            Need::list(&kinds::SERVICES),
            Need::list(&kinds::ENDPOINT_SLICES),
            Need::list(&kinds::INGRESS_CLASSES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("4.3"),
        why: "It is the way into the cluster; the new node is to serve it as well.",
        reasons: &[
            Reason::new(
                "IngressMissing",
                "no Service has the node ports: see kubectl get services -A, set [ingress] or expect.ingress = false",
            ),
            Reason::new(
                "IngressNotReady",
                "see why: kubectl get pods -A -l app.kubernetes.io/component=controller",
            ),
            Reason::new(
                "NoIngressClass",
                "create one for the controller: kubectl get ingressclasses",
            ),
        ],
        ask: ask!(ingress_controller),
    },
    Check {
        id: "pre::nodeports",
        title: "The node ports of the ingress answer on the control-plane node as its Service lets expect.",
        severity: Severity::Fail,
        requires: &["pre::ingress_controller"],
        needs: node_port::NEEDS,
        awaits: false,
        after: None,
        criterion: Criterion::Of("4.2"),
        why: "What does not answer before the onboarding cannot be held against the new node afterwards.",
        reasons: node_port::REASONS,
        ask: ask!(nodeports),
    },
];

async fn flannel(cx: &Context) -> Answer {
    let nodes = node::all(cx).await?;
    // The new node, if it has joined already, is asked in its own phase.
    let there: Vec<&Node> = nodes
        .iter()
        .filter(|one| node::name(one) != cx.node())
        .collect();
    Ok(leases(&there, node::runs_flannel(&nodes)))
}

/// Whether all these nodes have a lease of one backend. Nodes without a trace of flannel are another plugin's only
/// where k3s does not run flannel, or does not say: with flannel running they have lost their leases.
pub(crate) fn leases(nodes: &[&Node], runs_flannel: Option<bool>) -> Verdict {
    let value =
        |one: &Node, key: &str| node::annotation(one, &format!("{PREFIX}{key}")).map(str::to_owned);
    let mut without = Vec::new();
    let mut backends: Vec<(String, String)> = Vec::new();
    for one in nodes {
        let missing: Vec<&str> = LEASE
            .into_iter()
            .filter(|key| value(one, key).is_none())
            .collect();
        if missing.is_empty() {
            let backend = value(one, "backend-type").unwrap_or_default();
            backends.push((node::name(one).to_owned(), backend));
        } else {
            without.push((*one, missing));
        }
    }
    let foreign = runs_flannel != Some(true)
        && without.iter().all(|(one, missing)| {
            missing.len() == LEASE.len() && node::is_ready(one) && !node::pod_ranges(one).is_empty()
        });
    if backends.is_empty() && foreign && !nodes.is_empty() {
        return Verdict::skip(
            "OtherNetwork",
            "the nodes are Ready without a trace of flannel",
        );
    }
    if !without.is_empty() || backends.is_empty() {
        let lines: Vec<String> = without
            .iter()
            .map(|(one, missing)| format!("{} lacks {}", node::name(one), missing.join(", ")))
            .collect();
        return Verdict::fail(
            "NoLease",
            if lines.is_empty() {
                "there is no other node whose lease could be looked at".to_owned()
            } else {
                lines.join("; ")
            },
        );
    }
    let lines: Vec<String> = backends
        .iter()
        .map(|(name, backend)| format!("{name}: {backend}"))
        .collect();
    let (_, first) = &backends[0];
    if backends.iter().any(|(_, backend)| backend != first) {
        Verdict::fail("BackendDiffers", lines.join(", "))
    } else {
        Verdict::pass(format!("{} nodes with backend {first}", backends.len())).saw_all(lines)
    }
}

pub(crate) async fn ingress_controller(cx: &Context) -> Answer {
    let services = cx
        .view
        .list::<Service>(&kinds::SERVICES, Scope::all())
        .await?;
    let slices = cx
        .view
        .list::<EndpointSlice>(&kinds::ENDPOINT_SLICES, Scope::all())
        .await?;
    let wanted = [cx.settings.ingress.http, cx.settings.ingress.https];
    let mut seen = Vec::new();
    let mut missing = Vec::new();
    let mut idle = Vec::new();
    for port in wanted {
        let Some(service) = services.iter().find(|one| {
            let mut ports = one.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
            ports.any(|one| one.node_port == Some(i32::from(port)))
        }) else {
            missing.push(port.to_string());
            continue;
        };
        let name = full_name(&service.metadata);
        let ready = workload::ready_endpoints(
            &slices,
            service.metadata.namespace.as_deref().unwrap_or_default(),
            service.metadata.name.as_deref().unwrap_or_default(),
        )
        .count();
        let line = format!("Service {name} has {ready} ready endpoints for node port {port}");
        if ready == 0 {
            idle.push(line.clone());
        }
        seen.push(line);
    }
    if !missing.is_empty() {
        let message = format!("no Service has node port {}", missing.join(" or "));
        return Ok(if cx.settings.expect.ingress {
            Verdict::fail("IngressMissing", message)
        } else {
            Verdict::skip("IngressMissing", message)
        });
    }
    if !idle.is_empty() {
        return Ok(Verdict::fail("IngressNotReady", idle.join("; ")));
    }
    let classes = cx
        .view
        .list::<IngressClass>(&kinds::INGRESS_CLASSES, Scope::all())
        .await?;
    let names: Vec<&str> = classes
        .iter()
        .filter_map(|one| one.metadata.name.as_deref())
        .collect();
    Ok(if names.is_empty() {
        Verdict::fail("NoIngressClass", "the cluster has no IngressClass")
    } else {
        Verdict::pass(format!("{}; classes {}", seen.join("; "), names.join(", ")))
    })
}

async fn nodeports(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    node_port::judge(cx, node::name(&server)).await
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::node;
    use crate::testing::{Fixture, check};

    fn leased(name: &str, backend: &str) -> Value {
        let mut object = node(name);
        object["metadata"]["annotations"] = json!({
            "flannel.alpha.coreos.com/kube-subnet-manager": "true",
            "flannel.alpha.coreos.com/backend-type": backend,
            "flannel.alpha.coreos.com/public-ip": "10.0.0.1",
        });
        object["spec"] = json!({"podCIDR": "10.42.0.0/24"});
        object
    }

    fn bare(name: &str) -> Value {
        let mut object = leased(name, "vxlan");
        object["metadata"]["annotations"] = json!({});
        object
    }

    #[tokio::test]
    async fn every_node_needs_a_lease_of_the_same_backend() {
        let check = check("pre::flannel");
        let well = Fixture::new()
            .with(leased("k3s1", "vxlan"))
            .with(bare("k3s2"))
            .ask(check)
            .await;
        // The new node has its own phase.
        assert_eq!(well.message(), "1 nodes with backend vxlan");
        let other = Fixture::new().with(bare("k3s1")).ask(check).await;
        assert_eq!(
            (other.outcome().name(), other.reason()),
            ("skip", "OtherNetwork")
        );
        let mut server = bare("k3s1");
        let args = |value: &str| json!({"k3s.io/node-args": value});
        server["metadata"]["annotations"] = args(r#"["server","--flannel-backend=none"]"#);
        let chosen = Fixture::new().with(server.clone()).ask(check).await;
        assert_eq!(chosen.reason(), "OtherNetwork");
        // k3s runs flannel, so a node without a trace of it has lost its lease.
        server["metadata"]["annotations"] = args(r#"["server"]"#);
        let lost = Fixture::new().with(server).ask(check).await;
        assert_eq!(lost.reason(), "NoLease", "{lost:?}");
        let alone = Fixture::new().with(bare("k3s2")).ask(check).await;
        assert_eq!(alone.reason(), "NoLease", "{alone:?}");
        let half = Fixture::new()
            .with(leased("k3s1", "vxlan"))
            .with(bare("k3s0"))
            .ask(check)
            .await;
        assert_eq!(half.reason(), "NoLease");
        assert!(half.message().contains("k3s0 lacks"), "{}", half.message());
        let mixed = Fixture::new()
            .with(leased("k3s1", "vxlan"))
            .with(leased("k3s0", "host-gw"))
            .ask(check)
            .await;
        assert_eq!(mixed.reason(), "BackendDiffers");
    }

    fn ingress(ready: bool) -> Fixture {
        Fixture::new()
            .with(json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "controller", "namespace": "ingress"},
                "spec": {"ports": [{"port": 80, "nodePort": 30080}, {"port": 443, "nodePort": 30443}]},
            }))
            .with(json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {
                    "name": "controller-x", "namespace": "ingress",
                    "labels": {"kubernetes.io/service-name": "controller"},
                },
                "endpoints": [{"addresses": ["10.42.0.9"], "conditions": {"ready": ready}}],
            }))
    }

    #[tokio::test]
    async fn the_controller_is_found_by_its_node_ports() {
        let check = check("pre::ingress_controller");
        let class = json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "nginx"}});
        let well = ingress(true).with(class).ask(check).await;
        assert!(
            well.message().ends_with("classes nginx"),
            "{}",
            well.message()
        );
        assert_eq!(well.reason(), "");
        assert_eq!(ingress(true).ask(check).await.reason(), "NoIngressClass");
        let idle = ingress(false).ask(check).await;
        assert_eq!(idle.reason(), "IngressNotReady");
        assert!(idle.message().contains("ingress/controller"));
        let none = Fixture::new().ask(check).await;
        assert_eq!(none.reason(), "IngressMissing");
        assert!(
            none.message().contains("30080 or 30443"),
            "{}",
            none.message()
        );
    }

    #[tokio::test]
    async fn node_ports_are_asked_of_the_control_plane() {
        let check = check("pre::nodeports");
        let without_address = ingress(true).with(node("k3s1")).ask(check).await;
        assert_eq!(without_address.reason(), "NoInternalAddress");
        assert!(without_address.message().contains("k3s1"));
    }
}
