//! Some phases or checks, nothing changed: one view for all of them, so that each kind is listed once.

use std::collections::HashMap;

use checks::view::View;
use phases::order::{Step, steps};
use reports::model::{Outcome, Phase, PhaseState, Severity};
use tokio::time::Instant;

use super::{ordered::Run, settle::settle};
use crate::exit::{Exit, Halt};

impl Run<'_> {
    /// Asks what is selected. Actions are not carried out, and what they would have changed is asked as it is.
    pub(super) fn inspect(&self, wait: bool) -> Result<Exit, Halt> {
        let cx = self.context(self.world.first.clone());
        let mut failed = false;
        for phase in Phase::ALL {
            let checks: Vec<_> = steps(phase)
                .into_iter()
                .flat_map(|step| match step {
                    Step::Checks(checks) => checks,
                    Step::Action(_) => Vec::new(),
                })
                .filter(|check| self.options.selection.takes(check.id))
                .collect();
            if checks.is_empty() {
                continue;
            }
            let before = self.requests();
            self.recorder.phase_started(phase, checks.len(), |_| true)?;
            let cx = if wait {
                let live = self.context(View::live(self.world.reader.clone()));
                let limit = self
                    .options
                    .timeouts
                    .get(&phase)
                    .copied()
                    .unwrap_or_default();
                let deadline = Instant::now() + limit;
                let nothing = HashMap::new();
                let settling = settle(
                    &checks,
                    &live,
                    &nothing,
                    deadline,
                    self.recorder.as_ref(),
                    &self.stop,
                );
                self.handle.block_on(settling);
                self.snapshot()
            } else {
                cx.clone()
            };
            if !self.stop.asked() {
                self.ask(&checks, cx, HashMap::new());
            }
            if self.stop.asked() {
                return Ok(Exit::Interrupted);
            }
            let report = self.recorder.report();
            let cases = report
                .phase(phase)
                .map(|one| one.cases.as_slice())
                .unwrap_or_default();
            let failing = cases.iter().find(|case| {
                case.severity == Severity::Fail
                    && matches!(case.outcome(), Some(Outcome::Fail | Outcome::Error))
            });
            let error = failing.and_then(|case| {
                let ended = case.ended()?;
                Some(format!("{}: {} ({})", ended.reason, ended.message, case.id))
            });
            failed |= error.is_some();
            let state = if error.is_some() {
                PhaseState::Failed
            } else {
                PhaseState::Completed
            };
            self.recorder
                .phase_ended(phase, state, error, self.requests() - before)?;
        }
        Ok(if failed { Exit::Failed } else { Exit::Passed })
    }

    /// `--apply`: the selected phases with their actions.
    pub(super) fn apply(&self) -> Result<Exit, Halt> {
        let selection = &self.options.selection;
        for phase in Phase::ALL {
            let wanted = steps(phase).iter().any(|step| match step {
                Step::Checks(checks) => checks.iter().any(|check| selection.takes(check.id)),
                Step::Action(action) => selection.takes(action.id),
            });
            if !wanted {
                continue;
            }
            let state = self.phase(phase, selection)?;
            if self.stop.asked() {
                return Ok(Exit::Interrupted);
            }
            if state == PhaseState::Failed {
                return Ok(Exit::Failed);
            }
        }
        Ok(Exit::Passed)
    }
}
