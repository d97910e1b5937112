//! k3s on both machines: the join, the kubelets, and what the server does about nodes.

mod kubelet;
mod machine;
mod metrics;
pub(crate) mod network;
mod node;
mod probe;
mod server;

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    flux,
    kinds::KUSTOMIZATIONS,
    make::text,
    scene::{Actor, Change, Scene},
};

pub(crate) use metrics::{numbers, usage};
pub(crate) use node::kubelet_version;

/// k3s, as one actor.
pub(crate) struct K3s {
    /// Where the revision is read in which a node is switched on.
    store: PathBuf,
    /// The new machine stays off, whatever git says.
    held: bool,
    /// Whether the node's entry is active in a revision.
    active: BTreeMap<String, bool>,
    machines: BTreeMap<String, machine::Memory>,
}

impl K3s {
    /// Reads revisions from `store`; with `held` the new machine stays off.
    pub(crate) fn new(store: PathBuf, held: bool) -> Self {
        Self {
            store,
            held,
            active: BTreeMap::new(),
            machines: BTreeMap::new(),
        }
    }

    /// Whether Flux has attempted a revision in which the new node's entry is active. That stands for the person who
    /// switches the machine on once the configuration is there.
    fn is_on(&mut self, scene: &Scene<'_>) -> bool {
        let attempted = scene
            .get(&KUSTOMIZATIONS, "flux-system", "infrastructure-storage")
            .map(|it| text(&it["status"]["lastAttemptedRevision"]).to_owned())
            .unwrap_or_default();
        let Some((_, commit)) = attempted.rsplit_once(':') else {
            return false;
        };
        let node = &scene.cast.node;
        let active = match self.active.get(commit) {
            Some(active) => *active,
            None => {
                let Ok(objects) = flux::build_at(&self.store, commit, "./infrastructure/storage")
                else {
                    return false;
                };
                let active = objects.iter().any(|object| {
                    object["kind"] == "Node"
                        && text(&object["apiVersion"]).starts_with("longhorn.io/")
                        && object["metadata"]["name"] == node.as_str()
                });
                self.active.insert(commit.to_owned(), active);
                active
            }
        };
        active && !self.held
    }
}

impl Actor for K3s {
    fn step(&mut self, scene: &Scene<'_>) -> Vec<Change> {
        let mut changes = Vec::new();
        let on = self.is_on(scene);
        for name in [scene.cast.control_plane.clone(), scene.cast.node.clone()] {
            let powered = name == scene.cast.control_plane || on;
            let memory = self.machines.entry(name.clone()).or_default();
            machine::join(scene, &name, powered, memory, &mut changes);
            kubelet::pods(scene, &name, &mut changes);
        }
        server::nodes(scene, &mut changes);
        // Elsewhere metrics-server is asked by the API server itself.
        if scene.cast.own_controllers() {
            metrics::measure(scene, &mut changes);
        }
        changes
    }
}

/// Whether a node has gone through every state of a join.
pub(crate) fn joined(node: &serde_json::Value) -> bool {
    machine::state(node) >= 7
}

/// The node password of another machine, as a former node of this name would have left it.
pub(crate) fn foreign_password(secret: &str) -> serde_json::Value {
    machine::password_secret(secret, machine::FOREIGN)
}
