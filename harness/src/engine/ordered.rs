//! All phases in order, each with its actions between its check groups.

use std::{collections::HashMap, sync::Arc};

use checks::{
    Check, Context, catalogue,
    cluster::{Meter, counted},
    view::View,
};
use kube::Client;
use phases::{
    Action, ActionContext, Journal, Stop, actions,
    lease::Lease,
    order::{Step, steps},
};
use reports::model::{ActionState, Case, Outcome, Phase, PhaseState};
use tokio::{runtime::Handle, time::Instant};

use super::{
    act, ask,
    board::{Board, Known, Told},
    dry,
    gate::{before, fails, is_left_undone, stops},
    group::{self, Manner},
    recorder::Recorder,
    settle::settle,
    start::World,
};
use crate::{
    event::Event,
    exit::{Exit, Halt},
    options::{Options, Purpose, Selection},
    scripts::Scripts,
};

/// What a run of phases works with.
pub(super) struct Run<'a> {
    pub(super) options: &'a Options,
    pub(super) world: &'a World,
    pub(super) recorder: Arc<Recorder>,
    pub(super) handle: Handle,
    pub(super) stop: Stop,
    pub(super) run: String,
    pub(super) backup: std::path::PathBuf,
    /// The Lease of a run that writes, to tell it the phase.
    pub(super) lease: Option<&'a Lease>,
}

impl Run<'_> {
    /// Runs the phases that are not through, and stops at the first that fails.
    pub(super) fn all(&self, skip_validation: bool) -> Result<Exit, Halt> {
        for phase in Phase::ALL {
            let state = self.recorder.report().phase(phase).map(|one| one.state);
            if matches!(state, Some(PhaseState::Completed | PhaseState::Skipped)) {
                self.recorder.tell(&Event::PhaseSkipped {
                    phase,
                    why: "through since an earlier start".into(),
                });
                continue;
            }
            let ended = if phase == Phase::PreValidation && skip_validation {
                self.left_out(phase)?
            } else {
                self.phase(phase, &Selection::default())?
            };
            if self.stop.asked() {
                return Ok(Exit::Interrupted);
            }
            if ended == PhaseState::Failed {
                return Ok(Exit::Failed);
            }
        }
        Ok(Exit::Passed)
    }

    /// `--skip-validation`: nothing of the phase is asked but whether the run has the rights that it needs.
    pub(super) fn left_out(&self, phase: Phase) -> Result<PhaseState, Halt> {
        const KEPT: &str = "pre::permissions";
        let before = self.requests();
        self.recorder.phase_started(phase, 1, |_| true)?;
        let checks = catalogue::of(phase).into_iter().map(|one| (one.id, "ask"));
        let actions = actions::of(phase).iter().map(|one| (one.id, "do"));
        for (id, word) in checks.chain(actions).filter(|(id, _)| *id != KEPT) {
            let message = "left out by --skip-validation".to_owned();
            let hint = format!("run without --skip-validation to {word} it");
            let ended = ask::unasked(
                Outcome::Skip,
                "ValidationSkipped",
                message,
                &hint,
                Vec::new(),
            );
            self.recorder.unasked(id, ended);
        }
        let kept: Vec<&'static Check> = catalogue::find(KEPT).into_iter().collect();
        self.ask(&kept, self.snapshot(), HashMap::new());
        if self.stop.asked() {
            return Ok(PhaseState::InProgress);
        }
        let error = self.failure(phase, &Selection::default());
        let state = if error.is_some() {
            PhaseState::Failed
        } else {
            PhaseState::Skipped
        };
        self.recorder
            .phase_ended(phase, state, error, self.requests() - before)?;
        Ok(state)
    }

    /// One phase: groups of checks with its actions between them, as far as they are selected.
    pub(super) fn phase(&self, phase: Phase, selection: &Selection) -> Result<PhaseState, Halt> {
        let before = self.requests();
        // A check that rests on temporary objects is nothing without the action that makes them.
        let borne: Vec<&str> = catalogue::of(phase)
            .iter()
            .filter(|check| selection.takes(check.id))
            .filter_map(|check| check.after)
            .filter(|id| actions::find(id).is_some_and(|action| action.act.is_temporary()))
            .collect();
        let selected = |id: &str| selection.takes(id) || borne.contains(&id);
        let plan = steps(phase);
        let count = plan.iter().map(|step| match step {
            Step::Checks(checks) => checks.iter().filter(|check| selected(check.id)).count(),
            Step::Action(action) => usize::from(selected(action.id)),
        });
        if let Some(lease) = self.lease {
            lease.phase(phase.name());
        }
        let done_before = self.actions_done(phase);
        self.recorder.phase_started(phase, count.sum(), selected)?;
        let limit = self
            .options
            .timeouts
            .get(&phase)
            .copied()
            .unwrap_or_default();
        let deadline = Instant::now() + limit;
        let asked = self.snapshot();
        let advised = self.on_account_of("advice", async {
            tokio::select! {
                advised = actions::advice(phase, &asked) => advised,
                () = self.stop.wait() => None,
            }
        });
        if let Some(advice) = advised {
            self.recorder.tell(&Event::Advice(advice));
        }
        if self.options.auto_fix && phase == Phase::PreValidation {
            self.leftovers()?;
        }
        // One live view a phase: what one group began to watch, the next one has already.
        let live = self.context(View::live(self.world.reader.clone()));
        for step in plan {
            if self.stop.asked() {
                break;
            }
            match step {
                Step::Checks(checks) => {
                    let checks: Vec<_> = checks
                        .into_iter()
                        .filter(|check| selected(check.id))
                        .collect();
                    self.group(phase, &checks, &live, deadline)?;
                }
                Step::Action(action) if selected(action.id) => {
                    self.action(action, &live, deadline, done_before.get(action.id))?;
                }
                Step::Action(_) => {}
            }
            self.recorder.whole()?;
        }
        if self.stop.asked() {
            // The phase stays in progress: a resumed run asks it again.
            return Ok(PhaseState::InProgress);
        }
        let error = self.failure(phase, selection);
        let state = if error.is_some() {
            PhaseState::Failed
        } else if self.is_open(phase) {
            // Only a part of it was selected: a resumed run must not take it for done.
            PhaseState::InProgress
        } else {
            PhaseState::Completed
        };
        self.recorder
            .phase_ended(phase, state, error, self.requests() - before)?;
        Ok(state)
    }

    /// Whether something of a phase was not asked or done yet, or does not hold.
    fn is_open(&self, phase: Phase) -> bool {
        let report = self.recorder.report();
        let ended = |id: &str| report.case(id).and_then(Case::ended).is_some();
        steps(phase).iter().any(|step| match step {
            Step::Checks(checks) => checks.iter().any(|check| !ended(check.id)),
            Step::Action(action) => !ended(action.id),
        }) || self.failure(phase, &Selection::default()).is_some()
    }

    /// Asks a group; with `--auto-fix` what can be mended of it is mended and asked again.
    fn group(
        &self,
        phase: Phase,
        checks: &[&'static Check],
        live: &Context,
        deadline: Instant,
    ) -> Result<(), Halt> {
        self.asked(phase, checks, live, deadline);
        if self.options.auto_fix && !self.stop.asked() {
            self.mend(phase, checks, live, deadline)?;
        }
        Ok(())
    }

    /// Waits for what is awaited of a group, then asks all of it.
    pub(super) fn asked(
        &self,
        phase: Phase,
        checks: &[&'static Check],
        live: &Context,
        deadline: Instant,
    ) {
        if checks.is_empty() {
            return;
        }
        let known = self.known(phase);
        // What rests on an action that did not get through is blocked by it; there is nothing to wait for.
        let blocked = checks.iter().filter_map(|check| check.after).any(|action| {
            known
                .get(action)
                .is_some_and(|known| !known.outcome.satisfies())
        });
        if !blocked {
            let live = Context {
                report: Arc::new(self.recorder.report()),
                ..live.clone()
            };
            let wait = settle(
                checks,
                &live,
                &known,
                deadline,
                self.recorder.as_ref(),
                &self.stop,
            );
            self.handle.block_on(wait);
        }
        if !self.stop.asked() {
            self.ask(checks, self.snapshot(), known);
        }
    }

    /// Asks checks side by side, each as a trial.
    pub(super) fn ask(
        &self,
        checks: &[&'static Check],
        cx: Context,
        known: HashMap<String, Known>,
    ) {
        if checks.is_empty() {
            return;
        }
        let told: Arc<dyn Told> = self.recorder.clone();
        let board = Board::new(
            cx,
            known,
            checks.iter().map(|check| check.id).collect(),
            told,
            self.stop.clone(),
        );
        let board = Arc::new(board.running(self.scripts()));
        group::checks(checks, &board, &self.handle, self.manner());
    }

    /// The operator's scripts, where this run may run them: they may change anything.
    fn scripts(&self) -> Arc<Scripts> {
        let may = !self.options.dry_run
            && matches!(
                self.options.purpose,
                Purpose::Onboard { .. } | Purpose::Inspect { apply: true, .. }
            );
        if may {
            Arc::new(Scripts::of(self.options))
        } else {
            Arc::default()
        }
    }

    fn action(
        &self,
        action: &'static Action,
        live: &Context,
        deadline: Instant,
        done_before: Option<&Case>,
    ) -> Result<(), Halt> {
        let cx = self.action_context(live, deadline, self.recorder.clone());
        if let Some(ended) = done_before.and_then(Case::ended)
            && self.still_so(action, &cx)
        {
            let mut ended = ended.clone();
            ended.message = format!(
                "{} (by an earlier start)",
                ended.message.trim_end_matches(" (by an earlier start)")
            );
            self.recorder.unasked(action.id, ended);
            return Ok(());
        }
        let blocking = self.blocking(action);
        if !blocking.is_empty() {
            let message = format!("not done, because {} did not pass", blocking.join(", "));
            let hint = format!("settle {} first", blocking.join(", "));
            self.recorder.unasked(
                action.id,
                ask::unasked(Outcome::Blocked, "Blocked", message, &hint, blocking),
            );
            return Ok(());
        }
        self.recorder.action_begun(action)?;
        let cx = self.action_context(live, deadline, self.recorder.clone());
        let (handle, recorder) = (self.handle.clone(), Arc::clone(&self.recorder));
        let unwritten = Arc::new(std::sync::Mutex::new(None));
        let told = Arc::clone(&unwritten);
        group::action(action.id, self.manner(), move || {
            let carried = handle.block_on(act::carry_out(action, &cx));
            let ended = carried.ended.clone();
            if let Err(halt) = recorder.action_ended(action, carried) {
                *told
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(halt);
            }
            ended
        });
        let halt = unwritten
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        halt.map_or(Ok(()), Err)
    }

    /// What an action is given.
    pub(super) fn action_context(
        &self,
        live: &Context,
        deadline: Instant,
        journal: Arc<dyn Journal>,
    ) -> ActionContext {
        ActionContext {
            checks: Context {
                report: Arc::new(self.recorder.report()),
                ..live.clone()
            },
            client: self.world.client.clone(),
            permit: self.world.permit.clone(),
            journal,
            observer: self.recorder.clone(),
            deadline,
            stop: self.stop.clone(),
            run: self.run.clone(),
            backup: self.backup.clone(),
            transport: self.options.transport,
            require_signed: self.options.require_signed,
        }
    }

    /// Whether what an earlier start has done still holds. What leaves nothing behind cannot be looked at.
    fn still_so(&self, action: &'static Action, cx: &ActionContext) -> bool {
        if !dry::is_lasting(action) {
            return true;
        }
        let so = self.on_account_of(action.id, async {
            let (cx, _) = act::counted_for(action.id, cx);
            tokio::select! {
                probed = action.act.probe(&cx) => matches!(probed, Ok(Some(_))),
                () = self.stop.wait() => true,
            }
        });
        if !so {
            let text = format!(
                "{} was done by an earlier start and is not so any more; it is done again",
                action.id
            );
            self.recorder.tell(&Event::Warning(text));
        }
        so
    }

    /// What keeps an action from being done: an F check of its phase that did not pass, or an action that it needs.
    pub(super) fn blocking(&self, action: &Action) -> Vec<String> {
        let report = self.recorder.report();
        let Some(phase) = action.phase().and_then(|phase| report.phase(phase)) else {
            return Vec::new();
        };
        let earlier = before(phase.phase, action);
        phase
            .cases
            .iter()
            .filter(|case| earlier.contains(&case.id.as_str()) && stops(case, action))
            .map(|case| case.id.clone())
            .collect()
    }

    /// Why a phase fails by what is selected of it, if it does.
    pub(super) fn failure(&self, phase: Phase, selection: &Selection) -> Option<String> {
        let report = self.recorder.report();
        let later: Vec<&Action> = Phase::ALL
            .into_iter()
            .filter(|one| *one >= phase)
            .flat_map(actions::of)
            .collect();
        let cases = &report.phase(phase)?.cases;
        let selected = || cases.iter().filter(|case| selection.takes(&case.id));
        let case = selected()
            .find(|case| fails(case, &later))
            .or_else(|| selected().find(|case| is_left_undone(case)))?;
        let ended = case.ended()?;
        Some(format!("{}: {} ({})", ended.reason, ended.message, case.id))
    }

    /// What came out of everything before this group.
    pub(super) fn known(&self, phase: Phase) -> HashMap<String, Known> {
        let report = self.recorder.report();
        let through = report.phases.iter().filter(|one| one.phase <= phase);
        through
            .flat_map(|one| &one.cases)
            .filter_map(|case| {
                let ended = case.ended()?;
                Some((
                    case.id.clone(),
                    Known {
                        outcome: ended.outcome,
                        message: ended.message.clone(),
                    },
                ))
            })
            .collect()
    }

    /// The actions of a phase that an earlier start carried through.
    fn actions_done(&self, phase: Phase) -> HashMap<&'static str, Case> {
        let report = self.recorder.report();
        actions::of(phase)
            .iter()
            .filter(|action| {
                report
                    .action(action.id)
                    .is_some_and(|record| record.state == ActionState::Done)
            })
            .filter_map(|action| Some((action.id, report.case(action.id)?.clone())))
            .collect()
    }

    pub(super) fn snapshot(&self) -> Context {
        self.context(View::snapshot(self.world.reader.clone()))
    }

    pub(super) fn context(&self, view: View) -> Context {
        Context {
            view,
            settings: Arc::clone(&self.world.settings),
            repository: self.world.repository.clone(),
            report: Arc::new(self.recorder.report()),
        }
    }

    /// The end of a run, however it came: what temporary actions have made for themselves goes, namespace and all.
    pub(super) fn leave(&self) {
        let temporary = |id: &str| actions::find(id).is_some_and(|one| one.act.is_temporary());
        let made = self.recorder.report().actions;
        if !made.iter().any(|record| temporary(&record.id)) {
            return;
        }
        let namespace = &self.world.settings.probe.namespace;
        let client = self.client_of("the end");
        let work = phases::temporary::leave(&client, namespace, &self.run);
        match self.on_account_of("the end", work) {
            Ok(removed) => {
                // Whatever could not be removed at the time is gone now.
                let gone = self.recorder.update(|report| {
                    for record in report.actions.iter_mut().filter(|one| temporary(&one.id)) {
                        record.state = ActionState::Undone;
                        record.finished.get_or_insert_with(jiff::Timestamp::now);
                    }
                });
                if let Err(halt) = gone {
                    tracing::warn!("{}", halt.message);
                }
                tracing::debug!("removed at the end: {}", removed.join(", "));
            }
            Err(error) => self.recorder.tell(&Event::Warning(format!(
                "objects of this run are left in namespace {namespace}: {error}; remove them with --cleanup"
            ))),
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.meter().total().requests
    }

    pub(super) fn meter(&self) -> &Meter {
        self.world.connection.meter()
    }

    /// Does something whose requests count for a cause: a check, an action, or what else asks and is none of both.
    pub(super) fn on_account_of<T>(&self, cause: &str, work: impl Future<Output = T>) -> T {
        self.handle.block_on(self.meter().count_as(cause, work))
    }

    /// The writing client, counted for a cause.
    pub(super) fn client_of(&self, cause: &str) -> Client {
        // A client begins a task of its own.
        let _entered = self.handle.enter();
        counted(&self.world.client, &self.meter().case(cause))
    }

    pub(super) fn manner(&self) -> Manner {
        Manner {
            format: self.options.format,
            jobs: self.options.jobs,
            fail_on_warn: self.options.fail_on_warn,
        }
    }

    /// Which kind of run this is.
    pub(super) fn purpose(&self) -> Purpose {
        self.options.purpose
    }
}
