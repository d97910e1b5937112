//! How the user's git signs commits, read from the configuration as git itself reads it.
//!
//! Keys: <https://git-scm.com/docs/git-config#Documentation/git-config.txt-usersigningKey> and the `gpg.*` keys there.

use std::fmt;
use std::path::PathBuf;

use super::error::GitError;
use super::repository::Repository;

/// `gpg.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureFormat {
    /// GnuPG, git's default.
    OpenPgp,
    /// `gpgsm`
    X509,
    /// `ssh-keygen -Y sign`
    Ssh,
}

impl SignatureFormat {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenPgp => "openpgp",
            Self::X509 => "x509",
            Self::Ssh => "ssh",
        }
    }
}

impl fmt::Display for SignatureFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which key signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningKey {
    /// A key id or address, as GnuPG understands it.
    Named(String),
    /// The committer's name and address, which is what git passes to GnuPG when no key is configured.
    OfCommitter,
    /// A file with an ssh key, public or private.
    File(PathBuf),
    /// A public ssh key written into the configuration; the agent holds the private one.
    Literal(String),
    /// `gpg.ssh.defaultKeyCommand`: the first line that it prints is the key.
    Command(String),
    /// ssh without any key: git itself refuses to sign with that.
    Missing,
}

/// The signing configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// `commit.gpgsign`: whether the user's git signs every commit.
    pub wanted: bool,
    /// `gpg.format`
    pub format: SignatureFormat,
    /// The program that makes the signature.
    pub program: String,
    /// The key.
    pub key: SigningKey,
}

impl Signing {
    /// Whether a key was chosen by somebody, as opposed to whatever GnuPG finds for the committer.
    #[must_use]
    pub fn has_chosen_key(&self) -> bool {
        !matches!(self.key, SigningKey::OfCommitter | SigningKey::Missing)
    }

    /// What signs, in a few words and without secrets; for example `ssh, key ~/.ssh/id_ed25519.pub`.
    #[must_use]
    pub fn description(&self) -> String {
        let format = self.format;
        match &self.key {
            SigningKey::Named(name) => format!("{format}, key {name}"),
            SigningKey::OfCommitter => format!("{format}, key of the committer"),
            SigningKey::File(path) => format!("{format}, key {}", path.display()),
            SigningKey::Literal(key) => {
                let mut parts = key.split_whitespace();
                let kind = parts.next().unwrap_or("of unknown kind");
                let tail: String = parts.next().map(|body| tail(body, 8)).unwrap_or_default();
                format!("{format}, key {kind} …{tail} of the agent")
            }
            SigningKey::Command(_) => format!("{format}, key named by gpg.ssh.defaultKeyCommand"),
            SigningKey::Missing => format!("{format}, no key"),
        }
    }
}

fn tail(text: &str, count: usize) -> String {
    let skipped = text.chars().count().saturating_sub(count);
    text.chars().skip(skipped).collect()
}

impl Repository {
    /// How the user's git would sign a commit here.
    ///
    /// # Errors
    /// [`GitError::SigningUnusable`] for a format that nobody knows or a flag that is no boolean.
    pub fn signing(&self) -> Result<Signing, GitError> {
        let config = self.configuration()?;
        let text = |key: &str| {
            config
                .get_string(key)
                .ok()
                .filter(|value| !value.trim().is_empty())
        };
        let wanted = match config.get_bool("commit.gpgsign") {
            Ok(wanted) => wanted,
            Err(error) if error.code() == git2::ErrorCode::NotFound => false,
            Err(error) => {
                return Err(GitError::SigningUnusable {
                    why: format!("commit.gpgsign: {}", error.message()),
                });
            }
        };
        let format = match text("gpg.format").as_deref() {
            None | Some("openpgp") => SignatureFormat::OpenPgp,
            Some("x509") => SignatureFormat::X509,
            Some("ssh") => SignatureFormat::Ssh,
            Some(other) => {
                return Err(GitError::SigningUnusable {
                    why: format!("gpg.format is {other}; expected openpgp, x509 or ssh"),
                });
            }
        };
        let program = match format {
            SignatureFormat::OpenPgp => text("gpg.openpgp.program")
                .or_else(|| text("gpg.program"))
                .unwrap_or_else(|| "gpg".into()),
            SignatureFormat::X509 => text("gpg.x509.program").unwrap_or_else(|| "gpgsm".into()),
            SignatureFormat::Ssh => text("gpg.ssh.program").unwrap_or_else(|| "ssh-keygen".into()),
        };
        let key = match (format, text("user.signingKey")) {
            (SignatureFormat::Ssh, Some(key)) => self.ssh_key(&key),
            (SignatureFormat::Ssh, None) => {
                text("gpg.ssh.defaultKeyCommand").map_or(SigningKey::Missing, SigningKey::Command)
            }
            (_, Some(key)) => SigningKey::Named(key),
            (_, None) => SigningKey::OfCommitter,
        };
        Ok(Signing {
            wanted,
            format,
            program,
            key,
        })
    }

    /// What a value of `user.signingKey`, or a line of `gpg.ssh.defaultKeyCommand`, means under `gpg.format = ssh`.
    #[must_use]
    pub fn ssh_key(&self, value: &str) -> SigningKey {
        let value = value.trim();
        if let Some(key) = value.strip_prefix("key::") {
            return SigningKey::Literal(key.to_owned());
        }
        if value.starts_with("ssh-") {
            return SigningKey::Literal(value.to_owned());
        }
        let home = self.environment().var("HOME").map(PathBuf::from);
        let path = match (value.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.work_dir().join(value),
        };
        SigningKey::File(path)
    }
}
