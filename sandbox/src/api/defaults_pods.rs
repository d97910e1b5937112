//! What the server adds to pods and to the templates of pods.

use serde_json::{Value, json};

use super::{
    defaults::{default, default_object},
    quantity,
};

/// A pod on its own.
pub(super) fn pod(object: &mut Value) {
    default_object(object, "status");
    default(&mut object["status"], "phase", "Pending");
    let spec = &mut object["spec"];
    pod_spec(spec);
    default(spec, "serviceAccountName", "default");
    let account = spec["serviceAccountName"].clone();
    default(spec, "serviceAccount", account);
    default(spec, "enableServiceLinks", true);
    default(spec, "preemptionPolicy", "PreemptLowerPriority");
    default(spec, "priority", 0);
    let tolerated: Vec<(Value, Value)> = spec["tolerations"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|t| (t["key"].clone(), t["effect"].clone()))
        .collect();
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        // The admission plugin leaves a toleration of the same taint alone.
        let known = |(k, e): &(Value, Value)| {
            (k.is_null() || k == key) && (e.is_null() || e == "NoExecute")
        };
        if spec.is_object() && !tolerated.iter().any(known) {
            if !spec["tolerations"].is_array() {
                spec["tolerations"] = json!([]);
            }
            if let Some(list) = spec["tolerations"].as_array_mut() {
                list.push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }));
            }
        }
    }
    let class = quality(&object["spec"]);
    default(&mut object["status"], "qosClass", class);
}

/// The spec of a pod or of a template of one.
pub(super) fn pod_spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    default(spec, "restartPolicy", "Always");
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "schedulerName", "default-scheduler");
    default(spec, "securityContext", json!({}));
    let account = spec["serviceAccountName"].clone();
    if account.is_string() {
        default(spec, "serviceAccount", account);
    }
    for list in ["containers", "initContainers"] {
        for one in spec[list].as_array_mut().into_iter().flatten() {
            container(one);
        }
    }
    for one in spec["volumes"].as_array_mut().into_iter().flatten() {
        volume(one);
    }
}

fn container(container: &mut Value) {
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    default(container, "resources", json!({}));
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && (!tag.contains(':') || tag.ends_with(":latest"));
    default(
        container,
        "imagePullPolicy",
        if latest { "Always" } else { "IfNotPresent" },
    );
    for port in container["ports"].as_array_mut().into_iter().flatten() {
        default(port, "protocol", "TCP");
    }
    let resources = &mut container["resources"];
    quantity::canonical_map(&mut resources["limits"]);
    quantity::canonical_map(&mut resources["requests"]);
    // What is limited and not requested is requested as much.
    if let Some(limits) = resources["limits"].as_object().cloned() {
        default_object(resources, "requests");
        for (name, value) in limits {
            default(&mut resources["requests"], &name, value);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        probe(&mut container[name]);
    }
    for name in ["postStart", "preStop"] {
        if let Some(action) = container.pointer_mut(&format!("/lifecycle/{name}/httpGet")) {
            http_get(action);
        }
    }
    for variable in container["env"].as_array_mut().into_iter().flatten() {
        if variable["valueFrom"]["fieldRef"].is_object() {
            default(&mut variable["valueFrom"]["fieldRef"], "apiVersion", "v1");
        }
    }
}

/// What the statuses of containers always show, and the addresses of the pod as a list.
pub(super) fn pod_status(status: &mut Value) {
    for list in [
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ] {
        let all = status.get_mut(list).and_then(Value::as_array_mut);
        for one in all.into_iter().flatten() {
            default(one, "state", json!({}));
            default(one, "lastState", json!({}));
            default(one, "image", "");
            default(one, "imageID", "");
        }
    }
    for (one, list) in [("podIP", "podIPs"), ("hostIP", "hostIPs")] {
        let address = status[one].clone();
        if address.is_string() {
            default(status, list, json!([{ "ip": address }]));
        }
    }
}

fn probe(probe: &mut Value) {
    if !probe.is_object() {
        return;
    }
    for (key, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        default(probe, key, value);
    }
    http_get(&mut probe["httpGet"]);
    if probe["grpc"].is_object() {
        default(&mut probe["grpc"], "service", "");
    }
}

fn http_get(action: &mut Value) {
    if action.is_object() {
        default(action, "scheme", "HTTP");
        default(action, "path", "/");
    }
}

/// Readable by all and writable by the owner, as a number: 0644.
const MODE: i64 = 0o644;

fn volume(volume: &mut Value) {
    for source in ["configMap", "secret", "downwardAPI", "projected"] {
        if volume[source].is_object() {
            default(&mut volume[source], "defaultMode", MODE);
        }
    }
    if volume["hostPath"].is_object() {
        default(&mut volume["hostPath"], "type", "");
    }
    if volume["emptyDir"].is_object() {
        quantity::canonical_value(&mut volume["emptyDir"]["sizeLimit"]);
    }
    for source in volume["projected"]["sources"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        if source["serviceAccountToken"].is_object() {
            default(
                &mut source["serviceAccountToken"],
                "expirationSeconds",
                3600,
            );
        }
    }
}

/// The class of service: guaranteed when every container's limits are its requests, best effort when none asks for
/// anything.
pub(super) fn quality(spec: &Value) -> &'static str {
    let containers = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| spec[list].as_array().into_iter().flatten());
    let (mut asks, mut exact) = (false, true);
    for container in containers {
        let resources = &container["resources"];
        for name in ["cpu", "memory"] {
            let (limit, request) = (&resources["limits"][name], &resources["requests"][name]);
            asks |= !limit.is_null() || !request.is_null();
            exact &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (asks, exact) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_service_follows_requests_and_limits() {
        let spec = |resources: Value| json!({ "containers": [{ "resources": resources }] });
        assert_eq!(quality(&spec(json!({}))), "BestEffort");
        assert_eq!(
            quality(&spec(json!({ "requests": { "cpu": "1" } }))),
            "Burstable"
        );
        let both = json!({ "cpu": "1", "memory": "1Gi" });
        assert_eq!(
            quality(&spec(json!({ "limits": both, "requests": both }))),
            "Guaranteed"
        );
        assert_eq!(
            quality(&spec(json!({ "limits": { "cpu": "1" } }))),
            "Burstable"
        );
    }

    #[test]
    fn limits_are_requests_too_and_quantities_canonical() {
        let mut pod = json!({ "spec": { "containers": [{ "name": "x", "image": "i", "resources": { "limits": { "cpu": 1, "memory": "1024Mi" } } }] } });
        super::pod(&mut pod);
        assert_eq!(
            pod["spec"]["containers"][0]["resources"]["requests"],
            json!({ "cpu": "1", "memory": "1Gi" })
        );
        assert_eq!(pod["status"]["qosClass"], "Guaranteed");
    }
}
