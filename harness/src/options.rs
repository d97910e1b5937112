//! What this start of the program is asked to do, after flags and configuration are joined.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use checks::{Settings, git::Transport};
use reports::model::Phase;

use crate::scripts::Script;

/// What a start is for, with everything that it needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Which cluster, repository and node; ports, labels, namespaces.
    pub(crate) settings: Settings,
    /// Which checks.
    pub(crate) selection: Selection,
    /// Which kind of run.
    pub(crate) purpose: Purpose,
    /// `--auto-fix`: what a declared fix can mend is mended.
    pub(crate) auto_fix: bool,
    /// `--dry-run`: everything is only planned.
    pub(crate) dry_run: bool,
    /// `--kubeconfig`
    pub(crate) kubeconfig: Option<PathBuf>,
    /// `--context`
    pub(crate) context: Option<String>,
    /// The sandbox, when the run has one.
    pub(crate) sandbox: Option<SandboxUse>,
    /// Folder of the state.
    pub(crate) state_dir: PathBuf,
    /// Folder of logs and archived reports.
    pub(crate) log_dir: PathBuf,
    /// `--junit`: a copy rewritten with the truth.
    pub(crate) junit: Option<PathBuf>,
    /// `--markdown`: likewise.
    pub(crate) markdown: Option<PathBuf>,
    /// `--report`: a timestamped Markdown file in the log folder.
    pub(crate) report: bool,
    /// `--format`
    pub(crate) format: Format,
    /// How many checks are asked at a time; at least 1.
    pub(crate) jobs: usize,
    /// The deadline of each phase's waits.
    pub(crate) timeouts: BTreeMap<Phase, Duration>,
    /// `--fail-on warn`
    pub(crate) fail_on_warn: bool,
    /// `--push-transport`
    pub(crate) transport: Transport,
    /// `--require-signed`
    pub(crate) require_signed: bool,
    /// `--verbose`
    pub(crate) verbose: bool,
    /// The operator's scripts.
    pub(crate) scripts: Vec<Script>,
}

/// Which kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// All phases in order, with their actions.
    Onboard {
        /// `--resume`
        resume: bool,
        /// `--fresh`
        fresh: bool,
        /// `--skip-validation`
        skip_validation: bool,
    },
    /// Some phases or checks.
    Inspect {
        /// `--apply`: with the actions of these phases.
        apply: bool,
        /// `--wait`: up to the phases' deadlines.
        wait: bool,
    },
    /// `--rollback`: the node is taken out again.
    Rollback {
        /// `--yes`: nobody is asked.
        yes: bool,
    },
}

/// Which checks and actions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// `--phase`; all when empty.
    pub(crate) phases: Vec<Phase>,
    /// Positional filters; a check is taken when any matches, or when there are none.
    pub(crate) filters: Vec<String>,
    /// `--skip`: not these.
    pub(crate) skip: Vec<String>,
    /// `--exact`: filters and skips are whole ids, otherwise parts of ids.
    pub(crate) exact: bool,
}

impl Selection {
    /// Whether everything is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.phases.is_empty() && self.filters.is_empty() && self.skip.is_empty()
    }

    /// Whether a check or action is selected.
    pub(crate) fn takes(&self, id: &str) -> bool {
        let matches = |filter: &String| {
            if self.exact {
                filter == id
            } else {
                id.contains(filter.as_str())
            }
        };
        let phase = self.phases.is_empty()
            || Phase::of_id(id).is_some_and(|phase| self.phases.contains(&phase));
        phase
            && (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skip.iter().any(matches)
    }
}

/// `--format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Live lines in the words of libtest, with warnings, reasons and durations.
    #[default]
    Pretty,
    /// libtest-mimic's own output, untouched.
    Libtest,
    /// One JSON object a line.
    Json,
}

/// How a run uses the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SandboxUse {
    /// One that another process serves (`--sandbox=DIR`); started in this process when absent.
    pub(crate) dir: Option<PathBuf>,
    /// Where the cluster begins.
    pub(crate) at: sandbox::Stage,
    /// How fast it moves.
    pub(crate) speed: sandbox::Speed,
    /// Faults from the start.
    pub(crate) faults: Vec<String>,
    /// `--sandbox-keep`: goes on serving after the run.
    pub(crate) keep: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_select_parts_and_exact_selects_whole_ids() {
        let mut selection = Selection {
            filters: vec!["disks".into()],
            ..Selection::default()
        };
        assert!(selection.takes("storage::disks_ready"));
        assert!(!selection.takes("storage::node_ready"));
        selection.skip = vec!["_ready".into()];
        assert!(!selection.takes("storage::disks_ready"));
        let exact = Selection {
            filters: vec!["storage::disks".into()],
            exact: true,
            ..Selection::default()
        };
        assert!(!exact.takes("storage::disks_ready"));
        let phase = Selection {
            phases: vec![Phase::StorageIntegration],
            ..Selection::default()
        };
        assert!(phase.takes("storage::disks_ready") && !phase.takes("join::ready"));
        assert!(Selection::default().is_everything());
    }
}
