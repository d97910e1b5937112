//! The services of the cluster, now that there are more nodes: git, monitoring, ingress.

use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    monitoring::{exporter::is_exporter_target, prometheus},
    network::node_port,
    resources::{
        flux::{GitRepository, Health, Kustomization},
        node,
    },
    view::Scope,
};

/// The services of the cluster.
pub const CHECKS: &[Check] = &[
    Check {
        id: "health::flux_in_sync",
        title: "Every Kustomization is Ready at the newest commit of its source.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[
            Need::list(&kinds::KUSTOMIZATIONS),
            Need::list(&kinds::GIT_REPOSITORIES),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Of("3.4"),
        why: "What stands in git and what runs must be the same, or the next change brings surprises.",
        reasons: &[
            Reason::new(
                "NothingToFollow",
                "no Kustomization exists: flux get kustomizations -A",
            ),
            Reason::new(
                "NotReady",
                "kubectl -n {flux} describe kustomization with the named one; the message of its Ready condition says what failed",
            ),
            Reason::new(
                "Stalled",
                "Flux will not try again by itself: mend what the message says, commit and push",
            ),
            Reason::new(
                "Behind",
                "flux reconcile kustomization NAME --with-source, or wait for its interval",
            ),
            Reason::new(
                "Suspended",
                "flux resume kustomization with the named one when its maintenance is over",
            ),
        ],
        ask: ask!(flux_in_sync),
    },
    Check {
        id: "health::monitoring_both",
        title: "Prometheus scrapes node-exporter on every node.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[
            prometheus::NEEDS[0],
            prometheus::NEEDS[1],
            prometheus::NEEDS[2],
            Need::list(&kinds::NODES),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Of("5.2"),
        why: "Monitoring that moved to the new node and lost the old one is easy to overlook.",
        reasons: &[
            prometheus::MISSING,
            prometheus::DOWN,
            prometheus::REFUSED,
            Reason::new(
                "NodesNotScraped",
                "see that node-exporter is ready on the named nodes and that port 9100/tcp is open between the nodes",
            ),
        ],
        ask: ask!(monitoring_both),
    },
    Check {
        id: "health::ingress_on_node",
        title: "Requests from outside reach the ingress through {node}.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: node_port::NEEDS,
        awaits: true,
        after: None,
        criterion: Criterion::Of("4.3"),
        why: "This is what users of the cluster see of the new node.",
        reasons: node_port::REASONS,
        ask: ask!(ingress_on_node),
    },
];

async fn flux_in_sync(cx: &Context) -> Answer {
    let all = cx
        .view
        .list::<Kustomization>(&kinds::KUSTOMIZATIONS, Scope::all())
        .await?;
    let sources = cx
        .view
        .list::<GitRepository>(&kinds::GIT_REPOSITORIES, Scope::all())
        .await?;
    if all.is_empty() {
        return Ok(Verdict::fail("NothingToFollow", "no Kustomization exists"));
    }
    let mut suspended = Vec::new();
    let mut troubles: Vec<(&'static str, String)> = Vec::new();
    for one in all.iter() {
        let name = one.metadata.full_name();
        let trouble = match one.health() {
            Health::Ready => behind(one, &sources).map(|why| ("Behind", why)),
            Health::Suspended => {
                suspended.push(name);
                continue;
            }
            Health::Stalled(why) => Some(("Stalled", why)),
            Health::Progressing(why) | Health::NotReady(why) => Some(("NotReady", why)),
        };
        troubles.extend(trouble.map(|(reason, why)| (reason, format!("{name}: {why}"))));
    }
    let seen: Vec<String> = troubles.iter().map(|(_, what)| what.clone()).collect();
    let stalled = troubles.iter().find(|(reason, _)| *reason == "Stalled");
    if let Some((reason, what)) = stalled.or(troubles.first()) {
        let verdict = Verdict::fail(
            reason,
            format!(
                "{} of {} Kustomizations are not in sync; {what}",
                troubles.len(),
                all.len()
            ),
        )
        .saw_all(seen);
        return Ok(if stalled.is_some() {
            verdict.hopeless()
        } else {
            verdict
        });
    }
    if !suspended.is_empty() {
        return Ok(Verdict::warn(
            "Suspended",
            format!(
                "{} of {} Kustomizations are suspended: {}",
                suspended.len(),
                all.len(),
                suspended.join(", ")
            ),
        ));
    }
    Ok(Verdict::pass(format!(
        "{} Kustomizations, each at the commit of its source",
        all.len()
    )))
}

/// Whether a Ready Kustomization has an older commit than its source offers. Sources that are not git have none.
fn behind(one: &Kustomization, sources: &[GitRepository]) -> Option<String> {
    let wanted = &one.spec.source_ref;
    if wanted.kind != "GitRepository" {
        return None;
    }
    let namespace = if wanted.namespace.is_empty() {
        &one.metadata.namespace
    } else {
        &wanted.namespace
    };
    let source = sources.iter().find(|source| {
        source.metadata.name == wanted.name && source.metadata.namespace == *namespace
    });
    let Some(source) = source else {
        return Some(format!(
            "its source {namespace}/{} does not exist",
            wanted.name
        ));
    };
    let offered = source.commit()?;
    let applied = one.applied().unwrap_or("nothing");
    (applied != offered)
        .then(|| format!("at {}, the source is at {}", short(applied), short(offered)))
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

async fn monitoring_both(cx: &Context) -> Answer {
    let targets = match prometheus::targets(cx).await {
        Ok(targets) => targets,
        Err(verdict) => return Ok(verdict),
    };
    let nodes = node::all(cx).await?;
    let missing: Vec<&str> = nodes
        .iter()
        .filter(|one| {
            let address = node::internal_ip(one).and_then(|text| text.parse().ok());
            !targets.all.iter().any(|target| {
                is_exporter_target(target)
                    && target.health == "up"
                    && target.is_on(node::name(one), address)
            })
        })
        .map(node::name)
        .collect();
    let names: Vec<&str> = nodes.iter().map(node::name).collect();
    Ok(if !names.contains(&cx.node()) {
        Verdict::fail(
            "NodesNotScraped",
            format!("node {} does not exist", cx.node()),
        )
    } else if missing.is_empty() {
        Verdict::pass(names.join(", "))
    } else {
        Verdict::fail(
            "NodesNotScraped",
            format!("no target is up on {}", missing.join(", ")),
        )
        .saw(format!("{} active targets", targets.all.len()))
    })
}

async fn ingress_on_node(cx: &Context) -> Answer {
    node_port::judge(cx, cx.node()).await
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        monitoring::prometheus::example::answering,
        network::example::node,
        testing::{Fixture, check},
    };

    fn source(revision: &str) -> Value {
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "flux-system", "namespace": "flux-system", "generation": 1},
            "status": {"artifact": {"revision": revision}},
        })
    }

    fn kustomization(name: &str, applied: &str, conditions: Value, suspend: bool) -> Value {
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": "flux-system", "generation": 2},
            "spec": {"suspend": suspend, "sourceRef": {"kind": "GitRepository", "name": "flux-system"}},
            "status": {"observedGeneration": 2, "lastAppliedRevision": applied, "conditions": conditions},
        })
    }

    #[tokio::test]
    async fn where_flux_applies_nothing_there_is_nothing_to_follow() {
        let group = |name: &str| json!({"name": name, "versions": [{"version": "v1"}]});
        let groups = [
            group("kustomize.toolkit.fluxcd.io"),
            group("source.toolkit.fluxcd.io"),
        ];
        let none = json!({"metadata": {}, "items": []}).to_string();
        let verdict = Fixture::new()
            .raw("/apis", 200, json!({"groups": groups}).to_string())
            .raw(
                "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
                200,
                none.clone(),
            )
            .raw(
                "/apis/source.toolkit.fluxcd.io/v1/gitrepositories",
                200,
                none,
            )
            .ask(check("health::flux_in_sync"))
            .await;
        assert_eq!(verdict.reason(), "NothingToFollow", "{verdict:?}");
    }

    async fn flux(one: Value) -> Verdict {
        Fixture::new()
            .with(source("main@sha1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
            .with(one)
            .ask(check("health::flux_in_sync"))
            .await
    }

    #[tokio::test]
    async fn ready_is_not_enough_the_commit_must_be_the_newest() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let newest = "main@sha1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let good = flux(kustomization("apps", newest, ready.clone(), false)).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        let old = flux(kustomization(
            "apps",
            "main@sha1:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
            ready.clone(),
            false,
        ))
        .await;
        assert_eq!(old.reason(), "Behind");
        assert!(
            old.message()
                .contains("flux-system/apps: at bbbbbbb, the source is at aaaaaaa"),
            "{old:?}"
        );
        let frozen = flux(kustomization("apps", newest, ready, true)).await;
        assert_eq!(
            (frozen.outcome(), frozen.reason()),
            (Outcome::Warn, "Suspended")
        );
    }

    #[tokio::test]
    async fn stalled_cannot_be_waited_for() {
        let conditions = json!([
            {"type": "Stalled", "status": "True", "reason": "BuildFailed", "message": "no such file"},
            {"type": "Ready", "status": "False", "reason": "BuildFailed"},
        ]);
        let verdict = flux(kustomization("apps", "", conditions, false)).await;
        assert_eq!(verdict.reason(), "Stalled");
        assert!(verdict.is_hopeless());
        let trying = json!([{"type": "Ready", "status": "False", "reason": "HealthCheckFailed", "message": "timeout"}]);
        let verdict = flux(kustomization("apps", "", trying, false)).await;
        assert_eq!(verdict.reason(), "NotReady");
        assert!(!verdict.is_hopeless());
    }

    #[tokio::test]
    async fn every_node_must_be_scraped() {
        let target = |node: &str, health: &str| {
            json!({
                "labels": {"job": "node-exporter"}, "health": health,
                "discoveredLabels": {"__meta_kubernetes_pod_node_name": node},
            })
        };
        let ask = |all: Value| {
            answering(&[(
                "/api/v1/targets?state=active",
                json!({"activeTargets": all}),
            )])
            .with(node("k3s1", 1))
            .with(node("k3s2", 2))
            .ask(check("health::monitoring_both"))
        };
        let good = ask(json!([target("k3s1", "up"), target("k3s2", "up")])).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        let old_lost = ask(json!([target("k3s1", "down"), target("k3s2", "up")])).await;
        assert_eq!(old_lost.reason(), "NodesNotScraped");
        assert!(old_lost.message().ends_with("k3s1"), "{old_lost:?}");
    }

    #[tokio::test]
    async fn the_ingress_of_an_absent_node_is_not_found() {
        let verdict = Fixture::new()
            .with(node("k3s1", 1))
            .ask(check("health::ingress_on_node"))
            .await;
        assert_eq!(verdict.reason(), "NotFound");
        assert!(verdict.message().contains("k3s2"), "{verdict:?}");
    }
}
