//! What a Kustomization has applied, and what goes when it is built no more.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{
    kinds::{self, KUSTOMIZATIONS},
    make::{deleting, items, name, namespace, text},
    scene::{Change, Scene},
};

/// Held by a Kustomization until what it applied is pruned.
pub(super) const FINALIZER: &str = "finalizers.fluxcd.io";

/// The entries of `status.inventory`.
pub(super) fn inventory(objects: &[Value]) -> Vec<Value> {
    objects
        .iter()
        .map(|object| {
            let api = text(&object["apiVersion"]);
            let (group, version) = api.rsplit_once('/').unwrap_or(("", api));
            let id = format!(
                "{}_{}_{group}_{}",
                namespace(object),
                name(object),
                text(&object["kind"])
            );
            json!({"id": id, "v": version})
        })
        .collect()
}

/// Deletes what was in the inventory and is not built any more, if it is still ours and nobody opted out.
pub(super) fn prune(scene: &Scene<'_>, object: &Value, built: &[Value], changes: &mut Vec<Change>) {
    if object["spec"]["prune"] != true {
        return;
    }
    let kept: BTreeSet<String> = inventory(built)
        .iter()
        .map(|entry| text(&entry["id"]).to_owned())
        .collect();
    for entry in items(&object["status"]["inventory"]["entries"]) {
        let id = text(&entry["id"]);
        if kept.contains(id) {
            continue;
        }
        let parts: Vec<&str> = id.split('_').collect();
        let &[space, object_name, group, kind] = parts.as_slice() else {
            continue;
        };
        let Some(res) = kinds::by_kind(&kinds::api_version(group, "v"), kind) else {
            continue;
        };
        let Some(there) = scene.get(res, space, object_name) else {
            continue;
        };
        let meta = &there["metadata"];
        let ours = meta["labels"]["kustomize.toolkit.fluxcd.io/name"] == name(object)
            && meta["labels"]["kustomize.toolkit.fluxcd.io/namespace"] == namespace(object);
        let opted_out = ["labels", "annotations"].iter().any(|part| {
            meta[*part]["kustomize.toolkit.fluxcd.io/prune"] == "disabled"
                || meta[*part]["kustomize.toolkit.fluxcd.io/reconcile"] == "disabled"
        });
        if ours && !opted_out && !deleting(&there) {
            changes.push(Change::delete(res, &there));
        }
    }
}

pub(super) fn finalize(scene: &Scene<'_>, object: &Value, changes: &mut Vec<Change>) {
    let finalizers = items(&object["metadata"]["finalizers"]);
    if finalizers.iter().any(|it| it == FINALIZER) {
        if object["spec"]["suspend"] != true {
            prune(scene, object, &[], changes);
        }
        let left: Vec<&Value> = finalizers.iter().filter(|it| *it != FINALIZER).collect();
        changes.push(Change::spec(
            &KUSTOMIZATIONS,
            object,
            json!({"metadata": {"finalizers": left}}),
        ));
    }
}
