//! The copies leave: Longhorn moves them, or those that no other node can take are deleted where a healthy one stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use checks::{
    kinds::{DISRUPTION_BUDGETS, LONGHORN_REPLICAS, NODES, VOLUME_ATTACHMENTS},
    view::Scope,
};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::{
    core::v1::Node, policy::v1::PodDisruptionBudget, storage::v1::VolumeAttachment,
};
use tokio::time::Instant;

use super::{MOVE, copied, is_of_test, rebuilt, remove_replica};
use crate::{
    Act, ActionContext, ActionError, Done, Plan,
    drain::locked,
    flux,
    rollback::{
        copies::{Copies, Fate},
        node::patience,
        remove::{self, Removal},
        seen::{self, Seen, Storage},
    },
    wait::Look,
};

/// `rollback::move_replicas`
pub(in crate::rollback) struct MoveReplicas;

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
            let seen = Seen::now(cx).await?;
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
            let seen = Seen::now(cx).await?;
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
            let removed = Mutex::new(BTreeSet::<String>::new());
            let idle = Mutex::new(None::<Instant>);
            let refused = Mutex::new(BTreeMap::<String, Instant>::new());
            let (removed, idle, refused) = (&removed, &idle, &refused);
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
                        Err(error) => return Look::from(error),
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
                            // Longhorn may know of the healthy copy a moment later than we do.
                            Err(error)
                                if error.reason == flux::WEBHOOK_REFUSED
                                    && locked(refused)
                                        .entry(one.clone())
                                        .or_insert_with(Instant::now)
                                        .elapsed()
                                        < patience(cx) =>
                            {
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
