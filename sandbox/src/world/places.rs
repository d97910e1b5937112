//! The folder of a sandbox: what is written there, and how.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::api::Tls;

use super::cast::Cast;

/// `sandbox.json`: what another process may know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    /// Names, addresses, cluster UID, remote.
    #[serde(flatten)]
    pub(crate) cast: Cast,
    /// The process that serves, while it does.
    pub(crate) pid: u32,
}

/// `secrets.json`: what keeps the cluster the same over a restart.
#[derive(Serialize, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) tls: Tls,
    pub(crate) admin: String,
    pub(crate) actor: String,
}

/// Files of a sandbox folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
}

impl Folder {
    /// Makes the folder for its owner alone; refuses a link in its place.
    pub(crate) fn make(dir: &Path) -> std::io::Result<Self> {
        match fs::symlink_metadata(dir) {
            Ok(there) if !there.is_dir() => {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::NotADirectory,
                    "it is not a folder, or a link",
                ));
            }
            Ok(_) => fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?,
            Err(_) => fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)?,
        }
        Ok(Self {
            dir: dir.canonicalize()?,
        })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file for its owner alone, whole or not at all.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(content)?;
        file.persist(self.file(name)).map_err(|error| error.error)?;
        Ok(())
    }

    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> std::io::Result<()> {
        self.write(name, &serde_json::to_vec(value)?)
    }

    pub(crate) fn read_json<T: for<'de> Deserialize<'de>>(&self, name: &str) -> std::io::Result<T> {
        Ok(serde_json::from_slice(&fs::read(self.file(name))?)?)
    }

    /// The names in a file of faults: one a line, `#` begins a comment.
    pub(crate) fn names(&self, name: &str) -> BTreeSet<String> {
        let text = fs::read_to_string(self.file(name)).unwrap_or_default();
        text.lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect()
    }

    pub(crate) fn write_names(&self, name: &str, names: &BTreeSet<String>) -> std::io::Result<()> {
        let mut text =
            "# Faults that are on, one name a line. Read again whenever this file changes.\n"
                .to_owned();
        for fault in names {
            text.push_str(fault);
            text.push('\n');
        }
        self.write(name, text.as_bytes())
    }
}
