//! Events: what kubelets and controllers tell people when something changes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    kinds::{NODES, PODS},
    make::{condition, items, name, namespace, now, object, suffix, text, uid_of},
    scene::{Actor, Change, Scene},
};

/// Remembers what was, and tells what is new. What was there at the start is no news.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    known: Option<BTreeMap<String, String>>,
}

impl Actor for Reporter {
    fn step(&mut self, scene: &Scene<'_>) -> Vec<Change> {
        let mut seen = BTreeMap::new();
        let mut changes = Vec::new();
        for node in scene.list(&NODES) {
            let state = node_state(&node);
            if let Some(before) = self.news(uid_of(&node), &state) {
                for (kind, reason, message) in node_news(&node, &before) {
                    changes.push(event(&node, kind, reason, &message, "kubelet"));
                }
            }
            seen.insert(uid_of(&node).to_owned(), state);
        }
        for pod in scene.list(&PODS) {
            let state = pod_state(&pod);
            if self.news(uid_of(&pod), &state).is_some()
                && let Some((kind, reason, message, from)) = pod_news(&pod, &state)
                && (from == "kubelet" || scene.cast.own_controllers())
            {
                changes.push(event(&pod, kind, reason, &message, from));
            }
            seen.insert(uid_of(&pod).to_owned(), state);
        }
        self.known = Some(seen);
        changes
    }
}

impl Reporter {
    /// What was known before, empty for something new; nothing when it is no news.
    fn news(&self, uid: &str, state: &str) -> Option<String> {
        let known = self.known.as_ref()?;
        match known.get(uid) {
            Some(before) if before == state => None,
            Some(before) => Some(before.clone()),
            None => Some(String::new()),
        }
    }
}

fn node_state(node: &Value) -> String {
    ["Ready", "DiskPressure", "MemoryPressure"]
        .map(|kind| condition(node, kind))
        .join("/")
}

fn node_news(node: &Value, before: &str) -> Vec<(&'static str, &'static str, String)> {
    let who = name(node);
    let mut told = Vec::new();
    if before.is_empty() {
        told.push((
            "Normal",
            "RegisteredNode",
            format!("Node {who} event: Registered Node {who} in Controller"),
        ));
    }
    let mut old = before.split('/');
    let was_ready = old.next().unwrap_or_default();
    match condition(node, "Ready") {
        "True" if was_ready != "True" => told.push((
            "Normal",
            "NodeReady",
            format!("Node {who} status is now: NodeReady"),
        )),
        "True" => {}
        // A node that is only just joining was never ready; that is no warning.
        _ if was_ready == "True" => told.push((
            "Warning",
            "NodeNotReady",
            format!("Node {who} status is now: NodeNotReady"),
        )),
        _ => {}
    }
    for kind in ["DiskPressure", "MemoryPressure"] {
        if condition(node, kind) == "True" && old.next() != Some("True") {
            let reason = if kind == "DiskPressure" {
                "NodeHasDiskPressure"
            } else {
                "NodeHasInsufficientMemory"
            };
            told.push((
                "Warning",
                reason,
                format!("Node {who} status is now: {reason}"),
            ));
        }
    }
    told
}

/// The part of a pod's state that is worth a word.
fn pod_state(pod: &Value) -> String {
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"];
    let unschedulable = items(&pod["status"]["conditions"])
        .iter()
        .any(|it| it["reason"] == "Unschedulable");
    format!(
        "{}/{}/{unschedulable}",
        text(&pod["spec"]["nodeName"]),
        text(waiting)
    )
}

type News = (&'static str, &'static str, String, &'static str);

fn pod_news(pod: &Value, state: &str) -> Option<News> {
    if state.ends_with("/true") {
        let why = items(&pod["status"]["conditions"])
            .iter()
            .find(|it| it["reason"] == "Unschedulable")?;
        return Some((
            "Warning",
            "FailedScheduling",
            text(&why["message"]).to_owned(),
            "default-scheduler",
        ));
    }
    if state.contains("/CrashLoopBackOff/") {
        let message = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
        return Some((
            "Warning",
            "BackOff",
            text(message).replace("back-off", "Back-off"),
            "kubelet",
        ));
    }
    None
}

fn event(about: &Value, kind: &str, reason: &str, message: &str, from: &str) -> Change {
    // Events about the cluster's own objects live in `default`.
    let space = if namespace(about).is_empty() {
        "default"
    } else {
        namespace(about)
    };
    let host = if about["kind"] == "Node" {
        name(about)
    } else {
        text(&about["spec"]["nodeName"])
    };
    Change::Create(object(
        "v1",
        "Event",
        space,
        &format!("{}.{}", name(about), suffix(12)),
        json!({
            "involvedObject": {
                "apiVersion": about["apiVersion"], "kind": about["kind"], "name": name(about),
                "namespace": namespace(about), "uid": uid_of(about),
            },
            "type": kind, "reason": reason, "message": message, "count": 1,
            "firstTimestamp": now(), "lastTimestamp": now(), "source": {"component": from, "host": host},
            "reportingComponent": from, "reportingInstance": host,
        }),
    ))
}
