//! The run itself: groups of trials through libtest-mimic, in order, with actions between them.
//!
//! [`ordered`] runs phases, [`inspect`] asks a selection; both put their checks on a [`board`], which knows what rests
//! on what, and hand them to libtest-mimic in [`group`]. [`recorder`] writes down what happens before anybody is told.

mod act;
mod ask;
mod board;
mod dry;
mod ending;
mod fix;
mod gate;
mod group;
mod inspect;
mod logbook;
mod ordered;
mod recorder;
mod resume;
mod rollback;
mod settle;
mod start;
mod state;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use phases::{Stop, wait::Waiting};
use reports::{
    archive,
    folder::{LogFolder, StateFolder},
    junit::JunitOptions,
    lock::Lock,
    model::{Mode, Report, SCHEMA},
    store::{Copies, Store},
};
use tokio::runtime::Runtime;

pub(crate) use self::fix::needs as fix_needs;
use self::{logbook::Logbook, ordered::Run, recorder::Recorder, start::World};
use crate::{
    event::{Event, Sink},
    exit::{Exit, Halt},
    lease::{self, Who},
    options::{Options, Purpose},
    progress::FIRST,
};

/// How a run ended, for the last screen.
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) exit: Exit,
    /// Everything that happened.
    pub(crate) report: Report,
    /// Files that were written and that a person may want: label and path.
    pub(crate) files: Vec<(String, PathBuf)>,
    /// What a rollback has to say at its end; after an onboarding that stopped, what a rollback would do now.
    pub(crate) last_words: Vec<String>,
}

/// Carries out an ordered run or an inspection.
///
/// # Errors
/// It could not start, another run holds the lock, the report of an earlier run cannot be used.
pub(crate) fn run(
    options: &Options,
    runtime: &Runtime,
    sink: Arc<dyn Sink>,
    stop: Stop,
) -> Result<Ended, Halt> {
    let id = format!("{:08x}", fastrand::u32(..));
    let world = runtime.block_on(found(start::find(options, &id), sink.as_ref(), &stop))?;
    if options.dry_run {
        let begin = match options.purpose {
            Purpose::Onboard { resume, fresh, .. } => resume::Begin {
                resume,
                fresh,
                join: false,
            },
            Purpose::Inspect { .. } => resume::Begin {
                resume: false,
                fresh: false,
                join: true,
            },
            Purpose::Rollback { .. } => {
                return rollback::rehearse(options, &world, runtime, sink, &stop, &id);
            }
        };
        return dry::run(options, &world, runtime, sink, stop, id, begin);
    }
    match options.purpose {
        Purpose::Inspect { apply: false, wait } => {
            inspect(options, &world, runtime, sink, stop, id, wait)
        }
        Purpose::Inspect { apply: true, .. } => {
            let begin = resume::Begin {
                resume: false,
                fresh: false,
                join: true,
            };
            write(options, &world, runtime, sink, stop, id, begin)
        }
        Purpose::Rollback { yes } => {
            rollback::roll_back(options, &world, runtime, sink, stop, &id, yes)
        }
        Purpose::Onboard { resume, fresh, .. } => {
            let begin = resume::Begin {
                resume,
                fresh,
                join: false,
            };
            write(options, &world, runtime, sink, stop, id, begin)
        }
    }
}

/// Waits for the cluster to say who it is, and says so while that takes long; Ctrl-C ends it.
async fn found<T>(
    finding: impl Future<Output = Result<T, Halt>>,
    sink: &dyn Sink,
    stop: &Stop,
) -> Result<T, Halt> {
    let begun = Instant::now();
    let mut finding = std::pin::pin!(finding);
    let mut told = false;
    let result = loop {
        tokio::select! {
            found = &mut finding => break found,
            () = stop.wait() => {
                break Err(Halt::new(Exit::Interrupted, "interrupted before anything was asked", ""));
            }
            () = tokio::time::sleep(if told { TELL } else { FIRST }) => {}
        }
        told = true;
        sink.event(&Event::Waiting(Waiting {
            id: "the cluster".to_owned(),
            seen: "it has not said yet which one it is".to_owned(),
            since: begun.elapsed(),
            limit: FIND,
        }));
    };
    if told {
        sink.event(&Event::Waited);
    }
    result
}

/// How often a silent beginning is said.
const TELL: Duration = Duration::from_secs(1);
/// Two answers, each with all its retries.
const FIND: Duration = Duration::from_secs(80);

/// Asks a selection: no lock, no folder; the copies that were asked for are all that is written.
fn inspect(
    options: &Options,
    world: &World,
    runtime: &Runtime,
    sink: Arc<dyn Sink>,
    stop: Stop,
    id: String,
    wait: bool,
) -> Result<Ended, Halt> {
    let mut report = new_report(&id, Mode::Inspect, world);
    // What is not selected is no part of an inspection.
    for phase in &mut report.phases {
        phase.cases.retain(|case| {
            options.selection.takes(&case.id) && case.kind == reports::model::Kind::Check
        });
    }
    let store = Store::begin(None, report, copies(options)).map_err(unwritable)?;
    sink.event(&started(world, &id, false, false, None));
    let recorder = Arc::new(Recorder::new(store, sink, world.connection.meter()));
    let run = Run {
        options,
        world,
        recorder: Arc::clone(&recorder),
        handle: runtime.handle().clone(),
        stop,
        run: id,
        backup: PathBuf::new(),
        lease: None,
    };
    let exit = warned(options, &recorder, run.inspect(wait)?);
    recorder.finish(exit)?;
    let report = recorder.report();
    let markdown = match (&options.markdown, options.report) {
        (Some(path), _) => Some(path.clone()),
        (None, true) => {
            let logs = LogFolder::open_or_create(&options.log_dir)
                .map_err(|error| Halt::cannot_start(error.to_string(), ""))?;
            Some(archive::write_markdown(&logs, &report, Timestamp::now()).map_err(unarchived)?)
        }
        (None, false) => None,
    };
    let files = [("report", markdown), ("junit", options.junit.clone())];
    Ok(Ended {
        exit,
        report,
        files: named(files),
        last_words: Vec::new(),
    })
}

/// Runs phases with their actions: under the lock, on the record.
fn write(
    options: &Options,
    world: &World,
    runtime: &Runtime,
    sink: Arc<dyn Sink>,
    stop: Stop,
    id: String,
    begin: resume::Begin,
) -> Result<Ended, Halt> {
    // Its messages say what to do already.
    let refused = |error: reports::folder::FolderError| Halt::cannot_start(error.to_string(), "");
    // Both are judged before either is made.
    LogFolder::open(&options.log_dir).map_err(refused)?;
    let state_folder = StateFolder::open_or_create(&options.state_dir).map_err(refused)?;
    let log_folder = LogFolder::open_or_create(&options.log_dir).map_err(refused)?;
    let lock =
        Lock::take(&state_folder, &id).map_err(|error| resume::locked(&error, &state_folder))?;
    let begun = resume::begin(
        begin,
        new_report(&id, Mode::Onboard, world),
        Some(&state_folder),
    )?;
    let lease = lease::take(
        runtime,
        &world.connection,
        &world.permit,
        &world.settings,
        Who {
            run: begun.report.run.clone(),
            mode: Mode::Onboard.name(),
            ended: ended_here(&lock, begun.earlier.as_ref()),
        },
        &stop,
        &sink,
    )?;
    if let Some(run) = &begun.replaced {
        // Before its report goes: a start that is killed here finds it again.
        let namespace = &world.settings.probe.namespace;
        let left = phases::temporary::leave(&world.client, namespace, run);
        match runtime.block_on(left) {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => sink.event(&Event::Warning(format!(
                "run {run} has left objects of its own in the cluster; removed: {}",
                removed.join(", ")
            ))),
            Err(error) => sink.event(&Event::Warning(format!(
                "objects of run {run} are left in the cluster: {error}; remove them with --cleanup"
            ))),
        }
    }
    if let Some(node) = &begun.old {
        resume::put_away(&state_folder, &log_folder, node)?;
    }
    let (report, warning) = (begun.report, begun.warning);
    let (id, resumed) = (report.run.clone(), report.resumed > 0);
    let store = Store::begin(Some(&state_folder), report, copies(options)).map_err(unwritable)?;
    let log = ending::log(options, &log_folder, Mode::Onboard)?;
    let log_path = log.path().map(std::path::Path::to_owned);
    let kept_log = log.clone();
    let sink: Arc<dyn Sink> = Arc::new(Logbook::new(log, sink));
    sink.event(&started(
        world,
        &id,
        begin.ordered(),
        resumed,
        log_path.clone(),
    ));
    if let Some(warning) = warning {
        sink.event(&Event::Warning(warning));
    }
    let recorder = Arc::new(Recorder::new(
        store,
        Arc::clone(&sink),
        world.connection.meter(),
    ));
    let run = Run {
        options,
        world,
        recorder: Arc::clone(&recorder),
        handle: runtime.handle().clone(),
        stop,
        run: id,
        backup: state_folder.backup(),
        lease: lease.as_ref(),
    };
    let ended = match run.purpose() {
        Purpose::Onboard {
            skip_validation, ..
        } => run.all(skip_validation),
        Purpose::Inspect { .. } | Purpose::Rollback { .. } => run.apply(),
    };
    run.leave();
    let exit = locked_out(world, &recorder, warned(options, &recorder, ended?));
    let report = ending::finish(&run, exit)?;
    let kept = ending::put_away(options, &recorder, &state_folder, &log_folder, &report);
    let files = named([
        ("log", log_path),
        ("report", kept.markdown),
        ("junit", kept.junit),
    ]);
    let stopped = exit == Exit::Failed && report.has_changes() && begin.ordered();
    let last_words = if stopped {
        let stop = run.stop.clone();
        rollback::outlook(options, world, runtime, &report, &stop)
    } else {
        None
    };
    if let Some(gap) = kept_log.failure() {
        recorder.tell(&Event::Warning(format!("the log is not complete: {gap}")));
    }
    // Whatever could not be put into the log folder is still in the state folder, and stays there.
    if kept.whole && report.complete() && report.mode == Mode::Onboard {
        ending::clear(&recorder, &state_folder);
    }
    // The Lease is given back while the folder is still ours.
    drop(lease);
    drop(lock);
    Ok(Ended {
        exit,
        report,
        files,
        last_words: last_words.into_iter().collect(),
    })
}

/// Runs that this folder's lock shows to have ended: the one of its report, and one that was killed before it wrote a
/// report.
fn ended_here(lock: &Lock, earlier: Option<&String>) -> Vec<String> {
    let killed = lock.previous().map(|holder| holder.run.clone());
    earlier.cloned().into_iter().chain(killed).collect()
}

/// A run that lost its Lease was ended by that, and says so.
fn locked_out(world: &World, recorder: &Recorder, exit: Exit) -> Exit {
    let Some(why) = world.permit.lost() else {
        return exit;
    };
    let how = match recorder.report().mode {
        Mode::Rollback => "--rollback",
        _ => "--resume",
    };
    recorder.tell(&Event::Warning(format!(
        "{why}. The run ended before its next write; go on with {how} once the other run has ended"
    )));
    Exit::Locked
}

/// `--fail-on warn`: a run with warnings has failed.
fn warned(options: &Options, recorder: &Recorder, exit: Exit) -> Exit {
    let warned = || {
        let report = recorder.report();
        let outcomes = report
            .phases
            .iter()
            .flat_map(|phase| &phase.cases)
            .filter_map(reports::model::Case::outcome);
        outcomes
            .into_iter()
            .any(|outcome| outcome == reports::model::Outcome::Warn)
    };
    if exit == Exit::Passed && options.fail_on_warn && warned() {
        Exit::Failed
    } else {
        exit
    }
}

fn copies(options: &Options) -> Copies {
    Copies {
        junit: options.junit.clone(),
        markdown: options.markdown.clone(),
        options: JunitOptions {
            fail_on_warn: options.fail_on_warn,
        },
    }
}

fn new_report(id: &str, mode: Mode, world: &World) -> Report {
    Report {
        schema: SCHEMA,
        sequence: 0,
        run: id.to_owned(),
        mode,
        node: world.settings.node.name.clone(),
        cluster: world.cluster.clone(),
        repository: world.identity.clone(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        started: Timestamp::now(),
        finished: None,
        exit_code: None,
        resumed: 0,
        phases: recorder::phases(&world.settings),
        steps: Vec::new(),
        actions: Vec::new(),
        requests: 0,
        other_requests: std::collections::BTreeMap::new(),
        state: None,
    }
}

fn started(world: &World, run: &str, ordered: bool, resumed: bool, log: Option<PathBuf>) -> Event {
    let flux = &world.settings.flux;
    Event::Started {
        run: run.to_owned(),
        mode: if ordered {
            Mode::Onboard
        } else {
            Mode::Inspect
        },
        ordered,
        resumed,
        node: world.settings.node.name.clone(),
        cluster: world.cluster.clone(),
        repository: world.identity.clone(),
        followed_by: format!("{}/{}", flux.namespace, flux.source),
        log,
    }
}

fn unwritable(error: reports::store::StoreError) -> Halt {
    Halt::cannot_start(
        error.to_string(),
        "make room, or name another folder with --state-dir",
    )
}

fn unarchived(error: archive::ArchiveError) -> Halt {
    Halt::cannot_start(
        error.to_string(),
        "make room in the log folder, or name another with --log-dir",
    )
}

/// The files that were written, with their labels.
fn named<const N: usize>(files: [(&str, Option<PathBuf>); N]) -> Vec<(String, PathBuf)> {
    files
        .into_iter()
        .filter_map(|(label, path)| Some((label.to_owned(), path?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use phases::Stopper;

    use super::*;

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Sink for Told {
        fn event(&self, event: &Event) {
            let word = match event {
                Event::Waiting(waiting) => waiting.id.clone(),
                Event::Waited => "waited".to_owned(),
                _ => "other".to_owned(),
            };
            self.0.lock().unwrap().push(word);
        }
    }

    #[tokio::test]
    async fn a_silent_cluster_is_said_and_a_prompt_one_is_not() {
        let (told, stop) = (Told::default(), Stopper::default().listener());
        let prompt = found(async { Ok(1) }, &told, &stop).await;
        assert_eq!(prompt.unwrap(), 1);
        assert!(told.0.lock().unwrap().is_empty());
        let slow = async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            Ok(2)
        };
        assert_eq!(found(slow, &told, &stop).await.unwrap(), 2);
        assert_eq!(*told.0.lock().unwrap(), ["the cluster", "waited"]);
    }

    #[tokio::test]
    async fn ctrl_c_does_not_wait_for_a_cluster_that_never_answers() {
        let (told, stopper) = (Told::default(), Stopper::default());
        let stop = stopper.listener();
        stopper.stop();
        let never = std::future::pending::<Result<(), Halt>>();
        let halt = found(never, &told, &stop).await.unwrap_err();
        assert_eq!(halt.exit, Exit::Interrupted);
    }
}
