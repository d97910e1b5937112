use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use pretty_assertions::assert_eq;

use super::*;
use crate::{
    junit::{
        self,
        samples::{blank, stopped},
    },
    lock::{Lock, LockError},
    markdown,
    model::{Phase, PhaseState},
};

fn folder() -> (tempfile::TempDir, StateFolder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = StateFolder::open_or_create(&dir.path().join("state")).unwrap();
    (dir, folder)
}

fn on_disk(folder: &StateFolder) -> Report {
    junit::read(&fs::read(folder.junit()).unwrap()).unwrap()
}

#[test]
fn an_update_is_on_disk_when_it_returns() {
    let (_dir, folder) = folder();
    let store = Store::begin(Some(&folder), blank(), Copies::default()).unwrap();
    assert_eq!(on_disk(&folder).sequence, 1);
    store
        .update(|report| report.phases[0].state = PhaseState::InProgress)
        .unwrap();
    let found = on_disk(&folder);
    assert_eq!(
        (found.sequence, found.phases[0].state),
        (2, PhaseState::InProgress)
    );
    assert_eq!(found, store.snapshot());
    let text = fs::read_to_string(folder.markdown()).unwrap();
    assert_eq!(markdown::embedded(&text), Ok(found));
    assert!(
        fs::read_to_string(folder.state_json())
            .unwrap()
            .contains("\"pre_validation\": \"in_progress\"")
    );
    for path in [folder.junit(), folder.markdown(), folder.state_json()] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
    }
    let names = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 3, "no temporary file is left");
}

#[test]
fn notes_are_gathered_and_written_by_themselves_and_at_the_end() {
    let (_dir, folder) = folder();
    let store = Store::begin(Some(&folder), blank(), Copies::default()).unwrap();
    for number in 0..50 {
        store
            .note(|report| report.phases[0].requests = number)
            .unwrap();
    }
    let begun = Instant::now();
    while on_disk(&folder).phases[0].requests != 49 {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "notes are never written"
        );
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert!(
        on_disk(&folder).sequence < 25,
        "{} writes for 50 notes",
        on_disk(&folder).sequence
    );
    store.note(|report| report.phases[0].requests = 77).unwrap();
    let other = store.clone();
    drop(store);
    other.note(|report| report.phases[0].requests = 78).unwrap();
    drop(other);
    assert_eq!(on_disk(&folder).phases[0].requests, 78);
}

#[test]
fn a_flush_writes_only_what_is_new() {
    let (_dir, folder) = folder();
    let store = Store::begin(Some(&folder), blank(), Copies::default()).unwrap();
    store.flush().unwrap();
    assert_eq!(on_disk(&folder).sequence, 1);
    store.note(|report| report.resumed = 3).unwrap();
    store.flush().unwrap();
    assert_eq!(on_disk(&folder).resumed, 3);
}

/// A folder in the place of the file makes the rename fail, for root too.
fn obstruct(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

#[test]
fn a_write_that_fails_is_told_at_once_or_at_the_next_call() {
    let (_dir, folder) = folder();
    let store = Store::begin(Some(&folder), blank(), Copies::default()).unwrap();
    obstruct(&folder.markdown());
    let error = store.update(|report| report.resumed = 1).unwrap_err();
    assert!(error.to_string().contains("onboarding.md"), "{error}");
    assert_eq!(on_disk(&folder).resumed, 1, "the truth was written before");

    store.note(|report| report.resumed = 2).unwrap();
    let begun = Instant::now();
    let error = loop {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "the failure is never told"
        );
        match store.note(|report| report.resumed += 1) {
            Err(error) => break error,
            Ok(()) => std::thread::park_timeout(Duration::from_millis(5)),
        }
    };
    assert!(error.to_string().contains("onboarding.md"), "{error}");
    fs::remove_dir(folder.markdown()).unwrap();
    // The writer thread may have failed once more before the way was free.
    let _ = store.flush();
    store.update(|report| report.resumed = 9).unwrap();
    assert_eq!(on_disk(&folder).resumed, 9);
}

#[test]
fn copies_follow_and_a_run_without_folder_writes_only_them() {
    let (dir, folder) = folder();
    let copies = Copies {
        junit: Some(dir.path().join("ci.xml")),
        markdown: Some(dir.path().join("ci.md")),
        options: JunitOptions { fail_on_warn: true },
    };
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, dir.path().join("ci.xml")).unwrap();
    let error = Store::begin(None, stopped(), copies.clone())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("ci.xml is a link, expected a regular file"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    fs::remove_file(dir.path().join("ci.xml")).unwrap();
    let store = Store::begin(None, stopped(), copies.clone()).unwrap();
    store.update(|report| report.resumed = 5).unwrap();
    let bytes = fs::read(dir.path().join("ci.xml")).unwrap();
    assert_eq!(junit::read(&bytes).unwrap().resumed, 5);
    assert!(
        String::from_utf8(bytes)
            .unwrap()
            .contains("<failure type=\"VolumesDegraded\"")
    );
    assert!(!folder.junit().exists());
    drop(store);
    let store = Store::begin(Some(&folder), stopped(), copies).unwrap();
    drop(store);
    assert_eq!(
        fs::read(folder.junit()).unwrap(),
        fs::read(dir.path().join("ci.xml")).unwrap()
    );
}

#[test]
fn the_higher_whole_copy_wins_and_damage_is_named() {
    let (_dir, folder) = folder();
    assert_eq!(Store::load(&folder), Ok(None));
    drop(Store::begin(Some(&folder), stopped(), Copies::default()).unwrap());
    let first = (
        fs::read(folder.junit()).unwrap(),
        fs::read(folder.markdown()).unwrap(),
    );
    let whole = Store::load(&folder).unwrap().unwrap();
    assert_eq!((whole.report.sequence, whole.warning), (1, None));

    // A crash after JUnit and before Markdown, and the other way round.
    let mut newer = stopped();
    newer.sequence = 7;
    fs::write(folder.junit(), junit::write(&newer).unwrap()).unwrap();
    assert_eq!(Store::load(&folder).unwrap().unwrap().report.sequence, 7);
    fs::write(folder.junit(), &first.0).unwrap();
    fs::write(
        folder.markdown(),
        markdown::render(&newer, &markdown::MarkdownOptions::default()),
    )
    .unwrap();
    assert_eq!(Store::load(&folder).unwrap().unwrap().report.sequence, 7);

    fs::write(folder.junit(), &first.0[..first.0.len() / 2]).unwrap();
    let loaded = Store::load(&folder).unwrap().unwrap();
    let warning = loaded.warning.unwrap();
    assert!(
        warning.contains("onboarding.xml: the report is cut off")
            && warning.contains("onboarding.md is used"),
        "{warning}"
    );

    fs::write(folder.junit(), &first.0).unwrap();
    let edited = String::from_utf8(first.1.clone())
        .unwrap()
        .replace("\"node\":\"k3s2\"", "\"node\":\"k3s9\"");
    fs::write(folder.markdown(), edited).unwrap();
    let warning = Store::load(&folder).unwrap().unwrap().warning.unwrap();
    assert!(
        warning.contains("onboarding.md: the state was changed"),
        "{warning}"
    );

    fs::write(folder.junit(), "").unwrap();
    let error = Store::load(&folder).unwrap_err().to_string();
    assert!(
        error.contains("cut off after 0 bytes") && error.contains("was changed"),
        "{error}"
    );

    fs::write(folder.markdown(), &first.1).unwrap();
    fs::remove_file(folder.junit()).unwrap();
    let warning = Store::load(&folder).unwrap().unwrap().warning.unwrap();
    assert!(warning.contains("onboarding.xml is missing"), "{warning}");
}

#[test]
fn a_linked_report_is_not_read() {
    let (dir, folder) = folder();
    let elsewhere = dir.path().join("elsewhere.xml");
    fs::write(&elsewhere, junit::write(&blank()).unwrap()).unwrap();
    symlink(&elsewhere, folder.junit()).unwrap();
    let error = Store::load(&folder).unwrap_err();
    assert!(error.junit.contains("is a link"), "{error}");
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let (_dir, folder) = folder();
    let lock = Lock::take(&folder, "11111111").unwrap();
    let store = Store::begin(Some(&folder), blank(), Copies::default()).unwrap();
    store
        .update(|report| {
            report.phase_mut(Phase::GitopsActivation).unwrap().state = PhaseState::InProgress
        })
        .unwrap();
    let error = Lock::take(&folder, "22222222").unwrap_err();
    assert!(
        matches!(&error, LockError::Held { holder, .. } if holder.run == "11111111"),
        "{error}"
    );
    drop((store, lock));
    drop(Lock::take(&folder, "22222222").unwrap());
    assert!(folder.lock().exists() && on_disk(&folder).sequence == 2);
}

#[test]
fn leftovers_of_a_killed_run_are_cleared() {
    let (_dir, folder) = folder();
    let left = folder.path().join(".writing-abc");
    fs::write(&left, "half").unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o600)).unwrap();
    drop(Store::begin(Some(&folder), blank(), Copies::default()).unwrap());
    assert!(!left.exists());
}
