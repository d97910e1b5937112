//! One pass over the draft that adds what `junit-report` cannot write: totals of the root, `skipped=`, wall-clock suite
//! times, properties, and when and where a case was decided.

use jiff::{SignedDuration, Timestamp};
use quick_xml::{
    Reader, Writer,
    events::{BytesDecl, BytesEnd, BytesStart, Event, attributes::Attribute},
};

use super::{
    JunitError,
    build::{ROLLBACK, place},
    fields,
    fields::Properties,
    totals::{Count, Totals},
};
use crate::model::{Case, Progress, Report};

/// Stands for the digest while it is not known, and is as long.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Puts the digest in its place. Nobody else's text can look like it, since quotes are escaped in all values.
pub(super) fn seal(whole: &mut [u8], digest: &str) -> Result<(), JunitError> {
    const BEFORE: &[u8] = b"<property name=\"digest\" value=\"";
    let place = whole
        .windows(BEFORE.len())
        .position(|window| window == BEFORE);
    let room = place
        .map(|at| at + BEFORE.len())
        .and_then(|at| whole.get_mut(at..at + NO_DIGEST.len()));
    match room {
        Some(room) if digest.len() == room.len() => {
            room.copy_from_slice(digest.as_bytes());
            Ok(())
        }
        _ => Err(write_error("no room for the digest")),
    }
}

/// The whole document without its digest, ended by a line break.
pub(super) fn complete(draft: &[u8], report: &Report) -> Result<Vec<u8>, JunitError> {
    let totals = Totals::count(draft)?;
    let mut pass = Pass {
        out: Writer::new_with_indent(Vec::new(), b' ', 1),
        report,
        totals,
        suite: 0,
        case: 0,
    };
    let mut reader = Reader::from_reader(draft);
    let mut buffer = Vec::new();
    loop {
        let event = reader.read_event_into(&mut buffer).map_err(write_error)?;
        match event {
            Event::Eof => break,
            Event::Decl(_) => pass.emit(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?,
            Event::Start(start) => pass.start(&start)?,
            Event::Empty(start) => pass.empty(&start)?,
            Event::End(end) => pass.end(end.name().as_ref())?,
            other => pass.emit(other)?,
        }
        buffer.clear();
    }
    let mut bytes = pass.out.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

pub(super) fn write_error(error: impl ToString) -> JunitError {
    JunitError::Write(error.to_string())
}

struct Pass<'a> {
    out: Writer<Vec<u8>>,
    report: &'a Report,
    totals: Totals,
    /// Suites opened so far.
    suite: usize,
    /// Cases opened in the current suite so far.
    case: usize,
}

impl<'a> Pass<'a> {
    fn emit(&mut self, event: Event<'_>) -> Result<(), JunitError> {
        self.out.write_event(event).map_err(write_error)
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), JunitError> {
        match start.name().as_ref() {
            b"testsuites" => self.root(),
            b"testsuite" => self.open_suite(),
            b"testcase" => self.open_case(),
            _ => self.emit(Event::Start(start.borrow())),
        }
    }

    /// An element without children gets properties, so it has an end now.
    fn empty(&mut self, start: &BytesStart<'_>) -> Result<(), JunitError> {
        let name = start.name();
        match name.as_ref() {
            b"testsuites" | b"testsuite" | b"testcase" => {
                self.start(start)?;
                self.end(name.as_ref())
            }
            _ => self.emit(Event::Empty(start.borrow())),
        }
    }

    fn end(&mut self, name: &[u8]) -> Result<(), JunitError> {
        let name = String::from_utf8_lossy(name).into_owned();
        self.emit(Event::End(BytesEnd::new(name)))
    }

    fn root(&mut self) -> Result<(), JunitError> {
        let count = self.totals.all();
        let report = self.report;
        let name = format!("onboarding {}", report.node);
        let time = report
            .finished
            .or_else(|| latest(report))
            .map(|end| end.duration_since(report.started));
        let mut element = BytesStart::new("testsuites");
        attribute(&mut element, "name", &name);
        counts(&mut element, count);
        attribute(&mut element, "time", &seconds(time.unwrap_or_default()));
        attribute(&mut element, "timestamp", &report.started.to_string());
        self.emit(Event::Start(element))?;
        let mut all = vec![("generator".to_owned(), super::tree::GENERATOR.to_owned())];
        all.push(("digest".to_owned(), NO_DIGEST.to_owned()));
        all.extend(fields::of_report(report)?);
        self.properties(&all)
    }

    fn open_suite(&mut self) -> Result<(), JunitError> {
        let report = self.report;
        let Some(count) = self.totals.suites.get(self.suite).copied() else {
            return Err(write_error("more suites in the draft than were counted"));
        };
        let phase = report.phases.get(self.suite);
        let steps = &report.steps;
        let (name, time, started, properties) = match phase {
            Some(phase) => (
                phase.phase.name(),
                wall_clock(phase.started, phase.finished, &phase.cases),
                phase.started,
                fields::of_phase(phase),
            ),
            None => {
                let started = steps.iter().filter_map(began).min();
                let time = wall_clock(started, None, steps);
                (ROLLBACK, time, started, fields::of_rollback(steps))
            }
        };
        let mut element = BytesStart::new("testsuite");
        attribute(&mut element, "id", &self.suite.to_string());
        attribute(&mut element, "name", name);
        attribute(&mut element, "package", "");
        attribute(&mut element, "hostname", &self.report.node);
        counts(&mut element, count);
        attribute(&mut element, "time", &seconds(time));
        if let Some(started) = started {
            attribute(&mut element, "timestamp", &started.to_string());
        }
        self.suite += 1;
        self.case = 0;
        self.emit(Event::Start(element))?;
        self.properties(&properties)
    }

    fn open_case(&mut self) -> Result<(), JunitError> {
        let report = self.report;
        let found = self.suite.checked_sub(1);
        let found = found.map(|at| match report.phases.get(at) {
            Some(phase) => (phase.phase.name(), &phase.cases),
            None => (ROLLBACK, &report.steps),
        });
        let Some((suite, case)) =
            found.and_then(|(suite, cases)| Some((suite, cases.get(self.case)?)))
        else {
            return Err(write_error("more cases in the draft than in the report"));
        };
        let mut element = BytesStart::new("testcase");
        attribute(&mut element, "name", &case.id);
        attribute(&mut element, "classname", &super::build::classname(suite));
        if let Some((file, line)) = case.ended().and_then(|ended| place(&ended.at)) {
            attribute(&mut element, "file", file);
            attribute(&mut element, "line", line);
        }
        attribute(
            &mut element,
            "time",
            &seconds(case.ended().map(|ended| ended.duration).unwrap_or_default()),
        );
        if let Some(started) = began(case) {
            attribute(&mut element, "timestamp", &started.to_string());
        }
        self.case += 1;
        self.emit(Event::Start(element))?;
        self.properties(&fields::of_case(case)?)
    }

    fn properties(&mut self, all: &Properties) -> Result<(), JunitError> {
        self.emit(Event::Start(BytesStart::new("properties")))?;
        for (name, value) in all {
            let mut element = BytesStart::new("property");
            attribute(&mut element, "name", name);
            attribute(&mut element, "value", value);
            self.emit(Event::Empty(element))?;
        }
        self.end(b"properties")
    }
}

/// Escaped by hand: readers turn a literal line break in an attribute into a space, a reference they leave alone.
fn attribute(element: &mut BytesStart<'_>, name: &str, value: &str) {
    let mut escaped = String::with_capacity(value.len());
    for char in value.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' => escaped.push_str("&#9;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            other => escaped.push(other),
        }
    }
    element.push_attribute(Attribute::from((name.as_bytes(), escaped.as_bytes())));
}

fn counts(element: &mut BytesStart<'_>, count: Count) {
    attribute(element, "tests", &count.tests.to_string());
    attribute(element, "failures", &count.failures.to_string());
    attribute(element, "errors", &count.errors.to_string());
    attribute(element, "skipped", &count.skipped.to_string());
}

/// Seconds with three decimals, as every reader understands them; never negative.
fn seconds(duration: SignedDuration) -> String {
    let millis = duration.as_millis().max(0);
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// How long a suite took; while it runs, up to the last case that ended.
fn wall_clock(
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    cases: &[Case],
) -> SignedDuration {
    let end = finished.or_else(|| cases.iter().filter_map(ended_at).max());
    match (started, end) {
        (Some(started), Some(end)) => end.duration_since(started),
        _ => SignedDuration::ZERO,
    }
}

fn latest(report: &Report) -> Option<Timestamp> {
    report.cases().filter_map(ended_at).max()
}

fn began(case: &Case) -> Option<Timestamp> {
    match &case.progress {
        Progress::NotStarted => None,
        Progress::InProgress { started } => Some(*started),
        Progress::Done(ended) => Some(ended.started),
    }
}

fn ended_at(case: &Case) -> Option<Timestamp> {
    let ended = case.ended()?;
    ended.started.checked_add(ended.duration).ok()
}
