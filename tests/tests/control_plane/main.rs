//! The tests that need a real control plane. Without one they are skipped, with one line that says why.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a runner of tests says what it skips and what it has counted"
)]

mod definitions;
mod differential;
mod life;
mod onboarding;
mod pre;

use std::process::ExitCode;

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
];

/// The tests that need machines on the control plane. Their bodies are the same as on the sandbox.
const ON_BOTH: &[(&str, fn())] = &[(
    "onboarding::a_new_cluster_is_onboarded",
    onboarding::onboarded,
)];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let absent = tests::control_plane::assets().err();
    // Before anything else runs: a process goes into a network of its own as a whole.
    let lonely = match &absent {
        None if !arguments.list => network::enter().err(),
        _ => absent.clone(),
    };
    if !arguments.list {
        if let Some(why) = &absent {
            let all = TESTS.len() + ON_BOTH.len();
            eprintln!("real control plane: {all} tests skipped: {why}");
        } else if let Some(why) = &lonely {
            eprintln!("real control plane: {} tests skipped: {why}", ON_BOTH.len());
        }
    }
    real::choose();
    let own = TESTS.iter().map(|&(name, body)| {
        let absent = absent.clone();
        Trial::ignorable_test(name, move || match absent {
            Some(why) => Ok(Completion::ignored_with(why)),
            None => body(),
        })
    });
    let both = ON_BOTH.iter().map(|&(name, body)| {
        let lonely = lonely.clone();
        Trial::ignorable_test(name, move || match lonely {
            Some(why) => Ok(Completion::ignored_with(why)),
            None => {
                body();
                Ok(Completion::Completed)
            }
        })
    });
    let conclusion = libtest_mimic::run(&arguments, own.chain(both).collect());
    real::end();
    conclusion.exit_code()
}

/// Runs the async body of a test.
fn block_on<T>(body: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(body)
}
