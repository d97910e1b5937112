//! Details for troubleshooting: what the libraries say with `tracing` goes into the log file with `--verbose`, and to
//! stderr where `RUST_LOG` asks for it.

use std::{
    io::{self, Write},
    sync::OnceLock,
};

use reports::log::Log;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// The log of this process, once a run has one.
static LOG: OnceLock<Log> = OnceLock::new();

/// Listens from now on. Details come before a run has its log file; those are dropped.
pub(crate) fn listen(verbose: bool) {
    // kube's own layer calls a 503 an error, although it is retried here.
    let own = "off,harness=debug,phases=debug,checks=debug,reports=debug,sandbox=warn";
    let asked = std::env::var("RUST_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    let installed = match asked {
        Some(filter) => tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_ansi(false)
            .with_writer(io::stderr)
            .try_init(),
        None if verbose => tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(own))
            .with_ansi(false)
            .without_time()
            .with_level(false)
            .with_writer(ToLog)
            .try_init(),
        None => Ok(()),
    };
    // It fails only where somebody listens already, and then nothing is lost.
    drop(installed);
}

/// Details go to this log from now on.
pub(crate) fn attach(log: &Log) {
    drop(LOG.set(log.clone()));
}

/// Makes writers whose whole is one entry of the log.
struct ToLog;

struct Entry(Vec<u8>);

impl<'a> MakeWriter<'a> for ToLog {
    type Writer = Entry;

    fn make_writer(&'a self) -> Entry {
        Entry(Vec::new())
    }
}

impl Write for Entry {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(log) = LOG.get() {
            log.debug(String::from_utf8_lossy(&self.0).trim_end());
        }
    }
}
