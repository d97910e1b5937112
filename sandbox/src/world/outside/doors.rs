//! The doors of the machines: a socket for every kubelet and for every port of a pod that is ready, on the addresses
//! that the objects say. A real API server, its aggregator and its webhooks come in here.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, sync::Arc};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    api::{ProxyRequest, ProxyResponse, query},
    world::{
        backend::{self, look},
        engine::Shared,
        kinds::{NODES, PODS},
        make::{items, name, namespace, text},
        pods,
        scene::Scene,
    },
};

use super::answers;

/// The largest request body that is read.
const LIMIT: usize = 4 << 20;

/// Who stands behind a door.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// The kubelet of this node.
    Kubelet(String),
    /// This port of the pod: namespace, name, port.
    Pod(String, String, u16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Door {
    tls: bool,
    who: Who,
}

/// The doors that should be open.
fn wanted(scene: &Scene<'_>) -> BTreeMap<SocketAddr, Door> {
    let mut doors = BTreeMap::new();
    for node in scene.list(&NODES) {
        let closed = name(&node) == scene.cast.node
            && (scene.fault("kubelet-tunnel-broken") || scene.fault("node-unreachable"));
        if let Some(address) = scene.cast.address(name(&node)).filter(|_| !closed) {
            let who = Who::Kubelet(name(&node).to_owned());
            doors.insert((address, 10250).into(), Door { tls: true, who });
        }
    }
    for pod in scene.list(&PODS) {
        let Ok(address) = text(&pod["status"]["podIP"]).parse::<std::net::Ipv4Addr>() else {
            continue;
        };
        if !pods::is_ready(&pod) || pods::is_finished(&pod) {
            continue;
        }
        let ports = items(&pod["spec"]["containers"])
            .iter()
            .flat_map(|container| items(&container["ports"]));
        for port in ports {
            let Some(number) = port["containerPort"]
                .as_u64()
                .and_then(|it| u16::try_from(it).ok())
            else {
                continue;
            };
            let tls = ["https", "admission-wh", "webhook"].contains(&text(&port["name"]));
            let who = Who::Pod(namespace(&pod).into(), name(&pod).into(), number);
            doors
                .entry((address, number).into())
                .or_insert(Door { tls, who });
        }
    }
    doors
}

/// Opens and closes doors as the objects say.
pub(super) async fn keep(shared: Arc<Shared>, tls: TlsAcceptor) {
    let mut open: BTreeMap<SocketAddr, (Door, AbortHandle)> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut changed = shared.mirror.subscribe();
    loop {
        let wish = look(&shared, wanted);
        open.retain(|address, (door, task)| {
            let stays = wish.get(address) == Some(door);
            if !stays {
                task.abort();
            }
            stays
        });
        while tasks.try_join_next().is_some() {}
        for (address, door) in wish {
            if open.contains_key(&address) {
                continue;
            }
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let acceptor = door.tls.then(|| tls.clone());
                    let task =
                        tasks.spawn(accept(listener, acceptor, shared.clone(), door.who.clone()));
                    open.insert(address, (door, task));
                }
                Err(error) => tracing::debug!(%error, %address, "a door cannot be opened yet"),
            }
        }
        let _ = tokio::time::timeout(shared.pace.tick * 4, changed.changed()).await;
        tokio::time::sleep(shared.pace.tick / 4).await;
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>, who: Who) {
    // Dropped with this task, and the connections with it: who is gone does not answer.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                connections.spawn(connection(stream, tls.clone(), shared.clone(), who.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>, who: Who) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, shared, who).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, shared, who).await;
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>, who: Who) {
    let service = service_fn(move |request| {
        let (shared, who) = (shared.clone(), who.clone());
        async move { Ok::<_, Infallible>(respond(&shared, &who, request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn respond(shared: &Shared, who: &Who, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, LIMIT).collect().await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(_) => return plain(413),
    };
    let asked = ProxyRequest {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: query(parts.uri.query().unwrap_or_default()),
        body,
    };
    let answer: ProxyResponse = look(shared, |scene| match who {
        Who::Kubelet(node) => backend::kubelet(scene, node, &asked),
        Who::Pod(space, pod, port) => answers::pod(scene, space, pod, *port, &asked),
    });
    Response::builder()
        .status(answer.status)
        .header(hyper::header::CONTENT_TYPE, answer.content_type)
        .body(Full::new(Bytes::from(answer.body)))
        .unwrap_or_else(|_| plain(500))
}

fn plain(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    response
}
