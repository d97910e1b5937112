//! What a manager reads: one sentence; and what to do next, and where it was.

use jiff::SignedDuration;

use super::escape::{code, inline, table};
use crate::{
    model::{Ended, Mode, Outcome, Phase, PhaseReport, PhaseState, Report},
    words::{count, duration, moment},
};

/// Title and sentence.
pub(super) fn head(out: &mut String, report: &Report) {
    let what = match report.mode {
        Mode::Onboard => "Onboarding of",
        Mode::DryRun => "Dry run of onboarding",
        Mode::Inspect => "Inspection of",
        Mode::Rollback => "Rollback of",
    };
    let sandbox = if report.cluster.sandbox {
        " (sandbox)"
    } else {
        ""
    };
    out.push_str(&format!(
        "# {what} {}{sandbox}\n\n**Executive summary:** {}\n",
        inline(&report.node),
        inline(&sentence(report))
    ));
}

/// How many cases came to this outcome.
pub(super) fn outcomes(report: &Report, outcome: Outcome) -> usize {
    report
        .phases
        .iter()
        .flat_map(|phase| &phase.cases)
        .filter(|case| case.outcome() == Some(outcome))
        .count()
}

/// The whole report in one sentence of plain text.
#[must_use]
pub fn sentence(report: &Report) -> String {
    let node = &report.node;
    let cluster = if report.cluster.name.is_empty() {
        "the cluster"
    } else {
        report.cluster.name.as_str()
    };
    let where_ = match (report.cluster.sandbox, cluster) {
        (true, "sandbox") => "the sandbox".to_owned(),
        (true, name) => format!("the sandbox cluster {name}"),
        (false, name) => name.to_owned(),
    };
    let tally = tally(report);
    match report.mode {
        Mode::Onboard => onboarding(report, &where_, &tally),
        Mode::DryRun => format!(
            "Nothing was changed: this is what onboarding {node} into {where_} would do; {tally}."
        ),
        Mode::Inspect => match report.changed_by()[..] {
            [] => format!("{node} in {where_} was looked at and nothing was changed; {tally}."),
            ref ids => {
                let ids: Vec<String> = ids.iter().map(|id| code(id)).collect();
                format!(
                    "{node} in {where_} was looked at, and changed by {}; {tally}.",
                    ids.join(", ")
                )
            }
        },
        Mode::Rollback => match report.exit_code {
            Some(0) => format!("{node} was taken out of {where_} again."),
            Some(code) => {
                format!("{node} was not completely taken out of {where_} (exit {code}); {tally}.")
            }
            None => {
                format!("{node} is being taken out of {where_}, or that was interrupted; {tally}.")
            }
        },
    }
}

fn onboarding(report: &Report, where_: &str, tally: &str) -> String {
    let node = &report.node;
    if report.complete() {
        let took = report
            .finished
            .map(|end| format!(" in {}", duration(end.duration_since(report.started))));
        return format!(
            "{node} is part of {where_}: all {} phases are through{}, {tally}.",
            Phase::ALL.len(),
            took.unwrap_or_default()
        );
    }
    let through = report.count(PhaseState::Completed) + report.count(PhaseState::Skipped);
    let through = format!(
        "{through} of {} phases are through, {tally}",
        Phase::ALL.len()
    );
    let failed = report
        .phases
        .iter()
        .find(|phase| phase.state == PhaseState::Failed);
    if let Some(phase) = failed {
        let why = why(phase)
            .map(|why| format!(" ({why})"))
            .unwrap_or_default();
        return format!(
            "{node} is not onboarded yet: {} failed{why}; {through}.",
            phase.phase
        );
    }
    let current = report
        .phases
        .iter()
        .find(|phase| phase.state == PhaseState::InProgress);
    let at = current
        .map(|phase| format!(" at {}", phase.phase))
        .unwrap_or_default();
    match report.exit_code {
        Some(code) => {
            format!("{node} is not onboarded yet: the run ended{at} with exit {code}; {through}.")
        }
        None => format!(
            "{node} is being onboarded into {where_}, or that was interrupted{at}; {through}."
        ),
    }
}

fn why(phase: &PhaseReport) -> Option<String> {
    if !phase.error.is_empty() {
        return Some(phase.error.clone());
    }
    let failed = phase.cases.iter().filter_map(|case| case.ended());
    let first = failed
        .into_iter()
        .find(|ended| matches!(ended.outcome, Outcome::Fail | Outcome::Error))?;
    Some(format!("{}: {}", first.reason, first.message))
}

fn tally(report: &Report) -> String {
    let number = |outcome| outcomes(report, outcome);
    if Outcome::ALL.into_iter().all(|outcome| number(outcome) == 0) {
        return "nothing asked yet".to_owned();
    }
    let failed = number(Outcome::Fail) + number(Outcome::Error);
    let mut parts = vec![format!("{} passed", number(Outcome::Pass))];
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if number(Outcome::Warn) > 0 {
        parts.push(count(number(Outcome::Warn), "warning"));
    }
    if number(Outcome::Skip) > 0 {
        parts.push(format!("{} skipped", number(Outcome::Skip)));
    }
    if number(Outcome::Blocked) > 0 {
        parts.push(format!("{} blocked", number(Outcome::Blocked)));
    }
    parts.join(", ")
}

/// What to do next, most urgent first.
pub(super) fn recommendations(out: &mut String, report: &Report) {
    let mut all: Vec<String> = Vec::new();
    for (id, ended) in ended(report, &[Outcome::Fail, Outcome::Error]) {
        let hint = if ended.hint.is_empty() {
            again(id)
        } else {
            inline(&ended.hint)
        };
        all.push(format!("{}: {hint}", code(id)));
    }
    if report.mode == Mode::Onboard && !report.complete() {
        all.push("Then go on with `--resume`; `--status` compares this report with the cluster as it is now.".to_owned());
        if report.has_changes() {
            all.push("Or take the node out again with `--rollback`.".to_owned());
        }
    }
    for (id, ended) in ended(report, &[Outcome::Warn]) {
        if !ended.hint.is_empty() {
            all.push(format!("{}: {}", code(id), inline(&ended.hint)));
        }
    }
    if report
        .phases
        .iter()
        .any(|phase| phase.state == PhaseState::Skipped)
    {
        all.push(
            "The validation before the onboarding was left out: run it with `--phase pre`."
                .to_owned(),
        );
    }
    if all.is_empty() {
        all.push("Nothing needs to be done.".to_owned());
    }
    out.push_str("\n## Recommendations\n\n");
    for (number, one) in all.iter().enumerate() {
        out.push_str(&format!("{}. {one}\n", number + 1));
    }
}

/// How to ask one check again.
fn again(id: &str) -> String {
    match id.split_once("::") {
        Some((phase, name)) => format!(
            "ask again with {}",
            code(&format!("--phase {phase} {name}"))
        ),
        None => format!("look at {}", code(id)),
    }
}

/// Ended cases with one of these outcomes, in order.
pub(super) fn ended<'a>(report: &'a Report, outcomes: &[Outcome]) -> Vec<(&'a str, &'a Ended)> {
    let cases = report.cases();
    let ended = cases.filter_map(|case| Some((case.id.as_str(), case.ended()?)));
    ended
        .filter(|(_, ended)| outcomes.contains(&ended.outcome))
        .collect()
}

/// Where and when.
pub(super) fn environment(out: &mut String, report: &Report) {
    let cluster = &report.cluster;
    let mut requests = report.requests.to_string();
    let others: Vec<String> = report
        .other_requests
        .iter()
        .map(|(cause, number)| format!("{cause} {number}"))
        .collect();
    if !others.is_empty() {
        requests.push_str(&format!(
            "; of these for no check or action: {}",
            others.join(", ")
        ));
    }
    let mut rows = vec![
        ("run", format!("{} ({})", report.run, report.mode.name())),
        ("harness", report.tool.clone()),
        ("cluster", cluster.name.clone()),
        (
            "API server",
            format!("{} {}", cluster.server, cluster.version),
        ),
        ("cluster UID", cluster.uid.clone()),
        ("started", moment(report.started)),
        (
            "finished",
            report.finished.map_or_else(|| "not yet".to_owned(), moment),
        ),
        (
            "exit code",
            report
                .exit_code
                .map_or_else(|| "none yet".to_owned(), |code| code.to_string()),
        ),
        (
            "resumed",
            count(
                usize::try_from(report.resumed).unwrap_or(usize::MAX),
                "time",
            ),
        ),
        ("requests", requests),
    ];
    if let Some(finished) = report.finished {
        let took: SignedDuration = finished.duration_since(report.started);
        rows.push(("took", duration(took)));
    }
    if let Some(repository) = &report.repository {
        rows.push((
            "repository",
            format!("{} {}", repository.remote, repository.branch),
        ));
        rows.push((
            "entry",
            format!("{} in {}", repository.entry, repository.file),
        ));
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), code(&value)])
        .collect();
    out.push_str("\n## Environment\n\n");
    out.push_str(&table(&["what", "value"], &rows));
}
