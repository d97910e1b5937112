//! Where our branch stands beside the remote's: ahead, behind, and by which commits.

use std::fmt;

use git2::{ErrorCode, Oid};

use super::error::GitError;
use super::remote::Remote;
use super::repository::Repository;

/// One commit in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its full id.
    pub id: Oid,
    /// The author's name.
    pub author: String,
    /// The author's address.
    pub email: String,
    /// The first line of its message.
    pub summary: String,
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", short(self.id), self.summary, self.author)
    }
}

/// The first seven digits of an id, as git prints them.
#[must_use]
pub fn short(id: Oid) -> String {
    id.to_string().chars().take(7).collect()
}

/// How two lines of history stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distance {
    /// Commits that only we have.
    pub ahead: usize,
    /// Commits that only they have.
    pub behind: usize,
}

impl Repository {
    /// The remote branch as it was when we last fetched or pushed; none before the first time.
    ///
    /// # Errors
    /// When the references cannot be read.
    pub fn tracking_tip(&self, remote: &Remote) -> Result<Option<Oid>, GitError> {
        match self.libgit2()?.refname_to_id(&remote.tracking_reference()) {
            Ok(id) => Ok(Some(id)),
            Err(source) if source.code() == ErrorCode::NotFound => Ok(None),
            Err(source) => Err(GitError::Libgit2 {
                doing: "read the remote-tracking branch",
                source,
            }),
        }
    }

    /// Whether this commit is in our object store; a tip that somebody else pushed is not until we fetch.
    ///
    /// # Errors
    /// When the repository cannot be opened.
    pub fn knows(&self, commit: Oid) -> Result<bool, GitError> {
        Ok(self.libgit2()?.find_commit(commit).is_ok())
    }

    /// How HEAD stands to this commit, which must be known here.
    ///
    /// # Errors
    /// When the commit is unknown here.
    pub fn distance_from(&self, tip: Oid) -> Result<Distance, GitError> {
        let (ahead, behind) = self
            .libgit2()?
            .graph_ahead_behind(self.head()?, tip)
            .map_err(GitError::doing("compare with the remote branch"))?;
        Ok(Distance { ahead, behind })
    }

    /// Whether `tip` is this commit or has it among its ancestors.
    ///
    /// # Errors
    /// When one of them is unknown here.
    pub fn contains(&self, tip: Oid, commit: Oid) -> Result<bool, GitError> {
        if tip == commit {
            return Ok(true);
        }
        self.libgit2()?
            .graph_descendant_of(tip, commit)
            .map_err(GitError::doing("look a commit up in the branch"))
    }

    /// The commits of HEAD that are not in `base`, newest first.
    ///
    /// # Errors
    /// When `base` is unknown here.
    pub fn commits_since(&self, base: Oid) -> Result<Vec<Commit>, GitError> {
        let repository = self.libgit2()?;
        let walk = || -> Result<Vec<Commit>, git2::Error> {
            let mut walk = repository.revwalk()?;
            walk.set_sorting(git2::Sort::TOPOLOGICAL)?;
            walk.push_head()?;
            walk.hide(base)?;
            walk.map(|id| Ok(describe(&repository.find_commit(id?)?)))
                .collect()
        };
        walk().map_err(GitError::doing(
            "list the commits that are not on the remote",
        ))
    }

    /// Our commits that the remote branch did not have when we last looked, newest first; all of HEAD's if we never did.
    ///
    /// # Errors
    /// When the references cannot be read.
    pub fn unpushed(&self, remote: &Remote) -> Result<Vec<Commit>, GitError> {
        match self.tracking_tip(remote)? {
            Some(tip) => self.commits_since(tip),
            None => {
                let repository = self.libgit2()?;
                let walk = || -> Result<Vec<Commit>, git2::Error> {
                    let mut walk = repository.revwalk()?;
                    walk.push_head()?;
                    walk.hide_glob("refs/remotes/*").or_else(|error| {
                        if error.code() == ErrorCode::NotFound {
                            Ok(())
                        } else {
                            Err(error)
                        }
                    })?;
                    walk.map(|id| Ok(describe(&repository.find_commit(id?)?)))
                        .collect()
                };
                walk().map_err(GitError::doing(
                    "list the commits that are not on the remote",
                ))
            }
        }
    }

    /// Demands that there are none but the commits named here.
    ///
    /// # Errors
    /// [`GitError::UnpushedCommits`] lists the others.
    pub fn require_pushed(&self, remote: &Remote, except: &[Oid]) -> Result<(), GitError> {
        let mut commits = self.unpushed(remote)?;
        commits.retain(|commit| !except.contains(&commit.id));
        if commits.is_empty() {
            Ok(())
        } else {
            Err(GitError::UnpushedCommits { commits })
        }
    }

    /// This commit in a line.
    ///
    /// # Errors
    /// When it is unknown here.
    pub fn commit(&self, id: Oid) -> Result<Commit, GitError> {
        let repository = self.libgit2()?;
        let commit = repository
            .find_commit(id)
            .map_err(GitError::doing("read a commit"))?;
        Ok(describe(&commit))
    }
}

fn describe(commit: &git2::Commit<'_>) -> Commit {
    let author = commit.author();
    Commit {
        id: commit.id(),
        author: String::from_utf8_lossy(author.name_bytes()).into_owned(),
        email: String::from_utf8_lossy(author.email_bytes()).into_owned(),
        summary: commit.summary_bytes().map_or_else(String::new, |text| {
            String::from_utf8_lossy(text).into_owned()
        }),
    }
}
