//! Connections: TLS, HTTP, reading a request and writing its answer.

use std::{convert::Infallible, sync::Arc};

use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    header,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Core, Disturbance, RequestRecord,
    call::Call,
    handle::{self, Answer, Body, Identity},
    protobuf,
    refusal::Refusal,
};

/// The largest request body that is read.
const LIMIT: usize = 16 << 20;

/// What turns streams into TLS ones.
#[derive(Clone)]
pub(crate) struct Acceptors {
    pub(crate) usual: TlsAcceptor,
    /// With a certificate that ends within days.
    pub(crate) ending: Option<TlsAcceptor>,
}

/// Takes connections until the server ends.
pub(crate) async fn accept(listener: TcpListener, acceptors: Acceptors, core: Arc<Core>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let ending = acceptors.ending.as_ref();
                    let ending = ending.filter(|_| core.transport.certificate_ends());
                    let acceptor = ending.unwrap_or(&acceptors.usual).clone();
                    connections.spawn(connection(stream, acceptor, core.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, core: Arc<Core>) {
    let _ = stream.set_nodelay(true);
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "a client gave up during the TLS handshake");
            return;
        }
    };
    let service = service_fn(move |request| respond(core.clone(), request));
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}

/// A connection that is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection was reset")]
struct Reset;

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn respond(core: Arc<Core>, request: Request<Incoming>) -> Result<Reply, Reset> {
    let (parts, body) = request.into_parts();
    let text = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned)
    };
    let path = parts.uri.path();
    let mut call = Call::read(
        parts.method.as_str(),
        path,
        parts.uri.query().unwrap_or_default(),
    );
    call.agent = text("user-agent").unwrap_or_default();
    call.accept = text("accept").unwrap_or_default();
    call.content_type = text("content-type").unwrap_or_default();
    // k3s tells anybody its certificate and that it is there.
    if matches!(path, "/cacerts" | "/ping") {
        let answer = if path == "/ping" {
            b"pong".to_vec()
        } else {
            core.ca.clone().into_bytes()
        };
        return Ok(reply(Answer::raw(200, "text/plain", answer)));
    }
    let identity = Identity {
        authorization: text("authorization"),
        as_user: text("impersonate-user"),
        as_groups: parts
            .headers
            .get_all("impersonate-group")
            .iter()
            .filter_map(|v| v.to_str().ok().map(str::to_owned))
            .collect(),
        as_uid: text("impersonate-uid"),
    };
    let identified = handle::identify(&core, &mut call, &identity);
    let actor = matches!(identified, Ok(true));
    let disturbance = if actor {
        Disturbance::None
    } else {
        handle::disturbance(&core, &call)
    };
    let mut sent = Vec::new();
    let lost = disturbance == Disturbance::Lost;
    let answer: Answer = match (disturbance, identified) {
        (Disturbance::Reset, _) => {
            note(&core, &call, &[], 0);
            return Err(Reset);
        }
        (Disturbance::Answer(status), _) => Refusal::transport(status).into(),
        (_, Err(refusal)) => refusal.into(),
        (disturbance, Ok(_)) => {
            if let Disturbance::Slow(time) = disturbance {
                tokio::time::sleep(time).await;
            }
            match Limited::new(body, LIMIT).collect().await {
                Ok(body) => {
                    let mut body = body.to_bytes().to_vec();
                    if call.content_type.starts_with(protobuf::MEDIA) && !body.is_empty() {
                        match protobuf::decode(&body) {
                            Ok(value) => body = value.to_string().into_bytes(),
                            Err(refusal) => {
                                let answer: Answer = refusal.into();
                                if !actor {
                                    note(&core, &call, &[], answer.status);
                                }
                                return Ok(reply(answer));
                            }
                        }
                        "application/json".clone_into(&mut call.content_type);
                    }
                    if matches!(call.verb.as_str(), "create" | "delete" | "deletecollection")
                        && body.len() < 4096
                    {
                        sent.clone_from(&body);
                    }
                    handle::answer(
                        &core,
                        call.clone(),
                        body,
                        disturbance == Disturbance::StaleWatch,
                    )
                    .await
                }
                Err(error) => {
                    Refusal::bad_request(format!("the request body could not be read: {error}"))
                        .into()
                }
            }
        }
    };
    if !actor {
        note(&core, &call, &sent, answer.status);
    }
    if lost {
        return Err(Reset);
    }
    let mut reply = reply(answer);
    let ahead = core.transport.ahead();
    if ahead != 0 {
        let then = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(ahead);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&then);
        if let Some(date) = date.ok().and_then(|date| date.parse().ok()) {
            reply.headers_mut().insert(header::DATE, date);
        }
    }
    Ok(reply)
}

/// Records a request.
fn note(core: &Core, call: &Call, body: &[u8], status: u16) {
    let in_body = || {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        let all = |v: &Value| {
            v["dryRun"]
                .as_array()
                .is_some_and(|d| d.iter().any(|d| d == "All"))
        };
        all(&value) || all(&value["deleteOptions"])
    };
    core.recorder.add(RequestRecord {
        user: call.user.name.clone(),
        agent: call.agent.clone(),
        verb: call.verb.clone(),
        group: call.group.clone(),
        resource: call.resource_path(),
        namespace: call.namespace.clone(),
        name: call.name.clone(),
        path: if call.query.0.is_empty() {
            call.path.clone()
        } else {
            format!("{}?{}", call.path, call.query.text())
        },
        dry_run: call.query.dry_run() || in_body(),
        status,
    });
}

fn reply(answer: Answer) -> Reply {
    let mut response = Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, &answer.content_type)
        .header(header::CACHE_CONTROL, "no-cache, private");
    if let Some(seconds) = answer.retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    let body = match answer.body {
        Body::Whole(bytes) => Full::new(Bytes::from(bytes)).boxed_unsync(),
        Body::Stream(receiver) => {
            let frames = futures::stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|bytes| (bytes, receiver))
            });
            StreamBody::new(frames.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))))
                .boxed_unsync()
        }
    };
    response.body(body).unwrap_or_else(|_| {
        // Only a content type or status of a backend can be impossible.
        let mut failed = Response::new(
            Full::new(Bytes::from_static(b"the backend gave no valid answer")).boxed_unsync(),
        );
        *failed.status_mut() = hyper::StatusCode::BAD_GATEWAY;
        failed
    })
}
