//! What a check or an action can come to.

use serde::{Deserialize, Serialize};

/// What came out of a check or an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Yes; for an action: done.
    Pass,
    /// True enough to go on; a person should look.
    Warn,
    /// No.
    Fail,
    /// It could not be decided: the API was down, a deadline passed, the check itself broke.
    Error,
    /// It does not apply, or a right is missing; the reason says which.
    Skip,
    /// Something that it requires did not pass.
    Blocked,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::Pass,
        Self::Warn,
        Self::Fail,
        Self::Error,
        Self::Skip,
        Self::Blocked,
    ];

    /// The word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Error => "error",
            Self::Skip => "skip",
            Self::Blocked => "blocked",
        }
    }

    /// Whether something that requires this may be asked.
    #[must_use]
    pub const fn satisfies(self) -> bool {
        matches!(self, Self::Pass | Self::Warn)
    }
}

/// What the failure of a check means for its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// `F`: the phase fails.
    Fail,
    /// `W`: the phase goes on with a warning.
    Warn,
}

impl Severity {
    /// The word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
        }
    }
}

/// Whether a case asks or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Asks, and changes nothing.
    Check,
    /// Changes something.
    Action,
}

impl Kind {
    /// The word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Action => "action",
        }
    }
}
