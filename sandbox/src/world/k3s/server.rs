//! What the k3s server does about nodes: the node lifecycle, the finalizer, node passwords, the hosts of CoreDNS.

use serde_json::{Value, json};

use crate::world::{
    kinds::{CONFIG_MAPS, CSI_NODES, NODES, SECRETS},
    make::{age, condition, conditions, deleting, items, name, object, text, uid_of, would_change},
    scene::{Change, Scene},
};

/// One look at all nodes.
pub(crate) fn nodes(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let nodes = scene.list(&NODES);
    for node in &nodes {
        if deleting(node) {
            if !scene.fault("node-finalizer-stuck") {
                finalize(node, changes);
            }
            continue;
        }
        // Elsewhere that is the node lifecycle controller's.
        if scene.cast.own_controllers() {
            lifecycle(scene, node, changes);
        }
        csi_node(scene, node, changes);
    }
    passwords(scene, &nodes, changes);
    hosts(scene, &nodes, changes);
}

/// Ready Unknown for a kubelet that went silent, and the taints that go with Ready and with pressure.
fn lifecycle(scene: &Scene<'_>, node: &Value, changes: &mut Vec<Change>) {
    let silent = name(node) == scene.cast.node && scene.fault("node-unreachable");
    if silent && condition(node, "Ready") != "Unknown" {
        let unknown: Vec<Value> = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]
            .iter()
            .map(|kind| {
                json!({
                    "type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
                    "message": "Kubelet stopped posting node status.",
                })
            })
            .collect();
        let all = conditions(&node["status"]["conditions"], &unknown);
        changes.push(Change::status(&NODES, node, json!({"conditions": all})));
    }
    let mut wanted: Vec<Value> = Vec::new();
    match condition(node, "Ready") {
        "True" => {}
        "Unknown" => {
            for effect in ["NoSchedule", "NoExecute"] {
                wanted.push(json!({"key": "node.kubernetes.io/unreachable", "effect": effect}));
            }
        }
        _ => wanted.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})),
    }
    for (kind, key) in [
        ("DiskPressure", "disk-pressure"),
        ("MemoryPressure", "memory-pressure"),
        ("PIDPressure", "pid-pressure"),
    ] {
        if condition(node, kind) == "True" {
            wanted
                .push(json!({"key": format!("node.kubernetes.io/{key}"), "effect": "NoSchedule"}));
        }
    }
    if node["spec"]["unschedulable"] == true {
        wanted.push(json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}));
    }
    let there = items(&node["spec"]["taints"]);
    let ours = |taint: &Value| {
        let key = text(&taint["key"]);
        key.starts_with("node.kubernetes.io/") && key != "node.kubernetes.io/out-of-service"
    };
    let key = |taint: &Value| format!("{}:{}", text(&taint["key"]), text(&taint["effect"]));
    let mut same: Vec<String> = there.iter().filter(|taint| ours(taint)).map(key).collect();
    let mut wish: Vec<String> = wanted.iter().map(key).collect();
    same.sort();
    wish.sort();
    if same != wish {
        let mut taints: Vec<Value> = there.iter().filter(|taint| !ours(taint)).cloned().collect();
        taints.append(&mut wanted);
        changes.push(Change::spec(
            &NODES,
            node,
            json!({
                // Somebody else may write taints at the same moment.
                "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
                "spec": {"taints": if taints.is_empty() { Value::Null } else { taints.into() }},
            }),
        ));
    }
}

fn csi_node(scene: &Scene<'_>, node: &Value, changes: &mut Vec<Change>) {
    if scene.get(&CSI_NODES, "", name(node)).is_none() {
        changes.push(Change::Create(object(
            "storage.k8s.io/v1",
            "CSINode",
            "",
            name(node),
            json!({
                "metadata": {"ownerReferences": [{
                    "apiVersion": "v1", "kind": "Node", "name": name(node), "uid": uid_of(node),
                }]},
                "spec": {"drivers": []},
            }),
        )));
    }
}

/// Lets a deleted node go: k3s holds it by a finalizer.
fn finalize(node: &Value, changes: &mut Vec<Change>) {
    let left: Vec<&Value> = items(&node["metadata"]["finalizers"])
        .iter()
        .filter(|it| *it != "wrangler.cattle.io/node")
        .collect();
    if left.len() < items(&node["metadata"]["finalizers"]).len() {
        changes.push(Change::spec(
            &NODES,
            node,
            json!({"metadata": {"finalizers": left}}),
        ));
    }
}

/// Binds each password to its Node, so that it goes with it; sweeps those that stayed behind.
fn passwords(scene: &Scene<'_>, nodes: &[std::sync::Arc<Value>], changes: &mut Vec<Change>) {
    for secret in scene.list(&SECRETS) {
        let Some(owner) = name(&secret).strip_suffix(".node-password.k3s") else {
            continue;
        };
        match nodes.iter().find(|node| name(node) == owner) {
            Some(node) => {
                // What belongs to nobody is collected by nobody, whosever the garbage collector is.
                let owners = if scene.fault("node-password-kept") {
                    Value::Null
                } else {
                    json!([{"apiVersion": "v1", "kind": "Node", "name": owner, "uid": uid_of(node)}])
                };
                if secret["metadata"]["ownerReferences"] != owners && !deleting(node) {
                    changes.push(Change::spec(
                        &SECRETS,
                        &secret,
                        json!({"metadata": {"ownerReferences": owners}}),
                    ));
                }
            }
            None => {
                let orphaned = items(&secret["metadata"]["ownerReferences"]).is_empty();
                let old = age(text(&secret["metadata"]["creationTimestamp"]))
                    .is_some_and(|age| age > 600.0);
                let kept =
                    scene.fault("node-password-conflict") || scene.fault("node-password-kept");
                if orphaned && old && !kept {
                    changes.push(Change::delete(&SECRETS, &secret));
                }
            }
        }
    }
}

/// The host lines that CoreDNS answers for the nodes.
fn hosts(scene: &Scene<'_>, nodes: &[std::sync::Arc<Value>], changes: &mut Vec<Change>) {
    let Some(config) = scene.get(&CONFIG_MAPS, "kube-system", "coredns") else {
        return;
    };
    let mut lines = String::new();
    for node in nodes.iter().filter(|node| !deleting(node)) {
        let address = items(&node["status"]["addresses"])
            .iter()
            .find(|it| it["type"] == "InternalIP");
        if let Some(address) = address {
            lines.push_str(&format!("{} {}\n", text(&address["address"]), name(node)));
        }
    }
    let patch = json!({"data": {"NodeHosts": lines}});
    if would_change(&config, &patch) {
        changes.push(Change::spec(&CONFIG_MAPS, &config, patch));
    }
}
