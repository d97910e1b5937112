//! Everything that can be asked or done, in the order of a run: what `--list` shows and a selection chooses from.

use std::sync::LazyLock;

use phases::order::{self, Step};
use reports::model::{Kind, Phase, Severity};
use serde::Serialize;

/// A check or an action, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    /// `storage::node_ready`
    pub(crate) id: &'static str,
    /// Its phase; none for a step of a rollback.
    #[serde(serialize_with = "part")]
    pub(crate) phase: Option<Phase>,
    /// Check or action.
    pub(crate) kind: Kind,
    /// What its failure means.
    pub(crate) severity: Severity,
    /// One sentence.
    pub(crate) title: &'static str,
    /// Which criterion of the specification.
    pub(crate) criterion: &'static str,
    /// What must have passed.
    pub(crate) requires: &'static [&'static str],
    /// For a check: the action that it rests on.
    pub(crate) after: Option<&'static str>,
    /// What it reads and changes, as `verb resource`.
    pub(crate) needs: Vec<String>,
    /// What it reads and changes, as data.
    #[serde(skip)]
    pub(crate) rights: &'static [checks::Need],
    /// How it decides, or how it is done.
    #[serde(skip)]
    pub(crate) decided: &'static str,
    /// Why it is asked or done.
    #[serde(skip)]
    pub(crate) why: &'static str,
    /// Reasons of its own, with what to do.
    #[serde(skip)]
    pub(crate) reasons: &'static [checks::Reason],
    /// For an action: what takes it back.
    #[serde(skip)]
    pub(crate) inverse: Option<&'static str>,
    /// Whether an ordered run waits for it.
    #[serde(skip)]
    pub(crate) awaits: bool,
}

/// Every check and action, in the order of a run.
pub(crate) fn all() -> &'static [Entry] {
    static ALL: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        let mut entries = Vec::new();
        for phase in Phase::ALL {
            for step in order::steps(phase) {
                match step {
                    Step::Checks(checks) => {
                        entries.extend(checks.into_iter().map(|check| from_check(phase, check)));
                    }
                    Step::Action(action) => entries.push(from_action(Some(phase), action)),
                }
            }
        }
        entries
    });
    &ALL
}

/// Every check and action, then the steps of a rollback: what is listed and explained. Steps cannot be selected.
pub(crate) fn listed() -> &'static [Entry] {
    static LISTED: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        let steps = phases::rollback::ACTIONS.iter();
        let steps = steps.map(|step| from_action(None, step));
        all().iter().cloned().chain(steps).collect()
    });
    &LISTED
}

impl Entry {
    /// Name of its phase, or `rollback`.
    pub(crate) fn part(&self) -> &'static str {
        self.phase.map_or("rollback", Phase::name)
    }
}

fn part<S: serde::Serializer>(phase: &Option<Phase>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(phase.map_or("rollback", Phase::name))
}

fn from_check(phase: Phase, check: &'static checks::Check) -> Entry {
    Entry {
        id: check.id,
        phase: Some(phase),
        kind: Kind::Check,
        severity: check.severity,
        title: check.title,
        criterion: check.criterion.text(),
        requires: check.requires,
        after: check.after,
        needs: check.needs.iter().map(need).collect(),
        rights: check.needs,
        decided: checks::explain::decided(check.id).unwrap_or_default(),
        why: check.why,
        reasons: check.reasons,
        inverse: None,
        awaits: check.awaits,
    }
}

fn from_action(phase: Option<Phase>, action: &'static phases::Action) -> Entry {
    Entry {
        id: action.id,
        phase,
        kind: Kind::Action,
        severity: Severity::Fail,
        title: action.title,
        criterion: action.criterion.text(),
        requires: action.requires,
        after: None,
        needs: action.needs.iter().map(need).collect(),
        rights: action.needs,
        decided: phases::explain::done(action.id).unwrap_or_default(),
        why: action.why,
        reasons: action.reasons,
        inverse: Some(action.inverse),
        awaits: false,
    }
}

fn need(need: &checks::Need) -> String {
    match need {
        checks::Need::Resource {
            verb,
            group: "",
            resource,
            ..
        } => format!("{verb} {resource}"),
        checks::Need::Resource {
            verb,
            group,
            resource,
            ..
        } => format!("{verb} {resource}.{group}"),
        checks::Need::Path(path) => format!("get {path}"),
        checks::Need::Repository => "the GitOps repository".to_owned(),
    }
}

#[cfg(test)]
pub(crate) fn example(id: &'static str, kind: Kind) -> Entry {
    const REASONS: &[checks::Reason] = &[checks::Reason::new("NotSo", "make it so on {node}")];
    const NEEDS: &[checks::Need] = &[checks::Need::list(&checks::kinds::NODES)];
    Entry {
        id,
        phase: Some(Phase::of_id(id).unwrap()),
        kind,
        severity: Severity::Fail,
        title: "It is as {node} wants it.",
        criterion: "2.3",
        requires: &[],
        after: None,
        needs: vec!["list nodes".into()],
        rights: NEEDS,
        decided: "Looks at the conditions of the node.",
        why: "Because it matters.",
        reasons: REASONS,
        inverse: None,
        awaits: false,
    }
}
