//! One run at a time: an exclusive lock on the file `lock` in the state folder.
//!
//! The lock is the operating system's, so it ends with the process however that dies. The file is never deleted: two
//! runs could otherwise hold locks on two files of the same name. What is written in it is for people only.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    files::{self, FileError},
    folder::StateFolder,
    text::line,
};

/// Who holds a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holder {
    /// Name of the machine.
    pub host: String,
    /// Process id there.
    pub pid: u32,
    /// Id of the run.
    pub run: String,
    /// Since when.
    pub since: Option<Timestamp>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(since) = self.since else {
            return f.write_str("a run that has not said who it is");
        };
        write!(
            f,
            "run {} (process {} on {}, since {since:.0})",
            self.run, self.pid, self.host
        )
    }
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run has it.
    #[error("{} is held by {holder}: wait for it, or end it", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who has it.
        holder: Box<Holder>,
    },
    /// The lock file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The lock; it is given back when this is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    previous: Option<Holder>,
}

/// A status command asks for the lock for a moment; a run that starts then must not take it for another run.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(10);
/// More is not ours to print.
const MOST: u64 = 4096;

impl Lock {
    /// Takes the lock for a run.
    ///
    /// # Errors
    /// [`LockError::Held`] at once when another run has it; [`LockError::File`] when the file cannot be used.
    pub fn take(folder: &StateFolder, run: &str) -> Result<Self, LockError> {
        let path = folder.lock();
        let mut file = open(&path, true)?.ok_or_else(|| not_found(&path))?;
        let mut tries = 0;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries < TRIES => {
                    tries += 1;
                    std::thread::park_timeout(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let holder = Box::new(holder(&mut file).unwrap_or_default());
                    return Err(LockError::Held { path, holder });
                }
                Err(TryLockError::Error(error)) => {
                    return Err(files::io_error("locking", &path)(error).into());
                }
            }
        }
        // A run that gave the lock back has emptied the file; one that was killed has not.
        let previous = holder(&mut file);
        let holder = Holder {
            host: host(),
            pid: std::process::id(),
            run: line(run),
            since: Some(Timestamp::now()),
        };
        write(&mut file, &holder).map_err(files::io_error("writing", &path))?;
        Ok(Self {
            file,
            path,
            previous,
        })
    }

    /// Who had it before and did not give it back. That run has ended: the system took the lock from it.
    #[must_use]
    pub fn previous(&self) -> Option<&Holder> {
        self.previous.as_ref()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would unlock as well; the emptied file says that nobody has it.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

/// Who holds the lock of a folder now; `None` if nobody does. Takes it for a moment to find out.
///
/// # Errors
/// [`LockError::File`] when the file cannot be used.
pub fn held_by(folder: &StateFolder) -> Result<Option<Holder>, LockError> {
    let path = folder.lock();
    let Some(mut file) = open(&path, false)? else {
        return Ok(None);
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(holder(&mut file).unwrap_or_default())),
        Err(TryLockError::Error(error)) => Err(files::io_error("locking", &path)(error).into()),
    }
}

fn not_found(path: &Path) -> FileError {
    files::io_error("opening", path)(io::Error::from(io::ErrorKind::NotFound))
}

fn open(path: &Path, create: bool) -> Result<Option<File>, FileError> {
    if files::look(path)?.is_none() {
        if !create {
            return Ok(None);
        }
        match files::create_new(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(files::io_error("making", path)(error));
            }
            _ => {}
        }
    }
    let Some(before) = files::look(path)? else {
        return Ok(None);
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path);
    let file = file.map_err(files::io_error("opening", path))?;
    files::same(path, &before, &file)?;
    Ok(Some(file))
}

fn write(file: &mut File, holder: &Holder) -> io::Result<()> {
    let text = serde_json::to_string(holder).map_err(io::Error::other)?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// What the file says, made safe to print.
fn holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(MOST).read_to_string(&mut text).ok()?;
    let found: Holder = serde_json::from_str(&text).ok()?;
    Some(Holder {
        host: line(&found.host),
        run: line(&found.run),
        ..found
    })
}

/// Whether a process of this machine still runs the program that this one runs, as far as the system says. One that has
/// ended and that nobody has asked about yet runs no more.
#[must_use]
pub fn is_running(process: &str) -> bool {
    let Ok(id) = process.parse::<u32>() else {
        return false;
    };
    if id == std::process::id() {
        return true;
    }
    // `12 (name) S …`: the name may hold anything but a later bracket.
    let read = |id: u32| std::fs::read_to_string(format!("/proc/{id}/stat")).ok();
    let parts = |text: String| {
        let (head, tail) = text.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        Some((name, tail.trim_start().chars().next()?))
    };
    let Some((name, state)) = read(id).and_then(parts) else {
        return false;
    };
    let own = read(std::process::id()).and_then(parts);
    !matches!(state, 'Z' | 'X') && own.is_none_or(|(own, _)| own == name)
}

/// Name of this machine, as far as it is easily known.
#[must_use]
pub fn host() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = kernel
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    let name = line(&name);
    if name.is_empty() {
        "an unknown host".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, StateFolder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::open_or_create(&dir.path().join("state")).unwrap();
        (dir, folder)
    }

    #[test]
    fn a_second_comer_is_told_who_is_there() {
        let (_dir, folder) = folder();
        assert_eq!(held_by(&folder).unwrap(), None);
        let first = Lock::take(&folder, "7f3a91c2").unwrap();
        let error = Lock::take(&folder, "00000000").unwrap_err();
        let LockError::Held { holder, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(
            (holder.run.as_str(), holder.pid),
            ("7f3a91c2", std::process::id())
        );
        assert!(error.to_string().contains("run 7f3a91c2"), "{error}");
        assert_eq!(held_by(&folder).unwrap().unwrap().run, "7f3a91c2");
        drop(first);
        assert_eq!(held_by(&folder).unwrap(), None);
        assert!(folder.lock().exists(), "the file is never deleted");
        let second = Lock::take(&folder, "00000000").unwrap();
        assert_eq!(second.previous(), None, "it was given back");
        // A killed run leaves its name behind, and the system takes the lock from it.
        let name = std::fs::read(folder.lock()).unwrap();
        drop(second);
        std::fs::write(folder.lock(), name).unwrap();
        let third = Lock::take(&folder, "11111111").unwrap();
        assert_eq!(third.previous().unwrap().run, "00000000");
    }

    #[test]
    fn a_process_that_has_ended_or_is_another_program_does_not_run() {
        assert!(is_running(&std::process::id().to_string()));
        assert!(!is_running("") && !is_running("x") && !is_running("4294967295"));
        // The first process of the machine is none of ours.
        assert!(!is_running("1"));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = child.id().to_string();
        assert!(!is_running(&id), "it is called otherwise, or has ended");
        child.wait().unwrap();
        assert!(!is_running(&id));
    }

    #[test]
    fn a_link_is_not_locked_and_not_emptied() {
        let (dir, folder) = folder();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.lock()).unwrap();
        let error = Lock::take(&folder, "r").unwrap_err();
        assert!(error.to_string().contains("is a link"), "{error}");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn hostile_content_is_made_safe() {
        let (_dir, folder) = folder();
        let first = Lock::take(&folder, "r").unwrap();
        std::fs::write(folder.lock(), "{\"host\":\"\\u001b[31mx\",\"pid\":1,\"run\":\"a\\nb\",\"since\":\"2026-11-22T10:00:00Z\"}").unwrap();
        let error = Lock::take(&folder, "s").unwrap_err().to_string();
        assert!(
            error.contains("run a b (process 1 on x, since 2026-11-22T10:00:00Z)"),
            "{error}"
        );
        std::fs::write(folder.lock(), "garbage").unwrap();
        assert!(
            Lock::take(&folder, "s")
                .unwrap_err()
                .to_string()
                .contains("has not said who")
        );
        drop(first);
    }
}
