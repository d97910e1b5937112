//! One cause and six blocked, not seven failures.

use std::collections::{BTreeMap, BTreeSet};

use reports::model::{Case, Outcome, Phase, Report};

/// What did not pass, with what it keeps from being asked.
pub(super) struct Folded<'a> {
    /// The cause.
    pub(super) case: &'a Case,
    /// Ids of what waits for it, directly or not.
    pub(super) blocks: Vec<String>,
}

impl Folded<'_> {
    /// What waits for it as a person reads it: short names within its own phase, ids elsewhere.
    pub(super) fn shown(&self) -> String {
        let names = self.blocks.iter().map(|id| short(&self.case.id, id));
        names.collect::<Vec<String>>().join(" ")
    }
}

/// Everything that did not pass, folded.
pub(super) struct Fold<'a> {
    /// In the order of the report.
    pub(super) causes: Vec<Folded<'a>>,
    /// Blocked by something that is not in the report: id of that, ids of the blocked.
    pub(super) elsewhere: BTreeMap<String, Vec<String>>,
}

impl<'a> Fold<'a> {
    /// Folds a report.
    pub(super) fn of(report: &'a Report, warnings_count: bool) -> Self {
        let cases = || report.phases.iter().flat_map(|phase| &phase.cases);
        let is_cause = |case: &Case| match case.outcome() {
            Some(Outcome::Fail | Outcome::Error) => true,
            Some(Outcome::Warn) => warnings_count,
            _ => false,
        };
        let waits: BTreeMap<&str, &[String]> = cases()
            .filter(|case| case.outcome() == Some(Outcome::Blocked))
            .filter_map(|case| Some((case.id.as_str(), case.ended()?.blocked_by.as_slice())))
            .collect();
        let known: BTreeSet<&str> = cases()
            .filter(|case| is_cause(case) || waits.contains_key(case.id.as_str()))
            .map(|case| case.id.as_str())
            .collect();
        let mut blocks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut elsewhere: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in cases()
            .map(|case| case.id.as_str())
            .filter(|id| waits.contains_key(id))
        {
            for root in roots(id, &waits) {
                if known.contains(root) {
                    blocks.entry(root).or_default().push(id);
                } else {
                    elsewhere
                        .entry(root.to_owned())
                        .or_default()
                        .push(id.to_owned());
                }
            }
        }
        let causes = cases()
            .filter(|case| is_cause(case))
            .map(|case| Folded {
                case,
                blocks: blocks
                    .get(case.id.as_str())
                    .into_iter()
                    .flatten()
                    .map(|id| (*id).to_owned())
                    .collect(),
            })
            .collect();
        Self { causes, elsewhere }
    }
}

/// What something waits for in the end. A circle, which no catalogue has, ends it too.
fn roots<'a>(id: &'a str, waits: &BTreeMap<&'a str, &'a [String]>) -> BTreeSet<&'a str> {
    let mut roots = BTreeSet::new();
    let mut seen = BTreeSet::from([id]);
    let mut open = vec![id];
    while let Some(next) = open.pop() {
        for required in waits.get(next).copied().unwrap_or_default() {
            let required = required.as_str();
            if !waits.contains_key(required) {
                roots.insert(required);
            } else if seen.insert(required) {
                open.push(required);
            }
        }
    }
    roots
}

fn short(cause: &str, blocked: &str) -> String {
    if Phase::of_id(cause) == Phase::of_id(blocked)
        && let Some((_, name)) = blocked.split_once("::")
    {
        return name.to_owned();
    }
    blocked.to_owned()
}
