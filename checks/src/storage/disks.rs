//! The disks of the node: as git declares them, and as Longhorn sees them.

use reports::model::Severity;
use serde_json::Value;

use super::{difference, get};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask,
    git::EntryState,
    gitops::declared,
    kinds::{LONGHORN_NODES, LONGHORN_SETTINGS},
    resources::{
        longhorn::{Disk, Setting},
        quantity::bytes,
    },
    view::{ReadError, Scope},
};

const READY: &[&str] = &["storage::node_known"];

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "storage::node_schedulable",
        title: "Longhorn may put replicas on {node}.",
        severity: Severity::Fail,
        requires: READY,
        needs: &[Need::list(&LONGHORN_NODES)],
        awaits: true,
        after: Some("storage::reconcile"),
        criterion: Criterion::Of("2.4"),
        why: "Longhorn's condition Schedulable only says that the node is not cordoned. Whether replicas are wanted there stands in the object's spec; both must agree.",
        reasons: &[
            Reason::new("Cordoned", "kubectl uncordon {node}"),
            Reason::new(
                "SchedulableUnknown",
                "Longhorn's manager has not looked at the node yet: kubectl -n {longhorn} logs -l app=longhorn-manager --tail=50 --prefix | grep {node}",
            ),
            Reason::new(
                "SchedulingOff",
                "set spec.allowScheduling: true in the node's manifest in git; until then: kubectl -n {longhorn} patch nodes.longhorn.io {node} --type merge -p '{\"spec\":{\"allowScheduling\":true}}'",
            ),
            Reason::new(
                "EvictionRequested",
                "a removal was begun: kubectl -n {longhorn} patch nodes.longhorn.io {node} --type merge -p '{\"spec\":{\"evictionRequested\":false}}'",
            ),
        ],
        ask: ask!(node_schedulable),
    },
    Check {
        id: "storage::disks_as_in_git",
        title: "{node} has the disks that git declares, with the same parameters.",
        severity: Severity::Fail,
        requires: READY,
        needs: &[Need::Repository, Need::list(&LONGHORN_NODES)],
        awaits: true,
        after: Some("storage::reconcile"),
        criterion: Criterion::Of("3.3"),
        why: "Git is where the disks are decided. A disk that differs was changed by hand or was not applied.",
        reasons: &[
            Reason::new(
                "NotDeclared",
                "make the entry of {node} active in the kustomization file of the storage, commit and push it",
            ),
            Reason::new(
                "DisksMissing",
                "flux reconcile kustomization {kustomization} -n {flux} --with-source; then kubectl -n {flux} describe kustomization {kustomization}",
            ),
            Reason::new(
                "DisksDiffer",
                "kubectl -n {longhorn} get nodes.longhorn.io {node} -o yaml beside the manifest in git; Longhorn refuses some changes while a disk holds replicas",
            ),
            Reason::new(
                "DiskUndeclared",
                "declare the disk in git, or switch its scheduling off, evict it and remove it in Longhorn",
            ),
        ],
        ask: ask!(disks_as_in_git),
    },
    Check {
        id: "storage::disks_ready",
        title: "Every disk of {node} is Ready in Longhorn.",
        severity: Severity::Fail,
        requires: READY,
        needs: &[Need::list(&LONGHORN_NODES)],
        awaits: true,
        after: Some("storage::reconcile"),
        criterion: Criterion::Of("2.2"),
        why: "Longhorn looks at each disk's folder and file system. A disk that is not Ready holds nothing.",
        reasons: &[
            Reason::new(
                "NoDisks",
                "declare disks in the node's manifest in git; Longhorn makes none by itself where create-default-disk-labeled-nodes is on and the node has no such label",
            ),
            Reason::new(
                "DiskNotSeen",
                "Longhorn looks every 30 s: kubectl -n {longhorn} logs -l app=longhorn-manager --prefix --tail=50 | grep {node}",
            ),
            Reason::new(
                "NoDiskInfo",
                "on {node}: see that the disk's path exists and is mounted: findmnt <path>; mkdir -p <path> && mount <path>",
            ),
            Reason::new(
                "DiskFilesystemChanged",
                "the folder holds another disk than Longhorn knows: mount the right one, or remove the disk from Longhorn and add it under another name",
            ),
            Reason::new(
                "DiskNotReady",
                "kubectl -n {longhorn} describe nodes.longhorn.io {node}; on {node}: findmnt <path>; dmesg | tail",
            ),
        ],
        ask: ask!(disks_ready),
    },
    Check {
        id: "storage::disks_schedulable",
        title: "Replicas may be put on the disks of {node} that are meant for them.",
        severity: Severity::Fail,
        requires: &["storage::disks_ready"],
        needs: &[Need::list(&LONGHORN_NODES)],
        awaits: true,
        after: Some("storage::reconcile"),
        criterion: Criterion::Of("2.4"),
        why: "A disk can be in order and yet be switched off, on its way out, or too full to take a replica.",
        reasons: &[
            Reason::new(
                "AllDisksOff",
                "set allowScheduling: true for a disk in the node's manifest in git",
            ),
            Reason::new(
                "DiskEvicting",
                "set evictionRequested: false for the disk in the node's manifest in git",
            ),
            Reason::new(
                "DiskPressure",
                "make room on the disk, or lower storageReserved: kubectl -n {longhorn} get nodes.longhorn.io {node} -o yaml shows both",
            ),
            Reason::new(
                "DiskNotSchedulable",
                "kubectl -n {longhorn} describe nodes.longhorn.io {node}",
            ),
        ],
        ask: ask!(disks_schedulable),
    },
    Check {
        id: "storage::capacity",
        title: "Longhorn counts space on {node} and has some to give.",
        severity: Severity::Fail,
        requires: &["storage::disks_ready"],
        needs: &[Need::list(&LONGHORN_NODES), Need::list(&LONGHORN_SETTINGS)],
        awaits: true,
        after: Some("storage::reconcile"),
        criterion: Criterion::Of("2.3"),
        why: "What a disk can still take is its size without the reserve and without what is promised to replicas, and Longhorn keeps a share of it free.",
        reasons: &[
            Reason::new(
                "NoCapacity",
                "Longhorn counts 0 bytes: on {node}: df -h <path of the disk>",
            ),
            Reason::new(
                "NoRoom",
                "add a disk, lower storageReserved, or move replicas away: kubectl -n {longhorn} get nodes.longhorn.io {node} -o yaml",
            ),
        ],
        ask: ask!(capacity),
    },
];

async fn node_schedulable(cx: &Context) -> Answer {
    let found = get(cx).await?;
    let schedulable = found.condition("Schedulable");
    let verdict = if !schedulable.is_true() && !schedulable.is_false() {
        Verdict::fail(
            "SchedulableUnknown",
            format!("Longhorn says of {}: {schedulable}", cx.node()),
        )
    } else if schedulable.is_false() {
        Verdict::fail(
            "Cordoned",
            format!("Longhorn says of {}: {schedulable}", cx.node()),
        )
    } else if found.spec.eviction_requested {
        Verdict::fail(
            "EvictionRequested",
            format!(
                "replicas are to leave {}: spec.evictionRequested is true",
                cx.node()
            ),
        )
    } else if !found.spec.allow_scheduling {
        Verdict::fail(
            "SchedulingOff",
            format!(
                "spec.allowScheduling of {} is false, its condition Schedulable True",
                cx.node()
            ),
        )
    } else {
        Verdict::pass(format!("Longhorn may put replicas on {}", cx.node()))
    };
    Ok(verdict.saw(format!(
        "{schedulable}, allowScheduling {}, evictionRequested {}",
        found.spec.allow_scheduling, found.spec.eviction_requested
    )))
}

async fn disks_as_in_git(cx: &Context) -> Answer {
    let repository = match declared::repository(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let declared = match declared::read(cx, &repository, false).await {
        Ok(declared) => declared,
        Err(verdict) => return Ok(declared::undecided(verdict, &[])),
    };
    let file = declared.file.display().to_string();
    let Some(document) = declared.longhorn_nodes(cx.node()).next() else {
        let why = match &declared.entry {
            EntryState::Active { .. } => format!("{file} builds no Longhorn Node {}", cx.node()),
            EntryState::Commented { line, .. } => {
                format!(
                    "entry {} is commented out in {file}, line {line}",
                    cx.settings.entry()
                )
            }
            _ => format!("{file} has no one entry {}", cx.settings.entry()),
        };
        return Ok(Verdict::fail(
            "NotDeclared",
            format!("git declares no disks for {}: {why}", cx.node()),
        )
        .saw_all(declared.whole.problems.iter().map(ToString::to_string)));
    };
    let cluster = cluster_spec(cx).await?;
    let empty = Value::Null;
    let difference = difference::between(document.value.get("spec").unwrap_or(&empty), &cluster);
    let lines = difference.lines();
    let source = format!("declared in {}", document.file.display());
    let verdict = if !difference.missing.is_empty() {
        Verdict::fail(
            "DisksMissing",
            format!(
                "{} lacks disks that git declares: {}",
                cx.node(),
                difference.missing.join(", ")
            ),
        )
    } else if let Some(first) = difference.fields.first() {
        Verdict::fail(
            "DisksDiffer",
            format!("{} differs from git: {first}", cx.node()),
        )
    } else if difference.undeclared.is_empty() {
        Verdict::pass(format!("{} has its disks as in git", cx.node()))
    } else {
        Verdict::warn(
            "DiskUndeclared",
            format!(
                "{} has disks that git does not declare: {}",
                cx.node(),
                difference.undeclared.join(", ")
            ),
        )
    };
    Ok(verdict.saw(source).saw_all(lines).saw_all(
        declared
            .whole
            .not_applied
            .iter()
            .map(|one| format!("not applied here: {one}")),
    ))
}

/// The spec of the Longhorn Node as it stands, to be compared field by field.
async fn cluster_spec(cx: &Context) -> Result<Value, ReadError> {
    let place = Scope::namespace(&cx.settings.longhorn.namespace);
    let list = cx.view.list::<Value>(&LONGHORN_NODES, place).await?;
    list.iter()
        .find(|one| one.pointer("/metadata/name").and_then(Value::as_str) == Some(cx.node()))
        .and_then(|one| one.get("spec").cloned())
        .ok_or_else(|| ReadError::Absent {
            what: format!("nodes.longhorn.io {}", cx.node()),
        })
}

async fn disks_ready(cx: &Context) -> Answer {
    let found = get(cx).await?;
    let disks: Vec<Disk<'_>> = found.disks().collect();
    if disks.is_empty() {
        return Ok(Verdict::fail(
            "NoDisks",
            format!("{} has no disks in Longhorn", cx.node()),
        ));
    }
    let lines: Vec<String> = disks
        .iter()
        .map(|disk| {
            format!(
                "disk {} at {}: {}",
                disk.name,
                disk.spec.path,
                disk.condition("Ready")
            )
        })
        .collect();
    let Some(bad) = disks.iter().find(|disk| !disk.condition("Ready").is_true()) else {
        return Ok(Verdict::pass(format!(
            "{} of {} disks of {} are Ready",
            disks.len(),
            disks.len(),
            cx.node()
        ))
        .saw_all(lines));
    };
    let seen = bad.condition("Ready");
    let reason = match (seen.is_present(), seen.reason) {
        (false, _) => "DiskNotSeen",
        (true, "NoDiskInfo") => "NoDiskInfo",
        (true, "DiskFilesystemChanged") => "DiskFilesystemChanged",
        _ => "DiskNotReady",
    };
    let verdict = Verdict::fail(
        reason,
        format!(
            "disk {} at {} of {}: {seen}",
            bad.name,
            bad.spec.path,
            cx.node()
        ),
    )
    .saw_all(lines);
    Ok(if reason == "NoDiskInfo" {
        verdict.hint(format!(
            "on {}: mkdir -p {path} && mount {path}; findmnt {path}",
            cx.node(),
            path = bad.spec.path
        ))
    } else {
        verdict
    })
}

async fn disks_schedulable(cx: &Context) -> Answer {
    let found = get(cx).await?;
    let (meant, off): (Vec<Disk<'_>>, Vec<Disk<'_>>) =
        found.disks().partition(|disk| disk.spec.allow_scheduling);
    let switched_off = off.iter().map(|disk| {
        format!(
            "disk {}: allowScheduling is false, so it is left alone",
            disk.name
        )
    });
    if meant.is_empty() {
        return Ok(Verdict::fail(
            "AllDisksOff",
            format!("no disk of {} has allowScheduling: true", cx.node()),
        )
        .saw_all(switched_off));
    }
    let lines: Vec<String> = meant
        .iter()
        .map(|disk| format!("disk {}: {}", disk.name, disk.condition("Schedulable")))
        .collect();
    let bad = meant
        .iter()
        .find(|disk| disk.spec.eviction_requested || !disk.condition("Schedulable").is_true());
    let Some(bad) = bad else {
        return Ok(Verdict::pass(format!(
            "{} disks of {} take replicas",
            meant.len(),
            cx.node()
        ))
        .saw_all(lines)
        .saw_all(switched_off));
    };
    let seen = bad.condition("Schedulable");
    let verdict = if bad.spec.eviction_requested {
        Verdict::fail(
            "DiskEvicting",
            format!(
                "disk {} of {}: evictionRequested is true",
                bad.name,
                cx.node()
            ),
        )
    } else {
        let reason = if seen.reason == "DiskPressure" {
            "DiskPressure"
        } else {
            "DiskNotSchedulable"
        };
        Verdict::fail(
            reason,
            format!("disk {} of {}: {seen}", bad.name, cx.node()),
        )
    };
    Ok(verdict.saw_all(lines).saw_all(switched_off))
}

async fn capacity(cx: &Context) -> Answer {
    let found = get(cx).await?;
    let over = setting(cx, "storage-over-provisioning-percentage", 100).await?;
    let minimal = setting(cx, "storage-minimal-available-percentage", 25).await?;
    let (mut total, mut room, mut lines) = (0_i64, 0_i64, Vec::new());
    for disk in found.disks() {
        let Some(status) = disk.status else {
            lines.push(format!("disk {}: not looked at yet", disk.name));
            continue;
        };
        total = total.saturating_add(status.storage_maximum);
        // Longhorn puts nothing on a disk of which less than this share is free, whatever is promised.
        let free_enough = i128::from(status.storage_available) * 100
            > i128::from(status.storage_maximum) * i128::from(minimal);
        let left = if free_enough && disk.spec.allow_scheduling {
            disk.room(over)
        } else {
            0
        };
        room = room.saturating_add(left);
        lines.push(format!(
            "disk {}: {} in all, {} reserved, {} promised, {} free on the file system, {} left to promise",
            disk.name,
            bytes(status.storage_maximum),
            bytes(disk.spec.storage_reserved),
            bytes(status.storage_scheduled),
            bytes(status.storage_available),
            bytes(left),
        ));
    }
    let verdict = if total <= 0 {
        Verdict::fail(
            "NoCapacity",
            format!("Longhorn counts no space on {}", cx.node()),
        )
    } else if room <= 0 {
        Verdict::fail(
            "NoRoom",
            format!(
                "{} has {} and nothing left to promise",
                cx.node(),
                bytes(total)
            ),
        )
    } else {
        Verdict::pass(format!(
            "{} has {}, of which {} can be promised to replicas",
            cx.node(),
            bytes(total),
            bytes(room)
        ))
    };
    Ok(verdict.saw_all(lines).saw(format!(
        "over-provisioning {over} %, at least {minimal} % free"
    )))
}

/// A setting that is a number, or what Longhorn takes where it is not set.
async fn setting(cx: &Context, name: &str, default: i64) -> Result<i64, ReadError> {
    let place = Scope::namespace(&cx.settings.longhorn.namespace);
    let all = match cx.view.list::<Setting>(&LONGHORN_SETTINGS, place).await {
        Ok(all) => all,
        Err(ReadError::NotServed { .. }) => return Ok(default),
        Err(error) => return Err(error),
    };
    Ok(all
        .iter()
        .find(|one| one.metadata.name == name)
        .and_then(|one| one.for_v1().parse().ok())
        .unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::super::tests::{GIB, longhorn_node, no, with_node};
    use crate::{
        Verdict,
        catalogue::find,
        git::{Environment, Repository},
        testing::Fixture,
    };

    async fn ask(name: &str, node: Value) -> Verdict {
        with_node(node)
            .ask(find(&format!("storage::{name}")).unwrap())
            .await
    }

    #[tokio::test]
    async fn a_healthy_node_passes_every_question() {
        for name in [
            "node_schedulable",
            "disks_ready",
            "disks_schedulable",
            "capacity",
        ] {
            let verdict = ask(name, longhorn_node("k3s2")).await;
            assert_eq!(
                verdict.outcome(),
                Outcome::Pass,
                "{name}: {}",
                verdict.message()
            );
            assert!(verdict.message().contains("k3s2"), "{}", verdict.message());
        }
    }

    #[tokio::test]
    async fn schedulable_needs_the_condition_and_the_wish() {
        let mut off = longhorn_node("k3s2");
        off["spec"]["allowScheduling"] = json!(false);
        assert_eq!(ask("node_schedulable", off).await.reason(), "SchedulingOff");
        let mut leaving = longhorn_node("k3s2");
        leaving["spec"]["evictionRequested"] = json!(true);
        assert_eq!(
            ask("node_schedulable", leaving).await.reason(),
            "EvictionRequested"
        );
        let mut cordoned = longhorn_node("k3s2");
        cordoned["status"]["conditions"][1] =
            no("Schedulable", "KubernetesNodeCordoned", "cordoned");
        assert_eq!(ask("node_schedulable", cordoned).await.reason(), "Cordoned");
        let mut early = longhorn_node("k3s2");
        early["status"]["conditions"] = json!([]);
        assert_eq!(
            ask("node_schedulable", early).await.reason(),
            "SchedulableUnknown"
        );
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_has_the_reason_that_longhorn_gives() {
        for (theirs, ours) in [
            ("DiskPressure", "DiskPressure"),
            ("DiskNotReady", "DiskNotSchedulable"),
        ] {
            let mut node = longhorn_node("k3s2");
            node["status"]["diskStatus"]["ssd1"]["conditions"][1] =
                no("Schedulable", theirs, "the disk takes no replica");
            let verdict = ask("disks_schedulable", node).await;
            assert_eq!(verdict.reason(), ours, "{verdict:?}");
        }
    }

    #[tokio::test]
    async fn each_way_of_a_disk_not_to_be_ready_has_its_reason() {
        let broken = |reason: &str| {
            let mut node = longhorn_node("k3s2");
            node["status"]["diskStatus"]["ssd1"]["conditions"][0] = no(
                "Ready",
                reason,
                "failed to get disk config: no such file or directory",
            );
            node
        };
        for (theirs, ours) in [
            ("NoDiskInfo", "NoDiskInfo"),
            ("DiskFilesystemChanged", "DiskFilesystemChanged"),
            ("NodeNotReady", "DiskNotReady"),
        ] {
            let verdict = ask("disks_ready", broken(theirs)).await;
            assert_eq!(verdict.reason(), ours);
            assert!(
                verdict
                    .message()
                    .contains("ssd1 at /var/lib/longhorn of k3s2"),
                "{}",
                verdict.message()
            );
        }
        let mut none = longhorn_node("k3s2");
        none["spec"]["disks"] = json!({});
        assert_eq!(ask("disks_ready", none).await.reason(), "NoDisks");
        let mut unseen = longhorn_node("k3s2");
        unseen["status"]["diskStatus"] = json!(null);
        assert_eq!(ask("disks_ready", unseen).await.reason(), "DiskNotSeen");
    }

    #[tokio::test]
    async fn a_disk_that_is_switched_off_on_purpose_is_left_alone() {
        let mut two = longhorn_node("k3s2");
        two["spec"]["disks"]["old"] = json!({"path": "/old", "allowScheduling": false});
        let two = ask("disks_schedulable", two).await;
        assert_eq!(two.outcome(), Outcome::Pass, "{}", two.message());
        assert!(two.evidence().iter().any(|line| line.contains("disk old")));
        let mut off = longhorn_node("k3s2");
        off["spec"]["disks"]["ssd1"]["allowScheduling"] = json!(false);
        assert_eq!(ask("disks_schedulable", off).await.reason(), "AllDisksOff");
        let mut full = longhorn_node("k3s2");
        full["status"]["diskStatus"]["ssd1"]["conditions"][1] =
            no("Schedulable", "DiskPressure", "full");
        let full = ask("disks_schedulable", full).await;
        assert_eq!(full.reason(), "DiskPressure");
        assert!(
            full.message().contains("ssd1 of k3s2"),
            "{}",
            full.message()
        );
        let mut leaving = longhorn_node("k3s2");
        leaving["spec"]["disks"]["ssd1"]["evictionRequested"] = json!(true);
        assert_eq!(
            ask("disks_schedulable", leaving).await.reason(),
            "DiskEvicting"
        );
    }

    #[tokio::test]
    async fn capacity_counts_reserve_promises_and_the_free_share() {
        let with = |key: &str, value: i64| {
            let mut node = longhorn_node("k3s2");
            node["status"]["diskStatus"]["ssd1"][key] = json!(value);
            node
        };
        let good = ask("capacity", longhorn_node("k3s2")).await;
        assert!(good.message().contains("70.0 GiB"), "{}", good.message());
        assert_eq!(
            ask("capacity", with("storageMaximum", 0)).await.reason(),
            "NoCapacity"
        );
        assert_eq!(
            ask("capacity", with("storageScheduled", 90 * GIB))
                .await
                .reason(),
            "NoRoom"
        );
        assert_eq!(
            ask("capacity", with("storageAvailable", 20 * GIB))
                .await
                .reason(),
            "NoRoom"
        );
        let generous = with_node(with("storageScheduled", 90 * GIB))
            .with(json!({"apiVersion": "longhorn.io/v1beta2", "kind": "Setting", "value": "200",
                "metadata": {"name": "storage-over-provisioning-percentage", "namespace": "longhorn-system"}}))
            .ask(find("storage::capacity").unwrap())
            .await;
        assert_eq!(generous.outcome(), Outcome::Pass, "{}", generous.message());
    }

    fn repository(folder: &Path, entry: &str) -> Arc<Repository> {
        let write = |file: &str, text: &str| {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "infrastructure/storage/kustomization.yaml",
            &format!("resources:\n  {entry}- ../k3s2-node-config/\n"),
        );
        write(
            "infrastructure/k3s2-node-config/kustomization.yaml",
            "resources:\n  - node.yaml\n",
        );
        write(
            "infrastructure/k3s2-node-config/node.yaml",
            "apiVersion: longhorn.io/v1beta2\nkind: Node\nmetadata:\n  name: k3s2\n  namespace: longhorn-system\nspec:\n  name: k3s2\n  allowScheduling: true\n  disks:\n    ssd1:\n      path: /var/lib/longhorn\n      allowScheduling: true\n      storageReserved: 10737418240\n",
        );
        git2::Repository::init(folder).unwrap();
        Arc::new(Repository::open_in(folder, Environment::isolated(folder)).unwrap())
    }

    async fn as_in_git(node: Value, repository: Option<Arc<Repository>>) -> Verdict {
        let mut cx = with_node(node).context();
        cx.repository = repository;
        let check = find("storage::disks_as_in_git").unwrap();
        (check.ask)(&cx).await.unwrap_or_else(Verdict::from)
    }

    #[tokio::test]
    async fn the_disks_are_compared_with_what_git_builds() {
        let folder = tempfile::tempdir().unwrap();
        let active = repository(folder.path(), "");
        let good = as_in_git(longhorn_node("k3s2"), Some(Arc::clone(&active))).await;
        assert_eq!(
            good.outcome(),
            Outcome::Pass,
            "{} {:?}",
            good.message(),
            good.evidence()
        );
        let mut moved = longhorn_node("k3s2");
        moved["spec"]["disks"]["ssd1"]["path"] = json!("/mnt/other");
        let moved = as_in_git(moved, Some(Arc::clone(&active))).await;
        assert_eq!(moved.reason(), "DisksDiffer");
        assert!(
            moved
                .evidence()
                .contains(&"disks.ssd1.path: git /var/lib/longhorn, cluster /mnt/other".to_owned()),
            "{:?}",
            moved.evidence()
        );
        let mut bare = longhorn_node("k3s2");
        bare["spec"]["disks"] = json!({"default-disk": {"path": "/var/lib/longhorn"}});
        let bare = as_in_git(bare, Some(Arc::clone(&active))).await;
        assert_eq!(bare.reason(), "DisksMissing");
        let mut more = longhorn_node("k3s2");
        more["spec"]["disks"]["extra"] = json!({"path": "/extra"});
        let more = as_in_git(more, Some(active)).await;
        assert_eq!(
            (more.outcome(), more.reason()),
            (Outcome::Warn, "DiskUndeclared")
        );
    }

    #[tokio::test]
    async fn without_an_entry_or_a_repository_nothing_is_declared() {
        let folder = tempfile::tempdir().unwrap();
        let inactive =
            as_in_git(longhorn_node("k3s2"), Some(repository(folder.path(), "# "))).await;
        assert_eq!(inactive.reason(), "NotDeclared");
        assert!(
            inactive.message().contains("commented out"),
            "{}",
            inactive.message()
        );
        let none = as_in_git(longhorn_node("k3s2"), None).await;
        assert_eq!(
            (none.outcome(), none.reason()),
            (Outcome::Skip, "NoRepository")
        );
        assert_eq!(
            Fixture::new()
                .ask(find("storage::disks_ready").unwrap())
                .await
                .reason(),
            "NotServed"
        );
    }
}
