//! What is known of each check of a run, and the rule by which one rests on another.
//!
//! Every check is asked at most once in a group, whoever wants to know first: its own trial, or one that requires it.
//! A requirement outside the selection is asked silently and not reported.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use checks::{Check, Context, catalogue};
use futures::{FutureExt, future::BoxFuture};
use phases::Stop;
use reports::model::{Ended, Outcome};
use tokio::sync::OnceCell;

use super::ask;
use crate::scripts::Scripts;

/// Who is told when a check of the selection begins and ends.
pub(super) trait Told: Send + Sync {
    fn begun(&self, check: &'static Check);
    fn ended(&self, check: &'static Check, ended: &Ended);
}

/// The checks of one group and what they rest on.
pub(super) struct Board {
    cx: Context,
    /// Outcomes that stand from before: earlier phases and groups of this run, and actions.
    known: HashMap<String, Known>,
    cells: Mutex<HashMap<&'static str, Arc<OnceCell<Answered>>>>,
    reported: Vec<&'static str>,
    told: Arc<dyn Told>,
    stop: Stop,
    scripts: Arc<Scripts>,
}

/// An outcome that stands from before.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) outcome: Outcome,
    pub(super) message: String,
}

/// What came out of a check, and whether waiting is of no use.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) ended: Ended,
    pub(super) hopeless: bool,
}

impl Board {
    pub(super) fn new(
        cx: Context,
        known: HashMap<String, Known>,
        reported: Vec<&'static str>,
        told: Arc<dyn Told>,
        stop: Stop,
    ) -> Self {
        Self {
            cx,
            known,
            cells: Mutex::default(),
            reported,
            told,
            stop,
            scripts: Arc::default(),
        }
    }

    /// The same, and checks that stand for these scripts run them.
    pub(super) fn running(mut self, scripts: Arc<Scripts>) -> Self {
        self.scripts = scripts;
        self
    }

    /// What comes out of a check. Asked on first use.
    pub(super) fn answer(&self, check: &'static Check) -> BoxFuture<'_, Answered> {
        let cell = Arc::clone(
            self.cells
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(check.id)
                .or_default(),
        );
        async move { cell.get_or_init(|| self.find_out(check)).await.clone() }.boxed()
    }

    async fn find_out(&self, check: &'static Check) -> Answered {
        let reported = self.reported.contains(&check.id);
        if self.stop.asked() {
            return interrupted();
        }
        let resting = self.rests_on(check).await;
        if reported {
            self.told.begun(check);
        }
        let answered = match resting {
            Some(ended) => Answered {
                ended,
                hopeless: false,
            },
            None => tokio::select! {
                biased;
                (ended, hopeless) = ask::ask(check, &self.cx, &self.scripts) => Answered { ended, hopeless },
                // Nobody is told of an end: in the report it has begun and not ended, and a resumed run asks it again.
                () = self.stop.wait() => return interrupted(),
            },
        };
        if reported {
            self.told.ended(check, &answered.ended);
        }
        answered
    }

    /// Why a check cannot be asked, if it cannot: something that it rests on did not pass.
    async fn rests_on(&self, check: &'static Check) -> Option<Ended> {
        let mut skipped: Option<(String, Known)> = None;
        let mut blocking = Vec::new();
        for id in check.after.iter().chain(check.requires) {
            let Some(known) = self.outcome_of(id).await else {
                continue;
            };
            match known.outcome {
                Outcome::Pass | Outcome::Warn => {}
                Outcome::Skip => skipped = Some(((*id).to_owned(), known)),
                Outcome::Fail | Outcome::Error | Outcome::Blocked => {
                    blocking.push((*id).to_owned())
                }
            }
        }
        if !blocking.is_empty() {
            let message = format!("rests on {}, which did not pass", blocking.join(", "));
            let hint = format!("settle {} first", blocking.join(", "));
            return Some(ask::unasked(
                Outcome::Blocked,
                "Blocked",
                message,
                &hint,
                blocking,
            ));
        }
        skipped.map(|(id, known)| {
            let message = format!("rests on {id}, which was skipped: {}", known.message);
            ask::unasked(Outcome::Skip, "RequirementSkipped", message, "", vec![id])
        })
    }

    /// What is known of a check or action that another one rests on; nothing for an action that this run has not
    /// come to, because what it would change may be there from before.
    async fn outcome_of(&self, id: &str) -> Option<Known> {
        if let Some(known) = self.known.get(id) {
            return Some(known.clone());
        }
        let check = catalogue::find(id)?;
        let answered = self.answer(check).await;
        Some(Known {
            outcome: answered.ended.outcome,
            message: answered.ended.message,
        })
    }
}

/// The answer of a check that was cut off.
fn interrupted() -> Answered {
    let message = "the run was asked to end before this was answered".to_owned();
    Answered {
        ended: ask::unasked(Outcome::Error, "Interrupted", message, "", Vec::new()),
        hopeless: true,
    }
}
