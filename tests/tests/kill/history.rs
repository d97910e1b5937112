//! `--history` over fifty runs that the real writer has archived.

use reports::{
    archive,
    folder::{LogFolder, StateFolder},
    model::{Outcome, Phase, PhaseState, Progress, Report},
    store::{Copies, Store},
};
use serde_json::Value;
use tests::TestEnvironment;

use crate::support::{Chance, content};

const RUNS: usize = 50;

/// What a run is to come to.
struct Fate {
    stops: Option<Phase>,
    resumed: bool,
    seconds: i64,
}

/// A real report of a complete onboarding, as every run here is made of.
fn complete() -> Report {
    let world = TestEnvironment::new();
    let _ = world.onboard(&[]).exits(0);
    world.archived().unwrap()
}

/// The report bent to what the run came to. All times of a phase are `seconds` apart.
fn bent(model: &Report, number: usize, fate: &Fate, stops: Option<Phase>) -> Report {
    let begin = model.started + minutes(number);
    let mut report = Report {
        run: format!("{number:08x}"),
        started: begin,
        exit_code: Some(u8::from(stops.is_some())),
        resumed: u32::from(fate.resumed && stops.is_none()),
        ..model.clone()
    };
    let mut at = begin;
    for phase in &mut report.phases {
        let began = at;
        at += std::time::Duration::from_secs(fate.seconds.unsigned_abs());
        (phase.started, phase.finished) = (Some(began), Some(at));
        for case in &mut phase.cases {
            if let Progress::Done(ended) = &mut case.progress {
                ended.started = began;
            }
        }
        match stops {
            Some(stop) if phase.phase > stop => {
                phase.state = PhaseState::NotStarted;
                (phase.started, phase.finished) = (None, None);
                for case in &mut phase.cases {
                    case.progress = Progress::NotStarted;
                }
            }
            Some(stop) if phase.phase == stop => {
                phase.state = PhaseState::Failed;
                phase.error = "DiskNotReady: it is not ready".to_owned();
                if let Progress::Done(ended) = &mut phase.cases[1].progress {
                    ended.outcome = Outcome::Fail;
                    ended.reason = "DiskNotReady".to_owned();
                }
            }
            _ => {}
        }
    }
    report.finished = Some(at);
    report
}

fn minutes(number: usize) -> std::time::Duration {
    std::time::Duration::from_secs(60 * number as u64)
}

#[test]
fn fifty_archived_runs_are_told_in_figures_and_in_order() {
    let (mut chance, _) = Chance::of("history");
    let model = complete();
    let world = TestEnvironment::without_cluster();
    let state = StateFolder::open_or_create(&world.state()).unwrap();
    let logs = LogFolder::open_or_create(&world.logs()).unwrap();
    let mut fates = Vec::new();
    for number in 0..RUNS {
        let stops = (chance.below(3) == 0).then(|| Phase::ALL[chance.below(9)]);
        let fate = Fate {
            stops,
            resumed: stops.is_some() && chance.below(2) == 0,
            seconds: 1 + i64::try_from(chance.below(40)).unwrap(),
        };
        // A run that is resumed is archived twice: as it stopped, and as it ended.
        let ends = if fate.resumed {
            vec![fate.stops, None]
        } else {
            vec![fate.stops]
        };
        for stops in ends {
            let report = bent(&model, number, &fate, stops);
            let at = report.finished.unwrap();
            drop(Store::begin(Some(&state), report, Copies::default()).unwrap());
            archive::archive(&state, &logs, "k3s2", at).unwrap();
            archive::clear(&state).unwrap();
        }
        fates.push(fate);
    }
    let lost = |fate: &&Fate| fate.stops.is_some() && !fate.resumed;
    let complete = RUNS - fates.iter().filter(lost).count();

    let out = asked(&world, &["--format", "json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&told["schema"], &told["event"]),
        (&1.into(), &"history".into())
    );
    assert_eq!(told["onboard"]["runs"], RUNS);
    assert_eq!(told["onboard"]["complete"], complete);
    let runs = told["runs"].as_array().unwrap();
    let order: Vec<&str> = runs
        .iter()
        .map(|run| run["run"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (0..RUNS).map(|number| format!("{number:08x}")).collect();
    assert_eq!(order, expected);
    for (run, fate) in runs.iter().zip(&fates) {
        let stopped = fate.stops.filter(|_| !fate.resumed);
        assert_eq!(
            run["stopped_at"].as_str(),
            stopped.map(Phase::name),
            "{run}"
        );
    }
    // Every phase's figures, worked out once more from what was laid in.
    for (phase, shown) in Phase::ALL.iter().zip(told["phases"].as_array().unwrap()) {
        let through = |fate: &&Fate| fate.resumed || fate.stops.is_none_or(|stop| *phase < stop);
        let mut times: Vec<i64> = fates
            .iter()
            .filter(through)
            .map(|one| one.seconds)
            .collect();
        times.sort_unstable();
        let failed = fates
            .iter()
            .filter(|fate| fate.stops == Some(*phase))
            .count();
        assert_eq!(shown["completed"], times.len(), "{shown}");
        assert_eq!(shown["failed"], failed, "{shown}");
        let slow = times[(times.len() * 95).div_ceil(100) - 1];
        assert!(
            (shown["p95"].as_f64().unwrap() - slow as f64).abs() < 0.01,
            "{shown}"
        );
        let middle = (times[(times.len() - 1) / 2] + times[times.len() / 2]) as f64 / 2.0;
        assert!(
            (shown["median"].as_f64().unwrap() - middle).abs() < 0.01,
            "{shown}"
        );
    }
    let failing = told["failing"].as_array().unwrap();
    let failures: usize = failing
        .iter()
        .map(|one| usize::try_from(one["failed"].as_u64().unwrap()).unwrap())
        .sum();
    assert_eq!(
        failures,
        fates.iter().filter(|fate| fate.stops.is_some()).count()
    );
    assert!(
        failing
            .windows(2)
            .all(|two| two[0]["failed"].as_u64() >= two[1]["failed"].as_u64()),
        "{failing:?}"
    );

    let screen = asked(&world, &[]);
    assert!(screen.contains("50 runs"), "{screen}");
    assert!(screen.contains("DiskNotReady"), "{screen}");
    for run in &expected {
        assert!(
            screen.contains(run.as_str()),
            "{run} is not shown:\n{screen}"
        );
    }

    // Damage is counted and named, and takes nothing away from the rest.
    let cut = world.logs().join("k3s2-onboarding-20300101-000000.xml");
    std::fs::write(&cut, "<testsuites").unwrap();
    std::fs::write(world.logs().join("k3s2-onboarding-latest.xml"), "").unwrap();
    let before = content(&world.logs());
    let told: Value = serde_json::from_str(&asked(&world, &["--format", "json"])).unwrap();
    assert_eq!(told["onboard"]["runs"], RUNS);
    assert_eq!(told["damaged"].as_array().unwrap().len(), 1);
    assert_eq!(told["foreign"].as_array().unwrap().len(), 1);
    let screen = asked(&world, &[]);
    assert!(screen.contains("1 file damaged:"), "{screen}");
    assert!(screen.contains(&cut.display().to_string()), "{screen}");
    assert_eq!(content(&world.logs()), before, "reading changes nothing");
}

/// What `--history` says; it needs no cluster and ends well.
fn asked(world: &TestEnvironment, arguments: &[&str]) -> String {
    let mut all = vec!["--history".to_owned()];
    all.extend(world.folders());
    all.extend(arguments.iter().map(|&one| one.to_owned()));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    world.harness(&all).exits(0).stdout
}

#[test]
fn without_an_archive_it_says_so() {
    let world = TestEnvironment::without_cluster();
    assert!(asked(&world, &[]).contains("no run of k3s2 is archived in"));
    let told: Value = serde_json::from_str(&asked(&world, &["--format", "json"])).unwrap();
    assert_eq!(told["onboard"]["runs"], 0);
    assert!(told["onboard"]["success_rate"].is_null());
    assert!(!world.logs().exists(), "reading makes no folder");
}
