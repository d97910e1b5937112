//! A running sandbox.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    Options,
    api::RequestRecord,
    faults,
    world::{Folder, Noise, World},
};

/// Why a sandbox did not start or could not be found.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox {what}")]
pub struct SandboxError {
    what: String,
}

impl SandboxError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// A running sandbox, or one that another process serves.
///
/// Layout of its folder: `kubeconfig`, `checkout/` (working copy of the GitOps repository with its own identity and
/// signing key), `remote.git/` (bare), `faults` (one name a line, re-read when it changes), `faults.taken` (what the
/// world has taken of it), `sandbox.json` (addresses, cluster UID, process id), `objects.json` (the objects, so that a
/// restart is the same cluster), `requests.jsonl` (the record of requests), `secrets.json` and `signing/` (tokens and
/// keys), `source.git/` (Flux's copy of the remote).
#[derive(Debug)]
pub struct Sandbox {
    dir: PathBuf,
    /// Absent when another process serves.
    world: Option<World>,
    /// Removes the folder at the end.
    temporary: Option<tempfile::TempDir>,
}

impl Sandbox {
    /// Starts a sandbox and returns once its API server answers and its world stands at the stage asked for.
    ///
    /// A folder that holds a sandbox already is found again: the same cluster, repository and addresses, whatever the
    /// other options say; `speed` and `faults` are taken from the options.
    ///
    /// # Errors
    /// No free loopback addresses, a folder that cannot be written or is served already, an unknown fault.
    pub async fn start(options: Options) -> Result<Self, SandboxError> {
        for name in &options.faults {
            known(name)?;
        }
        let (dir, temporary) = match &options.dir {
            Some(dir) => (dir.clone(), None),
            None => {
                let made = tempfile::Builder::new()
                    .prefix("onboarding-sandbox-")
                    .tempdir();
                let made = made.map_err(|error| {
                    SandboxError::new(format!("has no temporary folder: {error}"))
                })?;
                (made.path().to_owned(), Some(made))
            }
        };
        let folder = Folder::make(&dir).map_err(|error| {
            SandboxError::new(format!("folder {} cannot be used: {error}", dir.display()))
        })?;
        let dir = folder.dir.clone();
        let world = World::start(folder, &options, temporary.is_none()).await?;
        Ok(Self {
            dir,
            world: Some(world),
            temporary,
        })
    }

    /// Finds the sandbox that another process serves in `dir` (`--sandbox-serve`).
    ///
    /// # Errors
    /// Nothing is served there.
    pub async fn attach(dir: &Path) -> Result<Self, SandboxError> {
        let found = World::find(dir).await?;
        Ok(Self {
            dir: found,
            world: None,
            temporary: None,
        })
    }

    /// The folder of this sandbox.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The kubeconfig of the cluster's administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The working copy of the GitOps repository.
    #[must_use]
    pub fn checkout(&self) -> PathBuf {
        self.dir.join("checkout")
    }

    /// The bare remote that Flux follows.
    #[must_use]
    pub fn remote(&self) -> PathBuf {
        self.dir.join("remote.git")
    }

    /// Switches a fault on or off in the running world, and returns once the world has taken it. What follows from it
    /// comes in its own time.
    ///
    /// # Errors
    /// The fault is not in the catalogue, or the `faults` file cannot be written, or nobody serves the sandbox.
    pub async fn set_fault(&self, name: &str, on: bool) -> Result<(), SandboxError> {
        known(name)?;
        let folder = Folder {
            dir: self.dir.clone(),
        };
        let mut wanted = folder.names("faults");
        if on {
            wanted.insert(name.to_owned());
        } else {
            wanted.remove(name);
        }
        folder.write_names("faults", &wanted).map_err(|error| {
            SandboxError::new(format!("file faults cannot be written: {error}"))
        })?;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while folder.names("faults.taken") != wanted {
            if tokio::time::Instant::now() > deadline {
                return Err(SandboxError::new(format!(
                    "has not taken the fault {name} in 10 s: is it served?"
                )));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The faults that are on.
    #[must_use]
    pub fn faults(&self) -> BTreeSet<String> {
        Folder {
            dir: self.dir.clone(),
        }
        .names("faults")
    }

    /// How much trouble there is on the wire while a fault of the wire is on; `None`: about one request in seven.
    /// Nothing for a sandbox that another process serves.
    pub fn set_noise(&self, noise: Option<Noise>) {
        if let Some(world) = &self.world {
            world.set_noise(noise);
        }
    }

    /// Every request so far, oldest first, without those of the sandbox's own actors.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        if let Some(world) = &self.world {
            return world.requests();
        }
        let text = std::fs::read_to_string(self.dir.join("requests.jsonl")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Serves until `stop` is done, then ends: what `--sandbox-serve` does.
    pub async fn serve_until(self, stop: impl Future<Output = ()>) {
        stop.await;
        self.shutdown().await;
    }

    /// Ends the world and the API server; removes a temporary folder. A sandbox that another process serves goes on.
    pub async fn shutdown(self) {
        if let Some(world) = self.world {
            world.stop().await;
        }
        drop(self.temporary);
    }
}

fn known(name: &str) -> Result<(), SandboxError> {
    match faults::find(name) {
        Some(_) => Ok(()),
        None => Err(SandboxError::new(format!(
            "knows no fault {name:?}; it knows: {}",
            faults::catalogue()
                .iter()
                .map(|fault| fault.name)
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}
