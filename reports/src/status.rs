//! The phase part of the status screen, as lines of plain text.

use jiff::{SignedDuration, Timestamp};

use crate::{
    clean::cleaned,
    model::{ActionState, Mode, Outcome, PhaseReport, PhaseState, Progress, Report},
    words::{count, duration},
};

/// What the report does not say by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusOptions {
    /// The time to count from.
    pub now: Timestamp,
    /// Characters a line.
    pub width: usize,
    /// Whether the run holds its lock, so is still going ([`crate::lock::held_by`]).
    pub running: bool,
}

/// A head, of two lines where one is too narrow for it, and one line a phase; none longer than the width.
#[must_use]
pub fn lines(report: &Report, options: &StatusOptions) -> Vec<String> {
    let report = &cleaned(report);
    let mut out = head(report, options);
    for phase in &report.phases {
        let took = took(phase, options).map(duration).unwrap_or_default();
        let (number, name) = (phase.phase.number(), phase.phase.name());
        let state = phase.state.name().replace('_', " ");
        let line = format!(
            "{number:>2} {name:<24} {state:<12}  {took:>12}   {}",
            note(report, phase)
        );
        out.push(line.trim_end().to_owned());
    }
    if report.mode == Mode::Rollback {
        out.extend(steps(report));
    }
    out.iter().map(|line| cut(line, options.width)).collect()
}

/// One line a step of a rollback, as far as it has come.
fn steps(report: &Report) -> Vec<String> {
    let steps = report.actions.iter().filter(|one| is_step(&one.id));
    steps
        .map(|one| {
            let fact = |key: &str| one.recorded.get(key).cloned().unwrap_or_default();
            let (state, note) = match one.state {
                ActionState::Begun if one.recorded.contains_key("failed") => {
                    ("failed", fact("failed"))
                }
                ActionState::Begun => ("in progress", String::new()),
                ActionState::Done | ActionState::Undone => ("done", fact("message")),
            };
            format!("   {:<24} {state:<12}  {note}", one.id)
                .trim_end()
                .to_owned()
        })
        .collect()
}

fn is_step(id: &str) -> bool {
    id.starts_with("rollback::")
}

/// Where a rollback stands, in a few words.
fn taken_out(report: &Report, options: &StatusOptions) -> String {
    let ago = report
        .finished
        .map(|at| format!(", {} ago", duration(options.now.duration_since(at))))
        .unwrap_or_default();
    let last = report.actions.iter().rev().find(|one| is_step(&one.id));
    let open = report
        .actions
        .iter()
        .find(|one| is_step(&one.id) && one.state == ActionState::Begun);
    match (open.or(last), report.exit_code) {
        (_, Some(0)) => format!("taken out{ago}"),
        (Some(one), _) if options.running => format!("being taken out, at {}", one.id),
        (Some(one), Some(130)) => format!("interrupted at {}{ago}", one.id),
        (Some(one), _) => format!("taking it out stopped at {}{ago}", one.id),
        (None, _) => "taking it out has just begun".to_owned(),
    }
}

fn head(report: &Report, options: &StatusOptions) -> Vec<String> {
    let cluster = &report.cluster;
    let place = match (cluster.sandbox, cluster.name.as_str()) {
        (true, "" | "sandbox") => "the sandbox".to_owned(),
        (true, name) => format!("sandbox {name}"),
        (false, "") => "a cluster without a name".to_owned(),
        (false, name) => name.to_owned(),
    };
    let what = match report.mode {
        Mode::Onboard => "run",
        Mode::DryRun => "dry run",
        Mode::Inspect => "inspection",
        Mode::Rollback => "rollback",
    };
    let when = report.started.strftime("%-d %b %H:%M UTC");
    let which = format!(
        "{} in {place} · {what} {} of {when}",
        report.node, report.run
    );
    let stand = stand(report, options);
    let whole = format!("{which} · {stand}");
    if whole.chars().count() <= options.width {
        vec![whole]
    } else {
        vec![which, format!("   {stand}")]
    }
}

/// Where it stands, in a few words.
fn stand(report: &Report, options: &StatusOptions) -> String {
    if report.mode == Mode::Rollback {
        return taken_out(report, options);
    }
    let first = |state| report.phases.iter().find(|phase| phase.state == state);
    let ago = |at: Option<Timestamp>| {
        at.map(|at| format!(", {} ago", duration(options.now.duration_since(at))))
            .unwrap_or_default()
    };
    if options.running {
        let since = duration(options.now.duration_since(report.started));
        let at = first(PhaseState::InProgress)
            .map(|phase| format!(" at {}", phase.phase))
            .unwrap_or_default();
        return format!("running{at}, begun {since} ago");
    }
    if report.complete() {
        return format!("complete{}", ago(report.finished));
    }
    if let Some(phase) = first(PhaseState::Failed) {
        return format!(
            "stopped at {}{}",
            phase.phase,
            ago(phase.finished.or(report.finished))
        );
    }
    if let Some(phase) = first(PhaseState::InProgress) {
        return format!(
            "interrupted in {}{}",
            phase.phase,
            ago(report.finished.or_else(|| last_sign(phase)))
        );
    }
    match first(PhaseState::NotStarted) {
        Some(phase) if phase.phase.number() > 1 => {
            format!("stopped before {}{}", phase.phase, ago(report.finished))
        }
        _ => "not begun".to_owned(),
    }
}

/// The last thing that is known to have happened in a phase.
fn last_sign(phase: &PhaseReport) -> Option<Timestamp> {
    let ends = phase.cases.iter().filter_map(|case| match &case.progress {
        Progress::NotStarted => None,
        Progress::InProgress { started } => Some(*started),
        Progress::Done(ended) => ended.started.checked_add(ended.duration).ok(),
    });
    ends.max().or(phase.started)
}

fn took(phase: &PhaseReport, options: &StatusOptions) -> Option<SignedDuration> {
    match phase.state {
        PhaseState::InProgress if options.running => {
            Some(options.now.duration_since(phase.started?))
        }
        PhaseState::NotStarted => None,
        _ => phase.duration(),
    }
}

/// What a person wants to know of a phase beside its state.
fn note(report: &Report, phase: &PhaseReport) -> String {
    let mut parts = Vec::new();
    match phase.state {
        PhaseState::Failed => parts.push(phase.error.clone()),
        PhaseState::InProgress => {
            let running = phase
                .cases
                .iter()
                .filter(|case| matches!(case.progress, Progress::InProgress { .. }));
            parts.extend(running.map(|case| case.id.clone()).take(1));
        }
        PhaseState::Skipped => parts.push("left out by --skip-validation".to_owned()),
        PhaseState::Completed | PhaseState::NotStarted => {}
    }
    let prefix = format!("{}::", phase.phase.short());
    let mut own = report
        .actions
        .iter()
        .filter(|action| action.id.starts_with(&prefix));
    if let Some(commit) = own.find_map(|action| action.recorded.get("commit")) {
        parts.push(format!(
            "commit {}",
            commit.chars().take(7).collect::<String>()
        ));
    }
    let warned = phase
        .cases
        .iter()
        .filter(|case| case.outcome() == Some(Outcome::Warn))
        .count();
    if warned > 0 {
        parts.push(count(warned, "warning"));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

/// At most so many characters, the last of them a sign that there was more.
fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut out: String = line.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::junit::samples::{at, blank, stopped};

    fn shown(report: &Report, second: i64, running: bool) -> String {
        lines(
            report,
            &StatusOptions {
                now: at(second),
                width: 100,
                running,
            },
        )
        .join("\n")
    }

    #[test]
    fn a_stopped_run_says_where_and_why() {
        let mut report = stopped();
        report.actions[0]
            .recorded
            .insert("commit".to_owned(), "9d0c4e1f0a2b3c".to_owned());
        insta::assert_snapshot!(shown(&report, 903, false), @r##"
k3s2 in home · run 7f3a91c2 of 22 Nov 10:15 UTC · stopped at storage_integration, 12 min ago
 1 pre_validation           completed            1.0 s   1 warning
 2 gitops_activation        completed            4.0 s   commit 9d0c4e1
 3 node_join_monitoring     completed             48 s
 4 storage_integration      failed          2 min 10 s   DiskNotReady: disk sdb1 is not ready
 5 network_validation       not started
 6 monitoring_integration   not started
 7 security_validation      not started
 8 post_validation          not started
 9 health_verification      not started
"##);
    }

    #[test]
    fn the_head_says_how_it_stands() {
        let head = |report: &Report, running| {
            shown(report, 60, running)
                .lines()
                .next()
                .unwrap()
                .to_owned()
        };
        let mut report = blank();
        assert!(
            head(&report, false).ends_with("of 22 Nov 10:15 UTC · not begun"),
            "{}",
            head(&report, false)
        );
        report.phases[0].state = PhaseState::Completed;
        assert!(head(&report, false).ends_with("stopped before gitops_activation"));
        report.phases[1].state = PhaseState::InProgress;
        report.phases[1].started = Some(at(50));
        assert!(head(&report, false).ends_with("interrupted in gitops_activation, 10 s ago"));
        assert!(head(&report, true).ends_with("running at gitops_activation, begun 1 min ago"));
        for phase in &mut report.phases {
            phase.state = PhaseState::Completed;
        }
        report.finished = Some(at(30));
        report.cluster.sandbox = true;
        assert!(head(&report, false).starts_with("k3s2 in sandbox home · run 7f3a91c2"));
        report.cluster.name = "sandbox".to_owned();
        assert!(head(&report, false).starts_with("k3s2 in the sandbox · run 7f3a91c2"));
        assert!(head(&report, false).ends_with("complete, 30 s ago"));
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        let mut report = stopped();
        report.phases[3].error = "ü\n\u{1b}[31m".repeat(300);
        for width in [1, 20, 80, 120] {
            let all = lines(
                &report,
                &StatusOptions {
                    now: at(300),
                    width,
                    running: true,
                },
            );
            // The last word of the head is the one that counts, so it is not the one that is cut.
            assert_eq!(all.len(), if width < 60 { 11 } else { 10 });
            assert!(
                all.iter()
                    .all(|line| line.chars().count() <= width && !line.contains('\u{1b}')),
                "{all:#?}"
            );
        }
    }
}
