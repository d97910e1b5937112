//! The node ports: sockets on the nodes' own addresses that answer as the ingress controller would, as long as kube-proxy
//! would send a connection to one.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    task::{AbortHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use super::{backend::look, engine::Shared, k3s};

const HTTP: u16 = 30080;
const HTTPS: u16 = 30443;

/// The ports that are open.
pub(crate) struct Ports {
    shared: Arc<Shared>,
    tls: TlsAcceptor,
    open: BTreeMap<SocketAddr, AbortHandle>,
    tasks: JoinSet<()>,
}

impl Ports {
    pub(crate) fn new(shared: Arc<Shared>, tls: TlsAcceptor) -> Self {
        Self {
            shared,
            tls,
            open: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Opens and closes what has changed.
    pub(crate) async fn settle(&mut self) {
        let cast = &self.shared.cast;
        for (node, ip) in [
            (&cast.control_plane, cast.control_plane_ip),
            (&cast.node, cast.node_ip),
        ] {
            for port in [HTTP, HTTPS] {
                let address = SocketAddr::from((ip, port));
                let wanted = look(&self.shared, |scene| {
                    k3s::network::listens(scene, node, port)
                });
                if !wanted {
                    if let Some(task) = self.open.remove(&address) {
                        task.abort();
                    }
                } else if !self.open.contains_key(&address) {
                    match TcpListener::bind(address).await {
                        Ok(listener) => {
                            let tls = (port == HTTPS).then(|| self.tls.clone());
                            self.open
                                .insert(address, self.tasks.spawn(answer_all(listener, tls)));
                        }
                        Err(error) => {
                            tracing::debug!(%error, %address, "the node port cannot be opened yet")
                        }
                    }
                }
            }
        }
    }

    /// Keeps the ports as the world says.
    pub(crate) async fn keep(mut self) {
        let mut changed = self.shared.mirror.subscribe();
        loop {
            self.settle().await;
            let _ = tokio::time::timeout(self.shared.pace.tick * 4, changed.changed()).await;
            tokio::time::sleep(self.shared.pace.tick / 4).await;
        }
    }
}

async fn answer_all(listener: TcpListener, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let tls = tls.clone();
        connections.spawn(async move {
            match tls {
                None => answer(stream).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(stream).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// The default backend: there is nothing at that path.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut head = Vec::new();
    let mut buffer = [0_u8; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") && head.len() < 16_384 {
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => head.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let body = "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>404 Not Found</body>\r\n</html>\r\n";
    let text = format!(
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}
