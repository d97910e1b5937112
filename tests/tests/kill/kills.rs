//! The program is killed (SIGKILL, from outside, by what its report says) at every phase and action event and at many
//! check events. The cluster and the git remote live on.
//!
//! `ONBOARDING_KILLS` is the number of check events, `ONBOARDING_SEED` chooses them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    time::Instant,
};

use phases::order::{Step, steps};
use reports::model::{ActionState, Mode, Phase, Report};
use tests::{LIMIT, TestEnvironment};

use crate::{
    journey::{Hit, Journey, Point},
    random::{is_out, volumes},
    support::{Chance, alone, number},
};

/// How many check events.
const CHECKS: usize = 40;
/// So many worlds side by side.
const WORLDS: usize = 4;
/// A kill that comes late misses the next event; what was missed is aimed at again, in a new world.
const ROUNDS: usize = 6;

/// Every event of an onboarding in the order in which it comes, with this many checks.
fn events(chance: &mut Chance, checks: usize) -> Vec<Point> {
    let mut all = Vec::new();
    for phase in Phase::ALL {
        all.push(Point::PhaseBegun(phase));
        for step in steps(phase) {
            match step {
                Step::Checks(checks) => {
                    all.extend(checks.iter().map(|one| Point::CheckEnded(one.id)))
                }
                Step::Action(action) => {
                    all.push(Point::ActionBegun(action.id));
                    all.push(Point::ActionDone(action.id));
                }
            }
        }
        all.push(Point::PhaseEnded(phase));
    }
    let is_check = |point: &Point| matches!(point, Point::CheckEnded(_));
    let (asked, other): (Vec<_>, Vec<_>) = all.iter().copied().partition(is_check);
    let mut chosen: BTreeSet<Point> = chance.some(asked, checks).into_iter().collect();
    chosen.extend(other);
    all.retain(|point| chosen.contains(point));
    all
}

/// A cluster whose remote writes down every push.
pub(crate) fn logged_world() -> TestEnvironment {
    let world = TestEnvironment::new();
    let remote = world.sandbox().remote();
    let _ = world.git(&remote, &["config", "core.logAllRefUpdates", "always"]);
    world
}

/// Kills at these points, one after the other, and goes on to the end.
fn onboarded(points: &[Point]) -> Vec<(Point, Hit)> {
    let world = logged_world();
    let before = world.commits();
    let mut journey = Journey::new(&world, &[], &["--resume"]);
    let mut hits = Vec::new();
    for &point in points {
        hits.push((point, journey.kill_at(point)));
    }
    let report = journey.finish();
    nothing_twice(&world, &report, &before);
    assert_eq!(report.resumed, journey.kills, "each kill was resumed once");
    nothing_left(&world);
    hits
}

/// One commit, one push, one record for each action.
pub(crate) fn nothing_twice(world: &TestEnvironment, report: &Report, before: &[String]) {
    assert!(report.complete());
    assert_eq!(report.exit_code, Some(0));
    let after = world.commits();
    assert_eq!(after.len(), before.len() + 1, "not one commit: {after:?}");
    assert_eq!(after[1..], *before);
    let remote = world.sandbox().remote();
    let pushes = world.git(&remote, &["reflog", "show", "--format=%h", "main"]);
    assert_eq!(pushes.lines().count(), 1, "not one push: {pushes}");
    let checkout = world.sandbox().checkout();
    assert_eq!(world.git(&checkout, &["rev-parse", "main"]), after[0]);
    assert_eq!(world.git(&checkout, &["status", "--porcelain"]), "");
    let mut seen = BTreeSet::new();
    for action in &report.actions {
        assert!(seen.insert(&action.id), "{} is on record twice", action.id);
        // What was made for a while is taken away again; everything else stays done.
        let known = phases::actions::find(&action.id);
        let expected = if known.is_some_and(|one| one.act.is_temporary()) {
            ActionState::Undone
        } else {
            ActionState::Done
        };
        assert_eq!(action.state, expected, "{}", action.id);
    }
}

/// What carries the label of this program.
fn made_by_runs(world: &TestEnvironment) -> Vec<String> {
    let mut left = Vec::new();
    for kinds in [
        "/api/v1/namespaces",
        "/api/v1/pods",
        "/api/v1/persistentvolumeclaims",
        "/api/v1/services",
        "/api/v1/configmaps",
        "/apis/apps/v1/deployments",
        "/apis/batch/v1/jobs",
        "/apis/storage.k8s.io/v1/storageclasses",
    ] {
        let path = format!("{kinds}?labelSelector=app.kubernetes.io/managed-by%3Donboarding");
        let found = world.object(&path);
        let items = found["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{path}: {found}"));
        left.extend(
            items
                .iter()
                .map(|one| format!("{kinds}/{}", one["metadata"]["name"])),
        );
    }
    left
}

/// Nothing that a run makes for itself is left, once what is going has gone.
pub(crate) fn nothing_left(world: &TestEnvironment) {
    let begun = Instant::now();
    loop {
        let left = made_by_runs(world);
        if left.is_empty() {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "left in the cluster: {left:?}");
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    let lease =
        world.object("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/onboarding-k3s2");
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    assert_eq!(holder, "", "the lease is still held");
    let mut names: Vec<String> = std::fs::read_dir(world.state())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| name != "lock");
    assert!(names.is_empty(), "left in the state folder: {names:?}");
}

/// Shares the points out to worlds, so that the points of one world lie apart, and does again what came late.
fn every_point(
    all: Vec<Point>,
    story: impl Fn(&[Point]) -> Vec<(Point, Hit)> + Sync,
) -> BTreeMap<Point, Hit> {
    let hits: Mutex<BTreeMap<Point, Hit>> = Mutex::default();
    let mut open = all;
    for _ in 0..ROUNDS {
        let worlds = WORLDS.min(open.len());
        std::thread::scope(|scope| {
            for first in 0..worlds {
                let mine: Vec<Point> = open.iter().copied().skip(first).step_by(worlds).collect();
                let (hits, story) = (&hits, &story);
                scope.spawn(move || {
                    for (point, hit) in story(&mine) {
                        hits.lock().unwrap().insert(point, hit);
                    }
                });
            }
        });
        let known = hits.lock().unwrap();
        open.retain(|point| matches!(known.get(point), None | Some(Hit::Past | Hit::Never)));
        if open.is_empty() {
            break;
        }
        println!(
            "{} events came before the program could be killed there: once more",
            open.len()
        );
    }
    hits.into_inner().unwrap()
}

/// A rollback of a node that was onboarded by the program, killed at these points.
fn rolled_back(points: &[Point]) -> Vec<(Point, Hit)> {
    const BACK: &[&str] = &["--rollback", "--yes"];
    let world = logged_world();
    let _ = world.onboard(&[]).exits(0);
    let (before, well) = (world.commits(), volumes(&world));
    let mut journey = Journey::new(&world, BACK, BACK);
    let mut hits = Vec::new();
    for &point in points {
        hits.push((point, journey.kill_at(point)));
    }
    let report = journey.finish();
    assert_eq!(report.mode, Mode::Rollback);
    assert_eq!(report.exit_code, Some(0));
    let after = world.commits();
    assert_eq!(after.len(), before.len() + 1, "not one commit: {after:?}");
    let remote = world.sandbox().remote();
    let pushes = world.git(&remote, &["reflog", "show", "--format=%h", "main"]);
    assert_eq!(
        pushes.lines().count(),
        2,
        "not one push there and one back: {pushes}"
    );
    let same = world.git(&remote, &["diff", "--stat", "main~2", "main"]);
    assert_eq!(same, "", "the repository is not as it was before");
    let checkout = world.sandbox().checkout();
    assert_eq!(world.git(&checkout, &["rev-parse", "main"]), after[0]);
    assert_eq!(world.git(&checkout, &["status", "--porcelain"]), "");
    is_out(&world);
    let now = volumes(&world);
    for (name, health) in &well {
        assert!(
            now.get(name) >= Some(health),
            "{name} is worse than before: {now:?}"
        );
    }
    nothing_left(&world);
    hits
}

#[test]
fn a_rollback_killed_anywhere_goes_on_and_does_nothing_twice() {
    let _alone = alone();
    let begun = Instant::now();
    let all: Vec<Point> = phases::rollback::ACTIONS
        .iter()
        .flat_map(|step| [Point::StepBegun(step.id), Point::StepDone(step.id)])
        .collect();
    let hits = every_point(all.clone(), rolled_back);
    let killed = |point: &&Point| matches!(hits.get(point), Some(Hit::At | Hit::After));
    let missed: Vec<_> = all.iter().filter(|point| !killed(point)).collect();
    println!(
        "killed at {} of {} points of a rollback, {:.0} s",
        all.len() - missed.len(),
        all.len(),
        begun.elapsed().as_secs_f64()
    );
    assert!(missed.is_empty(), "never killed at {missed:?}");
}

#[test]
fn an_onboarding_killed_anywhere_goes_on_and_does_nothing_twice() {
    let _alone = alone();
    let begun = Instant::now();
    let (mut chance, _) = Chance::of("kills");
    let all = events(&mut chance, number("ONBOARDING_KILLS", CHECKS));
    let hits = every_point(all.clone(), onboarded);
    let of = |what: fn(&Point) -> bool| {
        let hit = |point: &&Point| matches!(hits.get(point), Some(Hit::At | Hit::After));
        let aimed: Vec<&Point> = all.iter().filter(|point| what(point)).collect();
        let killed = aimed.iter().filter(|point| hit(point)).count();
        (killed, aimed.len())
    };
    let phases = of(|point| matches!(point, Point::PhaseBegun(_) | Point::PhaseEnded(_)));
    let actions = of(|point| matches!(point, Point::ActionBegun(_) | Point::ActionDone(_)));
    let checks = of(|point| matches!(point, Point::CheckEnded(_)));
    let exact = hits.values().filter(|hit| **hit == Hit::At).count();
    let killed = phases.0 + actions.0 + checks.0;
    println!(
        "killed at {killed} points of an onboarding: {} of {} phase events, {} of {} action events, {} of {} check events; \
         {exact} of them before one more write; {:.0} s",
        phases.0,
        phases.1,
        actions.0,
        actions.1,
        checks.0,
        checks.1,
        begun.elapsed().as_secs_f64()
    );
    let missed: Vec<_> = hits
        .iter()
        .filter(|(_, hit)| matches!(hit, Hit::Past | Hit::Never))
        .collect();
    assert_eq!(phases.0, phases.1, "{missed:?}");
    assert_eq!(actions.0, actions.1, "{missed:?}");
    assert!(killed >= 60, "only {killed} points: {missed:?}");
}
