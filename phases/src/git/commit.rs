//! Commits one file and nothing else.
//!
//! The tree of the commit is HEAD's with that one path replaced, so whatever else is staged or changed stays as it is.
//! A commit is made in two steps. [`prepare`] writes the signed object, which nothing points to yet: its id can be
//! written down first. [`land`] moves the branch to it, if the branch is still where it was. A run that dies between
//! the two has changed nothing that anybody sees. libgit2 runs no commit hooks.

use std::path::{Path, PathBuf};

use checks::git::{FileStatus, GitError, Identity, Oid, Repository};
use git2::build::TreeUpdateBuilder;
use git2::{ErrorCode, FileMode};

use super::error::ChangeError;
use super::sign;

/// What is to be committed.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The file, from the root of the repository.
    pub file: PathBuf,
    /// Its bytes as they are in the work tree.
    pub content: Vec<u8>,
    /// The whole message.
    pub message: String,
    /// Whether an unsigned commit is an error.
    pub require_signed: bool,
}

/// How a commit is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// With this key, described without secrets; for example `ssh, key ~/.ssh/id_ed25519.pub`.
    Signed(String),
    /// Not at all, as the user's git does not sign here.
    Unsigned,
}

/// A commit that is written and that the branch does not yet point to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Its id.
    pub id: Oid,
    /// The commit that it builds on, where the branch must still be.
    pub parent: Oid,
    /// The branch, for example `main`.
    pub branch: String,
    /// The one file that differs from the parent.
    pub file: PathBuf,
    /// How it is signed.
    pub signature: Signature,
}

/// A message that says what, why and which run, with a trailer that [`is_of_run`] finds again.
#[must_use]
pub fn message(what: &str, why: &str, run: &str) -> String {
    format!("{what}\n\n{why}\n\n{TRAILER}{run}\n")
}

const TRAILER: &str = "Onboarding-Run: ";

/// Whether this commit was made by that run, by the trailer of its message.
///
/// # Errors
/// When the commit is unknown here.
pub fn is_of_run(repository: &Repository, commit: Oid, run: &str) -> Result<bool, ChangeError> {
    let repository = repository.libgit2()?;
    let commit = repository
        .find_commit(commit)
        .map_err(ChangeError::doing("read a commit"))?;
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    Ok(message
        .lines()
        .any(|line| line.strip_prefix(TRAILER) == Some(run)))
}

/// Writes the commit on top of HEAD, signed, without moving anything.
///
/// # Errors
/// [`GitError::OperationInProgress`], [`GitError::DetachedHead`], [`GitError::FileStaged`], [`GitError::NoIdentity`],
/// [`ChangeError::NothingToCommit`], [`ChangeError::Unsigned`], [`ChangeError::SigningFailed`].
pub async fn prepare(
    repository: &Repository,
    proposal: &Proposal,
) -> Result<Prepared, ChangeError> {
    repository.writable()?;
    repository.require_calm()?;
    let (branch, parent) = (repository.branch()?, repository.head()?);
    let file = proposal.file.clone();
    match repository.file_status(&file)? {
        FileStatus::Clean => return Err(ChangeError::NothingToCommit { file }),
        FileStatus::Staged => return Err(GitError::FileStaged { path: file }.into()),
        FileStatus::Conflicted => return Err(GitError::FileConflicted { path: file }.into()),
        FileStatus::Untracked => return Err(GitError::FileUntracked { path: file }.into()),
        FileStatus::Absent => return Err(GitError::FileAbsent { path: file }.into()),
        FileStatus::Modified => {}
    }
    // Filters (line endings) apply on the way in, as they do for `git add`.
    let blob = stored(repository, &file, &proposal.content)?;
    on_top_of(repository, parent, branch, proposal, blob).await
}

/// Writes a commit that has this blob for the file and is otherwise its parent.
pub(super) async fn on_top_of(
    repository: &Repository,
    parent: Oid,
    branch: String,
    proposal: &Proposal,
    blob: Oid,
) -> Result<Prepared, ChangeError> {
    let identity = repository.identity()?;
    let bytes = unsigned(repository, parent, proposal, blob, &identity)?;
    let signing = repository.signing()?;
    let signs = signing.wanted || (proposal.require_signed && signing.has_chosen_key());
    if proposal.require_signed && !signs {
        return Err(ChangeError::Unsigned);
    }
    let made = |id, signature| Prepared {
        id,
        parent,
        branch,
        file: proposal.file.clone(),
        signature,
    };
    if signs {
        let signature = sign::sign(repository, &signing, &identity, bytes.as_bytes()).await?;
        let repository = repository.libgit2()?;
        let id = repository
            .commit_signed(&bytes, &signature, None)
            .map_err(ChangeError::doing("write the commit"))?;
        Ok(made(id, Signature::Signed(signing.description())))
    } else {
        let repository = repository.libgit2()?;
        let id = repository
            .odb()
            .and_then(|store| store.write(git2::ObjectType::Commit, bytes.as_bytes()))
            .map_err(ChangeError::doing("write the commit"))?;
        Ok(made(id, Signature::Unsigned))
    }
}

/// The id of these work tree bytes in the object store.
pub(super) fn stored(
    repository: &Repository,
    file: &Path,
    content: &[u8],
) -> Result<Oid, ChangeError> {
    use std::io::Write as _;
    let repository = repository.libgit2()?;
    let mut writer = repository
        .blob_writer(Some(file))
        .map_err(ChangeError::doing("store the file"))?;
    writer
        .write_all(content)
        .map_err(|source| ChangeError::NotWritten {
            path: file.to_owned(),
            source,
        })?;
    writer
        .commit()
        .map_err(ChangeError::doing("store the file"))
}

fn unsigned(
    repository: &Repository,
    parent: Oid,
    proposal: &Proposal,
    blob: Oid,
    identity: &Identity,
) -> Result<String, ChangeError> {
    let repository = repository.libgit2()?;
    let parent = repository
        .find_commit(parent)
        .map_err(ChangeError::doing("read HEAD"))?;
    let write = || -> Result<Option<git2::Buf>, git2::Error> {
        let tree = parent.tree()?;
        let entry = tree.get_path(&proposal.file)?;
        if entry.id() == blob {
            return Ok(None);
        }
        let mode = if entry.filemode() == 0o100_755 {
            FileMode::BlobExecutable
        } else {
            FileMode::Blob
        };
        let mut update = TreeUpdateBuilder::new();
        update.upsert(&*proposal.file, blob, mode);
        let tree = repository.find_tree(update.create_updated(&repository, &tree)?)?;
        let who = git2::Signature::now(&identity.name, &identity.email)?;
        repository
            .commit_create_buffer(&who, &who, &proposal.message, &tree, &[&parent])
            .map(Some)
    };
    match write() {
        Ok(Some(buffer)) => Ok(String::from_utf8_lossy(&buffer).into_owned()),
        Ok(None) => Err(ChangeError::NothingToCommit {
            file: proposal.file.clone(),
        }),
        Err(source) if source.code() == ErrorCode::NotFound => Err(GitError::FileUntracked {
            path: proposal.file.clone(),
        }
        .into()),
        Err(source) => Err(GitError::Libgit2 {
            doing: "write the commit",
            source,
        }
        .into()),
    }
}

/// Moves the branch to the prepared commit, if it is still where it was, and brings the index entry of that one file
/// in line, so that `git status` shows it clean. Applied a second time it changes nothing.
///
/// # Errors
/// [`ChangeError::BranchMoved`], [`ChangeError::IndexLocked`].
pub fn land(repository: &Repository, prepared: &Prepared) -> Result<(), ChangeError> {
    repository.writable()?;
    let lock = repository.git_dir().join("index.lock");
    if lock.exists() {
        return Err(ChangeError::IndexLocked { lock });
    }
    repository.require_branch(&prepared.branch)?;
    if repository.head()? != prepared.id {
        let what = repository.commit(prepared.id)?.summary;
        move_branch(
            repository,
            &prepared.branch,
            prepared.parent,
            prepared.id,
            &format!("onboarding: {what}"),
        )?;
    }
    settle_index(repository, &prepared.file)
}

/// Moves a branch by compare-and-swap.
pub(super) fn move_branch(
    repository: &Repository,
    branch: &str,
    from: Oid,
    to: Oid,
    reflog: &str,
) -> Result<(), ChangeError> {
    let handle = repository.libgit2()?;
    let name = format!("refs/heads/{branch}");
    match handle.reference_matching(&name, to, true, from, reflog) {
        Ok(_) => Ok(()),
        Err(error)
            if matches!(
                error.code(),
                ErrorCode::Modified | ErrorCode::NotFound | ErrorCode::Locked
            ) =>
        {
            Err(ChangeError::BranchMoved {
                branch: branch.to_owned(),
                expected: from.to_string(),
            })
        }
        Err(source) => Err(GitError::Libgit2 {
            doing: "move the branch",
            source,
        }
        .into()),
    }
}

/// Brings the index entry of this file in line with HEAD where it still is what HEAD's parent has: the trace of a run
/// that died between moving the branch and writing the index. Other entries, and whatever else somebody has staged of
/// this file, are left alone.
///
/// # Errors
/// When the index cannot be written.
pub fn settle_index(repository: &Repository, file: &Path) -> Result<(), ChangeError> {
    repository.writable()?;
    let handle = repository.libgit2()?;
    let settle = || -> Result<(), git2::Error> {
        let head = handle.head()?.peel_to_commit()?;
        let wanted = head.tree()?.get_path(file)?.id();
        let stale = head.parent(0)?.tree()?.get_path(file)?.id();
        let mut index = handle.index()?;
        index.read(true)?;
        let Some(mut entry) = index.get_path(file, 0) else {
            return Ok(());
        };
        if entry.id == wanted || entry.id != stale {
            return Ok(());
        }
        // With the time and size of the file, so that nobody has to read it again to see that it is clean.
        index.add_path(file)?;
        if index
            .get_path(file, 0)
            .is_none_or(|added| added.id != wanted)
        {
            entry.id = wanted;
            entry.file_size = 0;
            index.add(&entry)?;
        }
        index.write()
    };
    settle().map_err(ChangeError::doing("update the index"))
}
