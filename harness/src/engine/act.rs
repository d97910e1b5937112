//! Carrying out one action: asked first whether it is already so, written down before and after.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use checks::{
    COMMON_REASONS,
    cluster::{Meter, Tally, counted},
};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use phases::{Action, ActionContext, ActionError, Done, rollback};
use reports::model::{Ended, Outcome};

use super::ask::{UNDECLARED, undeclared, words};

/// What came of an action.
pub(super) struct Carried {
    /// How it ended.
    pub(super) ended: Ended,
    /// What it recorded.
    pub(super) recorded: BTreeMap<String, String>,
    /// It ended while it was only looking, so there is nothing to resume or to take back.
    pub(super) only_looked: bool,
    /// What it made for itself was removed again, so that nothing of it is in effect.
    pub(super) released: bool,
}

/// The same context, whose writing client counts for one cause, and the counter. Inside the runtime only.
pub(super) fn counted_for(id: &str, cx: &ActionContext) -> (ActionContext, Tally) {
    let tally = cx.checks.view.reader().meter().case(id);
    let client = counted(&cx.client, &tally);
    let cx = ActionContext {
        client,
        ..cx.clone()
    };
    (cx, tally)
}

/// Carries an action out and says what came of it.
pub(super) async fn carry_out(action: &'static Action, cx: &ActionContext) -> Carried {
    let started = Timestamp::now();
    let begun = Instant::now();
    let (cx, tally) = &counted_for(action.id, cx);
    let applies = AtomicBool::new(false);
    let work = Meter::count_for(Tally::clone(tally), async {
        match action.act.probe(cx).await? {
            Some(done) => Ok(done),
            None if cx.stop.asked() => Err(ActionError::new(
                "Interrupted",
                "the run was asked to end before it began",
            )),
            None => {
                // The client asks again before each request; this is for what is no request.
                cx.permit.check(action.id)?;
                applies.store(true, Ordering::Relaxed);
                action.act.apply(cx).await
            }
        }
    });
    let result = AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|payload| {
            Err(ActionError::new(
                "Panicked",
                format!("it broke: {}", words(payload.as_ref())),
            ))
        });
    let only_looked = result.is_err() && !applies.load(Ordering::Relaxed);
    let (mut ended, recorded) = match result {
        Ok(done) => through(action, cx, done),
        Err(error) => (failed(action, cx, error), BTreeMap::new()),
    };
    ended.started = started;
    ended.duration = SignedDuration::try_from(begun.elapsed()).unwrap_or_default();
    let released = action.act.is_temporary() && release(action, cx, tally, &mut ended).await;
    let mut needs = action.needs.to_vec();
    if rollback::find(action.id).is_some() {
        needs.extend_from_slice(rollback::looks());
    }
    if let Some(what) = undeclared(action.id, tally, &needs, &cx.checks.settings)
        && ended.outcome.satisfies()
    {
        // What was done stays done, and is recorded.
        (ended.outcome, ended.reason, ended.message) = (Outcome::Error, UNDECLARED.into(), what);
    }
    ended.requests = tally.count().requests;
    Carried {
        ended,
        recorded,
        only_looked,
        released,
    }
}

/// Removes what a temporary action has made for itself, however it ended; whether nothing of it is left to remove.
async fn release(
    action: &'static Action,
    cx: &ActionContext,
    tally: &Tally,
    ended: &mut Ended,
) -> bool {
    let work = Meter::count_for(tally.clone(), action.act.release(cx, action.id));
    let result = AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|payload| Err(ActionError::new("Panicked", words(payload.as_ref()))));
    match result {
        Ok(removed) => {
            if !removed.is_empty() {
                ended
                    .evidence
                    .push(format!("removed: {}", removed.join(", ")));
            }
            true
        }
        Err(error) => {
            // What it found out holds all the same; `health::nothing_left_behind` and the end of the run look again.
            tracing::warn!(action = action.id, "its objects were not removed: {error}");
            ended.evidence.push(format!(
                "not removed yet, {}: {error}; remove it with --cleanup",
                error.reason
            ));
            false
        }
    }
}

pub(super) fn through(
    action: &Action,
    cx: &ActionContext,
    done: Done,
) -> (Ended, BTreeMap<String, String>) {
    let outcome = if done.warning.is_some() {
        Outcome::Warn
    } else {
        Outcome::Pass
    };
    let reason = done.warning.unwrap_or_default();
    let hint = remedy(action, reason).unwrap_or_default();
    (
        end(
            outcome,
            reason,
            done.message,
            done.evidence,
            cx.checks.settings.fill(hint),
        ),
        done.recorded,
    )
}

pub(super) fn failed(action: &Action, cx: &ActionContext, error: ActionError) -> Ended {
    // A server that could not be asked is an error; everything else is a no.
    let outcome = match error.reason {
        "Unreachable" | "TimedOut" | "ServerError" | "Malformed" | "Panicked" | "Interrupted" => {
            Outcome::Error
        }
        _ => Outcome::Fail,
    };
    let hint = error
        .hint
        .unwrap_or_else(|| remedy(action, error.reason).unwrap_or_default().to_owned());
    end(
        outcome,
        error.reason,
        error.message,
        error.evidence,
        cx.checks.settings.fill(&hint),
    )
}

fn remedy(action: &Action, code: &str) -> Option<&'static str> {
    action
        .reasons
        .iter()
        .chain(COMMON_REASONS)
        .find(|reason| reason.code == code)
        .map(|reason| reason.remedy)
}

fn end(
    outcome: Outcome,
    reason: &str,
    message: String,
    evidence: Vec<String>,
    hint: String,
) -> Ended {
    Ended {
        outcome,
        reason: reason.to_owned(),
        message,
        evidence,
        hint,
        blocked_by: Vec::new(),
        started: Timestamp::UNIX_EPOCH,
        duration: SignedDuration::ZERO,
        requests: 0,
        at: String::new(),
    }
}
