//! What a run asks of the API server: how often, and that it does not grow with the cluster.

use std::collections::BTreeMap;

use sandbox::{Crowd, Stage};
use tests::TestEnvironment;

/// Requests of a run without access reviews, by what was asked; pages of a list stand once.
fn asked(world: &TestEnvironment, arguments: &[&str]) -> (usize, BTreeMap<String, usize>) {
    let since = world.requests().len();
    let _ = world.onboard(arguments);
    let mut count = 0;
    let mut by_path: BTreeMap<String, usize> = BTreeMap::new();
    for one in &world.requests()[since..] {
        if one.group == "authorization.k8s.io" {
            continue;
        }
        count += 1;
        if !one.path.contains("continue=") {
            *by_path
                .entry(format!("{} {}", one.verb, one.path))
                .or_default() += 1;
        }
    }
    (count, by_path)
}

#[test]
fn an_inspection_keeps_to_its_budget_of_requests() {
    let world = TestEnvironment::at(Stage::Onboarded, &[]);
    let (pre, paths) = asked(&world, &["--phase", "pre"]);
    assert!(pre <= 40, "{pre} requests: {paths:#?}");
    let (all, paths) = asked(&world, &tests::every_phase());
    assert!(all <= 90, "{all} requests: {paths:#?}");
    // Each kind is listed once in a view, whoever asks first.
    let twice: Vec<_> = paths
        .iter()
        .filter(|(what, count)| what.starts_with("list ") && **count > 1)
        .collect();
    assert!(twice.is_empty(), "listed more than once: {twice:?}");
}

#[test]
fn the_number_of_requests_does_not_grow_with_the_nodes() {
    let run = |crowd: Crowd| {
        let world = TestEnvironment::crowded(crowd);
        asked(&world, &tests::every_phase()).1
    };
    let few = run(Crowd { nodes: 2, pods: 40 });
    let many = run(Crowd {
        nodes: 500,
        pods: 2_000,
    });
    assert_eq!(few, many);
}

/// What a busy cluster changes all the time: each change of what is watched is a look at all of it.
#[test]
fn no_wait_watches_what_grows_with_the_cluster() {
    let world = TestEnvironment::new();
    let _ = world.onboard(&[]).exits(0);
    let _ = world.onboard(&["--rollback", "--yes"]).exits(0);
    let watched: Vec<String> = world
        .requests()
        .into_iter()
        .filter(|one| one.path.contains("watch=true"))
        .map(|one| one.path)
        .collect();
    assert!(watched.len() > 10, "{watched:?}");
    for all in [
        "/api/v1/pods?",
        "/kube-node-lease/leases?",
        "/api/v1/events?",
        "/api/v1/secrets?",
    ] {
        let wide: Vec<_> = watched
            .iter()
            .filter(|path| path.contains(all) && !path.contains("Selector="))
            .collect();
        assert!(wide.is_empty(), "{wide:?}");
    }
}

#[test]
fn requests_are_counted_for_whoever_caused_them() {
    let world = TestEnvironment::new();
    let _ = world.onboard(&["--report"]).exits(0);
    let report = world.archived().unwrap();
    let of = |id: &str| report.case(id).unwrap().ended().unwrap().requests;
    // A patch and what it reads before; requests to Flux and the watch of what comes of them; the watch of a wait.
    for (id, least) in [
        ("join::label", 1),
        ("gitops::reconcile", 4),
        ("join::registered", 2),
        ("network::probe_pods", 6),
    ] {
        assert!(of(id) >= least, "{id}: {}", of(id));
    }
    let cases = report.phases.iter().flat_map(|phase| &phase.cases);
    let counted: u64 = cases
        .filter_map(|case| case.ended())
        .map(|ended| ended.requests)
        .sum();
    let others: u64 = report.other_requests.values().sum();
    assert_eq!(
        counted + others,
        report.requests,
        "{:?}",
        report.other_requests
    );
    assert!(
        !report.other_requests.contains_key("nobody"),
        "{:?}",
        report.other_requests
    );
    assert!(
        others * 5 < counted,
        "{counted} for cases, {:?}",
        report.other_requests
    );
    // In every copy.
    let logs = std::fs::read_dir(world.logs()).unwrap();
    let markdown = logs
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|kind| kind == "md"))
        .unwrap();
    let text = std::fs::read_to_string(markdown).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("| requests "))
        .unwrap();
    assert!(
        line.contains(&report.requests.to_string()) && line.contains("the lock"),
        "{line}"
    );
}
