//! The program as a person meets it: started as a process, on an embedded cluster.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking, and one that leaves something out says what"
)]

mod cli;
mod configured;
mod dry;
mod fixes;
mod garbage;
mod garbage_entry;
mod garbage_folders;
mod garbage_report;
mod garbage_repository;
mod inspect;
mod interrupted;
mod kubectl;
mod lock;
mod performance;
mod reports;
mod reports_hostile;
mod requests;
mod rights;
mod rollback;
mod rollback_budgets;
mod rollback_people;
mod stories;
mod temporary;

use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn every_file_here_is_part_of_the_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runner");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name != "main")
        .collect();
    let named: BTreeSet<String> = include_str!("main.rs")
        .lines()
        .filter_map(|line| {
            line.strip_prefix("mod ")?
                .strip_suffix(';')
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(files, named);
}
