//! The clone: found or not, on a branch or not, its file clean or not, its identity and signing.

use std::path::Path;

use super::super::{Environment, FileStatus, Repository, SignatureFormat, SigningKey};
use super::{FILE, World};

#[test]
fn a_folder_without_a_repository_is_not_one() {
    let folder = tempfile::tempdir().unwrap();
    // The temporary folder itself may not lie in a repository for this story.
    let error = Repository::open(folder.path()).unwrap_err();
    assert_eq!(error.reason(), "NoRepository");
    assert!(error.hint().contains("--repo"), "{}", error.hint());
}

#[test]
fn a_bare_repository_has_nothing_to_edit() {
    let world = World::new();
    let error = Repository::open_in(&world.path("remote.git"), world.environment()).unwrap_err();
    assert_eq!(error.reason(), "BareRepository");
}

#[test]
fn it_opens_from_a_folder_inside() {
    let world = World::new();
    let repository =
        Repository::open_in(&world.path("work/infrastructure"), world.environment()).unwrap();
    assert_eq!(
        repository.work_dir(),
        world.path("work").canonicalize().unwrap()
    );
}

#[test]
fn the_branch_is_demanded_by_name() {
    let world = World::new();
    let repository = world.repository();
    assert_eq!(repository.branch().unwrap(), "main");
    repository.require_branch("main").unwrap();
    assert_eq!(
        repository
            .require_branch("production")
            .unwrap_err()
            .reason(),
        "WrongBranch"
    );
    world.git("work", &["checkout", "--quiet", "--detach"]);
    assert_eq!(repository.branch().unwrap_err().reason(), "DetachedHead");
}

#[test]
fn a_repository_without_commits_says_so() {
    let world = World::new();
    world.git(".", &["init", "--quiet", "fresh"]);
    let repository = Repository::open_in(&world.path("fresh"), world.environment()).unwrap();
    assert_eq!(repository.branch().unwrap_err().reason(), "NoCommits");
    assert_eq!(repository.head().unwrap_err().reason(), "NoCommits");
}

#[test]
fn an_operation_in_progress_is_named() {
    let world = World::new();
    let repository = world.repository();
    repository.require_calm().unwrap();
    world.git("work", &["switch", "--quiet", "--create", "side"]);
    world.write("x", "1");
    let side = world.commit("x one way");
    world.git("work", &["switch", "--quiet", "main"]);
    world.write("x", "2");
    world.commit("x the other way");
    let merge = std::panic::catch_unwind(|| world.git("work", &["merge", "--quiet", &side]));
    assert!(merge.is_err(), "the merge was to conflict");
    let error = repository.require_calm().unwrap_err();
    assert_eq!(error.reason(), "OperationInProgress");
    assert!(error.to_string().contains("merge"), "{error}");
    assert_eq!(
        repository.file_status(Path::new("x")).unwrap(),
        FileStatus::Conflicted
    );
}

#[test]
fn a_file_is_clean_modified_staged_untracked_or_absent() {
    let world = World::new();
    let repository = world.repository();
    let file = Path::new(FILE);
    assert_eq!(repository.file_status(file).unwrap(), FileStatus::Clean);
    repository.require_clean(file).unwrap();
    world.write(FILE, "resources: []\n");
    assert_eq!(
        repository.require_clean(file).unwrap_err().reason(),
        "FileModified"
    );
    world.git("work", &["add", FILE]);
    assert_eq!(
        repository.require_clean(file).unwrap_err().reason(),
        "FileStaged"
    );
    world.write("new.yaml", "a: 1\n");
    assert_eq!(
        repository
            .require_clean(Path::new("new.yaml"))
            .unwrap_err()
            .reason(),
        "FileUntracked"
    );
    assert_eq!(
        repository
            .require_clean(Path::new("none.yaml"))
            .unwrap_err()
            .reason(),
        "FileAbsent"
    );
}

#[test]
fn the_files_of_a_commit_and_of_the_work_tree_are_read_apart() {
    let world = World::new();
    let repository = world.repository();
    world.write(FILE, "changed: true\n");
    let head = repository.head().unwrap();
    let committed = repository.file_at(head, Path::new(FILE)).unwrap().unwrap();
    assert!(committed.starts_with(b"resources:"));
    assert_eq!(
        repository.work_file(Path::new(FILE)).unwrap(),
        b"changed: true\n"
    );
    assert_eq!(repository.file_at(head, Path::new("none")).unwrap(), None);
}

#[test]
fn paths_and_links_that_lead_outside_are_refused() {
    let world = World::new();
    let repository = world.repository();
    std::fs::write(world.path("secret"), "x").unwrap();
    std::os::unix::fs::symlink(world.path("secret"), world.path("work/link")).unwrap();
    for outside in ["link", "../secret", "/etc/passwd", ".git/config"] {
        let error = repository.work_file(Path::new(outside)).unwrap_err();
        assert_eq!(error.reason(), "OutsideRepository", "{outside}");
    }
}

#[test]
fn an_identity_is_name_and_address() {
    let world = World::new();
    let repository = world.repository();
    assert_eq!(repository.identity().unwrap().name, "Ada");
    world.git("work", &["config", "--unset", "user.email"]);
    let error = repository.identity().unwrap_err();
    assert_eq!(error.reason(), "NoIdentity");
    assert!(error.to_string().contains("user.email"), "{error}");
}

#[test]
fn configuration_comes_from_the_environment_that_was_given() {
    let world = World::new();
    let other = world.path("other");
    std::fs::write(&other, "[user]\n\temail = eve@example.org\n").unwrap();
    world.git("work", &["config", "--unset", "user.email"]);
    let environment = world.environment().with("GIT_CONFIG_GLOBAL", &other);
    let repository = Repository::open_in(&world.path("work"), environment).unwrap();
    assert_eq!(repository.identity().unwrap().email, "eve@example.org");
    std::fs::write(
        world.path("home/.gitconfig"),
        "[user]\n\temail = home@example.org\n",
    )
    .unwrap();
    assert_eq!(
        world.repository().identity().unwrap().email,
        "home@example.org"
    );
}

#[test]
fn signing_is_read_as_git_reads_it() {
    let world = World::new();
    let repository = world.repository();
    let unset = repository.signing().unwrap();
    assert!(!unset.wanted);
    assert_eq!(
        (unset.format, unset.key.clone()),
        (SignatureFormat::OpenPgp, SigningKey::OfCommitter)
    );
    assert!(!unset.has_chosen_key());

    for (key, value) in [
        ("commit.gpgsign", "true"),
        ("gpg.format", "ssh"),
        ("user.signingkey", "~/.ssh/id.pub"),
    ] {
        world.git("work", &["config", key, value]);
    }
    let ssh = repository.signing().unwrap();
    assert!(ssh.wanted);
    assert_eq!(ssh.program, "ssh-keygen");
    assert_eq!(ssh.key, SigningKey::File(world.path("home/.ssh/id.pub")));

    world.git(
        "work",
        &[
            "config",
            "user.signingkey",
            "key::ecdsa-sha2-nistp256 AAAAsomething me@host",
        ],
    );
    let literal = repository.signing().unwrap();
    assert_eq!(
        literal.description(),
        "ssh, key ecdsa-sha2-nistp256 …omething of the agent"
    );

    world.git("work", &["config", "gpg.format", "pigeon"]);
    assert_eq!(
        repository.signing().unwrap_err().reason(),
        "SigningUnusable"
    );
}

#[test]
fn the_inherited_environment_is_the_default() {
    let world = World::new();
    let repository = Repository::open_in(&world.path("work"), Environment::default()).unwrap();
    assert_eq!(repository.identity().unwrap().name, "Ada");
}
