//! `post`, what `pre` of this run found, held against what is found now.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use reports::model::{Case, Ended, Outcome, Phase, Severity};

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, catalogue, kinds,
    pre::workloads::{UNSTEADY, WORKLOADS},
    resources::{full_name, workload},
    view::Scope,
};

/// Questions of `pre` about the cluster, the network, storage and monitoring that mean the same before and after. The
/// others are about the way in (is the name free, is there a range, may we) or are answered by the onboarding itself.
const COMPARED: [&str; 23] = [
    "pre::api_live",
    "pre::api_ready",
    "pre::api_endpoint_for_agents",
    "pre::control_plane_ready",
    "pre::control_plane_pressure",
    "pre::datastore",
    "pre::coredns",
    "pre::metrics_api",
    "pre::admission_webhooks",
    "pre::flannel",
    "pre::ingress_controller",
    "pre::nodeports",
    "pre::longhorn_managers",
    "pre::longhorn_csi",
    "pre::longhorn_instance_managers",
    "pre::longhorn_control_plane_node",
    "pre::longhorn_volumes",
    "pre::longhorn_claims",
    "pre::storage_class",
    "pre::prometheus",
    "pre::prometheus_answers",
    "pre::grafana",
    "pre::alertmanager",
];

/// The checks of this file, in order.
pub const CHECKS: &[Check] = &[
    Check {
        id: "post::nothing_got_worse",
        title: "Nothing that was right before the onboarding is worse now.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[
            Need::Path("/livez"),
            Need::Path("/readyz"),
            Need::list(&kinds::NODES),
            Need::list(&kinds::DEPLOYMENTS),
            Need::list(&kinds::DAEMONSETS),
            Need::list(&kinds::SERVICES),
            Need::list(&kinds::ENDPOINT_SLICES),
            Need::list(&kinds::INGRESS_CLASSES),
            Need::list(&kinds::API_SERVICES),
            Need::list(&kinds::VALIDATING_WEBHOOKS),
            Need::list(&kinds::MUTATING_WEBHOOKS),
            Need::list(&kinds::CSI_DRIVERS),
            Need::list(&kinds::CSI_NODES),
            Need::list(&kinds::CLAIMS),
            Need::list(&kinds::STORAGE_CLASSES),
            Need::list(&kinds::LONGHORN_NODES),
            Need::list(&kinds::LONGHORN_VOLUMES),
            Need::list(&kinds::LONGHORN_INSTANCE_MANAGERS),
            Need::list(&kinds::LONGHORN_ENGINE_IMAGES),
            Need::on("get", "", "services/proxy"),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.3"),
        why: "A node that joins must not cost anything that was there; the same questions are asked as before it came.",
        reasons: &[
            Reason::new(
                "GotWorse",
                "look at each named check by itself: harness --phase pre NAME",
            ),
            Reason::new(
                "WarningsGotWorse",
                "look at each named check by itself: harness --phase pre NAME",
            ),
            Reason::new(
                "NoBaseline",
                "only an ordered run that asked the checks of pre can compare: run it without --skip-validation",
            ),
        ],
        ask: ask!(nothing_got_worse),
    },
    Check {
        id: "post::workloads_uninterrupted",
        title: "Workloads that ran before the onboarding have run on without interruption.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::list(&kinds::PODS), Need::list(&kinds::DEPLOYMENTS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("1.3"),
        why: "People use what runs on the first node while the second joins.",
        reasons: &[
            Reason::new(
                "Interrupted",
                "see what happened to each: kubectl -n NAMESPACE describe pod NAME; kubectl logs --previous; a resume finds the same, --fresh compares with what is there now",
            ),
            Reason::new(
                "NothingRanBefore",
                "nothing to do: every pod of the cluster came with the onboarding or just before it",
            ),
            Reason::new(
                "NoBaseline",
                "only an ordered run that asked the checks of pre can compare: run it without --skip-validation",
            ),
        ],
        ask: ask!(workloads_uninterrupted),
    },
];

/// What `pre` of this run said, where it was really asked.
fn baseline<'a>(cx: &'a Context, id: &str) -> Option<&'a Ended> {
    let case: &Case = cx
        .report
        .phase(Phase::PreValidation)?
        .cases
        .iter()
        .find(|case| case.id == id)?;
    case.ended()
        .filter(|ended| ended.reason != "ValidationSkipped" && ended.outcome != Outcome::Blocked)
}

fn no_baseline() -> Verdict {
    Verdict::skip(
        "NoBaseline",
        "this run has not asked the checks of pre, so there is nothing to compare with",
    )
}

/// How good an outcome is. A skip lies between: what was there and is gone is worse, what came is not.
const fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Pass => 3,
        Outcome::Warn => 2,
        Outcome::Skip => 1,
        Outcome::Fail | Outcome::Error | Outcome::Blocked => 0,
    }
}

/// What a run reports when a check of this severity says so.
const fn reported(severity: Severity, outcome: Outcome) -> Outcome {
    match (severity, outcome) {
        (Severity::Warn, Outcome::Fail | Outcome::Error) => Outcome::Warn,
        (_, outcome) => outcome,
    }
}

async fn nothing_got_worse(cx: &Context) -> Answer {
    let mut compared = 0;
    let mut worse = Vec::new();
    let mut warnings = Vec::new();
    let mut undecided = Vec::new();
    let mut better = Vec::new();
    for check in COMPARED.into_iter().filter_map(catalogue::find) {
        let Some(then) = baseline(cx, check.id) else {
            continue;
        };
        compared += 1;
        let now = (check.ask)(cx).await.unwrap_or_else(Verdict::from);
        let outcome = reported(check.severity, now.outcome());
        let line = format!(
            "{}: {} before, {} now: {}",
            check.id,
            then.outcome.name(),
            outcome.name(),
            now.message()
        );
        if rank(outcome) > rank(then.outcome) {
            better.push(line);
        } else if rank(outcome) < rank(then.outcome) {
            match (outcome, check.severity) {
                (Outcome::Error, _) => undecided.push(line),
                (_, Severity::Fail) => worse.push(line),
                (_, Severity::Warn) => warnings.push(line),
            }
        }
    }
    if compared == 0 {
        return Ok(no_baseline());
    }
    Ok(if !worse.is_empty() {
        Verdict::fail("GotWorse", worse.join("; "))
            .saw_all(warnings)
            .saw_all(undecided)
    } else if !undecided.is_empty() {
        Verdict::error("CouldNotDecide", undecided.join("; ")).saw_all(warnings)
    } else if !warnings.is_empty() {
        Verdict::warn("WarningsGotWorse", warnings.join("; "))
    } else {
        Verdict::pass(format!("{compared} answers are no worse than before"))
    }
    .saw_all(better.into_iter().map(|line| format!("better: {line}"))))
}

async fn workloads_uninterrupted(cx: &Context) -> Answer {
    let Some(then) = baseline(cx, WORKLOADS) else {
        return Ok(no_baseline());
    };
    let since = then.started;
    let unsteady: Vec<&str> = then
        .evidence
        .iter()
        .filter_map(|line| line.strip_prefix(UNSTEADY))
        .filter_map(|rest| rest.split([' ', ':']).next())
        .collect();
    let pods = cx.view.list::<Pod>(&kinds::PODS, Scope::all()).await?;
    let deployments = cx
        .view
        .list::<Deployment>(&kinds::DEPLOYMENTS, Scope::all())
        .await?;
    let mut count = 0;
    let mut found = Vec::new();
    for pod in pods.iter().filter(|pod| !workload::is_finished(pod)) {
        let name = full_name(&pod.metadata);
        if !ran_before(pod, since) || unsteady.contains(&name.as_str()) {
            continue;
        }
        count += 1;
        if let Some(what) = interruption(pod, since) {
            found.push(format!("pod {name}: {what}"));
        }
    }
    for one in deployments.iter() {
        let name = full_name(&one.metadata);
        if let Some(lost) =
            became_unavailable(one, since).filter(|_| !unsteady.contains(&name.as_str()))
        {
            found.push(format!("Deployment {name}: {lost}"));
        }
    }
    Ok(if found.is_empty() && count == 0 {
        Verdict::skip(
            "NothingRanBefore",
            format!("no steady pod is older than 5 minutes before {since}"),
        )
    } else if found.is_empty() {
        Verdict::pass(format!("{count} pods that ran before {since} have run on"))
    } else {
        Verdict::fail("Interrupted", found.join("; "))
    }
    .saw_all(
        unsteady
            .iter()
            .map(|name| format!("not looked at, because it was not steady before: {name}")),
    ))
}

/// Whether a pod had been started, and had had time to become ready, when `pre` looked.
fn ran_before(pod: &Pod, since: Timestamp) -> bool {
    pod.metadata
        .creation_timestamp
        .as_ref()
        .is_some_and(|created| since.duration_since(created.0) > SignedDuration::from_mins(5))
}

/// What interrupted a pod since then: a container that started anew, or readiness that was lost (and may be back).
fn interruption(pod: &Pod, since: Timestamp) -> Option<String> {
    let status = pod.status.as_ref()?;
    for container in status.container_statuses.iter().flatten() {
        let started = container
            .state
            .as_ref()
            .and_then(|state| state.running.as_ref())
            .and_then(|running| running.started_at.as_ref());
        if let Some(started) = started.filter(|started| started.0 > since) {
            return Some(format!(
                "container {} was started anew at {} ({} restarts in all)",
                container.name, started.0, container.restart_count
            ));
        }
    }
    let ready = status
        .conditions
        .iter()
        .flatten()
        .find(|one| one.type_ == "Ready")?;
    let changed = ready
        .last_transition_time
        .as_ref()
        .filter(|changed| changed.0 > since)?;
    Some(if ready.status == "True" {
        format!("was not ready for a while, until {}", changed.0)
    } else {
        format!(
            "not ready since {}: {}",
            changed.0,
            workload::pod_trouble(pod).unwrap_or_default()
        )
    })
}

/// Whether a Deployment has lost its availability since then, be it for a while: a pod that was replaced shows nowhere
/// else.
fn became_unavailable(deployment: &Deployment, since: Timestamp) -> Option<String> {
    let condition = deployment
        .status
        .as_ref()?
        .conditions
        .iter()
        .flatten()
        .find(|one| one.type_ == "Available")?;
    let created = deployment.metadata.creation_timestamp.as_ref()?;
    let changed = condition.last_transition_time.as_ref()?;
    (created.0 < since && changed.0 > since).then(|| match condition.status.as_str() {
        "True" => format!("was not available for a while, until {}", changed.0),
        _ => format!(
            "not available since {}: {}",
            changed.0,
            condition.message.clone().unwrap_or_default()
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use reports::model::{Kind, PhaseReport, PhaseState, Progress};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Fixture, check};

    const THEN: &str = "2026-01-01T12:00:00Z";

    /// A context in which `pre` ended with these outcomes.
    fn after_pre(fixture: Fixture, cases: &[(&str, Outcome, &str, &[&str])]) -> Context {
        let mut cx = fixture.context();
        let cases = cases
            .iter()
            .map(|(id, outcome, reason, evidence)| Case {
                id: (*id).into(),
                title: String::new(),
                kind: Kind::Check,
                severity: Severity::Fail,
                criterion: String::new(),
                progress: Progress::Done(Box::new(Ended {
                    outcome: *outcome,
                    reason: (*reason).into(),
                    message: String::new(),
                    evidence: evidence.iter().map(|line| (*line).into()).collect(),
                    hint: String::new(),
                    blocked_by: Vec::new(),
                    started: THEN.parse().unwrap(),
                    duration: SignedDuration::ZERO,
                    requests: 0,
                    at: String::new(),
                })),
            })
            .collect();
        let report = Arc::make_mut(&mut cx.report);
        report.phases = vec![PhaseReport {
            phase: Phase::PreValidation,
            state: PhaseState::Completed,
            started: None,
            finished: None,
            error: String::new(),
            requests: 0,
            cases,
        }];
        cx
    }

    async fn ask(id: &str, cx: &Context) -> Verdict {
        (check(id).ask)(cx).await.unwrap()
    }

    #[tokio::test]
    async fn a_check_that_dropped_is_named() {
        let id = "post::nothing_got_worse";
        let before: &[(&str, Outcome, &str, &[&str])] = &[
            ("pre::api_live", Outcome::Pass, "", &[]),
            (
                "pre::metrics_api",
                Outcome::Skip,
                "MetricsServerMissing",
                &[],
            ),
        ];
        let well = after_pre(Fixture::new().raw("/livez", 200, "ok"), before);
        let same = ask(id, &well).await;
        assert_eq!(same.message(), "2 answers are no worse than before");
        let dead = after_pre(Fixture::new().raw("/livez", 500, "no"), before);
        let worse = ask(id, &dead).await;
        assert_eq!(worse.reason(), "GotWorse");
        assert!(
            worse
                .message()
                .starts_with("pre::api_live: pass before, fail now"),
            "{}",
            worse.message()
        );
        let failed_before: &[(&str, Outcome, &str, &[&str])] =
            &[("pre::api_live", Outcome::Warn, "X", &[])];
        let better = ask(
            id,
            &after_pre(Fixture::new().raw("/livez", 200, "ok"), failed_before),
        )
        .await;
        assert_eq!(better.reason(), "");
        assert!(better.evidence()[0].starts_with("better: pre::api_live"));
    }

    #[tokio::test]
    async fn a_warning_that_got_worse_warns_and_what_is_gone_is_worse() {
        let before: &[(&str, Outcome, &str, &[&str])] =
            &[("pre::metrics_api", Outcome::Pass, "", &[])];
        let gone = ask(
            "post::nothing_got_worse",
            &after_pre(Fixture::new(), before),
        )
        .await;
        assert_eq!(
            (gone.outcome(), gone.reason()),
            (Outcome::Warn, "WarningsGotWorse")
        );
    }

    #[tokio::test]
    async fn without_pre_there_is_nothing_to_compare() {
        for id in ["post::nothing_got_worse", "post::workloads_uninterrupted"] {
            let never = ask(id, &Fixture::new().context()).await;
            assert_eq!(
                (never.outcome(), never.reason()),
                (Outcome::Skip, "NoBaseline")
            );
            let skipped: Vec<(&str, Outcome, &str, &[&str])> = [COMPARED[0], WORKLOADS]
                .iter()
                .map(|id| (*id, Outcome::Skip, "ValidationSkipped", &[][..]))
                .collect();
            let skipped = ask(id, &after_pre(Fixture::new(), &skipped)).await;
            assert_eq!(skipped.reason(), "NoBaseline");
        }
    }

    #[test]
    fn every_compared_check_exists_and_its_needs_are_declared() {
        let declared: BTreeSet<String> = check("post::nothing_got_worse")
            .needs
            .iter()
            .map(|need| format!("{need:?}"))
            .collect();
        for id in COMPARED {
            for need in check(id).needs {
                assert!(
                    declared.contains(&format!("{need:?}")) || *need == Need::Path("/apis"),
                    "{id} reads {need:?}"
                );
            }
        }
    }

    fn pod(created: &str, started: &str, ready: &str, changed: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "namespace": "apps", "creationTimestamp": created},
            "spec": {"nodeName": "k3s1", "containers": []},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": changed}],
                "containerStatuses": [{
                    "name": "main", "ready": true, "restartCount": 3, "image": "x", "imageID": "",
                    "state": {"running": {"startedAt": started}},
                }],
            },
        })
    }

    #[tokio::test]
    async fn restarts_and_lost_readiness_since_pre_are_interruptions() {
        let id = "post::workloads_uninterrupted";
        let (long_ago, later) = ("2026-01-01T08:00:00Z", "2026-01-01T12:03:00Z");
        let with = async |object: Value, evidence: &[&str]| {
            let before: &[(&str, Outcome, &str, &[&str])] =
                &[(WORKLOADS, Outcome::Pass, "", evidence)];
            ask(id, &after_pre(Fixture::new().with(object), before)).await
        };
        let steady = with(pod(long_ago, long_ago, "True", long_ago), &[]).await;
        assert!(steady.message().starts_with("1 pods that ran before"));
        let restarted = with(pod(long_ago, later, "True", long_ago), &[]).await;
        assert_eq!(restarted.reason(), "Interrupted");
        assert!(
            restarted
                .message()
                .contains("pod apps/web: container main was started anew")
        );
        let lost = with(pod(long_ago, long_ago, "False", later), &[]).await;
        assert!(
            lost.message().contains("not ready since"),
            "{}",
            lost.message()
        );
        let recovered = with(pod(long_ago, long_ago, "True", later), &[]).await;
        assert!(recovered.message().contains("was not ready for a while"));
        // What came with the onboarding, and what was unsteady before, is not held against it.
        let new = with(pod(later, later, "True", later), &[]).await;
        assert_eq!(
            (new.outcome(), new.reason()),
            (Outcome::Skip, "NothingRanBefore")
        );
        let known = with(
            pod(long_ago, later, "True", later),
            &["unsteady apps/web: 3 restarts"],
        )
        .await;
        assert_eq!(known.reason(), "NothingRanBefore", "{}", known.message());
    }

    #[tokio::test]
    async fn a_deployment_that_lost_its_availability_is_named() {
        let with = async |available: &str, changed: &str| {
            let deployment = json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "apps", "creationTimestamp": "2025-01-01T00:00:00Z"},
                "spec": {"selector": {}, "template": {}},
                "status": {"conditions": [{
                    "type": "Available", "status": available, "lastTransitionTime": changed,
                    "message": "does not have minimum availability",
                }]},
            });
            let before: &[(&str, Outcome, &str, &[&str])] = &[(WORKLOADS, Outcome::Pass, "", &[])];
            let fixture = Fixture::new().with(deployment);
            ask("post::workloads_uninterrupted", &after_pre(fixture, before)).await
        };
        let (before, after) = ("2026-01-01T11:59:00Z", "2026-01-01T12:01:00Z");
        for (available, said) in [
            ("False", "Deployment apps/web: not available since"),
            ("True", "Deployment apps/web: was not available for a while"),
        ] {
            let verdict = with(available, after).await;
            assert_eq!(verdict.reason(), "Interrupted");
            assert!(verdict.message().contains(said), "{}", verdict.message());
        }
        let steady = with("True", before).await;
        assert_eq!(steady.reason(), "NothingRanBefore", "{}", steady.message());
    }
}
