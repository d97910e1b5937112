//! A rollback among people: what only they can clear away, what they answer, and what they push meanwhile.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tests::{Output, TestEnvironment};

use crate::rollback::{NODE, is_out, onboarded, roll_back, settle, wait_for};

tests::on_both!(
    a_volume_that_somebody_attached_by_hand_is_theirs_to_detach,
    without_another_node_that_takes_pods_nothing_is_begun,
    a_server_is_never_taken_out,
    somebody_at_a_terminal_is_asked_and_a_no_changes_nothing,
    a_commit_that_somebody_pushes_on_top_of_ours_is_followed_as_well,
);

/// Sets or takes away that the control-plane node takes no pods.
fn cordon(world: &TestEnvironment, so: bool) {
    let patch = json!({"spec": {"unschedulable": so}});
    let merge = "application/merge-patch+json";
    world.send("PATCH", "/api/v1/nodes/k3s1", merge, &patch);
}

/// It ends before the first change, with this reason.
#[track_caller]
fn is_blocked(world: &TestEnvironment, reason: &str) -> Output {
    let since = world.requests().len();
    let output = roll_back(world).exits(8);
    output.says(reason);
    output.says("nothing was changed");
    let changes = world.changes(since);
    assert!(changes.is_empty(), "{reason}: {changes:?}");
    output
}

fn a_volume_that_somebody_attached_by_hand_is_theirs_to_detach() {
    let world = onboarded(&["longhorn-attached-by-hand"]);
    wait_for(&world, "longhorn-attached-by-hand", "AttachedByHand");
    is_blocked(&world, "AttachedByHand").says("detach it in Longhorn");
    world.fault("longhorn-attached-by-hand", false);
    settle(&world);
    is_out(&world);
}

fn without_another_node_that_takes_pods_nothing_is_begun() {
    let world = onboarded(&[]);
    cordon(&world, true);
    is_blocked(&world, "NoNodeLeft").says("no other node is Ready and takes pods");
    cordon(&world, false);
    settle(&world);
    is_out(&world);
}

fn a_server_is_never_taken_out() {
    let world = onboarded(&[]);
    let since = world.requests().len();
    let output = world.onboard(&["--rollback", "--yes", "--node", "k3s1"]);
    output.exits(8).says("ControlPlane");
    let changes = world.changes(since);
    assert!(changes.is_empty(), "{changes:?}");
}

/// The program at a terminal, with somebody who types this. Nothing where no terminal can be had.
fn typed(world: &TestEnvironment, answer: &str) -> Option<(i32, String)> {
    let plain = world.command();
    let mut line = vec![plain.get_program().display().to_string()];
    line.extend(world.arguments());
    line.push("--rollback".to_owned());
    let mut command = Command::new("script");
    command
        .args(["-qec", &line.join(" "), "/dev/null"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in plain.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let mut child = command.spawn().ok()?;
    let mut keyboard = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut keyboard, answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(keyboard);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Some((output.status.code().unwrap_or(-1), said))
}

fn somebody_at_a_terminal_is_asked_and_a_no_changes_nothing() {
    let world = onboarded(&[]);
    let since = world.requests().len();
    for answer in ["n\n", "\n"] {
        let Some((code, said)) = typed(&world, answer) else {
            println!("no terminal: the program `script` is not installed");
            return;
        };
        assert!(
            said.contains("Take k3s2 out of the cluster? [y/N]"),
            "{said}"
        );
        assert!(said.contains("answered no; nothing was changed"), "{said}");
        assert_eq!(code, 8, "{said}");
    }
    let changes = world.changes(since);
    assert!(changes.is_empty(), "{changes:?}");
    assert_ne!(world.object(NODE), Value::Null);
    let (code, said) = typed(&world, "y\n").unwrap();
    assert_eq!(code, 0, "{said}");
    is_out(&world);
}

/// Somebody commits something else on top of what is on the remote.
fn somebody_pushes(world: &TestEnvironment) {
    let theirs = world.root().join("theirs");
    let (from, to) = (world.sandbox().remote(), theirs.display().to_string());
    let _ = world.git(
        world.root(),
        &[
            "clone",
            "-q",
            "-b",
            "main",
            &from.display().to_string(),
            &to,
        ],
    );
    let words = format!(
        "somebody was here after {} commits\n",
        world.commits().len()
    );
    std::fs::write(theirs.join("NOTES.md"), words).unwrap();
    let _ = world.git(&theirs, &["add", "NOTES.md"]);
    let who = [
        "-c",
        "user.name=Somebody",
        "-c",
        "user.email=somebody@example.com",
    ];
    let commit = [
        "-c",
        "commit.gpgsign=false",
        "commit",
        "-qm",
        "docs: a note",
    ];
    let _ = world.git(&theirs, &[&who[..], &commit[..]].concat());
    let _ = world.git(&theirs, &["push", "-q", "origin", "main"]);
}

fn a_commit_that_somebody_pushes_on_top_of_ours_is_followed_as_well() {
    let world = onboarded(&["flux-source-unreachable"]);
    let before = world.commits().len();
    let mut run = world.spawn_onboard(&["--rollback", "--yes"]);
    run.until("it waits for Flux", |run| {
        run.said().contains("waiting for rollback::resume_flux")
    });
    somebody_pushes(&world);
    world.fault("flux-source-unreachable", false);
    let _ = run.wait().exits(0);
    assert_eq!(world.commits().len(), before + 2, "ours and theirs");
    is_out(&world);
}
