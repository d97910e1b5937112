//! From outcomes to JUnit elements, by `junit-report`.
//!
//! That crate writes elements and nothing else: totals, properties and case times are added by [`super::complete`].

use jiff::{SignedDuration, Timestamp};
use junit_report::{Duration, OffsetDateTime, ReportBuilder, TestCase, TestResult, TestSuite};

use super::{JunitError, JunitOptions};
use crate::{
    model::{Case, Ended, Outcome, PhaseReport, Progress, Report},
    text::XmlText,
};

/// What `junit-report` makes of a cleaned report.
pub(super) fn draft(report: &Report, options: JunitOptions) -> Result<Vec<u8>, JunitError> {
    let mut builder = ReportBuilder::new();
    for phase in &report.phases {
        builder.add_testsuite(suite(report, phase, options));
    }
    if !report.steps.is_empty() {
        let mut suite = TestSuite::new(ROLLBACK);
        suite.package = String::new();
        suite.hostname = report.node.clone();
        suite.timestamp = moment(report.started);
        suite.testcases = report
            .steps
            .iter()
            .map(|one| case(ROLLBACK, one, options))
            .collect();
        builder.add_testsuite(suite);
    }
    let mut out = Vec::new();
    builder
        .build()
        .write_xml(&mut out)
        .map_err(|error| JunitError::Write(error.to_string()))?;
    Ok(out)
}

/// Name of the suite that holds the steps of a rollback, after those of the phases.
pub(super) const ROLLBACK: &str = "rollback";

/// Class name of the cases of a suite: CI systems group by it, and take what stands before the last dot for a package.
pub(super) fn classname(suite: &str) -> String {
    format!("onboarding.{suite}")
}

fn suite(report: &Report, phase: &PhaseReport, options: JunitOptions) -> TestSuite {
    let mut suite = TestSuite::new(phase.phase.name());
    suite.package = String::new();
    suite.hostname = report.node.clone();
    suite.timestamp = moment(phase.started.unwrap_or(report.started));
    suite.testcases = phase
        .cases
        .iter()
        .map(|one| case(phase.phase.name(), one, options))
        .collect();
    suite
}

/// The seam to the `time` crate; what it cannot say is the epoch, and replaced afterwards anyway.
fn moment(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(at.as_nanosecond())
        .ok()
        .filter(|moment| (0..=9999).contains(&moment.year()))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Bounded, since that crate adds them up and panics when the sum is out of range.
fn span(duration: SignedDuration) -> Duration {
    Duration::milliseconds(
        duration.as_secs().clamp(0, i64::from(u32::MAX)) * 1000
            + i64::from(duration.subsec_millis()),
    )
}

fn case(suite: &str, case: &Case, options: JunitOptions) -> TestCase {
    let mut out = TestCase::success(&case.id, Duration::ZERO);
    out.classname = Some(classname(suite));
    out.result = match &case.progress {
        Progress::NotStarted => skipped("not_started", "not reached, or not selected"),
        Progress::InProgress { started } => {
            skipped("in_progress", &format!("begun at {started} and not ended"))
        }
        Progress::Done(ended) => {
            out.time = span(ended.duration);
            if let Some((file, _)) = place(&ended.at) {
                out.filepath = Some(file.to_owned());
            }
            if !ended.evidence.is_empty() {
                out.system_out = Some(XmlText::known(ended.evidence.join("\n")).cdata());
            }
            result(ended, options)
        }
    };
    out
}

fn skipped(type_: &str, message: &str) -> TestResult {
    TestResult::SkippedWithCause {
        type_: type_.to_owned(),
        message: message.to_owned(),
        cause: Some(message.to_owned()),
    }
}

fn result(ended: &Ended, options: JunitOptions) -> TestResult {
    let message = ended.message.clone();
    let type_ = match ended.reason.as_str() {
        "" => ended.outcome.name().to_owned(),
        reason => reason.to_owned(),
    };
    let cause = Some(body(ended).cdata());
    match ended.outcome {
        Outcome::Pass => TestResult::Success,
        Outcome::Warn if !options.fail_on_warn => TestResult::Success,
        Outcome::Warn | Outcome::Fail => TestResult::Failure {
            type_,
            message,
            cause,
        },
        Outcome::Error => TestResult::Error {
            type_,
            message,
            cause,
        },
        Outcome::Skip => TestResult::SkippedWithCause {
            type_,
            message,
            cause,
        },
        Outcome::Blocked => TestResult::SkippedWithCause {
            type_: "blocked".to_owned(),
            message,
            cause,
        },
    }
}

/// Some readers show the body and drop the attributes, so it says everything again; ` at file:line` is what they turn
/// into a link.
fn body(ended: &Ended) -> XmlText {
    let mut text = format!("{}: {}", ended.reason, ended.message);
    if !ended.blocked_by.is_empty() {
        text.push_str(&format!("\nblocked by: {}", ended.blocked_by.join(" ")));
    }
    if !ended.hint.is_empty() {
        text.push_str(&format!("\nto do: {}", ended.hint));
    }
    if !ended.at.is_empty() {
        text.push_str(&format!("\n at {}", ended.at));
    }
    XmlText::block(&text)
}

/// File and line of `checks/src/storage.rs:120`.
pub(super) fn place(at: &str) -> Option<(&str, &str)> {
    let (file, line) = at.rsplit_once(':')?;
    (!file.is_empty() && !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()))
        .then_some((file, line))
}
