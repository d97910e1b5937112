//! Signs the bytes of a commit the way the user's git does: with the same program, called in the same way.
//!
//! git's own calls are in its `gpg-interface.c`: <https://github.com/git/git/blob/master/gpg-interface.c>.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use checks::git::process::Tool;
use checks::git::{Identity, Repository, SignatureFormat, Signing, SigningKey};

use super::error::ChangeError;

/// A person may have to touch a token.
const LIMIT: Duration = Duration::from_secs(60);

/// Signs `payload` and returns the armoured signature without a final newline.
///
/// # Errors
/// [`ChangeError::SigningFailed`] with the signer's words.
pub async fn sign(
    repository: &Repository,
    signing: &Signing,
    committer: &Identity,
    payload: &[u8],
) -> Result<String, ChangeError> {
    let signature = match signing.format {
        SignatureFormat::OpenPgp | SignatureFormat::X509 => {
            by_gnupg(repository, signing, committer, payload).await?
        }
        SignatureFormat::Ssh => by_ssh(repository, signing, payload).await?,
    };
    // libgit2 would keep a final newline as one more line of the header.
    let signature = signature.replace('\r', "").trim_end().to_owned();
    if signature.starts_with("-----BEGIN ") {
        Ok(signature)
    } else {
        Err(failed(signing, "it made no signature"))
    }
}

async fn by_gnupg(
    repository: &Repository,
    signing: &Signing,
    committer: &Identity,
    payload: &[u8],
) -> Result<String, ChangeError> {
    let key = match &signing.key {
        SigningKey::Named(key) => key.clone(),
        _ => format!("{} <{}>", committer.name, committer.email),
    };
    let mut tool =
        Tool::new(repository.environment(), &signing.program).current_dir(repository.work_dir());
    let name = Path::new(&signing.program)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    // With nobody at a terminal a question would only be waited for. A wrapper may not know these options.
    if matches!(name, "gpg" | "gpg2" | "gpgsm") && !std::io::stdin().is_terminal() {
        tool = tool.args(["--batch", "--no-tty", "--pinentry-mode=error"]);
    }
    let finished = tool
        .args(["--status-fd=2", "-bsau", &key])
        .stdin(payload)
        .limit(LIMIT)
        .run()
        .await
        .map_err(|error| ChangeError::signer(&signing.description(), &error))?;
    // The status line is what git relies on; the exit code alone is not.
    let created = finished
        .stderr
        .lines()
        .any(|line| line.starts_with("[GNUPG:] SIG_CREATED "));
    if !finished.status.success() || !created {
        return Err(failed(signing, &finished.stderr));
    }
    Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
}

async fn by_ssh(
    repository: &Repository,
    signing: &Signing,
    payload: &[u8],
) -> Result<String, ChangeError> {
    let io = |error: std::io::Error| failed(signing, &error.to_string());
    // Our own folder, 0700: the payload, the signature beside it, and a public key that is only in the configuration.
    let folder = tempfile::Builder::new()
        .prefix("onboarding-sign-")
        .tempdir()
        .map_err(io)?;
    let key = match &signing.key {
        SigningKey::Command(command) => asked(repository, signing, command).await?,
        other => other.clone(),
    };
    let key = match key {
        SigningKey::File(path) => path,
        SigningKey::Literal(text) => private_file(
            &folder.path().join("key.pub"),
            format!("{text}\n").as_bytes(),
        )
        .map_err(io)?,
        _ => return Err(failed(signing, "no key is configured (user.signingKey)")),
    };
    let buffer = private_file(&folder.path().join("commit"), payload).map_err(io)?;
    let finished = Tool::new(repository.environment(), &signing.program)
        .current_dir(repository.work_dir())
        .args(["-Y", "sign", "-n", "git", "-f"])
        .arg(&key)
        .arg(&buffer)
        // Asked for a passphrase, ssh-keygen would read the terminal; this program never answers.
        .env("SSH_ASKPASS", "false")
        .env("SSH_ASKPASS_REQUIRE", "force")
        .limit(LIMIT)
        .run()
        .await
        .map_err(|error| ChangeError::signer(&signing.description(), &error))?;
    if !finished.status.success() {
        return Err(failed(signing, &finished.stderr));
    }
    std::fs::read_to_string(folder.path().join("commit.sig")).map_err(io)
}

/// The key that `gpg.ssh.defaultKeyCommand` prints in its first line.
async fn asked(
    repository: &Repository,
    signing: &Signing,
    command: &str,
) -> Result<SigningKey, ChangeError> {
    let finished = Tool::new(repository.environment(), "sh")
        .current_dir(repository.work_dir())
        .args(["-c", &format!("exec {command}")])
        .run()
        .await
        .map_err(|error| ChangeError::signer(&signing.description(), &error))?;
    let answer = String::from_utf8_lossy(&finished.stdout).into_owned();
    match answer.lines().next().map(|line| repository.ssh_key(line)) {
        Some(key @ SigningKey::Literal(_)) if finished.status.success() => Ok(key),
        _ => Err(failed(
            signing,
            &format!("gpg.ssh.defaultKeyCommand named no key {}", finished.stderr),
        )),
    }
}

fn private_file(path: &Path, bytes: &[u8]) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    Ok(path.to_owned())
}

fn failed(signing: &Signing, words: &str) -> ChangeError {
    let lines: Vec<&str> = words
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("[GNUPG:]"))
        .collect();
    let words = if lines.is_empty() {
        "no reason given".into()
    } else {
        lines.join(" · ")
    };
    ChangeError::SigningFailed {
        signer: signing.description(),
        words,
    }
}

/// What would sign, named so that a person knows the key: `ssh key SHA256:…`. Reads files only.
#[must_use]
pub fn signer(signing: &Signing) -> String {
    let public = match &signing.key {
        SigningKey::Literal(text) => Some(text.clone()),
        SigningKey::File(path) => std::fs::read_to_string(path)
            .ok()
            .filter(|text| !text.contains("PRIVATE KEY"))
            .or_else(|| std::fs::read_to_string(beside(path)).ok()),
        _ => None,
    };
    match public.as_deref().and_then(fingerprint) {
        Some(fingerprint) => format!("{} key {fingerprint}", signing.format),
        None => signing.description(),
    }
}

/// `~/.ssh/id_ed25519.pub` for `~/.ssh/id_ed25519`.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// The fingerprint of a public ssh key as `ssh-keygen -l` shows it.
fn fingerprint(public: &str) -> Option<String> {
    use base64::{Engine as _, engine::general_purpose};
    use sha2::Digest as _;
    let body = public.split_whitespace().nth(1)?;
    let key = general_purpose::STANDARD.decode(body).ok()?;
    let digest = sha2::Sha256::digest(key);
    Some(format!(
        "SHA256:{}",
        general_purpose::STANDARD_NO_PAD.encode(digest)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_what_ssh_keygen_shows() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status()
            .unwrap();
        assert!(made.success());
        let shown = std::process::Command::new("ssh-keygen")
            .arg("-lf")
            .arg(&key)
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let expected = shown.split_whitespace().nth(1).unwrap();
        for path in [key.clone(), beside(&key)] {
            let signing = Signing {
                wanted: true,
                format: SignatureFormat::Ssh,
                program: "ssh-keygen".into(),
                key: SigningKey::File(path),
            };
            assert_eq!(signer(&signing), format!("ssh key {expected}"));
        }
        assert_eq!(fingerprint("nonsense"), None);
    }
}
