//! Waiting is watching: the one place where time passes.
//!
//! Whatever is awaited is looked at again when something that is watched changes, and at a slow, jittered beat for
//! what cannot be watched. A wait ends when it is so, when it can never be so, at the deadline, or when the run is
//! asked to end.

use std::time::Duration;

use checks::{pause::about, view::View};
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};

use crate::Stop;

/// Who is told while something is awaited.
pub trait Observer: Send + Sync {
    /// Called at the beginning of a wait, whenever what is seen changes, and at least once a second.
    fn waiting(&self, waiting: &Waiting);

    /// The wait is over, however it ended.
    fn waited(&self);
}

/// What is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Id of the check or action that waits.
    pub id: String,
    /// What is seen now: the hop, the state, the object that is not yet as it should be.
    pub seen: String,
    /// For how long it has been awaited.
    pub since: Duration,
    /// How long it may take in all.
    pub limit: Duration,
}

/// What a look at the world found.
pub enum Look<T, E> {
    /// It is so.
    Done(T),
    /// Not yet; what was seen.
    NotYet(String),
    /// Not yet, because of this check or action; what was seen of it.
    NotYetFor(&'static str, String),
    /// It can never be so.
    Never(E),
}

/// How a wait ended without what was awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmet<E> {
    /// It can never be so.
    Never(E),
    /// Time is over; what was last seen.
    Deadline(String),
    /// The run was asked to end; what was last seen.
    Stopped(String),
}

/// Something that is awaited.
pub struct Wait<'a> {
    /// Id of the check or action that waits.
    pub id: &'a str,
    /// A live view: its changes are when it is looked at again.
    pub view: &'a View,
    /// When time is over.
    pub deadline: Instant,
    /// How often what cannot be watched is asked again.
    pub poll: Duration,
    /// Who is told.
    pub observer: &'a dyn Observer,
    /// Whether the run was asked to end.
    pub stop: &'a Stop,
}

impl Wait<'_> {
    /// Looks until it is so.
    ///
    /// # Errors
    /// It can never be so, time is over, or the run was asked to end.
    pub async fn until<T, E, F>(&self, mut look: impl FnMut() -> F) -> Result<T, Unmet<E>>
    where
        F: Future<Output = Look<T, E>>,
    {
        let begun = Instant::now();
        // In whole seconds: the few milliseconds since the phase began are nothing that a person should read.
        let left = self.deadline.saturating_duration_since(begun);
        let limit = Duration::from_secs(left.as_secs_f64().ceil() as u64);
        let mut changes = self.view.changes();
        // What cannot be watched is asked for again at a beat of its own, however often the rest changes.
        let mut beat = begun + about(self.poll);
        let mut last = "no answer came".to_owned();
        let ended = loop {
            changes.mark_unchanged();
            // A server that does not answer holds up neither the deadline nor Ctrl-C.
            let patience = self.deadline.max(Instant::now() + LOOK);
            let looked = select! {
                biased;
                looked = look() => looked,
                () = self.stop.wait() => break Err(Unmet::Stopped(last)),
                () = sleep_until(patience) => break Err(Unmet::Deadline(last)),
            };
            let (id, seen) = match looked {
                Look::Done(value) => break Ok(value),
                Look::Never(error) => break Err(Unmet::Never(error)),
                Look::NotYet(seen) => (self.id, seen),
                Look::NotYetFor(id, seen) => (id, seen),
            };
            last.clone_from(&seen);
            if self.stop.asked() {
                break Err(Unmet::Stopped(seen));
            }
            if Instant::now() >= self.deadline {
                break Err(Unmet::Deadline(seen));
            }
            self.observer.waiting(&Waiting {
                id: id.to_owned(),
                seen: seen.clone(),
                since: begun.elapsed(),
                limit,
            });
            let changed = async {
                // A burst of changes is one change.
                if changes.changed().await.is_ok() {
                    sleep(Duration::from_millis(20)).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            select! {
                () = changed => {}
                () = sleep_until(beat) => {}
                () = sleep_until(self.deadline) => {}
                () = sleep(Duration::from_secs(1)) => {}
                () = self.stop.wait() => {}
            }
            if Instant::now() >= beat {
                self.view.forget_unwatched();
                beat = Instant::now() + about(self.poll);
            }
        };
        self.observer.waited();
        ended
    }
}

/// After the deadline a look is given this long, so that a phase whose time is over still says what it sees.
const LOOK: Duration = Duration::from_secs(5);
