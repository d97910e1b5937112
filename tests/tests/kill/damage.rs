//! A report that is damaged anywhere: the other copy is used and the damage named, and never is it taken for none.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use reports::{
    folder::StateFolder,
    junit, markdown,
    model::Report,
    store::{Copies, Store},
};
use serde_json::Value;
use tests::TestEnvironment;

use crate::support::{Chance, content, number};

/// An onboarding that stopped in storage, with a commit pushed.
fn stopped() -> TestEnvironment {
    let world = TestEnvironment::at(sandbox::Stage::New, &["longhorn-disk-not-ready"]);
    let _ = world.onboard(&["--timeout", "storage=1s"]).exits(1);
    world
}

/// The same report with few cases, so that every byte of it can be damaged in a moment: all that a report can hold is
/// still in it.
fn small(whole: Report, folder: &Path) -> (StateFolder, Report) {
    let folder = StateFolder::open_or_create(folder).unwrap();
    let mut report = whole;
    for phase in &mut report.phases {
        let mut kept = 0;
        phase.cases.retain(|case| {
            kept += 1;
            kept <= 1 || case.outcome().is_some_and(|outcome| !outcome.satisfies())
        });
    }
    drop(Store::begin(Some(&folder), report, Copies::default()).unwrap());
    let report = Store::load(&folder).unwrap().unwrap().report;
    (folder, report)
}

/// The ways in which a file loses what was in it at one place.
fn damages(whole: &[u8], at: usize) -> [(&'static str, Vec<u8>); 3] {
    let mut flipped = whole.to_vec();
    flipped[at] ^= 1 << (at % 8);
    // What a file system leaves that had made the file longer before the power went.
    let mut zeros = whole.to_vec();
    zeros[at..].fill(0);
    [
        ("cut off at", whole[..at].to_vec()),
        ("one bit flipped at", flipped),
        ("zeros from", zeros),
    ]
}

/// Damages a text at every byte in every way: what is read is the report as it was, or nothing. Says how often which.
fn at_every_byte(
    whole: &[u8],
    expected: &Report,
    read: impl Fn(&[u8]) -> Result<Report, String> + Sync,
) -> (usize, usize) {
    let (refused, harmless) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for part in 0..2 {
            let (read, refused, harmless) = (&read, &refused, &harmless);
            scope.spawn(move || {
                for at in (part..whole.len()).step_by(2) {
                    for (how, bytes) in damages(whole, at) {
                        match read(&bytes) {
                            Ok(found) => {
                                assert_eq!(&found, expected, "{how} {at}: read as another report");
                                harmless.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(why) => {
                                assert!(!why.is_empty(), "{how} {at}: refused without a reason");
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    (refused.into_inner(), harmless.into_inner())
}

fn from_markdown(bytes: &[u8]) -> Result<Report, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    markdown::embedded(text).map_err(|error| error.to_string())
}

#[test]
fn damaged_at_every_byte_a_report_is_refused_or_the_same() {
    let world = stopped();
    let (folder, report) = small(world.report().unwrap(), &world.root().join("small"));
    let (xml, text) = (
        fs::read(folder.junit()).unwrap(),
        fs::read(folder.markdown()).unwrap(),
    );
    let (refused, harmless) = at_every_byte(&xml, &report, |bytes| {
        junit::read(bytes).map_err(|error| error.to_string())
    });
    println!(
        "onboarding.xml, {} bytes: {refused} damages refused, {harmless} change nothing that is read",
        xml.len()
    );
    // Every byte of the truth counts but for spaces between elements and the end of the last line.
    assert!(refused > harmless * 4, "{refused} refused, {harmless} not");
    let (refused, harmless) = at_every_byte(&text, &report, from_markdown);
    println!(
        "onboarding.md, {} bytes: {refused} damages refused, {harmless} change nothing that is read",
        text.len()
    );
    assert!(refused > text.len(), "{refused} refused, {harmless} not");
}

#[test]
fn the_other_copy_is_used_and_the_damage_is_named() {
    let world = stopped();
    let (folder, report) = small(world.report().unwrap(), &world.root().join("small"));
    let files = [folder.junit(), folder.markdown()];
    let whole = files.clone().map(|path| fs::read(path).unwrap());
    let (mut used, mut lost) = (0, 0);
    for (one, other) in [(0, 1), (1, 0)] {
        for at in (0..whole[one].len()).step_by(97) {
            for (how, bytes) in damages(&whole[one], at) {
                fs::write(&files[one], &bytes).unwrap();
                let loaded = Store::load(&folder).unwrap();
                let loaded = loaded.unwrap_or_else(|| panic!("{how} {at}: taken for no report"));
                assert_eq!(loaded.report, report, "{how} {at}");
                if let Some(warning) = &loaded.warning {
                    assert!(
                        warning.contains(&named(&files[one])),
                        "{how} {at}: {warning}"
                    );
                    let instead = format!("{} is used instead", files[other].display());
                    assert!(warning.ends_with(&instead), "{how} {at}: {warning}");
                    used += 1;
                }
                // With the other one gone there is nothing to fall back on, and it is said.
                fs::remove_file(&files[other]).unwrap();
                match Store::load(&folder) {
                    Ok(Some(loaded)) => assert_eq!(loaded.report, report, "{how} {at}"),
                    Ok(None) => panic!("{how} {at}: taken for no report"),
                    Err(error) => {
                        assert!(error.to_string().contains(&named(&files[one])), "{error}");
                        lost += 1;
                    }
                }
                fs::write(&files[other], &whole[other]).unwrap();
            }
        }
        fs::write(&files[one], &whole[one]).unwrap();
    }
    println!("{used} damages led to the other copy, {lost} without another copy were refused");
    assert!(used > 100 && lost > 100, "{used} used, {lost} lost");
}

fn named(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// How many places the program itself is started on; `ONBOARDING_DAMAGES` sets it.
const SAMPLE: usize = 12;

#[test]
fn the_program_goes_on_with_the_whole_copy_and_stops_without_one() {
    let (mut chance, _) = Chance::of("damage");
    let world = stopped();
    let files: [PathBuf; 2] =
        ["onboarding.xml", "onboarding.md"].map(|name| world.state().join(name));
    let whole = files.clone().map(|path| fs::read(path).unwrap());
    let expected = world.report().unwrap();
    let refused = |bytes: &[u8], one: usize| match one {
        0 => junit::read(bytes).is_err(),
        _ => from_markdown(bytes).is_err(),
    };
    let mut seen = 0;
    while seen < number("ONBOARDING_DAMAGES", SAMPLE) {
        let one = chance.below(2);
        let at = chance.below(whole[one].len());
        let (how, bytes) = damages(&whole[one], at)[chance.below(3)].clone();
        if !refused(&bytes, one) {
            continue;
        }
        seen += 1;
        let name = named(&files[one]);
        println!("{name} {how} {at}");
        fs::write(&files[one], &bytes).unwrap();
        let out = world.onboard(&["--status", "--format", "json"]).exits(0);
        let told: Value = serde_json::from_str(&out.stdout).unwrap();
        assert_eq!(told["report"]["run"], expected.run.as_str());
        assert_eq!(told["report"]["phases"][3]["state"], "failed");
        let warnings = told["warnings"].to_string();
        assert!(warnings.contains(&name), "{warnings}");

        // Now the other one as well: nothing may be begun, changed or overwritten.
        let other = 1 - one;
        let cut = chance.below(whole[other].len() / 2);
        fs::write(&files[other], &whole[other][..cut]).unwrap();
        let before = (content(&world.state()), world.requests().len());
        for arguments in [&["--status"][..], &["--resume"], &[]] {
            let out = world.onboard(arguments).exits(7);
            assert!(out.stderr.contains("onboarding.xml"), "{}", out.stderr);
            assert!(out.stderr.contains("onboarding.md"), "{}", out.stderr);
            assert!(out.stderr.contains("do: "), "{}", out.stderr);
        }
        let mut now = content(&world.state());
        // The lock's file says who held it last.
        now.retain(|path, _| !path.ends_with("lock"));
        let mut then = before.0;
        then.retain(|path, _| !path.ends_with("lock"));
        assert_eq!(now, then, "the state was touched");
        assert!(world.changes(before.1).is_empty());
        for number in 0..2 {
            fs::write(&files[number], &whole[number]).unwrap();
        }
    }
    // And it does go on, with the truth cut off in the middle.
    world.fault("longhorn-disk-not-ready", false);
    let commits = world.commits();
    fs::write(&files[0], &whole[0][..whole[0].len() / 3]).unwrap();
    let out = world.onboard(&["--resume"]).exits(0);
    out.says("onboarding.md is used instead");
    assert_eq!(world.commits(), commits, "committed twice");
    assert_eq!(world.archived().unwrap().run, expected.run);
}
