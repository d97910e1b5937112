//! JUnit XML: the truth that a later run reads back.
//!
//! `<testsuites>` > one flat `<testsuite>` a phase, always all nine > one `<testcase>` a check or action, also those
//! not reached. The elements say what CI systems understand; the `<properties>` carry every field of the [`Report`], so
//! that [`read`] gives back exactly what [`write()`] was given (after [`crate::cleaned`]). A digest over the whole
//! content finds any edit that changes a meaning.

mod build;
mod complete;
mod error;
mod fields;
mod properties;
mod read;
mod structure;
mod totals;
mod tree;

use crate::{clean::cleaned, model::Report};

pub use error::JunitError;
pub use read::read;
pub(crate) use tree::hex;

/// How outcomes are shown to readers of JUnit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JunitOptions {
    /// A warning is a `<failure>`, as `--fail-on warn` asks; otherwise it is a passing case.
    pub fail_on_warn: bool,
}

/// The report as JUnit XML, cleaned and redacted, warnings as passing cases.
///
/// # Errors
/// [`JunitError::Write`] when the XML writer refuses, which clean text gives no reason for.
pub fn write(report: &Report) -> Result<Vec<u8>, JunitError> {
    write_with(report, JunitOptions::default())
}

/// The report as JUnit XML, cleaned and redacted.
///
/// # Errors
/// [`JunitError::Write`] when the XML writer refuses, which clean text gives no reason for.
pub fn write_with(report: &Report, options: JunitOptions) -> Result<Vec<u8>, JunitError> {
    write_clean(&cleaned(report), options)
}

/// The same for a report that is clean already.
pub(crate) fn write_clean(report: &Report, options: JunitOptions) -> Result<Vec<u8>, JunitError> {
    let draft = build::draft(report, options)?;
    let mut whole = complete::complete(&draft, report)?;
    let digest = tree::digest(&tree::parse(&whole)?);
    complete::seal(&mut whole, &digest)?;
    Ok(whole)
}

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
