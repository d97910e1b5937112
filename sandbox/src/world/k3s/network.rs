//! A model of the cluster's network: what a pod on a node reaches, and what it says when it does not.

use std::{net::Ipv4Addr, sync::Arc};

use serde_json::Value;

use crate::world::{
    cast::DNS_ADDRESS,
    kinds::{NODES, PODS, SERVICES, SLICES},
    make::{deleting, items, name, namespace, text},
    pods,
    scene::Scene,
};

use super::machine;

/// Tries one target from a pod on `from`: the word for what came of it, and what busybox's tools would say.
pub(crate) fn reach(scene: &Scene<'_>, from: &str, target: &str) -> (&'static str, String) {
    let tried = if let Some(host) = target.strip_prefix("dns:") {
        resolve(scene, from, host).map(|address| address.to_string())
    } else {
        tcp(scene, from, target.strip_prefix("tcp://").unwrap_or(target))
    };
    match tried {
        Ok(said) => ("ok", said),
        Err(said) => {
            let word = if said.contains("refused") {
                "refused"
            } else if said.contains("timed out") {
                "timeout"
            } else if said.contains("can't") {
                "noname"
            } else {
                "failed"
            };
            (word, said)
        }
    }
}

fn tcp(scene: &Scene<'_>, from: &str, place: &str) -> Result<String, String> {
    let (host, port) = place.rsplit_once(':').ok_or("no port given")?;
    let port: u16 = port.parse().map_err(|_| format!("not a port: {port}"))?;
    let address = match host.parse() {
        Ok(address) => address,
        Err(_) => resolve(scene, from, host)?,
    };
    connect(scene, from, address, port).map(|()| "connected".to_owned())
}

/// Whether a fault strikes pods on the new node, and this one is there.
fn on_node(scene: &Scene<'_>, from: &str, fault: &str) -> bool {
    from == scene.cast.node && scene.fault(fault)
}

/// Asks the cluster's DNS.
fn resolve(scene: &Scene<'_>, from: &str, host: &str) -> Result<Ipv4Addr, String> {
    let dns: Ipv4Addr = DNS_ADDRESS
        .parse()
        .map_err(|_| "no DNS address".to_owned())?;
    let unreachable = || ";; connection timed out; no servers could be reached".to_owned();
    if on_node(scene, from, "dns-blocked-on-node") {
        return Err(unreachable());
    }
    connect(scene, from, dns, 53).map_err(|_| unreachable())?;
    let bare = host.trim_end_matches('.');
    if scene.fault("dns-zone-broken") && bare.ends_with("cluster.local") {
        return Err(format!("** server can't find {host}: NXDOMAIN"));
    }
    if let Some(service) = bare
        .strip_suffix(".svc.cluster.local")
        .or_else(|| bare.strip_suffix(".svc"))
    {
        let (name, namespace) = service
            .split_once('.')
            .ok_or_else(|| format!("can't resolve '{host}'"))?;
        let service = scene
            .get(&SERVICES, namespace, name)
            .ok_or_else(|| format!("can't resolve '{host}': NXDOMAIN"))?;
        return text(&service["spec"]["clusterIP"])
            .parse()
            .map_err(|_| format!("can't resolve '{host}': headless"));
    }
    if bare.ends_with("cluster.local") || bare.ends_with(".invalid") {
        return Err(format!("can't resolve '{host}': NXDOMAIN"));
    }
    if let Some(node) = scene.list(&NODES).iter().find(|node| name(node) == bare) {
        return scene
            .cast
            .address(name(node))
            .ok_or_else(|| format!("can't resolve '{host}'"));
    }
    if scene.fault("egress-blocked") {
        return Err(format!("can't resolve '{host}': SERVFAIL"));
    }
    Ok(Ipv4Addr::new(198, 51, 100, 10))
}

fn connect(scene: &Scene<'_>, from: &str, address: Ipv4Addr, port: u16) -> Result<(), String> {
    let timed_out = || Err("nc: timed out".to_owned());
    if let Some(node) = scene.cast.node_at(address) {
        if port == 6443 && on_node(scene, from, "api-blocked-for-pods-on-node") {
            return timed_out();
        }
        return if listens(scene, node, port) {
            Ok(())
        } else {
            Err(format!(
                "nc: can't connect to remote host ({address}): Connection refused"
            ))
        };
    }
    if let Some(service) = scene
        .list(&SERVICES)
        .iter()
        .find(|it| text(&it["spec"]["clusterIP"]) == address.to_string())
    {
        if on_node(scene, from, "service-rules-lost-on-node") {
            return timed_out();
        }
        return through(scene, from, service, port);
    }
    if let Some(pod) = scene
        .list(&PODS)
        .iter()
        .find(|pod| text(&pod["status"]["podIP"]) == address.to_string())
    {
        return to_pod(scene, from, pod, port);
    }
    let octets = address.octets();
    let blocked = scene.fault("egress-blocked")
        || scene.fault("registry-blocked")
        || on_node(scene, from, "egress-blocked-on-node");
    if octets[0] == 10 || blocked {
        return timed_out();
    }
    Ok(())
}

/// Through a Service to one of its endpoints: the nearest first, as nobody can say which one is taken.
fn through(scene: &Scene<'_>, from: &str, service: &Value, port: u16) -> Result<(), String> {
    if !items(&service["spec"]["ports"])
        .iter()
        .any(|it| it["port"] == port)
    {
        return Err("nc: can't connect to remote host: Connection refused".to_owned());
    }
    if name(service) == "kubernetes" && namespace(service) == "default" {
        // Behind it is the address of the server, where the same firewall stands.
        return if on_node(scene, from, "api-blocked-for-pods-on-node") {
            Err("nc: timed out".to_owned())
        } else {
            Ok(())
        };
    }
    let slices = scene.list(&SLICES);
    let endpoints: Vec<&Value> = slices
        .iter()
        .filter(|slice| {
            namespace(slice) == namespace(service)
                && slice["metadata"]["labels"]["kubernetes.io/service-name"] == name(service)
        })
        .flat_map(|slice| items(&slice["endpoints"]))
        .filter(|endpoint| endpoint["conditions"]["ready"] == true)
        .collect();
    if endpoints.is_empty() {
        return Err("connection refused: the Service has no endpoints".to_owned());
    }
    let reached = endpoints
        .iter()
        .any(|endpoint| crosses(scene, from, text(&endpoint["nodeName"])));
    if reached {
        Ok(())
    } else {
        Err("nc: timed out".to_owned())
    }
}

fn to_pod(scene: &Scene<'_>, from: &str, pod: &Arc<Value>, port: u16) -> Result<(), String> {
    if deleting(pod) || pods::is_finished(pod) {
        return Err("no route to host".to_owned());
    }
    if !crosses(scene, from, text(&pod["spec"]["nodeName"])) {
        return Err("nc: timed out".to_owned());
    }
    let mut ports = items(&pod["spec"]["containers"])
        .iter()
        .flat_map(|container| items(&container["ports"]))
        .peekable();
    if ports.peek().is_none() || ports.any(|it| it["containerPort"] == port) {
        Ok(())
    } else {
        Err("nc: can't connect to remote host: Connection refused".to_owned())
    }
}

/// Whether pod traffic gets from one node to the other: both need a lease, and the tunnel must be open.
fn crosses(scene: &Scene<'_>, from: &str, to: &str) -> bool {
    let has_lease = |node: &str| {
        scene
            .get(&NODES, "", node)
            .is_some_and(|node| machine::state(&node) >= 6)
    };
    from == to
        || (has_lease(from)
            && has_lease(to)
            && ![
                "overlay-blocked",
                "flannel-backend-differs",
                "vtep-mac-duplicate",
                "node-unreachable",
            ]
            .iter()
            .any(|fault| scene.fault(fault)))
}

/// Whether something answers on a node's own address.
pub(crate) fn listens(scene: &Scene<'_>, node: &str, port: u16) -> bool {
    let server = node == scene.cast.control_plane;
    if scene.get(&NODES, "", node).is_none() || (!server && scene.fault("node-unreachable")) {
        return false;
    }
    match port {
        6443 => server,
        10250 => true,
        _ if server && scene.fault("nodeports-closed") => false,
        _ => node_port(scene, node, port),
    }
}

/// Whether a NodePort answers there: any ready endpoint, or a local one where the policy is Local.
pub(crate) fn node_port(scene: &Scene<'_>, node: &str, port: u16) -> bool {
    let slices = scene.list(&SLICES);
    scene.list(&SERVICES).iter().any(|service| {
        let local = service["spec"]["externalTrafficPolicy"] == "Local";
        items(&service["spec"]["ports"])
            .iter()
            .any(|it| it["nodePort"] == port)
            && slices
                .iter()
                .filter(|slice| {
                    namespace(slice) == namespace(service)
                        && slice["metadata"]["labels"]["kubernetes.io/service-name"]
                            == name(service)
                })
                .flat_map(|slice| items(&slice["endpoints"]))
                .any(|endpoint| {
                    endpoint["conditions"]["ready"] == true
                        && (!local || endpoint["nodeName"] == node)
                })
    })
}
