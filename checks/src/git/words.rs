//! What the words of git and libgit2 mean: out of reach, not allowed, not there. The words are those of the C locale.

use git2::{ErrorClass, ErrorCode};

use super::error::GitError;
use super::process::ToolError;
use super::url;

/// What it means that the program gave no answer at all.
#[must_use]
pub fn tool_failed(url: &str, error: ToolError) -> GitError {
    match error {
        ToolError::Absent { .. } => GitError::GitAbsent,
        ToolError::TimedOut { after, .. } => GitError::RemoteTimedOut {
            url: url::redacted(url),
            after,
        },
        ToolError::NotRun { .. } => GitError::RemoteFailed {
            url: url::redacted(url),
            words: error.to_string(),
        },
    }
}

/// What git's words (in the C locale) say about the remote.
#[must_use]
pub fn classified(url: &str, stderr: &str) -> GitError {
    let lower = stderr.to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
    let (url, words) = (url::redacted(url), last_words(stderr));
    if says(&[
        "permission denied (",
        "authentication failed",
        "could not read username",
        "could not read password",
        "terminal prompts disabled",
        "host key verification failed",
        "invalid credentials",
        "error: 401",
        "error: 403",
    ]) {
        GitError::AuthenticationFailed { url, words }
    } else if says(&[
        "does not appear to be a git repository",
        "repository not found",
        "repository not exported",
        "does not exist",
        "error: 404",
    ]) || lower
        .lines()
        .any(|line| line.contains("repository '") && line.contains("not found"))
    {
        GitError::RemoteAbsent { url, words }
    } else if says(&[
        "could not resolve host",
        "couldn't resolve host",
        "name or service not known",
        "connection refused",
        "connection timed out",
        "connection reset",
        "connection closed",
        "operation timed out",
        "network is unreachable",
        "no route to host",
        "unable to connect",
        "failed to connect",
        "couldn't connect",
        "unable to look up",
        "the remote end hung up unexpectedly",
    ]) {
        GitError::RemoteUnreachable { url, words }
    } else {
        GitError::RemoteFailed { url, words }
    }
}

/// The lines of git's words that say something, in one line without passwords.
#[must_use]
pub fn last_words(stderr: &str) -> String {
    let lines: Vec<&str> = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("hint:"))
        // Advice that git adds to every failure over ssh.
        .filter(|line| {
            !line.starts_with("Please make sure you have the correct access")
                && *line != "and the repository exists."
        })
        .collect();
    let from = lines.len().saturating_sub(4);
    let text = lines.get(from..).unwrap_or_default().join(" · ");
    if text.is_empty() {
        "no reason given".into()
    } else {
        url::redacted_words(&text)
    }
}

/// What libgit2's error says about the remote.
#[must_use]
pub fn classified_libgit2(url: &str, error: &git2::Error) -> GitError {
    let absent_folder = url::is_local(url) && error.message().contains("unsupported URL protocol");
    let (url, words) = (url::redacted(url), url::redacted_words(error.message()));
    if absent_folder {
        // libgit2 tries a path that does not exist as an address.
        return GitError::RemoteAbsent {
            url,
            words: "no such folder".into(),
        };
    }
    match (error.code(), error.class()) {
        (ErrorCode::Auth | ErrorCode::Certificate, _) => {
            GitError::AuthenticationFailed { url, words }
        }
        (_, ErrorClass::Callback) => GitError::AuthenticationFailed { url, words },
        (ErrorCode::NotFound, _) => GitError::RemoteAbsent { url, words },
        // git daemon says so in one sentence for both.
        _ if words.contains("not exported")
            || words.contains("unexpected http status code: 404") =>
        {
            GitError::RemoteAbsent { url, words }
        }
        (
            _,
            ErrorClass::Net | ErrorClass::Ssh | ErrorClass::Http | ErrorClass::Ssl | ErrorClass::Os,
        ) => GitError::RemoteUnreachable { url, words },
        _ => GitError::RemoteFailed { url, words },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_s_words_are_told_apart() {
        let reason = |words: &str| classified("git@host:x", words).reason();
        assert_eq!(
            reason("git@host: Permission denied (publickey).\nfatal: Could not read"),
            "AuthenticationFailed"
        );
        assert_eq!(
            reason("fatal: could not read Username for 'https://host': terminal prompts disabled"),
            "AuthenticationFailed"
        );
        assert_eq!(
            reason("fatal: '/x' does not appear to be a git repository"),
            "RemoteAbsent"
        );
        assert_eq!(
            reason("fatal: repository 'https://host/x/' not found"),
            "RemoteAbsent"
        );
        assert_eq!(
            reason("ssh: connect to host h port 22: Connection refused"),
            "RemoteUnreachable"
        );
        assert_eq!(
            reason("fatal: unable to access 'https://h/': Could not resolve host: h"),
            "RemoteUnreachable"
        );
        assert_eq!(reason("fatal: something new"), "RemoteFailed");
    }

    #[test]
    fn the_last_words_are_one_line_without_advice_and_passwords() {
        let words = last_words(
            "fatal: unable to access 'https://a:b@h/': no\n\nhint: try\nPlease make sure you have the correct access rights\nand the repository exists.\n",
        );
        assert_eq!(words, "fatal: unable to access 'https://***@h/': no");
        assert_eq!(last_words("\n"), "no reason given");
    }
}
