//! A large cluster to be listed: copies of a node and of a pod, as the actors made them.

use serde_json::{Value, json};

use crate::Crowd;

use super::{
    cast::Cast,
    make::{self, name, text},
    pods,
};

const NAMESPACE: &str = "crowd";

/// Adds nodes and pods until there are as many as are wanted.
pub(crate) fn add(objects: &mut Vec<Value>, cast: &Cast, crowd: Crowd) {
    let of = |kind: &str| {
        objects
            .iter()
            .filter(|object| object["kind"] == kind && object["apiVersion"] == "v1")
            .cloned()
            .collect::<Vec<Value>>()
    };
    let (nodes, there) = (of("Node"), of("Pod"));
    let model = nodes
        .iter()
        .find(|node| name(node) == cast.node)
        .or(nodes.first());
    let mut names: Vec<String> = nodes.iter().map(|node| name(node).to_owned()).collect();
    if let Some(model) = model {
        for number in nodes.len()..crowd.nodes {
            let node = node(model, number);
            names.push(name(&node).to_owned());
            objects.push(node);
        }
    }
    let model = there.iter().find(|pod| {
        pods::is_ready(pod) && pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
    });
    let Some(model) = model else { return };
    objects.push(json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "uid": make::uid(), "creationTimestamp": make::now()},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    }));
    for number in there.len()..crowd.pods {
        // The two nodes of the story keep the pods that they have.
        let place = names.get(2 + number % names.len().saturating_sub(2).max(1));
        objects.push(pod(
            model,
            number,
            place.or(names.first()).map_or("", String::as_str),
        ));
    }
}

fn fresh(model: &Value, called: &str) -> Value {
    let mut made = model.clone();
    made["metadata"]["name"] = called.into();
    made["metadata"]["uid"] = make::uid().into();
    if let Some(meta) = made["metadata"].as_object_mut() {
        meta.remove("resourceVersion");
        meta.remove("ownerReferences");
    }
    made
}

/// A node of its own: name, address, tunnel and machine.
fn node(model: &Value, number: usize) -> Value {
    let called = format!("crowd-{number:05}");
    let address = format!("10.77.{}.{}", number / 250, number % 250 + 1);
    let mut made = fresh(model, &called);
    made["metadata"]["labels"]["kubernetes.io/hostname"] = called.as_str().into();
    let annotations = &mut made["metadata"]["annotations"];
    annotations["flannel.alpha.coreos.com/public-ip"] = address.as_str().into();
    annotations["flannel.alpha.coreos.com/backend-data"] = format!(
        "{{\"VNI\":1,\"VtepMAC\":\"02:77:00:00:{:02x}:{:02x}\"}}",
        number / 256,
        number % 256
    )
    .into();
    annotations["k3s.io/internal-ip"] = address.as_str().into();
    made["spec"]["providerID"] = format!("k3s://{called}").into();
    // Nobody gave it a range: as many as are wanted here would not fit into the cluster's.
    if let Some(spec) = made["spec"].as_object_mut() {
        spec.remove("podCIDR");
        spec.remove("podCIDRs");
    }
    made["status"]["addresses"] = json!([
        {"type": "InternalIP", "address": address}, {"type": "Hostname", "address": called},
    ]);
    for field in ["machineID", "systemUUID", "bootID"] {
        made["status"]["nodeInfo"][field] = make::uid().into();
    }
    made
}

fn pod(model: &Value, number: usize, node: &str) -> Value {
    let mut made = fresh(model, &format!("crowd-{number:05}"));
    made["metadata"]["namespace"] = NAMESPACE.into();
    made["spec"]["nodeName"] = node.into();
    let address = format!(
        "10.{}.{}.{}",
        100 + number / 62_500,
        number / 250 % 250,
        number % 250 + 1
    );
    if !text(&made["status"]["podIP"]).is_empty() {
        made["status"]["podIP"] = address.as_str().into();
        made["status"]["podIPs"] = json!([{"ip": address}]);
    }
    made
}
