//! Runs one command on both servers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use libtest_mimic::Failed;
use tempfile::TempDir;
use tokio::process::Command;

use super::script::Step;

/// No command of the script takes longer.
const LIMIT: Duration = Duration::from_secs(45);

/// The program, and a folder with the kubeconfigs, its caches and the files of the script.
pub(super) struct Kubectl {
    program: PathBuf,
    root: TempDir,
}

/// What a command said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

const NAMES: [&str; 2] = ["real", "ours"];

impl Kubectl {
    pub(super) fn new(
        program: &Path,
        kubeconfigs: [&str; 2],
        files: &[(&str, &str)],
    ) -> Result<Self, Failed> {
        let root = tempfile::Builder::new()
            .prefix("onboarding-kubectl-")
            .tempdir()?;
        for (name, text) in NAMES.into_iter().zip(kubeconfigs) {
            fs::write(root.path().join(name), text)?;
        }
        for (name, text) in files {
            fs::write(root.path().join(name), text)?;
        }
        Ok(Self {
            program: program.to_owned(),
            root,
        })
    }

    /// What both say, the real server's first.
    pub(super) async fn run(&self, step: &Step) -> Result<[Said; 2], Failed> {
        let [real, ours] = NAMES.map(|name| self.one(name, step));
        let (real, ours) = futures::join!(real, ours);
        Ok([real?, ours?])
    }

    async fn one(&self, name: &str, step: &Step) -> Result<Said, Failed> {
        let root = self.root.path();
        let mut command = Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(root.join(name))
            .arg("--cache-dir")
            .arg(root.join(format!("{name}-cache")))
            .args(step.words())
            .current_dir(root)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", root)
            .env("TMPDIR", root)
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let Ok(output) = tokio::time::timeout(LIMIT, command.output()).await else {
            return Ok(Said {
                code: None,
                out: String::new(),
                err: format!("no end on {name} after {LIMIT:?}"),
            });
        };
        let output = output?;
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.replace(&root.display().to_string(), "DIR")
        };
        Ok(Said {
            code: output.status.code(),
            out: step.seen(&text(&output.stdout)),
            err: text(&output.stderr),
        })
    }
}
