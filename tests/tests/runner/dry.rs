//! A dry run says what would be done, and leaves everything byte for byte as it was.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use serde_json::Value;
use tests::{Output, TestEnvironment};

tests::on_both!(
    a_dry_run_plans_everything_and_changes_nothing,
    the_dry_run_of_a_resumed_run_begins_where_that_stopped,
);

/// Every file and folder below a path: kind, mode, time of the last change, content.
fn files(path: &Path) -> BTreeMap<String, (u32, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![path.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(about) = path.symlink_metadata() else {
            continue;
        };
        let content = if about.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
            Vec::new()
        } else {
            fs::read(&path).unwrap_or_default()
        };
        let facts = (
            about.permissions().mode(),
            about.mtime(),
            about.mtime_nsec(),
            content,
        );
        found.insert(path.display().to_string(), facts);
    }
    found
}

/// Every object of every kind that can be listed, by its path.
fn objects(world: &TestEnvironment) -> BTreeMap<String, Value> {
    let kubeconfig = world.sandbox().kubeconfig();
    world.runtime().block_on(async {
        let connection = checks::cluster::Connection::open(Some(&kubeconfig), None, "test");
        let reader = connection.await.unwrap().reader().unwrap();
        let groups: Value = reader.json("/apis").await.unwrap();
        let mut versions = vec!["/api/v1".to_owned()];
        for group in groups["groups"].as_array().unwrap() {
            // Measurements are new with every look.
            if group["name"] != "metrics.k8s.io" {
                let version = group["preferredVersion"]["groupVersion"].as_str().unwrap();
                versions.push(format!("/apis/{version}"));
            }
        }
        let mut all = BTreeMap::new();
        for version in versions {
            let resources: Value = reader.json(&version).await.unwrap_or_default();
            for resource in resources["resources"].as_array().into_iter().flatten() {
                let name = resource["name"].as_str().unwrap();
                let verbs = resource["verbs"].as_array().unwrap();
                // Events tell of what the machines do meanwhile.
                if name == "events" || !verbs.iter().any(|verb| verb == "list") {
                    continue;
                }
                let list = format!("{version}/{name}");
                let answer: Value = reader.json(&list).await.unwrap_or_default();
                for object in answer["items"].as_array().into_iter().flatten() {
                    let about = &object["metadata"];
                    let name = format!("{list} {} {}", about["namespace"], about["name"]);
                    all.insert(name, object.clone());
                }
            }
        }
        all
    })
}

/// The same object without what its machine writes all the time.
fn without_life(object: &Value) -> Value {
    let mut object = object.clone();
    for (parent, key) in [
        ("/metadata", "resourceVersion"),
        ("/metadata", "managedFields"),
        ("", "status"),
        ("/spec", "renewTime"),
    ] {
        if let Some(Value::Object(fields)) = object.pointer_mut(parent) {
            fields.remove(key);
        }
    }
    object
}

/// Everything that a dry run might touch.
struct World {
    checkout: BTreeMap<String, (u32, i64, i64, Vec<u8>)>,
    remote: BTreeMap<String, (u32, i64, i64, Vec<u8>)>,
    state: BTreeMap<String, (u32, i64, i64, Vec<u8>)>,
    home: BTreeMap<String, (u32, i64, i64, Vec<u8>)>,
    objects: BTreeMap<String, Value>,
    requests: usize,
}

impl World {
    fn of(world: &TestEnvironment) -> Self {
        Self {
            checkout: files(&world.sandbox().checkout()),
            remote: files(&world.sandbox().remote()),
            state: files(&world.state()),
            home: files(&world.home()),
            objects: objects(world),
            requests: world.requests().len(),
        }
    }

    /// Demands that nothing is different now, and that the server was asked to try something.
    #[track_caller]
    fn is_as_before(&self, world: &TestEnvironment) {
        let now = Self::of(world);
        assert!(!self.checkout.is_empty() && !self.remote.is_empty());
        same("the checkout", &self.checkout, &now.checkout);
        same("the remote", &self.remote, &now.remote);
        same("the state folder", &self.state, &now.state);
        same("HOME", &self.home, &now.home);
        assert!(self.objects.len() > 50, "{} objects", self.objects.len());
        let mut untouched = 0;
        for (name, before) in &self.objects {
            let after = now.objects.get(name);
            let after = after.unwrap_or_else(|| panic!("{name} is gone"));
            let version = "/metadata/resourceVersion";
            if before.pointer(version) == after.pointer(version) {
                untouched += 1;
            } else {
                assert_eq!(without_life(before), without_life(after), "{name}");
            }
        }
        assert_eq!(self.objects.len(), now.objects.len(), "something is new");
        assert!(
            untouched * 2 > self.objects.len(),
            "{untouched} objects were left alone"
        );
        let ours: Vec<_> = world.requests().into_iter().skip(self.requests).collect();
        let changing: Vec<_> = ours.iter().filter(|one| one.mutates()).collect();
        assert!(changing.is_empty(), "{changing:?}");
        assert!(
            ours.iter()
                .all(|one| one.resource != "leases" || one.verb != "create")
        );
    }
}

#[track_caller]
fn same(
    what: &str,
    before: &BTreeMap<String, (u32, i64, i64, Vec<u8>)>,
    after: &BTreeMap<String, (u32, i64, i64, Vec<u8>)>,
) {
    let names = |all: &BTreeMap<String, _>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(before), names(after), "{what}");
    for (name, file) in before {
        assert!(*file == after[name], "{what}: {name} is not as it was");
    }
}

/// Every line says what it is.
#[track_caller]
fn is_marked(output: &Output) {
    for line in output.stdout.lines().chain(output.stderr.lines()) {
        assert!(line.starts_with("[DRY RUN] "), "{line:?}");
    }
    assert!(output.stdout.lines().count() > 20, "{}", output.stdout);
}

fn tried(world: &TestEnvironment, since: usize) -> usize {
    let ours = world.requests().into_iter().skip(since);
    ours.filter(|one| one.dry_run && one.verb == "patch")
        .count()
}

fn a_dry_run_plans_everything_and_changes_nothing() {
    let world = TestEnvironment::new();
    let before = World::of(&world);
    let output = world.onboard(&["--dry-run", "--report"]).exits(0);
    before.is_as_before(&world);
    is_marked(&output);
    for words in [
        "would change infrastructure/storage/kustomization.yaml",
        "--- a/infrastructure/storage/kustomization.yaml",
        "[DRY RUN] -  # - ../k3s2-node-config/",
        "[DRY RUN] +  - ../k3s2-node-config/",
        "would commit \"storage: activate k3s2 node configuration\" signed with ssh key SHA256:",
        "→ (new) to origin main",
        "would annotate kustomization flux-system/infrastructure-storage (server accepts)",
        "would label node k3s2 (not sent: absent)",
        "nothing was changed",
    ] {
        output.says(words);
    }
    assert!(
        tried(&world, before.requests) >= 2,
        "the server was asked to try"
    );
    assert!(!world.state().exists(), "there is no state folder");
    let names: Vec<String> = fs::read_dir(world.logs())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(
        names.iter().all(|name| name.contains("-dry-run-")),
        "{names:?}"
    );
    let log = names.iter().find(|name| name.ends_with(".log")).unwrap();
    let log = fs::read_to_string(world.logs().join(log)).unwrap();
    assert!(
        log.lines().all(|line| line.contains("] [DRY RUN] ")),
        "{log}"
    );

    // Whoever puts its report where a run would look for one is told that it is none to go on with.
    let junit = names.iter().find(|name| name.ends_with(".xml")).unwrap();
    let pretended = world.root().join("pretended");
    fs::create_dir(&pretended).unwrap();
    fs::set_permissions(&pretended, fs::Permissions::from_mode(0o700)).unwrap();
    fs::copy(world.logs().join(junit), pretended.join("onboarding.xml")).unwrap();
    fs::rename(&pretended, world.state()).unwrap();
    let refused = world.onboard(&["--resume"]).exits(7);
    refused.says("dry_run");
    fs::remove_dir_all(world.state()).unwrap();
    let _ = world.onboard(&[]).exits(0);
    assert_eq!(world.commits().len(), 2, "and the run itself still does it");
}

fn the_dry_run_of_a_resumed_run_begins_where_that_stopped() {
    let world = TestEnvironment::new();
    world.fault("node-never-registers", true);
    let _ = world.onboard(&["--timeout", "join=1s"]).exits(1);
    // The namespace of the probe pods goes in its own time.
    world.until("nothing is on its way out", || {
        let all = objects(&world);
        let going = |one: &Value| !one["metadata"]["deletionTimestamp"].is_null();
        !all.values().any(going)
    });
    let before = World::of(&world);
    let output = world.onboard(&["--resume", "--dry-run"]).exits(1);
    before.is_as_before(&world);
    is_marked(&output);
    output.says("gitops_activation · not run: through since an earlier start");
    output.says("3/9 node_join_monitoring");
    output.says("would label node k3s2 (not sent: absent)");
    assert!(
        !output.stdout.contains("would change infrastructure"),
        "{}",
        output.stdout
    );
    assert!(!output.stdout.contains("would push"), "{}", output.stdout);

    world.fault("node-never-registers", false);
    let _ = world.onboard(&["--resume"]).exits(0);
    assert_eq!(world.commits().len(), 2);
}

#[test]
fn every_line_of_a_dry_run_is_marked_libtest_s_own_too() {
    let world = TestEnvironment::new();
    let output = world
        .onboard(&["--dry-run", "--format", "libtest"])
        .exits(0);
    output.says("[DRY RUN] test pre::api_live ");
    for line in output.stdout.lines().chain(output.stderr.lines()) {
        assert!(line.starts_with("[DRY RUN]"), "{line:?}");
    }
}
