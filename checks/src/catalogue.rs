//! Every check, in the order of the phases.

use reports::model::Phase;

use crate::Check;

/// The checks of one phase, in the order in which they are listed and asked.
#[must_use]
pub fn of(phase: Phase) -> &'static [Check] {
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

/// Every check.
pub fn all() -> impl Iterator<Item = &'static Check> {
    Phase::ALL.into_iter().flat_map(of)
}

/// One check by its id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Check> {
    all().find(|check| check.id == id)
}
