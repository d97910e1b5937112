//! `pre`, what runs already: is it steady? `post` holds what is found then against it.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    resources::{full_name, workload},
    view::Scope,
};

/// Id of the check below, whose evidence `post` reads.
pub(crate) const WORKLOADS: &str = "pre::workloads_steady";
/// How a line of evidence begins that names something unsteady: `unsteady apps/web: 7 restarts`.
pub(crate) const UNSTEADY: &str = "unsteady ";
/// Restarts that are older are history.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// The checks of this file.
pub const CHECKS: &[Check] = &[Check {
    id: WORKLOADS,
    title: "What runs on the cluster is available, and has not been restarted within the last hour.",
    severity: Severity::Warn,
    requires: &["pre::api_live"],
    needs: &[Need::list(&kinds::PODS), Need::list(&kinds::DEPLOYMENTS)],
    awaits: false,
    after: None,
    criterion: Criterion::Of("1.3"),
    why: "What is unsteady now would look as if the onboarding had disturbed it.",
    reasons: &[Reason::new(
        "Unsteady",
        "see what is wrong with each: kubectl -n NAMESPACE describe pod NAME",
    )],
    ask: ask!(workloads_steady),
}];

async fn workloads_steady(cx: &Context) -> Answer {
    let pods = cx.view.list::<Pod>(&kinds::PODS, Scope::all()).await?;
    let deployments = cx
        .view
        .list::<Deployment>(&kinds::DEPLOYMENTS, Scope::all())
        .await?;
    let now = Timestamp::now();
    let mut found = Vec::new();
    for pod in pods.iter().filter(|pod| !workload::is_finished(pod)) {
        let name = full_name(&pod.metadata);
        if let Some(trouble) = workload::pod_trouble(pod) {
            found.push(format!("{name}: {trouble}"));
        } else if let Some(restart) = recent_restart(pod, now) {
            found.push(format!("{name}: {restart}"));
        }
    }
    for one in deployments.iter() {
        let wanted = one
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(1);
        if let Some(trouble) = workload::deployment_trouble(one).filter(|_| wanted > 0) {
            found.push(format!("{}: {trouble}", full_name(&one.metadata)));
        }
    }
    Ok(if found.is_empty() {
        Verdict::pass(format!(
            "{} pods and {} Deployments are steady",
            pods.len(),
            deployments.len()
        ))
    } else {
        Verdict::fail(
            "Unsteady",
            format!("{} unsteady: {}", found.len(), found.join("; ")),
        )
    }
    .saw_all(found.iter().map(|line| format!("{UNSTEADY}{line}"))))
}

/// A container that ended and was started again lately.
fn recent_restart(pod: &Pod, now: Timestamp) -> Option<String> {
    let status = pod.status.as_ref()?;
    status
        .container_statuses
        .iter()
        .flatten()
        .find_map(|container| {
            let ended = container.last_state.as_ref()?.terminated.as_ref()?;
            let at = ended.finished_at.as_ref()?.0;
            (now.duration_since(at) < RECENT).then(|| {
                format!(
                    "container {} ended at {at} with exit code {}, {} restarts in all",
                    container.name, ended.exit_code, container.restart_count
                )
            })
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Fixture, check};

    fn pod(ready: &str, last_end: Option<&str>) -> Value {
        let last = last_end.map(|at| json!({"terminated": {"exitCode": 137, "finishedAt": at}}));
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "apps"},
            "spec": {"containers": []},
            "status": {
                "phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": [{
                    "name": "main", "ready": true, "restartCount": 2, "image": "x", "imageID": "",
                    "lastState": last.unwrap_or(json!({})),
                }],
            },
        })
    }

    #[tokio::test]
    async fn what_is_unsteady_is_named_so_that_post_can_read_it() {
        let check = check(WORKLOADS);
        let ask = |object: Value| Fixture::new().with(object).ask(check);
        let steady = ask(pod("True", Some("2020-01-01T00:00:00Z"))).await;
        assert_eq!(steady.message(), "1 pods and 0 Deployments are steady");
        let sick = ask(pod("False", None)).await;
        assert_eq!(sick.reason(), "Unsteady");
        assert!(
            sick.evidence()[0].starts_with("unsteady apps/web: "),
            "{:?}",
            sick.evidence()
        );
        let now = Timestamp::now().to_string();
        let restarted = ask(pod("True", Some(&now))).await;
        assert!(
            restarted.message().contains("exit code 137"),
            "{}",
            restarted.message()
        );
    }

    #[tokio::test]
    async fn a_deployment_of_no_replicas_rests_on_purpose() {
        let deployment = |replicas: i32| {
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "apps"},
                "spec": {"replicas": replicas, "selector": {}, "template": {}},
            })
        };
        let ask = |replicas: i32| {
            Fixture::new()
                .with(deployment(replicas))
                .ask(check(WORKLOADS))
        };
        assert_eq!(ask(0).await.reason(), "");
        let down = ask(1).await;
        assert_eq!(
            down.evidence(),
            ["unsteady apps/web: 0 of 1 replicas available"]
        );
    }
}
