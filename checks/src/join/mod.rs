//! `join`: is the new node in the cluster?
//!
//! - [`arrival`]: the stages of joining, each a check that is waited for (see [`state`]).
//! - [`identity`]: whether it is what it should be: an agent, no clone, of a version that fits.
//! - [`fitness`]: whether pods may run on it, and the pods that every node has, do.

mod arrival;
mod fitness;
mod identity;
mod state;

use k8s_openapi::api::core::v1::{Node, Taint};

use crate::{Check, Context, resources::node, view::ReadError};

/// Stages of joining.
pub const ARRIVAL: &[Check] = arrival::CHECKS;
/// What it is.
pub const IDENTITY: &[Check] = identity::CHECKS;
/// What it can take.
pub const FITNESS: &[Check] = fitness::CHECKS;

/// The new node.
///
/// # Errors
/// Absent when it has not joined; otherwise as any list.
async fn new_node(cx: &Context) -> Result<Node, ReadError> {
    let list = node::all(cx).await?;
    named(&list, cx.node())
        .cloned()
        .ok_or_else(|| ReadError::Absent {
            what: format!("node {}", cx.node()),
        })
}

/// One node out of a list.
fn named<'a>(nodes: &'a [Node], wanted: &str) -> Option<&'a Node> {
    nodes.iter().find(|one| node::name(one) == wanted)
}

/// All addresses of type InternalIP: two in a cluster with IPv4 and IPv6.
fn internal_ips(node: &Node) -> Vec<&str> {
    node.status
        .as_ref()
        .and_then(|status| status.addresses.as_ref())
        .into_iter()
        .flatten()
        .filter(|address| address.type_ == "InternalIP")
        .map(|address| address.address.as_str())
        .collect()
}

/// The taints.
fn taints(node: &Node) -> &[Taint] {
    node.spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    /// A joined k3s agent; `number` makes its addresses, ids and ranges its own.
    pub(super) fn agent(name: &str, number: u8) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                    "node.longhorn.io/create-default-disk": "config", "storage": "longhorn"},
                "annotations": {
                    "k3s.io/node-args": "[\"agent\",\"--token\",\"********\"]",
                    "k3s.io/node-env": "{}",
                    "k3s.io/node-config-hash": "ABC",
                    "k3s.io/internal-ip": format!("192.168.86.{number}"),
                    "k3s.io/hostname": name,
                    "flannel.alpha.coreos.com/kube-subnet-manager": "true",
                    "flannel.alpha.coreos.com/backend-type": "vxlan",
                    "flannel.alpha.coreos.com/backend-data": format!("{{\"VNI\":1,\"VtepMAC\":\"02:00:00:00:00:{number:02}\"}}"),
                    "flannel.alpha.coreos.com/public-ip": format!("192.168.86.{number}"),
                },
            },
            "spec": {"podCIDR": format!("10.42.{number}.0/24"), "podCIDRs": [format!("10.42.{number}.0/24")],
                "providerID": format!("k3s://{name}")},
            "status": {
                "addresses": [{"type": "InternalIP", "address": format!("192.168.86.{number}")},
                    {"type": "Hostname", "address": name}],
                "conditions": [
                    {"type": "MemoryPressure", "status": "False"}, {"type": "DiskPressure", "status": "False"},
                    {"type": "PIDPressure", "status": "False"},
                    {"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                "nodeInfo": {"machineID": format!("machine-{number}"), "systemUUID": format!("uuid-{number}"),
                    "bootID": format!("boot-{number}"), "kubeletVersion": "v1.36.2+k3s1", "kubeProxyVersion": "",
                    "architecture": "amd64", "operatingSystem": "linux", "osImage": "Debian", "kernelVersion": "6.1",
                    "containerRuntimeVersion": "containerd://2.1"},
                "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            },
        })
    }

    /// A k3s server.
    pub(super) fn server(name: &str, number: u8) -> Value {
        let mut node = agent(name, number);
        node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = json!("true");
        node["metadata"]["annotations"]["k3s.io/node-args"] = json!("[\"server\"]");
        node
    }
}
