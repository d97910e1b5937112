//! Volumes and their engines: attached where they are used, and as healthy as their replicas.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::world::{
    kinds::{CLAIMS, LH_ENGINES, LH_REPLICAS, LH_VOLUMES, PODS, VOLUMES},
    make::{
        conditions, deleting, entries, items, name, namespace, object, owned_by, text, would_change,
    },
    scene::{Change, Scene},
};

use super::{NAMESPACE, instance_manager_ready, instances, replicas};

pub(crate) fn keep(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let all = scene.list(&LH_REPLICAS);
    let volumes = scene.list(&LH_VOLUMES);
    for volume in &volumes {
        if deleting(volume) {
            continue;
        }
        let own: Vec<Arc<Value>> = all
            .iter()
            .filter(|it| it["spec"]["volumeName"] == name(volume) && !deleting(it))
            .cloned()
            .collect();
        let struck = oldest(&volumes).is_some_and(|first| name(first) == name(volume));
        replicas::keep(scene, volume, &own, struck, changes);
        engine(scene, volume, &own, changes);
        report(scene, volume, &own, changes);
    }
}

/// The volume that faults strike. Names are no order: one that is made later would be struck instead.
pub(crate) fn oldest(volumes: &[Arc<Value>]) -> Option<&Arc<Value>> {
    volumes
        .iter()
        .min_by_key(|it| (text(&it["metadata"]["creationTimestamp"]), name(it)))
}

fn engine_name(volume: &Value) -> String {
    format!("{}-e-0", name(volume))
}

fn engine(scene: &Scene<'_>, volume: &Value, own: &[Arc<Value>], changes: &mut Vec<Change>) {
    let node = text(&volume["spec"]["nodeID"]);
    let Some(engine) = scene.get(&LH_ENGINES, NAMESPACE, &engine_name(volume)) else {
        changes.push(Change::Create(object(
            "longhorn.io/v1beta2",
            "Engine",
            NAMESPACE,
            &engine_name(volume),
            json!({
                "metadata": {"labels": {"longhornvolume": name(volume)}, "ownerReferences": owned_by(volume)},
                "spec": {
                    "volumeName": name(volume), "volumeSize": volume["spec"]["size"], "nodeID": node,
                    "desireState": "stopped", "dataEngine": "v1", "image": "docker.io/longhornio/longhorn-engine:v1.9.1",
                },
            }),
        )));
        return;
    };
    let up = !node.is_empty() && instance_manager_ready(scene, node);
    if engine["spec"]["nodeID"] != node {
        let desire = if node.is_empty() {
            "stopped"
        } else {
            "running"
        };
        changes.push(Change::spec(
            &LH_ENGINES,
            &engine,
            json!({"spec": {"nodeID": node, "desireState": desire}}),
        ));
    }
    let mut modes: Map<String, Value> = Map::new();
    if up {
        for replica in own {
            let spec = &replica["spec"];
            if text(&spec["failedAt"]).is_empty() {
                let mode = if text(&spec["healthyAt"]).is_empty() {
                    "WO"
                } else {
                    "RW"
                };
                modes.insert(name(replica).to_owned(), mode.into());
            }
        }
    }
    for (replica, _) in entries(&engine["status"]["replicaModeMap"]) {
        if !modes.contains_key(replica) {
            modes.insert(replica.clone(), Value::Null);
        }
    }
    let manager = if up {
        instances::name_for(node)
    } else {
        String::new()
    };
    let status = json!({
        "currentState": if up { "running" } else { "stopped" }, "instanceManagerName": manager,
        "replicaModeMap": modes,
    });
    if would_change(&engine["status"], &status) {
        changes.push(Change::status(&LH_ENGINES, &engine, status));
    }
}

fn report(scene: &Scene<'_>, volume: &Value, own: &[Arc<Value>], changes: &mut Vec<Change>) {
    let node = text(&volume["spec"]["nodeID"]);
    let wanted = volume["spec"]["numberOfReplicas"].as_u64().unwrap_or(1);
    let healthy = own.iter().filter(|it| replicas::healthy(it)).count() as u64;
    let failed = own
        .iter()
        .filter(|it| !text(&it["spec"]["failedAt"]).is_empty())
        .count();
    let up = !node.is_empty() && instance_manager_ready(scene, node);
    // Nothing was ever written to a volume that nobody has attached: its replicas count as they are.
    let faulted = !own.is_empty() && failed == own.len();
    let (state, robustness) = if faulted {
        (if up { "attached" } else { "detached" }, "faulted")
    } else if !up {
        ("detached", "unknown")
    } else if healthy == 0 {
        ("attaching", "unknown")
    } else if healthy < wanted {
        ("attached", "degraded")
    } else {
        ("attached", "healthy")
    };
    let scheduled = own.len() as u64 >= wanted;
    let told = json!({
        "type": "Scheduled", "status": if scheduled { "True" } else { "False" },
        "reason": if scheduled { "" } else { "ReplicaSchedulingFailure" }, "lastProbeTime": "",
        "message": if scheduled { "" } else { "insufficient storage; no usable node for the replica" },
    });
    let size: u64 = text(&volume["spec"]["size"]).parse().unwrap_or(0);
    let status = json!({
        "state": state, "robustness": robustness, "currentNodeID": if up { node } else { "" }, "ownerID": node,
        "actualSize": size / 3, "isStandby": false, "restoreRequired": false, "frontendDisabled": false,
        "conditions": conditions(&volume["status"]["conditions"], &[told]),
        "kubernetesStatus": kubernetes(scene, volume),
    });
    if would_change(&volume["status"], &status) {
        changes.push(Change::status(&LH_VOLUMES, volume, status));
    }
}

/// Which claim and which pods use the volume.
fn kubernetes(scene: &Scene<'_>, volume: &Value) -> Value {
    let Some(held) = scene.get(&VOLUMES, "", name(volume)) else {
        return json!({"pvName": "", "pvStatus": ""});
    };
    let claim = &held["spec"]["claimRef"];
    let (space, claim_name) = (text(&claim["namespace"]), text(&claim["name"]));
    let claim_bound = scene.get(&CLAIMS, space, claim_name).is_some();
    let users: Vec<Value> = scene
        .list(&PODS)
        .iter()
        .filter(|pod| {
            namespace(pod) == space
                && items(&pod["spec"]["volumes"])
                    .iter()
                    .any(|it| it["persistentVolumeClaim"]["claimName"] == claim_name)
        })
        .map(|pod| {
            let owner = &pod["metadata"]["ownerReferences"][0];
            json!({
                "podName": name(pod), "podStatus": pod["status"]["phase"], "workloadName": text(&owner["name"]),
                "workloadType": text(&owner["kind"]),
            })
        })
        .collect();
    json!({
        "pvName": name(volume), "pvStatus": "Bound", "namespace": space,
        "pvcName": if claim_bound { claim_name } else { "" }, "workloadsStatus": users,
    })
}
