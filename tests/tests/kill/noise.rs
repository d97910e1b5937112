//! Trouble on the wire: 20 of 100 requests answered 429 or 500, or their connection closed before or after the server
//! has done what was asked; and as many slow. What comes out is what comes out without.
//!
//! `ONBOARDING_NOISE` is the number of seeds, `ONBOARDING_SEED` the first of them.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use checks::cluster::Connection;
use k8s_openapi::api::core::v1::Service;
use kube::{Api, api::PostParams};
use sandbox::{Noise, Stage};
use serde_json::{Value, json};
use tests::TestEnvironment;

use crate::{
    kills::{logged_world, nothing_left, nothing_twice},
    support::{Chance, alone, number},
};

/// Inspections, each with a seed of its own.
const SEEDS: usize = 50;
/// So many clusters side by side; most of the time is spent waiting to ask again.
const WORLDS: usize = 4;
/// Onboardings under noise.
const ONBOARDINGS: usize = 6;
/// Of a hundred requests.
const PER_CENT: u8 = 20;
/// More than a page of them.
const OBJECTS: usize = 520;

/// What befalls answers; runs that watch also have their watches expire.
const WIRE: [&str; 4] = ["api-throttled", "api-errors", "api-resets", "api-slow"];

type Verdicts = BTreeMap<String, (String, String)>;

/// What came out, by check.
fn verdicts(world: &TestEnvironment) -> Verdicts {
    // Every phase, asked and not changed.
    let out = world.onboard(&[&["--format", "json"][..], &tests::every_phase()].concat());
    assert!(
        matches!(out.code, 0 | 1),
        "exit {}\n{}",
        out.code,
        out.stderr
    );
    let mut found = Verdicts::new();
    for line in out.stdout.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["event"] == "case_ended" {
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            found.insert(text("id"), (text("outcome"), text("reason")));
        }
    }
    assert!(
        found.len() > 100,
        "only {} checks:\n{}",
        found.len(),
        out.stdout
    );
    found
}

/// More than one page of one kind, beside what the cluster has anyway.
fn crowd(world: &TestEnvironment) {
    let kubeconfig = world.sandbox().kubeconfig();
    world.runtime().block_on(async {
        let connection = Connection::open(Some(&kubeconfig), None, "test")
            .await
            .unwrap();
        let services: Api<Service> = Api::namespaced(
            kube::Client::try_from(connection.config().clone()).unwrap(),
            "default",
        );
        for number in 0..OBJECTS {
            let service = json!({
                "metadata": { "name": format!("crowd-{number}") },
                "spec": { "clusterIP": "None", "ports": [{ "port": 80 }] },
            });
            let service = serde_json::from_value(service).unwrap();
            services
                .create(&PostParams::default(), &service)
                .await
                .unwrap();
        }
    });
}

fn noisy(world: &TestEnvironment, seed: u64) {
    for fault in WIRE {
        world.fault(fault, true);
    }
    let noise = Noise {
        per_cent: PER_CENT,
        seed,
    };
    world.sandbox().set_noise(Some(noise));
}

#[test]
fn trouble_on_the_wire_changes_no_verdict() {
    let _alone = alone();
    let begun = Instant::now();
    let (_, first) = Chance::of("noise");
    let seeds = number("ONBOARDING_NOISE", SEEDS) as u64;
    let next = AtomicU64::new(0);
    let (refused, asked) = (AtomicU64::new(0), AtomicU64::new(0));
    let different: Mutex<Vec<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..WORLDS.min(number("ONBOARDING_NOISE", SEEDS)) {
            scope.spawn(|| {
                let world = TestEnvironment::at(Stage::Onboarded, &[]);
                crowd(&world);
                let quiet = verdicts(&world);
                let since = world.requests().len();
                noisy(&world, first);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds {
                        break;
                    }
                    let seed = first.wrapping_add(number);
                    noisy(&world, seed);
                    let found = verdicts(&world);
                    for (id, expected) in &quiet {
                        let verdict = found.get(id);
                        if verdict != Some(expected) {
                            let line =
                                format!("seed {seed}: {id} {expected:?}, under noise {verdict:?}");
                            different.lock().unwrap().push(line);
                        }
                    }
                }
                let requests = world.requests();
                let after = &requests[since..];
                let no_answer = |status: u16| matches!(status, 0 | 429 | 500);
                asked.fetch_add(after.len() as u64, Ordering::Relaxed);
                let bad = after.iter().filter(|one| no_answer(one.status)).count();
                refused.fetch_add(bad as u64, Ordering::Relaxed);
            });
        }
    });
    let (refused, asked) = (refused.into_inner(), asked.into_inner());
    println!(
        "{seeds} seeds: {refused} of {asked} requests refused, some more carried out and not answered; {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    let different = different.into_inner().unwrap();
    assert!(different.is_empty(), "{different:#?}");
    assert!(
        refused * 100 > asked * 10,
        "there was hardly any noise: {refused} of {asked}"
    );
}

#[test]
fn an_onboarding_comes_through_trouble_on_the_wire_and_writes_once() {
    let _alone = alone();
    let begun = Instant::now();
    let (_, first) = Chance::of("noise on writes and watches");
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= ONBOARDINGS as u64 {
                        break;
                    }
                    let seed = first.wrapping_add(number);
                    println!("seed {seed}");
                    let world = logged_world();
                    let before = world.commits();
                    world.fault("watch-stale", true);
                    noisy(&world, seed);
                    let out = world.onboard(&[]);
                    assert_eq!(out.code, 0, "seed {seed}\n{}{}", out.stdout, out.stderr);
                    let report = world.archived().unwrap();
                    for case in report.phases.iter().flat_map(|phase| &phase.cases) {
                        let ended = case.ended().expect("every case ended");
                        let undecided = ended.reason == "CouldNotDecide";
                        assert!(!undecided, "seed {seed}: {} {}", case.id, ended.message);
                    }
                    nothing_twice(&world, &report, &before);
                    world.sandbox().set_noise(Some(Noise { per_cent: 0, seed }));
                    nothing_left(&world);
                }
            });
        }
    });
    println!(
        "{ONBOARDINGS} onboardings, {:.0} s",
        begun.elapsed().as_secs_f64()
    );
}
