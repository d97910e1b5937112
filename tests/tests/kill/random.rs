//! Stories made by chance: faults that come and go, kills, interrupts, resumes and rollbacks. Each ends, once the faults
//! are gone, with the node fully in or fully out, and every volume as healthy as before.
//!
//! `ONBOARDING_STORIES` is the number of stories (many for a night), `ONBOARDING_SEED` the first seed.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reports::model::{Mode, Phase, PhaseState};
use serde_json::Value;
use tests::{Output, TestEnvironment};

use crate::{
    journey::node,
    kills::{logged_world, nothing_left},
    support::{Chance, alone, number},
};

/// So many stories unless told otherwise, and no new one after so long.
const STORIES: usize = 6;
const LONGEST: Duration = Duration::from_secs(120);
/// So often is tried to come to an end once the faults are gone; the world takes its time.
const TRIES: usize = 15;

const STORAGE: &str = "/apis/longhorn.io/v1beta2/namespaces/longhorn-system";
const KUSTOMIZATION: &str = "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/infrastructure-storage";

/// What comes and goes. Each of them ends by itself when it is switched off, and leaves nothing that a resume would have
/// to hold against the cluster: CoreDNS that was down since `pre` stays an interruption (`post::workloads_uninterrupted`).
const FAULTS: &[&str] = &[
    "push-refused",
    "git-remote-unreachable",
    "flux-source-unreachable",
    "node-never-registers",
    "node-not-ready",
    "longhorn-disk-not-ready",
    "longhorn-manager-crashing-on-node",
    "longhorn-eviction-stuck",
    "node-finalizer-stuck",
    "api-errors",
    "api-throttled",
    "api-resets",
    "watch-stale",
];

/// Short waits, so that a fault stops a run in moments.
const IMPATIENT: &[&str] = &[
    "--timeout",
    "pre=2s",
    "--timeout",
    "gitops=4s",
    "--timeout",
    "join=4s",
    "--timeout",
    "storage=4s",
];

struct Story {
    world: TestEnvironment,
    chance: Chance,
    told: String,
    on: Vec<&'static str>,
    volumes: BTreeMap<String, u8>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let world = logged_world();
        let volumes = volumes(&world);
        assert!(!volumes.is_empty(), "there is no volume to lose");
        Self {
            world,
            chance: Chance::with(seed),
            told: format!("story {seed}"),
            on: Vec::new(),
            volumes,
        }
    }

    fn tell(&mut self, what: &str) {
        let _ = write!(self.told, "\n  {what}");
    }

    /// A fault comes or goes.
    fn trouble(&mut self) {
        let fault = FAULTS[self.chance.below(FAULTS.len())];
        if let Some(at) = self.on.iter().position(|one| *one == fault) {
            self.on.remove(at);
            self.world.fault(fault, false);
            self.tell(&format!("{fault} ends"));
        } else if self.on.len() < 2 {
            self.on.push(fault);
            self.world.fault(fault, true);
            self.tell(&format!("{fault} begins"));
        }
    }

    /// What a person could start now.
    fn arguments(&mut self, back: bool) -> Vec<&'static str> {
        let report = self.world.report();
        let rolling_back = report
            .as_ref()
            .is_some_and(|one| one.mode == Mode::Rollback);
        let mut arguments = if back || rolling_back {
            vec!["--rollback", "--yes"]
        } else if report.is_some() {
            vec!["--resume"]
        } else {
            vec![]
        };
        arguments.extend(IMPATIENT);
        arguments
    }

    /// A start of the program that ends as chance has it.
    fn step(&mut self) {
        let back = self.chance.below(4) == 0;
        let arguments = self.arguments(back);
        let name = arguments.first().copied().unwrap_or("onboard");
        let name = if name == "--timeout" { "onboard" } else { name };
        let ends = ["KILL", "KILL", "INT", "TERM", "itself", "itself"][self.chance.below(6)];
        let after = Duration::from_millis(100 + self.chance.below(3_000) as u64);
        let mut run = self.world.spawn_onboard(&arguments);
        if ends != "itself" {
            let begun = Instant::now();
            while begun.elapsed() < after && !run.has_ended() {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            if ends == "KILL" {
                run.kill();
            } else {
                run.signal(ends);
            }
        }
        let out = run.wait();
        self.tell(&format!(
            "{name}, ended by {ends} ({after:?}): exit {}",
            out.code
        ));
        self.possible(&out, ends);
    }

    /// Only these ends make sense.
    fn possible(&self, out: &Output, ends: &str) {
        let expected = match out.code {
            0 | 1 | 8 => true,
            -9 => ends == "KILL",
            // A signal may come before anybody listens to it.
            -15 => ends == "TERM",
            -2 => ends == "INT",
            130 => matches!(ends, "INT" | "TERM"),
            // It could not start because of what is wrong with the world.
            3 => !self.on.is_empty(),
            _ => false,
        };
        assert!(
            expected,
            "{}\nexit {}\n{}{}",
            self.told, out.code, out.stdout, out.stderr
        );
    }

    /// No more faults, and the end.
    fn end(&mut self) -> &'static str {
        for fault in std::mem::take(&mut self.on) {
            self.world.fault(fault, false);
        }
        let back = self.chance.below(2) == 0;
        self.tell(if back {
            "all is well; out"
        } else {
            "all is well; in"
        });
        let mut last = None;
        for _ in 0..TRIES {
            let report = self.world.report();
            let rolling = report
                .as_ref()
                .is_some_and(|one| one.mode == Mode::Rollback);
            let arguments: &[&str] = if back || rolling {
                &["--rollback", "--yes"]
            } else if report.is_some() {
                &["--resume"]
            } else {
                &[]
            };
            let out = self.world.onboard(arguments);
            self.tell(&format!("{arguments:?}: exit {}", out.code));
            let there = out.code == 0 && (back || !rolling);
            last = Some(out);
            if there {
                break;
            }
        }
        let out = last.unwrap();
        assert_eq!(out.code, 0, "{}\n{}{}", self.told, out.stdout, out.stderr);
        if back {
            self.is_out();
        } else {
            self.is_in();
        }
        self.holds("a volume is worse than before", |story| {
            let now = volumes(&story.world);
            story
                .volumes
                .iter()
                .all(|(name, before)| now.get(name) >= Some(before))
        });
        nothing_left(&self.world);
        if back { "out" } else { "in" }
    }

    /// Waits a little for what the world does in its own time.
    fn holds(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !so(self) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{what}\n{}\n{:#?}",
                self.told,
                volumes(&self.world)
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn is_in(&self) {
        assert!(
            entry_is_active(&self.world),
            "{}\nthe entry is not active",
            self.told
        );
        self.holds("the node is not Ready", |story| {
            node(&story.world) == Some(true)
        });
        let found = self.world.object("/api/v1/nodes/k3s2");
        assert_ne!(
            found["spec"]["unschedulable"], true,
            "{}\nit is cordoned",
            self.told
        );
        let disks = self.world.object(&format!("{STORAGE}/nodes/k3s2"));
        assert_ne!(
            disks["spec"]["allowScheduling"], false,
            "{}\n{disks}",
            self.told
        );
        assert_ne!(
            disks["spec"]["evictionRequested"], true,
            "{}\n{disks}",
            self.told
        );
        flux_goes_on(&self.world);
        let report = self.world.archived().unwrap();
        assert_eq!(report.mode, Mode::Onboard, "{}", self.told);
        let through = Phase::ALL.iter().all(|phase| {
            report
                .phase(*phase)
                .is_some_and(|one| one.state == PhaseState::Completed)
        });
        assert!(through, "{}\nnot every phase is completed", self.told);
    }

    fn is_out(&self) {
        println!("{}", self.told);
        is_out(&self.world);
    }
}

/// Nothing of the node is left, in git, in the cluster and in Longhorn.
pub(crate) fn is_out(world: &TestEnvironment) {
    assert!(!entry_is_active(world), "the entry is active");
    assert_eq!(node(world), None, "the node is there");
    let known = world.object(&format!("{STORAGE}/nodes/k3s2"));
    assert_eq!(known, Value::Null, "Longhorn knows it");
    let secret = "/api/v1/namespaces/kube-system/secrets/k3s2.node-password.k3s";
    assert_eq!(world.object(secret), Value::Null, "its password is there");
    flux_goes_on(world);
}

fn flux_goes_on(world: &TestEnvironment) {
    let found = world.object(KUSTOMIZATION);
    assert_ne!(found["spec"]["suspend"], true, "Flux is suspended");
}

fn entry_is_active(world: &TestEnvironment) -> bool {
    let file = world.git(
        &world.sandbox().remote(),
        &["show", "main:infrastructure/storage/kustomization.yaml"],
    );
    let line = file
        .lines()
        .find(|line| line.contains("../k3s2-node-config/"));
    !line.expect("the entry").trim_start().starts_with('#')
}

/// How well each volume is, and nothing of one without a healthy copy.
pub(crate) fn volumes(world: &TestEnvironment) -> BTreeMap<String, u8> {
    let list = world.object(&format!("{STORAGE}/volumes"));
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let rank = |volume: &Value| match volume["status"]["robustness"].as_str() {
        Some("healthy") => 2,
        Some("degraded") => 1,
        _ => 0,
    };
    let name = |volume: &Value| volume["metadata"]["name"].as_str().unwrap().to_owned();
    items
        .iter()
        .map(|volume| (name(volume), rank(volume)))
        .collect()
}

#[test]
fn whatever_befalls_it_the_node_ends_in_or_out() {
    let _alone = alone();
    let begun = Instant::now();
    let (_, first) = Chance::of("stories");
    let stories = number("ONBOARDING_STORIES", STORIES);
    let longest = if stories > STORIES {
        Duration::MAX
    } else {
        LONGEST
    };
    let next = AtomicU64::new(0);
    let told = AtomicUsize::new(0);
    let ends: Mutex<BTreeMap<&str, usize>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= stories as u64 || begun.elapsed() > longest {
                        break;
                    }
                    let seed = first.wrapping_add(number);
                    println!("story ONBOARDING_SEED={seed} begins");
                    let mut story = Story::new(seed);
                    for _ in 0..3 + story.chance.below(4) {
                        if story.chance.below(3) > 0 {
                            story.trouble();
                        }
                        story.step();
                    }
                    let end = story.end();
                    *ends.lock().unwrap().entry(end).or_default() += 1;
                    told.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{} stories ended: {:?}, {:.0} s",
        told.load(Ordering::Relaxed),
        ends.into_inner().unwrap(),
        begun.elapsed().as_secs_f64()
    );
    assert!(told.into_inner() > 0, "no story was told");
}
