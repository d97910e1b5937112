//! What a check found.

use std::panic::Location;

use reports::model::Outcome;

use crate::view::ReadError;

/// What a check found: an outcome, the reason for it, one line of message, and what was looked at.
///
/// A check of severity W that says `fail` is reported as `warn`; that is not the check's business.
#[derive(Clone, Debug)]
pub struct Verdict {
    outcome: Outcome,
    reason: &'static str,
    message: String,
    evidence: Vec<String>,
    hint: Option<String>,
    hopeless: bool,
    at: &'static Location<'static>,
}

impl Verdict {
    /// Yes.
    #[track_caller]
    #[must_use]
    pub fn pass(message: impl Into<String>) -> Self {
        Self::new(Outcome::Pass, "", message)
    }

    /// True enough to go on; a person should look.
    #[track_caller]
    #[must_use]
    pub fn warn(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Outcome::Warn, reason, message)
    }

    /// No.
    #[track_caller]
    #[must_use]
    pub fn fail(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Outcome::Fail, reason, message)
    }

    /// It does not apply; the message says why.
    #[track_caller]
    #[must_use]
    pub fn skip(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Outcome::Skip, reason, message)
    }

    /// It could not be decided.
    #[track_caller]
    #[must_use]
    pub fn error(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Outcome::Error, reason, message)
    }

    #[track_caller]
    fn new(outcome: Outcome, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            outcome,
            reason,
            message: message.into(),
            evidence: Vec::new(),
            hint: None,
            hopeless: false,
            at: Location::caller(),
        }
    }

    /// Adds one fact that was looked at: names, counts, field values, never a secret.
    #[must_use]
    pub fn saw(mut self, fact: impl Into<String>) -> Self {
        self.evidence.push(fact.into());
        self
    }

    /// Adds several facts.
    #[must_use]
    pub fn saw_all<T: Into<String>>(mut self, facts: impl IntoIterator<Item = T>) -> Self {
        self.evidence.extend(facts.into_iter().map(Into::into));
        self
    }

    /// What to do, where it can be said more exactly than the remedy of the reason does.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says that waiting cannot change this, so that a wait ends at once (`Stalled`, a rejected password).
    #[must_use]
    pub fn hopeless(mut self) -> Self {
        self.hopeless = true;
        self
    }

    /// The outcome as the check said it.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The reason, empty for a pass.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// One line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What was looked at.
    #[must_use]
    pub fn evidence(&self) -> &[String] {
        &self.evidence
    }

    /// The check's own word on what to do.
    #[must_use]
    pub fn own_hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether waiting is of no use.
    #[must_use]
    pub const fn is_hopeless(&self) -> bool {
        self.hopeless
    }

    /// Source line that decided, such as `checks/src/storage.rs:120`.
    #[must_use]
    pub fn at(&self) -> String {
        format!("{}:{}", self.at.file(), self.at.line())
    }
}

impl From<ReadError> for Verdict {
    /// What a read that failed means for the check that needed it.
    #[track_caller]
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::Forbidden { .. } => Self::skip("MissingPermission", message),
            ReadError::Absent { .. } => Self::fail("NotFound", message),
            ReadError::NotServed { .. } => Self::fail("NotServed", message),
            ReadError::Unreachable { .. } => Self::error("Unreachable", message),
            ReadError::TimedOut { .. } => Self::error("TimedOut", message),
            ReadError::Server { .. } => Self::error("ServerError", message),
            ReadError::Malformed { .. } => Self::error("Malformed", message),
        }
    }
}
