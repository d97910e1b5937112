//! Counting requests, in total and for whoever caused them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::{Request, Response};
use kube::{Client, client::Body};
use tower::{Layer, Service, service_fn};

use super::Asked;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests on the wire, retries included.
    pub requests: u64,
    /// Requests that were sent again after a passing error.
    pub retries: u64,
    /// Bytes of answers that were read whole; watches are not in it.
    pub bytes: u64,
}

/// A counter that any number of requests may share.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    requests: AtomicU64,
    retries: AtomicU64,
    bytes: AtomicU64,
    asked: Mutex<BTreeSet<Asked>>,
}

impl Tally {
    /// What was asked for, answers that were shared with others included.
    #[must_use]
    pub fn asked(&self) -> BTreeSet<Asked> {
        self.0
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, asked: Asked) {
        self.0
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(asked);
    }

    /// What was counted so far.
    #[must_use]
    pub fn count(&self) -> Count {
        Count {
            requests: self.0.requests.load(Ordering::Relaxed),
            retries: self.0.retries.load(Ordering::Relaxed),
            bytes: self.0.bytes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn retried(&self) {
        self.0.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sent(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }
}

tokio::task_local! {
    /// Who the requests of this task are counted for.
    static CAUSE: Tally;
}

/// Counts every request of a client: all in one total, and each for the [`Tally`] of the task that caused it.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    total: Tally,
    cases: Arc<Mutex<HashMap<String, Tally>>>,
}

impl Meter {
    /// All requests so far.
    #[must_use]
    pub fn total(&self) -> Count {
        self.total.count()
    }

    /// The counter of one check, action or other cause, the same one for the whole run: what a check asks for while it
    /// is awaited counts for it too.
    #[must_use]
    pub fn case(&self, id: &str) -> Tally {
        self.cases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(id.to_owned())
            .or_default()
            .clone()
    }

    /// How many requests each cause has made, by its id. What nobody asked for is only in the total.
    #[must_use]
    pub fn causes(&self) -> BTreeMap<String, u64> {
        self.cases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(id, tally)| (id.clone(), tally.count().requests))
            .collect()
    }

    /// Runs a future whose requests are counted for the cause of this id, too.
    pub async fn count_as<T>(&self, id: &str, future: impl Future<Output = T>) -> T {
        Self::count_for(self.case(id), future).await
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.total
    }

    /// Runs a future whose requests are counted for `cause`.
    pub async fn count_for<F: Future>(cause: Tally, future: F) -> F::Output {
        CAUSE.scope(cause, future).await
    }

    /// Notes what the current task asks for, whether or not that takes a request of its own.
    pub(crate) fn note(asked: Asked) {
        if let Some(cause) = Self::cause() {
            cause.note(asked);
        }
    }

    /// Who the current task's requests are counted for, if anybody.
    pub(crate) fn cause() -> Option<Tally> {
        CAUSE.try_with(Clone::clone).ok()
    }
}

/// The tower layer that counts. A request carries its cause as an extension, because kube's client sends from a task
/// of its own, where the task-local value of the caller is not seen.
#[derive(Clone, Debug)]
pub struct MeterLayer(pub Meter);

impl<S> Layer<S> for MeterLayer {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Metered {
            inner,
            meter: self.0.clone(),
        }
    }
}

/// A client whose requests are counted.
#[derive(Clone, Debug)]
pub struct Metered<S> {
    inner: S,
    meter: Meter,
}

impl<S, B> Service<Request<Body>> for Metered<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.meter.total.sent();
        if let Some(cause) = request.extensions().get::<Tally>() {
            cause.sent();
        }
        self.inner.call(request)
    }
}

/// The same client, whose requests are counted for one cause and noted. For clients that are handed on: kube sends
/// from a task of its own, where nobody knows who asked.
#[must_use]
pub fn counted(client: &Client, cause: &Tally) -> Client {
    let (inner, cause) = (client.clone(), cause.clone());
    let service = service_fn(move |mut request: Request<Body>| {
        let asked = Asked::of(request.method(), &request.uri().to_string());
        cause.note(asked);
        request.extensions_mut().insert(cause.clone());
        let inner = inner.clone();
        async move { inner.send(request).await }
    });
    Client::new(service, client.default_namespace())
}
