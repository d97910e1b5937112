//! Commits are signed as the user's git signs, and git itself agrees.

use super::super::commit::{self, Proposal, Signature};
use super::super::write;
use super::World;

/// Says in one line that a tool is absent; then the story ends early.
fn absent(program: &str) -> bool {
    let absent = checks::git::Environment::inherited()
        .find_program(program)
        .is_none();
    if absent {
        eprintln!("{program} is not installed: what it would verify is not verified here");
    }
    absent
}

fn ssh_key(world: &World, passphrase: &str) {
    let made = world.run(
        "ssh-keygen",
        "home",
        &[
            "-q", "-t", "ed25519", "-N", passphrase, "-C", "ada", "-f", "key",
        ],
    );
    assert!(made.status.success(), "{made:?}");
    let public = std::fs::read_to_string(world.path("home/key.pub")).unwrap();
    std::fs::write(
        world.path("home/allowed"),
        format!("ada@example.org {public}"),
    )
    .unwrap();
    for (name, value) in [
        ("commit.gpgsign", "true"),
        ("gpg.format", "ssh"),
        ("user.signingkey", "~/key"),
        ("gpg.ssh.allowedSignersFile", "~/allowed"),
    ] {
        world.git("work", &["config", name, value]);
    }
}

#[tokio::test]
async fn by_ssh() {
    if absent("ssh-keygen") {
        return;
    }
    let world = World::new();
    ssh_key(&world, "");
    let prepared = world.committed().await.unwrap();
    assert!(
        matches!(&prepared.signature, Signature::Signed(how) if how.starts_with("ssh, key ")),
        "{prepared:?}"
    );
    let verified = world.run("git", "work", &["verify-commit", "HEAD"]);
    let words = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(
        verified.status.success() && words.contains("Good \"git\" signature for ada@example.org"),
        "{words}"
    );
    world.git("work", &["fsck", "--strict"]);

    // A public key file leads to the private one beside it; a demand for signatures signs without commit.gpgsign.
    world.git("work", &["config", "user.signingkey", "~/key.pub"]);
    world.git("work", &["config", "commit.gpgsign", "false"]);
    world.git("work", &["reset", "--quiet", "--hard", "origin/main"]);
    let edit = world.edit();
    write::write(&world.repository(), &edit).unwrap();
    let proposal = Proposal {
        require_signed: true,
        ..world.proposal(&edit)
    };
    let prepared = commit::prepare(&world.repository(), &proposal)
        .await
        .unwrap();
    commit::land(&world.repository(), &prepared).unwrap();
    world.git("work", &["verify-commit", "HEAD"]);
}

#[tokio::test]
async fn by_an_ssh_key_that_only_the_agent_has() {
    if absent("ssh-agent") || absent("ssh-add") {
        return;
    }
    let mut world = World::new();
    ssh_key(&world, "");
    let socket = world.path("home/agent");
    // In the foreground, so that it is our child and ends with this story.
    let agent = std::process::Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let _agent = Ended(agent);
    world.environment = world.environment.clone().with("SSH_AUTH_SOCK", &socket);
    for _ in 0..200 {
        if socket.exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let added = world.run("ssh-add", "home", &["-q", "key"]);
    assert!(added.status.success(), "{added:?}");
    let public = std::fs::read_to_string(world.path("home/key.pub")).unwrap();
    std::fs::remove_file(world.path("home/key")).unwrap();
    for key in [format!("key::{}", public.trim()), public.trim().to_owned()] {
        world.git("work", &["config", "user.signingkey", &key]);
        world.git("work", &["reset", "--quiet", "--hard", "origin/main"]);
        world.committed().await.unwrap();
        world.git("work", &["verify-commit", "HEAD"]);
    }
    world.git("work", &["config", "--unset", "user.signingkey"]);
    world.git(
        "work",
        &["config", "gpg.ssh.defaultKeyCommand", "ssh-add -L"],
    );
    world.git("work", &["reset", "--quiet", "--hard", "origin/main"]);
    world.committed().await.unwrap();
    world.git("work", &["verify-commit", "HEAD"]);
}

struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_key_that_wants_a_passphrase_fails_and_leaves_all_as_it_was() {
    if absent("ssh-keygen") {
        return;
    }
    let world = World::new();
    ssh_key(&world, "secret");
    let error = world.committed().await.unwrap_err();
    assert_eq!(error.reason(), "SigningFailed");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(world.id("work", "HEAD"), world.on_remote());
    world.git("work", &["config", "user.signingkey", "~/none"]);
    world.git("work", &["checkout", "--quiet", "--", "."]);
    assert_eq!(
        world.committed().await.unwrap_err().reason(),
        "SigningFailed"
    );
    world.git(
        "work",
        &["config", "gpg.ssh.program", "no-such-program-here"],
    );
    world.git("work", &["checkout", "--quiet", "--", "."]);
    let error = world.committed().await.unwrap_err();
    assert!(
        error.to_string().contains("no-such-program-here not found"),
        "{error}"
    );
}

/// A gpg home whose agent is ended with the story.
struct GnuPg<'w>(&'w World);

impl Drop for GnuPg<'_> {
    fn drop(&mut self) {
        self.0.run("gpgconf", "home", &["--kill", "gpg-agent"]);
    }
}

#[tokio::test]
async fn by_openpgp() {
    if absent("gpg") || absent("gpgconf") {
        return;
    }
    let world = World::new();
    let home = world.path("home/.gnupg");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let _agent = GnuPg(&world);
    let made = world.run(
        "gpg",
        "home",
        &[
            "--batch",
            "--quiet",
            "--passphrase",
            "",
            "--quick-generate-key",
            "Ada <ada@example.org>",
            "ed25519",
            "sign",
            "never",
        ],
    );
    assert!(made.status.success(), "{made:?}");
    world.git("work", &["config", "commit.gpgsign", "true"]);
    // Without a configured key GnuPG is asked for the committer's; with one, for that.
    for key in [None, Some("ada@example.org")] {
        if let Some(key) = key {
            world.git("work", &["config", "user.signingkey", key]);
        }
        world.git("work", &["reset", "--quiet", "--hard", "origin/main"]);
        let prepared = world.committed().await.unwrap();
        assert!(
            matches!(&prepared.signature, Signature::Signed(how) if how.starts_with("openpgp, key ")),
            "{prepared:?}"
        );
        let verified = world.run("git", "work", &["verify-commit", "HEAD"]);
        let words = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(
            verified.status.success()
                && words.contains("Good signature from \"Ada <ada@example.org>\""),
            "{words}"
        );
    }
    world.git("work", &["config", "user.signingkey", "nobody@example.org"]);
    world.git("work", &["reset", "--quiet", "--hard", "origin/main"]);
    assert_eq!(
        world.committed().await.unwrap_err().reason(),
        "SigningFailed"
    );
}
