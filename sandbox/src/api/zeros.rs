//! Values that the API shows although nobody has set them: its types have no way to leave them out.

use serde_json::{Value, json};

use super::{
    defaults::{default, default_object},
    defaults_pods::pod_status,
    resource::Resource,
};

/// Shows them.
pub(crate) fn fill(resource: &Resource, object: &mut Value) {
    if resource.status && resource.custom.is_none() {
        default_object(object, "status");
    }
    let fields: &[&str] = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "nodes") => return node(object),
        ("", "pods") => return pod_status(&mut object["status"]),
        ("networking.k8s.io", "ingresses") => {
            return default_object(&mut object["status"], "loadBalancer");
        }
        ("storage.k8s.io", "volumeattachments") => {
            return default(&mut object["status"], "attached", false);
        }
        ("apps", "daemonsets") => &[
            "currentNumberScheduled",
            "desiredNumberScheduled",
            "numberMisscheduled",
            "numberReady",
        ],
        ("apps", "statefulsets") => &["replicas", "availableReplicas"],
        ("apps", "replicasets") | ("", "replicationcontrollers") => &["replicas"],
        ("policy", "poddisruptionbudgets") => &[
            "currentHealthy",
            "desiredHealthy",
            "disruptionsAllowed",
            "expectedPods",
        ],
        _ => return,
    };
    for field in fields {
        default(&mut object["status"], field, 0);
    }
}

fn node(object: &mut Value) {
    let status = &mut object["status"];
    if !status["daemonEndpoints"]["kubeletEndpoint"].is_object() {
        status["daemonEndpoints"] = json!({ "kubeletEndpoint": { "Port": 0 } });
    }
    if !status["nodeInfo"].is_object() {
        status["nodeInfo"] = json!({});
    }
    for field in [
        "architecture",
        "bootID",
        "containerRuntimeVersion",
        "kernelVersion",
        "kubeProxyVersion",
        "kubeletVersion",
        "machineID",
        "operatingSystem",
        "osImage",
        "systemUUID",
    ] {
        default(&mut status["nodeInfo"], field, "");
    }
}
