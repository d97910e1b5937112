use std::{fs, os::unix::fs::PermissionsExt as _, time::Instant};

use pretty_assertions::assert_eq;
use reports::model::Outcome;

use super::*;

/// Runs a shell script with this text.
async fn said(text: &str, timeout: Duration) -> (Verdict, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.sh");
    fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let script = Script {
        name: "x".into(),
        phase: Phase::PostValidation,
        command: vec!["./x.sh".into(), "one".into()],
        timeout,
        folder: Some(folder.path().to_owned()),
        instead: &[],
    };
    let around = Surroundings {
        kubeconfig: Some("/k".into()),
        node: "k3s2".into(),
        ..Surroundings::default()
    };
    (process::run(&script, &around).await, folder)
}

async fn quick(text: &str) -> (Outcome, &'static str, String) {
    let (verdict, _folder) = said(text, Duration::from_secs(20)).await;
    (
        verdict.outcome(),
        verdict.reason(),
        verdict.message().to_owned(),
    )
}

#[tokio::test]
async fn the_end_of_a_script_is_its_answer() {
    let one = |outcome, reason, message: &str| (outcome, reason, message.to_owned());
    assert_eq!(
        quick("echo a; echo fine").await,
        one(Outcome::Pass, "", "fine")
    );
    assert_eq!(
        quick("echo 'WARN: disk is slow'").await,
        one(Outcome::Warn, "ScriptWarned", "disk is slow")
    );
    assert_eq!(
        quick("echo WARN: early; echo fine").await,
        one(Outcome::Pass, "", "fine"),
        "only the last line warns"
    );
    assert_eq!(
        quick("echo no; exit 1").await,
        one(Outcome::Fail, "ScriptFailed", "no")
    );
    assert_eq!(
        quick("exit 1").await,
        one(Outcome::Fail, "ScriptFailed", "./x.sh one says no")
    );
    assert_eq!(
        quick("echo no VPN here >&2; exit 77").await,
        one(Outcome::Skip, "ScriptSkipped", "no VPN here")
    );
    assert_eq!(
        quick("f() { echo x; }").await,
        one(
            Outcome::Error,
            "NothingChecked",
            "./x.sh one ended with 0 and said nothing"
        )
    );
    assert_eq!(
        quick("echo x; exit 3").await,
        one(Outcome::Error, "ScriptBroken", "./x.sh one ended with 3")
    );
    assert_eq!(
        quick("echo x; kill -9 $$").await,
        one(
            Outcome::Error,
            "ScriptBroken",
            "./x.sh one was ended by signal 9"
        )
    );
}

#[tokio::test]
async fn a_script_is_told_little_and_nothing_secret() {
    let (verdict, _folder) = said("env; echo $1", Duration::from_secs(20)).await;
    let names: Vec<&str> = verdict
        .evidence()
        .iter()
        .filter_map(|line| Some(line.split_once('=')?.0))
        // What the shell itself sets.
        .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
        .collect();
    let allowed = [
        "PATH",
        "HOME",
        "USER",
        "LANG",
        "LC_ALL",
        "TZ",
        "TMPDIR",
        "KUBECONFIG",
        "ONBOARDING_NODE",
        "ONBOARDING_CONTROL_PLANE",
        "ONBOARDING_PHASE",
    ];
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
    for line in [
        "KUBECONFIG=/k",
        "ONBOARDING_NODE=k3s2",
        "ONBOARDING_PHASE=post_validation",
    ] {
        assert!(
            verdict.evidence().iter().any(|one| one == line),
            "{verdict:?}"
        );
    }
    assert_eq!(verdict.message(), "one");
}

#[tokio::test]
async fn what_a_script_has_started_ends_with_it() {
    let begun = Instant::now();
    let text = "trap '' TERM; sh -c \"trap '' TERM; sleep 60\" & echo $!; sleep 60";
    let (verdict, _folder) = said(text, Duration::from_millis(300)).await;
    assert_eq!(verdict.reason(), "ScriptTimedOut");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let child: i32 = verdict.evidence()[0].parse().unwrap();
    let is_gone = || {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    while !is_gone() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{child} lives on"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_script_that_talks_without_end_is_cut_in_the_middle() {
    let (verdict, _folder) = said(
        "seq 1 100000; head -c 100000 /dev/zero | tr '\\0' x",
        Duration::from_secs(20),
    )
    .await;
    let lines = verdict.evidence();
    assert!(lines.len() < 100, "{}", lines.len());
    assert_eq!(lines[0], "1");
    assert!(lines.iter().any(|line| line.ends_with("lines left out)")));
    assert!(lines.iter().all(|line| line.len() <= 400));
}

#[tokio::test]
async fn a_script_that_is_not_there_is_told_from_one_that_broke() {
    let mut script = known().remove(1);
    let folder = tempfile::tempdir().unwrap();
    let mut around = Surroundings::default();
    assert_eq!(
        process::run(&script, &around).await.reason(),
        "NoRepository"
    );
    around.repository = Some(folder.path().to_owned());
    let absent = process::run(&script, &around).await;
    assert_eq!(
        (absent.outcome(), absent.reason()),
        (Outcome::Skip, "ScriptAbsent")
    );
    script.folder = Some(folder.path().to_owned());
    let broken = process::run(&script, &around).await;
    assert_eq!(
        (broken.outcome(), broken.reason()),
        (Outcome::Error, "ScriptNotStarted")
    );
}

#[tokio::test]
async fn a_script_of_the_specification_that_only_defines_functions_names_the_checks_instead() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("scripts")).unwrap();
    let around = Surroundings {
        repository: Some(folder.path().to_owned()),
        ..Surroundings::default()
    };
    assert_eq!(known().len(), 7);
    for script in known() {
        let file = folder.path().join(&script.command[0]);
        fs::write(&file, "#!/bin/sh\ncheck() { echo x; }\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let verdict = process::run(&script, &around).await;
        assert_eq!(verdict.reason(), "NothingChecked", "{script:?}");
        let hint = verdict.own_hint().unwrap();
        assert!(!script.instead.is_empty());
        for id in script.instead {
            assert!(catalogue::find(id).is_some(), "no check is called {id}");
            assert!(hint.contains(id), "{hint}");
        }
    }
}

#[test]
fn another_context_than_the_current_one_is_not_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("k");
    fs::write(
        &file,
        "{apiVersion: v1, kind: Config, current-context: a, clusters: [], users: [], contexts: []}",
    )
    .unwrap();
    let around = |context: &str| Surroundings {
        kubeconfig: Some(file.clone()),
        context: Some(context.into()),
        ..Surroundings::default()
    };
    assert!(process::other_context(&around("a")).is_none());
    assert_eq!(
        process::other_context(&around("b")).unwrap().reason(),
        "OtherContext"
    );
}
