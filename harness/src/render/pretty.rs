//! Live lines in the words of libtest, with what libtest cannot say: warnings, blocked, durations, what is seen.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use reports::model::{Case, Cluster, Ended, Kind, Mode, Outcome, Phase, PhaseState};

use super::{mended, planned, warn};
use crate::{
    event::{Event, Sink},
    progress::{Progress, lock},
    term::{self, Look},
    text::{clean, columns, count, cut, duration, wrap},
};

/// Columns of `test `, the id and its dots, where there is room.
const NAME: usize = 47;
/// The same on a terminal of fewer than [`ROOMY`] columns.
const NARROW_NAME: usize = 41;
/// Columns from which there is room.
const ROOMY: usize = 100;
/// Columns of the outcome.
const WORD: usize = 7;
/// Most lines that the message of one failed case takes; the whole stands on the last screen.
const MESSAGE_LINES: usize = 3;

/// Prints results to standard output as they come.
pub(super) struct Pretty {
    page: Page,
    stderr: Look,
    progress: Arc<Progress>,
    seen: Mutex<Seen>,
}

/// What has been counted in the phase that runs.
#[derive(Default)]
struct Seen {
    /// What came out of each case last: one that was mended is asked again.
    outcomes: BTreeMap<String, Outcome>,
    done: usize,
    cases: usize,
}

impl Seen {
    fn counted(&self) -> BTreeMap<Outcome, usize> {
        let mut counted = BTreeMap::new();
        for outcome in self.outcomes.values() {
            *counted.entry(*outcome).or_default() += 1;
        }
        counted
    }
}

impl Pretty {
    pub(super) fn new(stdout: Look, stderr: Look, verbose: bool, progress: Arc<Progress>) -> Self {
        Self {
            page: Page {
                look: stdout,
                verbose,
            },
            stderr,
            progress,
            seen: Mutex::default(),
        }
    }

    fn print(&self, lines: &[String]) {
        self.progress.suspend(|| {
            for line in lines {
                term::out(line);
            }
        });
    }
}

impl Sink for Pretty {
    fn event(&self, event: &Event) {
        match event {
            Event::Started { .. } => self.print(&self.page.started(event)),
            Event::PhaseStarted { phase, cases } => {
                *lock(&self.seen) = Seen {
                    cases: *cases,
                    ..Seen::default()
                };
                self.print(&self.page.phase(*phase));
            }
            Event::Forecast { forecast, plan } => {
                self.print(&super::forecast::lines(forecast, plan, self.page.look));
            }
            Event::Advice(text) => {
                self.print(&self.page.advice(text));
            }
            Event::CaseStarted { id, .. } => {
                let seen = lock(&self.seen);
                self.progress
                    .doing(&format!("{id} · {} of {} done", seen.done, seen.cases));
            }
            Event::CaseEnded(case) => {
                let mut seen = lock(&self.seen);
                seen.done += 1;
                if let Some(outcome) = case.outcome() {
                    seen.outcomes.insert(case.id.clone(), outcome);
                }
                // What a dry run leaves out is counted in the footer; each of them says the same.
                let left_out = term::is_marked()
                    && case.kind == Kind::Check
                    && case
                        .ended()
                        .is_some_and(|ended| ended.reason == "NotAppliedInDryRun");
                if !left_out || self.page.verbose {
                    self.print(&self.page.case(case));
                }
            }
            Event::Waiting(waiting) => {
                self.progress.waiting(waiting);
            }
            Event::Waited => self.progress.rest(),
            Event::PhaseEnded {
                state,
                took,
                requests,
                ..
            } => {
                self.progress.rest();
                let seen = std::mem::take(&mut *lock(&self.seen));
                self.print(&[
                    self.page.footer(*state, &seen.counted(), *requests, *took),
                    String::new(),
                ]);
            }
            Event::PhaseSkipped { phase, why } => {
                self.print(&[self.page.skipped(*phase, why), String::new()]);
            }
            Event::Mends { .. } | Event::Fixed { .. } => self.print(&mended(event)),
            Event::Planned { parts, .. } => self.print(&planned(parts)),
            Event::Warning(text) => warn(self.stderr, &self.progress, text),
        }
    }
}

/// Makes lines; prints nothing.
#[derive(Clone, Copy)]
struct Page {
    look: Look,
    verbose: bool,
}

impl Page {
    fn fit(self, text: &str) -> String {
        match self.look.width {
            Some(width) => cut(text, width),
            None => text.to_owned(),
        }
    }

    fn started(self, event: &Event) -> Vec<String> {
        let Event::Started {
            run,
            mode,
            ordered,
            resumed,
            node,
            cluster,
            repository,
            followed_by,
            log,
        } = event
        else {
            return Vec::new();
        };
        let verb = match (ordered, resumed) {
            (_, false) if *mode == Mode::Rollback => format!("Taking {node} out of"),
            (_, true) if *mode == Mode::Rollback => format!("Going on to take {node} out of"),
            (true, false) => format!("Onboarding {node} into"),
            (true, true) => format!("Going on with {node} in"),
            (false, _) => format!("Checking {node} in"),
        };
        let title = clean(&format!("{verb} {}", cluster_name(cluster)));
        let server = clean(&format!(
            "{} at {}",
            version(&cluster.version),
            cluster.server
        ));
        let mut lines = if self.takes(&format!("{title}  ({server})")) {
            vec![format!("{}  ({server})", self.look.strong(&title))]
        } else {
            let mut lines = vec![self.look.strong(&title)];
            lines.extend(self.labelled("", &format!("({server})")));
            lines
        };
        if let Some(repository) = repository {
            let text = format!(
                "{}  {}  (followed by {followed_by})",
                clean(&repository.remote),
                clean(&repository.branch)
            );
            lines.extend(self.labelled("git", &clean_keep(&text)));
        }
        let run = clean(run);
        let log = log.as_ref().map(|path| clean(&path.display().to_string()));
        match log {
            Some(log) if self.takes(&format!("run   {run}   log {log}")) => {
                lines.push(format!("run   {run}   log {log}"));
            }
            Some(log) => {
                lines.push(format!("run   {run}"));
                lines.push(format!("log   {log}"));
            }
            None => lines.push(format!("run   {run}")),
        }
        if cluster.sandbox {
            let what =
                "sandbox: an embedded cluster on this machine, with a git repository of its own";
            lines.extend(self.labelled("", what));
        }
        lines.push(String::new());
        lines
    }

    /// Whether a line of this text fits.
    fn takes(self, text: &str) -> bool {
        self.look.width.is_none_or(|width| columns(text) <= width)
    }

    /// A line with a label before it, broken where the terminal is too narrow for it.
    fn labelled(self, label: &str, text: &str) -> Vec<String> {
        let whole = format!("{label:6}{text}");
        match self.look.width {
            Some(width) if !self.takes(&whole) => wrap(text, width.saturating_sub(6))
                .into_iter()
                .enumerate()
                .map(|(number, part)| format!("{:6}{part}", if number == 0 { label } else { "" }))
                .collect(),
            _ => vec![whole],
        }
    }

    fn phase(self, phase: Phase) -> Vec<String> {
        let heading = format!("{}/9 {}", phase.number(), phase.name());
        let strong = self.look.strong(&heading);
        if self.takes(&format!("{heading} · {}", phase.question())) {
            return vec![format!("{strong} · {}", phase.question())];
        }
        vec![strong, format!("    {}", phase.question())]
    }

    /// Words are wrapped. What is set off by blanks is to be pasted, so it stays one line.
    fn advice(self, text: &str) -> Vec<String> {
        let lines = text.lines().flat_map(|line| match self.look.width {
            _ if line.starts_with("  ") => vec![format!("  {}", clean(line))],
            Some(width) => wrap(&clean(line), width),
            None => vec![clean(line)],
        });
        lines.collect()
    }

    fn skipped(self, phase: Phase, why: &str) -> String {
        let heading = format!("{}/9 {}", phase.number(), phase.name());
        let why = self.fit(&clean(&format!("not run: {why}")));
        format!("{heading} · {}", self.look.faint(&why))
    }

    fn case(self, case: &Case) -> Vec<String> {
        let Some(ended) = case.ended() else {
            return Vec::new();
        };
        let mut name = format!("test {} ", clean(&case.id));
        if case.kind == Kind::Action {
            name.push_str("[action] ");
        }
        let column = match self.look.width {
            Some(width) if width < ROOMY => NARROW_NAME,
            _ => NAME,
        };
        let dots = column.saturating_sub(columns(&name)).max(3);
        name.push_str(&".".repeat(dots));
        let word = self.word(case.kind, ended.outcome);
        let head = format!("{name} {word}");
        // `blocked` is one longer than its column, so that it keeps its space.
        let longer = usize::from(ended.outcome == Outcome::Blocked);
        let room = self
            .look
            .width
            .map(|width| width.saturating_sub(columns(&name) + 1 + WORD + longer));
        let message = self.message(case.kind, ended);
        let Some(room) = room else {
            return vec![format!("{head}{message}").trim_end().to_owned()];
        };
        if columns(&message) <= room {
            return vec![format!("{head}{message}").trim_end().to_owned()];
        }
        match ended.outcome {
            Outcome::Pass | Outcome::Skip | Outcome::Blocked if case.kind == Kind::Check => {
                vec![
                    format!("{head}{}", cut(&message, room))
                        .trim_end()
                        .to_owned(),
                ]
            }
            _ => {
                let width = self.look.width.unwrap_or(80).saturating_sub(6);
                let mut below = wrap(&message, width);
                if below.len() > MESSAGE_LINES {
                    let rest = below.split_off(MESSAGE_LINES - 1).join(" ");
                    below.push(cut(&rest, width));
                }
                std::iter::once(head.trim_end().to_owned())
                    .chain(below.into_iter().map(|line| format!("      {line}")))
                    .collect()
            }
        }
    }

    fn message(self, kind: Kind, ended: &Ended) -> String {
        let message = clean(&ended.message);
        match (kind, ended.outcome) {
            (Kind::Check, Outcome::Pass) => {
                let took = duration(ended.duration.unsigned_abs());
                if self.verbose {
                    format!("{took:>6}  {message}")
                } else {
                    format!("{took:>6}")
                }
            }
            _ if message.is_empty() => clean(&ended.reason),
            _ => message,
        }
    }

    fn word(self, kind: Kind, outcome: Outcome) -> String {
        let word = |text: &str| format!("{text:WORD$}");
        match outcome {
            Outcome::Pass if kind == Kind::Action => self.look.good(&word("done")),
            Outcome::Pass => self.look.good(&word("ok")),
            Outcome::Warn => self.look.warn(&word("WARN")),
            Outcome::Fail => self.look.bad(&word("FAILED")),
            Outcome::Error => self.look.bad(&word("error")),
            Outcome::Skip => self.look.faint(&word("skip")),
            Outcome::Blocked => self.look.faint("blocked "),
        }
    }

    fn footer(
        self,
        state: PhaseState,
        outcomes: &BTreeMap<Outcome, usize>,
        requests: u64,
        took: Duration,
    ) -> String {
        let word = match state {
            PhaseState::Completed => self.look.good("ok"),
            PhaseState::Failed => self.look.bad("FAILED"),
            PhaseState::Skipped => self.look.faint("skipped"),
            // Only a part of it was asked for, or the run was interrupted, which is said at its end.
            PhaseState::InProgress | PhaseState::NotStarted => self.look.faint("in part"),
        };
        let requests = count(usize::try_from(requests).unwrap_or(usize::MAX), "request");
        format!(
            "{word} · {} · {requests} · {}",
            tally(outcomes),
            duration(took)
        )
    }
}

/// `46 passed, 1 warning, 1 skipped`
pub(crate) fn tally(outcomes: &BTreeMap<Outcome, usize>) -> String {
    let parts: Vec<String> = [
        (Outcome::Fail, "failed"),
        (Outcome::Error, "undecided"),
        (Outcome::Pass, "passed"),
        (Outcome::Warn, "warning"),
        (Outcome::Skip, "skipped"),
        (Outcome::Blocked, "blocked"),
    ]
    .into_iter()
    .filter_map(|(outcome, word)| {
        let number = *outcomes.get(&outcome)?;
        Some(match outcome {
            Outcome::Warn => count(number, word),
            _ => format!("{number} {word}"),
        })
    })
    .collect();
    if parts.is_empty() {
        "nothing asked".into()
    } else {
        parts.join(", ")
    }
}

/// `k3s v1.36.2+k3s1`
fn version(version: &str) -> String {
    if version.contains("k3s") {
        format!("k3s {version}")
    } else {
        format!("Kubernetes {version}")
    }
}

fn cluster_name(cluster: &Cluster) -> &str {
    if cluster.sandbox {
        "the sandbox"
    } else {
        &cluster.name
    }
}

/// Parts are cleaned already; the spaces between them are meant.
fn clean_keep(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).collect()
}

#[cfg(test)]
mod tests;
