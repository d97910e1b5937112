//! What must run on the node before Longhorn can use it, and whether Longhorn knows the node.

use k8s_openapi::api::{apps::v1::DaemonSet, core::v1::Pod, storage::v1::CSINode};
use reports::model::Severity;

use super::{find, get};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask,
    kinds::{CSI_NODES, DAEMONSETS, LONGHORN_NODES, NODES, PODS},
    resources::{longhorn::DRIVER, node, workload},
    view::Scope,
};

const MANAGER: &str = "longhorn-manager";

/// Conditions about the host's own software. All of them are good when True: Multipathd=True says that multipathd does
/// not run. Source: longhorn-manager `controller/monitor/environment_check_monitor.go`.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("RequiredPackages", "PackagesMissing"),
    ("MountPropagation", "MountPropagationOff"),
    ("Multipathd", "MultipathdRuns"),
    ("KernelModulesLoaded", "KernelModulesMissing"),
    ("NFSClientInstalled", "NfsClientMissing"),
];

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "storage::manager_on_node",
        title: "Longhorn's manager runs on {node}.",
        severity: Severity::Fail,
        requires: &["join::ready"],
        needs: &[
            Need::list(&NODES),
            Need::list(&DAEMONSETS),
            Need::list(&PODS),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Of("2.3"),
        why: "The manager makes the node known to Longhorn and looks after its disks. It comes by a DaemonSet, as soon as the node takes pods and the image is pulled.",
        reasons: &[
            Reason::new(
                "LonghornAbsent",
                "install Longhorn, or set longhorn.namespace to where it is: kubectl get daemonsets -A | grep longhorn-manager",
            ),
            Reason::new(
                "ManagerKeptAway",
                "kubectl -n {longhorn} get daemonset longhorn-manager -o yaml shows what it selects and tolerates; label the node, or take the taint away",
            ),
            Reason::new(
                "ManagerMissing",
                "kubectl -n {longhorn} describe daemonset longhorn-manager",
            ),
            Reason::new(
                "ManagerNotReady",
                "kubectl -n {longhorn} get pods -l app=longhorn-manager --field-selector spec.nodeName={node}; then kubectl logs; a missing iscsid on the host is the usual cause",
            ),
        ],
        ask: ask!(manager_on_node),
    },
    Check {
        id: "storage::csi_on_node",
        title: "Volumes of Longhorn can be attached on {node}.",
        severity: Severity::Fail,
        requires: &["join::ready"],
        needs: &[Need::list(&CSI_NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("2.3"),
        why: "The kubelet mounts Longhorn volumes only where Longhorn's driver has registered with it.",
        reasons: &[Reason::new(
            "DriverNotRegistered",
            "kubectl -n {longhorn} get pods -l app=longhorn-csi-plugin --field-selector spec.nodeName={node}; then kubectl describe pod for it",
        )],
        ask: ask!(csi_on_node),
    },
    Check {
        id: "storage::node_known",
        title: "Longhorn knows {node}.",
        severity: Severity::Fail,
        requires: &["storage::manager_on_node"],
        needs: &[Need::list(&LONGHORN_NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("2.3"),
        why: "Longhorn keeps an object of its own for each node, with its disks. Without it nothing is stored there.",
        reasons: &[
            Reason::new(
                "LonghornNodeMissing",
                "kubectl -n {longhorn} logs -l app=longhorn-manager --tail=50 --prefix | grep {node}",
            ),
            Reason::new(
                "LonghornNodeGoing",
                "it is left over from an earlier node of this name: wait until kubectl -n {longhorn} get nodes.longhorn.io {node} finds nothing, or look at its finalizers",
            ),
        ],
        ask: ask!(node_known),
    },
    Check {
        id: "storage::node_ready",
        title: "Longhorn's condition Ready of {node} is True.",
        severity: Severity::Fail,
        requires: &["storage::node_known"],
        needs: &[Need::list(&LONGHORN_NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("2.3"),
        why: "Longhorn puts replicas only on nodes that it has seen to be in order.",
        reasons: &[Reason::new(
            "LonghornNodeNotReady",
            "kubectl -n {longhorn} describe nodes.longhorn.io {node}",
        )],
        ask: ask!(node_ready),
    },
    Check {
        id: "storage::environment",
        title: "{node} has the host software that Longhorn asks for.",
        severity: Severity::Warn,
        requires: &["storage::node_known"],
        needs: &[Need::list(&LONGHORN_NODES)],
        awaits: false,
        after: Some("storage::reconcile"),
        criterion: Criterion::Of("2.1"),
        why: "Longhorn uses iSCSI, NFS and kernel modules of the host. What is missing does not keep replicas away, it makes volumes fail when they are attached.",
        reasons: &[
            Reason::new(
                "PackagesMissing",
                "on {node}: apt-get install open-iscsi nfs-common cryptsetup dmsetup, or the same with the host's package manager; Longhorn looks again within 30 minutes",
            ),
            Reason::new(
                "MountPropagationOff",
                "on {node}: mount --make-rshared /, and see that the container runtime does not run with private mounts",
            ),
            Reason::new(
                "MultipathdRuns",
                "on {node}: systemctl disable --now multipathd.socket multipathd, or blacklist Longhorn's devices in /etc/multipath.conf",
            ),
            Reason::new(
                "KernelModulesMissing",
                "on {node}: modprobe iscsi_tcp dm_crypt, and name them in /etc/modules-load.d/longhorn.conf",
            ),
            Reason::new(
                "NfsClientMissing",
                "on {node}: apt-get install nfs-common; only volumes of ReadWriteMany and backups over NFS need it",
            ),
            Reason::new(
                "NotReported",
                "Longhorn before 1.7 and unknown systems do not report it; longhornctl check preflight asks the host itself",
            ),
        ],
        ask: ask!(environment),
    },
];

async fn manager_on_node(cx: &Context) -> Answer {
    let longhorn = &cx.settings.longhorn.namespace;
    let sets = cx.view.list::<DaemonSet>(&DAEMONSETS, Scope::all()).await?;
    let Some(set) = sets.iter().find(|set| {
        set.metadata.namespace.as_deref() == Some(longhorn)
            && set.metadata.name.as_deref() == Some(MANAGER)
    }) else {
        return Ok(Verdict::fail(
            "LonghornAbsent",
            format!("there is no DaemonSet {longhorn}/{MANAGER}"),
        )
        .hopeless());
    };
    let pods = cx
        .view
        .list::<Pod>(&PODS, Scope::on_node(cx.node()))
        .await?;
    let own: Vec<&Pod> = pods
        .iter()
        .filter(|pod| {
            pod.metadata.namespace.as_deref() == Some(longhorn)
                && workload::has_label(pod.metadata.labels.as_ref(), "app", MANAGER)
        })
        .collect();
    let name = |pod: &Pod| pod.metadata.name.clone().unwrap_or_default();
    if let Some(pod) = own.iter().find(|pod| workload::is_ready(pod)) {
        return Ok(Verdict::pass(format!(
            "{} is Ready on {}",
            name(pod),
            cx.node()
        )));
    }
    if let Some(pod) = own.first() {
        return Ok(Verdict::fail(
            "ManagerNotReady",
            format!(
                "{} on {}: {}",
                name(pod),
                cx.node(),
                workload::pod_trouble(pod).unwrap_or_default()
            ),
        ));
    }
    let nodes = node::all(cx).await?;
    let here = nodes.iter().find(|one| node::name(one) == cx.node());
    let wish = set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref());
    if let (Some(here), Some(wish)) = (here, wish)
        && let Some(why) = workload::keeps_away_from(wish, here)
    {
        // Neither labels nor such taints change by waiting.
        return Ok(Verdict::fail(
            "ManagerKeptAway",
            format!(
                "DaemonSet {longhorn}/{MANAGER} makes no pod on {}: {why}",
                cx.node()
            ),
        )
        .hopeless());
    }
    Ok(Verdict::fail(
        "ManagerMissing",
        format!(
            "no pod of DaemonSet {longhorn}/{MANAGER} on {} yet",
            cx.node()
        ),
    ))
}

async fn csi_on_node(cx: &Context) -> Answer {
    let list = cx.view.list::<CSINode>(&CSI_NODES, Scope::all()).await?;
    let found = list
        .iter()
        .find(|one| one.metadata.name.as_deref() == Some(cx.node()));
    let drivers: Vec<&str> = found
        .into_iter()
        .flat_map(|one| &one.spec.drivers)
        .map(|driver| driver.name.as_str())
        .collect();
    if drivers.contains(&DRIVER) {
        return Ok(Verdict::pass(format!(
            "{DRIVER} is registered on {}",
            cx.node()
        )));
    }
    let there = match (found.is_some(), drivers.is_empty()) {
        (false, _) => format!("there is no CSINode {}", cx.node()),
        (true, true) => format!("CSINode {} lists no driver", cx.node()),
        (true, false) => format!("CSINode {} lists {}", cx.node(), drivers.join(", ")),
    };
    Ok(Verdict::fail(
        "DriverNotRegistered",
        format!("{there}, expected {DRIVER}"),
    ))
}

async fn node_known(cx: &Context) -> Answer {
    let longhorn = &cx.settings.longhorn.namespace;
    let Some(found) = find(cx).await? else {
        return Ok(Verdict::fail(
            "LonghornNodeMissing",
            format!("there is no nodes.longhorn.io {longhorn}/{} yet", cx.node()),
        ));
    };
    if found.metadata.deletion_timestamp.is_some() {
        return Ok(Verdict::fail(
            "LonghornNodeGoing",
            format!(
                "nodes.longhorn.io {longhorn}/{} is being deleted",
                cx.node()
            ),
        ));
    }
    Ok(Verdict::pass(format!(
        "Longhorn knows {} with {} disks",
        cx.node(),
        found.spec.disks.len()
    )))
}

async fn node_ready(cx: &Context) -> Answer {
    let found = get(cx).await?;
    let ready = found.condition("Ready");
    if ready.is_true() {
        return Ok(Verdict::pass(format!(
            "Longhorn says {} is Ready",
            cx.node()
        )));
    }
    Ok(Verdict::fail(
        "LonghornNodeNotReady",
        format!("Longhorn says of {}: {ready}", cx.node()),
    )
    .saw_all(
        found
            .status
            .conditions
            .iter()
            .filter(|one| one.status != "True" && one.kind != "Ready")
            .map(|one| found.condition(&one.kind).to_string()),
    ))
}

async fn environment(cx: &Context) -> Answer {
    let found = get(cx).await?;
    let reported: Vec<_> = ENVIRONMENT
        .iter()
        .map(|(kind, reason)| (found.condition(kind), *reason))
        .filter(|(seen, _)| seen.is_present())
        .collect();
    let lines = reported.iter().map(|(seen, _)| seen.to_string());
    if reported.is_empty() {
        return Ok(Verdict::skip(
            "NotReported",
            format!(
                "Longhorn reports nothing about the host software of {}",
                cx.node()
            ),
        ));
    }
    let wrong: Vec<_> = reported
        .iter()
        .filter(|(seen, _)| !seen.is_true())
        .collect();
    // What is known to be wrong is told before what Longhorn could not find out.
    let first = wrong
        .iter()
        .find(|(seen, _)| seen.is_false())
        .or_else(|| wrong.first());
    let Some((_, reason)) = first else {
        return Ok(Verdict::pass(format!(
            "{} of {} conditions about the host software of {} are in order",
            reported.len(),
            ENVIRONMENT.len(),
            cx.node()
        ))
        .saw_all(lines));
    };
    let found: Vec<String> = wrong.iter().map(|(seen, _)| seen.to_string()).collect();
    Ok(Verdict::fail(reason, format!("{}: {}", cx.node(), found.join("; "))).saw_all(lines))
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::super::tests::{longhorn_node, no, with_node};
    use crate::{catalogue::find, testing::Fixture};

    fn set(pod: Value) -> Value {
        let mut pod = pod;
        pod["containers"] = json!([]);
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "longhorn-manager", "namespace": "longhorn-system"},
            "spec": {"selector": {}, "template": {"spec": pod}}})
    }

    fn pod(ready: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "longhorn-manager-x1",
            "namespace": "longhorn-system", "labels": {"app": "longhorn-manager"}},
            "spec": {"nodeName": "k3s2", "containers": []},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    }

    fn kubernetes_node() -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "k3s2", "labels": {}}})
    }

    #[tokio::test]
    async fn the_manager_is_ready_missing_or_kept_away() {
        let check = find("storage::manager_on_node").unwrap();
        let world = |wish: Value| Fixture::new().with(kubernetes_node()).with(set(wish));
        let good = world(json!({})).with(pod("True")).ask(check).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        let slow = world(json!({})).with(pod("False")).ask(check).await;
        assert_eq!(slow.reason(), "ManagerNotReady");
        assert!(slow.message().contains("longhorn-manager-x1 on k3s2"));
        let early = world(json!({})).ask(check).await;
        assert_eq!(
            (early.reason(), early.is_hopeless()),
            ("ManagerMissing", false)
        );
        let away = world(json!({"nodeSelector": {"storage": "longhorn"}}))
            .ask(check)
            .await;
        assert_eq!(
            (away.reason(), away.is_hopeless()),
            ("ManagerKeptAway", true)
        );
        assert!(
            away.message().contains("storage=longhorn"),
            "{}",
            away.message()
        );
        let none = Fixture::new().with(kubernetes_node()).ask(check).await;
        assert_eq!(none.reason(), "LonghornAbsent");
    }

    #[tokio::test]
    async fn the_driver_counts_by_its_real_name() {
        let check = find("storage::csi_on_node").unwrap();
        let csi = |name: &str| {
            Fixture::new().with(json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode",
                "metadata": {"name": "k3s2"}, "spec": {"drivers": [{"name": name, "nodeID": "k3s2"}]}}))
        };
        assert_eq!(
            csi("driver.longhorn.io").ask(check).await.outcome(),
            Outcome::Pass
        );
        let other = csi("longhorn.csi.driver.longhorn.io").ask(check).await;
        assert_eq!(other.reason(), "DriverNotRegistered");
        let none = Fixture::new().ask(check).await;
        assert!(
            none.message().contains("there is no CSINode k3s2"),
            "{}",
            none.message()
        );
    }

    #[tokio::test]
    async fn an_unknown_node_and_one_on_its_way_out_are_told_apart() {
        let check = find("storage::node_known").unwrap();
        assert_eq!(
            with_node(longhorn_node("k3s2")).ask(check).await.outcome(),
            Outcome::Pass
        );
        assert_eq!(
            with_node(longhorn_node("k3s1")).ask(check).await.reason(),
            "LonghornNodeMissing"
        );
        let mut going = longhorn_node("k3s2");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(
            with_node(going).ask(check).await.reason(),
            "LonghornNodeGoing"
        );
        assert_eq!(
            Fixture::new().ask(check).await.reason(),
            "NotServed",
            "Longhorn is not installed"
        );
    }

    #[tokio::test]
    async fn ready_is_read_by_type_with_its_reason() {
        let check = find("storage::node_ready").unwrap();
        assert_eq!(
            with_node(longhorn_node("k3s2")).ask(check).await.outcome(),
            Outcome::Pass
        );
        let mut down = longhorn_node("k3s2");
        down["status"]["conditions"][0] = no("Ready", "ManagerPodDown", "manager pod is down");
        let down = with_node(down).ask(check).await;
        assert_eq!(down.reason(), "LonghornNodeNotReady");
        assert!(
            down.message().contains("k3s2: Ready=False (ManagerPodDown"),
            "{}",
            down.message()
        );
    }

    #[tokio::test]
    async fn multipathd_true_is_good_and_false_is_not() {
        let check = find("storage::environment").unwrap();
        let good = with_node(longhorn_node("k3s2")).ask(check).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        let mut running = longhorn_node("k3s2");
        running["status"]["conditions"][3] = no("Multipathd", "MultipathdIsRunning", "it runs");
        assert_eq!(
            with_node(running).ask(check).await.reason(),
            "MultipathdRuns"
        );
        let mut bare = longhorn_node("k3s2");
        bare["status"]["conditions"][4] =
            no("RequiredPackages", "PackagesNotInstalled", "open-iscsi");
        let bare = with_node(bare).ask(check).await;
        assert_eq!(bare.reason(), "PackagesMissing");
        assert!(bare.message().contains("k3s2") && bare.message().contains("open-iscsi"));
        for (kind, reason) in [
            ("MountPropagation", "MountPropagationOff"),
            ("KernelModulesLoaded", "KernelModulesMissing"),
            ("NFSClientInstalled", "NfsClientMissing"),
        ] {
            let mut lacking = longhorn_node("k3s2");
            lacking["status"]["conditions"] = json!([no(kind, "No", "it is not so")]);
            assert_eq!(with_node(lacking).ask(check).await.reason(), reason);
        }
        let mut unknown = longhorn_node("k3s2");
        unknown["status"]["conditions"][4] =
            json!({"type": "RequiredPackages", "status": "Unknown", "reason": ""});
        let unknown = with_node(unknown).ask(check).await;
        assert_eq!(unknown.reason(), "PackagesMissing", "{unknown:?}");
        let mut silent = longhorn_node("k3s2");
        silent["status"]["conditions"] = json!([]);
        let silent = with_node(silent).ask(check).await;
        assert_eq!(
            (silent.outcome(), silent.reason()),
            (Outcome::Skip, "NotReported")
        );
    }
}
