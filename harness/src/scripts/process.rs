//! Runs one script: with little around it, a limit on its time and its words, and an end for everything it starts.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use checks::Verdict;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::Command,
    task::JoinSet,
    time::timeout,
};

use super::{Script, Surroundings};

/// Lines that are kept of its beginning and of its end.
const FIRST: usize = 20;
const LAST: usize = 60;
/// Most of one line.
const WIDTH: usize = 400;
/// How long it may take to end itself once it is asked to.
const GRACE: Duration = Duration::from_secs(2);
/// How long its output is read on after it has ended: something that it left behind may hold it open for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What a script sees of our own environment.
const PASSED_ON: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// Everything that a script has started; ended when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.0 {
            // Nobody may be left, which is as it should be.
            let _ = kill_process_group(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Runs a script and says what it said.
pub(super) async fn run(script: &Script, around: &Surroundings) -> Verdict {
    let shown = script.command.join(" ");
    if let Some(verdict) = other_context(around) {
        return verdict;
    }
    let folder = script.folder.as_ref().or(around.repository.as_ref());
    let (Some(folder), Some(program)) = (folder, script.command.first()) else {
        return Verdict::skip(
            "NoRepository",
            "no GitOps repository is named to take it from",
        );
    };
    let path = place(folder, program);
    if script.folder.is_none() && !path.exists() {
        return Verdict::skip("ScriptAbsent", format!("the repository has no {program}"));
    }
    let mut command = Command::new(&path);
    command
        .args(&script.command[1..])
        .current_dir(folder)
        .env_clear()
        .envs(
            PASSED_ON
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .envs(around.kubeconfig.iter().map(|file| ("KUBECONFIG", file)))
        .env("ONBOARDING_NODE", &around.node)
        .env("ONBOARDING_CONTROL_PLANE", &around.control_plane)
        .env("ONBOARDING_PHASE", script.phase.name())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            return Verdict::error(
                "ScriptNotStarted",
                format!("{shown} does not start: {error}"),
            );
        }
    };
    let leader = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let group = Group(leader);
    let said = Said::default();
    let mut readers = JoinSet::new();
    if let Some(pipe) = child.stdout.take() {
        readers.spawn(said.clone().listen(pipe));
    }
    if let Some(pipe) = child.stderr.take() {
        readers.spawn(said.clone().listen(pipe));
    }
    let ended = timeout(script.timeout, child.wait()).await;
    if ended.is_err() {
        group.signal(Signal::TERM);
        let _ = timeout(GRACE, child.wait()).await;
    }
    let _ = timeout(LAST_WORDS, async {
        while readers.join_next().await.is_some() {}
    })
    .await;
    drop(group);
    let lines = said.take();
    let verdict = match ended {
        Err(_) => Verdict::error(
            "ScriptTimedOut",
            format!(
                "{shown} took more than {} s and was ended",
                script.timeout.as_secs()
            ),
        ),
        Ok(Err(error)) => Verdict::error("ScriptBroken", format!("{shown} was lost: {error}")),
        Ok(Ok(status)) => judge(script, &shown, status, &lines),
    };
    verdict.saw_all(lines)
}

/// What the end of a script means.
fn judge(script: &Script, shown: &str, status: ExitStatus, lines: &[String]) -> Verdict {
    let last = lines.iter().rev().find(|line| !line.trim().is_empty());
    let or = |other: &str| last.cloned().unwrap_or_else(|| format!("{shown} {other}"));
    match (status.code(), last) {
        (Some(0), None) => {
            let verdict = Verdict::error(
                "NothingChecked",
                format!("{shown} ended with 0 and said nothing"),
            );
            if script.instead.is_empty() {
                verdict
            } else {
                verdict.hint(format!(
                    "it only defines functions; these checks ask its questions: {}",
                    script.instead.join(" ")
                ))
            }
        }
        (Some(0), Some(line)) => match line.trim_start().strip_prefix("WARN:") {
            Some(warning) => Verdict::warn("ScriptWarned", warning.trim().to_owned()),
            None => Verdict::pass(line.clone()),
        },
        (Some(1), _) => Verdict::fail("ScriptFailed", or("says no")),
        (Some(77), _) => Verdict::skip("ScriptSkipped", or("does not apply")),
        (Some(code), _) => Verdict::error("ScriptBroken", format!("{shown} ended with {code}")),
        (None, _) => {
            use std::os::unix::process::ExitStatusExt as _;
            let signal = status.signal().unwrap_or_default();
            Verdict::error(
                "ScriptBroken",
                format!("{shown} was ended by signal {signal}"),
            )
        }
    }
}

/// A program with a slash lies in the folder; one without is looked for on the search path.
fn place(folder: &Path, program: &str) -> PathBuf {
    if program.contains('/') {
        folder.join(program)
    } else {
        PathBuf::from(program)
    }
}

/// A script uses the current context of the kubeconfig that it is given. If the run uses another one, the two would
/// look at different clusters.
pub(super) fn other_context(around: &Surroundings) -> Option<Verdict> {
    let wanted = around.context.as_deref()?;
    let file = around.kubeconfig.as_ref()?;
    let current = kube::config::Kubeconfig::read_from(file)
        .ok()?
        .current_context?;
    (current != wanted).then(|| {
        Verdict::error(
            "OtherContext",
            format!(
                "the run uses context {wanted}, and the current one of the kubeconfig is {current}"
            ),
        )
    })
}

/// The lines of both streams in the order in which they came; of very many the middle is dropped.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    first: Vec<String>,
    last: std::collections::VecDeque<String>,
    dropped: usize,
}

impl Said {
    async fn listen(self, pipe: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            // A line without an end is read in pieces.
            let mut piece = (&mut reader).take(1 << 16);
            match piece.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => self.add(&String::from_utf8_lossy(&line)),
            }
        }
    }

    fn add(&self, line: &str) {
        let line: String = line.trim_end().chars().take(WIDTH).collect();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.first.len() < FIRST {
            lines.first.push(line);
            return;
        }
        lines.last.push_back(line);
        if lines.last.len() > LAST {
            lines.last.pop_front();
            lines.dropped += 1;
        }
    }

    fn take(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let mut all = lines.first;
        if lines.dropped > 0 {
            all.push(format!("({} lines left out)", lines.dropped));
        }
        all.extend(lines.last);
        all
    }
}
