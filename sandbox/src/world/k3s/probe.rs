//! Pods that do something once: probes that report on targets, and others that simply end.

use serde_json::{Value, json};

use crate::world::{
    make::{items, now, text, uid_of},
    scene::Scene,
};

use super::network;

/// The status of such a pod once its work is done; `None` while it works, or serves.
///
/// A probe is told its targets (`tcp://host:port`, `dns:name`) in its arguments and reports one line a target in its
/// termination message. It ends well when it could report, whatever it found.
pub(crate) fn finished(scene: &Scene<'_>, node: &str, pod: &Value) -> Option<Value> {
    let words: Vec<&str> = items(&pod["spec"]["containers"])
        .iter()
        .flat_map(|container| {
            items(&container["command"])
                .iter()
                .chain(items(&container["args"]))
        })
        .flat_map(|word| text(word).split_whitespace())
        .collect();
    // What the targets are is said in the arguments; the command is a script, which may name anything.
    let targets: Vec<&str> = items(&pod["spec"]["containers"])
        .iter()
        .flat_map(|container| items(&container["args"]))
        .map(text)
        .filter(|word| word.starts_with("tcp://") || word.starts_with("dns:"))
        .collect();
    let serves = |word: &&str| matches!(*word, "sleep" | "httpd" | "-l" | "-lk" | "-ll" | "pause");
    if targets.is_empty() && (words.is_empty() || words.iter().any(serves)) {
        return None;
    }
    if !scene
        .timers
        .waited(&format!("work/{}", uid_of(pod)), scene.pace.probe)
    {
        return None;
    }
    scene.timers.forget(&format!("work/{}", uid_of(pod)));
    let mut message = String::new();
    for target in targets {
        let (word, why) = network::reach(scene, node, target);
        message.push_str(&format!("{target} {word} {why}\n"));
    }
    Some(succeeded(pod, &message))
}

fn succeeded(pod: &Value, message: &str) -> Value {
    let stamp = now();
    let mut statuses = pod["status"]["containerStatuses"].clone();
    for status in statuses.as_array_mut().into_iter().flatten() {
        let started = status["state"]["running"]["startedAt"].clone();
        status["ready"] = false.into();
        status["started"] = false.into();
        status["state"] = json!({"terminated": {
            "exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": stamp,
            "containerID": status["containerID"], "message": message,
        }});
    }
    let mut conditions = pod["status"]["conditions"].clone();
    for condition in conditions.as_array_mut().into_iter().flatten() {
        if condition["type"] == "Ready" || condition["type"] == "ContainersReady" {
            condition["status"] = "False".into();
            condition["reason"] = "PodCompleted".into();
            condition["lastTransitionTime"] = stamp.clone().into();
        }
    }
    json!({"phase": "Succeeded", "containerStatuses": statuses, "conditions": conditions})
}
