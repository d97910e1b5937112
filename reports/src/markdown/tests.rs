use pretty_assertions::assert_eq;

use super::*;
use crate::{
    junit::samples::{blank, case, done, stopped},
    model::{ActionRecord, ActionState, Mode, Outcome, PhaseState, Progress},
};

fn prose(report: &Report) -> String {
    render(
        report,
        &MarkdownOptions {
            embed: false,
            ..MarkdownOptions::default()
        },
    )
}

#[test]
fn a_stopped_onboarding_reads_like_this() {
    insta::assert_snapshot!(prose(&stopped()), @r##"
# Onboarding of k3s2

**Executive summary:** k3s2 is not onboarded yet: storage_integration failed (DiskNotReady: disk sdb1 is not ready); 3 of 9 phases are through, 2 passed, 2 failed, 1 warning, 1 skipped, 1 blocked.

## 2 Failures

### `storage::disks_ready` failed: DiskNotReady

Expected: storage::disks_ready holds

Found: disk sdb1 is not ready

```text
disk sdb1 at /mnt/longhorn/sdb1: Ready=False
"no such file"
```

To do:

```text
on k3s2: mkdir -p /mnt/longhorn/sdb1 && mount /mnt/longhorn/sdb1
```

Blocks 1 check: `storage::capacity`

Decided at `checks/src/storage.rs:120`.

### `storage::manager_on_node` could not be decided: DeadlinePassed

Expected: storage::manager_on_node holds

Found: no answer within 10 s

## Recommendations

1. `storage::disks_ready`: on k3s2: mkdir -p /mnt/longhorn/sdb1 &amp;&amp; mount /mnt/longhorn/sdb1
2. `storage::manager_on_node`: ask again with `--phase storage manager_on_node`
3. Then go on with `--resume`; `--status` compares this report with the cluster as it is now.
4. Or take the node out again with `--rollback`.

## Phases

|  | phase | state | passed | warned | failed | skipped | took | error |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| 1 | pre_validation | completed | 1 | 1 | 0 | 1 | 1.0 s |  |
| 2 | gitops_activation | completed | 1 | 0 | 0 | 0 | 4.0 s |  |
| 3 | node_join_monitoring | completed | 0 | 0 | 0 | 0 | 48 s |  |
| 4 | storage_integration | failed | 0 | 0 | 2 | 1 | 2 min 10 s | DiskNotReady: disk sdb1 is not ready |
| 5 | network_validation | not started | 0 | 0 | 0 | 0 |  |  |
| 6 | monitoring_integration | not started | 0 | 0 | 0 | 0 |  |  |
| 7 | security_validation | not started | 0 | 0 | 0 | 0 |  |  |
| 8 | post_validation | not started | 0 | 0 | 0 | 0 |  |  |
| 9 | health_verification | not started | 0 | 0 | 0 | 0 |  |  |

## Timeline

```mermaid
gantt
    title k3s2
    dateFormat x
    axisFormat %H:%M:%S
    section Phases
    pre_validation :done, 1795342502000, 1795342503000
    gitops_activation :done, 1795342503000, 1795342507000
    node_join_monitoring :done, 1795342507000, 1795342555000
    storage_integration :crit, 1795342555000, 1795342685000
    section Changes
    gitops push :milestone, 1795342505000, 0d
```

## Cluster state

### Nodes

| name | ready |
| --- | --- |
| k3s1 | True |
| k3s2 | True |

## Warnings

- `pre::longhorn_volumes` VolumesDegraded: 2 of 14 degraded: pvc-0a1, pvc-77c

## What was changed

| action | state | when | recorded | to undo |
| --- | --- | --- | --- | --- |
| `gitops::push` | done | 2026-11-22T10:15:05Z | after: `9d0c4e1`<br>pre_image: 38 bytes | `--rollback` |

## Requirement traceability

<details><summary>Criteria of the specification and their checks</summary>

| criterion | verdict | checks |
| --- | --- | --- |
| 2.3 | 5 of 9 open | `pre::api_live` pass<br>`pre::longhorn_volumes` warn<br>`pre::metrics_api` skip<br>`gitops::push` pass<br>`storage::disks_ready` fail<br>`storage::capacity` blocked<br>`storage::manager_on_node` error<br>`storage::replicas` in progress<br>`storage::reconcile` not started |
| 7.2 | 2 of 3 open | what did not pass says what was seen and what to do |
| 7.4 | by this report | this report, its JUnit and the log beside it; `--status` and `--history` |

</details>

## Not asked

<details><summary>2 cases skipped or blocked</summary>

| case | reason | message |
| --- | --- | --- |
| `pre::metrics_api` | NoMetricsServer | metrics-server is not installed |
| `storage::capacity` | Blocked | waits for storage::disks_ready |

</details>

## Environment

| what | value |
| --- | --- |
| run | `7f3a91c2 (onboard)` |
| harness | `0.1.0` |
| cluster | `home` |
| API server | `https://192.168.86.71:6443 v1.36.2+k3s1` |
| cluster UID | `0b5e1c1e-0000-4000-8000-000000000001` |
| started | `2026-11-22T10:15:02Z` |
| finished | `2026-11-22T10:18:22Z` |
| exit code | `1` |
| resumed | `0 times` |
| requests | `93` |
| took | `3 min 20 s` |
| repository | `git@github.com:me/k3s-flux.git main` |
| entry | `../k3s2-node-config/ in infrastructure/storage/kustomization.yaml` |
"##);
}

#[test]
fn the_first_sentence_fits_the_run() {
    let mut report = blank();
    insta::assert_snapshot!(sentence(&report), @"k3s2 is being onboarded into home, or that was interrupted; 0 of 9 phases are through, nothing asked yet.");
    report.exit_code = Some(130);
    report.phases[2].state = PhaseState::InProgress;
    insta::assert_snapshot!(sentence(&report), @"k3s2 is not onboarded yet: the run ended at node_join_monitoring with exit 130; 0 of 9 phases are through, nothing asked yet.");
    report.mode = Mode::Inspect;
    insta::assert_snapshot!(sentence(&report), @"k3s2 in home was looked at and nothing was changed; nothing asked yet.");
    report.actions.push(ActionRecord {
        id: "fix::uncordon".into(),
        state: ActionState::Done,
        started: report.started,
        finished: None,
        recorded: std::collections::BTreeMap::new(),
    });
    insta::assert_snapshot!(sentence(&report), @"k3s2 in home was looked at, and changed by `fix::uncordon`; nothing asked yet.");
    report.actions.clear();
    report.mode = Mode::DryRun;
    insta::assert_snapshot!(sentence(&report), @"Nothing was changed: this is what onboarding k3s2 into home would do; nothing asked yet.");
    report.mode = Mode::Rollback;
    insta::assert_snapshot!(sentence(&report), @"k3s2 was not completely taken out of home (exit 130); nothing asked yet.");
    report.mode = Mode::Onboard;
    report.cluster.sandbox = true;
    report.finished = Some(crate::junit::samples::at(252));
    report.phases[0].cases = vec![
        case("pre::a", done(Outcome::Pass, "", "ok")),
        case("pre::b", done(Outcome::Warn, "W", "hm")),
    ];
    for phase in &mut report.phases {
        phase.state = PhaseState::Completed;
    }
    insta::assert_snapshot!(sentence(&report), @"k3s2 is part of the sandbox cluster home: all 9 phases are through in 4 min 12 s, 1 passed, 1 warning.");
}

#[test]
fn the_state_is_read_back() {
    for report in [blank(), stopped()] {
        assert_eq!(
            embedded(&render(&report, &MarkdownOptions::default())),
            Ok(report)
        );
    }
    assert_eq!(embedded(&prose(&stopped())), Err(EmbeddedError::Missing));
}

/// Evidence that contains a whole comment of ours, fences, HTML and tables.
fn hostile() -> Report {
    let mut report = stopped();
    let mut forged = blank();
    forged.node = "forged".to_owned();
    let comment = embed::comment(&forged);
    let nasty = format!("```\n{comment}\n-->\n<script>|a|b|\n</details>\u{1b}[31m K3S_TOKEN=a:b");
    let mut failed = done(Outcome::Fail, "Nasty|", &nasty);
    if let Progress::Done(ended) = &mut failed {
        ended.evidence = nasty
            .lines()
            .map(str::to_owned)
            .chain((0..30).map(|n| n.to_string()))
            .collect();
        ended.hint.clone_from(&nasty);
    }
    report.phases[3]
        .cases
        .push(case(&format!("storage::{nasty}"), failed));
    if let Some(state) = &mut report.state {
        state.tables[0].rows.push(vec![nasty.clone(), nasty]);
    }
    report
}

#[test]
fn hostile_text_shows_and_does_nothing() {
    let report = hostile();
    let text = render(&report, &MarkdownOptions::default());
    assert_eq!(embedded(&text).unwrap(), cleaned(&report));
    assert!(!text.contains('\u{1b}') && !text.contains("K3S_TOKEN=a:b"));
    assert!(
        text.contains("<details><summary>Evidence,"),
        "long evidence is folded"
    );
    assert_eq!(
        text.matches("<!-- onboarding-report").count(),
        1,
        "the forged comment is broken up"
    );
    // Without its own state the file has none: the forged one does not count.
    assert_eq!(embedded(&prose(&report)), Err(EmbeddedError::Missing));
    let outside_of_blocks = outside(&text);
    assert!(
        !outside_of_blocks.contains("<script"),
        "{outside_of_blocks}"
    );
}

/// What stands outside of fenced blocks, code spans and our comment.
fn outside(text: &str) -> String {
    let mut fence = String::new();
    let mut out = String::new();
    let prose = text.split(BEGIN_OF_STATE).next().unwrap();
    for line in prose.lines() {
        let ticks: String = line.chars().take_while(|char| *char == '`').collect();
        if fence.is_empty() && ticks.len() >= 3 {
            fence = ticks;
        } else if !fence.is_empty() {
            if line == fence {
                fence.clear();
            }
        } else {
            out.push_str(&without_spans(line));
            out.push('\n');
        }
    }
    assert!(fence.is_empty(), "every block is closed");
    out
}

/// A line without its code spans, which end at a run of backticks as long as the one they began with.
fn without_spans(line: &str) -> String {
    let ticks = |text: &str| text.len() - text.trim_start_matches('`').len();
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        out.push_str(&rest[..at]);
        let length = ticks(&rest[at..]);
        rest = &rest[at + length..];
        loop {
            let end = rest.find('`').expect("every code span is closed");
            let run = ticks(&rest[end..]);
            rest = &rest[end + run..];
            if run == length {
                break;
            }
        }
    }
    out + rest
}

const BEGIN_OF_STATE: &str = "<!-- onboarding-report ";

#[test]
fn no_cut_and_no_edit_of_the_state_goes_unseen() {
    let report = blank();
    let text = render(&report, &MarkdownOptions::default());
    let begin = text.find(BEGIN_OF_STATE).unwrap();
    for end in (0..text.len() - 1).filter(|end| text.is_char_boundary(*end)) {
        assert!(embedded(&text[..end]).is_err(), "cut at {end}");
    }
    for at in begin..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1 << (at % 7);
        let Ok(edited) = String::from_utf8(bytes) else {
            continue;
        };
        if let Ok(found) = embedded(&edited) {
            assert_eq!(found, report, "byte {at}");
        }
    }
    let edited = text.replace("sequence=0", "sequence=5");
    assert!(matches!(embedded(&edited), Err(EmbeddedError::Invalid(_))));
    let edited = text.replace("schema=1", "schema=2");
    assert!(matches!(
        embedded(&edited),
        Err(EmbeddedError::UnknownSchema { .. })
    ));
    let edited = text.replace("\"run\":\"7f3a91c2\"", "\"run\":\"7f3a91c3\"");
    assert!(matches!(
        embedded(&edited),
        Err(EmbeddedError::Digest { .. })
    ));
    // Line endings of a mail program or an editor are no damage.
    assert_eq!(embedded(&text.replace('\n', "\r\n")), Ok(report));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        failure_persistence: None, max_shrink_iters: 64, ..Default::default()
    })]

    #[test]
    fn any_state_is_read_back_and_any_text_is_tame(report in crate::junit::arbitrary::any_report()) {
        let text = render(&report, &MarkdownOptions::default());
        proptest::prop_assert_eq!(embedded(&text).unwrap(), cleaned(&report));
        let prose = outside(&text);
        let ours = ["<details>", "</details>", "<summary>", "</summary>", "<br>"];
        let foreign = ours.iter().fold(prose, |text, tag| text.replace(tag, ""));
        let found = foreign.lines().find(|line| line.contains('<'));
        proptest::prop_assert_eq!(found, None);
    }
}

#[test]
fn what_does_not_apply_is_not_held_against_a_criterion() {
    let of = |outcomes: &[Outcome]| {
        let mut report = blank();
        let cases = outcomes.iter().enumerate().map(|(number, outcome)| {
            case(
                &format!("pre::case_{number}"),
                done(*outcome, "Reason", "words"),
            )
        });
        report.phases[0].cases = cases.collect();
        let text = prose(&report);
        let line = text
            .lines()
            .find(|line| line.starts_with("| 2.3 |"))
            .unwrap();
        line.split('|').nth(2).unwrap().trim().to_owned()
    };
    use Outcome::{Blocked, Fail, Pass, Skip, Warn};
    assert_eq!(of(&[Pass, Warn]), "shown");
    assert_eq!(of(&[Pass, Skip]), "shown, 1 of 2 skipped");
    assert_eq!(of(&[Skip]), "not asked");
    assert_eq!(of(&[Pass, Skip, Fail, Blocked]), "2 of 4 open");
}
