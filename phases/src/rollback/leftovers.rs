//! What the run made for itself and could not remove, because it was killed: pods, a test volume, their namespace.

use checks::{probe::VOLUME, resources::longhorn::Volume};
use futures::{FutureExt, future::BoxFuture};

use super::find;
use crate::{
    Act, ActionContext, ActionError, Done, Plan, actions,
    temporary::{self, Whose},
};

pub(super) const LEFTOVERS: &str = "rollback::leftovers";

/// `rollback::leftovers`
pub(super) struct Leftovers;

/// What of the run is there and is not on its way out. Nothing is asked where the run never began to make anything;
/// without any record of a run, all runs about the node are meant: none of them goes on while we have its lock.
async fn left(cx: &ActionContext) -> Result<Vec<temporary::Left>, ActionError> {
    let namespace = &cx.checks.settings.probe.namespace;
    let report = &cx.checks.report;
    let recorded = report.actions.iter().any(|one| find(&one.id).is_none());
    if !recorded {
        let every = Whose::Node(cx.checks.node());
        return temporary::left(&cx.client, namespace, every, true).await;
    }
    let begun = |id: &str| report.action(id).is_some();
    let any = actions::all().any(|one| one.act.is_temporary() && begun(one.id));
    if !any {
        return Ok(Vec::new());
    }
    temporary::left(&cx.client, namespace, Whose::Run(&cx.run), begun(VOLUME)).await
}

/// The run whose test this volume looks to be of: that of its claim, in the namespace of our own.
pub(super) fn test_of<'a>(namespace: &str, volume: &'a Volume) -> Option<&'a str> {
    let claim = &volume.status.kubernetes_status;
    (claim.namespace == namespace)
        .then(|| temporary::run_of_claim(&claim.pvc_name))
        .flatten()
}

/// Whether this is the volume of a test that the run began: with its claim it goes by itself.
pub(super) fn is_of_test(namespace: &str, run: &str, volume: &Volume) -> bool {
    test_of(namespace, volume) == Some(run)
}

impl Act for Leftovers {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            Ok(left(cx)
                .await?
                .is_empty()
                .then(|| Done::new("nothing that the run made for itself is left")))
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let namespace = &cx.checks.settings.probe.namespace;
            let (all, tried) = (left(cx).await?, cx.permit.is_dry_run());
            let parts = temporary::removals(&cx.client, namespace, &all, tried).await?;
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let namespace = &cx.checks.settings.probe.namespace;
            let all = left(cx).await?;
            let mut done = Done::new(match all.len() {
                1 => "1 object of the run is deleted".to_owned(),
                count => format!("{count} objects of the run are deleted"),
            });
            for one in &all {
                temporary::remove_left(&cx.client, namespace, one).await?;
                done = done.saw(one.shown(namespace));
            }
            Ok(done)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn volume(namespace: &str, claim: &str) -> Volume {
        let status: Value = json!({"kubernetesStatus": {"namespace": namespace, "pvcName": claim}});
        serde_json::from_value(json!({"metadata": {"name": "pvc-1"}, "status": status})).unwrap()
    }

    #[test]
    fn only_a_claim_of_the_run_in_the_namespace_of_our_own_is_its_test() {
        let ours = volume("onboarding-probe", "volume-7f3a91c2-0a1b");
        assert_eq!(test_of("onboarding-probe", &ours), Some("7f3a91c2"));
        assert!(is_of_test("onboarding-probe", "7f3a91c2", &ours));
        assert!(!is_of_test("onboarding-probe", "0000beef", &ours));
        assert!(!is_of_test("onboarding-probe", "", &ours));
        for (namespace, claim) in [
            ("apps", "volume-7f3a91c2-0a1b"),
            ("onboarding-probe", "data-7f3a91c2-0a1b"),
            ("onboarding-probe", "volume-7f3a91c2"),
            ("onboarding-probe", "volume-7f3a91c2-"),
            ("onboarding-probe", "volume--0a1b"),
            ("onboarding-probe", "volume-7f3a91c2-0a1b-more"),
            ("onboarding-probe", ""),
        ] {
            let other = volume(namespace, claim);
            assert_eq!(
                test_of("onboarding-probe", &other),
                None,
                "{namespace}/{claim}"
            );
        }
    }
}
