//! What should happen now? Onboards a worker node into a k3s cluster and proves it, check by check.
//!
//! This file only dispatches.

mod build;
mod catalogue;
mod cleanup;
mod cli;
mod completions;
mod config;
#[cfg(test)]
mod docs;
mod engine;
mod event;
mod exit;
mod explain;
mod history;
mod lease;
mod list;
mod near;
mod options;
mod panics;
mod progress;
mod rbac;
mod render;
mod run;
mod sandbox_mode;
mod scripts;
mod selection;
mod shown;
mod signals;
mod status;
mod summary;
mod term;
#[cfg(test)]
mod testing;
mod text;
mod trace;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};

use crate::{
    cli::{Cli, Task},
    exit::{Exit, Halt},
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(why) = cli.refuse() {
        Cli::command()
            .error(ErrorKind::ArgumentConflict, why)
            .exit();
    }
    if cli.dry_run {
        term::mark();
    }
    panics::be_brief();
    let exit = panics::contained(|| {
        dispatch(&cli).unwrap_or_else(|halt| {
            halt.tell(&cli);
            halt.exit
        })
    });
    // Whatever broke, the report on the disk is whole, and the run can be resumed.
    ExitCode::from(exit.unwrap_or(Exit::Failed).code())
}

fn dispatch(cli: &Cli) -> Result<Exit, Halt> {
    match cli.task() {
        Task::List => list::show(cli),
        Task::Explain(id) => explain::show(cli, &id),
        Task::Rbac => rbac::show(cli),
        Task::Completions(shell) => completions::show(shell),
        Task::Man => completions::show_manual(),
        Task::Run | Task::Rollback => run::run(cli),
        Task::Status => status::show(cli),
        Task::History => history::show(cli),
        Task::Cleanup => cleanup::clean_up(cli),
        Task::Serve(dir) => sandbox_mode::serve(cli, &dir),
    }
}
