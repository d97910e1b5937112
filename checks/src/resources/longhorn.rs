//! Longhorn objects of `longhorn.io/v1beta2`: node, volume, replica, engine, instance manager, engine image, setting,
//! backup target.
//!
//! Their conditions have times that may be empty strings, and their lists and maps may be `null`.
#![expect(
    missing_docs,
    reason = "fields are named as in the reference of Longhorn, which explains them"
)]

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    condition::{self, Condition, Seen},
    meta::{Meta, or_default},
};

/// The name under which Longhorn serves volumes to Kubernetes.
pub const DRIVER: &str = "driver.longhorn.io";

/// A node with its disks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    pub metadata: Meta,
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

/// What is wanted of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeSpec {
    pub name: String,
    pub allow_scheduling: bool,
    pub eviction_requested: bool,
    #[serde(deserialize_with = "or_default")]
    pub tags: Vec<String>,
    /// By the name that Longhorn or git gave the disk.
    #[serde(deserialize_with = "or_default")]
    pub disks: BTreeMap<String, DiskSpec>,
}

/// What is wanted of a disk.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DiskSpec {
    pub disk_type: String,
    pub path: String,
    pub allow_scheduling: bool,
    pub eviction_requested: bool,
    /// Bytes that Longhorn leaves alone.
    pub storage_reserved: i64,
    #[serde(deserialize_with = "or_default")]
    pub tags: Vec<String>,
}

/// What Longhorn says of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeStatus {
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    /// By the same names as in the spec.
    #[serde(deserialize_with = "or_default")]
    pub disk_status: BTreeMap<String, DiskStatus>,
}

/// What Longhorn says of a disk. Sizes are in bytes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DiskStatus {
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    #[serde(rename = "diskUUID")]
    pub disk_uuid: String,
    pub disk_path: String,
    pub filesystem_type: String,
    pub storage_available: i64,
    pub storage_maximum: i64,
    pub storage_scheduled: i64,
    /// Sizes of the replicas on it, by name.
    #[serde(deserialize_with = "or_default")]
    pub scheduled_replica: BTreeMap<String, i64>,
}

/// A disk by its name, as wanted and as it is.
#[derive(Clone, Copy, Debug)]
pub struct Disk<'a> {
    pub name: &'a str,
    pub spec: &'a DiskSpec,
    /// `None` until Longhorn has looked at it.
    pub status: Option<&'a DiskStatus>,
}

impl Node {
    /// A condition of the node, by type.
    pub fn condition<'a>(&'a self, kind: &'a str) -> Seen<'a> {
        condition::of(&self.status.conditions, kind)
    }

    /// Its disks, as wanted and as they are.
    pub fn disks(&self) -> impl Iterator<Item = Disk<'_>> {
        self.spec.disks.iter().map(|(name, spec)| Disk {
            name,
            spec,
            status: self.status.disk_status.get(name),
        })
    }

    /// Why Longhorn would put no replica here, as far as its Node object says; empty when it would. Whether an
    /// instance manager runs and the engine image is there is said by other objects.
    pub fn obstacles(&self) -> Vec<String> {
        let mut found = Vec::new();
        // The condition Schedulable only reflects cordon, so the wish in the spec counts as well.
        for kind in ["Ready", "Schedulable"] {
            let seen = self.condition(kind);
            if !seen.is_true() {
                found.push(seen.to_string());
            }
        }
        if !self.spec.allow_scheduling {
            found.push("spec.allowScheduling is false".into());
        }
        if self.spec.eviction_requested {
            found.push("spec.evictionRequested is true".into());
        }
        let disks: Vec<Disk<'_>> = self.disks().collect();
        if disks.is_empty() {
            found.push("it has no disks".into());
        } else if !disks.iter().any(|disk| disk.obstacles().is_empty()) {
            for disk in disks {
                found.push(format!(
                    "disk {}: {}",
                    disk.name,
                    disk.obstacles().join(", ")
                ));
            }
        }
        found
    }
}

impl<'a> Disk<'a> {
    /// A condition of the disk, by type; absent until Longhorn has looked at it.
    pub fn condition(&self, kind: &'a str) -> Seen<'a> {
        condition::of(
            self.status.map_or(&[][..], |status| &status.conditions),
            kind,
        )
    }

    /// Why no replica would be put on it; empty when one would, room aside.
    pub fn obstacles(&self) -> Vec<String> {
        let mut found = Vec::new();
        if !self.spec.allow_scheduling {
            found.push("allowScheduling is false".into());
        }
        if self.spec.eviction_requested {
            found.push("evictionRequested is true".into());
        }
        for kind in ["Ready", "Schedulable"] {
            let seen = self.condition(kind);
            if !seen.is_true() {
                found.push(seen.to_string());
            }
        }
        found
    }

    /// Bytes that may still be promised to replicas: maximum less reserve less what is promised, times the
    /// over-provisioning setting (in percent).
    pub fn room(&self, over_provisioning: i64) -> i64 {
        let Some(status) = self.status else { return 0 };
        let usable = status
            .storage_maximum
            .saturating_sub(self.spec.storage_reserved);
        let promised = (i128::from(usable) * i128::from(over_provisioning) / 100)
            .clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        i64::try_from(promised)
            .unwrap_or(i64::MAX)
            .saturating_sub(status.storage_scheduled)
            .max(0)
    }
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Volume {
    pub metadata: Meta,
    pub spec: VolumeSpec,
    pub status: VolumeStatus,
}

/// What is wanted of a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeSpec {
    /// Bytes, as a string: see [`Volume::bytes`].
    pub size: String,
    pub number_of_replicas: i64,
    pub data_engine: String,
    pub replica_soft_anti_affinity: String,
    pub replica_auto_balance: String,
    #[serde(rename = "nodeID")]
    pub node_id: String,
}

/// What Longhorn says of a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeStatus {
    /// `creating attached detached attaching detaching deleting`.
    pub state: String,
    /// `healthy degraded faulted unknown`, in lower case; `unknown` is normal when detached.
    pub robustness: String,
    #[serde(rename = "currentNodeID")]
    pub current_node_id: String,
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    pub kubernetes_status: KubernetesStatus,
}

/// The claim that a volume serves.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KubernetesStatus {
    pub namespace: String,
    pub pv_name: String,
    pub pvc_name: String,
}

impl Volume {
    /// Its size in bytes; nothing when the object does not say it.
    pub fn bytes(&self) -> Option<i64> {
        self.spec.size.parse().ok()
    }
}

/// A copy of a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Replica {
    pub metadata: Meta,
    pub spec: ReplicaSpec,
    pub status: InstanceStatus,
}

/// Where a copy lies and how it has fared.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicaSpec {
    pub volume_name: String,
    #[serde(rename = "nodeID")]
    pub node_id: String,
    #[serde(rename = "diskID")]
    pub disk_id: String,
    pub healthy_at: String,
    pub failed_at: String,
    pub engine_name: String,
}

impl Replica {
    /// Whether it is a whole copy that may be used: Longhorn's own rule.
    pub fn is_healthy(&self) -> bool {
        !self.spec.healthy_at.is_empty()
            && self.spec.failed_at.is_empty()
            && self.metadata.deletion_timestamp.is_none()
    }
}

/// The state of a process of Longhorn.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InstanceStatus {
    /// `running` when it runs.
    pub current_state: String,
}

/// What serves a volume on the node where it is attached.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Engine {
    pub metadata: Meta,
    pub spec: EngineSpec,
    pub status: EngineStatus,
}

/// Where an engine runs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EngineSpec {
    pub volume_name: String,
    #[serde(rename = "nodeID")]
    pub node_id: String,
}

/// What an engine says of its replicas.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EngineStatus {
    pub current_state: String,
    /// `RW`, `WO` while rebuilding, `ERR`, by replica.
    #[serde(deserialize_with = "or_default")]
    pub replica_mode_map: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub rebuild_status: BTreeMap<String, Rebuild>,
}

/// How far the rebuilding of a replica has got.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rebuild {
    pub is_rebuilding: bool,
    /// Percent.
    pub progress: i64,
    pub error: String,
    pub state: String,
}

/// What runs engines and replicas on a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct InstanceManager {
    pub metadata: Meta,
    pub spec: InstanceManagerSpec,
    pub status: InstanceStatus,
}

/// Where an instance manager runs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InstanceManagerSpec {
    #[serde(rename = "nodeID")]
    pub node_id: String,
    /// `aio` since 1.5; `engine` and `replica` before.
    #[serde(rename = "type")]
    pub kind: String,
    /// `v1` or `v2`.
    pub data_engine: String,
}

impl InstanceManager {
    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.status.current_state == "running"
    }
}

/// A version of the engine, and the nodes that have it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EngineImage {
    pub metadata: Meta,
    pub spec: EngineImageSpec,
    pub status: EngineImageStatus,
}

/// The image.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EngineImageSpec {
    pub image: String,
}

/// Where the image is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EngineImageStatus {
    /// `deployed` when every node has it.
    pub state: String,
    #[serde(deserialize_with = "or_default")]
    pub node_deployment_map: BTreeMap<String, bool>,
}

/// A setting: its value stands at the top of the object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Setting {
    pub metadata: Meta,
    pub value: String,
}

impl Setting {
    /// The value for the v1 data engine: plain `2`, or since Longhorn 1.10 `{"v1":"2","v2":"3"}`. Both are legal; a
    /// plain one holds for all engines.
    pub fn for_v1(&self) -> String {
        serde_json::from_str::<BTreeMap<String, String>>(&self.value)
            .ok()
            .and_then(|by_engine| by_engine.get("v1").cloned())
            .unwrap_or_else(|| self.value.trim().to_owned())
    }
}

/// Where backups go.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct BackupTarget {
    pub metadata: Meta,
    pub spec: BackupTargetSpec,
    pub status: BackupTargetStatus,
}

/// The place.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct BackupTargetSpec {
    #[serde(rename = "backupTargetURL")]
    pub url: String,
}

/// Whether it can be reached.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct BackupTargetStatus {
    pub available: bool,
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(spec: Value, status: Value) -> Node {
        serde_json::from_value(
            json!({"metadata": {"name": "k3s1"}, "spec": spec, "status": status}),
        )
        .unwrap()
    }

    fn yes(kinds: &[&str]) -> Value {
        kinds
            .iter()
            .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": ""}))
            .collect()
    }

    #[test]
    fn a_usable_node_has_no_obstacles_and_every_wish_counts() {
        let spec = json!({"name": "k3s1", "allowScheduling": true, "disks": {"d": {"allowScheduling": true, "path": "/d"}}});
        let status = json!({
            "conditions": yes(&["Ready", "Schedulable"]),
            "diskStatus": {"d": {"conditions": yes(&["Ready", "Schedulable"])}},
        });
        assert_eq!(
            node(spec.clone(), status.clone()).obstacles(),
            Vec::<String>::new()
        );
        // The condition Schedulable stays True when the spec forbids scheduling.
        let mut forbidden = spec.clone();
        forbidden["allowScheduling"] = json!(false);
        assert_eq!(
            node(forbidden, status).obstacles(),
            ["spec.allowScheduling is false"]
        );
        let unseen = node(
            spec,
            json!({"conditions": yes(&["Ready", "Schedulable"]), "diskStatus": null}),
        );
        assert_eq!(
            unseen.obstacles(),
            ["disk d: no condition Ready, no condition Schedulable"]
        );
    }

    #[test]
    fn room_is_what_is_left_after_reserve_and_promises() {
        let spec = DiskSpec {
            storage_reserved: 100,
            ..DiskSpec::default()
        };
        let status = DiskStatus {
            storage_maximum: 1000,
            storage_scheduled: 300,
            ..DiskStatus::default()
        };
        let disk = Disk {
            name: "d",
            spec: &spec,
            status: Some(&status),
        };
        assert_eq!(disk.room(100), 600);
        assert_eq!(disk.room(200), 1500);
        assert_eq!(disk.room(10), 0);
    }

    #[test]
    fn a_setting_has_two_legal_forms() {
        for (value, expected) in [("2", "2"), (r#"{"v1":"2","v2":"3"}"#, "2")] {
            let setting = Setting {
                value: value.into(),
                ..Setting::default()
            };
            assert_eq!(setting.for_v1(), expected);
        }
    }

    #[test]
    fn a_replica_is_healthy_by_longhorns_own_rule() {
        let replica = |healthy: &str, failed: &str, deleted: Option<&str>| {
            serde_json::from_value::<Replica>(json!({
                "metadata": {"name": "r", "deletionTimestamp": deleted},
                "spec": {"healthyAt": healthy, "failedAt": failed},
            }))
            .unwrap()
            .is_healthy()
        };
        assert!(replica("2026-01-01T00:00:00Z", "", None));
        assert!(!replica("", "", None));
        assert!(!replica(
            "2026-01-01T00:00:00Z",
            "2026-01-02T00:00:00Z",
            None
        ));
        assert!(!replica(
            "2026-01-01T00:00:00Z",
            "",
            Some("2026-01-02T00:00:00Z")
        ));
    }
}
