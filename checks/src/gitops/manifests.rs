//! The node's entry in the kustomization file, its folder, and the Longhorn Node that stands there.

use std::{collections::BTreeSet, path::PathBuf};

use reports::model::Severity;
use serde_json::Value;

use super::declared::{self, ask as ask_git, is_longhorn_node, repository as opened};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask,
    git::{EntryState, FileStatus, Manifests, manifests::Document},
};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "gitops::node_config",
        title: "The entry of {node} stands once in the kustomization file, and what it names builds.",
        severity: Severity::Fail,
        requires: &["gitops::repository"],
        needs: &[Need::Repository],
        awaits: false,
        after: None,
        criterion: Criterion::Of("3.1"),
        why: "The run makes this one entry active. If what it names does not build, Flux stops applying everything in the same Kustomization.",
        reasons: &[
            Reason::new(
                "EntryMissing",
                "add the line \"# - ../{node}-node-config/\" under resources, or set repository.entry in onboarding.toml",
            ),
            Reason::new(
                "EntryDoubled",
                "keep one of the lines that the message names and delete the others",
            ),
            Reason::new(
                "FileAbsent",
                "see repository.kustomization in onboarding.toml, and git pull",
            ),
            Reason::new(
                "OutsideRepository",
                "replace the link or path with one inside the repository",
            ),
            Reason::new(
                "UnsupportedShape",
                "write resources as a plain list, one \"- path\" a line",
            ),
            Reason::new(
                "NotYaml",
                "kustomize build in the folder of the file shows the place",
            ),
            Reason::new(
                "NotBuilding",
                "kustomize build in the folder of the kustomization file, with the entry active, shows the place",
            ),
            Reason::new(
                "NotCommitted",
                "commit it or put it aside: git status shows what differs; Flux sees committed files only",
            ),
        ],
        ask: ask!(node_config),
    },
    Check {
        id: "gitops::node_manifest",
        title: "Git declares one Longhorn Node {node} that takes replicas, with disks.",
        severity: Severity::Fail,
        requires: &["gitops::node_config"],
        needs: &[Need::Repository],
        awaits: false,
        after: None,
        criterion: Criterion::Of("3.3"),
        why: "Longhorn fills in nothing for a Node that git creates: without spec.name many of its controllers ignore it, without allowScheduling it takes no replica.",
        reasons: &[
            Reason::new(
                "NoLonghornNode",
                "add a manifest of kind Node, apiVersion longhorn.io/v1beta2, named {node}, to the node's folder",
            ),
            Reason::new(
                "SeveralLonghornNodes",
                "keep one of the manifests that the evidence names",
            ),
            Reason::new(
                "WrongNamespace",
                "set metadata.namespace: {longhorn}; Longhorn ignores every other namespace",
            ),
            Reason::new("SpecNameMissing", "set spec.name: {node} in the manifest"),
            Reason::new(
                "SchedulingOff",
                "set spec.allowScheduling: true in the manifest",
            ),
            Reason::new(
                "NoDisks",
                "declare at least one disk under spec.disks, with path, diskType and allowScheduling: true",
            ),
            Reason::new(
                "DiskWithoutPath",
                "set path for the disk that the message names",
            ),
            Reason::new("PathTwice", "give each disk a path of its own"),
            Reason::new("AllDisksOff", "set allowScheduling: true for a disk"),
            Reason::new(
                "DiskTypeMissing",
                "set diskType: filesystem, or block, for the disk: it cannot be changed later",
            ),
        ],
        ask: ask!(node_manifest),
    },
];

async fn node_config(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let declared = match declared::read(cx, &repository, true).await {
        Ok(declared) => declared,
        Err(verdict) => return Ok(verdict),
    };
    let (file, entry) = (declared.file.display().to_string(), cx.settings.entry());
    let (state, line) = match &declared.entry {
        EntryState::Active { line } => ("active", *line),
        EntryState::Commented { line, .. } => ("commented out", *line),
        EntryState::Missing { candidates } => {
            return Ok(Verdict::fail(
                "EntryMissing",
                format!("no entry {entry} under resources of {file}"),
            )
            .saw_all(candidates.clone()));
        }
        EntryState::Several { lines } => {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            return Ok(Verdict::fail(
                "EntryDoubled",
                format!(
                    "entry {entry} stands {} times in {file}: lines {}",
                    lines.len(),
                    lines.join(", ")
                ),
            ));
        }
    };
    if let Some(first) = declared.whole.problems.first() {
        return Ok(Verdict::fail(
            "NotBuilding",
            format!("with entry {entry} active, {file} does not build: {first}"),
        )
        .saw_all(declared.whole.problems.iter().map(ToString::to_string)));
    }
    // What Flux gets is what is committed. The file of the entry itself may differ once this run has edited it.
    let folder = Manifests::entry_folder(&declared.file, &entry);
    let mut files: BTreeSet<PathBuf> = declared
        .whole
        .documents
        .iter()
        .map(|one| one.file.clone())
        .filter(|one| one.starts_with(&folder))
        .collect();
    if cx.report.action("gitops::activate").is_none() {
        files.insert(declared.file.clone());
    }
    let count = files.len();
    let asked = ask_git(&repository, move |repository| {
        let mut differing = Vec::new();
        for file in files {
            match repository.file_status(&file)? {
                FileStatus::Clean => {}
                status => differing.push(format!("{}: {}", file.display(), words(status))),
            }
        }
        Ok(differing)
    });
    Ok(match asked.await {
        Err(verdict) => verdict,
        Ok(differing) => match differing.first() {
            Some(first) => {
                Verdict::fail("NotCommitted", format!("not as in HEAD: {first}")).saw_all(differing)
            }
            None => Verdict::pass(format!(
                "entry {entry} is {state} in {file}, line {line}, and builds"
            ))
            .saw(format!(
                "{count} files looked at, {} objects built",
                declared.whole.documents.len()
            ))
            .saw_all(
                declared
                    .whole
                    .not_applied
                    .iter()
                    .map(|one| format!("not applied here: {one}")),
            ),
        },
    })
}

fn words(status: FileStatus) -> &'static str {
    match status {
        FileStatus::Clean => "as in HEAD",
        FileStatus::Staged => "staged and not committed",
        FileStatus::Modified => "changed and not committed",
        FileStatus::Untracked => "not under version control",
        FileStatus::Conflicted => "with merge conflicts",
        FileStatus::Absent => "absent",
    }
}

async fn node_manifest(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let declared = match declared::read(cx, &repository, true).await {
        Ok(declared) => declared,
        Err(verdict) => return Ok(declared::undecided(verdict, &[])),
    };
    let found: Vec<&Document> = declared.longhorn_nodes(cx.node()).collect();
    let verdict = match found.as_slice() {
        [] => {
            let others = declared
                .whole
                .documents
                .iter()
                .filter(|one| is_longhorn_node(one));
            Verdict::fail(
                "NoLonghornNode",
                format!(
                    "{} builds no Longhorn Node {}",
                    declared.file.display(),
                    cx.node()
                ),
            )
            .saw_all(
                others.map(|one| format!("Longhorn Node {} in {}", one.name(), one.file.display())),
            )
        }
        [one] => judged(one, cx.node(), &cx.settings.longhorn.namespace),
        several => Verdict::fail(
            "SeveralLonghornNodes",
            format!("{} Longhorn Nodes {} are built", several.len(), cx.node()),
        )
        .saw_all(several.iter().map(|one| one.file.display().to_string())),
    };
    Ok(verdict.saw_all(
        declared
            .whole
            .not_applied
            .iter()
            .map(|one| format!("not applied here: {one}")),
    ))
}

/// What is wrong with a manifest: a reason and its words.
type Wrong = Vec<(&'static str, String)>;

fn judged(document: &Document, node: &str, longhorn: &str) -> Verdict {
    let file = document.file.display();
    let mut wrong = Wrong::new();
    let namespace = document.namespace().unwrap_or_default();
    if namespace != longhorn {
        wrong.push((
            "WrongNamespace",
            format!(
                "metadata.namespace is {}, expected {longhorn}",
                or_nothing(namespace)
            ),
        ));
    }
    let name = document.text("/spec/name");
    if name != node {
        wrong.push((
            "SpecNameMissing",
            format!("spec.name is {}, expected {node}", or_nothing(name)),
        ));
    }
    if !is_true(document.value.pointer("/spec/allowScheduling")) {
        wrong.push(("SchedulingOff", "spec.allowScheduling is not true".into()));
    }
    let none = serde_json::Map::new();
    let disks = document
        .value
        .pointer("/spec/disks")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    judge_disks(disks, &mut wrong);
    let untyped = disks
        .iter()
        .find(|(_, disk)| text(disk, "diskType").is_empty());
    let untyped = untyped.map(|(name, _)| format!("disk {name} has no diskType"));
    let lines = disks.iter().map(|(name, disk)| {
        let reserved = disk
            .get("storageReserved")
            .map_or("nothing".to_owned(), ToString::to_string);
        format!("disk {name} at {}, {reserved} reserved", text(disk, "path"))
    });
    let lines = lines.collect::<Vec<_>>();
    if let Some(((reason, what), others)) = wrong.split_first() {
        // One reason is shown; whoever mends the file wants to know all of them.
        let others = others
            .iter()
            .map(|(reason, what)| format!("{reason}: {what}"));
        let untyped = untyped.map(|what| format!("DiskTypeMissing: {what}"));
        return Verdict::fail(reason, format!("{file}: {what}"))
            .saw_all(others.chain(untyped).chain(lines));
    }
    match untyped {
        Some(what) => Verdict::warn("DiskTypeMissing", format!("{file}: {what}")),
        None => Verdict::pass(format!("{file} declares {} disks for {node}", disks.len())),
    }
    .saw_all(lines)
}

fn judge_disks(disks: &serde_json::Map<String, Value>, wrong: &mut Wrong) {
    if disks.is_empty() {
        wrong.push(("NoDisks", "spec.disks declares none".into()));
        return;
    }
    let mut paths = BTreeSet::new();
    for (name, disk) in disks {
        let path = text(disk, "path");
        if path.is_empty() {
            wrong.push(("DiskWithoutPath", format!("disk {name} has no path")));
        } else if !paths.insert(path.trim_end_matches('/').to_owned()) {
            wrong.push((
                "PathTwice",
                format!("disk {name} has a path that another disk has: {path}"),
            ));
        }
    }
    if !disks
        .values()
        .any(|disk| is_true(disk.get("allowScheduling")))
    {
        wrong.push(("AllDisksOff", "no disk has allowScheduling: true".into()));
    }
}

fn is_true(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool) == Some(true)
}

fn text(disk: &Value, key: &str) -> String {
    disk.get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "not set" } else { text }
}
