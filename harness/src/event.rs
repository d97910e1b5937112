//! What happens during a run, told as it happens. Whoever shows a run to a person or a program listens here.

use std::{path::PathBuf, time::Duration};

use phases::rollback::Forecast;
use phases::wait::Waiting;
use reports::model::{Case, Cluster, Mode, Phase, PhaseState, RepositoryIdentity};

/// Who is told.
pub(crate) trait Sink: Send + Sync {
    /// Called from any thread, in the order in which things happen.
    fn event(&self, event: &Event);
}

/// What happens during a run.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the large one comes once a run, and events are passed by reference"
)]
pub(crate) enum Event {
    /// The run begins; nothing has been asked yet but who the cluster is.
    Started {
        /// Id of the run.
        run: String,
        /// What the run is for.
        mode: Mode,
        /// Whether all phases run in order.
        ordered: bool,
        /// Whether an earlier start is continued.
        resumed: bool,
        /// Name of the node.
        node: String,
        /// Which cluster.
        cluster: Cluster,
        /// Which repository.
        repository: Option<RepositoryIdentity>,
        /// `flux-system/flux-system`: what follows the repository.
        followed_by: String,
        /// The log file, when there is one.
        log: Option<PathBuf>,
    },
    /// A phase begins.
    PhaseStarted {
        /// Which.
        phase: Phase,
        /// How many checks and actions of it are selected.
        cases: usize,
    },
    /// What a rollback would do, before anything is changed; with the steps that would change something.
    Forecast {
        /// What was read.
        forecast: Box<Forecast>,
        /// What each step would change: its id and one change a line.
        plan: Vec<(String, Vec<String>)>,
    },
    /// Something that a person should read now, such as what to run on the host.
    Advice(String),
    /// A check or action begins.
    CaseStarted {
        /// Its id.
        id: String,
        /// Whether it is an action.
        action: bool,
    },
    /// A check or action has ended; `case` is [`reports::model::Progress::Done`].
    CaseEnded(Box<Case>),
    /// Something is awaited. Comes at least once a second.
    Waiting(Waiting),
    /// The wait is over.
    Waited,
    /// A phase has ended. In an inspect run it is `Completed` or `Failed` all the same.
    PhaseEnded {
        /// Which.
        phase: Phase,
        /// How.
        state: PhaseState,
        /// How long it took.
        took: Duration,
        /// Requests to the API server.
        requests: u64,
    },
    /// A phase is not run again: an earlier start completed it, or `--skip-validation` leaves it out.
    PhaseSkipped {
        /// Which.
        phase: Phase,
        /// Why, in words.
        why: String,
    },
    /// `--auto-fix`: what is about to be sent, or in a dry run would be.
    Mends {
        /// Id of the fix.
        fix: String,
        /// The check that it mends; empty for what is found without one.
        check: String,
        /// One change a part.
        parts: Vec<String>,
    },
    /// `--auto-fix`: it passes now.
    Fixed {
        /// Id of the fix.
        fix: String,
        /// The check; empty for what is found without one.
        check: String,
    },
    /// What an action would change, one part a change; its first line follows the word `would`.
    Planned {
        /// Id of the action.
        id: String,
        /// A sentence, and what belongs to it on further lines: a diff, a message, a patch.
        parts: Vec<String>,
    },
    /// A warning about the run itself: a damaged copy of the report, an unsigned commit.
    Warning(String),
}
