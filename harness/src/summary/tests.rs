use pretty_assertions::assert_eq;
use reports::model::{ActionRecord, Mode};

use super::*;
use crate::testing;

fn blocked(id: &str, by: &[&str]) -> Case {
    let mut case = testing::case(id, Outcome::Blocked, "Blocked", "something did not pass");
    testing::ended(&mut case).blocked_by = by.iter().map(|&one| one.to_owned()).collect();
    case
}

fn disk() -> Case {
    let mut case = testing::case(
        "storage::disks_ready",
        Outcome::Fail,
        "DiskNotReady",
        "disk sdb1 at /mnt/longhorn/sdb1: Ready=False, \"failed to get disk config: no such file or directory\"",
    );
    let ended = testing::ended(&mut case);
    ended.hint = "on k3s2: mkdir -p /mnt/longhorn/sdb1 && mount /mnt/longhorn/sdb1".into();
    ended.evidence = (1..=8)
        .map(|number| format!("fact {number}\u{1b}[2J"))
        .collect();
    case
}

fn done(id: &str, recorded: &[(&str, &str)]) -> ActionRecord {
    ActionRecord {
        id: id.into(),
        state: ActionState::Done,
        started: testing::then(),
        finished: Some(testing::then()),
        recorded: recorded
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect(),
    }
}

fn stopped() -> Report {
    let mut report = testing::report(Mode::Onboard);
    for phase in [
        Phase::PreValidation,
        Phase::GitopsActivation,
        Phase::NodeJoinMonitoring,
    ] {
        testing::phase(&mut report, phase, PhaseState::Completed, 2, Vec::new());
    }
    testing::phase(
        &mut report,
        Phase::StorageIntegration,
        PhaseState::Failed,
        130,
        vec![
            testing::case("storage::node_ready", Outcome::Pass, "", "ready"),
            disk(),
            blocked("storage::disks_schedulable", &["storage::disks_ready"]),
            blocked("storage::capacity", &["storage::disks_schedulable"]),
            testing::case(
                "storage::environment",
                Outcome::Warn,
                "Packages",
                "nfs-common is missing",
            ),
        ],
    );
    report.actions = vec![
        done("gitops::commit", &[("commit", "9d0c4e1aaaaaaaaaaaaaaa")]),
        done("gitops::push", &[]),
    ];
    report
}

fn summary<'a>(report: &'a Report, exit: Exit, files: &'a [(String, PathBuf)]) -> Summary<'a> {
    Summary {
        report,
        exit,
        files,
        ordered: report.mode == Mode::Onboard,
        fail_on_warn: false,
        again: "",
        ephemeral: false,
        rollback: Some("1 pod to evict, 0 volumes at risk"),
    }
}

fn files() -> Vec<(String, PathBuf)> {
    vec![
        (
            "log".into(),
            "/tmp/l/k3s2-onboarding-20261122-101502.log".into(),
        ),
        (
            "markdown".into(),
            "/tmp/l/k3s2-onboarding-report-20261122-101502.md".into(),
        ),
    ]
}

fn look(width: Option<usize>) -> Look {
    Look {
        color: false,
        width,
    }
}

#[test]
fn a_run_that_stopped_says_what_was_seen_what_to_do_and_what_is_possible() {
    let report = stopped();
    let files = files();
    let lines = summary(&report, Exit::Failed, &files).lines(look(Some(80)));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    storage_integration FAILED after 2 min 10 s · 1 cause, 2 blocked

      storage::disks_ready   DiskNotReady
        saw     disk sdb1 at /mnt/longhorn/sdb1: Ready=False, "failed to get disk
                config: no such file or directory"
                fact 1
                fact 2
                fact 3
                fact 4
                fact 5
                fact 6
                and 2 more facts, in the report
        do      on k3s2: mkdir -p /mnt/longhorn/sdb1 && mount /mnt/longhorn/sdb1
                (more: harness --explain storage::disks_ready)
        blocks  disks_schedulable capacity

    1 warning
      storage::environment   nfs-common is missing

    Nothing was lost: 3 of 9 phases are done, commit 9d0c4e1 is pushed.
      --status     compares this with the cluster as it is now
      --resume     goes on at storage_integration, and does not ask the 3 phases before it again
      --rollback   takes k3s2 out again: 1 pod to evict, 0 volumes at risk
    log       /tmp/l/k3s2-onboarding-20261122-101502.log
    markdown  /tmp/l/k3s2-onboarding-report-20261122-101502.md
    exit 1
    "#);
}

#[test]
fn nothing_that_a_server_said_gets_through_as_it_was() {
    let mut report = stopped();
    let case = report.case_mut("storage::disks_ready").unwrap();
    let ended = testing::ended(case);
    ended.message = "x\u{1b}[2J\ny".into();
    ended.hint = "a\u{9b}1A\nb".into();
    ended.reason = "R\u{8}".into();
    for width in [None, Some(40), Some(120)] {
        let lines = summary(&report, Exit::Failed, &[]).lines(look(width));
        assert!(
            lines.iter().all(|line| !line.chars().any(char::is_control)),
            "{lines:?}"
        );
    }
}

#[test]
fn a_complete_run_is_short_and_names_its_files() {
    let mut report = testing::report(Mode::Onboard);
    for phase in Phase::ALL {
        let id = format!("{}::x", phase.short());
        let case = testing::case(&id, Outcome::Pass, "", "fine");
        testing::phase(&mut report, phase, PhaseState::Completed, 2, vec![case]);
    }
    report.finished = Some(testing::then() + jiff::SignedDuration::from_secs(754));
    report.actions = stopped().actions;
    let files = files();
    let lines = summary(&report, Exit::Passed, &files).lines(look(Some(80)));
    insta::assert_snapshot!(lines.join("\n"), @r"
    k3s2 is onboarded into home: 9 of 9 phases completed in 12 min 34 s, 9 passed
    commit 9d0c4e1 is pushed
    log       /tmp/l/k3s2-onboarding-20261122-101502.log
    markdown  /tmp/l/k3s2-onboarding-report-20261122-101502.md
    exit 0
    ");
}

#[test]
fn an_inspection_names_failures_and_what_blocks_from_outside() {
    let mut report = testing::report(Mode::Inspect);
    testing::phase(
        &mut report,
        Phase::StorageIntegration,
        PhaseState::Failed,
        1,
        vec![disk(), blocked("storage::capacity", &["pre::api_live"])],
    );
    let lines = summary(&report, Exit::Failed, &[])
        .lines(look(None))
        .join("\n");
    assert!(
        lines.contains("storage::disks_ready   DiskNotReady"),
        "{lines}"
    );
    assert!(
        lines.contains("blocked by pre::api_live, which did not pass: storage::capacity"),
        "{lines}"
    );
    assert!(
        lines.ends_with("FAILED · 1 failed, 1 blocked · nothing was changed\nexit 1"),
        "{lines}"
    );
    assert!(!lines.contains("--resume"), "{lines}");
}

#[test]
fn what_was_mended_was_changed() {
    let mut report = testing::report(Mode::Inspect);
    report.actions.push(done("fix::uncordon", &[]));
    let said = |report: &Report, exit| summary(report, exit, &[]).lines(look(None)).join("\n");
    let inspected = said(&report, Exit::Passed);
    assert!(
        inspected.contains("changed by fix::uncordon"),
        "{inspected}"
    );
    assert!(!inspected.contains("nothing was changed"), "{inspected}");

    report.mode = Mode::Onboard;
    let ordered = said(&report, Exit::Failed);
    assert!(
        ordered.contains("phases are done, changed by fix::uncordon"),
        "{ordered}"
    );
    assert!(!ordered.contains("--rollback"), "{ordered}");
}

#[test]
fn warnings_that_count_are_causes() {
    let mut report = stopped();
    let storage = report.phase_mut(Phase::StorageIntegration).unwrap();
    storage
        .cases
        .retain(|case| case.id == "storage::environment");
    let mut summary = summary(&report, Exit::Failed, &[]);
    assert!(
        summary
            .lines(look(None))
            .iter()
            .any(|line| line == "1 warning")
    );
    summary.fail_on_warn = true;
    let lines = summary.lines(look(None)).join("\n");
    assert!(
        lines.contains("FAILED after 2 min 10 s · 1 cause\n"),
        "{lines}"
    );
}

#[test]
fn a_sandbox_that_ends_offers_no_resume_and_one_that_stays_names_itself() {
    let report = stopped();
    let mut summary = summary(&report, Exit::Interrupted, &[]);
    summary.again = " --sandbox=/w";
    let lines = summary.lines(look(None)).join("\n");
    assert!(
        lines.contains("--resume     goes on at storage_integration")
            && lines.contains("each with    --sandbox=/w\n"),
        "{lines}"
    );
    assert!(lines.contains(
        "Interrupted; nothing was lost: 3 of 9 phases are done, commit 9d0c4e1 is pushed."
    ));
    summary.ephemeral = true;
    let lines = summary.lines(look(None)).join("\n");
    assert!(
        !lines.contains("goes on at") && lines.contains("--sandbox-serve"),
        "{lines}"
    );
}

#[test]
fn the_object_says_the_same() {
    let report = stopped();
    let files = files();
    let value = summary(&report, Exit::Failed, &files).json();
    assert_eq!(value["exit_code"], 1);
    assert_eq!(value["stopped_at"], "storage_integration");
    assert_eq!(value["causes"][0]["id"], "storage::disks_ready");
    assert_eq!(
        value["causes"][0]["blocks"],
        json!(["storage::disks_schedulable", "storage::capacity"])
    );
    assert_eq!(value["outcomes"]["blocked"], 2);
    assert!(!value.to_string().contains("\\u001b"));
}

#[test]
fn causes_are_shown_and_consequences_are_folded_into_them_however_far_away() {
    let mut report = testing::report(Mode::Inspect);
    let failed = |id: &str| testing::case(id, Outcome::Fail, "Broken", "it is broken");
    testing::phase(
        &mut report,
        Phase::StorageIntegration,
        PhaseState::Failed,
        1,
        vec![
            failed("storage::node_ready"),
            failed("storage::disks_ready"),
            // Both keep it from being asked: one of seven blocked, and not two of eight.
            blocked(
                "storage::capacity",
                &["storage::node_ready", "storage::disks_ready"],
            ),
            blocked("storage::replica_placement", &["storage::capacity"]),
            blocked("storage::engine_image", &["storage::node_ready"]),
        ],
    );
    testing::phase(
        &mut report,
        Phase::HealthVerification,
        PhaseState::Completed,
        1,
        vec![blocked("health::x", &["storage::replica_placement"])],
    );
    let lines = summary(&report, Exit::Failed, &[])
        .lines(look(None))
        .join("\n");
    assert!(
        lines.contains("storage_integration FAILED after 1.0 s · 2 causes, 4 blocked\n"),
        "{lines}"
    );
    for blocks in [
        "blocks  capacity replica_placement engine_image health::x",
        "blocks  capacity replica_placement health::x",
    ] {
        assert!(lines.contains(blocks), "{lines}");
    }
    assert_eq!(lines.matches("it is broken").count(), 2, "{lines}");
    assert!(!lines.contains("health_verification FAILED"), "{lines}");
    // The report folds in the same way.
    let options = reports::markdown::MarkdownOptions::default();
    let markdown = reports::markdown::render(&report, &options);
    let blocks = "Blocks 4 checks: `storage::capacity` `storage::replica_placement` `storage::engine_image` `health::x`";
    assert!(markdown.contains(blocks), "{markdown}");
}

#[test]
fn warnings_that_say_the_same_are_one_trouble() {
    let mut report = testing::report(Mode::Inspect);
    let warned = |id: &str, message: &str| testing::case(id, Outcome::Warn, "Down", message);
    testing::phase(
        &mut report,
        Phase::MonitoringIntegration,
        PhaseState::Completed,
        1,
        vec![
            warned("monitoring::alerts", "no ready pod"),
            warned("monitoring::dashboards", "none"),
            warned("monitoring::alert_rules", "no ready pod"),
        ],
    );
    let lines = summary(&report, Exit::Passed, &[])
        .lines(look(None))
        .join("\n");
    assert!(
        lines.contains(
            "3 warnings\n  monitoring::alerts   no ready pod\n    so do monitoring::alert_rules\n  \
             monitoring::dashboards   none\n"
        ),
        "{lines}"
    );
}

#[test]
fn what_the_message_has_said_is_not_said_again() {
    let message = "disk sdb1 at /mnt/x of k3s2: Ready=False (NoDiskInfo: no such file)";
    assert!(is_told(
        "disk sdb1 at /mnt/x: Ready=False (NoDiskInfo: no such file)",
        message
    ));
    assert!(is_told("Ready=False", message));
    assert!(!is_told(
        "disk sdc1 at /mnt/y: Ready=False (NoDiskInfo: no such file)",
        message
    ));
    assert!(!is_told("disk sdb1 at /mnt/x: Schedulable=False", message));
    assert!(!is_told("2 disks in all", message));
}
