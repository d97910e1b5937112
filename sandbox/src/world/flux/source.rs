//! source-controller: fetches the remote and says which commit it has.

use std::path::{Path, PathBuf};

use git2::{FetchOptions, Repository, RepositoryInitOptions};
use serde_json::{Value, json};

use crate::world::{
    kinds::{GIT_REPOSITORIES, HELM_RELEASES, HELM_REPOSITORIES},
    make::{conditions, items, name, namespace, now, stable_hex, text, uid_of, would_change},
    scene::{Change, Scene},
};

/// The annotation with which somebody asks for a reconciliation now.
pub(crate) const REQUESTED: &str = "reconcile.fluxcd.io/requestedAt";

pub(crate) struct Source {
    remote: PathBuf,
    store: PathBuf,
}

impl Source {
    pub(crate) fn new(remote: PathBuf, store: PathBuf) -> Self {
        Self { remote, store }
    }

    pub(crate) fn step(&mut self, scene: &Scene<'_>, changes: &mut Vec<Change>) {
        for repository in scene.list(&GIT_REPOSITORIES) {
            if repository["spec"]["suspend"] == true {
                continue;
            }
            let key = format!("git/{}", uid_of(&repository));
            let token = text(&repository["metadata"]["annotations"][REQUESTED]);
            let asked =
                !token.is_empty() && token != text(&repository["status"]["lastHandledReconcileAt"]);
            let changed =
                repository["metadata"]["generation"] != repository["status"]["observedGeneration"];
            let failing = scene.fault("flux-source-unreachable") != fails(&repository);
            if asked || changed || failing || scene.timers.waited(&key, scene.pace.git_interval) {
                scene.timers.forget(&key);
                // From here on the time counts.
                let _ = scene.timers.waited(&key, scene.pace.git_interval);
                self.reconcile(scene, &repository, changes);
            }
        }
        helm(scene, changes);
    }

    fn reconcile(&self, scene: &Scene<'_>, repository: &Value, changes: &mut Vec<Change>) {
        let branch = repository["spec"]["ref"]["branch"]
            .as_str()
            .unwrap_or("master");
        let url = text(&repository["spec"]["url"]);
        let fetched = if scene.fault("flux-source-unreachable") {
            Err(format!(
                "unable to clone '{url}': dial tcp: connect: network is unreachable"
            ))
        } else {
            fetch(&self.remote, &self.store, branch).map_err(|error| {
                format!(
                    "failed to checkout and determine revision: unable to clone '{url}': {}",
                    error.message()
                )
            })
        };
        let old = &repository["status"]["conditions"];
        let generation = &repository["metadata"]["generation"];
        let mut status = match fetched {
            Ok(commit) => {
                let revision = format!("{branch}@sha1:{commit}");
                let told = [
                    json!({
                        "type": "Ready", "status": "True", "reason": "Succeeded", "observedGeneration": generation,
                        "message": format!("stored artifact for revision '{revision}'"),
                    }),
                    json!({
                        "type": "ArtifactInStorage", "status": "True", "reason": "Succeeded",
                        "observedGeneration": generation,
                        "message": format!("stored artifact for revision '{revision}'"),
                    }),
                ];
                let mut status =
                    json!({"conditions": without(conditions(old, &told), "FetchFailed")});
                if repository["status"]["artifact"]["revision"] != revision.as_str() {
                    let path = format!(
                        "gitrepository/{}/{}/{commit}.tar.gz",
                        namespace(repository),
                        name(repository)
                    );
                    status["artifact"] = json!({
                        "revision": revision, "digest": format!("sha256:{}", stable_hex(&commit, 64)),
                        "lastUpdateTime": now(), "path": path, "size": 8412,
                        "url": format!("http://source-controller.flux-system.svc.cluster.local./{path}"),
                    });
                }
                status
            }
            Err(message) => {
                let told = [
                    json!({
                        "type": "Ready", "status": "False", "reason": "GitOperationFailed", "message": message,
                        "observedGeneration": generation,
                    }),
                    json!({
                        "type": "FetchFailed", "status": "True", "reason": "GitOperationFailed", "message": message,
                        "observedGeneration": generation,
                    }),
                ];
                json!({"conditions": conditions(old, &told)})
            }
        };
        status["observedGeneration"] = generation.clone();
        let token = &repository["metadata"]["annotations"][REQUESTED];
        if token.is_string() {
            status["lastHandledReconcileAt"] = token.clone();
        }
        if would_change(&repository["status"], &status) {
            changes.push(Change::status(&GIT_REPOSITORIES, repository, status));
        }
    }
}

fn fails(repository: &Value) -> bool {
    items(&repository["status"]["conditions"]).iter().any(|it| {
        it["type"] == "FetchFailed" && text(&it["message"]).contains("network is unreachable")
    })
}

/// The conditions without one that is present only while it is true.
pub(crate) fn without(conditions: Value, kind: &str) -> Value {
    items(&conditions)
        .iter()
        .filter(|it| it["type"] != kind)
        .cloned()
        .collect::<Vec<_>>()
        .into()
}

/// Fetches the branch into the store and returns its commit.
fn fetch(remote: &Path, store: &Path, branch: &str) -> Result<String, git2::Error> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false).mkpath(true);
    let repository = match Repository::open_bare(store) {
        Ok(repository) => repository,
        Err(_) => Repository::init_opts(store, &options)?,
    };
    let url = remote.to_string_lossy();
    let mut origin = repository.remote_anonymous(&url)?;
    let refspec = format!("+refs/heads/{branch}:refs/heads/{branch}");
    origin.fetch(&[&refspec], Some(&mut FetchOptions::new()), None)?;
    Ok(repository
        .refname_to_id(&format!("refs/heads/{branch}"))?
        .to_string())
}

/// helm-controller and its sources, in short: every release is installed and stays so.
fn helm(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    for repository in scene.list(&HELM_REPOSITORIES) {
        let generation = &repository["metadata"]["generation"];
        let told = json!({
            "type": "Ready", "status": "True", "reason": "Succeeded", "observedGeneration": generation,
            "message": "stored artifact: index of the repository",
        });
        let digest = format!(
            "sha256:{}",
            stable_hex(text(&repository["spec"]["url"]), 64)
        );
        let path = format!(
            "helmrepository/{}/{}/index.yaml",
            namespace(&repository),
            name(&repository)
        );
        let status = json!({
            "observedGeneration": generation,
            "conditions": conditions(&repository["status"]["conditions"], &[told]),
            "artifact": {
                "revision": digest, "digest": digest, "size": 20480,
                "lastUpdateTime": repository["metadata"]["creationTimestamp"],
                "url": format!("http://source-controller.flux-system.svc.cluster.local./{path}"), "path": path,
            },
        });
        if would_change(&repository["status"], &status) {
            changes.push(Change::status(&HELM_REPOSITORIES, &repository, status));
        }
    }
    for release in scene.list(&HELM_RELEASES) {
        let generation = &release["metadata"]["generation"];
        let chart = &release["spec"]["chart"]["spec"];
        let message = format!(
            "Helm install succeeded for release {}/{}.v1 with chart {}@{}",
            namespace(&release),
            name(&release),
            text(&chart["chart"]),
            text(&chart["version"]),
        );
        let told = [
            json!({"type": "Ready", "status": "True", "reason": "InstallSucceeded", "message": message, "observedGeneration": generation}),
            json!({"type": "Released", "status": "True", "reason": "InstallSucceeded", "message": message, "observedGeneration": generation}),
        ];
        let deployed = &release["metadata"]["creationTimestamp"];
        let digest = |of: &str| {
            format!(
                "sha256:{}",
                stable_hex(&format!("{of} {}", release["spec"]), 64)
            )
        };
        let status = json!({
            "observedGeneration": generation,
            "conditions": conditions(&release["status"]["conditions"], &told),
            "history": [{
                "configDigest": digest("values"), "digest": digest("release"),
                "firstDeployed": deployed, "lastDeployed": deployed,
                "chartName": chart["chart"], "chartVersion": chart["version"], "status": "deployed", "version": 1,
                "name": name(&release), "namespace": namespace(&release),
            }],
        });
        if would_change(&release["status"], &status) {
            changes.push(Change::status(&HELM_RELEASES, &release, status));
        }
    }
}
