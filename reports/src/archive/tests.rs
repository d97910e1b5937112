use std::os::unix::fs::{MetadataExt as _, symlink};

use pretty_assertions::assert_eq;

use super::*;
use crate::{
    junit::samples::{at, blank, stopped},
    lock::Lock,
    store::{Copies, Store},
};

struct Place {
    _dir: tempfile::TempDir,
    state: StateFolder,
    logs: LogFolder,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let state = StateFolder::open_or_create(&dir.path().join("state")).unwrap();
    let logs = LogFolder::open_or_create(&dir.path().join("logs")).unwrap();
    Place {
        _dir: dir,
        state,
        logs,
    }
}

fn names(logs: &LogFolder) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(logs.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_run_that_ends_leaves_its_report_and_its_backup() {
    let place = place();
    let _lock = Lock::take(&place.state, "r").unwrap();
    place
        .state
        .back_up("kustomization.yaml", b"resources: []\r\n")
        .unwrap();
    drop(Store::begin(Some(&place.state), stopped(), Copies::default()).unwrap());
    let kept = archive(&place.state, &place.logs, "k3s2", at(0)).unwrap();
    let again = archive(&place.state, &place.logs, "k3s2", at(0)).unwrap();
    assert_ne!(kept, again);
    assert_eq!(
        names(&place.logs),
        [
            "k3s2-onboarding-20261122-101502-2.xml",
            "k3s2-onboarding-20261122-101502.xml",
            "k3s2-onboarding-backup-20261122-101502",
            "k3s2-onboarding-backup-20261122-101502-2",
        ]
    );
    let copy = kept.backup.unwrap().join("kustomization.yaml");
    assert_eq!(fs::read(&copy).unwrap(), b"resources: []\r\n");
    assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o600);
    assert_eq!(
        fs::read(kept.junit.unwrap()).unwrap(),
        fs::read(place.state.junit()).unwrap()
    );

    clear(&place.state).unwrap();
    clear(&place.state).unwrap();
    let left: Vec<_> = fs::read_dir(place.state.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["lock"]);
    assert_eq!(
        archive(&place.state, &place.logs, "k3s2", at(9)).unwrap(),
        Kept::default()
    );
}

#[test]
fn a_damaged_truth_is_archived_from_the_second_copy_or_as_it_is() {
    let place = place();
    drop(Store::begin(Some(&place.state), stopped(), Copies::default()).unwrap());
    fs::write(place.state.junit(), "<testsuites").unwrap();
    let kept = archive(&place.state, &place.logs, "k3s2", at(0)).unwrap();
    assert_eq!(
        junit::read(&fs::read(kept.junit.unwrap()).unwrap())
            .unwrap()
            .run,
        "7f3a91c2"
    );
    fs::write(place.state.markdown(), "gone").unwrap();
    let kept = archive(&place.state, &place.logs, "k3s2", at(1)).unwrap();
    assert_eq!(fs::read(kept.junit.unwrap()).unwrap(), b"<testsuites");
}

#[test]
fn logs_and_reports_have_names_of_their_own() {
    let place = place();
    let mut dry = stopped();
    dry.mode = Mode::DryRun;
    new_log(&place.logs, "k3s2", Mode::Onboard, at(0)).unwrap();
    new_log(&place.logs, "k3s2", Mode::Onboard, at(0)).unwrap();
    new_log(&place.logs, "k3s2", Mode::DryRun, at(0)).unwrap();
    write_markdown(&place.logs, &stopped(), at(0)).unwrap();
    let text = fs::read_to_string(write_markdown(&place.logs, &dry, at(0)).unwrap()).unwrap();
    assert!(
        markdown::embedded(&text).is_err(),
        "a dry run cannot be resumed"
    );
    write_junit(&place.logs, &dry, at(0)).unwrap();
    assert_eq!(
        names(&place.logs),
        [
            "k3s2-onboarding-20261122-101502-2.log",
            "k3s2-onboarding-20261122-101502.log",
            "k3s2-onboarding-dry-run-20261122-101502.log",
            "k3s2-onboarding-dry-run-20261122-101502.xml",
            "k3s2-onboarding-dry-run-report-20261122-101502.md",
            "k3s2-onboarding-report-20261122-101502.md",
        ]
    );
    assert!(new_log(&place.logs, "../x", Mode::Onboard, at(0)).is_err());
    assert_eq!(
        newest(&place.logs, "k3s2", None).unwrap(),
        None,
        "dry runs do not count"
    );
}

fn put(place: &Place, report: &Report, second: i64) -> PathBuf {
    write_junit(&place.logs, report, at(second)).unwrap()
}

#[test]
fn the_newest_whole_onboarding_of_this_node_and_cluster_is_found() {
    let place = place();
    let report = |run: &str| Report {
        run: run.to_owned(),
        ..blank()
    };
    put(&place, &report("a"), 0);
    put(&place, &report("b"), 5);
    for number in 0..10 {
        put(&place, &report(&format!("same second {number}")), 7);
    }
    let uid = blank().cluster.uid;
    let run = |found: Option<Archived>| found.map(|found| found.report.run);
    assert_eq!(
        run(newest(&place.logs, "k3s2", Some(&uid)).unwrap()),
        Some("same second 9".to_owned())
    );
    assert_eq!(
        run(newest(&place.logs, "k3s2", Some("another")).unwrap()),
        None
    );
    assert_eq!(run(newest(&place.logs, "k3s3", Some(&uid)).unwrap()), None);

    put(
        &place,
        &Report {
            mode: Mode::Rollback,
            ..report("c")
        },
        8,
    );
    fs::write(put(&place, &report("d"), 9), "<cut").unwrap();
    symlink(
        "/etc/passwd",
        place
            .logs
            .path()
            .join("k3s2-onboarding-20270101-000000.xml"),
    )
    .unwrap();
    fs::write(
        place.logs.path().join("k3s2-onboarding-latest.xml"),
        "not ours",
    )
    .unwrap();
    assert_eq!(
        run(newest(&place.logs, "k3s2", None).unwrap()),
        Some("same second 9".to_owned())
    );

    put(
        &place,
        &Report {
            sequence: 9,
            ..report("a")
        },
        20,
    );
    let history = all(&place.logs, "k3s2").unwrap();
    let runs: Vec<&str> = history
        .reports
        .iter()
        .map(|one| one.report.run.as_str())
        .collect();
    assert_eq!(
        (runs.len(), runs[0], runs[12], history.damaged.len()),
        (13, "b", "a", 2)
    );
    assert_eq!(history.reports[12].report.sequence, 9);
}
