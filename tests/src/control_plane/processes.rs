//! The programs of a control plane as processes that end with their owner.
//!
//! One thread starts them all and stays until they have ended: a process that asks to be killed with its parent (see
//! [`Program::start`]) is killed with the *thread* that started it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

/// One program and its flags.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    path: PathBuf,
    flags: Vec<String>,
    log: PathBuf,
}

impl Program {
    /// The program of this name in `assets`; its log lies in `dir`.
    pub(super) fn new(assets: &Path, name: &str, dir: &Path) -> Self {
        Self {
            name: name.to_owned(),
            path: assets.join(name),
            flags: Vec::new(),
            log: dir.join(format!("{name}.log")),
        }
    }

    pub(super) fn flag(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.flags.push(format!("--{name}={}", value.as_ref()));
        self
    }

    pub(super) fn is_there(&self) -> bool {
        self.path.is_file()
    }

    /// Starts it. Where `setpriv` is installed the kernel kills it with us, whatever becomes of us; elsewhere it ends
    /// with the value that owns it.
    fn start(&self) -> Result<Child, String> {
        let failed =
            |error: std::io::Error| format!("cannot start {}: {error}", self.path.display());
        let mut command = match setpriv() {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        let log = File::create(&self.log).map_err(failed)?;
        command
            .args(&self.flags)
            .env_clear()
            .env("HOME", self.log.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .spawn()
            .map_err(failed)
    }
}

fn setpriv() -> Option<PathBuf> {
    ["/usr/bin/setpriv", "/bin/setpriv"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}

/// Running programs. They are killed, and waited for, when this is dropped.
#[derive(Debug)]
pub(super) struct Processes {
    names: Vec<String>,
    pids: Vec<u32>,
    logs: Vec<PathBuf>,
    ended: Arc<Mutex<Option<String>>>,
    stop: Option<mpsc::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Processes {
    /// None at all.
    pub(super) fn none() -> Self {
        Self {
            names: Vec::new(),
            pids: Vec::new(),
            logs: Vec::new(),
            ended: Arc::default(),
            stop: None,
            keeper: None,
        }
    }

    pub(super) fn start(programs: Vec<Program>) -> Result<Self, String> {
        let names = programs
            .iter()
            .map(|program| program.name.clone())
            .collect();
        let logs = programs.iter().map(|program| program.log.clone()).collect();
        let ended = Arc::new(Mutex::new(None));
        let (stop, stopped) = mpsc::channel();
        let (say, started) = mpsc::channel();
        let told = Arc::clone(&ended);
        let keeper = std::thread::Builder::new()
            .name("control-plane".into())
            .spawn(move || {
                let mut children = Children::default();
                for program in &programs {
                    match program.start() {
                        Ok(child) => children.0.push(child),
                        Err(error) => {
                            // Whoever waits for the answer is there until it comes.
                            let _ = say.send(Err(error));
                            return;
                        }
                    }
                }
                let _ = say.send(Ok(children.0.iter().map(Child::id).collect()));
                // The sender is dropped to stop us; a message never comes.
                while stopped.recv_timeout(Duration::from_millis(100))
                    == Err(mpsc::RecvTimeoutError::Timeout)
                {
                    for (child, program) in children.0.iter_mut().zip(&programs) {
                        if let Ok(Some(status)) = child.try_wait() {
                            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                            told.get_or_insert_with(|| {
                                format!(
                                    "ended: {} ({status}): {}",
                                    program.name,
                                    tail(&program.log)
                                )
                            });
                        }
                    }
                }
            });
        let keeper = keeper.map_err(|error| format!("has no thread: {error}"))?;
        let pids = started
            .recv()
            .map_err(|_| "has no thread that starts it".to_owned())
            .and_then(|answer| answer)?;
        Ok(Self {
            names,
            pids,
            logs,
            ended,
            stop: Some(stop),
            keeper: Some(keeper),
        })
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// The first program that has ended by itself, with the end of its log.
    pub(super) fn ended(&self) -> Option<String> {
        self.ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The end of every log.
    pub(super) fn logs(&self) -> String {
        self.logs
            .iter()
            .map(|log| tail(log))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            // A panic of that thread has dropped, and so killed, the processes too.
            let _ = keeper.join();
        }
    }
}

/// Killed and waited for at the end, the last one started first: the API server does not outlive its clients.
#[derive(Default)]
struct Children(Vec<Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in self.0.iter_mut().rev() {
            // Both fail only for a process that has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::disallowed_methods,
        reason = "the end of a process is looked at, with a limit"
    )]

    use super::*;

    fn program(dir: &Path, script: &str) -> Program {
        use std::os::unix::fs::PermissionsExt as _;
        let path = dir.join("sleeper");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Program::new(dir, "sleeper", dir)
    }

    fn alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn processes_end_with_their_owner() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::start(vec![program(dir.path(), "exec sleep 600")]).unwrap();
        let pid = processes.pids()[0];
        assert!(alive(pid));
        assert_eq!(processes.ended(), None);
        drop(processes);
        assert!(!alive(pid));
    }

    #[test]
    fn processes_end_after_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::start(vec![program(dir.path(), "exec sleep 600")]).unwrap();
        let pid = processes.pids()[0];
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = processes;
            std::panic::resume_unwind(Box::new("as a failed test does"));
        }));
        assert!(panicked.is_err());
        assert!(!alive(pid));
    }

    #[test]
    fn a_program_that_ends_is_named_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let processes =
            Processes::start(vec![program(dir.path(), "echo no such flag; exit 3")]).unwrap();
        let ended = (0..100).find_map(|_| {
            std::thread::sleep(Duration::from_millis(50));
            processes.ended()
        });
        let ended = ended.expect("it has ended");
        assert!(
            ended.contains("sleeper") && ended.contains("no such flag") && ended.contains('3'),
            "{ended}"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let absent = Program::new(dir.path(), "absent", dir.path());
        assert!(!absent.is_there());
        let sleeper = program(dir.path(), "exec sleep 600");
        let started = Processes::start(vec![sleeper, absent]);
        // With `setpriv` in between it is that program that starts, and says so by ending.
        match started {
            Err(error) => assert!(error.contains("absent"), "{error}"),
            Ok(processes) => {
                let ended = (0..100).find_map(|_| {
                    std::thread::sleep(Duration::from_millis(50));
                    processes.ended()
                });
                assert!(ended.expect("it has ended").contains("absent"));
            }
        }
    }
}
