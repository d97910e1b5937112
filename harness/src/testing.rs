//! Values for tests of what is shown.

use jiff::{SignedDuration, Timestamp};
use reports::model::{
    Case, Cluster, Ended, Kind, Mode, Outcome, Phase, PhaseReport, PhaseState, Progress, Report,
    RepositoryIdentity, SCHEMA, Severity,
};

use crate::event::Event;

/// When everything in these tests happens.
pub(crate) fn then() -> Timestamp {
    "2026-11-22T10:15:02Z".parse().unwrap()
}

/// A case that has ended after 4 ms.
pub(crate) fn case(id: &str, outcome: Outcome, reason: &str, message: &str) -> Case {
    Case {
        id: id.into(),
        title: "It is so.".into(),
        kind: Kind::Check,
        severity: Severity::Fail,
        criterion: "2.3".into(),
        progress: Progress::Done(Box::new(Ended {
            outcome,
            reason: reason.into(),
            message: message.into(),
            evidence: Vec::new(),
            hint: String::new(),
            blocked_by: Vec::new(),
            started: then(),
            duration: SignedDuration::from_millis(4),
            requests: 1,
            at: String::new(),
        })),
    }
}

/// The end of a case, to be changed.
pub(crate) fn ended(case: &mut Case) -> &mut Ended {
    match &mut case.progress {
        Progress::Done(ended) => ended,
        Progress::NotStarted | Progress::InProgress { .. } => panic!("{} has not ended", case.id),
    }
}

/// The cluster of these tests.
pub(crate) fn cluster() -> Cluster {
    Cluster {
        uid: "4f1c".into(),
        name: "home".into(),
        server: "https://192.168.86.71:6443".into(),
        version: "v1.36.2+k3s1".into(),
        sandbox: false,
    }
}

/// The repository of these tests.
pub(crate) fn repository() -> RepositoryIdentity {
    RepositoryIdentity {
        remote: "git@github.com:me/k3s-flux.git".into(),
        branch: "main".into(),
        file: "infrastructure/storage/kustomization.yaml".into(),
        entry: "../k3s2-node-config/".into(),
    }
}

/// The beginning of a run.
pub(crate) fn started(ordered: bool) -> Event {
    Event::Started {
        run: "7f3a91c2".into(),
        mode: if ordered {
            Mode::Onboard
        } else {
            Mode::Inspect
        },
        ordered,
        resumed: false,
        node: "k3s2".into(),
        cluster: cluster(),
        repository: Some(repository()),
        followed_by: "flux-system/flux-system".into(),
        log: Some("/tmp/k3s2-onboarding-logs/k3s2-onboarding-20261122-101502.log".into()),
    }
}

/// A report in which nothing has been reached.
pub(crate) fn report(mode: Mode) -> Report {
    Report {
        schema: SCHEMA,
        sequence: 1,
        run: "7f3a91c2".into(),
        mode,
        node: "k3s2".into(),
        cluster: cluster(),
        repository: Some(repository()),
        tool: "0.1.0".into(),
        started: then(),
        finished: None,
        exit_code: None,
        resumed: 0,
        phases: Phase::ALL
            .into_iter()
            .map(|phase| PhaseReport {
                phase,
                state: PhaseState::NotStarted,
                started: None,
                finished: None,
                error: String::new(),
                requests: 0,
                cases: Vec::new(),
            })
            .collect(),
        steps: Vec::new(),
        actions: Vec::new(),
        requests: 0,
        other_requests: std::collections::BTreeMap::new(),
        state: None,
    }
}

/// Puts a phase into a state, after so many seconds, with these cases.
pub(crate) fn phase(
    report: &mut Report,
    phase: Phase,
    state: PhaseState,
    seconds: i64,
    cases: Vec<Case>,
) {
    let one = report.phase_mut(phase).unwrap();
    one.state = state;
    one.started = Some(then());
    one.finished = Some(then() + SignedDuration::from_secs(seconds));
    one.cases = cases;
}

/// A context whose cluster nobody serves.
pub(crate) async fn unserved() -> checks::Context {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let text = "{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: \
                'http://127.0.0.1:9'}}], users: [{name: a, user: {}}], contexts: [{name: a, context: {cluster: a, \
                user: a}}]}";
    std::fs::write(&file, text).unwrap();
    let connection = checks::cluster::Connection::open(Some(&file), None, "r")
        .await
        .unwrap();
    checks::Context {
        view: checks::view::View::live(connection.reader().unwrap()),
        settings: std::sync::Arc::new(checks::Settings::default()),
        repository: None,
        report: std::sync::Arc::new(report(Mode::Onboard)),
    }
}
