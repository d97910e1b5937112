//! The last screen: what failed, what was seen, what to do, what the program can do now.

mod folded;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use reports::model::{
    ActionState, Case, Kind, Mode, Outcome, Phase, PhaseReport, PhaseState, Report, SCHEMA,
};
use serde_json::{Value, json};

use crate::{
    exit::Exit,
    render,
    term::Look,
    text::{clean, count, cut, duration, wrap},
};

use folded::{Fold, Folded};

/// Most lines of evidence shown for one cause; the report has them all.
const EVIDENCE: usize = 6;
/// Most warnings shown.
const WARNINGS: usize = 8;

/// What the last screen is made of.
pub(crate) struct Summary<'a> {
    /// What happened.
    pub(crate) report: &'a Report,
    /// How it ended.
    pub(crate) exit: Exit,
    /// Files that a person may want: label and path.
    pub(crate) files: &'a [(String, PathBuf)],
    /// Whether all phases were to run.
    pub(crate) ordered: bool,
    /// Whether warnings count as failures.
    pub(crate) fail_on_warn: bool,
    /// What has to be given again to reach the same cluster: ` --sandbox=DIR`; nothing for the cluster of the kubeconfig.
    pub(crate) again: &'a str,
    /// Whether the cluster ends with this run.
    pub(crate) ephemeral: bool,
    /// What `--rollback` would do now, where that could be told.
    pub(crate) rollback: Option<&'a str>,
}

impl Summary<'_> {
    /// The lines.
    pub(crate) fn lines(&self, look: Look) -> Vec<String> {
        let fold = Fold::of(self.report, self.fail_on_warn);
        let mut lines = Vec::new();
        if self.exit == Exit::Interrupted {
            // The phase that was going on has no footer.
            lines.push(String::new());
        }
        for phase in &self.report.phases {
            self.phase(phase, &fold, look, &mut lines);
        }
        for (cause, blocked) in &fold.elsewhere {
            lines.push(format!(
                "blocked by {}, which did not pass: {}",
                clean(cause),
                blocked.join(" ")
            ));
            lines.push(String::new());
        }
        self.warnings(look, &mut lines);
        if self.report.mode == Mode::DryRun {
            self.planned(look, &mut lines);
        } else if self.ordered {
            self.ordered(look, &mut lines);
        } else {
            self.inspected(look, &mut lines);
        }
        let widest = self
            .files
            .iter()
            .map(|(label, _)| label.len())
            .max()
            .unwrap_or(0);
        for (label, path) in self.files {
            lines.push(format!(
                "{:widest$}  {}",
                clean(label),
                clean(&path.display().to_string())
            ));
        }
        lines.push(format!("exit {}", self.exit.code()));
        lines
    }

    /// The same as one object.
    pub(crate) fn json(&self) -> Value {
        let fold = Fold::of(self.report, self.fail_on_warn);
        let causes: Vec<Value> = fold
            .causes
            .iter()
            .map(|one| {
                let mut case = render::json_case(one.case);
                if let Some(map) = case.as_object_mut() {
                    map.insert("blocks".into(), json!(one.blocks));
                }
                case
            })
            .collect();
        let outcomes: BTreeMap<&str, usize> = self
            .outcomes()
            .into_iter()
            .map(|(outcome, number)| (outcome.name(), number))
            .collect();
        let files: BTreeMap<&str, String> = self
            .files
            .iter()
            .map(|(label, path)| (label.as_str(), path.display().to_string()))
            .collect();
        render::tidy(json!({
            "schema": SCHEMA,
            "event": "ended",
            "at": jiff::Timestamp::now(),
            "run": self.report.run,
            "exit_code": self.exit.code(),
            "complete": self.report.complete(),
            "sandbox": self.report.cluster.sandbox,
            "stopped_at": self.stopped_at().map(Phase::name),
            "rollback_would": self.rollback,
            "outcomes": outcomes,
            "causes": causes,
            "files": files,
        }))
    }

    fn phase(&self, phase: &PhaseReport, fold: &Fold<'_>, look: Look, lines: &mut Vec<String>) {
        let causes: Vec<&Folded<'_>> = fold
            .causes
            .iter()
            .filter(|one| Phase::of_id(&one.case.id) == Some(phase.phase))
            .collect();
        if causes.is_empty() && phase.state != PhaseState::Failed {
            return;
        }
        let took = phase
            .duration()
            .map(|took| format!(" after {}", duration(took.unsigned_abs())))
            .unwrap_or_default();
        // What waits for two causes is blocked once.
        let blocked: BTreeSet<&String> = causes.iter().flat_map(|one| &one.blocks).collect();
        let mut parts = vec![count(causes.len(), "cause")];
        if !blocked.is_empty() {
            parts.push(format!("{} blocked", blocked.len()));
        }
        let heading = format!("{} FAILED{took}", phase.phase.name());
        lines.push(format!("{} · {}", look.bad(&heading), parts.join(", ")));
        if causes.is_empty() && !phase.error.is_empty() {
            lines.push(format!("  {}", clean(&phase.error)));
        }
        lines.push(String::new());
        for one in causes {
            cause(one, look, lines);
        }
    }

    fn warnings(&self, look: Look, lines: &mut Vec<String>) {
        if self.fail_on_warn {
            return;
        }
        let warned: Vec<&Case> = cases(self.report)
            .filter(|case| case.outcome() == Some(Outcome::Warn))
            .collect();
        if warned.is_empty() {
            return;
        }
        lines.push(look.warn(&count(warned.len(), "warning")));
        // One trouble makes several checks say the same.
        let mut said: Vec<(String, Vec<&Case>)> = Vec::new();
        for case in &warned {
            let message = case
                .ended()
                .map(|ended| clean(&ended.message))
                .unwrap_or_default();
            match said.iter_mut().find(|(known, _)| *known == message) {
                Some((_, same)) => same.push(case),
                None => said.push((message, vec![case])),
            }
        }
        let fitted = |line: String| match look.width {
            Some(width) => cut(&line, width),
            None => line,
        };
        for (message, same) in said.iter().take(WARNINGS) {
            let Some((first, others)) = same.split_first() else {
                continue;
            };
            lines.push(fitted(format!("  {}   {message}", first.id)));
            if !others.is_empty() {
                let names: Vec<&str> = others.iter().map(|case| case.id.as_str()).collect();
                lines.push(fitted(format!("    so do {}", names.join(" "))));
            }
        }
        let left: usize = said.iter().skip(WARNINGS).map(|(_, same)| same.len()).sum();
        if left > 0 {
            lines.push(format!("  and {left} more, in the report"));
        }
        lines.push(String::new());
    }

    fn ordered(&self, look: Look, lines: &mut Vec<String>) {
        let report = self.report;
        let node = clean(&report.node);
        if report.complete() {
            let took = report
                .finished
                .map(|end| {
                    format!(
                        " in {}",
                        duration(end.duration_since(report.started).unsigned_abs())
                    )
                })
                .unwrap_or_default();
            let place = if report.cluster.sandbox {
                "the sandbox".to_owned()
            } else {
                clean(&report.cluster.name)
            };
            let verdict = format!("{node} is onboarded into {place}");
            let verdict = if self.exit == Exit::Passed {
                look.good(&verdict)
            } else {
                look.strong(&verdict)
            };
            lines.push(format!(
                "{verdict}: {} of 9 phases completed{took}, {}",
                report.count(PhaseState::Completed),
                render::tally(&self.outcomes())
            ));
            if let Some(commit) = commit(report) {
                lines.push(format!("commit {commit} is pushed"));
            }
            return;
        }
        let done = report.count(PhaseState::Completed) + report.count(PhaseState::Skipped);
        let pushed = commit(report)
            .map(|commit| format!(", commit {commit} is pushed"))
            .unwrap_or_default();
        let begun = if self.exit == Exit::Interrupted {
            "Interrupted; nothing was lost"
        } else {
            "Nothing was lost"
        };
        let changed = match report.changed_by()[..] {
            [] => ", nothing has been changed yet".to_owned(),
            ref ids if !report.has_changes() => format!(", changed by {}", clean(&ids.join(" "))),
            _ => String::new(),
        };
        lines.push(format!(
            "{begun}: {done} of 9 phases are done{pushed}{changed}."
        ));
        if self.ephemeral {
            lines.push(
                "The sandbox ends with this run. To try --status and --resume on one that stays:"
                    .into(),
            );
            lines
                .push("  harness --sandbox-serve /tmp/world      and, in another terminal:".into());
            lines.push("  harness --sandbox=/tmp/world".into());
            return;
        }
        lines.push("  --status     compares this with the cluster as it is now".into());
        if let Some(phase) = self.stopped_at() {
            let kept = if done > 0 {
                format!(
                    ", and does not ask the {} before it again",
                    count(done, "phase")
                )
            } else {
                String::new()
            };
            lines.push(format!("  --resume     goes on at {}{kept}", phase.name()));
        }
        if report.has_changes() {
            let outlook = self
                .rollback
                .map_or_else(|| "it says first what that would do".to_owned(), clean);
            lines.push(format!("  --rollback   takes {node} out again: {outlook}"));
        }
        if !self.again.is_empty() {
            lines.push(format!("  each with    {}", self.again.trim_start()));
        }
    }

    /// What a dry run came to.
    fn planned(&self, look: Look, lines: &mut Vec<String>) {
        let planned = cases(self.report)
            .filter(|case| {
                case.kind == Kind::Action
                    && case
                        .ended()
                        .is_some_and(|ended| ended.reason == "NotAppliedInDryRun")
            })
            .count();
        let verdict = match self.exit {
            Exit::Passed => look.good("ok"),
            Exit::Interrupted => look.warn("interrupted"),
            _ => look.bad("FAILED"),
        };
        lines.push(format!(
            "{verdict} · {} · {} would change something · nothing was changed",
            render::tally(&self.outcomes()),
            count(planned, "action")
        ));
        if planned > 0 {
            lines.push("the same without --dry-run carries it out".to_owned());
        }
    }

    fn inspected(&self, look: Look, lines: &mut Vec<String>) {
        let verdict = match self.exit {
            Exit::Passed => look.good("ok"),
            Exit::Interrupted => look.warn("interrupted"),
            _ => look.bad("FAILED"),
        };
        let changed = match self.report.changed_by()[..] {
            [] => "nothing was changed".to_owned(),
            ref ids => format!("changed by {}", clean(&ids.join(" "))),
        };
        lines.push(format!(
            "{verdict} · {} · {changed}",
            render::tally(&self.outcomes())
        ));
    }

    fn outcomes(&self) -> BTreeMap<Outcome, usize> {
        let mut outcomes = BTreeMap::new();
        for outcome in cases(self.report).filter_map(Case::outcome) {
            *outcomes.entry(outcome).or_default() += 1;
        }
        outcomes
    }

    fn stopped_at(&self) -> Option<Phase> {
        if !self.ordered || self.report.mode == Mode::DryRun {
            return None;
        }
        self.report
            .phases
            .iter()
            .find(|one| !matches!(one.state, PhaseState::Completed | PhaseState::Skipped))
            .map(|one| one.phase)
    }
}

fn cause(one: &Folded<'_>, look: Look, lines: &mut Vec<String>) {
    let Some(ended) = one.case.ended() else {
        return;
    };
    let width = look.width.unwrap_or(usize::MAX).saturating_sub(12);
    lines.push(format!(
        "  {}   {}",
        look.strong(&clean(&one.case.id)),
        look.bad(&clean(&ended.reason))
    ));
    let mut labelled = |label: &str, text: &str| {
        for (number, line) in wrap(text, width).into_iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            lines.push(format!("    {label:8}{line}").trim_end().to_owned());
        }
    };
    let message = clean(&ended.message);
    labelled("saw", &message);
    let facts: Vec<String> = ended
        .evidence
        .iter()
        .map(|fact| clean(fact))
        .filter(|fact| !is_told(fact, &message))
        .collect();
    for fact in facts.iter().take(EVIDENCE) {
        labelled("", fact);
    }
    if facts.len() > EVIDENCE {
        let more = facts.len() - EVIDENCE;
        labelled("", &format!("and {more} more facts, in the report"));
    }
    let mut hints = ended
        .hint
        .lines()
        .map(clean)
        .filter(|hint| !hint.is_empty());
    labelled(
        "do",
        &hints.next().unwrap_or_else(|| "see the report".into()),
    );
    for hint in hints {
        labelled("", &hint);
    }
    labelled(
        "",
        &format!("(more: harness --explain {})", clean(&one.case.id)),
    );
    if !one.blocks.is_empty() {
        labelled("blocks", &one.shown());
    }
    lines.push(String::new());
}

/// Abbreviated id of the commit that was pushed.
fn commit(report: &Report) -> Option<String> {
    let push = report.action("gitops::push")?;
    if push.state != ActionState::Done {
        return None;
    }
    let commit = report.action("gitops::commit")?.recorded.get("commit")?;
    Some(clean(commit).chars().take(7).collect())
}

fn cases(report: &Report) -> impl Iterator<Item = &Case> {
    report.phases.iter().flat_map(|phase| &phase.cases)
}

/// Whether a fact says nothing that the message has not said: the same words, or the same of an object that it names.
fn is_told(fact: &str, message: &str) -> bool {
    if message.contains(fact) {
        return true;
    }
    fact.split_once(": ")
        .is_some_and(|(object, seen)| !seen.is_empty() && told_of(object, seen, message))
}

fn told_of(object: &str, seen: &str, message: &str) -> bool {
    message
        .find(&format!(": {seen}"))
        .is_some_and(|at| message[..at].contains(object))
}

#[cfg(test)]
mod tests;
