//! Pushes one commit, and says exactly why it did not arrive.
//!
//! A push is right only if the remote branch is where we believe it is, so the old commit always goes with it; and it
//! has succeeded only once the remote, asked again, says so.

use checks::git::{GitError, Oid, Remote, Repository, Transport, short};
use checks::git::{transport, transport::Carrier, url, words};

use super::error::ChangeError;
use super::push_libgit2;

/// A push that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Where the remote branch was.
    pub old: Oid,
    /// Where it is.
    pub new: Oid,
}

impl std::fmt::Display for Pushed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} → {}", short(self.old), short(self.new))
    }
}

/// Moves the remote branch from `expected` to `commit`, a descendant of it. Applied a second time it changes nothing.
///
/// # Errors
/// [`ChangeError::Rejected`] if the server refuses (a hook, a protected branch); [`ChangeError::NonFastForward`] if
/// the branch is not at `expected`; [`GitError::RemoteUnreachable`], [`GitError::RemoteTimedOut`] and
/// [`GitError::AuthenticationFailed`] if the server could not be spoken to; [`ChangeError::NotADescendant`] if the
/// two do not fit; [`ChangeError::NotArrived`] if the server accepted it and has it not.
pub async fn push(
    repository: &Repository,
    remote: &Remote,
    carrier: Transport,
    commit: Oid,
    expected: Oid,
) -> Result<Pushed, ChangeError> {
    repository.writable()?;
    if !repository.contains(commit, expected)? {
        return Err(ChangeError::NotADescendant {
            commit: commit.to_string(),
            expected: short(expected),
        });
    }
    let outcome = match carrier.carrier(repository, &remote.push_url)? {
        Carrier::Git => by_git(repository, remote, commit, expected).await,
        Carrier::Libgit2 => push_libgit2::push(repository, remote, commit, expected).await,
    };
    let tip = repository.remote_tip(remote, carrier).await;
    match (outcome, tip) {
        // The connection may have died after the server had taken it: what the branch says now counts.
        (_, Ok(Some(tip))) if tip == commit => Ok(Pushed {
            old: expected,
            new: commit,
        }),
        (Err(error), _) => Err(error),
        (Ok(()), Err(error)) => Err(error.into()),
        (Ok(()), Ok(tip)) => {
            // Somebody may have pushed on top of it in between.
            super::rebase::fetch(repository, remote, carrier).await?;
            match tip {
                Some(tip) if repository.contains(tip, commit)? => Ok(Pushed {
                    old: expected,
                    new: commit,
                }),
                _ => Err(ChangeError::NotArrived {
                    url: remote.shown_url(),
                    branch: remote.branch.clone(),
                    commit: short(commit),
                }),
            }
        }
    }
}

async fn by_git(
    repository: &Repository,
    remote: &Remote,
    commit: Oid,
    expected: Oid,
) -> Result<(), ChangeError> {
    let reference = remote.reference();
    let finished = transport::git(repository)
        .args([
            "push",
            "--porcelain",
            "--no-follow-tags",
            "--recurse-submodules=no",
        ])
        // A plain push would also succeed where the branch was rewound to an ancestor of `expected`, and bring back what
        // somebody took away. The lease demands that it is at `expected`. It would allow more than a fast-forward too,
        // which the caller has ruled out: `commit` descends from `expected`.
        .arg(format!("--force-with-lease={reference}:{expected}"))
        .arg(&remote.name)
        .arg(format!("{commit}:{reference}"))
        .run()
        .await
        .map_err(|error| words::tool_failed(&remote.push_url, error))?;
    let report = String::from_utf8_lossy(&finished.stdout).into_owned();
    judged(
        remote,
        expected,
        finished.status.success(),
        &report,
        &finished.stderr,
    )
}

/// What `git push --porcelain` says: a line `<flag> TAB <from>:<to> TAB <summary>` for our reference, where `!` is a
/// failure (<https://git-scm.com/docs/git-push#_output>).
fn judged(
    remote: &Remote,
    expected: Oid,
    success: bool,
    report: &str,
    stderr: &str,
) -> Result<(), ChangeError> {
    let reference = remote.reference();
    let line = report.lines().find_map(|line| {
        let mut fields = line.splitn(3, '\t');
        let (flag, names, summary) = (
            fields.next()?,
            fields.next()?,
            fields.next().unwrap_or_default(),
        );
        (names.rsplit(':').next() == Some(reference.as_str()))
            .then(|| (flag.to_owned(), summary.to_owned()))
    });
    match line {
        Some((flag, _)) if success && flag != "!" => Ok(()),
        Some((_, summary)) if summary.starts_with("[rejected]") => Err(behind(remote, expected)),
        Some((_, summary)) => {
            let printed = stderr
                .lines()
                .filter_map(|line| line.strip_prefix("remote:"));
            let reason = summary.trim_start_matches("[remote rejected]");
            Err(rejected(remote, &said(reason, printed)))
        }
        // Nothing about our reference: the conversation did not get that far, or a hook of ours ended it.
        None => Err(match words::classified(&remote.push_url, stderr) {
            GitError::RemoteFailed { words, .. } => ChangeError::PushFailed { words },
            other => other.into(),
        }),
    }
}

/// The server's words: what its hooks print, then its reason.
pub(super) fn said<'a>(reason: &'a str, printed: impl Iterator<Item = &'a str>) -> String {
    let printed = printed.map(str::trim).filter(|line| !line.is_empty());
    let mut said: Vec<&str> = printed.take(10).collect();
    said.push(reason.trim());
    url::redacted_words(&said.join(" · "))
}

pub(super) fn behind(remote: &Remote, expected: Oid) -> ChangeError {
    ChangeError::NonFastForward {
        url: remote.shown_url(),
        branch: remote.branch.clone(),
        expected: short(expected),
    }
}

pub(super) fn rejected(remote: &Remote, words: &str) -> ChangeError {
    ChangeError::Rejected {
        url: remote.shown_url(),
        branch: remote.branch.clone(),
        words: words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote() -> Remote {
        Remote {
            name: "origin".into(),
            fetch_url: "/x".into(),
            push_url: "/x".into(),
            branch: "main".into(),
        }
    }

    fn reason(success: bool, report: &str, stderr: &str) -> &'static str {
        let old = Oid::ZERO_SHA1;
        judged(&remote(), old, success, report, stderr)
            .map_or_else(|error| error.reason(), |()| "done")
    }

    #[test]
    fn the_three_failures_and_success_are_told_apart() {
        let line = |flag: &str, summary: &str| {
            format!("To /x\n{flag}\tabc:refs/heads/main\t{summary}\nDone\n")
        };
        assert_eq!(reason(true, &line(" ", "abc..def"), ""), "done");
        assert_eq!(reason(true, &line("=", "[up to date]"), ""), "done");
        assert_eq!(
            reason(false, &line("!", "[rejected] (stale info)"), ""),
            "NonFastForward"
        );
        assert_eq!(
            reason(false, &line("!", "[rejected] (fetch first)"), ""),
            "NonFastForward"
        );
        assert_eq!(
            reason(
                false,
                &line("!", "[remote rejected] (pre-receive hook declined)"),
                ""
            ),
            "PushRejected"
        );
        assert_eq!(
            reason(false, "", "fatal: unable to connect to host"),
            "RemoteUnreachable"
        );
        assert_eq!(
            reason(false, "", "error: failed to push some refs"),
            "PushFailed"
        );
        // A line about another reference says nothing about ours.
        assert_eq!(reason(true, " \ta:refs/heads/other\tx\n", ""), "PushFailed");
    }

    #[test]
    fn the_server_s_words_are_passed_on() {
        let error = judged(
            &remote(),
            Oid::ZERO_SHA1,
            false,
            "!\ta:refs/heads/main\t[remote rejected] (protected branch hook declined)\n",
            "remote: error: GH006: Protected branch update failed.\nremote: \nerror: failed to push some refs\n",
        );
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains(
                "GH006: Protected branch update failed. · (protected branch hook declined)"
            ),
            "{text}"
        );
    }
}
