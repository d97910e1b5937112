//! A run that is ended, killed, or meets another one, and what the next run makes of it.

use reports::model::PhaseState;
use tests::TestEnvironment;

tests::on_both!(
    an_interrupt_ends_it_in_order,
    a_termination_ends_it_in_order,
    killed_at_every_action_it_goes_on_and_changes_nothing_twice,
    a_second_run_stops_and_names_the_first,
);

fn ended_by(signal: &str) {
    let world = TestEnvironment::new();
    let before = world.commits();
    let mut run = world.spawn_waiting();
    run.signal(signal);
    let output = run.wait().exits(130);
    output.says("--resume");
    let report = world.report().unwrap();
    assert_eq!(report.exit_code, Some(130));
    let states: Vec<PhaseState> = report.phases.iter().map(|phase| phase.state).collect();
    assert_eq!(states[..2], [PhaseState::Completed; 2], "{states:?}");
    assert_eq!(states[2], PhaseState::InProgress, "{states:?}");
    assert_eq!(states[3..], [PhaseState::NotStarted; 6], "{states:?}");
    world.onboard(&["--status"]).exits(0).says("in progress");

    world.fault("node-never-registers", false);
    let _ = world.onboard(&["--resume"]).exits(0);
    assert_eq!(world.commits().len(), before.len() + 1);
    let complete = world.archived().unwrap();
    assert!(complete.complete());
    for phase in &report.phases[..2] {
        assert_eq!(
            complete.phase(phase.phase),
            Some(phase),
            "finished phases stand"
        );
    }
}

fn an_interrupt_ends_it_in_order() {
    ended_by("INT");
}

fn a_termination_ends_it_in_order() {
    ended_by("TERM");
}

fn killed_at_every_action_it_goes_on_and_changes_nothing_twice() {
    let world = TestEnvironment::new();
    let before = world.commits();
    let mut kills = 0;
    for action in [
        "gitops::activate",
        "gitops::commit",
        "gitops::push",
        "gitops::reconcile",
        "join::label",
        "storage::reconcile",
    ] {
        let first = world.report().is_none();
        let mut run = world.spawn_onboard(if first { &[] } else { &["--resume"] });
        run.until(action, |_| {
            world
                .report()
                .is_some_and(|report| report.action(action).is_some())
        });
        run.signal("KILL");
        let output = run.wait();
        assert_eq!(output.code, -9, "{}", output.stdout);
        assert_eq!(world.report().unwrap().exit_code, None);
        kills += 1;
    }
    assert_eq!(kills, 6);
    let _ = world.onboard(&[]).exits(7);
    let _ = world.onboard(&["--resume"]).exits(0);
    let after = world.commits();
    assert_eq!(after.len(), before.len() + 1, "{after:?}");
    let complete = world.archived().unwrap();
    assert!(complete.complete());
    assert_eq!(complete.resumed, 6);
    let status = world.git(&world.sandbox().checkout(), &["status", "--porcelain"]);
    assert_eq!(status, "");
}

fn a_second_run_stops_and_names_the_first() {
    let world = TestEnvironment::new();
    let mut run = world.spawn_waiting();
    let before = (world.requests().len(), world.repository_state());
    let second = world.onboard(&[]).exits(6);
    second.says(&run.id().to_string());
    let by_second = world.changes(before.0);
    assert!(by_second.is_empty(), "{by_second:?}");
    assert_eq!(world.repository_state(), before.1);
    world
        .onboard(&["--status"])
        .exits(0)
        .says("node_join_monitoring");
    assert!(!run.has_ended(), "the second run ended the first");
    run.signal("TERM");
    let _ = run.wait().exits(130);
}
