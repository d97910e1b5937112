//! When what happened, as a Mermaid gantt chart, which GitHub draws.

use jiff::Timestamp;

use crate::model::{ActionState, PhaseReport, PhaseState, Progress, Report};

/// The chart; nothing when no phase has begun.
pub(super) fn gantt(out: &mut String, report: &Report) {
    let begun: Vec<(&PhaseReport, Timestamp)> = report
        .phases
        .iter()
        .filter_map(|phase| Some((phase, phase.started?)))
        .collect();
    if begun.is_empty() {
        return;
    }
    out.push_str("\n## Timeline\n\n```mermaid\ngantt\n");
    out.push_str(&format!(
        "    title {}\n    dateFormat x\n    axisFormat %H:%M:%S\n    section Phases\n",
        plain(&report.node)
    ));
    for (phase, started) in begun {
        let state = match phase.state {
            PhaseState::Completed | PhaseState::Skipped => "done, ",
            PhaseState::Failed => "crit, ",
            PhaseState::InProgress => "active, ",
            PhaseState::NotStarted => "",
        };
        let from = started.as_millisecond();
        let to = end(phase)
            .map_or(from, Timestamp::as_millisecond)
            .max(from + 1);
        out.push_str(&format!(
            "    {} :{state}{from}, {to}\n",
            phase.phase.name()
        ));
    }
    let done = report
        .actions
        .iter()
        .filter(|action| action.state == ActionState::Done);
    let mut done = done
        .filter_map(|action| Some((action, action.finished?)))
        .peekable();
    if done.peek().is_some() {
        out.push_str("    section Changes\n");
    }
    for (action, at) in done {
        out.push_str(&format!(
            "    {} :milestone, {}, 0d\n",
            plain(&action.id),
            at.as_millisecond()
        ));
    }
    out.push_str("```\n");
}

/// The end of the phase, or of what ended last in it.
fn end(phase: &PhaseReport) -> Option<Timestamp> {
    phase.finished.or_else(|| {
        let ends = phase.cases.iter().filter_map(|case| match &case.progress {
            Progress::NotStarted => None,
            Progress::InProgress { started } => Some(*started),
            Progress::Done(ended) => ended.started.checked_add(ended.duration).ok(),
        });
        ends.max()
    })
}

/// Mermaid gives colons, semicolons, hashes and quotes a meaning of their own.
fn plain(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|char| {
            if char.is_ascii_alphanumeric() || "-._".contains(char) {
                char
            } else {
                ' '
            }
        })
        .collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        "unnamed".to_owned()
    } else {
        words.join(" ")
    }
}
