//! The whole onboarding on a real control plane.

use reports::model::PhaseState;
use tests::TestEnvironment;

pub(crate) fn onboarded() {
    let world = TestEnvironment::new();
    let before = world.commits();
    let output = world.onboard(&["--report"]).exits(0);
    output.says("9 of 9 phases completed");
    let after = world.commits();
    assert_eq!(after.len(), before.len() + 1);
    let report = world.archived().expect("an archived report");
    assert!(report.complete());
    assert_eq!(report.count(PhaseState::Completed), 9);
    println!("{}", output.stdout);
}
