//! Longhorn 1.9: nodes and their disks, instance managers, volumes and their replicas, the CSI driver.

mod csi;
mod disks;
mod instances;
mod nodes;
mod replicas;
mod volumes;

pub(crate) use volumes::oldest as oldest_volume;

use std::sync::Arc;

use serde_json::Value;

use super::{
    kinds::{LH_ENGINE_IMAGES, LH_NODES, PODS},
    make::{condition, deleting, entries, items, name, namespace, text},
    pods,
    scene::{Actor, Change, Scene},
};

/// Where Longhorn lives.
pub(crate) const NAMESPACE: &str = "longhorn-system";
/// The name of its CSI driver.
pub(crate) const DRIVER: &str = "driver.longhorn.io";

/// Longhorn, as one actor.
#[derive(Debug, Default)]
pub(crate) struct Longhorn;

impl Actor for Longhorn {
    fn step(&mut self, scene: &Scene<'_>) -> Vec<Change> {
        let mut changes = Vec::new();
        nodes::keep(scene, &mut changes);
        instances::keep(scene, &mut changes);
        csi::register(scene, &mut changes);
        csi::provision(scene, &mut changes);
        csi::attach(scene, &mut changes);
        csi::reclaim(scene, &mut changes);
        volumes::keep(scene, &mut changes);
        changes
    }
}

/// A pod of Longhorn's own on a node, by a label.
fn pod_on(scene: &Scene<'_>, node: &str, key: &str, value: &str) -> Option<Arc<Value>> {
    scene.list(&PODS).into_iter().find(|pod| {
        namespace(pod) == NAMESPACE
            && pod["metadata"]["labels"][key] == value
            && pod["spec"]["nodeName"] == node
    })
}

fn manager_ready(scene: &Scene<'_>, node: &str) -> bool {
    pod_on(scene, node, "app", "longhorn-manager").is_some_and(|pod| pods::is_ready(&pod))
}

fn instance_manager_ready(scene: &Scene<'_>, node: &str) -> bool {
    pod_on(scene, node, "longhorn.io/component", "instance-manager")
        .is_some_and(|pod| pods::is_ready(&pod))
}

/// The disk of a node on which a new replica may be placed, if the node can take one at all.
fn usable_disk(scene: &Scene<'_>, node: &str) -> Option<String> {
    let there = scene.get(&LH_NODES, NAMESPACE, node)?;
    let spec = &there["spec"];
    let image = scene
        .list(&LH_ENGINE_IMAGES)
        .iter()
        .any(|image| image["status"]["nodeDeploymentMap"][node] == true);
    let fine = condition(&there, "Ready") == "True"
        && condition(&there, "Schedulable") == "True"
        && spec["allowScheduling"] == true
        && spec["evictionRequested"] != true
        && image
        && !deleting(&there)
        && instance_manager_ready(scene, node);
    if !fine {
        return None;
    }
    entries(&spec["disks"]).find_map(|(disk, wish)| {
        let status = &there["status"]["diskStatus"][disk];
        let holds = |kind: &str| {
            items(&status["conditions"])
                .iter()
                .any(|it| it["type"] == kind && it["status"] == "True")
        };
        (wish["allowScheduling"] == true
            && wish["evictionRequested"] != true
            && holds("Ready")
            && holds("Schedulable"))
        .then(|| text(&status["diskUUID"]).to_owned())
    })
}

/// The names of all Longhorn nodes.
fn node_names(scene: &Scene<'_>) -> Vec<String> {
    scene
        .list(&LH_NODES)
        .iter()
        .filter(|node| namespace(node) == NAMESPACE)
        .map(|node| name(node).to_owned())
        .collect()
}
