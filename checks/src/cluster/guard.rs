//! The guard that keeps checks from changing anything.

use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use http::{Method, Request, Response};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

/// Refuses every request that could change something, before it is sent.
///
/// Access reviews are questions that Kubernetes spells as a POST; they pass, by name.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnly;

/// Paths that may be posted to: they create nothing.
const QUESTIONS: [&str; 4] = [
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    "/apis/authentication.k8s.io/v1/selfsubjectreviews",
];

fn allowed(method: &Method, path: &str) -> bool {
    *method == Method::GET || *method == Method::HEAD || is_question(method, path)
}

/// Whether a request is a question that Kubernetes spells as a POST.
#[must_use]
pub fn is_question(method: &Method, path: &str) -> bool {
    *method == Method::POST && QUESTIONS.contains(&path.trim_end_matches('/'))
}

impl<S> Layer<S> for ReadOnly {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { inner }
    }
}

/// A client that cannot change anything.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
}

impl<S, B> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<S::Future, Ready<Result<Self::Response, BoxError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if allowed(request.method(), request.uri().path()) {
            Either::Left(self.inner.call(request))
        } else {
            let refused = format!(
                "{} {} was not sent: checks only read, and this could change something",
                request.method(),
                request.uri().path()
            );
            Either::Right(ready(Err(refused.into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reads_and_questions_pass() {
        assert!(allowed(&Method::GET, "/api/v1/nodes"));
        assert!(allowed(
            &Method::POST,
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        ));
        for (method, path) in [
            (Method::POST, "/api/v1/namespaces/x/pods"),
            (Method::POST, "/api/v1/namespaces/x/pods/y/eviction"),
            (Method::PATCH, "/api/v1/nodes/k3s2"),
            (
                Method::PUT,
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            ),
            (Method::DELETE, "/api/v1/nodes/k3s2"),
            (
                Method::POST,
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x",
            ),
        ] {
            assert!(!allowed(&method, path), "{method} {path}");
        }
    }
}
