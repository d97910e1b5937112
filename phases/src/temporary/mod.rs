//! Objects that live only as long as an action: pods that try something, and what these need.
//!
//! Everything carries the label of the run and ends by itself: pods have a deadline, and nothing restarts them. An
//! action that makes such objects gives them back in [`Act::release`](crate::Act::release), which is called however it
//! ended; the namespace goes when the run ends ([`leave`]). What a killed run leaves is found again by its label.

mod left;
pub(crate) mod pod;
mod refusal;
#[cfg(test)]
mod tests;
mod watch;

use std::time::Duration;

use checks::{
    Context, Reason,
    kinds::{CLAIMS, CONFIGMAPS, Kind, NAMESPACES, PODS, STORAGE_CLASSES},
    pause::Pause,
    probe::{MANAGED, RUN, helper_image},
};
use http::Request;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use serde_json::{Value, json};

use crate::{
    ActionContext, ActionError, Done,
    flux::FIELD_MANAGER,
    wait::{Look, Unmet, Wait},
};
pub(crate) use left::{Left, Whose, leave_namespace, left, release, removals, remove_left};
pub use left::{leave, remove, would_leave};
pub(crate) use watch::{Step, ended, pods_until, serving};

/// The label that names the action that made an object.
const ACTION: &str = "onboarding/action";
/// The label that names the node that the run is about.
const NODE: &str = "onboarding/node";
/// A longer value makes no label. A node has a label of its own name, so hardly one is longer.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>
const LONGEST: usize = 63;

/// What every action with pods of its own needs.
macro_rules! pod_needs {
    ($($more:expr),* $(,)?) => {
        &[
            checks::Need::get(&checks::kinds::CONFIGMAPS),
            checks::Need::get(&checks::kinds::NAMESPACES),
            checks::Need::verb("create", &checks::kinds::NAMESPACES),
            checks::Need::verb("delete", &checks::kinds::NAMESPACES),
            checks::Need::list(&checks::kinds::PODS),
            checks::Need::verb("watch", &checks::kinds::PODS),
            checks::Need::verb("create", &checks::kinds::PODS),
            checks::Need::verb("delete", &checks::kinds::PODS),
            $($more),*
        ]
    };
}
pub(crate) use pod_needs;

/// The reasons of every action with pods of its own.
pub(crate) const REASONS: &[Reason] = refusal::REFUSALS;

/// The kinds that are made, in the order in which they are removed.
const KINDS: [&Kind; 3] = [&PODS, &CLAIMS, &STORAGE_CLASSES];

/// The labels of an object that an action of this run makes.
pub(crate) fn labels(cx: &ActionContext, action: &str) -> Value {
    let (key, value) = MANAGED.split_once('=').unwrap_or((MANAGED, ""));
    let mut labels = json!({key: value, RUN: cx.run, ACTION: action.replace("::", ".")});
    let node = cx.checks.node();
    if node.len() <= LONGEST {
        labels[NODE] = node.into();
    }
    labels
}

/// A name that no other object has: what it is for, the run, and four digits.
pub(crate) fn unique(cx: &ActionContext, purpose: &str) -> String {
    format!("{purpose}-{}-{:04x}", cx.run, fastrand::u16(..))
}

/// A view for single looks at things that are not awaited.
pub(crate) fn once(cx: &ActionContext) -> Context {
    Context {
        view: cx.checks.view.anew(),
        ..cx.checks.clone()
    }
}

/// The image of pods: the configured one, else the one that local-path-provisioner uses for its helper pods, which
/// every node of a k3s cluster can have and most have already.
pub(crate) async fn image(cx: &ActionContext) -> Result<String, ActionError> {
    let configured = &cx.checks.settings.probe.image;
    if !configured.is_empty() {
        return Ok(configured.clone());
    }
    let found = once(cx)
        .view
        .find::<ConfigMap>(&CONFIGMAPS, "kube-system", "local-path-config")
        .await?;
    found
        .as_ref()
        .and_then(|map| map.data.as_ref()?.get("helperPod.yaml"))
        .and_then(|text| helper_image(text))
        .ok_or_else(|| {
            ActionError::new(
                "NoImage",
                "no image for probe pods: [probe] image is empty, and ConfigMap kube-system/local-path-config names none",
            )
        })
}

/// The domain in which the cluster's names lie: `cluster.local` unless k3s was started with another.
pub(crate) async fn domain(cx: &ActionContext) -> Result<String, ActionError> {
    let found = once(cx)
        .view
        .find::<ConfigMap>(&CONFIGMAPS, "kube-system", "cluster-dns")
        .await?;
    let told = found.and_then(|map| map.data.as_ref()?.get("clusterDomain").cloned());
    Ok(told.unwrap_or_else(|| "cluster.local".to_owned()))
}

/// The manifest of the namespace of our own.
pub(crate) fn namespace(cx: &ActionContext) -> Value {
    let mut labels = labels(cx, "run");
    for mode in ["enforce", "audit", "warn"] {
        labels[format!("pod-security.kubernetes.io/{mode}")] = "restricted".into();
    }
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": cx.checks.settings.probe.namespace, "labels": labels},
    })
}

/// Begins: what an earlier start of this run has left goes, and the namespace is there. One that somebody has prepared
/// is used as it is.
pub(crate) async fn begin(cx: &ActionContext, id: &str) -> Result<(), ActionError> {
    if cx.checks.report.resumed > 0 {
        remove(
            &cx.client,
            &cx.checks.settings.probe.namespace,
            &cx.run,
            Some(id),
        )
        .await?;
    }
    let name = cx.checks.settings.probe.namespace.as_str();
    let wait = Wait {
        id,
        view: &cx.checks.view,
        deadline: cx.deadline,
        poll: cx.checks.settings.poll.0,
        observer: cx.observer.as_ref(),
        stop: &cx.stop,
    };
    let met = wait
        .until(|| async {
            // A new view each time: it is asked only here, and a watch of namespaces would be a right more.
            let found = once(cx).view.find::<Namespace>(&NAMESPACES, "", name).await;
            match found {
                Ok(Some(found)) if found.metadata.deletion_timestamp.is_some() => {
                    Look::NotYet(format!(
                        "namespace {name} is being deleted, and must be gone before it is made anew"
                    ))
                }
                Ok(Some(_)) => Look::Done(()),
                Ok(None) => match create(cx, &NAMESPACES, "", &namespace(cx)).await {
                    Ok(()) => Look::Done(()),
                    Err(error) => Look::Never(error),
                },
                Err(error) => Look::from(error),
            }
        })
        .await;
    match met {
        Ok(()) => Ok(()),
        Err(Unmet::Never(error)) => Err(error),
        Err(Unmet::Deadline(seen)) => Err(ActionError::new("NamespaceTerminating", seen)),
        Err(Unmet::Stopped(seen)) => Err(interrupted().saw(seen)),
    }
}

pub(crate) fn interrupted() -> ActionError {
    ActionError::new("Interrupted", "the run was asked to end")
}

/// What the name of a test volume's claim begins with.
const CLAIM: &str = "volume";

/// The name of a test volume's claim.
pub(crate) fn claim_name(cx: &ActionContext) -> String {
    unique(cx, CLAIM)
}

/// The run that the name of a test volume's claim tells: `7f3a91c2` of `volume-7f3a91c2-0a1b`.
pub(crate) fn run_of_claim(name: &str) -> Option<&str> {
    let (run, chance) = name
        .strip_prefix(CLAIM)?
        .strip_prefix('-')?
        .split_once('-')?;
    let whole = !run.is_empty() && !chance.is_empty() && !chance.contains('-');
    whole.then_some(run)
}

/// The path of a kind's collection. The kinds here have one version.
fn collection(kind: &Kind, namespace: &str) -> String {
    let version = kind.versions.first().copied().unwrap_or("v1");
    let root = if kind.group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{}/{version}", kind.group)
    };
    if kind.namespaced {
        format!("{root}/namespaces/{namespace}/{}", kind.plural)
    } else {
        format!("{root}/{}", kind.plural)
    }
}

/// Creates an object. Its name is given, so that one that was not answered may be sent again: that it exists already
/// means that it had arrived.
pub(crate) async fn create(
    cx: &ActionContext,
    kind: &'static Kind,
    namespace: &str,
    object: &Value,
) -> Result<(), ActionError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let what = format!("{} {name}", kind.name());
    let path = format!(
        "{}?fieldManager={FIELD_MANAGER}",
        collection(kind, namespace)
    );
    let mut pause = Pause::new(Duration::from_millis(100), Duration::from_secs(3));
    for attempt in 0.. {
        let request = Request::post(&path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json")
            .body(object.to_string().into_bytes())
            .map_err(|error| ActionError::new("Malformed", format!("{what}: {error}")))?;
        let error = match cx.client.request::<Value>(request).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => return Ok(()),
            Err(error) => error,
        };
        tracing::debug!("creating {what}, attempt {attempt}: {error}");
        let passing = match &error {
            kube::Error::Api(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
            _ => true,
        };
        if !passing || attempt >= 6 || cx.stop.asked() {
            return Err(refusal::meaning(&what, &error));
        }
        pause.rest().await;
    }
    Err(ActionError::new(
        "ServerError",
        format!("{what} could not be created"),
    ))
}

/// A pod that tries targets.
pub(crate) struct Work {
    /// The node that it runs on.
    pub(crate) node: String,
    /// Its name.
    pub(crate) name: String,
    /// Its manifest.
    pub(crate) pod: Value,
    /// What it tries.
    pub(crate) targets: Vec<pod::Target>,
}

/// Creates a pod in the namespace of our own.
pub(crate) async fn create_pod(cx: &ActionContext, pod: &Value) -> Result<(), ActionError> {
    create(cx, &PODS, &cx.checks.settings.probe.namespace, pod).await
}

/// Runs pods that try targets, side by side, and adds what they found to what is recorded.
pub(crate) async fn probe(
    cx: &ActionContext,
    id: &str,
    work: Vec<Work>,
    mut done: Done,
) -> Result<Done, ActionError> {
    for one in &work {
        create_pod(cx, &one.pod).await?;
    }
    let names: Vec<String> = work.iter().map(|one| one.name.clone()).collect();
    let reports = pods_until(cx, id, &names, cx.deadline, watch::ended).await?;
    let (mut tried, mut reached) = (0, 0);
    for (one, report) in work.iter().zip(reports) {
        for (key, finding) in pod::findings(&one.node, &one.targets, &report.message)? {
            tried += 1;
            reached += usize::from(finding.word == checks::probe::Word::Ok);
            let text = serde_json::to_string(&finding)
                .map_err(|error| ActionError::new("Malformed", error.to_string()))?;
            done = done.saw(finding.line()).record(key, text);
        }
    }
    done.message = format!("{reached} of {tried} targets were reached");
    Ok(done)
}

/// What would be created, each tried by the server (`dryRun=All`). The first is the namespace of our own: while that is
/// absent, the server cannot be asked about what lies in it.
pub(crate) async fn planned(
    cx: &ActionContext,
    manifests: &[&Value],
) -> Result<Vec<String>, ActionError> {
    let mut parts = Vec::new();
    let mut has_namespace = false;
    for manifest in manifests {
        let word = manifest["kind"].as_str().unwrap_or_default();
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        let kinds = [&NAMESPACES].into_iter().chain(KINDS);
        let Some(kind) = kinds.into_iter().find(|kind| kind.kind == word) else {
            return Err(ActionError::new(
                "Malformed",
                format!("a manifest of kind {word} cannot be planned"),
            ));
        };
        let namespace = &cx.checks.settings.probe.namespace;
        let answer = if kind.namespaced && !has_namespace {
            "not sent: absent"
        } else {
            let there = already_there(cx, kind, namespace, manifest).await?;
            has_namespace |= there && kind.kind == NAMESPACES.kind;
            if there {
                "there already"
            } else {
                "server accepts"
            }
        };
        parts.push(format!(
            "create {} {name} ({answer})\n{manifest:#}",
            kind.name()
        ));
    }
    Ok(parts)
}

/// Asks the server to try a creation: whether the object exists already; an error when it would be refused.
async fn already_there(
    cx: &ActionContext,
    kind: &'static Kind,
    namespace: &str,
    object: &Value,
) -> Result<bool, ActionError> {
    let path = collection(kind, namespace);
    let what = kind.name();
    let mut pause = Pause::new(Duration::from_millis(100), Duration::from_secs(1));
    let mut attempt = 1;
    loop {
        let request = Request::post(format!("{path}?fieldManager={FIELD_MANAGER}&dryRun=All"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(object.to_string().into_bytes())
            .map_err(|error| ActionError::new("Malformed", format!("{what}: {error}")))?;
        match cx.client.request::<Value>(request).await {
            Ok(_) => return Ok(false),
            Err(kube::Error::Api(status)) if status.code == 409 => return Ok(true),
            Err(error) if attempt >= 4 || !crate::flux::meaning(&error).1 => {
                return Err(refusal::meaning(&what, &error));
            }
            Err(_) => pause.rest().await,
        }
        attempt += 1;
    }
}
