//! `--rollback`: what it would do, the question, and the steps in their order, each written down before and after.
//!
//! The report of the onboarding becomes the report of its rollback: the same run, mode `rollback`, the steps as action
//! records behind those that they take back. A rollback that stops anywhere leaves it in the state folder, and the next
//! `--rollback` goes on with it.

mod consent;
mod look;
mod steps;

use std::sync::Arc;

use jiff::Timestamp;
use phases::Stop;
use reports::{
    archive,
    folder::{LogFolder, StateFolder},
    lock::Lock,
    model::{Mode, Phase, Progress, Report},
    store::Store,
};
use tokio::runtime::Runtime;

use self::{
    consent::{agreed, unhindered},
    look::Looking,
};
use super::{
    Ended, copies, ending,
    logbook::Logbook,
    named, new_report,
    ordered::Run,
    recorder::{Recorder, rollback_steps, undo},
    resume,
    start::World,
    unarchived, unwritable,
};
use crate::{
    event::{Event, Sink},
    exit::{Exit, Halt},
    lease::{self, Who},
    options::Options,
};
pub(super) use look::outlook;

/// What the folders say of the node, and where it was read.
struct Record {
    report: Report,
    /// It was in the state folder, so a run of it is unfinished.
    unfinished: bool,
    warning: Option<String>,
}

/// Takes the node out again.
///
/// # Errors
/// It could not start, another run holds the lock, the record is of something else, something stands in the way, or
/// nobody agreed.
pub(super) fn roll_back(
    options: &Options,
    world: &World,
    runtime: &Runtime,
    sink: Arc<dyn Sink>,
    stop: Stop,
    id: &str,
    yes: bool,
) -> Result<Ended, Halt> {
    let refused = |error: reports::folder::FolderError| Halt::cannot_start(error.to_string(), "");
    LogFolder::open(&options.log_dir).map_err(refused)?;
    let state_folder = StateFolder::open_or_create(&options.state_dir).map_err(refused)?;
    let log_folder = LogFolder::open_or_create(&options.log_dir).map_err(refused)?;
    let lock =
        Lock::take(&state_folder, id).map_err(|error| resume::locked(&error, &state_folder))?;
    let new = new_report(id, Mode::Rollback, world);
    let Record {
        report: old,
        unfinished,
        warning,
    } = record(new, Some(&state_folder), Some(&log_folder))?;
    let resumed = unfinished && old.mode == Mode::Rollback;
    let mut report = taken_back(old, resumed);
    if !resumed || report.steps.is_empty() {
        report.steps = rollback_steps(&world.settings);
    }
    let look = Looking {
        options,
        world,
        runtime,
        stop: stop.clone(),
    };
    let found = look.begin(&report, resumed, warning, sink.as_ref())?;
    let who = Who {
        run: report.run.clone(),
        mode: Mode::Rollback.name(),
        ended: super::ended_here(&lock, unfinished.then_some(&report.run)),
    };
    if found.open.is_empty() {
        // A rollback that was killed when all was done has left its Lease, and only that.
        let (connection, settings) = (&world.connection, &world.settings);
        lease::give_back_left(runtime, connection, settings, who, sink.as_ref())?;
        return nothing(report, unfinished, &state_folder, &log_folder, options);
    }
    sink.event(&Event::Forecast {
        forecast: Box::new(found.forecast.clone()),
        plan: found.plan.clone(),
    });
    let begun = resumed && report.action("rollback::drain").is_some();
    unhindered(&found.forecast, begun)?;
    agreed(&options.settings.node.name, yes, &stop)?;

    let run_id = report.run.clone();
    let lease = lease::take(
        runtime,
        &world.connection,
        &world.permit,
        &world.settings,
        who,
        &stop,
        &sink,
    )?;
    let store = Store::begin(Some(&state_folder), report, copies(options)).map_err(unwritable)?;
    let log = ending::log(options, &log_folder, Mode::Rollback)?;
    let log_path = log.path().map(std::path::Path::to_owned);
    let logbook = Logbook::new(log, sink);
    logbook.write(&super::started(
        world,
        &run_id,
        false,
        resumed,
        log_path.clone(),
    ));
    logbook.write(&Event::Forecast {
        forecast: Box::new(found.forecast),
        plan: found.plan,
    });
    let recorder = Arc::new(Recorder::new(
        store,
        Arc::new(logbook),
        world.connection.meter(),
    ));
    let run = Run {
        options,
        world,
        recorder: Arc::clone(&recorder),
        handle: runtime.handle().clone(),
        stop: stop.clone(),
        run: run_id,
        backup: state_folder.backup(),
        lease: lease.as_ref(),
    };
    let exit = super::locked_out(world, &recorder, run.steps()?);
    let mut last_words = run.last_words(exit);
    if exit == Exit::Passed {
        recorder.update(|report| undo(report, |id| Phase::of_id(id).is_some()))?;
    }
    let report = ending::finish(&run, exit)?;
    // The node is out whether or not the log folder can be written.
    let kept = ending::put_away(options, &recorder, &state_folder, &log_folder, &report);
    if exit == Exit::Passed {
        if kept.whole {
            ending::clear(&recorder, &state_folder);
        }
        drop(run);
        drop(recorder);
        last_words.push(format!(
            "{0} may join again under the same name: start an onboarding",
            report.node
        ));
    }
    // The Lease is given back while the folder is still ours.
    drop(lease);
    drop(lock);
    Ok(Ended {
        exit,
        report,
        files: named([
            ("log", log_path),
            ("report", kept.markdown),
            ("junit", kept.junit),
        ]),
        last_words,
    })
}

/// `--rollback --dry-run`: the forecast, and the plan with the server's own answer to each change. Nothing is
/// changed, locked or written.
///
/// # Errors
/// It could not start, the record is of something else, or something stands in the way.
pub(super) fn rehearse(
    options: &Options,
    world: &World,
    runtime: &Runtime,
    sink: Arc<dyn Sink>,
    stop: &Stop,
    id: &str,
) -> Result<Ended, Halt> {
    let refused = |error: reports::folder::FolderError| Halt::cannot_start(error.to_string(), "");
    let state_folder = StateFolder::open(&options.state_dir).map_err(refused)?;
    let log_folder = LogFolder::open(&options.log_dir).map_err(refused)?;
    let found = record(
        new_report(id, Mode::Rollback, world),
        state_folder.as_ref(),
        log_folder.as_ref(),
    )?;
    let resumed = found.unfinished && found.report.mode == Mode::Rollback;
    let report = taken_back(found.report, resumed);
    let look = Looking {
        options,
        world,
        runtime,
        stop: stop.clone(),
    };
    let found = look.begin(&report, resumed, found.warning, sink.as_ref())?;
    let ended = |words: Vec<String>| Ended {
        exit: Exit::Passed,
        report: report.clone(),
        files: Vec::new(),
        last_words: words,
    };
    if found.open.is_empty() {
        return Ok(ended(vec![nothing_to_undo(&report)]));
    }
    sink.event(&Event::Forecast {
        forecast: Box::new(found.forecast.clone()),
        plan: found.plan,
    });
    unhindered(&found.forecast, false)?;
    Ok(ended(vec![format!(
        "{} would be taken out; nothing was changed",
        report.node
    )]))
}

/// What is on record of the node: the unfinished run, else the newest archived onboarding of this cluster, else nothing.
fn record(
    new: Report,
    state: Option<&StateFolder>,
    logs: Option<&LogFolder>,
) -> Result<Record, Halt> {
    let loaded = state.map(Store::load).transpose().map(Option::flatten);
    let loaded = loaded.map_err(|error| {
        let place = state.map(|state| state.path().display().to_string());
        resume::unusable(
            format!(
                "the report in {} cannot be read: {error}",
                place.unwrap_or_default()
            ),
            "put a whole copy from the log folder back; without a record, move the folder away and run --rollback again",
        )
    })?;
    if let Some(loaded) = loaded {
        resume::is_about_the_same(&loaded.report, &new)?;
        return Ok(Record {
            report: resume::taken_up(loaded.report, &new),
            unfinished: true,
            warning: loaded.warning,
        });
    }
    let uid = (!new.cluster.uid.is_empty()).then_some(new.cluster.uid.as_str());
    let archived = logs
        .map(|logs| archive::latest(logs, &new.node, uid))
        .transpose()
        .map_err(unarchived)?
        .flatten();
    // What was taken out since says nothing about how the node has come in again.
    let told = |one: &archive::Archived| {
        !(one.report.mode == Mode::Rollback && one.report.exit_code == Some(Exit::Passed.code()))
    };
    if let Some(found) = archived.filter(told) {
        resume::is_about_the_same(&found.report, &new)?;
        return Ok(Record {
            report: resume::taken_up(found.report, &new),
            unfinished: false,
            warning: None,
        });
    }
    Ok(Record {
        warning: Some(format!(
            "no onboarding of {} is on record here: what was there before is not known, so what the cluster says counts",
            new.node
        )),
        report: new,
        unfinished: false,
    })
}

/// The report of a run as that of its rollback.
fn taken_back(old: Report, resumed: bool) -> Report {
    let mut report = old;
    if !resumed {
        report.resumed = 0;
    }
    report.mode = Mode::Rollback;
    report.finished = None;
    report.exit_code = None;
    report
}

fn nothing_to_undo(report: &Report) -> String {
    format!(
        "nothing to undo: {} is neither in the cluster nor in git",
        report.node
    )
}

/// Nothing of the node is left: what is on record is closed, and that is all.
fn nothing(
    mut report: Report,
    unfinished: bool,
    state: &StateFolder,
    logs: &LogFolder,
    options: &Options,
) -> Result<Ended, Halt> {
    let mut files = Vec::new();
    if unfinished {
        undo(&mut report, |id| Phase::of_id(id).is_some());
        for step in &mut report.steps {
            // It was killed in the middle of a step of which nothing was left to do.
            if matches!(step.progress, Progress::InProgress { .. }) {
                step.progress = Progress::NotStarted;
            }
        }
        report.finished = Some(Timestamp::now());
        report.exit_code = Some(Exit::Passed.code());
        let store =
            Store::begin(Some(state), report.clone(), copies(options)).map_err(unwritable)?;
        drop(store);
        let kept =
            archive::archive(state, logs, &report.node, Timestamp::now()).map_err(unarchived)?;
        archive::clear(state).map_err(unarchived)?;
        files = named([("junit", kept.junit)]);
    }
    Ok(Ended {
        exit: Exit::Passed,
        last_words: vec![nothing_to_undo(&report)],
        report,
        files,
    })
}
