//! Values that the API shows although nobody has set them: its types have no way to leave them out.

use serde_json::{Value, json};

use super::{defaults::default, resource::Resource};

/// Shows them.
pub(crate) fn fill(resource: &Resource, object: &mut Value) {
    let fields: &[&str] = match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "nodes") => return node(object),
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
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    for field in fields {
        default(&mut object["status"], field, 0);
    }
}

fn node(object: &mut Value) {
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
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
