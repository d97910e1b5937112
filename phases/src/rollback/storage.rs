//! Longhorn: no new copies on the node, those on it moved or removed, its Node gone, and the volumes as well as before.

use std::collections::{BTreeMap, BTreeSet};

use checks::{
    kinds::{DISRUPTION_BUDGETS, LONGHORN_NODES, LONGHORN_REPLICAS, NODES, VOLUME_ATTACHMENTS},
    resources::longhorn::{Replica, Volume},
    view::{ReadError, Scope, View},
};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::{
    core::v1::Node, policy::v1::PodDisruptionBudget, storage::v1::VolumeAttachment,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    copies::{Copies, Fate},
    leftovers,
    node::patience,
    remove::{self, Removal},
    seen::{self, Seen, Storage},
    volumes,
};
use crate::{Act, ActionContext, ActionError, Done, Plan, flux, wait::Look};

const STOP: &str = "rollback::stop_scheduling";
pub(super) const MOVE: &str = "rollback::move_replicas";
const NODE: &str = "rollback::longhorn_node";
const VERIFY: &str = "rollback::verify_volumes";

async fn look(cx: &ActionContext) -> Result<Seen, ActionError> {
    let view = View::snapshot(cx.checks.view.reader().clone());
    Ok(Seen::read(&view, &cx.checks.settings).await?)
}

/// `rollback::stop_scheduling`
pub(super) struct StopScheduling;

/// What the spec of Longhorn's Node is to say; nothing when it says it, or there is no such Node.
fn wanted(seen: &Seen) -> Option<Value> {
    let there = seen.storage.node(&seen.name)?;
    // An eviction is cancelled where the node is not ready; one is asked for only where it can be done.
    let evict = seen.can_evacuate();
    let so = !there.spec.allow_scheduling && (there.spec.eviction_requested || !evict);
    let mut spec = json!({"allowScheduling": false});
    if evict {
        spec["evictionRequested"] = true.into();
    }
    (!so).then(|| json!({"spec": spec}))
}

impl Act for StopScheduling {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let seen = look(cx).await?;
            Ok(match (seen.storage.node(&seen.name), wanted(&seen)) {
                (None, _) => Some(Done::new("Longhorn does not know it")),
                (Some(_), None) => Some(Done::new("Longhorn places nothing on it already")),
                (Some(_), Some(_)) => None,
            })
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let seen = look(cx).await?;
            let (namespace, name) = (&cx.checks.settings.longhorn.namespace, &seen.name);
            let mut parts = Vec::new();
            if let Some(patch) = wanted(&seen) {
                let said = flux::answered(cx, &LONGHORN_NODES, namespace, name, &patch).await?;
                parts.push(format!(
                    "patch nodes.longhorn.io {namespace}/{name} {patch}{said}"
                ));
            }
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let seen = look(cx).await?;
            let (Some(there), Some(patch)) = (seen.storage.node(&seen.name), wanted(&seen)) else {
                return Ok(Done::new("Longhorn places nothing on it"));
            };
            for (key, value) in [
                ("before allowScheduling", there.spec.allow_scheduling),
                ("before evictionRequested", there.spec.eviction_requested),
            ] {
                if cx.recorded(STOP, key).is_none() {
                    cx.journal.record(STOP, key, &value.to_string())?;
                }
            }
            let namespace = cx.checks.settings.longhorn.namespace.as_str();
            let (name, patch) = (seen.name.as_str(), &patch);
            let met = flux::wait(cx, STOP)
                .until(|| async move {
                    match flux::merge_patch(cx, &LONGHORN_NODES, namespace, name, patch).await {
                        Ok(_) => Look::Done(()),
                        // Longhorn's webhook refuses while it brings spec and status of the disks together.
                        Err(error) if error.message.contains("syncing") => {
                            Look::NotYet(error.message)
                        }
                        Err(error) => Look::Never(error),
                    }
                })
                .await;
            let what = format!("Longhorn's Node {name} was not changed");
            met.map_err(|unmet| flux::unmet_error(unmet, "Refused", &what))?;
            Ok(Done::new(if patch["spec"]["evictionRequested"] == true {
                "nothing new is placed on it, and its replicas are asked to leave"
            } else {
                "nothing new is placed on it; it is not ready, so its replicas cannot be copied from it"
            }))
        }
        .boxed()
    }
}

/// Deletes one replica, after asking once more, at this moment, whether it may go.
async fn remove_replica(cx: &ActionContext, id: &str, name: &str) -> Result<bool, ActionError> {
    let settings = &cx.checks.settings;
    let view = View::snapshot(cx.checks.view.reader().clone());
    let path = view
        .object_path(&LONGHORN_REPLICAS, &settings.longhorn.namespace, name)
        .await?;
    // The revision first: whatever changes after it makes the deletion fail.
    let raw: Value = match view.reader().json(&path).await {
        Err(ReadError::Absent { .. }) => return Ok(false),
        other => other?,
    };
    let (storage, nodes) = tokio::try_join!(
        Storage::read(&view, settings),
        view.list::<Node>(&NODES, Scope::all())
    )?;
    let replica: Replica = serde_json::from_value(raw.clone())
        .map_err(|error| ActionError::new("Malformed", format!("replica {name}: {error}")))?;
    let volume = &replica.spec.volume_name;
    let mut copies = Copies::new(&storage, &nodes, cx.checks.node(), false);
    let fate = copies.fate(&replica);
    let may_be_lost = settings.consent.volumes.contains(volume) || is_of_test(cx, &storage, volume);
    if fate == Fate::Last && !may_be_lost {
        return Err(ActionError::new(
            "LastReplica",
            format!("replica {name} is now the last healthy copy of volume {volume}; it is kept"),
        ));
    }
    let field = |key: &str| raw["metadata"][key].as_str().unwrap_or_default().to_owned();
    let (uid, revision) = (field("uid"), field("resourceVersion"));
    if replica.metadata.deletion_timestamp.is_some() {
        return Ok(false);
    }
    cx.journal.record(id, &format!("removed {name}"), volume)?;
    let meant = Removal {
        revision: Some(&revision),
        ..Removal::of(&LONGHORN_REPLICAS, &settings.longhorn.namespace, name, &uid)
    };
    match remove::delete(cx, &meant).await {
        Ok(()) => Ok(true),
        // It was written to in between: looked at anew.
        Err(error) if error.reason == "Changed" => Ok(false),
        Err(error) => Err(error),
    }
}

/// `rollback::move_replicas`
pub(super) struct MoveReplicas;

/// What still ties the node to volumes.
struct Ties {
    /// Replicas that are waited for: name, volume, where to.
    moving: Vec<String>,
    /// Replicas that are deleted.
    removed: Vec<String>,
    /// The last healthy copy of a volume that nobody has agreed to lose.
    last: Vec<String>,
    /// What of attachments and engines is left on it.
    attached: Vec<String>,
    /// Volumes of the replicas that are waited for.
    volumes: BTreeSet<String>,
}

/// Volumes of which a copy is being made, and how far that is, in percent.
fn rebuilt(storage: &Storage) -> impl Iterator<Item = (&str, u64)> {
    storage.engines.iter().flat_map(|engine| {
        let all = engine.status.rebuild_status.values();
        all.filter(|one| one.is_rebuilding).map(|one| {
            let percent = u64::try_from(one.progress.clamp(0, 100)).unwrap_or_default();
            (engine.spec.volume_name.as_str(), percent)
        })
    })
}

/// How far the copies of these volumes are, in all: one for each that was begun, and a percent each.
fn copied(storage: &Storage, of: impl Fn(&str) -> bool) -> u64 {
    rebuilt(storage)
        .filter(|(volume, _)| of(volume))
        .map(|(_, percent)| percent + 1)
        .sum()
}

impl Ties {
    fn of(cx: &ActionContext, seen: &Tied<'_>) -> Self {
        let consent = &cx.checks.settings.consent.volumes;
        let name = cx.checks.node();
        let mut copies = Copies::new(seen.storage, seen.nodes, name, seen.evacuates);
        let mut ties = Self {
            moving: Vec::new(),
            removed: Vec::new(),
            last: Vec::new(),
            attached: Vec::new(),
            volumes: BTreeSet::new(),
        };
        for replica in seen.storage.on(name) {
            let volume = &replica.spec.volume_name;
            if consent.contains(volume) {
                continue;
            }
            let replica_name = replica.metadata.name.clone();
            match copies.fate(replica) {
                Fate::Moves { to } => {
                    let so_far = rebuilt(seen.storage)
                        .find(|(one, _)| one == volume)
                        .map(|(_, percent)| format!(", {percent} %"))
                        .unwrap_or_default();
                    ties.moving
                        .push(format!("{replica_name} of volume {volume} to {to}{so_far}"));
                    ties.volumes.insert(volume.clone());
                }
                Fate::Removed { .. } | Fate::Unused => ties.removed.push(replica_name),
                // It goes with its claim, which was deleted first of all.
                Fate::Last if is_of_test(cx, seen.storage, volume) => ties
                    .moving
                    .push(format!("{replica_name} away with the test volume {volume}")),
                Fate::Last => ties
                    .last
                    .push(format!("replica {replica_name} of volume {volume}")),
            }
        }
        if !seen.silent {
            let engines = seen.storage.engines.iter();
            let here = engines.filter(|one| one.spec.node_id == name);
            ties.attached
                .extend(here.map(|one| one.spec.volume_name.clone()));
            for volume in &seen.attached {
                if !ties.attached.contains(volume) {
                    ties.attached.push(volume.clone());
                }
            }
        }
        ties
    }

    /// How much is left, in percent of a replica each: what is copied counts as far as it has not been.
    fn left(&self, storage: &Storage) -> u64 {
        let ties = self.moving.len() + self.removed.len() + self.attached.len();
        // Those that are not copied yet have more to go than those that are at nothing.
        let whole = 101 * ties as u64;
        whole.saturating_sub(copied(storage, |volume| self.volumes.contains(volume)))
    }

    fn is_none(&self) -> bool {
        self.moving.is_empty()
            && self.removed.is_empty()
            && self.last.is_empty()
            && self.attached.is_empty()
    }
}

/// Whether a volume is one of the run's own tests.
pub(super) fn is_of_test(cx: &ActionContext, storage: &Storage, volume: &str) -> bool {
    let namespace = &cx.checks.settings.probe.namespace;
    let test = |one: &Volume| leftovers::is_of_test(namespace, &cx.run, one);
    storage.volume(volume).is_some_and(test)
}

/// One look at what ties the node.
struct Tied<'a> {
    storage: &'a Storage,
    nodes: &'a [Node],
    attached: Vec<String>,
    evacuates: bool,
    silent: bool,
}

impl<'a> From<&'a Seen> for Tied<'a> {
    fn from(seen: &'a Seen) -> Self {
        Self {
            storage: &seen.storage,
            nodes: &seen.nodes,
            attached: seen.attached(),
            evacuates: seen.can_evacuate(),
            silent: seen.is_silent(),
        }
    }
}

impl Act for MoveReplicas {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let seen = look(cx).await?;
            if seen.node().is_none() {
                // Without its node the copies are dealt with together with Longhorn's Node.
                return Ok(Some(Done::new("the node has gone already")));
            }
            let ties = Ties::of(cx, &Tied::from(&seen));
            Ok(ties
                .is_none()
                .then(|| Done::new("no replica and no attached volume is on it")))
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let seen = look(cx).await?;
            if seen.node().is_none() {
                return Ok(Plan::default());
            }
            let ties = Ties::of(cx, &Tied::from(&seen));
            let mut parts: Vec<String> = Vec::new();
            parts.extend(ties.moving.iter().map(|one| format!("wait until Longhorn has moved {one}")));
            let namespace = &cx.checks.settings.longhorn.namespace;
            for one in &ties.removed {
                let there = seen.storage.replicas.iter().find(|replica| replica.metadata.name == *one);
                let uid = there.map(|replica| replica.metadata.uid.as_str()).unwrap_or_default();
                let said = remove::answered(cx, &Removal::of(&LONGHORN_REPLICAS, namespace, one, uid)).await?;
                parts.push(format!(
                    "delete replica {namespace}/{one}, once a healthy copy on a node that stays is confirmed{said}"
                ));
            }
            for volume in &cx.checks.settings.consent.volumes {
                if seen.storage.on(&seen.name).any(|one| one.spec.volume_name == *volume) {
                    parts.push(format!("LOSE volume {volume}, as --lose-volume says"));
                }
            }
            parts.extend(ties.attached.iter().map(|one| format!("wait until volume {one} is detached")));
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let settings = &cx.checks.settings;
            let name = cx.checks.node();
            let removed = std::sync::Mutex::new(BTreeSet::<String>::new());
            let idle = std::sync::Mutex::new(None::<Instant>);
            let (removed, idle) = (&removed, &idle);
            let met = flux::wait(cx, MOVE)
                .until(|| async move {
                    let view = &cx.checks.view;
                    let read = async {
                        tokio::try_join!(
                            Storage::read(view, settings),
                            view.list::<Node>(&NODES, Scope::all()),
                            view.list::<VolumeAttachment>(&VOLUME_ATTACHMENTS, Scope::all()),
                            view.list::<PodDisruptionBudget>(&DISRUPTION_BUDGETS, Scope::all()),
                        )
                    };
                    let (storage, nodes, attachments, budgets) = match read.await {
                        Ok(read) => read,
                        Err(error) if error.may_pass() => return Look::NotYet(error.to_string()),
                        Err(error) => return Look::Never(ActionError::from(error)),
                    };
                    let there = checks::resources::node::named(&nodes, name);
                    let silent = there.is_some_and(seen::is_silent);
                    let evacuates = there.is_some_and(checks::resources::node::is_ready)
                        && storage
                            .node(name)
                            .is_some_and(|one| one.condition("Ready").is_true());
                    let ties = Ties::of(
                        cx,
                        &Tied {
                            storage: &storage,
                            nodes: &nodes,
                            attached: seen::attached(&attachments, name),
                            evacuates,
                            silent,
                        },
                    );
                    if let Some(first) = ties.last.first() {
                        return Look::Never(
                            ties.last.iter().skip(1).fold(
                                ActionError::new(
                                    "LastReplica",
                                    format!("{first} is the last healthy copy, and no other node can take it"),
                                ),
                                |error, one| error.saw(one.clone()),
                            ),
                        );
                    }
                    for one in &ties.removed {
                        match remove_replica(cx, MOVE, one).await {
                            Ok(true) => {
                                locked(removed).insert(one.clone());
                            }
                            Ok(false) => {}
                            Err(error) if error.reason == "Unreachable" => {
                                return Look::NotYet(error.message);
                            }
                            Err(error) => return Look::Never(error),
                        }
                    }
                    let tied = [
                        ("moving", &ties.moving),
                        ("to delete", &ties.removed),
                        ("attached", &ties.attached),
                    ]
                    .into_iter()
                    .find_map(|(what, list)| {
                        let first = list.first()?;
                        Some(format!("{} {what}: {first}", list.len()))
                    });
                    if let Some(tied) = tied {
                        return Look::Left(ties.left(&storage), tied);
                    }
                    // Longhorn's own word that nothing on the node is needed: it guards its instance manager no more.
                    let guarded = storage
                        .managers
                        .iter()
                        .filter(|one| one.spec.node_id == name)
                        .any(|manager| {
                            budgets.iter().any(|budget| {
                                budget.metadata.name.as_deref() == Some(manager.metadata.name.as_str())
                                    && budget.metadata.namespace.as_deref()
                                        == Some(settings.longhorn.namespace.as_str())
                            })
                        });
                    let waits = guarded && evacuates && settings.consent.volumes.is_empty();
                    let since = *locked(idle).get_or_insert_with(Instant::now);
                    if waits && since.elapsed() < patience(cx) {
                        return Look::NotYet("Longhorn still guards its instance manager there".into());
                    }
                    Look::Done(waits)
                })
                .await;
            let gone = locked(removed).clone();
            match met {
                Ok(guarded) => {
                    let done = Done::new(match gone.len() {
                        0 => "no replica and no attached volume is left on it".to_owned(),
                        count => format!("{count} replicas deleted, healthy copies are elsewhere; none is left on it"),
                    });
                    let done = if guarded {
                        done.saw("Longhorn still guards its instance manager there, with nothing on it")
                    } else {
                        done
                    };
                    Ok(gone.into_iter().fold(done, |done, one| done.saw(format!("deleted replica {one}"))))
                }
                Err(unmet) => Err(flux::unmet_error(
                    unmet,
                    "ReplicasStay",
                    &format!("not everything left {name}"),
                )),
            }
        }
        .boxed()
    }
}

fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// `rollback::longhorn_node`
pub(super) struct StorageNodeGone;

impl Act for StorageNodeGone {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let view = View::snapshot(cx.checks.view.reader().clone());
            let storage = Storage::read(&view, &cx.checks.settings).await?;
            let name = cx.checks.node();
            let gone = storage.node(name).is_none() && storage.on(name).next().is_none();
            Ok(gone.then(|| Done::new("Longhorn does not know it")))
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let view = View::snapshot(cx.checks.view.reader().clone());
            let storage = Storage::read(&view, &cx.checks.settings).await?;
            let (name, namespace) = (cx.checks.node(), &cx.checks.settings.longhorn.namespace);
            let mut parts = Vec::new();
            if let Some(there) = storage.node(name) {
                let meant = Removal::of(&LONGHORN_NODES, namespace, name, &there.metadata.uid);
                let said = remove::answered(cx, &meant).await?;
                parts.push(format!(
                    "wait until Longhorn has deleted its Node {namespace}/{name}; delete it if it does not{said}"
                ));
            }
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let settings = &cx.checks.settings;
            let name = cx.checks.node();
            let begun = Instant::now();
            // Half a minute, and in a sandbox fifteen beats of it.
            let patience = patience(cx) / 2;
            let by_us = std::sync::Mutex::new(false);
            let by_us = &by_us;
            let met = flux::wait(cx, NODE)
                .until(|| async move {
                    if let Some(look) = super::node::away(cx).await {
                        return look;
                    }
                    let storage = match Storage::read(&cx.checks.view, settings).await {
                        Ok(storage) => storage,
                        Err(error) if error.may_pass() => return Look::NotYet(error.to_string()),
                        Err(error) => return Look::Never(ActionError::from(error)),
                    };
                    let left: Vec<String> = storage
                        .on(name)
                        .map(|one| one.metadata.name.clone())
                        .collect();
                    for one in &left {
                        match remove_replica(cx, NODE, one).await {
                            Ok(_) => {}
                            // Longhorn marks copies of a lost node as failed in its own time.
                            Err(error) if error.reason == "Refused" => {
                                return Look::NotYet(error.message);
                            }
                            Err(error) => return Look::Never(error),
                        }
                    }
                    let there = storage.node(name);
                    if let Some(first) = left.first() {
                        let seen = format!("{} replicas are left, such as {first}", left.len());
                        return Look::Left(left.len() as u64, seen);
                    }
                    let Some(there) = there else {
                        return Look::Done(());
                    };
                    if begun.elapsed() < patience || there.metadata.deletion_timestamp.is_some() {
                        return Look::NotYet(format!("Longhorn still has its Node {name}"));
                    }
                    let namespace = &settings.longhorn.namespace;
                    let meant = Removal::of(&LONGHORN_NODES, namespace, name, &there.metadata.uid);
                    match remove::delete(cx, &meant).await {
                        Ok(()) => {
                            *locked(by_us) = true;
                            Look::NotYet(format!("Longhorn's Node {name} is deleted"))
                        }
                        Err(error) if error.reason == "Refused" => Look::NotYet(error.message),
                        Err(error) => Look::Never(error),
                    }
                })
                .await;
            let what = format!("Longhorn's Node {name} did not go");
            met.map_err(|unmet| flux::unmet_error(unmet, "StorageNodeLeft", &what))?;
            Ok(Done::new(if *locked(by_us) {
                "Longhorn kept its Node, so it was deleted"
            } else {
                "Longhorn has deleted its Node"
            }))
        }
        .boxed()
    }
}

/// `rollback::verify_volumes`
pub(super) struct Verify;

/// Volumes that are worse than they were.
fn trouble(cx: &ActionContext, storage: &Storage, nodes: &[Node]) -> Vec<String> {
    let before = volumes::recorded(&cx.checks.report);
    let removed = removed(cx);
    let rule = volumes::Rule {
        before: before.as_ref(),
        lost: &cx.checks.settings.consent.volumes,
        removed: &removed,
        leaving: cx.checks.node(),
    };
    rule.worse(storage, nodes)
}

/// Volumes of which this rollback has deleted a replica that no other node could take.
fn removed(cx: &ActionContext) -> BTreeSet<String> {
    [MOVE, NODE]
        .into_iter()
        .filter_map(|id| cx.checks.report.action(id))
        .flat_map(|record| &record.recorded)
        .filter(|(key, _)| key.starts_with("removed "))
        .map(|(_, volume)| volume.clone())
        .collect()
}

impl Act for Verify {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let seen = look(cx).await?;
            if seen.node().is_some() {
                return Ok(None);
            }
            let worse = trouble(cx, &seen.storage, &seen.nodes);
            let count = seen.storage.volumes.len();
            Ok(worse
                .is_empty()
                .then(|| Done::new(format!("{count} volumes, none worse than before"))))
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let seen = look(cx).await?;
            let against = if volumes::recorded(&cx.checks.report).is_some() {
                "as pre_validation recorded them"
            } else {
                "none faulted, each with a healthy copy on a node that stays"
            };
            let parts = match seen.storage.volumes.len() {
                0 => Vec::new(),
                count => vec![format!(
                    "hold {count} volumes against what they were: {against}"
                )],
            };
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let settings = &cx.checks.settings;
            let name = cx.checks.node();
            let met = flux::wait(cx, VERIFY)
                .until(|| async move {
                    let view = &cx.checks.view;
                    let read = async {
                        tokio::try_join!(
                            Storage::read(view, settings),
                            view.list::<Node>(&NODES, Scope::all())
                        )
                    };
                    let (storage, nodes) = match read.await {
                        Ok(read) => read,
                        Err(error) if error.may_pass() => return Look::NotYet(error.to_string()),
                        Err(error) => return Look::Never(ActionError::from(error)),
                    };
                    if checks::resources::node::named(&nodes, name).is_some() {
                        return Look::Never(super::node::came_back(name));
                    }
                    let worse = trouble(cx, &storage, &nodes);
                    match worse.first() {
                        None => Look::Done(storage.volumes.len()),
                        Some(first) => Look::Left(
                            101 * worse.len() as u64
                                - copied(&storage, |_| true).min(100 * worse.len() as u64),
                            format!("{} volumes are worse: {first}", worse.len()),
                        ),
                    }
                })
                .await;
            let count = met.map_err(|unmet| {
                flux::unmet_error(unmet, "VolumesWorse", "volumes are not as they were")
            })?;
            let degraded: BTreeMap<String, ()> =
                removed(cx).into_iter().map(|volume| (volume, ())).collect();
            let done = Done::new(format!("{count} volumes, none worse than before"));
            Ok(degraded.into_keys().fold(done, |done, volume| {
                done.saw(format!(
                    "{volume} has one copy less than it wants, as before the node came"
                ))
            }))
        }
        .boxed()
    }
}
