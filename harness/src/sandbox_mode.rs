//! The embedded cluster of a run: started in this process, or served by another one.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use phases::Stop;
use reports::{
    archive,
    folder::{LogFolder, StateFolder},
    lock,
    model::{Mode, Report},
    store::Store,
};
use sandbox::{Sandbox, SandboxError};
use tokio::runtime::Runtime;

use crate::{
    build,
    cli::Cli,
    exit::{Exit, Halt},
    options::{Options, Purpose},
    term::{self, Look},
    text::clean,
};

/// Starts or finds the sandbox that the options ask for, and lets them point to it. Nothing when they ask for none.
///
/// # Errors
/// It does not start, nothing is served in the folder, or the program was asked to end meanwhile.
pub(crate) fn open(
    options: &mut Options,
    runtime: &Runtime,
    stop: &Stop,
) -> Result<Option<Sandbox>, Halt> {
    let Some(wanted) = &options.sandbox else {
        return Ok(None);
    };
    let opened = async {
        match &wanted.dir {
            Some(dir) => Sandbox::attach(dir).await,
            None => {
                Sandbox::start(sandbox::Options {
                    crowd: None,
                    node: options.settings.node.name.clone(),
                    control_plane: options.settings.node.control_plane.clone(),
                    stage: wanted.at,
                    speed: wanted.speed,
                    faults: wanted.faults.clone(),
                    server: None,
                    dir: None,
                })
                .await
            }
        }
    };
    let hint = match &wanted.dir {
        Some(dir) => format!("serve one there: harness --sandbox-serve {}", quoted(dir)),
        None => {
            "look whether 127/8 is free on this machine and the temporary folder can be written"
                .into()
        }
    };
    let sandbox = unless_stopped(runtime, stop, opened)?
        .map_err(|error| Halt::cannot_start(error.to_string(), hint))?;
    // An inspection has nothing to do with the state folder.
    if wanted.dir.is_none()
        && !options.dry_run
        && !matches!(options.purpose, Purpose::Inspect { .. })
    {
        put_away(options)?;
    }
    options.kubeconfig = Some(sandbox.kubeconfig());
    options.context = None;
    options.settings.repository.path = Some(sandbox.checkout());
    Ok(Some(sandbox))
}

/// What somebody must add to reach the same sandbox again.
pub(crate) fn ephemeral(options: &Options) -> bool {
    options
        .sandbox
        .as_ref()
        .is_some_and(|sandbox| sandbox.dir.is_none() && !sandbox.keep)
}

/// Ends the sandbox of a run; with `--sandbox-keep` only once Ctrl-C is pressed.
pub(crate) fn close(sandbox: Sandbox, options: &Options, runtime: &Runtime, stop: &Stop) {
    let keep = options.sandbox.as_ref().is_some_and(|wanted| wanted.keep);
    if keep && !stop.asked() {
        for line in how_to_use(&folder(&sandbox), false) {
            term::err(&line);
        }
        runtime.block_on(stop.wait());
    }
    runtime.block_on(sandbox.shutdown());
}

/// Carries out `--sandbox-serve`.
///
/// # Errors
/// It does not start.
pub(crate) fn serve(cli: &Cli, dir: &Path) -> Result<Exit, Halt> {
    let options = build::from_environment(cli)?;
    let runtime = crate::run::runtime()?;
    let stop = crate::run::stop_on_signals(&runtime)?;
    let starting = Sandbox::start(sandbox::Options {
        crowd: None,
        node: options.settings.node.name.clone(),
        control_plane: options.settings.node.control_plane.clone(),
        stage: build::stage(cli),
        speed: build::speed(cli),
        faults: cli.sandbox_fault.clone(),
        server: None,
        dir: Some(dir.to_owned()),
    });
    let sandbox = unless_stopped(&runtime, &stop, starting)?.map_err(|error: SandboxError| {
        Halt::cannot_start(
            error.to_string(),
            "name a folder that can be written and that no other process serves",
        )
    })?;
    let look = Look::stdout(cli.color);
    term::out(&look.strong(&format!(
        "serving a sandbox in {} until Ctrl-C",
        clean(&folder(&sandbox).display().to_string())
    )));
    for line in how_to_use(&folder(&sandbox), true) {
        term::out(&line);
    }
    runtime.block_on(stop.wait());
    runtime.block_on(sandbox.shutdown());
    Ok(Exit::Passed)
}

/// The folder that everything of a sandbox is in.
pub(crate) fn folder(sandbox: &Sandbox) -> PathBuf {
    let kubeconfig = sandbox.kubeconfig();
    kubeconfig
        .parent()
        .map_or_else(PathBuf::new, Path::to_owned)
}

/// What to type in another terminal.
fn how_to_use(dir: &Path, served: bool) -> Vec<String> {
    let (place, kubeconfig) = (quoted(dir), quoted(&dir.join("kubeconfig")));
    let checkout = quoted(&dir.join("checkout"));
    let faults = quoted(&dir.join("faults"));
    let mut lines = Vec::new();
    if served {
        // The long list first: what to type next is what a reader should find above the prompt.
        lines.push("Troubles:".to_owned());
        for fault in sandbox::faults::catalogue() {
            lines.push(format!("  {:34} {}", fault.name, fault.what));
        }
        lines.push(String::new());
    } else {
        // After a run its summary should stay on the screen.
        lines.push("the sandbox goes on until Ctrl-C".to_owned());
    }
    lines.push("In another terminal:".into());
    lines.push(format!(
        "  kubectl --kubeconfig {kubeconfig} get nodes -o wide"
    ));
    lines.push(format!("  git -C {checkout} log --oneline"));
    for (arguments, what) in [
        ("--report", "onboard"),
        ("--status", "how far it is"),
        ("--resume", "go on where it stopped"),
        ("--phase storage", "ask only this"),
    ] {
        if served || arguments != "--report" {
            lines.push(format!("  harness --sandbox={place} {arguments:16} {what}"));
        }
    }
    if let Some(fault) = sandbox::faults::catalogue().first() {
        lines.push(format!("  echo {} >> {faults}", fault.name));
        lines.push("      makes that trouble; it ends when the line is taken out".into());
    }
    lines
}

/// An unfinished report of a sandbox that has gone can never be resumed: it goes to the archive, so that the next
/// sandbox does not stumble over it. One of a sandbox that still has its repository stays where it is.
fn put_away(options: &Options) -> Result<(), Halt> {
    let refused = |error: String| Halt::cannot_start(error, "name another folder with --state-dir");
    let Some(state) =
        StateFolder::open(&options.state_dir).map_err(|error| refused(error.to_string()))?
    else {
        return Ok(());
    };
    let Ok(Some(loaded)) = Store::load(&state) else {
        return Ok(());
    };
    if !gone(&loaded.report) || !matches!(lock::held_by(&state), Ok(None)) {
        return Ok(());
    }
    let logs =
        LogFolder::open_or_create(&options.log_dir).map_err(|error| refused(error.to_string()))?;
    archive::archive(&state, &logs, &loaded.report.node, Timestamp::now())
        .and_then(|_| archive::clear(&state))
        .map_err(|error| refused(error.to_string()))
}

/// Whether a report is of a sandbox whose repository is no longer there.
fn gone(report: &Report) -> bool {
    let Some(repository) = &report.repository else {
        return false;
    };
    let path = repository
        .remote
        .strip_prefix("file://")
        .unwrap_or(&repository.remote);
    report.cluster.sandbox
        && matches!(report.mode, Mode::Onboard | Mode::Rollback)
        && path.starts_with('/')
        && !Path::new(path).exists()
}

fn unless_stopped<T>(
    runtime: &Runtime,
    stop: &Stop,
    work: impl Future<Output = T>,
) -> Result<T, Halt> {
    runtime.block_on(async {
        tokio::select! {
            done = work => Ok(done),
            () = stop.wait() => Err(Halt::new(Exit::Interrupted, "interrupted before anything was asked", "")),
        }
    })
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    quoted_text(&path.display().to_string())
}

/// A word as a shell takes it.
pub(crate) fn quoted_text(text: &str) -> String {
    let text = clean(text);
    let plain = |one: char| one.is_ascii_alphanumeric() || "/._-+=:@%,~".contains(one);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The options that say which node, cluster, repository and folders, so that a later start finds the same. `kept` is
/// the folder of a sandbox that this process goes on serving.
pub(crate) fn again(cli: &Cli, kept: Option<&Path>) -> String {
    let path = |name: &str, value: &Option<PathBuf>| {
        value
            .as_ref()
            .map(|value| format!(" {name} {}", quoted(value)))
    };
    let word = |name: &str, value: &Option<String>| {
        value
            .as_ref()
            .map(|value| format!(" {name} {}", quoted_text(value)))
    };
    let sandbox = match (&cli.sandbox, kept) {
        (Some(None), Some(dir)) => Some(format!(" --sandbox={}", quoted(dir))),
        (Some(Some(dir)), _) => Some(format!(" --sandbox={}", quoted(dir))),
        (Some(None), None) => Some(" --sandbox".to_owned()),
        (None, _) => None,
    };
    [
        sandbox,
        word("--node", &cli.node),
        word("--control-plane", &cli.control_plane),
        path("--kubeconfig", &cli.kubeconfig),
        word("--context", &cli.context),
        path("--repo", &cli.repo),
        path("--config", &cli.config),
        path("--state-dir", &cli.state_dir),
        path("--log-dir", &cli.log_dir),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::testing;

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        assert_eq!(quoted_text("/tmp/world-1"), "/tmp/world-1");
        assert_eq!(quoted_text("a b"), "'a b'");
        assert_eq!(quoted_text("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted_text(""), "''");
    }

    #[test]
    fn a_later_start_is_told_what_this_one_was_told() {
        let again = |line: &str| again(&Cli::try_parse_from(line.split(' ')).unwrap(), None);
        assert_eq!(again("harness --report"), "");
        assert_eq!(again("harness --sandbox=/w --report"), " --sandbox=/w");
        let kept = Cli::try_parse_from(["harness", "--sandbox", "--sandbox-keep"]).unwrap();
        assert_eq!(
            super::again(&kept, Some(Path::new("/tmp/k"))),
            " --sandbox=/tmp/k"
        );
        assert_eq!(
            again("harness --node k3s3 --repo /r --verbose"),
            " --node k3s3 --repo /r"
        );
    }

    #[test]
    fn only_a_report_whose_sandbox_is_gone_is_put_away() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = testing::report(Mode::Onboard);
        report.cluster.sandbox = true;
        let remote = |path: &Path| format!("file://{}", path.display());
        report.repository.as_mut().unwrap().remote = remote(folder.path());
        assert!(!gone(&report));
        report.repository.as_mut().unwrap().remote = remote(&folder.path().join("none.git"));
        assert!(gone(&report));
        report.cluster.sandbox = false;
        assert!(!gone(&report), "a real onboarding is never put away");
        report.cluster.sandbox = true;
        report.repository.as_mut().unwrap().remote = "git@github.com:me/x.git".into();
        assert!(!gone(&report));
    }
}
