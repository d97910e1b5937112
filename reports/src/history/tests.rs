use std::fs;

use pretty_assertions::assert_eq;

use super::*;
use crate::{
    archive::write_junit,
    junit::samples::{at, blank, case, done, stopped},
    model::Progress,
};

struct Place {
    _dir: tempfile::TempDir,
    logs: LogFolder,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let logs = LogFolder::open_or_create(&dir.path().join("logs")).unwrap();
    Place { _dir: dir, logs }
}

/// A run through all phases, `seconds` in each.
fn complete(run: &str, begin: i64, seconds: i64) -> Report {
    let mut report = Report {
        run: run.to_owned(),
        started: at(begin),
        exit_code: Some(0),
        ..blank()
    };
    for (number, phase) in report.phases.iter_mut().enumerate() {
        let from = begin + i64::try_from(number).unwrap() * seconds;
        phase.state = PhaseState::Completed;
        (phase.started, phase.finished) = (Some(at(from)), Some(at(from + seconds)));
    }
    report.finished = Some(at(begin + 9 * seconds));
    report
}

#[test]
fn a_resumed_run_counts_once_and_its_failures_are_not_forgotten() {
    let place = place();
    write_junit(&place.logs, &complete("aaaaaaaa", -900, 4), at(-800)).unwrap();
    // Stopped in storage, archived, resumed two hours later, archived again.
    write_junit(&place.logs, &stopped(), at(200)).unwrap();
    let mut later = complete("7f3a91c2", 0, 4);
    later.resumed = 1;
    let storage = later.phase_mut(Phase::StorageIntegration).unwrap();
    storage.error = "DiskNotReady: disk sdb1 is not ready".to_owned();
    storage.finished = Some(at(7_206));
    let mut passed = done(Outcome::Pass, "", "1 disk is ready");
    if let Progress::Done(ended) = &mut passed {
        ended.started = at(7_200);
    }
    storage.cases = vec![case("storage::disks_ready", passed)];
    write_junit(&place.logs, &later, at(7_300)).unwrap();

    let told = of(&place.logs, "k3s2").unwrap();
    assert_eq!(told.reports, 3);
    let runs: Vec<(&str, bool)> = told
        .runs
        .iter()
        .map(|run| (run.run.as_str(), run.complete))
        .collect();
    assert_eq!(runs, [("aaaaaaaa", true), ("7f3a91c2", true)]);
    let rate = told.rate(Mode::Onboard);
    assert_eq!((rate.runs, rate.complete, rate.at_once), (2, 2, 1));
    assert_eq!(rate.per_cent(), Some(100));
    let failing: Vec<(&str, usize, usize)> = told
        .failing
        .iter()
        .map(|one| (one.id.as_str(), one.failed, one.asked))
        .collect();
    assert_eq!(
        failing,
        [
            ("storage::disks_ready", 1, 1),
            ("storage::manager_on_node", 1, 1)
        ]
    );
    assert_eq!(told.failing[0].reasons, [("DiskNotReady".to_owned(), 1)]);
    let storage = &told.phases[3].times;
    assert_eq!((storage.completed, storage.failed), (2, 1));
    // Not the two hours in which nobody ran anything.
    assert_eq!(storage.p95, Some(SignedDuration::from_secs(6)));
    assert_eq!(storage.median, Some(SignedDuration::from_secs(5)));
}

#[test]
fn what_is_damaged_or_foreign_is_named_and_does_not_count() {
    let place = place();
    write_junit(&place.logs, &complete("aaaaaaaa", 0, 1), at(0)).unwrap();
    let cut = write_junit(&place.logs, &complete("bbbbbbbb", 10, 1), at(10)).unwrap();
    let text = fs::read(&cut).unwrap();
    fs::write(&cut, &text[..text.len() / 2]).unwrap();
    let mut other = complete("cccccccc", 20, 1);
    other.node = "k3s9".to_owned();
    let other = write_junit(&place.logs, &other, at(20)).unwrap();
    let renamed = place
        .logs
        .path()
        .join("k3s2-onboarding-20260101-000000.xml");
    fs::rename(&other, &renamed).unwrap();
    fs::write(place.logs.path().join("k3s2-onboarding-latest.xml"), "?").unwrap();
    fs::write(place.logs.path().join("notes.txt"), "?").unwrap();
    let mut dry = complete("dddddddd", 30, 1);
    dry.mode = Mode::DryRun;
    write_junit(&place.logs, &dry, at(30)).unwrap();

    let told = of(&place.logs, "k3s2").unwrap();
    assert_eq!((told.runs.len(), told.reports), (1, 1));
    assert_eq!(told.damaged.len(), 1, "{:?}", told.damaged);
    assert!(told.damaged[0].contains(cut.to_str().unwrap()));
    assert_eq!(told.foreign.len(), 2, "{:?}", told.foreign);
    assert!(told.foreign[0].ends_with("a report of node k3s9"));
    assert!(told.foreign[1].contains("k3s2-onboarding-latest.xml"));
}

#[test]
fn a_run_that_stopped_says_where_and_why() {
    let place = place();
    write_junit(&place.logs, &stopped(), at(200)).unwrap();
    let mut unfinished = Report {
        run: "eeeeeeee".to_owned(),
        started: at(300),
        ..blank()
    };
    unfinished.phases[0].state = PhaseState::InProgress;
    write_junit(&place.logs, &unfinished, at(400)).unwrap();
    let mut rollback = Report {
        mode: Mode::Rollback,
        exit_code: Some(0),
        started: at(500),
        ..stopped()
    };
    rollback.finished = Some(at(520));
    write_junit(&place.logs, &rollback, at(520)).unwrap();

    let told = of(&place.logs, "k3s2").unwrap();
    let (first, second, third) = (&told.runs[0], &told.runs[1], &told.runs[2]);
    assert_eq!(first.stopped_at.as_deref(), Some("storage_integration"));
    assert_eq!(first.error, "DiskNotReady: disk sdb1 is not ready");
    assert_eq!((first.complete, first.warnings), (false, 1));
    assert_eq!(second.exit_code, None);
    assert_eq!(second.stopped_at.as_deref(), Some("pre_validation"));
    assert_eq!((third.complete, third.stopped_at.as_deref()), (true, None));
    assert_eq!(told.rate(Mode::Onboard).per_cent(), Some(0));
    assert_eq!(told.rate(Mode::Rollback).per_cent(), Some(100));
    assert_eq!(told.rate(Mode::Inspect).per_cent(), None);
}

#[test]
fn a_rollback_counts_by_its_steps_and_not_by_the_phases_that_it_takes_back() {
    let place = place();
    write_junit(&place.logs, &stopped(), at(200)).unwrap();
    let step = |id: &str, outcome, reason: &str, seconds| {
        let mut progress = done(outcome, reason, "words");
        if let Progress::Done(ended) = &mut progress {
            ended.duration = SignedDuration::from_secs(seconds);
            ended.started = at(510);
        }
        let mut one = case(id, progress);
        one.kind = Kind::Action;
        one
    };
    let mut first = Report {
        mode: Mode::Rollback,
        exit_code: Some(8),
        started: at(500),
        finished: Some(at(520)),
        ..stopped()
    };
    first.steps = vec![
        step("rollback::cordon", Outcome::Warn, "Late", 1),
        step("rollback::drain", Outcome::Fail, "DrainUnfinished", 20),
        case("rollback::push", Progress::NotStarted),
    ];
    write_junit(&place.logs, &first, at(520)).unwrap();
    let told = of(&place.logs, "k3s2").unwrap();
    let run = &told.runs[1];
    assert_eq!(run.stopped_at.as_deref(), Some("rollback::drain"));
    assert_eq!(run.error, "DrainUnfinished: words");
    assert_eq!(run.started, at(510), "not that of the onboarding");
    assert_eq!((run.complete, run.warnings), (false, 1));

    // It goes on, and gets through.
    let mut second = first;
    (second.exit_code, second.resumed, second.finished) = (Some(0), 1, Some(at(600)));
    second.steps[1] = step("rollback::drain", Outcome::Pass, "", 4);
    second.steps[2] = step("rollback::push", Outcome::Pass, "", 2);
    write_junit(&place.logs, &second, at(600)).unwrap();
    let told = of(&place.logs, "k3s2").unwrap();
    assert_eq!((told.runs.len(), told.reports), (2, 3));
    assert_eq!(told.runs[1].stopped_at, None);
    let steps: Vec<_> = told
        .steps
        .iter()
        .map(|one| (one.id.as_str(), &one.times))
        .map(|(id, times)| (id, times.completed, times.failed, times.median))
        .collect();
    let seconds = |count| Some(SignedDuration::from_secs(count));
    assert_eq!(
        steps,
        [
            ("rollback::cordon", 1, 0, seconds(1)),
            ("rollback::drain", 1, 1, seconds(4)),
            ("rollback::push", 1, 0, seconds(2)),
        ]
    );
    // What failed in the onboarding failed in one run, not in two.
    let disks = told
        .failing
        .iter()
        .find(|one| one.id == "storage::manager_on_node");
    assert_eq!(disks.map(|one| (one.failed, one.asked)), Some((1, 1)));
    let drain = told.failing.iter().find(|one| one.id == "rollback::drain");
    assert_eq!(drain.map(|one| (one.failed, one.asked)), Some((1, 1)));
}

#[test]
fn an_empty_archive_tells_of_no_run() {
    let place = place();
    let told = of(&place.logs, "k3s2").unwrap();
    assert_eq!((told.runs.len(), told.failing.len()), (0, 0));
    assert!(told.phases.iter().all(|phase| phase.times.median.is_none()));
    assert!(of(&place.logs, "../x").is_err());
}
