//! The sandbox answers like a real API server: one table of requests, sent to both.

mod acted;
mod compare;
mod deviations;
mod listed;
mod objects;
pub(crate) mod servers;
mod shapes;
mod step;
mod written;

use std::{collections::BTreeMap, fmt::Write as _};

use checks::rights::{self, Extent};
use libtest_mimic::Completion;
use sandbox::Stage;
use tests::TestEnvironment;

use crate::{Outcome, block_on};
use servers::Pair;
use step::Step;

/// The table, in the order in which it is sent: a row finds what the rows before it have left.
fn table() -> Vec<Step> {
    let mut table = objects::steps();
    table.extend(shapes::steps());
    table.extend(written::steps());
    table.extend(listed::steps());
    table.extend(acted::steps());
    table
}

/// Fewer rows of a class say little about it.
const FEWEST: usize = 5;

/// The classes that there must be.
const CLASSES: &[&str] = &[
    "verb",
    "selector",
    "patch type",
    "dry run",
    "conflict",
    "precondition",
    "pagination",
    "watch",
    "watch from a version",
    "eviction",
    "finalizer",
    "access review",
    "table",
    "metadata only",
];

pub(crate) fn same_answers() -> Outcome {
    let table = table();
    assert!(
        table.len() >= 80,
        "the table has only {} requests",
        table.len()
    );
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for step in &table {
        *classes.entry(step.class).or_default() += 1;
        if step.class == "watch" && step.path.contains("resourceVersion={") {
            *classes.entry("watch from a version").or_default() += 1;
        }
    }
    let few: Vec<_> = CLASSES
        .iter()
        .filter(|class| classes.get(**class).is_none_or(|count| *count < FEWEST))
        .collect();
    assert!(few.is_empty(), "classes with too few requests: {few:?}");

    block_on(async {
        let mut pair = Pair::start().await?;
        let mut unexplained = String::new();
        let mut told = deviations::Told::new();
        let mut count = 0;
        for step in &table {
            let [real, ours] = pair.send(step).await?;
            let mut differences = compare::differences(step, &real, &ours);
            differences.retain(|difference| !told.explains(step, difference));
            if !differences.is_empty() {
                count += 1;
                writeln!(unexplained, "{step}")?;
            }
            for difference in differences {
                writeln!(unexplained, "  {difference}")?;
            }
        }
        let (meant, open) = told.counts();
        println!(
            "{} requests of {} classes to both servers: {meant} differences that are meant, {open} that are faults of \
             the sandbox still open",
            table.len(),
            classes.len()
        );
        for unused in told.unused() {
            count += 1;
            writeln!(unexplained, "listed, and not found any more: {unused}")?;
        }
        if count > 0 {
            return Err(format!("{count} unexplained:\n{unexplained}").into());
        }
        Ok(Completion::Completed)
    })
}

/// Whatever an onboarding and a rollback declare that they read, watch or remove, as one request each. Which of it one run
/// sends is a matter of the moment: a kind is watched where something is waited for, and what goes by itself is not
/// deleted.
fn declared() -> Vec<(&'static str, String)> {
    let settings = checks::Settings::default();
    let mut rights = rights::needed(&settings, &Extent::Onboarding);
    rights.extend(rights::needed_by(
        phases::rollback::needs(),
        "rollback",
        true,
        &settings,
    ));
    rights
        .into_keys()
        .filter_map(|right| {
            let kind = checks::kinds::ALL
                .iter()
                .find(|kind| (kind.group, kind.plural) == (right.group, right.resource))?;
            let mut path = match (kind.group, kind.versions[0]) {
                ("", version) => format!("/api/{version}"),
                (group, version) => format!("/apis/{group}/{version}"),
            };
            // Where it is needed in the whole cluster, and in places where a run still reads one namespace only.
            if !right.namespace.is_empty() {
                path.push_str(&format!("/namespaces/{}", right.namespace));
            }
            path.push_str(&format!("/{}", kind.plural));
            let name = if right.name.is_empty() { "one" } else { &right.name };
            let selector = if right.name.is_empty() {
                String::new()
            } else {
                format!("fieldSelector=metadata.name%3D{name}&")
            };
            match right.verb {
                "list" => Some(("GET", format!("{path}?{selector}limit=500"))),
                "watch" => Some((
                    "GET",
                    format!(
                        "{path}?{selector}allowWatchBookmarks=true&resourceVersion=1&timeoutSeconds=1&watch=true"
                    ),
                )),
                "delete" if kind.namespaced && right.namespace.is_empty() => None,
                "delete" => Some(("DELETE", format!("{path}/{name}"))),
                _ => None,
            }
        })
        .collect()
}

/// What an onboarding, an inspection of everything and a rollback send is what the table has, so that the comparison is
/// about the requests that matter. So is what they declare and did not come to send this time.
pub(crate) fn every_shape_is_in_the_table() -> Outcome {
    let environment = TestEnvironment::on_the_sandbox(Stage::New, &[]);
    let _ = environment.onboard(&[]).exits(0);
    let onboarding = environment.sandbox().requests().len();
    // Every id has two colons, so this asks all checks. What they find is no matter here.
    let _ = environment.onboard(&["::"]);
    let inspection = environment.sandbox().requests().len() - onboarding;
    let _ = environment.onboard(&["--rollback", "--dry-run"]).exits(0);
    let _ = environment.onboard(&["--rollback", "--yes"]).exits(0);
    let sent = environment.sandbox().requests();
    let rollback = sent.len() - onboarding - inspection;
    assert!(
        inspection > 20,
        "an inspection of everything sends more than {inspection} requests"
    );
    let known: Vec<String> = table().iter().map(Step::shape).collect();
    let mut absent: BTreeMap<String, String> = BTreeMap::new();
    let mut shapes = std::collections::BTreeSet::new();
    for request in sent {
        let method = match request.verb.as_str() {
            "create" => "POST",
            "update" => "PUT",
            "patch" => "PATCH",
            "delete" | "deletecollection" => "DELETE",
            _ => "GET",
        };
        let shape = step::shape(method, &request.path);
        if !known.contains(&shape) {
            absent.insert(shape.clone(), row(method, &request.path));
        }
        shapes.insert(shape);
    }
    for (method, path) in declared() {
        let shape = step::shape(method, &path);
        if !known.contains(&shape) {
            absent.insert(shape, row(method, &path));
        }
    }
    println!(
        "{} shapes of request in an onboarding ({onboarding} requests), an inspection of everything ({inspection}) and a \
         rollback ({rollback})",
        shapes.len()
    );
    assert!(
        shapes.len() > 20,
        "an onboarding sends more than {} shapes of request",
        shapes.len()
    );
    if !absent.is_empty() {
        let lines: Vec<String> = absent
            .iter()
            .map(|(shape, row)| format!("{shape}\n    {row}"))
            .collect();
        return Err(format!(
            "{} shapes of request are not in the table (tests/tests/control_plane/differential/). Write:\n{}\nThe \
             names in the path must be those of objects.rs (namespace table, nodes k3s1 and k3s2).",
            lines.len(),
            lines.join("\n")
        )
        .into());
    }
    Ok(Completion::Completed)
}

/// The row that would compare a request like this one.
fn row(method: &str, path: &str) -> String {
    let (plain, query) = path.split_once('?').unwrap_or((path, ""));
    let has = |key: &str| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some(key))
    };
    let selected = has("fieldSelector") || has("labelSelector");
    match method {
        "GET" if has("watch") && selected => {
            format!("in NAMED of shapes.rs: (\"{plain}\", \"NAME\")")
        }
        "GET" if has("watch") => format!("in WATCHED of shapes.rs: \"{plain}\""),
        "GET" if selected => {
            format!("in steps() of shapes.rs: Step::get(\"selector\", \"{path}\")")
        }
        "GET" if query == "limit=500" => format!("in LISTED of shapes.rs: \"{plain}\""),
        "GET" => format!("in steps() of shapes.rs: Step::get(\"verb\", \"{path}\")"),
        "DELETE" => format!("in acted.rs: Step::delete(\"verb\", \"{path}\")"),
        "PATCH" => {
            format!("in acted.rs: Step::patch(\"patch type\", \"{path}\", \"merge\", json!({{…}}))")
        }
        "PUT" => format!("in acted.rs: Step::put(\"verb\", \"{path}\", json!({{…}}))"),
        _ => format!("in acted.rs: Step::post(\"create\", \"{path}\", json!({{…}}))"),
    }
}
