//! Draining a node: which pods go, which stand in the way, and evicting them.
//!
//! The rules are `kubectl drain`'s
//! (<https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/>): pods of DaemonSets and mirror pods stay,
//! data in an emptyDir and pods that nobody would start again need a word from a person. Pods are evicted through the
//! Eviction API with their own grace period; nothing here ever deletes a pod.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use checks::{
    Consent,
    kinds::PODS,
    resources::{full_name, workload},
    view::Scope,
};
use http::Request;
use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Pod, policy::v1::PodDisruptionBudget};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{ActionContext, ActionError, Done, flux, rollback::Blocker, wait::Look};

/// What becomes of a pod on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PodFate {
    /// It is evicted; what a flag covers of it.
    Evicted {
        /// `--delete-emptydir-data`, `--force`: where its data or the pod itself does not come back.
        covered: Vec<&'static str>,
    },
    /// It is on its way out already.
    Ending,
    /// It belongs to a DaemonSet, is a mirror pod, or is Longhorn's own engine room: it goes with the node.
    Stays,
    /// It cannot be evicted.
    Blocked(Vec<Blocker>),
}

/// What a pod's fate is judged by.
pub(crate) struct Judge<'a> {
    /// All budgets; none when they are left to the server.
    pub(crate) budgets: &'a [PodDisruptionBudget],
    /// All DaemonSets; absent when an owner's word is enough.
    pub(crate) sets: Option<&'a [DaemonSet]>,
    /// What a person has agreed to lose.
    pub(crate) consent: &'a Consent,
    /// Longhorn's namespace.
    pub(crate) storage: &'a str,
}

impl Judge<'_> {
    /// What becomes of a pod.
    pub(crate) fn fate(&self, pod: &Pod) -> PodFate {
        let meta = &pod.metadata;
        if meta.deletion_timestamp.is_some() {
            return PodFate::Ending;
        }
        let finished = workload::is_finished(pod);
        let owner = meta
            .owner_references
            .iter()
            .flatten()
            .find(|one| one.controller == Some(true));
        let mut orphaned = None;
        if let Some(owner) = owner
            && owner.kind == "DaemonSet"
            && !finished
        {
            let namespace = meta.namespace.as_deref().unwrap_or_default();
            let there = self.sets.is_none_or(|sets| {
                sets.iter().any(|set| {
                    set.metadata.namespace.as_deref() == Some(namespace)
                        && set.metadata.name.as_deref() == Some(owner.name.as_str())
                })
            });
            if there {
                return PodFate::Stays;
            }
            orphaned = Some(format!("its DaemonSet {} does not exist", owner.name));
        }
        let annotations = meta.annotations.as_ref();
        if annotations.is_some_and(|all| all.contains_key("kubernetes.io/config.mirror")) {
            return PodFate::Stays;
        }
        let engine_room = owner.is_some_and(|owner| {
            owner.api_version.starts_with("longhorn.io/")
                && [
                    "InstanceManager",
                    "BackingImageManager",
                    "BackingImageDataSource",
                ]
                .contains(&owner.kind.as_str())
        });
        if engine_room && meta.namespace.as_deref() == Some(self.storage) {
            return PodFate::Stays;
        }
        let ours = meta.labels.as_ref().is_some_and(|all| {
            all.get("app.kubernetes.io/managed-by").map(String::as_str) == Some("onboarding")
        });
        // What a run of this program left behind is nobody's loss.
        if finished || ours {
            return PodFate::Evicted {
                covered: Vec::new(),
            };
        }
        let name = full_name(meta);
        let mut blockers = Vec::new();
        let mut covered = Vec::new();
        if owner.is_none() || orphaned.is_some() {
            let why = orphaned.unwrap_or_else(|| "nothing would start it again".into());
            if self.consent.unmanaged {
                covered.push("--force");
            } else {
                blockers.push(Blocker::new(
                    "UnmanagedPod",
                    format!("pod {name}"),
                    why,
                    "keep what it is for, or let it go for good with --force",
                ));
            }
        }
        let emptydir = pod
            .spec
            .iter()
            .flat_map(|spec| spec.volumes.iter().flatten())
            .find(|volume| volume.empty_dir.is_some());
        if let Some(volume) = emptydir {
            if self.consent.emptydir {
                covered.push("--delete-emptydir-data");
            } else {
                blockers.push(Blocker::new(
                    "EmptyDirData",
                    format!("pod {name}"),
                    format!("its emptyDir {} would be lost with it", volume.name),
                    "save what is in it, or let it go with --delete-emptydir-data",
                ));
            }
        }
        blockers.extend(self.budget(pod, &name));
        if blockers.is_empty() {
            PodFate::Evicted { covered }
        } else {
            PodFate::Blocked(blockers)
        }
    }

    /// What the budgets say, by the rule of the Eviction API.
    fn budget(&self, pod: &Pod, name: &str) -> Option<Blocker> {
        let phase = pod.status.as_ref().and_then(|one| one.phase.as_deref());
        if phase == Some("Pending") {
            return None;
        }
        let guards: Vec<&PodDisruptionBudget> = self
            .budgets
            .iter()
            .filter(|one| one.metadata.namespace == pod.metadata.namespace)
            .filter(|one| {
                let selector = one.spec.as_ref().and_then(|spec| spec.selector.as_ref());
                selector.is_some_and(|one| workload::selects(one, pod.metadata.labels.as_ref()))
            })
            .collect();
        let title = |one: &PodDisruptionBudget| full_name(&one.metadata);
        match guards.as_slice() {
            [] => None,
            [one] => {
                let status = one.status.clone().unwrap_or_default();
                let always = one
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref())
                    == Some("AlwaysAllow");
                let satisfied =
                    status.current_healthy >= status.desired_healthy && status.desired_healthy > 0;
                let free = !workload::is_ready(pod) && (always || satisfied);
                (status.disruptions_allowed <= 0 && !free).then(|| {
                    Blocker::new(
                        "DisruptionBudget",
                        format!("pod {name}"),
                        format!(
                            "PodDisruptionBudget {} needs {} healthy pods and has {}",
                            title(one),
                            status.desired_healthy,
                            status.current_healthy
                        ),
                        "give the workload another replica that is ready, or change the budget",
                    )
                })
            }
            several => Some(Blocker::new(
                "SeveralBudgets",
                format!("pod {name}"),
                format!(
                    "{} PodDisruptionBudgets select it, and the Eviction API allows one: {}",
                    several.len(),
                    several
                        .iter()
                        .map(|one| title(one))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
                "leave one of them: kubectl -n NAMESPACE delete poddisruptionbudget NAME",
            )),
        }
    }
}

/// What the server answered to an eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It goes.
    Accepted,
    /// It has gone, or another pod has taken its name.
    Gone,
    /// Not now: a budget, or the server asks for patience.
    Later {
        /// In the server's words.
        why: String,
        /// When to ask again, if the server said so.
        after: Option<Duration>,
    },
    /// Never.
    Never(ActionError),
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accepted => f.write_str("server accepts"),
            Self::Gone => f.write_str("not sent: absent"),
            Self::Later { why, .. } => write!(f, "server would wait: {why}"),
            Self::Never(error) => write!(f, "server refuses: {}", error.message),
        }
    }
}

/// Asks for one eviction. Asking again is harmless: the UID says which pod is meant.
pub(crate) async fn evict(cx: &ActionContext, pod: &Pod, dry: bool) -> Reply {
    let meta = &pod.metadata;
    let (namespace, name) = (
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default(),
    );
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": meta.uid}},
    });
    let query = if dry { "?dryRun=All" } else { "" };
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction{query}");
    let request = Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(http::header::ACCEPT, "application/json")
        .body(serde_json::to_vec(&body).unwrap_or_default());
    let request = match request {
        Ok(request) => request,
        Err(error) => return Reply::Never(ActionError::new("Malformed", error.to_string())),
    };
    match cx.client.request::<Value>(request).await {
        Ok(_) => Reply::Accepted,
        Err(error) => judged(&full_name(meta), &error),
    }
}

/// What an answer to an eviction means.
fn judged(name: &str, error: &kube::Error) -> Reply {
    let said = flux::words(error);
    let kube::Error::Api(status) = error else {
        // It may have arrived all the same: the next look sees it.
        return Reply::Later {
            why: said,
            after: None,
        };
    };
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.as_slice())
        .unwrap_or_default();
    let after = status
        .details
        .as_ref()
        .map(|details| details.retry_after_seconds)
        .filter(|seconds| *seconds > 0)
        .map(|seconds| Duration::from_secs(u64::from(seconds)));
    match status.code {
        404 | 409 => Reply::Gone,
        429 => Reply::Later {
            why: causes
                .iter()
                .find(|cause| cause.reason == "DisruptionBudget" && !cause.message.is_empty())
                .map_or(said, |cause| cause.message.clone()),
            after,
        },
        500 if said.contains("more than one PodDisruptionBudget") => Reply::Never(
            ActionError::new("SeveralBudgets", format!("pod {name}: {said}"))
                .hint("leave one of them: kubectl get poddisruptionbudgets -A"),
        ),
        403 if causes
            .iter()
            .any(|cause| cause.reason == "NamespaceTerminating") =>
        {
            Reply::Later {
                why: "its namespace is being deleted".into(),
                after,
            }
        }
        _ if flux::is_refusal(&status.message) => Reply::Never(ActionError::new(
            flux::WEBHOOK_REFUSED,
            format!("pod {name} may not be evicted: {said}"),
        )),
        401 | 403 => Reply::Never(ActionError::new(
            "MissingPermission",
            format!("may not create pods/eviction for {name}: {said}"),
        )),
        400 | 422 => Reply::Never(ActionError::new("Malformed", format!("pod {name}: {said}"))),
        _ => Reply::Later { why: said, after },
    }
}

/// How long a budget is left alone after it said no, in beats of a wait: kubectl's five seconds at the usual two.
const PAUSE: f64 = 2.5;

/// When a pod is asked again, and what was answered last.
type Asked = BTreeMap<String, (Instant, String)>;

/// Evicts every pod of the node that is to go, and waits until they are gone.
pub(crate) async fn drain(cx: &ActionContext, id: &str, silent: bool) -> Result<Done, ActionError> {
    let settings = &cx.checks.settings;
    let node = cx.checks.node();
    let asked: Mutex<Asked> = Mutex::default();
    let evicted: Mutex<BTreeMap<String, String>> = Mutex::default();
    let pause = settings.poll.0.mul_f64(PAUSE);
    let (asked, evicted) = (&asked, &evicted);
    let met = flux::wait(cx, id)
        .until(|| async move {
            let pods = match cx
                .checks
                .view
                .list::<Pod>(&PODS, Scope::on_node(node))
                .await
            {
                Ok(pods) => pods,
                Err(error) => return Look::from(error),
            };
            let judge = Judge {
                // The server knows them better at this moment.
                budgets: &[],
                sets: None,
                consent: &settings.consent,
                storage: &settings.longhorn.namespace,
            };
            let mut left = Vec::new();
            let mut due = Vec::new();
            for pod in pods.iter() {
                match judge.fate(pod) {
                    PodFate::Stays => {}
                    PodFate::Ending if silent && is_overdue(pod, settings.poll.0) => {}
                    PodFate::Ending if is_of_daemonset(pod) => {}
                    PodFate::Ending => left.push(format!("{} is ending", full_name(&pod.metadata))),
                    PodFate::Blocked(blockers) => {
                        return Look::Never(refused(&blockers));
                    }
                    PodFate::Evicted { .. } => {
                        let uid = pod.metadata.uid.clone().unwrap_or_default();
                        let held = locked(asked).get(&uid).cloned();
                        match held {
                            Some((next, said)) if next > Instant::now() => {
                                left.push(format!("{}: {said}", full_name(&pod.metadata)));
                            }
                            _ => due.push(pod),
                        }
                    }
                }
            }
            let replies = futures::future::join_all(due.iter().map(|pod| evict(cx, pod, false)));
            for (pod, reply) in due.iter().zip(replies.await) {
                let (name, uid) = (
                    full_name(&pod.metadata),
                    pod.metadata.uid.clone().unwrap_or_default(),
                );
                let (after, said) = match reply {
                    Reply::Never(error) => return Look::Never(error),
                    Reply::Gone => (pause, "is gone".to_owned()),
                    Reply::Accepted => {
                        locked(evicted).insert(uid.clone(), name.clone());
                        (pause, "is ending".to_owned())
                    }
                    Reply::Later { why, after } => (after.unwrap_or(pause), why),
                };
                left.push(format!("{name}: {said}"));
                locked(asked).insert(uid, (Instant::now() + after, said));
            }
            if left.is_empty() {
                let stay = pods.iter().filter(|pod| judge.fate(pod) == PodFate::Stays);
                return Look::Done(stay.count());
            }
            left.sort();
            let more = left.len();
            left.truncate(3);
            Look::Left(more as u64, format!("{more} to go: {}", left.join("; ")))
        })
        .await;
    let evicted = locked(evicted).clone();
    match met {
        Ok(stay) => {
            let gone = match evicted.len() {
                1 => "1 pod evicted".to_owned(),
                count => format!("{count} pods evicted"),
            };
            let done = Done::new(format!("{gone}; {stay} go with the node"));
            Ok(evicted.into_values().fold(done, Done::saw))
        }
        Err(unmet) => {
            let error = flux::unmet_error(
                unmet,
                "DrainUnfinished",
                &format!("node {node} was not drained"),
            );
            Err(evicted
                .into_values()
                .fold(error, |error, name| error.saw(format!("evicted {name}"))))
        }
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn is_of_daemonset(pod: &Pod) -> bool {
    let owners = pod.metadata.owner_references.iter().flatten();
    owners
        .into_iter()
        .any(|one| one.controller == Some(true) && one.kind == "DaemonSet")
}

/// What stands in the way, as an error of the step that met it.
pub(crate) fn refused(blockers: &[Blocker]) -> ActionError {
    let Some(first) = blockers.first() else {
        return ActionError::new("Blocked", "something stands in the way");
    };
    let error = ActionError::new(first.reason, format!("{}: {}", first.object, first.message));
    blockers
        .iter()
        .skip(1)
        .fold(error.hint(first.hint), |error, one| {
            error.saw(format!("{}: {}", one.object, one.message))
        })
}

/// Whether a pod that nobody ends has been Terminating for its grace and a minute (thirty beats of a wait).
pub(crate) fn is_overdue(pod: &Pod, beat: Duration) -> bool {
    // The deletion timestamp is when the grace ends.
    pod.metadata.deletion_timestamp.as_ref().is_some_and(|at| {
        let since = k8s_openapi::jiff::Timestamp::now().duration_since(at.0);
        Duration::try_from(since).is_ok_and(|since| since > beat * 30)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(value: Value) -> Pod {
        let mut base = json!({
            "metadata": {"name": "p", "namespace": "a", "labels": {"app": "x"}, "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true},
            ]},
            "spec": {"containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        for (part, fields) in value.as_object().unwrap() {
            for (key, field) in fields.as_object().unwrap() {
                base[part][key] = field.clone();
            }
        }
        serde_json::from_value(base).unwrap()
    }

    fn budget(name: &str, allowed: i32, healthy: i32) -> PodDisruptionBudget {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "a"},
            "spec": {"selector": {"matchLabels": {"app": "x"}}},
            "status": {
                "disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": 1, "expectedPods": 1,
            },
        }))
        .unwrap()
    }

    fn fate(pod: &Pod, budgets: &[PodDisruptionBudget], consent: &Consent) -> PodFate {
        Judge {
            budgets,
            sets: Some(&[]),
            consent,
            storage: "longhorn-system",
        }
        .fate(pod)
    }

    fn reasons(fate: PodFate) -> Vec<&'static str> {
        match fate {
            PodFate::Blocked(blockers) => blockers.iter().map(|one| one.reason).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn what_kubectl_would_not_evict_is_not_evicted_either() {
        let none = Consent::default();
        let plain = pod(json!({}));
        assert_eq!(
            fate(&plain, &[], &none),
            PodFate::Evicted { covered: vec![] }
        );
        let alone = pod(json!({
            "metadata": {"ownerReferences": []},
            "spec": {"volumes": [{"name": "cache", "emptyDir": {}}]},
        }));
        assert_eq!(
            reasons(fate(&alone, &[], &none)),
            ["UnmanagedPod", "EmptyDirData"]
        );
        let all = Consent {
            emptydir: true,
            unmanaged: true,
            ..Consent::default()
        };
        assert_eq!(
            fate(&alone, &[], &all),
            PodFate::Evicted {
                covered: vec!["--force", "--delete-emptydir-data"]
            }
        );
        let finished = pod(json!({
            "metadata": {"ownerReferences": []}, "status": {"phase": "Succeeded"},
        }));
        assert_eq!(
            fate(&finished, &[], &none),
            PodFate::Evicted { covered: vec![] }
        );
        let mirror = pod(json!({"metadata": {
            "ownerReferences": [], "annotations": {"kubernetes.io/config.mirror": "x"},
        }}));
        assert_eq!(fate(&mirror, &[], &none), PodFate::Stays);
        let of_set = pod(json!({"metadata": {"ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": true},
        ]}}));
        assert_eq!(reasons(fate(&of_set, &[], &none)), ["UnmanagedPod"]);
    }

    #[test]
    fn budgets_are_read_as_the_server_reads_them() {
        let none = Consent::default();
        let ready = pod(json!({}));
        let reasons_of =
            |pod: &Pod, budgets: &[PodDisruptionBudget]| reasons(fate(pod, budgets, &none));
        assert!(reasons_of(&ready, &[budget("b", 1, 2)]).is_empty());
        assert_eq!(
            reasons_of(&ready, &[budget("b", 0, 1)]),
            ["DisruptionBudget"]
        );
        assert_eq!(
            reasons_of(&ready, &[budget("b", 1, 2), budget("c", 1, 2)]),
            ["SeveralBudgets"]
        );
        let broken = pod(json!({"status": {"conditions": []}}));
        assert!(reasons_of(&broken, &[budget("b", 0, 1)]).is_empty());
        assert_eq!(
            reasons_of(&broken, &[budget("b", 0, 0)]),
            ["DisruptionBudget"]
        );
        let pending = pod(json!({"status": {"phase": "Pending"}}));
        assert!(reasons_of(&pending, &[budget("b", 0, 0)]).is_empty());
    }

    fn answer(code: u16, message: &str, cause: &str) -> kube::Error {
        let status: kube::core::Status = serde_json::from_value(json!({
            "status": "Failure", "code": code, "message": message, "reason": "x",
            "details": {"causes": [{"reason": cause, "message": "needs 1"}], "retryAfterSeconds": 3},
        }))
        .unwrap();
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn every_answer_to_an_eviction_has_its_meaning() {
        let judged = |code, message, cause| judged("a/p", &answer(code, message, cause));
        assert_eq!(judged(404, "", ""), Reply::Gone);
        assert_eq!(judged(409, "", ""), Reply::Gone);
        let after = Some(Duration::from_secs(3));
        let later = |why: &str| Reply::Later {
            why: why.into(),
            after,
        };
        assert_eq!(judged(429, "no", "DisruptionBudget"), later("needs 1"));
        assert_eq!(judged(429, "slow down", ""), later("slow down (429)"));
        assert_eq!(judged(504, "late", ""), later("late (504)"));
        assert_eq!(
            judged(403, "", "NamespaceTerminating"),
            later("its namespace is being deleted")
        );
        let never = |reply| match reply {
            Reply::Never(error) => error.reason,
            _ => "",
        };
        let two = "This pod has more than one PodDisruptionBudget";
        assert_eq!(never(judged(500, two, "")), "SeveralBudgets");
        assert_eq!(never(judged(403, "no", "")), "MissingPermission");
        let denied = "admission webhook \"x\" denied the request: no";
        for code in [400, 403, 422, 500] {
            assert_eq!(never(judged(code, denied, "")), "WebhookRefused");
        }
        assert_eq!(judged(429, denied, ""), later(&format!("{denied} (429)")));
    }
}
