//! Totals of what `junit-report` wrote: counted from the elements, so they cannot differ from them.

use quick_xml::{Reader, events::Event};

use super::{JunitError, complete::write_error};

/// What the elements come to, a suite and overall.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) suites: Vec<Count>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) tests: usize,
    pub(super) failures: usize,
    pub(super) errors: usize,
    pub(super) skipped: usize,
}

impl Totals {
    pub(super) fn count(draft: &[u8]) -> Result<Self, JunitError> {
        let mut totals = Self::default();
        let mut reader = Reader::from_reader(draft);
        let mut buffer = Vec::new();
        loop {
            match reader.read_event_into(&mut buffer).map_err(write_error)? {
                Event::Eof => return Ok(totals),
                Event::Start(start) | Event::Empty(start) => totals.see(start.name().as_ref()),
                _ => {}
            }
            buffer.clear();
        }
    }

    fn see(&mut self, element: &[u8]) {
        if element == b"testsuite" {
            self.suites.push(Count::default());
        }
        let Some(suite) = self.suites.last_mut() else {
            return;
        };
        match element {
            b"testcase" => suite.tests += 1,
            b"failure" => suite.failures += 1,
            b"error" => suite.errors += 1,
            b"skipped" => suite.skipped += 1,
            _ => {}
        }
    }

    pub(super) fn all(&self) -> Count {
        self.suites.iter().fold(Count::default(), |sum, one| Count {
            tests: sum.tests + one.tests,
            failures: sum.failures + one.failures,
            errors: sum.errors + one.errors,
            skipped: sum.skipped + one.skipped,
        })
    }
}
