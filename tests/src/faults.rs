//! The fault table: what changes in an inspection of all phases when one thing in the world is wrong.
//!
//! `tests/faults.table` has a row for every fault of the sandbox and one for each world without a fault. A row names
//! every outcome that differs from that world's, with its reason; what it does not name must not differ. Lines are
//!
//! ```text
//! [longhorn-disk-full] onboarded
//! fail     DiskPressure   storage::disks_schedulable
//! blocked  Blocked        storage::capacity
//! ```
//!
//! Reasons that depend on the moment are separated by `|`; a line that begins with `?` may be there or not, and a
//! comment above it says why. `-` stands for no reason.

use std::collections::BTreeMap;

use sandbox::Stage;
use serde_json::Value;

use crate::TestEnvironment;

const TABLE: &str = include_str!("../faults.table");

/// Outcome and reason of every check, by its id.
pub type Seen = BTreeMap<String, (String, String)>;

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The fault; empty for a world without one.
    pub fault: String,
    /// Where the cluster begins when the fault is on from the start.
    pub stage: Stage,
    /// Phases that are run with their actions instead of all phases being inspected.
    pub applied: Vec<String>,
    /// What differs.
    pub changes: Vec<Change>,
}

/// One outcome that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The check or action.
    pub id: String,
    /// Its outcome.
    pub outcome: String,
    /// The reasons that it may give; empty for a pass.
    pub reasons: Vec<String>,
    /// It may be there or not.
    pub maybe: bool,
}

/// That a fault shows a check or an action, and how it is tried. Displays as one line of the harness's copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown {
    /// The check or action.
    pub id: String,
    /// The fault.
    pub fault: String,
    /// What comes out.
    pub outcome: String,
    /// With which reason.
    pub reason: String,
    /// `new`, `joining` or `onboarded` for an inspection of a cluster that begins so; `apply` for its phase with its
    /// actions; `run` and `late` for an onboarding, of a cluster that has the node already; `during` for an onboarding in
    /// the midst of which the fault is switched on.
    pub how: String,
}

impl Shown {
    /// From its words.
    #[must_use]
    pub fn new(fault: &str, id: &str, outcome: &str, reason: &str, how: &str) -> Self {
        Self {
            id: id.to_owned(),
            fault: fault.to_owned(),
            outcome: outcome.to_owned(),
            reason: reason.to_owned(),
            how: how.to_owned(),
        }
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            id,
            fault,
            outcome,
            reason,
            how,
        } = self;
        write!(f, "{id} {outcome} {reason} {fault} {how}")
    }
}

impl Change {
    fn matches(&self, (outcome, reason): &(String, String)) -> bool {
        *outcome == self.outcome
            && (self.reasons.contains(reason) || (self.reasons.is_empty() && reason.is_empty()))
    }
}

/// The rows, in the order of the file.
///
/// # Panics
/// A line cannot be read.
#[must_use]
pub fn table() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (number, line) in TABLE.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let wrong = |what: &str| format!("faults.table line {}: {what}: {line}", number + 1);
        if let Some(rest) = line.strip_prefix('[') {
            let (fault, rest) = rest
                .split_once(']')
                .unwrap_or_else(|| panic!("{}", wrong("no ]")));
            let mut words = rest.split_whitespace();
            let stage = match words.next() {
                Some("new") => Stage::New,
                Some("joining") => Stage::Joining,
                Some("onboarded") => Stage::Onboarded,
                _ => panic!("{}", wrong("no stage")),
            };
            let applied = words
                .map(|word| {
                    word.strip_prefix('+')
                        .unwrap_or_else(|| panic!("{}", wrong("not +phase")))
                })
                .map(str::to_owned)
                .collect();
            rows.push(Row {
                fault: fault.to_owned(),
                stage,
                applied,
                changes: Vec::new(),
            });
            continue;
        }
        let (maybe, line) = match line.strip_prefix('?') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        let [outcome, reasons, id] = words.as_slice() else {
            panic!("{}", wrong("not three words"));
        };
        let reasons = reasons.split('|').filter(|one| *one != "-");
        let row = rows
            .last_mut()
            .unwrap_or_else(|| panic!("{}", wrong("before the first row")));
        row.changes.push(Change {
            id: (*id).to_owned(),
            outcome: (*outcome).to_owned(),
            reasons: reasons.map(str::to_owned).collect(),
            maybe,
        });
    }
    rows
}

/// The row of a world without a fault that a row is compared with.
///
/// # Panics
/// There is none.
#[must_use]
pub fn healthy<'a>(rows: &'a [Row], row: &Row) -> &'a Row {
    rows.iter()
        .find(|one| one.fault.is_empty() && one.stage == row.stage && one.applied == row.applied)
        .expect("a row of the world without a fault")
}

impl Row {
    /// Which checks and actions this row's fault shows for certain. Those that are blocked by it were not asked.
    pub fn shown(&self) -> Vec<Shown> {
        let how = match self.stage {
            _ if !self.applied.is_empty() => "apply",
            Stage::New => "new",
            Stage::Joining => "joining",
            Stage::Onboarded => "onboarded",
        };
        let certain = |change: &&Change| {
            !change.maybe
                && matches!(change.outcome.as_str(), "fail" | "warn" | "error" | "skip")
                // What it requires was not asked either.
                && !change.reasons.iter().any(|code| code == "RequirementSkipped")
        };
        self.changes
            .iter()
            .filter(|_| !self.fault.is_empty())
            .filter(certain)
            .map(|change| {
                let reason = change.reasons.first().map_or("-", String::as_str);
                Shown::new(&self.fault, &change.id, &change.outcome, reason, how)
            })
            .collect()
    }

    /// What the table demands that was not seen, and what was seen that it does not name; nothing when they agree.
    /// `healthy` is the row of the world without a fault.
    #[must_use]
    pub fn differences(&self, healthy: &Self, seen: &Seen) -> Vec<String> {
        let mut wrong = Vec::new();
        let named = |row: &Self, id: &str| row.changes.iter().any(|change| change.id == id);
        for change in &self.changes {
            let alternatives = self.changes.iter().filter(|one| one.id == change.id);
            match seen.get(&change.id) {
                None if !change.maybe => wrong.push(format!("{} was not asked", change.id)),
                Some(found)
                    if !(alternatives.clone().any(|one| one.matches(found))
                        || change.maybe && healthy.expects(&change.id, found)) =>
                {
                    let (outcome, reason) = found;
                    wrong.push(format!(
                        "{}: {outcome} {reason}, and not {} {}",
                        change.id,
                        change.outcome,
                        change.reasons.join("|")
                    ));
                }
                _ => {}
            }
        }
        for (id, found) in seen {
            if !named(self, id) && !healthy.expects(id, found) {
                wrong.push(format!("{id}: {} {}, unexpected", found.0, found.1));
            }
        }
        wrong
    }

    /// Whether this is what comes out of a check in this world: a pass, unless a line says otherwise.
    fn expects(&self, id: &str, found: &(String, String)) -> bool {
        let mut lines = self
            .changes
            .iter()
            .filter(|change| change.id == id)
            .peekable();
        if lines.peek().is_none() {
            return found.0 == "pass";
        }
        lines.any(|line| line.matches(found) || (line.maybe && found.0 == "pass"))
    }

    /// The row as it would stand in the table if what was seen were right.
    #[must_use]
    pub fn written(&self, healthy: &Self, seen: &Seen) -> String {
        let stage = match self.stage {
            Stage::New => "new",
            Stage::Joining => "joining",
            Stage::Onboarded => "onboarded",
        };
        let applied: String = self
            .applied
            .iter()
            .map(|phase| format!(" +{phase}"))
            .collect();
        let mut text = format!("[{}] {stage}{applied}\n", self.fault);
        for (id, (outcome, reason)) in seen {
            let found = (outcome.clone(), reason.clone());
            let plain = if self.fault.is_empty() {
                outcome == "pass"
            } else {
                healthy.expects(id, &found)
            };
            if !plain {
                let reason = if reason.is_empty() { "-" } else { reason };
                text.push_str(&format!("{outcome:8} {reason:24} {id}\n"));
            }
        }
        text
    }
}

impl TestEnvironment {
    /// What an inspection of all phases says now, or what a run of these phases with their actions says.
    ///
    /// # Panics
    /// The run could not start.
    #[must_use]
    pub fn inspected(&self, applied: &[String]) -> Seen {
        let mut arguments = vec!["--format", "json"];
        let all = reports::model::Phase::ALL.map(reports::model::Phase::short);
        if applied.is_empty() {
            arguments.extend(all.iter().flat_map(|phase| ["--phase", phase]));
        } else {
            arguments.push("--apply");
            arguments.extend(applied.iter().flat_map(|phase| ["--phase", phase.as_str()]));
        }
        // A healthy phase needs less, and what does not come is waited for in vain.
        let limits: Vec<String> = applied.iter().map(|phase| format!("{phase}=20s")).collect();
        arguments.extend(
            limits
                .iter()
                .flat_map(|limit| ["--timeout", limit.as_str()]),
        );
        let output = self.onboard(&arguments);
        assert!(
            output.code == 0 || output.code == 1,
            "exit {}\n{}\n{}",
            output.code,
            output.stdout,
            output.stderr
        );
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        output
            .stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["event"] == "case_ended")
            .map(|event| {
                (
                    text(&event["id"]),
                    (text(&event["outcome"]), text(&event["reason"])),
                )
            })
            .collect()
    }
}
