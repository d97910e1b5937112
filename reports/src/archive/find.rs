//! Reports of earlier runs in the log folder.

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::ArchiveError;
use crate::{
    files::{self, io_error},
    folder::{LogFolder, valid_node_name},
    junit,
    model::{Mode, Report},
    text::line,
};

/// A whole report in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub report: Report,
}

/// What the archive knows of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The last report of every run, oldest first.
    pub reports: Vec<Archived>,
    /// Files that could not be read, with the reason.
    pub damaged: Vec<String>,
}

/// The newest whole archived onboarding of this node, and of this cluster if its UID is known. Dry runs, inspections
/// and damaged files are passed over.
///
/// # Errors
/// [`ArchiveError`] when the folder cannot be listed, or the node's name cannot be part of a file name.
pub fn newest(
    logs: &LogFolder,
    node: &str,
    cluster_uid: Option<&str>,
) -> Result<Option<Archived>, ArchiveError> {
    find(logs, node, cluster_uid, &[Mode::Onboard])
}

/// The newest whole archived onboarding or rollback, likewise: what happened to this node last.
///
/// # Errors
/// [`ArchiveError`] when the folder cannot be listed, or the node's name cannot be part of a file name.
pub fn latest(
    logs: &LogFolder,
    node: &str,
    cluster_uid: Option<&str>,
) -> Result<Option<Archived>, ArchiveError> {
    find(logs, node, cluster_uid, &[Mode::Onboard, Mode::Rollback])
}

fn find(
    logs: &LogFolder,
    node: &str,
    cluster_uid: Option<&str>,
    modes: &[Mode],
) -> Result<Option<Archived>, ArchiveError> {
    for path in candidates(logs, node)?.into_values().rev() {
        let Ok(report) = read(&path) else { continue };
        let cluster = cluster_uid.is_none_or(|uid| report.cluster.uid == uid);
        if report.node == node && modes.contains(&report.mode) && cluster {
            return Ok(Some(Archived { path, report }));
        }
    }
    Ok(None)
}

/// All runs of a node, without dry runs. A resumed run is archived at each end and counts once, by its last report.
///
/// # Errors
/// [`ArchiveError`] when the folder cannot be listed, or the node's name cannot be part of a file name.
pub fn all(logs: &LogFolder, node: &str) -> Result<History, ArchiveError> {
    let mut history = History::default();
    for path in candidates(logs, node)?.into_values() {
        match read(&path) {
            Ok(report) if report.node != node => {}
            Ok(report) => {
                history.reports.retain(|earlier| {
                    (&earlier.report.run, earlier.report.mode) != (&report.run, report.mode)
                });
                history.reports.push(Archived { path, report });
            }
            Err(problem) => history
                .damaged
                .push(format!("{}: {problem}", path.display())),
        }
    }
    Ok(history)
}

/// Reads every archived report of a node in the order of time, one at a time, and returns the files that are named like
/// one and are none of ours. Dry runs are passed over.
///
/// # Errors
/// [`ArchiveError`] when the folder cannot be listed, or the node's name cannot be part of a file name.
pub(crate) fn visit(
    logs: &LogFolder,
    node: &str,
    mut each: impl FnMut(PathBuf, Result<Report, String>),
) -> Result<Vec<PathBuf>, ArchiveError> {
    let found = candidates(logs, node)?;
    for path in found.values() {
        let report = read(path);
        each(path.clone(), report);
    }
    let mut others: Vec<PathBuf> = fs::read_dir(logs.path())
        .map_err(io_error("listing", logs.path()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| key(name, node).is_none() && is_like_ours(name, node))
        .map(|name| logs.path().join(name))
        .collect();
    others.sort();
    Ok(others)
}

/// `k3s2-onboarding-latest.xml`: named like a report of ours, but for the time. Reports of dry runs are ours.
fn is_like_ours(name: &str, node: &str) -> bool {
    name.strip_prefix(node)
        .and_then(|rest| rest.strip_prefix("-onboarding-"))
        .is_some_and(|rest| rest.ends_with(".xml") && !rest.starts_with("dry-run-"))
}

fn read(path: &std::path::Path) -> Result<Report, String> {
    let bytes = files::read(path).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or("it has gone")?;
    junit::read(&bytes).map_err(|error| line(&error.to_string()))
}

/// Archived JUnit files by time, and by number within a second.
fn candidates(
    logs: &LogFolder,
    node: &str,
) -> Result<BTreeMap<(String, u32), PathBuf>, ArchiveError> {
    valid_node_name(node)?;
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(logs.path()).map_err(io_error("listing", logs.path()))? {
        let entry = entry.map_err(io_error("listing", logs.path()))?;
        let name = entry.file_name();
        if let Some(key) = name.to_str().and_then(|name| key(name, node)) {
            found.insert(key, entry.path());
        }
    }
    Ok(found)
}

/// Time and number of `k3s2-onboarding-20261122-101502-2.xml`; `None` for anything else.
fn key(name: &str, node: &str) -> Option<(String, u32)> {
    let rest = name
        .strip_prefix(node)?
        .strip_prefix("-onboarding-")?
        .strip_suffix(".xml")?;
    let digits =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = rest.split('-');
    let (day, second) = (parts.next()?, parts.next()?);
    let number = parts.next().map_or(Some(1), |number| number.parse().ok())?;
    (digits(day, 8) && digits(second, 6) && parts.next().is_none())
        .then(|| (format!("{day}-{second}"), number))
}
