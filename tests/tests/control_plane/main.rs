//! The tests that need a real control plane. Without one they are skipped, with one line that says why.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "bodies that are tests elsewhere stand here as plain functions"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a runner of tests says what it skips and what it has counted"
)]

mod definitions;
mod differential;
#[path = "../runner/dry.rs"]
#[allow(dead_code, reason = "what only tests of the sandbox use")]
mod dry;
#[path = "../faults.rs"]
#[allow(dead_code, reason = "it is a runner of its own, too")]
mod faults;
#[path = "../runner/fixes.rs"]
#[allow(dead_code, reason = "what only tests of the sandbox use")]
mod fixes;
#[path = "../runner/interrupted.rs"]
#[allow(dead_code, reason = "what only tests of the sandbox use")]
mod interrupted;
mod kubectl;
mod life;
#[path = "../runner/lock.rs"]
mod lock;
mod policy;
mod pre;
#[path = "../runner/rights.rs"]
#[allow(dead_code, reason = "what only tests of the sandbox use")]
mod rights;
#[path = "../runner/rollback.rs"]
#[allow(dead_code, reason = "what only tests of the sandbox use")]
mod rollback;
#[path = "../runner/rollback_budgets.rs"]
mod rollback_budgets;
#[path = "../runner/rollback_people.rs"]
mod rollback_people;
#[path = "../runner/stories.rs"]
#[allow(dead_code, reason = "what only tests of the sandbox use")]
mod stories;
#[path = "../runner/temporary.rs"]
mod temporary;

use std::{process::ExitCode, sync::OnceLock};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tests::{control_plane::network, real};

/// What a test comes to.
type Outcome = Result<Completion, Failed>;

/// The body of a test.
type Body = fn() -> Outcome;

const TESTS: &[(&str, Body)] = &[
    (
        "life::a_control_plane_starts_and_ends",
        life::starts_and_ends,
    ),
    ("life::its_controllers_work", life::controllers_work),
    (
        "definitions::real_definitions_accept_the_sandbox",
        definitions::accept_the_sandbox,
    ),
    (
        "pre::phase_pre_decides_every_check",
        pre::decides_every_check,
    ),
    (
        "differential::the_sandbox_answers_like_a_real_server",
        differential::same_answers,
    ),
    (
        "differential::every_shape_of_request_is_in_the_table",
        differential::every_shape_is_in_the_table,
    ),
    (
        "kubectl::it_says_the_same_of_both_servers",
        kubectl::same_output,
    ),
];

/// Faults that do not lead here to what the table says, and why.
const OTHERWISE: &[(&str, &str)] = &[];

/// What a module names with `tests::on_both!`.
type Bodies = &'static [(&'static str, fn())];

/// Tests that need machines, by module; nearly all of them are bodies that run on the sandbox too.
const ON_BOTH: &[(&str, Bodies)] = &[
    ("dry", dry::ON_BOTH),
    ("fixes", fixes::ON_BOTH),
    ("stories", stories::ON_BOTH),
    ("interrupted", interrupted::ON_BOTH),
    ("lock", lock::ON_BOTH),
    ("rights", rights::ON_BOTH),
    ("rollback", rollback::ON_BOTH),
    ("rollback", rollback_budgets::ON_BOTH),
    ("rollback", rollback_people::ON_BOTH),
    ("temporary", temporary::ON_BOTH),
    (
        "policy",
        &[(
            "what_it_refuses_for_a_moment_is_asked_again",
            policy::what_it_refuses_for_a_moment_is_asked_again,
        )],
    ),
    (
        "pre",
        &[(
            "phase_pre_passes_on_a_whole_cluster",
            pre::passes_on_a_whole_cluster,
        )],
    ),
];

/// Why there are no machines on a real control plane here; asked by faults, which are given as functions.
static LONELY: OnceLock<String> = OnceLock::new();

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        // More would only wait for a control plane.
        let most = usize::from(network::PLACES);
        arguments.test_threads.get_or_insert(most);
    }
    let absent = tests::control_plane::assets().err();
    // Before anything else runs: a process goes into a network of its own as a whole.
    let lonely = match &absent {
        None if !arguments.list => network::enter().err(),
        _ => absent.clone(),
    };
    if let Some(why) = &lonely {
        LONELY.get_or_init(|| why.clone());
    }
    let mut trials: Vec<Trial> = faults::cases("faults::", left_out);
    for (module, tests) in ON_BOTH {
        trials.extend(tests.iter().map(|&(name, body)| {
            Trial::ignorable_test(format!("{module}::{name}"), move || match LONELY.get() {
                Some(why) => Ok(Completion::ignored_with(why)),
                None => {
                    body();
                    Ok(Completion::Completed)
                }
            })
        }));
    }
    if !arguments.list
        && let Some(why) = &lonely
    {
        let all = trials.len() + if absent.is_some() { TESTS.len() } else { 0 };
        eprintln!("real control plane: {all} tests skipped: {why}");
    }
    trials.extend(TESTS.iter().map(|&(name, body)| {
        let absent = absent.clone();
        Trial::ignorable_test(name, move || match absent {
            Some(why) => Ok(Completion::ignored_with(why)),
            None => body(),
        })
    }));
    real::choose();
    let conclusion = libtest_mimic::run(&arguments, trials);
    real::end();
    conclusion.exit_code()
}

/// Why a fault is not shown on a real control plane, if so.
fn left_out(fault: &str) -> Option<String> {
    let beyond = sandbox::faults::beyond_objects(fault);
    let differs = || OTHERWISE.iter().find(|(name, _)| *name == fault);
    let why = beyond.or_else(|| differs().map(|(_, why)| *why));
    why.map(str::to_owned).or_else(|| LONELY.get().cloned())
}

/// Runs the async body of a test.
fn block_on<T>(body: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(body)
}
