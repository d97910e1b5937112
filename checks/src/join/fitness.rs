//! Whether pods may run on the node, and the pods that every node has, do.

use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Pod, Taint},
};
use reports::model::Severity;

use super::{new_node, taints as taints_of};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask,
    kinds::{DAEMONSETS, NODES, PODS},
    pre::cluster,
    resources::{full_name, node, workload},
    view::Scope,
};

/// Taints that come and go with a condition that has a check of its own.
const BY_CONDITION: [&str; 6] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    super::state::UNINITIALIZED,
];

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "join::pressure",
        title: "{node} is short of neither memory, disk nor process ids.",
        severity: Severity::Fail,
        requires: &["join::ready"],
        needs: &[Need::list(&NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "A kubelet under pressure evicts pods and takes no new ones.",
        reasons: &[
            Reason::new(
                "NodePressure",
                "on {node}: free -m; df -h /var/lib/rancher; then kubectl describe node {node}",
            ),
            Reason::new(
                "PressureUnknown",
                "see what its kubelet reports: kubectl describe node {node}, part Conditions",
            ),
        ],
        ask: ask!(pressure),
    },
    Check {
        id: "join::taints",
        title: "{node} is not cordoned and carries no taint that keeps pods off.",
        severity: Severity::Warn,
        requires: &["join::ready"],
        needs: &[Need::list(&NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "A tainted or cordoned node is in the cluster and yet no ordinary pod is placed on it.",
        reasons: &[
            Reason::new("Cordoned", "kubectl uncordon {node}"),
            Reason::new(
                "UnexpectedTaint",
                "if it is not wanted: kubectl taint node {node} <key>:<effect>-",
            ),
        ],
        ask: ask!(taints),
    },
    Check {
        id: "join::longhorn_labels",
        title: "{node} carries the labels that are wanted of it.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[Need::list(&NODES)],
        awaits: false,
        after: Some("join::label"),
        criterion: Criterion::Of("1.2"),
        why: "Longhorn finds the hosts that bring disks by a label, and an agent cannot give itself one.",
        reasons: &[
            Reason::new(
                "LabelsMissing",
                "kubectl label node {node} --overwrite <key>=<value>, with the pairs that the message names",
            ),
            Reason::new(
                "NoLabelsWanted",
                "nothing to do where [node.labels] is empty on purpose",
            ),
        ],
        ask: ask!(longhorn_labels),
    },
    Check {
        id: "join::daemonset_pods",
        title: "Every DaemonSet that wants a pod on {node} has a Ready one there.",
        severity: Severity::Fail,
        requires: &["join::ready"],
        needs: &[
            Need::list(&NODES),
            Need::list(&DAEMONSETS),
            Need::list(&PODS),
        ],
        awaits: true,
        after: Some("join::label"),
        criterion: Criterion::Of("1.4"),
        why: "Storage, monitoring and networking each run one pod on every node. That they run shows that images can be pulled and that the pod network works.",
        reasons: &[
            Reason::new(
                "DaemonSetPodMissing",
                "kubectl get events -A --field-selector involvedObject.kind=DaemonSet; kubectl describe daemonset -n <namespace> <name>",
            ),
            Reason::new(
                "DaemonSetPodNotReady",
                "kubectl get pods -A --field-selector spec.nodeName={node}; then kubectl describe pod for the named one",
            ),
            Reason::new(
                "NoDaemonSet",
                "see whether this is the cluster that you mean: kubectl get daemonsets -A; Longhorn and node-exporter come by one",
            ),
        ],
        ask: ask!(daemonset_pods),
    },
];

async fn pressure(cx: &Context) -> Answer {
    let node = new_node(cx).await?;
    Ok(cluster::pressure(std::slice::from_ref(&node)))
}

async fn taints(cx: &Context) -> Answer {
    let node = new_node(cx).await?;
    let carried: Vec<String> = taints_of(&node)
        .iter()
        .filter(|taint| !BY_CONDITION.contains(&taint.key.as_str()))
        .map(taint_text)
        .collect();
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        return Ok(
            Verdict::fail("Cordoned", format!("{} is cordoned", cx.node())).saw_all(carried),
        );
    }
    if carried.is_empty() {
        return Ok(Verdict::pass(format!("{} carries no taint", cx.node())));
    }
    Ok(Verdict::fail(
        "UnexpectedTaint",
        format!("{} carries {}", cx.node(), carried.join(", ")),
    ))
}

async fn longhorn_labels(cx: &Context) -> Answer {
    let node = new_node(cx).await?;
    let wanted = &cx.settings.node.labels;
    if wanted.is_empty() {
        return Ok(Verdict::skip(
            "NoLabelsWanted",
            "[node.labels] is empty: no label is wanted of the node",
        ));
    }
    let missing: Vec<String> = wanted
        .iter()
        .filter_map(|(key, value)| match node::label(&node, key) {
            Some(found) if found == value => None,
            Some(found) => Some(format!("{key}={value} (it is {found})")),
            None => Some(format!("{key}={value}")),
        })
        .collect();
    if missing.is_empty() {
        return Ok(
            Verdict::pass(format!("{} carries all {} labels", cx.node(), wanted.len()))
                .saw_all(wanted.iter().map(|(key, value)| format!("{key}={value}"))),
        );
    }
    let pairs: Vec<String> = wanted
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    Ok(Verdict::fail(
        "LabelsMissing",
        format!("{} lacks {}", cx.node(), missing.join(", ")),
    )
    .hint(format!(
        "kubectl label node {} --overwrite {}",
        cx.node(),
        pairs.join(" ")
    )))
}

async fn daemonset_pods(cx: &Context) -> Answer {
    let node = new_node(cx).await?;
    let sets = cx.view.list::<DaemonSet>(&DAEMONSETS, Scope::all()).await?;
    let here = cx
        .view
        .list::<Pod>(&PODS, Scope::on_node(cx.node()))
        .await?;
    let (mut ready, mut missing, mut waiting, mut not_wanted) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for set in sets
        .iter()
        .filter(|set| set.metadata.deletion_timestamp.is_none())
    {
        let name = full_name(&set.metadata);
        let wish = set
            .spec
            .as_ref()
            .and_then(|spec| spec.template.spec.as_ref());
        if let Some(why) = wish.and_then(|wish| workload::keeps_away_from(wish, &node)) {
            not_wanted.push(format!("{name} wants none: {why}"));
            continue;
        }
        let own: Vec<&Pod> = here.iter().filter(|pod| belongs(pod, set)).collect();
        if own.iter().any(|pod| workload::is_ready(pod)) {
            ready.push(name);
        } else if let Some(pod) = own.first() {
            waiting.push(format!(
                "{name}: pod {} {}",
                pod.metadata.name.as_deref().unwrap_or_default(),
                workload::pod_trouble(pod).unwrap_or_default()
            ));
        } else {
            missing.push(format!("{name}: no pod on {} yet", cx.node()));
        }
    }
    let wanted = ready.len() + missing.len() + waiting.len();
    if wanted == 0 {
        return Ok(Verdict::skip(
            "NoDaemonSet",
            format!(
                "no DaemonSet of {} wants a pod on {}",
                sets.len(),
                cx.node()
            ),
        )
        .saw_all(not_wanted));
    }
    let share = format!(
        "{} of {wanted} DaemonSets have a Ready pod on {}",
        ready.len(),
        cx.node()
    );
    let verdict = if missing.is_empty() && waiting.is_empty() {
        Verdict::pass(share)
    } else {
        let reason = if missing.is_empty() {
            "DaemonSetPodNotReady"
        } else {
            "DaemonSetPodMissing"
        };
        let first = missing
            .iter()
            .chain(&waiting)
            .next()
            .cloned()
            .unwrap_or_default();
        Verdict::fail(reason, format!("{share}; {first}"))
            .saw_all(missing)
            .saw_all(waiting)
    };
    Ok(verdict
        .saw_all(ready.into_iter().map(|name| format!("{name}: Ready")))
        .saw_all(not_wanted))
}

/// `key=value:Effect`, as kubectl writes a taint.
fn taint_text(taint: &Taint) -> String {
    match taint.value.as_deref() {
        Some(value) if !value.is_empty() => format!("{}={value}:{}", taint.key, taint.effect),
        _ => format!("{}:{}", taint.key, taint.effect),
    }
}

fn belongs(pod: &Pod, set: &DaemonSet) -> bool {
    pod.metadata.namespace == set.metadata.namespace
        && pod.metadata.owner_references.iter().flatten().any(|owner| {
            owner.controller == Some(true)
                && owner.kind == "DaemonSet"
                && Some(&owner.name) == set.metadata.name.as_ref()
                && set
                    .metadata
                    .uid
                    .as_ref()
                    .is_none_or(|uid| *uid == owner.uid)
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::super::tests::agent;
    use crate::{Verdict, catalogue::find, testing::Fixture};

    async fn ask(id: &str, node: Value) -> Verdict {
        Fixture::new().with(node).ask(find(id).unwrap()).await
    }

    #[tokio::test]
    async fn pressure_is_read_by_type() {
        let good = ask("join::pressure", agent("k3s2", 2)).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        let mut full = agent("k3s2", 2);
        full["status"]["conditions"][1] =
            json!({"type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure"});
        let full = ask("join::pressure", full).await;
        assert_eq!(full.reason(), "NodePressure");
        assert!(
            full.message().contains("k3s2") && full.message().contains("DiskPressure"),
            "{}",
            full.message()
        );
    }

    #[tokio::test]
    async fn a_condition_that_is_not_there_is_not_false() {
        let mut silent = agent("k3s2", 2);
        silent["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        let silent = ask("join::pressure", silent).await;
        assert_eq!(
            (silent.outcome(), silent.reason()),
            (Outcome::Warn, "PressureUnknown")
        );
        assert!(
            silent.message().contains("k3s2: no condition PIDPressure"),
            "{}",
            silent.message()
        );
        let mut lost = agent("k3s2", 2);
        lost["status"]["conditions"][1] = json!({"type": "DiskPressure", "status": "Unknown"});
        assert_eq!(ask("join::pressure", lost).await.reason(), "NodePressure");
    }

    #[tokio::test]
    async fn where_nothing_is_wanted_nothing_was_seen() {
        let check = find("join::daemonset_pods").unwrap();
        let none = Fixture::new()
            .with(agent("k3s2", 2))
            .with(set("gpu", json!({"nodeSelector": {"gpu": "yes"}})))
            .ask(check)
            .await;
        assert_eq!(
            (none.outcome(), none.reason()),
            (Outcome::Skip, "NoDaemonSet")
        );
        let mut cx = Fixture::new().with(agent("k3s2", 2)).context();
        Arc::make_mut(&mut cx.settings).node.labels.clear();
        let labels = super::longhorn_labels(&cx).await.unwrap();
        assert_eq!(
            (labels.outcome(), labels.reason()),
            (Outcome::Skip, "NoLabelsWanted")
        );
    }

    #[tokio::test]
    async fn a_taint_of_a_condition_is_not_unexpected_and_a_cordon_is() {
        let mut early = agent("k3s2", 2);
        early["spec"]["taints"] =
            json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
        assert_eq!(ask("join::taints", early).await.outcome(), Outcome::Pass);
        let mut reserved = agent("k3s2", 2);
        reserved["spec"]["taints"] =
            json!([{"key": "dedicated", "value": "x", "effect": "NoSchedule"}]);
        let reserved = ask("join::taints", reserved).await;
        assert_eq!(reserved.reason(), "UnexpectedTaint");
        assert!(reserved.message().contains("dedicated=x:NoSchedule"));
        let mut cordoned = agent("k3s2", 2);
        cordoned["spec"]["unschedulable"] = json!(true);
        assert_eq!(ask("join::taints", cordoned).await.reason(), "Cordoned");
    }

    #[tokio::test]
    async fn a_missing_and_a_different_label_are_both_named() {
        let good = ask("join::longhorn_labels", agent("k3s2", 2)).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        let mut bare = agent("k3s2", 2);
        bare["metadata"]["labels"] = json!({"storage": "slow"});
        let bare = ask("join::longhorn_labels", bare).await;
        assert_eq!(bare.reason(), "LabelsMissing");
        assert!(bare.message().contains("storage=longhorn (it is slow)"));
        assert!(
            bare.own_hint()
                .is_some_and(|hint| hint.contains("node.longhorn.io/create-default-disk=config"))
        );
    }

    fn set(name: &str, pod: Value) -> Value {
        let mut pod = pod;
        pod["containers"] = json!([]);
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": "kube-system", "uid": format!("uid-{name}")},
            "spec": {"selector": {}, "template": {"spec": pod}}})
    }

    fn pod(set: &str, ready: bool) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{set}-x1"), "namespace": "kube-system", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": set, "uid": format!("uid-{set}"), "controller": true}]},
            "spec": {"nodeName": "k3s2", "containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}})
    }

    #[tokio::test]
    async fn only_daemonsets_that_match_the_node_count() {
        let check = find("join::daemonset_pods").unwrap();
        let world = || {
            Fixture::new()
                .with(agent("k3s2", 2))
                .with(set("svclb", json!({})))
                .with(set("gpu", json!({"nodeSelector": {"gpu": "yes"}})))
        };
        let good = world().with(pod("svclb", true)).ask(check).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        assert!(good.message().starts_with("1 of 1"), "{}", good.message());
        assert!(
            good.evidence()
                .iter()
                .any(|line| line.contains("gpu wants none"))
        );
        let slow = world().with(pod("svclb", false)).ask(check).await;
        assert_eq!(slow.reason(), "DaemonSetPodNotReady");
        assert!(
            slow.message().contains("pod svclb-x1"),
            "{}",
            slow.message()
        );
        let missing = world().with(pod("gpu", true)).ask(check).await;
        assert_eq!(missing.reason(), "DaemonSetPodMissing");
        assert!(
            missing.message().contains("kube-system/svclb"),
            "{}",
            missing.message()
        );
    }
}
