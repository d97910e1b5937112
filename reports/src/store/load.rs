//! Which of the two copies is used.

use std::path::Path;

use crate::{files, folder::StateFolder, junit, markdown::embedded, model::Report};

/// A report that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The report.
    pub report: Report,
    /// Set when only one copy was whole: which one is damaged, how, and which one is used.
    pub warning: Option<String>,
}

/// There is a report, and none of its copies can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no copy of the report can be used: {junit}; {markdown}")]
pub struct LoadError {
    /// What is wrong with the JUnit copy.
    pub junit: String,
    /// What is wrong with the Markdown copy.
    pub markdown: String,
}

/// The higher whole copy.
pub(super) fn load(folder: &StateFolder) -> Result<Option<Loaded>, LoadError> {
    pair(&folder.junit(), &folder.markdown())
}

/// The higher whole copy of two files.
pub(crate) fn pair(xml: &Path, text: &Path) -> Result<Option<Loaded>, LoadError> {
    let junit = copy(xml, |bytes| {
        junit::read(bytes).map_err(|error| error.to_string())
    });
    let markdown = copy(text, |bytes| {
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
        embedded(text).map_err(|error| error.to_string())
    });
    let used = |report: Report, used: &Path, problem: Option<String>| {
        let warning =
            problem.map(|problem| format!("{problem}; {} is used instead", used.display()));
        Ok(Some(Loaded { report, warning }))
    };
    let missing = |path: &Path| format!("{} is missing", path.display());
    match (junit, markdown) {
        (Copy::Absent, Copy::Absent) => Ok(None),
        (Copy::Whole(one), Copy::Whole(two)) if two.sequence > one.sequence => {
            used(*two, text, None)
        }
        (Copy::Whole(one), Copy::Whole(_)) => used(*one, xml, None),
        (Copy::Whole(one), Copy::Damaged(problem)) => used(*one, xml, Some(problem)),
        // A run that was killed at its very first write has no Markdown yet: nothing is lost.
        (Copy::Whole(one), Copy::Absent) => {
            let first = one.sequence <= 1;
            used(*one, xml, (!first).then(|| missing(text)))
        }
        (Copy::Damaged(problem), Copy::Whole(two)) => used(*two, text, Some(problem)),
        (Copy::Absent, Copy::Whole(two)) => used(*two, text, Some(missing(xml))),
        (Copy::Damaged(junit), Copy::Damaged(markdown)) => Err(LoadError { junit, markdown }),
        (Copy::Damaged(junit), Copy::Absent) => Err(LoadError {
            junit,
            markdown: missing(text),
        }),
        (Copy::Absent, Copy::Damaged(markdown)) => Err(LoadError {
            junit: missing(xml),
            markdown,
        }),
    }
}

enum Copy {
    Absent,
    Whole(Box<Report>),
    /// With the file's name.
    Damaged(String),
}

fn copy(path: &Path, parse: impl FnOnce(&[u8]) -> Result<Report, String>) -> Copy {
    match files::read(path) {
        Ok(None) => Copy::Absent,
        Ok(Some(bytes)) => match parse(&bytes) {
            Ok(report) => Copy::Whole(Box::new(report)),
            Err(problem) => Copy::Damaged(format!("{}: {problem}", path.display())),
        },
        Err(error) => Copy::Damaged(error.to_string()),
    }
}
