//! Everything that can go wrong while the repository is changed, as data: a sentence, a stable reason, what to do.

use std::path::PathBuf;

use checks::git::{GitError, process::ToolError};

/// A change to the repository that was not made, or not all the way; the message says which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the message of each variant says what its fields are"
)]
pub enum ChangeError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("the edit of {} would change more than the entry {entry}: {why}; nothing was written", file.display())]
    EditRefused {
        file: PathBuf,
        entry: String,
        why: String,
    },
    #[error("{} is no longer what was read a moment ago; nothing was written", file.display())]
    FileChanged { file: PathBuf },
    #[error("{} could not be written", path.display())]
    NotWritten {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("a backup of {} could not be written to {}", file.display(), folder.display())]
    NoBackup {
        file: PathBuf,
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("nothing to commit: {} is in HEAD as it should be", file.display())]
    NothingToCommit { file: PathBuf },
    #[error("branch {branch} is not at {expected} any more; it was not moved")]
    BranchMoved { branch: String, expected: String },
    #[error("the index of the repository is locked by another git ({} exists)", lock.display())]
    IndexLocked { lock: PathBuf },
    #[error("a signed commit is demanded, and git is not set up to sign here")]
    Unsigned,
    #[error("the commit could not be signed ({signer}): {words}")]
    SigningFailed { signer: String, words: String },
    #[error("the server refused the push to {url} {branch}: {words}")]
    Rejected {
        url: String,
        branch: String,
        words: String,
    },
    #[error("{url} {branch} has commits that are not here; expected it at {expected}")]
    NonFastForward {
        url: String,
        branch: String,
        expected: String,
    },
    #[error(
        "commit {commit} does not build on {expected}, where the remote branch is expected; nothing was pushed"
    )]
    NotADescendant { commit: String, expected: String },
    #[error(
        "the push to {url} {branch} was accepted, and the branch does not contain commit {commit}"
    )]
    NotArrived {
        url: String,
        branch: String,
        commit: String,
    },
    #[error("git push failed: {words}")]
    PushFailed { words: String },
    #[error("the change cannot be made again on {tip}, where the remote branch is now: {why}")]
    RebaseConflict { tip: String, why: String },
    #[error(
        "the remote branch no longer contains {base}, which our commit builds on: its history was rewritten"
    )]
    HistoryRewritten { base: String },
    #[error("commit {commit} is not the newest of the branch")]
    NotNewest { commit: String },
    #[error("commit {commit} is on the remote already")]
    AlreadyPushed { commit: String },
    #[error(
        "the remote changed files that have changes here too: {}",
        listed(files)
    )]
    WorkTreeInTheWay { files: Vec<PathBuf> },
}

impl ChangeError {
    /// For `map_err`: what we were about to do when libgit2 said no.
    pub(crate) fn doing(doing: &'static str) -> impl FnOnce(git2::Error) -> Self {
        move |source| Self::Git(GitError::Libgit2 { doing, source })
    }

    /// What it means that a signer gave no answer at all.
    pub(crate) fn signer(signer: &str, error: &ToolError) -> Self {
        Self::SigningFailed {
            signer: signer.to_owned(),
            words: error.to_string(),
        }
    }

    /// A stable code for reports.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Git(error) => error.reason(),
            Self::EditRefused { .. } => "EditRefused",
            Self::FileChanged { .. } => "FileChanged",
            Self::NotWritten { .. } => "NotWritten",
            Self::NoBackup { .. } => "NoBackup",
            Self::NothingToCommit { .. } => "NothingToCommit",
            Self::BranchMoved { .. } => "BranchMoved",
            Self::IndexLocked { .. } => "IndexLocked",
            Self::Unsigned => "Unsigned",
            Self::SigningFailed { .. } => "SigningFailed",
            Self::Rejected { .. } => "PushRejected",
            Self::NonFastForward { .. } => "NonFastForward",
            Self::NotADescendant { .. } => "NotADescendant",
            Self::NotArrived { .. } => "PushNotArrived",
            Self::PushFailed { .. } => "PushFailed",
            Self::RebaseConflict { .. } => "RebaseConflict",
            Self::HistoryRewritten { .. } => "HistoryRewritten",
            Self::NotNewest { .. } => "NotNewest",
            Self::AlreadyPushed { .. } => "AlreadyPushed",
            Self::WorkTreeInTheWay { .. } => "WorkTreeInTheWay",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Git(error) => error.hint(),
            Self::EditRefused { .. } => "make this one edit by hand, commit and push it, then run again".into(),
            Self::FileChanged { file } => format!("see who else edits it (git diff -- {}), then run again", file.display()),
            Self::NotWritten { path, .. } => format!("see rights and free space: ls -ld {}; df -h", path.display()),
            Self::NoBackup { folder, .. } => format!("see rights and free space: ls -ld {}", folder.display()),
            Self::NothingToCommit { .. } => "git log -1 shows the commit that has it".into(),
            Self::BranchMoved { .. } => "somebody committed meanwhile: git log -3, then run again".into(),
            Self::IndexLocked { lock } => {
                format!("wait for the other git; if there is none, remove {}", lock.display())
            }
            Self::Unsigned => {
                "git config commit.gpgsign true, and user.signingKey (gpg.format ssh or openpgp)".into()
            }
            Self::SigningFailed { .. } => {
                "unlock the key first (ssh-add, or: echo | gpg --clearsign), then try: git commit --allow-empty -S".into()
            }
            Self::Rejected { branch, .. } => {
                format!("the rules of the server forbid it: allow this user to push to {branch}, or merge the commit by a review and run again")
            }
            Self::NonFastForward { .. } => "git pull --rebase, look at what came, then run again".into(),
            Self::NotADescendant { .. } | Self::HistoryRewritten { .. } => {
                "git fetch; git log --oneline --graph HEAD @{upstream} shows how they parted".into()
            }
            Self::NotArrived { branch, .. } => {
                format!("somebody may have moved it at once: git fetch; git log -5 origin/{branch}")
            }
            Self::PushFailed { .. } => "try by hand, for example: git push --dry-run".into(),
            Self::RebaseConflict { .. } => "git pull --rebase, solve it by hand, then run again".into(),
            Self::NotNewest { .. } => "git log -5 shows what came after it; git revert takes it back".into(),
            Self::AlreadyPushed { commit } => format!("git revert {commit}"),
            Self::WorkTreeInTheWay { .. } => "commit them or put them aside (git stash), then run again".into(),
        }
    }
}

fn listed(files: &[PathBuf]) -> String {
    let mut shown: Vec<String> = files
        .iter()
        .take(8)
        .map(|file| file.display().to_string())
        .collect();
    if files.len() > shown.len() {
        shown.push(format!("and {} more", files.len() - shown.len()));
    }
    shown.join(", ")
}
