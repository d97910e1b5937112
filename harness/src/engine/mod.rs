//! The run itself: groups of trials through libtest-mimic, in order, with actions between them.

use std::sync::Arc;

use crate::{
    event::Sink,
    exit::{Exit, Halt},
    options::Options,
};

/// How a run ended, for the last screen.
pub(crate) struct Ended {
    /// The exit code.
    pub(crate) exit: Exit,
    /// Everything that happened.
    pub(crate) report: reports::model::Report,
    /// Files that were written and that a person may want: label and path.
    pub(crate) files: Vec<(String, std::path::PathBuf)>,
}

/// Carries out an ordered run or an inspection.
///
/// # Errors
/// It could not start, another run holds the lock, the report of an earlier run cannot be used, nothing is selected.
pub(crate) fn run(
    options: &Options,
    runtime: &tokio::runtime::Runtime,
    sink: Arc<dyn Sink>,
    stop: phases::Stop,
) -> Result<Ended, Halt> {
    let _ = (options, runtime, sink, stop);
    Err(Halt::new(Exit::CannotStart, "the engine is not built", ""))
}
