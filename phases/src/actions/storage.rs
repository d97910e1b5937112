//! `storage::reconcile`: Flux applies the node's disks once Longhorn knows the node.

use checks::{
    Criterion, Need, Reason,
    kinds::{GIT_REPOSITORIES, KUSTOMIZATIONS},
};
use futures::{FutureExt, future::BoxFuture};

use super::reconcile;
use crate::{Act, Action, ActionContext, ActionError, Done, Plan, flux};

const ID: &str = "storage::reconcile";

/// The actions of this phase, in order.
pub(super) const ACTIONS: &[Action] = &[Action {
    id: ID,
    title: "Flux is asked to apply the node's disks now that Longhorn knows {node}",
    requires: &["storage::manager_on_node"],
    needs: &[
        Need::get(&GIT_REPOSITORIES),
        Need::verb("list", &GIT_REPOSITORIES),
        Need::verb("watch", &GIT_REPOSITORIES),
        Need::verb("patch", &GIT_REPOSITORIES),
        Need::verb("patch", &KUSTOMIZATIONS),
    ],
    criterion: Criterion::Of("3.1"),
    why: "Longhorn deletes a Node object that precedes its Kubernetes node, so what git declares must be applied again \
          after the join.",
    inverse: "nothing: asking for a reconciliation leaves nothing to undo",
    reasons: &[
        Reason::new(
            "SourceSuspended",
            "resume it: flux resume source git {source} -n {flux}",
        ),
        Reason::new(
            "SourceStalled",
            "see why: flux get sources git {source} -n {flux}",
        ),
        Reason::new(
            "SourceNotFetched",
            "see why: kubectl -n {flux} describe gitrepository {source}",
        ),
        Reason::new(
            "Conflict",
            "somebody else changes the object at the same time: --resume",
        ),
    ],
    act: &Reconcile,
}];

struct Reconcile;

impl Act for Reconcile {
    fn probe<'a>(
        &'a self,
        _: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        // Whether it was applied before the node was known cannot be seen afterwards, so it is always asked for.
        async { Ok(None) }.boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        reconcile::plan(cx).boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let names = &cx.checks.settings.flux;
            let token = reconcile::token(cx, ID, "storage")?;
            let commit = cx.recorded("gitops::commit", "commit");
            flux::request(cx, &GIT_REPOSITORIES, &names.source, &token).await?;
            if let Some(commit) = &commit {
                flux::fetched(cx, ID, commit, &token).await?;
            }
            flux::request(cx, &KUSTOMIZATIONS, &names.kustomization, &token).await?;
            // Whether it is handled and ready is the question of `storage::gitops_applied`: with `wait: true` that
            // takes as long as the disks do, and a disk that is not ready should be named by its own check.
            Ok(
                Done::new(format!("asked Flux to apply {} again", names.kustomization))
                    .saw(format!("requestedAt {token}"))
                    .record("token", token),
            )
        }
        .boxed()
    }
}
