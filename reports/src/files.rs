//! Files as this program writes and reads them: whole or not at all, for the owner only, and never through a link.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Larger files are not ours.
const LARGEST: u64 = 64 * 1024 * 1024;

/// How names of temporary files begin.
pub(crate) const TEMPORARY: &str = ".writing-";

/// What could not be done with which file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried, such as `writing`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else stands in its place.
    #[error("{} is {found}, expected a regular file: move it away", path.display())]
    NotRegular {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to user {found}, expected user {expected}: move it away or use another folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        found: u32,
        /// The user that this program runs as.
        expected: u32,
    },
    /// More than any report of ours.
    #[error("{} has {size} bytes, expected at most {LARGEST}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
}

pub(crate) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io {
        doing,
        path,
        source,
    }
}

/// The user that this program acts as: files that it makes belong to it.
pub(crate) fn own_uid() -> io::Result<u32> {
    static OWN: OnceLock<u32> = OnceLock::new();
    if let Some(known) = OWN.get() {
        return Ok(*known);
    }
    // A fresh file belongs to the effective user; where none can be made, Linux tells it by the process folder.
    let found = tempfile::tempfile()
        .and_then(|file| file.metadata())
        .or_else(|_| fs::metadata("/proc/self"))?
        .uid();
    Ok(*OWN.get_or_init(|| found))
}

/// What stands at a path, for messages.
pub(crate) fn kind(metadata: &fs::Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        "a link"
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_file() {
        "a file"
    } else {
        "a special file"
    }
}

/// Replaces a file as a whole: temporary file in the same folder, fsync, rename, fsync of the folder. Mode 0600.
/// Anything but a regular file at the path is refused: a link would be lost, and so would `/dev/null`.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let folder = folder_of(path);
    let failed = |doing| io_error(doing, path);
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_file() => {
            let (path, found) = (path.to_owned(), kind(&found));
            return Err(FileError::NotRegular { path, found });
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("looking at")(error));
        }
        _ => {}
    }
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(&folder)
        .map_err(failed("making a temporary file beside"))?;
    file.write_all(bytes).map_err(failed("writing"))?;
    file.as_file().sync_all().map_err(failed("writing"))?;
    file.persist(path)
        .map_err(|error| failed("writing")(error.error))?;
    sync_folder(&folder)
}

/// Makes renames and removals in a folder last.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(io_error("making durable", folder))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A new file of mode 0600; an existing one of that name is an error of kind `AlreadyExists`.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// The content of a regular file of our own; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let Some(before) = look(path)? else {
        return Ok(None);
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error("reading", path))?,
    };
    same(path, &before, &file)?;
    if before.len() > LARGEST {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            size: before.len(),
        });
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(io_error("reading", path))?;
    if bytes.len() as u64 > LARGEST {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            size: bytes.len() as u64,
        });
    }
    Ok(Some(bytes))
}

/// What stands at the path, if it is a regular file of our own; `None` if nothing does.
pub(crate) fn look(path: &Path) -> Result<Option<fs::Metadata>, FileError> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error("looking at", path))?,
    };
    if !found.file_type().is_file() {
        return Err(FileError::NotRegular {
            path: path.to_owned(),
            found: kind(&found),
        });
    }
    let expected = own_uid().map_err(io_error("finding the own user beside", path))?;
    if found.uid() != expected {
        return Err(FileError::Foreign {
            path: path.to_owned(),
            found: found.uid(),
            expected,
        });
    }
    Ok(Some(found))
}

/// Whether what was opened is what was looked at: in between it could have been exchanged for a link.
pub(crate) fn same(path: &Path, before: &fs::Metadata, file: &File) -> Result<(), FileError> {
    let now = file.metadata().map_err(io_error("looking at", path))?;
    if (now.dev(), now.ino()) == (before.dev(), before.ino()) {
        return Ok(());
    }
    Err(FileError::NotRegular {
        path: path.to_owned(),
        found: "another file than a moment ago",
    })
}
