//! What goes when something else is gone: dependents, pods of lost nodes, the content of namespaces.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use crate::world::{
    kinds::{self, CLAIMS, NAMESPACES, NODES, PODS, Res, VOLUMES},
    make::{deleting, items, name, namespace, text, uid_of},
    scene::{Change, Scene},
};

fn everything(scene: &Scene<'_>) -> Vec<(&'static Res, Arc<Value>)> {
    kinds::ALL
        .iter()
        .flat_map(|res| scene.list(res).into_iter().map(|object| (*res, object)))
        .collect()
}

/// Garbage collection by ownerReferences, in the background or the foreground as the deletion asked.
pub(crate) fn orphans(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let all = everything(scene);
    let alive: BTreeSet<&str> = all.iter().map(|(_, object)| uid_of(object)).collect();
    let waiting: BTreeSet<&str> = all
        .iter()
        .filter(|(_, object)| deleting(object) && has_finalizer(object, "foregroundDeletion"))
        .map(|(_, object)| uid_of(object))
        .collect();
    let mut held: BTreeSet<&str> = BTreeSet::new();
    for (res, object) in &all {
        let owners = items(&object["metadata"]["ownerReferences"]);
        if owners.is_empty() {
            continue;
        }
        // An owner of a kind that nobody watches here is taken to live.
        let lives = |owner: &Value| {
            alive.contains(text(&owner["uid"]))
                || kinds::by_kind(text(&owner["apiVersion"]), text(&owner["kind"])).is_none()
        };
        let in_foreground = owners
            .iter()
            .any(|owner| waiting.contains(text(&owner["uid"])));
        if (in_foreground || !owners.iter().any(lives)) && !deleting(object) {
            let key = format!("orphan/{}", uid_of(object));
            // The owner may only not have been seen yet.
            if in_foreground || scene.timers.waited(&key, scene.pace.pod_stop) {
                scene.timers.forget(&key);
                changes.push(Change::delete(res, object));
            }
        }
        held.extend(
            owners
                .iter()
                .filter(|owner| owner["blockOwnerDeletion"] == true)
                .map(|owner| text(&owner["uid"])),
        );
    }
    for (res, object) in &all {
        if waiting.contains(uid_of(object)) && !held.contains(uid_of(object)) {
            drop_finalizer(res, object, "foregroundDeletion", changes);
        }
        if deleting(object) && has_finalizer(object, "orphan") {
            release(&all, object, changes);
            drop_finalizer(res, object, "orphan", changes);
        }
    }
}

fn release(all: &[(&'static Res, Arc<Value>)], owner: &Value, changes: &mut Vec<Change>) {
    for (res, object) in all {
        let owners = items(&object["metadata"]["ownerReferences"]);
        let left: Vec<&Value> = owners
            .iter()
            .filter(|it| it["uid"] != uid_of(owner))
            .collect();
        if left.len() < owners.len() {
            changes.push(Change::spec(
                res,
                object,
                json!({"metadata": {"ownerReferences": left}}),
            ));
        }
    }
}

fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    items(&object["metadata"]["finalizers"])
        .iter()
        .any(|it| it == finalizer)
}

fn drop_finalizer(res: &'static Res, object: &Value, finalizer: &str, changes: &mut Vec<Change>) {
    let left: Vec<&Value> = items(&object["metadata"]["finalizers"])
        .iter()
        .filter(|it| *it != finalizer)
        .collect();
    changes.push(Change::spec(
        res,
        object,
        json!({"metadata": {"finalizers": left}}),
    ));
}

/// Pods bound to a node that is not there any more: nobody else would ever end them.
pub(crate) fn lost_pods(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let nodes: BTreeSet<String> = scene
        .list(&NODES)
        .iter()
        .map(|node| name(node).to_owned())
        .collect();
    for pod in scene.list(&PODS) {
        let node = text(&pod["spec"]["nodeName"]);
        let key = format!("lost/{}", uid_of(&pod));
        if node.is_empty() || nodes.contains(node) {
            scene.timers.forget(&key);
        } else if scene.timers.waited(&key, scene.pace.pod_stop) {
            changes.push(Change::end(&pod));
        }
    }
}

/// Takes the protection from claims that no pod uses, and from volumes that no claim has, once they are to go.
pub(crate) fn protection(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let going = |res: &'static Res, finalizer: &'static str| {
        let all = scene.list(res).into_iter();
        all.filter(move |one| deleting(one) && has_finalizer(one, finalizer))
            .collect::<Vec<_>>()
    };
    let pods = scene.list(&PODS);
    for claim in going(&CLAIMS, "kubernetes.io/pvc-protection") {
        let uses = |pod: &Arc<Value>| {
            let over = matches!(text(&pod["status"]["phase"]), "Succeeded" | "Failed");
            let volumes = items(&pod["spec"]["volumes"]);
            !over
                && namespace(pod) == namespace(&claim)
                && volumes
                    .iter()
                    .any(|one| one["persistentVolumeClaim"]["claimName"] == name(&claim))
        };
        if !pods.iter().any(uses) {
            drop_finalizer(&CLAIMS, &claim, "kubernetes.io/pvc-protection", changes);
        }
    }
    let claims = scene.list(&CLAIMS);
    for volume in going(&VOLUMES, "kubernetes.io/pv-protection") {
        let bound = claims
            .iter()
            .any(|claim| claim["spec"]["volumeName"] == name(&volume));
        if !bound {
            drop_finalizer(&VOLUMES, &volume, "kubernetes.io/pv-protection", changes);
        }
    }
}

/// Empties namespaces that are being deleted, and lets them go once they are empty.
pub(crate) fn namespaces(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    for space in scene
        .list(&NAMESPACES)
        .iter()
        .filter(|space| deleting(space))
    {
        let content: Vec<_> = everything(scene)
            .into_iter()
            .filter(|(_, object)| namespace(object) == name(space))
            .collect();
        if content.is_empty() {
            changes.push(Change::Finalize(name(space).to_owned()));
        }
        for (res, object) in content {
            if !deleting(&object) {
                changes.push(Change::delete(res, &object));
            }
        }
    }
}
