//! The report on disk while a run goes on.
//!
//! Every change of the report goes through [`Store::update`], which returns when it is durable, or [`Store::note`], which
//! gathers for at most 100 ms. JUnit is replaced first, then Markdown, then JSON, then the copies that were asked for;
//! the sequence number rises with every write, so the newer of two whole files is known after a crash.

mod load;
mod write;

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    files::FileError, folder::StateFolder, junit::JunitError, junit::JunitOptions, model::Report,
};

pub use load::{LoadError, Loaded};
use write::Target;

/// How long [`Store::note`] may gather.
pub const GATHER: Duration = Duration::from_millis(100);

/// Files that are rewritten together with the truth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Copy of the JUnit file, as `--junit` asks.
    pub junit: Option<PathBuf>,
    /// Copy of the Markdown file, as `--markdown` asks.
    pub markdown: Option<PathBuf>,
    /// How JUnit shows warnings; holds for the truth as well.
    pub options: JunitOptions,
}

/// Why the report could not be written. A run that changes things must stop then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file could not be replaced.
    #[error("the report could not be kept: {0}")]
    File(#[from] FileError),
    /// The JUnit file could not be made.
    #[error("the report could not be kept: {0}")]
    Junit(#[from] JunitError),
    /// The thread that writes what was gathered could not be started.
    #[error("the report could not be kept: no thread to write it: {0}")]
    Thread(std::io::Error),
}

/// The report of a run, shared by everybody who adds to it. Cheap to clone. The last clone to go writes what is
/// left, but cannot say that this failed: call [`Store::flush`] at the end.
#[derive(Clone, Debug)]
pub struct Store {
    owner: Arc<Owner>,
}

/// Ends the thread when the last [`Store`] goes.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Says that something was gathered, or that the end has come.
    changed: Condvar,
    /// Held while files are written, so that writes are in order; taken before `state`.
    target: Mutex<Target>,
}

#[derive(Debug)]
struct State {
    report: Report,
    /// Since when there is something that is not on disk.
    dirty: Option<Instant>,
    /// What went wrong in a gathered write, until somebody is told.
    failed: Option<StoreError>,
    ended: bool,
}

/// A panic elsewhere leaves the report as it was before or after a change, and both are worth keeping.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Begins to keep a report, and writes it at once. Without a folder only the copies are written: for runs that
    /// must not touch the state (inspect, dry run). Take the folder's [`crate::lock::Lock`] before.
    ///
    /// # Errors
    /// [`StoreError`] when the first write fails.
    pub fn begin(
        folder: Option<&StateFolder>,
        report: Report,
        copies: Copies,
    ) -> Result<Self, StoreError> {
        let target = Target::new(folder.cloned(), copies);
        target.clear_leftovers();
        let state = State {
            report,
            dirty: None,
            failed: None,
            ended: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            target: Mutex::new(target),
        });
        shared.write()?;
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("report-writer".to_owned())
            .spawn(move || theirs.gather())
            .map_err(StoreError::Thread)?;
        Ok(Self {
            owner: Arc::new(Owner {
                shared,
                thread: Some(thread),
            }),
        })
    }

    /// Changes the report and returns when that is durable: for phase and action events. The change stays in memory
    /// even when the write fails.
    ///
    /// # Errors
    /// [`StoreError`] of this write, or of an earlier gathered one that nobody was told of.
    pub fn update<T>(&self, change: impl FnOnce(&mut Report) -> T) -> Result<T, StoreError> {
        let shared = &self.owner.shared;
        let out = change(&mut locked(&shared.state).report);
        let written = shared.write();
        let earlier = locked(&shared.state).failed.take();
        match (earlier, written) {
            (Some(error), _) | (None, Err(error)) => Err(error),
            (None, Ok(())) => Ok(out),
        }
    }

    /// Changes the report; it is durable at most [`GATHER`] later: for check events.
    ///
    /// # Errors
    /// [`StoreError`] of an earlier gathered write that nobody was told of; the change is made all the same.
    pub fn note<T>(&self, change: impl FnOnce(&mut Report) -> T) -> Result<T, StoreError> {
        let shared = &self.owner.shared;
        let mut state = locked(&shared.state);
        let out = change(&mut state.report);
        state.dirty.get_or_insert_with(Instant::now);
        let earlier = state.failed.take();
        drop(state);
        shared.changed.notify_one();
        earlier.map_or(Ok(out), Err)
    }

    /// Looks at the report without changing it.
    pub fn read<T>(&self, look: impl FnOnce(&Report) -> T) -> T {
        look(&locked(&self.owner.shared.state).report)
    }

    /// The report as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Report {
        self.read(Report::clone)
    }

    /// Writes what was gathered, if anything was.
    ///
    /// # Errors
    /// [`StoreError`] of this write, or of an earlier gathered one that nobody was told of.
    pub fn flush(&self) -> Result<(), StoreError> {
        let shared = &self.owner.shared;
        let dirty = locked(&shared.state).dirty.is_some();
        let written = if dirty { shared.write() } else { Ok(()) };
        locked(&shared.state).failed.take().map_or(written, Err)
    }

    /// The report in a state folder; `None` if there is none.
    ///
    /// # Errors
    /// [`LoadError`] when there is one and no copy of it is whole.
    pub fn load(folder: &StateFolder) -> Result<Option<Loaded>, LoadError> {
        load::load(folder)
    }
}

impl Shared {
    /// Writes the report as it is now, with the next sequence number.
    fn write(&self) -> Result<(), StoreError> {
        let target = locked(&self.target);
        let report = {
            let mut state = locked(&self.state);
            state.report.sequence = state.report.sequence.saturating_add(1);
            state.dirty = None;
            state.report.clone()
        };
        let written = target.write(&report);
        if written.is_err() {
            // What is not on disk is still to be written, by whoever comes next.
            locked(&self.state).dirty.get_or_insert_with(Instant::now);
        }
        written
    }

    /// Writes what was gathered for long enough, until the end.
    fn gather(&self) {
        let mut state = locked(&self.state);
        loop {
            let waiting = match (state.dirty, &state.failed) {
                (_, _) if state.ended => break,
                // After a failure the next call decides; trying again here would hide it.
                (None, _) | (_, Some(_)) => None,
                (Some(since), None) => Some(GATHER.saturating_sub(since.elapsed())),
            };
            state = match waiting {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if !left.is_zero() => {
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                Some(_) => {
                    drop(state);
                    let written = self.write();
                    let mut state = locked(&self.state);
                    state.failed = written.err().or(state.failed.take());
                    state
                }
            };
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        locked(&self.shared.state).ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let left = locked(&self.shared.state).dirty.is_some();
        if left && let Err(error) = self.shared.write() {
            tracing::error!(%error, "the last part of the report is lost");
        }
    }
}

#[cfg(test)]
mod tests;
