//! Who may write now: asked before every request that could change something, and before the repository is touched.
//!
//! The [`Permit`] is what a lock, a dry run or the lack of both comes to. [`WriteGuard`] is the layer of the writing
//! client that asks it, so that no action can forget to: a request is not sent without it, and one that is under way
//! when the permit goes is given up, so that a connection that comes about late carries nothing any more.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use checks::cluster::is_question;
use futures::{FutureExt as _, future::BoxFuture};
use http::{Method, Request, Response};
use kube::client::Body;
use tokio::sync::watch;
use tower::{BoxError, Layer, Service};

use super::clock::Clock;
use crate::ActionError;

/// Whether this run may write now. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Permit {
    state: Arc<watch::Sender<State>>,
    clock: Clock,
}

/// What a permit rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// No lock has been taken.
    None,
    /// The configuration says that the lock of the state folder is enough.
    Folder,
    /// The Lease is ours until then, on the clock of [`Clock`].
    Until(Duration),
    /// The Lease is not ours any more, and why.
    Lost(String),
    /// A dry run: only what the server is asked to try.
    DryRun,
}

/// Why something was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No lock has been taken.
    #[error("{0} was not sent: this run holds no lock")]
    NoLock(String),
    /// The Lease is not ours any more.
    #[error("{what} was not sent: {why}")]
    Lost {
        /// What was not sent.
        what: String,
        /// How the Lease was lost.
        why: String,
    },
    /// The Lease could not be renewed in time; it may still be.
    #[error("{0} was not sent: the Lease of this run has not been renewed in time")]
    Lapsed(String),
    /// The Lease went while the request was under way.
    #[error(
        "{0} was given up on the way: the Lease of this run has ended, and whether it arrived is not known"
    )]
    GivenUp(String),
    /// A dry run changes nothing.
    #[error("{0} was not sent: a dry run only asks the server to try (dryRun=All)")]
    DryRun(String),
}

impl Refused {
    /// Stable UpperCamelCase code.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoLock(_) | Self::Lost { .. } | Self::GivenUp(_) => "LeaseLost",
            Self::Lapsed(_) => "LeaseLapsed",
            Self::DryRun(_) => "DryRun",
        }
    }

    /// Finds it behind an error of kube's client.
    #[must_use]
    pub fn behind(error: &kube::Error) -> Option<&Self> {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(one) = next {
            if let Some(refused) = one.downcast_ref() {
                return Some(refused);
            }
            next = match one.downcast_ref::<kube::Error>() {
                Some(kube::Error::Service(inner)) => Some(inner.as_ref()),
                _ => one.source(),
            };
        }
        None
    }
}

impl From<Refused> for ActionError {
    fn from(refused: Refused) -> Self {
        Self::new(refused.reason(), refused.to_string())
    }
}

impl Default for Permit {
    fn default() -> Self {
        Self::new(State::None)
    }
}

impl Permit {
    fn new(state: State) -> Self {
        Self {
            state: Arc::new(watch::Sender::new(state)),
            clock: Clock::default(),
        }
    }

    /// Of a run that holds the lock of its state folder and, by its configuration, needs no Lease.
    #[must_use]
    pub fn by_folder() -> Self {
        Self::new(State::Folder)
    }

    /// Of a dry run: nothing may be written, and the server may be asked to try.
    #[must_use]
    pub fn dry_run() -> Self {
        Self::new(State::DryRun)
    }

    /// From now on the lock of the state folder is enough.
    pub fn rest_on_folder(&self) {
        self.state.send_replace(State::Folder);
    }

    /// Whether this is a dry run.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        *self.state.borrow() == State::DryRun
    }

    /// How the Lease was lost, when it was.
    #[must_use]
    pub fn lost(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Lost(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// The Lease is ours until then. Once it is lost it stays lost.
    pub(super) fn hold(&self, until: Duration) {
        self.state.send_if_modified(|state| {
            let held = !matches!(state, State::Lost(_));
            if held {
                *state = State::Until(until);
            }
            held
        });
    }

    /// The Lease is not ours any more.
    pub(super) fn lose(&self, why: String) {
        self.state.send_if_modified(|state| {
            let news = !matches!(state, State::Lost(_));
            if news {
                *state = State::Lost(why);
            }
            news
        });
    }

    /// The Lease was given back.
    pub(super) fn give_back(&self) {
        self.state.send_replace(State::None);
    }

    #[cfg(test)]
    pub(super) fn with_clock(clock: Clock) -> Self {
        Self {
            clock,
            ..Self::default()
        }
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether something may be written now; `what` names it for the message.
    ///
    /// # Errors
    /// [`Refused`] without a lock, with one that is lost or past its time, and in a dry run.
    pub fn check(&self, what: &str) -> Result<(), Refused> {
        let what = || what.to_owned();
        match &*self.state.borrow() {
            State::Folder => Ok(()),
            State::Until(until) if self.clock.now() < *until => Ok(()),
            State::Until(_) => Err(Refused::Lapsed(what())),
            State::None => Err(Refused::NoLock(what())),
            State::Lost(why) => Err(Refused::Lost {
                what: what(),
                why: why.clone(),
            }),
            State::DryRun => Err(Refused::DryRun(what())),
        }
    }

    /// Comes back once nothing may be written any more.
    async fn gone(&self) {
        let mut changes = self.state.subscribe();
        loop {
            let left = match &*changes.borrow_and_update() {
                State::Folder | State::DryRun => None,
                State::Until(until) => match until.checked_sub(self.clock.now()) {
                    Some(left) if !left.is_zero() => Some(left),
                    _ => return,
                },
                State::None | State::Lost(_) => return,
            };
            // The time is looked at in small steps, because a timer does not run while the machine is asleep.
            let step = left.map_or(Duration::from_secs(3600), |left| left.min(STEP));
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(step) => {}
            }
        }
    }
}

const STEP: Duration = Duration::from_millis(500);

/// The layer of the writing client that asks the permit.
#[derive(Clone, Debug)]
pub struct WriteGuard(pub Permit);

impl<S> Layer<S> for WriteGuard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded {
            inner,
            permit: self.0.clone(),
        }
    }
}

/// A client that writes only while it may.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    permit: Permit,
}

impl<S, B> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (method, path) = (request.method(), request.uri().path());
        if *method == Method::GET || *method == Method::HEAD || is_question(method, path) {
            return Box::pin(self.inner.call(request));
        }
        let what = format!("{method} {path}");
        if self.permit.is_dry_run() {
            if only_tried(&request) {
                return Box::pin(self.inner.call(request));
            }
            let refused = Refused::DryRun(what);
            return Box::pin(async move { Err(refused.into()) });
        }
        if let Err(refused) = self.permit.check(&what) {
            return Box::pin(async move { Err(refused.into()) });
        }
        let (sent, permit) = (self.inner.call(request), self.permit.clone());
        Box::pin(async move {
            tokio::select! {
                biased;
                () = permit.gone() => Err(Refused::GivenUp(what).into()),
                answer = sent => answer,
            }
        })
    }
}

/// Whether the server is asked only to try: exactly `dryRun=All`, once. A DELETE with a body is decided by its body:
/// the server then does not look at the query.
fn only_tried(request: &Request<Body>) -> bool {
    let mut asked = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.strip_prefix("dryRun="));
    let in_query = asked.next() == Some("All") && asked.next().is_none();
    if *request.method() != Method::DELETE {
        return in_query;
    }
    let body = request
        .body()
        .try_clone()
        .and_then(|body| body.collect_bytes().now_or_never())
        .and_then(Result::ok);
    match body {
        Some(bytes) if bytes.is_empty() => in_query,
        Some(bytes) => serde_json::from_slice::<serde_json::Value>(&bytes)
            .is_ok_and(|options| options["dryRun"] == serde_json::json!(["All"])),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    /// A server that counts what reaches it, and answers after a time.
    fn server(
        count: Arc<AtomicUsize>,
        after: Duration,
    ) -> impl Service<Request<Body>, Response = Response<()>, Error = BoxError, Future: Send + 'static>
    {
        service_fn(move |_: Request<Body>| {
            let count = Arc::clone(&count);
            async move {
                tokio::time::sleep(after).await;
                count.fetch_add(1, Ordering::Relaxed);
                Ok::<_, BoxError>(Response::new(()))
            }
        })
    }

    async fn send(permit: &Permit, after: Duration, method: &str, path: &str) -> (bool, usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let guarded = WriteGuard(permit.clone()).layer(server(Arc::clone(&count), after));
        let request = Request::builder().method(method).uri(path);
        let answer = guarded.oneshot(request.body(Body::empty()).unwrap()).await;
        (answer.is_ok(), count.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn without_a_lock_only_questions_are_sent() {
        let permit = Permit::default();
        let now = Duration::ZERO;
        let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        assert_eq!(send(&permit, now, "GET", "/api/v1/nodes").await, (true, 1));
        assert_eq!(send(&permit, now, "POST", review).await, (true, 1));
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let path = "/api/v1/nodes/k3s2?dryRun=All";
            assert_eq!(
                send(&permit, now, method, path).await,
                (false, 0),
                "{method}"
            );
        }
        permit.rest_on_folder();
        assert_eq!(
            send(&permit, now, "PATCH", "/api/v1/nodes/k3s2").await,
            (true, 1)
        );
    }

    #[tokio::test]
    async fn a_dry_run_sends_only_what_the_server_is_asked_to_try() {
        let permit = Permit::dry_run();
        let now = Duration::ZERO;
        for (path, sent) in [
            ("/api/v1/nodes/k3s2", false),
            ("/api/v1/nodes/k3s2?fieldManager=onboarding", false),
            ("/api/v1/nodes/k3s2?dryRun=", false),
            ("/api/v1/nodes/k3s2?dryRun=all", false),
            ("/api/v1/nodes/k3s2?dryRun=All&dryRun=None", false),
            ("/api/v1/nodes/k3s2?xdryRun=All", false),
            (
                "/api/v1/nodes/k3s2?fieldManager=onboarding&dryRun=All",
                true,
            ),
        ] {
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                let expected = (sent, usize::from(sent));
                assert_eq!(
                    send(&permit, now, method, path).await,
                    expected,
                    "{method} {path}"
                );
            }
        }
        assert!(permit.check("the repository").is_err());
        for (body, sent) in [
            (r#"{"propagationPolicy":"Background"}"#, 0),
            (r#"{"dryRun":["None"]}"#, 0),
            (r#"{"dryRun":["All"]}"#, 1),
        ] {
            let count = Arc::new(AtomicUsize::new(0));
            let guarded = WriteGuard(permit.clone()).layer(server(Arc::clone(&count), now));
            let request = Request::delete("/api/v1/nodes/k3s2?dryRun=All");
            let request = request.body(Body::from(body.as_bytes().to_vec())).unwrap();
            let _ = guarded.oneshot(request).await;
            assert_eq!(count.load(Ordering::Relaxed), sent, "{body}");
        }
    }

    #[tokio::test]
    async fn a_lease_past_its_time_sends_nothing_and_one_that_is_renewed_does_again() {
        let clock = Clock::by_hand();
        let permit = Permit::with_clock(clock.clone());
        permit.hold(Duration::from_secs(30));
        let now = Duration::ZERO;
        let node = "/api/v1/nodes/k3s2";
        assert_eq!(send(&permit, now, "PATCH", node).await, (true, 1));
        clock.advance(Duration::from_secs(30));
        assert_eq!(send(&permit, now, "PATCH", node).await, (false, 0));
        assert_eq!(permit.check("x").unwrap_err().reason(), "LeaseLapsed");
        permit.hold(Duration::from_secs(60));
        assert_eq!(send(&permit, now, "PATCH", node).await, (true, 1));
        permit.lose("another run has it".into());
        permit.hold(Duration::from_secs(90));
        assert_eq!(send(&permit, now, "PATCH", node).await, (false, 0));
        assert_eq!(permit.lost().as_deref(), Some("another run has it"));
    }

    #[tokio::test]
    async fn what_is_under_way_is_given_up_when_the_lease_goes() {
        let permit = Permit::default();
        let later = permit.clock().now() + Duration::from_secs(60);
        permit.hold(later);
        let other = permit.clone();
        let lost = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            other.lose("another run has it".into());
        });
        let slow = Duration::from_secs(20);
        assert_eq!(
            send(&permit, slow, "PATCH", "/api/v1/nodes/k3s2").await,
            (false, 0)
        );
        lost.await.unwrap();

        let permit = Permit::default();
        permit.hold(permit.clock().now() + Duration::from_millis(100));
        assert_eq!(
            send(&permit, slow, "PATCH", "/api/v1/nodes/k3s2").await,
            (false, 0)
        );
    }
}
