//! The folders that reports and logs live in.
//!
//! By default they are in `/tmp`, where everybody may make files: a folder that is a link, that belongs to somebody
//! else, or that others may write to is refused, and so is a way to it through a link in foreign hands.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::files::{self, FileError};

mod trust;

pub(crate) use trust::{open, open_or_create};

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder, or something on the way to it, is not a folder.
    #[error("{} is {found}, expected a folder of our own: remove it or use another place", path.display())]
    NotFolder {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to user {found}, expected user {expected}: remove it or use another place", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
        /// Its owner.
        found: u32,
        /// The user that this program runs as.
        expected: u32,
    },
    /// Others may write to it.
    #[error("{} has mode {found:04o}, expected that only its owner may write: run chmod go-w {} or use another place", path.display(), path.display())]
    Writable {
        /// The path.
        path: PathBuf,
        /// Its permission bits.
        found: u32,
    },
    /// The name of a node cannot be part of a path.
    #[error(transparent)]
    Node(#[from] NodeNameError),
    /// The operating system refused.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A name that Kubernetes would not accept for a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "node name `{0}` is not a DNS name: expected lower-case letters, digits, `-` and `.`, each part beginning and \
     ending with a letter or digit, at most 253 characters (RFC 1123)"
)]
pub struct NodeNameError(pub String);

/// Whether the name may stand in paths and selectors: an RFC 1123 subdomain, which has no `/` and is not `..`.
///
/// # Errors
/// [`NodeNameError`] with the name, made safe to print.
pub fn valid_node_name(name: &str) -> Result<(), NodeNameError> {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let good = name.len() <= 253
        && name.split('.').all(|part| {
            let bytes = part.as_bytes();
            bytes.len() <= 63
                && bytes.first().is_some_and(edge)
                && bytes.last().is_some_and(edge)
                && bytes.iter().all(|byte| edge(byte) || *byte == b'-')
        });
    if good {
        Ok(())
    } else {
        Err(NodeNameError(crate::text::line(name)))
    }
}

/// Where state and logs of a node are kept unless the command line says otherwise: state first, then logs.
///
/// # Errors
/// When the name could not be part of a path.
pub fn default_paths(node: &str, sandbox: bool) -> Result<(PathBuf, PathBuf), NodeNameError> {
    valid_node_name(node)?;
    let infix = if sandbox { "-sandbox" } else { "" };
    let path = |kind: &str| PathBuf::from(format!("/tmp/{node}-onboarding{infix}-{kind}"));
    Ok((path("state"), path("logs")))
}

/// The folder with the state of an onboarding that is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// The folder, made with mode 0700 if it does not exist.
    ///
    /// # Errors
    /// [`FolderError`] when it cannot be made or must not be trusted.
    pub fn open_or_create(path: &Path) -> Result<Self, FolderError> {
        open_or_create(path).map(Self)
    }

    /// The folder if it exists; nothing is made.
    ///
    /// # Errors
    /// [`FolderError`] when it must not be trusted.
    pub fn open(path: &Path) -> Result<Option<Self>, FolderError> {
        Ok(open(path)?.map(Self))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `onboarding.xml`, the truth.
    #[must_use]
    pub fn junit(&self) -> PathBuf {
        self.0.join("onboarding.xml")
    }

    /// `onboarding.md`, the second copy.
    #[must_use]
    pub fn markdown(&self) -> PathBuf {
        self.0.join("onboarding.md")
    }

    /// `onboarding-state.json`, the projection for scripts.
    #[must_use]
    pub fn state_json(&self) -> PathBuf {
        self.0.join("onboarding-state.json")
    }

    /// `lock`, which is never deleted.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// `backup/`, which need not exist.
    #[must_use]
    pub fn backup(&self) -> PathBuf {
        self.0.join("backup")
    }

    /// Keeps a copy of something that is about to be changed, in `backup/`, and says where. An existing copy of that
    /// name stays as it is: the first one is the state before any change.
    ///
    /// # Errors
    /// [`FolderError`] when the folder must not be trusted or the file cannot be written, `name` not being a plain
    /// file name included.
    pub fn back_up(&self, name: &str, content: &[u8]) -> Result<PathBuf, FolderError> {
        let folder = open_or_create(&self.backup())?;
        let path = folder.join(name);
        if path.parent() != Some(folder.as_path()) || path.file_name().is_none() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "not a plain file name");
            return Err(FolderError::Io {
                doing: "backing up",
                path,
                source,
            });
        }
        let wrap = |error: FileError| FolderError::Io {
            doing: "backing up",
            path: path.clone(),
            source: io::Error::other(error),
        };
        if files::look(&path).map_err(wrap)?.is_none() {
            files::replace(&path, content).map_err(wrap)?;
        }
        Ok(path)
    }
}

/// The folder with logs, reports for people and the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFolder(PathBuf);

impl LogFolder {
    /// The folder, made with mode 0700 if it does not exist.
    ///
    /// # Errors
    /// [`FolderError`] when it cannot be made or must not be trusted.
    pub fn open_or_create(path: &Path) -> Result<Self, FolderError> {
        open_or_create(path).map(Self)
    }

    /// The folder if it exists; nothing is made.
    ///
    /// # Errors
    /// [`FolderError`] when it must not be trusted.
    pub fn open(path: &Path) -> Result<Option<Self>, FolderError> {
        Ok(open(path)?.map(Self))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests;
