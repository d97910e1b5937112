//! Longhorn: no new copies on the node, those on it moved or removed, its Node gone, and the volumes as well as before.

mod gone;
mod moving;
mod verify;

use checks::{
    kinds::{LONGHORN_NODES, LONGHORN_REPLICAS, NODES},
    resources::longhorn::{Replica, Volume},
    view::{ReadError, Scope},
};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

pub(super) use gone::StorageNodeGone;
pub(super) use moving::MoveReplicas;
pub(super) use verify::Verify;

use super::{
    copies::{Copies, Fate},
    leftovers,
    remove::{self, Removal},
    seen::{Seen, Storage},
};
use crate::{Act, ActionContext, ActionError, Done, Plan, flux, wait::Look};

const STOP: &str = "rollback::stop_scheduling";
pub(super) const MOVE: &str = "rollback::move_replicas";
const NODE: &str = "rollback::longhorn_node";

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
            let seen = Seen::now(cx).await?;
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
            let seen = Seen::now(cx).await?;
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
            let seen = Seen::now(cx).await?;
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
            met.map_err(|unmet| flux::unmet_error(unmet, flux::WEBHOOK_REFUSED, &what))?;
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
    let view = cx.checks.view.anew();
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

/// Whether a volume is one of the run's own tests.
pub(super) fn is_of_test(cx: &ActionContext, storage: &Storage, volume: &str) -> bool {
    let namespace = &cx.checks.settings.probe.namespace;
    let test = |one: &Volume| leftovers::is_of_test(namespace, &cx.run, one);
    storage.volume(volume).is_some_and(test)
}
