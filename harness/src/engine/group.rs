//! One group of trials through libtest-mimic.

use std::{fs::OpenOptions, io::BufRead as _, os::fd::AsRawFd as _, sync::Arc};

use checks::Check;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use reports::model::{Ended, Outcome};
use tokio::runtime::Handle;

use super::board::Board;
use crate::{options::Format, term, text::clean};

/// How libtest-mimic is to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) format: Format,
    pub(super) jobs: usize,
    pub(super) fail_on_warn: bool,
}

impl Manner {
    fn arguments(self) -> Arguments {
        Arguments {
            test_threads: Some(self.jobs.max(1)),
            // Its own lines are shown only where they are asked for; otherwise our renderer speaks.
            logfile: (self.format != Format::Libtest).then(|| "/dev/null".to_owned()),
            ..Arguments::default()
        }
    }
}

/// Asks the checks of a group side by side, each a named trial.
pub(super) fn checks(
    checks: &[&'static Check],
    board: &Arc<Board>,
    handle: &Handle,
    manner: Manner,
) {
    let trials = checks
        .iter()
        .map(|check| {
            let (check, board, handle) = (*check, Arc::clone(board), handle.clone());
            Trial::ignorable_test(check.id, move || {
                let answered = handle.block_on(board.answer(check));
                completion(&answered.ended, manner.fail_on_warn)
            })
        })
        .collect();
    // What came out is on the board already; its own count knows no warnings.
    run(manner, trials);
}

/// Runs trials. In a dry run libtest-mimic's own lines are marked like all others, on their way to standard output.
fn run(manner: Manner, trials: Vec<Trial>) {
    let mut arguments = manner.arguments();
    let pipe = if manner.format == Format::Libtest && term::is_marked() {
        through_us()
    } else {
        None
    };
    let Some((reader, writer, path)) = pipe else {
        let _ = libtest_mimic::run(&arguments, trials);
        return;
    };
    arguments.logfile = Some(path);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let lines = std::io::BufReader::new(reader).lines();
            lines
                .map_while(Result::ok)
                .for_each(|line| term::out(&line));
        });
        let _ = libtest_mimic::run(&arguments, trials);
        drop(writer);
    });
}

/// A pipe, and the path under which its end to write to can be opened.
fn through_us() -> Option<(std::io::PipeReader, std::io::PipeWriter, String)> {
    let (reader, writer) = std::io::pipe().ok()?;
    let path = format!("/dev/fd/{}", writer.as_raw_fd());
    // libtest-mimic does not go on where it cannot be opened.
    OpenOptions::new().write(true).open(&path).ok()?;
    Some((reader, writer, path))
}

/// Carries an action out as a trial of its own.
pub(super) fn action(id: &str, manner: Manner, apply: impl FnOnce() -> Ended + Send + 'static) {
    let trial = Trial::ignorable_test(id, move || completion(&apply(), manner.fail_on_warn))
        .with_kind("action");
    run(manner, vec![trial]);
}

/// The end of a case in libtest-mimic's words.
fn completion(ended: &Ended, fail_on_warn: bool) -> Result<Completion, Failed> {
    let said = if ended.reason.is_empty() {
        ended.message.clone()
    } else {
        format!("{}: {}", ended.reason, ended.message)
    };
    // libtest-mimic prints it as it is, so it is cleaned here: no secrets, no terminal sequences.
    let said = clean(&said);
    match ended.outcome {
        Outcome::Pass => Ok(Completion::Completed),
        Outcome::Warn if fail_on_warn => Err(Failed::from(said)),
        Outcome::Warn => Ok(Completion::Completed),
        Outcome::Skip | Outcome::Blocked => Ok(Completion::ignored_with(said)),
        Outcome::Fail | Outcome::Error => {
            let mut text = said;
            for line in &ended.evidence {
                text.push_str("\n  saw  ");
                text.push_str(&clean(line));
            }
            if !ended.hint.is_empty() {
                text.push_str("\n  do   ");
                text.push_str(&clean(&ended.hint));
            }
            Err(Failed::from(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_libtest_mimic_prints_holds_no_secret_and_no_terminal_sequence() {
        let mut case = testing::case("pre::x", Outcome::Fail, "Broken", "\u{1b}[31mred");
        let ended = testing::ended(&mut case);
        ended.evidence = vec!["Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789".into()];
        let failed = completion(ended, false).err().unwrap();
        let text = failed.message().unwrap_or_default();
        assert!(text.contains("Broken: "), "{text}");
        assert!(
            !text.contains('\u{1b}') && !text.contains("abcdefghij"),
            "{text}"
        );
    }
}
