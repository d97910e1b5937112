//! `pre`, Flux: is it installed, does it run, and is what carries the node's configuration ready to take a commit?

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::apps::v1::Deployment;
use reports::model::Severity;
use serde::Deserialize;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    kinds::Kind,
    resources::{
        flux::{GitRepository, Health, Kustomization},
        full_name,
        meta::Meta,
        workload,
    },
    view::{ReadError, Scope},
};

/// Controllers without which nothing is fetched or applied.
const NEEDED: [&str; 2] = ["source-controller", "kustomize-controller"];
/// Controllers that belong to Flux and that an onboarding does not rest on.
const OTHERS: [&str; 2] = ["helm-controller", "notification-controller"];

/// The checks of this file, in order.
pub const CHECKS: &[Check] = &[
    Check {
        id: "pre::flux_installed",
        title: "The cluster serves the kinds of Flux.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[Need::Path("/apis")],
        awaits: false,
        after: None,
        criterion: Criterion::Of("1.4"),
        why: "Flux is what turns the commit of the onboarding into a configured node.",
        reasons: &[
            Reason::new(
                "FluxNotInstalled",
                "install Flux into this cluster (flux install), or choose the right cluster with --context",
            ),
            Reason::new(
                "OldApiOnly",
                "upgrade Flux: flux install; manifests of these versions are dropped by newer releases",
            ),
        ],
        ask: ask!(flux_installed),
    },
    Check {
        id: "pre::flux_controllers",
        title: "The controllers of Flux are available.",
        severity: Severity::Fail,
        requires: &["pre::flux_installed"],
        needs: &[Need::list(&kinds::DEPLOYMENTS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("1.4"),
        why: "Objects of Flux keep saying Ready when the controller behind them has died; only its Deployment tells.",
        reasons: &[
            Reason::new(
                "ControllerMissing",
                "see what is there: kubectl -n {flux} get deployments",
            ),
            Reason::new(
                "ControllerUnavailable",
                "see why: kubectl -n {flux} describe deployment NAME && kubectl -n {flux} logs deployment/NAME",
            ),
        ],
        ask: ask!(flux_controllers),
    },
    Check {
        id: "pre::flux_sources",
        title: "The git source {source} is fetched.",
        severity: Severity::Fail,
        requires: &["pre::flux_installed"],
        needs: &[Need::list(&kinds::GIT_REPOSITORIES), Need::Path("/apis")],
        awaits: false,
        after: None,
        criterion: Criterion::Of("3.2"),
        why: "A commit that Flux cannot fetch is never applied, however well it was pushed.",
        reasons: &[
            Reason::new(
                "SourceMissing",
                "name the right one in flux.source: kubectl get gitrepositories -A",
            ),
            Reason::new(
                "SourceNotReady",
                "flux -n {flux} reconcile source git {source} says why it is not fetched",
            ),
            Reason::new(
                "SourceStalled",
                "correct what it names, in git or in the object: kubectl -n {flux} get gitrepository {source} -o yaml",
            ),
            Reason::new(
                "SourceSuspended",
                "flux -n {flux} resume source git {source}",
            ),
            Reason::new(
                "OtherSourceNotReady",
                "this onboarding does not rest on it; see why: flux get sources git -A",
            ),
        ],
        ask: ask!(flux_sources),
    },
    Check {
        id: "pre::flux_kustomizations",
        title: "The Kustomization {kustomization} and everything it depends on are applied.",
        severity: Severity::Fail,
        requires: &["pre::flux_installed"],
        needs: &[Need::list(&kinds::KUSTOMIZATIONS), Need::Path("/apis")],
        awaits: true,
        after: None,
        criterion: Criterion::Of("3.4"),
        why: "It carries the node's configuration. One that fails already would blame the new node for an old fault.",
        reasons: &[
            Reason::new(
                "KustomizationMissing",
                "name the right one in flux.kustomization: kubectl get kustomizations.kustomize.toolkit.fluxcd.io -A",
            ),
            Reason::new(
                "KustomizationNotReady",
                "see why: flux -n {flux} get kustomizations, then kubectl -n {flux} describe the one that is named",
            ),
            Reason::new(
                "KustomizationReconciling",
                "Flux is at work, as it is for a moment after a push: ask again, or with --wait",
            ),
            Reason::new(
                "KustomizationStalled",
                "correct in git what the message names; Flux does not try again by itself",
            ),
            Reason::new(
                "KustomizationSuspended",
                "flux -n {flux} resume kustomization, with the one that the message names",
            ),
            Reason::new(
                "OtherKustomizationNotReady",
                "this onboarding does not rest on it; see why: flux get kustomizations -A",
            ),
        ],
        ask: ask!(flux_kustomizations),
    },
    Check {
        id: "pre::flux_suspended",
        title: "No object of Flux is suspended.",
        severity: Severity::Warn,
        requires: &["pre::flux_installed"],
        needs: &[
            Need::list(&kinds::GIT_REPOSITORIES),
            Need::list(&kinds::KUSTOMIZATIONS),
            Need::list(&kinds::HELM_RELEASES),
            Need::Path("/apis"),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("3.4"),
        why: "A suspended object keeps the Ready that it had when it was suspended, and does nothing.",
        reasons: &[Reason::new(
            "Suspended",
            "resume what is not suspended on purpose: flux resume kustomization|helmrelease|source git NAME",
        )],
        ask: ask!(flux_suspended),
    },
];

async fn flux_installed(cx: &Context) -> Answer {
    let wanted: [(&'static Kind, bool); 3] = [
        (&kinds::GIT_REPOSITORIES, true),
        (&kinds::KUSTOMIZATIONS, true),
        (&kinds::HELM_RELEASES, false),
    ];
    let mut seen = Vec::new();
    let mut missing = Vec::new();
    let mut old = Vec::new();
    for (kind, needed) in wanted {
        let served = cx.view.served(kind.group).await?;
        let known = kind
            .versions
            .iter()
            .find(|version| served.iter().any(|one| one == *version));
        match known {
            Some(version) => {
                seen.push(format!("{} {}", kind.name(), served.join(", ")));
                if Some(version) != kind.versions.first() {
                    old.push(format!("{} only in {}", kind.name(), served.join(", ")));
                }
            }
            None if needed => missing.push(kind.name()),
            None => seen.push(format!("{} not served", kind.name())),
        }
    }
    Ok(if !missing.is_empty() {
        Verdict::fail(
            "FluxNotInstalled",
            format!("the cluster does not serve {}", missing.join(" and ")),
        )
        .saw_all(seen)
    } else if !old.is_empty() {
        Verdict::warn("OldApiOnly", old.join("; ")).saw_all(seen)
    } else {
        Verdict::pass(seen.join("; "))
    })
}

async fn flux_controllers(cx: &Context) -> Answer {
    let deployments = cx
        .view
        .list::<Deployment>(&kinds::DEPLOYMENTS, Scope::all())
        .await?;
    let namespace = cx.settings.flux.namespace.as_str();
    let named = |name: &str| {
        deployments.iter().find(|one| {
            one.metadata.namespace.as_deref() == Some(namespace)
                && one.metadata.name.as_deref() == Some(name)
        })
    };
    let missing: Vec<&str> = NEEDED
        .into_iter()
        .filter(|name| named(name).is_none())
        .collect();
    if !missing.is_empty() {
        return Ok(Verdict::fail(
            "ControllerMissing",
            format!(
                "namespace {namespace} has no Deployment {}",
                missing.join(" and ")
            ),
        ));
    }
    let trouble = |names: &[&str]| -> Vec<String> {
        names
            .iter()
            .filter_map(|name| named(name))
            .filter_map(|one| {
                let trouble = workload::deployment_trouble(one)?;
                Some(format!("{}: {trouble}", full_name(&one.metadata)))
            })
            .collect()
    };
    let (needed, others) = (trouble(&NEEDED), trouble(&OTHERS));
    let versions: BTreeSet<&str> = NEEDED
        .into_iter()
        .filter_map(named)
        .filter_map(|one| {
            one.metadata
                .labels
                .as_ref()?
                .get("app.kubernetes.io/version")
        })
        .map(String::as_str)
        .collect();
    let release = versions.into_iter().collect::<Vec<_>>().join(", ");
    Ok(if !needed.is_empty() {
        Verdict::fail("ControllerUnavailable", needed.join("; ")).saw_all(others)
    } else if !others.is_empty() {
        Verdict::warn("ControllerUnavailable", others.join("; "))
    } else if release.is_empty() {
        Verdict::pass("all controllers are available")
    } else {
        Verdict::pass(format!("all controllers are available, Flux {release}"))
    })
}

async fn flux_sources(cx: &Context) -> Answer {
    let sources = cx
        .view
        .list::<GitRepository>(&kinds::GIT_REPOSITORIES, Scope::all())
        .await?;
    let flux = &cx.settings.flux;
    let wanted = format!("{}/{}", flux.namespace, flux.source);
    let Some(source) = sources
        .iter()
        .find(|one| one.metadata.full_name() == wanted)
    else {
        return Ok(missing(
            "SourceMissing",
            "GitRepository",
            &wanted,
            sources.iter().map(|one| &one.metadata),
        ));
    };
    let revision = source
        .status
        .artifact
        .as_ref()
        .map_or("nothing", |artifact| &artifact.revision);
    let what = format!("GitRepository {wanted}");
    let verdict = match source.health() {
        Health::Ready if source.status.artifact.is_some() => {
            let others = unhealthy(
                sources
                    .iter()
                    .filter(|one| one.metadata != source.metadata)
                    .map(|one| (&one.metadata, one.health())),
            );
            if others.is_empty() {
                Verdict::pass(format!("{what} is at {revision}"))
            } else {
                Verdict::warn("OtherSourceNotReady", others.join("; "))
            }
        }
        Health::Ready => Verdict::fail("SourceNotReady", format!("{what} has no artifact")),
        Health::Suspended => Verdict::fail(
            "SourceSuspended",
            format!("{what} is suspended: it fetches nothing and hears no request"),
        ),
        Health::Stalled(why) => Verdict::fail("SourceStalled", format!("{what}: {why}")).hopeless(),
        Health::Progressing(why) | Health::NotReady(why) => {
            Verdict::fail("SourceNotReady", format!("{what}: {why}"))
        }
    };
    Ok(verdict.saw(format!("{} at {revision}", source.spec.url)))
}

fn missing<'a>(
    reason: &'static str,
    kind: &str,
    wanted: &str,
    there: impl Iterator<Item = &'a Meta>,
) -> Verdict {
    let names: Vec<String> = there.map(Meta::full_name).collect();
    let there = if names.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are {}", names.join(", "))
    };
    Verdict::fail(reason, format!("{kind} {wanted} does not exist, {there}"))
}

/// The objects that are neither ready nor suspended, each with why. What is suspended is told elsewhere.
fn unhealthy<'a>(objects: impl Iterator<Item = (&'a Meta, Health)>) -> Vec<String> {
    objects
        .filter_map(|(meta, health)| match health {
            Health::Ready | Health::Suspended => None,
            Health::Stalled(why) | Health::Progressing(why) | Health::NotReady(why) => {
                Some(format!("{}: {why}", meta.full_name()))
            }
        })
        .collect()
}

/// Whether a Kustomization is ready, at work, or waits for one of these that is at work.
fn is_at_work(needed: &[&Kustomization], one: &Kustomization) -> bool {
    let progressing = |one: &&Kustomization| matches!(one.health(), Health::Progressing(_));
    match one.health() {
        Health::Ready | Health::Progressing(_) => true,
        Health::NotReady(why) => {
            why.contains("DependencyNotReady") && needed.iter().any(progressing)
        }
        Health::Suspended | Health::Stalled(_) => false,
    }
}

/// A Kustomization and all that it depends on, itself first; those that do not exist are named.
fn chain<'a>(
    all: &'a [Kustomization],
    first: &'a Kustomization,
) -> (Vec<&'a Kustomization>, Vec<String>) {
    let mut found = vec![first];
    let mut absent = Vec::new();
    let mut at = 0;
    while let Some(one) = found.get(at) {
        for name in one.dependencies() {
            match all.iter().find(|other| other.metadata.full_name() == name) {
                Some(other) if !found.iter().any(|seen| seen.metadata == other.metadata) => {
                    found.push(other);
                }
                Some(_) => {}
                None => absent.push(name),
            }
        }
        at += 1;
    }
    (found, absent)
}

async fn flux_kustomizations(cx: &Context) -> Answer {
    let all = cx
        .view
        .list::<Kustomization>(&kinds::KUSTOMIZATIONS, Scope::all())
        .await?;
    let flux = &cx.settings.flux;
    let wanted = format!("{}/{}", flux.namespace, flux.kustomization);
    let Some(carrier) = all.iter().find(|one| one.metadata.full_name() == wanted) else {
        return Ok(missing(
            "KustomizationMissing",
            "Kustomization",
            &wanted,
            all.iter().map(|one| &one.metadata),
        ));
    };
    if carrier.health() == Health::Suspended {
        return Ok(Verdict::fail(
            "KustomizationSuspended",
            format!("Kustomization {wanted} is suspended: it applies nothing and hears no request"),
        )
        .hopeless());
    }
    let (needed, absent) = chain(&all, carrier);
    // Flux applies nothing before what it depends on has taken the same commit, which a suspended one never does.
    let frozen: Vec<String> = needed
        .iter()
        .filter(|one| one.health() == Health::Suspended)
        .map(|one| one.metadata.full_name())
        .collect();
    if !frozen.is_empty() {
        return Ok(Verdict::fail(
            "KustomizationSuspended",
            format!(
                "{wanted} depends on {}, which is suspended and takes no commit",
                frozen.join(", ")
            ),
        )
        .hopeless());
    }
    let stalled: Vec<String> = needed
        .iter()
        .filter_map(|one| match one.health() {
            Health::Stalled(why) => Some(format!("{}: {why}", one.metadata.full_name())),
            _ => None,
        })
        .collect();
    if !stalled.is_empty() {
        return Ok(Verdict::fail("KustomizationStalled", stalled.join("; ")).hopeless());
    }
    let mut not_ready = unhealthy(needed.iter().map(|one| (&one.metadata, one.health())));
    not_ready.extend(
        absent
            .iter()
            .map(|name| format!("{name} does not exist, and {wanted} depends on it")),
    );
    if !not_ready.is_empty() {
        let verdict = if absent.is_empty() && needed.iter().all(|one| is_at_work(&needed, one)) {
            // Somebody has pushed just now: what is at work comes to an end, well or badly.
            Verdict::fail("KustomizationReconciling", not_ready.join("; "))
        } else {
            // It has failed before this run began; the run does not wait for somebody to mend it.
            Verdict::fail("KustomizationNotReady", not_ready.join("; ")).hopeless()
        };
        return Ok(verdict);
    }
    let seen = needed.iter().map(|one| {
        format!(
            "{} at {}",
            one.metadata.full_name(),
            one.status.last_applied_revision
        )
    });
    let others = unhealthy(
        all.iter()
            .filter(|one| !needed.iter().any(|other| other.metadata == one.metadata))
            .map(|one| (&one.metadata, one.health())),
    );
    Ok(if others.is_empty() {
        Verdict::pass(format!(
            "{wanted} is ready, with {} that it depends on",
            needed.len() - 1
        ))
    } else {
        Verdict::warn("OtherKustomizationNotReady", others.join("; "))
    }
    .saw_all(seen))
}

/// The one field that every kind of Flux has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Suspendable {
    metadata: Meta,
    spec: Suspend,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Suspend {
    suspend: bool,
}

async fn flux_suspended(cx: &Context) -> Answer {
    let view = &cx.view;
    let sources = view
        .list::<GitRepository>(&kinds::GIT_REPOSITORIES, Scope::all())
        .await?;
    let kustomizations = view
        .list::<Kustomization>(&kinds::KUSTOMIZATIONS, Scope::all())
        .await?;
    // Flux can be installed without its Helm part.
    let releases = match view
        .list::<Suspendable>(&kinds::HELM_RELEASES, Scope::all())
        .await
    {
        Err(ReadError::NotServed { .. }) => Arc::default(),
        answer => answer?,
    };
    let objects = (sources
        .iter()
        .map(|one| ("GitRepository", &one.metadata, one.spec.suspend)))
    .chain(
        kustomizations
            .iter()
            .map(|one| ("Kustomization", &one.metadata, one.spec.suspend)),
    )
    .chain(
        releases
            .iter()
            .map(|one| ("HelmRelease", &one.metadata, one.spec.suspend)),
    );
    let mut count = 0;
    let mut suspended = Vec::new();
    for (kind, meta, suspend) in objects {
        count += 1;
        if suspend {
            suspended.push(format!("{kind} {}", meta.full_name()));
        }
    }
    Ok(if suspended.is_empty() {
        Verdict::pass(format!("none of {count} objects is suspended"))
    } else {
        Verdict::fail("Suspended", format!("suspended: {}", suspended.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Fixture, check};

    const REVISION: &str = "main@sha1:9d0c4e1f00000000000000000000000000000000";

    fn source(name: &str, ready: &str) -> Value {
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": name, "namespace": "flux-system", "generation": 1},
            "spec": {"url": "ssh://git@example.org/x", "ref": {"branch": "main"}},
            "status": {
                "observedGeneration": 1, "artifact": {"revision": REVISION},
                "conditions": [{"type": "Ready", "status": ready, "reason": "R", "message": "m"}],
            },
        })
    }

    fn kustomization(name: &str, ready: &str, depends_on: &[&str]) -> Value {
        let depends_on: Vec<Value> = depends_on.iter().map(|one| json!({"name": one})).collect();
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": "flux-system", "generation": 1},
            "spec": {"path": "./x", "dependsOn": depends_on},
            "status": {
                "observedGeneration": 1, "lastAppliedRevision": REVISION,
                "conditions": [{"type": "Ready", "status": ready, "reason": "BuildFailed", "message": "no such file"}],
            },
        })
    }

    fn controller(name: &str, available: i32) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": name, "namespace": "flux-system", "generation": 1,
                "labels": {"app.kubernetes.io/version": "v2.6.1"},
            },
            "spec": {"replicas": 1, "selector": {}, "template": {}},
            "status": {"observedGeneration": 1, "availableReplicas": available},
        })
    }

    #[tokio::test]
    async fn a_cluster_without_flux_is_told() {
        let check = check("pre::flux_installed");
        let bare = Fixture::new().ask(check).await;
        assert_eq!(bare.reason(), "FluxNotInstalled");
        assert!(
            bare.message()
                .contains("gitrepositories.source.toolkit.fluxcd.io")
        );
        let whole = Fixture::new()
            .with(source("flux-system", "True"))
            .with(kustomization("infrastructure-storage", "True", &[]))
            .ask(check)
            .await;
        assert_eq!(whole.reason(), "", "{}", whole.message());
        assert!(
            whole.message().contains("not served"),
            "{}",
            whole.message()
        );
        let groups = json!({"groups": [
            {"name": "source.toolkit.fluxcd.io", "versions": [{"version": "v1beta2"}]},
            {"name": "kustomize.toolkit.fluxcd.io", "versions": [{"version": "v1"}]},
        ]});
        let old = Fixture::new()
            .raw("/apis", 200, groups.to_string())
            .ask(check)
            .await;
        assert_eq!(old.reason(), "OldApiOnly");
    }

    #[tokio::test]
    async fn controllers_are_judged_by_their_deployments() {
        let check = check("pre::flux_controllers");
        let with = |available: i32| {
            Fixture::new()
                .with(controller("source-controller", 1))
                .with(controller("kustomize-controller", available))
        };
        let well = with(1).ask(check).await;
        assert_eq!(well.message(), "all controllers are available, Flux v2.6.1");
        let ill = with(0).ask(check).await;
        assert_eq!(ill.reason(), "ControllerUnavailable");
        assert!(
            ill.message()
                .contains("flux-system/kustomize-controller: 0 of 1")
        );
        let helm = with(1)
            .with(controller("helm-controller", 0))
            .ask(check)
            .await;
        assert_eq!(helm.outcome().name(), "warn");
        let half = Fixture::new()
            .with(controller("source-controller", 1))
            .ask(check)
            .await;
        assert_eq!(half.reason(), "ControllerMissing");
    }

    #[tokio::test]
    async fn a_suspended_dependency_takes_no_commit() {
        let mut frozen = kustomization("crds", "True", &[]);
        frozen["spec"]["suspend"] = json!(true);
        let verdict = Fixture::new()
            .with(kustomization("infrastructure-storage", "True", &["crds"]))
            .with(frozen)
            .ask(check("pre::flux_kustomizations"))
            .await;
        assert_eq!(
            (verdict.reason(), verdict.is_hopeless()),
            ("KustomizationSuspended", true)
        );
        assert!(
            verdict.message().contains("flux-system/crds"),
            "{}",
            verdict.message()
        );
    }

    #[tokio::test]
    async fn the_source_must_be_fetched_and_others_only_warn() {
        let check = check("pre::flux_sources");
        let ask = |object: Value| Fixture::new().with(object).ask(check);
        assert_eq!(ask(source("flux-system", "True")).await.reason(), "");
        let failed = ask(source("flux-system", "False")).await;
        assert_eq!(failed.reason(), "SourceNotReady");
        assert!(failed.message().contains("flux-system/flux-system"));
        let absent = ask(source("other", "True")).await;
        assert_eq!(absent.reason(), "SourceMissing");
        assert!(absent.message().contains("there are flux-system/other"));
        let mut frozen = source("flux-system", "True");
        frozen["spec"]["suspend"] = json!(true);
        assert_eq!(ask(frozen).await.reason(), "SourceSuspended");
        let mut old = source("flux-system", "True");
        old["metadata"]["generation"] = json!(2);
        assert_eq!(ask(old).await.reason(), "SourceNotReady");
        let mut stalled = source("flux-system", "False");
        stalled["status"]["conditions"] = json!([
            {"type": "Stalled", "status": "True", "reason": "URLInvalid"},
            {"type": "Ready", "status": "False", "reason": "URLInvalid"},
        ]);
        let stalled = ask(stalled).await;
        assert_eq!(
            (stalled.reason(), stalled.is_hopeless()),
            ("SourceStalled", true)
        );
        let both = Fixture::new()
            .with(source("flux-system", "True"))
            .with(source("apps", "False"))
            .ask(check)
            .await;
        assert_eq!(
            (both.outcome().name(), both.reason()),
            ("warn", "OtherSourceNotReady")
        );
    }

    #[tokio::test]
    async fn the_whole_chain_of_dependencies_must_be_ready() {
        let check = check("pre::flux_kustomizations");
        let with = |base: &str, other: &str| {
            Fixture::new()
                .with(kustomization("infrastructure-storage", "True", &["core"]))
                .with(kustomization("core", "True", &["base"]))
                .with(kustomization("base", base, &["core"]))
                .with(kustomization("apps", other, &[]))
        };
        let well = with("True", "True").ask(check).await;
        assert_eq!(
            (well.reason(), well.message()),
            (
                "",
                "flux-system/infrastructure-storage is ready, with 2 that it depends on"
            )
        );
        let deep = with("False", "True").ask(check).await;
        assert_eq!(deep.reason(), "KustomizationNotReady");
        assert!(
            deep.message()
                .contains("flux-system/base: Ready=False (BuildFailed")
        );
        assert!(deep.is_hopeless(), "it failed before the run began");
        let pushed = with("Unknown", "True").ask(check).await;
        assert_eq!(pushed.reason(), "KustomizationReconciling");
        assert!(!pushed.is_hopeless(), "it comes to an end by itself");
        let mut waiting = kustomization("infrastructure-storage", "False", &["core"]);
        waiting["status"]["conditions"][0]["reason"] = "DependencyNotReady".into();
        let behind = Fixture::new()
            .with(waiting)
            .with(kustomization("core", "Unknown", &[]));
        assert_eq!(behind.ask(check).await.reason(), "KustomizationReconciling");
        let other = with("True", "False").ask(check).await;
        assert_eq!(
            (other.outcome().name(), other.reason()),
            ("warn", "OtherKustomizationNotReady")
        );
        let dangling = Fixture::new()
            .with(kustomization("infrastructure-storage", "True", &["gone"]))
            .ask(check)
            .await;
        assert!(
            dangling
                .message()
                .contains("flux-system/gone does not exist")
        );
        let absent = Fixture::new()
            .with(kustomization("apps", "True", &[]))
            .ask(check)
            .await;
        assert_eq!(absent.reason(), "KustomizationMissing");
    }

    #[tokio::test]
    async fn a_frozen_ready_is_never_a_pass() {
        let mut frozen = kustomization("infrastructure-storage", "True", &[]);
        frozen["spec"]["suspend"] = json!(true);
        let fixture = Fixture::new()
            .with(frozen)
            .with(source("flux-system", "True"));
        let carrier = fixture.clone().ask(check("pre::flux_kustomizations")).await;
        assert_eq!(
            (carrier.reason(), carrier.is_hopeless()),
            ("KustomizationSuspended", true)
        );
        let suspended = fixture.ask(check("pre::flux_suspended")).await;
        assert_eq!(suspended.reason(), "Suspended");
        assert!(
            suspended
                .message()
                .contains("Kustomization flux-system/infrastructure-storage")
        );
        let none = Fixture::new()
            .with(source("flux-system", "True"))
            .with(kustomization("x", "True", &[]))
            .ask(check("pre::flux_suspended"))
            .await;
        assert_eq!(none.message(), "none of 2 objects is suspended");
    }
}
