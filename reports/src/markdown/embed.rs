//! The state inside the Markdown file: one comment at its end, with sequence number and digest.

use sha2::{Digest as _, Sha256};

use crate::{
    junit::hex,
    model::{Report, SCHEMA},
    text::line,
};

const BEGIN: &str = "<!-- onboarding-report ";
const END: &str = "-->";

/// Why the state of a Markdown file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// No comment of ours at the end: cut off, or never there.
    #[error(
        "the state is missing at the end of the file: it was cut off, or it is not a report of this program"
    )]
    Missing,
    /// The comment is not built as ours.
    #[error("the state is not as this program writes it: {0}")]
    Invalid(String),
    /// Another format.
    #[error("report format {found} is unknown, this program reads format {known}")]
    UnknownSchema {
        /// The format that the file says.
        found: String,
        /// The format that this program reads.
        known: u32,
    },
    /// The content is not what the digest was made of.
    #[error(
        "the state was changed after it was written: its digest is {found}, the file says {said}"
    )]
    Digest {
        /// Digest in the file.
        said: String,
        /// Digest of the content.
        found: String,
    },
}

/// The comment for a cleaned report, ended by a line break.
pub(super) fn comment(report: &Report) -> String {
    let Ok(json) = serde_json::to_string(report) else {
        return String::new();
    };
    // Outside of strings JSON has none of these, so an escape is always right; without them no comment can end early.
    let json = json
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace("--", "-\\u002d");
    let (schema, sequence) = (report.schema, report.sequence);
    format!(
        "{BEGIN}schema={schema} sequence={sequence} sha256={}\n{json}\n{END}\n",
        digest(&json)
    )
}

/// The report that stands in a Markdown file.
///
/// # Errors
/// [`EmbeddedError`], which names the damage.
pub fn embedded(markdown: &str) -> Result<Report, EmbeddedError> {
    let whole = markdown.trim_end_matches(['\n', '\r', ' ']);
    let begin = whole.rfind(BEGIN).ok_or(EmbeddedError::Missing)?;
    let comment = whole[begin + BEGIN.len()..]
        .strip_suffix(END)
        .ok_or(EmbeddedError::Missing)?;
    let (head, json) = comment
        .split_once('\n')
        .ok_or_else(|| invalid("one line"))?;
    let json = json.trim_end_matches(['\n', '\r']);
    let fields: Vec<&str> = head.trim_end_matches('\r').split(' ').collect();
    let [schema, sequence, said] = fields.as_slice() else {
        return Err(invalid("another head line"));
    };
    let schema = schema
        .strip_prefix("schema=")
        .ok_or_else(|| invalid("no schema"))?;
    if schema.parse() != Ok(SCHEMA) {
        return Err(EmbeddedError::UnknownSchema {
            found: line(schema),
            known: SCHEMA,
        });
    }
    let said = said
        .strip_prefix("sha256=")
        .ok_or_else(|| invalid("no digest"))?;
    let found = digest(json);
    if said != found {
        return Err(EmbeddedError::Digest {
            said: line(said),
            found,
        });
    }
    let report: Report = serde_json::from_str(json).map_err(|error| invalid(&error.to_string()))?;
    if sequence
        .strip_prefix("sequence=")
        .and_then(|number| number.parse().ok())
        != Some(report.sequence)
    {
        return Err(invalid(
            "the head line has another sequence number than the content",
        ));
    }
    if report.schema != SCHEMA {
        return Err(EmbeddedError::UnknownSchema {
            found: report.schema.to_string(),
            known: SCHEMA,
        });
    }
    Ok(report)
}

fn invalid(problem: &str) -> EmbeddedError {
    EmbeddedError::Invalid(line(problem))
}

fn digest(json: &str) -> String {
    hex(&Sha256::digest(json.as_bytes()))
}
