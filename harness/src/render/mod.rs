//! How a run is shown while it goes on: lines for people, lines for programs, or nothing beside libtest's own.

mod forecast;
mod json;
mod pretty;

use std::sync::Arc;

use crate::{
    event::{Event, Sink},
    options::{Format, Options},
    progress::Progress,
    term::{self, Look},
    text::clean,
};

pub(crate) use json::{case as json_case, tidy};
pub(crate) use pretty::tally;

/// Whoever is to be told during a run.
pub(crate) fn sink(
    options: &Options,
    stdout: Look,
    stderr: Look,
    progress: Arc<Progress>,
) -> Arc<dyn Sink> {
    match options.format {
        Format::Pretty => Arc::new(pretty::Pretty::new(
            stdout,
            stderr,
            options.verbose,
            progress,
        )),
        Format::Json => Arc::new(json::Json::new(progress)),
        Format::Libtest => Arc::new(Beside { stderr, progress }),
    }
}

/// Beside libtest's own lines: waits and warnings, on standard error only.
struct Beside {
    stderr: Look,
    progress: Arc<Progress>,
}

impl Sink for Beside {
    fn event(&self, event: &Event) {
        match event {
            Event::Waiting(waiting) => {
                self.progress.waiting(waiting);
            }
            Event::Waited | Event::PhaseEnded { .. } => self.progress.rest(),
            Event::Forecast { forecast, plan } => self.progress.suspend(|| {
                for line in forecast::lines(forecast, plan, self.stderr) {
                    term::err(&line);
                }
            }),
            Event::Advice(text) => self.progress.suspend(|| {
                for line in text.lines() {
                    term::err(&clean(line));
                }
            }),
            Event::Mends { .. } | Event::Fixed { .. } => self.progress.suspend(|| {
                for line in mended(event) {
                    term::err(&line);
                }
            }),
            Event::Planned { parts, .. } => self.progress.suspend(|| {
                for line in planned(parts) {
                    term::err(&line);
                }
            }),
            Event::Warning(text) => warn(self.stderr, &self.progress, text),
            Event::Started { .. }
            | Event::PhaseStarted { .. }
            | Event::CaseStarted { .. }
            | Event::CaseEnded(_)
            | Event::PhaseSkipped { .. } => {}
        }
    }
}

/// `fix::x for check: delete y`, and `fixed  check by fix::x`.
fn mended(event: &Event) -> Vec<String> {
    let about = |check: &str| {
        if check.is_empty() {
            String::new()
        } else {
            format!(" for {check}")
        }
    };
    match event {
        Event::Mends { fix, check, parts } => {
            let word = if term::is_marked() { "would " } else { "" };
            let line = |part: &String| clean(&format!("{fix}{}: {word}{part}", about(check)));
            parts.iter().map(line).collect()
        }
        Event::Fixed { fix, check } => vec![clean(&format!("fixed by {fix}{}", about(check)))],
        _ => Vec::new(),
    }
}

/// `would change x`, and what belongs to it as it is.
fn planned(parts: &[String]) -> Vec<String> {
    let lines = parts.iter().flat_map(|part| {
        part.lines().enumerate().map(|(number, line)| {
            let word = if number == 0 { "would " } else { "" };
            // What is indented stays so: a diff is read by its columns.
            let text = line.trim_start_matches(' ');
            let indent = &line[..line.len() - text.len()];
            format!("{word}{indent}{}", clean(text))
        })
    });
    lines.collect()
}

fn warn(stderr: Look, progress: &Progress, text: &str) {
    let line = format!("{} {}", stderr.warn("warning:"), clean(text));
    progress.suspend(|| term::err(&line));
}
