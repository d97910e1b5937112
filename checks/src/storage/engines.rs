//! What holds replicas on the node, and whether volumes have copies on two nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use reports::model::Severity;

use super::get;
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask,
    kinds::{
        LONGHORN_ENGINE_IMAGES, LONGHORN_INSTANCE_MANAGERS, LONGHORN_NODES, LONGHORN_REPLICAS,
        LONGHORN_SETTINGS, LONGHORN_VOLUMES,
    },
    resources::longhorn::{EngineImage, InstanceManager, Replica, Setting, Volume},
    view::{ReadError, Scope},
};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "storage::instance_manager",
        title: "An instance manager of Longhorn runs on {node}.",
        severity: Severity::Fail,
        requires: &["storage::node_known"],
        needs: &[Need::list(&LONGHORN_INSTANCE_MANAGERS)],
        awaits: true,
        after: Some("storage::reconcile"),
        criterion: Criterion::Of("2.3"),
        why: "Replicas and engines are processes inside the instance manager. Longhorn places none on a node without a running one.",
        reasons: &[
            Reason::new(
                "InstanceManagerMissing",
                "kubectl -n {longhorn} get instancemanagers.longhorn.io; kubectl -n {longhorn} logs -l app=longhorn-manager --prefix --tail=50 | grep {node}",
            ),
            Reason::new(
                "InstanceManagerNotRunning",
                "kubectl -n {longhorn} get pods -l longhorn.io/component=instance-manager,longhorn.io/node={node}; then kubectl describe pod for it",
            ),
        ],
        ask: ask!(instance_manager),
    },
    Check {
        id: "storage::engine_image",
        title: "Longhorn's engine is deployed on {node}.",
        severity: Severity::Fail,
        requires: &["storage::node_known"],
        needs: &[
            Need::list(&LONGHORN_ENGINE_IMAGES),
            Need::list(&LONGHORN_SETTINGS),
        ],
        awaits: true,
        after: Some("storage::reconcile"),
        criterion: Criterion::Of("2.3"),
        why: "Longhorn schedules a replica only where the engine image of its volume has been unpacked.",
        reasons: &[
            Reason::new(
                "NoEngineImage",
                "kubectl -n {longhorn} get engineimages.longhorn.io; Longhorn makes one at its installation",
            ),
            Reason::new(
                "EngineImageMissing",
                "kubectl -n {longhorn} get pods -l longhorn.io/component=engine-image --field-selector spec.nodeName={node}; then kubectl describe pod for it",
            ),
            Reason::new(
                "OldEngineImageMissing",
                "volumes that still use this image get no replica on {node}: upgrade their engine in Longhorn",
            ),
        ],
        ask: ask!(engine_image),
    },
    Check {
        id: "storage::replica_placement",
        title: "Every volume that wants two copies has them on two nodes.",
        severity: Severity::Warn,
        requires: &["storage::node_known"],
        needs: &[
            Need::list(&LONGHORN_NODES),
            Need::list(&LONGHORN_VOLUMES),
            Need::list(&LONGHORN_REPLICAS),
            Need::list(&LONGHORN_SETTINGS),
        ],
        awaits: false,
        after: Some("storage::reconcile"),
        criterion: Criterion::Of("2.4"),
        why: "Volumes made while there was one node have all their copies there. Only copies on two nodes survive the loss of one. What Longhorn moves by itself is left to it; the phase `health` looks again.",
        reasons: &[Reason::new(
            "CopiesOnOneNode",
            "Longhorn moves copies where auto-balance is on: kubectl -n {longhorn} patch settings.longhorn.io replica-auto-balance --type merge -p '{\"value\":\"best-effort\"}'; a detached volume is moved once it is attached",
        )],
        ask: ask!(replica_placement),
    },
];

async fn instance_manager(cx: &Context) -> Answer {
    let place = Scope::namespace(&cx.settings.longhorn.namespace);
    let all = cx
        .view
        .list::<InstanceManager>(&LONGHORN_INSTANCE_MANAGERS, place)
        .await?;
    // The v2 engine is a choice; replicas of v1 volumes are what every cluster has.
    let here: Vec<&InstanceManager> = all
        .iter()
        .filter(|one| one.spec.node_id == cx.node() && one.spec.data_engine != "v2")
        .collect();
    let lines: Vec<String> = here
        .iter()
        .map(|one| {
            format!(
                "{} {}: {}",
                one.spec.kind, one.metadata.name, one.status.current_state
            )
        })
        .collect();
    let verdict = match here.first() {
        None => Verdict::fail(
            "InstanceManagerMissing",
            format!("there is no instance manager on {} yet", cx.node()),
        ),
        Some(_) if here.iter().any(|one| one.is_running()) => {
            Verdict::pass(format!("an instance manager runs on {}", cx.node()))
        }
        Some(first) => Verdict::fail(
            "InstanceManagerNotRunning",
            format!(
                "{} on {} is {}, expected running",
                first.metadata.name,
                cx.node(),
                if first.status.current_state.is_empty() {
                    "not started"
                } else {
                    &first.status.current_state
                }
            ),
        ),
    };
    Ok(verdict.saw_all(lines))
}

async fn engine_image(cx: &Context) -> Answer {
    let longhorn = &cx.settings.longhorn.namespace;
    let images = cx
        .view
        .list::<EngineImage>(&LONGHORN_ENGINE_IMAGES, Scope::namespace(longhorn))
        .await?;
    let settings = settings(cx).await?;
    let default = settings
        .iter()
        .find(|one| one.metadata.name == "default-engine-image")
        .map(|one| one.value.clone());
    let deployed =
        |image: &EngineImage| image.status.node_deployment_map.get(cx.node()) == Some(&true);
    let lines: Vec<String> = images
        .iter()
        .map(|one| {
            let there = if deployed(one) {
                "deployed"
            } else {
                "not deployed"
            };
            format!(
                "{} ({}): {there} on {}",
                one.metadata.name,
                one.spec.image,
                cx.node()
            )
        })
        .collect();
    // Where the default is not known, every image counts.
    let (main, others): (Vec<&EngineImage>, Vec<&EngineImage>) = images.iter().partition(|one| {
        default
            .as_ref()
            .is_none_or(|image| *image == one.spec.image)
    });
    let verdict = if main.is_empty() {
        Verdict::fail(
            "NoEngineImage",
            format!("there is no engine image {}", default.unwrap_or_default()),
        )
    } else if let Some(image) = main.iter().find(|one| !deployed(one)) {
        Verdict::fail(
            "EngineImageMissing",
            format!(
                "engine image {} is not deployed on {} yet",
                image.spec.image,
                cx.node()
            ),
        )
    } else if let Some(image) = others.iter().find(|one| !deployed(one)) {
        Verdict::warn(
            "OldEngineImageMissing",
            format!(
                "engine image {} is not deployed on {}",
                image.spec.image,
                cx.node()
            ),
        )
    } else {
        Verdict::pass(format!(
            "{} engine images are deployed on {}",
            images.len(),
            cx.node()
        ))
    };
    Ok(verdict.saw_all(lines))
}

/// Longhorn's settings; none where the kind is not served.
async fn settings(cx: &Context) -> Result<Arc<Vec<Setting>>, ReadError> {
    let place = Scope::namespace(&cx.settings.longhorn.namespace);
    cx.view
        .list::<Setting>(&LONGHORN_SETTINGS, place)
        .await
        .or_else(|error| {
            if error.is_absent() {
                Ok(Arc::default())
            } else {
                Err(error)
            }
        })
}

async fn replica_placement(cx: &Context) -> Answer {
    get(cx).await?;
    let place = Scope::namespace(&cx.settings.longhorn.namespace);
    let volumes = cx
        .view
        .list::<Volume>(&LONGHORN_VOLUMES, place.clone())
        .await?;
    let replicas = cx.view.list::<Replica>(&LONGHORN_REPLICAS, place).await?;
    let mut healthy: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut coming: BTreeMap<&str, usize> = BTreeMap::new();
    for replica in replicas.iter() {
        let volume = replica.spec.volume_name.as_str();
        if replica.is_healthy() {
            healthy
                .entry(volume)
                .or_default()
                .insert(&replica.spec.node_id);
        } else if replica.spec.failed_at.is_empty() && replica.metadata.deletion_timestamp.is_none()
        {
            *coming.entry(volume).or_default() += 1;
        }
    }
    let wanting: Vec<&Volume> = volumes
        .iter()
        .filter(|volume| volume.spec.number_of_replicas >= 2)
        .collect();
    let single: Vec<&&Volume> = wanting
        .iter()
        .filter(|volume| {
            healthy
                .get(volume.metadata.name.as_str())
                .is_none_or(|nodes| nodes.len() < 2)
        })
        .collect();
    if single.is_empty() {
        return Ok(Verdict::pass(format!(
            "{} of {} volumes that want two copies have them on two nodes",
            wanting.len(),
            wanting.len()
        )));
    }
    // Longhorn moves copies of attached volumes by itself where it is told to, in its own time.
    let settings = settings(cx).await?;
    let balances = settings
        .iter()
        .find(|one| one.metadata.name == "replica-auto-balance")
        .is_some_and(|one| one.value.contains("-effort"));
    let (moving, stuck): (Vec<&&Volume>, Vec<&&Volume>) = single.into_iter().partition(|volume| {
        let wish = volume.spec.replica_auto_balance.as_str();
        let balanced = if matches!(wish, "" | "ignored") {
            balances
        } else {
            wish != "disabled"
        };
        coming.contains_key(volume.metadata.name.as_str())
            || (balanced && volume.status.state == "attached")
    });
    let line = |volume: &&&Volume| {
        let name = volume.metadata.name.as_str();
        let nodes: Vec<&str> = healthy.get(name).into_iter().flatten().copied().collect();
        let claim = &volume.status.kubernetes_status;
        format!(
            "{name} ({}/{}), {}: whole copies on {}{}",
            claim.namespace,
            claim.pvc_name,
            volume.status.state,
            if nodes.is_empty() {
                "no node".to_owned()
            } else {
                nodes.join(", ")
            },
            if coming.contains_key(name) {
                ", another is being made"
            } else {
                ""
            }
        )
    };
    let verdict = match stuck.first() {
        None => Verdict::pass(format!(
            "{} of {} volumes that want two copies have them on two nodes; Longhorn moves copies of the others",
            wanting.len() - moving.len(),
            wanting.len()
        )),
        Some(first) => Verdict::fail(
            "CopiesOnOneNode",
            format!(
                "{} of {} volumes have whole copies on one node only, the first is {}",
                stuck.len(),
                wanting.len(),
                first.metadata.name
            ),
        ),
    };
    Ok(verdict
        .saw_all(stuck.iter().map(line))
        .saw_all(moving.iter().map(line)))
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::super::tests::{longhorn_node, with_node};
    use crate::{Verdict, catalogue::find, testing::Fixture};

    async fn ask(name: &str, objects: Vec<Value>) -> Verdict {
        objects
            .into_iter()
            .fold(with_node(longhorn_node("k3s2")), Fixture::with)
            .ask(find(&format!("storage::{name}")).unwrap())
            .await
    }

    fn object(kind: &str, name: &str, rest: Value) -> Value {
        let mut object = json!({"apiVersion": "longhorn.io/v1beta2", "kind": kind,
            "metadata": {"name": name, "namespace": "longhorn-system"}});
        for (key, value) in rest.as_object().unwrap() {
            object[key] = value.clone();
        }
        object
    }

    fn manager(node: &str, engine: &str, state: &str) -> Value {
        object(
            "InstanceManager",
            &format!("im-{node}-{engine}"),
            json!({
            "spec": {"nodeID": node, "type": "aio", "dataEngine": engine}, "status": {"currentState": state}}),
        )
    }

    #[tokio::test]
    async fn a_running_instance_manager_of_this_node_counts() {
        let good = ask("instance_manager", vec![manager("k3s2", "v1", "running")]).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        let starting = ask("instance_manager", vec![manager("k3s2", "v1", "starting")]).await;
        assert_eq!(starting.reason(), "InstanceManagerNotRunning");
        assert!(
            starting.message().contains("on k3s2 is starting"),
            "{}",
            starting.message()
        );
        let elsewhere = vec![
            manager("k3s1", "v1", "running"),
            manager("k3s2", "v2", "running"),
        ];
        assert_eq!(
            ask("instance_manager", elsewhere).await.reason(),
            "InstanceManagerMissing"
        );
    }

    #[tokio::test]
    async fn the_default_engine_image_must_be_there_and_an_old_one_should() {
        let image = |name: &str, there: bool| {
            object(
                "EngineImage",
                name,
                json!({"spec": {"image": format!("engine:{name}")},
                "status": {"nodeDeploymentMap": {"k3s1": true, "k3s2": there}}}),
            )
        };
        let default = object(
            "Setting",
            "default-engine-image",
            json!({"value": "engine:new"}),
        );
        let good = ask("engine_image", vec![image("new", true), default.clone()]).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        let missing = ask("engine_image", vec![image("new", false), default.clone()]).await;
        assert_eq!(missing.reason(), "EngineImageMissing");
        assert!(
            missing
                .message()
                .contains("engine:new is not deployed on k3s2")
        );
        let old = ask(
            "engine_image",
            vec![image("new", true), image("old", false), default.clone()],
        )
        .await;
        assert_eq!(
            (old.outcome(), old.reason()),
            (Outcome::Warn, "OldEngineImageMissing")
        );
        let unknown = ask("engine_image", vec![image("old", true), default]).await;
        assert_eq!(unknown.reason(), "NoEngineImage");
    }

    #[tokio::test]
    async fn copies_count_by_node_and_only_whole_ones() {
        let volume = |count: i64| {
            object(
                "Volume",
                "pvc-1",
                json!({"spec": {"size": "1", "numberOfReplicas": count},
                "status": {"state": "attached", "robustness": "healthy"}}),
            )
        };
        let replica = |name: &str, node: &str, healthy: &str| {
            object(
                "Replica",
                name,
                json!({"spec": {"volumeName": "pvc-1", "nodeID": node, "healthyAt": healthy,
                "failedAt": ""}}),
            )
        };
        let since = "2026-01-01T00:00:00Z";
        let spread = vec![
            volume(2),
            replica("a", "k3s1", since),
            replica("b", "k3s2", since),
        ];
        let spread = ask("replica_placement", spread).await;
        assert_eq!(spread.outcome(), Outcome::Pass, "{}", spread.message());
        let together = vec![
            volume(2),
            replica("a", "k3s1", since),
            replica("b", "k3s1", since),
        ];
        let together = ask("replica_placement", together).await;
        assert_eq!(together.reason(), "CopiesOnOneNode");
        assert!(
            together.message().contains("pvc-1"),
            "{}",
            together.message()
        );
        let rebuilding = vec![
            volume(2),
            replica("a", "k3s1", since),
            replica("b", "k3s2", ""),
        ];
        let rebuilding = ask("replica_placement", rebuilding).await;
        assert!(
            rebuilding.evidence()[0].contains("another is being made"),
            "{:?}",
            rebuilding.evidence()
        );
        assert_eq!(rebuilding.outcome(), Outcome::Pass, "Longhorn is at it");
        let balanced = vec![
            volume(2),
            replica("a", "k3s1", since),
            replica("b", "k3s1", since),
            object(
                "Setting",
                "replica-auto-balance",
                json!({"value": "best-effort"}),
            ),
        ];
        let balanced = ask("replica_placement", balanced).await;
        assert_eq!(balanced.outcome(), Outcome::Pass, "{}", balanced.message());
        assert!(
            balanced.message().contains("0 of 1"),
            "{}",
            balanced.message()
        );
        let one = vec![volume(1), replica("a", "k3s1", since)];
        assert_eq!(
            ask("replica_placement", one).await.outcome(),
            Outcome::Pass,
            "one copy is wanted"
        );
    }
}
