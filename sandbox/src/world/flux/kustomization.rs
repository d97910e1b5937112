//! kustomize-controller: builds, applies, waits for health, prunes, and says so in the order the real one does.
//!
//! `lastAttemptedRevision` is written when the attempt begins; `lastAppliedRevision`, Ready and
//! `lastHandledReconcileAt` when it ends, which with `wait: true` is after the health wait.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde_json::{Value, json};

use crate::world::{
    kinds::{GIT_REPOSITORIES, KUSTOMIZATIONS, SLICES},
    make::{
        condition, conditions, deleting, items, merge, name, namespace, text, uid_of, would_change,
    },
    scene::{Change, Scene},
};

use super::{
    build::{build_at, set_namespace},
    decrypt::decrypt,
    inventory::{FINALIZER, finalize, inventory, prune},
    source::{REQUESTED, without},
    verdict::{Attempt, Failure, failed, finish, in_order, outcome, stall},
};

const MANAGER: &str = "kustomize-controller";
/// The fault with which this controller is not told of new artifacts.
const LATE: &str = "flux-artifact-late";

pub(crate) struct Kustomize {
    store: PathBuf,
    attempts: BTreeMap<String, Attempt>,
    /// The artifact of each source that this controller has heard of, while it hears late.
    heard: BTreeMap<String, String>,
}

impl Kustomize {
    pub(crate) fn new(store: PathBuf) -> Self {
        Self {
            store,
            attempts: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    pub(crate) fn step(&mut self, scene: &Scene<'_>, changes: &mut Vec<Change>) {
        if !scene.fault(LATE) {
            self.heard.clear();
        }
        if scene.fault("flux-controller-down") {
            self.attempts.clear();
            return;
        }
        for object in scene.list(&KUSTOMIZATIONS) {
            if deleting(&object) {
                finalize(scene, &object, changes);
            } else if object["spec"]["suspend"] == true {
                self.attempts.remove(uid_of(&object));
            } else if scene.fault("flux-kustomization-stalled")
                && name(&object) == "infrastructure-storage"
            {
                self.attempts.remove(uid_of(&object));
                stall(&object, changes);
            } else if let Some(attempt) = self.attempts.get(uid_of(&object)) {
                if let Some(status) = outcome(scene, &object, attempt) {
                    self.attempts.remove(uid_of(&object));
                    finish(&object, status, changes);
                    rest(scene, &object);
                }
            } else if self.due(scene, &object) {
                self.begin(scene, &object, changes);
            }
        }
    }

    /// Whether it is time for an attempt.
    fn due(&mut self, scene: &Scene<'_>, object: &Value) -> bool {
        let status = &object["status"];
        let token = &object["metadata"]["annotations"][REQUESTED];
        let revision = self.known(scene, object);
        let asked = (token.is_string() && token != &status["lastHandledReconcileAt"])
            || object["metadata"]["generation"] != status["observedGeneration"];
        if hears_late(scene, object) && condition(object, "Ready") == "True" {
            return asked;
        }
        if asked
            || (!revision.is_empty()
                && status["lastAttemptedRevision"] != revision.as_str()
                && !waits_for_others(object))
        {
            return true;
        }
        let uid = uid_of(object);
        if condition(object, "Ready") == "True" {
            !scene.timers.instant
                && scene
                    .timers
                    .waited(&format!("rest/{uid}"), scene.pace.kustomize_interval)
        } else {
            let (what, long) = if waits_for_others(object) {
                ("depend", scene.pace.kustomize_retry / 3)
            } else {
                ("retry", scene.pace.kustomize_retry)
            };
            scene.timers.waited(&format!("{what}/{uid}"), long)
        }
    }

    /// The revision of the source as this controller knows it.
    fn known(&mut self, scene: &Scene<'_>, object: &Value) -> String {
        let newest = artifact(scene, object);
        if scene.fault(LATE) {
            let source = text(&object["spec"]["sourceRef"]["name"]).to_owned();
            self.heard.entry(source).or_insert(newest).clone()
        } else {
            newest
        }
    }

    /// A request is what makes a controller look that hears of no new artifacts; too late for the one who asked.
    fn look(&mut self, scene: &Scene<'_>, object: &Value) {
        if hears_late(scene, object) {
            let source = text(&object["spec"]["sourceRef"]["name"]).to_owned();
            self.heard.insert(source, artifact(scene, object));
        }
    }

    fn begin(&mut self, scene: &Scene<'_>, object: &Arc<Value>, changes: &mut Vec<Change>) {
        rest(scene, object);
        let token = object["metadata"]["annotations"][REQUESTED].clone();
        let revision = self.known(scene, object);
        self.look(scene, object);
        if !items(&object["metadata"]["finalizers"])
            .iter()
            .any(|it| it == FINALIZER)
        {
            changes.push(Change::spec(
                &KUSTOMIZATIONS,
                object,
                json!({"metadata": {"finalizers": [FINALIZER]}}),
            ));
        }
        match prepare(scene, object, &revision, &self.store) {
            Ok(objects) => {
                let mut status = json!({"lastAttemptedRevision": revision, "inventory": {"entries": inventory(&objects)}});
                // A look that finds nothing new leaves Ready alone.
                if text(&object["status"]["lastAppliedRevision"]) != revision
                    || condition(object, "Ready") != "True"
                {
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
                        changes.push(Change::Apply {
                            manager: MANAGER,
                            object: object.clone(),
                        });
                    }
                }
                scene.timers.forget(&format!("health/{}", uid_of(object)));
                let generation = object["metadata"]["generation"].clone();
                self.attempts.insert(
                    uid_of(object).to_owned(),
                    Attempt {
                        revision,
                        token,
                        objects,
                        generation,
                    },
                );
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
    ["annotations", "labels"]
        .iter()
        .any(|part| object["metadata"][*part][key] == "disabled")
}

/// Whether this Kustomization is applied as it was known before, and only when somebody asks.
fn hears_late(scene: &Scene<'_>, object: &Value) -> bool {
    scene.fault(LATE) && name(object) == "infrastructure-storage"
}

/// A dependency that is not ready is looked at again at the retry, not at once.
fn waits_for_others(object: &Value) -> bool {
    items(&object["status"]["conditions"])
        .iter()
        .any(|it| it["reason"] == "DependencyNotReady")
}

/// Starts to count the time until the next look.
fn rest(scene: &Scene<'_>, object: &Value) {
    for (what, long) in [
        ("rest", scene.pace.kustomize_interval),
        ("retry", scene.pace.kustomize_retry),
    ] {
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
fn prepare(
    scene: &Scene<'_>,
    object: &Value,
    revision: &str,
    store: &std::path::Path,
) -> Result<Vec<Value>, Failure> {
    if revision.is_empty() {
        return Err(Failure {
            reason: "ArtifactFailed",
            message: "Source artifact not found, retrying in 30s".into(),
        });
    }
    for dependency in items(&object["spec"]["dependsOn"]) {
        let space = dependency["namespace"]
            .as_str()
            .unwrap_or(namespace(object));
        let other = scene.get(&KUSTOMIZATIONS, space, text(&dependency["name"]));
        let ready = other.is_some_and(|other| {
            condition(&other, "Ready") == "True"
                && other["status"]["observedGeneration"] == other["metadata"]["generation"]
                && (other["spec"]["sourceRef"] != object["spec"]["sourceRef"]
                    || other["status"]["lastAppliedRevision"] == revision)
        });
        if !ready {
            let message = format!(
                "dependency '{space}/{}' is not ready",
                text(&dependency["name"])
            );
            return Err(Failure {
                reason: "DependencyNotReady",
                message,
            });
        }
    }
    let commit = revision
        .rsplit_once(':')
        .map_or(revision, |(_, commit)| commit);
    let mut objects =
        build_at(store, commit, text(&object["spec"]["path"])).map_err(|error| Failure {
            reason: "BuildFailed",
            message: error.to_string(),
        })?;
    decrypt(scene, object, &mut objects)?;
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
    objects
        .sort_by_key(|it| !matches!(text(&it["kind"]), "Namespace" | "CustomResourceDefinition"));
    // Elsewhere the API server calls the webhook, and refuses by itself.
    if scene.cast.own_controllers() {
        refused_by_webhook(scene, &objects)?;
    }
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
        || known
            .flat_map(|slice| items(&slice["endpoints"]))
            .any(|endpoint| endpoint["conditions"]["ready"] == true);
    let blocked = objects.iter().find(|object| {
        !answers
            && text(&object["apiVersion"]).starts_with("longhorn.io/")
            && scene
                .mirror
                .find(object)
                .is_none_or(|there| would_change(&there, object))
    });
    match blocked {
        Some(object) if !scene.timers.instant => Err(Failure {
            reason: "ReconciliationFailed",
            message: format!(
                "{}/{}/{} dry-run failed: Internal error occurred: failed calling webhook \"mutator.longhorn.io\": no \
                 endpoints available for service \"{service}\"",
                text(&object["kind"]),
                namespace(object),
                name(object),
            ),
        }),
        _ => Ok(()),
    }
}
