//! `health`, by trying: a volume of two copies, a pod placed by the scheduler, and whether all of that is gone again.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    core::v1::{Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::{Resource, ResourceExt as _};
use reports::model::Severity;
use serde::de::DeserializeOwned;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask,
    kinds::{
        CLAIMS, Kind, LONGHORN_ENGINES, LONGHORN_REPLICAS, LONGHORN_VOLUMES, NAMESPACES, NODES,
        PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES,
    },
    probe::{
        self, BEFORE, RUN, TRAFFIC, TestVolume, VOLUME, VolumeStage, WORKLOAD, Workload,
        WorkloadStage,
    },
    resources::longhorn::{Engine, Replica, Volume},
    view::{ReadError, Scope},
};

/// What was tried.
pub const CHECKS: &[Check] = &[
    Check {
        id: "health::storage_redundancy",
        title: "A new volume is written on {node} and has whole copies on two nodes.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[
            Need::list(&LONGHORN_VOLUMES),
            Need::list(&LONGHORN_REPLICAS),
            Need::list(&LONGHORN_ENGINES),
        ],
        awaits: false,
        after: Some(VOLUME),
        criterion: Criterion::Of("2.4"),
        why: "This is what the second node is for: data that outlives the loss of one. Everything that was looked at so \
              far only says that it should work; here it is done once.",
        reasons: &[
            Reason::new(
                "ClaimNotBound",
                "kubectl -n {longhorn} logs -l app=csi-provisioner --tail=50; kubectl get csidrivers driver.longhorn.io",
            ),
            Reason::new(
                "NotAttached",
                "kubectl -n {longhorn} logs -l app=longhorn-csi-plugin --prefix --tail=50 | grep {node}; on {node}: systemctl status iscsid",
            ),
            Reason::new(
                "NotWritten",
                "on {node}: dmesg | tail shows errors of the disk or of iSCSI; the evidence has the pod's own words",
            ),
            Reason::new(
                "OneCopyOnly",
                "kubectl -n {longhorn} get replicas.longhorn.io and volumes.longhorn.io; the condition Scheduled of a volume says why no second copy is placed",
            ),
            Reason::new(
                "OlderVolumesRebuilding",
                "wait until they are whole: kubectl -n {longhorn} get volumes.longhorn.io; until then these volumes do not outlive the loss of a node",
            ),
        ],
        ask: ask!(storage_redundancy),
    },
    Check {
        id: "health::workload_on_node",
        title: "The scheduler places an ordinary pod on {node}, and it runs there.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::list(&NODES)],
        awaits: false,
        after: Some(WORKLOAD),
        criterion: Criterion::Of("1.3"),
        why: "DaemonSets tolerate nearly everything and probe pods are put on their node by hand; only an ordinary pod \
              shows that the node takes work.",
        reasons: &[
            Reason::new(
                "Unschedulable",
                "the message has the scheduler's words; kubectl describe node {node} shows taints and what is left to allocate",
            ),
            Reason::new(
                "TaintKeepsAway",
                "nothing to do where {node} is meant for chosen pods only; otherwise: kubectl taint node {node} KEY-",
            ),
            Reason::new(
                "NotStarted",
                "on {node}: journalctl -u k3s-agent -n 100; the message has the kubelet's words",
            ),
            Reason::new(
                "WorkloadFailed",
                "the message has the words of the container; try it by hand: kubectl run --image, with a node selector for {node}",
            ),
        ],
        ask: ask!(workload_on_node),
    },
    Check {
        id: "health::nothing_left_behind",
        title: "Nothing that this run has made for itself is left in the cluster.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[
            Need::list(&PODS),
            Need::list(&CLAIMS),
            Need::list(&PERSISTENT_VOLUMES),
            Need::list(&STORAGE_CLASSES),
            Need::get(&NAMESPACES),
            Need::list(&NAMESPACES),
        ],
        awaits: true,
        after: Some(WORKLOAD),
        criterion: Criterion::Beyond,
        why: "A tool that tests a cluster must leave it as it was. What stays is either stuck, which is a fault of the \
              cluster, or ours to remove.",
        reasons: &[Reason::new(
            "LeftBehind",
            "remove it: harness --cleanup; what is Terminating for long waits for the kubelet or the driver of its node",
        )],
        ask: ask!(nothing_left_behind),
    },
];

fn read<T: DeserializeOwned>(action: &str, key: &str, text: &str) -> Result<T, Verdict> {
    serde_json::from_str(text).map_err(|error| {
        let what = format!("what {action} wrote down under {key} cannot be read: {error}");
        Verdict::error("Malformed", what)
    })
}

fn found<T: DeserializeOwned>(cx: &Context, action: &str, key: &str) -> Result<T, Verdict> {
    probe::recorded(cx, action, key).and_then(|text| read(action, key, text))
}

async fn storage_redundancy(cx: &Context) -> Answer {
    let tried: TestVolume = match found(cx, VOLUME, "volume") {
        Ok(tried) => tried,
        Err(verdict) => return Ok(verdict),
    };
    let (claim, node) = (&tried.claim, cx.node());
    let verdict = match tried.stage {
        VolumeStage::Unbound => Verdict::fail(
            "ClaimNotBound",
            format!("claim {claim} got no volume: {}", tried.said),
        ),
        VolumeStage::Unattached => Verdict::fail(
            "NotAttached",
            format!(
                "volume {} was not usable on {node}: {}",
                tried.volume, tried.said
            ),
        ),
        VolumeStage::Unwritten => Verdict::fail(
            "NotWritten",
            format!(
                "a pod on {node} did not read back what it wrote to {}: {}",
                tried.volume, tried.said
            ),
        ),
        VolumeStage::Written if tried.nodes.len() < 2 || tried.robustness != "healthy" => {
            Verdict::fail(
                "OneCopyOnly",
                format!(
                    "volume {} is {}, with whole copies on {}; expected healthy on two nodes",
                    tried.volume,
                    tried.robustness,
                    or_none(&tried.nodes)
                ),
            )
        }
        VolumeStage::Written => older(cx, &tried).await?,
    };
    Ok(verdict.saw(format!(
        "{claim}: volume {}, {}, whole copies on {}{}{}",
        tried.volume,
        tried.robustness,
        or_none(&tried.nodes),
        if tried.said.is_empty() { "" } else { "; " },
        tried.said
    )))
}

fn or_none(nodes: &[String]) -> String {
    if nodes.is_empty() {
        "no node".into()
    } else {
        nodes.join(" and ")
    }
}

/// The run's own volume is well; volumes that were there before may still be on their way to a second node.
async fn older(cx: &Context, tried: &TestVolume) -> Answer {
    let place = Scope::namespace(&cx.settings.longhorn.namespace);
    let volumes = cx
        .view
        .list::<Volume>(&LONGHORN_VOLUMES, place.clone())
        .await?;
    let replicas = cx
        .view
        .list::<Replica>(&LONGHORN_REPLICAS, place.clone())
        .await?;
    let engines = cx.view.list::<Engine>(&LONGHORN_ENGINES, place).await?;
    let mut whole: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut coming: BTreeSet<&str> = BTreeSet::new();
    for replica in replicas.iter() {
        let volume = replica.spec.volume_name.as_str();
        if replica.is_healthy() {
            whole
                .entry(volume)
                .or_default()
                .insert(&replica.spec.node_id);
        } else if replica.spec.failed_at.is_empty() && replica.metadata.deletion_timestamp.is_none()
        {
            coming.insert(volume);
        }
    }
    let progress = |volume: &str| {
        let engine = engines.iter().find(|one| one.spec.volume_name == volume)?;
        let rebuilds = engine.status.rebuild_status.values();
        rebuilds
            .filter(|one| one.is_rebuilding)
            .map(|one| one.progress)
            .min()
    };
    let lines: Vec<String> = volumes
        .iter()
        .filter(|volume| {
            let name = volume.metadata.name.as_str();
            name != tried.volume
                && volume.spec.number_of_replicas >= 2
                && coming.contains(name)
                && whole.get(name).is_none_or(|nodes| nodes.len() < 2)
        })
        .map(|volume| {
            let name = volume.metadata.name.as_str();
            let claim = &volume.status.kubernetes_status;
            let at = progress(name).map_or_else(
                || "a copy is being made".to_owned(),
                |percent| format!("a copy is being made, {percent} % done"),
            );
            format!("{name} ({}/{}): {at}", claim.namespace, claim.pvc_name)
        })
        .collect();
    let own = format!(
        "what a pod on {} wrote was read back; whole copies on {}",
        cx.node(),
        or_none(&tried.nodes)
    );
    Ok(match lines.first() {
        None => Verdict::pass(own),
        Some(first) => Verdict::warn(
            "OlderVolumesRebuilding",
            format!(
                "{own}; {} older volumes have one copy yet, the first is {first}",
                lines.len()
            ),
        )
        .saw_all(lines),
    })
}

async fn workload_on_node(cx: &Context) -> Answer {
    let tried: Workload = match found(cx, WORKLOAD, "workload") {
        Ok(tried) => tried,
        Err(verdict) => return Ok(verdict),
    };
    let (pod, node, said) = (&tried.pod, cx.node(), &tried.said);
    let verdict = match tried.stage {
        WorkloadStage::Ran => Verdict::pass(format!("a pod was placed on {node} and ran there")),
        WorkloadStage::Failed => Verdict::fail(
            "WorkloadFailed",
            format!("pod {pod} ran on {node} and failed: {said}"),
        ),
        WorkloadStage::Unstarted => Verdict::fail(
            "NotStarted",
            format!("pod {pod} was placed on {node} and did not start: {said}"),
        ),
        WorkloadStage::Unscheduled => {
            let taints = own_taints(cx).await?;
            if taints.is_empty() {
                Verdict::fail(
                    "Unschedulable",
                    format!("the scheduler does not place pod {pod} on {node}: {said}"),
                )
            } else {
                // Somebody has reserved the node, and `join::taints` has said so.
                Verdict::warn(
                    "TaintKeepsAway",
                    format!("{node} takes only pods that tolerate {}", taints.join(", ")),
                )
            }
        }
    };
    Ok(verdict.saw(format!(
        "pod {pod}{}{said}",
        if said.is_empty() { "" } else { ": " }
    )))
}

/// Taints that people have put on the node, not those that conditions and cordons put there.
async fn own_taints(cx: &Context) -> Result<Vec<String>, ReadError> {
    let nodes = cx.view.list::<Node>(&NODES, Scope::all()).await?;
    let node = nodes.iter().find(|node| node.name_any() == cx.node());
    let taints = node
        .and_then(|node| node.spec.as_ref()?.taints.as_ref())
        .into_iter()
        .flatten();
    Ok(taints
        .filter(|taint| {
            taint.effect != "PreferNoSchedule" && !taint.key.starts_with("node.kubernetes.io/")
        })
        .map(|taint| format!("{}:{}", taint.key, taint.effect))
        .collect())
}

async fn nothing_left_behind(cx: &Context) -> Answer {
    let actions = [BEFORE, TRAFFIC, VOLUME, WORKLOAD];
    if actions
        .iter()
        .all(|action| cx.report.action(action).is_none())
    {
        return Ok(Verdict::skip(
            "NeedsAction",
            format!("this run has made nothing for itself; {WORKLOAD} and others do: add --apply"),
        ));
    }
    let (run, space) = (&cx.report.run, &cx.settings.probe.namespace);
    let label = format!("{RUN}={run}");
    let inside = Scope::namespace(space).labels(&label);
    let mut left = Vec::new();
    left.extend(named::<Pod>(cx, &PODS, inside.clone()).await?);
    left.extend(named::<PersistentVolumeClaim>(cx, &CLAIMS, inside).await?);
    let classes = Scope::all().labels(&label);
    left.extend(named::<StorageClass>(cx, &STORAGE_CLASSES, classes).await?);
    let volumes = cx
        .view
        .list::<PersistentVolume>(&PERSISTENT_VOLUMES, Scope::all())
        .await?;
    let ours = volumes.iter().filter(|volume| {
        let claim = volume
            .spec
            .as_ref()
            .and_then(|spec| spec.claim_ref.as_ref());
        claim.is_some_and(|claim| {
            claim.namespace.as_ref() == Some(space)
                && claim
                    .name
                    .as_ref()
                    .is_some_and(|name| name.contains(run.as_str()))
        })
    });
    left.extend(ours.map(|volume| shown(&PERSISTENT_VOLUMES, volume)));
    // A namespace that somebody else has prepared is not ours to remove.
    if let Some(one) = cx
        .view
        .find::<Namespace>(&NAMESPACES, "", space)
        .await?
        .filter(|one| one.labels().get(RUN) == Some(run))
    {
        left.push(shown(&NAMESPACES, one.as_ref()));
    }
    Ok(match left.len() {
        0 => Verdict::pass(format!("no object of run {run} is left")),
        count => Verdict::fail(
            "LeftBehind",
            format!("{count} objects of run {run} are left: {}", left.join(", ")),
        )
        .saw_all(left),
    })
}

async fn named<T>(cx: &Context, kind: &'static Kind, scope: Scope) -> Result<Vec<String>, ReadError>
where
    T: Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
{
    let all = cx.view.list::<T>(kind, scope).await?;
    Ok(all.iter().map(|one| shown(kind, one)).collect())
}

fn shown(kind: &Kind, object: &impl Resource<DynamicType = ()>) -> String {
    let going = if object.meta().deletion_timestamp.is_some() {
        " (Terminating)"
    } else {
        ""
    };
    format!(
        "{} {}{going}",
        kind.kind,
        object.meta().name.as_deref().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        probe::tests::after,
        testing::{Fixture, check},
    };

    async fn asked(id: &str, fixture: Fixture, action: &str, fact: (&str, Value)) -> Verdict {
        let text = fact.1.to_string();
        let cx = after(fixture, action, &[(fact.0, &text)]);
        (check(id).ask)(&cx).await.unwrap_or_else(Verdict::from)
    }

    fn volume(stage: &str, robustness: &str, nodes: &[&str]) -> Value {
        json!({"claim": "probe-1", "volume": "pvc-new", "stage": stage, "robustness": robustness, "nodes": nodes,
               "said": ""})
    }

    fn longhorn(kind: &str, name: &str, rest: Value) -> Value {
        let mut object = json!({"apiVersion": "longhorn.io/v1beta2", "kind": kind,
            "metadata": {"name": name, "namespace": "longhorn-system"}});
        for (key, value) in rest.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    }

    fn old_volume(second: &str) -> Fixture {
        let copy = |name: &str, node: &str, healthy: &str| {
            longhorn(
                "Replica",
                name,
                json!({"spec": {"volumeName": "pvc-old", "nodeID": node, "healthyAt": healthy, "failedAt": ""}}),
            )
        };
        let status = json!({"state": "attached", "robustness": "degraded"});
        Fixture::new()
            .with(longhorn(
                "Volume",
                "pvc-old",
                json!({"spec": {"size": "1", "numberOfReplicas": 2}, "status": status}),
            ))
            .with(copy("a", "k3s1", "2026-01-01T00:00:00Z"))
            .with(copy("b", "k3s2", second))
            .with(longhorn(
                "Engine",
                "e",
                json!({"spec": {"volumeName": "pvc-old"},
                       "status": {"rebuildStatus": {"tcp://b": {"isRebuilding": true, "progress": 40}}}}),
            ))
    }

    #[tokio::test]
    async fn a_volume_says_at_which_step_it_stuck() {
        let id = "health::storage_redundancy";
        let whole = || old_volume("2026-01-01T00:00:00Z");
        let both = volume("written", "healthy", &["k3s1", "k3s2"]);
        let good = asked(id, whole(), VOLUME, ("volume", both.clone())).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        for (stage, reason) in [
            ("unbound", "ClaimNotBound"),
            ("unattached", "NotAttached"),
            ("unwritten", "NotWritten"),
        ] {
            let stuck = asked(id, whole(), VOLUME, ("volume", volume(stage, "", &[]))).await;
            assert_eq!((stuck.outcome(), stuck.reason()), (Outcome::Fail, reason));
        }
        let single = volume("written", "degraded", &["k3s1"]);
        let single = asked(id, whole(), VOLUME, ("volume", single)).await;
        assert_eq!(single.reason(), "OneCopyOnly");
        assert!(
            single.message().contains("whole copies on k3s1"),
            "{}",
            single.message()
        );
        let rebuilding = asked(id, old_volume(""), VOLUME, ("volume", both)).await;
        assert_eq!(
            (rebuilding.outcome(), rebuilding.reason()),
            (Outcome::Warn, "OlderVolumesRebuilding")
        );
        assert!(
            rebuilding.message().contains("40 % done"),
            "{}",
            rebuilding.message()
        );
    }

    #[tokio::test]
    async fn a_pod_that_is_not_placed_is_a_failure_but_for_a_taint_of_somebody() {
        let id = "health::workload_on_node";
        let node = |taints: Value| {
            let spec = json!({"taints": taints});
            Fixture::new().with(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "k3s2"}, "spec": spec}))
        };
        let fact = |stage: &str| {
            let value =
                json!({"pod": "probe-2", "stage": stage, "said": "0/2 nodes are available"});
            ("workload", value)
        };
        let none = || node(json!([]));
        let good = asked(id, none(), WORKLOAD, fact("ran")).await;
        assert_eq!(good.outcome(), Outcome::Pass);
        for (stage, reason) in [
            ("unscheduled", "Unschedulable"),
            ("unstarted", "NotStarted"),
            ("failed", "WorkloadFailed"),
        ] {
            let bad = asked(id, none(), WORKLOAD, fact(stage)).await;
            assert_eq!((bad.outcome(), bad.reason()), (Outcome::Fail, reason));
            assert!(bad.message().contains("0/2 nodes"), "{}", bad.message());
        }
        let reserved = node(json!([{"key": "dedicated", "effect": "NoSchedule"}]));
        let kept = asked(id, reserved, WORKLOAD, fact("unscheduled")).await;
        assert_eq!(
            (kept.outcome(), kept.reason()),
            (Outcome::Warn, "TaintKeepsAway")
        );
        let cordon =
            node(json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]));
        let kept = asked(id, cordon, WORKLOAD, fact("unscheduled")).await;
        assert_eq!(kept.outcome(), Outcome::Fail);
    }

    #[tokio::test]
    async fn what_carries_the_run_is_named_and_what_others_made_is_not() {
        let id = "health::nothing_left_behind";
        let space = |labels: Value| {
            json!({"apiVersion": "v1", "kind": "Namespace",
                   "metadata": {"name": "onboarding-probe", "labels": labels}})
        };
        let fact = || ("workload", json!({"pod": "x", "stage": "ran", "said": ""}));
        let prepared = Fixture::new().with(space(json!({})));
        let good = asked(id, prepared, WORKLOAD, fact()).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());

        let mut ours = space(json!({"onboarding/run": "00000000"}));
        ours["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pvc-9"},
            "spec": {"claimRef": {"namespace": "onboarding-probe", "name": "volume-00000000-a"}}});
        let left = Fixture::new().with(ours).with(volume);
        let left = asked(id, left, WORKLOAD, fact()).await;
        assert_eq!(
            (left.outcome(), left.reason()),
            (Outcome::Fail, "LeftBehind")
        );
        assert_eq!(
            left.evidence(),
            [
                "PersistentVolume pvc-9",
                "Namespace onboarding-probe (Terminating)"
            ]
        );
        let inspected = (check(id).ask)(&Fixture::new().context()).await.unwrap();
        assert_eq!(
            (inspected.outcome(), inspected.reason()),
            (Outcome::Skip, "NeedsAction")
        );
    }
}
