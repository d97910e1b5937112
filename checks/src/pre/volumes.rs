//! `pre`, what Longhorn keeps: are the volumes well, is there room, and will new ones have two copies?

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::{core::v1::PersistentVolumeClaim, storage::v1::StorageClass};
use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    resources::{
        full_name,
        longhorn::{BackupTarget, DRIVER, Node, Replica, Setting, Volume},
        node,
        quantity::bytes,
    },
    view::{ReadError, Scope},
};

/// The annotation of the class that claims get when they name none.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// Longhorn's own default for how much of a disk may be promised, in percent.
const OVER_PROVISIONING: i64 = 100;
/// Longhorn's own default for how much of a disk must stay free, in percent.
const MINIMAL_AVAILABLE: i64 = 25;
/// How `pre::longhorn_volumes` begins the line of evidence that says what a volume was like: `volume NAME: STATE
/// ROBUSTNESS`.
pub const VOLUME_WAS: &str = "volume ";
/// Copies that an onboarding is done for.
const COPIES: i64 = 2;

/// The checks of this file, in order.
pub const CHECKS: &[Check] = &[
    Check {
        id: "pre::longhorn_volumes",
        title: "Every volume of Longhorn is healthy.",
        severity: Severity::Fail,
        requires: &["pre::longhorn_installed"],
        needs: &[Need::list(&kinds::LONGHORN_VOLUMES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("1.3"),
        why: "A faulted volume has lost all its copies; adding a node moves data, and must not begin on a broken base.",
        reasons: &[
            Reason::new(
                "VolumeFaulted",
                "salvage it or restore a backup first: kubectl -n {longhorn} describe volumes.longhorn.io NAME",
            ),
            Reason::new(
                "VolumeDegraded",
                "see what it lacks; with two copies wanted on one node this is what the new node mends: \
                 kubectl -n {longhorn} get volumes.longhorn.io",
            ),
            Reason::new(
                "RobustnessUnknown",
                "Longhorn cannot see the copies of a volume that is in use: kubectl -n {longhorn} describe engines.longhorn.io of the named volume",
            ),
        ],
        ask: ask!(longhorn_volumes),
    },
    Check {
        id: "pre::longhorn_claims",
        title: "Every claim on Longhorn is bound.",
        severity: Severity::Warn,
        requires: &["pre::longhorn_installed"],
        needs: &[
            Need::list(&kinds::CLAIMS),
            Need::list(&kinds::STORAGE_CLASSES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("1.3"),
        why: "A claim that is not bound is a workload that waits for storage already.",
        reasons: &[Reason::new(
            "ClaimNotBound",
            "see its events: kubectl -n NAMESPACE describe pvc NAME",
        )],
        ask: ask!(longhorn_claims),
    },
    Check {
        id: "pre::longhorn_capacity",
        title: "Longhorn's disks have room, and what a second copy of everything needs is known.",
        severity: Severity::Warn,
        requires: &["pre::longhorn_installed"],
        needs: &[
            Need::list(&kinds::LONGHORN_NODES),
            Need::list(&kinds::LONGHORN_VOLUMES),
            Need::list(&kinds::LONGHORN_REPLICAS),
            Need::list(&kinds::LONGHORN_SETTINGS),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("2.4"),
        why: "A disk that is nearly full takes no replica; the new node's disks must hold a copy of every volume.",
        reasons: &[
            Reason::new(
                "DiskNearlyFull",
                "free room on the named disk, or take it out of scheduling: kubectl -n {longhorn} edit nodes.longhorn.io NODE",
            ),
            Reason::new(
                "TooSmallForCopies",
                "give {node} larger disks, or fewer volumes two copies",
            ),
            Reason::new(
                "DisksUnknown",
                "see which disks Longhorn has and what it says of them: kubectl -n {longhorn} get nodes.longhorn.io -o yaml",
            ),
        ],
        ask: ask!(longhorn_capacity),
    },
    Check {
        id: "pre::storage_class",
        title: "The StorageClass for workloads is Longhorn's, and at most one class is the default.",
        severity: Severity::Fail,
        requires: &["pre::longhorn_installed"],
        needs: &[Need::list(&kinds::STORAGE_CLASSES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "Workloads ask for storage by class; with two defaults it is chance which one they get.",
        reasons: &[
            Reason::new(
                "StorageClassMissing",
                "name the right one in longhorn.storage_class: kubectl get storageclasses",
            ),
            Reason::new(
                "OtherProvisioner",
                "name a class of driver.longhorn.io in longhorn.storage_class: kubectl get storageclasses",
            ),
            Reason::new(
                "TwoDefaults",
                "keep one: kubectl annotate storageclass local-path storageclass.kubernetes.io/is-default-class=false --overwrite",
            ),
        ],
        ask: ask!(storage_class),
    },
    Check {
        id: "pre::replica_count",
        title: "New volumes will have two copies, and not more than there will be nodes.",
        severity: Severity::Warn,
        requires: &["pre::longhorn_installed"],
        needs: &[
            Need::list(&kinds::NODES),
            Need::list(&kinds::LONGHORN_SETTINGS),
            Need::list(&kinds::STORAGE_CLASSES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("2.4"),
        why: "With one copy the second node adds no safety; with more copies than nodes every volume stays degraded.",
        reasons: &[
            Reason::new(
                "TooFewReplicas",
                "raise persistence.defaultClassReplicaCount and defaultSettings.defaultReplicaCount in Longhorn's HelmRelease, in git",
            ),
            Reason::new(
                "TooManyReplicas",
                "lower persistence.defaultClassReplicaCount and defaultSettings.defaultReplicaCount in Longhorn's HelmRelease, in git",
            ),
            Reason::new(
                "ReplicaCountUnknown",
                "look at both: kubectl -n {longhorn} get settings.longhorn.io default-replica-count; kubectl get storageclass -o yaml",
            ),
        ],
        ask: ask!(replica_count),
    },
    Check {
        id: "pre::backup_target",
        title: "Longhorn has a backup target that it can reach.",
        severity: Severity::Warn,
        requires: &["pre::longhorn_installed"],
        needs: &[
            Need::list(&kinds::LONGHORN_BACKUP_TARGETS),
            Need::list(&kinds::LONGHORN_SETTINGS),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "Copies on two nodes do not help against a deletion; a backup elsewhere does.",
        reasons: &[
            Reason::new(
                "NoBackupTarget",
                "set defaultBackupStore.backupTarget in Longhorn's HelmRelease (defaultSettings.backupTarget before 1.8), in git",
            ),
            Reason::new(
                "BackupTargetUnavailable",
                "see why: kubectl -n {longhorn} describe backuptargets.longhorn.io default",
            ),
        ],
        ask: ask!(backup_target),
    },
];

fn place(cx: &Context) -> Scope {
    Scope::namespace(&cx.settings.longhorn.namespace)
}

async fn volumes(cx: &Context) -> Result<Arc<Vec<Volume>>, ReadError> {
    cx.view
        .list::<Volume>(&kinds::LONGHORN_VOLUMES, place(cx))
        .await
}

async fn setting(cx: &Context, name: &str) -> Result<Option<Setting>, ReadError> {
    let settings = match cx
        .view
        .list::<Setting>(&kinds::LONGHORN_SETTINGS, place(cx))
        .await
    {
        Err(ReadError::NotServed { .. }) => return Ok(None),
        answer => answer?,
    };
    Ok(settings
        .iter()
        .find(|one| one.metadata.name == name)
        .cloned())
}

fn described(volume: &Volume) -> String {
    let claim = &volume.status.kubernetes_status;
    if claim.pvc_name.is_empty() {
        volume.metadata.name.clone()
    } else {
        format!(
            "{} ({}/{})",
            volume.metadata.name, claim.namespace, claim.pvc_name
        )
    }
}

pub(crate) async fn longhorn_volumes(cx: &Context) -> Answer {
    let volumes = volumes(cx).await?;
    let with = |robustness: &str| -> Vec<String> {
        volumes
            .iter()
            .filter(|one| one.status.robustness == robustness)
            .map(described)
            .collect()
    };
    let (faulted, degraded) = (with("faulted"), with("degraded"));
    // An attached volume has an engine that looks at its copies: whoever says anything else does not know.
    let unknown: Vec<String> = volumes
        .iter()
        .filter(|one| {
            one.status.state == "attached"
                && !matches!(
                    one.status.robustness.as_str(),
                    "healthy" | "degraded" | "faulted"
                )
        })
        .map(|one| format!("{}: {:?}", described(one), one.status.robustness))
        .collect();
    // A detached volume has nobody who looks at its copies: unknown is normal there.
    let detached = volumes
        .iter()
        .filter(|one| one.status.state == "detached")
        .count();
    let total = volumes.len();
    // A rollback holds the volumes against these lines.
    let each: Vec<String> = volumes
        .iter()
        .map(|one| {
            format!(
                "{VOLUME_WAS}{}: {} {}",
                one.metadata.name, one.status.state, one.status.robustness
            )
        })
        .collect();
    let verdict = if !faulted.is_empty() {
        Verdict::fail(
            "VolumeFaulted",
            format!(
                "{} of {total} faulted: {}",
                faulted.len(),
                faulted.join(", ")
            ),
        )
        .saw_all(degraded.iter().map(|name| format!("degraded: {name}")))
    } else if !degraded.is_empty() {
        Verdict::warn(
            "VolumeDegraded",
            format!(
                "{} of {total} degraded: {}",
                degraded.len(),
                degraded.join(", ")
            ),
        )
    } else if !unknown.is_empty() {
        Verdict::warn(
            "RobustnessUnknown",
            format!(
                "{} of {total} are attached and say neither healthy nor degraded: {}",
                unknown.len(),
                unknown.join(", ")
            ),
        )
    } else {
        Verdict::pass(format!(
            "none of {total} is faulted or degraded, {detached} detached"
        ))
    };
    Ok(verdict.saw_all(each))
}

async fn classes(cx: &Context) -> Result<Arc<Vec<StorageClass>>, ReadError> {
    cx.view
        .list::<StorageClass>(&kinds::STORAGE_CLASSES, Scope::all())
        .await
}

fn class_name(class: &StorageClass) -> &str {
    class.metadata.name.as_deref().unwrap_or_default()
}

pub(crate) async fn longhorn_claims(cx: &Context) -> Answer {
    let classes = classes(cx).await?;
    let claims = cx
        .view
        .list::<PersistentVolumeClaim>(&kinds::CLAIMS, Scope::all())
        .await?;
    let mut count = 0;
    let mut unbound = Vec::new();
    let mut waiting = Vec::new();
    for claim in claims.iter() {
        let wanted = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.storage_class_name.as_deref());
        let Some(class) = classes
            .iter()
            .find(|one| Some(class_name(one)) == wanted && one.provisioner == DRIVER)
        else {
            continue;
        };
        count += 1;
        let phase = claim
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref())
            .unwrap_or("Unknown");
        let name = full_name(&claim.metadata);
        // Such a claim is bound when its first pod is placed; until then Pending is right.
        let patient = class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
        match phase {
            "Bound" => {}
            "Pending" if patient => waiting.push(format!("{name} waits for its first pod")),
            phase => unbound.push(format!("{name}: {phase}")),
        }
    }
    Ok(if unbound.is_empty() {
        Verdict::pass(format!("{} of {count} bound", count - waiting.len()))
    } else {
        Verdict::fail("ClaimNotBound", unbound.join("; "))
    }
    .saw_all(waiting))
}

async fn percentage(cx: &Context, name: &str, default: i64) -> Result<i64, ReadError> {
    Ok(setting(cx, name)
        .await?
        .and_then(|setting| setting.for_v1().parse().ok())
        .unwrap_or(default))
}

async fn longhorn_capacity(cx: &Context) -> Answer {
    let over = percentage(
        cx,
        "storage-over-provisioning-percentage",
        OVER_PROVISIONING,
    )
    .await?;
    let minimal = percentage(
        cx,
        "storage-minimal-available-percentage",
        MINIMAL_AVAILABLE,
    )
    .await?;
    let nodes = cx
        .view
        .list::<Node>(&kinds::LONGHORN_NODES, place(cx))
        .await?;
    let volumes = volumes(cx).await?;
    let replicas = cx
        .view
        .list::<Replica>(&kinds::LONGHORN_REPLICAS, place(cx))
        .await?;
    let needed = second_copies(cx.node(), &volumes, &replicas);
    let mut seen = Vec::new();
    let mut full = Vec::new();
    let mut free = None;
    for one in nodes.iter() {
        let mut room = 0_i64;
        for disk in one.disks() {
            let Some(status) = disk.status else { continue };
            let disk_room = disk.room(over);
            room = room.saturating_add(disk_room);
            let name = format!("{} disk {}", one.metadata.name, disk.name);
            seen.push(format!(
                "{name}: {} of {} available, {} may still be promised",
                bytes(status.storage_available),
                bytes(status.storage_maximum),
                bytes(disk_room)
            ));
            if status.storage_available.saturating_mul(100)
                < status.storage_maximum.saturating_mul(minimal)
            {
                full.push(format!(
                    "{name} has {} of {} available, Longhorn wants {minimal} % free",
                    bytes(status.storage_available),
                    bytes(status.storage_maximum)
                ));
            }
        }
        if one.metadata.name == cx.node() {
            free = Some(room);
        }
    }
    let need = format!(
        "a second copy of everything needs {} on {}",
        bytes(needed),
        cx.node()
    );
    Ok(match free {
        _ if seen.is_empty() => Verdict::fail(
            "DisksUnknown",
            format!("Longhorn says of no disk how large it is; {need}"),
        ),
        _ if !full.is_empty() => Verdict::fail("DiskNearlyFull", full.join("; ")).saw(need),
        Some(free) if free < needed => Verdict::fail(
            "TooSmallForCopies",
            format!("{need}, which has {} free", bytes(free)),
        ),
        Some(free) => Verdict::pass(format!("{need}, which has {} free", bytes(free))),
        None => Verdict::pass(need),
    }
    .saw_all(seen))
}

/// Bytes of the volumes that have a healthy copy elsewhere, none on this node, and fewer than two in all.
fn second_copies(node: &str, volumes: &[Volume], replicas: &[Replica]) -> i64 {
    volumes
        .iter()
        .filter(|volume| {
            let places: BTreeSet<&str> = replicas
                .iter()
                .filter(|one| one.spec.volume_name == volume.metadata.name && one.is_healthy())
                .map(|one| one.spec.node_id.as_str())
                .collect();
            places.len() < 2 && !places.contains(node)
        })
        .filter_map(Volume::bytes)
        .fold(0, i64::saturating_add)
}

pub(crate) async fn storage_class(cx: &Context) -> Answer {
    let classes = classes(cx).await?;
    let wanted = cx.settings.longhorn.storage_class.as_str();
    let names: Vec<&str> = classes.iter().map(class_name).collect();
    let Some(class) = classes.iter().find(|one| class_name(one) == wanted) else {
        return Ok(Verdict::fail(
            "StorageClassMissing",
            format!(
                "StorageClass {wanted} does not exist, there are: {}",
                names.join(", ")
            ),
        ));
    };
    if class.provisioner != DRIVER {
        return Ok(Verdict::fail(
            "OtherProvisioner",
            format!(
                "StorageClass {wanted} is of {}, expected {DRIVER}",
                class.provisioner
            ),
        ));
    }
    let defaults: Vec<&str> = classes
        .iter()
        .filter(|one| {
            one.metadata
                .annotations
                .as_ref()
                .and_then(|all| all.get(DEFAULT_CLASS))
                .is_some_and(|value| value == "true")
        })
        .map(class_name)
        .collect();
    Ok(match defaults.as_slice() {
        [] => Verdict::pass(format!(
            "StorageClass {wanted} is there; none is the default"
        )),
        [one] => Verdict::pass(format!(
            "StorageClass {wanted} is there; the default is {one}"
        )),
        several => Verdict::warn(
            "TwoDefaults",
            format!("{} are all the default", several.join(", ")),
        ),
    })
}

async fn replica_count(cx: &Context) -> Answer {
    let mut nodes: BTreeSet<String> = node::all(cx)
        .await?
        .iter()
        .map(|one| node::name(one).to_owned())
        .collect();
    nodes.insert(cx.node().to_owned());
    let wanted = cx.settings.longhorn.storage_class.as_str();
    let of_class = classes(cx)
        .await?
        .iter()
        .find(|one| class_name(one) == wanted)
        .and_then(|one| one.parameters.as_ref()?.get("numberOfReplicas").cloned());
    let of_setting = setting(cx, "default-replica-count")
        .await?
        .map(|setting| setting.for_v1());
    // Volumes of claims follow their class, those made in Longhorn's own interface follow the setting.
    let sources = [
        (format!("StorageClass {wanted}"), of_class),
        ("setting default-replica-count".to_owned(), of_setting),
    ];
    let most = i64::try_from(nodes.len()).unwrap_or(i64::MAX);
    let mut few = Vec::new();
    let mut many = Vec::new();
    let mut seen = Vec::new();
    let mut unknown = Vec::new();
    for (source, value) in sources {
        let Some(value) = value else {
            unknown.push(format!("{source} does not say"));
            continue;
        };
        match value.parse::<i64>() {
            Ok(count) if count < COPIES => few.push(format!("{source}: {count}")),
            Ok(count) if count > most => many.push(format!("{source}: {count}")),
            Ok(count) => seen.push(format!("{source}: {count}")),
            Err(_) => unknown.push(format!("{source} says {value:?}")),
        }
    }
    Ok(if !few.is_empty() {
        Verdict::fail(
            "TooFewReplicas",
            format!("{}, expected {COPIES}", few.join("; ")),
        )
    } else if !many.is_empty() {
        Verdict::fail(
            "TooManyReplicas",
            format!("{}, and there will be {most} nodes", many.join("; ")),
        )
    } else if seen.is_empty() {
        Verdict::fail("ReplicaCountUnknown", unknown.join("; "))
    } else {
        Verdict::pass(seen.join("; "))
    }
    .saw_all(unknown))
}

async fn backup_target(cx: &Context) -> Answer {
    let none = || Verdict::fail("NoBackupTarget", "no backup target is configured");
    let targets = cx
        .view
        .list::<BackupTarget>(&kinds::LONGHORN_BACKUP_TARGETS, place(cx))
        .await;
    let targets = match targets {
        // Longhorn before 1.8 has a setting instead.
        Err(ReadError::NotServed { .. }) => {
            let url = setting(cx, "backup-target").await?.map(|one| one.value);
            return Ok(match url.as_deref().map(str::trim) {
                None | Some("") => none(),
                Some(url) => Verdict::pass(format!("backups go to {}", without_user(url))),
            });
        }
        targets => targets?,
    };
    let mut used = targets.iter().filter(|one| !one.spec.url.is_empty());
    let Some(first) = used.clone().next() else {
        return Ok(none());
    };
    let broken = used.find(|one| !one.status.available);
    Ok(match broken {
        Some(target) => Verdict::fail(
            "BackupTargetUnavailable",
            format!(
                "backup target {} at {} is not available",
                target.metadata.name,
                without_user(&target.spec.url)
            ),
        ),
        None => Verdict::pass(format!("backups go to {}", without_user(&first.spec.url))),
    })
}

/// A URL without the user and password that it may carry.
fn without_user(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            // `s3://bucket@region/` has no user: the part before the at sign is the bucket.
            let place = if scheme == "s3" {
                place
            } else {
                place.rsplit('@').next().unwrap_or(place)
            };
            let path = path.split('?').next().unwrap_or(path);
            format!("{scheme}://{place}{path}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::example::{longhorn, longhorn_node, node, volume},
        *,
    };
    use crate::testing::{Fixture, check};

    fn class(name: &str, provisioner: &str, default: bool, replicas: &str) -> Value {
        json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": name, "annotations": {DEFAULT_CLASS: default.to_string()}},
            "provisioner": provisioner, "parameters": {"numberOfReplicas": replicas},
            "volumeBindingMode": "Immediate",
        })
    }

    fn setting_object(name: &str, value: &str) -> Value {
        json!({
            "apiVersion": "longhorn.io/v1beta2", "kind": "Setting",
            "metadata": {"name": name, "namespace": "longhorn-system"}, "value": value,
        })
    }

    #[tokio::test]
    async fn faulted_fails_degraded_warns_and_detached_is_normal() {
        let check = check("pre::longhorn_volumes");
        let well = Fixture::new()
            .with(volume("a", 1, 2, "attached", "healthy"))
            .with(volume("b", 1, 2, "detached", "unknown"))
            .ask(check)
            .await;
        assert_eq!(
            well.message(),
            "none of 2 is faulted or degraded, 1 detached"
        );
        let degraded = Fixture::new()
            .with(volume("a", 1, 2, "attached", "degraded"))
            .ask(check)
            .await;
        assert_eq!(
            (degraded.outcome().name(), degraded.message()),
            ("warn", "1 of 1 degraded: a")
        );
        let faulted = Fixture::new()
            .with(volume("a", 1, 2, "detached", "faulted"))
            .ask(check)
            .await;
        assert_eq!(faulted.reason(), "VolumeFaulted");
        let strange = Fixture::new()
            .with(volume("a", 1, 2, "attached", "unknown"))
            .ask(check)
            .await;
        assert_eq!(
            (strange.outcome().name(), strange.reason()),
            ("warn", "RobustnessUnknown")
        );
        // Without the kind there is nothing to have looked at.
        let none = Fixture::new().ask(check).await;
        assert_eq!(none.reason(), "NotServed");
    }

    #[tokio::test]
    async fn claims_of_other_classes_are_not_ours() {
        let check = check("pre::longhorn_claims");
        let claim = |name: &str, class: &str, phase: &str| {
            json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": "apps"},
                "spec": {"storageClassName": class}, "status": {"phase": phase},
            })
        };
        let fixture = Fixture::new()
            .with(class("longhorn", DRIVER, true, "2"))
            .with(class("local-path", "rancher.io/local-path", false, "1"))
            .with(claim("other", "local-path", "Pending"))
            .with(claim("data", "longhorn", "Bound"));
        assert_eq!(fixture.clone().ask(check).await.message(), "1 of 1 bound");
        let lost = fixture
            .with(claim("old", "longhorn", "Lost"))
            .ask(check)
            .await;
        assert_eq!(
            (lost.reason(), lost.message()),
            ("ClaimNotBound", "apps/old: Lost")
        );
    }

    #[tokio::test]
    async fn what_the_second_copies_need_is_summed_up() {
        let check = check("pre::longhorn_capacity");
        let replica = |volume: &str, node: &str| {
            json!({
                "apiVersion": "longhorn.io/v1beta2", "kind": "Replica",
                "metadata": {"name": format!("{volume}-{node}"), "namespace": "longhorn-system"},
                "spec": {"volumeName": volume, "nodeID": node, "healthyAt": "2026-01-01T00:00:00Z"},
            })
        };
        let fixture = longhorn("k3s1")
            .with(volume("a", 10, 2, "attached", "degraded"))
            .with(volume("b", 5, 1, "attached", "healthy"))
            .with(replica("a", "k3s1"))
            .with(replica("b", "k3s1"));
        let before = fixture.clone().ask(check).await;
        assert_eq!(
            before.message(),
            "a second copy of everything needs 15.0 GiB on k3s2"
        );
        let joined = fixture
            .clone()
            .with(longhorn_node("k3s2"))
            .with(replica("a", "k3s2"))
            .ask(check)
            .await;
        assert!(
            joined.message().starts_with(
                "a second copy of everything needs 5.0 GiB on k3s2, which has 80.0 GiB free"
            ),
            "{}",
            joined.message()
        );
        let small = fixture
            .with(longhorn_node("k3s2"))
            .with(volume("c", 500, 2, "attached", "degraded"))
            .with(replica("c", "k3s1"))
            .ask(check)
            .await;
        assert_eq!(small.reason(), "TooSmallForCopies");
        let mut unseen = longhorn_node("k3s1");
        unseen["status"]["diskStatus"] = json!({});
        let unseen = Fixture::new()
            .with(unseen)
            .with(volume("a", 1, 2, "attached", "healthy"))
            .with(replica("a", "k3s1"))
            .ask(check)
            .await;
        assert_eq!(unseen.reason(), "DisksUnknown");
        let mut full = longhorn_node("k3s1");
        full["status"]["diskStatus"]["d"]["storageAvailable"] = json!(1);
        let full = Fixture::new()
            .with(full)
            .with(volume("a", 1, 2, "attached", "healthy"))
            .with(replica("a", "k3s1"))
            .with(setting_object("storage-minimal-available-percentage", "10"))
            .ask(check)
            .await;
        assert_eq!(full.reason(), "DiskNearlyFull");
        assert!(full.message().contains("k3s1 disk d"), "{}", full.message());
    }

    #[tokio::test]
    async fn the_class_must_be_longhorns_and_the_default_one_only() {
        let check = check("pre::storage_class");
        let ours = class("longhorn", DRIVER, true, "2");
        assert_eq!(
            Fixture::new().with(ours.clone()).ask(check).await.reason(),
            ""
        );
        let local = class("local-path", "rancher.io/local-path", true, "1");
        let two = Fixture::new()
            .with(ours)
            .with(local.clone())
            .ask(check)
            .await;
        assert_eq!(
            (two.outcome().name(), two.reason()),
            ("warn", "TwoDefaults")
        );
        let none = Fixture::new().with(local).ask(check).await;
        assert_eq!(none.reason(), "StorageClassMissing");
        assert!(none.message().contains("local-path"));
        let other = Fixture::new()
            .with(class("longhorn", "nfs", false, "2"))
            .ask(check)
            .await;
        assert_eq!(other.reason(), "OtherProvisioner");
    }

    #[tokio::test]
    async fn the_number_of_copies_is_read_in_both_forms() {
        let check = check("pre::replica_count");
        let with = |class_count: &str, setting: &str| {
            Fixture::new()
                .with(node("k3s1"))
                .with(class("longhorn", DRIVER, true, class_count))
                .with(setting_object("default-replica-count", setting))
                .ask(check)
        };
        assert_eq!(with("2", "2").await.reason(), "");
        assert_eq!(with("2", r#"{"v1":"2","v2":"3"}"#).await.reason(), "");
        assert_eq!(with("1", "2").await.reason(), "TooFewReplicas");
        // One node now, one to come: three copies would never all be placed.
        let many = with("3", "2").await;
        assert_eq!(many.reason(), "TooManyReplicas");
        assert!(many.message().contains("StorageClass longhorn: 3"));
        let silent = longhorn("k3s1")
            .with(setting_object("x", "y"))
            .ask(check)
            .await;
        assert_eq!(silent.reason(), "ReplicaCountUnknown");
    }

    #[tokio::test]
    async fn a_backup_target_is_found_in_both_generations() {
        let check = check("pre::backup_target");
        let target = |url: &str, available: bool| {
            json!({
                "apiVersion": "longhorn.io/v1beta2", "kind": "BackupTarget",
                "metadata": {"name": "default", "namespace": "longhorn-system"},
                "spec": {"backupTargetURL": url}, "status": {"available": available},
            })
        };
        let ask = |object: Value| Fixture::new().with(object).ask(check);
        assert_eq!(
            ask(target("s3://b@eu/", true)).await.message(),
            "backups go to s3://b@eu/"
        );
        assert_eq!(ask(target("", false)).await.reason(), "NoBackupTarget");
        assert_eq!(
            ask(target("nfs://x:/y", false)).await.reason(),
            "BackupTargetUnavailable"
        );
    }

    #[test]
    fn passwords_in_urls_are_not_shown() {
        assert_eq!(
            without_user("cifs://me:secret@host/share?cifsOptions=x"),
            "cifs://host/share"
        );
        assert_eq!(without_user("s3://bucket@region/"), "s3://bucket@region/");
    }
}
