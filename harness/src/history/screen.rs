//! The history for people: how many came through, what fails most, how long phases take, and the runs in order.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use reports::{
    history::{CaseFacts, Chronicle, Rate, RunFacts, Times},
    model::Mode,
    words,
};

use crate::{
    term::Look,
    text::{clean, columns, count, cut, wrap},
};

/// Columns where the output goes to no terminal.
const PIPED: usize = 120;
/// Most checks shown; `--format json` has them all.
const FAILING: usize = 10;
/// Most damaged or foreign files shown; `--format json` has them all.
const FILES: usize = 10;

/// The lines of the screen.
pub(super) fn lines(folder: &Path, node: &str, told: &Chronicle, look: Look) -> Vec<String> {
    let width = look.width.unwrap_or(PIPED);
    let mut out = Vec::new();
    let place = clean(&folder.display().to_string());
    let node = clean(node);
    match (told.runs.first(), told.runs.last()) {
        (Some(first), Some(last)) => {
            let span = format!("{} to {}", day(first.started), day(last.started));
            let head = format!("{node} · {} · {span}", count(told.runs.len(), "run"));
            out.push(look.strong(&cut(&head, width)));
            out.extend(wrap(&format!("from {place}"), width));
            rates(told, &mut out);
            failing(told, look, width, &mut out);
            phases(told, look, &mut out);
            steps(told, look, &mut out);
            runs(told, look, width, &mut out);
        }
        _ => out.extend(wrap(
            &format!("no run of {node} is archived in {place}"),
            width,
        )),
    }
    files("damaged", &told.damaged, look, width, &mut out);
    files("not counted", &told.foreign, look, width, &mut out);
    out
}

fn rates(told: &Chronicle, out: &mut Vec<String>) {
    out.push(String::new());
    for (mode, name) in [
        (Mode::Onboard, "onboardings"),
        (Mode::Rollback, "rollbacks"),
    ] {
        let rate = told.rate(mode);
        if let Some(per_cent) = rate.per_cent() {
            out.push(format!(
                "{name:<12}{:>5}   {}",
                rate.runs,
                share(rate, per_cent)
            ));
        }
    }
}

fn share(rate: Rate, per_cent: usize) -> String {
    let resumed = rate.complete - rate.at_once;
    let how = if resumed == 0 {
        String::new()
    } else {
        format!(", {resumed} of them after a resume")
    };
    format!("{} complete ({per_cent} %){how}", rate.complete)
}

fn failing(told: &Chronicle, look: Look, width: usize, out: &mut Vec<String>) {
    out.push(String::new());
    if told.failing.is_empty() {
        out.push("No check has failed.".to_owned());
        return;
    }
    let shown = &told.failing[..told.failing.len().min(FAILING)];
    let longest = shown
        .iter()
        .map(|one| columns(&one.id))
        .max()
        .unwrap_or_default();
    // What is left of a narrow line belongs to the reasons.
    let name = longest.clamp(24, (width / 2).max(24));
    out.push(look.strong(&format!(
        "{:<name$}  runs   of   reasons",
        "Fails most often"
    )));
    for one in shown {
        out.push(cut(&case(one, name), width));
    }
    let more = told.failing.len() - shown.len();
    if more > 0 {
        out.push(format!("and {more} more: --format json"));
    }
}

fn case(one: &CaseFacts, name: usize) -> String {
    let id = cut(&clean(&one.id), name);
    let reasons: Vec<String> = one
        .reasons
        .iter()
        .map(|(reason, runs)| format!("{} {runs}", clean(reason)))
        .collect();
    format!(
        "{id}{}  {:>4} {:>4}   {}",
        " ".repeat(name.saturating_sub(columns(&id))),
        one.failed,
        one.asked,
        reasons.join(", ")
    )
}

fn phases(told: &Chronicle, look: Look, out: &mut Vec<String>) {
    if told.rate(Mode::Onboard).runs > 0 {
        let parts = told.phases.iter().map(|one| (one.phase.name(), &one.times));
        table("Time in each phase", parts, look, out);
    }
}

fn steps(told: &Chronicle, look: Look, out: &mut Vec<String>) {
    if !told.steps.is_empty() {
        let parts = told.steps.iter().map(|one| (one.id.as_str(), &one.times));
        table("Time in each step back", parts, look, out);
    }
}

fn table<'a>(
    what: &str,
    parts: impl Iterator<Item = (&'a str, &'a Times)>,
    look: Look,
    out: &mut Vec<String>,
) {
    out.push(String::new());
    out.push(look.strong(&format!(
        "{what:<26}completed  failed in      median         95 %"
    )));
    let time = |took: Option<SignedDuration>| took.map_or_else(|| "-".to_owned(), words::duration);
    for (name, times) in parts {
        out.push(format!(
            "{:<26}{:>9}  {:>9}  {:>10}  {:>11}",
            clean(name),
            times.completed,
            times.failed,
            time(times.median),
            time(times.p95)
        ));
    }
}

fn runs(told: &Chronicle, look: Look, width: usize, out: &mut Vec<String>) {
    out.push(String::new());
    out.push(look.strong("Runs, oldest first"));
    let several = told
        .runs
        .iter()
        .any(|run| run.cluster != told.runs[0].cluster);
    for run in &told.runs {
        let line = cut(&line(run, several), width);
        out.push(if run.complete { line } else { look.warn(&line) });
    }
}

fn line(run: &RunFacts, several: bool) -> String {
    let what = match run.mode {
        Mode::Onboard => "onboard",
        Mode::DryRun => "dry run",
        Mode::Inspect => "inspect",
        Mode::Rollback => "rollback",
    };
    let mut said = vec![if run.complete {
        "complete".to_owned()
    } else if let Some(place) = &run.stopped_at {
        let why = if run.error.is_empty() {
            String::new()
        } else {
            format!(": {}", clean(&run.error))
        };
        format!("stopped at {}{why}", clean(place))
    } else {
        "stopped".to_owned()
    }];
    if several {
        said.push(format!("in {}", clean(&run.cluster)));
    }
    // Between the starts of a resumed run lies the time of whoever mended something.
    match (run.resumed, run.finished) {
        (0, Some(finished)) => {
            said.push(words::duration(finished.duration_since(run.started)));
        }
        (0, None) => said.push("no end on record".to_owned()),
        (resumed, _) => said.push(format!("resumed {}", count_of_times(resumed))),
    }
    if run.warnings > 0 {
        said.push(words::count(run.warnings, "warning"));
    }
    format!(
        "{}  {}  {what:<8}  {}",
        minute(run.started),
        clean(&run.run),
        said.join(" · ")
    )
}

fn count_of_times(number: u32) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        other => format!("{other} times"),
    }
}

fn files(what: &str, names: &[String], look: Look, width: usize, out: &mut Vec<String>) {
    if names.is_empty() {
        return;
    }
    out.push(String::new());
    out.push(look.warn(&format!("{} {what}:", count(names.len(), "file"))));
    for name in names.iter().take(FILES) {
        let wrapped = wrap(&clean(name), width.saturating_sub(2));
        out.extend(wrapped.into_iter().map(|line| format!("  {line}")));
    }
    if names.len() > FILES {
        out.push(format!("  and {} more: --format json", names.len() - FILES));
    }
}

fn day(at: Timestamp) -> String {
    at.strftime("%-d %b %Y").to_string()
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}
