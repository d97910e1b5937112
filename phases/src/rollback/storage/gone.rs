//! Longhorn's own Node goes: it deletes it when the Kubernetes node is gone, and we do where it does not.

use std::sync::Mutex;

use checks::kinds::LONGHORN_NODES;
use futures::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

use super::{NODE, remove_replica};
use crate::{
    Act, ActionContext, ActionError, Done, Plan,
    drain::locked,
    flux,
    rollback::{
        node::{away, patience},
        remove::{self, Removal},
        seen::Storage,
    },
    wait::Look,
};

/// `rollback::longhorn_node`
pub(in crate::rollback) struct StorageNodeGone;

impl Act for StorageNodeGone {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let view = cx.checks.view.anew();
            let storage = Storage::read(&view, &cx.checks.settings).await?;
            let name = cx.checks.node();
            let gone = storage.node(name).is_none() && storage.on(name).next().is_none();
            Ok(gone.then(|| Done::new("Longhorn does not know it")))
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let view = cx.checks.view.anew();
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
            let by_us = Mutex::new(false);
            let by_us = &by_us;
            let met = flux::wait(cx, NODE)
                .until(|| async move {
                    if let Some(look) = away(cx).await {
                        return look;
                    }
                    let storage = match Storage::read(&cx.checks.view, settings).await {
                        Ok(storage) => storage,
                        Err(error) => return Look::from(error),
                    };
                    let left: Vec<String> = storage
                        .on(name)
                        .map(|one| one.metadata.name.clone())
                        .collect();
                    for one in &left {
                        match remove_replica(cx, NODE, one).await {
                            Ok(_) => {}
                            // Longhorn marks copies of a lost node as failed in its own time.
                            Err(error) if error.reason == flux::WEBHOOK_REFUSED => {
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
                        Err(error) if error.reason == flux::WEBHOOK_REFUSED => {
                            Look::NotYet(error.message)
                        }
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
