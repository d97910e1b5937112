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

/// A start of the program: how long, how much of a core, and the most memory that it held.
struct Cost {
    took: Duration,
    cpu: Duration,
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
    let process = format!("/proc/{}", running.id());
    let watched = world.runtime().spawn(async move {
        let mut last = (0, Duration::ZERO);
        // The kernel keeps the most that was ever held; the last look before the end is what counts.
        let read = |file: &str| fs::read_to_string(format!("{process}/{file}")).ok();
        while let Some(held) = read("status").and_then(|text| peak(&text)) {
            let cpu = read("stat").and_then(|text| busy(&text));
            last = (held, cpu.unwrap_or(last.1));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        last
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
    let (kib, cpu) = world.runtime().block_on(watched).unwrap();
    Cost {
        took,
        cpu,
        kib,
        requests: world.requests().len() - since,
    }
}

fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Time on a core, of `/proc/PID/stat`: fields 14 and 15, in hundredths of a second.
fn busy(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
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
        is_small(&cost, arguments);
    }
    // A wait for what does not come about here: what it costs to watch.
    let arguments = ["--phase", "health", "--wait", "--timeout", "health=30s"];
    let cost = run(&world, &arguments);
    println!(
        "{:32} {:6.2} s, of these {:.2} s on a core, {} requests, {} MiB",
        arguments.join(" "),
        cost.took.as_secs_f64(),
        cost.cpu.as_secs_f64(),
        cost.requests,
        cost.kib / 1024
    );
    assert!(cost.took > Duration::from_secs(20), "it did not wait");
    assert!(cost.cpu < cost.took / 2, "waiting is busy");
    is_small(&cost, &arguments);
}

fn is_small(cost: &Cost, arguments: &[&str]) {
    assert!(
        cost.kib < 512 * 1024,
        "{arguments:?} held {} MiB",
        cost.kib / 1024
    );
}
