//! Where a run is written down: the report on the disk first, then whoever watches.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use checks::{Check, Settings, cluster::Meter};
use jiff::Timestamp;
use phases::{
    Action, ActionError, Journal,
    order::{Step, steps},
    wait::{Observer, Waiting},
};
use reports::{
    model::{
        ActionRecord, ActionState, Case, Ended, Kind, Mode, Outcome, Phase, PhaseReport,
        PhaseState, Progress, Report, Severity,
    },
    store::Store,
};

use super::{act::Carried, board::Told};
use crate::{
    event::{Event, Sink},
    exit::{Exit, Halt},
};

/// Writes a run down and tells whoever watches.
pub(super) struct Recorder {
    store: Store,
    sink: Arc<dyn Sink>,
    /// The first error of a write that nobody could be told of at the time; the run stops at the next step.
    broken: Mutex<Option<String>>,
    begun: Mutex<Option<Instant>>,
    /// When this start of the program began, and what earlier ones have asked of the cluster.
    since: Timestamp,
    asked: (u64, BTreeMap<String, u64>),
    meter: Meter,
}

impl Recorder {
    pub(super) fn new(store: Store, sink: Arc<dyn Sink>, meter: &Meter) -> Self {
        let report = store.snapshot();
        Self {
            store,
            since: Timestamp::now(),
            asked: (report.requests, report.other_requests),
            meter: meter.clone(),
            sink,
            broken: Mutex::default(),
            begun: Mutex::default(),
        }
    }

    /// The run so far.
    pub(super) fn report(&self) -> Report {
        self.store.snapshot()
    }

    pub(super) fn tell(&self, event: &Event) {
        self.sink.event(event);
    }

    /// Fails once something could not be written: a run that changes things must not go on unrecorded.
    pub(super) fn whole(&self) -> Result<(), Halt> {
        let broken = self
            .broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        broken.map_or(Ok(()), |error| Err(unwritable(self.mode(), &error)))
    }

    /// Writes a change down, durably.
    pub(super) fn update(&self, change: impl FnOnce(&mut Report)) -> Result<(), Halt> {
        self.store
            .update(change)
            .map_err(|error| unwritable(self.mode(), &error.to_string()))
    }

    fn mode(&self) -> Mode {
        self.store.snapshot().mode
    }

    fn note(&self, change: impl FnOnce(&mut Report)) {
        if let Err(error) = self.store.note(change) {
            self.break_off(error.to_string());
        }
    }

    fn break_off(&self, error: String) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.get_or_insert(error);
    }

    /// A phase begins; what is selected of it is asked anew, but for actions that are done.
    pub(super) fn phase_started(
        &self,
        phase: Phase,
        count: usize,
        selected: impl Fn(&str) -> bool,
    ) -> Result<(), Halt> {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.update(|report| ask_anew(report, phase, selected))?;
        self.tell(&Event::PhaseStarted {
            phase,
            cases: count,
        });
        Ok(())
    }

    /// A phase ends.
    pub(super) fn phase_ended(
        &self,
        phase: Phase,
        state: PhaseState,
        error: Option<String>,
        requests: u64,
    ) -> Result<(), Halt> {
        self.update(|report| {
            self.count(report);
            if let Some(one) = report.phase_mut(phase) {
                one.state = state;
                one.finished = (state != PhaseState::InProgress).then(Timestamp::now);
                one.requests += requests;
                // The error of an earlier start is kept as history.
                if let Some(error) = error {
                    one.error = error;
                }
            }
        })?;
        let begun = self
            .begun
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let took = begun.map(|begun| begun.elapsed()).unwrap_or_default();
        self.tell(&Event::PhaseEnded {
            phase,
            state,
            took,
            requests,
        });
        Ok(())
    }

    /// A case ends that never began: blocked, or left out.
    pub(super) fn unasked(&self, id: &str, ended: Ended) {
        self.case_ended(id, ended);
    }

    fn case_begun(&self, id: &str, action: bool) {
        self.note(|report| {
            if let Some(case) = report.case_mut(id) {
                case.progress = Progress::InProgress {
                    started: Timestamp::now(),
                };
            }
        });
        self.tell(&Event::CaseStarted {
            id: id.to_owned(),
            action,
        });
    }

    fn case_ended(&self, id: &str, ended: Ended) {
        let mut told = None;
        self.note(|report| {
            if let Some(case) = report.case_mut(id) {
                case.progress = Progress::Done(Box::new(ended));
                told = Some(case.clone());
            }
        });
        if let Some(case) = told {
            self.tell(&Event::CaseEnded(Box::new(case)));
        }
    }

    /// An action begins: on the disk before anything is changed.
    pub(super) fn action_begun(&self, action: &Action) -> Result<(), Halt> {
        self.update(|report| {
            if let Some(case) = report.case_mut(action.id) {
                case.progress = Progress::InProgress {
                    started: Timestamp::now(),
                };
            }
            if action.act.is_temporary() {
                // What an earlier start found out is out of date, and what it left is removed before anything is made.
                report.actions.retain(|one| one.id != action.id);
            }
            let open = report
                .actions
                .iter()
                .any(|one| one.id == action.id && one.state != ActionState::Undone);
            if !open {
                report.actions.push(begun(action));
            }
        })?;
        self.tell(&Event::CaseStarted {
            id: action.id.to_owned(),
            action: true,
        });
        Ok(())
    }

    /// An action has ended, with what it recorded.
    pub(super) fn action_ended(&self, action: &Action, carried: Carried) -> Result<(), Halt> {
        let Carried {
            ended,
            recorded,
            only_looked,
            released,
        } = carried;
        let through = matches!(ended.outcome, Outcome::Pass | Outcome::Warn);
        let mut told = None;
        self.update(|report| {
            if only_looked {
                forget_new_record(report, action.id);
            }
            if let Some(record) = open_record(report, action.id) {
                record.recorded.extend(recorded);
                if released {
                    record.state = ActionState::Undone;
                    record.finished = Some(Timestamp::now());
                } else if through && !action.act.is_temporary() {
                    record.state = ActionState::Done;
                    record.finished = Some(Timestamp::now());
                }
            }
            if let Some(case) = report.case_mut(action.id) {
                case.progress = Progress::Done(Box::new(ended));
                told = Some(case.clone());
            }
        })?;
        if let Some(case) = told {
            self.tell(&Event::CaseEnded(Box::new(case)));
        }
        Ok(())
    }

    /// A step of a rollback begins: on the disk before anything is changed. One that was done before is begun anew, and
    /// keeps what it wrote down.
    pub(super) fn step_begun(&self, action: &Action) -> Result<(), Halt> {
        self.update(|report| {
            if let Some(case) = report.case_mut(action.id) {
                case.progress = Progress::InProgress {
                    started: Timestamp::now(),
                };
            }
            if let Some(record) = open_record(report, action.id) {
                record.state = ActionState::Begun;
                record.finished = None;
                record.recorded.remove(FAILED);
            } else {
                report.actions.push(begun(action));
            }
        })?;
        self.tell(&Event::CaseStarted {
            id: action.id.to_owned(),
            action: true,
        });
        Ok(())
    }

    /// A step of a rollback has ended. `undoes` are the actions that it takes back.
    pub(super) fn step_ended(
        &self,
        action: &Action,
        carried: Carried,
        undoes: &[&str],
    ) -> Result<(), Halt> {
        let Carried {
            ended, recorded, ..
        } = carried;
        let through = matches!(ended.outcome, Outcome::Pass | Outcome::Warn);
        let mut told = None;
        self.update(|report| {
            if let Some(record) = open_record(report, action.id) {
                record.recorded.extend(recorded);
                if through {
                    record.state = ActionState::Done;
                    record.finished = Some(Timestamp::now());
                    record
                        .recorded
                        .insert(MESSAGE.to_owned(), ended.message.clone());
                } else {
                    let why = format!("{}: {}", ended.reason, ended.message);
                    record.recorded.insert(FAILED.to_owned(), why);
                }
            }
            if through {
                undo(report, |id| undoes.contains(&id));
            }
            if let Some(case) = report.case_mut(action.id) {
                case.progress = Progress::Done(Box::new(ended));
                told = Some(case.clone());
            }
        })?;
        if let Some(case) = told {
            self.tell(&Event::CaseEnded(Box::new(case)));
        }
        Ok(())
    }

    /// The end of the run, with everything gathered on the disk.
    pub(super) fn finish(&self, exit: Exit) -> Result<(), Halt> {
        self.update(|report| {
            report.finished = Some(Timestamp::now());
            report.exit_code = Some(exit.code());
            self.count(report);
        })
    }

    /// What this start has asked of the cluster: for each case that ended in it, for whatever else asked, and in all.
    fn count(&self, report: &mut Report) {
        let (total, causes) = (self.meter.total().requests, self.meter.causes());
        let (before, mut others) = self.asked.clone();
        let nobody = total.saturating_sub(causes.values().sum());
        for (cause, requests) in causes {
            match report.case_mut(&cause).map(|case| &mut case.progress) {
                // A watch that a case began goes on after its end.
                Some(Progress::Done(ended)) if ended.started >= self.since => {
                    ended.requests = requests;
                }
                _ if requests > 0 => *others.entry(cause).or_default() += requests,
                _ => {}
            }
        }
        if nobody > 0 {
            *others.entry("nobody".to_owned()).or_default() += nobody;
        }
        report.requests = before + total;
        report.other_requests = others;
    }
}

/// What is selected of a phase is as if it had not been asked. What is not selected stays, and so does what came out of
/// an action that is done: a run that is killed before it comes to that action must not lose it.
fn ask_anew(report: &mut Report, phase: Phase, selected: impl Fn(&str) -> bool) {
    let done: Vec<String> = report
        .actions
        .iter()
        .filter(|action| action.state == ActionState::Done)
        .map(|action| action.id.clone())
        .collect();
    let Some(one) = report.phase_mut(phase) else {
        return;
    };
    one.state = PhaseState::InProgress;
    one.started.get_or_insert_with(Timestamp::now);
    one.finished = None;
    for case in &mut one.cases {
        let through = matches!(case.outcome(), Some(Outcome::Pass | Outcome::Warn));
        if selected(&case.id) && !(through && done.contains(&case.id)) {
            case.progress = Progress::NotStarted;
        }
    }
}

/// Takes the record of this start out again; one that an earlier start has left stays.
fn forget_new_record(report: &mut Report, id: &str) {
    let Some(Progress::InProgress { started }) = report.case(id).map(|case| case.progress.clone())
    else {
        return;
    };
    report.actions.retain(|one| {
        let new = one.id == id && one.state == ActionState::Begun && one.started >= started;
        !(new && one.recorded.is_empty())
    });
}

/// Under this key a step of a rollback keeps what it did.
const MESSAGE: &str = "message";
/// Under this key a step of a rollback keeps why it did not get through.
const FAILED: &str = "failed";

/// Changes that are taken back.
pub(super) fn undo(report: &mut Report, which: impl Fn(&str) -> bool) {
    for one in &mut report.actions {
        if which(&one.id) && one.state != ActionState::Undone {
            one.state = ActionState::Undone;
            one.finished = Some(Timestamp::now());
        }
    }
}

/// The record of an action that begins now.
fn begun(action: &Action) -> ActionRecord {
    ActionRecord {
        id: action.id.to_owned(),
        state: ActionState::Begun,
        started: Timestamp::now(),
        finished: None,
        recorded: std::collections::BTreeMap::new(),
    }
}

fn open_record<'a>(report: &'a mut Report, id: &str) -> Option<&'a mut ActionRecord> {
    report
        .actions
        .iter_mut()
        .rev()
        .find(|one| one.id == id && one.state != ActionState::Undone)
}

fn unwritable(mode: Mode, error: &str) -> Halt {
    // It had started, and what it did so far is for a resumed run to find.
    let again = match mode {
        Mode::Rollback => "--rollback",
        _ => "--resume",
    };
    Halt::new(
        Exit::Failed,
        format!("the report cannot be written, so nothing more is done: {error}"),
        format!("make room or give the folder back, then {again}"),
    )
}

impl Told for Recorder {
    fn begun(&self, check: &'static Check) {
        self.case_begun(check.id, false);
    }

    fn ended(&self, check: &'static Check, ended: &Ended) {
        self.case_ended(check.id, ended.clone());
    }
}

impl Observer for Recorder {
    fn waiting(&self, waiting: &Waiting) {
        self.tell(&Event::Waiting(waiting.clone()));
    }

    fn waited(&self) {
        self.tell(&Event::Waited);
    }
}

impl Journal for Recorder {
    fn record(&self, action: &str, key: &str, value: &str) -> Result<(), ActionError> {
        self.store
            .update(|report| {
                if let Some(record) = open_record(report, action) {
                    record.recorded.insert(key.to_owned(), value.to_owned());
                }
            })
            .map_err(|error| {
                ActionError::new(
                    "ReportUnwritable",
                    format!("the report cannot be written: {error}"),
                )
            })
    }

    fn recorded(&self, action: &str, key: &str) -> Option<String> {
        self.store
            .snapshot()
            .action(action)?
            .recorded
            .get(key)
            .cloned()
    }
}

/// The nine phases of a new report, with all their cases.
pub(super) fn phases(settings: &Settings) -> Vec<PhaseReport> {
    Phase::ALL
        .into_iter()
        .map(|phase| fresh(phase, settings))
        .collect()
}

/// The steps of a rollback, none of them reached.
pub(super) fn rollback_steps(settings: &Settings) -> Vec<Case> {
    phases::rollback::ACTIONS
        .iter()
        .map(|action| listed(action, settings))
        .collect()
}

fn listed(action: &Action, settings: &Settings) -> Case {
    Case {
        id: action.id.to_owned(),
        title: settings.fill(action.title),
        kind: Kind::Action,
        severity: Severity::Fail,
        criterion: action.criterion.text().to_owned(),
        progress: Progress::NotStarted,
    }
}

fn fresh(phase: Phase, settings: &Settings) -> PhaseReport {
    let mut cases = Vec::new();
    for step in steps(phase) {
        match step {
            Step::Checks(checks) => cases.extend(checks.iter().map(|check| Case {
                id: check.id.to_owned(),
                title: settings.fill(check.title),
                kind: Kind::Check,
                severity: check.severity,
                criterion: check.criterion.text().to_owned(),
                progress: Progress::NotStarted,
            })),
            Step::Action(action) => cases.push(listed(action, settings)),
        }
    }
    PhaseReport {
        phase,
        state: PhaseState::NotStarted,
        started: None,
        finished: None,
        error: String::new(),
        requests: 0,
        cases,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn asking_anew_keeps_actions_that_are_done_and_what_is_not_selected() {
        let mut report = testing::report(Mode::Onboard);
        let phase = Phase::NodeJoinMonitoring;
        let failed = testing::case("join::ready", Outcome::Fail, "NodeNotReady", "");
        let mut cases = vec![
            testing::case("join::registered", Outcome::Pass, "", ""),
            testing::case("join::label", Outcome::Pass, "", "1 label set"),
            failed,
        ];
        cases[1].kind = Kind::Action;
        testing::phase(&mut report, phase, PhaseState::Failed, 3, cases);
        let mut record = ActionRecord {
            id: "join::label".into(),
            state: ActionState::Done,
            started: testing::then(),
            finished: Some(testing::then()),
            recorded: std::collections::BTreeMap::new(),
        };
        report.actions.push(record.clone());
        let outcomes = |report: &Report| -> Vec<Option<Outcome>> {
            let cases = &report.phase(phase).unwrap().cases;
            cases.iter().map(Case::outcome).collect()
        };

        let mut part = report.clone();
        ask_anew(&mut part, phase, |id| id == "join::ready");
        assert_eq!(
            outcomes(&part),
            [Some(Outcome::Pass), Some(Outcome::Pass), None]
        );

        let mut whole = report.clone();
        ask_anew(&mut whole, phase, |_| true);
        assert_eq!(outcomes(&whole), [None, Some(Outcome::Pass), None]);
        assert_eq!(whole.phase(phase).unwrap().state, PhaseState::InProgress);
        assert_eq!(whole.phase(phase).unwrap().finished, None);

        record.state = ActionState::Begun;
        report.actions = vec![record];
        ask_anew(&mut report, phase, |_| true);
        assert_eq!(outcomes(&report), [None, None, None], "it was only begun");
    }
}
