//! Figures over many durations.

use jiff::SignedDuration;
use serde::Serializer;

use crate::model::{Kind, PhaseReport, Progress, Report};

/// How long a phase took at the start that completed it. The report keeps the first beginning of a phase, and between
/// that and its end may lie the days in which somebody mended something; its checks were all asked at the last start.
pub(super) fn took(report: &Report, phase: &PhaseReport) -> Option<SignedDuration> {
    if report.resumed == 0 {
        return phase.duration();
    }
    let finished = phase.finished?;
    let began = phase
        .cases
        .iter()
        .filter(|case| case.kind == Kind::Check)
        .filter_map(|case| match &case.progress {
            Progress::Done(ended) => Some(ended.started),
            Progress::NotStarted | Progress::InProgress { .. } => None,
        })
        .min()
        .or(phase.started)?;
    Some(finished.duration_since(began))
}

/// The middle of sorted durations; of an even number the mean of the two in the middle.
#[must_use]
pub fn median(sorted: &[SignedDuration]) -> Option<SignedDuration> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(middle.checked_sub(1)?)?;
    lower.checked_add(upper).map(|sum| sum / 2)
}

/// The smallest of sorted durations that so many per cent of them do not exceed (nearest rank).
#[must_use]
pub fn percentile(sorted: &[SignedDuration], per_cent: usize) -> Option<SignedDuration> {
    let rank = (sorted.len() * per_cent.min(100)).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[expect(clippy::ref_option, reason = "the signature that serde calls")]
pub(super) fn seconds<S: Serializer>(
    duration: &Option<SignedDuration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_some(&duration.as_secs_f64()),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seconds: &[i64]) -> Vec<SignedDuration> {
        seconds
            .iter()
            .map(|one| SignedDuration::from_secs(*one))
            .collect()
    }

    #[test]
    fn the_middle_and_the_slow_end() {
        let seconds = |found: Option<SignedDuration>| found.map(|it| it.as_millis());
        assert_eq!(median(&[]), None);
        assert_eq!(percentile(&[], 95), None);
        assert_eq!(seconds(median(&of(&[7]))), Some(7_000));
        assert_eq!(seconds(median(&of(&[1, 2, 4]))), Some(2_000));
        assert_eq!(seconds(median(&of(&[1, 2, 3, 9]))), Some(2_500));
        let hundred: Vec<i64> = (1..=100).collect();
        assert_eq!(seconds(percentile(&of(&hundred), 95)), Some(95_000));
        assert_eq!(seconds(percentile(&of(&[1, 2, 3]), 95)), Some(3_000));
        assert_eq!(seconds(percentile(&of(&[1, 2, 3]), 0)), Some(1_000));
        assert_eq!(seconds(percentile(&of(&[1, 2, 3]), 500)), Some(3_000));
    }
}
