//! metrics-server: what the nodes use, and whether its API is available.

use serde_json::{Value, json};

use crate::world::{
    kinds::{API_SERVICES, NODE_METRICS, NODES, PODS, SLICES},
    make::{condition, conditions, items, name, now, object, text, would_change},
    scene::{Change, Scene},
};

/// CPU in millicores and memory in MiB that a node uses.
pub(crate) fn usage(scene: &Scene<'_>, node: &str) -> (u64, u64) {
    let pods = scene
        .list(&PODS)
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == node)
        .count() as u64;
    let base = if node == scene.cast.control_plane {
        (420, 1700)
    } else {
        (120, 700)
    };
    if node == scene.cast.control_plane && scene.fault("control-plane-busy") {
        return (3_800, 7_300);
    }
    (base.0 + 12 * pods, base.1 + 45 * pods)
}

/// Keeps the metrics API and its numbers.
pub(crate) fn measure(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let service = scene.get(&API_SERVICES, "", "v1beta1.metrics.k8s.io");
    let ready = scene.list(&SLICES).iter().any(|slice| {
        slice["metadata"]["labels"]["kubernetes.io/service-name"] == "metrics-server"
            && items(&slice["endpoints"])
                .iter()
                .any(|endpoint| endpoint["conditions"]["ready"] == true)
    });
    if let Some(service) = &service {
        let told = if ready {
            json!({"type": "Available", "status": "True", "reason": "Passed", "message": "all checks passed"})
        } else {
            json!({
                "type": "Available", "status": "False", "reason": "MissingEndpoints",
                "message": "endpoints for service/metrics-server in \"kube-system\" have no addresses",
            })
        };
        let all = conditions(&service["status"]["conditions"], &[told]);
        let status = json!({"conditions": all});
        if would_change(&service["status"], &status) {
            changes.push(Change::status(&API_SERVICES, service, status));
        }
    }
    let answers = service.is_some() && ready;
    for node in scene.list(&NODES) {
        let there = scene.get(&NODE_METRICS, "", name(&node));
        let seen = answers && condition(&node, "Ready") == "True";
        match there {
            None if seen => changes.push(Change::Create(numbers(scene, &node))),
            Some(old) if !seen => changes.push(Change::delete(&NODE_METRICS, &old)),
            Some(old) => {
                let fresh = numbers(scene, &node);
                let key = format!("metrics/{}", name(&node));
                let due = text(&fresh["usage"]["cpu"]) != text(&old["usage"]["cpu"])
                    || (!scene.timers.instant
                        && scene.timers.waited(&key, scene.pace.heartbeat * 2));
                if due {
                    scene.timers.forget(&key);
                    let patch = json!({"timestamp": fresh["timestamp"], "usage": fresh["usage"]});
                    changes.push(Change::spec(&NODE_METRICS, &old, patch));
                }
            }
            None => {}
        }
    }
    for left in scene.list(&NODE_METRICS) {
        if scene.get(&NODES, "", name(&left)).is_none() {
            changes.push(Change::delete(&NODE_METRICS, &left));
        }
    }
}

pub(crate) fn numbers(scene: &Scene<'_>, node: &Value) -> Value {
    let (cpu, memory) = usage(scene, name(node));
    object(
        "metrics.k8s.io/v1beta1",
        "NodeMetrics",
        "",
        name(node),
        json!({
            "metadata": {"labels": node["metadata"]["labels"]},
            "timestamp": now(), "window": "20.034s",
            "usage": {"cpu": format!("{cpu}m"), "memory": format!("{}Ki", memory * 1024)},
        }),
    )
}
