//! The program as somebody who may do exactly what `--rbac` prints, and somebody who may do a little less.

use std::{fs, path::PathBuf, time::Duration};

use checks::cluster::Connection;
use http::{Method, Request};
use kube::{Client, core::Status};
use sandbox::Stage;
use serde_json::{Value, json};
use tests::{Output, TestEnvironment};

tests::on_both!(
    an_onboarding_needs_no_more_than_the_printed_roles,
    fixes_need_no_more_than_the_printed_roles,
    a_rollback_needs_no_more_than_the_printed_roles,
);

const PASSWORD: &str = "/api/v1/namespaces/kube-system/secrets/k3s2.node-password.k3s";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const CLAIMS: &str = "/api/v1/namespaces/onboarding-probe/persistentvolumeclaims";

/// An account with its roles as `--rbac` prints them, in the cluster.
struct Account<'a> {
    world: &'a TestEnvironment,
    client: Client,
    name: &'static str,
    /// The roles alone.
    roles: Vec<Value>,
    kubeconfig: PathBuf,
}

impl<'a> Account<'a> {
    fn new(world: &'a TestEnvironment, name: &'static str, what: &[&str]) -> Self {
        let account = format!("kube-system/{name}");
        let printed = world
            .harness(&[&["--rbac", "--account", &account], what].concat())
            .exits(0);
        let manifests: Vec<Value> = serde_saphyr::from_multiple(&printed.stdout).unwrap();
        let admin = world.sandbox().kubeconfig();
        let client = world.runtime().block_on(async {
            let connection = Connection::open(Some(&admin), None, "test").await.unwrap();
            Client::try_from(connection.config().clone()).unwrap()
        });
        let account = Self {
            world,
            client,
            name,
            roles: manifests
                .iter()
                .filter(|one| one["rules"].is_array())
                .cloned()
                .collect(),
            kubeconfig: world.root().join(name),
        };
        for manifest in &manifests {
            let made = account.send(Method::POST, &collection(manifest), manifest);
            // The namespace may be there from another account.
            assert!(
                matches!(&made, Err(error) if error.code == 409 && manifest["kind"] == "Namespace")
                    || made.is_ok(),
                "{made:?}"
            );
        }
        let path = format!("/api/v1/namespaces/kube-system/serviceaccounts/{name}/token");
        let question = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {},
        });
        let answer = account.send(Method::POST, &path, &question).unwrap();
        let token = answer["status"]["token"].as_str().unwrap();
        let text = fs::read_to_string(&admin).unwrap();
        let mut config: Value = serde_saphyr::from_str(&text).unwrap();
        config["users"][0]["user"] = json!({"token": token});
        fs::write(&account.kubeconfig, config.to_string()).unwrap();
        account.settle();
        account
    }

    /// A real server hears of changed roles a moment later.
    fn settle(&self) {
        if self.world.is_real() {
            self.world
                .runtime()
                .block_on(async { tokio::time::sleep(Duration::from_secs(1)).await });
        }
    }

    /// Sends something as the administrator.
    fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, Box<Status>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(body).unwrap())
            .unwrap();
        match self
            .world
            .runtime()
            .block_on(self.client.request::<Value>(request))
        {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => Err(status),
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Makes objects that an earlier run might have left.
    fn leave_behind(&self) {
        let metadata =
            json!({"name": "left-over", "labels": {"app.kubernetes.io/managed-by": "onboarding"}});
        let class = json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata,
            "provisioner": "example.com/nobody",
        });
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata,
            "spec": {
                "storageClassName": "left-over", "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Mi"}},
            },
        });
        self.send(Method::POST, CLASSES, &class).unwrap();
        self.send(Method::POST, CLAIMS, &claim).unwrap();
    }

    /// A real server deletes a claim once its controllers have let go of it.
    fn nothing_is_left(&self) {
        let begun = std::time::Instant::now();
        while !self.left_over().is_empty() {
            assert!(begun.elapsed() < tests::LIMIT, "{:?}", self.left_over());
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    fn left_over(&self) -> Vec<&'static str> {
        let there = |path: &&str| self.world.object(&format!("{path}/left-over")) != Value::Null;
        [CLASSES, CLAIMS].into_iter().filter(there).collect()
    }

    /// Puts a role into the cluster in place of what is there.
    fn replace(&self, role: &Value) {
        let name = role["metadata"]["name"].as_str().unwrap();
        let path = format!("{}/{name}", collection(role));
        self.send(Method::PUT, &path, role).unwrap();
    }

    /// Runs the program as this account.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.world.command();
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--repo")
            .arg(self.world.sandbox().checkout())
            .args(self.world.folders());
        if self.world.is_real() {
            command.args(tests::real::LIMITS);
        }
        command.args(arguments);
        tests::Running::start(command, self.world.root()).wait()
    }

    fn user(&self) -> String {
        format!("system:serviceaccount:kube-system:{}", self.name)
    }

    /// The requests of this account, by verb and resource.
    fn requests(&self) -> Vec<sandbox::api::RequestRecord> {
        let user = self.user();
        let mut all = self.world.requests();
        all.retain(|one| one.user == user);
        all
    }

    /// A call that no check, action, fix or step declares is in no role, and so it was refused. The webhook of Longhorn
    /// refuses, too, while it knows the node; a dry run asks it.
    #[track_caller]
    fn was_refused_nothing(&self) {
        let all = self.requests();
        let refused: Vec<String> = all
            .iter()
            .filter(|one| one.status == 403)
            .filter(|one| {
                !(one.path.contains("/longhorn-system/nodes/") && one.path.contains("dryRun=All"))
            })
            .map(|one| format!("{} {}", one.verb, one.path))
            .collect();
        assert_eq!(refused, Vec::<String>::new(), "not declared by anything");
        assert!(
            all.len() > 5,
            "only {} requests as {}",
            all.len(),
            self.name
        );
    }

    fn did(&self, verb: &str, resource: &str) -> bool {
        self.requests()
            .iter()
            .any(|one| one.verb == verb && one.resource == resource && one.status < 300)
    }
}

fn collection(manifest: &Value) -> String {
    let kind = manifest["kind"].as_str().unwrap();
    let version = manifest["apiVersion"].as_str().unwrap();
    let root = if version.contains('/') { "apis" } else { "api" };
    let place = match manifest["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/namespaces/{namespace}"),
        None => String::new(),
    };
    format!("/{root}/{version}{place}/{}s", kind.to_lowercase())
}

fn an_onboarding_needs_no_more_than_the_printed_roles() {
    let world = TestEnvironment::new();
    let account = Account::new(&world, "onboarding", &[]);
    let output = account.run(&[]).exits(0);
    output.says("9 of 9 phases");
    account.was_refused_nothing();
    assert!(account.did("create", "leases") && account.did("update", "leases"));
    assert!(account.did("create", "pods") && account.did("patch", "nodes"));
    if world.is_real() {
        return;
    }
    // Every request is in the report, and of each it says for whom it was. The Lease is given back after the report
    // has ended.
    let report = world.archived().unwrap();
    let sent = account.requests();
    let of_lock = |one: &&sandbox::api::RequestRecord| {
        one.resource == "leases" && one.namespace == "kube-system"
    };
    let sent = sent.len() as u64 - sent.iter().filter(of_lock).count() as u64;
    let lock = report.other_requests["the lock"];
    assert!(lock >= 2, "{:?}", report.other_requests);
    assert_eq!(report.requests - lock, sent, "{:?}", report.other_requests);
}

fn fixes_need_no_more_than_the_printed_roles() {
    let world = TestEnvironment::new();
    let account = Account::new(&world, "mending", &["--auto-fix"]);
    // A real server dates the Secret itself, so there it is a join under way, and nobody may delete it.
    let stale = !world.is_real();
    world.fault("node-password-conflict", stale);
    account.leave_behind();
    let output = account.run(&["--auto-fix"]).exits(0);
    output.says("fixed by fix::leftovers");
    account.nothing_is_left();
    if stale {
        output.says("fixed by fix::stale_password");
        assert!(account.did("delete", "secrets"));
    }
    account.was_refused_nothing();

    let account = Account::new(&world, "cleaning", &["--cleanup"]);
    account.leave_behind();
    let output = account.run(&["--cleanup", "--yes"]).exits(0);
    output.says("removed storageclass left-over");
    account.nothing_is_left();
    account.was_refused_nothing();
}

fn a_rollback_needs_no_more_than_the_printed_roles() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    let account = Account::new(&world, "leaving", &["--rollback"]);
    let dry = account.run(&["--rollback", "--dry-run"]).exits(0);
    // What Longhorn's webhook says of its own Node was asked with the right to ask; on a real server it has none here.
    if !world.is_real() {
        dry.says("may not be deleted");
    }
    account.was_refused_nothing();
    let _ = account.run(&["--rollback", "--yes"]).exits(0);
    account.was_refused_nothing();
    for (verb, resource) in [("create", "leases"), ("delete", "nodes")] {
        assert!(account.did(verb, resource), "{verb} {resource}");
    }
    assert_eq!(world.object("/api/v1/nodes/k3s2"), Value::Null);
    assert_eq!(world.object(PASSWORD), Value::Null);
}

#[test]
fn an_inspection_of_all_phases_only_reads() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    let selection = tests::every_phase();
    let account = Account::new(&world, "reading", &selection);
    let rules = account
        .roles
        .iter()
        .flat_map(|role| role["rules"].as_array().unwrap());
    for rule in rules {
        let verbs = rule["verbs"].as_array().unwrap();
        let reads = verbs.iter().all(|verb| *verb == "get" || *verb == "list");
        // An access review is spelled as a creation.
        assert!(
            reads || rule["apiGroups"] == json!(["authorization.k8s.io"]),
            "{rule}"
        );
    }
    let output = account.run(&selection);
    assert!(
        !output.stdout.contains("MissingPermission"),
        "{}",
        output.stdout
    );
    account.was_refused_nothing();
    let changes = account
        .requests()
        .iter()
        .filter(|one| one.mutates())
        .count();
    assert_eq!(changes, 0);
}

/// One run for each rule. A check that fails for another reason ends each of them in phase 1.
#[test]
fn with_any_rule_removed_the_run_says_which_right_is_missing() {
    let world = TestEnvironment::at(Stage::New, &["longhorn-volume-faulted"]);
    let account = Account::new(&world, "onboarding", &[]);
    let whole = account.run(&[]).exits(1);
    whole.says("VolumeFaulted");
    assert!(!whole.stdout.contains("may not"), "{}", whole.stdout);
    let commits = world.commits();
    let mut tried = 0;
    for role in &account.roles {
        for (at, rule) in role["rules"].as_array().unwrap().iter().enumerate() {
            let mut less = role.clone();
            less["rules"].as_array_mut().unwrap().remove(at);
            account.replace(&less);
            let output = account.run(&[]);
            assert!(matches!(output.code, 1 | 3), "{rule}: {}", output.code);
            output.says("may not ");
            let wanted = rights(role, rule);
            if output.code == 1 {
                wanted.iter().for_each(|(right, name)| {
                    output.says(&format!("{right}{name}"));
                });
            } else {
                // What it begins with, which cluster this is and the lock, ends it at the first that is missing.
                let named = |(right, _): &(String, String)| output.stderr.contains(right.as_str());
                assert!(wanted.iter().any(named), "{wanted:?}: {}", output.stderr);
            }
            account.replace(role);
            tried += 1;
        }
    }
    assert!(tried >= 30, "only {tried} rules");
    assert_eq!(world.commits(), commits);
    let changed: Vec<_> = account
        .requests()
        .into_iter()
        .filter(|one| one.mutates() && one.resource != "leases")
        .collect();
    assert!(changed.is_empty(), "{changed:?}");
}

/// What a rule gives, in the words of the program: verb and resource, and then object and namespace.
fn rights(role: &Value, rule: &Value) -> Vec<(String, String)> {
    let words = |field: &str| -> Vec<String> {
        let all = rule[field].as_array().cloned().unwrap_or_default();
        all.iter()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect()
    };
    let group = match words("apiGroups")[0].as_str() {
        "" => String::new(),
        group => format!(".{group}"),
    };
    let place = role["metadata"]["namespace"]
        .as_str()
        .map(|one| format!(" in namespace {one}"))
        .unwrap_or_default();
    let mut names: Vec<String> = words("resourceNames")
        .iter()
        .map(|name| format!(" {name}"))
        .collect();
    if names.is_empty() {
        names.push(String::new());
    }
    let mut all = Vec::new();
    for verb in words("verbs") {
        for resource in words("resources") {
            all.extend(names.iter().map(|name| {
                (
                    format!("{verb} {resource}{group}"),
                    format!("{name}{place}"),
                )
            }));
        }
    }
    all
}

#[test]
fn a_missing_right_stops_the_run_before_anything_is_changed() {
    let world = TestEnvironment::new();
    let account = Account::new(&world, "onboarding", &[]);
    for role in &account.roles {
        let mut less = role.clone();
        for rule in less["rules"].as_array_mut().unwrap() {
            rule["verbs"]
                .as_array_mut()
                .unwrap()
                .retain(|verb| *verb != "patch");
        }
        account.replace(&less);
    }
    let before = world.commits();
    let output = account.run(&[]).exits(1);
    output.says("may not patch ");
    output.says("patch nodes k3s2");
    assert_eq!(world.commits(), before);
    let changes: Vec<_> = account
        .requests()
        .into_iter()
        .filter(|one| one.mutates() && one.resource != "leases")
        .collect();
    assert!(changes.is_empty(), "{changes:?}");
}
