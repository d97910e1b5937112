//! Waiting is watching: the one place where time passes.
//!
//! Whatever is awaited is looked at again when something that is watched changes, and at a slow, jittered beat for
//! what cannot be watched. A wait ends when it is so, when it can never be so, at the deadline, or when the run is
//! asked to end.

use std::time::Duration;

use checks::{
    pause::about,
    view::{ReadError, View},
};
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};

use crate::{ActionError, Stop};

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
    /// Not yet, and so much is left of it; what was seen. Less than ever before is progress, and its time begins anew.
    Left(u64, String),
    /// It can never be so.
    Never(E),
}

/// What a read that failed means to a wait: what may pass is looked at again.
impl<T> From<ReadError> for Look<T, ActionError> {
    fn from(error: ReadError) -> Self {
        if error.may_pass() {
            Self::NotYet(error.to_string())
        } else {
            Self::Never(error.into())
        }
    }
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
    /// When time is over; later where progress is seen ([`Look::Left`]).
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
        let whole = self.deadline.saturating_duration_since(begun);
        let mut deadline = self.deadline;
        let last_of_all = begun + whole * MOST;
        let mut least = None;
        let mut changes = self.view.changes();
        // What cannot be watched is asked for again at a beat of its own, however often the rest changes.
        let mut beat = begun + about(self.poll);
        let mut last = "no answer came".to_owned();
        let ended = loop {
            changes.mark_unchanged();
            // A server that does not answer holds up neither the deadline nor Ctrl-C.
            let patience = deadline.max(Instant::now() + LOOK);
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
                Look::Left(left, seen) => {
                    if least.is_some_and(|least| left < least) {
                        deadline = deadline.max((Instant::now() + whole).min(last_of_all));
                    }
                    least = Some(least.map_or(left, |least: u64| least.min(left)));
                    (self.id, seen)
                }
            };
            last.clone_from(&seen);
            if self.stop.asked() {
                break Err(Unmet::Stopped(seen));
            }
            if Instant::now() >= deadline {
                break Err(Unmet::Deadline(seen));
            }
            let limit = deadline.saturating_duration_since(begun);
            self.observer.waiting(&Waiting {
                id: id.to_owned(),
                seen: seen.clone(),
                since: begun.elapsed(),
                limit: Duration::from_secs(limit.as_secs_f64().ceil() as u64),
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
                () = sleep_until(deadline) => {}
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

/// With progress a wait may take so many times its limit, and no longer.
const MOST: u32 = 4;
/// After the deadline a look is given this long, so that a phase whose time is over still says what it sees.
const LOOK: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use checks::{cluster::Connection, view::View};

    use super::*;
    use crate::Stopper;

    struct Told(Mutex<Vec<Waiting>>);

    impl Observer for Told {
        fn waiting(&self, waiting: &Waiting) {
            self.0.lock().unwrap().push(waiting.clone());
        }

        fn waited(&self) {}
    }

    /// Long enough that a busy machine does not change what comes out.
    const BEAT: Duration = Duration::from_millis(60);

    /// What is left after so many beats, with ten of them as the limit: how long it took, and how it ended.
    async fn waited(left: impl Fn(u64) -> u64) -> (u64, Result<(), Unmet<()>>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        let text = "{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: \
                    'http://127.0.0.1:9'}}], users: [{name: a, user: {}}], contexts: [{name: a, context: {cluster: a, \
                    user: a}}]}";
        std::fs::write(&file, text).unwrap();
        let connection = Connection::open(Some(&file), None, "r").await.unwrap();
        let view = View::snapshot(connection.reader().unwrap());
        let (told, stop) = (Told(Mutex::default()), Stopper::default().listener());
        let begun = Instant::now();
        let beats = |at: Instant| (at - begun).as_millis() as u64 / BEAT.as_millis() as u64;
        let wait = Wait {
            id: "x::y",
            view: &view,
            deadline: begun + BEAT * 10,
            poll: BEAT / 6,
            observer: &told,
            stop: &stop,
        };
        let left = &left;
        let met = wait
            .until(|| async move {
                match left(beats(Instant::now())) {
                    0 => Look::Done(()),
                    left => Look::Left(left, format!("{left} to go")),
                }
            })
            .await;
        assert!(!told.0.lock().unwrap().is_empty(), "nobody was told");
        (beats(Instant::now()), met)
    }

    #[tokio::test]
    async fn progress_gives_time_and_none_does_not() {
        let (took, met) = waited(|_| 3).await;
        assert_eq!(met, Err(Unmet::Deadline("3 to go".into())));
        assert!((10..15).contains(&took), "{took}");
        // One less every five beats: more than the limit in all, and never so long without progress.
        let (took, met) = waited(|since| 3_u64.saturating_sub(since / 5)).await;
        assert_eq!(met, Ok(()));
        assert!((15..20).contains(&took), "{took}");
        // More and less again is no progress.
        let (took, met) = waited(|since| 3 + since % 2).await;
        assert!(met.is_err() && (10..25).contains(&took), "{took}");
        let (took, met) = waited(|since| 1_000 - since).await;
        assert!(
            met.is_err() && (40..50).contains(&took),
            "it ends all the same: {took}"
        );
    }
}
