//! `network`: does traffic cross?
//!
//! Everything here but the node ports reads what flannel, kube-proxy and the kubelet say of themselves. That proves
//! the configuration, not the traffic: a closed port 8472/udp leaves all of it green. Traffic is proven by pods that
//! talk to each other.

pub mod flannel;
pub(crate) mod node_port;
pub mod path;
pub mod ranges;
pub mod traffic;
pub mod vpn;

#[cfg(test)]
pub(crate) mod example {
    use serde_json::{Value, json};

    /// A node as k3s and flannel leave it; the number is its place in every range.
    pub(crate) fn node(name: &str, number: u8) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": name,
                "annotations": {
                    "flannel.alpha.coreos.com/kube-subnet-manager": "true",
                    "flannel.alpha.coreos.com/backend-type": "vxlan",
                    "flannel.alpha.coreos.com/backend-data": format!("{{\"VNI\":1,\"VtepMAC\":\"0a:00:00:00:00:0{number}\"}}"),
                    "flannel.alpha.coreos.com/public-ip": format!("192.168.86.7{number}"),
                },
            },
            "spec": {"podCIDR": format!("10.42.{number}.0/24"), "podCIDRs": [format!("10.42.{number}.0/24")]},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": name},
                    {"type": "InternalIP", "address": format!("192.168.86.7{number}")},
                ],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        })
    }

    /// Sets one annotation; null takes it away.
    pub(crate) fn annotate(mut node: Value, key: &str, value: impl Into<Value>) -> Value {
        node["metadata"]["annotations"][key] = value.into();
        if node["metadata"]["annotations"][key].is_null()
            && let Some(all) = node["metadata"]["annotations"].as_object_mut()
        {
            all.remove(key);
        }
        node
    }
}
