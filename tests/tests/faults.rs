//! Every fault of the catalogue, as a test case of its own: given this trouble in the world, an onboarding stops in
//! this phase for this reason, and goes on once the trouble is gone; or it completes with this warning; or nothing
//! changes at all. What every fault changes in detail stands in `faults.table`.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "faults/rows.rs"]
mod rows;

use std::collections::BTreeSet;

use checks::cluster::Connection;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use reports::model::{ActionState, Outcome, PhaseReport, PhaseState, Report};
use sandbox::{Stage, faults};
use tests::{Output, TestEnvironment};

use rows::{Expected, ROWS, Row};

/// How many worlds stand side by side: most of the time each of them waits.
const WORLDS: usize = 4;
/// How often `--resume` is tried: a world whose trouble is gone recovers in its own time.
const ATTEMPTS: usize = 6;

fn main() {
    let mut arguments = Arguments::from_args();
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        arguments.test_threads.get_or_insert(WORLDS);
    }
    let mut trials = vec![Trial::test("every_row_names_what_exists", complete)];
    trials.extend(cases("", |_| None));
    libtest_mimic::run(&arguments, trials).exit();
}

/// One case a row; one of which `left_out` says why it cannot be shown here is skipped with that.
pub(crate) fn cases(prefix: &str, left_out: fn(&str) -> Option<String>) -> Vec<Trial> {
    let case = |row: &'static Row| {
        let name = format!("{prefix}{}", row.fault.replace('-', "_"));
        Trial::ignorable_test(name, move || match left_out(row.fault) {
            Some(why) => Ok(Completion::ignored_with(why)),
            None => tried(row),
        })
    };
    ROWS.iter().map(case).collect()
}

/// What the rows name exists.
fn complete() -> Result<(), Failed> {
    let known: BTreeSet<&str> = faults::catalogue().iter().map(|fault| fault.name).collect();
    let rows: BTreeSet<&str> = ROWS.iter().map(|row| row.fault).collect();
    if rows.len() != ROWS.len() {
        return Err("a fault stands in two rows".into());
    }
    // Faults without a story of their own stand in the table of `outcomes` all the same.
    let lost: Vec<_> = rows.difference(&known).collect();
    if !lost.is_empty() {
        return Err(format!("no fault of the catalogue: {lost:?}").into());
    }
    for row in ROWS {
        let (Expected::Stops { id, reason, .. } | Expected::Warns { id, reason }) = row.expected
        else {
            continue;
        };
        let Some(check) = checks::catalogue::find(id) else {
            continue;
        };
        if check.remedy(reason).is_none() {
            return Err(format!("{id} cannot say {reason}").into());
        }
    }
    Ok(())
}

fn tried(row: &Row) -> Result<Completion, Failed> {
    match row.expected {
        Expected::Stops {
            id,
            reason,
            seconds,
        } => stops(row, id, reason, seconds),
        Expected::Warns { id, reason } => warns(row, id, reason),
        Expected::SameVerdicts => same_verdicts(row),
    }
    Ok(Completion::Completed)
}

/// A world before the node, or for a trouble that comes to a node that is there, with it.
fn begin(row: &Row) -> TestEnvironment {
    let stage = if row.late {
        Stage::Onboarded
    } else {
        Stage::New
    };
    TestEnvironment::at(stage, &[])
}

/// Switches the trouble on. What real controllers make of it takes its time: where `id` can be asked before the run
/// begins, it has to see it by then.
fn strike(world: &TestEnvironment, row: &Row, id: &str, reason: &str) {
    world.switch(row.fault, true);
    let is_asked = checks::catalogue::find(id).is_some() && (row.late || id.starts_with("pre::"));
    if !world.is_real() || !is_asked {
        return;
    }
    let seen = format!("\"reason\":\"{reason}\"");
    world.until(&format!("{id} says {reason}"), || {
        let asked = world.onboard(&[id, "--exact", "--format", "json"]);
        // Some rest on pods and volumes of a run, and the machines know at once what becomes of these.
        asked.stdout.contains(&seen) || asked.stdout.contains("\"reason\":\"NeedsAction\"")
    });
}

/// Whether Flux has seen what befell the remote before the run came to it. That is right, too, and another story; on a
/// busy machine it can be so.
fn flux_was_first(world: &TestEnvironment, row: &Row, short: &str) -> bool {
    let of_remote = row.fault.starts_with("git-") && short == "gitops";
    let report = world.report().filter(|_| of_remote && world.is_real());
    let seen = report.and_then(|report| report.case("pre::flux_sources")?.outcome());
    seen.is_some_and(|outcome| !outcome.satisfies())
}

/// The run stops in the phase of `id`, says so everywhere, and goes on once the trouble is gone.
fn stops(row: &Row, id: &str, reason: &str, seconds: u32) {
    let world = begin(row);
    let before = world.commits();
    strike(&world, row, id, reason);
    let (short, _) = id.split_once("::").expect("an id");
    // Real controllers take their time, so that a healthy world needs longer.
    let seconds = if world.is_real() {
        2 * seconds
    } else {
        seconds
    };
    let timeout = format!("{short}={seconds}s");
    let mut stopped = world.onboard(&["--timeout", &timeout]).exits(1);
    for _ in 0..3 {
        if !flux_was_first(&world, row, short) {
            break;
        }
        world.switch(row.fault, false);
        world.until("Flux fetches again", || {
            let asked = world.onboard(&["pre::flux_sources", "--exact"]);
            asked.code == 0
        });
        std::fs::remove_dir_all(world.state()).expect("the state folder");
        strike(&world, row, id, reason);
        stopped = world.onboard(&["--timeout", &timeout]).exits(1);
    }

    let report = world.report().expect("an unfinished report");
    let failed: Vec<&PhaseReport> = report
        .phases
        .iter()
        .filter(|phase| phase.state == PhaseState::Failed)
        .collect();
    assert_eq!(failed.len(), 1, "{}", stopped.stdout);
    let phase = failed[0];
    assert_eq!(phase.phase.short(), short, "{}", stopped.stdout);
    for other in &report.phases {
        let wanted = match other.phase.cmp(&phase.phase) {
            std::cmp::Ordering::Less => PhaseState::Completed,
            std::cmp::Ordering::Equal => PhaseState::Failed,
            std::cmp::Ordering::Greater => PhaseState::NotStarted,
        };
        assert_eq!(other.state, wanted, "{:?}", other.phase);
    }
    let ended = report.case(id).and_then(|case| case.ended());
    let ended = ended.unwrap_or_else(|| panic!("{id} has no end:\n{}", stopped.stdout));
    assert!(
        matches!(ended.outcome, Outcome::Fail | Outcome::Error),
        "{id}: {ended:?}"
    );
    assert_eq!(ended.reason, reason, "{id}: {ended:?}");
    assert!(!ended.hint.is_empty(), "{id} says nothing to do: {ended:?}");
    stopped.says(id);
    stopped.says(reason);

    let said = status(&world, &report);
    assert!(said.contains("failed"), "{said}");
    let json = world.state_json();
    assert_eq!(json["phase_status"][phase.phase.name()], "failed", "{json}");

    world.fault(row.fault, false);
    let made = usize::from(!row.late);
    if row.restart && world.is_real() {
        // A real API server changes no pod range, so the node has to join again: another Node, which no finished
        // phase of this run has seen.
        join_again(&world);
        world.until("a cluster that is well again", || {
            world.onboard(&["--phase", "pre"]).code == 0
        });
        let again = world.onboard(&["--fresh"]).exits(0);
        again.says("9 of 9 phases completed");
        assert_eq!(world.commits().len(), before.len() + made);
        return;
    }
    if row.restart {
        restart_pods(&world);
    }
    let resumed = resume(&world, phase);
    resumed.says("9 of 9 phases completed");
    nothing_twice(&world, before.len() + made, &report);
}

/// Deletes the Node of the new node, whose agent starts again, and its pods.
fn join_again(world: &TestEnvironment) {
    let node = "/api/v1/nodes/k3s2";
    let uid = |node: serde_json::Value| node["metadata"]["uid"].as_str().map(str::to_owned);
    let before = uid(world.object(node));
    world.switch("agent-restarted", true);
    world.send("DELETE", node, "application/json", &serde_json::json!({}));
    world.until("another Node", || {
        uid(world.object(node)).is_some_and(|now| Some(now) != before)
    });
    world.switch("agent-restarted", false);
    restart_pods(world);
}

/// What `--status` says; it names the phase that stopped, and the first line of why.
fn status(world: &TestEnvironment, report: &Report) -> String {
    let output = world.onboard(&["--status"]).exits(0);
    for phase in &report.phases {
        output.says(phase.phase.name());
        if phase.state == PhaseState::Failed {
            let (code, _) = phase
                .error
                .split_once(':')
                .expect("an error with its reason");
            let line = output.stdout.lines().find(|line| {
                line.contains(phase.phase.name()) && line.contains("failed") && line.contains(code)
            });
            assert!(
                line.is_some(),
                "status does not say {:?}:\n{}",
                phase.error,
                output.stdout
            );
        }
    }
    output.stdout
}

/// Deletes the pods of the new node, whose controllers make new ones.
fn restart_pods(world: &TestEnvironment) {
    let kubeconfig = world.sandbox().kubeconfig();
    world.runtime().block_on(async {
        let opened = Connection::open(Some(&kubeconfig), None, "tests").await;
        let client = phases::writer(
            &opened.expect("a connection"),
            &phases::lease::Permit::by_folder(),
        )
        .expect("a client");
        let there = ListParams::default().fields("spec.nodeName=k3s2");
        let pods = Api::<Pod>::all(client.clone()).list(&there).await;
        for pod in pods.expect("the pods") {
            let api =
                Api::<Pod>::namespaced(client.clone(), &pod.namespace().expect("a namespace"));
            match api.delete(&pod.name_any(), &DeleteParams::default()).await {
                // Somebody else may have been quicker: whoever keeps it starts it again too.
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => panic!("{} is not deleted: {error}", pod.name_any()),
            }
        }
    });
}

/// Goes on until it is through; every attempt before that may only stop where it stopped first, or later.
fn resume(world: &TestEnvironment, stopped: &PhaseReport) -> Output {
    let patient = format!("{}=20s", stopped.phase.short());
    for _ in 0..ATTEMPTS {
        let output = world.onboard(&["--resume", "--timeout", &patient]);
        if output.code == 0 {
            return output;
        }
        let output = output.exits(1);
        let report = world.report().expect("an unfinished report");
        let failed = report
            .phases
            .iter()
            .find(|phase| phase.state == PhaseState::Failed);
        let failed = failed.unwrap_or_else(|| panic!("no phase failed:\n{}", output.stdout));
        assert!(failed.phase >= stopped.phase, "{}", output.stdout);
    }
    world.onboard(&["--resume"]).exits(0)
}

/// One commit in all, made and pushed once; phases that were completed keep their times.
fn nothing_twice(world: &TestEnvironment, expected: usize, report: &Report) {
    let after = world.commits();
    assert_eq!(after.len(), expected, "commits on the remote: {after:?}");
    let complete = world.archived().expect("an archived report");
    assert!(complete.complete());
    assert_eq!(complete.run, report.run, "a resumed run keeps its name");
    for done in report
        .phases
        .iter()
        .filter(|phase| phase.state == PhaseState::Completed)
    {
        let now = complete.phase(done.phase).expect("the phase");
        assert_eq!(
            (now.started, now.finished),
            (done.started, done.finished),
            "{:?}",
            done.phase
        );
        assert_eq!(now.cases, done.cases, "{:?}", done.phase);
    }
    for action in report
        .actions
        .iter()
        .filter(|action| action.state == ActionState::Done)
    {
        let now = complete.action(&action.id).expect("the action");
        assert_eq!(
            (now.started, now.finished),
            (action.started, action.finished),
            "{}",
            action.id
        );
    }
    let commit = complete
        .action("gitops::commit")
        .expect("the commit")
        .recorded
        .get("commit");
    assert_eq!(commit, after.first());
}

/// The run completes and warns.
fn warns(row: &Row, id: &str, reason: &str) {
    let world = begin(row);
    strike(&world, row, id, reason);
    let output = world.onboard(&[]).exits(0);
    let report = world.archived().expect("an archived report");
    assert!(report.complete());
    let ended = report
        .case(id)
        .and_then(|case| case.ended())
        .expect("its end");
    assert_eq!(
        (ended.outcome, ended.reason.as_str()),
        (Outcome::Warn, reason),
        "{ended:?}"
    );
    assert!(!ended.hint.is_empty(), "{id} says nothing to do: {ended:?}");
    output.says(id);
}

/// Trouble on the wire is not trouble in the world.
fn same_verdicts(row: &Row) {
    let world = begin(row);
    world.fault(row.fault, true);
    let _ = world.onboard(&[]).exits(0);
    let disturbed = verdicts(&world);
    let quiet = begin(row);
    let _ = quiet.onboard(&[]).exits(0);
    assert_eq!(disturbed, verdicts(&quiet));
    assert_eq!(world.commits().len(), quiet.commits().len());
}

/// What came out of every case.
fn verdicts(world: &TestEnvironment) -> BTreeSet<(String, &'static str, String)> {
    let report = world.archived().expect("an archived report");
    let cases = report.phases.iter().flat_map(|phase| &phase.cases);
    cases
        .map(|case| {
            let ended = case
                .ended()
                .unwrap_or_else(|| panic!("{} has no end", case.id));
            (case.id.clone(), ended.outcome.name(), ended.reason.clone())
        })
        .collect()
}
