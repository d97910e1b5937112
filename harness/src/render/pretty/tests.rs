use super::*;
use crate::testing;

fn page(width: Option<usize>) -> Page {
    Page {
        look: Look {
            color: false,
            width,
        },
        verbose: false,
    }
}

fn cases() -> Vec<Case> {
    let mut action = testing::case(
        "gitops::push",
        Outcome::Pass,
        "",
        "origin/main 51aa0b2 → 9d0c4e1",
    );
    action.kind = Kind::Action;
    vec![
        testing::case("pre::api_live", Outcome::Pass, "", "answers"),
        testing::case(
            "pre::longhorn_volumes",
            Outcome::Warn,
            "VolumesDegraded",
            "2 of 14 degraded: pvc-0a1f, pvc-77c2",
        ),
        testing::case(
            "pre::metrics_api",
            Outcome::Skip,
            "NotExpected",
            "metrics-server is not installed",
        ),
        action,
        testing::case(
            "storage::disks_ready",
            Outcome::Fail,
            "DiskNotReady",
            "disk sdb1 at /mnt/longhorn/sdb1: Ready=False, \"failed to get disk config: open \
             /mnt/longhorn/sdb1/longhorn-disk.cfg: no such file or directory\", and that has been so for 4 minutes, \
             which is longer than a disk of this size takes to be prepared by the discovery job",
        ),
        testing::case(
            "storage::capacity",
            Outcome::Blocked,
            "Blocked",
            "storage::disks_ready did not pass",
        ),
        testing::case(
            "storage::node_ready",
            Outcome::Error,
            "TimedOut",
            "no answer in 20 s",
        ),
    ]
}

fn shown(width: Option<usize>) -> String {
    let lines: Vec<String> = cases()
        .iter()
        .flat_map(|case| page(width).case(case))
        .collect();
    if let Some(width) = width {
        assert!(
            lines.iter().all(|line| columns(line) <= width),
            "{lines:#?}"
        );
    }
    lines.join("\n")
}

#[test]
fn eighty_columns_are_enough() {
    insta::assert_snapshot!(shown(Some(80)), @r#"
    test pre::api_live ...................... ok       4 ms
    test pre::longhorn_volumes .............. WARN
          2 of 14 degraded: pvc-0a1f, pvc-77c2
    test pre::metrics_api ................... skip   metrics-server is not installed
    test gitops::push [action] .............. done   origin/main 51aa0b2 → 9d0c4e1
    test storage::disks_ready ............... FAILED
          disk sdb1 at /mnt/longhorn/sdb1: Ready=False, "failed to get disk config:
          open /mnt/longhorn/sdb1/longhorn-disk.cfg: no such file or directory", and
          that has been so for 4 minutes, which is longer than a disk of this size…
    test storage::capacity .................. blocked storage::disks_ready did not…
    test storage::node_ready ................ error  no answer in 20 s
    "#);
}

#[test]
fn more_columns_are_used() {
    insta::assert_snapshot!(shown(Some(120)), @r#"
    test pre::api_live ............................ ok       4 ms
    test pre::longhorn_volumes .................... WARN   2 of 14 degraded: pvc-0a1f, pvc-77c2
    test pre::metrics_api ......................... skip   metrics-server is not installed
    test gitops::push [action] .................... done   origin/main 51aa0b2 → 9d0c4e1
    test storage::disks_ready ..................... FAILED
          disk sdb1 at /mnt/longhorn/sdb1: Ready=False, "failed to get disk config: open
          /mnt/longhorn/sdb1/longhorn-disk.cfg: no such file or directory", and that has been so for 4 minutes, which is
          longer than a disk of this size takes to be prepared by the discovery job
    test storage::capacity ........................ blocked storage::disks_ready did not pass
    test storage::node_ready ...................... error  no answer in 20 s
    "#);
}

#[test]
fn a_pipe_gets_every_word_on_one_line() {
    let piped = shown(None);
    assert_eq!(piped.lines().count(), cases().len());
    assert!(piped.contains("prepared by the discovery job"));
}

#[test]
fn what_a_server_says_cannot_draw() {
    let hostile = "a\u{1b}[2J\u{1b}]0;x\u{7}b\r\nok · 1 passed\u{8}\u{202e}";
    let mut case = testing::case("x::y\u{1b}[31m", Outcome::Fail, "Bad", hostile);
    for width in [None, Some(40), Some(80)] {
        let lines = page(width).case(&case);
        assert!(
            lines.iter().all(|line| !line.chars().any(char::is_control)),
            "{lines:?}"
        );
        assert!(lines[0].starts_with("test x::y"));
    }
    testing::ended(&mut case).outcome = Outcome::Skip;
    assert_eq!(page(Some(80)).case(&case).len(), 1);
    let mut event = testing::started(true);
    if let Event::Started {
        node, cluster, run, ..
    } = &mut event
    {
        *node = hostile.into();
        cluster.name = hostile.into();
        *run = hostile.into();
    }
    assert!(
        page(Some(80))
            .started(&event)
            .iter()
            .all(|line| !line.chars().any(char::is_control))
    );
}

#[test]
fn the_heading_names_cluster_repository_and_log() {
    let lines = page(Some(80)).started(&testing::started(true));
    insta::assert_snapshot!(lines.join("\n"), @r"
    Onboarding k3s2 into home  (k3s v1.36.2+k3s1 at https://192.168.86.71:6443)
    git   git@github.com:me/k3s-flux.git main (followed by flux-system/flux-system)
    run   7f3a91c2
    log   /tmp/k3s2-onboarding-logs/k3s2-onboarding-20261122-101502.log
    ");
    let roomy = page(Some(120)).started(&testing::started(true));
    assert!(
        roomy[2].starts_with("run   7f3a91c2   log /tmp/"),
        "{roomy:?}"
    );
    let lines = page(Some(80)).started(&testing::started(false));
    assert!(lines[0].starts_with("Checking k3s2 in home  (k3s v1.36.2+k3s1 at"));
    let mut sandbox = testing::started(true);
    if let Event::Started { cluster, .. } = &mut sandbox {
        cluster.sandbox = true;
    }
    let lines = page(None).started(&sandbox);
    assert!(lines[0].starts_with("Onboarding k3s2 into the sandbox"));
    assert!(
        lines
            .iter()
            .any(|line| line.contains("sandbox: an embedded cluster"))
    );
}

#[test]
fn a_phase_has_a_heading_and_a_footer() {
    assert_eq!(
        page(None).phase(Phase::PreValidation),
        ["1/9 pre_validation · may this cluster take a node?"]
    );
    assert_eq!(
        page(Some(80)).phase(Phase::GitopsActivation),
        [
            "2/9 gitops_activation",
            "    is the node's configuration in git, and did Flux take it?"
        ]
    );
    // What is to be pasted stays one line, at any width.
    let advice =
        "On the host k3s2, if it is not running yet:\n  curl -sfL https://get.k3s.io | sh -";
    assert_eq!(
        page(Some(40)).advice(advice),
        [
            "On the host k3s2, if it is not running",
            "yet:",
            "  curl -sfL https://get.k3s.io | sh -"
        ]
    );
    let outcomes = BTreeMap::from([(Outcome::Pass, 46), (Outcome::Warn, 1), (Outcome::Skip, 1)]);
    assert_eq!(
        page(None).footer(
            PhaseState::Completed,
            &outcomes,
            31,
            Duration::from_millis(230)
        ),
        "ok · 46 passed, 1 warning, 1 skipped · 31 requests · 0.2 s"
    );
    let outcomes = BTreeMap::from([
        (Outcome::Fail, 1),
        (Outcome::Blocked, 6),
        (Outcome::Warn, 2),
    ]);
    assert_eq!(
        page(None).footer(PhaseState::Failed, &outcomes, 1, Duration::from_secs(130)),
        "FAILED · 1 failed, 2 warnings, 6 blocked · 1 request · 2 min 10 s"
    );
}

#[test]
fn colour_is_added_and_is_not_the_only_carrier() {
    let mut coloured = page(Some(80));
    coloured.look.color = true;
    for (plain, painted) in cases()
        .iter()
        .map(|case| (page(Some(80)).case(case), coloured.case(case)))
    {
        assert_ne!(plain, painted);
        let stripped: Vec<String> = painted
            .iter()
            .map(|line| {
                let mut out = String::new();
                let mut rest = line.as_str();
                while let Some((head, tail)) = rest.split_once('\u{1b}') {
                    out.push_str(head);
                    rest = tail.split_once('m').unwrap().1;
                }
                out + rest
            })
            .collect();
        assert_eq!(
            plain.join("\n").replace(' ', ""),
            stripped.join("\n").replace(' ', "")
        );
    }
}
