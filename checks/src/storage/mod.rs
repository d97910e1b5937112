//! `storage`: does Longhorn use the new node?
//!
//! - [`service`]: what must run there, and whether Longhorn knows the node. Asked before Flux is told to apply the
//!   node's disks again.
//! - [`disks`]: the disks, as git declares them and as Longhorn sees them.
//! - [`engines`]: what holds replicas, and where the replicas are.
//! - [`applied`]: whether Flux has applied the node's configuration, once and in the right place.

mod applied;
mod difference;
mod disks;
mod engines;
mod service;

use crate::{
    Check, Context,
    kinds::LONGHORN_NODES,
    resources::longhorn,
    view::{ReadError, Scope},
};

/// What runs on the node.
pub const SERVICE: &[Check] = service::CHECKS;
/// Its disks.
pub const DISKS: &[Check] = disks::CHECKS;
/// What holds replicas.
pub const ENGINES: &[Check] = engines::CHECKS;
/// What Flux applied.
pub const APPLIED: &[Check] = applied::CHECKS;

/// Longhorn's Node of the new node, if it has one.
///
/// # Errors
/// As any list; `NotServed` where Longhorn is not installed.
async fn find(cx: &Context) -> Result<Option<longhorn::Node>, ReadError> {
    let place = Scope::namespace(&cx.settings.longhorn.namespace);
    let list = cx
        .view
        .list::<longhorn::Node>(&LONGHORN_NODES, place)
        .await?;
    Ok(list
        .iter()
        .find(|one| one.metadata.name == cx.node())
        .cloned())
}

/// As [`find`], where its absence was asked for by another check.
///
/// # Errors
/// Also when there is none.
async fn get(cx: &Context) -> Result<longhorn::Node, ReadError> {
    find(cx).await?.ok_or_else(|| ReadError::Absent {
        what: format!(
            "nodes.longhorn.io {} in namespace {}",
            cx.node(),
            cx.settings.longhorn.namespace
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::Fixture;

    pub(super) const GIB: i64 = 1 << 30;

    pub(super) fn yes(kind: &str) -> Value {
        json!({"type": kind, "status": "True", "reason": "", "message": "", "lastTransitionTime": ""})
    }

    pub(super) fn no(kind: &str, reason: &str, message: &str) -> Value {
        json!({"type": kind, "status": "False", "reason": reason, "message": message, "lastTransitionTime": ""})
    }

    /// A node that Longhorn uses, with one disk of 100 GiB.
    pub(super) fn longhorn_node(name: &str) -> Value {
        json!({
            "apiVersion": "longhorn.io/v1beta2", "kind": "Node",
            "metadata": {"name": name, "namespace": "longhorn-system"},
            "spec": {"name": name, "allowScheduling": true, "evictionRequested": false, "tags": [], "disks": {
                "ssd1": {"diskType": "filesystem", "path": "/var/lib/longhorn", "allowScheduling": true,
                    "evictionRequested": false, "storageReserved": 10 * GIB, "tags": []}}},
            "status": {
                "conditions": [yes("Ready"), yes("Schedulable"), yes("MountPropagation"), yes("Multipathd"),
                    yes("RequiredPackages"), yes("NFSClientInstalled"), yes("KernelModulesLoaded")],
                "diskStatus": {"ssd1": {"conditions": [yes("Ready"), yes("Schedulable")], "diskUUID": "u",
                    "diskPath": "/var/lib/longhorn", "filesystemType": "ext2/ext3", "storageMaximum": 100 * GIB,
                    "storageAvailable": 80 * GIB, "storageScheduled": 20 * GIB, "scheduledReplica": {}}},
            },
        })
    }

    pub(super) fn with_node(node: Value) -> Fixture {
        Fixture::new().with(node)
    }
}
