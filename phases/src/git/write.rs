//! Writes files: the edited kustomization in place, and a copy of what it was before.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use checks::git::{GitError, Repository};

use super::edit::Edit;
use super::error::ChangeError;

/// Puts a copy of the bytes before the edit into this folder and returns its path. Its name has the run and the file;
/// nothing is ever overwritten: the same copy is found again, another one gets a number.
///
/// # Errors
/// [`ChangeError::NoBackup`].
pub fn backup(edit: &Edit, folder: &Path, run: &str) -> Result<PathBuf, ChangeError> {
    let failed = |source| ChangeError::NoBackup {
        file: edit.file.clone(),
        folder: folder.to_owned(),
        source,
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    let plain = |text: &str| -> String {
        text.chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || ".-_".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect()
    };
    let name = format!(
        "{}--{}",
        plain(run),
        plain(&edit.file.display().to_string().replace('/', "__"))
    );
    for number in 1..100 {
        let path = folder.join(if number == 1 {
            name.clone()
        } else {
            format!("{name}.{number}")
        });
        match keep(&path, &edit.before) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // A link would lead elsewhere: what it shows is nobody's backup.
                let whole = path.symlink_metadata().is_ok_and(|meta| meta.is_file());
                if whole && std::fs::read(&path).is_ok_and(|bytes| bytes == edit.before) {
                    return Ok(path);
                }
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "a hundred other backups of this run are there",
    )))
}

fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Replaces the file in the work tree by the edited bytes at once: a reader sees the old file or the new one. Its mode
/// is kept. Applied a second time it changes nothing.
///
/// # Errors
/// [`ChangeError::FileChanged`] if the file is neither as before nor as after the edit; [`GitError::OutsideRepository`]
/// and [`GitError::UnsupportedShape`] if a link is in the way.
pub fn write(repository: &Repository, edit: &Edit) -> Result<(), ChangeError> {
    repository.writable()?;
    let path = repository.locate(&edit.file)?;
    if path != repository.work_dir().join(&edit.file) {
        let why = "it is reached through a link".to_owned();
        return Err(GitError::UnsupportedShape {
            file: edit.file.clone(),
            why,
        }
        .into());
    }
    let failed = |source| ChangeError::NotWritten {
        path: path.clone(),
        source,
    };
    let current = std::fs::read(&path).map_err(failed)?;
    if current == edit.after {
        return Ok(());
    }
    if current != edit.before {
        return Err(ChangeError::FileChanged {
            file: edit.file.clone(),
        });
    }
    let folder = path.parent().unwrap_or(repository.work_dir());
    let permissions = path.metadata().map_err(failed)?.permissions();
    let mut temporary = tempfile::Builder::new()
        .prefix(".onboarding-")
        .tempfile_in(folder)
        .map_err(failed)?;
    temporary.write_all(&edit.after).map_err(failed)?;
    temporary
        .as_file()
        .set_permissions(permissions)
        .map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary
        .persist(&path)
        .map_err(|error| failed(error.error))?;
    // The rename is only as durable as its folder.
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}
