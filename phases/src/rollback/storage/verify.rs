//! The volumes are held against what they were.

use std::collections::{BTreeMap, BTreeSet};

use checks::{kinds::NODES, resources, view::Scope};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::Node;

use super::{MOVE, NODE, copied};
use crate::{
    Act, ActionContext, ActionError, Done, Plan, flux,
    rollback::{
        VERIFY,
        node::came_back,
        seen::{Seen, Storage},
        volumes,
    },
    wait::Look,
};

/// `rollback::verify_volumes`
pub(in crate::rollback) struct Verify;

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
            let seen = Seen::now(cx).await?;
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
            let seen = Seen::now(cx).await?;
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
                        Err(error) => return Look::from(error),
                    };
                    if resources::node::named(&nodes, name).is_some() {
                        return Look::Never(came_back(name));
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
