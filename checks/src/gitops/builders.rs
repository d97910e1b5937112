//! Which Flux Kustomizations build what: each object from one place, in versions that the cluster serves.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use reports::model::Severity;

use super::declared::{ask as ask_git, repository as opened};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Settings, Verdict, ask,
    git::{Manifests, Repository, kustomization::normalised, manifests::Document},
    kinds::KUSTOMIZATIONS,
    resources::flux::Kustomization,
    view::{ReadError, Scope},
};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "gitops::single_owner",
        title: "{kustomization}, and no other Kustomization, builds the Longhorn Node of {node}.",
        severity: Severity::Fail,
        requires: &["gitops::node_config"],
        needs: &[Need::Repository, Need::list(&KUSTOMIZATIONS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("3.4"),
        why: "Two Kustomizations that build one object overwrite each other, or make a copy in another namespace that Longhorn ignores and that cannot be deleted.",
        reasons: &[
            Reason::new(
                "SeveralOwners",
                "keep the Longhorn Node in one folder, and delete or suspend the Kustomization that builds the other one",
            ),
            Reason::new(
                "OtherOwner",
                "set flux.kustomization in onboarding.toml to the one that the message names",
            ),
            Reason::new(
                "NoOwner",
                "see that a Kustomization of this repository builds the folder of the kustomization file: kubectl -n {flux} get kustomization {kustomization} -o jsonpath='{.spec.path}'",
            ),
            Reason::new(
                "TargetNamespace",
                "take spec.targetNamespace out of the Kustomization, or set it to {longhorn}",
            ),
        ],
        ask: ask!(single_owner),
    },
    Check {
        id: "gitops::api_versions_served",
        title: "Every manifest that Flux builds is in a version that the cluster serves.",
        severity: Severity::Warn,
        requires: &["gitops::repository"],
        needs: &[
            Need::Repository,
            Need::list(&KUSTOMIZATIONS),
            Need::Path("/apis"),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "An upgrade may drop old versions of an API. Flux cannot apply manifests that are still written in them.",
        reasons: &[
            Reason::new(
                "VersionNotServed",
                "write the manifests that the evidence names in a served version: kubectl api-versions; flux migrate for those of Flux",
            ),
            Reason::new(
                "NothingBuilt",
                "no Kustomization of source {source} builds a manifest of this repository: flux get kustomizations -A; see flux.source in onboarding.toml",
            ),
        ],
        ask: ask!(api_versions_served),
    },
];

/// A Kustomization of this repository, whether its manifest stands in the repository or only in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Builder {
    name: String,
    path: PathBuf,
    target_namespace: Option<String>,
}

/// The Kustomizations in the cluster that build folders of the followed source.
async fn in_cluster(cx: &Context) -> Result<Vec<Builder>, ReadError> {
    let names = &cx.settings.flux;
    let all = cx
        .view
        .list::<Kustomization>(&KUSTOMIZATIONS, Scope::all())
        .await?;
    let ours = |one: &&Kustomization| {
        let source = &one.spec.source_ref;
        let namespace = if source.namespace.is_empty() {
            &one.metadata.namespace
        } else {
            &source.namespace
        };
        source.kind == "GitRepository"
            && source.name == names.source
            && *namespace == names.namespace
    };
    Ok(all
        .iter()
        .filter(ours)
        .map(|one| Builder {
            name: one.metadata.full_name(),
            path: folder_of(&one.spec.path),
            target_namespace: Some(one.spec.target_namespace.clone())
                .filter(|name| !name.is_empty()),
        })
        .collect())
}

/// All of them: those in the cluster, and those that a manifest of the repository declares.
fn all(manifests: &Manifests, mut known: Vec<Builder>, settings: &Settings) -> Vec<Builder> {
    for one in manifests.flux_kustomizations().0 {
        let namespace = if one.namespace.is_empty() {
            &settings.flux.namespace
        } else {
            &one.namespace
        };
        let name = format!("{namespace}/{}", one.name);
        let source = format!("GitRepository/{}", settings.flux.source);
        if one.source == source && !known.iter().any(|other| other.name == name) {
            known.push(Builder {
                name,
                path: one.path,
                target_namespace: one.target_namespace,
            });
        }
    }
    known.sort_by(|a, b| a.name.cmp(&b.name));
    known
}

fn folder_of(path: &str) -> PathBuf {
    PathBuf::from(normalised(path).trim_start_matches('/'))
}

fn read(repository: &Repository, settings: &Settings) -> Manifests {
    Manifests::of(repository).assuming(
        Path::new(&settings.repository.kustomization),
        &settings.entry(),
    )
}

async fn single_owner(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let known = in_cluster(cx).await?;
    let settings = cx.settings.clone();
    let asked = ask_git(&repository, move |repository| {
        let manifests = read(repository, &settings);
        let mut owners = Vec::new();
        for builder in all(&manifests, known, &settings) {
            for document in manifests.documents_under(&builder.path).documents {
                if super::declared::is_longhorn_node(&document)
                    && document.name() == settings.node.name
                {
                    owners.push((builder.clone(), document));
                }
            }
        }
        Ok(owners)
    });
    let owners = match asked.await {
        Ok(owners) => owners,
        Err(verdict) => return Ok(verdict),
    };
    Ok(judged(cx, &owners))
}

fn judged(cx: &Context, owners: &[(Builder, Document)]) -> Verdict {
    let expected = format!(
        "{}/{}",
        cx.settings.flux.namespace, cx.settings.flux.kustomization
    );
    let longhorn = &cx.settings.longhorn.namespace;
    let place = |(builder, document): &(Builder, Document)| {
        builder
            .target_namespace
            .clone()
            .or_else(|| document.namespace().map(str::to_owned))
            .unwrap_or_default()
    };
    let lines = owners.iter().map(|one| {
        format!(
            "{} builds {} into namespace {}",
            one.0.name,
            one.1.file.display(),
            place(one)
        )
    });
    let names: BTreeSet<&str> = owners
        .iter()
        .map(|(builder, _)| builder.name.as_str())
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    let verdict = match names.as_slice() {
        [] => Verdict::fail(
            "NoOwner",
            format!(
                "no Kustomization builds the Longhorn Node {}, expected {expected}",
                cx.node()
            ),
        ),
        [one] if *one != expected => Verdict::fail(
            "OtherOwner",
            format!(
                "the Longhorn Node {} is built by {one}, expected {expected}",
                cx.node()
            ),
        ),
        [one] => match owners
            .iter()
            .map(place)
            .find(|namespace| namespace != longhorn)
        {
            Some(namespace) => Verdict::fail(
                "TargetNamespace",
                format!(
                    "{one} puts the Longhorn Node {} into namespace {namespace}, expected {longhorn}",
                    cx.node()
                ),
            ),
            None => Verdict::pass(format!("only {one} builds the Longhorn Node {}", cx.node())),
        },
        several => Verdict::fail(
            "SeveralOwners",
            format!(
                "the Longhorn Node {} is built by {}",
                cx.node(),
                several.join(" and ")
            ),
        ),
    };
    verdict.saw_all(lines)
}

async fn api_versions_served(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let known = in_cluster(cx).await?;
    let settings = cx.settings.clone();
    let asked = ask_git(&repository, move |repository| {
        let manifests = read(repository, &settings);
        let paths: BTreeSet<PathBuf> = all(&manifests, known, &settings)
            .into_iter()
            .map(|one| one.path)
            .collect();
        let mut used: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for path in &paths {
            for document in manifests.documents_under(path).documents {
                used.entry((
                    document.api_version().to_owned(),
                    document.kind().to_owned(),
                ))
                .or_default()
                .insert(document.file.display().to_string());
            }
        }
        Ok((paths.len(), used))
    });
    let (folders, used) = match asked.await {
        Ok(answer) => answer,
        Err(verdict) => return Ok(verdict),
    };
    if used.is_empty() {
        return Ok(Verdict::fail(
            "NothingBuilt",
            format!("{folders} folders are built by Flux, and there is no manifest in them"),
        ));
    }
    let (mut gone, mut unknown) = (Vec::new(), BTreeSet::new());
    for ((api_version, kind), files) in &used {
        // Kubernetes' own first group has one version, and discovery does not list it.
        let Some((group, version)) = api_version.split_once('/') else {
            continue;
        };
        let served = cx.view.served(group).await?;
        if served.is_empty() {
            // Its definition may be among what Flux is about to apply.
            unknown.insert(format!(
                "group {group} is not served, so its versions are not known"
            ));
        } else if !served.iter().any(|one| one == version) {
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            gone.push(format!(
                "{kind} {api_version} in {}; served: {}",
                files.join(", "),
                served.join(", ")
            ));
        }
    }
    let verdict = match gone.first() {
        Some(first) => Verdict::fail(
            "VersionNotServed",
            format!(
                "{} kinds are in versions that are not served: {first}",
                gone.len()
            ),
        ),
        None => Verdict::pass(format!(
            "{} kinds in {folders} folders are in served versions",
            used.len()
        )),
    };
    Ok(verdict.saw_all(gone).saw_all(unknown))
}
