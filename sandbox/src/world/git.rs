//! The GitOps repository: a working copy with its own identity and signing key, and the bare remote that Flux follows.
//!
//! Nothing here depends on the user's own git configuration: all that matters stands in the repositories.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use git2::{BranchType, Oid, PushOptions, Repository, RepositoryInitOptions, Signature};

use super::{cast::Cast, tree};

const AUTHOR: &str = "Sandbox Keeper";
const EMAIL: &str = "keeper@sandbox.invalid";

/// Where the parts of the repository are kept.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The working copy.
    pub(crate) checkout: PathBuf,
    /// The bare remote.
    pub(crate) remote: PathBuf,
    /// The signing key and who may sign.
    pub(crate) signing: PathBuf,
}

impl Places {
    /// The places in a sandbox folder.
    pub(crate) fn of(dir: &Path) -> Self {
        Self {
            checkout: dir.join("checkout"),
            remote: dir.join("remote.git"),
            signing: dir.join("signing"),
        }
    }
}

/// Why the repository could not be made or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitTrouble {
    /// libgit2 said no.
    #[error("git: {0}")]
    Git(#[from] git2::Error),
    /// A file could not be written or read.
    #[error("git files: {0}")]
    Io(#[from] std::io::Error),
    /// `ssh-keygen` did not sign.
    #[error("ssh-keygen: {0}")]
    Sign(String),
}

/// Makes the working copy and the remote, with the new node's entry commented out, and returns the first commit.
pub(crate) fn create(places: &Places, cast: &Cast) -> Result<Oid, GitTrouble> {
    let key = signing_key(&places.signing)?;
    let repository = init(&places.checkout, false)?;
    init(&places.remote, true)?;
    configure(&repository, places, key.as_deref())?;
    for (path, content) in tree::files(cast, false) {
        let file = places.checkout.join(&path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, content)?;
    }
    let commit = commit_all(&repository, key.as_deref(), "home: begins with one node\n")?;
    repository.remote("origin", &cast.remote)?;
    push(&repository, places, commit)?;
    repository
        .find_branch("main", BranchType::Local)?
        .set_upstream(Some("origin/main"))?;
    Ok(commit)
}

/// Switches the new node's entry on, as a person would: edit, commit, push.
pub(crate) fn activate(places: &Places, cast: &Cast) -> Result<Oid, GitTrouble> {
    let repository = Repository::open(&places.checkout)?;
    for (path, content) in tree::files(cast, true) {
        if path == tree::STORAGE {
            fs::write(places.checkout.join(path), content)?;
        }
    }
    let key = places.signing.join("id_ed25519");
    let key = key.exists().then_some(key);
    let message = format!("storage: switches {} on\n", cast.node);
    let commit = commit_all(&repository, key.as_deref(), &message)?;
    push(&repository, places, commit)?;
    Ok(commit)
}

/// Brings a commit to the remote, and remembers that it is there. The remote is reached by its path, since nobody
/// serves it before the world stands.
fn push(repository: &Repository, places: &Places, commit: Oid) -> Result<(), GitTrouble> {
    let mut remote = repository.remote_anonymous(&places.remote.to_string_lossy())?;
    remote.push(
        &["refs/heads/main:refs/heads/main"],
        Some(&mut PushOptions::new()),
    )?;
    repository.reference("refs/remotes/origin/main", commit, true, "push")?;
    Ok(())
}

/// Commits everything in the work tree and pushes it, as a person would.
pub(crate) fn commit_and_push(places: &Places, message: &str) -> Result<(), GitTrouble> {
    let repository = Repository::open(&places.checkout)?;
    let mut index = repository.index()?;
    index.update_all(["*"], None)?;
    index.write()?;
    commit_all(&repository, key_in(places).as_deref(), message)?;
    let mut remote = repository.find_remote("origin")?;
    remote.push(
        &["refs/heads/main:refs/heads/main"],
        Some(&mut PushOptions::new()),
    )?;
    remote.fetch(&["main"], None, None)?;
    Ok(())
}

fn key_in(places: &Places) -> Option<PathBuf> {
    let key = places.signing.join("id_ed25519");
    key.exists().then_some(key)
}

/// Leaves the working copy as people leave theirs at times, or puts it right again.
pub(crate) fn disturb(
    places: &Places,
    cast: &Cast,
    what: &str,
    on: bool,
) -> Result<(), GitTrouble> {
    let repository = Repository::open(&places.checkout)?;
    let head = repository.head()?.peel_to_commit()?;
    let mut config = repository.config()?.open_level(git2::ConfigLevel::Local)?;
    match (what, on) {
        ("checkout-detached", true) => repository.set_head_detached(head.id())?,
        ("checkout-other-branch", true) => {
            repository.branch("try", &head, true)?;
            repository.set_head("refs/heads/try")?;
        }
        ("checkout-detached" | "checkout-other-branch", false) => {
            repository.set_head("refs/heads/main")?;
            if let Ok(mut branch) = repository.find_branch("try", BranchType::Local) {
                branch.delete()?;
            }
        }
        ("checkout-other-remote", true) => {
            let other = format!("{}-of-somebody-else", cast.remote);
            repository.remote_set_url("origin", &other)?;
        }
        ("checkout-other-remote", false) => repository.remote_set_url("origin", &cast.remote)?,
        ("checkout-unpushed", true) => {
            fs::write(places.checkout.join("TODO.md"), "Push this.\n")?;
            commit_all(
                &repository,
                key_in(places).as_deref(),
                "todo: says what to do\n",
            )?;
        }
        ("checkout-unpushed", false) => {
            let upstream = repository.revparse_single("refs/remotes/origin/main")?;
            repository.reset(&upstream, git2::ResetType::Hard, None)?;
        }
        ("git-identity-missing", true) => config.remove("user.email")?,
        ("git-signing-off", true) => {
            config.set_bool("commit.gpgsign", false)?;
            // It may not be there to begin with.
            let _ = config.remove("user.signingkey");
        }
        _ => configure(&repository, places, key_in(places).as_deref())?,
    }
    Ok(())
}

fn init(path: &Path, bare: bool) -> Result<Repository, GitTrouble> {
    let mut options = RepositoryInitOptions::new();
    options
        .bare(bare)
        .initial_head("main")
        .external_template(false)
        .mkpath(true);
    Ok(Repository::init_opts(path, &options)?)
}

fn configure(
    repository: &Repository,
    places: &Places,
    key: Option<&Path>,
) -> Result<(), GitTrouble> {
    let mut config = repository.config()?.open_level(git2::ConfigLevel::Local)?;
    config.set_str("user.name", AUTHOR)?;
    config.set_str("user.email", EMAIL)?;
    config.set_str("core.autocrlf", "false")?;
    // The user's own hooks and attributes have no business here.
    config.set_str(
        "core.hooksPath",
        &repository.path().join("hooks").to_string_lossy(),
    )?;
    config.set_str("push.default", "simple")?;
    config.set_bool("commit.gpgsign", key.is_some())?;
    if let Some(key) = key {
        config.set_str("gpg.format", "ssh")?;
        config.set_str("user.signingkey", &key.to_string_lossy())?;
        config.set_str("gpg.ssh.program", "ssh-keygen")?;
        config.set_str(
            "gpg.ssh.allowedSignersFile",
            &places.signing.join("allowed_signers").to_string_lossy(),
        )?;
    }
    Ok(())
}

/// Makes an ed25519 key without passphrase; `None` where `ssh-keygen` is not installed.
fn signing_key(folder: &Path) -> Result<Option<PathBuf>, GitTrouble> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let key = folder.join("id_ed25519");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", EMAIL, "-f"])
        .arg(&key)
        .stdin(Stdio::null())
        .output();
    match made {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(output) if !output.status.success() => {
            return Err(GitTrouble::Sign(
                String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ));
        }
        Ok(_) => {}
    }
    let public = fs::read_to_string(key.with_extension("pub"))?;
    fs::write(
        folder.join("allowed_signers"),
        format!("{EMAIL} namespaces=\"git\" {public}"),
    )?;
    Ok(Some(key))
}

/// Commits everything in the work tree to `main`, signed where there is a key.
fn commit_all(
    repository: &Repository,
    key: Option<&Path>,
    message: &str,
) -> Result<Oid, GitTrouble> {
    let mut index = repository.index()?;
    index.add_all(["*"], git2::IndexAddOption::DEFAULT, None)?;
    index.write()?;
    let tree = repository.find_tree(index.write_tree()?)?;
    let author = Signature::now(AUTHOR, EMAIL)?;
    let parent = repository
        .head()
        .ok()
        .and_then(|head| head.peel_to_commit().ok());
    let parents: Vec<_> = parent.iter().collect();
    let Some(key) = key else {
        return Ok(repository.commit(Some("HEAD"), &author, &author, message, &tree, &parents)?);
    };
    let buffer = repository.commit_create_buffer(&author, &author, message, &tree, &parents)?;
    let content = String::from_utf8_lossy(&buffer).into_owned();
    let signature = sign(key, content.as_bytes())?;
    let commit = repository.commit_signed(&content, signature.trim_end(), None)?;
    repository.reference("refs/heads/main", commit, true, "commit")?;
    Ok(commit)
}

fn sign(key: &Path, content: &[u8]) -> Result<String, GitTrouble> {
    let mut child = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "git", "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(content)?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(GitTrouble::Sign(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The commit that the remote's `main` stands at.
#[cfg(test)]
pub(crate) fn tip(remote: &Path) -> Result<Oid, git2::Error> {
    Repository::open_bare(remote)?.refname_to_id("refs/heads/main")
}

/// Somebody else pushes a commit to the remote. Returns its id.
pub(crate) fn push_from_elsewhere(remote: &Path) -> Result<Oid, git2::Error> {
    let repository = Repository::open_bare(remote)?;
    let parent = repository.find_commit(repository.refname_to_id("refs/heads/main")?)?;
    let mut tree = repository.treebuilder(Some(&parent.tree()?))?;
    let note = repository.blob(format!("Somebody was here after {}.\n", parent.id()).as_bytes())?;
    tree.insert("NOTES.md", note, 0o100_644)?;
    let tree = repository.find_tree(tree.write()?)?;
    let author = Signature::now("Other Keeper", "other@sandbox.invalid")?;
    repository.commit(
        Some("refs/heads/main"),
        &author,
        &author,
        "notes: says who was here\n",
        &tree,
        &[&parent],
    )
}

/// Takes such a commit back, if nothing stands on it.
pub(crate) fn take_back(remote: &Path, pushed: Oid) -> Result<(), git2::Error> {
    let repository = Repository::open_bare(remote)?;
    if repository.refname_to_id("refs/heads/main")? == pushed {
        let parent = repository.find_commit(pushed)?.parent_id(0)?;
        repository.reference("refs/heads/main", parent, true, "taken back")?;
    }
    Ok(())
}

/// Makes the remote refuse pushes, or accept them again.
///
/// `git push` meets the hook. libgit2 runs no hooks on a local remote, so the branch is locked for it as well.
pub(crate) fn refuse_pushes(remote: &Path, refuse: bool) -> Result<(), std::io::Error> {
    let hook = remote.join("hooks/pre-receive");
    let lock = remote.join("refs/heads/main.lock");
    if refuse {
        fs::create_dir_all(remote.join("hooks"))?;
        fs::write(
            &hook,
            "#!/bin/sh\necho 'main is protected: a change goes through review' >&2\n\
             exit 1\n",
        )?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o700))?;
        fs::write(&lock, "")?;
    } else {
        for file in [hook, lock] {
            remove_if_there(&file)?;
        }
    }
    Ok(())
}

/// Takes the remote away from everybody, or brings it back.
pub(crate) fn hide(remote: &Path, hidden: bool) -> Result<(), std::io::Error> {
    let away = remote.with_extension("git.unreachable");
    let (from, to) = if hidden {
        (remote, away.as_path())
    } else {
        (away.as_path(), remote)
    };
    match fs::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(crate) fn remove_if_there(file: &Path) -> Result<(), std::io::Error> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn cast(places: &Places) -> Cast {
        Cast {
            node: "k3s2".into(),
            control_plane: "k3s1".into(),
            node_ip: Ipv4Addr::new(127, 9, 9, 2),
            control_plane_ip: Ipv4Addr::new(127, 9, 9, 1),
            cluster_uid: super::super::make::uid(),
            remote: places.remote.to_string_lossy().into_owned(),
            outside: None,
        }
    }

    #[test]
    fn the_entry_is_commented_and_the_commit_is_signed_and_pushed() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::of(dir.path());
        let commit = create(&places, &cast(&places)).unwrap();
        assert_eq!(tip(&places.remote).unwrap(), commit);
        let text = fs::read_to_string(places.checkout.join(tree::STORAGE)).unwrap();
        assert!(text.contains("\n  # - ../k3s2-node-config/\n"), "{text}");
        assert!(text.contains("\n  - ../k3s1-node-config/\n"), "{text}");
        let repository = Repository::open(&places.checkout).unwrap();
        assert!(repository.statuses(None).unwrap().is_empty());
        if places.signing.join("id_ed25519").exists() {
            assert!(repository.extract_signature(&commit, None).is_ok());
        }
    }

    #[test]
    fn a_push_from_elsewhere_can_be_taken_back_until_somebody_builds_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::of(dir.path());
        let first = create(&places, &cast(&places)).unwrap();
        let moved = push_from_elsewhere(&places.remote).unwrap();
        assert_eq!(tip(&places.remote).unwrap(), moved);
        take_back(&places.remote, moved).unwrap();
        assert_eq!(tip(&places.remote).unwrap(), first);
    }
}
