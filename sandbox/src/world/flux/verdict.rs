//! What a Kustomization says of an attempt: in progress, applied and healthy, failed and trying again, stalled.

use serde_json::{Value, json};

use crate::world::{
    kinds::KUSTOMIZATIONS,
    make::{conditions, items, text, uid_of, would_change},
    scene::{Change, Scene},
};

use super::{
    health,
    inventory::inventory,
    source::{REQUESTED, without},
};

/// One attempt that has not ended.
pub(super) struct Attempt {
    pub(super) revision: String,
    pub(super) token: Value,
    pub(super) objects: Vec<Value>,
    pub(super) generation: Value,
}

/// How an attempt ended badly.
pub(super) struct Failure {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The status at the end of an attempt; `None` while it goes on.
pub(super) fn outcome(scene: &Scene<'_>, object: &Value, attempt: &Attempt) -> Option<Value> {
    if let Some(why) = attempt
        .objects
        .iter()
        .find_map(|it| scene.timers.refusal(it))
    {
        let failure = Failure {
            reason: "ReconciliationFailed",
            message: why,
        };
        return Some(failed(object, attempt, &failure));
    }
    let wait = object["spec"]["wait"] == true;
    if wait {
        let waiting: Vec<String> = attempt
            .objects
            .iter()
            .filter_map(|it| health::trouble(scene, it))
            .collect();
        if !waiting.is_empty() {
            if !scene.timers.overdue(
                &format!("health/{}", uid_of(object)),
                scene.pace.health_timeout,
            ) {
                return None;
            }
            let message = format!(
                "health check failed after {}: timeout waiting for: [{}]",
                object["spec"]["timeout"].as_str().unwrap_or("30s"),
                waiting.join(", "),
            );
            let failure = Failure {
                reason: "HealthCheckFailed",
                message,
            };
            return Some(failed(object, attempt, &failure));
        }
    }
    let message = format!("Applied revision: {}", attempt.revision);
    let mut told = vec![json!({
        "type": "Ready", "status": "True", "reason": "ReconciliationSucceeded", "message": message,
        "observedGeneration": attempt.generation,
    })];
    if wait {
        told.push(json!({
            "type": "Healthy", "status": "True", "reason": "Succeeded", "message": "Health check passed",
            "observedGeneration": attempt.generation,
        }));
    }
    let all = conditions(&object["status"]["conditions"], &told);
    Some(json!({
        "conditions": in_order(without(without(all, "Reconciling"), "Stalled")),
        "lastAppliedRevision": attempt.revision, "lastAttemptedRevision": attempt.revision,
        "observedGeneration": attempt.generation, "lastHandledReconcileAt": attempt.token,
        "inventory": {"entries": inventory(&attempt.objects)},
    }))
}

pub(super) fn failed(object: &Value, attempt: &Attempt, failure: &Failure) -> Value {
    let tell = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": failure.message,
            "observedGeneration": attempt.generation,
        })
    };
    let mut told = vec![
        tell("Reconciling", "True", "ProgressingWithRetry"),
        tell("Ready", "False", failure.reason),
    ];
    if failure.reason == "HealthCheckFailed" {
        told.push(tell("Healthy", "False", failure.reason));
    }
    let all = conditions(&object["status"]["conditions"], &told);
    let mut status = json!({
        "conditions": in_order(without(all, "Stalled")), "observedGeneration": attempt.generation,
        "lastHandledReconcileAt": attempt.token,
    });
    if !matches!(failure.reason, "ArtifactFailed" | "DependencyNotReady") {
        status["lastAttemptedRevision"] = attempt.revision.clone().into();
    }
    status
}

pub(super) fn stall(object: &Value, changes: &mut Vec<Change>) {
    let message = "can't access 'GitRepository/flux-system/flux-system', cross-namespace references have been disabled";
    let generation = &object["metadata"]["generation"];
    let told = ["Stalled", "Ready"].map(|kind| {
        json!({
            "type": kind, "status": if kind == "Ready" { "False" } else { "True" }, "reason": "AccessDenied",
            "message": message, "observedGeneration": generation,
        })
    });
    let all = conditions(&object["status"]["conditions"], &told);
    let status = json!({
        "conditions": in_order(without(all, "Reconciling")), "observedGeneration": generation,
        "lastHandledReconcileAt": object["metadata"]["annotations"][REQUESTED],
    });
    finish(object, status, changes);
}

/// Stalled, Reconciling, Ready, then the rest: the order in which Flux writes them.
pub(super) fn in_order(conditions: Value) -> Value {
    let mut list = items(&conditions).to_vec();
    list.sort_by_key(|it| match text(&it["type"]) {
        "Stalled" => 0,
        "Reconciling" => 1,
        "Ready" => 2,
        _ => 3,
    });
    list.into()
}

pub(super) fn finish(object: &Value, status: Value, changes: &mut Vec<Change>) {
    if would_change(&object["status"], &status) {
        changes.push(Change::status(&KUSTOMIZATIONS, object, status));
    }
}
