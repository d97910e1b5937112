//! Somebody else was faster: once, the commit is made again; or it is taken back.

use std::path::Path;

use checks::git::{Oid, Transport};

use super::super::edit::Wanted;
use super::super::rebase::{self, Change, Rebased};
use super::{BEFORE, ChangeError, ENTRY, FILE, World};

async fn rebase(world: &World, transport: Transport, own: Oid) -> Result<Rebased, ChangeError> {
    let message = super::commit::message("Activate k3s2", "The node joins.", "run-1");
    let change = Change {
        file: Path::new(FILE),
        entry: ENTRY,
        wanted: Wanted::Active,
        message: &message,
        require_signed: false,
    };
    rebase::rebase_once(
        &world.repository(),
        &world.remote(),
        transport,
        &change,
        own,
    )
    .await
}

#[tokio::test]
async fn the_commit_is_made_again_on_theirs_and_pushed() {
    for transport in [Transport::Git, Transport::Libgit2] {
        let world = World::new();
        world.write("work", "mine.txt", "staged by me\n");
        world.git("work", &["add", "mine.txt"]);
        let own = world.committed().await.unwrap();
        world.somebody_pushes(
            FILE,
            &BEFORE.replace(
                "kind: Kustomization\n",
                "kind: Kustomization\nnamePrefix: x-\n",
            ),
        );
        world.somebody_pushes("added/by/them.yaml", "a: 1\n");
        let theirs = world.somebody_pushes("README.md", "theirs\n");
        assert_eq!(
            world.push(transport, &own).await.unwrap_err().reason(),
            "NonFastForward"
        );

        let Rebased::Onto { commit, edit } = rebase(&world, transport, own.id).await.unwrap()
        else {
            panic!("theirs has not the change");
        };
        assert_eq!((commit.parent, edit.line), (theirs, 10));
        assert_eq!(world.id("work", "HEAD"), commit.id);
        assert_eq!(world.status(), "A  mine.txt", "{transport}");
        assert_eq!(world.read("README.md"), "theirs\n");
        assert_eq!(world.read("added/by/them.yaml"), "a: 1\n");
        assert!(
            world.read(FILE).contains("namePrefix: x-")
                && world.read(FILE).contains("\n  - ../k3s2-node-config/\n")
        );
        assert_eq!(
            world.git("work", &["show", "--format=", "--numstat", "HEAD"]),
            format!("1\t1\t{FILE}")
        );
        world.push(transport, &commit).await.unwrap();
        assert_eq!(world.on_remote(), commit.id);
    }
}

#[tokio::test]
async fn files_that_they_removed_go_too() {
    let world = World::new();
    let own = world.committed().await.unwrap();
    world.somebody_pushes("x.txt", "x\n");
    world.git("other", &["rm", "--quiet", "README.md"]);
    world.git("other", &["commit", "--quiet", "--message", "without"]);
    world.git("other", &["push", "--quiet"]);
    rebase(&world, Transport::Git, own.id).await.unwrap();
    assert!(!world.path("work/README.md").exists());
    assert_eq!(world.status(), "");
}

#[tokio::test]
async fn a_change_that_they_made_too_needs_no_commit() {
    let world = World::new();
    let own = world.committed().await.unwrap();
    let theirs = world.somebody_pushes(FILE, &BEFORE.replace("  # - ../k3s2", "  - ../k3s2"));
    let rebased = rebase(&world, Transport::Git, own.id).await.unwrap();
    assert_eq!(rebased, Rebased::AlreadyThere { tip: theirs });
    assert_eq!(
        (world.id("work", "HEAD"), world.status()),
        (theirs, String::new())
    );
}

#[tokio::test]
async fn an_entry_that_they_removed_is_a_conflict_that_changes_nothing() {
    let world = World::new();
    let own = world.committed().await.unwrap();
    world.somebody_pushes(FILE, "resources:\n  - ../longhorn/base/\n");
    let error = rebase(&world, Transport::Git, own.id).await.unwrap_err();
    assert_eq!(error.reason(), "RebaseConflict");
    assert!(
        error.to_string().contains("no entry ../k3s2-node-config/"),
        "{error}"
    );
    assert_eq!(
        (world.id("work", "HEAD"), world.status()),
        (own.id, String::new())
    );
}

#[tokio::test]
async fn files_of_the_user_are_not_touched() {
    for (change, status) in [
        ("README.md", " M README.md"),
        ("added.yaml", "?? added.yaml"),
    ] {
        let world = World::new();
        let own = world.committed().await.unwrap();
        world.somebody_pushes(change, "theirs\n");
        world.write("work", change, "mine\n");
        let error = rebase(&world, Transport::Git, own.id).await.unwrap_err();
        assert_eq!(error.reason(), "WorkTreeInTheWay", "{error}");
        assert_eq!(world.read(change), "mine\n");
        assert_eq!(
            (world.id("work", "HEAD"), world.status()),
            (own.id, status.to_owned())
        );
    }
}

#[tokio::test]
async fn history_that_was_rewritten_is_not_followed() {
    let world = World::new();
    world.somebody_pushes("README.md", "theirs\n");
    world.git("work", &["pull", "--quiet"]);
    let own = world.committed().await.unwrap();
    world.git(
        "other",
        &["commit", "--quiet", "--amend", "--message", "rewritten"],
    );
    world.git("other", &["push", "--quiet", "--force"]);
    let error = rebase(&world, Transport::Git, own.id).await.unwrap_err();
    assert_eq!(error.reason(), "HistoryRewritten");
    assert_eq!(world.id("work", "HEAD"), own.id);
}

#[tokio::test]
async fn an_own_commit_that_never_left_is_taken_back() {
    let world = World::new();
    world.write("work", "README.md", "mine\n");
    let own = world.committed().await.unwrap();
    let take_back = async || {
        rebase::take_back(
            &world.repository(),
            &world.remote(),
            Transport::Auto,
            Path::new(FILE),
            own.id,
        )
        .await
    };
    assert_eq!(take_back().await.unwrap(), own.parent);
    assert_eq!(
        (world.id("work", "HEAD"), world.status()),
        (own.parent, " M README.md".to_owned())
    );
    assert_eq!(world.read(FILE), BEFORE);
    assert_eq!(take_back().await.unwrap_err().reason(), "NotNewest");
}

#[tokio::test]
async fn a_commit_that_arrived_is_not_taken_back() {
    let world = World::new();
    let own = world.committed().await.unwrap();
    world.push(Transport::Auto, &own).await.unwrap();
    let error = rebase::take_back(
        &world.repository(),
        &world.remote(),
        Transport::Auto,
        Path::new(FILE),
        own.id,
    )
    .await;
    assert_eq!(error.unwrap_err().reason(), "AlreadyPushed");
    assert_eq!(world.id("work", "HEAD"), own.id);
}

#[tokio::test]
async fn a_commit_of_the_user_below_ours_is_not_left_behind() {
    let world = World::new();
    world.git(
        "work",
        &["commit", "--quiet", "--allow-empty", "--message", "mine"],
    );
    let own = world.committed().await.unwrap();
    world.somebody_pushes("README.md", "theirs\n");
    let error = rebase(&world, Transport::Git, own.id).await.unwrap_err();
    assert_eq!(error.reason(), "UnpushedCommits");
    assert_eq!(world.id("work", "HEAD"), own.id);
}

#[tokio::test]
async fn an_index_that_a_crash_left_behind_is_no_change_of_the_user() {
    let world = World::new();
    let edit = world.edit();
    super::write::write(&world.repository(), &edit).unwrap();
    let own = super::commit::prepare(&world.repository(), &world.proposal(&edit))
        .await
        .unwrap();
    world.git(
        "work",
        &["update-ref", "refs/heads/main", &own.id.to_string()],
    );
    world.somebody_pushes("README.md", "theirs\n");
    rebase(&world, Transport::Git, own.id).await.unwrap();
    assert_eq!(world.status(), "");
}
