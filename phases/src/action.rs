//! What an action is: data, and something that can look, plan and apply.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use checks::{Context, Criterion, Need, Reason};
use futures::future::BoxFuture;
use kube::Client;
use reports::model::Phase;
use tokio::time::Instant;

use crate::{Stop, lease::Permit, temporary, wait::Observer};

/// A step of a phase that changes something.
pub struct Action {
    /// `gitops::push`: short name of the phase, `::`, what is done.
    pub id: &'static str,
    /// What it does, one sentence. May name `{node}` and `{control_plane}`.
    pub title: &'static str,
    /// Ids of checks and actions of the same phase that must have passed.
    pub requires: &'static [&'static str],
    /// What it reads and changes.
    pub needs: &'static [Need],
    /// The criterion of the specification that it serves.
    pub criterion: Criterion,
    /// Why it is done.
    pub why: &'static str,
    /// What a rollback does with it.
    pub inverse: &'static str,
    /// Every reason of its own for not getting through, each with what to do about it.
    pub reasons: &'static [Reason],
    /// How it is done.
    pub act: &'static dyn Act,
}

impl Action {
    /// The phase that it belongs to, by its id.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        Phase::of_id(self.id)
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Action")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// How an action is done. Every one is idempotent: applying it where it is already so changes nothing.
pub trait Act: Send + Sync {
    /// Whether it is already so; then nothing is applied and this is what is recorded. Reads only.
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>>;

    /// What would be changed, as text that a person can judge. Reads only.
    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>>;

    /// Changes it. Whatever a later run must know is given to [`ActionContext::journal`] before it takes effect.
    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>>;

    /// Whether everything that it makes is to live only as long as it works: probe pods, a test volume. Such an action
    /// leaves nothing to roll back; what it found out is what it recorded, and a later start does it again.
    fn is_temporary(&self) -> bool {
        false
    }

    /// Removes what the action of this id made for itself, found by the labels of run and action, and says what that
    /// was. Called after every [`Act::apply`] of a temporary action, however it ended; asks for the removal and does not
    /// wait for it.
    fn release<'a>(
        &'a self,
        cx: &'a ActionContext,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Vec<String>, ActionError>> {
        Box::pin(temporary::release(cx, id))
    }
}

/// What an action is given.
#[derive(Clone)]
pub struct ActionContext {
    /// What checks are given too: a live view, the settings, the repository, the run so far.
    pub checks: Context,
    /// The client that may change things.
    pub client: Client,
    /// Whether it may write now. The client asks by itself; whoever touches the repository asks before.
    pub permit: Permit,
    /// Where it writes down what it does.
    pub journal: Arc<dyn Journal>,
    /// Who is told while it waits.
    pub observer: Arc<dyn Observer>,
    /// When the phase's time is over.
    pub deadline: Instant,
    /// Whether the run was asked to end.
    pub stop: Stop,
    /// Id of the run, for messages and labels.
    pub run: String,
    /// Folder for copies of files before they are changed.
    pub backup: PathBuf,
    /// How to reach the git remote.
    pub transport: checks::git::Transport,
    /// Whether an unsigned commit is an error.
    pub require_signed: bool,
}

impl ActionContext {
    /// What this or an earlier action of the run wrote down.
    #[must_use]
    pub fn recorded(&self, action: &str, key: &str) -> Option<String> {
        self.journal.recorded(action, key)
    }
}

/// Where actions write down what they do. Every entry is on the disk when the call returns.
pub trait Journal: Send + Sync {
    /// Writes one fact of an action down: a commit id, a pre-image, an object's UID. Never a secret.
    ///
    /// # Errors
    /// The report cannot be written; then nothing may be changed.
    fn record(&self, action: &str, key: &str, value: &str) -> Result<(), ActionError>;

    /// What was written down, also by an earlier start of the same run.
    fn recorded(&self, action: &str, key: &str) -> Option<String>;
}

/// What an action did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// One line: what is now so.
    pub message: String,
    /// What was looked at and changed, one fact a line.
    pub evidence: Vec<String>,
    /// Facts for the journal beside those that were written down on the way.
    pub recorded: BTreeMap<String, String>,
    /// Set when it is done and a person should look all the same: a reason with its UpperCamelCase code.
    pub warning: Option<&'static str>,
}

impl Done {
    /// Done, in one line.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }

    /// Adds one fact that was looked at.
    #[must_use]
    pub fn saw(mut self, fact: impl Into<String>) -> Self {
        self.evidence.push(fact.into());
        self
    }

    /// Adds one fact for the journal.
    #[must_use]
    pub fn record(mut self, key: &str, value: impl Into<String>) -> Self {
        self.recorded.insert(key.to_owned(), value.into());
        self
    }

    /// Says that a person should look all the same.
    #[must_use]
    pub fn warn(mut self, reason: &'static str) -> Self {
        self.warning = Some(reason);
        self
    }
}

/// What an action would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One change a part: a unified diff, a commit message, a patch. Empty when it is already so.
    pub parts: Vec<String>,
}

/// Why an action did not get through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ActionError {
    /// Stable UpperCamelCase code, one of the action's reasons or a common one.
    pub reason: &'static str,
    /// One line that names the object, what was expected and what was found.
    pub message: String,
    /// What was looked at.
    pub evidence: Vec<String>,
    /// What to do, where it can be said more exactly than the remedy of the reason does.
    pub hint: Option<String>,
}

impl ActionError {
    /// An error with its reason.
    #[must_use]
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            evidence: Vec::new(),
            hint: None,
        }
    }

    /// Adds one fact that was looked at.
    #[must_use]
    pub fn saw(mut self, fact: impl Into<String>) -> Self {
        self.evidence.push(fact.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<checks::view::ReadError> for ActionError {
    fn from(error: checks::view::ReadError) -> Self {
        let verdict = checks::Verdict::from(error);
        Self::new(verdict.reason(), verdict.message())
    }
}
