//! Instance managers and engine images: what must run on a node before it can hold a replica.

use serde_json::{Map, Value, json};

use crate::world::{
    kinds::{
        BUDGETS, LH_ENGINE_IMAGES, LH_ENGINES, LH_INSTANCE_MANAGERS, LH_NODES, LH_REPLICAS, NODES,
        PODS,
    },
    make::{
        conditions, deleting, entries, name, namespace, object, owned_by, stable_hex, text,
        would_change,
    },
    pods,
    scene::{Change, Scene},
};

use super::{NAMESPACE, manager_ready, node_names, pod_on};

pub(crate) const IMAGE: &str = "docker.io/longhornio/longhorn-instance-manager:v1.9.1";

/// The name of a node's instance manager.
pub(crate) fn name_for(node: &str) -> String {
    format!(
        "instance-manager-{}",
        stable_hex(&format!("{IMAGE}/{node}"), 32)
    )
}

pub(crate) fn keep(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    for node in node_names(scene) {
        if manager_ready(scene, &node)
            && scene
                .get(&LH_INSTANCE_MANAGERS, NAMESPACE, &name_for(&node))
                .is_none()
        {
            changes.push(Change::Create(manager(&node)));
        }
    }
    for manager in scene.list(&LH_INSTANCE_MANAGERS) {
        let node = text(&manager["spec"]["nodeID"]).to_owned();
        if scene.get(&LH_NODES, NAMESPACE, &node).is_none()
            || scene.get(&NODES, "", &node).is_none()
        {
            if !deleting(&manager) {
                changes.push(Change::delete(&LH_INSTANCE_MANAGERS, &manager));
            }
            continue;
        }
        run(scene, &manager, &node, changes);
        guard(scene, &manager, &node, changes);
    }
    images(scene, changes);
}

fn manager(node: &str) -> Value {
    object(
        "longhorn.io/v1beta2",
        "InstanceManager",
        NAMESPACE,
        &name_for(node),
        json!({
            "metadata": {"labels": {
                "longhorn.io/component": "instance-manager", "longhorn.io/managed-by": "longhorn-manager",
                "longhorn.io/node": node, "longhorn.io/data-engine": "v1", "longhorn.io/instance-manager-type": "aio",
            }},
            "spec": {"image": IMAGE, "nodeID": node, "type": "aio", "dataEngine": "v1"},
        }),
    )
}

/// The pod of an instance manager, and what the manager says of it.
fn run(scene: &Scene<'_>, manager: &Value, node: &str, changes: &mut Vec<Change>) {
    let pod = scene.get(&PODS, NAMESPACE, name(manager));
    match &pod {
        None if manager_ready(scene, node) => {
            changes.push(Change::Create(object(
                "v1",
                "Pod",
                NAMESPACE,
                name(manager),
                json!({
                    "metadata": {"labels": manager["metadata"]["labels"], "ownerReferences": owned_by(manager)},
                    "spec": {
                        "nodeName": node, "restartPolicy": "Never", "serviceAccountName": "longhorn-service-account",
                        "terminationGracePeriodSeconds": 30, "priorityClassName": "longhorn-critical",
                        "tolerations": [{"operator": "Exists"}],
                        "containers": [{
                            "name": "instance-manager", "image": IMAGE,
                            "args": ["instance-manager", "--debug", "daemon", "--listen", "0.0.0.0:8500"],
                            "securityContext": {"privileged": true},
                            "resources": {"requests": {"cpu": "480m"}},
                        }],
                    },
                }),
            )));
        }
        _ => {}
    }
    let state = match &pod {
        Some(pod) if pods::is_ready(pod) => "running",
        Some(pod) if text(&pod["status"]["phase"]) == "Running" => "error",
        Some(_) => "starting",
        None => "stopped",
    };
    let status = json!({
        "currentState": state, "ownerID": node, "apiVersion": 6, "apiMinVersion": 3,
        "ip": pod.as_ref().map_or("", |pod| text(&pod["status"]["podIP"])),
    });
    if would_change(&manager["status"], &status) {
        changes.push(Change::status(&LH_INSTANCE_MANAGERS, manager, status));
    }
}

/// A PodDisruptionBudget for each instance manager. It goes only when the node is cordoned, no engine runs there and
/// every replica on it has a healthy copy elsewhere (`block-if-contains-last-replica`).
fn guard(scene: &Scene<'_>, manager: &Value, node: &str, changes: &mut Vec<Change>) {
    let cordoned = scene
        .get(&NODES, "", node)
        .is_some_and(|it| it["spec"]["unschedulable"] == true);
    let engines = scene
        .list(&LH_ENGINES)
        .iter()
        .any(|engine| engine["spec"]["nodeID"] == node);
    let wanted = !cordoned || engines || holds_last(scene, node);
    let there = scene.get(&BUDGETS, NAMESPACE, name(manager));
    match there {
        None if wanted => changes.push(Change::Create(object(
            "policy/v1",
            "PodDisruptionBudget",
            NAMESPACE,
            name(manager),
            json!({
                "metadata": {"labels": {"longhorn.io/managed-by": "longhorn-manager"}, "ownerReferences": owned_by(manager)},
                "spec": {"minAvailable": 1, "selector": {"matchLabels": manager["metadata"]["labels"]}},
            }),
        ))),
        Some(budget) if !wanted => changes.push(Change::delete(&BUDGETS, &budget)),
        _ => {}
    }
}

fn healthy(replica: &Value) -> bool {
    !text(&replica["spec"]["healthyAt"]).is_empty()
        && text(&replica["spec"]["failedAt"]).is_empty()
        && !deleting(replica)
}

/// Whether a node holds the last healthy replica of some volume.
fn holds_last(scene: &Scene<'_>, node: &str) -> bool {
    let all = scene.list(&LH_REPLICAS);
    all.iter()
        .filter(|replica| replica["spec"]["nodeID"] == node && healthy(replica))
        .any(|replica| {
            !all.iter().any(|other| {
                other["spec"]["volumeName"] == replica["spec"]["volumeName"]
                    && other["spec"]["nodeID"] != node
                    && healthy(other)
            })
        })
}

/// On which nodes the engine's binary is.
fn images(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    for image in scene.list(&LH_ENGINE_IMAGES) {
        let mut map: Map<String, Value> = node_names(scene)
            .into_iter()
            .map(|node| {
                let there = pod_on(scene, &node, "longhorn.io/component", "engine-image");
                let ready = there.is_some_and(|pod| pods::is_ready(&pod));
                (node, ready.into())
            })
            .collect();
        let complete = map.values().all(|there| there == true);
        for (node, _) in entries(&image["status"]["nodeDeploymentMap"]) {
            if !map.contains_key(node) {
                map.insert(node.clone(), Value::Null);
            }
        }
        let told = json!({
            "type": "ready", "status": if complete { "True" } else { "False" }, "reason": "", "lastProbeTime": "",
            "message": if complete { "" } else { "Engine image is not fully deployed on all nodes" },
        });
        let status = json!({
            "state": if complete { "deployed" } else { "deploying" }, "nodeDeploymentMap": map, "refCount": 1,
            "incompatible": false, "version": "v1.9.1", "cliAPIVersion": 11, "controllerAPIVersion": 5,
            "conditions": conditions(&image["status"]["conditions"], &[told]),
        });
        if would_change(&image["status"], &status) {
            changes.push(Change::status(&LH_ENGINE_IMAGES, &image, status));
        }
        debug_assert_eq!(
            namespace(&image),
            NAMESPACE,
            "engine images live in Longhorn's namespace"
        );
    }
}
