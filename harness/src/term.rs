//! The terminal, or whatever stands in its place: width, colour, and output that a closed pipe does not break.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::atomic::{AtomicBool, Ordering},
};

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

/// Narrower than this nothing is readable, and a terminal that says so is most likely wrong.
const NARROWEST: usize = 40;

/// How output looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether to colour.
    pub(crate) color: bool,
    /// Columns of the terminal; absent when it goes somewhere else, and is never cut there.
    pub(crate) width: Option<usize>,
}

impl Look {
    /// How standard output looks.
    pub(crate) fn stdout(color: ColorChoice) -> Self {
        Self::of(
            color,
            std::io::stdout().is_terminal(),
            terminal_size::terminal_size_of(std::io::stdout()),
        )
    }

    /// How standard error looks.
    pub(crate) fn stderr(color: ColorChoice) -> Self {
        Self::of(
            color,
            std::io::stderr().is_terminal(),
            terminal_size::terminal_size_of(std::io::stderr()),
        )
    }

    fn of(
        color: ColorChoice,
        terminal: bool,
        size: Option<(terminal_size::Width, terminal_size::Height)>,
    ) -> Self {
        let silent = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            color: match color {
                ColorChoice::Always => true,
                ColorChoice::Never => false,
                ColorChoice::Auto => terminal && !silent("NO_COLOR") && !dumb,
            },
            width: terminal.then(|| {
                let mark = if is_marked() { MARK.len() } else { 0 };
                let whole = size.map_or(80, |(width, _)| usize::from(width.0));
                whole.saturating_sub(mark).max(NARROWEST)
            }),
        }
    }

    /// Good.
    pub(crate) fn good(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }

    /// To be looked at.
    pub(crate) fn warn(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default(), text)
    }

    /// Bad.
    pub(crate) fn bad(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    /// A heading.
    pub(crate) fn strong(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    /// Of less weight.
    pub(crate) fn faint(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

static CLOSED: AtomicBool = AtomicBool::new(false);
static MARKED: AtomicBool = AtomicBool::new(false);
/// What every line of a dry run begins with.
pub(crate) const MARK: &str = "[DRY RUN] ";

/// From now on every line is marked as one of a dry run.
pub(crate) fn mark() {
    MARKED.store(true, Ordering::Relaxed);
}

/// Whether lines are marked as those of a dry run.
pub(crate) fn is_marked() -> bool {
    MARKED.load(Ordering::Relaxed)
}

fn marked(text: &str) -> String {
    if !is_marked() {
        return text.to_owned();
    }
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| format!("{MARK}{line}"))
        .collect();
    lines.join("\n")
}

/// Writes a line to standard output. Once nobody reads it any more (`| head`), nothing more is written.
pub(crate) fn out(line: &str) {
    write(&marked(line));
}

/// Writes a JSON object to standard output, on one line. Of a dry run it says so itself.
pub(crate) fn object(value: &serde_json::Value) {
    write(&value.to_string());
}

fn write(line: &str) {
    if CLOSED.load(Ordering::Relaxed) {
        return;
    }
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .is_err()
    {
        CLOSED.store(true, Ordering::Relaxed);
    }
}

/// Writes a line to standard error; a closed one is nobody's loss.
pub(crate) fn err(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", marked(line));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        let plain = Look::of(ColorChoice::Auto, false, None);
        assert_eq!((plain.color, plain.width), (false, None));
        assert_eq!(plain.bad("x"), "x");
        let forced = Look::of(ColorChoice::Always, false, None);
        assert!(forced.color && forced.bad("x").contains("\u{1b}["));
        let narrow = (terminal_size::Width(3), terminal_size::Height(1));
        let never = Look::of(ColorChoice::Never, true, Some(narrow));
        assert_eq!((never.color, never.width), (false, Some(NARROWEST)));
    }
}
