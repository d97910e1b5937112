//! Garbage in: a kustomization file in which the entry is not what it should be, and some in which it only looks so.

use std::fs;

use reports::model::Outcome;
use tests::TestEnvironment;

use crate::{garbage::Spoiled, garbage_repository::left};

const ENTRY: &str = "# - ../k3s2-node-config/";

/// What is pushed instead of the file, and what a run says of it.
struct File {
    name: &'static str,
    spoil: fn(&str) -> String,
    reason: &'static str,
    says: &'static [&'static str],
}

const FILES: &[File] = &[
    File {
        name: "missing",
        spoil: |text| without_entry(text),
        reason: "EntryMissing",
        says: &[
            "../k3s2-node-config/",
            "infrastructure/storage/kustomization.yaml",
            "../k3s1-node-config/",
        ],
    },
    File {
        name: "doubled",
        spoil: |text| text.replace(ENTRY, &format!("{ENTRY}\n  {ENTRY}")),
        reason: "EntryDoubled",
        says: &["../k3s2-node-config/", "line"],
    },
    File {
        name: "elsewhere",
        spoil: |text| {
            without_entry(text) + "commonAnnotations:\n  a: b\n  # - ../k3s2-node-config/\n"
        },
        reason: "EntryMissing",
        says: &["../k3s2-node-config/"],
    },
    File {
        name: "flow",
        spoil: |text| {
            let head: String = text
                .lines()
                .take_while(|line| !line.starts_with("resources"))
                .map(|line| format!("{line}\n"))
                .collect();
            head + "resources: [../longhorn/, ../k3s1-node-config/]\n# - ../k3s2-node-config/\n"
        },
        reason: "UnsupportedShape",
        says: &["one \"- path\" a line"],
    },
    File {
        name: "broken",
        spoil: |text| text.replace("kind: Kustomization", "kind: [Kustomization"),
        reason: "NotYaml",
        says: &["infrastructure/storage/kustomization.yaml"],
    },
];

fn without_entry(text: &str) -> String {
    let kept = text
        .lines()
        .filter(|line| !line.contains("k3s2-node-config"));
    kept.map(|line| format!("{line}\n")).collect()
}

/// Commits the file with this content, and pushes it as a person would.
fn push(place: &Spoiled<'_>, content: &[u8]) {
    fs::write(place.file(), content).unwrap();
    place.git(&[
        "commit",
        "-q",
        "-a",
        "--no-gpg-sign",
        "-m",
        "storage: by hand",
    ]);
    place.git(&["push", "-q", "--force", "origin", "HEAD:main"]);
    place.git(&["fetch", "-q"]);
}

#[test]
fn an_entry_that_is_not_there_once_stops_the_run_before_anything_is_changed() {
    let env = TestEnvironment::new();
    for file in FILES {
        let name = file.name;
        let place = Spoiled::new(&env, name);
        let text = fs::read_to_string(place.file()).unwrap();
        assert!(
            text.contains(ENTRY),
            "the sandbox's file is another one now: {text}"
        );
        push(&place, (file.spoil)(&text).as_bytes());
        let (before, since) = (place.everything(), env.requests().len());
        // What Flux makes of such a file is not what is asked here.
        let out = place.run(&["--skip-validation"]).exits(1);
        let report = left(&place.state);
        let case = report
            .case("gitops::node_config")
            .and_then(|case| case.ended());
        let ended = case.unwrap_or_else(|| panic!("{name}: not asked\n{}", out.stdout));
        assert_eq!(
            (ended.outcome, ended.reason.as_str()),
            (Outcome::Fail, file.reason),
            "{name}: {ended:?}"
        );
        let told = format!(
            "{}\n{}\n{}",
            ended.message,
            ended.evidence.join("\n"),
            ended.hint
        );
        for word in file.says {
            assert!(told.contains(word), "{name}: {word:?} is not in {told}");
        }
        assert!(!report.has_changes(), "{name}: {:?}", report.actions);
        assert_eq!(place.everything(), before, "{name}");
        let changes = env.changes(since);
        assert!(changes.is_empty(), "{name}: {changes:?}");
    }
}

#[test]
fn a_file_with_crlf_and_no_last_line_break_keeps_every_other_byte() {
    let env = TestEnvironment::new();
    let place = Spoiled::new(&env, "crlf");
    let text = fs::read_to_string(place.file()).unwrap();
    let windows = text
        .trim_end()
        .replace('\n', "\r\n")
        .replace("# Common", "# Common \u{e9}\t");
    push(&place, windows.as_bytes());
    let before = place.git(&["rev-parse", "HEAD"]);
    let _ = place.run(&["--skip-validation"]).exits(0);
    let expected = windows.replace(ENTRY, "- ../k3s2-node-config/");
    assert_ne!(expected, windows);
    assert_eq!(fs::read_to_string(place.file()).unwrap(), expected);
    let remote = env.git(&env.sandbox().remote(), &["rev-parse", "main"]);
    assert_eq!(remote, place.git(&["rev-parse", "HEAD"]));
    assert_eq!(place.git(&["log", "--format=%P", "-1"]), before);
    assert_eq!(place.git(&["status", "--porcelain"]), "");
}

#[test]
fn an_entry_that_is_active_already_is_left_alone() {
    let env = TestEnvironment::new();
    let place = Spoiled::new(&env, "active");
    let text = fs::read_to_string(place.file()).unwrap();
    push(
        &place,
        text.replace(ENTRY, "- ../k3s2-node-config/").as_bytes(),
    );
    let before = place.everything();
    let _ = place.run(&["--skip-validation"]).exits(0);
    assert_eq!(
        place.everything(),
        before,
        "nothing was to be committed or pushed"
    );
}
