//! Exit codes. They are documented in the README and are a promise.

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything asked passed; warnings are allowed.
    Passed = 0,
    /// A check or an action failed; an ordered run can be resumed.
    Failed = 1,
    // 2 is usage: an unknown option or phase, options that exclude each other. clap ends the program with it.
    /// It could not start: kubeconfig, cluster, repository, configuration.
    CannotStart = 3,
    /// The selection is empty or names an unknown check.
    NothingSelected = 4,
    /// Another run holds the lock.
    Locked = 6,
    /// The report of an earlier run cannot be used.
    ReportUnusable = 7,
    /// The rollback is incomplete, was refused, or answered no.
    RollbackIncomplete = 8,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

/// Why the program ends without having run to its end: one line, what to do, and the exit code.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Halt {
    /// How it ends.
    pub(crate) exit: Exit,
    /// What is wrong, naming the object, what was expected and what was found.
    pub(crate) message: String,
    /// What to do; empty when the message says it.
    pub(crate) hint: String,
}

impl Halt {
    /// An end with its reason and what to do.
    pub(crate) fn new(exit: Exit, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Says it on standard error, and as an event to whoever reads JSON.
    pub(crate) fn tell(&self, cli: &crate::cli::Cli) {
        use crate::{options::Format, term, text};
        let look = term::Look::stderr(cli.color);
        let (message, hint) = (text::clean(&self.message), text::clean(&self.hint));
        term::err(&format!("{} {message}", look.bad("error:")));
        if !hint.is_empty() {
            term::err(&format!("{} {hint}", look.strong("do:")));
        }
        if cli.format == Some(Format::Json) {
            term::object(&serde_json::json!({
                "schema": reports::model::SCHEMA,
                "event": "halted",
                "at": jiff::Timestamp::now(),
                "exit_code": self.exit.code(),
                "message": message,
                "hint": hint,
            }));
        }
    }

    /// It could not start.
    pub(crate) fn cannot_start(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::CannotStart, message, hint)
    }
}
