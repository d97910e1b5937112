//! A run from its beginning to its last screen: selection, runtime, signals, engine, summary.

use std::{io::Write as _, sync::Arc};

use phases::{Stop, Stopper};
use tokio::runtime::Runtime;

use crate::{
    build, catalogue,
    cli::Cli,
    engine::{self, Ended},
    exit::{Exit, Halt},
    options::{Format, Options, Purpose},
    progress::Progress,
    render, sandbox_mode, selection, signals,
    summary::Summary,
    term::{self, Look},
    trace,
};

/// Carries out an ordered run or an inspection.
///
/// # Errors
/// It could not start; see [`engine::run`].
pub(crate) fn run(cli: &Cli) -> Result<Exit, Halt> {
    let mut options = build::from_environment(cli)?;
    trace::listen(options.verbose);
    selection::choose(&options.selection, catalogue::all())?;
    let runtime = runtime()?;
    let stop = stop_on_signals(&runtime)?;
    let (stdout, stderr) = (Look::stdout(cli.color), Look::stderr(cli.color));
    let progress = Arc::new(Progress::new(stderr));
    if options.sandbox.is_some() {
        progress.doing("starting the embedded cluster");
    }
    let sandbox = sandbox_mode::open(&mut options, &runtime, &stop);
    progress.rest();
    let sandbox = sandbox?;
    let kept = sandbox.as_ref().map(sandbox_mode::folder);
    let again = sandbox_mode::again(cli, kept.as_deref());
    let sink = render::sink(&options, stdout, stderr, Arc::clone(&progress));
    let ended = engine::run(&options, &runtime, sink, stop.clone());
    progress.rest();
    let result = ended.map(|ended| {
        summarise(&options, &ended, &again, stdout, stderr);
        ended.exit
    });
    if let Some(sandbox) = sandbox {
        sandbox_mode::close(sandbox, &options, &runtime, &stop);
    }
    result
}

/// Lets Ctrl-C and SIGTERM end what goes on in this runtime.
///
/// # Errors
/// The system does not let us listen.
pub(crate) fn stop_on_signals(runtime: &Runtime) -> Result<Stop, Halt> {
    let stopper = Stopper::default();
    let stop = stopper.listener();
    signals::listen(runtime, stopper)
        .map_err(|error| Halt::cannot_start(format!("signals cannot be heard: {error}"), ""))?;
    Ok(stop)
}

/// The last screen.
fn summarise(options: &Options, ended: &Ended, again: &str, stdout: Look, stderr: Look) {
    let summary = Summary {
        report: &ended.report,
        exit: ended.exit,
        files: &ended.files,
        ordered: matches!(options.purpose, Purpose::Onboard { .. }),
        fail_on_warn: options.fail_on_warn,
        again,
        ephemeral: sandbox_mode::ephemeral(options),
    };
    match options.format {
        Format::Pretty => summary
            .lines(stdout)
            .iter()
            .for_each(|line| term::out(line)),
        Format::Json => term::out(&summary.json().to_string()),
        Format::Libtest => {
            let _ = std::io::stdout().flush();
            summary
                .lines(stderr)
                .iter()
                .for_each(|line| term::err(line));
        }
    }
}

/// The one runtime of the process. Trials block on it from threads of their own.
///
/// # Errors
/// The system gives no threads.
pub(crate) fn runtime() -> Result<Runtime, Halt> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Halt::cannot_start(format!("no threads to run on: {error}"), ""))
}
