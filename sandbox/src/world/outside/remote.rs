//! The git remote over HTTP, by git's own server program: a real Flux takes no folder for an address.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt as _, net::TcpListener, process::Command, task::JoinSet};

use crate::{SandboxError, world::life::trouble};

/// The largest push that is taken.
const LIMIT: usize = 64 << 20;

/// Opens the door, and returns what serves the repositories in `root` for as long as it is polled.
pub(super) async fn serve(
    address: SocketAddr,
    root: PathBuf,
) -> Result<impl Future<Output = ()> + Send + 'static, SandboxError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| trouble("git remote cannot be served")(&format!("{address}: {error}")))?;
    Ok(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { return };
                    let root = root.clone();
                    connections.spawn(async move {
                        let service = service_fn(move |request| {
                            let root = root.clone();
                            async move { Ok::<_, Infallible>(respond(&root, request).await) }
                        });
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    })
}

async fn respond(root: &Path, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match backend(root, request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(%error, "git http-backend gave no answer");
            let mut response = Response::new(Full::new(Bytes::from(error)));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// One request to `git http-backend`, which is a CGI program.
async fn backend(root: &Path, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, String> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, LIMIT).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    let header = |name: header::HeaderName| {
        let value = parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let mut child = Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", root)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        // Somebody with a name may push.
        .env("REMOTE_USER", "keeper")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header(header::CONTENT_TYPE))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header(header::CONTENT_ENCODING))
        .env(
            "GIT_PROTOCOL",
            header(header::HeaderName::from_static("git-protocol")),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that has refused already reads no more.
        let _ = stdin.write_all(&body).await;
    }
    let output = child.wait_with_output().await;
    let output = output.map_err(|error| error.to_string())?.stdout;
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or("no headers")?;
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        response = if name.eq_ignore_ascii_case("status") {
            response.status(value.split(' ').next().unwrap_or("500"))
        } else {
            response.header(name, value)
        };
    }
    response
        .body(Full::new(Bytes::copy_from_slice(&output[end + 4..])))
        .map_err(|error| error.to_string())
}
