//! Garbage in: clones in a state in which no commit may be made for the cluster.

use std::{fs, path::Path};

use reports::{
    folder::StateFolder,
    model::{Outcome, Phase, PhaseState, Report},
    store::Store,
};
use tests::TestEnvironment;

use crate::garbage::Spoiled;

/// A clone in a bad state, and what a run says of it.
struct State {
    name: &'static str,
    spoil: fn(&Spoiled<'_>),
    arguments: &'static [&'static str],
    /// The check or action that fails.
    case: &'static str,
    reason: &'static str,
    /// In message, evidence or hint.
    says: &'static [&'static str],
}

const STATES: &[State] = &[
    State {
        name: "detached",
        spoil: |it| drop(it.git(&["checkout", "-q", "--detach"])),
        arguments: &[],
        case: "gitops::repository",
        reason: "DetachedHead",
        says: &["HEAD is detached", "git switch"],
    },
    State {
        name: "branch",
        spoil: |it| drop(it.git(&["switch", "-q", "-c", "other"])),
        arguments: &[],
        case: "gitops::branch",
        reason: "WrongBranch",
        says: &["other", "main", "git switch main"],
    },
    State {
        name: "remote",
        spoil: |it| {
            let other = it.repo.with_file_name("other.git");
            let made = std::process::Command::new("git")
                .args(["init", "-q", "--bare"])
                .arg(&other)
                .status();
            assert!(made.unwrap().success());
            it.git(&["remote", "set-url", "origin", &other.display().to_string()]);
        },
        arguments: &[],
        case: "gitops::followed_repository",
        reason: "RemoteDiffers",
        says: &["other.git", "remote.git", "git remote set-url"],
    },
    State {
        name: "merge",
        spoil: |it| {
            let head = it.git(&["rev-parse", "HEAD"]);
            fs::write(it.repo.join(".git/MERGE_HEAD"), head + "\n").unwrap();
        },
        arguments: &[],
        case: "gitops::repository",
        reason: "OperationInProgress",
        says: &["a merge is in progress", "abort"],
    },
    State {
        name: "rebase",
        spoil: |it| {
            let folder = it.repo.join(".git/rebase-merge");
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("head-name"), "refs/heads/main\n").unwrap();
            fs::write(folder.join("interactive"), "").unwrap();
        },
        arguments: &[],
        case: "gitops::repository",
        reason: "OperationInProgress",
        says: &["rebase", "abort"],
    },
    State {
        name: "modified",
        spoil: |it| append(&it.file(), "# mine\n"),
        arguments: &[],
        case: "gitops::node_config",
        reason: "NotCommitted",
        says: &[
            "infrastructure/storage/kustomization.yaml",
            "changed and not committed",
            "git status",
        ],
    },
    State {
        name: "staged",
        spoil: |it| {
            append(&it.file(), "# mine\n");
            it.git(&["add", "--all"]);
        },
        arguments: &[],
        case: "gitops::node_config",
        reason: "NotCommitted",
        says: &[
            "infrastructure/storage/kustomization.yaml",
            "staged and not committed",
        ],
    },
    State {
        name: "untracked",
        spoil: |it| {
            drop(it.git(&[
                "rm",
                "-q",
                "--cached",
                "infrastructure/storage/kustomization.yaml",
            ]))
        },
        arguments: &[],
        case: "gitops::node_config",
        reason: "NotCommitted",
        says: &["infrastructure/storage/kustomization.yaml"],
    },
    State {
        name: "unpushed",
        spoil: |it| {
            drop(it.git(&[
                "commit",
                "-q",
                "--no-gpg-sign",
                "--allow-empty",
                "-m",
                "half an idea",
            ]))
        },
        arguments: &[],
        case: "gitops::no_unpushed_commits",
        reason: "UnpushedCommits",
        says: &["1 commit is not on the remote", "half an idea", "git log"],
    },
    State {
        name: "nobody",
        spoil: |it| {
            it.git(&["config", "--unset", "user.name"]);
            it.git(&["config", "--unset", "user.email"]);
        },
        arguments: &[],
        case: "gitops::identity",
        reason: "NoIdentity",
        says: &["user.name", "git config"],
    },
    State {
        name: "keyless",
        spoil: |it| drop(it.git(&["config", "--unset", "user.signingkey"])),
        arguments: &["--require-signed"],
        case: "gitops::signing",
        reason: "SigningUnusable",
        says: &["no key is configured"],
    },
    State {
        name: "unsigned",
        spoil: |it| {
            it.git(&["config", "--unset", "user.signingkey"]);
            it.git(&["config", "commit.gpgsign", "false"]);
        },
        arguments: &["--require-signed"],
        case: "gitops::activate",
        reason: "Unsigned",
        says: &["commit.gpgsign"],
    },
];

fn append(file: &Path, text: &str) {
    let content = fs::read_to_string(file).unwrap();
    fs::write(file, content + text).unwrap();
}

/// The report that a run left.
pub(crate) fn left(state: &Path) -> Report {
    let folder = StateFolder::open(state).unwrap().unwrap();
    Store::load(&folder).unwrap().unwrap().report
}

#[test]
fn a_clone_that_may_not_be_committed_to_stops_the_run_and_stays_as_it_is() {
    let env = TestEnvironment::new();
    for state in STATES {
        let place = Spoiled::new(&env, state.name);
        (state.spoil)(&place);
        let (before, since) = (place.everything(), env.requests().len());
        let out = place.run(state.arguments).exits(1);
        let name = state.name;

        let report = left(&place.state);
        let case = report.case(state.case).and_then(|case| case.ended());
        let ended =
            case.unwrap_or_else(|| panic!("{name}: {} has not ended\n{}", state.case, out.stdout));
        assert_eq!(
            (ended.outcome, ended.reason.as_str()),
            (Outcome::Fail, state.reason),
            "{name}: {ended:?}"
        );
        let told = format!(
            "{}\n{}\n{}",
            ended.message,
            ended.evidence.join("\n"),
            ended.hint
        );
        for word in state.says {
            assert!(told.contains(word), "{name}: {word:?} is not in {told}");
        }
        assert!(
            out.stdout.contains(state.reason),
            "{name}: the last screen keeps it quiet\n{}",
            out.stdout
        );

        assert_eq!(
            report.phase(Phase::GitopsActivation).unwrap().state,
            PhaseState::Failed,
            "{name}"
        );
        assert!(
            !report.has_changes(),
            "{name}: an action had begun: {:?}",
            report.actions
        );
        assert_eq!(place.everything(), before, "{name}");
        // The probe pod of `pre` and the Lease come and go before git is looked at.
        let mut changes = env.changes(since);
        changes.retain(|one| !["pods", "namespaces", "leases"].contains(&one.resource.as_str()));
        assert!(changes.is_empty(), "{name}: {changes:?}");
        assert!(
            !place.state.join("backup").exists(),
            "{name}: something was backed up"
        );
    }
}

#[test]
fn what_somebody_else_works_on_stays_as_it_is_while_the_run_commits_its_own_line() {
    let env = TestEnvironment::new();
    let place = Spoiled::new(&env, "busy");
    let staged = place.repo.join("staged.txt");
    fs::write(&staged, "staged\n").unwrap();
    place.git(&["add", "staged.txt"]);
    fs::write(&staged, "staged\nand changed since\n").unwrap();
    fs::write(place.repo.join("untracked.txt"), "mine\n").unwrap();
    let readme = place.git(&["ls-files"]);
    let readme = readme
        .lines()
        .find(|file| file.ends_with(".md"))
        .unwrap_or("README.md")
        .to_owned();
    append_or_make(&place.repo.join(&readme), "a line in progress\n");
    let status = place.git(&["status", "--porcelain"]);
    let text = fs::read_to_string(place.repo.join(&readme)).unwrap();
    let head = place.git(&["rev-parse", "HEAD"]);

    let _ = place.run(&[]).exits(0);
    assert_eq!(place.git(&["status", "--porcelain"]), status);
    assert_eq!(fs::read_to_string(place.repo.join(&readme)).unwrap(), text);
    assert_eq!(
        fs::read_to_string(&staged).unwrap(),
        "staged\nand changed since\n"
    );
    assert_eq!(
        place.git(&["diff", "--cached", "--name-only"]),
        "staged.txt"
    );
    assert_eq!(
        place.git(&["log", "--format=%P", "-1"]),
        head,
        "one commit on what was there"
    );
    let changed = place.git(&["show", "--numstat", "--format=", "HEAD"]);
    assert_eq!(changed, "1\t1\tinfrastructure/storage/kustomization.yaml");
    assert_eq!(
        env.commits().first().unwrap(),
        &place.git(&["rev-parse", "HEAD"])
    );
}

fn append_or_make(file: &Path, text: &str) {
    let content = fs::read_to_string(file).unwrap_or_default();
    fs::write(file, content + text).unwrap();
}
