//! kustomize-controller: builds, applies, waits for health, prunes, and says so in the order the real one does.
//!
//! `lastAttemptedRevision` is written when the attempt begins; `lastAppliedRevision`, Ready and
//! `lastHandledReconcileAt` when it ends, which with `wait: true` is after the health wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use serde_json::{Value, json};

use crate::world::{
    kinds::{self, GIT_REPOSITORIES, KUSTOMIZATIONS, SLICES},
    make::{condition, conditions, deleting, items, merge, name, namespace, text, uid_of, would_change},
    scene::{Change, Scene},
};

use super::{
    build::{build_at, set_namespace},
    health,
    source::{REQUESTED, without},
};

const FINALIZER: &str = "finalizers.fluxcd.io";
const MANAGER: &str = "kustomize-controller";

/// One attempt that has not ended.
struct Attempt {
    revision: String,
    token: Value,
    objects: Vec<Value>,
    generation: Value,
}

pub(crate) struct Kustomize {
    store: PathBuf,
    attempts: BTreeMap<String, Attempt>,
}

/// How an attempt ended badly.
struct Failure {
    reason: &'static str,
    message: String,
}

impl Kustomize {
    pub(crate) fn new(store: PathBuf) -> Self {
        Self { store, attempts: BTreeMap::new() }
    }

    pub(crate) fn step(&mut self, scene: &Scene<'_>, changes: &mut Vec<Change>) {
        if scene.fault("flux-controller-down") {
            self.attempts.clear();
            return;
        }
        for object in scene.list(&KUSTOMIZATIONS) {
            if deleting(&object) {
                finalize(scene, &object, changes);
            } else if object["spec"]["suspend"] == true {
                self.attempts.remove(uid_of(&object));
            } else if scene.fault("flux-kustomization-stalled") && name(&object) == "infrastructure-storage" {
                self.attempts.remove(uid_of(&object));
                stall(&object, changes);
            } else if let Some(attempt) = self.attempts.get(uid_of(&object)) {
                if let Some(status) = outcome(scene, &object, attempt) {
                    self.attempts.remove(uid_of(&object));
                    finish(&object, status, changes);
                    rest(scene, &object);
                }
            } else if due(scene, &object) {
                self.begin(scene, &object, changes);
            }
        }
    }

    fn begin(&mut self, scene: &Scene<'_>, object: &Arc<Value>, changes: &mut Vec<Change>) {
        rest(scene, object);
        let token = object["metadata"]["annotations"][REQUESTED].clone();
        let revision = artifact(scene, object);
        if !items(&object["metadata"]["finalizers"]).iter().any(|it| it == FINALIZER) {
            changes.push(Change::spec(&KUSTOMIZATIONS, object, json!({"metadata": {"finalizers": [FINALIZER]}})));
        }
        match prepare(scene, object, &revision, &self.store) {
            Ok(objects) => {
                let mut status = json!({"lastAttemptedRevision": revision, "inventory": {"entries": inventory(&objects)}});
                // A look that finds nothing new leaves Ready alone.
                if text(&object["status"]["lastAppliedRevision"]) != revision || condition(object, "Ready") != "True" {
                    let told = [
                        json!({
                            "type": "Reconciling", "status": "True", "reason": "Progressing",
                            "observedGeneration": object["metadata"]["generation"],
                            "message": format!("Running health checks for revision {revision}"),
                        }),
                        json!({
                            "type": "Ready", "status": "Unknown", "reason": "Progressing",
                            "observedGeneration": object["metadata"]["generation"],
                            "message": "Reconciliation in progress",
                        }),
                    ];
                    let all = conditions(&object["status"]["conditions"], &told);
                    status["conditions"] = in_order(without(all, "Stalled"));
                }
                if would_change(&object["status"], &status) {
                    changes.push(Change::status(&KUSTOMIZATIONS, object, status));
                }
                prune(scene, object, &objects, changes);
                for object in &objects {
                    let there = scene.mirror.find(object);
                    if there.as_ref().is_some_and(|there| left_alone(there)) {
                        continue;
                    }
                    if there.is_none_or(|there| would_change(&there, object)) {
                        changes.push(Change::Apply { manager: MANAGER, object: object.clone() });
                    }
                }
                scene.timers.forget(&format!("health/{}", uid_of(object)));
                let generation = object["metadata"]["generation"].clone();
                self.attempts.insert(uid_of(object).to_owned(), Attempt { revision, token, objects, generation });
            }
            Err(failure) => {
                if failure.reason == "DependencyNotReady" {
                    // Dependencies are looked at more often than failures: 30 s against a minute.
                    rest_for(scene, object, scene.pace.kustomize_retry / 3);
                }
                let attempt = Attempt {
                    revision,
                    token,
                    objects: Vec::new(),
                    generation: object["metadata"]["generation"].clone(),
                };
                finish(object, failed(object, &attempt, &failure), changes);
            }
        }
    }
}

/// Whether somebody has asked Flux to leave an object as it is.
fn left_alone(object: &Value) -> bool {
    let key = "kustomize.toolkit.fluxcd.io/reconcile";
    ["annotations", "labels"].iter().any(|part| object["metadata"][*part][key] == "disabled")
}

fn due(scene: &Scene<'_>, object: &Value) -> bool {
    let status = &object["status"];
    let token = &object["metadata"]["annotations"][REQUESTED];
    let revision = artifact(scene, object);
    if (token.is_string() && token != &status["lastHandledReconcileAt"])
        || object["metadata"]["generation"] != status["observedGeneration"]
        || (!revision.is_empty() && status["lastAttemptedRevision"] != revision.as_str() && !waits_for_others(object))
    {
        return true;
    }
    let uid = uid_of(object);
    if condition(object, "Ready") == "True" {
        !scene.timers.instant && scene.timers.waited(&format!("rest/{uid}"), scene.pace.kustomize_interval)
    } else {
        let (what, long) = if waits_for_others(object) {
            ("depend", scene.pace.kustomize_retry / 3)
        } else {
            ("retry", scene.pace.kustomize_retry)
        };
        scene.timers.waited(&format!("{what}/{uid}"), long)
    }
}

/// A dependency that is not ready is looked at again at the retry, not at once.
fn waits_for_others(object: &Value) -> bool {
    items(&object["status"]["conditions"]).iter().any(|it| it["reason"] == "DependencyNotReady")
}

/// Starts to count the time until the next look.
fn rest(scene: &Scene<'_>, object: &Value) {
    for (what, long) in [("rest", scene.pace.kustomize_interval), ("retry", scene.pace.kustomize_retry)] {
        let key = format!("{what}/{}", uid_of(object));
        scene.timers.forget(&key);
        let _ = scene.timers.waited(&key, long);
    }
}

/// Makes the next look come sooner than the usual retry.
fn rest_for(scene: &Scene<'_>, object: &Value, long: std::time::Duration) {
    let key = format!("depend/{}", uid_of(object));
    scene.timers.forget(&key);
    let _ = scene.timers.waited(&key, long);
}

fn artifact(scene: &Scene<'_>, object: &Value) -> String {
    let source = &object["spec"]["sourceRef"];
    let space = source["namespace"].as_str().unwrap_or(namespace(object));
    scene
        .get(&GIT_REPOSITORIES, space, text(&source["name"]))
        .map(|it| text(&it["status"]["artifact"]["revision"]).to_owned())
        .unwrap_or_default()
}

/// Checks the dependencies and builds; what comes out carries the owner labels.
fn prepare(scene: &Scene<'_>, object: &Value, revision: &str, store: &std::path::Path) -> Result<Vec<Value>, Failure> {
    if revision.is_empty() {
        return Err(Failure { reason: "ArtifactFailed", message: "Source artifact not found, retrying in 30s".into() });
    }
    for dependency in items(&object["spec"]["dependsOn"]) {
        let space = dependency["namespace"].as_str().unwrap_or(namespace(object));
        let other = scene.get(&KUSTOMIZATIONS, space, text(&dependency["name"]));
        let ready = other.is_some_and(|other| {
            condition(&other, "Ready") == "True"
                && other["status"]["observedGeneration"] == other["metadata"]["generation"]
                && (other["spec"]["sourceRef"] != object["spec"]["sourceRef"]
                    || other["status"]["lastAppliedRevision"] == revision)
        });
        if !ready {
            let message = format!("dependency '{space}/{}' is not ready", text(&dependency["name"]));
            return Err(Failure { reason: "DependencyNotReady", message });
        }
    }
    let commit = revision.rsplit_once(':').map_or(revision, |(_, commit)| commit);
    let mut objects = build_at(store, commit, text(&object["spec"]["path"]))
        .map_err(|error| Failure { reason: "BuildFailed", message: error.to_string() })?;
    let owner = json!({"metadata": {"labels": {
        "kustomize.toolkit.fluxcd.io/name": name(object),
        "kustomize.toolkit.fluxcd.io/namespace": namespace(object),
    }}});
    for built in &mut objects {
        if let Some(target) = object["spec"]["targetNamespace"].as_str() {
            set_namespace(built, target);
        }
        merge(built, owner.clone());
    }
    objects.sort_by_key(|it| !matches!(text(&it["kind"]), "Namespace" | "CustomResourceDefinition"));
    refused_by_webhook(scene, &objects)?;
    Ok(objects)
}

/// Longhorn's webhook has failurePolicy Fail: without an endpoint no Longhorn object can be written.
fn refused_by_webhook(scene: &Scene<'_>, objects: &[Value]) -> Result<(), Failure> {
    let service = "longhorn-admission-webhook";
    let slices = scene.list(&SLICES);
    let mut known = slices
        .iter()
        .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service)
        .peekable();
    let answers = known.peek().is_none()
        || known.flat_map(|slice| items(&slice["endpoints"])).any(|endpoint| endpoint["conditions"]["ready"] == true);
    let blocked = objects.iter().find(|object| {
        !answers
            && text(&object["apiVersion"]).starts_with("longhorn.io/")
            && scene.mirror.find(object).is_none_or(|there| would_change(&there, object))
    });
    match blocked {
        Some(object) if !scene.timers.instant => Err(Failure {
            reason: "ReconciliationFailed",
            message: format!(
                "{}/{}/{} dry-run failed: Internal error occurred: failed calling webhook \"mutator.longhorn.io\": no \
                 endpoints available for service \"{service}\"",
                text(&object["kind"]), namespace(object), name(object),
            ),
        }),
        _ => Ok(()),
    }
}

/// The status at the end of an attempt; `None` while it goes on.
fn outcome(scene: &Scene<'_>, object: &Value, attempt: &Attempt) -> Option<Value> {
    if let Some(why) = attempt.objects.iter().find_map(|it| scene.timers.refusal(it)) {
        let failure = Failure { reason: "ReconciliationFailed", message: why };
        return Some(failed(object, attempt, &failure));
    }
    let wait = object["spec"]["wait"] == true;
    if wait {
        let waiting: Vec<String> = attempt.objects.iter().filter_map(|it| health::trouble(scene, it)).collect();
        if !waiting.is_empty() {
            if !scene.timers.overdue(&format!("health/{}", uid_of(object)), scene.pace.health_timeout) {
                return None;
            }
            let message = format!(
                "health check failed after {}: timeout waiting for: [{}]",
                object["spec"]["timeout"].as_str().unwrap_or("30s"), waiting.join(", "),
            );
            let failure = Failure { reason: "HealthCheckFailed", message };
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

fn failed(object: &Value, attempt: &Attempt, failure: &Failure) -> Value {
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

fn finish(object: &Value, status: Value, changes: &mut Vec<Change>) {
    if would_change(&object["status"], &status) {
        changes.push(Change::status(&KUSTOMIZATIONS, object, status));
    }
}

fn stall(object: &Value, changes: &mut Vec<Change>) {
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
fn in_order(conditions: Value) -> Value {
    let mut list = items(&conditions).to_vec();
    list.sort_by_key(|it| match text(&it["type"]) {
        "Stalled" => 0,
        "Reconciling" => 1,
        "Ready" => 2,
        _ => 3,
    });
    list.into()
}

fn inventory(objects: &[Value]) -> Vec<Value> {
    objects
        .iter()
        .map(|object| {
            let api = text(&object["apiVersion"]);
            let (group, version) = api.rsplit_once('/').unwrap_or(("", api));
            let id = format!("{}_{}_{group}_{}", namespace(object), name(object), text(&object["kind"]));
            json!({"id": id, "v": version})
        })
        .collect()
}

/// Deletes what was in the inventory and is not built any more, if it is still ours and nobody opted out.
fn prune(scene: &Scene<'_>, object: &Value, built: &[Value], changes: &mut Vec<Change>) {
    if object["spec"]["prune"] != true {
        return;
    }
    let kept: BTreeSet<String> = inventory(built).iter().map(|entry| text(&entry["id"]).to_owned()).collect();
    for entry in items(&object["status"]["inventory"]["entries"]) {
        let id = text(&entry["id"]);
        if kept.contains(id) {
            continue;
        }
        let parts: Vec<&str> = id.split('_').collect();
        let &[space, object_name, group, kind] = parts.as_slice() else { continue };
        let Some(res) = kinds::by_kind(&kinds::api_version(group, "v"), kind) else { continue };
        let Some(there) = scene.get(res, space, object_name) else { continue };
        let meta = &there["metadata"];
        let ours = meta["labels"]["kustomize.toolkit.fluxcd.io/name"] == name(object)
            && meta["labels"]["kustomize.toolkit.fluxcd.io/namespace"] == namespace(object);
        let opted_out = ["labels", "annotations"].iter().any(|part| {
            meta[*part]["kustomize.toolkit.fluxcd.io/prune"] == "disabled"
                || meta[*part]["kustomize.toolkit.fluxcd.io/reconcile"] == "disabled"
        });
        if ours && !opted_out && !deleting(&there) {
            changes.push(Change::delete(res, &there));
        }
    }
}

fn finalize(scene: &Scene<'_>, object: &Value, changes: &mut Vec<Change>) {
    let finalizers = items(&object["metadata"]["finalizers"]);
    if finalizers.iter().any(|it| it == FINALIZER) {
        if object["spec"]["suspend"] != true {
            prune(scene, object, &[], changes);
        }
        let left: Vec<&Value> = finalizers.iter().filter(|it| *it != FINALIZER).collect();
        changes.push(Change::spec(&KUSTOMIZATIONS, object, json!({"metadata": {"finalizers": left}})));
    }
}
