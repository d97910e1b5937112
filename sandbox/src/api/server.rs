//! The server itself: sockets, TLS, HTTP, and what it is given at the start.

use std::{convert::Infallible, net::SocketAddr, path::PathBuf, sync::Arc};

use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    header,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{
    ApiError, Backend, Disturbance, RequestRecord, Tls, Transport,
    auth::{ACTOR, SharedTokens, Tokens, User},
    bootstrap,
    call::Call,
    delete,
    handle::{self, Answer, Body, Identity},
    protobuf,
    record::Recorder,
    refusal::Refusal,
    store::Store,
};

/// The largest request body that is read.
const LIMIT: usize = 16 << 20;

/// How an API server begins.
pub struct ApiOptions {
    /// Where it listens; the same server answers on all of them. Port 0 takes a free port.
    pub listen: Vec<SocketAddr>,
    /// Authority and server certificate.
    pub tls: Tls,
    /// What `/version` says, such as `v1.36.2+k3s1`.
    pub version: String,
    /// Kubelets, Services and health behind the server.
    pub backend: Arc<dyn Backend>,
    /// Trouble on the wire.
    pub transport: Arc<dyn Transport>,
    /// Objects from an earlier life (see [`Store::dump`]); what every cluster has is added.
    pub objects: Vec<Value>,
    /// File that requests are appended to, one JSON object a line.
    pub record: Option<PathBuf>,
    /// Bearer token of the sandbox's own programs: `system:masters`, never disturbed, not recorded.
    pub actor_token: String,
    /// Bearer token of the administrator: `system:admin` of `system:masters`.
    pub admin_token: String,
}

/// What all connections share.
pub(crate) struct Core {
    pub(crate) store: Arc<Store>,
    pub(crate) tokens: SharedTokens,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) version: String,
    pub(crate) address: SocketAddr,
    pub(crate) ca: String,
    pub(crate) recorder: Recorder,
    /// Turns true when the server ends.
    pub(crate) ending: watch::Sender<bool>,
}

/// A running API server. Dropping it ends it too, without waiting.
pub struct ApiServer {
    core: Arc<Core>,
    addresses: Vec<SocketAddr>,
    admin_token: String,
    actor_token: String,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Starts a server; it answers when this returns.
    ///
    /// # Errors
    /// An address that cannot be listened on, a certificate that cannot be used, an object that cannot be held, a
    /// record that cannot be written.
    pub async fn start(options: ApiOptions) -> Result<Self, ApiError> {
        let acceptor = options.tls.acceptor()?;
        let mut listeners = Vec::new();
        for address in &options.listen {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|source| ApiError::Listen {
                    address: *address,
                    source,
                })?;
            listeners.push(listener);
        }
        let bound = |listener: &TcpListener| {
            listener.local_addr().map_err(|source| ApiError::Listen {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                source,
            })
        };
        let addresses = listeners.iter().map(bound).collect::<Result<Vec<_>, _>>()?;
        let Some(address) = addresses.first().copied() else {
            return Err(ApiError::NoAddress);
        };

        let store = Arc::new(Store::new());
        store.trust(&options.tls.ca);
        store.load(options.objects)?;
        bootstrap::load(&store)?;
        let tokens = Arc::new(Tokens::default());
        tokens.add(
            &options.admin_token,
            User::new("system:admin", &["system:masters"]),
        );
        tokens.add(&options.actor_token, User::new(ACTOR, &["system:masters"]));
        let core = Arc::new(Core {
            store,
            tokens,
            backend: options.backend,
            transport: options.transport,
            version: options.version,
            address,
            ca: options.tls.ca,
            recorder: Recorder::open(options.record.as_deref())?,
            ending: watch::Sender::new(false),
        });
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(accept(listener, acceptor.clone(), core.clone()));
        }
        tasks.spawn(sweep(core.clone()));
        Ok(Self {
            core,
            addresses,
            admin_token: options.admin_token,
            actor_token: options.actor_token,
            tasks,
        })
    }

    /// The objects.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        self.core.store.clone()
    }

    /// Where the server answers, in the order that was asked for.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Every request so far, oldest first, without those of the sandbox's own programs.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.core.recorder.all()
    }

    /// Lets somebody in: whoever sends this bearer token is this user.
    pub fn add_user(&self, token: &str, name: &str, groups: &[&str]) {
        self.core.tokens.add(token, User::new(name, groups));
    }

    /// A kubeconfig with one context, for the user of a token.
    #[must_use]
    pub fn kubeconfig(&self, context: &str, user: &str, token: &str) -> String {
        use base64::Engine as _;
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.core.ca);
        // JSON is YAML; names and tokens need no thought about quoting.
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": context,
            "clusters": [{ "name": context, "cluster": { "server": format!("https://{}", self.core.address), "certificate-authority-data": ca } }],
            "contexts": [{ "name": context, "context": { "cluster": context, "user": user } }],
            "users": [{ "name": user, "user": { "token": token } }],
        });
        serde_json::to_string_pretty(&config).unwrap_or_default()
    }

    /// The kubeconfig of the administrator.
    #[must_use]
    pub fn admin_kubeconfig(&self, context: &str) -> String {
        self.kubeconfig(context, "admin", &self.admin_token)
    }

    /// The kubeconfig of the sandbox's own programs.
    #[must_use]
    pub fn actor_kubeconfig(&self, context: &str) -> String {
        self.kubeconfig(context, "actor", &self.actor_token)
    }

    /// Ends watches and connections, and returns when nothing listens any more.
    pub async fn shutdown(mut self) {
        self.core.ending.send_replace(true);
        self.tasks.shutdown().await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.core.ending.send_replace(true);
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, core: Arc<Core>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, acceptor.clone(), core.clone()));
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
    Ok(reply(answer))
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
    for warning in &answer.warnings {
        response = response.header(header::WARNING, format!("299 - {warning:?}"));
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

/// Empties what is being deleted: namespaces and definitions with objects in them.
async fn sweep(core: Arc<Core>) {
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(50));
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        while delete::sweep(&core.store) {
            pause.tick().await;
        }
        core.store.sweep.notified().await;
    }
}
