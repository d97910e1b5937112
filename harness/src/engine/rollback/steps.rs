//! The steps in their order, and what is said of how far they came.

use std::{sync::Arc, time::Duration};

use phases::{Action, ActionContext, rollback};
use reports::model::{Outcome, Phase};
use tokio::time::Instant;

use super::look::{FORECAST, context_of};
use crate::{
    build,
    engine::{act, group, ordered::Run},
    event::Event,
    exit::{Exit, Halt},
    options::Options,
};

/// Which actions of the onboarding a step takes back.
fn undone_by(step: &str) -> &'static [&'static str] {
    match step {
        "rollback::leftovers" => &[
            checks::probe::BEFORE,
            checks::probe::TRAFFIC,
            checks::probe::VOLUME,
            checks::probe::WORKLOAD,
        ],
        "rollback::delete_node" => &["join::label"],
        "rollback::push" => &[
            "gitops::activate",
            "gitops::commit",
            "gitops::push",
            "gitops::reconcile",
        ],
        "rollback::resume_flux" => &["storage::reconcile"],
        _ => &[],
    }
}

/// How long a step may wait. The limits of `join`, `storage` and `gitops` hold; where none was set, what takes long on a
/// real cluster gets more.
fn limit(options: &Options, step: &str) -> Duration {
    let (phase, least) = match step {
        "rollback::drain" | "rollback::delete_node" => (Phase::NodeJoinMonitoring, 15),
        "rollback::move_replicas" | "rollback::verify_volumes" => (Phase::StorageIntegration, 60),
        "rollback::stop_scheduling" | "rollback::longhorn_node" => (Phase::StorageIntegration, 10),
        "rollback::resume_flux" => (Phase::GitopsActivation, 15),
        _ => (Phase::GitopsActivation, 5),
    };
    let set = options.timeouts.get(&phase).copied().unwrap_or_default();
    let untouched = build::timeouts().get(&phase).copied() == Some(set);
    if untouched && options.sandbox.is_none() {
        set.max(Duration::from_secs(least * 60))
    } else {
        set
    }
}

impl Run<'_> {
    /// The steps in their order, up to the first that does not get through.
    pub(super) fn steps(&self) -> Result<Exit, Halt> {
        for action in rollback::ACTIONS {
            if self.stop.asked() {
                return Ok(Exit::Interrupted);
            }
            let through = self.step(action)?;
            self.recorder.whole()?;
            if self.stop.asked() && !through {
                return Ok(Exit::Interrupted);
            }
            if !through {
                return Ok(Exit::RollbackIncomplete);
            }
        }
        Ok(Exit::Passed)
    }

    /// One step; whether it got through.
    fn step(&self, action: &'static Action) -> Result<bool, Halt> {
        if let Some(lease) = self.lease {
            lease.phase(action.id);
        }
        self.recorder.step_begun(action)?;
        let cx = self.step_context(action);
        let advised = self.on_account_of(action.id, async {
            let (cx, _) = act::counted_for(action.id, &cx);
            match (
                rollback::advice(action.id, &cx),
                action.act.probe(&cx).await,
            ) {
                (Some(advice), Ok(None)) => Some(advice),
                _ => None,
            }
        });
        if let Some(advice) = advised {
            self.recorder.tell(&Event::Advice(advice));
        }
        let (handle, recorder) = (self.handle.clone(), Arc::clone(&self.recorder));
        let told = Arc::new(std::sync::Mutex::new((false, None)));
        let tell = Arc::clone(&told);
        group::action(action.id, self.manner(), move || {
            let carried = handle.block_on(act::carry_out(action, &cx));
            let ended = carried.ended.clone();
            let through = matches!(ended.outcome, Outcome::Pass | Outcome::Warn);
            let written = recorder.step_ended(action, carried, undone_by(action.id));
            *tell
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = (through, written.err());
            ended
        });
        let (through, halt) = std::mem::take(
            &mut *told
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        halt.map_or(Ok(through), Err)
    }

    fn step_context(&self, action: &Action) -> ActionContext {
        let live = self.context(checks::view::View::live(self.world.reader.clone()));
        let deadline = Instant::now() + limit(self.options, action.id);
        self.action_context(&live, deadline, self.recorder.clone())
    }

    /// What the last screen says: that it is done, or what is left and how to go on.
    pub(super) fn last_words(&self, exit: Exit) -> Vec<String> {
        let report = self.recorder.report();
        let node = &report.node;
        if exit == Exit::Passed {
            let commit = report
                .action("rollback::commit")
                .and_then(|record| record.recorded.get("commit"))
                .map(|commit| format!(", commit {} is pushed", commit.get(..7).unwrap_or(commit)))
                .unwrap_or_default();
            return vec![format!(
                "{node} is out: nothing of it is in the cluster or in git{commit}"
            )];
        }
        let mut words = Vec::new();
        let stopped = report.actions.iter().rev().find_map(|record| {
            let why = record.recorded.get("failed")?;
            (record.id.starts_with("rollback::")).then_some((&record.id, why))
        });
        if let Some((id, why)) = stopped {
            words.push(format!("stopped at {id}: {why}"));
            let ended = report.case(id).and_then(reports::model::Case::ended);
            words.extend(
                ended
                    .filter(|ended| !ended.hint.is_empty())
                    .map(|ended| format!("do: {}", ended.hint)),
            );
        }
        let cx = context_of(self.options, self.world, &report, &self.stop);
        let limit = Duration::from_secs(5);
        let left = self.on_account_of(FORECAST, async {
            tokio::time::timeout(limit, rollback::left_behind(&cx)).await
        });
        match left {
            Ok(Ok(left)) if left.is_empty() => words.push("nothing is left half done".to_owned()),
            Ok(Ok(left)) => words.extend(left.into_iter().map(|one| format!("left as it is: {one}"))),
            _ => words.push(
                "what it leaves could not be read; --status says it, the report says what was begun".to_owned(),
            ),
        }
        words.push("--rollback goes on with it".to_owned());
        words
    }
}
