//! One file of the repository: as a commit has it, as the work tree has it, and how the two differ.

use std::path::{Component, Path, PathBuf};

use git2::{ErrorCode, Oid, Status};

use super::error::GitError;
use super::repository::Repository;

/// What one file looks like beside HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStatus {
    /// As in HEAD.
    Clean,
    /// The index has it otherwise than HEAD (the work tree may differ again).
    Staged,
    /// The work tree has it otherwise than HEAD, or it was deleted there.
    Modified,
    /// There is such a file, but git does not know it, or ignores it.
    Untracked,
    /// A merge left it with conflicts.
    Conflicted,
    /// Neither in HEAD nor in the work tree.
    Absent,
}

impl Repository {
    /// What this file, named from the root of the work tree, looks like beside HEAD.
    ///
    /// # Errors
    /// When the index or the file cannot be read.
    pub fn file_status(&self, file: &Path) -> Result<FileStatus, GitError> {
        let status = match self.libgit2()?.status_file(file) {
            Ok(status) => status,
            Err(source) if source.code() == ErrorCode::NotFound => return Ok(FileStatus::Absent),
            Err(source) => {
                return Err(GitError::Libgit2 {
                    doing: "compare the file with HEAD",
                    source,
                });
            }
        };
        let staged = Status::INDEX_NEW
            | Status::INDEX_MODIFIED
            | Status::INDEX_DELETED
            | Status::INDEX_RENAMED
            | Status::INDEX_TYPECHANGE;
        Ok(if status.contains(Status::CONFLICTED) {
            FileStatus::Conflicted
        } else if status.intersects(staged) {
            FileStatus::Staged
        } else if status.intersects(Status::WT_NEW | Status::IGNORED) {
            FileStatus::Untracked
        } else if status.is_empty() {
            FileStatus::Clean
        } else {
            FileStatus::Modified
        })
    }

    /// Demands that this file is as in HEAD, in the index and in the work tree.
    ///
    /// # Errors
    /// [`GitError::FileModified`], [`GitError::FileStaged`], [`GitError::FileUntracked`],
    /// [`GitError::FileConflicted`], [`GitError::FileAbsent`].
    pub fn require_clean(&self, file: &Path) -> Result<(), GitError> {
        let path = file.to_owned();
        match self.file_status(file)? {
            FileStatus::Clean => Ok(()),
            FileStatus::Staged => Err(GitError::FileStaged { path }),
            FileStatus::Modified => Err(GitError::FileModified { path }),
            FileStatus::Untracked => Err(GitError::FileUntracked { path }),
            FileStatus::Conflicted => Err(GitError::FileConflicted { path }),
            FileStatus::Absent => Err(GitError::FileAbsent { path }),
        }
    }

    /// The bytes of a file as this commit has it; none if the commit has no such file.
    ///
    /// # Errors
    /// When the commit is unknown here.
    pub fn file_at(&self, commit: Oid, file: &Path) -> Result<Option<Vec<u8>>, GitError> {
        let repository = self.libgit2()?;
        let tree = repository
            .find_commit(commit)
            .and_then(|commit| commit.tree())
            .map_err(GitError::doing("read a commit"))?;
        let entry = match tree.get_path(file) {
            Ok(entry) => entry,
            Err(source) if source.code() == ErrorCode::NotFound => return Ok(None),
            Err(source) => {
                return Err(GitError::Libgit2 {
                    doing: "read a commit's files",
                    source,
                });
            }
        };
        let object = entry
            .to_object(&repository)
            .map_err(GitError::doing("read a commit's files"))?;
        Ok(object.as_blob().map(|blob| blob.content().to_owned()))
    }

    /// The bytes of a file in the work tree.
    ///
    /// # Errors
    /// [`GitError::FileAbsent`], [`GitError::OutsideRepository`], [`GitError::Unreadable`].
    pub fn work_file(&self, file: &Path) -> Result<Vec<u8>, GitError> {
        let path = self.locate(file)?;
        std::fs::read(&path).map_err(|source| GitError::Unreadable { path, source })
    }

    /// The full path of an existing file of the work tree, links followed and seen to stay inside.
    ///
    /// # Errors
    /// [`GitError::FileAbsent`], [`GitError::OutsideRepository`].
    pub fn locate(&self, file: &Path) -> Result<PathBuf, GitError> {
        if file.is_absolute()
            || file
                .components()
                .any(|part| matches!(part, Component::ParentDir))
        {
            return Err(GitError::OutsideRepository {
                path: file.to_owned(),
            });
        }
        let full = self
            .work_dir()
            .join(file)
            .canonicalize()
            .map_err(|source| match source.kind() {
                std::io::ErrorKind::NotFound => GitError::FileAbsent {
                    path: file.to_owned(),
                },
                _ => GitError::Unreadable {
                    path: file.to_owned(),
                    source,
                },
            })?;
        let inside = full
            .strip_prefix(self.work_dir())
            .is_ok_and(|rest| !rest.starts_with(".git"));
        if inside {
            Ok(full)
        } else {
            Err(GitError::OutsideRepository {
                path: file.to_owned(),
            })
        }
    }
}
