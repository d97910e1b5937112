//! Replicas: placed on nodes that can hold them, rebuilt, spread, moved away, trimmed.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::world::{
    kinds::{LH_NODES, LH_REPLICAS, LH_SETTINGS, NODES},
    make::{condition, name, now, object, owned_by, suffix, text, uid_of, would_change},
    scene::{Change, Scene},
};

use super::{NAMESPACE, instance_manager_ready, instances, node_names, usable_disk};

/// Whether a replica holds all data and nothing is wrong with it.
pub(crate) fn healthy(replica: &Value) -> bool {
    !text(&replica["spec"]["healthyAt"]).is_empty() && text(&replica["spec"]["failedAt"]).is_empty()
}

/// Keeps the replicas of one volume. `struck` is set for the volume that faults strike.
pub(crate) fn keep(
    scene: &Scene<'_>,
    volume: &Value,
    own: &[Arc<Value>],
    struck: bool,
    changes: &mut Vec<Change>,
) {
    for (index, replica) in own.iter().enumerate() {
        live(
            scene,
            volume,
            replica,
            struck && strikes(scene, index),
            changes,
        );
    }
    let mut nodes: BTreeMap<String, usize> = BTreeMap::new();
    for replica in own {
        *nodes
            .entry(text(&replica["spec"]["nodeID"]).to_owned())
            .or_default() += 1;
    }
    let wanted =
        usize::try_from(volume["spec"]["numberOfReplicas"].as_u64().unwrap_or(1)).unwrap_or(1);
    let leaving: Vec<&Arc<Value>> = own
        .iter()
        .filter(|replica| leaves(scene, replica))
        .collect();
    let lost: Vec<&Arc<Value>> = own
        .iter()
        .filter(|it| scene.get(&NODES, "", text(&it["spec"]["nodeID"])).is_none())
        .collect();
    let staying = own.len() - leaving.len() - lost.iter().filter(|it| !leaves(scene, it)).count();
    let candidates: Vec<(String, String)> = node_names(scene)
        .into_iter()
        .filter_map(|node| usable_disk(scene, &node).map(|disk| (node, disk)))
        .collect();
    if staying < wanted {
        let soft = setting(scene, "replica-soft-anti-affinity") == "true";
        let place = candidates
            .iter()
            .filter(|(node, _)| soft || !nodes.contains_key(node))
            .min_by_key(|(node, _)| nodes.get(node).copied().unwrap_or(0));
        if let Some((node, disk)) = place {
            changes.push(Change::Create(fresh(volume, node, disk)));
        }
        return;
    }
    let rebuilding = own.iter().any(|replica| !healthy(replica));
    let idle = text(&volume["spec"]["nodeID"]).is_empty();
    // A copy goes only once another whole one is there: what leaves is what the new one is built from.
    if !leaving.is_empty() && own.iter().any(|it| !healthy(it) && !leaves(scene, it)) {
        return;
    }
    if rebuilding && !idle && lost.is_empty() {
        return;
    }
    if own.len() > wanted {
        if let Some(extra) = lost
            .first()
            .or(leaving.first())
            .copied()
            .or_else(|| own.iter().find(|it| struck && is_elsewhere(scene, it)))
            .or_else(|| doubled(own, &nodes))
        {
            changes.push(Change::delete(&LH_REPLICAS, extra));
        }
        return;
    }
    // Two replicas on one node, and another node could take one: balanced, as the setting asks.
    let crowded = nodes.values().any(|count| *count > 1);
    let roomy = candidates
        .iter()
        .find(|(node, _)| !nodes.contains_key(node));
    if let Some((node, disk)) = roomy
        && crowded
        && !idle
        && setting(scene, "replica-auto-balance") == "best-effort"
        && scene.timers.waited(
            &format!("balance/{}", uid_of(volume)),
            scene.pace.storage_step,
        )
    {
        scene.timers.forget(&format!("balance/{}", uid_of(volume)));
        changes.push(Change::Create(fresh(volume, node, disk)));
    }
}

fn setting(scene: &Scene<'_>, key: &str) -> String {
    scene
        .get(&LH_SETTINGS, NAMESPACE, key)
        .map(|it| text(&it["value"]).to_owned())
        .unwrap_or_default()
}

/// The copy that goes where a volume is to have its only one on the new node.
fn is_elsewhere(scene: &Scene<'_>, replica: &Value) -> bool {
    scene.fault("longhorn-single-copy")
        && text(&replica["spec"]["nodeID"]) != scene.cast.node.as_str()
}

/// One of several on a node, or just one.
fn doubled<'a>(own: &'a [Arc<Value>], nodes: &BTreeMap<String, usize>) -> Option<&'a Arc<Value>> {
    own.iter()
        .max_by_key(|it| nodes.get(text(&it["spec"]["nodeID"])).copied().unwrap_or(0))
}

/// Whether somebody wants the replica away from where it is.
fn leaves(scene: &Scene<'_>, replica: &Value) -> bool {
    let node = text(&replica["spec"]["nodeID"]);
    if scene.fault("longhorn-eviction-stuck") {
        return false;
    }
    if replica["spec"]["evictionRequested"] == true {
        return true;
    }
    // A node that is not ready cannot be evacuated.
    scene.get(&LH_NODES, NAMESPACE, node).is_some_and(|there| {
        condition(&there, "Ready") == "True"
            && (there["spec"]["evictionRequested"] == true
                || there["spec"]["disks"].as_object().is_some_and(|disks| {
                    disks.values().any(|disk| disk["evictionRequested"] == true)
                }))
    })
}

fn strikes(scene: &Scene<'_>, index: usize) -> bool {
    scene.fault("longhorn-volume-faulted")
        || (scene.fault("longhorn-volume-degraded") && index == 0)
}

fn fresh(volume: &Value, node: &str, disk: &str) -> Value {
    let own = format!("{}-r-{}", name(volume), suffix(8));
    object(
        "longhorn.io/v1beta2",
        "Replica",
        NAMESPACE,
        &own,
        json!({
            "metadata": {
                "labels": {"longhornnode": node, "longhornvolume": name(volume), "longhorndiskuuid": disk},
                "ownerReferences": owned_by(volume),
            },
            "spec": {
                "volumeName": name(volume), "volumeSize": volume["spec"]["size"], "nodeID": node, "diskID": disk,
                "engineName": format!("{}-e-0", name(volume)), "active": true, "desireState": "running",
                "healthyAt": "", "failedAt": "", "lastHealthyAt": "", "lastFailedAt": "", "evictionRequested": false,
                "dataEngine": "v1", "image": "docker.io/longhornio/longhorn-engine:v1.9.1",
            },
        }),
    )
}

/// The life of one replica: built, then healthy, failed with its node or by a fault, well again.
fn live(
    scene: &Scene<'_>,
    volume: &Value,
    replica: &Value,
    struck: bool,
    changes: &mut Vec<Change>,
) {
    let node = text(&replica["spec"]["nodeID"]);
    let spec = &replica["spec"];
    let runs = instance_manager_ready(scene, node) && scene.get(&NODES, "", node).is_some();
    let failed = !text(&spec["failedAt"]).is_empty();
    let key = format!("rebuild/{}", uid_of(replica));
    let attached =
        volume["status"]["state"] == "attached" || volume["status"]["state"] == "attaching";
    // Longhorn attaches a volume by itself as long as a copy of it is to be moved.
    let in_use = !text(&volume["spec"]["nodeID"]).is_empty();
    let moved = scene
        .list(&LH_REPLICAS)
        .iter()
        .any(|it| it["spec"]["volumeName"] == name(volume) && leaves(scene, it));
    if struck || (!runs && in_use) {
        if !failed {
            changes.push(Change::spec(
                &LH_REPLICAS,
                replica,
                json!({"spec": {"failedAt": now(), "lastFailedAt": now()}}),
            ));
        }
    } else if failed && runs {
        changes.push(Change::spec(
            &LH_REPLICAS,
            replica,
            json!({"spec": {"failedAt": "", "healthyAt": ""}}),
        ));
    } else if text(&spec["healthyAt"]).is_empty()
        && !(node == scene.cast.node && scene.fault("longhorn-copies-stuck-on-node"))
        && runs
        && ((in_use && attached) || moved)
        && scene.timers.waited(&key, scene.pace.storage_step)
    {
        scene.timers.forget(&key);
        changes.push(Change::spec(
            &LH_REPLICAS,
            replica,
            json!({"spec": {"healthyAt": now(), "lastHealthyAt": now()}}),
        ));
    }
    let running = runs && in_use && !struck;
    let status = json!({
        "currentState": if running { "running" } else { "stopped" },
        "instanceManagerName": if running { instances::name_for(node) } else { String::new() },
    });
    if would_change(&replica["status"], &status) {
        changes.push(Change::status(&LH_REPLICAS, replica, status));
    }
}
