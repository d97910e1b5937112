//! The wait of a group: the same checks, asked again on a live view until they pass.

use std::{collections::HashMap, sync::Arc};

use checks::{Check, Context};
use futures::future::join_all;
use phases::{
    Stop,
    wait::{Look, Observer, Unmet, Wait},
};
use reports::model::{Ended, Outcome, Severity};
use tokio::time::Instant;

use super::board::{Board, Known, Told};

/// Nobody is told of the looks in between; only the last judgement is reported.
struct Nobody;

impl Told for Nobody {
    fn begun(&self, _: &'static Check) {}
    fn ended(&self, _: &'static Check, _: &Ended) {}
}

/// Waits until every check of the group that is awaited passes, warns or is skipped; ends early where one says that
/// waiting is of no use. Whether it came to that is judged afterwards, on a fresh view.
pub(super) async fn settle(
    checks: &[&'static Check],
    live: &Context,
    known: &HashMap<String, Known>,
    deadline: Instant,
    observer: &dyn Observer,
    stop: &Stop,
) {
    let awaited: Vec<&'static Check> = checks
        .iter()
        .copied()
        .filter(|check| check.awaits && check.severity == Severity::Fail)
        .collect();
    let Some(first) = awaited.first() else { return };
    let wait = Wait {
        id: first.id,
        view: &live.view,
        deadline,
        poll: live.settings.poll.0,
        observer,
        stop,
    };
    let awaited = awaited.as_slice();
    let _: Result<(), Unmet<()>> = wait
        .until(|| async move {
            let board = Board::new(
                live.clone(),
                known.clone(),
                Vec::new(),
                Arc::new(Nobody),
                stop.clone(),
            );
            let answers = join_all(awaited.iter().map(|check| board.answer(check))).await;
            let unmet = |outcome| matches!(outcome, Outcome::Fail | Outcome::Error);
            // A group that is blocked from outside cannot change by waiting here.
            let mut open = awaited
                .iter()
                .zip(&answers)
                .filter(|(_, answer)| unmet(answer.ended.outcome))
                .peekable();
            if open.peek().is_none() || answers.iter().any(|answer| answer.hopeless) {
                return Look::Done(());
            }
            match open.next() {
                Some((check, answer)) => Look::NotYetFor(check.id, answer.ended.message.clone()),
                None => Look::Done(()),
            }
        })
        .await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use checks::{Criterion, Need, ask};
    use phases::{Stopper, wait::Waiting};

    use super::*;
    use crate::testing;

    async fn never(_: &Context) -> checks::Answer {
        std::future::pending().await
    }

    static NEVER: Check = Check {
        id: "pre::never",
        title: "it never answers",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::Path("/")],
        awaits: true,
        after: None,
        criterion: Criterion::Beyond,
        why: "",
        reasons: &[],
        ask: ask!(never),
    };

    impl Observer for Nobody {
        fn waiting(&self, _: &Waiting) {}
        fn waited(&self) {}
    }

    async fn context() -> Context {
        testing::unserved().await
    }

    #[tokio::test]
    async fn ctrl_c_cuts_off_a_wait_and_a_check_that_get_no_answer() {
        let (stopper, cx) = (Stopper::default(), context().await);
        let stop = stopper.listener();
        let later = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            stopper.stop();
        });
        let deadline = Instant::now() + Duration::from_secs(60);
        let begun = Instant::now();
        settle(&[&NEVER], &cx, &HashMap::new(), deadline, &Nobody, &stop).await;
        later.await.unwrap();
        let board = Board::new(cx, HashMap::new(), vec![NEVER.id], Arc::new(Nobody), stop);
        let answered = board.answer(&NEVER).await;
        assert_eq!(answered.ended.reason, "Interrupted");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
