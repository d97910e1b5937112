//! The record of requests: in memory and in a file.

use std::{
    collections::VecDeque,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Mutex, PoisonError},
};

use super::{ApiError, RequestRecord};

/// How many requests are remembered.
const LIMIT: usize = 200_000;

/// Remembers requests, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    requests: Mutex<VecDeque<RequestRecord>>,
    file: Option<Mutex<File>>,
}

impl Recorder {
    /// Opens the file to append to; only its owner can read it.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, ApiError> {
        let file = match path {
            None => None,
            Some(path) => {
                let mut options = File::options();
                options.create(true).append(true);
                #[cfg(unix)]
                {
                    use std::os::unix::fs::OpenOptionsExt as _;
                    options.mode(0o600);
                }
                let file = options.open(path).map_err(|source| ApiError::Record {
                    path: path.to_owned(),
                    source,
                })?;
                Some(Mutex::new(file))
            }
        };
        Ok(Self {
            requests: Mutex::default(),
            file,
        })
    }

    pub(crate) fn add(&self, record: RequestRecord) {
        if let Some(file) = &self.file
            && let Ok(mut line) = serde_json::to_vec(&record)
        {
            line.push(b'\n');
            let written = file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write_all(&line);
            if let Err(error) = written {
                tracing::warn!(%error, "a request could not be recorded in the file");
            }
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() >= LIMIT {
            requests.pop_front();
        }
        requests.push_back(record);
    }

    pub(crate) fn all(&self) -> Vec<RequestRecord> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}
