//! What a run costs on a large cluster, as ratios to one plain paginated list of its pods. Not part of the usual tests:
//! `just bench`, and docs/performance.md for what came out.

use std::{
    fs,
    time::{Duration, Instant},
};

use checks::{
    cluster::Connection,
    kinds,
    view::{Scope, View},
};
use sandbox::Crowd;
use serde_json::Value;
use tests::{Running, TestEnvironment};

/// A start of the program: how long, and the most memory that it held.
struct Cost {
    took: Duration,
    kib: u64,
    requests: usize,
}

fn run(world: &TestEnvironment, arguments: &[&str]) -> Cost {
    let since = world.requests().len();
    let mut command = world.command();
    command
        .arg(format!("--sandbox={}", world.sandbox().dir().display()))
        .args(world.folders())
        .args(arguments);
    let begun = Instant::now();
    let running = Running::start(command, world.root());
    let status = format!("/proc/{}/status", running.id());
    let watched = world.runtime().spawn(async move {
        let mut most = 0;
        // The kernel keeps the most that was ever held; the last look before the end is what counts.
        while let Some(held) = fs::read_to_string(&status)
            .ok()
            .and_then(|text| peak(&text))
        {
            most = held;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        most
    });
    let output = running.wait();
    let took = begun.elapsed();
    assert!(
        output.code == 0 || output.code == 1,
        "{arguments:?} ended with {}\n{}",
        output.code,
        output.stderr
    );
    assert!(!output.stdout.contains("TimedOut"), "{}", output.stdout);
    Cost {
        took,
        kib: world.runtime().block_on(watched).unwrap(),
        requests: world.requests().len() - since,
    }
}

fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// One plain list of all pods in pages of 500, parsed.
fn plain(world: &TestEnvironment) -> (Duration, usize) {
    let kubeconfig = world.sandbox().kubeconfig();
    world.runtime().block_on(async {
        let connection = Connection::open(Some(&kubeconfig), None, "bench")
            .await
            .unwrap();
        let view = View::snapshot(connection.reader().unwrap());
        let begun = Instant::now();
        let pods = view
            .list::<Value>(&kinds::PODS, Scope::all())
            .await
            .unwrap();
        (begun.elapsed(), pods.len())
    })
}

#[test]
#[ignore = "takes minutes; just bench"]
fn bench() {
    let crowd = Crowd {
        nodes: 1_000,
        pods: 20_000,
    };
    let world = TestEnvironment::crowded(crowd);
    let _ = plain(&world);
    let (list, pods) = plain(&world);
    assert!(pods >= crowd.pods, "{pods} pods");
    let listed = list.as_secs_f64();
    println!(
        "{} nodes, {pods} pods; one plain list of the pods: {listed:.2} s",
        crowd.nodes
    );
    for arguments in [
        &["--phase", "pre"][..],
        &["--phase", "health"],
        &["--phase", "health", "--wait"],
        &["storage::node_ready", "--exact"],
    ] {
        let cost = run(&world, arguments);
        let ratio = cost.took.as_secs_f64() / listed;
        println!(
            "{:32} {:6.2} s = {ratio:4.1} lists, {} requests, {} MiB",
            arguments.join(" "),
            cost.took.as_secs_f64(),
            cost.requests,
            cost.kib / 1024
        );
        assert!(
            ratio < 12.0,
            "{arguments:?} takes {ratio:.1} times as long as the list"
        );
        assert!(
            cost.kib < 512 * 1024,
            "{arguments:?} held {} MiB",
            cost.kib / 1024
        );
    }
}
