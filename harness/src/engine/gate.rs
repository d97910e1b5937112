//! What an outcome means for what comes after it: which cases keep an action from being done, and which fail a phase.

use checks::{Need, catalogue};
use phases::{
    Action,
    order::{Step, steps},
};
use reports::model::{Case, Kind, Outcome, Phase, Severity};

/// The checks and actions of a phase that come before an action.
pub(super) fn before(phase: Phase, action: &Action) -> Vec<&'static str> {
    let mut ids = Vec::new();
    for step in steps(phase) {
        match step {
            Step::Checks(checks) => ids.extend(checks.iter().map(|check| check.id)),
            Step::Action(one) if one.id == action.id => break,
            Step::Action(one) => ids.push(one.id),
        }
    }
    ids
}

/// Whether an earlier case keeps an action from being done.
pub(super) fn stops(case: &Case, action: &Action) -> bool {
    let required = action.requires.contains(&case.id.as_str());
    match case.outcome() {
        Some(Outcome::Fail | Outcome::Error | Outcome::Blocked) => {
            case.severity == Severity::Fail || required
        }
        Some(Outcome::Skip) => case.severity == Severity::Fail && lacks_right(case, &[action]),
        Some(Outcome::Pass | Outcome::Warn) | None => false,
    }
}

/// Whether a case fails its phase; `later` are the actions that are still to come.
pub(super) fn fails(case: &Case, later: &[&Action]) -> bool {
    case.severity == Severity::Fail
        && match case.outcome() {
            Some(Outcome::Fail | Outcome::Error) => true,
            Some(Outcome::Skip) => lacks_right(case, later),
            Some(Outcome::Blocked | Outcome::Pass | Outcome::Warn) | None => false,
        }
}

/// Whether a case is an action that something kept from being done: its phase is not through, whatever kept it.
pub(super) fn is_left_undone(case: &Case) -> bool {
    case.kind == Kind::Action && case.outcome() == Some(Outcome::Blocked)
}

/// Whether a check was skipped for a missing right that one of these actions needs too.
fn lacks_right(case: &Case, actions: &[&Action]) -> bool {
    let Some(ended) = case
        .ended()
        .filter(|ended| ended.reason == "MissingPermission")
    else {
        return false;
    };
    let Some(check) = catalogue::find(&case.id) else {
        return false;
    };
    let shared = |need: &Need| {
        actions
            .iter()
            .any(|action| action.needs.iter().any(|other| same_resource(need, other)))
            && is_about(&ended.message, need)
    };
    check.needs.iter().any(shared)
}

/// Whether a message such as "may not list pods in namespace x" is about this right and not about another one of the
/// same check. One in other words may be about any of them.
fn is_about(message: &str, need: &Need) -> bool {
    let (
        Some(rest),
        Need::Resource {
            group, resource, ..
        },
    ) = (message.strip_prefix("may not "), need)
    else {
        return true;
    };
    let name = if group.is_empty() {
        (*resource).to_owned()
    } else {
        format!("{resource}.{group}")
    };
    rest.split_whitespace().nth(1) == Some(name.as_str())
}

fn same_resource(one: &Need, other: &Need) -> bool {
    match (one, other) {
        (
            Need::Resource {
                group, resource, ..
            },
            Need::Resource {
                group: other_group,
                resource: other_resource,
                ..
            },
        ) => group == other_group && resource == other_resource,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use phases::actions;

    use super::*;
    use crate::testing;

    fn label() -> &'static Action {
        actions::find("join::label").unwrap()
    }

    fn severe(severity: Severity, id: &str, outcome: Outcome, reason: &str, message: &str) -> Case {
        Case {
            severity,
            ..testing::case(id, outcome, reason, message)
        }
    }

    #[test]
    fn a_blocked_check_keeps_an_action_back_where_its_failure_would() {
        let blocked = |severity, id| severe(severity, id, Outcome::Blocked, "Blocked", "");
        assert!(stops(&blocked(Severity::Fail, "join::ready"), label()));
        assert!(stops(&blocked(Severity::Warn, "join::registered"), label()));
        assert!(!stops(&blocked(Severity::Warn, "join::ready"), label()));
    }

    #[test]
    fn an_action_that_was_left_undone_fails_its_phase() {
        let mut case = testing::case("join::label", Outcome::Blocked, "Blocked", "");
        assert!(!is_left_undone(&case), "a check may be blocked");
        case.kind = Kind::Action;
        assert!(is_left_undone(&case));
        testing::ended(&mut case).outcome = Outcome::Pass;
        assert!(!is_left_undone(&case));
    }

    #[test]
    fn a_missing_right_counts_only_where_the_action_needs_it() {
        let skipped = |severity, message| {
            let outcome = Outcome::Skip;
            severe(
                severity,
                "join::registered",
                outcome,
                "MissingPermission",
                message,
            )
        };
        let nodes = "may not list nodes";
        assert!(fails(&skipped(Severity::Fail, nodes), &[label()]));
        assert!(!fails(&skipped(Severity::Fail, nodes), &[]));
        assert!(!fails(&skipped(Severity::Warn, nodes), &[label()]));
        let proxy = "may not get nodes/proxy";
        assert!(!fails(&skipped(Severity::Fail, proxy), &[label()]));
        assert!(!stops(&skipped(Severity::Warn, nodes), label()));
    }

    #[test]
    fn what_comes_after_an_action_does_not_keep_it_back() {
        let phase = Phase::StorageIntegration;
        let action = actions::find("storage::reconcile").unwrap();
        let earlier = before(phase, action);
        assert!(earlier.contains(&"storage::manager_on_node"));
        assert!(!earlier.contains(&"storage::gitops_applied"));
        assert!(!earlier.contains(&action.id));
    }
}
