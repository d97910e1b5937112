//! Reports of real runs, read by programs that are not ours, and what hostile text of a server becomes in them.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use reports::model::{Phase, PhaseState};
use sandbox::Stage;
use serde_json::Value;
use tests::TestEnvironment;

use crate::garbage::content;

/// Totals of a JUnit file: tests, failures, errors, skipped.
type Totals = (u64, u64, u64, u64);

/// Read by junit-parser, with its sums over cases.
fn parsed(file: &Path) -> (Totals, BTreeMap<String, usize>) {
    let text = fs::read(file).unwrap();
    let suites = junit_parser::from_reader(&text[..]).unwrap();
    let mut counted = (0, 0, 0, 0);
    let mut names = BTreeMap::new();
    for suite in &suites.suites {
        names.insert(suite.name.clone(), suite.cases.len());
        let mut own = (0, 0, 0, 0);
        for case in &suite.cases {
            own.0 += 1;
            match &case.status {
                junit_parser::TestStatus::Failure(_) => own.1 += 1,
                junit_parser::TestStatus::Error(_) => own.2 += 1,
                junit_parser::TestStatus::Skipped(_) => own.3 += 1,
                junit_parser::TestStatus::Success => {}
            }
            assert!(
                case.classname
                    .as_deref()
                    .is_some_and(|name| name.starts_with("onboarding."))
            );
        }
        assert_eq!(
            own,
            (suite.tests, suite.failures, suite.errors, suite.skipped),
            "suite {}",
            suite.name
        );
        counted = (
            counted.0 + own.0,
            counted.1 + own.1,
            counted.2 + own.2,
            counted.3 + own.3,
        );
    }
    assert_eq!(
        counted,
        (suites.tests, suites.failures, suites.errors, suites.skipped),
        "the root's totals"
    );
    (counted, names)
}

/// Read by quick-junit.
fn deserialized(file: &Path) -> Totals {
    let text = fs::read_to_string(file).unwrap();
    let report = quick_junit::Report::deserialize_from_str(&text).unwrap();
    let mut skipped = 0;
    for suite in &report.test_suites {
        for case in &suite.test_cases {
            if matches!(case.status, quick_junit::TestCaseStatus::Skipped { .. }) {
                skipped += 1;
            }
        }
    }
    let count = |number: usize| u64::try_from(number).unwrap();
    (
        count(report.tests),
        count(report.failures),
        count(report.errors),
        skipped,
    )
}

/// Read by Python, where it is installed.
fn elementary(file: &Path) -> Option<Totals> {
    const PROGRAM: &str = "import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
cases = list(root.iter('testcase'))
count = lambda kind: sum(1 for case in cases if case.find(kind) is not None)
print(len(cases), count('failure'), count('error'), count('skipped'))
said = [root.get(name) for name in ('tests', 'failures', 'errors', 'skipped')]
print(*said)";
    let Ok(out) = Command::new("python3")
        .args(["-c", PROGRAM])
        .arg(file)
        .output()
    else {
        println!("skipped: no python3");
        return None;
    };
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let text = String::from_utf8(out.stdout).unwrap();
    let mut lines = text.lines().map(|line| {
        let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        (numbers[0], numbers[1], numbers[2], numbers[3])
    });
    let (counted, said) = (lines.next().unwrap(), lines.next().unwrap());
    assert_eq!(counted, said);
    Some(counted)
}

/// All readers agree; the totals, and how many cases each suite has.
fn read(file: &Path) -> (Totals, BTreeMap<String, usize>) {
    let (totals, suites) = parsed(file);
    assert_eq!(deserialized(file), totals);
    if let Some(other) = elementary(file) {
        assert_eq!(other, totals);
    }
    (totals, suites)
}

#[test]
fn an_onboarding_leaves_reports_that_others_can_read() {
    let env = TestEnvironment::new();
    let (junit, markdown) = (env.root().join("copy.xml"), env.root().join("copy.md"));
    let shown = |path: &Path| path.display().to_string();
    let (xml, md) = (shown(&junit), shown(&markdown));
    let out = env
        .onboard(&["--report", "--junit", &xml, "--markdown", &md])
        .exits(0);

    let (totals, suites) = read(&junit);
    let report = env.archived().unwrap();
    assert_eq!(suites.len(), 9);
    for phase in Phase::ALL {
        let cases = report.phase(phase).unwrap().cases.len();
        assert_eq!(suites.get(phase.name()), Some(&cases), "{phase}");
        assert_eq!(report.phase(phase).unwrap().state, PhaseState::Completed);
    }
    assert_eq!((totals.1, totals.2), (0, 0));
    let cases: usize = suites.values().sum();
    assert_eq!(totals.0, u64::try_from(cases).unwrap());

    // The copy is the truth, byte for byte, and so is the archive.
    let archive = content(&env.logs());
    let kept: Vec<&Path> = archive
        .keys()
        .map(std::path::PathBuf::as_path)
        .filter(|path| path.extension().is_some_and(|end| end == "xml"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(fs::read(kept[0]).unwrap(), fs::read(&junit).unwrap());
    out.says(&shown(kept[0]));

    // The timestamped report for people.
    let named = |start: &str, end: &str| {
        let found = archive.keys().find(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let middle = name
                .strip_prefix(start)
                .and_then(|rest| rest.strip_suffix(end));
            middle.is_some_and(|time| {
                time.len() == 15
                    && time.bytes().enumerate().all(|(at, byte)| {
                        if at == 8 {
                            byte == b'-'
                        } else {
                            byte.is_ascii_digit()
                        }
                    })
            })
        });
        found
            .unwrap_or_else(|| panic!("no {start}YYYYMMDD-HHMMSS{end} among {:?}", archive.keys()))
            .clone()
    };
    let told = named("k3s2-onboarding-report-", ".md");
    out.says(&shown(&told));
    let log = named("k3s2-onboarding-", ".log");
    out.says(&shown(&log));
    let log = fs::read_to_string(log).unwrap();
    for level in ["[INFO]", "[SUCCESS]", "[PROGRESS]"] {
        assert!(log.contains(level), "no {level} in the log");
    }
    assert!(!log.contains("[DEBUG]"), "DEBUG is for --verbose");

    for file in [&told, &markdown] {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.starts_with("# "), "{}", &text[..80.min(text.len())]);
        for part in [
            "```mermaid",
            "gantt",
            "k3s2",
            "| ",
            "requirement",
            "gitops::commit",
            "Longhorn",
        ] {
            assert!(
                text.to_lowercase().contains(&part.to_lowercase()),
                "{}: no {part}",
                file.display()
            );
        }
        for phase in Phase::ALL {
            assert!(
                text.contains(phase.name()),
                "{}: no {phase}",
                file.display()
            );
        }
        assert_eq!(text.matches("```").count() % 2, 0, "a fence is left open");
        assert_eq!(
            text.matches("<details>").count(),
            text.matches("</details>").count()
        );
        tables_are_even(&text);
        // The embedded copy can be read back.
        assert_eq!(reports::markdown::embedded(&text).unwrap().run, report.run);
    }
}

/// Every row of a Markdown table has as many cells as its head.
fn tables_are_even(text: &str) {
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let mut width = None;
    for line in text.lines() {
        if line.starts_with('|') {
            let found = cells(line);
            assert_eq!(*width.get_or_insert(found), found, "{line}");
        } else {
            width = None;
        }
    }
}

#[test]
fn the_state_for_scripts_is_as_specified_field_for_field() {
    let env = TestEnvironment::at(Stage::New, &["longhorn-disk-not-ready"]);
    let _ = env.onboard(&["--timeout", "storage=2s"]).exits(1);
    let text = fs::read_to_string(env.state().join("onboarding-state.json")).unwrap();
    let state: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&str> = state
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = [
        "timestamp",
        "current_phase",
        "completed_phases",
        "failed_phases",
        "total_phases",
        "phase_status",
        "phase_errors",
    ];
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    assert_eq!(state["current_phase"], "storage_integration");
    assert_eq!(state["completed_phases"], 3);
    assert_eq!(state["failed_phases"], 1);
    assert_eq!(state["total_phases"], 9);
    let time = state["timestamp"].as_str().unwrap();
    assert!(
        time.len() == 20 && time.ends_with('Z') && time.as_bytes()[10] == b'T',
        "{time}"
    );
    for (at, phase) in Phase::ALL.into_iter().enumerate() {
        let expected = match at {
            0..=2 => "completed",
            3 => "failed",
            _ => "not_started",
        };
        assert_eq!(state["phase_status"][phase.name()], expected, "{phase}");
        let error = state["phase_errors"][phase.name()].as_str().unwrap();
        assert_eq!(!error.is_empty(), at == 3, "{phase}: {error}");
    }
    assert_eq!(state["phase_status"].as_object().unwrap().len(), 9);
    assert_eq!(state["phase_errors"].as_object().unwrap().len(), 9);
    let order: Vec<usize> = Phase::ALL
        .iter()
        .map(|phase| text.find(phase.name()).unwrap())
        .collect();
    // The first mention of the current phase is its own line; every other one is in order.
    let rest: Vec<usize> = order
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != 3)
        .map(|(_, place)| *place)
        .collect();
    assert!(rest.is_sorted(), "{text}");

    // The two copies of the truth agree with it.
    let (totals, _) = read(&env.state().join("onboarding.xml"));
    assert!(totals.1 >= 1, "{totals:?}");
    let report = env.report().unwrap();
    let markdown = fs::read_to_string(env.state().join("onboarding.md")).unwrap();
    let embedded = reports::markdown::embedded(&markdown).unwrap();
    assert_eq!(embedded.sequence, report.sequence);
    assert_eq!(embedded.phases, report.phases);
}
