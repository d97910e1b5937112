//! The CSI driver: registered on nodes, volumes for claims, attachments for pods.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{
    kinds::{ATTACHMENTS, CLAIMS, CSI_NODES, LH_VOLUMES, PODS, STORAGE_CLASSES, VOLUMES},
    make::{deleting, items, name, namespace, object, stable_hex, text, uid_of},
    pods,
    scene::{Change, Scene},
};

use super::{DRIVER, NAMESPACE, instance_manager_ready, pod_on};

/// Tells the kubelet of each node whether the driver is there.
pub(crate) fn register(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    for node in scene.list(&CSI_NODES) {
        let drivers = items(&node["spec"]["drivers"]);
        let listed = drivers.iter().any(|driver| driver["name"] == DRIVER);
        let runs = pod_on(scene, name(&node), "app", "longhorn-csi-plugin")
            .is_some_and(|pod| pods::is_ready(&pod));
        if runs == listed {
            continue;
        }
        let mut rest: Vec<Value> = drivers
            .iter()
            .filter(|driver| driver["name"] != DRIVER)
            .cloned()
            .collect();
        if runs {
            rest.push(json!({"name": DRIVER, "nodeID": name(&node), "topologyKeys": null}));
        }
        changes.push(Change::spec(
            &CSI_NODES,
            &node,
            json!({"spec": {"drivers": rest}}),
        ));
    }
}

fn bytes(quantity: &str) -> u64 {
    let (number, unit) = quantity.split_at(
        quantity
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(quantity.len()),
    );
    let shift = match unit {
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        "Ti" => 40,
        _ => 0,
    };
    number.parse::<u64>().unwrap_or(0) << shift
}

/// Makes a volume for every claim of a Longhorn class that has none.
pub(crate) fn provision(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    // One that is about to end makes nothing more.
    let works =
        sidecar_ready(scene, "csi-provisioner") && !scene.fault("longhorn-provisioner-down");
    for claim in scene.list(&CLAIMS).into_iter().filter(|_| works) {
        if claim["spec"]["storageClassName"].is_null()
            && claim["spec"]["volumeName"].is_null()
            && !deleting(&claim)
        {
            default_class(scene, &claim, changes);
            continue;
        }
        let Some(class) = scene.get(
            &STORAGE_CLASSES,
            "",
            text(&claim["spec"]["storageClassName"]),
        ) else {
            continue;
        };
        if class["provisioner"] != DRIVER || claim["status"]["phase"] == "Bound" || deleting(&claim)
        {
            continue;
        }
        let volume = format!("pvc-{}", uid_of(&claim));
        let size = text(&claim["spec"]["resources"]["requests"]["storage"]);
        let replicas = text(&class["parameters"]["numberOfReplicas"])
            .parse()
            .unwrap_or(3);
        if scene.get(&LH_VOLUMES, NAMESPACE, &volume).is_none() {
            changes.push(Change::Create(longhorn_volume(
                &volume,
                bytes(size),
                replicas,
            )));
            // Longhorn's webhook may not be there yet: a claim is not served before there is a volume.
            continue;
        }
        if scene.get(&VOLUMES, "", &volume).is_none() {
            changes.push(Change::Create(persistent_volume(
                &volume, &claim, &class, size,
            )));
        }
        if !scene.cast.own_controllers() {
            // The controller of volumes binds claim and volume.
        } else if claim["spec"]["volumeName"].is_null() {
            let provisioner = json!({"volume.kubernetes.io/storage-provisioner": DRIVER, "pv.kubernetes.io/bind-completed": "yes"});
            let patch =
                json!({"metadata": {"annotations": provisioner}, "spec": {"volumeName": volume}});
            changes.push(Change::spec(&CLAIMS, &claim, patch));
        } else {
            let status = json!({
                "phase": "Bound", "accessModes": claim["spec"]["accessModes"], "capacity": {"storage": size},
            });
            changes.push(Change::status(&CLAIMS, &claim, status));
        }
    }
    for volume in scene.list(&VOLUMES) {
        if scene.cast.own_controllers()
            && volume["spec"]["csi"]["driver"] == DRIVER
            && volume["status"]["phase"] != "Bound"
        {
            changes.push(Change::status(&VOLUMES, &volume, json!({"phase": "Bound"})));
        }
    }
}

/// Whether one of the driver's Deployments runs.
fn sidecar_ready(scene: &Scene<'_>, app: &str) -> bool {
    scene.list(&PODS).iter().any(|pod| {
        namespace(pod) == NAMESPACE
            && pod["metadata"]["labels"]["app"] == app
            && pods::is_ready(pod)
    })
}

/// A claim that names no class gets the default one.
fn default_class(scene: &Scene<'_>, claim: &Value, changes: &mut Vec<Change>) {
    let default = scene.list(&STORAGE_CLASSES).into_iter().find(|class| {
        class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    });
    if let Some(class) = default {
        changes.push(Change::spec(
            &CLAIMS,
            claim,
            json!({"spec": {"storageClassName": name(&class)}}),
        ));
    }
}

fn longhorn_volume(volume: &str, size: u64, replicas: u64) -> Value {
    object(
        "longhorn.io/v1beta2",
        "Volume",
        NAMESPACE,
        volume,
        json!({
            "metadata": {"labels": {"longhornvolume": volume}},
            "spec": {
                "size": size.to_string(), "numberOfReplicas": replicas, "dataLocality": "disabled", "nodeID": "",
                "dataEngine": "v1", "frontend": "blockdev", "accessMode": "rwo", "replicaSoftAntiAffinity": "ignored",
                "replicaAutoBalance": "ignored", "staleReplicaTimeout": 30,
            },
        }),
    )
}

fn persistent_volume(volume: &str, claim: &Value, class: &Value, size: &str) -> Value {
    object(
        "v1",
        "PersistentVolume",
        "",
        volume,
        json!({
            "metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": DRIVER}},
            "spec": {
                "accessModes": claim["spec"]["accessModes"], "capacity": {"storage": size},
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": name(claim),
                    "namespace": namespace(claim), "uid": uid_of(claim),
                },
                "csi": {
                    "driver": DRIVER, "fsType": "ext4", "volumeHandle": volume,
                    "volumeAttributes": class["parameters"],
                },
                "persistentVolumeReclaimPolicy": class["reclaimPolicy"].as_str().unwrap_or("Delete"),
                "storageClassName": name(class), "volumeMode": "Filesystem",
            },
            "status": {"phase": "Bound"},
        }),
    )
}

/// Attaches the volumes of pods to the pods' nodes, and detaches those that nobody there uses any more.
pub(crate) fn attach(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let mut wanted: BTreeSet<(String, String)> = BTreeSet::new();
    for pod in scene.list(&PODS) {
        let node = text(&pod["spec"]["nodeName"]);
        if node.is_empty() || pods::is_finished(&pod) {
            continue;
        }
        for volume in items(&pod["spec"]["volumes"]) {
            let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() else {
                continue;
            };
            let Some(claim) = scene.get(&CLAIMS, namespace(&pod), claim) else {
                continue;
            };
            let bound = text(&claim["spec"]["volumeName"]);
            let ours = scene
                .get(&VOLUMES, "", bound)
                .is_some_and(|it| it["spec"]["csi"]["driver"] == DRIVER);
            if ours {
                wanted.insert((bound.to_owned(), node.to_owned()));
            }
        }
    }
    let there = scene.list(&ATTACHMENTS);
    // Attachments are asked for by the controller of volumes where it is there.
    let ask = scene.cast.own_controllers();
    for (volume, node) in wanted.iter().filter(|_| ask) {
        let attachment = format!("csi-{}", stable_hex(&format!("{volume}{DRIVER}{node}"), 64));
        let elsewhere = there.iter().any(|it| {
            it["spec"]["source"]["persistentVolumeName"] == volume.as_str()
                && it["spec"]["nodeName"] != node.as_str()
        });
        if !elsewhere && !there.iter().any(|it| name(it) == attachment) {
            changes.push(Change::Create(object(
                "storage.k8s.io/v1",
                "VolumeAttachment",
                "",
                &attachment,
                json!({
                    "metadata": {"annotations": {"csi.alpha.kubernetes.io/node-id": node}},
                    "spec": {"attacher": DRIVER, "nodeName": node, "source": {"persistentVolumeName": volume}},
                    "status": {"attached": false},
                }),
            )));
        }
    }
    for attachment in &there {
        if attachment["spec"]["attacher"] == DRIVER {
            settle(scene, attachment, &wanted, changes);
        }
    }
}

fn settle(
    scene: &Scene<'_>,
    attachment: &Value,
    wanted: &BTreeSet<(String, String)>,
    changes: &mut Vec<Change>,
) {
    let volume = text(&attachment["spec"]["source"]["persistentVolumeName"]);
    let node = text(&attachment["spec"]["nodeName"]);
    let own = scene.cast.own_controllers();
    let Some(held) = scene.get(&LH_VOLUMES, NAMESPACE, volume) else {
        if own {
            changes.push(Change::delete(&ATTACHMENTS, attachment));
        }
        return;
    };
    if !wanted.contains(&(volume.to_owned(), node.to_owned())) {
        if held["spec"]["nodeID"] == node {
            changes.push(Change::spec(
                &LH_VOLUMES,
                &held,
                json!({"spec": {"nodeID": ""}}),
            ));
        }
        if own && !deleting(attachment) {
            changes.push(Change::delete(&ATTACHMENTS, attachment));
        }
        return;
    }
    let plugin = !(node == scene.cast.node && scene.fault("longhorn-attach-fails-on-node"))
        && pod_on(scene, node, "app", "longhorn-csi-plugin")
            .is_some_and(|pod| pods::is_ready(&pod));
    if text(&held["spec"]["nodeID"]).is_empty() && plugin && instance_manager_ready(scene, node) {
        changes.push(Change::spec(
            &LH_VOLUMES,
            &held,
            json!({"spec": {"nodeID": node}}),
        ));
    }
    let attached = held["status"]["state"] == "attached" && held["status"]["currentNodeID"] == node;
    if attached && sidecar_ready(scene, "csi-attacher") && attachment["status"]["attached"] != true
    {
        changes.push(Change::status(
            &ATTACHMENTS,
            attachment,
            json!({"attached": true}),
        ));
    }
}

/// Deletes the volumes of claims that are gone, where the class says so.
pub(crate) fn reclaim(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    for volume in scene.list(&VOLUMES) {
        let claim = &volume["spec"]["claimRef"];
        let gone = scene
            .get(&CLAIMS, text(&claim["namespace"]), text(&claim["name"]))
            .is_none_or(|there| uid_of(&there) != text(&claim["uid"]));
        if volume["spec"]["csi"]["driver"] != DRIVER
            || !gone
            || volume["spec"]["persistentVolumeReclaimPolicy"] != "Delete"
            || !scene.timers.waited(
                &format!("reclaim/{}", uid_of(&volume)),
                scene.pace.storage_step,
            )
        {
            continue;
        }
        if let Some(held) = scene.get(&LH_VOLUMES, NAMESPACE, name(&volume)) {
            changes.push(Change::delete(&LH_VOLUMES, &held));
        }
        changes.push(Change::delete(&VOLUMES, &volume));
    }
}
