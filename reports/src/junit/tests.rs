//! The two directions, hostile text, independent readers.

use jiff::SignedDuration;
use pretty_assertions::assert_eq;
use proptest::prelude::*;

use super::{
    arbitrary::{any_report, any_text},
    samples::{blank, case, done, stopped},
    *,
};
use crate::{
    cleaned,
    model::{Mode, Outcome, Phase, Progress},
};

fn text(report: &Report) -> String {
    String::from_utf8(write(report).unwrap()).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    for report in [blank(), stopped()] {
        assert_eq!(read(&write(&report).unwrap()), Ok(report));
    }
}

#[test]
fn warnings_are_failures_only_on_request_and_the_same_when_read() {
    let report = stopped();
    let strict = write_with(&report, JunitOptions { fail_on_warn: true }).unwrap();
    assert_eq!(read(&strict), Ok(report.clone()));
    let count = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches("<failure ").count();
    assert_eq!((count(&write(&report).unwrap()), count(&strict)), (1, 2));
}

#[test]
fn a_small_report_looks_like_this() {
    let mut report = blank();
    report.phase_mut(Phase::PreValidation).unwrap().cases =
        vec![case("pre::a", done(Outcome::Fail, "Broken", "it is <off>"))];
    let text = text(&report);
    let begin = text.find(" <testsuite ").unwrap();
    let end = text.find("</testsuite>").unwrap();
    insta::assert_snapshot!(&text[begin..end], @r##"
<testsuite id="0" name="pre_validation" package="" hostname="k3s2" tests="1" failures="1" errors="0" skipped="0" time="0.000">
 <properties>
  <property name="phase" value="pre_validation"/>
  <property name="state" value="not_started"/>
  <property name="error" value=""/>
  <property name="requests" value="0"/>
 </properties>
 <testcase name="pre::a" classname="onboarding.pre_validation" time="0.004" timestamp="2026-11-22T10:15:12Z">
  <properties>
   <property name="title" value="pre::a holds"/>
   <property name="kind" value="check"/>
   <property name="severity" value="fail"/>
   <property name="criterion" value="2.3"/>
   <property name="progress" value="done"/>
   <property name="outcome" value="fail"/>
   <property name="reason" value="Broken"/>
   <property name="message" value="it is &lt;off&gt;"/>
   <property name="evidence" value="[]"/>
   <property name="hint" value=""/>
   <property name="blocked_by" value="[]"/>
   <property name="started" value="2026-11-22T10:15:12Z"/>
   <property name="duration" value="PT0.004S"/>
   <property name="requests" value="1"/>
   <property name="at" value=""/>
  </properties>
  <failure type="Broken" message="it is &lt;off&gt;"><![CDATA[Broken: it is <off>]]></failure>
 </testcase>
"##);
}

/// A cut copy never passes, and no change of one byte gives another report.
#[test]
fn no_cut_and_no_flip_goes_unseen() {
    let report = stopped();
    let whole = write(&report).unwrap();
    for end in 0..whole.len() - 1 {
        let error = read(&whole[..end]).unwrap_err();
        assert!(
            matches!(error, JunitError::Truncated { .. }),
            "cut at {end}: {error}"
        );
    }
    let mut kept = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        if let Ok(found) = read(&bytes) {
            assert_eq!(found, report, "bit {} of byte {at}", at % 8);
            kept += 1;
        }
    }
    // Indentation and the XML declaration carry no meaning; everything else does.
    assert!(
        kept < whole.len() / 10,
        "{kept} changes of {} were taken for nothing",
        whole.len()
    );
}

fn refused(edit: impl Fn(String) -> String) -> String {
    let before = text(&stopped());
    let after = edit(before.clone());
    assert_ne!(before, after, "the edit changed nothing");
    read(after.as_bytes()).unwrap_err().to_string()
}

#[test]
fn each_damage_is_named() {
    insta::assert_snapshot!(refused(|text| text.replace("name=\"schema\" value=\"1\"", "name=\"schema\" value=\"99\"")), @"report format 99 is unknown, this program reads format 1");
    insta::assert_snapshot!(refused(|text| text.replace("value=\"fail\"", "value=\"pass\"")).split_once(':').unwrap().0, @"the content was changed after it was written");
    insta::assert_snapshot!(refused(|text| text.replacen("tests=\"3\"", "tests=\"2\"", 1)), @"tests of suite `pre_validation` says 2, found 3: a case was added or removed");
    insta::assert_snapshot!(refused(|text| text.replace("name=\"pre::api_live\"", "name=\"pre::metrics_api\"")), @"case `pre::metrics_api` stands twice in suite `pre_validation`");
    insta::assert_snapshot!(refused(|text| text.replace("name=\"tool\"", "name=\"node\"")), @"property `node` stands twice in the report");
    insta::assert_snapshot!(refused(|text| text.replace("onboarding harness", "pytest")), @"not a report of this program: a JUnit file written by `pytest`");
    insta::assert_snapshot!(refused(|text| text.replace("<properties>", "<!-- x --><properties>")), @"not well-formed XML at byte 170: only elements and text belong in a report");
    insta::assert_snapshot!(refused(|text| text[..text.len() / 2].to_owned()).split_once(" after").unwrap().0, @"the report is cut off");
    insta::assert_snapshot!(refused(|_| "<testsuites></testsuites>".to_owned()), @"not a report of this program: a JUnit file without our properties");
    insta::assert_snapshot!(refused(|_| "not xml at all".to_owned()), @"not well-formed XML at byte 0: text outside of the root element");
    insta::assert_snapshot!(refused(|_| "<html></html>".to_owned()), @"not a report of this program: root element <html>");
    let suite = |text: &str| {
        let begin = text.find(" <testsuite ").unwrap();
        let end = text.find("</testsuite>").unwrap() + "</testsuite>\n".len();
        (begin, end)
    };
    insta::assert_snapshot!(refused(|text| { let (begin, end) = suite(&text); format!("{}{}", &text[..begin], &text[end..]) }), @"tests of the report says 9, found 6: a case was added or removed");
    insta::assert_snapshot!(refused(|text| { let (begin, end) = suite(&text); format!("{}{}{}", &text[..end], &text[begin..end], &text[end..]) }), @"suite `pre_validation` stands twice in the report");
}

const HOSTILE: &str = "\u{1b}[31mred\u{1b}[0m\0\u{fffe}]]>&<\"'\ta\r\nb\u{202e}\u{7}é→";

fn hostile() -> Report {
    let mut report = stopped();
    report.node = HOSTILE.to_owned();
    let mut one = done(Outcome::Fail, HOSTILE, HOSTILE);
    if let Progress::Done(ended) = &mut one {
        let lossy = String::from_utf8_lossy(b"bytes \xff\xfe ]]> \x1b]0;t\x07").into_owned();
        ended.evidence = vec![HOSTILE.to_owned(), lossy, "x".repeat(200_000)];
        ended.hint = HOSTILE.repeat(3);
        ended.at = "a]]>b:12".to_owned();
    }
    report.phases[0].cases.push(case(HOSTILE, one.clone()));
    report.phases[0].cases.push(case(HOSTILE, one));
    report
}

#[test]
fn hostile_text_comes_out_well_formed_and_bounded() {
    let bytes = write(&hostile()).unwrap();
    assert!(bytes.len() < 600_000, "{}", bytes.len());
    let found = read(&bytes).unwrap();
    assert_eq!(found, cleaned(&hostile()));
    assert_eq!(write(&found).unwrap(), bytes, "stable");
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        !text.contains('\u{1b}') && !text.contains('\u{fffe}') && text.contains("bytes left out]")
    );
}

#[test]
fn two_other_readers_agree() {
    for report in [stopped(), hostile()] {
        let bytes = write(&report).unwrap();
        let clean = cleaned(&report);
        let cases: usize = clean.phases.iter().map(|phase| phase.cases.len()).sum();

        let other = quick_junit::Report::deserialize_from_str(std::str::from_utf8(&bytes).unwrap())
            .unwrap();
        assert_eq!((other.tests, other.test_suites.len()), (cases, 9));
        assert_eq!(other.test_suites[3].name.as_str(), "storage_integration");
        let first = &other.test_suites[3].test_cases[0];
        let quick_junit::TestCaseStatus::NonSuccess {
            message,
            ty,
            description,
            ..
        } = &first.status
        else {
            panic!("{first:?}")
        };
        assert_eq!(message.as_ref().unwrap().as_str(), "disk sdb1 is not ready");
        assert_eq!(ty.as_ref().unwrap().as_str(), "DiskNotReady");
        assert!(
            description
                .as_ref()
                .unwrap()
                .as_str()
                .contains(" at checks/src/storage.rs:120")
        );
        assert!(
            first
                .system_out
                .as_ref()
                .unwrap()
                .as_str()
                .contains("Ready=False")
        );

        let third = junit_parser::from_reader(std::io::Cursor::new(&bytes)).unwrap();
        assert_eq!((third.tests as usize, third.suites.len()), (cases, 9));
        let pre = &third.suites[0];
        assert_eq!(
            (pre.failures, pre.skipped),
            (clean.phases[0].cases.len() as u64 - 3, 1)
        );
        assert_eq!(third.suites[3].cases[1].original_name, "storage::capacity");
        assert!(third.suites[3].cases[1].status.is_skipped());
    }
}

#[test]
fn a_third_reader_agrees_where_it_is_installed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.xml");
    std::fs::write(&path, write(&hostile()).unwrap()).unwrap();
    let script = "import sys,xml.etree.ElementTree as t;r=t.parse(sys.argv[1]).getroot();\
                  print(len(r.findall('testsuite')),len(r.findall('.//testcase')),r.find('.//failure').get('type'))";
    let Ok(out) = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .env("PYTHONIOENCODING", "utf-8")
        .output()
    else {
        return;
    };
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(said.starts_with("9 11 red"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_report_is_read_back_once_cleaned(report in any_report()) {
        let clean = cleaned(&report);
        prop_assert_eq!(&cleaned(&clean), &clean, "cleaning twice is cleaning once");
        let bytes = write(&report).unwrap();
        let found = read(&bytes).unwrap();
        prop_assert_eq!(&found, &clean);
        prop_assert_eq!(write(&found).unwrap(), bytes);
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in any_text()) {
        prop_assert!(read(&bytes).is_err());
        prop_assert!(read(text.as_bytes()).is_err());
    }
}

#[test]
fn the_steps_of_a_rollback_are_a_suite_of_their_own_and_only_that_one_is_known() {
    let plain = write(&stopped()).unwrap();
    assert!(!String::from_utf8_lossy(&plain).contains("name=\"rollback\""));
    let mut report = stopped();
    report.mode = Mode::Rollback;
    let mut failed = done(Outcome::Fail, "DrainUnfinished", "1 to go");
    if let Progress::Done(ended) = &mut failed {
        ended.duration = SignedDuration::from_secs(7);
    }
    report.steps = vec![
        case("rollback::cordon", done(Outcome::Pass, "", "cordoned")),
        case("rollback::drain", failed),
        case("rollback::push", Progress::NotStarted),
    ];
    let bytes = write(&report).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert!(
        text.contains("name=\"rollback\" package=\"\" hostname=\"k3s2\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"7.000\""),
        "{text}"
    );
    assert!(text.contains("classname=\"onboarding.rollback\""));
    assert_eq!(read(&bytes).unwrap(), report);
    let other = text.replace("name=\"rollback\"", "name=\"rollforward\"");
    let error = read(other.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("rollforward"), "{error}");
}
