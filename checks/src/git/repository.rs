//! The repository itself: where it is, what is checked out, what state it is in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{ErrorCode, Oid, RepositoryState};

use super::configuration::configuration;
use super::environment::Environment;
use super::error::GitError;

/// A clone with a work tree, opened by path. It holds no handle, so it can be shared and kept; every question opens
/// the repository anew and sees what is there now.
#[derive(Debug, Clone)]
pub struct Repository {
    work_dir: PathBuf,
    git_dir: PathBuf,
    environment: Environment,
    limit: Duration,
    read_only: bool,
}

/// Who commits, after the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `user.name`
    pub name: String,
    /// `user.email`
    pub email: String,
}

impl Repository {
    /// Opens the repository that this folder belongs to, with our own process' environment.
    ///
    /// # Errors
    /// [`GitError::NoRepository`], [`GitError::NotTrusted`], [`GitError::Bare`].
    pub fn open(path: &Path) -> Result<Self, GitError> {
        Self::open_in(path, Environment::inherited())
    }

    /// Opens the repository that this folder belongs to, as a user with this environment would see it.
    ///
    /// # Errors
    /// [`GitError::NoRepository`], [`GitError::NotTrusted`], [`GitError::Bare`].
    pub fn open_in(path: &Path, environment: Environment) -> Result<Self, GitError> {
        let found = git2::Repository::discover(path).map_err(|source| match source.code() {
            ErrorCode::NotFound => GitError::NoRepository {
                path: path.to_owned(),
            },
            ErrorCode::Owner => GitError::NotTrusted {
                path: path.to_owned(),
            },
            _ => GitError::Libgit2 {
                doing: "open the repository",
                source,
            },
        })?;
        let work_dir = found.workdir().ok_or_else(|| GitError::Bare {
            path: path.to_owned(),
        })?;
        let work_dir = work_dir
            .canonicalize()
            .map_err(|source| GitError::Unreadable {
                path: work_dir.to_owned(),
                source,
            })?;
        Ok(Self {
            work_dir,
            git_dir: found.path().to_owned(),
            environment,
            limit: Duration::from_secs(60),
            read_only: false,
        })
    }

    /// The same for reading only: whoever would write to it is refused.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Fails where this repository is open for reading only. Everything that writes asks first.
    ///
    /// # Errors
    /// [`GitError::ReadOnly`].
    pub fn writable(&self) -> Result<(), GitError> {
        if self.read_only {
            return Err(GitError::ReadOnly);
        }
        Ok(())
    }

    /// The same with another limit for one exchange with the remote (60 seconds unless told).
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The root of the work tree, without links in its path.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// The folder of git's own files; in a linked work tree that tree's part of it.
    #[must_use]
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The environment of every program that is run for this repository.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// How long one exchange with the remote may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// A libgit2 handle with the configuration that [`Repository::environment`] leads to. Nothing in this crate
    /// writes through it; the `phases` crate does.
    ///
    /// # Errors
    /// When the repository has gone or its configuration cannot be read.
    pub fn libgit2(&self) -> Result<git2::Repository, GitError> {
        let repository = git2::Repository::open(&self.work_dir)
            .map_err(GitError::doing("open the repository"))?;
        if !self.environment.matches_libgit2() {
            let config = configuration(&repository, &self.environment)
                .map_err(GitError::doing("read its configuration"))?;
            repository
                .set_config(&config)
                .map_err(GitError::doing("read its configuration"))?;
        }
        Ok(repository)
    }

    /// The configuration as it is now.
    ///
    /// # Errors
    /// When a configuration file cannot be read or parsed.
    pub fn configuration(&self) -> Result<git2::Config, GitError> {
        let mut config = self
            .libgit2()?
            .config()
            .map_err(GitError::doing("read its configuration"))?;
        config
            .snapshot()
            .map_err(GitError::doing("read its configuration"))
    }

    /// The operation that was begun and not ended (`merge`, `rebase`, `cherry-pick`, `revert`, `bisect`, `am`), if any.
    ///
    /// # Errors
    /// When the repository cannot be opened.
    pub fn operation(&self) -> Result<Option<&'static str>, GitError> {
        Ok(match self.libgit2()?.state() {
            RepositoryState::Clean => None,
            RepositoryState::Merge => Some("merge"),
            RepositoryState::Revert | RepositoryState::RevertSequence => Some("revert"),
            RepositoryState::CherryPick | RepositoryState::CherryPickSequence => {
                Some("cherry-pick")
            }
            RepositoryState::Bisect => Some("bisect"),
            RepositoryState::Rebase
            | RepositoryState::RebaseInteractive
            | RepositoryState::RebaseMerge
            | RepositoryState::ApplyMailboxOrRebase => Some("rebase"),
            RepositoryState::ApplyMailbox => Some("am"),
        })
    }

    /// Demands that no merge, rebase or the like is in progress.
    ///
    /// # Errors
    /// [`GitError::OperationInProgress`].
    pub fn require_calm(&self) -> Result<(), GitError> {
        match self.operation()? {
            None => Ok(()),
            Some(operation) => Err(GitError::OperationInProgress {
                path: self.work_dir.clone(),
                operation,
            }),
        }
    }

    /// The name of the branch that is checked out, for example `main`.
    ///
    /// # Errors
    /// [`GitError::DetachedHead`], [`GitError::NoCommits`].
    pub fn branch(&self) -> Result<String, GitError> {
        let repository = self.libgit2()?;
        let head = self.head_reference(&repository)?;
        if !head.is_branch() {
            let commit = head
                .target()
                .map_or_else(|| "an unknown commit".into(), |id| id.to_string());
            return Err(GitError::DetachedHead { commit });
        }
        head.shorthand()
            .map(str::to_owned)
            .map_err(GitError::doing("read the name of the branch"))
    }

    /// Demands that this branch is checked out.
    ///
    /// # Errors
    /// [`GitError::WrongBranch`], and what [`Repository::branch`] may say.
    pub fn require_branch(&self, expected: &str) -> Result<(), GitError> {
        let found = self.branch()?;
        if found == expected {
            Ok(())
        } else {
            Err(GitError::WrongBranch {
                expected: expected.to_owned(),
                found,
            })
        }
    }

    /// The commit that is checked out.
    ///
    /// # Errors
    /// [`GitError::NoCommits`].
    pub fn head(&self) -> Result<Oid, GitError> {
        let repository = self.libgit2()?;
        let head = self.head_reference(&repository)?;
        head.peel_to_commit()
            .map(|commit| commit.id())
            .map_err(GitError::doing("read HEAD"))
    }

    fn head_reference<'r>(
        &self,
        repository: &'r git2::Repository,
    ) -> Result<git2::Reference<'r>, GitError> {
        repository.head().map_err(|source| match source.code() {
            ErrorCode::UnbornBranch | ErrorCode::NotFound => GitError::NoCommits {
                path: self.work_dir.clone(),
            },
            _ => GitError::Libgit2 {
                doing: "read HEAD",
                source,
            },
        })
    }

    /// Name and address for commits, from the configuration. `GIT_AUTHOR_*` and `GIT_COMMITTER_*` are not looked at:
    /// a run commits as the person who configured the clone.
    ///
    /// # Errors
    /// [`GitError::NoIdentity`] names the first of the two that is missing.
    pub fn identity(&self) -> Result<Identity, GitError> {
        let config = self.configuration()?;
        let set = |name: &'static str| {
            let value = config
                .get_string(name)
                .unwrap_or_default()
                .trim()
                .to_owned();
            if value.is_empty() {
                Err(GitError::NoIdentity { missing: name })
            } else {
                Ok(value)
            }
        };
        Ok(Identity {
            name: set("user.name")?,
            email: set("user.email")?,
        })
    }
}
