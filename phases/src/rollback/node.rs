//! The Kubernetes node: cordoned, drained, deleted, and its password with it.

use std::{collections::BTreeMap, time::Duration};

use checks::kinds::{NODES, SECRETS};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use serde_json::json;

use super::{
    copies::{Copies, Fate},
    remove::{self, Removal},
    seen::{self, Seen},
    storage,
};
use crate::{
    Act, ActionContext, ActionError, Done, Plan,
    drain::{self, Judge, PodFate},
    flux,
    wait::Look,
};

const CORDON: &str = "rollback::cordon";
const DRAIN: &str = "rollback::drain";
const LABELS: &str = "rollback::restore_labels";
const DELETE: &str = "rollback::delete_node";
const PASSWORD: &str = "rollback::node_password";

/// The node as it is now, if it is.
async fn find(cx: &ActionContext) -> Result<Option<Node>, ActionError> {
    let view = cx.checks.view.anew();
    let found = view.find::<Node>(&NODES, "", cx.checks.node()).await?;
    Ok(found.map(|one| (*one).clone()))
}

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true)
}

fn absent(cx: &ActionContext) -> Done {
    Done::new(format!("{} is not in the cluster", cx.checks.node()))
}

/// `rollback::cordon`
pub(super) struct Cordon;

impl Act for Cordon {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            Ok(match find(cx).await? {
                None => Some(absent(cx)),
                Some(node) if is_cordoned(&node) => Some(Done::new("it is cordoned already")),
                Some(_) => None,
            })
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let name = cx.checks.node();
            let patch = json!({"spec": {"unschedulable": true}});
            let mut parts = Vec::new();
            if find(cx).await?.is_some_and(|node| !is_cordoned(&node)) {
                let said = flux::answered(cx, &NODES, "", name, &patch).await?;
                parts.push(format!("patch node {name} {patch}{said}"));
            }
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            if cx.recorded(CORDON, "before unschedulable").is_none() {
                cx.journal.record(CORDON, "before unschedulable", "false")?;
            }
            let patch = json!({"spec": {"unschedulable": true}});
            flux::merge_patch(cx, &NODES, "", cx.checks.node(), &patch).await?;
            Ok(Done::new("no new pods are placed on it"))
        }
        .boxed()
    }
}

/// `rollback::drain`
pub(super) struct Drain;

/// A pod that has to leave, and the flags that let go of what does not come back.
struct Leaving<'a> {
    name: String,
    covered: Vec<&'static str>,
    pod: &'a Pod,
}

/// The pods that have to be evicted, by name, and how many others are still ending.
fn to_evict<'a>(cx: &ActionContext, seen: &'a Seen) -> (Vec<Leaving<'a>>, usize) {
    let settings = &cx.checks.settings;
    let judge = Judge {
        budgets: &[],
        sets: None,
        consent: &settings.consent,
        storage: &settings.longhorn.namespace,
    };
    let silent = seen.is_silent();
    let mut pods = Vec::new();
    let mut ending = 0;
    for pod in seen.pods.iter() {
        let name = checks::resources::full_name(&pod.metadata);
        match judge.fate(pod) {
            PodFate::Stays => {}
            PodFate::Ending => {
                let over = silent && drain::is_overdue(pod, settings.poll.0);
                ending += usize::from(!over && !drain::is_of_daemonset(pod));
            }
            PodFate::Evicted { covered } => pods.push(Leaving { name, covered, pod }),
            PodFate::Blocked(_) => pods.push(Leaving {
                name,
                covered: Vec::new(),
                pod,
            }),
        }
    }
    pods.sort_by(|one, other| one.name.cmp(&other.name));
    (pods, ending)
}

impl Act for Drain {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let seen = Seen::now(cx).await?;
            if seen.node().is_none() {
                return Ok(Some(absent(cx)));
            }
            let (pods, ending) = to_evict(cx, &seen);
            Ok((pods.is_empty() && ending == 0)
                .then(|| Done::new("no pod is left that has to be evicted")))
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let seen = Seen::now(cx).await?;
            if seen.node().is_none() {
                return Ok(Plan::default());
            }
            let mut parts = Vec::new();
            for one in to_evict(cx, &seen).0 {
                let mut part = format!("evict pod {}", one.name);
                if !one.covered.is_empty() {
                    part.push_str(&format!(", for good ({})", one.covered.join(", ")));
                }
                if cx.permit.is_dry_run() {
                    part.push_str(&format!(" ({})", drain::evict(cx, one.pod, true).await));
                }
                parts.push(part);
            }
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let silent = find(cx).await?.is_some_and(|node| seen::is_silent(&node));
            drain::drain(cx, DRAIN, silent).await
        }
        .boxed()
    }
}

/// `rollback::restore_labels`
pub(super) struct Labels;

/// Labels that the onboarding set and that are still as it set them, with what was there before.
fn changed(cx: &ActionContext, node: &Node) -> BTreeMap<String, Option<String>> {
    let Some(record) = cx.checks.report.action("join::label") else {
        return BTreeMap::new();
    };
    let there = node.metadata.labels.clone().unwrap_or_default();
    record
        .recorded
        .iter()
        .filter_map(|(entry, before)| {
            let key = entry.strip_prefix("before ")?;
            // The journal of the join writes `absent` where there was none.
            let before = (before != "absent").then(|| before.clone());
            (there.get(key) != before.as_ref()).then(|| (key.to_owned(), before))
        })
        .collect()
}

impl Act for Labels {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            Ok(match find(cx).await? {
                None => Some(absent(cx)),
                Some(node) if changed(cx, &node).is_empty() => {
                    Some(Done::new("no label of the onboarding is left on it"))
                }
                Some(_) => None,
            })
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let node = cx.checks.node();
            let Some(found) = find(cx).await? else {
                return Ok(Plan::default());
            };
            let labels = changed(cx, &found);
            if labels.is_empty() {
                return Ok(Plan::default());
            }
            let patch = json!({"metadata": {"labels": labels}});
            let said = flux::answered(cx, &NODES, "", node, &patch).await?;
            let parts = labels.into_iter().map(|(key, before)| match before {
                Some(value) => format!("label node {node} {key}={value}{said}"),
                None => format!("label node {node} {key}-{said}"),
            });
            Ok(Plan {
                parts: parts.collect(),
            })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let Some(node) = find(cx).await? else {
                return Ok(absent(cx));
            };
            let labels = changed(cx, &node);
            let patch = json!({"metadata": {"labels": labels}});
            flux::merge_patch(cx, &NODES, "", cx.checks.node(), &patch).await?;
            let done = Done::new(match labels.len() {
                1 => "1 label is as it was".to_owned(),
                count => format!("{count} labels are as they were"),
            });
            Ok(labels.into_iter().fold(done, |done, (key, before)| {
                let before = before.unwrap_or_else(|| "absent".into());
                done.saw(format!("{key}: {before} ({LABELS})"))
            }))
        }
        .boxed()
    }
}

/// `rollback::delete_node`
pub(super) struct Delete;

/// That nothing would be lost with the node at this very moment.
fn require_empty(cx: &ActionContext, seen: &Seen) -> Result<(), ActionError> {
    let (pods, ending) = to_evict(cx, seen);
    if let Some(first) = pods.first() {
        return Err(ActionError::new(
            "NotDrained",
            format!(
                "{} pods have to be evicted from {} first, such as {}",
                pods.len(),
                seen.name,
                first.name
            ),
        ));
    }
    if ending > 0 {
        let what = format!("{ending} pods of {} are still ending", seen.name);
        return Err(ActionError::new("NotDrained", what));
    }
    let consent = &cx.checks.settings.consent.volumes;
    let mut copies = Copies::new(&seen.storage, &seen.nodes, &seen.name, false);
    for replica in seen.storage.on(&seen.name) {
        let volume = &replica.spec.volume_name;
        if consent.contains(volume) || storage::is_of_test(cx, &seen.storage, volume) {
            continue;
        }
        let name = &replica.metadata.name;
        return Err(match copies.fate(replica) {
            Fate::Last => ActionError::new(
                "LastReplica",
                format!("replica {name} is the last healthy copy of volume {volume}"),
            ),
            Fate::Moves { .. } | Fate::Removed { .. } | Fate::Unused => ActionError::new(
                "ReplicasLeft",
                format!(
                    "replica {name} of volume {volume} is still on {}",
                    seen.name
                ),
            ),
        });
    }
    Ok(())
}

impl Act for Delete {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move { Ok(find(cx).await?.is_none().then(|| absent(cx))) }.boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let Some(node) = find(cx).await? else {
                return Ok(Plan::default());
            };
            let name = cx.checks.node();
            let uid = node.metadata.uid.unwrap_or_default();
            let said = remove::answered(cx, &Removal::of(&NODES, "", name, &uid)).await?;
            Ok(Plan {
                parts: vec![format!("delete node {name}, uid {uid}{said}")],
            })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let seen = Seen::now(cx).await?;
            let Some(node) = seen.node() else {
                return Ok(absent(cx));
            };
            require_empty(cx, &seen)?;
            let name = cx.checks.node();
            let uid = node.metadata.uid.clone().unwrap_or_default();
            cx.journal.record(DELETE, "uid", &uid)?;
            if node.metadata.deletion_timestamp.is_none() {
                remove::delete(cx, &Removal::of(&NODES, "", name, &uid)).await?;
            }
            let wanted = uid.as_str();
            let met = flux::wait(cx, DELETE)
                .until(|| async move {
                    match cx.checks.view.find::<Node>(&NODES, "", name).await {
                        Ok(None) => Look::Done(()),
                        Ok(Some(one)) if one.metadata.uid.as_deref() != Some(wanted) => {
                            Look::Never(came_back(name))
                        }
                        Ok(Some(one)) => {
                            let held = one.metadata.finalizers.clone().unwrap_or_default();
                            Look::NotYet(format!("{name} is held by {}", held.join(", ")))
                        }
                        Err(error) => Look::from(error),
                    }
                })
                .await;
            met.map_err(|unmet| {
                flux::unmet_error(unmet, "NodeHeld", &format!("node {name} did not go"))
            })?;
            Ok(Done::new(format!("{name} is deleted")).record("uid", uid))
        }
        .boxed()
    }
}

/// The agent was started again and has registered anew.
pub(super) fn came_back(name: &str) -> ActionError {
    ActionError::new(
        "NodeCameBack",
        format!("{name} has registered again: k3s-agent was started on it meanwhile"),
    )
    .hint("stop it on the host: systemctl disable --now k3s-agent; then --rollback goes on")
}

/// That the node is still away. Where the agent was started again, nothing of what it has made since is taken from it.
/// `None` when it is away; otherwise what a wait makes of it.
pub(super) async fn away<T>(cx: &ActionContext) -> Option<Look<T, ActionError>> {
    let name = cx.checks.node();
    let mut found = cx.checks.view.find::<Node>(&NODES, "", name).await;
    if matches!(found, Ok(Some(_))) {
        // What is watched may still be of the time before the deletion.
        let now = cx.checks.view.anew();
        found = now.find::<Node>(&NODES, "", name).await;
    }
    match found {
        Ok(None) => None,
        Ok(Some(_)) => Some(Look::Never(came_back(name))),
        Err(error) => Some(Look::from(error)),
    }
}

/// `rollback::node_password`
pub(super) struct Password;

/// The Secret in which the server keeps the node's password, if it is ours to remove: it came with this onboarding, or
/// its node has gone by this rollback.
async fn password(cx: &ActionContext) -> Result<Option<Secret>, ActionError> {
    let view = cx.checks.view.anew();
    let name = format!("{}.node-password.k3s", cx.checks.node());
    if find(cx).await?.is_some() {
        return Ok(None);
    }
    let found = view.find::<Secret>(&SECRETS, "kube-system", &name).await?;
    let ours = |one: &Secret| {
        cx.recorded(DELETE, "uid").is_some()
            || one
                .metadata
                .creation_timestamp
                .as_ref()
                // Times of objects are whole seconds.
                .is_some_and(|at| at.0.as_second() >= cx.checks.report.started.as_second())
    };
    Ok(found.map(|one| (*one).clone()).filter(ours))
}

impl Act for Password {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            Ok(password(cx)
                .await?
                .is_none()
                .then(|| Done::new("the server keeps no password of it")))
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let view = cx.checks.view.anew();
            let name = format!("{}.node-password.k3s", cx.checks.node());
            let there = view.find::<Secret>(&SECRETS, "kube-system", &name).await?;
            let Some(secret) = there else {
                return Ok(Plan::default());
            };
            let uid = secret.metadata.uid.clone().unwrap_or_default();
            let said = remove::answered(cx, &Removal::of(&SECRETS, "kube-system", &name, &uid)).await?;
            Ok(Plan {
                parts: vec![format!(
                    "wait until secret kube-system/{name} has gone with the node; delete it after {}{said}",
                    seconds(patience(cx))
                )],
            })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let name = format!("{}.node-password.k3s", cx.checks.node());
            let patience = patience(cx);
            let until = tokio::time::Instant::now() + patience;
            let wanted = name.as_str();
            let mut wait = flux::wait(cx, PASSWORD);
            wait.deadline = wait.deadline.min(until);
            let met = wait
                .until(|| async move {
                    if let Some(look) = away(cx).await {
                        return look;
                    }
                    let found = cx
                        .checks
                        .view
                        .find::<Secret>(&SECRETS, "kube-system", wanted)
                        .await;
                    match found {
                        Ok(None) => Look::Done(()),
                        Ok(Some(_)) => {
                            Look::NotYet(format!("secret kube-system/{wanted} is still there"))
                        }
                        Err(error) => Look::from(error),
                    }
                })
                .await;
            match met {
                Ok(()) => return Ok(Done::new("the server keeps no password of it")),
                Err(crate::wait::Unmet::Deadline(_)) => {}
                Err(unmet) => {
                    return Err(flux::unmet_error(
                        unmet,
                        "PasswordLeft",
                        "its password is left",
                    ));
                }
            }
            let Some(secret) = password(cx).await? else {
                return Ok(Done::new("the server keeps no password of it"));
            };
            let uid = secret.metadata.uid.unwrap_or_default();
            remove::delete(cx, &Removal::of(&SECRETS, "kube-system", &name, &uid)).await?;
            Ok(Done::new(format!(
                "secret kube-system/{name} was still there after {} and is deleted",
                seconds(patience)
            ))
            .warn("PasswordDeleted"))
        }
        .boxed()
    }
}

/// How long things may take to go by themselves: a minute, and in a sandbox thirty beats of it.
pub(super) fn patience(cx: &ActionContext) -> Duration {
    cx.checks.settings.poll.0 * 30
}

fn seconds(long: Duration) -> String {
    format!("{:.0} s", long.as_secs_f64().max(1.0))
}
