//! Reading: one place for timeouts, retries, counting, and for telling absent, forbidden and unreachable apart.

use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use kube::{Client, client::Body};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout};

use super::{Asked, Meter, Tally};
use crate::{pause::Pause, view::ReadError};

/// Answers larger than this are refused rather than held in memory.
const LARGEST: usize = 256 << 20;
/// One answer may take this long.
const CALL: Duration = Duration::from_secs(15);
/// A read with all its retries may take this long.
const READ: Duration = Duration::from_secs(40);
/// A read is sent at most this often.
const ATTEMPTS: u32 = 8;

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Raw {
    /// HTTP status; anything below 400.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
    /// When the headers came, by this machine's clock.
    pub received: Timestamp,
}

impl Raw {
    /// The body as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads from the API server. Cannot change anything.
#[derive(Clone)]
pub struct Reader {
    client: Client,
    streaming: Client,
    meter: Meter,
}

impl Reader {
    pub(crate) fn new(client: Client, streaming: Client, meter: Meter) -> Self {
        Self {
            client,
            streaming,
            meter,
        }
    }

    /// The client for watches; read-only like everything here.
    #[must_use]
    pub(crate) fn streaming(&self) -> Client {
        self.streaming.clone()
    }

    /// The count of all requests.
    #[must_use]
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// GET, and the body as JSON.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ReadError> {
        let raw = self.get(path).await?;
        serde_json::from_slice(&raw.body).map_err(|error| ReadError::Malformed {
            what: path.into(),
            message: error.to_string(),
        })
    }

    /// GET.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn get(&self, path: &str) -> Result<Raw, ReadError> {
        self.ask(Method::GET, path, None).await
    }

    /// GET where an error status is an answer too: `/readyz?verbose` says with 500 what is not ready. The status is
    /// returned whatever it is, except 401, 403, 429 and what a retry may mend.
    ///
    /// # Errors
    /// Forbidden, unreachable, timed out.
    pub async fn get_any(&self, path: &str) -> Result<Raw, ReadError> {
        self.attempts(Method::GET, path, None, true).await
    }

    /// Posts a review: a question that creates nothing (see [`super::ReadOnly`]).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn review<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, ReadError> {
        let malformed = |error: serde_json::Error| ReadError::Malformed {
            what: path.into(),
            message: error.to_string(),
        };
        let body = serde_json::to_vec(question).map_err(malformed)?;
        let raw = self.ask(Method::POST, path, Some(body)).await?;
        serde_json::from_slice(&raw.body).map_err(malformed)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Raw, ReadError> {
        self.attempts(method, path, body, false).await
    }

    /// Sends until an answer, a final error, the deadline, or the last attempt. Only questions come here, so sending
    /// again is safe.
    async fn attempts(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        any_status: bool,
    ) -> Result<Raw, ReadError> {
        Meter::note(Asked::of(&method, path));
        let deadline = Instant::now() + READ;
        let mut pause = Pause::new(Duration::from_millis(50), Duration::from_secs(5));
        let mut attempt = 1;
        loop {
            let (error, wait) = match self.once(&method, path, body.clone()).await {
                Ok(raw) if raw.status.is_success() => return Ok(raw),
                // A 500 from /readyz is an answer when asked for; 429, 502, 503 and 504 are about the way there.
                Ok(raw)
                    if any_status
                        && !matches!(raw.status.as_u16(), 401 | 403 | 429 | 502 | 503 | 504) =>
                {
                    let text = raw.text();
                    // An error in the API server's own words is a passing one, not the answer of what was asked for.
                    if raw.status != StatusCode::INTERNAL_SERVER_ERROR
                        || !text.contains("\"kind\":\"Status\"")
                    {
                        return Ok(raw);
                    }
                    (ReadError::from_status(&method, path, &raw), None)
                }
                Ok(raw) => {
                    let error = ReadError::from_status(&method, path, &raw);
                    if !error.may_pass() {
                        return Err(error);
                    }
                    (error, retry_after(&raw.headers))
                }
                Err(error) => (error, None),
            };
            let jittered = pause.take();
            let next = Instant::now() + wait.unwrap_or(jittered);
            if attempt >= ATTEMPTS || next > deadline {
                return Err(error);
            }
            tokio::time::sleep_until(next).await;
            self.meter.tally().retried();
            if let Some(cause) = Meter::cause() {
                cause.retried();
            }
            attempt += 1;
        }
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Raw, ReadError> {
        let unreachable = |message: String| ReadError::Unreachable {
            what: path.into(),
            message,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, "application/json");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let begun = Instant::now();
        let cause = Meter::cause();
        if let Some(cause) = &cause {
            request = request.extension(Tally::clone(cause));
        }
        let request = request
            .body(Body::from(body.unwrap_or_default()))
            .map_err(|error| ReadError::Malformed {
                what: path.into(),
                message: format!("no such path can be asked for: {error}"),
            })?;
        let answered = timeout(CALL, async {
            let response = self
                .client
                .send(request)
                .await
                .map_err(|error| unreachable(chain(&error)))?;
            let received = Timestamp::now();
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LARGEST)
                .collect()
                .await
                .map_err(|error| unreachable(error.to_string()))?;
            Ok(Raw {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes().to_vec(),
                received,
            })
        })
        .await
        .map_err(|_| ReadError::TimedOut {
            what: path.into(),
            after: CALL,
        })?;
        let took = begun.elapsed();
        match &answered {
            Ok(raw) => tracing::debug!(status = raw.status.as_u16(), ?took, "{method} {path}"),
            Err(error) => tracing::debug!(?took, "{method} {path}: {error}"),
        }
        if let Ok(raw) = &answered {
            let bytes = raw.body.len() as u64;
            self.meter.tally().read(bytes);
            if let Some(cause) = cause {
                cause.read(bytes);
            }
        }
        answered
    }
}

/// An error with its causes, on one line: hyper says "client error (Connect)" and only the cause says why.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds.min(30)))
}
