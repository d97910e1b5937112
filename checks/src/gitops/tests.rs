//! Stories on a real clone with a real remote in a temporary folder, beside a cluster made of objects.

use std::{path::PathBuf, sync::Arc};

use git2::{IndexAddOption, Signature};
use jiff::Timestamp;
use reports::model::{ActionRecord, ActionState, Outcome};
use serde_json::{Value, json};

use crate::{
    Context, Verdict,
    catalogue::find,
    git::{Environment, Repository},
    testing::Fixture,
};

const FILE: &str = "infrastructure/storage/kustomization.yaml";
const NODE: &str = "infrastructure/k3s2-node-config/node.yaml";
const COMMENTED: &str = "resources:\n  - a.yaml\n  # - ../k3s2-node-config/\n";
const ACTIVE: &str = "resources:\n  - a.yaml\n  - ../k3s2-node-config/\n";
const MANIFEST: &str = "apiVersion: longhorn.io/v1beta2
kind: Node
metadata:
  name: k3s2
  namespace: longhorn-system
spec:
  name: k3s2
  allowScheduling: true
  disks:
    ssd1:
      diskType: filesystem
      path: /var/lib/longhorn
      allowScheduling: true
";

/// A clone on `main` that follows a bare repository beside it.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let mut bare = git2::RepositoryInitOptions::new();
        bare.bare(true)
            .initial_head("main")
            .external_template(false);
        git2::Repository::init_opts(world.path("remote.git"), &bare).unwrap();
        let mut plain = git2::RepositoryInitOptions::new();
        plain.initial_head("main").external_template(false);
        let clone = git2::Repository::init_opts(world.path("work"), &plain).unwrap();
        let mut config = clone.config().unwrap();
        for (key, value) in [
            ("user.name", "Ada"),
            ("user.email", "ada@example.org"),
            ("branch.main.remote", "origin"),
            ("branch.main.merge", "refs/heads/main"),
        ] {
            config.set_str(key, value).unwrap();
        }
        clone.remote("origin", &world.url()).unwrap();
        world.write(FILE, COMMENTED);
        world.write(
            "infrastructure/storage/a.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n",
        );
        world.write(
            "infrastructure/k3s2-node-config/kustomization.yaml",
            "resources:\n  - node.yaml\n",
        );
        world.write(NODE, MANIFEST);
        world.commit("start");
        world.push();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self) -> String {
        self.path("remote.git").display().to_string()
    }

    fn git(&self) -> git2::Repository {
        git2::Repository::open(self.path("work")).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path("work").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits everything and says which commit that is.
    fn commit(&self, message: &str) -> String {
        let git = self.git();
        let mut index = git.index().unwrap();
        index.add_all(["."], IndexAddOption::DEFAULT, None).unwrap();
        index.write().unwrap();
        let tree = git.find_tree(index.write_tree().unwrap()).unwrap();
        let who = Signature::now("Ada", "ada@example.org").unwrap();
        let parent = git.head().ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<&git2::Commit<'_>> = parent.iter().collect();
        git.commit(Some("HEAD"), &who, &who, message, &tree, &parents)
            .unwrap()
            .to_string()
    }

    fn push(&self) {
        let git = self.git();
        let mut remote = git.find_remote("origin").unwrap();
        remote
            .push(&["refs/heads/main:refs/heads/main"], None)
            .unwrap();
        remote.fetch(&["main"], None, None).unwrap();
    }

    /// As if somebody else had pushed: the remote has a commit that the clone does not have.
    fn somebody_pushes(&self) {
        let bare = git2::Repository::open(self.path("remote.git")).unwrap();
        let tip = bare
            .find_reference("refs/heads/main")
            .unwrap()
            .peel_to_commit()
            .unwrap();
        let who = Signature::now("Bob", "bob@example.org").unwrap();
        bare.commit(
            Some("refs/heads/main"),
            &who,
            &who,
            "theirs",
            &tip.tree().unwrap(),
            &[&tip],
        )
        .unwrap();
    }

    fn configure(&self, key: &str, value: &str) {
        self.git().config().unwrap().set_str(key, value).unwrap();
    }

    fn source(&self) -> Value {
        json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": "flux-system", "namespace": "flux-system", "generation": 1},
            "spec": {"url": self.url(), "ref": {"branch": "main"}},
            "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}})
    }

    fn context(&self, cluster: Fixture) -> Context {
        let home = self.path("home");
        std::fs::create_dir_all(&home).unwrap();
        let repository =
            Repository::open_in(&self.path("work"), Environment::isolated(&home)).unwrap();
        let mut cx = cluster.context();
        cx.repository = Some(Arc::new(repository));
        cx
    }

    /// What a check says, with the source in the cluster.
    async fn ask(&self, name: &str) -> Verdict {
        self.ask_with(name, Fixture::new().with(self.source()), None)
            .await
    }

    async fn ask_with(&self, name: &str, cluster: Fixture, commit: Option<&str>) -> Verdict {
        let mut cx = self.context(cluster);
        if let Some(commit) = commit {
            let mut report = (*cx.report).clone();
            report.actions.push(ActionRecord {
                id: "gitops::commit".into(),
                state: ActionState::Done,
                started: Timestamp::UNIX_EPOCH,
                finished: None,
                recorded: [("commit".to_owned(), commit.to_owned())].into(),
            });
            cx.report = Arc::new(report);
        }
        let check = find(&format!("gitops::{name}")).unwrap();
        let verdict = (check.ask)(&cx).await.unwrap_or_else(Verdict::from);
        let known = verdict.outcome() == Outcome::Pass || check.remedy(verdict.reason()).is_some();
        assert!(known, "{name} does not declare {}", verdict.reason());
        verdict
    }
}

fn kustomization(name: &str, path: &str) -> Value {
    json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": name, "namespace": "flux-system", "generation": 1},
        "spec": {"path": path, "sourceRef": {"kind": "GitRepository", "name": "flux-system"}},
        "status": {"observedGeneration": 1, "conditions": []}})
}

fn storage() -> Value {
    kustomization("infrastructure-storage", "./infrastructure/storage")
}

#[tokio::test]
async fn a_clone_that_is_in_order_passes_every_question() {
    let world = World::new();
    for name in [
        "repository",
        "followed_repository",
        "branch",
        "remote",
        "no_unpushed_commits",
        "identity",
        "node_config",
        "node_manifest",
    ] {
        let verdict = world.ask(name).await;
        assert_eq!(
            verdict.outcome(),
            Outcome::Pass,
            "{name}: {}",
            verdict.message()
        );
    }
}

#[tokio::test]
async fn without_a_repository_everything_about_it_is_skipped() {
    for name in [
        "repository",
        "remote",
        "node_config",
        "single_owner",
        "entry_active",
        "commit_pushed",
    ] {
        let check = find(&format!("gitops::{name}")).unwrap();
        let verdict = Fixture::new().ask(check).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Skip, "NoRepository"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_detached_head_and_a_merge_are_told() {
    let world = World::new();
    let head = world.git().head().unwrap().target().unwrap();
    world.git().set_head_detached(head).unwrap();
    assert_eq!(world.ask("repository").await.reason(), "DetachedHead");
    world.git().set_head("refs/heads/main").unwrap();
    std::fs::write(world.path("work/.git/MERGE_HEAD"), format!("{head}\n")).unwrap();
    assert_eq!(
        world.ask("repository").await.reason(),
        "OperationInProgress"
    );
}

#[tokio::test]
async fn another_remote_or_branch_than_flux_follows_is_told() {
    let world = World::new();
    let mut other = world.source();
    other["spec"]["url"] = json!("ssh://git@example.org/other.git");
    let cluster = Fixture::new().with(other);
    let verdict = world.ask_with("followed_repository", cluster, None).await;
    assert_eq!(verdict.reason(), "RemoteDiffers");
    assert!(
        verdict.message().contains("example.org/other.git"),
        "{}",
        verdict.message()
    );
    let mut branch = world.source();
    branch["spec"]["ref"] = json!({"branch": "production"});
    let cluster = Fixture::new().with(branch);
    assert_eq!(
        world.ask_with("branch", cluster, None).await.reason(),
        "WrongBranch"
    );
    let mut tag = world.source();
    tag["spec"]["ref"] = json!({"tag": "v1"});
    let cluster = Fixture::new().with(tag);
    assert_eq!(
        world.ask_with("branch", cluster, None).await.reason(),
        "FollowsNoBranch"
    );
    world.configure("branch.main.merge", "refs/heads/review");
    assert_eq!(world.ask("branch").await.reason(), "WrongUpstream");
}

#[tokio::test]
async fn a_remote_that_is_ahead_or_gone_is_told() {
    let world = World::new();
    world.somebody_pushes();
    let ahead = world.ask("remote").await;
    assert_eq!(ahead.reason(), "RemoteAhead");
    std::fs::remove_dir_all(world.path("remote.git")).unwrap();
    let gone = world.ask("remote").await;
    assert_eq!(gone.outcome(), Outcome::Fail, "{}", gone.message());
    assert_eq!(gone.reason(), "RemoteAbsent", "{}", gone.message());
}

#[tokio::test]
async fn unpushed_commits_are_listed_unless_they_are_ours() {
    let world = World::new();
    world.write("notes.txt", "x");
    let commit = world.commit("notes of somebody");
    let verdict = world.ask("no_unpushed_commits").await;
    assert_eq!(verdict.reason(), "UnpushedCommits");
    assert!(
        verdict.evidence()[0].contains("notes of somebody"),
        "{:?}",
        verdict.evidence()
    );
    let cluster = Fixture::new();
    let own = world
        .ask_with("no_unpushed_commits", cluster, Some(&commit))
        .await;
    assert_eq!(own.outcome(), Outcome::Pass, "{}", own.message());
}

#[tokio::test]
async fn identity_and_signing_are_as_git_has_them() {
    let world = World::new();
    assert_eq!(world.ask("signing").await.reason(), "NotSigning");
    let mut strict = world.source();
    strict["spec"]["verify"] = json!({"mode": "HEAD"});
    let cluster = Fixture::new().with(strict);
    let strict = world.ask_with("signing", cluster, None).await;
    assert_eq!(
        (strict.outcome(), strict.reason()),
        (Outcome::Fail, "SignatureRequired")
    );
    world.configure("commit.gpgsign", "true");
    world.configure("gpg.format", "ssh");
    assert_eq!(world.ask("signing").await.reason(), "SigningUnusable");
    let key = world.path("key.pub");
    world.configure("user.signingKey", &key.display().to_string());
    assert_eq!(world.ask("signing").await.reason(), "SigningKeyAbsent");
    std::fs::write(&key, "ssh-ed25519 AAAA test").unwrap();
    assert_eq!(world.ask("signing").await.outcome(), Outcome::Pass);
    world.git().config().unwrap().remove("user.email").unwrap();
    assert_eq!(world.ask("identity").await.reason(), "NoIdentity");
}

#[tokio::test]
async fn the_entry_and_what_it_builds() {
    let world = World::new();
    for (text, reason) in [
        ("resources:\n  - a.yaml\n", "EntryMissing"),
        (
            "resources:\n  - ../k3s2-node-config\n  # - ../k3s2-node-config/\n",
            "EntryDoubled",
        ),
        ("resources: [a.yaml]\n", "UnsupportedShape"),
        (
            "resources:\n  - missing.yaml\n  # - ../k3s2-node-config/\n",
            "NotBuilding",
        ),
        (
            "# changed\nresources:\n  # - ../k3s2-node-config/\n",
            "NotCommitted",
        ),
    ] {
        world.write(FILE, text);
        let verdict = world.ask("node_config").await;
        assert_eq!(verdict.reason(), reason, "{}", verdict.message());
    }
    world.write(FILE, COMMENTED);
    world.write(NODE, &MANIFEST.replace("ssd1", "ssd2"));
    let changed = world.ask("node_config").await;
    assert_eq!(changed.reason(), "NotCommitted");
    assert!(changed.message().contains(NODE), "{}", changed.message());
    std::fs::remove_file(world.path("work").join(NODE)).unwrap();
    let gone = world.ask("node_config").await;
    assert_eq!(gone.reason(), "NotBuilding");
    assert!(gone.message().contains("node.yaml"), "{}", gone.message());
    std::fs::remove_file(world.path("work").join(FILE)).unwrap();
    assert_eq!(world.ask("node_config").await.reason(), "FileAbsent");
}

#[tokio::test]
async fn each_gap_of_the_manifest_has_its_reason() {
    let world = World::new();
    for (from, to, reason) in [
        ("  namespace: longhorn-system\n", "", "WrongNamespace"),
        ("spec:\n  name: k3s2\n", "spec:\n", "SpecNameMissing"),
        (
            "  allowScheduling: true\n  disks",
            "  disks",
            "SchedulingOff",
        ),
        ("      path: /var/lib/longhorn\n", "", "DiskWithoutPath"),
        ("      allowScheduling: true\n", "", "AllDisksOff"),
        ("      diskType: filesystem\n", "", "DiskTypeMissing"),
        (
            "metadata:\n  name: k3s2",
            "metadata:\n  name: k3s9",
            "NoLonghornNode",
        ),
    ] {
        assert!(MANIFEST.contains(from), "{from}");
        world.write(NODE, &MANIFEST.replacen(from, to, 1));
        let verdict = world.ask("node_manifest").await;
        assert_eq!(verdict.reason(), reason, "{}", verdict.message());
    }
    let (head, _) = MANIFEST.split_once("  disks:").unwrap();
    world.write(NODE, head);
    assert_eq!(world.ask("node_manifest").await.reason(), "NoDisks");
    world.write(
        NODE,
        &format!("{MANIFEST}    ssd2:\n      path: /var/lib/longhorn/\n"),
    );
    assert_eq!(world.ask("node_manifest").await.reason(), "PathTwice");
    world.write(NODE, &format!("{MANIFEST}---\n{MANIFEST}"));
    assert_eq!(
        world.ask("node_manifest").await.reason(),
        "SeveralLonghornNodes"
    );
}

#[tokio::test]
async fn one_kustomization_and_no_other_builds_the_node() {
    let world = World::new();
    let ask = |objects: Vec<Value>| {
        let cluster = objects.into_iter().fold(Fixture::new(), Fixture::with);
        world.ask_with("single_owner", cluster, None)
    };
    let good = ask(vec![storage()]).await;
    assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
    let mut second = kustomization("k3s2-longhorn-disks", "infrastructure/k3s2-node-config");
    second["spec"]["targetNamespace"] = json!("default");
    let two = ask(vec![storage(), second.clone()]).await;
    assert_eq!(two.reason(), "SeveralOwners");
    assert!(
        two.message().contains("k3s2-longhorn-disks"),
        "{}",
        two.message()
    );
    assert!(
        two.evidence()
            .iter()
            .any(|line| line.contains("into namespace default")),
        "{:?}",
        two.evidence()
    );
    assert_eq!(ask(vec![second]).await.reason(), "OtherOwner");
    let mut astray = storage();
    astray["spec"]["targetNamespace"] = json!("default");
    assert_eq!(ask(vec![astray]).await.reason(), "TargetNamespace");
    let mut foreign = storage();
    foreign["spec"]["sourceRef"]["name"] = json!("another");
    assert_eq!(ask(vec![foreign]).await.reason(), "NoOwner");
}

#[tokio::test]
async fn a_second_owner_that_only_git_knows_counts_too() {
    let world = World::new();
    world.write(
        "clusters/home/disks.yaml",
        "apiVersion: kustomize.toolkit.fluxcd.io/v1beta2\nkind: Kustomization\nmetadata:\n  name: disks\n  namespace: flux-system\nspec:\n  path: ./infrastructure/k3s2-node-config\n  sourceRef:\n    kind: GitRepository\n    name: flux-system\n",
    );
    let cluster = Fixture::new().with(storage());
    let verdict = world.ask_with("single_owner", cluster, None).await;
    assert_eq!(verdict.reason(), "SeveralOwners");
    assert!(
        verdict.message().contains("flux-system/disks"),
        "{}",
        verdict.message()
    );
}

#[tokio::test]
async fn a_version_that_is_no_longer_served_is_named_with_its_file() {
    let world = World::new();
    let longhorn = json!({"apiVersion": "longhorn.io/v1beta2", "kind": "Node",
        "metadata": {"name": "k3s1", "namespace": "longhorn-system"}});
    let cluster = || Fixture::new().with(storage()).with(longhorn.clone());
    let good = world.ask_with("api_versions_served", cluster(), None).await;
    assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
    let mut elsewhere = storage();
    elsewhere["spec"]["sourceRef"]["name"] = json!("another");
    let cluster_without = Fixture::new().with(elsewhere).with(longhorn.clone());
    let none = world
        .ask_with("api_versions_served", cluster_without, None)
        .await;
    assert_eq!(none.reason(), "NothingBuilt", "{}", none.message());
    world.write(NODE, &MANIFEST.replace("v1beta2", "v1beta1"));
    let old = world.ask_with("api_versions_served", cluster(), None).await;
    assert_eq!(old.reason(), "VersionNotServed");
    assert!(
        old.message()
            .contains("Node longhorn.io/v1beta1 in infrastructure/k3s2-node-config/node.yaml"),
        "{}",
        old.message()
    );
}

#[tokio::test]
async fn the_entry_counts_as_it_is_committed() {
    let world = World::new();
    world.write(FILE, ACTIVE);
    let uncommitted = world.ask("entry_active").await;
    assert_eq!(
        uncommitted.reason(),
        "EntryInactive",
        "the work tree does not count"
    );
    let commit = world.commit("activate");
    let cluster = Fixture::new();
    let good = world.ask_with("entry_active", cluster, Some(&commit)).await;
    assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
    world.write(FILE, "resources:\n  - a.yaml\n");
    world.commit("away");
    assert_eq!(world.ask("entry_active").await.reason(), "EntryNotFound");
}

#[tokio::test]
async fn a_commit_is_pushed_when_the_remote_itself_has_it() {
    let world = World::new();
    let inspected = world.ask("commit_pushed").await;
    assert_eq!(
        inspected.reason(),
        "EntryInactive",
        "{}",
        inspected.message()
    );
    world.write(FILE, ACTIVE);
    let commit = world.commit("activate");
    let ask = || world.ask_with("commit_pushed", Fixture::new(), Some(&commit));
    let early = ask().await;
    assert_eq!(early.reason(), "NotPushed");
    world.push();
    let good = ask().await;
    assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
    assert_eq!(world.ask("commit_pushed").await.outcome(), Outcome::Pass);
    world.somebody_pushes();
    let later = ask().await;
    assert_eq!(
        (later.outcome(), later.reason()),
        (Outcome::Warn, "RemoteMovedOn")
    );
}

fn at(mut object: Value, pointer: &str, commit: &str) -> Value {
    let mut place = &mut object["status"];
    for part in pointer.split('.') {
        place = &mut place[part];
    }
    *place = json!(format!("main@sha1:{commit}"));
    object
}

#[tokio::test]
async fn flux_must_have_fetched_and_attempted_our_commit_or_a_later_one() {
    let world = World::new();
    let before = world.git().head().unwrap().target().unwrap().to_string();
    world.write(FILE, ACTIVE);
    let ours = world.commit("activate");
    world.write("notes.txt", "x");
    let later = world.commit("later");
    for (name, object, field) in [
        ("revision_fetched", world.source(), "artifact.revision"),
        ("revision_attempted", storage(), "lastAttemptedRevision"),
    ] {
        let ask = |commit: &str| {
            let cluster = Fixture::new().with(at(object.clone(), field, commit));
            world.ask_with(name, cluster, Some(&ours))
        };
        assert_eq!(ask(&ours).await.outcome(), Outcome::Pass, "{name}");
        assert_eq!(ask(&later).await.outcome(), Outcome::Pass, "{name}");
        let old = ask(&before).await;
        let reason = match name {
            "revision_fetched" => "NotFetched",
            _ => "NotAttempted",
        };
        assert_eq!((old.outcome(), old.reason()), (Outcome::Fail, reason));
        assert!(old.message().contains(&ours[..7]), "{}", old.message());
        let foreign = ask("1234567890123456789012345678901234567890").await;
        assert_eq!(foreign.reason(), "UnknownRevision", "{name}");
        let mut suspended = at(object.clone(), field, &ours);
        suspended["spec"]["suspend"] = json!(true);
        let cluster = Fixture::new().with(suspended);
        let suspended = world.ask_with(name, cluster, Some(&ours)).await;
        assert!(suspended.is_hopeless(), "{name}: {}", suspended.message());
    }
}

#[tokio::test]
async fn a_failed_build_is_hopeless_and_a_failed_health_check_is_expected() {
    let world = World::new();
    let ours = world.git().head().unwrap().target().unwrap().to_string();
    let ask = |reason: &str| {
        let mut object = at(storage(), "lastAttemptedRevision", &ours);
        object["status"]["conditions"] =
            json!([{"type": "Ready", "status": "False", "reason": reason, "message": "x"}]);
        world.ask_with(
            "revision_attempted",
            Fixture::new().with(object),
            Some(&ours),
        )
    };
    let build = ask("BuildFailed").await;
    assert_eq!((build.reason(), build.is_hopeless()), ("BuildFailed", true));
    assert_eq!(ask("ReconciliationFailed").await.outcome(), Outcome::Warn);
    assert_eq!(ask("HealthCheckFailed").await.outcome(), Outcome::Pass);
}

#[tokio::test]
async fn a_source_that_is_missing_is_named() {
    let world = World::new();
    let mut other = world.source();
    other["metadata"]["name"] = json!("another");
    let cluster = Fixture::new().with(other);
    let verdict = world.ask_with("revision_fetched", cluster, None).await;
    assert_eq!(verdict.reason(), "NotFound");
    assert!(
        verdict.message().contains("flux-system/flux-system"),
        "{}",
        verdict.message()
    );
}
