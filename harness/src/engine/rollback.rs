//! `--rollback`: what it would do, the question, and the steps in their order, each written down before and after.
//!
//! The report of the onboarding becomes the report of its rollback: the same run, mode `rollback`, the steps as action
//! records behind those that they take back. A rollback that stops anywhere leaves it in the state folder, and the next
//! `--rollback` goes on with it.

use std::{
    io::{BufRead as _, IsTerminal as _},
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};

use jiff::Timestamp;
use phases::{
    Action, ActionContext, ActionError, Journal, Stop,
    rollback::{self, Forecast},
    wait::{Observer, Waiting},
};
use reports::{
    archive,
    folder::{LogFolder, StateFolder},
    lock::Lock,
    model::{Mode, Outcome, Phase, Progress, Report},
    store::Store,
};
use tokio::{runtime::Runtime, time::Instant};

use super::{
    Ended, act, copies, ending, group,
    logbook::Logbook,
    named, new_report,
    ordered::Run,
    recorder::{Recorder, rollback_steps, undo},
    resume,
    start::World,
    unarchived, unwritable,
};
use crate::{
    build,
    event::{Event, Sink},
    exit::{Exit, Halt},
    lease::{self, Who},
    options::Options,
    term,
};

/// What the requests of looking count for.
const FORECAST: &str = "what a rollback would do";

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
    sink.event(&started(world, &report.run, resumed, None));
    if let Some(warning) = warning {
        sink.event(&Event::Warning(warning));
    }
    let look = Looking {
        options,
        world,
        runtime,
        stop: stop.clone(),
    };
    let found = look.forecast(&report, sink.as_ref())?;
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

fn started(world: &World, run: &str, resumed: bool, log: Option<PathBuf>) -> Event {
    let mut event = super::started(world, run, false, resumed, log);
    if let Event::Started { mode, .. } = &mut event {
        *mode = Mode::Rollback;
    }
    event
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
    sink.event(&started(world, &report.run, resumed, None));
    if let Some(warning) = found.warning {
        sink.event(&Event::Warning(warning));
    }
    let look = Looking {
        options,
        world,
        runtime,
        stop: stop.clone(),
    };
    let found = look.forecast(&report, sink.as_ref())?;
    let ended = |words: Vec<String>| Ended {
        exit: Exit::Passed,
        report: report.clone(),
        files: Vec::new(),
        last_words: words,
    };
    if found.open.is_empty() {
        return Ok(ended(vec![format!(
            "nothing to undo: {} is neither in the cluster nor in git",
            report.node
        )]));
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

/// What was found before anything is changed.
struct Found {
    forecast: Forecast,
    /// The steps that have something to do, without the one that only looks back.
    open: Vec<&'static str>,
    /// What they would change.
    plan: Vec<(String, Vec<String>)>,
}

/// Looks, and changes nothing.
struct Looking<'a> {
    options: &'a Options,
    world: &'a World,
    runtime: &'a Runtime,
    stop: Stop,
}

impl Looking<'_> {
    fn forecast(&self, report: &Report, sink: &dyn Sink) -> Result<Found, Halt> {
        let cx = self.context(report);
        let looking = super::found(async { Ok(self.look(&cx).await) }, sink, &self.stop);
        let meter = self.world.connection.meter();
        let found = self.runtime.block_on(meter.count_as(FORECAST, looking))?;
        found.map_err(|error| {
            let hint = error
                .hint
                .clone()
                .unwrap_or_else(|| "settle that first; nothing was changed".to_owned());
            // What cannot be read is no answer; what can be read and is not as it should be is one.
            let exit = match error.reason {
                "Unreachable" | "TimedOut" | "ServerError" | "Malformed" | "MissingPermission"
                | "NotServed" | "NoRepository" => Exit::CannotStart,
                _ => Exit::RollbackIncomplete,
            };
            let message = format!("{}: {}; nothing was changed", error.reason, error.message);
            Halt::new(exit, message, hint)
        })
    }

    async fn look(&self, cx: &ActionContext) -> Result<Found, ActionError> {
        let forecast = Forecast::read(&cx.checks).await?;
        let mut open = Vec::new();
        let mut plan = Vec::new();
        for action in rollback::ACTIONS {
            if action.act.probe(cx).await?.is_none() && action.id != rollback::VERIFY {
                open.push(action.id);
            }
            let parts = action.act.plan(cx).await?.parts;
            if !parts.is_empty() {
                plan.push((action.id.to_owned(), parts));
            }
        }
        Ok(Found {
            forecast,
            open,
            plan,
        })
    }

    fn context(&self, report: &Report) -> ActionContext {
        context_of(self.options, self.world, report, &self.stop)
    }
}

/// An action's context in which nothing can be written down, for what only looks.
pub(super) fn context_of(
    options: &Options,
    world: &World,
    report: &Report,
    stop: &Stop,
) -> ActionContext {
    let silent = Arc::new(ReadOnly(report.clone()));
    ActionContext {
        checks: checks::Context {
            view: checks::view::View::snapshot(world.reader.clone()),
            settings: Arc::clone(&world.settings),
            repository: world.repository.clone(),
            report: Arc::new(report.clone()),
        },
        client: world.client.clone(),
        permit: world.permit.clone(),
        journal: silent.clone(),
        observer: silent,
        deadline: Instant::now(),
        stop: stop.clone(),
        run: report.run.clone(),
        backup: PathBuf::new(),
        transport: options.transport,
        require_signed: options.require_signed,
    }
}

/// What a rollback would do now, in a few words; nothing when the cluster does not say it within moments.
pub(super) fn outlook(
    options: &Options,
    world: &World,
    runtime: &Runtime,
    report: &Report,
    stop: &Stop,
) -> Option<String> {
    let cx = context_of(options, world, report, stop);
    let limit = Duration::from_secs(5);
    let meter = world.connection.meter();
    let asked = runtime.block_on(meter.count_as(FORECAST, async {
        tokio::select! {
            forecast = tokio::time::timeout(limit, Forecast::read(&cx.checks)) => forecast.ok(),
            () = stop.wait() => None,
        }
    }));
    Some(asked?.ok()?.in_short())
}

/// The journal as it is. Nothing can be added to it.
struct ReadOnly(Report);

impl Journal for ReadOnly {
    fn record(&self, action: &str, _: &str, _: &str) -> Result<(), ActionError> {
        Err(ActionError::new(
            "ReportUnwritable",
            format!("{action} wants to write something down, and nothing has begun"),
        ))
    }

    fn recorded(&self, action: &str, key: &str) -> Option<String> {
        self.0.action(action)?.recorded.get(key).cloned()
    }
}

impl Observer for ReadOnly {
    fn waiting(&self, _: &Waiting) {}
    fn waited(&self) {}
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
        last_words: vec![format!(
            "nothing to undo: {} is neither in the cluster nor in git",
            report.node
        )],
        report,
        files,
    })
}

/// Whether nothing stands in the way. A budget that was spent by a drain which has begun is waited for by the drain
/// itself.
fn unhindered(forecast: &Forecast, draining: bool) -> Result<(), Halt> {
    let blockers: Vec<&rollback::Blocker> = forecast
        .blockers
        .iter()
        .filter(|one| !(draining && one.reason == "DisruptionBudget"))
        .collect();
    if let Some(first) = blockers.first() {
        let more = match blockers.len() {
            1 => String::new(),
            number => format!(", and {} more", number - 1),
        };
        return Err(Halt::new(
            Exit::RollbackIncomplete,
            format!(
                "{}: {}: {}{more}; nothing was changed",
                first.reason, first.object, first.message
            ),
            format!("{}; then --rollback again", first.hint),
        ));
    }
    Ok(())
}

/// Whether somebody agrees.
fn agreed(node: &str, yes: bool, stop: &Stop) -> Result<(), Halt> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Halt::cannot_start(
            "nobody can be asked whether to go on, since standard input is no terminal; nothing was changed",
            "add --yes to go on without being asked",
        ));
    }
    term::err(&format!("Take {node} out of the cluster? [y/N]"));
    match answer(stop) {
        None => Err(Halt::new(
            Exit::Interrupted,
            "interrupted before anything was changed",
            "",
        )),
        Some(text) if matches!(text.trim(), "y" | "Y" | "yes") => Ok(()),
        Some(_) => Err(Halt::new(
            Exit::RollbackIncomplete,
            "answered no; nothing was changed",
            "",
        )),
    }
}

/// What somebody types; nothing when the program is asked to end first.
fn answer(stop: &Stop) -> Option<String> {
    let (told, heard) = mpsc::channel();
    // The thread ends with the process: nothing can take a terminal's read back.
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = std::io::stdin().lock().read_line(&mut text);
        let _ = told.send(text);
    });
    loop {
        match heard.recv_timeout(Duration::from_millis(100)) {
            Ok(text) => return Some(text),
            Err(mpsc::RecvTimeoutError::Timeout) if !stop.asked() => {}
            Err(mpsc::RecvTimeoutError::Timeout) => return None,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Some(String::new()),
        }
    }
}

/// Which actions of the onboarding a step takes back.
fn undone_by(step: &str) -> &'static [&'static str] {
    match step {
        "rollback::leftovers" => &[
            checks::probe::BEFORE,
            checks::probe::TRAFFIC,
            checks::probe::VOLUME,
            checks::probe::WORKLOAD,
        ],
        "rollback::delete_node" => &["join::label"],
        "rollback::push" => &[
            "gitops::activate",
            "gitops::commit",
            "gitops::push",
            "gitops::reconcile",
        ],
        "rollback::resume_flux" => &["storage::reconcile"],
        _ => &[],
    }
}

/// How long a step may wait. The limits of `join`, `storage` and `gitops` hold; where none was set, what takes long on a
/// real cluster gets more.
fn limit(options: &Options, step: &str) -> Duration {
    let (phase, least) = match step {
        "rollback::drain" | "rollback::delete_node" => (Phase::NodeJoinMonitoring, 15),
        "rollback::move_replicas" | "rollback::verify_volumes" => (Phase::StorageIntegration, 60),
        "rollback::stop_scheduling" | "rollback::longhorn_node" => (Phase::StorageIntegration, 10),
        "rollback::resume_flux" => (Phase::GitopsActivation, 15),
        _ => (Phase::GitopsActivation, 5),
    };
    let set = options.timeouts.get(&phase).copied().unwrap_or_default();
    let untouched = build::timeouts().get(&phase).copied() == Some(set);
    if untouched && options.sandbox.is_none() {
        set.max(Duration::from_secs(least * 60))
    } else {
        set
    }
}

impl Run<'_> {
    /// The steps in their order, up to the first that does not get through.
    fn steps(&self) -> Result<Exit, Halt> {
        for action in rollback::ACTIONS {
            if self.stop.asked() {
                return Ok(Exit::Interrupted);
            }
            let through = self.step(action)?;
            self.recorder.whole()?;
            if self.stop.asked() && !through {
                return Ok(Exit::Interrupted);
            }
            if !through {
                return Ok(Exit::RollbackIncomplete);
            }
        }
        Ok(Exit::Passed)
    }

    /// One step; whether it got through.
    fn step(&self, action: &'static Action) -> Result<bool, Halt> {
        if let Some(lease) = self.lease {
            lease.phase(action.id);
        }
        self.recorder.step_begun(action)?;
        let cx = self.step_context(action);
        let advised = self.on_account_of(action.id, async {
            let (cx, _) = act::counted_for(action.id, &cx);
            match (
                rollback::advice(action.id, &cx),
                action.act.probe(&cx).await,
            ) {
                (Some(advice), Ok(None)) => Some(advice),
                _ => None,
            }
        });
        if let Some(advice) = advised {
            self.recorder.tell(&Event::Advice(advice));
        }
        let (handle, recorder) = (self.handle.clone(), Arc::clone(&self.recorder));
        let told = Arc::new(std::sync::Mutex::new((false, None)));
        let tell = Arc::clone(&told);
        group::action(action.id, self.manner(), move || {
            let carried = handle.block_on(act::carry_out(action, &cx));
            let ended = carried.ended.clone();
            let through = matches!(ended.outcome, Outcome::Pass | Outcome::Warn);
            let written = recorder.step_ended(action, carried, undone_by(action.id));
            *tell
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = (through, written.err());
            ended
        });
        let (through, halt) = std::mem::take(
            &mut *told
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        halt.map_or(Ok(through), Err)
    }

    fn step_context(&self, action: &Action) -> ActionContext {
        let live = self.context(checks::view::View::live(self.world.reader.clone()));
        let deadline = Instant::now() + limit(self.options, action.id);
        self.action_context(&live, deadline, self.recorder.clone())
    }

    /// What the last screen says: that it is done, or what is left and how to go on.
    fn last_words(&self, exit: Exit) -> Vec<String> {
        let report = self.recorder.report();
        let node = &report.node;
        if exit == Exit::Passed {
            let commit = report
                .action("rollback::commit")
                .and_then(|record| record.recorded.get("commit"))
                .map(|commit| format!(", commit {} is pushed", commit.get(..7).unwrap_or(commit)))
                .unwrap_or_default();
            return vec![format!(
                "{node} is out: nothing of it is in the cluster or in git{commit}"
            )];
        }
        let mut words = Vec::new();
        let stopped = report.actions.iter().rev().find_map(|record| {
            let why = record.recorded.get("failed")?;
            (record.id.starts_with("rollback::")).then_some((&record.id, why))
        });
        if let Some((id, why)) = stopped {
            words.push(format!("stopped at {id}: {why}"));
            let ended = report.case(id).and_then(reports::model::Case::ended);
            words.extend(
                ended
                    .filter(|ended| !ended.hint.is_empty())
                    .map(|ended| format!("do: {}", ended.hint)),
            );
        }
        let cx = context_of(self.options, self.world, &report, &self.stop);
        let limit = Duration::from_secs(5);
        let left = self.on_account_of(FORECAST, async {
            tokio::time::timeout(limit, rollback::left_behind(&cx)).await
        });
        match left {
            Ok(Ok(left)) if left.is_empty() => words.push("nothing is left half done".to_owned()),
            Ok(Ok(left)) => words.extend(left.into_iter().map(|one| format!("left as it is: {one}"))),
            _ => words.push(
                "what it leaves could not be read; --status says it, the report says what was begun".to_owned(),
            ),
        }
        words.push("--rollback goes on with it".to_owned());
        words
    }
}
