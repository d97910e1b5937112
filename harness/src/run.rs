//! A run from its beginning to its last screen: selection, runtime, signals, engine.

use std::sync::Arc;

use phases::Stopper;
use tokio::runtime::Runtime;

use crate::{
    build, catalogue,
    cli::Cli,
    engine,
    event::{Event, Sink},
    exit::{Exit, Halt},
    selection, signals,
};

struct Quiet;

impl Sink for Quiet {
    fn event(&self, _: &Event) {}
}

/// Carries out an ordered run or an inspection.
///
/// # Errors
/// It could not start; see [`engine::run`].
pub(crate) fn run(cli: &Cli) -> Result<Exit, Halt> {
    let options = build::from_environment(cli)?;
    selection::choose(&options.selection, catalogue::all())?;
    let runtime = runtime()?;
    let stopper = Stopper::default();
    signals::listen(&runtime, stopper.clone())
        .map_err(|error| Halt::cannot_start(format!("signals cannot be heard: {error}"), ""))?;
    let ended = engine::run(&options, &runtime, Arc::new(Quiet), stopper.listener())?;
    Ok(ended.exit)
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
