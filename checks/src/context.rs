//! What a check is given.

use std::sync::Arc;

use reports::model::Report;

use crate::{Settings, git::Repository, view::View};

/// What a check is given: the cluster, the repository, what is wanted, and what has happened so far in this run.
#[derive(Clone)]
pub struct Context {
    /// The cluster, each kind asked once.
    pub view: View,
    /// What is wanted, from flags and configuration.
    pub settings: Arc<Settings>,
    /// The GitOps repository, where the run has one.
    pub repository: Option<Arc<Repository>>,
    /// The run so far: outcomes of earlier phases, and what the actions recorded (commit ids, tokens).
    pub report: Arc<Report>,
}

impl Context {
    /// What an action of this run recorded under a key, if it is done.
    #[must_use]
    pub fn recorded(&self, action: &str, key: &str) -> Option<&str> {
        self.report
            .action(action)?
            .recorded
            .get(key)
            .map(String::as_str)
    }

    /// The commit that this run is about: the one that it made, or the one that it found active.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        self.recorded("gitops::commit", "commit")
    }

    /// Name of the new node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.settings.node.name
    }
}
