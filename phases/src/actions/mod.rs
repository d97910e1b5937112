//! Every action, in the order of the phases.

use reports::model::Phase;

use crate::Action;

/// The actions of one phase, in the order in which they are done.
#[must_use]
pub fn of(phase: Phase) -> &'static [Action] {
    match phase {
        Phase::PreValidation
        | Phase::GitopsActivation
        | Phase::NodeJoinMonitoring
        | Phase::StorageIntegration
        | Phase::NetworkValidation
        | Phase::MonitoringIntegration
        | Phase::SecurityValidation
        | Phase::PostValidation
        | Phase::HealthVerification => &[],
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
