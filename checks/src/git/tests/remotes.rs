//! The remote: followed, asked, ahead or behind, out of reach.

use std::time::Duration;

use super::super::{Distance, Oid, Repository, Transport};
use super::World;

fn oid(text: &str) -> Oid {
    Oid::from_str(text).unwrap()
}

#[tokio::test]
async fn the_remote_itself_says_where_its_branch_is() {
    let world = World::new();
    let repository = world.repository();
    let remote = repository.followed_remote().unwrap();
    assert_eq!(
        (remote.name.as_str(), remote.branch.as_str()),
        ("origin", "main")
    );
    assert!(remote.is(&format!("file://{}", world.path("remote.git").display())));
    assert_eq!(
        remote.require("git@example.org:me/x").unwrap_err().reason(),
        "RemoteDiffers"
    );

    // Somebody else pushes; our memory of the branch is old and the remote's word is new.
    world.git(".", &["clone", "--quiet", "remote.git", "other"]);
    world.git("other", &["config", "user.name", "Eve"]);
    world.git("other", &["config", "user.email", "eve@example.org"]);
    world.git(
        "other",
        &["commit", "--quiet", "--allow-empty", "--message", "theirs"],
    );
    world.git("other", &["push", "--quiet"]);
    let theirs = oid(&world.git("other", &["rev-parse", "HEAD"]));
    for transport in Transport::ALL {
        assert_eq!(
            repository.remote_tip(&remote, transport).await.unwrap(),
            Some(theirs),
            "{transport}"
        );
    }
    assert!(!repository.knows(theirs).unwrap());
    assert_eq!(
        repository.tracking_tip(&remote).unwrap(),
        Some(repository.head().unwrap())
    );
    world.git("work", &["fetch", "--quiet"]);
    assert_eq!(
        repository.distance_from(theirs).unwrap(),
        Distance {
            ahead: 0,
            behind: 1
        }
    );
}

#[tokio::test]
async fn a_branch_that_the_remote_does_not_have_is_none() {
    let world = World::new();
    world.git("work", &["switch", "--quiet", "--create", "side"]);
    let repository = world.repository();
    let remote = repository.followed_remote().unwrap();
    assert_eq!(
        (remote.name.as_str(), remote.branch.as_str()),
        ("origin", "side")
    );
    for transport in Transport::ALL {
        assert_eq!(
            repository.remote_tip(&remote, transport).await.unwrap(),
            None,
            "{transport}"
        );
    }
    // Everything reachable from the remote's branches counts as pushed.
    assert_eq!(repository.unpushed(&remote).unwrap(), []);
}

#[test]
fn unpushed_commits_are_listed_with_their_authors() {
    let world = World::new();
    let repository = world.repository();
    let remote = repository.followed_remote().unwrap();
    repository.require_pushed(&remote, &[]).unwrap();
    let first = oid(&world.commit("first"));
    let second = oid(&world.commit("second"));
    let commits = repository.unpushed(&remote).unwrap();
    assert_eq!(
        commits.iter().map(|commit| commit.id).collect::<Vec<_>>(),
        [second, first]
    );
    let error = repository.require_pushed(&remote, &[second]).unwrap_err();
    assert_eq!(error.reason(), "UnpushedCommits");
    assert!(error.to_string().contains("first (Ada)"), "{error}");
    assert!(!error.to_string().contains("second"), "{error}");
    assert!(repository.contains(second, first).unwrap());
    assert!(!repository.contains(first, second).unwrap());
}

#[tokio::test]
async fn absent_and_unreachable_are_two_answers() {
    let world = World::new();
    let repository = world.repository().with_limit(Duration::from_secs(10));
    for (url, reason) in [
        (world.path("none.git").display().to_string(), "RemoteAbsent"),
        // Port 1 of loopback: nobody listens there.
        ("git://127.0.0.1:1/x".to_owned(), "RemoteUnreachable"),
    ] {
        world.git("work", &["remote", "set-url", "origin", &url]);
        let remote = repository.followed_remote().unwrap();
        for transport in [Transport::Git, Transport::Libgit2] {
            let error = repository.remote_tip(&remote, transport).await.unwrap_err();
            assert_eq!(error.reason(), reason, "{transport}: {error}");
        }
    }
    world.git("work", &["remote", "remove", "origin"]);
    assert_eq!(
        repository.followed_remote().unwrap_err().reason(),
        "NoRemote"
    );
}

#[tokio::test]
async fn a_remote_that_takes_the_connection_and_says_nothing_is_given_up() {
    let world = World::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("git://{}/x", silent.local_addr().unwrap());
    world.git("work", &["remote", "set-url", "origin", &url]);
    let repository = world.repository().with_limit(Duration::from_millis(600));
    let remote = repository.followed_remote().unwrap();
    for transport in [Transport::Git, Transport::Libgit2] {
        let error = repository.remote_tip(&remote, transport).await.unwrap_err();
        assert_eq!(error.reason(), "RemoteTimedOut", "{transport}: {error}");
    }
    // libgit2 waits on a thread of its own, which ends with the connection.
    drop(silent);
}

#[tokio::test]
async fn without_git_an_ssh_address_needs_what_was_not_built_in() {
    let world = World::new();
    world.git(
        "work",
        &["remote", "set-url", "origin", "git@127.0.0.1:me/x.git"],
    );
    let environment = world.environment().with("PATH", "/nonexistent");
    let repository = Repository::open_in(&world.path("work"), environment).unwrap();
    let remote = repository.followed_remote().unwrap();
    assert_eq!(
        repository
            .remote_tip(&remote, Transport::Git)
            .await
            .unwrap_err()
            .reason(),
        "GitAbsent"
    );
    if cfg!(not(feature = "libgit2-remote")) {
        let error = repository
            .remote_tip(&remote, Transport::Auto)
            .await
            .unwrap_err();
        assert_eq!(error.reason(), "TransportAbsent");
        assert!(error.hint().contains("libgit2-remote"), "{}", error.hint());
    }
}

#[tokio::test]
async fn ssh_that_would_ask_fails_instead() {
    let world = World::new();
    // An ssh that would want an answer from a person: it must have been told not to ask.
    let ssh = world.path("ssh");
    let script = "#!/bin/sh\ncase \"$*\" in *BatchMode=yes*) echo 'me@host: Permission denied (publickey).' >&2; exit 255;; esac\nsleep 60\n";
    std::fs::create_dir(&ssh).unwrap();
    std::fs::write(ssh.join("ssh"), script).unwrap();
    std::fs::set_permissions(
        ssh.join("ssh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let path = std::env::join_paths(
        [ssh]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    world.git(
        "work",
        &["remote", "set-url", "origin", "ssh://me@127.0.0.1/x.git"],
    );
    let environment = world.environment().with("PATH", path.unwrap());
    let repository = Repository::open_in(&world.path("work"), environment)
        .unwrap()
        .with_limit(Duration::from_secs(20));
    let remote = repository.followed_remote().unwrap();
    let error = repository
        .remote_tip(&remote, Transport::Git)
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "AuthenticationFailed", "{error}");
}
