//! `health`: a volume of two copies that is written and read, and a pod that the scheduler places.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use checks::{
    Criterion, Need, Reason,
    kinds::{CLAIMS, LONGHORN_REPLICAS, LONGHORN_VOLUMES, PODS, STORAGE_CLASSES},
    probe::{RUN, TestVolume, VOLUME, VolumeStage, WORKLOAD, Workload, WorkloadStage},
    resources::longhorn::{Replica, Volume},
    view::{ReadError, Scope},
};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::{
    core::v1::{PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Act, Action, ActionContext, ActionError, Done, Plan,
    temporary::{
        self, Step,
        pod::{Place, container, pod},
        pod_needs,
    },
    wait::{Look, Unmet, Wait},
};

/// Writes, makes sure that it is on the disk, and reads it back past the cache where it can.
const WRITE: &str = r#"said=/dev/termination-log
word="written by $(uname -n) at $(date +%s)"
if ! { echo "$word" >/data/word && sync; } 2>"$said"; then exit 1; fi
back=$(cat /data/word 2>"$said") || exit 1
if [ "$back" = "$word" ]; then echo "read back: $back" >"$said"; exit 0; fi
echo "wrote: $word; read back: $back" >"$said"
exit 1"#;
/// Keeps the volume attached: only of an attached volume does Longhorn know how its copies are.
const HOLD: &str = "exec sleep 100000";
/// Any program.
const RUNS: &str = r#"echo "ran on $(uname -n) as user $(id -u)" >/dev/termination-log"#;
/// The scheduler looks at a pod within moments; what it does not place by then it will not place.
const PLACED: Duration = Duration::from_secs(60);

/// The actions of this phase, in order.
pub(super) const ACTIONS: &[Action] = &[
    Action {
        id: VOLUME,
        title: "a pod on {node} has written to a new volume of two copies and has read it back",
        requires: &[],
        needs: pod_needs![
            Need::get(&STORAGE_CLASSES),
            Need::list(&STORAGE_CLASSES),
            Need::verb("create", &STORAGE_CLASSES),
            Need::verb("delete", &STORAGE_CLASSES),
            Need::list(&CLAIMS),
            Need::verb("watch", &CLAIMS),
            Need::verb("create", &CLAIMS),
            Need::verb("delete", &CLAIMS),
            Need::list(&LONGHORN_VOLUMES),
            Need::verb("watch", &LONGHORN_VOLUMES),
            Need::list(&LONGHORN_REPLICAS),
            Need::verb("watch", &LONGHORN_REPLICAS),
        ],
        criterion: Criterion::Of("2.4"),
        why: "Provisioning, attaching, mounting, writing and copying to the other node are five programs on two nodes; \
              only doing it once shows that they work together.",
        inverse: "nothing: pod, claim, volume and StorageClass are removed as soon as it is known",
        reasons: REASONS,
        act: &TestTheVolume,
    },
    Action {
        id: WORKLOAD,
        title: "the scheduler has been given an ordinary pod for {node}",
        requires: &[],
        needs: pod_needs![],
        criterion: Criterion::Of("1.3"),
        why: "The node is there to take work, and this is a piece of work.",
        inverse: "nothing: its pod is removed as soon as it has ended",
        reasons: REASONS,
        act: &TestTheWorkload,
    },
];

const REASONS: &[Reason] = temporary::REASONS;

fn json_of(value: &impl serde::Serialize) -> Result<String, ActionError> {
    serde_json::to_string(value).map_err(|error| ActionError::new("Malformed", error.to_string()))
}

struct TestTheVolume;

/// The objects of the test volume.
struct Objects {
    class: Value,
    claim: Value,
    pod: Value,
    claim_name: String,
    pod_name: String,
}

/// A class like the one that workloads use, but with two copies, and gone with its claim.
fn class(cx: &ActionContext, name: &str, like: Option<&StorageClass>) -> Value {
    let mut parameters = like
        .and_then(|class| class.parameters.clone())
        .unwrap_or_default();
    parameters.insert("numberOfReplicas".into(), "2".into());
    // Strictly local means one copy.
    parameters.remove("dataLocality");
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": name, "labels": temporary::labels(cx, VOLUME)},
        "provisioner": like.map_or("driver.longhorn.io", |class| class.provisioner.as_str()),
        "parameters": parameters, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
    })
}

async fn objects(cx: &ActionContext) -> Result<Objects, ActionError> {
    let image = temporary::image(cx).await?;
    let wanted = &cx.checks.settings.longhorn.storage_class;
    let like = temporary::once(cx)
        .view
        .find::<StorageClass>(&STORAGE_CLASSES, "", wanted)
        .await?;
    let class_name = temporary::unique(cx, "onboarding-two-copies");
    let claim_name = temporary::claim_name(cx);
    let pod_name = temporary::unique(cx, "writer");
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": claim_name, "namespace": cx.checks.settings.probe.namespace,
            "labels": temporary::labels(cx, VOLUME),
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class_name,
            "resources": {"requests": {"storage": "64Mi"}},
        },
    });
    let mount = json!([{"name": "data", "mountPath": "/data"}]);
    let mut write = container("write", &image, WRITE, &[]);
    write["volumeMounts"] = mount.clone();
    let mut hold = container("hold", &image, HOLD, &[]);
    hold["volumeMounts"] = mount;
    let mut writer = pod(cx, VOLUME, &pod_name, &Place::On(cx.checks.node()), hold);
    writer["spec"]["initContainers"] = json!([write]);
    writer["spec"]["volumes"] =
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]);
    Ok(Objects {
        class: class(cx, &class_name, like.as_deref()),
        claim,
        pod: writer,
        claim_name,
        pod_name,
    })
}

/// What is seen of the volume, and whether that is enough.
enum Seen {
    Enough(TestVolume),
    NotYet(TestVolume),
    Never(ActionError),
}

async fn look(cx: &ActionContext, objects: &Objects) -> Result<Seen, ReadError> {
    let view = &cx.checks.view;
    let label = format!("{RUN}={}", cx.run);
    let scope = Scope::namespace(&cx.checks.settings.probe.namespace).labels(label);
    let claims = view
        .list::<PersistentVolumeClaim>(&CLAIMS, scope.clone())
        .await?;
    let claim = claims
        .iter()
        .find(|claim| claim.metadata.name.as_ref() == Some(&objects.claim_name));
    let bound = claim.filter(|claim| {
        let status = claim.status.as_ref();
        status.and_then(|status| status.phase.as_deref()) == Some("Bound")
    });
    let volume = bound
        .and_then(|claim| claim.spec.as_ref()?.volume_name.clone())
        .unwrap_or_default();
    let mut seen = TestVolume {
        claim: objects.claim_name.clone(),
        volume,
        stage: VolumeStage::Unbound,
        robustness: String::new(),
        nodes: Vec::new(),
        said: "nobody has provisioned one".into(),
    };
    if seen.volume.is_empty() {
        return Ok(Seen::NotYet(seen));
    }
    let pods = view.list::<Pod>(&PODS, scope).await?;
    let pod = pods
        .iter()
        .find(|pod| pod.metadata.name.as_ref() == Some(&objects.pod_name));
    let written = pod.and_then(|pod| {
        let statuses = pod.status.as_ref()?.init_container_statuses.as_ref()?;
        statuses.first()?.state.clone()?.terminated
    });
    seen.stage = VolumeStage::Unattached;
    let Some(written) = written else {
        seen.said = match pod.map(temporary::ended) {
            Some(Step::Never(error)) => return Ok(Seen::Never(error)),
            Some(Step::NotYet(_, words)) => words,
            Some(Step::Done(_)) | None => "its pod is not seen yet".into(),
        };
        return Ok(Seen::NotYet(seen));
    };
    seen.said = written.message.unwrap_or_default().trim().to_owned();
    if written.exit_code != 0 {
        seen.stage = VolumeStage::Unwritten;
        return Ok(Seen::Enough(seen));
    }
    seen.stage = VolumeStage::Written;
    let place = Scope::namespace(&cx.checks.settings.longhorn.namespace);
    let volumes = view
        .list::<Volume>(&LONGHORN_VOLUMES, place.clone())
        .await?;
    let replicas = view.list::<Replica>(&LONGHORN_REPLICAS, place).await?;
    let own = volumes.iter().find(|one| one.metadata.name == seen.volume);
    seen.robustness = own
        .map(|own| own.status.robustness.clone())
        .unwrap_or_default();
    seen.nodes = replicas
        .iter()
        .filter(|one| one.spec.volume_name == seen.volume && one.is_healthy())
        .map(|one| one.spec.node_id.clone())
        .collect();
    seen.nodes.sort();
    seen.nodes.dedup();
    Ok(if seen.nodes.len() >= 2 && seen.robustness == "healthy" {
        Seen::Enough(seen)
    } else {
        Seen::NotYet(seen)
    })
}

/// What is seen, in the words of a wait.
fn words(seen: &TestVolume) -> String {
    match seen.stage {
        VolumeStage::Unbound => format!("claim {} has no volume yet", seen.claim),
        VolumeStage::Unattached => format!("volume {}: {}", seen.volume, seen.said),
        VolumeStage::Unwritten | VolumeStage::Written => format!(
            "volume {} is {}, whole copies on {} of 2 nodes",
            seen.volume,
            if seen.robustness.is_empty() {
                "unknown"
            } else {
                &seen.robustness
            },
            seen.nodes.len()
        ),
    }
}

/// Until when one of several waits of the phase may last: what comes after it needs time, too.
fn share(cx: &ActionContext) -> Instant {
    let now = Instant::now();
    now + cx.deadline.saturating_duration_since(now).mul_f64(0.6)
}

/// Follows the volume until it is well, or time is over: then what was seen last is the answer.
async fn follow(cx: &ActionContext, objects: &Objects) -> Result<TestVolume, ActionError> {
    let last: Mutex<Option<TestVolume>> = Mutex::default();
    let wait = Wait {
        id: VOLUME,
        view: &cx.checks.view,
        deadline: share(cx),
        poll: cx.checks.settings.poll.0,
        observer: cx.observer.as_ref(),
        stop: &cx.stop,
    };
    let kept = &last;
    let met = wait
        .until(|| async move {
            match look(cx, objects).await {
                Ok(Seen::Enough(seen)) => Look::Done(seen),
                Ok(Seen::NotYet(seen)) => {
                    let words = words(&seen);
                    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
                    Look::NotYet(words)
                }
                Ok(Seen::Never(error)) => Look::Never(error),
                Err(error) => Look::from(error),
            }
        })
        .await;
    match met {
        Ok(seen) => Ok(seen),
        Err(Unmet::Never(error)) => Err(error),
        Err(Unmet::Stopped(seen)) => Err(temporary::interrupted().saw(seen)),
        Err(Unmet::Deadline(words)) => {
            let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
            let reason = if words.contains("Image") {
                "ImageNotPulled"
            } else {
                "PodNotStarted"
            };
            last.filter(|_| reason != "ImageNotPulled")
                .ok_or_else(|| ActionError::new(reason, words))
        }
    }
}

impl Act for TestTheVolume {
    fn probe<'a>(
        &'a self,
        _: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async { Ok(None) }.boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let objects = objects(cx).await?;
            let namespace = temporary::namespace(cx);
            let manifests = [&namespace, &objects.class, &objects.claim, &objects.pod];
            Ok(Plan {
                parts: temporary::planned(cx, &manifests).await?,
            })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let objects = objects(cx).await?;
            temporary::begin(cx, VOLUME).await?;
            temporary::create(cx, &STORAGE_CLASSES, "", &objects.class).await?;
            let namespace = &cx.checks.settings.probe.namespace;
            temporary::create(cx, &CLAIMS, namespace, &objects.claim).await?;
            temporary::create_pod(cx, &objects.pod).await?;
            let seen = follow(cx, &objects).await?;
            let mut done = Done::new(words(&seen)).record("volume", json_of(&seen)?);
            if !seen.said.is_empty() {
                done = done.saw(seen.said.clone());
            }
            Ok(done)
        }
        .boxed()
    }

    fn is_temporary(&self) -> bool {
        true
    }
}

struct TestTheWorkload;

async fn workload(cx: &ActionContext) -> Result<(String, Value), ActionError> {
    let image = temporary::image(cx).await?;
    let name = temporary::unique(cx, "work");
    let container = container("work", &image, RUNS, &[]);
    let place = Place::Scheduled(cx.checks.node());
    let pod = pod(cx, WORKLOAD, &name, &place, container);
    Ok((name, pod))
}

impl Act for TestTheWorkload {
    fn probe<'a>(
        &'a self,
        _: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async { Ok(None) }.boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let (_, pod) = workload(cx).await?;
            Ok(Plan {
                parts: temporary::planned(cx, &[&temporary::namespace(cx), &pod]).await?,
            })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let (name, pod) = workload(cx).await?;
            temporary::begin(cx, WORKLOAD).await?;
            temporary::create_pod(cx, &pod).await?;
            let names = [name.clone()];
            let deadline = share(cx).min(Instant::now() + PLACED);
            let ended =
                temporary::pods_until(cx, WORKLOAD, &names, deadline, temporary::ended).await;
            let (stage, said) = match ended {
                Ok(ended) => match ended.into_iter().next() {
                    Some(end) if end.code == 0 => (WorkloadStage::Ran, end.message),
                    Some(end) => (
                        WorkloadStage::Failed,
                        format!("exit code {}: {}", end.code, end.message),
                    ),
                    None => (WorkloadStage::Unstarted, String::new()),
                },
                // What the scheduler and the kubelet make of a pod is what is asked here, and no mishap.
                Err(error) => match error.reason {
                    "PodUnschedulable" => (WorkloadStage::Unscheduled, error.message),
                    "PodNotStarted" | "PodNotFinished" | "PodRejected" => {
                        (WorkloadStage::Unstarted, error.message)
                    }
                    _ => return Err(error),
                },
            };
            let seen = Workload {
                pod: name,
                stage,
                said: said.trim().to_owned(),
            };
            let message = match stage {
                WorkloadStage::Ran => format!("pod {} was placed and ran; {}", seen.pod, seen.said)
                    .trim_end_matches([' ', ';'])
                    .to_owned(),
                _ => format!("pod {} did not run: {}", seen.pod, seen.said),
            };
            Ok(Done::new(message).record("workload", json_of(&seen)?))
        }
        .boxed()
    }

    fn is_temporary(&self) -> bool {
        true
    }

    /// The last action with objects of its own: the namespace goes with it.
    fn release<'a>(
        &'a self,
        cx: &'a ActionContext,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, ActionError>> {
        async move {
            let mut removed = temporary::release(cx, id).await?;
            let namespace = &cx.checks.settings.probe.namespace;
            removed.extend(temporary::leave_namespace(&cx.client, namespace, &cx.run).await?);
            Ok(removed)
        }
        .boxed()
    }
}
