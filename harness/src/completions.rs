//! `--completions` and `--man`: written from the same command line as the help.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{
    cli::Cli,
    exit::{Exit, Halt},
};

/// Carries out `--completions`.
///
/// # Errors
/// They cannot be printed.
pub(crate) fn show(shell: Shell) -> Result<Exit, Halt> {
    print(&completions(shell))
}

/// Carries out `--man`.
///
/// # Errors
/// It cannot be written or printed.
pub(crate) fn show_manual() -> Result<Exit, Halt> {
    let manual = manual().map_err(|error| {
        Halt::cannot_start(format!("the manual page cannot be written: {error}"), "")
    })?;
    print(manual.as_bytes())
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "harness", &mut script);
    script
}

/// The manual page, in the language of `man`.
///
/// # Errors
/// Never in fact: it is written into memory.
pub(crate) fn manual() -> std::io::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn print(bytes: &[u8]) -> Result<Exit, Halt> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // A reader that has seen enough is no trouble.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Halt::cannot_start(
            format!("the standard output cannot be written: {error}"),
            "",
        )),
        _ => Ok(Exit::Passed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_stands_in_the_manual_and_in_the_completions() {
        let manual = manual().unwrap();
        let command = Cli::command();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completions(shell)).unwrap();
            for argument in command.get_arguments() {
                let Some(long) = argument.get_long() else {
                    continue;
                };
                if argument.is_hide_set() {
                    continue;
                }
                assert!(script.contains(long), "{shell}: {long}");
                let spelled = long.replace('-', "\\-");
                assert!(manual.contains(&spelled), "{long}");
            }
        }
    }
}
