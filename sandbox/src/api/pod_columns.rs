//! How a pod is doing, in the words of `kubectl get pods`.

use serde_json::Value;

use super::columns::age_of;

fn statuses(object: &Value, field: &str) -> Vec<Value> {
    object["status"][field]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `1/2`: ready containers of all.
pub(crate) fn ready(object: &Value) -> Value {
    let ready = statuses(object, "containerStatuses")
        .iter()
        .filter(|c| c["ready"] == true)
        .count();
    let all = object["spec"]["containers"].as_array().map_or(0, Vec::len);
    format!("{ready}/{all}").into()
}

/// How often containers were restarted, and when last.
pub(crate) fn restarts(object: &Value) -> Value {
    let all = statuses(object, "containerStatuses");
    let count: i64 = all.iter().filter_map(|c| c["restartCount"].as_i64()).sum();
    let last = all
        .iter()
        .filter_map(|c| c["lastState"]["terminated"]["finishedAt"].as_str())
        .max();
    match last {
        Some(time) if count > 0 => format!("{count} ({} ago)", age_of(time)).into(),
        _ => count.to_string().into(),
    }
}

/// The one word that says what the pod does: phase, or the reason of the container that keeps it from running.
pub(crate) fn status(object: &Value) -> Value {
    let status = &object["status"];
    let mut reason = text(&status["reason"]);
    if reason.is_empty() {
        reason = text(&status["phase"]);
    }
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    if conditions
        .iter()
        .any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated")
    {
        reason = "SchedulingGated".to_owned();
    }
    let mut initializing = false;
    let inits = statuses(object, "initContainerStatuses");
    let total = object["spec"]["initContainers"]
        .as_array()
        .map_or(0, Vec::len);
    for (at, container) in inits.iter().enumerate() {
        let (terminated, waiting) = (
            &container["state"]["terminated"],
            &container["state"]["waiting"],
        );
        if terminated["exitCode"] == 0 || container["started"] == true {
            continue;
        }
        initializing = true;
        reason = if terminated.is_object() {
            match text(&terminated["reason"]).as_str() {
                "" => format!("Init:ExitCode:{}", terminated["exitCode"]),
                why => format!("Init:{why}"),
            }
        } else {
            match text(&waiting["reason"]).as_str() {
                "" | "PodInitializing" => format!("Init:{at}/{total}"),
                why => format!("Init:{why}"),
            }
        };
        break;
    }
    if !initializing {
        let mut running = false;
        for container in statuses(object, "containerStatuses").iter().rev() {
            let (terminated, waiting) = (
                &container["state"]["terminated"],
                &container["state"]["waiting"],
            );
            if !text(&waiting["reason"]).is_empty() {
                reason = text(&waiting["reason"]);
            } else if terminated.is_object() {
                reason = match text(&terminated["reason"]).as_str() {
                    "" => format!("ExitCode:{}", terminated["exitCode"]),
                    why => why.to_owned(),
                };
            } else if container["ready"] == true && container["state"]["running"].is_object() {
                running = true;
            }
        }
        if reason == "Completed" && running {
            let ready = conditions
                .iter()
                .any(|c| c["type"] == "Ready" && c["status"] == "True");
            reason = if ready {
                "Running".to_owned()
            } else {
                "NotReady".to_owned()
            };
        }
    }
    if object["metadata"].get("deletionTimestamp").is_some() {
        reason = if status["reason"] == "NodeLost" {
            "Unknown".to_owned()
        } else {
            "Terminating".to_owned()
        };
    }
    reason.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_word_tells_what_keeps_a_pod() {
        let pod = |status: Value| json!({ "spec": { "containers": [{}], "initContainers": [{}] }, "status": status });
        assert_eq!(status(&pod(json!({ "phase": "Pending" }))), "Pending");
        let waiting = json!({ "phase": "Running", "containerStatuses": [{ "restartCount": 3, "state": { "waiting": { "reason": "CrashLoopBackOff" } } }] });
        assert_eq!(status(&pod(waiting.clone())), "CrashLoopBackOff");
        assert_eq!(restarts(&pod(waiting)), "3");
        let init = json!({ "phase": "Pending", "initContainerStatuses": [{ "state": { "running": {} } }] });
        assert_eq!(status(&pod(init)), "Init:0/1");
        let done = json!({ "phase": "Succeeded", "containerStatuses": [{ "state": { "terminated": { "exitCode": 0, "reason": "Completed" } } }] });
        assert_eq!(status(&pod(done)), "Completed");
    }
}
