//! `--phase pre` against a real API server, with nothing but Kubernetes and with everything: every check can tell, and
//! few requests are sent.

use std::path::Path;

use libtest_mimic::Completion;
use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use tests::{
    TestEnvironment,
    control_plane::{ControlPlane, Parts},
};

use crate::{Outcome, block_on};

/// More than this, besides access reviews, would be felt by a real control plane.
const REQUESTS: u64 = 40;

/// On one that has nothing the phase cannot pass: what counts is that it was decided.
pub(crate) fn decides_every_check() -> Outcome {
    let plane = block_on(async { Ok(ControlPlane::start(Parts::Server).await?) })?;
    let environment = TestEnvironment::without_cluster();
    judge(&environment, &plane.kubeconfig(), 1)
}

/// With nodes, Flux, Longhorn and monitoring it passes.
pub(crate) fn passes_on_a_whole_cluster() {
    let environment = TestEnvironment::new();
    // On a busy machine a request is sent again now and then, and counts again.
    let mut fewest = u64::MAX;
    for _ in 0..3 {
        let before = counted(&environment);
        match judge(&environment, &environment.sandbox().kubeconfig(), 0) {
            Ok(_) => fewest = fewest.min(counted(&environment) - before),
            Err(failed) => panic!("{}", failed.message().unwrap_or_default()),
        }
        if fewest <= REQUESTS {
            break;
        }
    }
    println!("phase pre: {fewest} requests on a whole cluster");
    assert!(
        (1..=REQUESTS).contains(&fewest),
        "{fewest} requests were sent, expected at most {REQUESTS}"
    );
}

/// What the API server says was asked so far, besides access reviews.
fn counted(environment: &TestEnvironment) -> u64 {
    let asked = environment.requests().into_iter();
    asked
        .filter(|it| it.group != "authorization.k8s.io")
        .count() as u64
}

fn judge(environment: &TestEnvironment, kubeconfig: &Path, exit: i32) -> Outcome {
    let kubeconfig = kubeconfig.display().to_string();
    let mut arguments = vec![
        "--kubeconfig",
        &kubeconfig,
        "--phase",
        "pre",
        "--color",
        "never",
    ];
    let report = environment.root().join("report.xml").display().to_string();
    arguments.extend(["--junit", &report]);
    let folders = environment.folders();
    arguments.extend(folders.iter().map(String::as_str));
    let _ = environment.harness(&arguments).exits(exit);
    let xml = std::fs::read_to_string(&report)?;
    let report = Report::deserialize_from_str(&xml)?;
    let suite = report
        .test_suites
        .iter()
        .find(|suite| suite.name.as_str().starts_with("pre"))
        .ok_or("the report has no phase pre")?;
    let mut undecided = Vec::new();
    let mut decided = 0;
    for case in &suite.test_cases {
        match &case.status {
            TestCaseStatus::NonSuccess {
                kind: NonSuccessKind::Error,
                message,
                description,
                ..
            } => {
                undecided.push(format!(
                    "{}: {message:?} {description:?}",
                    case.name.as_str()
                ));
            }
            TestCaseStatus::Skipped { .. } => {}
            _ => decided += 1,
        }
    }
    assert!(
        undecided.is_empty(),
        "checks that could not decide:\n{}",
        undecided.join("\n")
    );
    assert!(decided >= 5, "only {decided} checks were decided:\n{xml}");
    if environment.is_real() {
        return Ok(Completion::Completed);
    }
    let counted = suite
        .properties
        .iter()
        .find(|property| property.name.as_str() == "requests")
        .ok_or("the phase counts no requests")?;
    let sent: u64 = counted.value.as_str().parse()?;
    println!(
        "phase pre: {decided} of {} checks decided, with {sent} requests",
        suite.test_cases.len()
    );
    assert!(
        (1..=REQUESTS).contains(&sent),
        "{sent} requests were sent, expected at most {REQUESTS}"
    );
    Ok(Completion::Completed)
}
