//! A running sandbox.

use std::path::{Path, PathBuf};

use crate::{Options, api::RequestRecord};

/// Why a sandbox did not start or could not be found.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox {what}")]
pub struct SandboxError {
    what: String,
}

/// A running sandbox, or one that another process serves.
///
/// Layout of its folder: `kubeconfig`, `checkout/` (working copy of the GitOps repository with its own identity and
/// signing key), `remote.git/` (bare), `faults` (one name a line, re-read when it changes), `sandbox.json`
/// (addresses, cluster UID, process id), `objects.json` (the objects, so that a restart is the same cluster),
/// `requests.jsonl` (the record of requests).
#[derive(Debug)]
pub struct Sandbox {
    dir: PathBuf,
}

impl Sandbox {
    /// Starts a sandbox and returns once its API server answers and its world stands at the stage asked for.
    ///
    /// # Errors
    /// No free loopback addresses, a folder that cannot be written, an unknown fault.
    pub async fn start(options: Options) -> Result<Self, SandboxError> {
        let _ = options;
        Err(SandboxError {
            what: "is not built".into(),
        })
    }

    /// Finds the sandbox that another process serves in `dir` (`--sandbox-serve`).
    ///
    /// # Errors
    /// Nothing is served there.
    pub async fn attach(dir: &Path) -> Result<Self, SandboxError> {
        let _ = dir;
        Err(SandboxError {
            what: "is not built".into(),
        })
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

    /// Switches a fault on or off in the running world.
    ///
    /// # Errors
    /// The fault is not in the catalogue, or the `faults` file cannot be written.
    pub async fn set_fault(&self, name: &str, on: bool) -> Result<(), SandboxError> {
        let _ = (name, on);
        Err(SandboxError {
            what: "is not built".into(),
        })
    }

    /// Every request so far, oldest first, without those of the sandbox's own actors.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        Vec::new()
    }

    /// Ends the world and the API server; removes a temporary folder.
    pub async fn shutdown(self) {}
}
