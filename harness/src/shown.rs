//! Which fault of the sandbox shows a check or an action: what a reader of `--explain` can try without a cluster.
//!
//! `shown.table` is written from the fault table and the stories of the tests, and a test there fails when it is stale:
//! this program must not look into its tests. A line is: check, outcome, reason, fault, how it is tried.

use std::sync::LazyLock;

use reports::model::Phase;

const TABLE: &str = include_str!("shown.table");

/// One fault that shows one check or action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The check or action.
    pub(crate) id: &'static str,
    /// `fail`, `warn`, `error` or `skip`.
    pub(crate) outcome: &'static str,
    /// The reason that it then gives.
    pub(crate) reason: &'static str,
    /// The fault.
    pub(crate) fault: &'static str,
    how: &'static str,
}

/// The faults that show this check or action, in the order of their names.
pub(crate) fn of(id: &str) -> impl Iterator<Item = &'static Shown> {
    all().iter().filter(move |one| one.id == id)
}

/// In how many checks and actions a fault shows.
pub(crate) fn breadth(fault: &str) -> usize {
    all().iter().filter(|one| one.fault == fault).count()
}

fn all() -> &'static [Shown] {
    static ALL: LazyLock<Vec<Shown>> = LazyLock::new(|| TABLE.lines().filter_map(read).collect());
    &ALL
}

fn read(line: &'static str) -> Option<Shown> {
    let mut words = line.split_whitespace();
    let mut word = || words.next();
    Some(Shown {
        id: word().filter(|id| *id != "#")?,
        outcome: word()?,
        reason: word()?,
        fault: word()?,
        how: word()?,
    })
}

impl Shown {
    /// What to type to see it; `NAME` stands for the fault.
    pub(crate) fn command(&self) -> String {
        let phase = Phase::of_id(self.id).map_or("", Phase::short);
        match self.how {
            "run" => "harness --sandbox --sandbox-fault NAME".to_owned(),
            "late" => "harness --sandbox --sandbox-at onboarded --sandbox-fault NAME".to_owned(),
            "during" => {
                "harness --sandbox-serve DIR, and NAME in its file faults during an onboarding"
                    .to_owned()
            }
            "apply" => format!("harness --sandbox --sandbox-fault NAME --phase {phase} --apply"),
            "onboarded" => format!("harness --sandbox --sandbox-fault NAME --phase {phase}"),
            stage => {
                format!(
                    "harness --sandbox --sandbox-at {stage} --sandbox-fault NAME --phase {phase}"
                )
            }
        }
    }

    /// What happens in the world, in one sentence.
    pub(crate) fn what(&self) -> &'static str {
        sandbox::faults::find(self.fault).map_or("", |fault| fault.what)
    }
}

#[cfg(test)]
mod tests {
    use reports::model::Kind;

    use super::*;
    use crate::catalogue;

    #[test]
    fn every_line_names_what_there_is_and_every_check_has_one() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            let one = read(line).unwrap_or_else(|| panic!("not five words: {line}"));
            let entry = catalogue::all().iter().find(|entry| entry.id == one.id);
            let entry = entry.unwrap_or_else(|| panic!("no such check: {line}"));
            let own = entry.reasons.iter().any(|known| known.code == one.reason);
            let common = checks::COMMON_REASONS
                .iter()
                .any(|known| known.code == one.reason);
            assert!(own || common, "it cannot say so: {line}");
            assert!(!one.what().is_empty(), "no such fault: {line}");
            assert!(one.command().starts_with("harness --sandbox"), "{line}");
        }
        for entry in catalogue::all() {
            assert!(
                entry.kind == Kind::Action || of(entry.id).next().is_some(),
                "no fault shows {}",
                entry.id
            );
        }
    }

    #[test]
    fn the_command_says_where_the_world_begins() {
        let command = |how| {
            let line = Shown {
                id: "storage::disks_ready",
                outcome: "fail",
                reason: "NoDisks",
                fault: "x",
                how,
            };
            line.command()
        };
        assert_eq!(
            command("onboarded"),
            "harness --sandbox --sandbox-fault NAME --phase storage"
        );
        assert!(command("joining").contains("--sandbox-at joining"));
        assert!(command("apply").ends_with("--phase storage --apply"));
        assert!(!command("run").contains("--phase"));
    }
}
