//! The Lease: one run at a time across folders and machines, given back at every end, and no write without it.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::{Running, TestEnvironment};

tests::on_both!(
    of_two_runs_that_start_together_exactly_one_proceeds,
    it_is_given_back_at_every_end_and_inspections_never_take_it,
    a_killed_run_is_followed_at_once_in_its_folder_and_elsewhere_after_its_time,
    a_copy_of_the_folder_takes_nothing_from_the_run_that_goes_on,
    what_a_killed_run_left_of_its_lease_is_given_back_by_a_start_with_nothing_to_do,
    a_run_that_loses_its_lease_writes_nothing_more,
    without_the_lease_the_folder_alone_keeps_a_second_run_out,
);

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/onboarding-k3s2";

fn holder(world: &TestEnvironment) -> Value {
    world.object(LEASE)["spec"]["holderIdentity"].clone()
}

/// A second folder beside the one of the environment.
fn elsewhere(world: &TestEnvironment, name: &str) -> Vec<String> {
    let path = |kind: &str| {
        world
            .root()
            .join(format!("{name}-{kind}"))
            .display()
            .to_string()
    };
    ["--state-dir", &path("state"), "--log-dir", &path("logs")]
        .map(str::to_owned)
        .to_vec()
}

/// Starts a run with folders of its own.
fn start(world: &TestEnvironment, folders: &[String], more: &[&str]) -> Running {
    let cluster = world.cluster();
    let named = cluster.iter().chain(folders).map(String::as_str);
    let arguments: Vec<&str> = named.chain(more.iter().copied()).collect();
    world.spawn(&arguments)
}

/// Writes the Lease as somebody else would.
fn overwrite(world: &TestEnvironment, identity: &str, renewed: Timestamp, seconds: u32) {
    let kubeconfig = world.sandbox().kubeconfig();
    world.runtime().block_on(async {
        let connection = checks::cluster::Connection::open(Some(&kubeconfig), None, "test");
        let permit = phases::lease::Permit::by_folder();
        let client = phases::writer(&connection.await.unwrap(), &permit).unwrap();
        let object = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "onboarding-k3s2", "namespace": "kube-system"},
            "spec": {
                "holderIdentity": identity, "leaseDurationSeconds": seconds,
                "renewTime": format!("{renewed:.6}"),
            },
        });
        let request = http::Request::patch(format!("{LEASE}?fieldManager=other&force=true"))
            .header("content-type", "application/apply-patch+yaml")
            .body(serde_json::to_vec(&object).unwrap())
            .unwrap();
        client.request::<Value>(request).await.unwrap();
    });
}

fn of_two_runs_that_start_together_exactly_one_proceeds() {
    let world = TestEnvironment::new();
    world.fault("node-never-registers", true);
    let limit = ["--timeout", "join=90s"];
    let mut runs: Vec<Running> = ["one", "two"]
        .map(|name| start(&world, &elsewhere(&world, name), &limit))
        .into_iter()
        .collect();
    let loser = loop {
        if let Some(ended) = runs.iter_mut().position(Running::has_ended) {
            break runs.remove(ended);
        }
        world
            .runtime()
            .block_on(async { tokio::time::sleep(std::time::Duration::from_millis(10)).await });
    };
    let output = loser.wait().exits(6);
    output.says("Lease kube-system/onboarding-k3s2 is held by run ");
    let mut winner = runs.remove(0);
    winner.until("the wait for the node", |run| {
        run.said().contains("waiting for join::registered")
    });
    let third = start(&world, &elsewhere(&world, "three"), &[])
        .wait()
        .exits(6);
    third.says("in node_join_monitoring");
    third.says(&format!("process {}", winner.id()));
    third.says("renewed ");
    assert!(
        !world.root().join("three-state/onboarding.xml").exists(),
        "a second comer writes no report"
    );
    world.fault("node-never-registers", false);
    let _ = winner.wait().exits(0);
    assert_eq!(holder(&world), Value::Null, "it is given back");
    assert_eq!(world.commits().len(), 2, "one commit was added");
}

fn it_is_given_back_at_every_end_and_inspections_never_take_it() {
    let world = TestEnvironment::new();
    let _ = world.onboard(&["--phase", "pre"]).exits(0);
    assert_eq!(world.object(LEASE), Value::Null, "an inspection takes none");
    for signal in ["INT", "TERM"] {
        let mut run = world.spawn_waiting();
        assert_ne!(holder(&world), Value::Null);
        run.signal(signal);
        let _ = run.wait().exits(130);
        assert_eq!(holder(&world), Value::Null, "{signal}");
        let _ = std::fs::remove_dir_all(world.state());
    }
    let failed = world.onboard(&["--timeout", "join=1s"]).exits(1);
    failed.says("--resume");
    assert_eq!(holder(&world), Value::Null, "after a failure");
    let folders = elsewhere(&world, "apply");
    let apply = ["--phase", "storage", "--apply", "--timeout", "storage=1s"];
    let _ = start(&world, &folders, &apply).wait();
    assert_eq!(holder(&world), Value::Null);
    assert_ne!(world.object(LEASE), Value::Null, "a partial run took it");
}

fn a_killed_run_is_followed_at_once_in_its_folder_and_elsewhere_after_its_time() {
    let world = TestEnvironment::new();
    let mut run = world.spawn_waiting();
    run.signal("KILL");
    assert_eq!(run.wait().code, -9);
    assert_ne!(holder(&world), Value::Null);
    let other = start(&world, &elsewhere(&world, "other"), &[])
        .wait()
        .exits(6);
    other.says("in node_join_monitoring");
    world.fault("node-never-registers", false);
    let resumed = world.onboard(&["--resume"]).exits(0);
    resumed.says("which has ended; it is taken over");
    assert!(
        !resumed.stderr.contains("seems to have gone"),
        "it did not wait for the Lease to expire: {}",
        resumed.stderr
    );

    let long_ago = Timestamp::now() - SignedDuration::from_hours(1);
    overwrite(&world, "onboarding-00000000-00000000", long_ago, 1);
    let expired = start(&world, &elsewhere(&world, "late"), &[]).wait();
    expired.says("was not renewed for 1 s by run 00000000");
    assert_eq!(holder(&world), Value::Null);
}

fn a_copy_of_the_folder_takes_nothing_from_the_run_that_goes_on() {
    let world = TestEnvironment::new();
    let mut run = world.spawn_waiting();
    let copy = elsewhere(&world, "copy");
    let copied = std::process::Command::new("cp")
        .args(["-a", &world.state().display().to_string(), &copy[1]])
        .status()
        .unwrap();
    assert!(copied.success());
    let held = holder(&world);
    for arguments in [&["--resume"][..], &["--rollback", "--yes"], &["--fresh"]] {
        let output = start(&world, &copy, arguments).wait().exits(6);
        output.says("is held by run ");
    }
    assert_eq!(holder(&world), held, "it is left to its holder");
    run.signal("KILL");
    assert_eq!(run.wait().code, -9);
    world.fault("node-never-registers", false);
    let resumed = start(&world, &copy, &["--resume"]).wait().exits(0);
    resumed.says("which has ended; it is taken over");
    assert_eq!(holder(&world), Value::Null);
}

fn what_a_killed_run_left_of_its_lease_is_given_back_by_a_start_with_nothing_to_do() {
    for arguments in [&["--cleanup"][..], &["--rollback", "--yes"]] {
        let world = TestEnvironment::new();
        let mut run = world.spawn_onboard(&[]);
        run.until("the Lease", |_| holder(&world) != Value::Null);
        run.signal("KILL");
        assert_eq!(run.wait().code, -9);
        let output = world.onboard(arguments).exits(0);
        output.says("nothing to ");
        output.says("which has ended; it is given back");
        assert_eq!(holder(&world), Value::Null, "{arguments:?}");
        let _ = world.onboard(arguments).exits(0);
        let foreign = "onboarding-00000000-00000000";
        overwrite(&world, foreign, Timestamp::now(), 3600);
        let _ = world.onboard(arguments).exits(0);
        assert_eq!(holder(&world), foreign, "somebody else's stays");
    }
}

fn a_run_that_loses_its_lease_writes_nothing_more() {
    let world = TestEnvironment::new();
    let config = world.root().join("short.toml");
    std::fs::write(&config, "lock_duration = \"3s\"\n").unwrap();
    world.fault("node-never-registers", true);
    let config = config.display().to_string();
    let mut run = world.spawn_onboard(&["--config", &config, "--timeout", "join=90s"]);
    run.until("the wait for the node", |run| {
        run.said().contains("waiting for join::registered")
    });
    let since = world.requests().len();
    overwrite(
        &world,
        "onboarding-00000000-00000000",
        Timestamp::now(),
        3600,
    );
    let output = run.wait().exits(6);
    let changes: Vec<_> = world
        .changes(since)
        .into_iter()
        .filter(|one| one.agent.contains("(run ") && !one.agent.contains("(run test)"))
        .collect();
    assert!(changes.is_empty(), "{changes:?}");
    output.says("it was taken over by run 00000000");
    assert_eq!(
        holder(&world),
        "onboarding-00000000-00000000",
        "it is left to its holder"
    );
    let report = world.report().unwrap();
    assert_eq!(report.exit_code, Some(6));
    assert!(report.finished.is_some(), "the report is whole");
}

fn without_the_lease_the_folder_alone_keeps_a_second_run_out() {
    let world = TestEnvironment::new();
    let config = world.root().join("folder.toml");
    std::fs::write(&config, "lock = \"folder\"\n").unwrap();
    let _ = world
        .onboard(&["--config", &config.display().to_string()])
        .exits(0);
    assert_eq!(world.object(LEASE), Value::Null);
}
