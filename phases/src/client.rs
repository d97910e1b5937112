//! The client that may change things.

use std::time::Duration;

use checks::cluster::{ConnectError, Connection, MeterLayer};
use kube::{Client, client::ClientBuilder};

/// A client that may change things, counted like the readers.
///
/// Nothing is sent twice by itself: kube's own retries repeat POST and PATCH, so they are off, and a write that was
/// not answered is read back before anything is decided.
///
/// # Errors
/// The TLS material or the proxy of the kubeconfig cannot be used.
pub fn writer(connection: &Connection) -> Result<Client, ConnectError> {
    let mut config = connection.config().clone();
    config.default_retry = false;
    config.read_timeout = Some(Duration::from_secs(20));
    config.reset_reader_on_write = true;
    let builder = ClientBuilder::try_from(config).map_err(|source| ConnectError::Client {
        server: connection.server(),
        source: Box::new(source),
    })?;
    Ok(builder
        .with_layer(&MeterLayer(connection.meter().clone()))
        .build())
}
