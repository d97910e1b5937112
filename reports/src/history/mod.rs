//! What the archive tells about all runs of a node: how many came through, which checks fail most, how long phases take.
//!
//! A run that was resumed has several reports in the archive. It counts as one run, as its last report says; a check
//! that failed in any of them counts as failed in that run, once.

mod figures;

use std::{collections::BTreeMap, path::PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{
    archive::{self, ArchiveError},
    folder::LogFolder,
    model::{Case, Kind, Mode, Outcome, Phase, PhaseReport, PhaseState, Progress, Report},
};

pub use figures::{median, percentile};

/// Everything that the archive of a node tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chronicle {
    /// Runs by their beginning, oldest first.
    pub runs: Vec<RunFacts>,
    /// Checks and actions that failed in some run, the one that failed in most runs first.
    pub failing: Vec<CaseFacts>,
    /// The nine phases in order, as far as onboardings went through them.
    pub phases: Vec<PhaseFacts>,
    /// The steps of rollbacks in order; empty without rollbacks.
    pub steps: Vec<StepFacts>,
    /// How many reports were read.
    pub reports: usize,
    /// Reports that are not whole, each with its reason.
    pub damaged: Vec<String>,
    /// Files that look like reports of this node and are not: of another name or another node.
    pub foreign: Vec<String>,
}

/// One run, as its last report says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunFacts {
    /// Its id.
    pub run: String,
    /// What it was for.
    pub mode: Mode,
    /// Name of the cluster.
    pub cluster: String,
    /// Its first beginning; of a rollback that of its first step.
    pub started: Timestamp,
    /// Its last end; absent when it was archived unfinished.
    pub finished: Option<Timestamp>,
    /// How often it was resumed.
    pub resumed: u32,
    /// How it ended; absent when it was archived unfinished.
    pub exit_code: Option<u8>,
    /// Whether it came through.
    pub complete: bool,
    /// The first phase that is not through, or the first step of a rollback.
    pub stopped_at: Option<String>,
    /// Why it stopped there.
    pub error: String,
    /// How many checks ended in a warning.
    pub warnings: usize,
    /// Its newest report.
    pub path: PathBuf,
}

/// One check or action that failed at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseFacts {
    /// Its id.
    pub id: String,
    /// Check or action.
    pub kind: Kind,
    /// In how many runs it failed or could not be decided.
    pub failed: usize,
    /// In how many runs it was asked at all.
    pub asked: usize,
    /// Each reason with the number of runs, the most frequent first.
    pub reasons: Vec<(String, usize)>,
    /// When it failed last.
    pub last: Timestamp,
}

/// One phase over all onboardings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PhaseFacts {
    /// Which one.
    pub phase: Phase,
    /// How onboardings went through it.
    #[serde(flatten)]
    pub times: Times,
}

/// One step over all rollbacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepFacts {
    /// Its id.
    pub id: String,
    /// How rollbacks went through it.
    #[serde(flatten)]
    pub times: Times,
}

/// How runs went through a part of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Times {
    /// How many runs completed it.
    pub completed: usize,
    /// How many runs failed in it at least once.
    pub failed: usize,
    /// Of those that completed it.
    #[serde(serialize_with = "figures::seconds")]
    pub median: Option<SignedDuration>,
    /// Of those that completed it.
    #[serde(serialize_with = "figures::seconds")]
    pub p95: Option<SignedDuration>,
}

impl Times {
    fn of(times: impl Iterator<Item = SignedDuration>, failed: usize) -> Self {
        let mut times: Vec<SignedDuration> = times.collect();
        times.sort_unstable();
        Self {
            completed: times.len(),
            failed,
            median: median(&times),
            p95: percentile(&times, 95),
        }
    }
}

/// How many runs of a mode there were, and what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// All of them.
    pub runs: usize,
    /// Those that came through.
    pub complete: usize,
    /// Those that came through at their first start.
    pub at_once: usize,
}

impl Rate {
    /// Whole per cent that came through, rounded down: only all of them are 100 %. `None` without runs.
    #[must_use]
    pub const fn per_cent(self) -> Option<usize> {
        (self.complete * 100).checked_div(self.runs)
    }
}

impl Chronicle {
    /// What came of the runs of a mode.
    #[must_use]
    pub fn rate(&self, mode: Mode) -> Rate {
        let of_mode = || self.runs.iter().filter(|run| run.mode == mode);
        Rate {
            runs: of_mode().count(),
            complete: of_mode().filter(|run| run.complete).count(),
            at_once: of_mode()
                .filter(|run| run.complete && run.resumed == 0)
                .count(),
        }
    }
}

/// Reads the archive of a node.
///
/// # Errors
/// [`ArchiveError`] when the folder cannot be listed, or the node's name cannot be part of a file name. A single file
/// that cannot be read is named in the result.
pub fn of(logs: &LogFolder, node: &str) -> Result<Chronicle, ArchiveError> {
    let mut gathered = Gathered::default();
    let mut out = Chronicle::default();
    let (damaged, foreign) = (&mut out.damaged, &mut out.foreign);
    let others = archive::visit(logs, node, |path, report| match report {
        Ok(report) if report.node != node => foreign.push(format!(
            "{}: a report of node {}",
            path.display(),
            report.node
        )),
        Ok(report) => gathered.add(path, &report),
        Err(problem) => damaged.push(format!("{}: {problem}", path.display())),
    })?;
    let named = others
        .into_iter()
        .map(|path| format!("{}: not a name that this program gives", path.display()));
    out.foreign.extend(named);
    Ok(gathered.told(out))
}

/// A run is known by its id and by what it is for: a rollback may keep the id of its onboarding.
type Key = (String, &'static str);

/// What is kept of the reports while they are read: not the reports themselves.
#[derive(Default)]
struct Gathered {
    reports: usize,
    runs: BTreeMap<Key, RunFacts>,
    cases: BTreeMap<String, Answers>,
    took: BTreeMap<(Phase, Key), SignedDuration>,
    failed: BTreeMap<(Phase, Key), ()>,
    /// Ids of the steps of rollbacks in their order, and how long each run took for one that it got through.
    steps: Vec<String>,
    stepped: BTreeMap<(String, Key), SignedDuration>,
}

/// How one case ended in which runs.
struct Answers {
    kind: Kind,
    /// The reason of the newest failure of each run; empty where it was asked and never failed.
    runs: BTreeMap<Key, Option<String>>,
    last: Timestamp,
}

impl Gathered {
    fn add(&mut self, path: PathBuf, report: &Report) {
        let key: Key = (report.run.clone(), report.mode.name());
        self.reports += 1;
        if report.mode == Mode::Rollback {
            // The phases in its report are those of the onboarding that it takes back, which counts by itself.
            self.cases(&key, &report.steps);
            self.steps(&key, &report.steps);
        } else {
            for phase in &report.phases {
                self.cases(&key, &phase.cases);
                if report.mode == Mode::Onboard {
                    self.phase(&key, report, phase);
                }
            }
        }
        self.runs.insert(key, facts(path, report));
    }

    fn steps(&mut self, key: &Key, steps: &[Case]) {
        for step in steps {
            if !self.steps.contains(&step.id) {
                self.steps.push(step.id.clone());
            }
            if let Some(ended) = step.ended().filter(|ended| ended.outcome.satisfies()) {
                let id = (step.id.clone(), key.clone());
                self.stepped.insert(id, ended.duration);
            }
        }
    }

    fn cases(&mut self, key: &Key, cases: &[Case]) {
        for case in cases {
            let Some(ended) = case.ended() else { continue };
            let failed = matches!(ended.outcome, Outcome::Fail | Outcome::Error);
            if matches!(ended.outcome, Outcome::Skip | Outcome::Blocked) {
                continue;
            }
            let answers = self
                .cases
                .entry(case.id.clone())
                .or_insert_with(|| Answers {
                    kind: case.kind,
                    runs: BTreeMap::new(),
                    last: Timestamp::MIN,
                });
            let reason = answers.runs.entry(key.clone()).or_default();
            if failed {
                *reason = Some(ended.reason.clone());
                answers.last = answers.last.max(ended.started);
            }
        }
    }

    fn phase(&mut self, key: &Key, report: &Report, phase: &PhaseReport) {
        // The error of an earlier start stays in the report when a later one gets past it.
        if phase.state == PhaseState::Failed || !phase.error.is_empty() {
            self.failed.insert((phase.phase, key.clone()), ());
        }
        if phase.state == PhaseState::Completed
            && let Some(took) = figures::took(report, phase)
        {
            self.took.insert((phase.phase, key.clone()), took);
        }
    }

    fn told(self, mut out: Chronicle) -> Chronicle {
        out.reports = self.reports;
        for id in &self.steps {
            let took = self.stepped.iter().filter(|((of, _), _)| of == id);
            let answers = self.cases.get(id);
            let failed = answers.map_or(0, |all| all.runs.values().flatten().count());
            out.steps.push(StepFacts {
                id: id.clone(),
                times: Times::of(took.map(|(_, took)| *took), failed),
            });
        }
        out.runs = self.runs.into_values().collect();
        out.runs
            .sort_by(|one, two| (one.started, &one.run).cmp(&(two.started, &two.run)));
        out.failing = self
            .cases
            .into_iter()
            .filter_map(|(id, answers)| answers.told(id))
            .collect();
        // Of two that failed as often, the one that failed last is the more urgent one.
        out.failing.sort_by(|one, two| {
            (two.failed, two.last, &one.id).cmp(&(one.failed, one.last, &two.id))
        });
        for phase in Phase::ALL {
            let took = self.took.iter().filter(|((of, _), _)| *of == phase);
            let failed = self.failed.keys().filter(|(of, _)| *of == phase).count();
            out.phases.push(PhaseFacts {
                phase,
                times: Times::of(took.map(|(_, took)| *took), failed),
            });
        }
        out
    }
}

impl Answers {
    fn told(self, id: String) -> Option<CaseFacts> {
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for reason in self.runs.values().flatten() {
            *reasons.entry(reason.clone()).or_default() += 1;
        }
        let failed = reasons.values().sum();
        let mut reasons: Vec<(String, usize)> = reasons.into_iter().collect();
        reasons.sort_by(|one, two| (two.1, &one.0).cmp(&(one.1, &two.0)));
        (failed > 0).then_some(CaseFacts {
            id,
            kind: self.kind,
            failed,
            asked: self.runs.len(),
            reasons,
            last: self.last,
        })
    }
}

fn facts(path: PathBuf, report: &Report) -> RunFacts {
    // A rollback is through when it says so: the phases in its report are those of the onboarding.
    let complete = match report.mode {
        Mode::Onboard | Mode::DryRun => report.complete(),
        Mode::Inspect | Mode::Rollback => report.exit_code == Some(0),
    };
    let stopped = if complete { None } else { stopped_at(report) };
    let (stopped_at, error) = stopped.unzip();
    let cases: Vec<&Case> = match report.mode {
        Mode::Rollback => report.steps.iter().collect(),
        _ => report
            .phases
            .iter()
            .flat_map(|phase| &phase.cases)
            .collect(),
    };
    let warned = |case: &&&Case| case.outcome() == Some(Outcome::Warn);
    RunFacts {
        run: report.run.clone(),
        mode: report.mode,
        cluster: report.cluster.name.clone(),
        started: began(report),
        finished: report.finished,
        resumed: report.resumed,
        exit_code: report.exit_code,
        complete,
        stopped_at,
        error: error.unwrap_or_default(),
        warnings: cases.iter().filter(warned).count(),
        path,
    }
}

/// When it began. The report of a rollback keeps the beginning of its onboarding.
fn began(report: &Report) -> Timestamp {
    let steps = report.steps.iter().filter_map(|step| match &step.progress {
        Progress::NotStarted => None,
        Progress::InProgress { started } => Some(*started),
        Progress::Done(ended) => Some(ended.started),
    });
    let first = steps.min().filter(|_| report.mode == Mode::Rollback);
    first.unwrap_or(report.started)
}

/// The first phase or step that it did not get through, and why.
fn stopped_at(report: &Report) -> Option<(String, String)> {
    match report.mode {
        Mode::Onboard => {
            let open = |phase: &&PhaseReport| {
                !matches!(phase.state, PhaseState::Completed | PhaseState::Skipped)
            };
            let phase = report.phases.iter().find(open)?;
            Some((phase.phase.name().to_owned(), phase.error.clone()))
        }
        Mode::Rollback => {
            let open = |step: &&Case| !step.outcome().is_some_and(Outcome::satisfies);
            let step = report.steps.iter().find(open)?;
            let why = step
                .ended()
                .map(|ended| format!("{}: {}", ended.reason, ended.message));
            Some((step.id.clone(), why.unwrap_or_default()))
        }
        Mode::DryRun | Mode::Inspect => None,
    }
}

#[cfg(test)]
mod tests;
