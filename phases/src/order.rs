//! In which order a phase asks and changes.

use checks::{Check, catalogue};
use reports::model::Phase;

use crate::{Action, actions};

/// One step of a phase.
#[derive(Clone, Debug)]
pub enum Step {
    /// Checks that may be asked side by side.
    Checks(Vec<&'static Check>),
    /// An action.
    Action(&'static Action),
}

/// The steps of a phase: the checks that rest on no action, then each action with the checks that rest on it.
#[must_use]
pub fn steps(phase: Phase) -> Vec<Step> {
    let checks = catalogue::of(phase);
    let group = |after: Option<&str>| -> Vec<&'static Check> {
        checks
            .iter()
            .copied()
            .filter(|check| check.after == after)
            .collect()
    };
    let mut steps = Vec::new();
    let mut push = |checks: Vec<&'static Check>| {
        if !checks.is_empty() {
            steps.push(Step::Checks(checks));
        }
    };
    push(group(None));
    let mut all = steps;
    for action in actions::of(phase) {
        all.push(Step::Action(action));
        let after = group(Some(action.id));
        if !after.is_empty() {
            all.push(Step::Checks(after));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_and_action_stands_in_its_phase_once() {
        for phase in Phase::ALL {
            let mut asked: Vec<&str> = Vec::new();
            let mut done: Vec<&str> = Vec::new();
            for step in steps(phase) {
                match step {
                    Step::Checks(checks) => asked.extend(checks.iter().map(|check| check.id)),
                    Step::Action(action) => done.push(action.id),
                }
            }
            let mut wanted: Vec<&str> = catalogue::of(phase).iter().map(|check| check.id).collect();
            asked.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(
                asked, wanted,
                "{phase}: a check rests on an action that does not exist"
            );
            assert!(
                done.iter().all(|id| Phase::of_id(id) == Some(phase)),
                "{phase}: {done:?}"
            );
        }
    }

    #[test]
    fn what_an_action_requires_comes_before_it() {
        for phase in Phase::ALL {
            let mut before: Vec<&str> = Vec::new();
            for step in steps(phase) {
                match step {
                    Step::Checks(checks) => before.extend(checks.iter().map(|check| check.id)),
                    Step::Action(action) => {
                        for required in action.requires {
                            assert!(
                                before.contains(required),
                                "{} requires {required}",
                                action.id
                            );
                        }
                        before.push(action.id);
                    }
                }
            }
        }
    }
}
