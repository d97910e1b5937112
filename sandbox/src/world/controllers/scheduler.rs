//! The scheduler: pods without a node get one, or are told why not.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::world::{
    kinds::{CLAIMS, NODES, PODS, STORAGE_CLASSES},
    make::{conditions, deleting, items, name, namespace, text, would_change},
    pods,
    scene::{Change, Scene},
};

pub(crate) fn schedule(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    if scene.fault("scheduler-stuck") {
        return;
    }
    let all = scene.list(&PODS);
    let nodes: Vec<Arc<Value>> = scene
        .list(&NODES)
        .into_iter()
        .filter(|node| !deleting(node))
        .collect();
    let mut load: BTreeMap<String, usize> = BTreeMap::new();
    for pod in &all {
        *load
            .entry(text(&pod["spec"]["nodeName"]).to_owned())
            .or_default() += 1;
    }
    for pod in &all {
        if pod["spec"]["nodeName"].is_string() || deleting(pod) || pods::is_finished(pod) {
            continue;
        }
        let fits: Vec<&Arc<Value>> = nodes
            .iter()
            .filter(|node| {
                pods::fits_node(&pod["spec"], node) && pods::tolerates_node(&pod["spec"], node)
            })
            .collect();
        let chosen = fits
            .iter()
            .min_by_key(|node| load.get(name(node)).copied().unwrap_or(0));
        match chosen {
            Some(node) if claims_allow(scene, pod) => {
                *load.entry(name(node).to_owned()).or_default() += 1;
                changes.push(Change::Bind {
                    namespace: namespace(pod).to_owned(),
                    name: name(pod).to_owned(),
                    node: name(node).to_owned(),
                });
            }
            Some(_) => refuse(
                pod,
                "pod has unbound immediate PersistentVolumeClaims",
                changes,
            ),
            None => {
                let tainted = nodes
                    .iter()
                    .filter(|node| !pods::tolerates_node(&pod["spec"], node))
                    .count();
                let other = nodes.len() - tainted;
                refuse(
                    pod,
                    &format!(
                        "0/{} nodes are available: {tainted} node(s) had untolerated taint(s), {other} node(s) didn't \
                         match Pod's node affinity/selector.",
                        nodes.len()
                    ),
                    changes,
                );
            }
        }
    }
}

/// Claims of a class that binds at once must be bound before the pod is placed.
fn claims_allow(scene: &Scene<'_>, pod: &Value) -> bool {
    items(&pod["spec"]["volumes"]).iter().all(|volume| {
        let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() else {
            return true;
        };
        let Some(claim) = scene.get(&CLAIMS, namespace(pod), claim) else {
            return false;
        };
        claim["status"]["phase"] == "Bound"
            || scene
                .get(
                    &STORAGE_CLASSES,
                    "",
                    text(&claim["spec"]["storageClassName"]),
                )
                .is_some_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer")
    })
}

fn refuse(pod: &Value, why: &str, changes: &mut Vec<Change>) {
    let told = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why});
    let status = json!({"phase": "Pending", "conditions": conditions(&pod["status"]["conditions"], &[told])});
    if would_change(&pod["status"], &status) {
        changes.push(Change::status(&PODS, pod, status));
    }
}
