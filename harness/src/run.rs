//! A run from its beginning to its last screen: selection, runtime, signals, engine, summary.

use std::{io::Write as _, sync::Arc};

use phases::{Stop, Stopper};
use tokio::runtime::Runtime;

use crate::{
    build, catalogue,
    cli::Cli,
    engine::{self, Ended},
    exit::{Exit, Halt},
    options::{Format, Options, Purpose},
    progress::Progress,
    render, sandbox_mode, selection, signals,
    summary::Summary,
    term::{self, Look},
    trace,
};

/// Carries out an ordered run or an inspection.
///
/// # Errors
/// It could not start; see [`engine::run`].
pub(crate) fn run(cli: &Cli) -> Result<Exit, Halt> {
    let mut options = build::from_environment(cli)?;
    trace::listen(options.verbose);
    selection::choose(&options.selection, catalogue::all())?;
    let runtime = runtime()?;
    let stop = stop_on_signals(&runtime)?;
    let (stdout, stderr) = (Look::stdout(cli.color), Look::stderr(cli.color));
    let progress = Arc::new(Progress::new(stderr));
    if options.sandbox.is_some() {
        progress.doing("starting the embedded cluster");
    }
    let sandbox = sandbox_mode::open(&mut options, &runtime, &stop);
    progress.rest();
    let sandbox = sandbox?;
    let kept = sandbox.as_ref().map(sandbox_mode::folder);
    let again = sandbox_mode::again(cli, kept.as_deref());
    let sink = render::sink(&options, stdout, stderr, Arc::clone(&progress));
    let ended = engine::run(&options, &runtime, sink, stop.clone());
    progress.rest();
    let result = ended.map(|ended| {
        summarise(&options, &ended, &again, stdout, stderr);
        ended.exit
    });
    if let Some(sandbox) = sandbox {
        sandbox_mode::close(sandbox, &options, &runtime, &stop);
    }
    result
}

/// Lets Ctrl-C and SIGTERM end what goes on in this runtime.
///
/// # Errors
/// The system does not let us listen.
pub(crate) fn stop_on_signals(runtime: &Runtime) -> Result<Stop, Halt> {
    let stopper = Stopper::default();
    let stop = stopper.listener();
    signals::listen(runtime, stopper)
        .map_err(|error| Halt::cannot_start(format!("signals cannot be heard: {error}"), ""))?;
    Ok(stop)
}

/// The last screen.
fn summarise(options: &Options, ended: &Ended, again: &str, stdout: Look, stderr: Look) {
    if matches!(options.purpose, Purpose::Rollback { .. }) {
        return rolled_back(options, ended, stdout, stderr);
    }
    let summary = Summary {
        report: &ended.report,
        exit: ended.exit,
        files: &ended.files,
        ordered: matches!(options.purpose, Purpose::Onboard { .. }),
        fail_on_warn: options.fail_on_warn,
        again,
        ephemeral: sandbox_mode::ephemeral(options),
        rollback: ended.last_words.first().map(String::as_str),
    };
    match options.format {
        Format::Pretty => summary
            .lines(stdout)
            .iter()
            .for_each(|line| term::out(line)),
        Format::Json => term::object(&summary.json()),
        Format::Libtest => {
            let _ = std::io::stdout().flush();
            summary
                .lines(stderr)
                .iter()
                .for_each(|line| term::err(line));
        }
    }
}

/// The last screen of a rollback: what it came to, what it leaves, where it is written.
fn rolled_back(options: &Options, ended: &Ended, stdout: Look, stderr: Look) {
    let exit = ended.exit.code();
    if options.format == Format::Json {
        let files: std::collections::BTreeMap<&str, String> = ended
            .files
            .iter()
            .map(|(label, path)| (label.as_str(), path.display().to_string()))
            .collect();
        let object = serde_json::json!({
            "schema": reports::model::SCHEMA,
            "event": "ended",
            "at": jiff::Timestamp::now(),
            "mode": "rollback",
            "run": ended.report.run,
            "exit_code": exit,
            "complete": ended.exit == Exit::Passed,
            "sandbox": ended.report.cluster.sandbox,
            "messages": ended.last_words,
            "files": files,
        });
        return term::object(&render::tidy(object));
    }
    let (look, say): (Look, fn(&str)) = match options.format {
        Format::Libtest => (stderr, term::err),
        Format::Pretty | Format::Json => (stdout, term::out),
    };
    say("");
    for (number, words) in ended.last_words.iter().enumerate() {
        for line in last_words(words, number == 0, look.width) {
            say(&match (number, ended.exit) {
                (0, Exit::Passed) => look.good(&line),
                (0, _) => look.bad(&line),
                _ => line,
            });
        }
    }
    for (label, path) in &ended.files {
        say(&crate::text::clean(&format!(
            "{label:6}  {}",
            path.display()
        )));
    }
    say(&format!("exit {exit}"));
}

/// One of the last words in lines that fit; what goes on is indented, and so is all but the first of them.
fn last_words(words: &str, first: bool, width: Option<usize>) -> Vec<String> {
    let indent = if first { 0 } else { 2 };
    let width = width.unwrap_or(usize::MAX).saturating_sub(indent + 2);
    let lines = crate::text::wrap(&crate::text::clean(words), width);
    let of = |(number, line): (usize, String)| {
        let by = if number == 0 { indent } else { indent + 2 };
        format!("{:by$}{line}", "")
    };
    lines.into_iter().enumerate().map(of).collect()
}

/// The one runtime of the process. Trials block on it from threads of their own.
///
/// # Errors
/// The system gives no threads.
pub(crate) fn runtime() -> Result<Runtime, Halt> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Halt::cannot_start(format!("no threads to run on: {error}"), ""))
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn last_words_fit_a_terminal_and_stay_whole_elsewhere() {
        let words = "do: stop it on the host, then go on";
        assert_eq!(
            last_words(words, false, Some(24)),
            ["  do: stop it on the", "    host, then go on"]
        );
        assert_eq!(
            last_words(words, true, Some(24)),
            ["do: stop it on the", "  host, then go on"]
        );
        assert_eq!(last_words(words, false, None), [format!("  {words}")]);
    }
}
