//! Every action, in the order of the phases.

mod gitops;
mod health;
mod join;
mod network;
mod pre;
pub(crate) mod reconcile;
mod storage;

use checks::Context;
use reports::model::Phase;

use crate::Action;

/// The actions of one phase, in the order in which they are done.
#[must_use]
pub fn of(phase: Phase) -> &'static [Action] {
    match phase {
        Phase::GitopsActivation => gitops::ACTIONS,
        Phase::NodeJoinMonitoring => join::ACTIONS,
        Phase::StorageIntegration => storage::ACTIONS,
        Phase::PreValidation => pre::ACTIONS,
        Phase::NetworkValidation => network::ACTIONS,
        Phase::HealthVerification => health::ACTIONS,
        Phase::MonitoringIntegration | Phase::SecurityValidation | Phase::PostValidation => &[],
    }
}

/// What a person should do or know before a phase waits; nothing for most.
pub async fn advice(phase: Phase, cx: &Context) -> Option<String> {
    match phase {
        Phase::NodeJoinMonitoring => join::advice(cx).await,
        _ => None,
    }
}

/// Every action.
pub fn all() -> impl Iterator<Item = &'static Action> {
    Phase::ALL.into_iter().flat_map(of)
}

/// One action by its id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Action> {
    all().find(|action| action.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use checks::{
        Need,
        pre::permissions::{ACTION_NEEDS, LOCK},
    };

    use super::*;

    #[test]
    fn the_rights_that_are_asked_for_before_a_run_are_those_that_actions_declare() {
        let shown = |action: &str, need: &Need| format!("{action} {need:?}");
        let declared: BTreeSet<String> = all()
            .flat_map(|action| action.needs.iter().map(|need| (action.id, need)))
            .filter(|(_, need)| !matches!(need, Need::Repository))
            .chain(crate::lease::NEEDS.iter().map(|need| (LOCK, need)))
            .map(|(id, need)| shown(id, need))
            .collect();
        let asked: BTreeSet<String> = ACTION_NEEDS
            .iter()
            .map(|(action, need)| shown(action, need))
            .collect();
        let missing: Vec<_> = declared.difference(&asked).collect();
        let idle: Vec<_> = asked.difference(&declared).collect();
        assert!(
            missing.is_empty() && idle.is_empty(),
            "not asked: {missing:?}; asked for nobody: {idle:?}"
        );
    }
}
