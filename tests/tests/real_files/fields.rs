//! Every field that the checks read is in the real definitions, in every version that a check would choose.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use checks::{
    kinds::{self, Kind},
    resources::{flux, longhorn},
};
use libtest_mimic::Failed;
use sandbox::api::fields_of;
use serde_json::Value;

type Fields = Vec<(String, &'static str)>;

/// The kinds that are read, and what of them. The types of the last ones are private to their checks.
fn read() -> Vec<(&'static Kind, Fields)> {
    let by_hand = |fields: &[(&str, &'static str)]| {
        let fields = fields.iter();
        fields
            .map(|(path, kind)| ((*path).to_owned(), *kind))
            .collect::<Fields>()
    };
    vec![
        (&kinds::GIT_REPOSITORIES, fields_of::<flux::GitRepository>()),
        (&kinds::KUSTOMIZATIONS, fields_of::<flux::Kustomization>()),
        (&kinds::LONGHORN_NODES, fields_of::<longhorn::Node>()),
        (&kinds::LONGHORN_VOLUMES, fields_of::<longhorn::Volume>()),
        (&kinds::LONGHORN_REPLICAS, fields_of::<longhorn::Replica>()),
        (&kinds::LONGHORN_ENGINES, fields_of::<longhorn::Engine>()),
        (
            &kinds::LONGHORN_INSTANCE_MANAGERS,
            fields_of::<longhorn::InstanceManager>(),
        ),
        (
            &kinds::LONGHORN_ENGINE_IMAGES,
            fields_of::<longhorn::EngineImage>(),
        ),
        (&kinds::LONGHORN_SETTINGS, fields_of::<longhorn::Setting>()),
        (
            &kinds::LONGHORN_BACKUP_TARGETS,
            fields_of::<longhorn::BackupTarget>(),
        ),
        // pre/flux.rs and pre/monitoring.rs
        (&kinds::HELM_RELEASES, by_hand(&[("spec.suspend", "truth")])),
        (
            &kinds::PROMETHEUSES,
            by_hand(&[
                ("spec.serviceMonitorSelector.matchLabels.{}", "text"),
                (
                    "spec.serviceMonitorNamespaceSelector.matchLabels.{}",
                    "text",
                ),
                ("spec.podMonitorSelector.matchLabels.{}", "text"),
                ("spec.podMonitorNamespaceSelector.matchLabels.{}", "text"),
            ]),
        ),
    ]
}

/// What a version has not, and why it may be read all the same: kind and version, field, reason.
const ABSENT: &[(&str, &str, &str)] = &[
    (
        "kustomizations.kustomize.toolkit.fluxcd.io",
        "spec.dependsOn.[].kind",
        "a dependency is of its own kind; the type of references is shared with sourceRef",
    ),
    (
        "kustomizations.kustomize.toolkit.fluxcd.io v1beta1",
        "spec.wait",
        "came with v1beta2, and is then taken as false",
    ),
    (
        "kustomizations.kustomize.toolkit.fluxcd.io v1beta1",
        "status.inventory.entries.[].id",
        "came with v1beta2; nothing is then known to be applied",
    ),
    (
        "gitrepositories.source.toolkit.fluxcd.io v1beta1",
        "spec.ref.name",
        "came with v1beta2, and is then taken as not set",
    ),
];

pub(crate) fn are_in_the_definitions(folder: &Path) -> Result<(), Failed> {
    let definitions = definitions(folder)?;
    let (mut absent, mut count, mut versions) = (String::new(), 0, 0);
    let mut used = [false; ABSENT.len()];
    for (kind, fields) in read() {
        let name = kind.name();
        let read = fields
            .iter()
            .filter(|(path, _)| !path.starts_with("metadata"));
        let read: Vec<_> = read.collect();
        if read.is_empty() {
            return Err(format!("nothing is known of what is read of {name}").into());
        }
        let definition = definitions
            .get(&name)
            .ok_or_else(|| format!("no definition of {name} in {}", folder.display()))?;
        let mut served = 0;
        for version in definition["spec"]["versions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let named = version["name"].as_str().unwrap_or_default();
            if version["served"] != true || !kind.versions.contains(&named) {
                continue;
            }
            served += 1;
            for (path, wanted) in &read {
                count += 1;
                if let Err(why) = find(&version["schema"]["openAPIV3Schema"], path, wanted) {
                    let what = format!("{name} {named}");
                    let known = ABSENT
                        .iter()
                        .position(|(of, field, _)| what.starts_with(of) && path == field);
                    match known {
                        Some(index) => used[index] = true,
                        None => writeln!(absent, "{what}: {path}: {why}")?,
                    }
                }
            }
        }
        if served == 0 {
            writeln!(absent, "{name}: none of {:?} is served", kind.versions)?;
        }
        versions += served;
    }
    for ((of, field, why), used) in ABSENT.iter().zip(used) {
        if !used {
            writeln!(
                absent,
                "listed as absent, and it is there: {of} {field} ({why})"
            )?;
        }
    }
    println!("{count} fields looked up in {versions} versions of the real definitions");
    if absent.is_empty() {
        Ok(())
    } else {
        Err(absent.into())
    }
}

/// The definitions by their names.
fn definitions(folder: &Path) -> Result<BTreeMap<String, Value>, Failed> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let text = fs::read_to_string(entry?.path())?;
        for document in text.split("\n---") {
            if !document.contains("kind: CustomResourceDefinition") {
                continue;
            }
            let document = document.trim_start_matches('-');
            let value: Value = serde_saphyr::from_str(document)?;
            let name = value["metadata"]["name"].as_str().unwrap_or_default();
            found.insert(name.to_owned(), value);
        }
    }
    Ok(found)
}

/// Walks a schema down a path.
fn find(schema: &Value, path: &str, wanted: &str) -> Result<(), String> {
    let mut at = schema;
    for part in path.split('.') {
        let next = match part {
            "{}" => &at["additionalProperties"],
            "[]" => &at["items"],
            name => &at["properties"][name],
        };
        if next.is_null() {
            if at["x-kubernetes-preserve-unknown-fields"] == true {
                return Ok(());
            }
            return Err(format!("the definition has no {part}"));
        }
        at = next;
    }
    if at["x-kubernetes-int-or-string"] == true
        || at["x-kubernetes-preserve-unknown-fields"] == true
    {
        return Ok(());
    }
    let found = at["type"].as_str().unwrap_or_default();
    let fits = match wanted {
        "text" => found == "string",
        "number" => matches!(found, "integer" | "number"),
        "truth" => found == "boolean",
        _ => true,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("it is a {found}, and read as {wanted}"))
    }
}
