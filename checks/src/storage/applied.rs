//! Whether Flux has applied the node's configuration: after Longhorn knew the node, once, and in the right place.

use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Place, Reason, Verdict, ask,
    gitops::revision::{self, Standing, short},
    kinds::{GIT_REPOSITORIES, KUSTOMIZATIONS, LONGHORN_NODES},
    resources::{
        flux::{GitRepository, Health, Kustomization},
        longhorn,
    },
    view::{ReadError, Scope},
};

const NAME_LABEL: &str = "kustomize.toolkit.fluxcd.io/name";

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "storage::gitops_applied",
        title: "Flux has applied {kustomization} at our commit, and everything in it is healthy.",
        severity: Severity::Fail,
        requires: &["storage::node_known"],
        needs: &[Need::list(&KUSTOMIZATIONS), Need::list(&GIT_REPOSITORIES)],
        awaits: true,
        after: Some("storage::reconcile"),
        criterion: Criterion::Of("3.1"),
        why: "Longhorn deletes what was applied before the node joined. So the configuration counts only when Flux has applied it again since, and says that it took effect.",
        reasons: &[
            Reason::new(
                "KustomizationSuspended",
                "flux resume kustomization {kustomization} -n {flux}",
            ),
            Reason::new(
                "KustomizationStalled",
                "kubectl -n {flux} describe kustomization {kustomization}; it tries again after the cause is changed in git",
            ),
            Reason::new(
                "TokenNotHandled",
                "kubectl -n {flux} logs deploy/kustomize-controller --tail=50 | grep {kustomization}; with wait: true it answers only when its health wait ends",
            ),
            Reason::new(
                "KustomizationNotReady",
                "kubectl -n {flux} describe kustomization {kustomization}; a failed health check names the object that is not healthy",
            ),
            Reason::new(
                "OtherRevision",
                "flux reconcile kustomization {kustomization} -n {flux} --with-source",
            ),
            Reason::new(
                "UnknownRevision",
                "git fetch in the clone, then ask again: Flux is at a commit that the clone does not know",
            ),
        ],
        ask: ask!(gitops_applied),
    },
    Check {
        id: "storage::no_stray_node",
        title: "No Longhorn Node {node} lies in another namespace.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::list(&LONGHORN_NODES).at(Place::Everywhere)],
        awaits: false,
        after: Some("storage::reconcile"),
        criterion: Criterion::Of("3.4"),
        why: "Longhorn looks at its own namespace only. A copy elsewhere does nothing, and cannot be deleted without help, because a finalizer that nobody serves holds it.",
        reasons: &[Reason::new(
            "StrayNode",
            "take it out of git (a second Kustomization with another targetNamespace builds it), then: kubectl -n <namespace> patch nodes.longhorn.io {node} --type merge -p '{\"metadata\":{\"finalizers\":null}}' && kubectl -n <namespace> delete nodes.longhorn.io {node}",
        )],
        ask: ask!(no_stray_node),
    },
];

async fn gitops_applied(cx: &Context) -> Answer {
    let names = &cx.settings.flux;
    let all = cx
        .view
        .list::<Kustomization>(&KUSTOMIZATIONS, Scope::all())
        .await?;
    let full_name = format!("{}/{}", names.namespace, names.kustomization);
    let found = all
        .iter()
        .find(|one| one.metadata.full_name() == full_name)
        .ok_or_else(|| ReadError::Absent {
            what: format!("kustomization {full_name}"),
        })?;
    let status = &found.status;
    let token = cx.recorded("storage::reconcile", "token");
    if let Some(verdict) = unhealthy(found, &full_name, token) {
        return Ok(verdict.saw(format!(
            "last applied {}, last attempted {}",
            status.last_applied_revision, status.last_attempted_revision
        )));
    }
    let wanted = match revision::of_this_run(cx) {
        Some(commit) => commit.to_owned(),
        None => match source_commit(cx, found).await? {
            Some(commit) => commit,
            None => {
                return Ok(Verdict::fail(
                    "OtherRevision",
                    format!("{full_name}: its source has no artifact"),
                ));
            }
        },
    };
    let standing = match revision::standing(cx.repository.as_ref(), found.applied(), &wanted).await
    {
        Ok(standing) => standing,
        Err(verdict) => return Ok(verdict),
    };
    let at = found.applied().map_or("nothing", short);
    let verdict = match standing {
        Standing::Same => Verdict::pass(format!("{full_name} is Ready at {at}")),
        Standing::Newer => Verdict::pass(format!(
            "{full_name} is Ready at {at}, which contains {}",
            short(&wanted)
        )),
        Standing::Other => Verdict::fail(
            "OtherRevision",
            format!("{full_name} is Ready at {at}, expected {}", short(&wanted)),
        ),
        Standing::Unknown => Verdict::warn(
            "UnknownRevision",
            format!(
                "{full_name} is Ready at {at}; whether that contains {} is not known",
                short(&wanted)
            ),
        ),
    };
    Ok(match token {
        Some(token) => verdict.saw(format!("request {token} was handled")),
        None => verdict.saw("this run has requested nothing, so its state as it is counts"),
    })
}

/// Why what the Kustomization says does not count, if it does not.
fn unhealthy(found: &Kustomization, name: &str, token: Option<&str>) -> Option<Verdict> {
    let verdict = match found.health() {
        Health::Suspended => Verdict::fail(
            "KustomizationSuspended",
            format!("{name} is suspended: what it says is from before"),
        )
        .hopeless(),
        Health::Stalled(why) => {
            Verdict::fail("KustomizationStalled", format!("{name}: {why}")).hopeless()
        }
        // Ready=True is from before the request as long as the request is not handled.
        health if token.is_some_and(|token| found.status.last_handled_reconcile_at != token) => {
            let now = match health {
                Health::NotReady(why) | Health::Progressing(why) => format!(": {why}"),
                _ => String::new(),
            };
            Verdict::fail(
                "TokenNotHandled",
                format!("{name} has not handled our request{now}"),
            )
        }
        Health::Progressing(why) | Health::NotReady(why) => {
            Verdict::fail("KustomizationNotReady", format!("{name}: {why}"))
        }
        Health::Ready => return None,
    };
    Some(verdict)
}

/// The commit of the artifact of its source.
async fn source_commit(cx: &Context, of: &Kustomization) -> Result<Option<String>, ReadError> {
    let reference = &of.spec.source_ref;
    let namespace = if reference.namespace.is_empty() {
        &of.metadata.namespace
    } else {
        &reference.namespace
    };
    let sources = cx
        .view
        .list::<GitRepository>(&GIT_REPOSITORIES, Scope::all())
        .await?;
    Ok(sources
        .iter()
        .find(|one| one.metadata.name == reference.name && one.metadata.namespace == *namespace)
        .and_then(GitRepository::commit)
        .map(str::to_owned))
}

async fn no_stray_node(cx: &Context) -> Answer {
    let longhorn = &cx.settings.longhorn.namespace;
    let all = cx
        .view
        .list::<longhorn::Node>(&LONGHORN_NODES, Scope::all())
        .await?;
    let stray: Vec<&longhorn::Node> = all
        .iter()
        .filter(|one| one.metadata.name == cx.node() && one.metadata.namespace != *longhorn)
        .collect();
    if stray.is_empty() {
        return Ok(Verdict::pass(format!(
            "no nodes.longhorn.io {} outside of {longhorn}",
            cx.node()
        )));
    }
    let places: Vec<&str> = stray
        .iter()
        .map(|one| one.metadata.namespace.as_str())
        .collect();
    let owners = stray.iter().map(|one| {
        let owner = one
            .metadata
            .labels
            .get(NAME_LABEL)
            .map_or("nobody that is named", String::as_str);
        format!(
            "{}: applied by Kustomization {owner}",
            one.metadata.full_name()
        )
    });
    Ok(Verdict::fail(
        "StrayNode",
        format!(
            "nodes.longhorn.io {} also lies in namespace {}",
            cx.node(),
            places.join(", ")
        ),
    )
    .saw_all(owners))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use reports::model::{ActionRecord, ActionState, Outcome};
    use serde_json::{Value, json};

    use super::super::tests::{longhorn_node, with_node};
    use crate::{Verdict, catalogue::find, testing::Fixture};

    const OURS: &str = "9d0c4e1f00000000000000000000000000000000";
    const OLD: &str = "51aa0b2000000000000000000000000000000000";

    fn kustomization(change: impl FnOnce(&mut Value)) -> Value {
        let mut object = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "infrastructure-storage", "namespace": "flux-system", "generation": 3},
            "spec": {"path": "./infrastructure/storage", "wait": true,
                "sourceRef": {"kind": "GitRepository", "name": "flux-system"}},
            "status": {"observedGeneration": 3, "lastHandledReconcileAt": "token-1",
                "lastAppliedRevision": format!("main@sha1:{OURS}"), "lastAttemptedRevision": format!("main@sha1:{OURS}"),
                "conditions": [{"type": "Ready", "status": "True", "reason": "ReconciliationSucceeded"}]}});
        change(&mut object);
        object
    }

    fn source(commit: &str) -> Value {
        json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "flux-system", "namespace": "flux-system", "generation": 1},
            "spec": {"url": "ssh://git@example.org/home.git"},
            "status": {"observedGeneration": 1, "artifact": {"revision": format!("main@sha1:{commit}")}}})
    }

    async fn ask(objects: Vec<Value>, recorded: &[(&str, &str, &str)]) -> Verdict {
        let mut cx = objects
            .into_iter()
            .fold(Fixture::new(), Fixture::with)
            .context();
        let mut report = (*cx.report).clone();
        for (id, key, value) in recorded {
            report.actions.push(ActionRecord {
                id: (*id).into(),
                state: ActionState::Done,
                started: Timestamp::UNIX_EPOCH,
                finished: None,
                recorded: [((*key).to_owned(), (*value).to_owned())].into(),
            });
        }
        cx.report = Arc::new(report);
        let check = find("storage::gitops_applied").unwrap();
        (check.ask)(&cx).await.unwrap_or_else(Verdict::from)
    }

    const RECORDED: [(&str, &str, &str); 2] = [
        ("storage::reconcile", "token", "token-1"),
        ("gitops::commit", "commit", OURS),
    ];

    #[tokio::test]
    async fn an_ordered_run_demands_its_own_token_and_commit() {
        let good = ask(vec![kustomization(|_| {})], &RECORDED).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        let early = kustomization(|one| one["status"]["lastHandledReconcileAt"] = json!("token-0"));
        let early = ask(vec![early], &RECORDED).await;
        assert_eq!(early.reason(), "TokenNotHandled");
        assert!(
            early
                .message()
                .contains("flux-system/infrastructure-storage"),
            "{}",
            early.message()
        );
        let old = kustomization(|one| {
            one["status"]["lastAppliedRevision"] = json!(format!("main@sha1:{OLD}"))
        });
        assert_eq!(
            ask(vec![old], &RECORDED).await.reason(),
            "UnknownRevision",
            "no clone to compare with"
        );
    }

    #[tokio::test]
    async fn an_inspection_compares_with_the_artifact() {
        let good = ask(vec![kustomization(|_| {}), source(OURS)], &[]).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        let behind = kustomization(|one| one["status"]["lastAppliedRevision"] = json!(""));
        let behind = ask(vec![behind, source(OURS)], &[]).await;
        assert_eq!(behind.reason(), "OtherRevision");
        assert_eq!(ask(vec![source(OURS)], &[]).await.reason(), "NotServed");
    }

    #[tokio::test]
    async fn a_frozen_or_failed_kustomization_does_not_count() {
        let suspended = kustomization(|one| one["spec"]["suspend"] = json!(true));
        let suspended = ask(vec![suspended], &RECORDED).await;
        assert_eq!(
            (suspended.reason(), suspended.is_hopeless()),
            ("KustomizationSuspended", true)
        );
        let stalled = kustomization(|one| {
            one["status"]["conditions"] = json!([{"type": "Stalled", "status": "True", "reason": "BuildFailed", "message": "x"}]);
        });
        let stalled = ask(vec![stalled], &RECORDED).await;
        assert_eq!(
            (stalled.reason(), stalled.is_hopeless()),
            ("KustomizationStalled", true)
        );
        let failed = kustomization(|one| {
            one["status"]["conditions"] = json!([{"type": "Ready", "status": "False", "reason": "HealthCheckFailed", "message": "Node/longhorn-system/k3s2"}]);
        });
        let failed = ask(vec![failed], &RECORDED).await;
        assert_eq!(
            (failed.reason(), failed.is_hopeless()),
            ("KustomizationNotReady", false)
        );
        assert!(
            failed.message().contains("HealthCheckFailed"),
            "{}",
            failed.message()
        );
        let newer = kustomization(|one| one["metadata"]["generation"] = json!(4));
        assert_eq!(
            ask(vec![newer], &RECORDED).await.reason(),
            "KustomizationNotReady",
            "generation 4 was not looked at"
        );
    }

    #[tokio::test]
    async fn a_copy_in_another_namespace_is_named_with_its_owner() {
        let check = find("storage::no_stray_node").unwrap();
        assert_eq!(
            with_node(longhorn_node("k3s2")).ask(check).await.outcome(),
            Outcome::Pass
        );
        let mut stray = longhorn_node("k3s2");
        stray["metadata"]["namespace"] = json!("default");
        stray["metadata"]["labels"] =
            json!({"kustomize.toolkit.fluxcd.io/name": "k3s2-longhorn-disks"});
        let verdict = with_node(longhorn_node("k3s2"))
            .with(stray)
            .ask(check)
            .await;
        assert_eq!(verdict.reason(), "StrayNode");
        assert!(
            verdict
                .message()
                .contains("k3s2 also lies in namespace default"),
            "{}",
            verdict.message()
        );
        assert!(verdict.evidence()[0].contains("k3s2-longhorn-disks"));
    }
}
