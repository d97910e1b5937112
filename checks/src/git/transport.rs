//! How we talk to a remote: by the user's own `git`, which knows their ssh configuration, credential helpers and
//! proxies, or by libgit2. Both end in the same errors.

use std::fmt;
use std::str::FromStr;

use git2::{ErrorClass, ErrorCode};

use super::error::GitError;
use super::process::Tool;
use super::repository::Repository;
use super::url;
use super::words::classified_libgit2;

/// The choice of `--push-transport`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// The git command where it is installed, libgit2 otherwise.
    #[default]
    Auto,
    /// The git command.
    Git,
    /// libgit2.
    Libgit2,
}

/// What carries an exchange, once chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// The git command.
    Git,
    /// libgit2.
    Libgit2,
}

impl Transport {
    /// Every choice, in the order of the help text.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Git, Self::Libgit2];

    /// The word for it on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Git => "git",
            Self::Libgit2 => "libgit2",
        }
    }

    /// What carries an exchange with this address.
    ///
    /// # Errors
    /// [`GitError::GitAbsent`] if git is demanded and not there; [`GitError::TransportAbsent`] if only libgit2 is left
    /// and was built without the crypto that the address needs.
    pub fn carrier(self, repository: &Repository, url: &str) -> Result<Carrier, GitError> {
        let git = repository.environment().find_program("git").is_some();
        match (self, git) {
            (Self::Auto | Self::Git, true) => Ok(Carrier::Git),
            (Self::Git, false) => Err(GitError::GitAbsent),
            (Self::Libgit2, _) | (Self::Auto, false) => {
                if url::needs_crypto(url) && !cfg!(feature = "libgit2-remote") {
                    return Err(GitError::TransportAbsent {
                        url: url::redacted(url),
                    });
                }
                Ok(Carrier::Libgit2)
            }
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|transport| transport.as_str() == text)
            .ok_or_else(|| format!("unknown push transport {text}; one of auto, git, libgit2"))
    }
}

/// A call of `git` in this repository that can ask nobody anything.
#[must_use]
pub fn git(repository: &Repository) -> Tool<'_> {
    let environment = repository.environment();
    let mut tool = Tool::new(environment, "git")
        .current_dir(repository.work_dir())
        .limit(repository.limit())
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GCM_INTERACTIVE", "never")
        // ssh asks on the terminal unless it is told to use a program, and this one never answers.
        .env("SSH_ASKPASS", "false")
        .env("SSH_ASKPASS_REQUIRE", "force");
    let chosen_by_user = environment.has("GIT_SSH_COMMAND")
        || environment.has("GIT_SSH")
        || repository
            .configuration()
            .is_ok_and(|config| config.get_string("core.sshCommand").is_ok());
    if !chosen_by_user {
        tool = tool.env(
            "GIT_SSH_COMMAND",
            "ssh -o BatchMode=yes -o ConnectTimeout=20",
        );
    }
    tool
}

/// Runs an exchange by libgit2 on a thread of its own. libgit2 cannot be told to stop: when the time is over we go on
/// without it and its thread ends by itself.
///
/// # Errors
/// What the exchange says, or [`GitError::RemoteTimedOut`].
pub async fn blocking<T: Send + 'static>(
    repository: &Repository,
    url: &str,
    exchange: impl FnOnce(&git2::Repository) -> Result<T, git2::Error> + Send + 'static,
) -> Result<T, GitError> {
    let (owned, limit) = (repository.clone(), repository.limit());
    let task = tokio::task::spawn_blocking(move || -> Result<Result<T, git2::Error>, GitError> {
        Ok(exchange(&owned.libgit2()?))
    });
    match tokio::time::timeout(limit, task).await {
        Err(_) => Err(GitError::RemoteTimedOut {
            url: url::redacted(url),
            after: limit,
        }),
        Ok(Err(join)) => Err(GitError::RemoteFailed {
            url: url::redacted(url),
            words: join.to_string(),
        }),
        Ok(Ok(outcome)) => outcome?.map_err(|error| classified_libgit2(url, &error)),
    }
}

/// Callbacks that answer libgit2's questions for credentials: ssh agent, then credential helper, each once, as libgit2
/// asks again for ever after a refusal.
///
/// # Errors
/// When the configuration cannot be read.
pub fn callbacks(
    repository: &git2::Repository,
) -> Result<git2::RemoteCallbacks<'static>, git2::Error> {
    let config = repository.config()?;
    let mut asked = 0;
    let mut callbacks = git2::RemoteCallbacks::new();
    callbacks.credentials(move |url, user, allowed| {
        asked += 1;
        let refused = || {
            git2::Error::new(
                ErrorCode::Auth,
                ErrorClass::Callback,
                "no more credentials to try",
            )
        };
        if asked > 4 {
            return Err(refused());
        }
        if allowed.is_username() {
            return git2::Cred::username(user.unwrap_or("git"));
        }
        if allowed.is_ssh_key() {
            return git2::Cred::ssh_key_from_agent(user.unwrap_or("git"));
        }
        if allowed.is_user_pass_plaintext() {
            return helper(&config, url, user);
        }
        if allowed.is_default() {
            return git2::Cred::default();
        }
        Err(refused())
    });
    Ok(callbacks)
}

#[cfg(feature = "libgit2-remote")]
fn helper(config: &git2::Config, url: &str, user: Option<&str>) -> Result<git2::Cred, git2::Error> {
    git2::Cred::credential_helper(config, url, user)
}

#[cfg(not(feature = "libgit2-remote"))]
fn helper(_: &git2::Config, _: &str, _: Option<&str>) -> Result<git2::Cred, git2::Error> {
    let message = "credential helpers need the git command or a build with libgit2-remote";
    Err(git2::Error::new(
        ErrorCode::Auth,
        ErrorClass::Callback,
        message,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_on_the_command_line_is_read_back() {
        for transport in Transport::ALL {
            assert_eq!(transport.to_string().parse(), Ok(transport));
        }
        assert!("ssh".parse::<Transport>().is_err());
    }
}
