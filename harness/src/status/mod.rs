//! `--status`: how far the onboarding is by its report, the node as the cluster has it now, and where they disagree.
//! Works without a report, without a cluster, and while another run is going.

mod compare;
mod now;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use reports::{
    archive,
    folder::{LogFolder, StateFolder},
    lock::{self, Holder},
    model::{self, Case, Report, SCHEMA},
    status::StatusOptions,
    store::Store,
};
use serde_json::{Value, json};

use crate::{
    build,
    cli::Cli,
    exit::{Exit, Halt},
    options::{Format, Options},
    progress::Progress,
    render, sandbox_mode,
    term::{self, Look},
    text::{clean, wrap},
};

use now::Now;

/// Columns where the output goes to no terminal.
const PIPED: usize = 120;

/// What is on record.
struct Record {
    report: Option<Report>,
    /// Where it was read from, when it was the archive.
    archived: Option<PathBuf>,
    /// Who holds the lock.
    running: Option<Holder>,
    /// What is wrong with the record.
    warnings: Vec<String>,
}

/// Carries out `--status`.
///
/// # Errors
/// The state folder must not be trusted, or no copy of the report can be used.
pub(crate) fn show(cli: &Cli) -> Result<Exit, Halt> {
    let mut options = build::from_environment(cli)?;
    let runtime = crate::run::runtime()?;
    let progress = Progress::new(Look::stderr(cli.color));
    let now = runtime.block_on(progress.answer(async {
        match point_to_sandbox(&mut options).await {
            Ok(()) => now::look(&options).await,
            Err(why) => Now::Unknown(why),
        }
    }));
    let record = record(&options, now.cluster_uid())?;
    let remarks = compare::remarks(record.report.as_ref(), record.running.is_some(), &now);
    if options.format == Format::Json {
        term::object(&object(&options, &record, &now, &remarks));
    } else {
        let look = Look::stdout(cli.color);
        let again = sandbox_mode::again(cli, None);
        for line in lines(&options, &record, &now, &remarks, look, &again) {
            term::out(&line);
        }
    }
    Ok(Exit::Passed)
}

/// The cluster of a sandbox is there only while somebody serves it.
async fn point_to_sandbox(options: &mut Options) -> Result<(), String> {
    let Some(wanted) = &options.sandbox else {
        return Ok(());
    };
    let Some(dir) = &wanted.dir else {
        return Err(
            "a sandbox ends with its run; one that is served is named with --sandbox=DIR".into(),
        );
    };
    let sandbox = sandbox::Sandbox::attach(dir)
        .await
        .map_err(|error| error.to_string())?;
    options.kubeconfig = Some(sandbox.kubeconfig());
    options.context = None;
    Ok(())
}

fn record(options: &Options, cluster: Option<&str>) -> Result<Record, Halt> {
    let mut record = Record {
        report: None,
        archived: None,
        running: None,
        warnings: Vec::new(),
    };
    let refused = |error: reports::folder::FolderError| Halt::cannot_start(error.to_string(), "");
    if let Some(state) = StateFolder::open(&options.state_dir).map_err(refused)? {
        match lock::held_by(&state) {
            Ok(holder) => record.running = holder,
            Err(error) => record.warnings.push(error.to_string()),
        }
        match Store::load(&state) {
            Ok(Some(loaded)) => {
                record.warnings.extend(loaded.warning);
                record.report = Some(loaded.report);
                return Ok(record);
            }
            Ok(None) => {}
            Err(error) => {
                return Err(Halt::new(
                    Exit::ReportUnusable,
                    format!("{}: {error}", options.state_dir.display()),
                    "put a whole copy from the log folder back, or start over with --fresh",
                ));
            }
        }
    }
    if let Some(logs) = LogFolder::open(&options.log_dir).map_err(refused)? {
        match archive::latest(&logs, &options.settings.node.name, cluster) {
            Ok(Some(found)) => {
                record.report = Some(found.report);
                record.archived = Some(found.path);
            }
            Ok(None) => {}
            Err(error) => record.warnings.push(error.to_string()),
        }
    }
    Ok(record)
}

fn lines(
    options: &Options,
    record: &Record,
    now: &Now,
    remarks: &[compare::Remark],
    look: Look,
    again: &str,
) -> Vec<String> {
    let width = look.width.unwrap_or(PIPED);
    let mut lines = Vec::new();
    match &record.report {
        Some(report) => {
            let mut shown = reports::status::lines(
                report,
                &StatusOptions {
                    now: Timestamp::now(),
                    width,
                    running: record.running.is_some(),
                },
            );
            if let Some(head) = shown.first_mut() {
                *head = look.strong(head);
            }
            lines.extend(shown);
        }
        None => lines.push(format!(
            "no onboarding of {} is on record in {}",
            clean(&options.settings.node.name),
            folder(&options.state_dir)
        )),
    }
    if let Some(holder) = &record.running {
        lines.push(clean(&format!("held by {holder}")));
    }
    if let Some(path) = &record.archived {
        lines.push(clean(&format!("from the archive: {}", path.display())));
    }
    for warning in &record.warnings {
        lines.extend(
            wrap(&format!("warning: {}", clean(warning)), width)
                .iter()
                .map(|line| look.warn(line)),
        );
    }
    let mut about = now.sentence(&options.settings.node.name);
    for (number, line) in wrap(&clean(&std::mem::take(&mut about)), width.saturating_sub(5))
        .into_iter()
        .enumerate()
    {
        let label = if number == 0 { "now" } else { "" };
        lines.push(format!("{label:5}{line}"));
    }
    for remark in remarks {
        let text = remark.sentence(again);
        lines.extend(
            wrap(&clean(&text), width.saturating_sub(5))
                .into_iter()
                .enumerate()
                .map(|(number, line)| {
                    let mark = if number == 0 { "  ←  " } else { "     " };
                    format!("{mark}{}", look.warn(&line))
                }),
        );
    }
    lines
}

fn object(options: &Options, record: &Record, now: &Now, remarks: &[compare::Remark]) -> Value {
    let report = record.report.as_ref().map(|report| {
        let phases: Vec<Value> = report
            .phases
            .iter()
            .map(|phase| {
                json!({
                    "phase": phase.phase,
                    "state": phase.state,
                    "error": phase.error,
                    "duration_seconds": phase.duration().map(|took| took.as_secs_f64()),
                })
            })
            .collect();
        let steps: Vec<Value> = report.steps.iter().map(step).collect();
        json!({
            "run": report.run,
            "mode": report.mode,
            "started": report.started,
            "finished": report.finished,
            "exit_code": report.exit_code,
            "resumed": report.resumed,
            "complete": report.complete(),
            "cluster": report.cluster,
            "repository": report.repository,
            "phases": phases,
            "steps": steps,
        })
    });
    render::tidy(json!({
        "schema": SCHEMA,
        "event": "status",
        "at": Timestamp::now(),
        "node": options.settings.node.name,
        "running": record.running,
        "report": report,
        "archived": record.archived,
        "warnings": record.warnings,
        "now": now.object(),
        "disagreements": remarks.iter().map(|remark| remark.sentence("")).collect::<Vec<_>>(),
    }))
}

/// A step of a rollback.
fn step(step: &Case) -> Value {
    let (progress, ended) = match &step.progress {
        model::Progress::NotStarted => ("not_started", None),
        model::Progress::InProgress { .. } => ("in_progress", None),
        model::Progress::Done(ended) => ("done", Some(ended)),
    };
    json!({
        "id": step.id,
        "progress": progress,
        "outcome": ended.map(|ended| ended.outcome),
        "reason": ended.map(|ended| &ended.reason),
        "message": ended.map(|ended| &ended.message),
        "duration_seconds": ended.map(|ended| ended.duration.as_secs_f64()),
    })
}

fn folder(path: &Path) -> String {
    clean(&path.display().to_string())
}

#[cfg(test)]
mod tests;
