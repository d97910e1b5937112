//! Garbage in: reports of an earlier start that are damaged, of something else, or unfinished.

use std::{fs, path::Path};

use reports::{
    folder::StateFolder,
    model::{ActionState, Mode, Report},
    store::{Copies, Store},
};
use tests::TestEnvironment;

use crate::{
    garbage::{Spoiled, content},
    garbage_repository::left,
};

/// An onboarding that has stopped in `storage`, with a commit pushed.
fn stopped(env: &TestEnvironment) -> Spoiled<'_> {
    let place = Spoiled::new(env, "stopped");
    env.fault("longhorn-disk-not-ready", true);
    let _ = place.run(&["--timeout", "storage=2s"]).exits(1);
    assert!(left(&place.state).has_changes());
    place
}

/// A start that refuses the report: exit 7, these words, and not one byte of the state other than before.
#[track_caller]
fn refused(env: &TestEnvironment, place: &Spoiled<'_>, arguments: &[&str], words: &[&str]) {
    let (state, everything, since) = (
        content(&place.state),
        place.everything(),
        env.requests().len(),
    );
    let logs = content(&place.logs);
    let out = place.run(arguments).exits(7);
    for word in words {
        assert!(
            out.stderr.contains(word),
            "{word:?} is not in: {}",
            out.stderr
        );
    }
    assert!(out.stderr.contains("do: "), "no hint: {}", out.stderr);
    assert_eq!(content(&place.state), state, "the state folder was touched");
    assert_eq!(content(&place.logs), logs, "the log folder was touched");
    assert_eq!(place.everything(), everything);
    let changes = env.changes(since);
    assert!(changes.is_empty(), "{changes:?}");
}

/// What makes a report one of something else.
type Change = fn(&mut Report);

/// Writes the report that is there anew, changed: whole, with a digest that is right.
fn rewrite(state: &Path, change: impl FnOnce(&mut Report)) {
    let folder = StateFolder::open(state).unwrap().unwrap();
    let mut report = Store::load(&folder).unwrap().unwrap().report;
    change(&mut report);
    let written = Store::begin(Some(&folder), report, Copies::default());
    written.unwrap();
}

#[test]
fn an_unfinished_report_is_neither_lost_nor_taken_for_another() {
    let env = TestEnvironment::new();
    let place = stopped(&env);
    let (xml, md) = (
        place.state.join("onboarding.xml"),
        place.state.join("onboarding.md"),
    );
    let (truth, second) = (fs::read(&xml).unwrap(), fs::read(&md).unwrap());
    let restore = || {
        fs::write(&xml, &truth).unwrap();
        fs::write(&md, &second).unwrap();
    };

    // Begun, and no word of what is to become of it.
    refused(
        &env,
        &place,
        &[],
        &[
            "unfinished",
            "storage_integration",
            "--resume",
            "--rollback",
            "--fresh",
        ],
    );

    // Both copies damaged: cut off, edited, empty, not text at all.
    let edited = String::from_utf8(truth.clone())
        .unwrap()
        .replace("k3s2 is Ready", "k3s2 is ready");
    let cut = |text: &[u8]| text[..text.len() * 2 / 3].to_vec();
    let damages: [(&str, Vec<u8>, Vec<u8>, &str); 4] = [
        ("cut off", cut(&truth), Vec::new(), "cut off"),
        (
            "edited",
            edited.clone().into_bytes(),
            cut(&second),
            "changed after it was written",
        ),
        ("empty", Vec::new(), Vec::new(), "cut off"),
        (
            "binary",
            vec![0xff, 0, 0x1b],
            vec![0xff; 100],
            "onboarding.xml",
        ),
    ];
    assert_ne!(edited.as_bytes(), truth, "nothing was edited");
    for (name, one, two, says) in &damages {
        println!("both copies {name}");
        fs::write(&xml, one).unwrap();
        fs::write(&md, two).unwrap();
        for arguments in [&["--resume"][..], &[][..]] {
            refused(
                &env,
                &place,
                arguments,
                &["no copy", "onboarding.xml", "onboarding.md", says],
            );
        }
    }
    restore();

    // Whole, and about something else.
    let others: [(&str, Change, &str); 5] = [
        ("node", |it| it.node = "k3s9".into(), "k3s9"),
        (
            "cluster",
            |it| it.cluster.uid = "0000-other".into(),
            "0000-other",
        ),
        (
            "repository",
            |it| it.repository.as_mut().unwrap().remote = "git@elsewhere.invalid:a/b.git".into(),
            "elsewhere.invalid",
        ),
        (
            "branch",
            |it| it.repository.as_mut().unwrap().branch = "staging".into(),
            "staging",
        ),
        ("dry run", |it| it.mode = Mode::DryRun, "dry_run"),
    ];
    for (name, change, says) in others {
        println!("of another {name}");
        rewrite(&place.state, change);
        refused(&env, &place, &["--resume"], &[says]);
        restore();
    }

    // Of a format of the future.
    let future = String::from_utf8(truth.clone()).unwrap();
    let future = future.replace(
        "name=\"schema\" value=\"1\"",
        "name=\"schema\" value=\"99\"",
    );
    fs::write(&xml, future).unwrap();
    fs::remove_file(&md).unwrap();
    refused(&env, &place, &["--resume"], &["99", "format"]);
    restore();

    // One copy damaged: the other one is used, and the damage is named; the run goes on where it was.
    fs::write(&xml, cut(&truth)).unwrap();
    env.fault("longhorn-disk-not-ready", false);
    let commits = env.commits();
    let out = place.run(&["--resume"]).exits(0);
    out.says("onboarding.xml");
    out.says("cut off");
    out.says("onboarding.md is used instead");
    assert_eq!(
        env.commits(),
        commits,
        "nothing is committed or pushed twice"
    );
    assert!(!xml.exists(), "after a complete run the state is cleared");
}

#[test]
fn a_damaged_second_copy_is_named_and_the_truth_is_used() {
    let env = TestEnvironment::new();
    let place = stopped(&env);
    let md = place.state.join("onboarding.md");
    let text = fs::read_to_string(&md).unwrap();
    fs::write(&md, &text[..text.len() / 2]).unwrap();
    env.fault("longhorn-disk-not-ready", false);
    let out = place.run(&["--resume"]).exits(0);
    out.says("onboarding.md");
    out.says("onboarding.xml is used instead");
}

#[test]
fn nothing_to_resume_is_said_and_nothing_is_made() {
    let env = TestEnvironment::new();
    let place = Spoiled::new(&env, "nothing");
    let since = env.requests().len();
    let out = place.run(&["--resume"]).exits(7);
    out.says("nothing to resume");
    out.says("--state-dir");
    assert!(env.changes(since).is_empty());
    assert!(!place.state.join("onboarding.xml").exists());
    assert!(!place.logs.exists() || content(&place.logs).is_empty());
}

#[test]
fn an_unfinished_report_without_a_change_makes_room_for_a_new_run() {
    let env = TestEnvironment::new();
    let place = Spoiled::new(&env, "harmless");
    env.fault("coredns-down", true);
    let first = first_failing(&place);
    assert!(!first.has_changes());
    env.fault("coredns-down", false);
    // What comes back takes its own time.
    let out = until_well(&place);
    assert_eq!(out, 0);
    let archived: Vec<String> = content(&place.logs)
        .into_keys()
        .filter(|path| path.extension().is_some_and(|end| end == "xml"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert!(
        archived
            .iter()
            .any(|text| text.contains(&format!("name=\"run\" value=\"{}\"", first.run))),
        "the first run is not in the archive"
    );
}

fn first_failing(place: &Spoiled<'_>) -> Report {
    for _ in 0..50 {
        // The fault shows in the world after a moment; until then the check passes.
        let out = place.run(&["--timeout", "pre=1s", "--phase", "pre"]);
        if out.code == 1 {
            let _ = place.run(&[]).exits(1);
            return left(&place.state);
        }
    }
    panic!("CoreDNS never went down");
}

fn until_well(place: &Spoiled<'_>) -> i32 {
    let mut code = 1;
    for _ in 0..50 {
        code = place.run(&["--phase", "pre"]).code;
        if code == 0 {
            return place.run(&[]).code;
        }
    }
    code
}

#[test]
fn fresh_archives_what_was_there_and_remembers_what_it_changed() {
    let env = TestEnvironment::new();
    let place = stopped(&env);
    let old = left(&place.state);
    // What was made for a while and removed is nothing to remember.
    let lasting = old
        .actions
        .iter()
        .filter(|one| one.state != ActionState::Undone);
    let begun: Vec<String> = lasting.map(|action| action.id.clone()).collect();
    assert!(begun.iter().any(|id| id == "gitops::push"), "{begun:?}");
    let commits = env.commits();
    let _ = place
        .run(&["--fresh", "--skip-validation", "--timeout", "storage=2s"])
        .exits(1);
    let new = left(&place.state);
    assert_ne!(new.run, old.run);
    for id in &begun {
        assert!(new.action(id).is_some(), "{id} is forgotten");
    }
    let pushed = |report: &Report| {
        report
            .action("gitops::commit")
            .and_then(|it| it.recorded.get("commit").cloned())
    };
    assert_eq!(
        pushed(&new),
        pushed(&old),
        "a rollback must still find the commit"
    );
    assert_eq!(env.commits(), commits, "nothing is committed twice");
    let kept = content(&place.logs);
    assert!(
        kept.iter().any(|(path, (_, text))| {
            path.extension().is_some_and(|end| end == "xml")
                && String::from_utf8_lossy(text).contains(&old.run)
        }),
        "the old report is not in the archive"
    );
}
