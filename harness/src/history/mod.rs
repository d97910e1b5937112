//! `--history`: what the archive tells about all runs of the node. Asks no cluster and changes nothing.

mod screen;

use std::path::Path;

use jiff::Timestamp;
use reports::{
    folder::LogFolder,
    history::{self, Chronicle},
    model::Mode,
};
use serde_json::{Value, json};

use crate::{
    build,
    cli::Cli,
    exit::{Exit, Halt},
    options::Format,
    render,
    term::{self, Look},
    text::clean,
};

/// Version of the JSON form; raised when a reader of an older one would misread it.
const SCHEMA: u32 = 1;

/// Carries out `--history`.
///
/// # Errors
/// The log folder must not be trusted or cannot be listed, or the configuration cannot be used.
pub(crate) fn show(cli: &Cli) -> Result<Exit, Halt> {
    let options = build::from_environment(cli)?;
    let node = &options.settings.node.name;
    let chronicle = read(&options.log_dir, node)?;
    let folder = &options.log_dir;
    if options.format == Format::Json {
        term::object(&object(folder, node, &chronicle));
    } else {
        let look = Look::stdout(cli.color);
        for line in screen::lines(folder, node, &chronicle, look) {
            term::out(&line);
        }
    }
    Ok(Exit::Passed)
}

/// A folder that is not there holds no runs.
fn read(folder: &Path, node: &str) -> Result<Chronicle, Halt> {
    let refused = |message: String| {
        Halt::cannot_start(message, "name the folder of the archive with --log-dir")
    };
    let logs = LogFolder::open(folder).map_err(|error| refused(error.to_string()))?;
    match logs {
        None => Ok(Chronicle::default()),
        Some(logs) => history::of(&logs, node).map_err(|error| refused(error.to_string())),
    }
}

/// The form for programs, as docs/state-format.md describes it.
fn object(folder: &Path, node: &str, chronicle: &Chronicle) -> Value {
    let rate = |mode| {
        let rate = chronicle.rate(mode);
        json!({
            "runs": rate.runs,
            "complete": rate.complete,
            "complete_at_once": rate.at_once,
            "success_rate": (rate.runs > 0).then(|| part(rate.complete, rate.runs)),
        })
    };
    let failing: Vec<Value> = chronicle
        .failing
        .iter()
        .map(|one| {
            let reasons: Vec<Value> = one
                .reasons
                .iter()
                .map(|(reason, runs)| json!({ "reason": reason, "runs": runs }))
                .collect();
            json!({
                "id": one.id,
                "kind": one.kind,
                "failed": one.failed,
                "asked": one.asked,
                "reasons": reasons,
                "last": one.last,
            })
        })
        .collect();
    let runs: Vec<Value> = chronicle
        .runs
        .iter()
        .map(|run| {
            let mut value = serde_json::to_value(run).unwrap_or_default();
            value["path"] = clean(&run.path.display().to_string()).into();
            value
        })
        .collect();
    render::tidy(json!({
        "schema": SCHEMA,
        "event": "history",
        "at": Timestamp::now(),
        "node": node,
        "folder": clean(&folder.display().to_string()),
        "reports": chronicle.reports,
        "onboard": rate(Mode::Onboard),
        "rollback": rate(Mode::Rollback),
        "failing": failing,
        "phases": chronicle.phases,
        "steps": chronicle.steps,
        "runs": runs,
        "damaged": chronicle.damaged,
        "foreign": chronicle.foreign,
    }))
}

/// A share from 0 to 1, to four places.
#[expect(
    clippy::cast_precision_loss,
    reason = "nobody archives so many runs that it shows"
)]
fn part(some: usize, all: usize) -> f64 {
    (some as f64 / all as f64 * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests;
