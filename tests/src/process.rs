//! One start of the program, with a time limit.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::LIMIT;

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What a start of the program came to.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code; negative: ended by this signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Demands this exit code, and shows what was said otherwise.
    ///
    /// # Panics
    /// It is another one.
    #[track_caller]
    #[must_use = "say `let _ =` where only the code matters"]
    pub fn exits(self, code: i32) -> Self {
        assert!(
            self.code == code,
            "expected exit {code}, found {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Demands that standard output or standard error says this.
    ///
    /// # Panics
    /// Neither does.
    #[track_caller]
    pub fn says(&self, words: &str) {
        assert!(
            self.stdout.contains(words) || self.stderr.contains(words),
            "nobody says {words:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout,
            self.stderr
        );
    }
}

/// A program that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts it; what it prints goes to files in `folder`, so that no full pipe can hold it up.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(mut command: Command, folder: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let stdout = folder.join(format!("out-{number}"));
        let stderr = folder.join(format!("err-{number}"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).expect("a file for stdout"))
            .stderr(File::create(&stderr).expect("a file for stderr"))
            .spawn()
            .expect("the program starts");
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// What it has said on standard output and standard error so far.
    #[must_use]
    pub fn said(&self) -> String {
        text(&self.stdout) + &text(&self.stderr)
    }

    /// The number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `so` holds while the program runs.
    ///
    /// # Panics
    /// It ended before, or the limit has passed.
    #[track_caller]
    pub fn until(&mut self, what: &str, mut so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !so(self) {
            let ended = self.child.try_wait().expect("its state");
            assert!(
                ended.is_none() || so(self),
                "it ended ({ended:?}) before {what}:\n{}",
                self.said()
            );
            assert!(
                Instant::now() < deadline,
                "{what} did not come true:\n{}",
                self.said()
            );
            pause();
        }
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// The system does not say.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }

    /// Sends a signal, such as `INT`; one that has ended already gets none.
    ///
    /// # Panics
    /// `kill` cannot be run.
    pub fn signal(&mut self, name: &str) {
        if !self.has_ended() {
            let sent = Command::new("kill")
                .args(["-s", name, &self.child.id().to_string()])
                .status();
            sent.expect("kill runs");
        }
    }

    /// Kills it at once (SIGKILL).
    ///
    /// # Panics
    /// The system does not let us.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is killed");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It takes longer than [`LIMIT`].
    #[must_use]
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return Output {
                    code: code(status),
                    stdout: text(&self.stdout),
                    stderr: text(&self.stderr),
                };
            }
            assert!(
                Instant::now() < deadline,
                "no end within {} s:\n{}",
                LIMIT.as_secs(),
                self.said()
            );
            pause();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process that is not ours to watch is looked at again and again"
)]
fn pause() {
    thread::sleep(LOOK);
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .code()
        .unwrap_or_else(|| -status.signal().unwrap_or_default())
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
