//! The disks of a Longhorn Node: room, what is scheduled on them, and whether more may be.

use serde_json::{Map, Value, json};

use crate::world::{
    kinds::LH_REPLICAS,
    make::{conditions, entries, items, name, stable_hex, text},
    scene::Scene,
};

const GIB: u64 = 1 << 30;
/// The size of every disk here.
const MAXIMUM: u64 = 200 * GIB;

/// The UUID of a disk, for the life of the cluster.
pub(crate) fn uuid(scene: &Scene<'_>, node: &str, disk: &str) -> String {
    let hex = stable_hex(
        &format!("disk/{}/{node}/{disk}", scene.cast.cluster_uid),
        32,
    );
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// `status.diskStatus` of a node.
pub(crate) fn status(scene: &Scene<'_>, node: &Value) -> Value {
    let mut result = Map::new();
    for (disk, spec) in entries(&node["spec"]["disks"]) {
        let key = format!("disk/{}/{disk}", name(node));
        // The disk monitor has not come by yet.
        if node["status"]["diskStatus"][disk].is_null()
            && !scene.timers.waited(&key, scene.pace.storage_step)
        {
            continue;
        }
        result.insert(disk.clone(), one(scene, node, disk, spec));
    }
    // A disk that is no longer in the spec goes from the status too.
    for (disk, _) in entries(&node["status"]["diskStatus"]) {
        if node["spec"]["disks"][disk].is_null() {
            result.insert(disk.clone(), Value::Null);
        }
    }
    Value::Object(result)
}

fn one(scene: &Scene<'_>, node: &Value, disk: &str, spec: &Value) -> Value {
    let new = name(node) == scene.cast.node;
    let id = uuid(scene, name(node), disk);
    let here: Vec<_> = scene
        .list(&LH_REPLICAS)
        .into_iter()
        .filter(|replica| {
            replica["spec"]["nodeID"] == name(node) && replica["spec"]["diskID"] == id.as_str()
        })
        .collect();
    let size = |replica: &Value| {
        text(&replica["spec"]["volumeSize"])
            .parse::<u64>()
            .unwrap_or(0)
    };
    let scheduled: u64 = here.iter().map(|replica| size(replica)).sum();
    let reserved = spec["storageReserved"].as_u64().unwrap_or(0);
    let mut held: Map<String, Value> = here
        .iter()
        .map(|it| (name(it).to_owned(), size(it).into()))
        .collect();
    let before = &node["status"]["diskStatus"][disk];
    for (replica, _) in entries(&before["scheduledReplica"]) {
        if !held.contains_key(replica) {
            held.insert(replica.clone(), Value::Null);
        }
    }
    // Volumes are thin: about a third of what is promised is written.
    let mut available = (MAXIMUM - 6 * GIB).saturating_sub(scheduled / 3);
    let mut scheduled_told = scheduled;
    if (new && scene.fault("longhorn-disk-full"))
        || (!new && scene.fault("longhorn-control-plane-disk-full"))
    {
        available = 9 * GIB;
    }
    if new && scene.fault("longhorn-disk-not-schedulable") {
        scheduled_told = MAXIMUM - reserved + 4 * GIB;
    }
    let ready = !(new && scene.fault("longhorn-disk-not-ready"));
    let path = text(&spec["path"]);
    let (schedulable, reason, message) = if !ready {
        (
            "False",
            "DiskNotReady",
            format!(
                "Disk {disk} ({path}) on the node {} is not ready",
                name(node)
            ),
        )
    } else if available <= MAXIMUM / 4 || scheduled_told > MAXIMUM - reserved {
        let message = format!(
            "Disk {disk} ({path}) on the node {} is not schedulable for more replica; available: {available}, \
             minimal available: 25%, scheduled: {scheduled_told}, maximum: {MAXIMUM}, reserved: {reserved}, \
             over-provisioning: 100%",
            name(node)
        );
        ("False", "DiskPressure", message)
    } else {
        (
            "True",
            "",
            format!("Disk {disk}({path}) on node {} is schedulable", name(node)),
        )
    };
    let told = [
        if ready {
            json!({
                "type": "Ready", "status": "True", "reason": "", "lastProbeTime": "",
                "message": format!("Disk {disk}({path}) on node {} is ready", name(node)),
            })
        } else {
            json!({
                "type": "Ready", "status": "False", "reason": "NoDiskInfo", "lastProbeTime": "",
                "message": format!("Disk {disk}({path}) on node {} is not ready: failed to get disk config: \
                                    open {path}/longhorn-disk.cfg: input/output error", name(node)),
            })
        },
        json!({"type": "Schedulable", "status": schedulable, "reason": reason, "message": message, "lastProbeTime": ""}),
    ];
    let mut before_conditions = items(&before["conditions"]).to_vec();
    before_conditions.retain(|it| it["type"] == "Ready" || it["type"] == "Schedulable");
    json!({
        "conditions": conditions(&before_conditions.into(), &told),
        "storageMaximum": MAXIMUM, "storageAvailable": available, "storageScheduled": scheduled_told,
        "scheduledReplica": held, "scheduledBackingImage": {}, "diskUUID": id, "diskName": disk, "diskPath": path,
        "diskType": "filesystem", "filesystemType": "ext2/ext3", "diskDriver": "", "instanceManagerName": "",
    })
}
