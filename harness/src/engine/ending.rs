//! What every run that keeps a log does alike: it opens the log, looks at the cluster once more at its end, and puts its
//! report away.

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;
use reports::{
    archive,
    folder::{LogFolder, StateFolder},
    log::Log,
    model::{Mode, Report},
};

use super::{ordered::Run, recorder::Recorder, state};
use crate::{
    event::Event,
    exit::{Exit, Halt},
    options::Options,
};

/// Opens the log file of a run. From now on it also takes what is traced.
pub(super) fn log(options: &Options, folder: &LogFolder, mode: Mode) -> Result<Log, Halt> {
    let log = Log::create(
        folder,
        &options.settings.node.name,
        mode,
        Timestamp::now(),
        options.verbose,
    )
    .map_err(|error| Halt::cannot_start(error.to_string(), "name another folder with --log-dir"))?;
    crate::trace::attach(&log);
    Ok(log)
}

/// Ends the report, with the cluster as it is now.
pub(super) fn finish(run: &Run<'_>, exit: Exit) -> Result<Report, Halt> {
    // Whoever pressed Ctrl-C does not wait for a server that does not answer.
    let limit = Duration::from_secs(if exit == Exit::Interrupted { 2 } else { 20 });
    let tables = run.on_account_of(
        "the cluster at the end",
        state::look(&run.snapshot(), limit),
    );
    run.recorder.update(|report| report.state = Some(tables))?;
    run.recorder.finish(exit)?;
    Ok(run.recorder.report())
}

/// What of a run lies in the log folder.
pub(super) struct Kept {
    /// The archived report.
    pub(super) junit: Option<PathBuf>,
    /// The report for people, where one is wanted.
    pub(super) markdown: Option<PathBuf>,
    /// Whether all of it is there: only then may the state be removed.
    pub(super) whole: bool,
}

/// Copies the report to the log folder. What came of the run stands in the state folder; that the log folder cannot be
/// written does not undo it, and is said.
pub(super) fn put_away(
    options: &Options,
    recorder: &Recorder,
    state: &StateFolder,
    logs: &LogFolder,
    report: &Report,
) -> Kept {
    let now = Timestamp::now();
    let mut whole = true;
    let mut failed = |said: String| {
        recorder.tell(&Event::Warning(said));
        whole = false;
    };
    let junit = archive::archive(state, logs, &report.node, now)
        .map_err(|error| failed(not_archived(&error, state)))
        .ok()
        .and_then(|kept| kept.junit);
    let markdown = options
        .report
        .then(|| archive::write_markdown(logs, report, now))
        .and_then(|written| {
            written
                .map_err(|error| failed(no_markdown(&error, state)))
                .ok()
        });
    Kept {
        junit,
        markdown,
        whole,
    }
}

/// Removes the state of a run that is over and archived.
pub(super) fn clear(recorder: &Recorder, state: &StateFolder) {
    if let Err(error) = archive::clear(state) {
        recorder.tell(&Event::Warning(format!(
            "the state of this run is archived and could not be removed: {error}; the next run puts it away"
        )));
    }
}

/// Only the archived copy makes room for the next run: without it the report stays.
fn not_archived(error: &archive::ArchiveError, state: &StateFolder) -> String {
    format!(
        "the report is not archived: {error}; it stays in {}, and the next run archives it: make room in the log folder, \
         or give it back",
        state.path().display()
    )
}

fn no_markdown(error: &archive::ArchiveError, state: &StateFolder) -> String {
    format!(
        "there is no Markdown report in the log folder: {error}; what it would say is in {}",
        state.markdown().display()
    )
}
