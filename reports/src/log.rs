//! The log file: timestamped lines with levels, for people who look for the cause afterwards.
//!
//! It goes to the file and to nothing else; what the terminal shows is decided elsewhere. Text is cleaned and redacted.

use std::{
    fmt,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::{
    archive::{self, ArchiveError},
    folder::LogFolder,
    model::Mode,
    text::block,
};

/// How a line of the log is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// General information.
    Info,
    /// Something that does not stop the onboarding.
    Warn,
    /// Something that makes a phase fail.
    Error,
    /// Something was carried through.
    Success,
    /// Details, with `--verbose`.
    Debug,
    /// Where a phase is and how long it takes.
    Progress,
}

impl Level {
    /// The word in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
            Self::Success => "SUCCESS",
            Self::Debug => "DEBUG",
            Self::Progress => "PROGRESS",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A log file, shared by everybody who writes to it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    sink: Option<Arc<Mutex<Sink>>>,
    path: PathBuf,
    verbose: bool,
    /// What every line says after its level.
    mark: &'static str,
}

#[derive(Debug)]
struct Sink {
    file: File,
    /// The first failure; logging goes on all the same.
    failed: Option<String>,
}

impl Log {
    /// A new log file in the folder, named by node and time, of mode 0600.
    ///
    /// # Errors
    /// [`ArchiveError`] when it cannot be made.
    pub fn create(
        folder: &LogFolder,
        node: &str,
        mode: Mode,
        at: Timestamp,
        verbose: bool,
    ) -> Result<Self, ArchiveError> {
        let (file, path) = archive::new_log(folder, node, mode, at)?;
        let sink = Some(Arc::new(Mutex::new(Sink { file, failed: None })));
        Ok(Self {
            sink,
            path,
            verbose,
            mark: if mode == Mode::DryRun {
                "[DRY RUN] "
            } else {
                ""
            },
        })
    }

    /// A log that keeps nothing, for runs that write no files.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            sink: None,
            path: PathBuf::new(),
            verbose: false,
            mark: "",
        }
    }

    /// Where the file is; `None` for a silent log.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.sink.is_some().then_some(self.path.as_path())
    }

    /// The first failure to write, if there was one.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let sink = self.sink.as_ref()?;
        sink.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .failed
            .clone()
    }

    /// Writes a message; every line of it gets time and level.
    pub fn line(&self, level: Level, message: impl AsRef<str>) {
        let Some(sink) = &self.sink else { return };
        if level == Level::Debug && !self.verbose {
            return;
        }
        let now = Timestamp::now();
        let mut text = String::new();
        for line in block(message.as_ref()).trim_end_matches('\n').split('\n') {
            text.push_str(&format!("{now:.0} [{level}] {}{line}\n", self.mark));
        }
        let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
        // One write for the whole message, so that lines of two threads do not mix.
        if let Err(error) = sink.file.write_all(text.as_bytes())
            && sink.failed.is_none()
        {
            sink.failed = Some(format!("writing {}: {error}", self.path.display()));
        }
    }

    /// General information.
    pub fn info(&self, message: impl AsRef<str>) {
        self.line(Level::Info, message);
    }

    /// Something that does not stop the onboarding.
    pub fn warn(&self, message: impl AsRef<str>) {
        self.line(Level::Warn, message);
    }

    /// Something that makes a phase fail.
    pub fn error(&self, message: impl AsRef<str>) {
        self.line(Level::Error, message);
    }

    /// Something was carried through.
    pub fn success(&self, message: impl AsRef<str>) {
        self.line(Level::Success, message);
    }

    /// Details, kept only with `--verbose`.
    pub fn debug(&self, message: impl AsRef<str>) {
        self.line(Level::Debug, message);
    }

    /// Where a phase is and how long it takes.
    pub fn progress(&self, message: impl AsRef<str>) {
        self.line(Level::Progress, message);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use super::*;

    fn lines(log: &Log) -> Vec<String> {
        fs::read_to_string(log.path().unwrap())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_line_has_time_and_level_and_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let folder = LogFolder::open_or_create(dir.path()).unwrap();
        let log =
            Log::create(&folder, "k3s2", Mode::Onboard, Timestamp::UNIX_EPOCH, false).unwrap();
        assert!(
            log.path()
                .unwrap()
                .ends_with("k3s2-onboarding-19700101-000000.log")
        );
        log.info("two\nlines");
        log.warn("\u{1b}[33mK3S_TOKEN=worker:pw\u{1b}[0m");
        log.error("e");
        log.success("s");
        log.progress("p");
        log.debug("not without --verbose");
        let found: Vec<String> = lines(&log)
            .iter()
            .map(|line| line[21..].to_owned())
            .collect();
        let wanted = [
            "[INFO] two",
            "[INFO] lines",
            "[WARN] K3S_TOKEN=[redacted]",
            "[ERROR] e",
            "[SUCCESS] s",
            "[PROGRESS] p",
        ];
        assert_eq!(found, wanted);
        for line in lines(&log) {
            let time: Timestamp = line[..20].parse().unwrap();
            assert!(
                time > Timestamp::UNIX_EPOCH && line.as_bytes()[19] == b'Z',
                "{line}"
            );
        }
        assert_eq!(
            fs::metadata(log.path().unwrap()).unwrap().mode() & 0o777,
            0o600
        );
        assert_eq!(log.failure(), None);
    }

    #[test]
    fn threads_do_not_mix_their_lines() {
        let dir = tempfile::tempdir().unwrap();
        let folder = LogFolder::open_or_create(dir.path()).unwrap();
        let log = Log::create(&folder, "k3s2", Mode::DryRun, Timestamp::UNIX_EPOCH, true).unwrap();
        std::thread::scope(|scope| {
            for name in ["a", "b", "c"] {
                let log = log.clone();
                scope.spawn(move || (0..50).for_each(|_| log.debug(format!("{name}\n{name}"))));
            }
        });
        let lines = lines(&log);
        assert_eq!(lines.len(), 300);
        for pair in lines.chunks(2) {
            assert_eq!(pair[0][21..], pair[1][21..]);
        }
    }

    #[test]
    fn a_silent_log_has_no_file() {
        let log = Log::silent();
        log.error("nobody hears it");
        assert_eq!((log.path(), log.failure()), (None, None));
    }
}
