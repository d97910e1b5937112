use jiff::SignedDuration;
use pretty_assertions::assert_eq;
use reports::{
    archive::write_junit,
    model::{Outcome, Phase, PhaseState, Report},
};

use super::*;
use crate::{testing, text::columns};

/// A run that began so many minutes after the first one.
fn run(id: &str, minutes: i64, stopped: Option<Phase>) -> Report {
    let mut report = testing::report(Mode::Onboard);
    report.run = id.to_owned();
    report.started = testing::then()
        .checked_add(SignedDuration::from_mins(minutes))
        .unwrap();
    for number in 0..report.phases.len() {
        let one = report.phases[number].phase;
        let state = match stopped {
            Some(phase) if one > phase => PhaseState::NotStarted,
            Some(phase) if one == phase => PhaseState::Failed,
            _ => PhaseState::Completed,
        };
        let outcome = if state == PhaseState::Failed {
            Outcome::Fail
        } else {
            Outcome::Pass
        };
        if state == PhaseState::NotStarted {
            continue;
        }
        let mut case = testing::case(
            &format!("{}::ready", one.short()),
            outcome,
            if outcome == Outcome::Fail {
                "NotReady"
            } else {
                ""
            },
            "what was found",
        );
        testing::ended(&mut case).started = report.started;
        testing::phase(&mut report, one, state, 3, vec![case]);
        report.phases[number].started = Some(report.started);
        report.phases[number].finished = Some(
            report
                .started
                .checked_add(SignedDuration::from_secs(2 + minutes))
                .unwrap(),
        );
        if state == PhaseState::Failed {
            report.phases[number].error = "NotReady: the node is not Ready".to_owned();
        }
    }
    report.finished = Some(
        report
            .started
            .checked_add(SignedDuration::from_secs(42))
            .unwrap(),
    );
    report
}

fn archive(reports: &[Report]) -> (tempfile::TempDir, Chronicle) {
    let dir = tempfile::tempdir().unwrap();
    let logs = LogFolder::open_or_create(&dir.path().join("logs")).unwrap();
    for report in reports {
        write_junit(&logs, report, report.finished.unwrap()).unwrap();
    }
    let chronicle = read(&dir.path().join("logs"), "k3s2").unwrap();
    (dir, chronicle)
}

fn shown(chronicle: &Chronicle, width: usize) -> Vec<String> {
    let look = Look {
        color: false,
        width: Some(width),
    };
    screen::lines(
        Path::new("/tmp/k3s2-onboarding-logs"),
        "k3s2",
        chronicle,
        look,
    )
}

#[test]
fn the_screen_fits_eighty_columns() {
    let mut resumed = run("cccccccc", 3, None);
    resumed.resumed = 1;
    let (_dir, chronicle) = archive(&[
        run("aaaaaaaa", 0, None),
        run("bbbbbbbb", 1, Some(Phase::StorageIntegration)),
        resumed,
    ]);
    let lines = shown(&chronicle, 80);
    for line in &lines {
        assert!(columns(line) <= 80, "{line:?}");
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    k3s2 · 3 runs · 22 Nov 2026 to 22 Nov 2026
    from /tmp/k3s2-onboarding-logs

    onboardings     3   2 complete (66 %), 1 of them after a resume

    Fails most often          runs   of   reasons
    storage::ready               1    3   NotReady 1

    Time in each phase        completed  failed in      median         95 %
    pre_validation                    3          0       3.0 s        5.0 s
    gitops_activation                 3          0       3.0 s        5.0 s
    node_join_monitoring              3          0       3.0 s        5.0 s
    storage_integration               2          1       3.5 s        5.0 s
    network_validation                2          0       3.5 s        5.0 s
    monitoring_integration            2          0       3.5 s        5.0 s
    security_validation               2          0       3.5 s        5.0 s
    post_validation                   2          0       3.5 s        5.0 s
    health_verification               2          0       3.5 s        5.0 s

    Runs, oldest first
    2026-11-22 10:15  aaaaaaaa  onboard   complete · 42 s
    2026-11-22 10:16  bbbbbbbb  onboard   stopped at storage_integration: NotReady:…
    2026-11-22 10:18  cccccccc  onboard   complete · resumed once
    ");
}

#[test]
fn no_run_and_odd_files_are_said() {
    let (dir, chronicle) = archive(&[]);
    assert_eq!(
        shown(&chronicle, 80),
        ["no run of k3s2 is archived in /tmp/k3s2-onboarding-logs"]
    );
    let absent = read(&dir.path().join("elsewhere"), "k3s2").unwrap();
    assert_eq!(absent, Chronicle::default());
    for number in 0..12 {
        let name = format!("k3s2-onboarding-20260101-0000{number:02}.xml");
        std::fs::write(dir.path().join("logs").join(name), "<cut").unwrap();
    }
    let odd = read(&dir.path().join("logs"), "k3s2").unwrap();
    let lines = shown(&odd, 80);
    assert!(
        lines.contains(&"12 files damaged:".to_owned()),
        "{lines:#?}"
    );
    assert_eq!(lines.last().unwrap(), "  and 2 more: --format json");
    assert!(lines.iter().all(|line| columns(line) <= 80), "{lines:#?}");
}

#[test]
fn the_form_for_programs_has_every_figure() {
    let (_dir, chronicle) = archive(&[
        run("aaaaaaaa", 0, None),
        run("bbbbbbbb", 1, Some(Phase::StorageIntegration)),
    ]);
    let object = object(Path::new("/logs"), "k3s2", &chronicle);
    assert_eq!(object["schema"], 1);
    assert_eq!(object["event"], "history");
    assert_eq!(object["onboard"]["runs"], 2);
    assert_eq!(object["onboard"]["success_rate"], 0.5);
    assert!(object["rollback"]["success_rate"].is_null());
    assert_eq!(object["failing"][0]["id"], "storage::ready");
    assert_eq!(object["failing"][0]["reasons"][0]["reason"], "NotReady");
    assert_eq!(object["phases"][0]["phase"], "pre_validation");
    assert_eq!(object["phases"][0]["median"], 2.5);
    assert_eq!(object["phases"][0]["p95"], 3.0);
    assert_eq!(object["runs"][1]["stopped_at"], "storage_integration");
    assert_eq!(object["runs"].as_array().unwrap().len(), 2);
}
