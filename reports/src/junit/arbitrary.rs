//! Any report at all, for property tests.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::samples::{blank, case};
use crate::model::{
    ActionRecord, ActionState, ClusterState, Ended, Mode, Outcome, PhaseState, Progress, Report,
    Table,
};

pub(crate) fn any_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,12}",
        any::<String>(),
        Just("]]>".to_owned()),
        Just("\u{1b}[1;31m".to_owned()),
        Just("\u{1b}]0;".to_owned()),
        Just("-->".to_owned()),
        Just("K3S_TOKEN=worker:pw ".to_owned()),
        Just("-----BEGIN PRIVATE KEY-----\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("https://u:p@h/ ".to_owned()),
        Just("token: ".to_owned()),
        Just("kind: Secret\ndata:\n  a: b\n".to_owned()),
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (
        Timestamp::MIN.as_second()..=Timestamp::MAX.as_second(),
        0..1_000_000_000_i32,
    )
        .prop_map(|(second, nano)| Timestamp::new(second, nano).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn any_duration() -> impl Strategy<Value = SignedDuration> {
    prop_oneof![
        (any::<u32>(), 0..1_000_000_000_i32)
            .prop_map(|(secs, nanos)| SignedDuration::new(i64::from(secs), nanos)),
        Just(SignedDuration::MAX),
        Just(SignedDuration::MIN),
    ]
}

prop_compose! {
    fn any_ended()(
        outcome in proptest::sample::select(&Outcome::ALL[..]),
        texts in proptest::array::uniform4(any_text()),
        evidence in proptest::collection::vec(any_text(), 0..4),
        blocked_by in proptest::collection::vec(any_text(), 0..3),
        started in any_time(),
        duration in any_duration(),
        requests in any::<u64>(),
    ) -> Ended {
        let [reason, message, hint, at] = texts;
        Ended { outcome, reason, message, evidence, hint, blocked_by, started, duration, requests, at }
    }
}

fn any_progress() -> impl Strategy<Value = Progress> {
    prop_oneof![
        Just(Progress::NotStarted),
        any_time().prop_map(|started| Progress::InProgress { started }),
        any_ended().prop_map(|ended| Progress::Done(Box::new(ended))),
    ]
}

prop_compose! {
    fn any_action()(
        id in any_text(),
        state in proptest::sample::select(&[ActionState::Begun, ActionState::Done, ActionState::Undone][..]),
        started in any_time(),
        finished in proptest::option::of(any_time()),
        recorded in proptest::collection::btree_map(any_text(), any_text(), 0..3),
    ) -> ActionRecord {
        ActionRecord { id, state, started, finished, recorded }
    }
}

prop_compose! {
    pub(crate) fn any_report()(
        sequence in any::<u64>(),
        mode in proptest::sample::select(&[Mode::Onboard, Mode::DryRun, Mode::Inspect, Mode::Rollback][..]),
        texts in proptest::array::uniform4(any_text()),
        started in any_time(),
        finished in proptest::option::of(any_time()),
        exit_code in proptest::option::of(any::<u8>()),
        cases in proptest::collection::vec((any_text(), any_text(), any_progress()), 0..4),
        state in proptest::sample::select(&[PhaseState::Failed, PhaseState::Skipped, PhaseState::InProgress][..]),
        actions in proptest::collection::vec(any_action(), 0..3),
        table in proptest::option::of(proptest::collection::vec(any_text(), 0..3)),
        (repository, requests, others) in (
            any::<bool>(), any::<u64>(), proptest::collection::btree_map(any_text(), any::<u64>(), 0..3),
        ),
        steps in proptest::collection::vec((any_text(), any_progress()), 0..3),
    ) -> Report {
        let mut report = blank();
        let [run, node, uid, error] = texts;
        (report.sequence, report.mode, report.run, report.node) = (sequence, mode, run, node);
        (report.started, report.finished, report.exit_code) = (started, finished, exit_code);
        report.cluster.uid = uid;
        if !repository { report.repository = None; }
        let phase = &mut report.phases[4];
        (phase.state, phase.started, phase.finished, phase.error) = (state, finished, Some(started), error);
        phase.cases = cases.into_iter().map(|(id, title, progress)| {
            let mut case = case(&id, progress);
            case.title = title;
            case
        }).collect();
        report.steps = steps.into_iter().map(|(id, progress)| case(&id, progress)).collect();
        report.actions = actions;
        (report.requests, report.other_requests) = (requests, others);
        report.state = table.map(|row| ClusterState {
            tables: vec![Table { title: row.concat(), columns: row.clone(), rows: vec![row] }],
        });
        report
    }
}
