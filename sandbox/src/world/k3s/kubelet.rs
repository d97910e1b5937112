//! The kubelet of one node: pods that are bound to it start, run, crash, finish and stop.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use crate::world::{
    kinds::{ATTACHMENTS, CLAIMS, NODES, PODS, VOLUMES},
    longhorn,
    make::{
        age, condition, controller_uid, deleting, items, name, namespace, text, uid_of,
        would_change,
    },
    pods,
    scene::{Change, Scene},
};

use super::{machine, probe};

/// Looks after every pod that is bound to the node.
pub(crate) fn pods(scene: &Scene<'_>, node_name: &str, changes: &mut Vec<Change>) {
    let Some(node) = scene.get(&NODES, "", node_name) else {
        return;
    };
    if node_name == scene.cast.node && scene.fault("node-unreachable") {
        return;
    }
    let all = scene.list(&PODS);
    let here: Vec<&Arc<Value>> = all
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == node_name)
        .collect();
    let mut taken: BTreeSet<String> = here
        .iter()
        .filter(|pod| pod["spec"]["hostNetwork"] != true && !pods::is_finished(pod))
        .map(|pod| text(&pod["status"]["podIP"]).to_owned())
        .collect();
    for pod in here {
        let uid = uid_of(pod);
        if deleting(pod) {
            if node_name == scene.cast.node && scene.fault("containers-never-end-on-node") {
                continue;
            }
            if scene
                .timers
                .waited(&format!("stop/{uid}"), scene.pace.pod_stop)
            {
                scene.timers.forget(&format!("stop/{uid}"));
                changes.push(Change::end(pod));
            }
        } else if pods::is_finished(pod) {
            continue;
        } else if is_overdue(pod) {
            changes.push(Change::status(&PODS, pod, pods::overdue(pod)));
        } else if text(&pod["status"]["phase"]) == "Running" {
            watch_over(scene, &node, pod, changes);
        } else if can_start(scene, &node, pod, changes) {
            start(scene, &node, pod, &mut taken, changes);
        }
    }
}

/// Whether a pod has lived longer than it asked for.
fn is_overdue(pod: &Value) -> bool {
    pod["spec"]["activeDeadlineSeconds"]
        .as_f64()
        .is_some_and(|limit| {
            age(text(&pod["metadata"]["creationTimestamp"])).is_some_and(|age| age > limit)
        })
}

/// Whether network, volumes and images of a pod are there. Says ContainerCreating, or why not, meanwhile.
fn can_start(scene: &Scene<'_>, node: &Value, pod: &Value, changes: &mut Vec<Change>) -> bool {
    let host = pod["spec"]["hostNetwork"] == true;
    let network = host || (machine::state(node) >= 6 && !no_network(scene, node));
    let there = network && volumes_ready(scene, node, pod);
    let image = text(&pod["spec"]["containers"][0]["image"]);
    let pulled = is_pulled(scene, node, pod, image);
    if there && pulled {
        return true;
    }
    let waiting = if there {
        json!({
            "reason": "ImagePullBackOff",
            "message": format!("Back-off pulling image \"{image}\": ErrImagePull: failed to pull and unpack image \
                                \"{image}\": dial tcp: i/o timeout"),
        })
    } else if items(&pod["spec"]["initContainers"]).is_empty() {
        json!({"reason": "ContainerCreating", "message": null})
    } else {
        json!({"reason": "PodInitializing", "message": null})
    };
    let waiting = |container: &Value| {
        json!({
            "name": container["name"], "image": container["image"], "imageID": "", "ready": false,
            "started": false, "restartCount": 0, "lastState": {}, "state": {"waiting": waiting},
        })
    };
    let mut status = json!({"phase": "Pending"});
    for (kind, told) in [
        ("initContainers", "initContainerStatuses"),
        ("containers", "containerStatuses"),
    ] {
        let all: Vec<Value> = items(&pod["spec"][kind]).iter().map(waiting).collect();
        if !all.is_empty() {
            status[told] = all.into();
        }
    }
    if would_change(&pod["status"], &status) {
        changes.push(Change::status(&PODS, pod, status));
    }
    false
}

/// Whether the node has the image, or can fetch it. What a controller made is taken to be there.
fn is_pulled(scene: &Scene<'_>, node: &Value, pod: &Value, image: &str) -> bool {
    let here = name(node) == scene.cast.node && scene.fault("image-pull-fails-on-node");
    let has = || {
        items(&node["status"]["images"])
            .iter()
            .any(|it| items(&it["names"]).iter().any(|name| name == image))
    };
    !here || !controller_uid(pod).is_empty() || has()
}

fn no_network(scene: &Scene<'_>, node: &Value) -> bool {
    name(node) == scene.cast.node
        && scene.fault("node-not-ready")
        && condition(node, "Ready") != "True"
}

/// Whether every claim of the pod is bound, and attached to the node where its driver attaches.
fn volumes_ready(scene: &Scene<'_>, node: &Value, pod: &Value) -> bool {
    let attachments = scene.list(&ATTACHMENTS);
    items(&pod["spec"]["volumes"]).iter().all(|volume| {
        let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() else {
            return true;
        };
        let Some(claim) = scene.get(&CLAIMS, namespace(pod), claim) else {
            return false;
        };
        if claim["status"]["phase"] != "Bound" {
            return false;
        }
        let volume = scene.get(&VOLUMES, "", text(&claim["spec"]["volumeName"]));
        volume.is_none_or(|volume| volume["spec"]["csi"]["driver"] != longhorn::DRIVER)
            || attachments.iter().any(|attachment| {
                attachment["spec"]["nodeName"] == name(node)
                    && attachment["spec"]["source"]["persistentVolumeName"]
                        == claim["spec"]["volumeName"]
                    && attachment["status"]["attached"] == true
            })
    })
}

fn start(
    scene: &Scene<'_>,
    node: &Value,
    pod: &Value,
    taken: &mut BTreeSet<String>,
    changes: &mut Vec<Change>,
) {
    let key = format!("start/{}", uid_of(pod));
    if !scene.timers.waited(&key, scene.pace.pod_start) {
        return;
    }
    scene.timers.forget(&key);
    let host_ip = scene
        .cast
        .address(name(node))
        .map(|ip| ip.to_string())
        .unwrap_or_default();
    let pod_ip = if pod["spec"]["hostNetwork"] == true {
        host_ip.clone()
    } else {
        let Some(ip) = free_address(text(&node["spec"]["podCIDR"]), taken) else {
            return;
        };
        taken.insert(ip.clone());
        ip
    };
    let status = match crash(scene, node, pod) {
        Some(why) => pods::crashing(pod, &host_ip, &pod_ip, why),
        None => pods::running(pod, &host_ip, &pod_ip, 0),
    };
    changes.push(Change::status(&PODS, pod, status));
}

fn free_address(range: &str, taken: &BTreeSet<String>) -> Option<String> {
    let prefix = range.strip_suffix(".0/24")?;
    (2..=254)
        .map(|last| format!("{prefix}.{last}"))
        .find(|ip| !taken.contains(ip))
}

/// A running pod: it may begin or stop crashing, or be done.
fn watch_over(scene: &Scene<'_>, node: &Value, pod: &Value, changes: &mut Vec<Change>) {
    // Longhorn restarts its instance managers itself; they are no jobs.
    if text(&pod["spec"]["restartPolicy"]) != "Always" && controller_uid(pod).is_empty() {
        if let Some(status) = probe::finished(scene, name(node), pod) {
            changes.push(Change::status(&PODS, pod, status));
        }
        return;
    }
    let (host_ip, pod_ip) = (
        text(&pod["status"]["hostIP"]),
        text(&pod["status"]["podIP"]),
    );
    let well = condition(pod, "Ready") == "True";
    match crash(scene, node, pod) {
        Some(why) if well => changes.push(Change::status(
            &PODS,
            pod,
            pods::crashing(pod, host_ip, pod_ip, why),
        )),
        None if !well => {
            let restarts = pod["status"]["containerStatuses"][0]["restartCount"]
                .as_i64()
                .unwrap_or(0)
                + 1;
            changes.push(Change::status(
                &PODS,
                pod,
                pods::running(pod, host_ip, pod_ip, restarts),
            ));
        }
        _ => {}
    }
}

/// Why this pod cannot stay up, if it cannot.
fn crash(scene: &Scene<'_>, node: &Value, pod: &Value) -> Option<&'static str> {
    const CRASHES: &[(&str, &str, &str, bool, &str)] = &[
        (
            "daemonset-pod-crashing",
            "app",
            "log-agent",
            true,
            "cannot open /var/log: permission denied",
        ),
        (
            "longhorn-manager-crashing-on-node",
            "app",
            "longhorn-manager",
            true,
            "failed to check environment: iscsiadm: not found",
        ),
        (
            "longhorn-csi-missing-on-node",
            "app",
            "longhorn-csi-plugin",
            true,
            "failed to create CSI socket: read-only file system",
        ),
        (
            "longhorn-instance-manager-down",
            "longhorn.io/component",
            "instance-manager",
            true,
            "address already in use",
        ),
        (
            "coredns-down",
            "k8s-app",
            "kube-dns",
            false,
            "plugin/forward: no nameservers found",
        ),
        (
            "flux-controller-down",
            "app",
            "kustomize-controller",
            false,
            "unable to start manager: timed out",
        ),
        (
            "ingress-down",
            "app.kubernetes.io/name",
            "ingress-nginx",
            false,
            "no service with name default-backend found",
        ),
        (
            "prometheus-down",
            "app.kubernetes.io/name",
            "prometheus",
            false,
            "opening storage failed: corrupted WAL segment",
        ),
        (
            "grafana-down",
            "app.kubernetes.io/name",
            "grafana",
            false,
            "database is locked",
        ),
        (
            "alertmanager-down",
            "app.kubernetes.io/name",
            "alertmanager",
            false,
            "loading configuration file failed",
        ),
        (
            "longhorn-provisioner-down",
            "app",
            "csi-provisioner",
            false,
            "lost connection to CSI driver",
        ),
        (
            "longhorn-engine-image-missing",
            "longhorn.io/component",
            "engine-image",
            true,
            "no space left on device",
        ),
        (
            "kube-state-metrics-down",
            "app.kubernetes.io/name",
            "kube-state-metrics",
            false,
            "failed to list nodes: forbidden",
        ),
        (
            "disk-discovery-crashing",
            "app",
            "disk-discovery",
            true,
            "lsblk: failed to access sysfs",
        ),
        (
            "vpn-router-down",
            "app",
            "tailscale-router",
            false,
            "invalid key: unable to validate API key",
        ),
        (
            "longhorn-driver-down",
            "app",
            "csi-attacher",
            false,
            "lost connection to CSI driver",
        ),
    ];
    CRASHES
        .iter()
        .find(|(fault, key, value, only_new, _)| {
            pod["metadata"]["labels"][*key] == *value
                && (!only_new || name(node) == scene.cast.node)
                && scene.fault(fault)
        })
        .map(|(.., why)| *why)
}
