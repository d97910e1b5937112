//! The sections between the summary and the environment.

use std::collections::BTreeMap;

use super::{
    MarkdownOptions,
    escape::{block, code, inline, table},
    summary::ended,
};
use crate::{
    model::{ActionState, Case, Ended, Outcome, Progress, Report},
    words::{count, duration, moment},
};

/// Failures with what was seen and what to do; what they block is named with them, not apart.
pub(super) fn failures(out: &mut String, report: &Report, options: &MarkdownOptions) {
    let failed: Vec<&Case> = cases(report, &[Outcome::Fail, Outcome::Error]);
    if failed.is_empty() {
        return;
    }
    out.push_str(&format!(
        "\n## {}\n",
        count(failed.len(), "failure").replace("failure", "Failure")
    ));
    for case in failed {
        let Some(ended) = case.ended() else { continue };
        let verdict = if ended.outcome == Outcome::Error {
            "could not be decided"
        } else {
            "failed"
        };
        out.push_str(&format!(
            "\n### {} {verdict}: {}\n\n",
            code(&case.id),
            inline(&ended.reason)
        ));
        out.push_str(&format!(
            "Expected: {}\n\nFound: {}\n",
            inline(&case.title),
            inline(&ended.message)
        ));
        evidence(out, ended, options);
        if !ended.hint.is_empty() {
            out.push_str(&format!("\nTo do:\n\n{}", block(&ended.hint)));
        }
        let blocks: Vec<String> = blocked_by(report, &case.id)
            .iter()
            .map(|id| code(id))
            .collect();
        if !blocks.is_empty() {
            out.push_str(&format!(
                "\nBlocks {}: {}\n",
                count(blocks.len(), "check"),
                blocks.join(" ")
            ));
        }
        if !ended.at.is_empty() {
            out.push_str(&format!("\nDecided at {}.\n", code(&ended.at)));
        }
    }
}

fn evidence(out: &mut String, ended: &Ended, options: &MarkdownOptions) {
    if ended.evidence.is_empty() {
        return;
    }
    let text = block(&ended.evidence.join("\n"));
    let lines = ended.evidence.len();
    if lines > options.fold_above || text.len() > 4_000 {
        out.push_str(&format!(
            "\n<details><summary>Evidence, {}</summary>\n\n{text}\n</details>\n",
            count(lines, "line")
        ));
    } else {
        out.push_str(&format!("\n{text}"));
    }
}

fn cases<'a>(report: &'a Report, outcomes: &[Outcome]) -> Vec<&'a Case> {
    let all = report.cases();
    all.filter(|case| {
        case.outcome()
            .is_some_and(|outcome| outcomes.contains(&outcome))
    })
    .collect()
}

/// What waits for this, directly or not, in the order of the report.
fn blocked_by<'a>(report: &'a Report, id: &'a str) -> Vec<&'a str> {
    let blocked = ended(report, &[Outcome::Blocked]);
    let mut waits = std::collections::BTreeSet::from([id]);
    loop {
        let before = waits.len();
        for (one, ended) in &blocked {
            let on_it = |cause: &String| waits.contains(cause.as_str());
            if ended.blocked_by.iter().any(on_it) {
                waits.insert(*one);
            }
        }
        if waits.len() == before {
            break;
        }
    }
    let all = blocked.into_iter().map(|(one, _)| one);
    all.filter(|one| *one != id && waits.contains(one))
        .collect()
}

/// One row a phase.
pub(super) fn phases(out: &mut String, report: &Report) {
    let mut rows = Vec::new();
    for phase in &report.phases {
        let number = |outcome| {
            phase
                .cases
                .iter()
                .filter(|case| case.outcome() == Some(outcome))
                .count()
        };
        rows.push(vec![
            phase.phase.number().to_string(),
            inline(phase.phase.name()),
            phase.state.name().replace('_', " "),
            number(Outcome::Pass).to_string(),
            number(Outcome::Warn).to_string(),
            (number(Outcome::Fail) + number(Outcome::Error)).to_string(),
            (number(Outcome::Skip) + number(Outcome::Blocked)).to_string(),
            phase.duration().map(duration).unwrap_or_default(),
            inline(&phase.error),
        ]);
    }
    out.push_str("\n## Phases\n\n");
    let columns = [
        "", "phase", "state", "passed", "warned", "failed", "skipped", "took", "error",
    ];
    out.push_str(&table(&columns, &rows));
}

/// One row a step of a rollback.
pub(super) fn rollback(out: &mut String, report: &Report) {
    if report.steps.is_empty() {
        return;
    }
    let row = |case: &Case| {
        let ended = case.ended();
        let said = ended.map(|ended| match ended.reason.as_str() {
            "" => inline(&ended.message),
            reason => format!("{}: {}", inline(reason), inline(&ended.message)),
        });
        vec![
            code(&case.id),
            word(case).to_owned(),
            ended
                .map(|ended| duration(ended.duration))
                .unwrap_or_default(),
            said.unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = report.steps.iter().map(row).collect();
    out.push_str("\n## Steps of the rollback\n\n");
    out.push_str(&table(&["step", "state", "took", "what it did"], &rows));
}

/// The cluster as last seen.
pub(super) fn state(out: &mut String, report: &Report) {
    let Some(state) = &report.state else { return };
    out.push_str("\n## Cluster state\n");
    for one in &state.tables {
        let columns: Vec<String> = one.columns.iter().map(|name| inline(name)).collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> = one
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| inline(cell)).collect())
            .collect();
        out.push_str(&format!("\n### {}\n\n", inline(&one.title)));
        if rows.is_empty() {
            out.push_str("None.\n");
        } else {
            out.push_str(&table(&columns, &rows));
        }
    }
}

/// What a person should look at.
pub(super) fn warnings(out: &mut String, report: &Report, options: &MarkdownOptions) {
    let warned = ended(report, &[Outcome::Warn]);
    if warned.is_empty() {
        return;
    }
    out.push_str("\n## Warnings\n");
    for (id, ended) in warned {
        out.push_str(&format!(
            "\n- {} {}: {}\n",
            code(id),
            inline(&ended.reason),
            inline(&ended.message)
        ));
        if !ended.hint.is_empty() {
            out.push_str(&format!("  To do: {}\n", inline(&ended.hint)));
        }
        evidence(out, ended, options);
    }
}

/// What was changed, and how it is taken back.
pub(super) fn changes(out: &mut String, report: &Report) {
    out.push_str("\n## What was changed\n\n");
    if report.actions.is_empty() {
        out.push_str("Nothing.\n");
        return;
    }
    let mut rows = Vec::new();
    for action in &report.actions {
        let (state, undo) = match action.state {
            ActionState::Begun => (
                "begun, not known to be done",
                "`--rollback` looks and takes it back",
            ),
            ActionState::Done => ("done", "`--rollback`"),
            ActionState::Undone => ("taken back", ""),
        };
        let undo = match action.recorded.get("undo") {
            Some(own) if action.state != ActionState::Undone => inline(own),
            _ => undo.to_owned(),
        };
        let facts = action.recorded.iter().filter(|(key, _)| *key != "undo");
        let facts: Vec<String> = facts
            .map(|(key, value)| format!("{}: {}", inline(key), fact(value)))
            .collect();
        let at = action.finished.unwrap_or(action.started);
        rows.push(vec![
            code(&action.id),
            state.to_owned(),
            moment(at),
            facts.join("<br>"),
            undo,
        ]);
    }
    out.push_str(&table(
        &["action", "state", "when", "recorded", "to undo"],
        &rows,
    ));
}

/// Short values as they are; a pre-image of a file only by its size.
fn fact(value: &str) -> String {
    if value.contains('\n') || value.len() > 200 {
        format!("{} bytes", value.len())
    } else {
        code(value)
    }
}

/// Which check serves which criterion of the specification, and what came out.
pub(super) fn traceability(out: &mut String, report: &Report) {
    let mut by_criterion: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
    for case in report.phases.iter().flat_map(|phase| &phase.cases) {
        by_criterion
            .entry(case.criterion.as_str())
            .or_default()
            .push(case);
    }
    if by_criterion.is_empty() {
        return;
    }
    let mut rows: Vec<Vec<String>> = by_criterion
        .into_iter()
        .map(|(criterion, cases)| {
            let said: Vec<String> = cases
                .iter()
                .map(|case| format!("{} {}", code(&case.id), word(case)))
                .collect();
            vec![inline(criterion), verdict(&cases), said.join("<br>")]
        })
        .collect();
    rows.extend([resolutions(report), accessibility()]);
    rows.sort();
    out.push_str("\n## Requirement traceability\n\n<details><summary>Criteria of the specification and their checks</summary>\n\n");
    out.push_str(&table(&["criterion", "verdict", "checks"], &rows));
    out.push_str("\n</details>\n");
}

/// Whether a criterion is shown by its checks. What does not apply is not held against it.
fn verdict(cases: &[&Case]) -> String {
    let all = cases.len();
    let of = |one: fn(Outcome) -> bool| {
        let outcomes = cases.iter().filter_map(|case| case.outcome());
        outcomes.filter(|outcome| one(*outcome)).count()
    };
    let skipped = of(|outcome| outcome == Outcome::Skip);
    match (of(Outcome::satisfies), skipped) {
        (0, skipped) if skipped == all => "not asked".to_owned(),
        (shown, 0) if shown == all => "shown".to_owned(),
        (shown, skipped) if shown + skipped == all => format!("shown, {skipped} of {all} skipped"),
        (shown, skipped) => format!("{} of {all} open", all - shown - skipped),
    }
}

/// Criterion 7.2, which no check asks: whether whatever did not pass says what was seen and what to do.
fn resolutions(report: &Report) -> Vec<String> {
    let troubled = ended(report, &[Outcome::Fail, Outcome::Error, Outcome::Warn]);
    let told = |(_, one): &&(&str, &Ended)| !one.message.is_empty() && !one.hint.is_empty();
    let open = troubled.len() - troubled.iter().filter(told).count();
    let verdict = match (troubled.len(), open) {
        (0, _) => "nothing to resolve".to_owned(),
        (_, 0) => "shown".to_owned(),
        (all, open) => format!("{open} of {all} open"),
    };
    let said = "what did not pass says what was seen and what to do";
    vec!["7.2".to_owned(), verdict, said.to_owned()]
}

/// Criterion 7.4, which no check asks.
fn accessibility() -> Vec<String> {
    let said = "this report, its JUnit and the log beside it; `--status` and `--history`";
    vec![
        "7.4".to_owned(),
        "by this report".to_owned(),
        said.to_owned(),
    ]
}

fn word(case: &Case) -> &'static str {
    match &case.progress {
        Progress::NotStarted => "not started",
        Progress::InProgress { .. } => "in progress",
        Progress::Done(ended) => ended.outcome.name(),
    }
}

/// What was not asked, and why.
pub(super) fn skipped(out: &mut String, report: &Report) {
    let skipped = ended(report, &[Outcome::Skip, Outcome::Blocked]);
    if skipped.is_empty() {
        return;
    }
    let row = |(id, ended): &(&str, &Ended)| {
        vec![code(id), inline(&ended.reason), inline(&ended.message)]
    };
    let rows: Vec<Vec<String>> = skipped.iter().map(row).collect();
    let title = count(rows.len(), "case");
    out.push_str(&format!(
        "\n## Not asked\n\n<details><summary>{title} skipped or blocked</summary>\n\n"
    ));
    out.push_str(&table(&["case", "reason", "message"], &rows));
    out.push_str("\n</details>\n");
}
