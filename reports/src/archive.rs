//! What stays when a run has ended: names with a time, in the log folder.
//!
//! Times in names are UTC, so that they sort by name. Two runs that end in the same second get `-2`, `-3`.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use crate::{
    files::{self, FileError, create_new, io_error, replace, sync_folder},
    folder::{FolderError, LogFolder, NodeNameError, StateFolder, valid_node_name},
    junit::{self, JunitError},
    markdown::{self, MarkdownOptions},
    model::{Mode, Report},
};

mod find;

pub(crate) use find::visit;
pub use find::{Archived, History, all, latest, newest};

/// Why something could not be archived or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A file could not be written or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A folder must not be trusted.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The name of the node cannot be part of a file name.
    #[error(transparent)]
    Node(#[from] NodeNameError),
    /// The report could not be written as JUnit.
    #[error(transparent)]
    Junit(#[from] JunitError),
}

/// More runs than this do not end in one second.
const MOST: u32 = 1000;

/// The kinds of files in the log folder.
#[derive(Clone, Copy)]
enum Item {
    Log,
    Junit,
    Report,
    Backup,
}

/// `k3s2-onboarding-20261122-101502.log` and its siblings.
fn name(item: Item, node: &str, mode: Mode, at: Timestamp, number: u32) -> String {
    let dry = if mode == Mode::DryRun { "dry-run-" } else { "" };
    let (kind, extension) = match item {
        Item::Log => ("", ".log"),
        Item::Junit => ("", ".xml"),
        Item::Report => ("report-", ".md"),
        Item::Backup => ("backup-", ""),
    };
    let again = if number > 1 {
        format!("-{number}")
    } else {
        String::new()
    };
    format!(
        "{node}-onboarding-{dry}{kind}{}{again}{extension}",
        at.strftime("%Y%m%d-%H%M%S")
    )
}

/// Makes the first name that is free.
fn reserve<T>(
    logs: &LogFolder,
    mut attempt: impl FnMut(u32) -> Result<Option<T>, FileError>,
) -> Result<T, FileError> {
    for number in 1..=MOST {
        if let Some(made) = attempt(number)? {
            return Ok(made);
        }
    }
    let full = io::Error::new(
        io::ErrorKind::AlreadyExists,
        "all names of this second are taken",
    );
    Err(io_error("making a file in", logs.path())(full))
}

fn new_file(path: PathBuf) -> Result<Option<(File, PathBuf)>, FileError> {
    match create_new(&path) {
        Ok(file) => Ok(Some((file, path))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(io_error("making", &path)(error)),
    }
}

/// A new, empty log file of mode 0600 and its path.
///
/// # Errors
/// [`ArchiveError`] when it cannot be made, or the node's name cannot be part of a file name.
pub fn new_log(
    logs: &LogFolder,
    node: &str,
    mode: Mode,
    at: Timestamp,
) -> Result<(File, PathBuf), ArchiveError> {
    valid_node_name(node)?;
    let path = |number| logs.path().join(name(Item::Log, node, mode, at, number));
    Ok(reserve(logs, |number| new_file(path(number)))?)
}

/// Writes the Markdown report for people and says where it is.
///
/// # Errors
/// [`ArchiveError`] when it cannot be written, or the node's name cannot be part of a file name.
pub fn write_markdown(
    logs: &LogFolder,
    report: &Report,
    at: Timestamp,
) -> Result<PathBuf, ArchiveError> {
    valid_node_name(&report.node)?;
    let path = |number| {
        logs.path()
            .join(name(Item::Report, &report.node, report.mode, at, number))
    };
    let (_, path) = reserve(logs, |number| new_file(path(number)))?;
    // A dry run can never be resumed, so it carries no state.
    let embed = report.mode != Mode::DryRun;
    let options = MarkdownOptions {
        embed,
        ..MarkdownOptions::default()
    };
    replace(&path, markdown::render(report, &options).as_bytes())?;
    Ok(path)
}

/// Writes a report that has no state folder (a dry run, an inspection) as JUnit and says where it is.
///
/// # Errors
/// [`ArchiveError`] when it cannot be written, or the node's name cannot be part of a file name.
pub fn write_junit(
    logs: &LogFolder,
    report: &Report,
    at: Timestamp,
) -> Result<PathBuf, ArchiveError> {
    valid_node_name(&report.node)?;
    let bytes = junit::write(report)?;
    let path = |number| {
        logs.path()
            .join(name(Item::Junit, &report.node, report.mode, at, number))
    };
    let (_, path) = reserve(logs, |number| new_file(path(number)))?;
    replace(&path, &bytes)?;
    Ok(path)
}

/// What was archived of a state folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Copy of `onboarding.xml`.
    pub junit: Option<PathBuf>,
    /// Copy of `backup/`.
    pub backup: Option<PathBuf>,
}

/// Copies JUnit and `backup/` of a state folder to the log folder. A JUnit file that is not whole is replaced by the
/// state of the Markdown file if that is whole, and copied as it is otherwise. The state folder stays as it is.
///
/// # Errors
/// [`ArchiveError`] when something cannot be read or written, or the node's name cannot be part of a file name.
pub fn archive(
    state: &StateFolder,
    logs: &LogFolder,
    node: &str,
    at: Timestamp,
) -> Result<Kept, ArchiveError> {
    valid_node_name(node)?;
    let junit = truth(state)?;
    let backup = crate::folder::open(&state.backup())?;
    if junit.is_none() && backup.is_none() {
        return Ok(Kept::default());
    }
    let path = |item, number| {
        logs.path()
            .join(name(item, node, Mode::Onboard, at, number))
    };
    // Both get the same number, so that they are seen to belong together.
    let kept = reserve(logs, |number| {
        let mut kept = Kept::default();
        if junit.is_some() {
            let Some((_, made)) = new_file(path(Item::Junit, number))? else {
                return Ok(None);
            };
            kept.junit = Some(made);
        }
        if backup.is_some() {
            let folder = path(Item::Backup, number);
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => kept.backup = Some(folder),
                Err(error) => {
                    if let Some(made) = &kept.junit {
                        let _ = fs::remove_file(made);
                    }
                    if error.kind() == io::ErrorKind::AlreadyExists {
                        return Ok(None);
                    }
                    return Err(io_error("making the folder", &folder)(error));
                }
            }
        }
        Ok(Some(kept))
    })?;
    if let (Some(path), Some(bytes)) = (&kept.junit, &junit) {
        replace(path, bytes)?;
    }
    if let (Some(from), Some(to)) = (&backup, &kept.backup) {
        copy_files(from, to)?;
        sync_folder(logs.path())?;
    }
    Ok(kept)
}

/// The bytes to keep: the truth, or what the second copy says it was.
fn truth(state: &StateFolder) -> Result<Option<Vec<u8>>, ArchiveError> {
    let bytes = files::read(&state.junit())?;
    if bytes
        .as_ref()
        .is_some_and(|bytes| junit::read(bytes).is_ok())
    {
        return Ok(bytes);
    }
    let text = files::read(&state.markdown()).ok().flatten();
    let second = text.and_then(|text| markdown::embedded(std::str::from_utf8(&text).ok()?).ok());
    match second {
        Some(report) => Ok(Some(junit::write(&report)?)),
        None => Ok(bytes),
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(from).map_err(io_error("listing", from))? {
        let entry = entry.map_err(io_error("listing", from))?;
        if let Some(bytes) = files::read(&entry.path())? {
            replace(&to.join(entry.file_name()), &bytes)?;
        }
    }
    Ok(())
}

/// Removes the state after a complete run: the report's three files and `backup/`, but not `lock`. Archive before.
///
/// # Errors
/// [`ArchiveError`] when something of it cannot be removed.
pub fn clear(state: &StateFolder) -> Result<(), ArchiveError> {
    // The truth goes last: after a crash in between, the rest is still explained by it.
    for path in [state.state_json(), state.markdown()] {
        remove(&path, |path| fs::remove_file(path))?;
    }
    remove(&state.backup(), |path| fs::remove_dir_all(path))?;
    remove(&state.junit(), |path| fs::remove_file(path))?;
    Ok(sync_folder(state.path())?)
}

fn remove(path: &Path, how: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), FileError> {
    match how(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("removing", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
