//! A machine that joins, state by state, and then keeps its Node as it should be.
//!
//! S0 no trace, S1 node-password Secret, S2 Node, S3 k3s annotations, S4 cloud controller, S5 pod range, S6 flannel
//! lease, S7 Ready. Each state is read from the objects, so that a restart goes on where it was.

use serde_json::{Value, json};

use crate::world::{
    cast::CLUSTER_CIDR,
    kinds::{LEASES, NODES, SECRETS},
    make::{
        condition, conditions, deleting, items, object, stable_hex, text, uid_of, would_change,
    },
    scene::{Change, Scene},
};

use super::node;

/// The password of a machine that is not here.
pub(crate) const FOREIGN: &str = "0d4b7c1e9a5f2836";

/// What a machine remembers while it runs.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Its Node was there. A kubelet whose Node is deleted does not register again until it is restarted.
    joined: bool,
}

/// Takes the next step of a join, or keeps a joined node as it is.
pub(crate) fn join(
    scene: &Scene<'_>,
    name: &str,
    powered: bool,
    memory: &mut Memory,
    changes: &mut Vec<Change>,
) {
    match scene.get(&NODES, "", name) {
        Some(there) => {
            memory.joined = true;
            if deleting(&there) {
                return;
            }
            advance(scene, name, &there, changes);
            keep(scene, name, &there, changes);
        }
        None if !powered => *memory = Memory::default(),
        None if memory.joined && !scene.fault("agent-restarted") => {}
        None => register(scene, name, changes),
    }
}

/// S0 to S2.
fn register(scene: &Scene<'_>, name: &str, changes: &mut Vec<Change>) {
    if name == scene.cast.node && scene.fault("node-never-registers") {
        return;
    }
    let secret = format!("{name}.node-password.k3s");
    let password = stable_hex(&format!("password/{}/{name}", scene.cast.cluster_uid), 32);
    let Some(there) = scene.get(&SECRETS, "kube-system", &secret) else {
        if scene
            .timers
            .waited(&format!("S1/{name}"), scene.pace.join_step)
        {
            scene.timers.forget(&format!("S1/{name}"));
            changes.push(Change::Create(password_secret(&secret, &password)));
        }
        return;
    };
    // "Node password rejected": another machine had this name; the agent tries again for ever.
    if text(&there["data"]["hash"]) != encoded(&password) {
        return;
    }
    if scene
        .timers
        .waited(&format!("S2/{name}"), scene.pace.join_step)
    {
        scene.timers.forget(&format!("S2/{name}"));
        changes.push(Change::Create(node::registered(scene, name)));
    }
}

/// The Secret that holds a machine's password, as the k3s server writes it.
pub(crate) fn password_secret(name: &str, hash: &str) -> Value {
    object(
        "v1",
        "Secret",
        "kube-system",
        name,
        json!({"type": "k3s.cattle.io/node-password", "immutable": true, "data": {"hash": encoded(hash)}}),
    )
}

fn encoded(hash: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .encode(format!("$1:{}:15:8:1:{hash}", &hash[..16.min(hash.len())]))
}

/// The state that a Node shows.
pub(crate) fn state(node: &Value) -> u8 {
    let annotations = &node["metadata"]["annotations"];
    if annotations["k3s.io/node-args"].is_null() {
        2
    } else if node["spec"]["providerID"].is_null() {
        3
    } else if node["spec"]["podCIDR"].is_null() {
        4
    } else if annotations["flannel.alpha.coreos.com/public-ip"].is_null() {
        5
    } else if condition(node, "Ready") != "True" {
        6
    } else {
        7
    }
}

/// S2 to S7: one step when its time has come.
fn advance(scene: &Scene<'_>, name: &str, node: &Value, changes: &mut Vec<Change>) {
    let state = state(node);
    let key = format!("{}/S{state}", uid_of(node));
    let held = name == scene.cast.node
        && ((state == 3 && scene.fault("ccm-disabled"))
            || (state == 4 && scene.fault("pod-range-exhausted")));
    if state > 5 || held || !scene.timers.waited(&key, scene.pace.join_step) {
        return;
    }
    let patch = match state {
        2 => json!({"metadata": {
            "annotations": node::k3s_annotations(scene, name),
            "finalizers": ["wrangler.cattle.io/node"],
        }}),
        3 => {
            changes.push(Change::status(
                &NODES,
                node,
                json!({"addresses": node::addresses(scene.cast, name)}),
            ));
            let taints: Vec<&Value> = items(&node["spec"]["taints"])
                .iter()
                .filter(|taint| taint["key"] != "node.cloudprovider.kubernetes.io/uninitialized")
                .collect();
            json!({
                "metadata": {"labels": node::k3s_labels(scene, name)},
                "spec": {"providerID": format!("k3s://{name}"), "taints": taints},
            })
        }
        4 => {
            let other = scene.get(&NODES, "", &scene.cast.control_plane);
            let range = match other {
                Some(other) if name == scene.cast.node && scene.fault("pod-range-overlaps") => {
                    text(&other["spec"]["podCIDR"]).to_owned()
                }
                _ => free_range(scene),
            };
            json!({"spec": {"podCIDR": range, "podCIDRs": [range]}})
        }
        _ => json!({"metadata": {"annotations": node::flannel(scene, name)}}),
    };
    scene.timers.forget(&key);
    if would_change(node, &patch) {
        changes.push(Change::spec(&NODES, node, patch));
    }
}

/// The first /24 of the cluster's range that no node has.
fn free_range(scene: &Scene<'_>) -> String {
    let taken: Vec<String> = scene
        .list(&NODES)
        .iter()
        .map(|node| text(&node["spec"]["podCIDR"]).to_owned())
        .collect();
    let prefix = CLUSTER_CIDR.split(".0.0").next().unwrap_or_default();
    let outside = scene.cast.outside.as_ref();
    let first = outside.map_or(0, |outside| outside.first_range);
    (first..=255)
        .map(|third| format!("{prefix}.{third}.0/24"))
        .find(|range| !taken.contains(range))
        .unwrap_or_default()
}

/// What stays true of a node however often somebody looks.
fn keep(scene: &Scene<'_>, name: &str, node: &Value, changes: &mut Vec<Change>) {
    let state = state(node);
    let new = name == scene.cast.node;
    let mut patch = json!({});
    if state >= 3 {
        patch["metadata"]["annotations"] = node::k3s_annotations(scene, name);
    }
    if state >= 4 {
        patch["metadata"]["labels"] = node::k3s_labels(scene, name);
    }
    if state >= 6 {
        crate::world::make::merge(
            &mut patch,
            json!({"metadata": {"annotations": node::flannel(scene, name)}}),
        );
    }
    if let Some(range) = new.then(|| misplaced(scene, node)).flatten() {
        patch["spec"] = json!({"podCIDR": range, "podCIDRs": [range]});
    }
    if would_change(node, &patch) {
        changes.push(Change::spec(&NODES, node, patch));
    }
    let silent = new && scene.fault("node-unreachable");
    let ready = condition(node, "Ready");
    let broken = new && scene.fault("node-not-ready");
    // Without a lease flannel writes no CNI configuration; one that is there already stays.
    let network = !broken && (state >= 6 || ready == "True");
    let patience = ready != "True"
        && network
        && !scene
            .timers
            .waited(&format!("{}/S7", uid_of(node)), scene.pace.join_step);
    if !silent {
        let mut status = node::status(scene, name);
        let told = node::with_heartbeat(
            node::conditions(scene, name, network && !patience),
            &node["status"]["conditions"],
        );
        status["conditions"] = conditions(&node["status"]["conditions"], &told);
        if would_change(&node["status"], &status) {
            changes.push(Change::status(&NODES, node, status));
        }
    }
    if ready != "True" && !network {
        scene.timers.forget(&format!("{}/S7", uid_of(node)));
    }
    heartbeat(scene, name, node, changes);
}

/// The pod range that the new node should have instead of the one that it has.
fn misplaced(scene: &Scene<'_>, node: &Value) -> Option<String> {
    let range = text(&node["spec"]["podCIDR"]);
    let other = scene.get(&NODES, "", &scene.cast.control_plane)?;
    let same = node["spec"]["podCIDR"] == other["spec"]["podCIDR"];
    match (scene.fault("pod-range-overlaps"), same, range.is_empty()) {
        (_, _, true) => None,
        (true, false, _) => Some(text(&other["spec"]["podCIDR"]).to_owned()),
        (false, true, _) => Some(free_range(scene)),
        _ => None,
    }
}

fn heartbeat(scene: &Scene<'_>, name: &str, node: &Value, changes: &mut Vec<Change>) {
    let Some(lease) = scene.get(&LEASES, "kube-node-lease", name) else {
        changes.push(Change::Create(node::lease(scene, node)));
        return;
    };
    let silent = name == scene.cast.node
        && (scene.fault("kubelet-heartbeat-stale") || scene.fault("node-unreachable"));
    let stale =
        crate::world::make::age(text(&lease["spec"]["renewTime"])).is_none_or(|age| age > 40.0);
    let due = silent != stale
        || (!silent
            && scene
                .timers
                .waited(&format!("beat/{name}"), scene.pace.heartbeat));
    if due && !scene.timers.instant {
        scene.timers.forget(&format!("beat/{name}"));
        let renewed = node::renew_time(scene, name);
        changes.push(Change::spec(
            &LEASES,
            &lease,
            json!({"spec": {"renewTime": renewed}}),
        ));
    }
}
