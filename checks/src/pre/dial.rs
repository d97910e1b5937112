//! Dialling a node the way an agent or a browser would: TCP, TLS, one HTTP request. Every step has a limit.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
    },
};

use crate::pause::Pause;

/// Each of connecting, the handshake and the answer may take this long.
const STEP: Duration = Duration::from_secs(5);
/// So many connections are tried, with pauses that begin with this and grow.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);
/// The first line of an answer is shorter than this.
const HEAD: usize = 512;

/// Why nothing answered: the step, and what happened at it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DialError {
    #[error("no connection to {address}: {message}")]
    Connect { address: String, message: String },
    #[error("{address} accepts connections and does not speak TLS: {message}")]
    Tls { address: String, message: String },
    #[error("{address} gives no HTTP answer: {message}")]
    Http { address: String, message: String },
}

/// The status of `GET /` in HTTPS. Whom the certificate is for and who signed it are not looked at: the question is
/// whether TLS is spoken there.
pub(super) async fn https(ip: IpAddr, port: u16) -> Result<u16, DialError> {
    again(|| async move {
        let (address, mut stream) = handshake(ip, port).await?;
        ask(&address, &mut stream).await
    })
    .await
}

/// The certificate of the server, in DER. Only shakes hands, and asks for nothing.
pub(super) async fn certificate(ip: IpAddr, port: u16) -> Result<Option<Vec<u8>>, DialError> {
    again(|| async move {
        let (_, stream) = handshake(ip, port).await?;
        let shown = stream.get_ref().1.peer_certificates();
        let first = shown.and_then(<[CertificateDer<'_>]>::first);
        Ok(first.map(|certificate| certificate.to_vec()))
    })
    .await
}

/// A connection that is closed half way may be a passing trouble on the wire, so a few more are tried; one that is
/// silent for its whole limit is not.
async fn again<T, F>(try_once: impl Fn() -> F) -> Result<T, DialError>
where
    F: Future<Output = Result<T, DialError>>,
{
    let mut attempt = 1;
    let mut pause = Pause::new(PAUSE, PAUSE * ATTEMPTS);
    loop {
        let begun = Instant::now();
        match try_once().await {
            Err(_) if attempt < ATTEMPTS && begun.elapsed() < STEP => {
                pause.rest().await;
                attempt += 1;
            }
            last => return last,
        }
    }
}

async fn handshake(ip: IpAddr, port: u16) -> Result<(String, TlsStream<TcpStream>), DialError> {
    let (address, stream) = connect(ip, port).await?;
    let tls = |message: String| DialError::Tls {
        address: address.clone(),
        message,
    };
    let connector =
        TlsConnector::from(Arc::new(any_certificate().map_err(|e| tls(e.to_string()))?));
    let stream = timeout(STEP, connector.connect(ServerName::from(ip), stream))
        .await
        .map_err(|_| tls(format!("no handshake within {} s", STEP.as_secs())))?
        .map_err(|error| tls(error.to_string()))?;
    Ok((address, stream))
}

async fn connect(ip: IpAddr, port: u16) -> Result<(String, TcpStream), DialError> {
    let address = std::net::SocketAddr::new(ip, port).to_string();
    let failed = |message: String| DialError::Connect {
        address: address.clone(),
        message,
    };
    let stream = timeout(STEP, TcpStream::connect((ip, port)))
        .await
        .map_err(|_| failed(format!("no answer within {} s", STEP.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    Ok((address, stream))
}

/// Sends `GET /` and reads the status.
async fn ask<S>(address: &str, stream: &mut S) -> Result<u16, DialError>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let failed = |message: String| DialError::Http {
        address: address.into(),
        message,
    };
    let exchange = async {
        let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        let mut chunk = [0; HEAD];
        while head.len() < HEAD && !head.contains(&b'\n') {
            match stream.read(&mut chunk).await? {
                0 => break,
                read => head.extend_from_slice(&chunk[..read]),
            }
        }
        std::io::Result::Ok(head)
    };
    let head = timeout(STEP, exchange)
        .await
        .map_err(|_| failed(format!("silent for {} s", STEP.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    status_of(&head).ok_or_else(|| failed(format!("{} bytes that are no HTTP", head.len())))
}

/// The status in `HTTP/1.1 401 Unauthorized`.
fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    words.next().filter(|word| word.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

fn any_certificate() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(config)
}

/// Takes every certificate, and still has the server prove that it holds the key of it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_status_is_read_from_the_first_line_only() {
        assert_eq!(status_of(b"HTTP/1.1 401 Unauthorized\r\nx: 200"), Some(401));
        assert_eq!(status_of(b"SSH-2.0-OpenSSH_9.2\r\n"), None);
        assert_eq!(status_of(b""), None);
        assert_eq!(status_of(&[0xff, 0xfe, b'\n']), None);
    }

    #[tokio::test]
    async fn a_closed_port_and_one_without_tls_are_told_apart() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 512];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await;
            }
        });
        let error = https(ip, port).await.unwrap_err();
        assert!(matches!(error, DialError::Tls { .. }), "{error}");
        server.abort();
        let _ = server.await;
        let error = https(ip, port).await.unwrap_err();
        assert!(matches!(error, DialError::Connect { .. }), "{error}");
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
    }
}
