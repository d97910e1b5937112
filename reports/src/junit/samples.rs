//! Reports for tests.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::model::{
    ActionRecord, ActionState, Case, Cluster, ClusterState, Ended, Kind, Mode, Outcome, Phase,
    PhaseReport, PhaseState, Progress, Report, RepositoryIdentity, SCHEMA, Severity, Table,
};

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_342_502 + second).unwrap()
}

pub(crate) fn case(id: &str, progress: Progress) -> Case {
    Case {
        id: id.to_owned(),
        title: format!("{id} holds"),
        kind: Kind::Check,
        severity: Severity::Fail,
        criterion: "2.3".to_owned(),
        progress,
    }
}

pub(crate) fn done(outcome: Outcome, reason: &str, message: &str) -> Progress {
    Progress::Done(Box::new(Ended {
        outcome,
        reason: reason.to_owned(),
        message: message.to_owned(),
        evidence: Vec::new(),
        hint: String::new(),
        blocked_by: Vec::new(),
        started: at(10),
        duration: SignedDuration::from_millis(4),
        requests: 1,
        at: String::new(),
    }))
}

/// An onboarding that has not begun: nine phases, no cases.
pub(crate) fn blank() -> Report {
    let phase = |phase| PhaseReport {
        phase,
        state: PhaseState::NotStarted,
        started: None,
        finished: None,
        error: String::new(),
        requests: 0,
        cases: Vec::new(),
    };
    Report {
        schema: SCHEMA,
        sequence: 0,
        run: "7f3a91c2".to_owned(),
        mode: Mode::Onboard,
        node: "k3s2".to_owned(),
        cluster: Cluster {
            uid: "0b5e1c1e-0000-4000-8000-000000000001".to_owned(),
            name: "home".to_owned(),
            server: "https://192.168.86.71:6443".to_owned(),
            version: "v1.36.2+k3s1".to_owned(),
            sandbox: false,
        },
        repository: Some(RepositoryIdentity {
            remote: "git@github.com:me/k3s-flux.git".to_owned(),
            branch: "main".to_owned(),
            file: "infrastructure/storage/kustomization.yaml".to_owned(),
            entry: "../k3s2-node-config/".to_owned(),
        }),
        tool: "0.1.0".to_owned(),
        started: at(0),
        finished: None,
        exit_code: None,
        resumed: 0,
        phases: Phase::ALL.into_iter().map(phase).collect(),
        steps: Vec::new(),
        actions: Vec::new(),
        requests: 0,
        other_requests: std::collections::BTreeMap::new(),
        state: None,
    }
}

/// One that stopped in the storage phase, with one case of every outcome.
pub(crate) fn stopped() -> Report {
    let mut report = blank();
    report.finished = Some(at(200));
    report.exit_code = Some(1);
    report.requests = 93;
    for (phase, from, to) in [
        (Phase::PreValidation, 0, 1),
        (Phase::GitopsActivation, 1, 5),
        (Phase::NodeJoinMonitoring, 5, 53),
    ] {
        let one = report.phase_mut(phase).unwrap();
        (one.state, one.started, one.finished, one.requests) =
            (PhaseState::Completed, Some(at(from)), Some(at(to)), 31);
    }
    report.phase_mut(Phase::PreValidation).unwrap().cases = vec![
        case(
            "pre::api_live",
            done(Outcome::Pass, "", "the API server is live"),
        ),
        case(
            "pre::longhorn_volumes",
            done(
                Outcome::Warn,
                "VolumesDegraded",
                "2 of 14 degraded: pvc-0a1, pvc-77c",
            ),
        ),
        case(
            "pre::metrics_api",
            done(
                Outcome::Skip,
                "NoMetricsServer",
                "metrics-server is not installed",
            ),
        ),
    ];
    let mut push = case(
        "gitops::push",
        done(Outcome::Pass, "", "origin/main 51aa0b2 → 9d0c4e1"),
    );
    push.kind = Kind::Action;
    report.phase_mut(Phase::GitopsActivation).unwrap().cases = vec![push];
    let mut failed = done(Outcome::Fail, "DiskNotReady", "disk sdb1 is not ready");
    if let Progress::Done(ended) = &mut failed {
        ended.evidence = vec![
            "disk sdb1 at /mnt/longhorn/sdb1: Ready=False".to_owned(),
            "\"no such file\"".to_owned(),
        ];
        ended.hint = "on k3s2: mkdir -p /mnt/longhorn/sdb1 && mount /mnt/longhorn/sdb1".to_owned();
        ended.at = "checks/src/storage.rs:120".to_owned();
        ended.duration = SignedDuration::from_millis(130_250);
    }
    let mut blocked = done(
        Outcome::Blocked,
        "Blocked",
        "waits for storage::disks_ready",
    );
    if let Progress::Done(ended) = &mut blocked {
        ended.blocked_by = vec!["storage::disks_ready".to_owned()];
    }
    let storage = report.phase_mut(Phase::StorageIntegration).unwrap();
    (storage.state, storage.started, storage.finished) =
        (PhaseState::Failed, Some(at(53)), Some(at(183)));
    storage.error = "DiskNotReady: disk sdb1 is not ready".to_owned();
    storage.cases = vec![
        case("storage::disks_ready", failed),
        case("storage::capacity", blocked),
        case(
            "storage::manager_on_node",
            done(Outcome::Error, "DeadlinePassed", "no answer within 10 s"),
        ),
        case(
            "storage::replicas",
            Progress::InProgress { started: at(60) },
        ),
        case("storage::reconcile", Progress::NotStarted),
    ];
    report.actions = vec![ActionRecord {
        id: "gitops::push".to_owned(),
        state: ActionState::Done,
        started: at(2),
        finished: Some(at(3)),
        recorded: BTreeMap::from([
            ("after".to_owned(), "9d0c4e1".to_owned()),
            (
                "pre_image".to_owned(),
                "resources:\r\n# - ../k3s2-node-config/\r\n".to_owned(),
            ),
        ]),
    }];
    report.state = Some(ClusterState {
        tables: vec![Table {
            title: "Nodes".to_owned(),
            columns: vec!["name".to_owned(), "ready".to_owned()],
            rows: vec![
                vec!["k3s1".to_owned(), "True".to_owned()],
                vec!["k3s2".to_owned(), "True".to_owned()],
            ],
        }],
    });
    report
}
