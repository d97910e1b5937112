//! What has happened to the node since it joined.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, Node};
use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds, resources::node,
    view::Scope,
};

/// What has happened since the join.
pub const CHECKS: &[Check] = &[
    Check {
        id: "health::node_stable",
        title: "{node} has stayed Ready since it joined.",
        severity: Severity::Fail,
        requires: &["health::nodes_ready"],
        needs: &[Need::list(&kinds::NODES), Need::list(&kinds::EVENTS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.3"),
        why: "A node that comes and goes is worse than none: its pods are started elsewhere, its replicas are rebuilt, \
              and it all happens again.",
        reasons: &[Reason::new(
            "ReadyFlapped",
            "on {node}: journalctl -u k3s-agent --since -1h; look for restarts, lost connections to the server and memory pressure",
        )],
        ask: ask!(node_stable),
    },
    Check {
        id: "health::events",
        title: "No warnings have been reported about {node} since it joined.",
        severity: Severity::Warn,
        requires: &["join::registered"],
        needs: &[Need::list(&kinds::NODES), Need::list(&kinds::EVENTS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.3"),
        why: "The cluster writes down what went wrong for an hour. What stands there after everything else is fine \
              is what will trouble the node next.",
        reasons: &[Reason::new(
            "Warnings",
            "kubectl get events -A --field-selector type=Warning --sort-by .lastTimestamp shows them whole",
        )],
        ask: ask!(events),
    },
];

/// Reported by every kubelet at its start and of no consequence: it asks for the size of the image store before the
/// container runtime has measured it.
const HARMLESS: &str = "InvalidDiskCapacity";

/// By how much the clocks of this machine and of the cluster may differ before the one is read by the other.
const CLOCKS: SignedDuration = SignedDuration::from_mins(1);

/// When the node was first seen Ready: in this run, or else when it was Ready for the last time.
fn ready_since(cx: &Context, node: &Node) -> Option<Timestamp> {
    let in_this_run = cx
        .report
        .case("join::ready")
        .and_then(|case| case.ended())
        .and_then(|ended| ended.started.checked_add(ended.duration).ok());
    in_this_run.or_else(|| became_ready(node))
}

fn became_ready(node: &Node) -> Option<Timestamp> {
    node.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .find(|condition| condition.type_ == "Ready")
        .and_then(|condition| condition.last_transition_time.as_ref())
        .map(|time| time.0)
}

/// When an event happened for the last time; which field says so depends on who wrote it.
fn last_seen(event: &Event) -> Option<Timestamp> {
    event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref())
        .map(|time| time.0)
        .or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.event_time.as_ref().map(|time| time.0))
        .or_else(|| {
            event
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0)
        })
}

async fn node_stable(cx: &Context) -> Answer {
    let name = cx.node();
    let new = node::new(cx).await?;
    let joined = new.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let scope = Scope::all().fields(format!(
        "involvedObject.kind=Node,involvedObject.name={name}"
    ));
    let events = cx.view.list::<Event>(&kinds::EVENTS, scope).await?;
    let mut lost: Vec<(Timestamp, String)> = events
        .iter()
        .filter(|event| {
            matches!(
                event.reason.as_deref(),
                Some("NodeNotReady" | "Rebooted" | "NodeStatusUnknown")
            )
        })
        .filter_map(|event| {
            let when = last_seen(event)?;
            Some((when, event.reason.clone().unwrap_or_default()))
        })
        .filter(|(when, _)| joined.is_none_or(|joined| *when >= joined))
        .collect();
    lost.sort();
    // Events are gone after an hour; the condition remembers its last change for ever.
    let became = became_ready(&new);
    if let (Some(first), Some(became)) = (ready_since(cx, &new), became)
        && became.duration_since(first) > CLOCKS
    {
        lost.push((became, "Ready again".to_owned()));
    }
    let seen: Vec<String> = lost
        .iter()
        .map(|(when, what)| format!("{what} at {when:.0}"))
        .collect();
    Ok(match (lost.last(), became) {
        (Some((when, _)), _) => Verdict::fail(
            "ReadyFlapped",
            format!("{name} was not Ready in between, last noticed at {when:.0}"),
        )
        .saw_all(seen),
        (None, Some(became)) => Verdict::pass(format!(
            "Ready for {} s without a break",
            Timestamp::now().duration_since(became).as_secs().max(0)
        )),
        (None, None) => Verdict::error(
            "CouldNotDecide",
            format!("the condition Ready of {name} does not say since when it is so"),
        ),
    })
}

async fn events(cx: &Context) -> Answer {
    let name = cx.node();
    let new = node::new(cx).await?;
    // While it joins, pods wait for network and volumes, and say so; that is over when it is Ready.
    let since = ready_since(cx, &new).unwrap_or(Timestamp::UNIX_EPOCH);
    let events = cx
        .view
        .list::<Event>(&kinds::EVENTS, Scope::all().fields("type=Warning"))
        .await?;
    let mut reasons: BTreeMap<(String, String), (i32, String)> = BTreeMap::new();
    for event in events.iter() {
        let reason = event.reason.clone().unwrap_or_default();
        let old = last_seen(event).is_some_and(|when| when < since);
        if old || reason == HARMLESS || !is_about(event, name) {
            continue;
        }
        let object = &event.involved_object;
        let key = (
            reason,
            format!(
                "{} {}",
                object.kind.as_deref().unwrap_or_default(),
                object.name.as_deref().unwrap_or_default()
            ),
        );
        let entry = reasons.entry(key).or_default();
        entry.0 += event.count.unwrap_or(1);
        entry.1 = event.message.clone().unwrap_or_default();
    }
    if reasons.is_empty() {
        return Ok(Verdict::pass(format!(
            "{} warnings in the cluster, none about {name} since it is Ready",
            events.len()
        )));
    }
    let names: Vec<&str> = reasons.keys().map(|(reason, _)| reason.as_str()).collect();
    let mut short = names.clone();
    short.dedup();
    Ok(Verdict::fail(
        "Warnings",
        format!(
            "{} warnings about {name}: {}",
            reasons.len(),
            short.join(", ")
        ),
    )
    .saw_all(reasons.iter().map(|((reason, object), (count, message))| {
        format!("{object}: {reason} ({count} times): {message}")
    })))
}

/// About the node itself, or reported by its kubelet about a pod there.
fn is_about(event: &Event, node: &str) -> bool {
    let object = &event.involved_object;
    let itself = object.kind.as_deref() == Some("Node") && object.name.as_deref() == Some(node);
    let by_its_kubelet = event
        .source
        .as_ref()
        .and_then(|source| source.host.as_deref())
        == Some(node)
        || event.reporting_instance.as_deref() == Some(node);
    itself || by_its_kubelet
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Fixture, check};

    fn cluster() -> Fixture {
        Fixture::new().with(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "k3s2", "creationTimestamp": "2026-11-22T10:00:00Z"},
            "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T10:01:00Z"}]},
        }))
    }

    fn event(kind: &str, object: &str, reason: &str, when: &str, host: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": format!("{object}.{reason}"), "namespace": "default"},
            "involvedObject": {"kind": kind, "name": object}, "reason": reason, "message": "because",
            "type": if reason == "NodeNotReady" { "Normal" } else { "Warning" },
            "lastTimestamp": when, "count": 3, "source": {"component": "kubelet", "host": host},
        })
    }

    #[tokio::test]
    async fn a_node_that_was_lost_since_it_joined_is_not_stable() {
        let ask = |fixture: Fixture| fixture.ask(check("health::node_stable"));
        let good = ask(cluster()).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        let lost = |when| event("Node", "k3s2", "NodeNotReady", when, "");
        let flapped = ask(cluster().with(lost("2026-11-22T10:00:30Z"))).await;
        assert_eq!(flapped.reason(), "ReadyFlapped");
        assert!(flapped.message().contains("k3s2"), "{flapped:?}");
        let before = ask(cluster().with(lost("2026-11-22T09:00:00Z"))).await;
        assert_eq!(
            before.outcome(),
            Outcome::Pass,
            "an earlier node of that name: {before:?}"
        );
        let timeless = Fixture::new().with(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "k3s2"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }));
        assert_eq!(ask(timeless).await.reason(), "CouldNotDecide");
    }

    #[tokio::test]
    async fn ready_again_after_the_join_of_this_run_is_a_flap_without_any_event() {
        use std::sync::Arc;

        use reports::model::{
            Case, Ended, Kind, Phase, PhaseReport, PhaseState, Progress, Severity,
        };

        let mut cx = cluster().context();
        let ended = Ended {
            outcome: Outcome::Pass,
            reason: String::new(),
            message: String::new(),
            evidence: Vec::new(),
            hint: String::new(),
            blocked_by: Vec::new(),
            started: "2026-11-22T09:58:00Z".parse().unwrap(),
            duration: SignedDuration::from_secs(5),
            requests: 1,
            at: String::new(),
        };
        Arc::make_mut(&mut cx.report).phases.push(PhaseReport {
            phase: Phase::NodeJoinMonitoring,
            state: PhaseState::Completed,
            started: None,
            finished: None,
            error: String::new(),
            requests: 0,
            cases: vec![Case {
                id: "join::ready".into(),
                title: String::new(),
                kind: Kind::Check,
                severity: Severity::Fail,
                criterion: String::new(),
                progress: Progress::Done(Box::new(ended)),
            }],
        });
        let verdict = node_stable(&cx).await.unwrap();
        assert_eq!(verdict.reason(), "ReadyFlapped", "{verdict:?}");
    }

    #[tokio::test]
    async fn only_warnings_about_this_node_after_it_was_ready_count() {
        let ask = |one: Value| cluster().with(one).ask(check("health::events"));
        let late = "2026-11-22T10:05:00Z";
        for (one, reason) in [
            (event("Pod", "a", "FailedMount", late, "k3s2"), "Warnings"),
            (event("Node", "k3s2", "SystemOOM", late, ""), "Warnings"),
            (event("Pod", "a", "FailedMount", late, "k3s1"), ""),
            (
                event("Pod", "a", "FailedMount", "2026-11-22T10:00:30Z", "k3s2"),
                "",
            ),
            (event("Node", "k3s2", HARMLESS, late, "k3s2"), ""),
        ] {
            let verdict = ask(one.clone()).await;
            assert_eq!(verdict.reason(), reason, "{one}: {verdict:?}");
        }
        let verdict = ask(event("Node", "k3s2", "SystemOOM", late, "")).await;
        assert!(
            verdict.evidence()[0].contains("Node k3s2: SystemOOM (3 times)"),
            "{verdict:?}"
        );
    }
}
