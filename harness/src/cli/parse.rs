//! Values of options, each refused with a sentence that says what is accepted.

use std::{num::NonZeroUsize, time::Duration};

use jiff::SignedDuration;
use reports::model::Phase;

use crate::near;

/// No wait is longer; a longer one is a slip of the pen.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A phase in its short or its long spelling.
pub(crate) fn phase(text: &str) -> Result<Phase, String> {
    text.parse().map_err(|_| {
        let names: Vec<&str> = Phase::ALL
            .iter()
            .flat_map(|phase| [phase.short(), phase.name()])
            .collect();
        let near = near::one_of(text, names.iter().copied())
            .map(|name| format!(", did you mean `{name}`?"))
            .unwrap_or_default();
        let list: Vec<String> = Phase::ALL
            .iter()
            .map(|phase| format!("{} ({})", phase.short(), phase.name()))
            .collect();
        format!(
            "unknown phase `{text}`{near}\n  phases: {}",
            list.join(", ")
        )
    })
}

/// `15m`, `90s`, `1h30m`: how long something may take.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration, expected one such as 90s, 15m or 1h30m");
    let parsed: SignedDuration = text.trim().parse().map_err(|_| wrong())?;
    let duration = Duration::try_from(parsed).map_err(|_| wrong())?;
    if duration.is_zero() {
        return Err(format!("`{text}` is no time at all, expected at least 1s"));
    }
    if duration > LONGEST {
        return Err(format!(
            "`{text}` is longer than a day, expected at most 24h"
        ));
    }
    Ok(duration)
}

/// How many at a time.
pub(crate) fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is no number of checks, expected 1 or more"))
}

/// `storage=15m`
pub(crate) fn timeout(text: &str) -> Result<(Phase, Duration), String> {
    let (name, limit) = text.split_once('=').ok_or_else(|| {
        format!("`{text}` has no `=`, expected PHASE=DURATION such as storage=15m")
    })?;
    Ok((phase(name)?, duration(limit)?))
}

/// A name that Kubernetes accepts for a node, so that it may stand in paths and selectors.
pub(crate) fn node(text: &str) -> Result<String, String> {
    reports::folder::valid_node_name(text)
        .map(|()| text.to_owned())
        .map_err(|error| error.to_string())
}

/// A service account by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            namespace: "kube-system".into(),
            name: "onboarding".into(),
        }
    }
}

/// `namespace/name`, or a name in kube-system.
pub(crate) fn account(text: &str) -> Result<Account, String> {
    let (namespace, name) = text.split_once('/').unwrap_or(("kube-system", text));
    let is_label = |part: &str| {
        (1..=63).contains(&part.len())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if is_label(namespace) && is_label(name) {
        Ok(Account {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    } else {
        Err(format!(
            "`{text}` is no service account, expected NAMESPACE/NAME such as kube-system/onboarding"
        ))
    }
}

/// A trouble that the sandbox knows.
pub(crate) fn fault(text: &str) -> Result<String, String> {
    let faults = sandbox::faults::catalogue();
    if faults.iter().any(|fault| fault.name == text) {
        return Ok(text.to_owned());
    }
    let names: Vec<&str> = faults.iter().map(|fault| fault.name).collect();
    let near = near::one_of(text, names.iter().copied())
        .map(|name| format!(", did you mean `{name}`?"))
        .unwrap_or_default();
    Err(format!(
        "unknown fault `{text}`{near}\n  faults: {}",
        names.join(", ")
    ))
}
