//! Runs one foreign program (`git`, `gpg`, `ssh-keygen`) with prompts off, a deadline, and a limit on what it may say.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::{Instant, timeout, timeout_at};

use super::environment::Environment;

/// Output beyond this is read and dropped: a server may say what it likes, and as long as it likes.
const KEPT_OUTPUT: usize = 1 << 20;

/// How long we read on after the program has ended; a daemon that it left behind may hold its output open for ever.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why a program gave no answer at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// It is not installed, or not where the configuration says.
    #[error("program {program} not found on the search path")]
    Absent {
        /// As it was named.
        program: String,
    },
    /// The system refused to start it or to talk to it.
    #[error("program {program} could not be run")]
    NotRun {
        /// As it was named.
        program: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It was ended because its time was over.
    #[error("program {program} gave no answer within {after:?} and was ended")]
    TimedOut {
        /// As it was named.
        program: String,
        /// The limit that was given.
        after: Duration,
    },
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output, up to one MiB.
    pub stdout: Vec<u8>,
    /// Its standard error as text, up to one MiB; bytes that are no text are replaced.
    pub stderr: String,
}

/// One call of a program.
#[derive(Debug)]
pub struct Tool<'a> {
    environment: &'a Environment,
    program: String,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, Option<OsString>)>,
    folder: Option<PathBuf>,
    stdin: Vec<u8>,
    limit: Duration,
}

impl<'a> Tool<'a> {
    /// A call of this program; 30 seconds, no arguments, nothing on standard input.
    #[must_use]
    pub fn new(environment: &'a Environment, program: impl Into<String>) -> Self {
        Self {
            environment,
            program: program.into(),
            arguments: Vec::new(),
            variables: Vec::new(),
            folder: None,
            stdin: Vec::new(),
            limit: Duration::from_secs(30),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    /// Sets one variable for this call.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables
            .push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes one variable away for this call.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), None));
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// What it reads from standard input.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// After this time it is ended.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end. A program that fails has an answer too: look at [`Finished::status`].
    ///
    /// # Errors
    /// When it is absent, cannot be started, or does not end in time.
    pub async fn run(self) -> Result<Finished, ToolError> {
        let deadline = Instant::now() + self.limit;
        let path = self
            .environment
            .find_program(&self.program)
            .ok_or_else(|| ToolError::Absent {
                program: self.program.clone(),
            })?;
        let not_run = |source| ToolError::NotRun {
            program: self.program.clone(),
            source,
        };

        let mut command = Command::new(path);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // A group of its own: Ctrl-C reaches us alone, who then end the run in order, and a program in the
            // background that tries to ask on the terminal is stopped instead of asking.
            .process_group(0);
        self.environment.apply_to(&mut command);
        // Programs are understood by their words, so they speak one language.
        command.env("LC_ALL", "C").env_remove("LANGUAGE");
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }

        let mut child = command.spawn().map_err(not_run)?;
        let out = Gathered::default();
        let err = Gathered::default();
        let mut readers = tokio::task::JoinSet::new();
        if let Some(pipe) = child.stdout.take() {
            readers.spawn(out.clone().gather(pipe));
        }
        if let Some(pipe) = child.stderr.take() {
            readers.spawn(err.clone().gather(pipe));
        }
        if let Some(mut pipe) = child.stdin.take() {
            let bytes = self.stdin;
            readers.spawn(async move {
                // A program that does not want its input closes it; its exit status tells the story.
                let _ = pipe.write_all(&bytes).await;
                let _ = pipe.shutdown().await;
            });
        }

        let Ok(status) = timeout_at(deadline, child.wait()).await else {
            let _ = child.start_kill();
            let _ = timeout(LAST_WORDS, child.wait()).await;
            return Err(ToolError::TimedOut {
                program: self.program,
                after: self.limit,
            });
        };
        let status = status.map_err(not_run)?;
        let _ = timeout(LAST_WORDS, async {
            while readers.join_next().await.is_some() {}
        })
        .await;
        Ok(Finished {
            status,
            stdout: out.take(),
            stderr: String::from_utf8_lossy(&err.take()).into_owned(),
        })
    }
}

/// What has been read of a stream so far.
#[derive(Clone, Default)]
struct Gathered(Arc<Mutex<Vec<u8>>>);

impl Gathered {
    async fn gather(self, mut pipe: impl AsyncRead + Unpin) {
        let mut chunk = vec![0; 8192];
        while let Ok(read @ 1..) = pipe.read(&mut chunk).await {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let room = KEPT_OUTPUT.saturating_sub(kept.len());
            kept.extend(chunk.iter().take(read.min(room)));
        }
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_program_says_and_how_it_ends_is_kept() {
        let environment = Environment::inherited();
        let finished = Tool::new(&environment, "sh")
            .args(["-c", "cat; printf oops >&2; exit 3"])
            .stdin("hello")
            .run()
            .await
            .unwrap();
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!(finished.stdout, b"hello");
        assert_eq!(finished.stderr, "oops");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        let environment = Environment::inherited();
        let error = Tool::new(&environment, "sleep")
            .arg("60")
            .limit(Duration::from_millis(50))
            .run()
            .await
            .unwrap_err();
        assert!(matches!(error, ToolError::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_daemon_left_behind_does_not_hold_us() {
        let environment = Environment::inherited();
        let finished = Tool::new(&environment, "sh")
            .args(["-c", "sleep 20 & echo done"])
            .run()
            .await
            .unwrap();
        assert_eq!(finished.stdout, b"done\n");
    }

    #[tokio::test]
    async fn an_absent_program_is_an_answer_of_its_own() {
        let environment = Environment::inherited();
        let error = Tool::new(&environment, "no-such-program-here")
            .run()
            .await
            .unwrap_err();
        assert!(matches!(error, ToolError::Absent { .. }), "{error}");
    }
}
