//! Where the report and the cluster disagree.

use reports::model::{Mode, Phase, PhaseState, Report};

use super::now::{Known, Now};

/// One disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remark {
    /// The report is of another cluster than the one that answered.
    OtherCluster,
    /// The node is there and nothing on record says why.
    NotOnRecord,
    /// The report says that it joined, and it is not there.
    Vanished,
    /// The report says that it was Ready, and it is not.
    NotReady,
    /// The report says that Longhorn uses it, and it does not.
    NotUsable,
    /// A rollback has begun and is not through.
    RollbackUnfinished,
    /// The report says that it was taken out, and it is there.
    CameBack,
    /// What the run stopped at is no longer so.
    Changed(Phase),
}

impl Remark {
    /// For people; `again` is what has to be given with `--resume`.
    pub(super) fn sentence(&self, again: &str) -> String {
        match self {
            Self::OtherCluster => {
                "the report is of another cluster than the one that answered".into()
            }
            Self::NotOnRecord => {
                "it is in the cluster, and no onboarding of it is on record here".into()
            }
            Self::Vanished => "the report says that it joined, and it is not in the cluster".into(),
            Self::NotReady => "the report says that it was Ready, and it is not".into(),
            Self::NotUsable => {
                "the report says that Longhorn uses its disks, and it does not".into()
            }
            Self::RollbackUnfinished => format!("a rollback is unfinished: --rollback{again}"),
            Self::CameBack => {
                "the report says that it was taken out, and it is in the cluster".into()
            }
            Self::Changed(phase) => format!(
                "has changed since the report stopped at {}: --resume{again}",
                phase.name()
            ),
        }
    }
}

/// Every disagreement that can be told.
pub(super) fn remarks(report: Option<&Report>, running: bool, now: &Now) -> Vec<Remark> {
    let Now::Known(known) = now else {
        return Vec::new();
    };
    let Some(report) = report else {
        return known.node.iter().map(|_| Remark::NotOnRecord).collect();
    };
    if !report.cluster.uid.is_empty() && report.cluster.uid != known.uid {
        return vec![Remark::OtherCluster];
    }
    // While a run is going, the world is allowed to be ahead of what is written.
    if running {
        return Vec::new();
    }
    if report.mode == Mode::Rollback {
        let through = report.exit_code == Some(0);
        return match (through, &known.node) {
            (false, _) => vec![Remark::RollbackUnfinished],
            (true, Some(_)) => vec![Remark::CameBack],
            (true, None) => Vec::new(),
        };
    }
    let state = |phase| report.phase(phase).map(|one| one.state);
    let through = |phase| state(phase) == Some(PhaseState::Completed);
    let mut remarks = Vec::new();
    if through(Phase::NodeJoinMonitoring) {
        match &known.node {
            None => remarks.push(Remark::Vanished),
            Some(node) if !node.ready => remarks.push(Remark::NotReady),
            Some(_) => {}
        }
    }
    if through(Phase::StorageIntegration) && known.node.is_some() && !known.storage.usable() {
        remarks.push(Remark::NotUsable);
    }
    remarks.extend(changed(report, known));
    remarks
}

/// Whether the phase that failed looks better now, as far as a node and its disks tell.
fn changed(report: &Report, known: &Known) -> Option<Remark> {
    let failed = report
        .phases
        .iter()
        .find(|one| one.state == PhaseState::Failed)?;
    let better = match failed.phase {
        Phase::NodeJoinMonitoring => known.node.as_ref().is_some_and(|node| node.ready),
        Phase::StorageIntegration => known.storage.usable(),
        _ => false,
    };
    better.then_some(Remark::Changed(failed.phase))
}
