//! Which folders may be trusted.

use std::{
    fs::{self, DirBuilder, Metadata},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
};

use super::FolderError;
use crate::files;

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Io {
        doing,
        path,
        source,
    }
}

pub(crate) fn open_or_create(path: &Path) -> Result<PathBuf, FolderError> {
    if let Some(found) = open(path)? {
        return Ok(found);
    }
    let path = std::path::absolute(path).map_err(io_error("resolving", path))?;
    match DirBuilder::new().mode(0o700).recursive(true).create(&path) {
        // Somebody may have been faster: what is there is judged again.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.map_err(io_error("making the folder", &path))?,
    }
    open(&path)?.ok_or_else(|| {
        let source = io::Error::from(io::ErrorKind::NotFound);
        FolderError::Io {
            doing: "making the folder",
            path,
            source,
        }
    })
}

/// The absolute path of an existing folder that may be trusted; `None` if there is none.
pub(crate) fn open(path: &Path) -> Result<Option<PathBuf>, FolderError> {
    let path = std::path::absolute(path).map_err(io_error("resolving", path))?;
    if path.components().any(|part| part == Component::ParentDir) {
        let source = io::Error::new(
            io::ErrorKind::InvalidInput,
            "a path with `..` is not accepted",
        );
        return Err(FolderError::Io {
            doing: "opening",
            path,
            source,
        });
    }
    let own = files::own_uid().map_err(io_error("finding the own user for", &path))?;
    judge_way(&path, own)?;
    let Some(found) = look(&path)? else {
        return Ok(None);
    };
    if !found.is_dir() {
        return Err(FolderError::NotFolder {
            path,
            found: files::kind(&found),
        });
    }
    if found.uid() != own {
        return Err(FolderError::Foreign {
            path,
            found: found.uid(),
            expected: own,
        });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(FolderError::Writable { path, found: mode });
    }
    if mode & 0o077 != 0 {
        // Our own folder, only too open to readers.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
            .map_err(io_error("closing to others", &path))?;
    }
    Ok(Some(path))
}

fn look(path: &Path) -> Result<Option<Metadata>, FolderError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(io_error("looking at", path)),
    }
}

/// Judges every folder above, as written and as it really is behind links.
fn judge_way(path: &Path, own: u32) -> Result<(), FolderError> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    for above in parent.ancestors() {
        let Some(found) = look(above)? else { continue };
        judge_one(above, &found, own)?;
        if found.is_symlink() {
            let real = fs::canonicalize(above).map_err(io_error("resolving", above))?;
            for above in real.ancestors() {
                if let Some(found) = look(above)? {
                    judge_one(above, &found, own)?;
                }
            }
        }
    }
    Ok(())
}

/// Root's links and our own are taken; a folder where anybody can exchange our entry is not.
fn judge_one(path: &Path, found: &Metadata, own: u32) -> Result<(), FolderError> {
    if found.is_symlink() {
        if found.uid() != 0 && found.uid() != own {
            return Err(FolderError::Foreign {
                path: path.to_owned(),
                found: found.uid(),
                expected: own,
            });
        }
        return Ok(());
    }
    if !found.is_dir() {
        return Err(FolderError::NotFolder {
            path: path.to_owned(),
            found: files::kind(found),
        });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        return Err(FolderError::Writable {
            path: path.to_owned(),
            found: mode,
        });
    }
    Ok(())
}
