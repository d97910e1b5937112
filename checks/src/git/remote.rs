//! The remote that our branch follows, and what its branch is now, asked from the remote itself.

use git2::{Direction, Oid};

use super::error::GitError;
use super::repository::Repository;
use super::transport::{self, Carrier, Transport};
use super::url;
use super::words;

/// A remote and the branch there that the checked-out branch follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name, for example `origin`.
    pub name: String,
    /// Where git fetches from, `url.*.insteadOf` applied. May hold a password: show [`Remote::shown_url`].
    pub fetch_url: String,
    /// Where git pushes to, `pushInsteadOf` and `pushurl` applied. May hold a password.
    pub push_url: String,
    /// The branch there, for example `main`.
    pub branch: String,
}

impl Remote {
    /// The full name of the branch on the remote.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }

    /// The full name of our memory of the remote's branch.
    #[must_use]
    pub fn tracking_reference(&self) -> String {
        format!("refs/remotes/{}/{}", self.name, self.branch)
    }

    /// The address to push to, without a password in it.
    #[must_use]
    pub fn shown_url(&self) -> String {
        url::redacted(&self.push_url)
    }

    /// Whether both addresses name the repository at this address.
    #[must_use]
    pub fn is(&self, expected: &str) -> bool {
        url::same_repository(&self.fetch_url, expected)
            && url::same_repository(&self.push_url, expected)
    }

    /// Demands that both addresses name the repository at this address.
    ///
    /// # Errors
    /// [`GitError::RemoteDiffers`] shows the address that does not.
    pub fn require(&self, expected: &str) -> Result<(), GitError> {
        let other = [&self.fetch_url, &self.push_url]
            .into_iter()
            .find(|url| !url::same_repository(url, expected));
        match other {
            None => Ok(()),
            Some(found) => Err(GitError::RemoteDiffers {
                remote: self.name.clone(),
                found: url::redacted(found),
                expected: url::redacted(expected),
            }),
        }
    }
}

impl Repository {
    /// The remote that the checked-out branch follows: `branch.<name>.remote`, else `origin`; and the branch there:
    /// `branch.<name>.merge`, else the one of the same name.
    ///
    /// # Errors
    /// [`GitError::NoRemote`], and what [`Repository::branch`] may say.
    pub fn followed_remote(&self) -> Result<Remote, GitError> {
        let branch = self.branch()?;
        let repository = self.libgit2()?;
        let config = self.configuration()?;
        let set = |key: String| {
            config
                .get_string(&key)
                .ok()
                .filter(|value| !value.is_empty())
        };
        // A branch may follow another local branch; that is written as the remote `.`.
        let name = set(format!("branch.{branch}.remote"))
            .filter(|name| name != ".")
            .unwrap_or_else(|| "origin".into());
        let remote = repository
            .find_remote(&name)
            .map_err(|_| GitError::NoRemote {
                name: name.clone(),
                available: repository
                    .remotes()
                    .map(|names| {
                        names
                            .iter()
                            .flatten()
                            .flatten()
                            .map(str::to_owned)
                            .collect()
                    })
                    .unwrap_or_default(),
            })?;
        let fetch_url = remote
            .url()
            .map_err(GitError::doing("read the remote's address"))?
            .to_owned();
        let push_url = remote
            .pushurl()
            .map_err(GitError::doing("read the remote's address"))?
            .map(str::to_owned);
        let merge = set(format!("branch.{branch}.merge"));
        let branch = merge
            .and_then(|full| full.strip_prefix("refs/heads/").map(str::to_owned))
            .unwrap_or(branch);
        Ok(Remote {
            name,
            push_url: push_url.unwrap_or_else(|| fetch_url.clone()),
            fetch_url,
            branch,
        })
    }

    /// The tip of the followed branch as the remote has it now; none if it has no such branch.
    ///
    /// # Errors
    /// [`GitError::RemoteUnreachable`], [`GitError::RemoteTimedOut`], [`GitError::AuthenticationFailed`],
    /// [`GitError::RemoteAbsent`], [`GitError::RemoteFailed`], [`GitError::GitAbsent`], [`GitError::TransportAbsent`].
    pub async fn remote_tip(
        &self,
        remote: &Remote,
        transport: Transport,
    ) -> Result<Option<Oid>, GitError> {
        match transport.carrier(self, &remote.fetch_url)? {
            Carrier::Git => self.tip_by_git(remote).await,
            Carrier::Libgit2 => {
                let asked = remote.clone();
                transport::blocking(self, &remote.fetch_url, move |repository| {
                    tip_by_libgit2(repository, &asked)
                })
                .await
            }
        }
    }

    async fn tip_by_git(&self, remote: &Remote) -> Result<Option<Oid>, GitError> {
        let reference = remote.reference();
        let finished = transport::git(self)
            .args(["ls-remote", "--refs", &remote.name, &reference])
            .run()
            .await
            .map_err(|error| words::tool_failed(&remote.fetch_url, error))?;
        if !finished.status.success() {
            return Err(words::classified(&remote.fetch_url, &finished.stderr));
        }
        // The pattern also matches names that merely end with it.
        let answer = String::from_utf8_lossy(&finished.stdout).into_owned();
        let tip = answer
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .find(|(_, name)| *name == reference);
        tip.map(|(id, _)| Oid::from_str(id).map_err(GitError::doing("read the remote's answer")))
            .transpose()
    }
}

fn tip_by_libgit2(
    repository: &git2::Repository,
    asked: &Remote,
) -> Result<Option<Oid>, git2::Error> {
    let mut remote = repository.find_remote(&asked.name)?;
    let callbacks = transport::callbacks(repository)?;
    let connection = remote.connect_auth(Direction::Fetch, Some(callbacks), None)?;
    let reference = asked.reference();
    Ok(connection
        .list()?
        .iter()
        .find(|head| head.name() == reference)
        .map(git2::RemoteHead::oid))
}
