//! The nine phases, in their order.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One of the nine steps of an onboarding. The order of the variants is the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// May this cluster take a node?
    PreValidation,
    /// Is the node's configuration in git, and did Flux take it?
    GitopsActivation,
    /// Is the node in the cluster?
    NodeJoinMonitoring,
    /// Does Longhorn use it?
    StorageIntegration,
    /// Does traffic cross?
    NetworkValidation,
    /// Would we see it fail?
    MonitoringIntegration,
    /// Is it as closed as the others?
    SecurityValidation,
    /// Is everything that was right before still right?
    PostValidation,
    /// Would you give it work?
    HealthVerification,
}

impl Phase {
    /// All phases in order.
    pub const ALL: [Self; 9] = [
        Self::PreValidation,
        Self::GitopsActivation,
        Self::NodeJoinMonitoring,
        Self::StorageIntegration,
        Self::NetworkValidation,
        Self::MonitoringIntegration,
        Self::SecurityValidation,
        Self::PostValidation,
        Self::HealthVerification,
    ];

    /// The name in reports and in the state file, as the specification spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreValidation => "pre_validation",
            Self::GitopsActivation => "gitops_activation",
            Self::NodeJoinMonitoring => "node_join_monitoring",
            Self::StorageIntegration => "storage_integration",
            Self::NetworkValidation => "network_validation",
            Self::MonitoringIntegration => "monitoring_integration",
            Self::SecurityValidation => "security_validation",
            Self::PostValidation => "post_validation",
            Self::HealthVerification => "health_verification",
        }
    }

    /// The name on the command line and in ids: `storage` in `storage::node_ready`.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::PreValidation => "pre",
            Self::GitopsActivation => "gitops",
            Self::NodeJoinMonitoring => "join",
            Self::StorageIntegration => "storage",
            Self::NetworkValidation => "network",
            Self::MonitoringIntegration => "monitoring",
            Self::SecurityValidation => "security",
            Self::PostValidation => "post",
            Self::HealthVerification => "health",
        }
    }

    /// What the phase asks, for headings.
    #[must_use]
    pub const fn question(self) -> &'static str {
        match self {
            Self::PreValidation => "may this cluster take a node?",
            Self::GitopsActivation => "is the node's configuration in git, and did Flux take it?",
            Self::NodeJoinMonitoring => "is it in the cluster?",
            Self::StorageIntegration => "does Longhorn use it?",
            Self::NetworkValidation => "does traffic cross?",
            Self::MonitoringIntegration => "would we see it fail?",
            Self::SecurityValidation => "is it as closed as the others?",
            Self::PostValidation => "is everything that was right before still right?",
            Self::HealthVerification => "would you give it work?",
        }
    }

    /// Position from 1 to 9.
    #[must_use]
    pub const fn number(self) -> usize {
        self as usize + 1
    }

    /// The phase that an id such as `storage::node_ready` belongs to.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Self> {
        let (prefix, _) = id.split_once("::")?;
        Self::ALL.into_iter().find(|phase| phase.short() == prefix)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no phase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown phase `{0}`, expected one of pre gitops join storage network monitoring security post health \
     (or their long names such as storage_integration)"
)]
pub struct UnknownPhase(pub String);

impl FromStr for Phase {
    type Err = UnknownPhase;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.short() == text || phase.name() == text)
            .ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read_and_nothing_else() {
        for phase in Phase::ALL {
            assert_eq!(phase.short().parse(), Ok(phase));
            assert_eq!(phase.name().parse(), Ok(phase));
            assert_eq!(Phase::of_id(&format!("{}::x", phase.short())), Some(phase));
        }
        assert!("Storage".parse::<Phase>().is_err());
        assert!("".parse::<Phase>().is_err());
        assert_eq!(Phase::of_id("storage"), None);
    }

    #[test]
    fn numbers_follow_the_order() {
        let numbers: Vec<usize> = Phase::ALL.iter().map(|phase| phase.number()).collect();
        assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    }
}
