//! Longhorn's Nodes: made when a manager starts, deleted when the Kubernetes node is gone, and what they say.

use serde_json::{Value, json};

use crate::world::{
    kinds::{LH_NODES, LH_SETTINGS, NODES},
    make::{
        condition, conditions, deleting, entries, name, namespace, object, text, uid_of,
        would_change,
    },
    pods,
    scene::{Change, Scene},
};

use super::{NAMESPACE, disks, manager_ready, pod_on};

pub(crate) fn keep(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    for node in scene.list(&NODES) {
        let known = scene.get(&LH_NODES, NAMESPACE, name(&node)).is_some();
        if !known && !deleting(&node) && manager_ready(scene, name(&node)) {
            changes.push(Change::Create(first(scene, &node)));
        }
    }
    for node in scene.list(&LH_NODES) {
        // Longhorn looks at its own namespace only.
        if namespace(&node) != NAMESPACE {
            continue;
        }
        match scene.get(&NODES, "", name(&node)) {
            Some(machine) => report(scene, &node, &machine, changes),
            None if scene.fault("longhorn-node-kept") => {}
            None => {
                let key = format!("gone/{}", uid_of(&node));
                if scene.timers.waited(&key, scene.pace.storage_step) && !deleting(&node) {
                    scene.timers.forget(&key);
                    changes.push(Change::delete(&LH_NODES, &node));
                }
            }
        }
    }
}

/// The Node that a manager makes at its first start. With `create-default-disk-labeled-nodes` it has disks only where
/// the Kubernetes node's label asks for them.
fn first(scene: &Scene<'_>, machine: &Value) -> Value {
    let labelled = scene
        .get(&LH_SETTINGS, NAMESPACE, "create-default-disk-labeled-nodes")
        .is_some_and(|setting| setting["value"] == "true");
    let label = text(&machine["metadata"]["labels"]["node.longhorn.io/create-default-disk"]);
    let disks = if !labelled || label == "true" {
        json!({"default-disk": {
            "diskType": "filesystem", "path": "/var/lib/longhorn", "allowScheduling": true,
            "evictionRequested": false, "storageReserved": 10_737_418_240_u64, "tags": [],
        }})
    } else {
        json!({})
    };
    object(
        "longhorn.io/v1beta2",
        "Node",
        NAMESPACE,
        name(machine),
        json!({"spec": {
            "name": name(machine), "allowScheduling": true, "evictionRequested": false, "tags": [],
            "instanceManagerCPURequest": 0, "disks": disks,
        }}),
    )
}

fn told(kind: &str, trouble: Option<(&str, String)>) -> Value {
    let (status, reason, message) = match trouble {
        None => ("True", "", String::new()),
        Some((reason, message)) => ("False", reason, message),
    };
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastProbeTime": ""})
}

fn report(scene: &Scene<'_>, node: &Value, machine: &Value, changes: &mut Vec<Change>) {
    let new = name(node) == scene.cast.node;
    let manager = manager_ready(scene, name(node));
    let ready = not_ready(scene, node, machine);
    let mut list = vec![
        told("Ready", ready.clone()),
        told("Schedulable", not_schedulable(machine)),
    ];
    // The environment is looked at by the manager on the node itself.
    if manager {
        let packages = (new && scene.fault("longhorn-packages-missing")).then(|| {
            (
                "PackagesNotInstalled",
                format!("Missing packages: [open-iscsi] on node {}", name(node)),
            )
        });
        let multipathd = (new && scene.fault("longhorn-multipathd-running")).then(|| {
            (
                "MultipathdIsRunning",
                "multipathd is running with a known issue that affects Longhorn".to_owned(),
            )
        });
        list.extend([
            told("MountPropagation", None),
            told("Multipathd", multipathd),
            told("RequiredPackages", packages),
            told("NFSClientInstalled", None),
            told("KernelModulesLoaded", None),
        ]);
    }
    let mut status = json!({
        "conditions": conditions(&node["status"]["conditions"], &list),
        "region": "", "zone": "", "autoEvicting": false, "snapshotCheckStatus": {},
    });
    if manager {
        fill_types(node, changes);
        status["diskStatus"] = disks::status(scene, node);
    }
    if would_change(&node["status"], &status) {
        changes.push(Change::status(&LH_NODES, node, status));
    }
}

fn not_ready(scene: &Scene<'_>, node: &Value, machine: &Value) -> Option<(&'static str, String)> {
    let who = name(node);
    if condition(machine, "Ready") != "True" {
        return Some((
            "KubernetesNodeNotReady",
            format!(
                "Kubernetes node {who} not ready: {}",
                condition(machine, "Ready")
            ),
        ));
    }
    for kind in ["DiskPressure", "MemoryPressure", "PIDPressure"] {
        if condition(machine, kind) == "True" {
            return Some((
                "KubernetesNodePressure",
                format!("Kubernetes node {who} has pressure: {kind}"),
            ));
        }
    }
    match pod_on(scene, who, "app", "longhorn-manager") {
        None => Some((
            "ManagerPodMissing",
            format!("manager pod missing: node {who} has no manager pod running on it"),
        )),
        Some(pod) if !pods::is_ready(&pod) => Some((
            "ManagerPodDown",
            format!("Manager pod {} is not running", name(&pod)),
        )),
        Some(_) => None,
    }
}

fn not_schedulable(machine: &Value) -> Option<(&'static str, String)> {
    (machine["spec"]["unschedulable"] == true).then(|| {
        (
            "KubernetesNodeCordoned",
            format!("Node {} is cordoned", name(machine)),
        )
    })
}

/// What Longhorn's mutating webhook fills in.
fn fill_types(node: &Value, changes: &mut Vec<Change>) {
    for (disk, spec) in entries(&node["spec"]["disks"]) {
        if text(&spec["diskType"]).is_empty() {
            let patch = json!({"spec": {"disks": {disk: {"diskType": "filesystem"}}}});
            changes.push(Change::spec(&LH_NODES, node, patch));
        }
    }
}
