//! The client that may change things.

use std::time::Duration;

use checks::cluster::{ConnectError, Connection, MeterLayer};
use kube::{Client, client::ClientBuilder};

use crate::lease::{Permit, WriteGuard};

/// A client that may change things while the permit says so, counted like the readers.
///
/// Nothing is sent twice by itself: kube's own retries repeat POST and PATCH, so they are off, and a write that was
/// not answered is read back before anything is decided.
///
/// # Errors
/// The TLS material or the proxy of the kubeconfig cannot be used.
pub fn writer(connection: &Connection, permit: &Permit) -> Result<Client, ConnectError> {
    client(connection, Duration::from_secs(20), Some(permit))
}

/// The client of the Lease itself. It writes nothing else, and only by compare-and-swap.
///
/// # Errors
/// As [`writer`].
pub fn locker(connection: &Connection) -> Result<Client, ConnectError> {
    client(connection, Duration::from_secs(10), None)
}

fn client(
    connection: &Connection,
    silence: Duration,
    permit: Option<&Permit>,
) -> Result<Client, ConnectError> {
    let mut config = connection.config().clone();
    config.default_retry = false;
    config.read_timeout = Some(silence);
    config.reset_reader_on_write = true;
    let builder = ClientBuilder::try_from(config).map_err(|source| ConnectError::Client {
        server: connection.server(),
        source: Box::new(source),
    })?;
    let builder = builder.with_layer(&MeterLayer(connection.meter().clone()));
    Ok(match permit {
        Some(permit) => builder.with_layer(&WriteGuard(permit.clone())).build(),
        None => builder.build(),
    })
}
