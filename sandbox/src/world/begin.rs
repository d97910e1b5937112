//! How a cluster begins: the actors make it, in an instant and in the past.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{Speed, Stage};

use super::{
    cast::{Cast, Pace},
    controllers::Controllers,
    flux::Flux,
    git::{self, GitTrouble, Places},
    k3s::K3s,
    kinds::{GIT_REPOSITORIES, KUSTOMIZATIONS, LEASES, NODE_METRICS, NODES},
    longhorn::Longhorn,
    make::{self, in_the_past},
    memory::Memory,
    scene::{Actor, Change, Faults},
    seed,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Every object of a cluster at this stage. Makes the git repository on the way; `store` is Flux's copy of it.
pub(crate) fn objects(
    cast: &Cast,
    places: &Places,
    store: &Path,
    stage: Stage,
) -> Result<Vec<Value>, GitTrouble> {
    git::create(places, cast)?;
    let memory = Memory::new();
    let faults = Faults::default();
    let pace = Pace::of(Speed::Test);
    let live = |held: bool, before: Duration| {
        let mut actors: Vec<Box<dyn Actor>> = vec![
            Box::new(K3s::new(store.to_owned(), held)),
            Box::new(Controllers),
            Box::new(Flux::new(cast, store.to_owned())),
            Box::new(Longhorn),
        ];
        in_the_past(before, || memory.settle(&mut actors, cast, pace, &faults))
    };
    in_the_past(30 * DAY, || {
        seed::objects(cast)
            .into_iter()
            .for_each(|object| memory.add(object))
    });
    let mut settled = live(true, 30 * DAY);
    if stage != Stage::New {
        git::activate(places, cast)?;
        settled &= live(stage == Stage::Joining, DAY);
    }
    if stage == Stage::Onboarded {
        // What an onboarding does: labels that an agent cannot give itself, and a reconciliation once the node is in.
        let labels = json!({"metadata": {"labels": {"node.longhorn.io/create-default-disk": "config", "storage": "longhorn"}}});
        change(&memory, &NODES, "", &cast.node, labels);
        let ask =
            json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "onboarding"}}});
        change(
            &memory,
            &GIT_REPOSITORIES,
            "flux-system",
            "flux-system",
            ask.clone(),
        );
        change(
            &memory,
            &KUSTOMIZATIONS,
            "flux-system",
            "infrastructure-storage",
            ask,
        );
        settled &= live(false, DAY);
    }
    tracing::debug!(settled, "the cluster begins");
    for numbers in memory.mirror().list(&NODE_METRICS) {
        change(
            &memory,
            &NODE_METRICS,
            "",
            make::name(&numbers),
            json!({"timestamp": make::now()}),
        );
    }
    for lease in memory.mirror().list(&LEASES) {
        let renewed = json!({"spec": {"renewTime": make::micro_ago(Duration::ZERO)}});
        change(
            &memory,
            &LEASES,
            make::namespace(&lease),
            make::name(&lease),
            renewed,
        );
    }
    Ok(memory.into_objects())
}

fn change(
    memory: &Memory,
    res: &'static super::kinds::Res,
    namespace: &str,
    name: &str,
    patch: Value,
) {
    memory.apply(Change::Patch {
        res,
        namespace: namespace.into(),
        name: name.into(),
        status: false,
        patch,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{
        kinds::{self, DAEMON_SETS, DEPLOYMENTS, LH_NODES, LH_VOLUMES, PODS, Res, SECRETS},
        make::{condition, items, name, namespace, text},
        pods,
    };

    fn begin(stage: Stage) -> (Vec<Value>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::of(dir.path());
        let cast = Cast {
            node: "k3s2".into(),
            control_plane: "k3s1".into(),
            node_ip: [127, 1, 2, 2].into(),
            control_plane_ip: [127, 1, 2, 1].into(),
            cluster_uid: make::uid(),
            remote: places.remote.to_string_lossy().into_owned(),
            outside: None,
        };
        let objects = objects(&cast, &places, &dir.path().join("store.git"), stage).unwrap();
        (objects, dir)
    }

    fn of<'a>(objects: &'a [Value], res: &Res) -> Vec<&'a Value> {
        objects
            .iter()
            .filter(|object| kinds::of(object) == Some(res))
            .collect()
    }

    fn well(objects: &[Value], nodes: i64) {
        for deployment in of(objects, &DEPLOYMENTS) {
            assert!(
                deployment["status"]["readyReplicas"].as_i64() > Some(0),
                "{}",
                deployment["status"]
            );
        }
        for set in of(objects, &DAEMON_SETS) {
            assert_eq!(
                set["status"]["numberReady"],
                nodes,
                "{} {}",
                name(set),
                set["status"]
            );
        }
        for pod in of(objects, &PODS) {
            assert!(pods::is_ready(pod), "{} {}", name(pod), pod["status"]);
        }
        for kustomization in of(objects, &KUSTOMIZATIONS) {
            assert_eq!(
                condition(kustomization, "Ready"),
                "True",
                "{}",
                kustomization["status"]
            );
        }
        let volumes = of(objects, &LH_VOLUMES);
        assert_eq!(volumes.len(), 3);
        for volume in volumes {
            assert_eq!(
                volume["status"]["robustness"], "healthy",
                "{}",
                volume["status"]
            );
        }
        for object in objects {
            assert!(!text(&object["metadata"]["uid"]).is_empty());
        }
    }

    #[test]
    fn a_new_cluster_has_one_node_and_is_well() {
        let (objects, _dir) = begin(Stage::New);
        assert_eq!(of(&objects, &NODES).len(), 1);
        well(&objects, 1);
    }

    #[test]
    fn a_joining_cluster_waits_for_its_node() {
        let (objects, _dir) = begin(Stage::Joining);
        assert_eq!(of(&objects, &NODES).len(), 1);
        let storage = of(&objects, &KUSTOMIZATIONS)
            .into_iter()
            .find(|it| name(it) == "infrastructure-storage")
            .unwrap();
        assert_ne!(
            storage["status"]["lastAttemptedRevision"],
            storage["status"]["lastAppliedRevision"]
        );
        assert_eq!(condition(storage, "Ready"), "Unknown");
    }

    #[test]
    fn an_onboarded_cluster_has_two_nodes_and_spreads_its_volumes() {
        let (objects, _dir) = begin(Stage::Onboarded);
        well(&objects, 2);
        // The k3s server keeps a password for each, which goes with its Node.
        for node in of(&objects, &NODES) {
            let password = format!("{}.node-password.k3s", name(node));
            let secret = of(&objects, &SECRETS)
                .into_iter()
                .find(|secret| name(secret) == password)
                .unwrap_or_else(|| panic!("no {password}"));
            let owner = &secret["metadata"]["ownerReferences"][0];
            assert_eq!(owner["uid"], node["metadata"]["uid"], "{password}");
        }
        let disks = of(&objects, &LH_NODES);
        assert_eq!(disks.len(), 2);
        for node in disks {
            assert_eq!(namespace(node), "longhorn-system");
            let disk = &node["status"]["diskStatus"]["ssd1"];
            let schedulable = items(&disk["conditions"])
                .iter()
                .find(|it| it["type"] == "Schedulable")
                .unwrap();
            assert_eq!(schedulable["status"], "True", "{disk}");
        }
        for volume in of(&objects, &LH_VOLUMES) {
            let mut nodes: Vec<&str> = of(&objects, &kinds::LH_REPLICAS)
                .into_iter()
                .filter(|replica| replica["spec"]["volumeName"] == name(volume))
                .map(|replica| text(&replica["spec"]["nodeID"]))
                .collect();
            nodes.sort_unstable();
            assert_eq!(nodes, ["k3s1", "k3s2"]);
        }
    }
}
