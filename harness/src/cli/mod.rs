//! The command line: every option, grouped as a reader looks for it. What the options mean together is in [`rules`].

mod parse;
mod rules;

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{ArgAction, ColorChoice, Parser, ValueEnum};
use reports::model::Phase;

use crate::options::Format;

pub(crate) use parse::{Account, duration, node, phase};

const EXAMPLES: &str = "\
Examples:
  harness --sandbox --report              onboard into the embedded cluster
  harness --repo ~/k3s-flux --report      onboard into the kubeconfig's cluster
  harness --status                        how far it is, and the node now
  harness --history                       how earlier onboardings went
  harness --resume                        go on where it stopped
  harness --rollback                      take the node out again
  harness --phase storage                 ask the checks of one phase
  harness --phase storage disks           only those with `disks` in their id
  harness storage::node_ready --exact     only this one
  harness --list                          every check and action
  harness --explain storage::node_ready   what it asks, what to do if it fails
  harness --rbac | kubectl apply -f -     an account with these rights only
  harness --sandbox-serve /tmp/world      a cluster to try things on
  harness --sandbox=/tmp/world --resume   use it from another terminal

Phases, short and long:
  pre         pre_validation              monitoring  monitoring_integration
  gitops      gitops_activation           security    security_validation
  join        node_join_monitoring        post        post_validation
  storage     storage_integration         health      health_verification
  network     network_validation

Exit codes:
  0 passed    1 failed, can be resumed    2 usage    3 could not start
  4 nothing selected     6 locked by another run     7 report not usable
  8 rollback incomplete  130 interrupted";

/// Onboards a worker node into a k3s cluster and proves it, check by check. Without a filter it runs all nine phases in
/// order, with their changes. With --phase, a filter or --skip it only asks, unless --apply is given.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    name = "harness",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    after_help = EXAMPLES,
    max_term_width = 100
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one switch an option, as on the command line"
)]
pub(crate) struct Cli {
    /// Go on where an earlier onboarding stopped.
    #[arg(long, help_heading = "What to do")]
    pub(crate) resume: bool,
    /// Say how far the onboarding is, and what the cluster says now.
    #[arg(long, help_heading = "What to do")]
    pub(crate) status: bool,
    /// Say how earlier onboardings went: how many came through, what fails most, how long phases take.
    #[arg(long, help_heading = "What to do")]
    pub(crate) history: bool,
    /// Take the node out again: says first what that would do and what stands in the way, then asks.
    #[arg(long, help_heading = "What to do")]
    pub(crate) rollback: bool,
    /// List checks and actions; asks no cluster.
    #[arg(long, help_heading = "What to do")]
    pub(crate) list: bool,
    /// Say what a check asks, why, and what to do when it fails.
    #[arg(long, value_name = "CHECK", help_heading = "What to do")]
    pub(crate) explain: Option<String>,
    /// Print the roles that hold what the selected checks and actions need, as YAML; asks no cluster.
    #[arg(long, help_heading = "What to do")]
    pub(crate) rbac: bool,
    /// Remove what runs of this program left in the cluster.
    #[arg(long, help_heading = "What to do")]
    pub(crate) cleanup: bool,
    /// Ask what can be asked now, plan every change, and change nothing.
    #[arg(long, help_heading = "What to do")]
    pub(crate) dry_run: bool,
    /// Start over: archive the report of an unfinished onboarding, and keep what it changed on record.
    #[arg(long, help_heading = "What to do")]
    pub(crate) fresh: bool,
    /// Leave out the checks of pre_validation (not recommended).
    #[arg(long, help_heading = "What to do")]
    pub(crate) skip_validation: bool,
    /// Mend what a declared fix can safely mend.
    #[arg(long, help_heading = "What to do")]
    pub(crate) auto_fix: bool,
    /// Do not ask before removing something.
    #[arg(long, help_heading = "What to do")]
    pub(crate) yes: bool,

    /// Evict pods whose emptyDir is lost with them.
    #[arg(long, help_heading = "What a rollback may lose")]
    pub(crate) delete_emptydir_data: bool,
    /// Evict pods that nobody would start again.
    #[arg(long, help_heading = "What a rollback may lose")]
    pub(crate) force: bool,
    /// Let this volume go with its last copy; may be given several times.
    #[arg(long, value_name = "NAME", action = ArgAction::Append, help_heading = "What a rollback may lose")]
    pub(crate) lose_volume: Vec<String>,

    /// Only checks and actions whose id contains one of these.
    #[arg(value_name = "FILTER", help_heading = "Which checks")]
    pub(crate) filters: Vec<String>,
    /// Only this phase; may be given several times.
    #[arg(long, value_name = "PHASE", value_parser = parse::phase, help_heading = "Which checks")]
    pub(crate) phase: Vec<Phase>,
    /// Not those whose id contains this; may be given several times.
    #[arg(long, value_name = "FILTER", help_heading = "Which checks")]
    pub(crate) skip: Vec<String>,
    /// Filters are whole ids.
    #[arg(long, help_heading = "Which checks")]
    pub(crate) exact: bool,
    /// With the actions of the selected phases: this changes the repository and the cluster.
    #[arg(long, help_heading = "Which checks")]
    pub(crate) apply: bool,
    /// Wait for what is not yet so, up to the phase's limit.
    #[arg(long, help_heading = "Which checks")]
    pub(crate) wait: bool,

    /// Also run the seven scripts of the specification from scripts/ of the repository, as checks of their phases.
    #[arg(long, help_heading = "Which checks")]
    pub(crate) with_scripts: bool,

    /// Name of the new node [default: k3s2].
    #[arg(long, value_name = "NAME", value_parser = parse::node, help_heading = "Cluster and repository")]
    pub(crate) node: Option<String>,
    /// Name of the control-plane node [default: k3s1].
    #[arg(long, value_name = "NAME", value_parser = parse::node, help_heading = "Cluster and repository")]
    pub(crate) control_plane: Option<String>,
    /// Kubeconfig; else KUBECONFIG, ~/.kube/config, or the service account of the pod.
    #[arg(long, value_name = "FILE", help_heading = "Cluster and repository")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, value_name = "NAME", help_heading = "Cluster and repository")]
    pub(crate) context: Option<String>,
    /// Working copy of the GitOps repository; else ONBOARDING_REPO or the configuration.
    #[arg(long, value_name = "DIR", help_heading = "Cluster and repository")]
    pub(crate) repo: Option<PathBuf>,
    /// Configuration; else onboarding.toml in the root of the GitOps repository.
    #[arg(long, value_name = "FILE", help_heading = "Cluster and repository")]
    pub(crate) config: Option<PathBuf>,
    /// How to reach the git remote [default: auto].
    #[arg(long, value_name = "HOW", help_heading = "Cluster and repository")]
    pub(crate) push_transport: Option<PushTransport>,
    /// Service account of --rbac [default: kube-system/onboarding].
    #[arg(long, value_name = "NAME", value_parser = parse::account, help_heading = "Cluster and repository")]
    pub(crate) account: Option<parse::Account>,
    /// An unsigned commit is an error.
    #[arg(long, help_heading = "Cluster and repository")]
    pub(crate) require_signed: bool,

    /// How many checks are asked at a time [default: 8].
    #[arg(long, value_name = "N", value_parser = parse::jobs, help_heading = "How")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// How long a phase may wait, such as storage=15m; may be given several times.
    #[arg(long, value_name = "PHASE=DURATION", value_parser = parse::timeout, help_heading = "How")]
    pub(crate) timeout: Vec<(Phase, Duration)>,
    /// What makes the exit code 1 [default: fail].
    #[arg(long, value_name = "OUTCOME", help_heading = "How")]
    pub(crate) fail_on: Option<FailOn>,

    /// Write a timestamped Markdown report into the log folder.
    #[arg(long, help_heading = "Output")]
    pub(crate) report: bool,
    /// Also write the JUnit report here.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) junit: Option<PathBuf>,
    /// Also write the Markdown report here.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) markdown: Option<PathBuf>,
    /// Form of what is printed [default: pretty].
    #[arg(long, value_name = "FORM", help_heading = "Output")]
    pub(crate) format: Option<Format>,
    /// Colours: auto is on a terminal without NO_COLOR.
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output"
    )]
    pub(crate) color: ColorChoice,
    /// Say more: what passing checks saw, and DEBUG lines in the log.
    #[arg(long, short, help_heading = "Output")]
    pub(crate) verbose: bool,
    /// Folder of the state [default: /tmp/NODE-onboarding-state].
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Folder of logs and reports [default: /tmp/NODE-onboarding-logs].
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) log_dir: Option<PathBuf>,

    /// Use an embedded cluster with its own git repository; or, with DIR, the one that `--sandbox-serve DIR` serves.
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        require_equals = true,
        help_heading = "Sandbox"
    )]
    #[expect(
        clippy::option_option,
        reason = "absent, given, and given with a folder"
    )]
    pub(crate) sandbox: Option<Option<PathBuf>>,
    /// Go on serving the embedded cluster after the run, until Ctrl-C.
    #[arg(long, help_heading = "Sandbox")]
    pub(crate) sandbox_keep: bool,
    /// Only serve an embedded cluster, with everything it needs in DIR, until Ctrl-C.
    #[arg(long, value_name = "DIR", help_heading = "Sandbox")]
    pub(crate) sandbox_serve: Option<PathBuf>,
    /// Where the cluster begins [default: new for an onboarding, onboarded otherwise].
    #[arg(long, value_name = "STAGE", help_heading = "Sandbox")]
    pub(crate) sandbox_at: Option<Stage>,
    /// Begin with this trouble; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = parse::fault, action = ArgAction::Append, help_heading = "Sandbox")]
    pub(crate) sandbox_fault: Vec<String>,
    /// How fast the world moves [default: demo].
    #[arg(long, value_name = "SPEED", hide = true, help_heading = "Sandbox")]
    pub(crate) sandbox_speed: Option<Speed>,

    /// Print completions for a shell.
    #[arg(long, value_name = "SHELL", help_heading = "Other")]
    pub(crate) completions: Option<clap_complete::Shell>,
    /// Print the manual page.
    #[arg(long, help_heading = "Other")]
    pub(crate) man: bool,
    /// Print help.
    #[arg(long, short, action = ArgAction::HelpShort, help_heading = "Other")]
    help: Option<bool>,
    /// Print version.
    #[arg(long, short = 'V', action = ArgAction::Version, help_heading = "Other")]
    version: Option<bool>,
}

/// `--fail-on`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Failures and errors.
    Fail,
    /// Warnings too.
    Warn,
}

/// `--push-transport`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PushTransport {
    /// The git command where it is installed, libgit2 otherwise.
    Auto,
    /// The git command.
    Git,
    /// The library.
    Libgit2,
}

/// `--sandbox-at`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// Nothing of the new node exists.
    New,
    /// Its configuration is active and its machine has just been switched on.
    Joining,
    /// It is fully in.
    Onboarded,
}

/// `--sandbox-speed`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Speed {
    /// As fast as possible.
    Test,
    /// Slow enough to watch.
    Demo,
}

/// What this start is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// An ordered run, or an inspection.
    Run,
    /// `--list`
    List,
    /// `--explain`
    Explain(String),
    /// `--rollback`
    Rollback,
    /// `--rbac`
    Rbac,
    /// `--completions`
    Completions(clap_complete::Shell),
    /// `--man`
    Man,
    /// `--status`
    Status,
    /// `--history`
    History,
    /// `--cleanup`
    Cleanup,
    /// `--sandbox-serve`
    Serve(PathBuf),
}

impl Cli {
    /// What this start is for. Call [`Cli::refuse`] first.
    pub(crate) fn task(&self) -> Task {
        if let Some(dir) = &self.sandbox_serve {
            Task::Serve(dir.clone())
        } else if let Some(check) = &self.explain {
            Task::Explain(check.clone())
        } else if let Some(shell) = self.completions {
            Task::Completions(shell)
        } else if self.man {
            Task::Man
        } else if self.rbac {
            Task::Rbac
        } else if self.rollback {
            Task::Rollback
        } else if self.list {
            Task::List
        } else if self.status {
            Task::Status
        } else if self.history {
            Task::History
        } else if self.cleanup {
            Task::Cleanup
        } else {
            Task::Run
        }
    }

    /// Whether some checks are selected, which makes a run an inspection.
    pub(crate) fn selects(&self) -> bool {
        !self.phase.is_empty() || !self.filters.is_empty() || !self.skip.is_empty()
    }
}

#[cfg(test)]
mod tests;
