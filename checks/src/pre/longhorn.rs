//! `pre`, Longhorn: is it installed, does it run, and does it use the node that is already there?

use k8s_openapi::api::{
    apps::v1::DaemonSet,
    storage::v1::{CSIDriver, CSINode},
};
use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    resources::{
        full_name,
        longhorn::{DRIVER, EngineImage, InstanceManager, Node},
        node, workload,
    },
    view::{ReadError, Scope},
};

/// The checks of this file, in order.
pub const CHECKS: &[Check] = &[
    Check {
        id: "pre::longhorn_installed",
        title: "The cluster serves the kinds of Longhorn.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[Need::Path("/apis"), Need::list(&kinds::LONGHORN_NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "The new node is to carry replicas of Longhorn's volumes.",
        reasons: &[
            Reason::new(
                "LonghornNotInstalled",
                "install Longhorn first, or choose the right cluster with --context",
            ),
            Reason::new(
                "LonghornElsewhere",
                "name its namespace in longhorn.namespace: kubectl get nodes.longhorn.io -A",
            ),
        ],
        ask: ask!(longhorn_installed),
    },
    Check {
        id: "pre::longhorn_managers",
        title: "A Longhorn manager is ready on every node that should have one.",
        severity: Severity::Fail,
        requires: &["pre::longhorn_installed"],
        needs: &[Need::list(&kinds::DAEMONSETS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "The managers make and repair volumes, and answer for every write to Longhorn's objects.",
        reasons: &[
            Reason::new(
                "ManagerMissing",
                "see what is there: kubectl -n {longhorn} get daemonsets",
            ),
            Reason::new(
                "ManagerNotReady",
                "see why: kubectl -n {longhorn} get pods -l app=longhorn-manager -o wide",
            ),
        ],
        ask: ask!(longhorn_managers),
    },
    Check {
        id: "pre::longhorn_csi",
        title: "Longhorn's volumes can be attached on the control-plane node.",
        severity: Severity::Fail,
        requires: &["pre::longhorn_installed"],
        needs: &[
            Need::list(&kinds::NODES),
            Need::list(&kinds::CSI_DRIVERS),
            Need::list(&kinds::CSI_NODES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "Kubernetes attaches a volume through a driver that registers on every node; without it pods wait for ever.",
        reasons: &[
            Reason::new(
                "DriverMissing",
                "see Longhorn's deployer: kubectl -n {longhorn} logs deployment/longhorn-driver-deployer",
            ),
            Reason::new(
                "DriverNotOnNode",
                "see its plugin there: kubectl -n {longhorn} get pods -l app=longhorn-csi-plugin -o wide",
            ),
        ],
        ask: ask!(longhorn_csi),
    },
    Check {
        id: "pre::longhorn_instance_managers",
        title: "An instance manager of Longhorn runs on every node that Longhorn knows.",
        severity: Severity::Fail,
        requires: &["pre::longhorn_installed"],
        needs: &[
            Need::list(&kinds::LONGHORN_NODES),
            Need::list(&kinds::LONGHORN_INSTANCE_MANAGERS),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "It runs the processes that serve volumes; a node without one serves none.",
        reasons: &[Reason::new(
            "NoInstanceManager",
            "see why: kubectl -n {longhorn} get pods -l longhorn.io/component=instance-manager -o wide",
        )],
        ask: ask!(longhorn_instance_managers),
    },
    Check {
        id: "pre::longhorn_control_plane_node",
        title: "Longhorn can put replicas on the control-plane node.",
        severity: Severity::Fail,
        requires: &["pre::longhorn_instance_managers"],
        needs: &[
            Need::list(&kinds::NODES),
            Need::list(&kinds::LONGHORN_NODES),
            Need::list(&kinds::LONGHORN_INSTANCE_MANAGERS),
            Need::list(&kinds::LONGHORN_ENGINE_IMAGES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "Two copies need two usable nodes; the first must be usable before the second is worth adding.",
        reasons: &[
            Reason::new(
                "LonghornNodeMissing",
                "see which nodes Longhorn knows: kubectl -n {longhorn} get nodes.longhorn.io",
            ),
            Reason::new(
                "LonghornNodeUnusable",
                "look at its conditions and disks: kubectl -n {longhorn} describe nodes.longhorn.io {control_plane}",
            ),
        ],
        ask: ask!(longhorn_control_plane_node),
    },
    Check {
        id: "pre::disk_discovery",
        title: "The disk discovery of this cluster runs on every node that should have it.",
        severity: Severity::Warn,
        requires: &["pre::longhorn_installed"],
        needs: &[Need::list(&kinds::DAEMONSETS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("2.1"),
        why: "Where a cluster finds and prepares disks by itself, the new node's disks depend on it.",
        reasons: &[
            Reason::new(
                "NoDiskDiscovery",
                "nothing to do: this cluster prepares its disks in another way",
            ),
            Reason::new(
                "DiskDiscoveryNotReady",
                "see why: kubectl -n {longhorn} get pods -o wide | grep disk-discovery",
            ),
        ],
        ask: ask!(disk_discovery),
    },
];

async fn nodes(cx: &Context) -> Result<std::sync::Arc<Vec<Node>>, ReadError> {
    let scope = Scope::namespace(&cx.settings.longhorn.namespace);
    cx.view.list::<Node>(&kinds::LONGHORN_NODES, scope).await
}

async fn longhorn_installed(cx: &Context) -> Answer {
    let served = cx.view.served(kinds::LONGHORN_NODES.group).await?;
    let known = kinds::LONGHORN_NODES.versions;
    if !served.iter().any(|one| known.contains(&one.as_str())) {
        return Ok(Verdict::fail(
            "LonghornNotInstalled",
            format!(
                "the cluster serves {} of longhorn.io, expected {}",
                if served.is_empty() {
                    "no version".to_owned()
                } else {
                    served.join(", ")
                },
                known.join(", ")
            ),
        ));
    }
    let namespace = &cx.settings.longhorn.namespace;
    let nodes = nodes(cx).await?;
    Ok(if nodes.is_empty() {
        Verdict::fail(
            "LonghornElsewhere",
            format!("Longhorn knows no node in namespace {namespace}"),
        )
    } else {
        let names: Vec<&str> = nodes.iter().map(|one| one.metadata.name.as_str()).collect();
        Verdict::pass(format!(
            "longhorn.io {} in namespace {namespace}, nodes {}",
            served.join(", "),
            names.join(", ")
        ))
    })
}

async fn daemonset(cx: &Context, name: &str) -> Result<Option<DaemonSet>, ReadError> {
    let sets = cx
        .view
        .list::<DaemonSet>(&kinds::DAEMONSETS, Scope::all())
        .await?;
    let namespace = cx.settings.longhorn.namespace.as_str();
    Ok(sets
        .iter()
        .find(|one| {
            one.metadata.namespace.as_deref() == Some(namespace)
                && one.metadata.name.as_deref() == Some(name)
        })
        .cloned())
}

pub(crate) async fn longhorn_managers(cx: &Context) -> Answer {
    let Some(set) = daemonset(cx, "longhorn-manager").await? else {
        return Ok(Verdict::fail(
            "ManagerMissing",
            format!(
                "namespace {} has no DaemonSet longhorn-manager",
                cx.settings.longhorn.namespace
            ),
        ));
    };
    let wanted = set.status.as_ref().map(|one| one.desired_number_scheduled);
    let trouble = workload::daemonset_trouble(&set).or_else(|| {
        // All of none are ready: nothing manages anything.
        (wanted.unwrap_or_default() == 0).then(|| "it is wanted on no node".to_owned())
    });
    Ok(match trouble {
        Some(trouble) => Verdict::fail(
            "ManagerNotReady",
            format!("DaemonSet {}: {trouble}", full_name(&set.metadata)),
        ),
        None => Verdict::pass(format!("{} ready", pods(&set))),
    })
}

fn pods(set: &DaemonSet) -> String {
    let count = set.status.as_ref().map_or(0, |status| status.number_ready);
    format!(
        "{count} {} of {}",
        if count == 1 { "pod" } else { "pods" },
        full_name(&set.metadata)
    )
}

async fn longhorn_csi(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    csi_on(cx, &[node::name(&server)]).await
}

/// Whether Longhorn's driver is registered with the cluster and on these nodes.
pub(crate) async fn csi_on(cx: &Context, nodes: &[&str]) -> Answer {
    let drivers = cx
        .view
        .list::<CSIDriver>(&kinds::CSI_DRIVERS, Scope::all())
        .await?;
    if !drivers
        .iter()
        .any(|one| one.metadata.name.as_deref() == Some(DRIVER))
    {
        return Ok(Verdict::fail(
            "DriverMissing",
            format!("CSIDriver {DRIVER} does not exist"),
        ));
    }
    let registered = cx
        .view
        .list::<CSINode>(&kinds::CSI_NODES, Scope::all())
        .await?;
    let without: Vec<&str> = nodes
        .iter()
        .filter(|name| {
            !registered.iter().any(|one| {
                one.metadata.name.as_deref() == Some(**name)
                    && one.spec.drivers.iter().any(|driver| driver.name == DRIVER)
            })
        })
        .copied()
        .collect();
    Ok(if without.is_empty() {
        Verdict::pass(format!("{DRIVER} is registered on {}", nodes.join(", ")))
    } else {
        Verdict::fail(
            "DriverNotOnNode",
            format!("CSINode {} does not list {DRIVER}", without.join(", ")),
        )
    })
}

pub(crate) async fn longhorn_instance_managers(cx: &Context) -> Answer {
    let nodes = nodes(cx).await?;
    let managers = instance_managers(cx).await?;
    let without: Vec<&str> = nodes
        .iter()
        .map(|one| one.metadata.name.as_str())
        .filter(|name| !runs_on(&managers, name))
        .collect();
    let seen = managers.iter().map(|one| {
        format!(
            "{} on {}: {}",
            one.metadata.name, one.spec.node_id, one.status.current_state
        )
    });
    Ok(if without.is_empty() {
        Verdict::pass(format!("one runs on each of {} nodes", nodes.len()))
    } else {
        Verdict::fail(
            "NoInstanceManager",
            format!("none runs on {}", without.join(", ")),
        )
    }
    .saw_all(seen))
}

async fn instance_managers(
    cx: &Context,
) -> Result<std::sync::Arc<Vec<InstanceManager>>, ReadError> {
    let scope = Scope::namespace(&cx.settings.longhorn.namespace);
    cx.view
        .list::<InstanceManager>(&kinds::LONGHORN_INSTANCE_MANAGERS, scope)
        .await
}

fn runs_on(managers: &[InstanceManager], node: &str) -> bool {
    managers
        .iter()
        .any(|one| one.spec.node_id == node && one.is_running())
}

async fn longhorn_control_plane_node(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    usable(cx, &[node::name(&server)]).await
}

/// Whether Longhorn would put replicas on these nodes: what its scheduler looks at, which is more than the Node object.
pub(crate) async fn usable(cx: &Context, names: &[&str]) -> Answer {
    let nodes = nodes(cx).await?;
    let managers = instance_managers(cx).await?;
    let scope = Scope::namespace(&cx.settings.longhorn.namespace);
    let images = cx
        .view
        .list::<EngineImage>(&kinds::LONGHORN_ENGINE_IMAGES, scope)
        .await?;
    let mut missing = Vec::new();
    let mut found = Vec::new();
    let mut seen = Vec::new();
    for name in names {
        let Some(one) = nodes.iter().find(|one| one.metadata.name == *name) else {
            missing.push(*name);
            continue;
        };
        let mut obstacles = one.obstacles();
        if !runs_on(&managers, name) {
            obstacles.push("no instance manager runs there".into());
        }
        if !images
            .iter()
            .any(|image| image.status.node_deployment_map.get(*name) == Some(&true))
        {
            obstacles.push("no engine image is deployed there".into());
        }
        seen.extend(one.disks().map(|disk| {
            format!(
                "{name} disk {} at {}: {}, {}",
                disk.name,
                disk.spec.path,
                disk.condition("Ready"),
                disk.condition("Schedulable")
            )
        }));
        if !obstacles.is_empty() {
            found.push(format!("{name}: {}", obstacles.join(", ")));
        }
    }
    Ok(if !missing.is_empty() {
        Verdict::fail(
            "LonghornNodeMissing",
            format!(
                "nodes.longhorn.io {} does not exist in namespace {}",
                missing.join(", "),
                cx.settings.longhorn.namespace
            ),
        )
    } else if !found.is_empty() {
        Verdict::fail("LonghornNodeUnusable", found.join("; "))
    } else {
        Verdict::pass(format!("{} can take replicas", names.join(", ")))
    }
    .saw_all(seen))
}

pub(crate) async fn disk_discovery(cx: &Context) -> Answer {
    let sets = cx
        .view
        .list::<DaemonSet>(&kinds::DAEMONSETS, Scope::all())
        .await?;
    let found: Vec<&DaemonSet> = sets
        .iter()
        .filter(|one| {
            one.metadata
                .name
                .as_deref()
                .is_some_and(|name| name.contains("disk-discovery"))
        })
        .collect();
    if found.is_empty() {
        return Ok(Verdict::skip(
            "NoDiskDiscovery",
            "no DaemonSet is called disk-discovery",
        ));
    }
    let trouble: Vec<String> = found
        .iter()
        .filter_map(|one| {
            let trouble = workload::daemonset_trouble(one)?;
            Some(format!("DaemonSet {}: {trouble}", full_name(&one.metadata)))
        })
        .collect();
    Ok(if trouble.is_empty() {
        let names: Vec<String> = found.iter().map(|one| pods(one)).collect();
        Verdict::pass(format!("{} ready", names.join(", ")))
    } else {
        Verdict::fail("DiskDiscoveryNotReady", trouble.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::{longhorn, longhorn_node, node};
    use crate::testing::{Fixture, check};

    fn daemonset(name: &str, wanted: i32, ready: i32) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": name, "namespace": "longhorn-system", "generation": 1},
            "spec": {"selector": {}, "template": {}},
            "status": {
                "observedGeneration": 1, "desiredNumberScheduled": wanted, "numberReady": ready,
                "updatedNumberScheduled": wanted, "currentNumberScheduled": wanted, "numberMisscheduled": 0,
            },
        })
    }

    #[tokio::test]
    async fn a_cluster_without_longhorn_or_with_it_elsewhere_is_told() {
        let check = check("pre::longhorn_installed");
        let bare = Fixture::new().ask(check).await;
        assert_eq!(bare.reason(), "LonghornNotInstalled");
        let mut elsewhere = longhorn_node("k3s1");
        elsewhere["metadata"]["namespace"] = json!("storage");
        let elsewhere = Fixture::new().with(elsewhere).ask(check).await;
        assert_eq!(elsewhere.reason(), "LonghornElsewhere");
        let well = Fixture::new().with(longhorn_node("k3s1")).ask(check).await;
        assert_eq!(well.reason(), "", "{}", well.message());
    }

    #[tokio::test]
    async fn managers_must_be_ready_on_every_node() {
        let check = check("pre::longhorn_managers");
        let ask = |ready: i32| {
            Fixture::new()
                .with(daemonset("longhorn-manager", 2, ready))
                .ask(check)
        };
        assert_eq!(
            ask(2).await.message(),
            "2 pods of longhorn-system/longhorn-manager ready"
        );
        let ill = ask(1).await;
        assert_eq!(ill.reason(), "ManagerNotReady");
        assert!(ill.message().contains("1 of 2 pods ready"));
        assert_eq!(Fixture::new().ask(check).await.reason(), "ManagerMissing");
        let nowhere = Fixture::new()
            .with(daemonset("longhorn-manager", 0, 0))
            .ask(check)
            .await;
        assert_eq!(nowhere.reason(), "ManagerNotReady", "{nowhere:?}");
    }

    #[tokio::test]
    async fn the_driver_must_be_registered_on_the_node() {
        let check = check("pre::longhorn_csi");
        let driver = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "driver.longhorn.io"}, "spec": {}});
        let csi_node = |driver: &str| {
            json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "k3s1"},
                "spec": {"drivers": [{"name": driver, "nodeID": "k3s1"}]},
            })
        };
        let with = |csi: Value| {
            Fixture::new()
                .with(node("k3s1"))
                .with(driver.clone())
                .with(csi)
                .ask(check)
        };
        assert_eq!(with(csi_node("driver.longhorn.io")).await.reason(), "");
        let other = with(csi_node("longhorn.csi.driver.longhorn.io")).await;
        assert_eq!(other.reason(), "DriverNotOnNode");
        assert!(other.message().contains("CSINode k3s1"));
        let none = Fixture::new().with(node("k3s1")).ask(check).await;
        assert_eq!(none.reason(), "DriverMissing");
    }

    #[tokio::test]
    async fn an_instance_manager_must_run_on_every_known_node() {
        let check = check("pre::longhorn_instance_managers");
        let well = longhorn("k3s1").ask(check).await;
        assert_eq!(well.reason(), "", "{}", well.message());
        let second = longhorn("k3s1")
            .with(longhorn_node("k3s9"))
            .ask(check)
            .await;
        assert_eq!(
            (second.reason(), second.message()),
            ("NoInstanceManager", "none runs on k3s9")
        );
    }

    #[tokio::test]
    async fn a_usable_node_is_usable_in_every_respect() {
        let check = check("pre::longhorn_control_plane_node");
        let well = longhorn("k3s1").with(node("k3s1")).ask(check).await;
        assert_eq!(well.reason(), "", "{}", well.message());
        // Ready and Schedulable, and still no replica would be put there.
        let mut forbidden = longhorn_node("k3s1");
        forbidden["spec"]["allowScheduling"] = json!(false);
        let forbidden = Fixture::new()
            .with(node("k3s1"))
            .with(forbidden)
            .with(longhorn_image("k3s1", true))
            .with(longhorn_manager("k3s1", "running"))
            .ask(check)
            .await;
        assert_eq!(forbidden.reason(), "LonghornNodeUnusable");
        assert!(
            forbidden
                .message()
                .contains("k3s1: spec.allowScheduling is false")
        );
        let no_image = Fixture::new()
            .with(node("k3s1"))
            .with(longhorn_node("k3s1"))
            .with(longhorn_image("k3s1", false))
            .with(longhorn_manager("k3s1", "error"))
            .ask(check)
            .await;
        assert!(
            no_image
                .message()
                .contains("no instance manager runs there, no engine image is deployed there"),
            "{}",
            no_image.message()
        );
        let unknown = longhorn("k3s9").with(node("k3s1")).ask(check).await;
        assert_eq!(unknown.reason(), "LonghornNodeMissing");
    }

    use super::super::example::{
        engine_image as longhorn_image, instance_manager as longhorn_manager,
    };

    #[tokio::test]
    async fn disk_discovery_is_asked_only_where_there_is_one() {
        let check = check("pre::disk_discovery");
        assert_eq!(Fixture::new().ask(check).await.reason(), "NoDiskDiscovery");
        let ask = |ready: i32| {
            Fixture::new()
                .with(daemonset("longhorn-disk-discovery", 1, ready))
                .ask(check)
        };
        assert_eq!(ask(1).await.reason(), "");
        assert_eq!(ask(0).await.reason(), "DiskDiscoveryNotReady");
    }
}
