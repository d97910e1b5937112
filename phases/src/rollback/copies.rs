//! Which copies of a volume would be left without a node, and whether another node can take the one that lies on it.
//!
//! The rules are Longhorn's own, read from its objects: a copy counts when it was healthy and has not failed
//! (`healthyAt`, `failedAt`), its node stays and is ready, and an instance manager runs there; where the volume is
//! attached its engine must say `RW` as well. A node takes a copy when it may be scheduled on, has the engine image,
//! room, and no copy of the same volume, unless soft anti-affinity allows two.

use std::collections::BTreeMap;

use checks::resources::{
    longhorn::{InstanceManager, Replica, Volume},
    node,
};
use k8s_openapi::api::core::v1::Node;

use super::seen::Storage;

/// Longhorn's own default for how much of a disk may be promised, in percent.
const OVER_PROVISIONING: i64 = 100;

/// What becomes of a replica that lies on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Longhorn copies it to another node.
    Moves {
        /// Where there is room for it.
        to: String,
    },
    /// No other node can take it, and a healthy copy stays: its Replica object is deleted.
    Removed {
        /// The node with the healthy copy.
        copy: String,
    },
    /// It was never written or has failed, so nothing is lost with it.
    Unused,
    /// It is the last healthy copy, and no other node can take it.
    Last,
}

/// What is known about copies, with room counted down as replicas are given places.
pub(crate) struct Copies<'a> {
    storage: &'a Storage,
    nodes: &'a [Node],
    /// The node that goes.
    leaving: &'a str,
    /// Whether Longhorn can copy from it.
    evacuates: bool,
    room: BTreeMap<String, i64>,
}

impl<'a> Copies<'a> {
    pub(crate) fn new(
        storage: &'a Storage,
        nodes: &'a [Node],
        leaving: &'a str,
        evacuates: bool,
    ) -> Self {
        let mut copies = Self {
            storage,
            nodes,
            leaving,
            evacuates,
            room: BTreeMap::new(),
        };
        copies.room = storage
            .nodes
            .iter()
            .filter(|one| one.metadata.name != leaving && copies.may_take(&one.metadata.name))
            .map(|one| {
                let percent = storage
                    .settings
                    .get("storage-over-provisioning-percentage")
                    .and_then(|value| value.parse().ok())
                    .unwrap_or(OVER_PROVISIONING);
                let most = one
                    .disks()
                    .filter(|disk| disk.obstacles().is_empty())
                    .map(|disk| disk.room(percent))
                    .max();
                (one.metadata.name.clone(), most.unwrap_or(0))
            })
            .collect();
        copies
    }

    /// Whether new replicas may be placed on a node, room aside.
    fn may_take(&self, name: &str) -> bool {
        let usable = self
            .storage
            .node(name)
            .is_some_and(|one| one.obstacles().is_empty());
        let image = self
            .storage
            .images
            .iter()
            .any(|one| one.status.node_deployment_map.get(name) == Some(&true));
        usable && image && self.is_steady(name)
    }

    /// Whether a copy on this node counts: the node is ready, takes pods and runs an instance manager.
    fn is_steady(&self, name: &str) -> bool {
        let there = node::named(self.nodes, name).is_some_and(|one| {
            let cordoned = one.spec.as_ref().and_then(|spec| spec.unschedulable);
            node::is_ready(one)
                && cordoned != Some(true)
                && one.metadata.deletion_timestamp.is_none()
        });
        let serves = |one: &InstanceManager| one.spec.node_id == name && one.is_running();
        there && self.storage.managers.iter().any(serves)
    }

    /// The nodes that stay and hold a healthy copy of a volume.
    pub(crate) fn safe(&self, volume: &str) -> Vec<&'a str> {
        let modes = self
            .storage
            .engines
            .iter()
            .find(|one| one.spec.volume_name == volume && one.status.current_state == "running")
            .map(|one| &one.status.replica_mode_map);
        self.storage
            .replicas
            .iter()
            .filter(|one| one.spec.volume_name == volume && one.is_healthy())
            .filter(|one| one.spec.node_id != self.leaving && self.is_steady(&one.spec.node_id))
            .filter(|one| {
                modes.is_none_or(|modes| {
                    modes.get(&one.metadata.name).map(String::as_str) == Some("RW")
                })
            })
            .map(|one| one.spec.node_id.as_str())
            .collect()
    }

    /// Whether a copy of the volume is being built on a node that stays.
    fn is_rebuilding(&self, volume: &str) -> bool {
        self.storage.replicas.iter().any(|one| {
            one.spec.volume_name == volume
                && one.spec.node_id != self.leaving
                && !one.spec.node_id.is_empty()
                && one.spec.healthy_at.is_empty()
                && one.spec.failed_at.is_empty()
                && one.metadata.deletion_timestamp.is_none()
        })
    }

    /// What becomes of a replica on the node that goes.
    pub(crate) fn fate(&mut self, replica: &Replica) -> Fate {
        let volume = replica.spec.volume_name.as_str();
        let safe = self.safe(volume);
        if replica.spec.healthy_at.is_empty() || replica.metadata.deletion_timestamp.is_some() {
            return Fate::Unused;
        }
        if !replica.is_healthy() {
            // What has failed may still be all that a volume can be salvaged from.
            return if safe.is_empty() {
                Fate::Last
            } else {
                Fate::Unused
            };
        }
        if self.evacuates {
            if let Some(to) = self.place(volume) {
                return Fate::Moves { to };
            }
            if self.is_rebuilding(volume) {
                return Fate::Moves {
                    to: "the node where it is being built".into(),
                };
            }
        }
        match safe.first() {
            Some(copy) => Fate::Removed {
                copy: (*copy).to_owned(),
            },
            None => Fate::Last,
        }
    }

    /// A node that can take another copy of the volume; the room is then taken.
    fn place(&mut self, volume: &str) -> Option<String> {
        let known = self.storage.volume(volume)?;
        let size = known.bytes().unwrap_or(0);
        let soft = self.is_soft(known);
        let holds = |name: &str| {
            self.storage.replicas.iter().any(|one| {
                one.spec.volume_name == volume
                    && one.spec.node_id == name
                    && one.spec.failed_at.is_empty()
            })
        };
        let place = self
            .room
            .iter()
            .find(|(name, room)| **room >= size && (soft || !holds(name)))
            .map(|(name, _)| name.clone())?;
        if let Some(room) = self.room.get_mut(&place) {
            *room -= size;
        }
        Some(place)
    }

    /// Whether two copies of the volume may lie on one node.
    fn is_soft(&self, volume: &Volume) -> bool {
        match volume.spec.replica_soft_anti_affinity.as_str() {
            "enabled" => true,
            "disabled" => false,
            _ => {
                self.storage
                    .settings
                    .get("replica-soft-anti-affinity")
                    .map(String::as_str)
                    == Some("true")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn yes(kinds: &[&str]) -> Value {
        kinds
            .iter()
            .map(|kind| json!({"type": kind, "status": "True"}))
            .collect()
    }

    fn list<T: serde::de::DeserializeOwned>(all: Value) -> Arc<Vec<T>> {
        Arc::new(serde_json::from_value(all).unwrap())
    }

    /// Two nodes that may both be scheduled on, and one attached volume of 10 bytes.
    fn storage(soft: bool, replicas: Value) -> Storage {
        let node = |name: &str| {
            json!({
                "metadata": {"name": name},
                "spec": {"name": name, "allowScheduling": true, "disks": {"d": {"allowScheduling": true}}},
                "status": {
                    "conditions": yes(&["Ready", "Schedulable"]),
                    "diskStatus": {"d": {"conditions": yes(&["Ready", "Schedulable"]), "storageMaximum": 100}},
                },
            })
        };
        let manager =
            |name: &str| json!({"spec": {"nodeID": name}, "status": {"currentState": "running"}});
        Storage {
            nodes: list(json!([node("k3s1"), node("k3s2")])),
            volumes: list(json!([{"metadata": {"name": "v"}, "spec": {"size": "10"}}])),
            replicas: list(replicas),
            engines: list(json!([])),
            managers: list(json!([manager("k3s1"), manager("k3s2")])),
            images: list(json!([{"status": {"nodeDeploymentMap": {"k3s1": true, "k3s2": true}}}])),
            settings: BTreeMap::from([("replica-soft-anti-affinity".to_owned(), soft.to_string())]),
        }
    }

    fn replica(name: &str, node: &str, healthy: &str, failed: &str) -> Value {
        json!({"metadata": {"name": name}, "spec": {"volumeName": "v", "nodeID": node, "healthyAt": healthy, "failedAt": failed}})
    }

    fn nodes() -> Vec<Node> {
        serde_json::from_value(json!([
            {"metadata": {"name": "k3s1"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            {"metadata": {"name": "k3s2"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}},
        ]))
        .unwrap()
    }

    fn fate(storage: &Storage, nodes: &[Node], evacuates: bool) -> Fate {
        let mut copies = Copies::new(storage, nodes, "k3s2", evacuates);
        let on = storage.on("k3s2").next().unwrap().clone();
        copies.fate(&on)
    }

    #[test]
    fn two_nodes_two_copies_and_hard_anti_affinity_leave_no_place_to_go() {
        let both = json!([replica("a", "k3s1", "t", ""), replica("b", "k3s2", "t", "")]);
        let copy = || "k3s1".to_owned();
        assert_eq!(
            fate(&storage(false, both.clone()), &nodes(), true),
            Fate::Removed { copy: copy() }
        );
        assert_eq!(
            fate(&storage(true, both.clone()), &nodes(), true),
            Fate::Moves { to: copy() }
        );
        // A node that is not ready cannot be evacuated: only copies elsewhere count.
        assert_eq!(
            fate(&storage(true, both), &nodes(), false),
            Fate::Removed { copy: copy() }
        );
    }

    #[test]
    fn the_last_copy_moves_where_it_can_and_stops_everything_where_it_cannot() {
        let alone = json!([replica("b", "k3s2", "t", "")]);
        assert_eq!(
            fate(&storage(false, alone.clone()), &nodes(), true),
            Fate::Moves { to: "k3s1".into() }
        );
        assert_eq!(
            fate(&storage(false, alone.clone()), &nodes(), false),
            Fate::Last
        );
        let failed = json!([
            replica("a", "k3s1", "t", "t"),
            replica("b", "k3s2", "t", "")
        ]);
        assert_eq!(fate(&storage(false, failed), &nodes(), false), Fate::Last);
        // A copy on a node that is not ready is none.
        let both = json!([replica("a", "k3s1", "t", ""), replica("b", "k3s2", "t", "")]);
        let mut lost = nodes();
        lost.remove(0);
        assert_eq!(fate(&storage(false, both), &lost, false), Fate::Last);
        let unused = json!([replica("b", "k3s2", "", "")]);
        assert_eq!(fate(&storage(false, unused), &nodes(), true), Fate::Unused);
    }

    #[test]
    fn an_engine_that_does_not_write_to_a_copy_makes_it_none() {
        let both = json!([replica("a", "k3s1", "t", ""), replica("b", "k3s2", "t", "")]);
        let mut seen = storage(false, both);
        let engine = |mode: &str| {
            list(json!([{
                "spec": {"volumeName": "v"},
                "status": {"currentState": "running", "replicaModeMap": {"a": mode, "b": "RW"}},
            }]))
        };
        seen.engines = engine("ERR");
        assert_eq!(fate(&seen, &nodes(), false), Fate::Last);
        seen.engines = engine("RW");
        assert_eq!(
            fate(&seen, &nodes(), false),
            Fate::Removed {
                copy: "k3s1".into()
            }
        );
    }

    #[test]
    fn a_full_disk_takes_nothing() {
        let alone = json!([replica("b", "k3s2", "t", "")]);
        let mut seen = storage(true, alone);
        let mut big: Vec<Volume> = (*seen.volumes).clone();
        big[0].spec.size = "101".into();
        seen.volumes = Arc::new(big);
        assert_eq!(fate(&seen, &nodes(), true), Fate::Last);
    }
}
