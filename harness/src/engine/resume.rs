//! What a run begins with: a new report, or the one that an earlier start left.

use jiff::Timestamp;
use phases::actions;
use reports::{
    archive,
    folder::{LogFolder, StateFolder},
    lock::LockError,
    model::{ActionState, Mode, Report},
    store::Store,
};

use crate::exit::{Exit, Halt};

/// How a run begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    /// `--resume`
    pub(super) resume: bool,
    /// `--fresh`
    pub(super) fresh: bool,
    /// `--phase X --apply`: goes into the onboarding report that is there, whatever it is at.
    pub(super) join: bool,
}

impl Begin {
    /// Whether all phases run in order.
    pub(super) const fn ordered(self) -> bool {
        !self.join
    }
}

/// What a run begins with.
pub(super) struct Begun {
    /// The report that it goes on with.
    pub(super) report: Report,
    /// What a person should know about a damaged copy of it.
    pub(super) warning: Option<String>,
    /// Node of the report that is there and goes to the archive first; see [`put_away`].
    pub(super) old: Option<String>,
    /// Id of the run whose report is there.
    pub(super) earlier: Option<String>,
    /// Id of the run that this one replaces, when it began to make objects for itself: what it left of them goes first.
    pub(super) replaced: Option<String>,
}

/// The report that a run goes on with, and a warning about a damaged copy of it. Changes nothing.
pub(super) fn begin(begin: Begin, new: Report, state: Option<&StateFolder>) -> Result<Begun, Halt> {
    let place = state.map_or_else(
        || "the state folder, which does not exist".to_owned(),
        |state| state.path().display().to_string(),
    );
    let loaded = state.map(Store::load).transpose().map(Option::flatten);
    let loaded = loaded.map_err(|error| {
        unusable(
            format!("the report in {place} cannot be read: {error}"),
            "put a whole copy from the log folder back, or begin anew with --fresh once you know what was done",
        )
    });
    let loaded = match loaded {
        // --fresh is asked for where nothing can be read any more: the damaged files are archived as they are.
        Err(_) if begin.fresh => {
            return Ok(Begun {
                old: Some(new.node.clone()),
                report: new,
                warning: Some(
                    "the earlier report could not be read; its files were archived as they are"
                        .into(),
                ),
                earlier: None,
                replaced: None,
            });
        }
        other => other?,
    };
    let Some(loaded) = loaded else {
        if begin.resume {
            return Err(unusable(
                format!("there is nothing to resume: no report in {place}"),
                "begin an onboarding without --resume, or name the folder with --state-dir",
            ));
        }
        return Ok(Begun {
            report: new,
            warning: None,
            old: None,
            earlier: None,
            replaced: None,
        });
    };
    let (old, warning) = (loaded.report, loaded.warning);
    let earlier = Some(old.run.clone());
    if begin.resume || begin.join {
        fits(&old, &new)?;
        return Ok(Begun {
            report: taken_up(old, &new),
            warning,
            old: None,
            earlier,
            replaced: None,
        });
    }
    let temporary = |id: &str| actions::find(id).is_some_and(|one| one.act.is_temporary());
    let replaced = old
        .actions
        .iter()
        .any(|one| temporary(&one.id))
        .then(|| old.run.clone());
    // One that was ended while it put its state away has nothing left to do.
    let taken_out = old.mode == Mode::Rollback && old.exit_code == Some(Exit::Passed.code());
    if old.mode == Mode::Rollback && !taken_out && !begin.fresh {
        return Err(unusable(
            format!(
                "a rollback of node {} is unfinished: run {} was being taken back",
                old.node, old.run
            ),
            "go on with it: --rollback; see where it is: --status",
        ));
    }
    let finished = old.mode == Mode::Onboard && old.finished.is_some() && old.complete();
    if finished || taken_out || !old.has_changes() {
        return Ok(Begun {
            report: new,
            warning,
            old: Some(old.node),
            earlier,
            replaced,
        });
    }
    if begin.fresh {
        let mut new = new;
        // What is still in effect must stay known: a rollback undoes it. Temporary objects go before this run begins.
        new.actions = old
            .actions
            .into_iter()
            .filter(|action| action.state != ActionState::Undone && !temporary(&action.id))
            .collect();
        return Ok(Begun {
            report: new,
            warning,
            old: Some(old.node),
            earlier,
            replaced,
        });
    }
    let stopped = old
        .phases
        .iter()
        .find(|phase| !matches!(phase.state.name(), "completed" | "skipped"));
    let at = stopped.map_or("the end", |phase| phase.phase.name());
    Err(unusable(
        format!(
            "run {} of node {} is unfinished: it stopped at {at} and has changed things",
            old.run, old.node
        ),
        "go on with it: --resume; see where it is: --status; take it back: --rollback; archive it and begin anew: --fresh",
    ))
}

/// Whether a report is of this node, this cluster and this repository, and of a run that can be resumed.
fn fits(old: &Report, new: &Report) -> Result<(), Halt> {
    if old.mode != Mode::Onboard {
        return Err(unusable(
            format!(
                "the report is of a run of mode {}, which cannot be resumed",
                old.mode.name()
            ),
            match old.mode {
                Mode::Rollback => "go on with it: --rollback",
                _ => "begin an onboarding without --resume",
            },
        ));
    }
    is_about_the_same(old, new)
}

/// Whether a report is of this node, this cluster and this repository.
pub(super) fn is_about_the_same(old: &Report, new: &Report) -> Result<(), Halt> {
    let other = |what: &str, found: &str, expected: &str| {
        Err(unusable(
            format!("the report is of {what} {found}, and this run is about {expected}"),
            "name the folder of the right run with --state-dir, or begin anew with --fresh",
        ))
    };
    if old.node != new.node {
        return other("node", &old.node, &new.node);
    }
    if old.cluster.uid != new.cluster.uid {
        return other("cluster", &old.cluster.uid, &new.cluster.uid);
    }
    match (&old.repository, &new.repository) {
        (Some(old), Some(new)) => {
            let shown = |one: &reports::model::RepositoryIdentity| {
                format!("{} {} {} {}", one.remote, one.branch, one.file, one.entry)
            };
            let same = checks::git::same_repository(&old.remote, &new.remote)
                && (&old.branch, &old.file, &old.entry) == (&new.branch, &new.file, &new.entry);
            if same {
                Ok(())
            } else {
                other("repository", &shown(old), &shown(new))
            }
        }
        _ => Ok(()),
    }
}

/// An old report as this program lists it: cases that it no longer knows are kept, new ones are added.
pub(super) fn taken_up(old: Report, new: &Report) -> Report {
    let mut report = old;
    report.tool.clone_from(&new.tool);
    report.cluster.clone_from(&new.cluster);
    // A run that began without a repository gets the one that is named now.
    if report.repository.is_none() {
        report.repository.clone_from(&new.repository);
    }
    report.finished = None;
    report.exit_code = None;
    report.resumed += 1;
    for phase in &new.phases {
        let Some(known) = report.phase_mut(phase.phase) else {
            continue;
        };
        for case in &phase.cases {
            if !known.cases.iter().any(|one| one.id == case.id) {
                known.cases.push(case.clone());
            }
        }
    }
    report
}

/// Another run holds the lock: who, where, since when, in which phase.
pub(super) fn locked(error: &LockError, state: &StateFolder) -> Halt {
    let phase = Store::load(state).ok().flatten().and_then(|loaded| {
        let phases = loaded.report.phases;
        phases
            .into_iter()
            .find(|phase| phase.state.name() == "in_progress")
            .map(|phase| phase.phase)
    });
    let phase = phase
        .map(|phase| format!(", in {phase}"))
        .unwrap_or_default();
    match error {
        LockError::Held { .. } => Halt::new(
            Exit::Locked,
            format!("{error}{phase}"),
            "wait for it, or watch it with --status",
        ),
        _ => Halt::cannot_start(
            error.to_string(),
            "make room or give the state folder back, or name another with --state-dir",
        ),
    }
}

/// Archives the report that is there.
pub(super) fn put_away(state: &StateFolder, logs: &LogFolder, node: &str) -> Result<(), Halt> {
    let failed = |error: String| Halt::cannot_start(error, "make room in the log folder");
    archive::archive(state, logs, node, Timestamp::now())
        .map_err(|error| failed(error.to_string()))?;
    archive::clear(state).map_err(|error| failed(error.to_string()))
}

pub(super) fn unusable(message: String, hint: &str) -> Halt {
    Halt::new(Exit::ReportUnusable, message, hint)
}
