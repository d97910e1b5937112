//! One file is committed, and nothing else happens; and what a crash leaves behind is seen.

use std::path::Path;

use checks::git::{FileStatus, Transport};

use super::super::commit::{self, Signature};
use super::super::{Looked, Progress, Wanted, progress, push, rebase, write};
use super::{BEFORE, ENTRY, FILE, World};

#[tokio::test]
async fn only_our_file_is_committed_and_other_changes_stay() {
    let world = World::new();
    world.write("work", "README.md", "staged\n");
    world.git("work", &["add", "README.md"]);
    world.write("work", "README.md", "changed again\n");
    world.write("work", "new.txt", "untracked\n");
    world.write("work", "staged.txt", "new and staged\n");
    world.git("work", &["add", "staged.txt"]);
    let before = world.status();

    let prepared = world.committed().await.unwrap();
    assert_eq!(world.status(), before);
    assert_eq!(world.id("work", "HEAD"), prepared.id);
    assert_eq!(world.id("work", "HEAD~1"), prepared.parent);
    assert_eq!(
        world.git("work", &["show", "--format=", "--numstat", "HEAD"]),
        format!("1\t1\t{FILE}")
    );
    assert_eq!(
        world.git("work", &["diff", "--cached", "--name-only"]),
        "README.md\nstaged.txt"
    );
    assert_eq!(
        world.git("work", &["log", "-1", "--format=%an <%ae> %cn"]),
        "Ada <ada@example.org> Ada"
    );
    assert_eq!(
        world.git("work", &["log", "-1", "--format=%B"]),
        "Activate k3s2\n\nThe node joins.\n\nOnboarding-Run: run-1\n".trim_end()
    );
    assert!(
        world
            .git("work", &["reflog", "-1", "main"])
            .contains("onboarding: Activate k3s2")
    );
    assert_eq!(prepared.signature, Signature::Unsigned);
    world.git("work", &["fsck", "--strict"]);
}

#[tokio::test]
async fn line_ends_are_converted_as_git_add_would() {
    let world = World::with(BEFORE);
    world.git("work", &["config", "core.autocrlf", "true"]);
    world.git("work", &["rm", "--quiet", "--cached", "-r", "."]);
    world.git("work", &["reset", "--quiet", "--hard"]);
    assert!(world.read(FILE).contains("\r\n"));
    world.committed().await.unwrap();
    assert_eq!(world.status(), "");
    assert!(world.read(FILE).contains("\r\n"));
    assert_eq!(
        world.git("work", &["show", "--format=", "--numstat", "HEAD"]),
        format!("1\t1\t{FILE}")
    );
}

#[tokio::test]
async fn a_file_that_keeps_crlf_in_the_store_keeps_it() {
    let world = World::with(&BEFORE.replace('\n', "\r\n"));
    world.committed().await.unwrap();
    assert_eq!(world.status(), "");
    assert_eq!(
        world.git("work", &["show", "--format=", "--numstat", "HEAD"]),
        format!("1\t1\t{FILE}")
    );
}

#[tokio::test]
async fn what_must_not_be_committed_is_refused_by_name() {
    let world = World::new();
    let repository = world.repository();
    let edit = world.edit();
    let proposal = world.proposal(&edit);
    let reason = async || {
        commit::prepare(&repository, &proposal)
            .await
            .unwrap_err()
            .reason()
    };

    assert_eq!(reason().await, "NothingToCommit");
    write::write(&repository, &edit).unwrap();
    world.git("work", &["config", "--unset", "user.name"]);
    assert_eq!(reason().await, "NoIdentity");
    world.identify("work", "Ada");
    world.git("work", &["add", FILE]);
    assert_eq!(reason().await, "FileStaged");
    world.git("work", &["reset", "--quiet"]);
    world.git("work", &["checkout", "--quiet", "--detach"]);
    assert_eq!(reason().await, "DetachedHead");
    world.git("work", &["switch", "--quiet", "main"]);
    let demanding = commit::Proposal {
        require_signed: true,
        ..proposal.clone()
    };
    let error = commit::prepare(&repository, &demanding).await.unwrap_err();
    assert_eq!(error.reason(), "Unsigned");
    assert_eq!(world.id("work", "HEAD"), world.on_remote());
}

#[tokio::test]
async fn a_branch_that_moved_meanwhile_is_not_moved() {
    let world = World::new();
    let repository = world.repository();
    let edit = world.edit();
    write::write(&repository, &edit).unwrap();
    let prepared = commit::prepare(&repository, &world.proposal(&edit))
        .await
        .unwrap();
    world.git(
        "work",
        &["commit", "--quiet", "--allow-empty", "--message", "faster"],
    );
    let head = world.id("work", "HEAD");
    assert_eq!(
        commit::land(&repository, &prepared).unwrap_err().reason(),
        "BranchMoved"
    );
    assert_eq!(world.id("work", "HEAD"), head);
}

#[tokio::test]
async fn a_locked_index_stops_it_before_anything_moved() {
    let world = World::new();
    let repository = world.repository();
    let edit = world.edit();
    write::write(&repository, &edit).unwrap();
    let prepared = commit::prepare(&repository, &world.proposal(&edit))
        .await
        .unwrap();
    world.write("work", ".git/index.lock", "");
    assert_eq!(
        commit::land(&repository, &prepared).unwrap_err().reason(),
        "IndexLocked"
    );
    assert_eq!(repository.head().unwrap(), prepared.parent);
}

#[tokio::test]
async fn every_step_that_a_run_died_after_is_seen() {
    let world = World::new();
    let repository = world.repository();
    let Progress::Untouched(edit) = world.progress().unwrap() else {
        panic!("nothing was done yet")
    };

    write::write(&repository, &edit).unwrap();
    assert_eq!(world.progress().unwrap(), Progress::Edited(edit.clone()));

    let prepared = commit::prepare(&repository, &world.proposal(&edit))
        .await
        .unwrap();
    assert_eq!(
        world.progress().unwrap(),
        Progress::Edited(edit),
        "nothing points to it yet"
    );

    // Dies after the branch moved and before the index was written.
    world.git(
        "work",
        &["update-ref", "refs/heads/main", &prepared.id.to_string()],
    );
    assert_eq!(
        repository.file_status(Path::new(FILE)).unwrap(),
        FileStatus::Staged
    );
    assert_eq!(world.progress().unwrap(), Progress::Committed(prepared.id));
    commit::land(&repository, &prepared).unwrap();
    assert_eq!(
        repository.file_status(Path::new(FILE)).unwrap(),
        FileStatus::Clean
    );
    commit::land(&repository, &prepared).unwrap();
    assert_eq!(world.progress().unwrap(), Progress::Committed(prepared.id));

    world.push(Transport::Auto, &prepared).await.unwrap();
    assert_eq!(world.progress().unwrap(), Progress::Pushed(prepared.id));
}

#[tokio::test]
async fn other_changes_of_the_file_are_not_taken_for_ours() {
    let world = World::new();
    let edit = world.edit();
    let mut more = edit.after.clone();
    more.extend_from_slice(b"namePrefix: x\n");
    std::fs::write(world.path("work").join(FILE), more).unwrap();
    assert_eq!(world.progress().unwrap_err().reason(), "FileModified");
}

#[tokio::test]
async fn the_change_in_a_commit_of_somebody_else_is_not_ours_to_push() {
    let world = World::new();
    write::write(&world.repository(), &world.edit()).unwrap();
    world.git(
        "work",
        &["commit", "--quiet", "--all", "--message", "by hand"],
    );
    let error = world.progress().unwrap_err();
    assert_eq!(error.reason(), "UnpushedCommits");
    assert!(error.to_string().contains("by hand (Ada)"), "{error}");
    world.git("work", &["push", "--quiet"]);
    assert_eq!(
        world.progress().unwrap(),
        Progress::Pushed(world.id("work", "HEAD"))
    );
}

#[tokio::test]
async fn a_deactivation_goes_the_same_way_back_to_the_same_bytes() {
    let world = World::new();
    let repository = world.repository();
    let spelling = world.edit().spelling;
    let prepared = world.committed().await.unwrap();
    world.push(Transport::Auto, &prepared).await.unwrap();
    let looked = Looked {
        file: Path::new(FILE),
        entry: ENTRY,
        wanted: Wanted::Commented {
            spelling: Some(spelling),
        },
        run: "run-2",
        commit: None,
    };
    let Progress::Untouched(edit) = progress(&repository, &world.remote(), &looked).unwrap() else {
        panic!("it is active");
    };
    write::write(&repository, &edit).unwrap();
    let prepared = commit::prepare(&repository, &world.proposal(&edit))
        .await
        .unwrap();
    commit::land(&repository, &prepared).unwrap();
    world.push(Transport::Auto, &prepared).await.unwrap();
    assert_eq!(
        (world.read(FILE), world.status()),
        (BEFORE.to_owned(), String::new())
    );
    assert_eq!(world.git("work", &["diff", "HEAD~2", "HEAD"]), "");
    // The edit itself can be undone, too.
    write::write(&repository, &edit.undone()).unwrap();
    assert_eq!(world.status(), format!(" M {FILE}"));
}

#[test]
fn every_step_may_be_awaited_from_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    let world = World::new();
    let (repository, remote, edit) = (world.repository(), world.remote(), world.edit());
    let proposal = world.proposal(&edit);
    let id = repository.head().unwrap();
    is_send(&commit::prepare(&repository, &proposal));
    is_send(&push::push(&repository, &remote, Transport::Auto, id, id));
    is_send(&rebase::take_back(
        &repository,
        &remote,
        Transport::Auto,
        Path::new(FILE),
        id,
    ));
    let change = rebase::Change {
        file: Path::new(FILE),
        entry: ENTRY,
        wanted: Wanted::Active,
        message: "",
        require_signed: false,
    };
    is_send(&rebase::rebase_once(
        &repository,
        &remote,
        Transport::Auto,
        &change,
        id,
    ));
}
