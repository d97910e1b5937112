//! How far the change of an entry has come, seen from the repository alone: what a run that died left behind.

use std::path::Path;

use checks::git::kustomization::{EntryState, Resources};
use checks::git::{FileStatus, GitError, Oid, Remote, Repository};

use super::commit;
use super::edit::{self, Edit, Wanted};
use super::error::ChangeError;

/// How far the change has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing has been done; this is the edit to make.
    Untouched(Edit),
    /// The work tree has the edit, and nothing but the edit; HEAD does not.
    Edited(Edit),
    /// HEAD has it, in a commit of this run; the remote, as we last saw it, does not.
    Committed(Oid),
    /// The remote branch has it, as we last saw it. This is its tip, or our commit where one was named.
    Pushed(Oid),
}

/// Which change is looked for.
#[derive(Debug, Clone)]
pub struct Looked<'a> {
    /// The file, from the root of the repository.
    pub file: &'a Path,
    /// The entry in it.
    pub entry: &'a str,
    /// What is to become of the entry.
    pub wanted: Wanted,
    /// The run whose commits are ours.
    pub run: &'a str,
    /// A commit that this run wrote down, if it did.
    pub commit: Option<Oid>,
}

/// How far the change has come.
///
/// # Errors
/// [`GitError::FileModified`] and [`GitError::FileStaged`] if the file has other changes than ours,
/// [`GitError::UnpushedCommits`] if the change is in a commit that is neither on the remote nor of this run, and what
/// reading the file may say.
pub fn progress(
    repository: &Repository,
    remote: &Remote,
    looked: &Looked<'_>,
) -> Result<Progress, ChangeError> {
    let head = repository.head()?;
    let path = || looked.file.to_owned();
    let committed = repository
        .file_at(head, looked.file)?
        .ok_or_else(|| GitError::FileUntracked { path: path() })?;
    let Some(missing) = edit::edit(looked.file, &committed, looked.entry, &looked.wanted)? else {
        return in_head(repository, remote, looked, head);
    };
    match repository.file_status(looked.file)? {
        FileStatus::Clean => {
            // As it lies in the work tree, which may end its lines differently from the store.
            let bytes = repository.work_file(looked.file)?;
            let edit = edit::edit(looked.file, &bytes, looked.entry, &looked.wanted)?;
            Ok(Progress::Untouched(edit.unwrap_or(missing)))
        }
        FileStatus::Modified => {
            let bytes = repository.work_file(looked.file)?;
            let ours = commit::stored(repository, looked.file, &bytes)?
                == commit::stored(repository, looked.file, &missing.after)?;
            if ours {
                Ok(Progress::Edited(Edit {
                    after: bytes,
                    ..missing
                }))
            } else {
                Err(GitError::FileModified { path: path() }.into())
            }
        }
        FileStatus::Staged => Err(GitError::FileStaged { path: path() }.into()),
        FileStatus::Conflicted => Err(GitError::FileConflicted { path: path() }.into()),
        FileStatus::Untracked => Err(GitError::FileUntracked { path: path() }.into()),
        FileStatus::Absent => Err(GitError::FileAbsent { path: path() }.into()),
    }
}

fn in_head(
    repository: &Repository,
    remote: &Remote,
    looked: &Looked<'_>,
    head: Oid,
) -> Result<Progress, ChangeError> {
    let own = looked
        .commit
        .filter(|commit| repository.contains(head, *commit).unwrap_or(false));
    if let Some(tip) = repository.tracking_tip(remote)? {
        let on_remote = match own {
            Some(own) => repository.contains(tip, own)?,
            None => repository
                .file_at(tip, looked.file)?
                .is_some_and(|bytes| is_so(looked, &bytes)),
        };
        if on_remote {
            return Ok(Progress::Pushed(own.unwrap_or(tip)));
        }
    }
    let commits = repository.unpushed(remote)?;
    let mut of_run = commits.iter().map(|commit| commit.id).filter(|id| {
        own == Some(*id) || commit::is_of_run(repository, *id, looked.run).unwrap_or(false)
    });
    match of_run.next() {
        Some(commit) => Ok(Progress::Committed(commit)),
        None => Err(GitError::UnpushedCommits { commits }.into()),
    }
}

fn is_so(looked: &Looked<'_>, bytes: &[u8]) -> bool {
    let resources = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| Resources::read(looked.file, text).ok());
    let state = resources.map(|resources| resources.state(looked.entry));
    match looked.wanted {
        Wanted::Active => matches!(state, Some(EntryState::Active { .. })),
        Wanted::Commented { .. } => matches!(state, Some(EntryState::Commented { .. })),
    }
}
