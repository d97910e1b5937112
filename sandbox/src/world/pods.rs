//! Pods as pure values: made from a template, placed on a node, seen running by a kubelet.

use serde_json::{Value, json};

use super::make::{entries, items, merge, name, namespace, now, object, owned_by, text};

/// A pod of `owner` (a DaemonSet, ReplicaSet or StatefulSet) with this name; not bound to a node.
pub(crate) fn from_template(owner: &Value, pod_name: &str) -> Value {
    let template = &owner["spec"]["template"];
    let mut pod = object(
        "v1",
        "Pod",
        namespace(owner),
        pod_name,
        json!({
            "metadata": {"ownerReferences": owned_by(owner)},
            "spec": template["spec"],
            "status": {"phase": "Pending"},
        }),
    );
    for part in ["labels", "annotations"] {
        if template["metadata"][part].is_object() {
            pod["metadata"][part] = template["metadata"][part].clone();
        }
    }
    let defaults = json!({
        "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
        "terminationGracePeriodSeconds": 30, "serviceAccountName": "default", "enableServiceLinks": true,
    });
    for (key, value) in entries(&defaults) {
        if pod["spec"][key].is_null() {
            pod["spec"][key] = value.clone();
        }
    }
    pod
}

/// A pod of a DaemonSet for one node, as the DaemonSet controller makes it: placed by affinity, tolerating what a
/// daemon tolerates.
pub(crate) fn for_daemon(set: &Value, node: &str, pod_name: &str) -> Value {
    let mut pod = from_template(set, pod_name);
    let hash = template_hash(set);
    merge(
        &mut pod,
        json!({"metadata": {"labels": {"controller-revision-hash": hash, "pod-template-generation": "1"}}}),
    );
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}],
    });
    let mut tolerations = items(&pod["spec"]["tolerations"]).to_vec();
    for (key, effect) in [
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ] {
        tolerations.push(json!({"key": key, "operator": "Exists", "effect": effect}));
    }
    if pod["spec"]["hostNetwork"] == true {
        tolerations.push(json!({
            "key": "node.kubernetes.io/network-unavailable", "operator": "Exists", "effect": "NoSchedule",
        }));
    }
    pod["spec"]["tolerations"] = tolerations.into();
    pod
}

/// What tells one version of a pod template from another. Only what restarts a pod is looked at: the API server fills
/// in defaults at times, and those must not.
pub(crate) fn template_hash(owner: &Value) -> String {
    let template = &owner["spec"]["template"];
    let containers: Vec<Value> = items(&template["spec"]["containers"])
        .iter()
        .map(|it| {
            json!([
                it["name"],
                it["image"],
                it["command"],
                it["args"],
                it["env"]
            ])
        })
        .collect();
    let told = json!([
        containers,
        template["metadata"]["labels"],
        template["spec"]["nodeSelector"],
        template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"],
    ]);
    super::make::stable_hex(&told.to_string(), 10)
}

/// The status of a pod whose containers all run.
pub(crate) fn running(pod: &Value, host_ip: &str, pod_ip: &str, restarts: i64) -> Value {
    let stamp = now();
    let ready = |kind: &str| json!({"type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": stamp});
    let containers: Vec<Value> = items(&pod["spec"]["containers"])
        .iter()
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"],
                "imageID": image_id(text(&container["image"])),
                "containerID": container_id(pod, text(&container["name"])),
                "ready": true, "started": true, "restartCount": restarts,
                "state": {"running": {"startedAt": stamp}}, "lastState": {},
            })
        })
        .collect();
    // The API server decides this at creation, and it stays.
    let qos = pod["status"]["qosClass"].as_str().unwrap_or("Burstable");
    // Init containers have ended well by then.
    let before: Vec<Value> = items(&pod["spec"]["initContainers"])
        .iter()
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"],
                "imageID": image_id(text(&container["image"])),
                "containerID": container_id(pod, text(&container["name"])),
                "ready": true, "started": false, "restartCount": 0, "lastState": {},
                "state": {"waiting": null, "terminated": {
                    "exitCode": 0, "reason": "Completed", "startedAt": stamp, "finishedAt": stamp,
                    "containerID": container_id(pod, text(&container["name"])),
                }},
            })
        })
        .collect();
    let before = if before.is_empty() {
        Value::Null
    } else {
        before.into()
    };
    json!({
        "initContainerStatuses": before,
        "phase": "Running", "hostIP": host_ip, "hostIPs": [{"ip": host_ip}], "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}], "qosClass": qos, "startTime": stamp,
        "conditions": [
            ready("PodReadyToStartContainers"), ready("Initialized"), ready("Ready"), ready("ContainersReady"),
            ready("PodScheduled"),
        ],
        "containerStatuses": containers, "reason": null, "message": null,
    })
}

/// The status of a pod that has lived longer than it asked for.
pub(crate) fn overdue(pod: &Value) -> Value {
    let stamp = now();
    let mut statuses = pod["status"]["containerStatuses"].clone();
    for status in statuses.as_array_mut().into_iter().flatten() {
        let started = status["state"]["running"]["startedAt"].clone();
        status["ready"] = false.into();
        status["started"] = false.into();
        status["state"] = json!({"terminated": {
            "exitCode": 137, "reason": "Error", "startedAt": started, "finishedAt": stamp,
        }});
    }
    json!({
        "phase": "Failed", "reason": "DeadlineExceeded",
        "message": "Pod was active on the node longer than the specified deadline",
        "containerStatuses": statuses,
    })
}

/// The status of a pod whose first container ends again and again.
pub(crate) fn crashing(pod: &Value, host_ip: &str, pod_ip: &str, why: &str) -> Value {
    let stamp = now();
    let mut status = running(pod, host_ip, pod_ip, 0);
    let container = text(&pod["spec"]["containers"][0]["name"]).to_owned();
    let restarts = 6;
    status["containerStatuses"][0]["ready"] = false.into();
    status["containerStatuses"][0]["started"] = false.into();
    status["containerStatuses"][0]["restartCount"] = restarts.into();
    status["containerStatuses"][0]["state"] = json!({"waiting": {
        "reason": "CrashLoopBackOff",
        "message": format!(
            "back-off 2m40s restarting failed container={container} pod={}_{}", name(pod), namespace(pod)
        ),
    }});
    status["containerStatuses"][0]["lastState"] = json!({"terminated": {
        "exitCode": 1, "reason": "Error", "message": why, "startedAt": stamp, "finishedAt": stamp,
        "containerID": container_id(pod, &container),
    }});
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        if condition["type"] == "Ready" || condition["type"] == "ContainersReady" {
            condition["status"] = "False".into();
            condition["reason"] = "ContainersNotReady".into();
            condition["message"] = format!("containers with unready status: [{container}]").into();
        }
    }
    status
}

fn container_id(pod: &Value, container: &str) -> String {
    format!(
        "containerd://{}",
        super::make::stable_hex(&format!("{}{container}", name(pod)), 64)
    )
}

fn image_id(image: &str) -> String {
    let repository = image
        .split('@')
        .next()
        .unwrap_or(image)
        .rsplit_once(':')
        .map_or(image, |(name, _)| name);
    format!("{repository}@sha256:{}", super::make::stable_hex(image, 64))
}

/// Whether the pod has the condition Ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    super::make::condition(pod, "Ready") == "True" && !super::make::deleting(pod)
}

/// Whether it has ended.
pub(crate) fn is_finished(pod: &Value) -> bool {
    matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed")
}

/// Whether labels match a label selector (`matchLabels` and `matchExpressions`). An empty selector matches all.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    entries(&selector["matchLabels"]).all(|(key, value)| &labels[key] == value)
        && items(&selector["matchExpressions"])
            .iter()
            .all(|expression| holds(expression, labels))
}

fn holds(expression: &Value, labels: &Value) -> bool {
    let there = &labels[text(&expression["key"])];
    let among = items(&expression["values"]).contains(there);
    match text(&expression["operator"]) {
        "In" => among,
        "NotIn" => !among,
        "Exists" => !there.is_null(),
        "DoesNotExist" => there.is_null(),
        _ => false,
    }
}

/// Whether a pod spec may stand on this node by nodeSelector and required node affinity.
pub(crate) fn fits_node(spec: &Value, node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    if !entries(&spec["nodeSelector"]).all(|(key, value)| &labels[key] == value) {
        return false;
    }
    let required =
        &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    if required.is_null() {
        return true;
    }
    let fields = json!({"metadata.name": node["metadata"]["name"]});
    items(&required["nodeSelectorTerms"]).iter().any(|term| {
        items(&term["matchExpressions"])
            .iter()
            .all(|expression| holds(expression, labels))
            && items(&term["matchFields"])
                .iter()
                .all(|expression| holds(expression, &fields))
    })
}

/// Whether a pod spec tolerates every taint of the node that keeps pods away.
pub(crate) fn tolerates_node(spec: &Value, node: &Value) -> bool {
    tolerates_all(spec, node, &["NoSchedule", "NoExecute"])
}

fn tolerates_all(spec: &Value, node: &Value, effects: &[&str]) -> bool {
    items(&node["spec"]["taints"])
        .iter()
        .filter(|taint| effects.contains(&text(&taint["effect"])))
        .all(|taint| {
            items(&spec["tolerations"])
                .iter()
                .any(|toleration| tolerates(toleration, taint))
        })
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let effect = toleration["effect"].is_null()
        || toleration["effect"] == ""
        || toleration["effect"] == taint["effect"];
    let key = text(&toleration["key"]);
    let exists = toleration["operator"] == "Exists";
    effect
        && if key.is_empty() {
            exists
        } else {
            taint["key"] == key && (exists || text(&toleration["value"]) == text(&taint["value"]))
        }
}

/// Whether a DaemonSet wants a pod on this node. Its pods tolerate more than its template says.
pub(crate) fn daemon_belongs(set: &Value, node: &Value) -> bool {
    fits_node(&set["spec"]["template"]["spec"], node)
        && tolerates_node(&for_daemon(set, name(node), "candidate")["spec"], node)
}

/// Whether a DaemonSet's pod that is on this node already may stay.
pub(crate) fn daemon_stays(set: &Value, node: &Value) -> bool {
    fits_node(&set["spec"]["template"]["spec"], node)
        && tolerates_all(
            &for_daemon(set, name(node), "candidate")["spec"],
            node,
            &["NoExecute"],
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_decide_where_a_pod_fits() {
        let node = json!({"metadata": {"name": "a", "labels": {"disk": "fast", "kubernetes.io/os": "linux"}}});
        let spec = |operator: &str, values: Value| {
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": operator, "values": values}]}],
            }}}})
        };
        assert!(fits_node(&spec("In", json!(["fast"])), &node));
        assert!(!fits_node(&spec("NotIn", json!(["fast"])), &node));
        assert!(fits_node(
            &json!({"nodeSelector": {"kubernetes.io/os": "linux"}}),
            &node
        ));
        assert!(!fits_node(
            &json!({"nodeSelector": {"kubernetes.io/os": "windows"}}),
            &node
        ));
    }

    #[test]
    fn daemons_tolerate_a_cordon_and_others_do_not() {
        let node = json!({
            "metadata": {"name": "a"},
            "spec": {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]},
        });
        let set = json!({"metadata": {"name": "d", "namespace": "x"}, "spec": {"template": {"spec": {}}}});
        assert!(daemon_belongs(&set, &node));
        assert!(!tolerates_node(&json!({}), &node));
    }
}
