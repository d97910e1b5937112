//! One kind in one scope: its objects, and the same as the types that were asked for.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::AbortHandle, time::timeout};

use super::{Object, ReadError};

/// What is known of a kind.
#[derive(Clone)]
pub(super) enum Content {
    /// Nothing yet; the last error, if asking has failed so far.
    Pending(Option<ReadError>),
    /// The objects, and a number that grows with every change.
    Ready(u64, Arc<Vec<Object>>),
    /// It cannot be had.
    Failed(ReadError),
}

/// The objects as one type, and the change that they were converted at.
type Converted = (u64, Arc<dyn Any + Send + Sync>);

pub(super) struct Slot {
    content: watch::Sender<Content>,
    loading: tokio::sync::Mutex<()>,
    typed: Mutex<HashMap<TypeId, Converted>>,
    watching: OnceLock<AbortHandle>,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            content: watch::Sender::new(Content::Pending(None)),
            loading: tokio::sync::Mutex::default(),
            typed: Mutex::default(),
            watching: OnceLock::new(),
        }
    }
}

impl Slot {
    /// Loads it once: whoever comes second waits for the first.
    pub(super) async fn load(&self, ask: impl Future<Output = Result<Vec<Object>, ReadError>>) {
        let _only = self.loading.lock().await;
        if matches!(*self.content.borrow(), Content::Pending(_)) {
            let content = match ask.await {
                Ok(objects) => Content::Ready(0, Arc::new(objects)),
                Err(error) => Content::Failed(error),
            };
            self.content.send_replace(content);
        }
    }

    pub(super) fn set(&self, content: Content) {
        self.content.send_replace(content);
    }

    pub(super) fn content(&self) -> Content {
        self.content.borrow().clone()
    }

    /// Begins a watch once; it ends with the slot.
    pub(super) fn watch_once(&self, begin: impl FnOnce() -> AbortHandle) {
        self.watching.get_or_init(begin);
    }

    /// The objects as `T` once they are known.
    pub(super) async fn typed_when_ready<T>(
        &self,
        what: &str,
        limit: Duration,
    ) -> Result<Arc<Vec<T>>, ReadError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let mut receiver = self.content.subscribe();
        // Only whether it is known is kept: what `wait_for` returns holds the lock for reading, and reading again below
        // would wait for ever behind a writer that came in between.
        let known = timeout(
            limit,
            receiver.wait_for(|content| !matches!(content, Content::Pending(_))),
        )
        .await
        .is_ok();
        if !known {
            return Err(match self.content() {
                Content::Pending(Some(error)) => error,
                _ => ReadError::TimedOut {
                    what: what.into(),
                    after: limit,
                },
            });
        }
        self.typed(what)
    }

    /// The objects as `T`, converted once for each change.
    pub(super) fn typed<T>(&self, what: &str) -> Result<Arc<Vec<T>>, ReadError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let (number, objects) = match self.content() {
            Content::Ready(number, objects) => (number, objects),
            Content::Failed(error) => return Err(error),
            Content::Pending(error) => {
                return Err(error.unwrap_or(ReadError::TimedOut {
                    what: what.into(),
                    after: Duration::ZERO,
                }));
            }
        };
        let mut typed = self.typed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, value)) = typed.get(&TypeId::of::<T>())
            && *known == number
            && let Ok(value) = Arc::clone(value).downcast::<Vec<T>>()
        {
            return Ok(value);
        }
        let mut converted = Vec::with_capacity(objects.len());
        for object in objects.iter() {
            converted.push(object.read().map_err(|error| ReadError::Malformed {
                what: format!("{what} {}", object.name()),
                message: error.to_string(),
            })?);
        }
        let converted = Arc::new(converted);
        typed.insert(
            TypeId::of::<T>(),
            (number, Arc::clone(&converted) as Arc<dyn Any + Send + Sync>),
        );
        Ok(converted)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(task) = self.watching.get() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use serde_json::{Value, json, value::to_raw_value};

    use super::*;

    #[test]
    fn reading_while_the_watch_writes_never_locks_up() {
        let (done, finished) = mpsc::channel();
        let slot = Arc::new(Slot::default());
        let written = Arc::clone(&slot);
        let writer = move |number: u64| {
            let object = Object::sent(&to_raw_value(&json!({"n": number})).unwrap());
            written.set(Content::Ready(number, Arc::new(vec![object])));
        };
        writer(0);
        let over = done.clone();
        thread::spawn(move || {
            (1..20_000).for_each(writer);
            let _ = over.send(0);
        });
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            let mut read = 0;
            for _ in 0..20_000 {
                let limit = Duration::from_secs(5);
                let list = runtime.block_on(slot.typed_when_ready::<Value>("x", limit));
                read += list.unwrap().len();
            }
            let _ = done.send(read);
        });
        let patience = Duration::from_secs(60);
        let first = finished.recv_timeout(patience).unwrap();
        let second = finished.recv_timeout(patience).unwrap();
        assert_eq!(first + second, 20_000);
    }
}
