//! The differences that are known: those that are meant, and the faults of the sandbox that nobody has mended yet.
//!
//! A difference that is not here fails the test, and so does a line here that no difference needs any more.

use super::step::Step;

/// One known difference.
struct Deviation {
    /// A part of the row, as it is shown.
    row: &'static str,
    /// A part of the difference, as it is shown.
    at: &'static str,
    why: &'static str,
    /// Whether the sandbox is wrong, rather than meant to differ.
    open: bool,
}

const fn meant(row: &'static str, at: &'static str, why: &'static str) -> Deviation {
    Deviation {
        row,
        at,
        why,
        open: false,
    }
}

#[expect(
    dead_code,
    reason = "for the next fault that is found and cannot be mended at once"
)]
const fn open(row: &'static str, at: &'static str, why: &'static str) -> Deviation {
    Deviation {
        row,
        at,
        why,
        open: true,
    }
}

const KNOWN: &[Deviation] = &[
    meant(
        "services/web:80/proxy",
        "status:",
        "without its controllers a real cluster keeps no Endpoints, which the sandbox always does",
    ),
    meant(
        "json-patch+json",
        "/message",
        "the sandbox says which operation failed, which helps whoever reads it",
    ),
    meant(
        "application/x-unknown",
        "/message",
        "the sandbox says which media types it takes",
    ),
    meant(
        "/kept/eviction",
        "/details/causes/0/message",
        "the text is that of servers before 1.36",
    ),
    meant(
        "labelSelector=",
        "/message",
        "the sandbox shows the whole requirement that it cannot parse",
    ),
    meant(
        "continue=nonsense",
        "/message",
        "the sandbox's tokens have no inner form to complain of",
    ),
    meant(
        "\"kind\":\"Secret\"",
        "/message",
        "the text names Go types, which the sandbox has not",
    ),
    meant(
        "(application/yaml)",
        "/kind",
        "the sandbox answers in JSON always",
    ),
    meant(
        "selfsubjectaccessreviews application",
        "",
        "the kind is lost in the real server's refusal, and named in the sandbox's",
    ),
];

/// What has been explained so far.
pub(super) struct Told {
    /// Whether each difference is shown, for who mends them: `DIFFERENCES=show`.
    shows: bool,
    used: std::collections::BTreeMap<usize, usize>,
}

impl Told {
    pub(super) fn new() -> Self {
        Self {
            shows: std::env::var_os("DIFFERENCES").is_some(),
            used: std::collections::BTreeMap::new(),
        }
    }

    /// Whether this difference is known.
    pub(super) fn explains(&mut self, step: &Step, difference: &str) -> bool {
        let row = step.to_string();
        let found = KNOWN
            .iter()
            .position(|known| row.contains(known.row) && difference.contains(known.at));
        if let Some(index) = found {
            *self.used.entry(index).or_default() += 1;
            if self.shows {
                println!("{row}\n  known ({}): {difference}", KNOWN[index].why);
            }
        }
        found.is_some()
    }

    /// How many differences were meant, and how many are faults.
    pub(super) fn counts(&self) -> (usize, usize) {
        let sum = |open: bool| {
            self.used
                .iter()
                .filter(|(index, _)| KNOWN[**index].open == open)
                .map(|(_, count)| count)
                .sum()
        };
        (sum(false), sum(true))
    }

    /// What is listed and has not been met.
    pub(super) fn unused(&self) -> Vec<String> {
        let unused = KNOWN
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.used.contains_key(index));
        unused
            .map(|(_, known)| format!("{} {} ({})", known.row, known.at, known.why))
            .collect()
    }
}
