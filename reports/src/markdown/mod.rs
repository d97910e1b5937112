//! The report for people, in GitHub Markdown, and the second copy of the state.
//!
//! Rendered from the same value as the JUnit file. The prose is for reading only; the state stands in one HTML comment
//! at the end ([`embedded`] reads it back), so a cut file is seen.

mod embed;
mod escape;
mod sections;
mod summary;
mod timeline;

use crate::{clean::cleaned, model::Report};

pub use embed::{EmbeddedError, embedded};
pub use summary::sentence;

/// What the Markdown shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkdownOptions {
    /// Whether the state is added in a comment, for `--resume` when the JUnit file is damaged.
    pub embed: bool,
    /// Evidence of more lines than this is folded.
    pub fold_above: usize,
}

impl Default for MarkdownOptions {
    fn default() -> Self {
        Self {
            embed: true,
            fold_above: 8,
        }
    }
}

/// The report as Markdown, cleaned and redacted, most urgent first.
#[must_use]
pub fn render(report: &Report, options: &MarkdownOptions) -> String {
    render_clean(&cleaned(report), options)
}

/// The same for a report that is clean already.
pub(crate) fn render_clean(report: &Report, options: &MarkdownOptions) -> String {
    let mut out = String::new();
    summary::head(&mut out, report);
    sections::failures(&mut out, report, options);
    summary::recommendations(&mut out, report);
    sections::phases(&mut out, report);
    sections::rollback(&mut out, report);
    timeline::gantt(&mut out, report);
    sections::state(&mut out, report);
    sections::warnings(&mut out, report, options);
    sections::changes(&mut out, report);
    sections::traceability(&mut out, report);
    sections::skipped(&mut out, report);
    summary::environment(&mut out, report);
    if options.embed {
        out.push('\n');
        out.push_str(&embed::comment(report));
    }
    out
}

#[cfg(test)]
mod tests;
