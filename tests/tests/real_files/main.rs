//! What our checks make of files that nobody here wrote: a real GitOps repository, and the real definitions of Flux,
//! Longhorn and the Prometheus operator. They lie in a folder beside some checkouts of the project, `shared/data`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by panicking, and a runner of tests says what it skips"
)]

mod fields;
mod gitops;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The body of a test, which is told where its folder is.
type Body = fn(&Path) -> Result<(), Failed>;

/// Name, the folder below `shared/data`, and body.
const TESTS: &[(&str, &str, Body)] = &[
    (
        "gitops::the_checks_find_every_trap",
        "gitops",
        gitops::find_every_trap,
    ),
    (
        "gitops::an_edit_and_its_inverse_change_nothing",
        "gitops",
        gitops::edit_and_inverse,
    ),
    (
        "fields::what_the_checks_read_is_in_the_definitions",
        "crds",
        fields::are_in_the_definitions,
    ),
];

/// The folder of this name, above the project.
fn folder(name: &str) -> Option<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .map(|above| above.join("shared/data").join(name))
        .find(|dir| dir.is_dir())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let absent = TESTS
        .iter()
        .filter(|(_, name, _)| folder(name).is_none())
        .count();
    if absent > 0 && !arguments.list {
        eprintln!(
            "real files: {absent} tests skipped: there is no folder shared/data beside the project"
        );
    }
    let trials = TESTS.iter().map(|&(name, below, body)| {
        Trial::ignorable_test(name, move || match folder(below) {
            Some(folder) => body(&folder).map(|()| Completion::Completed),
            None => Ok(Completion::ignored_with(format!(
                "there is no folder shared/data/{below} beside the project"
            ))),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
