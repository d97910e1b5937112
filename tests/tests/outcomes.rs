//! The fault table, a test case for every row: with this trouble in the world an inspection of all phases says exactly
//! this, and everything else is as it is without. `FAULTS_SEEN=DIR` writes what was seen there, row by row, in the
//! form of the table, to be judged by a person before it is copied.

#![expect(
    clippy::disallowed_methods,
    reason = "a world that is not ours to watch is looked at again and again"
)]

use std::{
    collections::BTreeSet,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use checks::catalogue;
use libtest_mimic::{Arguments, Failed, Trial};
use reports::model::Outcome;
use sandbox::{Stage, faults};
use tests::{
    TestEnvironment,
    faults::{Row, Seen, Shown, healthy, table},
};

#[path = "faults/rows.rs"]
#[expect(
    dead_code,
    reason = "how a story is told is the matter of another test"
)]
mod rows;

use rows::Expected;

/// How many worlds stand side by side: most of the time each of them waits.
const WORLDS: usize = 4;
/// How long a world may take until everything that follows from its fault has come about.
const LIMIT: Duration = Duration::from_secs(90);
/// How long it must then stay so.
const REST: Duration = Duration::from_millis(700);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(300);

fn main() {
    let mut arguments = Arguments::from_args();
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        arguments.test_threads.get_or_insert(WORLDS);
    }
    let mut trials = vec![
        Trial::test("every_fault_has_a_row", complete),
        Trial::test("every_check_is_touched_by_a_fault", touched),
        Trial::test("docs_of_faults_are_what_the_tables_say", copied),
        Trial::test("what_gets_worse_during_a_run_is_said", got_worse),
    ];
    let seen = std::env::var_os("FAULTS_SEEN").map(PathBuf::from);
    // A row that says nothing yet is looked at; `FAULTS_ALL` looks at the others anew.
    let again = std::env::var_os("FAULTS_ALL").is_some();
    for row in table() {
        if seen.is_some() && !(again || row.changes.is_empty()) {
            continue;
        }
        let seen = seen.clone();
        let name = match row.fault.as_str() {
            "" => {
                let applied: String = row.applied.iter().map(|one| format!("_{one}")).collect();
                format!("healthy_{:?}{applied}", row.stage).to_lowercase()
            }
            fault => fault.replace('-', "_"),
        };
        trials.push(Trial::test(name, move || match seen {
            Some(folder) => look(&row, folder),
            None => compare(&row),
        }));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Rows and faults are the same set, and what the rows name exists.
fn complete() -> Result<(), Failed> {
    let rows = table();
    let known: BTreeSet<&str> = faults::catalogue().iter().map(|fault| fault.name).collect();
    let named: BTreeSet<&str> = rows
        .iter()
        .map(|row| row.fault.as_str())
        .filter(|fault| !fault.is_empty())
        .collect();
    if named != known {
        let lost: Vec<_> = named.symmetric_difference(&known).collect();
        return Err(format!("in only one of the table and the catalogue: {lost:?}").into());
    }
    for row in &rows {
        for change in &row.changes {
            if let Some(action) = phases::actions::find(&change.id) {
                let known = |code: &String| action.reasons.iter().any(|one| one.code == code);
                let common = |code: &String| code == "Blocked";
                let strange = change
                    .reasons
                    .iter()
                    .find(|code| !known(code) && !common(code));
                match strange {
                    Some(code) => return Err(format!("{} cannot say {code}", change.id).into()),
                    None => continue,
                }
            }
            let Some(check) = catalogue::find(&change.id) else {
                return Err(format!("[{}] no check is called {}", row.fault, change.id).into());
            };
            for reason in &change.reasons {
                if check.remedy(reason).is_none() && reason != "RequirementSkipped" {
                    return Err(format!("[{}] {} cannot say {reason}", row.fault, change.id).into());
                }
            }
        }
    }
    Ok(())
}

/// What shows only in a run in the midst of which a fault is switched on: [`got_worse`] is that run.
const DURING_A_RUN: [(&str, &str, &str); 3] = [
    (
        "datastore-unhealthy",
        "post::datastore",
        "DatastoreUnhealthy",
    ),
    ("datastore-unhealthy", "post::nothing_got_worse", "GotWorse"),
    (
        "alertmanager-down",
        "post::workloads_uninterrupted",
        "Interrupted",
    ),
];

/// A check that no fault touches could say yes to anything. Blocked alone does not count: it was not asked.
fn touched() -> Result<(), Failed> {
    let rows = table();
    let shown = shown();
    let by_story = |id: &str| shown.iter().any(|one| one.id == id);
    let by_row = |id: &str| {
        let faults = rows.iter().filter(|row| !row.fault.is_empty());
        faults.flat_map(|row| &row.changes).any(|change| {
            change.id == id && matches!(change.outcome.as_str(), "fail" | "warn" | "error" | "skip")
        })
    };
    let lost: Vec<&str> = catalogue::all()
        .map(|check| check.id)
        .filter(|id| !by_row(id) && !by_story(id))
        .collect();
    if lost.is_empty() {
        Ok(())
    } else {
        Err(format!("no fault touches {}", lost.join(", ")).into())
    }
}

/// The datastore and a workload fail while the node joins: `post` says so, and what it was before.
fn got_worse() -> Result<(), Failed> {
    let world = TestEnvironment::at(Stage::New, &[]);
    let mut run = world.spawn_onboard(&["--timeout", "post=3s"]);
    run.until("its push", |_| world.commits().len() > 1);
    // Nothing between the push and `post` asks for them.
    let faults: BTreeSet<&str> = DURING_A_RUN.iter().map(|(fault, ..)| *fault).collect();
    for fault in faults {
        world.fault(fault, true);
    }
    let output = run.wait();
    if output.code != 1 {
        return Err(format!("exit {}\n{}", output.code, output.stdout).into());
    }
    let report = world.report().ok_or("no report")?;
    for (_, id, reason) in DURING_A_RUN {
        let ended = report.case(id).and_then(|case| case.ended());
        let found = ended.map(|ended| (ended.outcome, ended.reason.as_str()));
        if found != Some((Outcome::Fail, reason)) {
            return Err(format!("{id}: {found:?}").into());
        }
    }
    Ok(())
}

/// Which fault shows which check or action, and how: rows, stories, and the run in which things get worse.
fn shown() -> Vec<Shown> {
    let mut all: Vec<Shown> = table().iter().flat_map(Row::shown).collect();
    let during = DURING_A_RUN
        .iter()
        .map(|(fault, id, reason)| Shown::new(fault, id, "fail", reason, "during"));
    let stories = rows::ROWS.iter().filter_map(|row| {
        let how = if row.late { "late" } else { "run" };
        match row.expected {
            Expected::Stops { id, reason, .. } => {
                Some(Shown::new(row.fault, id, "fail", reason, how))
            }
            Expected::Warns { id, reason } => Some(Shown::new(row.fault, id, "warn", reason, how)),
            Expected::SameVerdicts => None,
        }
    });
    for one in during.chain(stories) {
        // An inspection is tried sooner than a run.
        if !all
            .iter()
            .any(|known| known.id == one.id && known.fault == one.fault)
        {
            all.push(one);
        }
    }
    all.sort();
    all
}

/// The harness has a copy of this list, because it must not look into the tests.
fn copied() -> Result<(), Failed> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../harness/src/shown.table");
    let mut wanted = String::from(
        "# Which fault of the sandbox shows which check, written from the tests by `just docs`.\n",
    );
    for one in shown() {
        wanted.push_str(&format!("{one}\n"));
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if found == wanted {
        return Ok(());
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted)?;
        return Ok(());
    }
    let first = wanted
        .lines()
        .zip(found.lines())
        .find(|(wanted, found)| wanted != found);
    Err(
        format!("harness/src/shown.table is stale, run `just docs`; first difference: {first:?}")
            .into(),
    )
}

fn world(row: &Row) -> TestEnvironment {
    let faults: Vec<&str> = Some(row.fault.as_str())
        .filter(|fault| !fault.is_empty())
        .into_iter()
        .collect();
    TestEnvironment::at(row.stage, &faults)
}

/// The world comes to what the table says, and stays there.
fn compare(row: &Row) -> Result<(), Failed> {
    let rows = table();
    let healthy = healthy(&rows, row);
    let world = world(row);
    let begun = Instant::now();
    let mut agreed: Option<Instant> = None;
    loop {
        let seen = world.inspected(&row.applied);
        let wrong = row.differences(healthy, &seen);
        if wrong.is_empty() {
            if agreed.is_some_and(|since| since.elapsed() >= REST) {
                return Ok(());
            }
            agreed.get_or_insert_with(Instant::now);
        } else {
            agreed = None;
            if begun.elapsed() > LIMIT {
                return Err(format!(
                    "{}\n--- as seen\n{}",
                    wrong.join("\n"),
                    row.written(healthy, &seen)
                )
                .into());
            }
        }
        thread::sleep(if agreed.is_some() { REST } else { LOOK });
    }
}

/// Writes down what the world comes to, once two looks in a row say the same.
fn look(row: &Row, folder: PathBuf) -> Result<(), Failed> {
    let rows = table();
    let healthy = healthy(&rows, row);
    let world = world(row);
    let mut last = Seen::new();
    let mut changes = 0;
    let mut quiet = 0;
    for _ in 0..12 {
        thread::sleep(Duration::from_millis(1500));
        let seen = world.inspected(&row.applied);
        quiet = if seen == last { quiet + 1 } else { 0 };
        changes += usize::from(seen != last);
        last = seen;
        if quiet == 2 {
            break;
        }
    }
    let mut text = row.written(healthy, &last);
    if quiet < 2 {
        text.push_str(&format!("# never at rest: {changes} changes\n"));
    }
    let name = match row.fault.as_str() {
        "" => format!("healthy-{:?}{}", row.stage, row.applied.concat()).to_lowercase(),
        fault => fault.to_owned(),
    };
    std::fs::write(folder.join(name), text)?;
    Ok(())
}
