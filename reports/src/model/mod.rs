//! What happened, as one value.
//!
//! JUnit, Markdown and `onboarding-state.json` are three views of a [`Report`]; a later run reads it back to go on.
//! Nothing here knows Kubernetes: names of objects are text.

mod outcome;
mod phase;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use outcome::{Kind, Outcome, Severity};
pub use phase::{Phase, UnknownPhase};

/// Version of the report's format. Raised when an older reader would misread what a newer writer wrote.
pub const SCHEMA: u32 = 1;

/// One start of the program and everything it found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Format version, [`SCHEMA`] when written by this program.
    pub schema: u32,
    /// Raised by one at every write; of two whole copies the higher wins.
    pub sequence: u64,
    /// Eight hexadecimal digits, new for every run; a resumed run keeps it.
    pub run: String,
    /// What the run was for.
    pub mode: Mode,
    /// Name of the node.
    pub node: String,
    /// Which cluster.
    pub cluster: Cluster,
    /// Which repository; absent in runs that need none.
    pub repository: Option<RepositoryIdentity>,
    /// Version of the program that wrote the report.
    pub tool: String,
    /// When the run began; a resumed run keeps the first beginning.
    pub started: Timestamp,
    /// When it ended; absent while it runs and after a crash.
    pub finished: Option<Timestamp>,
    /// How it ended; absent while it runs and after a crash.
    pub exit_code: Option<u8>,
    /// How often it was resumed.
    pub resumed: u32,
    /// All nine phases in order, whatever was selected.
    pub phases: Vec<PhaseReport>,
    /// The steps of a rollback in order, also those not reached; empty unless one was begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Case>,
    /// What was changed, in order of the change: the journal that resume and rollback read.
    pub actions: Vec<ActionRecord>,
    /// Requests sent to the API server in all, retries and earlier starts included, as of the last phase that ended.
    #[serde(default)]
    pub requests: u64,
    /// Those of them that were sent for no case that ended: by what asked, such as `the lock`.
    #[serde(default)]
    pub other_requests: BTreeMap<String, u64>,
    /// The cluster as last seen, for people; see [`ClusterState`].
    pub state: Option<ClusterState>,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The ordered run of all phases.
    Onboard,
    /// The ordered run without its changes.
    DryRun,
    /// Some phases or checks, nothing changed.
    Inspect,
    /// Taking the node out again.
    Rollback,
}

impl Mode {
    /// The word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Onboard => "onboard",
            Self::DryRun => "dry_run",
            Self::Inspect => "inspect",
            Self::Rollback => "rollback",
        }
    }
}

/// Which cluster a run was about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// UID of the namespace `kube-system`: stays the same for the life of a cluster. Empty when it was never read.
    pub uid: String,
    /// Context name, for people.
    pub name: String,
    /// URL of the API server, without credentials.
    pub server: String,
    /// The server's version, such as `v1.36.2+k3s1`.
    pub version: String,
    /// Whether it is the embedded sandbox and no real cluster.
    pub sandbox: bool,
}

/// Which repository and which entry in it a run was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryIdentity {
    /// URL of the followed remote, without credentials.
    pub remote: String,
    /// Branch that Flux follows.
    pub branch: String,
    /// Path of the kustomization file in the repository.
    pub file: String,
    /// The entry in it, such as `../k3s2-node-config/`.
    pub entry: String,
}

/// One phase of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseReport {
    /// Which one.
    pub phase: Phase,
    /// How far it is.
    pub state: PhaseState,
    /// First beginning.
    pub started: Option<Timestamp>,
    /// Last end.
    pub finished: Option<Timestamp>,
    /// Why it failed, one line; empty when it did not. Kept when a resumed run gets past it.
    pub error: String,
    /// Requests sent to the API server during the phase, retries included.
    pub requests: u64,
    /// Checks and actions in the order in which they are listed, also those not reached.
    pub cases: Vec<Case>,
}

impl PhaseReport {
    /// From its first beginning to its last end.
    #[must_use]
    pub fn duration(&self) -> Option<SignedDuration> {
        Some(self.finished?.duration_since(self.started?))
    }
}

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseState {
    /// Not reached.
    NotStarted,
    /// Begun and not ended: running, or the program was killed in it.
    InProgress,
    /// Every F check and every action in it is through.
    Completed,
    /// Stopped here.
    Failed,
    /// Left out by `--skip-validation`.
    Skipped,
}

impl PhaseState {
    /// The word in reports and in the state file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One check or action of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Such as `storage::node_ready`.
    pub id: String,
    /// What is true when it passes, one sentence.
    pub title: String,
    /// Check or action.
    pub kind: Kind,
    /// What its failure means for the phase.
    pub severity: Severity,
    /// Criterion of the specification (`2.3`), or `beyond the specification`.
    pub criterion: String,
    /// How far it is.
    pub progress: Progress,
}

/// How far a case is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "progress")]
pub enum Progress {
    /// Not reached, or not selected.
    #[default]
    NotStarted,
    /// Begun and not ended.
    InProgress {
        /// When it began.
        started: Timestamp,
    },
    /// Ended.
    Done(Box<Ended>),
}

/// The end of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// What came out.
    pub outcome: Outcome,
    /// Stable UpperCamelCase code; empty only for a pass.
    pub reason: String,
    /// One line: what was found, or what was done.
    pub message: String,
    /// What was looked at, one fact a line.
    pub evidence: Vec<String>,
    /// What to do, as a command that can be pasted where there is one; empty when nothing is to be done.
    pub hint: String,
    /// For `blocked`: the ids that it waits for.
    pub blocked_by: Vec<String>,
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub duration: SignedDuration,
    /// Requests that it caused, retries included; a shared list counts for whoever asked first.
    pub requests: u64,
    /// Source line that decided, such as `checks/src/storage.rs:120`; empty when not known.
    pub at: String,
}

/// One change that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// Id of the action, such as `gitops::push`.
    pub id: String,
    /// Whether it was carried through.
    pub state: ActionState,
    /// When it was begun.
    pub started: Timestamp,
    /// When it was done or undone.
    pub finished: Option<Timestamp>,
    /// What a later run must know: commit ids, pre-images, object UIDs. Never a secret.
    pub recorded: BTreeMap<String, String>,
}

/// Whether a change was carried through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionState {
    /// Begun; whether it took effect must be asked of the world.
    Begun,
    /// Done.
    Done,
    /// Done and later taken back.
    Undone,
}

/// The cluster as last seen, for the Markdown report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    /// Tables in order: title, column names, rows.
    pub tables: Vec<Table>,
}

/// One table of the cluster's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Heading.
    pub title: String,
    /// Column names.
    pub columns: Vec<String>,
    /// Rows, as wide as the columns.
    pub rows: Vec<Vec<String>>,
}

impl Report {
    /// The report of one phase.
    #[must_use]
    pub fn phase(&self, phase: Phase) -> Option<&PhaseReport> {
        self.phases.iter().find(|one| one.phase == phase)
    }

    /// The report of one phase, to be changed.
    pub fn phase_mut(&mut self, phase: Phase) -> Option<&mut PhaseReport> {
        self.phases.iter_mut().find(|one| one.phase == phase)
    }

    /// Every case: checks and actions of all phases, then the steps of a rollback.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        let phases = self.phases.iter().flat_map(|phase| &phase.cases);
        phases.chain(&self.steps)
    }

    /// One case by its id.
    #[must_use]
    pub fn case(&self, id: &str) -> Option<&Case> {
        self.phases
            .iter()
            .flat_map(|phase| &phase.cases)
            .chain(&self.steps)
            .find(|case| case.id == id)
    }

    /// One case by its id, to be changed.
    pub fn case_mut(&mut self, id: &str) -> Option<&mut Case> {
        self.phases
            .iter_mut()
            .flat_map(|phase| &mut phase.cases)
            .chain(&mut self.steps)
            .find(|case| case.id == id)
    }

    /// The newest record of an action.
    #[must_use]
    pub fn action(&self, id: &str) -> Option<&ActionRecord> {
        self.actions.iter().rev().find(|action| action.id == id)
    }

    /// Whether any change was begun and not taken back. What `--auto-fix` mended is nothing to take back.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.actions
            .iter()
            .any(|action| action.state != ActionState::Undone && !action.id.starts_with("fix::"))
    }

    /// Ids of the actions that have changed something, or have begun to, and did not take it back; each once, in order.
    /// What `--auto-fix` mended is among them.
    #[must_use]
    pub fn changed_by(&self) -> Vec<&str> {
        let mut ids = Vec::new();
        for action in &self.actions {
            if action.state != ActionState::Undone && !ids.contains(&action.id.as_str()) {
                ids.push(action.id.as_str());
            }
        }
        ids
    }

    /// How many phases are in this state.
    #[must_use]
    pub fn count(&self, state: PhaseState) -> usize {
        self.phases
            .iter()
            .filter(|phase| phase.state == state)
            .count()
    }

    /// Whether all nine phases are through (`skipped` counts).
    #[must_use]
    pub fn complete(&self) -> bool {
        self.phases
            .iter()
            .all(|phase| matches!(phase.state, PhaseState::Completed | PhaseState::Skipped))
    }
}

impl Case {
    /// The end of the case, if it has one.
    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        match &self.progress {
            Progress::Done(ended) => Some(ended),
            Progress::NotStarted | Progress::InProgress { .. } => None,
        }
    }

    /// What came out, if it ended.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.ended().map(|ended| ended.outcome)
    }
}
