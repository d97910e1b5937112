//! The probe script in a real shell with real tools, manifests, and what is made of pods.

use std::{
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use checks::probe::Word;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    pod::{PROBE, Target, findings},
    watch::{Step, ended, serving},
};

/// busybox, where this machine has it: named in `BUSYBOX`, or found by its name.
fn busybox() -> Option<PathBuf> {
    let named = std::env::var_os("BUSYBOX").map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    named
        .into_iter()
        .chain(std::env::split_paths(&paths).map(|folder| folder.join("busybox")))
        .find(|file| file.is_file())
}

/// A folder with tools: all of busybox, or what the test writes.
struct Tools {
    folder: TempDir,
    shell: Vec<String>,
}

impl Tools {
    fn of_busybox(file: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for tool in [
            "sh", "nc", "nslookup", "sed", "tr", "cut", "grep", "head", "sleep", "printf", "cat",
        ] {
            std::os::unix::fs::symlink(file, folder.path().join(tool)).unwrap();
        }
        let shell = vec![file.display().to_string(), "sh".to_owned()];
        Self { folder, shell }
    }

    /// The tools of this machine with these in front of them.
    fn with(scripts: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in scripts {
            let file = folder.path().join(name);
            std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(&file, mode).unwrap();
        }
        let shell = vec!["/bin/sh".to_owned()];
        Self { folder, shell }
    }

    fn report(&self, alone: bool, targets: &[&str]) -> String {
        let out = self.folder.path().join("termination-log");
        let mut path = self.folder.path().display().to_string();
        if !alone {
            path.push_str(":/usr/bin:/bin");
        }
        let status = Command::new(&self.shell[0])
            .args(&self.shell[1..])
            .args(["-c", PROBE, "probe"])
            .args(targets)
            .env_clear()
            .env("PATH", path)
            .env("OUT", &out)
            .env("TRIES", "1")
            .env("PATIENCE", "1")
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{status}");
        std::fs::read_to_string(out).unwrap_or_default()
    }
}

fn word_of(report: &str, target: &str) -> (Word, String) {
    let target = Target {
        key: "x",
        target: target.to_owned(),
        what: String::new(),
    };
    let found = findings("k3s2", &[target], report).unwrap();
    (found[0].1.word, found[0].1.detail.clone())
}

#[test]
fn real_connections_are_told_apart_by_a_real_busybox() {
    let Some(busybox) = busybox() else {
        eprintln!("not tried: this machine has no busybox (name one in BUSYBOX)");
        return;
    };
    let tools = Tools::of_busybox(&busybox);
    // Accepted by the kernel and never closed: a server that waits for us to speak.
    let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let place = |listener: &TcpListener| format!("tcp://{}", listener.local_addr().unwrap());
    let (open_at, closed_at) = (place(&open), place(&closed));
    drop(closed);
    let report = tools.report(true, &[&open_at, &closed_at, "ftp://x"]);
    assert_eq!(word_of(&report, &open_at).0, Word::Ok, "{report}");
    let (word, said) = word_of(&report, &closed_at);
    assert_eq!(word, Word::Refused, "{report}");
    assert!(said.contains("efused"), "{said}");
    assert_eq!(word_of(&report, "ftp://x").0, Word::Failed, "{report}");
    assert!(report.len() < 4096, "a termination message holds no more");
    drop(open);
}

#[test]
fn what_each_kind_of_tool_says_is_understood() {
    // Outputs of nslookup: busybox with its large and its small resolver, found and not found.
    let large = "printf 'Server:\\t\\t10.43.0.10\\nAddress:\\t10.43.0.10:53\\n\\n** server cannot say AAAA\\n\\nName:\\t%s\\nAddress: 10.43.0.1\\n\\n' \"$1\"; exit 1";
    let small = "printf 'Server:    10.43.0.10\\nAddress 1: 10.43.0.10 dns\\n\\nName:      %s\\nAddress 1: 10.43.0.1 kubernetes\\n' \"$1\"";
    let absent = "echo \"** server can't find $1: NXDOMAIN\"; exit 1";
    let resolve = "echo \"nslookup: can't resolve '$1'\" >&2; exit 1";
    let silent = "echo ';; connection timed out; no servers could be reached'; exit 1";
    let target = "dns:kubernetes.default.svc.cluster.local";
    for (script, word, detail) in [
        (large, Word::Ok, "10.43.0.1"),
        (small, Word::Ok, "10.43.0.1"),
        (absent, Word::Noname, "NXDOMAIN"),
        (resolve, Word::Noname, "can't resolve"),
        (silent, Word::Timeout, "no servers"),
        ("exit 3", Word::Failed, ""),
    ] {
        let report = Tools::with(&[("nslookup", script)]).report(false, &[target]);
        let (found, said) = word_of(&report, target);
        assert_eq!(found, word, "{script}: {report}");
        assert!(said.contains(detail), "{said}");
    }
    let connects = "exit 0";
    let waits = "exec sleep 30";
    let late = "echo 'nc: timed out' >&2; exit 1";
    let refused = "echo 'nc: 10.0.0.1 (10.0.0.1:80): Connection refused' >&2; exit 1";
    let unroutable = "echo 'nc: no route to host' >&2; exit 1";
    let target = "tcp://10.0.0.1:80";
    for (script, word) in [
        (connects, Word::Ok),
        (waits, Word::Ok),
        (late, Word::Timeout),
        (refused, Word::Refused),
        (unroutable, Word::Failed),
    ] {
        let report = Tools::with(&[("nc", script)]).report(false, &[target]);
        assert_eq!(word_of(&report, target).0, word, "{script}: {report}");
    }
}

#[test]
fn a_name_is_looked_up_before_it_is_dialled() {
    // nc is told an address; a name that is not found is no connection that timed out.
    let lookup = "case $1 in good.example) printf 'Name: x\\nAddress: 192.0.2.7\\n' ;; *) echo \"can't resolve\"; exit 1 ;; esac";
    let dial = "[ \"$3\" = 192.0.2.7 ] || { echo 'nc: bad address' >&2; exit 1; }";
    let tools = Tools::with(&[("nslookup", lookup), ("nc", dial)]);
    let report = tools.report(false, &["tcp://good.example:443", "tcp://bad.example:443"]);
    assert_eq!(
        word_of(&report, "tcp://good.example:443").0,
        Word::Ok,
        "{report}"
    );
    assert_eq!(
        word_of(&report, "tcp://bad.example:443").0,
        Word::Noname,
        "{report}"
    );
}

#[test]
fn a_pod_that_did_not_report_on_a_target_is_an_error() {
    let target = Target::tcp("x", "10.0.0.1:80", "something");
    let error = findings("k3s2", &[target], "tcp://10.0.0.2:80 ok connected").unwrap_err();
    assert_eq!(error.reason, "NoReport");
    assert!(error.message.contains("10.0.0.1:80"), "{}", error.message);
}

fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "probe-1"}, "spec": {"nodeName": "k3s2", "containers": []}, "status": status,
    }))
    .unwrap()
}

fn reason_of<T>(step: Step<T>) -> (&'static str, String) {
    match step {
        Step::Done(_) => ("done", String::new()),
        Step::NotYet(reason, words) => (reason, words),
        Step::Never(error) => (error.reason, error.message),
    }
}

fn waiting(reason: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{
        "name": "probe", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": "says why"}},
    }]})
}

#[test]
fn what_keeps_a_pod_is_told_apart() {
    for (status, reason) in [
        (waiting("ImagePullBackOff"), "ImageNotPulled"),
        (waiting("InvalidImageName"), "ImageNotPulled"),
        (waiting("ContainerCreating"), "PodNotStarted"),
        (
            json!({"phase": "Failed", "reason": "OutOfpods", "message": "too many"}),
            "PodRejected",
        ),
        (
            json!({"phase": "Failed", "reason": "DeadlineExceeded"}),
            "PodNotFinished",
        ),
        (json!({"phase": "Running"}), "PodNotFinished"),
        (json!({"phase": "Pending"}), "PodNotStarted"),
    ] {
        let (found, words) = reason_of(ended(&pod(status.clone())));
        assert_eq!(found, reason, "{status}");
        assert!(words.contains("probe-1"), "{words}");
    }
    let mut unplaced = pod(json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available",
    }]}));
    if let Some(spec) = unplaced.spec.as_mut() {
        spec.node_name = None;
    }
    let (found, words) = reason_of(ended(&unplaced));
    assert_eq!(found, "PodUnschedulable");
    assert!(words.contains("0/2 nodes"), "{words}");
}

#[test]
fn a_listener_counts_once_it_is_ready_and_never_when_it_has_ended() {
    let status = |ready: &str| {
        json!({"phase": "Running", "podIP": "10.42.1.9",
               "conditions": [{"type": "Ready", "status": ready}]})
    };
    assert_eq!(
        reason_of(serving(&pod(status("False")))).0,
        "PodNotFinished"
    );
    assert_eq!(reason_of(serving(&pod(status("True")))).0, "done");
    let gone = json!({"phase": "Failed", "containerStatuses": [{
        "name": "listen", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 127, "message": "httpd: not found"}},
    }]});
    let (reason, words) = reason_of(serving(&pod(gone)));
    assert_eq!(reason, "NoReport");
    assert!(words.contains("127"), "{words}");
}
