//! Everything that can be wrong with a GitOps repository, as data: a sentence, a stable reason, and what to do.

use std::path::PathBuf;
use std::time::Duration;

use super::history::Commit;
use crate::Verdict;

/// A question about the repository that has no good answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the message of each variant says what its fields are"
)]
pub enum GitError {
    #[error("the repository is open for reading only, as in a dry run; nothing was written")]
    ReadOnly,
    #[error("no git repository at {}", path.display())]
    NoRepository { path: PathBuf },
    #[error("repository {} belongs to another user", path.display())]
    NotTrusted { path: PathBuf },
    #[error("repository {} is bare: it has no work tree to edit", path.display())]
    Bare { path: PathBuf },
    #[error("repository {} has no commit yet", path.display())]
    NoCommits { path: PathBuf },
    #[error("HEAD is detached at {commit}; expected a branch")]
    DetachedHead { commit: String },
    #[error("a {operation} is in progress in {}", path.display())]
    OperationInProgress {
        path: PathBuf,
        operation: &'static str,
    },
    #[error("branch {found} is checked out; expected {expected}, the one that is followed")]
    WrongBranch { expected: String, found: String },
    #[error("no remote {name} in the repository; there is {}", listed(available))]
    NoRemote {
        name: String,
        available: Vec<String>,
    },
    #[error("remote {remote} is {found}; expected {expected}, the one that is followed")]
    RemoteDiffers {
        remote: String,
        found: String,
        expected: String,
    },
    #[error("remote {url} is not reachable: {words}")]
    RemoteUnreachable { url: String, words: String },
    #[error("remote {url} gave no answer within {after:?}")]
    RemoteTimedOut { url: String, after: Duration },
    #[error("remote {url} does not accept these credentials: {words}")]
    AuthenticationFailed { url: String, words: String },
    #[error("there is no repository at remote {url}: {words}")]
    RemoteAbsent { url: String, words: String },
    #[error("remote {url} could not be asked: {words}")]
    RemoteFailed { url: String, words: String },
    #[error("remote {url} has no branch {branch}")]
    RemoteBranchAbsent { url: String, branch: String },
    #[error("the git command is not installed, and --push-transport git asks for it")]
    GitAbsent,
    #[error(
        "remote {url} needs the git command, which is not installed: this program was built without libgit2's own ssh and https"
    )]
    TransportAbsent { url: String },
    #[error("{missing} is not set in git's configuration")]
    NoIdentity { missing: &'static str },
    #[error("git's signing configuration cannot be used: {why}")]
    SigningUnusable { why: String },
    #[error("file {} does not exist in the repository", path.display())]
    FileAbsent { path: PathBuf },
    #[error("file {} is not under version control", path.display())]
    FileUntracked { path: PathBuf },
    #[error("file {} has changes that are not committed", path.display())]
    FileModified { path: PathBuf },
    #[error("file {} has staged changes that are not committed", path.display())]
    FileStaged { path: PathBuf },
    #[error("file {} has merge conflicts", path.display())]
    FileConflicted { path: PathBuf },
    #[error("{} leads outside the repository", path.display())]
    OutsideRepository { path: PathBuf },
    #[error("no entry {entry} under resources of {}; {}", file.display(), candidates_text(candidates))]
    EntryMissing {
        file: PathBuf,
        entry: String,
        candidates: Vec<String>,
    },
    #[error("entry {entry} stands {} times under resources of {}: lines {}", lines.len(), file.display(), numbers(lines))]
    EntryDoubled {
        file: PathBuf,
        entry: String,
        lines: Vec<usize>,
    },
    #[error("{} cannot be edited line by line: {why}", file.display())]
    UnsupportedShape { file: PathBuf, why: String },
    #[error("{} is not the YAML that it should be: {why}", file.display())]
    Malformed { file: PathBuf, why: String },
    #[error("{} not on the remote: {}", plural(commits.len()), commits_text(commits))]
    UnpushedCommits { commits: Vec<Commit> },
    #[error("{} could not be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("git could not {doing}: {}", source.message())]
    Libgit2 {
        doing: &'static str,
        #[source]
        source: git2::Error,
    },
}

impl GitError {
    /// For `map_err`: what we were about to do when libgit2 said no.
    pub fn doing(doing: &'static str) -> impl FnOnce(git2::Error) -> Self {
        move |source| Self::Libgit2 { doing, source }
    }

    /// Whether it leaves the question open (the remote did not answer, a file could not be read), as opposed to
    /// answering it with no.
    #[must_use]
    pub fn leaves_open(&self) -> bool {
        matches!(
            self,
            Self::RemoteUnreachable { .. }
                | Self::RemoteTimedOut { .. }
                | Self::RemoteFailed { .. }
                | Self::Unreadable { .. }
                | Self::Libgit2 { .. }
        )
    }

    /// A stable code for reports.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ReadOnly => "DryRun",
            Self::NoRepository { .. } => "NoRepository",
            Self::NotTrusted { .. } => "RepositoryNotTrusted",
            Self::Bare { .. } => "BareRepository",
            Self::NoCommits { .. } => "NoCommits",
            Self::DetachedHead { .. } => "DetachedHead",
            Self::OperationInProgress { .. } => "OperationInProgress",
            Self::WrongBranch { .. } => "WrongBranch",
            Self::NoRemote { .. } => "NoRemote",
            Self::RemoteDiffers { .. } => "RemoteDiffers",
            Self::RemoteUnreachable { .. } => "RemoteUnreachable",
            Self::RemoteTimedOut { .. } => "RemoteTimedOut",
            Self::AuthenticationFailed { .. } => "AuthenticationFailed",
            Self::RemoteAbsent { .. } => "RemoteAbsent",
            Self::RemoteFailed { .. } => "RemoteFailed",
            Self::RemoteBranchAbsent { .. } => "RemoteBranchAbsent",
            Self::GitAbsent => "GitAbsent",
            Self::TransportAbsent { .. } => "TransportAbsent",
            Self::NoIdentity { .. } => "NoIdentity",
            Self::SigningUnusable { .. } => "SigningUnusable",
            Self::FileAbsent { .. } => "FileAbsent",
            Self::FileUntracked { .. } => "FileUntracked",
            Self::FileModified { .. } => "FileModified",
            Self::FileStaged { .. } => "FileStaged",
            Self::FileConflicted { .. } => "FileConflicted",
            Self::OutsideRepository { .. } => "OutsideRepository",
            Self::EntryMissing { .. } => "EntryMissing",
            Self::EntryDoubled { .. } => "EntryDoubled",
            Self::UnsupportedShape { .. } => "UnsupportedShape",
            Self::Malformed { .. } => "NotYaml",
            Self::UnpushedCommits { .. } => "UnpushedCommits",
            Self::Unreadable { .. } => "Unreadable",
            Self::Libgit2 { .. } => "GitFailed",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::ReadOnly => "run without --dry-run".into(),
            Self::NoRepository { .. } => {
                "name a clone of the GitOps repository with --repo or ONBOARDING_REPO".into()
            }
            Self::NotTrusted { path } => format!(
                "git config --global --add safe.directory {}",
                path.display()
            ),
            Self::Bare { path } => format!(
                "clone it and name the clone: git clone {} <folder>",
                path.display()
            ),
            Self::NoCommits { .. } => "fetch the branch that Flux follows: git pull".into(),
            Self::DetachedHead { .. } => {
                "check out the branch that Flux follows: git switch <branch>".into()
            }
            Self::OperationInProgress { operation, .. } => {
                format!("finish or abort it first; git status says how (git {operation} --abort)")
            }
            Self::WrongBranch { expected, .. } => format!("git switch {expected}"),
            Self::NoRemote { name, .. } => {
                format!("git remote add {name} <url of the GitRepository>")
            }
            Self::RemoteDiffers {
                remote, expected, ..
            } => format!(
                "use the clone that Flux follows, or: git remote set-url {remote} {expected}"
            ),
            Self::RemoteUnreachable { url, .. }
            | Self::RemoteTimedOut { url, .. }
            | Self::RemoteFailed { url, .. } => {
                format!("see whether it answers here: git ls-remote {url}")
            }
            Self::AuthenticationFailed { url, .. } => format!(
                "load the key into the ssh agent (ssh-add) or renew the token, accept the host key once, then: git ls-remote {url}"
            ),
            Self::RemoteAbsent { url, .. } => {
                format!(
                    "see whether the address is right and these credentials may read it: git ls-remote {url}"
                )
            }
            Self::RemoteBranchAbsent { branch, .. } => format!(
                "push the branch once by hand (git push -u origin {branch}), or set spec.ref of the GitRepository"
            ),
            Self::GitAbsent => "install git, or use --push-transport auto".into(),
            Self::TransportAbsent { .. } => {
                "install git, or build with: cargo build --features phases/libgit2-remote".into()
            }
            Self::NoIdentity { missing } => format!("git config --global {missing} <value>"),
            Self::SigningUnusable { .. } => {
                "git config --get-regexp '^(commit.gpgsign|gpg|user.signingkey)' shows what is set"
                    .into()
            }
            Self::FileAbsent { .. } => {
                "see kustomization under [repository] in onboarding.toml, and git pull".into()
            }
            Self::FileUntracked { path } | Self::FileModified { path } => {
                format!(
                    "commit it or put it aside: git stash push -- {}",
                    path.display()
                )
            }
            Self::FileStaged { path } => format!(
                "commit it or take it back: git restore --staged -- {}",
                path.display()
            ),
            Self::FileConflicted { path } => {
                format!("solve the conflict, then: git add {}", path.display())
            }
            Self::OutsideRepository { .. } => {
                "replace the link or path with one inside the repository".into()
            }
            Self::EntryMissing { entry, .. } => {
                format!(
                    "add the line \"# - {entry}\" under resources, or set entry under [repository] in onboarding.toml"
                )
            }
            Self::EntryDoubled { .. } => "keep one of these lines and delete the others".into(),
            Self::UnsupportedShape { .. } => {
                "write resources as a plain list, one \"- path\" a line".into()
            }
            Self::Malformed { file, .. } => {
                format!("kustomize build {} shows the place", parent(file))
            }
            Self::UnpushedCommits { .. } => {
                "push or drop them first: git log @{upstream}..HEAD".into()
            }
            Self::Unreadable { path, .. } => format!("ls -l {}", path.display()),
            Self::Libgit2 { .. } => "git status and git fsck in the repository say more".into(),
        }
    }
}

impl From<GitError> for Verdict {
    /// What it means for a check that needed the answer.
    #[track_caller]
    fn from(error: GitError) -> Self {
        let (reason, message, hint) = (error.reason(), error.to_string(), error.hint());
        let verdict = if error.leaves_open() {
            Self::error(reason, message)
        } else {
            Self::fail(reason, message)
        };
        verdict.hint(hint)
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

fn numbers(lines: &[usize]) -> String {
    lines
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn candidates_text(candidates: &[String]) -> String {
    if candidates.is_empty() {
        "there are no entries".into()
    } else {
        format!("there is {}", candidates.join(" · "))
    }
}

fn plural(count: usize) -> String {
    if count == 1 {
        "1 commit is".into()
    } else {
        format!("{count} commits are")
    }
}

fn commits_text(commits: &[Commit]) -> String {
    let mut shown: Vec<String> = commits.iter().take(5).map(ToString::to_string).collect();
    if commits.len() > shown.len() {
        shown.push("…".into());
    }
    shown.join(" · ")
}

fn parent(file: &std::path::Path) -> String {
    file.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .map_or_else(|| ".".into(), |f| f.display().to_string())
}
