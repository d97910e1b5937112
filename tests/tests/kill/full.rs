//! Folders that cannot be written, before a run, in the middle of it and at its end.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reports::model::PhaseState;
use tests::{Running, TestEnvironment};

use crate::support::{behind, content, is_root};

/// A run that waits for a node which does not come, so that what is around it can be changed under it.
fn waiting(world: &TestEnvironment, front: &[&str]) -> Running {
    world.fault("node-never-registers", true);
    let command = behind(world, front, &["--timeout", "join=90s"]);
    let mut run = Running::start(command, world.root());
    run.until("the wait for the node", |run| {
        run.said().contains("waiting for join::registered")
    });
    run
}

/// What a run leaves that could not write its report any more, and that it goes on once it can.
fn stopped_and_resumed(world: &TestEnvironment, before: &[String], give_back: impl FnOnce()) {
    let report = world.report().expect("a report, whole as it was");
    assert_eq!(report.phases[1].state, PhaseState::Completed);
    assert_eq!(report.phases[2].state, PhaseState::InProgress);
    assert_eq!(world.commits().len(), before.len() + 1);
    let status = world.onboard(&["--status"]).exits(0);
    status.says("interrupted in node_join_monitoring");
    give_back();
    let _ = world.onboard(&["--resume"]).exits(0);
    assert_eq!(world.commits().len(), before.len() + 1, "committed twice");
    let complete = world.archived().unwrap();
    assert!(complete.complete());
    assert_eq!(complete.run, report.run);
    assert_eq!(
        complete.phases[..2],
        report.phases[..2],
        "finished phases stand"
    );
    let left = content(&world.state());
    assert!(left.keys().all(|path| path.ends_with("lock")), "{left:?}");
}

/// A small file system of its own; unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where nobody lets us mount.
    fn new(path: &Path) -> Option<Self> {
        fs::DirBuilder::new().mode(0o700).create(path).unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs"])
            .arg(path)
            .stderr(Stdio::null())
            .status();
        done.is_ok_and(|status| status.success())
            .then(|| Self(path.to_owned()))
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        let mut size = 1 << 16;
        while size > 0 {
            if file.write_all(&vec![7; size]).is_err() {
                size /= 2;
            }
        }
        path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_the_run_and_once_there_is_room_it_goes_on() {
    let world = TestEnvironment::new();
    let Some(disk) = Mounted::new(&world.state()) else {
        println!(
            "not asked: no file system can be mounted here; the limit on the size of files is"
        );
        return;
    };
    println!("on a tmpfs of 3 MiB");
    let before = world.commits();
    let filler = disk.fill();
    let since = world.requests().len();
    let out = world.onboard(&[]).exits(3);
    out.says("No space left on device");
    assert!(
        out.stderr.contains("do: make room or give"),
        "{}",
        out.stderr
    );
    assert!(world.changes(since).is_empty());
    assert_eq!(world.commits(), before);
    assert!(world.report().is_none());
    fs::remove_file(filler).unwrap();

    let run = waiting(&world, &[]);
    let filler = disk.fill();
    world.fault("node-never-registers", false);
    let out = run.wait().exits(1);
    out.says("the report cannot be written, so nothing more is done");
    out.says("No space left on device");
    assert!(out.stderr.contains("--resume"), "{}", out.stderr);
    stopped_and_resumed(&world, &before, || fs::remove_file(filler).unwrap());
}

#[test]
fn with_a_little_more_room_each_time_it_comes_through_and_changes_nothing_twice() {
    let world = TestEnvironment::new();
    let before = world.commits();
    // The system's own limit on the size of a file, in KiB; ignoring its signal makes the write fail instead.
    let mut codes = Vec::new();
    for room in (10..600).step_by(15) {
        let script = format!("trap '' XFSZ; ulimit -f {room}; exec \"$0\" \"$@\"");
        let first = world.report().is_none();
        let arguments: &[&str] = if first { &[] } else { &["--resume"] };
        let command = behind(&world, &["bash", "-c", &script], arguments);
        let out = Running::start(command, world.root()).wait();
        codes.push(out.code);
        match out.code {
            0 => break,
            1 | 3 => out.says("File too large"),
            other => panic!(
                "exit {other} with {room} KiB:\n{}{}",
                out.stdout, out.stderr
            ),
        }
        assert!(world.commits().len() <= before.len() + 1, "committed twice");
    }
    println!("exit codes with growing room: {codes:?}");
    assert_eq!(codes.last(), Some(&0), "it never came through: {codes:?}");
    assert!(codes.contains(&3) && codes.contains(&1), "{codes:?}");
    assert_eq!(world.commits().len(), before.len() + 1);
    assert!(world.archived().unwrap().complete());
}

/// What makes root respect modes as everybody does.
fn modest() -> Option<&'static [&'static str]> {
    const FRONT: &[&str] = &["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    if !is_root() {
        return Some(&[]);
    }
    let (first, rest) = FRONT.split_first()?;
    let there = Command::new(first).args(rest).arg("true").status();
    there.is_ok_and(|status| status.success()).then_some(FRONT)
}

fn with_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_that_becomes_read_only_stops_the_run_and_given_back_it_goes_on() {
    let Some(front) = modest() else {
        println!("not asked: root is stopped by no mode, and setpriv is not installed");
        return;
    };
    let world = TestEnvironment::new();
    let before = world.commits();
    let run = waiting(&world, front);
    with_mode(&world.state(), 0o500);
    world.fault("node-never-registers", false);
    let out = run.wait().exits(1);
    out.says("the report cannot be written, so nothing more is done");
    out.says("Permission denied");
    stopped_and_resumed(&world, &before, || with_mode(&world.state(), 0o700));
}

#[test]
fn a_log_folder_that_cannot_be_written_at_the_end_takes_nothing_away() {
    let Some(front) = modest() else {
        println!("not asked: root is stopped by no mode, and setpriv is not installed");
        return;
    };
    let world = TestEnvironment::new();
    let mut run = waiting(&world, front);
    with_mode(&world.logs(), 0o500);
    world.fault("node-never-registers", false);
    run.until("the end", |_| {
        world.report().is_some_and(|report| report.complete())
    });
    let out = run.wait().exits(0);
    out.says("the report is not archived");
    out.says("Permission denied");
    let report = world.report().expect("the report stays where it is");
    assert!(report.complete());
    assert_eq!(report.exit_code, Some(0));
    world.onboard(&["--status"]).exits(0).says("complete");
    with_mode(&world.logs(), 0o700);

    // The next run finds it and puts it away.
    let commits = world.commits();
    let _ = world.onboard(&[]).exits(0);
    assert_eq!(world.commits(), commits);
    let history = world.onboard(&["--history"]).exits(0);
    history.says("onboardings     2   2 complete (100 %)");
    history.says(&report.run);
}
