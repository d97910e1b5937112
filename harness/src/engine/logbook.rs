//! The log file: everything that happens, one line each, before it is shown.

use std::sync::{Arc, Mutex, PoisonError};

use reports::{
    log::Log,
    model::{Ended, Outcome, PhaseState},
};

use crate::event::{Event, Sink};

/// Writes events to the log file and hands them on.
pub(super) struct Logbook {
    log: Log,
    next: Arc<dyn Sink>,
    /// The last thing that was awaited, so that the log has a line for each change and not for each second.
    awaited: Mutex<String>,
}

impl Logbook {
    pub(super) fn new(log: Log, next: Arc<dyn Sink>) -> Self {
        Self {
            log,
            next,
            awaited: Mutex::default(),
        }
    }

    /// Writes it down and shows it nobody.
    pub(super) fn write(&self, event: &Event) {
        let log = &self.log;
        match event {
            Event::Started {
                run,
                node,
                cluster,
                repository,
                resumed,
                ..
            } => {
                let word = if *resumed { "resumes" } else { "begins" };
                log.info(format!(
                    "run {run} {word}: node {node}, cluster {} ({})",
                    cluster.name, cluster.server
                ));
                if let Some(one) = repository {
                    log.info(format!(
                        "repository {} {}, {} in {}",
                        one.remote, one.branch, one.entry, one.file
                    ));
                }
            }
            Event::PhaseStarted { phase, cases } => log.progress(format!(
                "phase {}/9 {phase} begins, {cases} checks and actions",
                phase.number()
            )),
            Event::Forecast { forecast, plan } => {
                log.info(format!("forecast: {}", forecast.in_short()));
                for (id, changes) in plan {
                    for change in changes {
                        log.info(format!("{id} would {change}"));
                    }
                }
            }
            Event::Advice(text) => log.info(text),
            Event::CaseStarted { id, action } => {
                if *action {
                    log.info(format!("{id} begins"));
                } else {
                    log.debug(format!("{id} begins"));
                }
            }
            Event::CaseEnded(case) => {
                if let Some(ended) = case.ended() {
                    self.case(&case.id, ended);
                }
            }
            Event::Waiting(waiting) => {
                let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
                if *awaited != waiting.seen {
                    let (since, limit) = (waiting.since.as_secs(), waiting.limit.as_secs());
                    log.progress(format!(
                        "{} waits since {since} s of {limit} s: {}",
                        waiting.id, waiting.seen
                    ));
                    awaited.clone_from(&waiting.seen);
                }
            }
            Event::Waited => {}
            Event::PhaseEnded {
                phase,
                state,
                took,
                requests,
            } => {
                let line = format!(
                    "phase {phase} {} after {:.1} s, {requests} requests",
                    state.name(),
                    took.as_secs_f64()
                );
                if *state == PhaseState::Failed {
                    log.error(line)
                } else {
                    log.success(line)
                }
            }
            Event::PhaseSkipped { phase, why } => {
                log.info(format!("phase {phase} is not run: {why}"))
            }
            Event::Mends { fix, check, parts } => {
                for part in parts {
                    log.info(format!("{fix} for {check}: {part}"));
                }
            }
            Event::Fixed { fix, check } => log.success(format!("{check} fixed by {fix}")),
            Event::Planned { id, parts } => {
                for part in parts {
                    log.info(format!("{id} would {part}"));
                }
            }
            Event::Warning(text) => log.warn(text),
        }
    }

    fn case(&self, id: &str, ended: &Ended) {
        let log = &self.log;
        let line = format!(
            "{id} {} {} {}",
            ended.outcome.name(),
            ended.reason,
            ended.message
        );
        match ended.outcome {
            Outcome::Pass => log.success(line),
            Outcome::Warn => log.warn(line),
            Outcome::Fail | Outcome::Error => log.error(line),
            Outcome::Skip | Outcome::Blocked => log.info(line),
        }
        for fact in &ended.evidence {
            log.debug(format!("{id} saw {fact}"));
        }
        if !ended.hint.is_empty() && matches!(ended.outcome, Outcome::Fail | Outcome::Error) {
            log.info(format!("{id} do {}", ended.hint));
        }
    }
}

impl Sink for Logbook {
    fn event(&self, event: &Event) {
        self.write(event);
        self.next.event(event);
    }
}
