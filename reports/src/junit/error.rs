//! Why a file is not a report that this program may go on from.

/// Why JUnit XML was refused, or could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JunitError {
    /// The end is missing: a copy was cut off.
    #[error("the report is cut off after {bytes} bytes, expected it to end with </testsuites>")]
    Truncated {
        /// Length of what is there.
        bytes: usize,
    },
    /// It is not XML, or not well-formed.
    #[error("not well-formed XML at byte {offset}: {problem}")]
    NotXml {
        /// Where, counted from the beginning of the file.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// It is XML that this program did not write.
    #[error("not a report of this program: {found}")]
    NotOurs {
        /// What stands there instead.
        found: String,
    },
    /// It was written by another version with another format.
    #[error("report format {found} is unknown, this program reads format {known}")]
    UnknownSchema {
        /// The format that the file says.
        found: String,
        /// The format that this program reads.
        known: u32,
    },
    /// Something that must be unique is there twice.
    #[error("{what} `{name}` stands twice in {place}")]
    Duplicate {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// Where.
        place: String,
    },
    /// Something that must be there is not.
    #[error("{what} is missing in {place}")]
    Missing {
        /// Kind of thing and its name.
        what: String,
        /// Where.
        place: String,
    },
    /// Something that does not belong there.
    #[error("unexpected {what} in {place}")]
    Unexpected {
        /// Kind of thing and its name.
        what: String,
        /// Where.
        place: String,
    },
    /// A value that cannot be understood.
    #[error("{what} in {place} is `{found}`, expected {expected}")]
    Invalid {
        /// Kind of thing and its name.
        what: String,
        /// Where.
        place: String,
        /// The value.
        found: String,
        /// What would be right.
        expected: String,
    },
    /// A total that does not match what is there.
    #[error("{count} of {place} says {said}, found {found}: a case was added or removed")]
    WrongCount {
        /// Name of the total.
        count: &'static str,
        /// Where it is said.
        place: String,
        /// What it says.
        said: String,
        /// What was counted.
        found: usize,
    },
    /// The content is not what the digest was made of.
    #[error(
        "the content was changed after it was written: its digest is {found}, the report says {said}"
    )]
    Digest {
        /// Digest in the file.
        said: String,
        /// Digest of the content.
        found: String,
    },
    /// Writing failed.
    #[error("JUnit XML could not be written: {0}")]
    Write(String),
}
