//! Deeds in the repository: what people do to their working copy, and what they commit and push.

use std::fs;

use crate::world::{
    git::{self, GitTrouble},
    tree,
};

use super::{Fate, told};

/// A Flux Kustomization that builds the new node's folder a second time, into another namespace.
const SECOND_OWNER: &str = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  \
    name: longhorn-disks\n  namespace: flux-system\nspec:\n  interval: 10m0s\n  path: ./infrastructure/NODE-node-config\n  \
    prune: true\n  targetNamespace: default\n  sourceRef:\n    kind: GitRepository\n    name: flux-system\n";
/// A manifest in a version that Flux serves no longer.
const OLD_API: &str = "apiVersion: helm.toolkit.fluxcd.io/v2beta1\nkind: HelmRelease\nmetadata:\n  name: old\n  \
    namespace: apps\nspec:\n  interval: 30m\n";

impl Fate {
    /// Does or undoes a deed in the repository; whether this is one.
    pub(super) fn deed_in_git(&mut self, name: &str, on: bool) -> bool {
        let done = match name {
            "checkout-detached"
            | "checkout-other-branch"
            | "checkout-other-remote"
            | "checkout-unpushed"
            | "git-identity-missing"
            | "git-signing-off" => git::disturb(&self.places, &self.shared.cast, name, on),
            "node-config-entry-missing"
            | "node-config-inactive"
            | "node-manifest-incomplete"
            | "node-owned-twice"
            | "manifest-of-old-api"
            | "join-token-in-git"
            | "plaintext-secret-in-git" => self.commit(name, on),
            _ => return false,
        };
        told(name, done);
        true
    }

    /// Commits and pushes a change, or its opposite.
    fn commit(&self, fault: &str, on: bool) -> Result<(), GitTrouble> {
        let cast = &self.shared.cast;
        let as_it_was = |path: &str, active: bool| {
            tree::files(cast, active)
                .into_iter()
                .find(|(file, _)| file == path)
                .map(|(_, text)| text)
        };
        let folder = format!("infrastructure/{}-node-config", cast.node);
        let manifest = format!("{folder}/{}-node.yaml", cast.node);
        let root = format!("{}/kustomization.yaml", tree::ROOT);
        let changes: Vec<(String, Option<String>)> = match fault {
            "node-config-inactive" => {
                vec![(tree::STORAGE.to_owned(), as_it_was(tree::STORAGE, !on))]
            }
            "node-config-entry-missing" => {
                let whole = as_it_was(tree::STORAGE, false).unwrap_or_default();
                let entry = format!("../{}-node-config/", cast.node);
                let without: Vec<&str> = whole
                    .lines()
                    .filter(|line| !line.contains(&entry))
                    .collect();
                let text = if on {
                    without.join("\n") + "\n"
                } else {
                    whole.clone()
                };
                vec![(tree::STORAGE.to_owned(), Some(text))]
            }
            "node-manifest-incomplete" => {
                let whole = as_it_was(&manifest, false).unwrap_or_default();
                let without: Vec<&str> = whole
                    .lines()
                    .filter(|line| !line.starts_with("  allowScheduling:"))
                    .collect();
                let text = if on {
                    without.join("\n") + "\n"
                } else {
                    whole.clone()
                };
                vec![(manifest, Some(text))]
            }
            "node-owned-twice" => {
                let text = SECOND_OWNER.replace("NODE", &cast.node);
                let mut list = as_it_was(&root, false).unwrap_or_default();
                if on {
                    list.push_str("  - longhorn-disks.yaml\n");
                }
                vec![
                    (
                        format!("{}/longhorn-disks.yaml", tree::ROOT),
                        on.then_some(text),
                    ),
                    (root, Some(list)),
                ]
            }
            "manifest-of-old-api" => {
                let path = "infrastructure/longhorn/old.yaml".to_owned();
                let root = "infrastructure/longhorn/kustomization.yaml".to_owned();
                let mut list = as_it_was(&root, false).unwrap_or_default();
                if on {
                    list.push_str("  - old.yaml\n");
                }
                vec![(path, on.then(|| OLD_API.to_owned())), (root, Some(list))]
            }
            "join-token-in-git" => {
                // A token in form only: its hash is of no certificate.
                let token = format!("K10{}::server:sandbox", "0123456789abcdef".repeat(4));
                let text = format!("#cloud-config\nwrite_files:\n  - content: K3S_TOKEN={token}\n");
                let path = "infrastructure/cloud-init/user-data.yaml".to_owned();
                vec![(path, on.then_some(text))]
            }
            _ => {
                let text = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: grafana-admin\n  namespace: \
                            monitoring\nstringData:\n  password: for-the-sandbox-only\n";
                let path = "infrastructure/monitoring/grafana-admin.yaml".to_owned();
                vec![(path, on.then(|| text.to_owned()))]
            }
        };
        for (path, text) in changes {
            let file = self.places.checkout.join(path);
            match text {
                Some(text) => {
                    if let Some(folder) = file.parent() {
                        fs::create_dir_all(folder)?;
                    }
                    fs::write(file, text)?;
                }
                None => git::remove_if_there(&file)?,
            }
        }
        let word = if on { "brings" } else { "takes back" };
        git::commit_and_push(&self.places, &format!("home: {word} {fault}\n"))
    }
}
