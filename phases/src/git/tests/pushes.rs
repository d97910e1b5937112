//! The push arrives, or one of three things has happened.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use checks::git::Transport;

use super::World;

const BOTH: [Transport; 2] = [Transport::Git, Transport::Libgit2];

#[tokio::test]
async fn it_arrives_and_our_memory_of_the_branch_moves_with_it() {
    for transport in BOTH {
        let world = World::new();
        let prepared = world.committed().await.unwrap();
        let pushed = world.push(transport, &prepared).await.unwrap();
        assert_eq!(
            (pushed.old, pushed.new),
            (prepared.parent, prepared.id),
            "{transport}"
        );
        assert_eq!(world.on_remote(), prepared.id);
        assert_eq!(world.id("work", "origin/main"), prepared.id, "{transport}");
        world.push(transport, &prepared).await.unwrap();
    }
}

#[tokio::test]
async fn commits_that_we_do_not_have_are_not_overwritten() {
    for transport in BOTH {
        let world = World::new();
        let prepared = world.committed().await.unwrap();
        let theirs = world.somebody_pushes("README.md", "theirs\n");
        let error = world.push(transport, &prepared).await.unwrap_err();
        assert_eq!(error.reason(), "NonFastForward", "{transport}: {error}");
        assert_eq!(world.on_remote(), theirs);
        // Nor once we have fetched them.
        world.git("work", &["fetch", "--quiet"]);
        let error = world.push(transport, &prepared).await.unwrap_err();
        assert_eq!(error.reason(), "NonFastForward", "{transport}: {error}");
        assert_eq!(world.on_remote(), theirs);
    }
}

#[tokio::test]
async fn a_commit_that_was_taken_from_the_remote_is_not_brought_back() {
    for transport in BOTH {
        let world = World::new();
        world.somebody_pushes("README.md", "a mistake\n");
        world.git("work", &["pull", "--quiet"]);
        let prepared = world.committed().await.unwrap();
        world.git(
            "other",
            &["push", "--quiet", "--force", "origin", "HEAD~1:main"],
        );
        let rewound = world.on_remote();
        let error = world.push(transport, &prepared).await.unwrap_err();
        assert_eq!(error.reason(), "NonFastForward", "{transport}: {error}");
        assert_eq!(world.on_remote(), rewound);
    }
}

#[tokio::test]
async fn an_expected_commit_that_is_no_ancestor_stops_it_here() {
    let world = World::new();
    let prepared = world.committed().await.unwrap();
    let aside = world.somebody_pushes("README.md", "theirs\n");
    world.git("work", &["fetch", "--quiet"]);
    let backwards = super::Prepared {
        parent: aside,
        ..prepared
    };
    let error = world.push(Transport::Git, &backwards).await.unwrap_err();
    assert_eq!(error.reason(), "NotADescendant");
    assert_eq!(world.on_remote(), aside);
}

#[tokio::test]
async fn an_unreachable_remote_is_an_answer_of_its_own() {
    for transport in BOTH {
        let world = World::new();
        let prepared = world.committed().await.unwrap();
        // Port 1 of loopback: nobody listens there.
        world.git(
            "work",
            &[
                "remote",
                "set-url",
                "origin",
                "git://127.0.0.1:1/remote.git",
            ],
        );
        let error = world.push(transport, &prepared).await.unwrap_err();
        assert_eq!(error.reason(), "RemoteUnreachable", "{transport}: {error}");
    }
}

/// `git daemon` on loopback, ended with the story however it ends.
struct Daemon {
    child: Child,
    url: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    /// Serves the world's folder; none, with one clear line, where git daemon is not installed.
    async fn serve(world: &World) -> Option<Self> {
        let program = format!("{}/git-daemon", world.git(".", &["--exec-path"]));
        if !std::path::Path::new(&program).exists() {
            eprintln!(
                "git daemon is not installed: a server's refusal is judged by its words only"
            );
            return None;
        }
        // The port may be taken between asking for it and using it.
        for _ in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let child = Command::new(&program)
                .args([
                    "--listen=127.0.0.1",
                    "--export-all",
                    "--enable=receive-pack",
                    "--reuseaddr",
                ])
                .arg(format!("--port={port}"))
                .arg(format!("--base-path={}", world.path("").display()))
                .env("HOME", world.path("home"))
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut daemon = Self {
                child,
                url: format!("git://127.0.0.1:{port}/remote.git"),
            };
            for _ in 0..200 {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Some(daemon);
                }
                if daemon.child.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        panic!("git daemon did not listen");
    }
}

fn hook(world: &World, name: &str, script: &str) {
    let path = world.path("remote.git/hooks").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_server_that_refuses_says_why_and_then_accepts() {
    for transport in BOTH {
        let world = World::new();
        let prepared = world.committed().await.unwrap();
        let Some(daemon) = Daemon::serve(&world).await else {
            return;
        };
        world.git("work", &["remote", "set-url", "origin", &daemon.url]);
        for name in ["pre-receive", "update"] {
            hook(
                &world,
                name,
                "echo 'main is protected: open a pull request' >&2\nexit 1",
            );
            let error = world.push(transport, &prepared).await.unwrap_err();
            assert_eq!(error.reason(), "PushRejected", "{transport}: {error}");
            let words = "main is protected: open a pull request";
            assert!(error.to_string().contains(words), "{transport}: {error}");
            assert_eq!(world.on_remote(), prepared.parent);
            std::fs::remove_file(world.path("remote.git/hooks").join(name)).unwrap();
        }
        world.push(transport, &prepared).await.unwrap();
        assert_eq!(world.on_remote(), prepared.id);
    }
}

#[tokio::test]
async fn a_server_without_that_repository_says_absent() {
    for transport in BOTH {
        let world = World::new();
        let prepared = world.committed().await.unwrap();
        let Some(daemon) = Daemon::serve(&world).await else {
            return;
        };
        let url = daemon.url.replace("remote.git", "none.git");
        world.git("work", &["remote", "set-url", "origin", &url]);
        let error = world.push(transport, &prepared).await.unwrap_err();
        assert_eq!(error.reason(), "RemoteAbsent", "{transport}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_does_not_keep_it_is_found_out() {
    let world = World::new();
    let prepared = world.committed().await.unwrap();
    let Some(daemon) = Daemon::serve(&world).await else {
        return;
    };
    world.git("work", &["remote", "set-url", "origin", &daemon.url]);
    hook(
        &world,
        "post-receive",
        &format!("git update-ref refs/heads/main {}", prepared.parent),
    );
    let error = world.push(Transport::Git, &prepared).await.unwrap_err();
    assert_eq!(error.reason(), "PushNotArrived", "{error}");
}

#[tokio::test]
async fn a_hook_of_ours_that_forbids_it_is_a_failure_too() {
    let world = World::new();
    let prepared = world.committed().await.unwrap();
    let hook = world.path("work/.git/hooks/pre-push");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho 'not today' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = world.push(Transport::Git, &prepared).await.unwrap_err();
    assert_eq!(error.reason(), "PushFailed");
    assert!(error.to_string().contains("not today"), "{error}");
    assert_eq!(world.on_remote(), prepared.parent);
}
