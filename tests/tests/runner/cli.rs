//! The command line by itself: help, version, list, what is refused with which exit code, and that nothing is asked.

use std::{
    fs,
    time::{Duration, Instant},
};

use sandbox::Stage;
use tests::TestEnvironment;

use crate::garbage::content;

/// Every option that the issue and the specification name.
const OPTIONS: &[&str] = &[
    "--dry-run",
    "--skip-validation",
    "--auto-fix",
    "--report",
    "--rollback",
    "--delete-emptydir-data",
    "--force",
    "--lose-volume",
    "--status",
    "--resume",
    "--verbose",
    "--help",
    "--version",
    "--phase",
    "--apply",
    "--wait",
    "--skip",
    "--exact",
    "--list",
    "--node",
    "--control-plane",
    "--kubeconfig",
    "--context",
    "--repo",
    "--config",
    "--state-dir",
    "--log-dir",
    "--junit",
    "--markdown",
    "--format",
    "--color",
    "--jobs",
    "--timeout",
    "--fail-on",
    "--fresh",
    "--yes",
    "--push-transport",
    "--require-signed",
    "--cleanup",
    "--sandbox",
    "--sandbox-keep",
    "--sandbox-serve",
    "--sandbox-at",
    "--sandbox-fault",
    "--explain",
];

/// Starts that end before anything is asked: arguments, exit code, words.
const REFUSED: &[(&[&str], i32, &[&str])] = &[
    (&["--bogus"], 2, &["--bogus"]),
    (&["--node", "../x"], 2, &["node name `../x`", "RFC 1123"]),
    (&["--node", "K3S2"], 2, &["node name `K3S2`", "RFC 1123"]),
    (&["--node", "k3s2/"], 2, &["RFC 1123"]),
    (&["--node=-k3s2"], 2, &["RFC 1123"]),
    (&["--node="], 2, &["RFC 1123"]),
    (&["--control-plane", ".."], 2, &["RFC 1123"]),
    (
        &["--phase", "nonsense"],
        2,
        &["unknown phase `nonsense`", "node_join_monitoring", "health"],
    ),
    (&["--phase", "storge"], 2, &["did you mean `storage`"]),
    (
        &["--timeout", "storage=soon"],
        2,
        &["`soon` is no duration", "90s"],
    ),
    (&["--timeout", "storage=0s"], 2, &["no time at all"]),
    (&["--timeout", "storage=-5m"], 2, &["duration"]),
    (&["--timeout", "storage=9999h"], 2, &["24h"]),
    (&["--timeout", "storage"], 2, &["PHASE=DURATION"]),
    (&["--timeout", "nonsense=5m"], 2, &["unknown phase"]),
    (&["--jobs", "0"], 2, &["`0`", "1 or more"]),
    (&["--jobs", "many"], 2, &["`many`", "1 or more"]),
    (&["--format", "yaml"], 2, &["pretty, libtest, json"]),
    (&["--color", "purple"], 2, &["auto, always, never"]),
    (&["--fail-on", "rain"], 2, &["fail, warn"]),
    (&["--push-transport", "ftp"], 2, &["auto, git, libgit2"]),
    (
        &["--sandbox", "--sandbox-fault", "rain"],
        2,
        &["unknown fault `rain`", "push-refused"],
    ),
    (&["--status", "--resume"], 2, &["exclude each other"]),
    (&["--status", "--rollback"], 2, &["exclude each other"]),
    (&["--rollback", "--resume"], 2, &["exclude each other"]),
    (&["--list", "--status"], 2, &["exclude each other"]),
    (&["--list", "--resume"], 2, &["exclude each other"]),
    (&["--resume", "--fresh"], 2, &["exclude each other"]),
    (&["--dry-run", "--status"], 2, &["exclude each other"]),
    (
        &["--phase", "storage", "--resume"],
        2,
        &["--resume is for the run of all phases"],
    ),
    (&["--exact"], 2, &["--exact needs"]),
    (&["--apply"], 2, &["--apply needs"]),
    (&["--wait"], 2, &["--wait needs"]),
    (&["--sandbox-keep"], 2, &["needs --sandbox"]),
    (&["--sandbox", "--repo", "x"], 2, &["exclude each other"]),
    (&["--sandbox", "--resume"], 2, &["--sandbox-serve DIR"]),
    (&["--rollback"], 3, &["kubeconfig"]),
    (&["--force"], 2, &["--force is for --rollback"]),
    (
        &["--phase", "pre", "--auto-fix"],
        2,
        &["--auto-fix changes things"],
    ),
    (&["--dry-run"], 3, &["[DRY RUN] error:"]),
    (
        &["--config", "nowhere.toml"],
        3,
        &["nowhere.toml", "does not exist"],
    ),
    (
        &["storage::nodeready", "--exact"],
        4,
        &["storage::nodeready", "did you mean storage::node_ready"],
    ),
    (&["nothing-like-it"], 4, &["nothing-like-it", "--list"]),
    (
        &["--phase", "storage", "join::"],
        4,
        &[
            "nothing is selected in storage_integration",
            "in another phase",
        ],
    ),
    (
        &["--explain", "storage::nonsense"],
        4,
        &["storage::nonsense"],
    ),
];

#[test]
fn what_cannot_be_meant_is_refused_with_its_code_and_nothing_is_made() {
    let env = TestEnvironment::without_cluster();
    let long = "a".repeat(300);
    let long = ["--node", long.as_str()];
    let rows = REFUSED
        .iter()
        .copied()
        .chain([(&long[..], 2, &["at most 253"][..])]);
    for (arguments, code, words) in rows {
        println!("{arguments:?}");
        let before = content(&env.home());
        let out = env.harness(arguments).exits(code);
        for word in words {
            assert!(
                out.stderr.contains(word),
                "{arguments:?}: {word:?} is not in {}",
                out.stderr
            );
        }
        assert_eq!(out.stdout, "", "{arguments:?}");
        assert!(
            !out.stderr.contains('\u{1b}') && !out.stderr.contains("panicked"),
            "{arguments:?}: {}",
            out.stderr
        );
        assert_eq!(content(&env.home()), before);
    }
    let left: Vec<String> = fs::read_dir(env.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("out-") && !name.starts_with("err-") && name != "home")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused_with_file_line_and_key() {
    let env = TestEnvironment::without_cluster();
    let file = env.root().join("onboarding.toml");
    let shown = file.display().to_string();
    for (text, place, words) in [
        (
            "[node]\nnmae = \"k3s2\"\n",
            ":2",
            &["unknown key `node.nmae`", "did you mean `name`"][..],
        ),
        ("[nodes]\nname = \"k3s2\"\n", "", &["nodes"]),
        ("jobs = 0\n", ":1", &[]),
        ("[node]\nname = \"../x\"\n", "", &["node.name", "RFC 1123"]),
        (
            "[timeouts]\nstorage = \"soon\"\n",
            "",
            &["`soon` is no duration"],
        ),
        ("[timeouts]\nrain = \"5m\"\n", "", &["unknown phase `rain`"]),
        ("this is = not toml\n", ":1", &[]),
        ("[git]\ntransport = \"ftp\"\n", ":2", &["ftp"]),
    ] {
        fs::write(&file, text).unwrap();
        let out = env.harness(&["--config", &shown]).exits(3);
        assert!(
            out.stderr.contains(&format!("{shown}{place}")),
            "{text:?}: {}",
            out.stderr
        );
        for word in words {
            assert!(
                out.stderr.contains(word),
                "{text:?}: {word:?} is not in {}",
                out.stderr
            );
        }
        assert!(out.stderr.contains("do: "), "{text:?}: {}", out.stderr);
    }
    fs::write(&file, b"\xff\xfe").unwrap();
    env.harness(&["--config", &shown]).exits(3).says(&shown);
}

#[test]
fn help_and_version_and_list_need_no_cluster_and_no_time() {
    let env = TestEnvironment::without_cluster();
    let help = env.harness(&["--help"]).exits(0);
    for option in OPTIONS {
        let named = help.stdout.lines().any(|line| {
            let line = line.trim_start();
            line.split([' ', ',', '=', '[']).any(|word| word == *option)
        });
        assert!(named, "{option} is not in the help");
    }
    for phase in ["pre_validation", "health_verification", "storage"] {
        assert!(help.stdout.contains(phase));
    }
    for code in [
        "0 passed",
        "1 failed",
        "2 usage",
        "3 could not",
        "4 nothing",
        "6 locked",
        "7 report",
        "8 rollback",
        "130 interrupted",
    ] {
        assert!(help.stdout.contains(code), "{code} is not in the help");
    }
    let longest = help
        .stdout
        .lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap();
    assert!(longest <= 100, "{longest} columns");
    assert_eq!(env.harness(&["-h"]).exits(0).stdout, help.stdout);

    let version = env.harness(&["--version"]).exits(0);
    let words: Vec<&str> = version.stdout.split_whitespace().collect();
    assert_eq!(words[0], "harness");
    assert_eq!(words[1].split('.').count(), 3, "{}", version.stdout);

    // The fastest of a few starts, since other programs run on this machine too.
    let fastest = (0..5)
        .map(|_| {
            let begun = Instant::now();
            let _ = env.harness(&["--list"]).exits(0);
            begun.elapsed()
        })
        .min()
        .unwrap();
    assert!(fastest < Duration::from_millis(250), "{fastest:?}");
    let list = env.harness(&["--list"]).exits(0);
    let ids: Vec<&str> = list
        .stdout
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect();
    assert!(ids.len() > 80, "{}", list.stdout);
    for short in [
        "pre",
        "gitops",
        "join",
        "storage",
        "network",
        "monitoring",
        "security",
        "post",
        "health",
    ] {
        let own = ids
            .iter()
            .filter(|id| id.starts_with(&format!("{short}::")))
            .count();
        assert!(own >= 3 || short == "post", "{short} has {own}");
    }
    assert!(ids.contains(&"storage::node_ready") && ids.contains(&"gitops::commit"));
}

#[test]
fn the_list_is_of_the_selection() {
    let env = TestEnvironment::without_cluster();
    let ids = |arguments: &[&str]| -> Vec<String> {
        let out = env.harness(&[&["--list"], arguments].concat()).exits(0);
        out.stdout
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect()
    };
    let storage = ids(&["--phase", "storage"]);
    assert!(
        storage.len() > 5 && storage.iter().all(|id| id.starts_with("storage::")),
        "{storage:?}"
    );
    assert_eq!(ids(&["--phase", "storage_integration"]), storage);
    let disks = ids(&["--phase", "storage", "disks"]);
    assert!(!disks.is_empty() && disks.len() < storage.len());
    assert!(
        disks
            .iter()
            .all(|id| id.contains("disks") && storage.contains(id)),
        "{disks:?}"
    );
    let rest = ids(&["--phase", "storage", "--skip", "disks"]);
    assert_eq!(rest.len() + disks.len(), storage.len());
    assert_eq!(
        ids(&["storage::node_ready", "--exact"]),
        ["storage::node_ready"]
    );
    let both = ids(&["--phase", "join", "--phase", "storage"]);
    assert!(both.len() > storage.len() && both.iter().any(|id| id.starts_with("join::")));
    assert_eq!(
        ids(&["storage::node_ready", "join::ready", "--exact"]).len(),
        2
    );

    // What is selected for a list is what is asked.
    let json = env
        .harness(&["--list", "--format", "json", "--phase", "storage"])
        .exits(0);
    assert!(json.stdout.contains("storage::node_ready"));
}

/// The lines of `--format json`.
fn json(text: &str) -> impl Iterator<Item = serde_json::Value> + '_ {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn an_inspection_asks_what_was_listed_and_changes_nothing() {
    let env = TestEnvironment::at(Stage::Onboarded, &[]);
    let (repository, since) = (env.repository_state(), env.requests().len());
    for arguments in [
        &["--phase", "storage"][..],
        &["--phase", "storage", "disks"],
        &["storage::node_ready", "--exact"],
    ] {
        // An inspection asks the checks, and leaves the actions out.
        let listed = env
            .harness(&[&["--list", "--format", "json"], arguments].concat())
            .exits(0);
        let mut expected: Vec<String> = json(&listed.stdout)
            .filter(|line| line["kind"] == "check")
            .map(|line| line["id"].as_str().unwrap().to_owned())
            .collect();
        let out = env
            .onboard(&[arguments, &["--format", "json"]].concat())
            .exits(0);
        let mut asked: Vec<String> = json(&out.stdout)
            .filter(|line| line["event"] == "case_ended")
            .map(|line| line["id"].as_str().unwrap().to_owned())
            .collect();
        expected.sort();
        asked.sort();
        assert_eq!(asked, expected, "{arguments:?}");
    }
    assert_eq!(env.repository_state(), repository);
    let changes = env.changes(since);
    assert!(changes.is_empty(), "{changes:?}");
    assert!(
        !env.state().exists() && !env.logs().exists(),
        "an inspection has no folders"
    );
}

/// A cluster that takes the connection and says nothing: whoever waits is told what for, at once.
#[test]
fn the_first_line_stands_there_within_a_tenth_of_a_second() {
    let world = TestEnvironment::without_cluster();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let kubeconfig = world.root().join("silent.yaml");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         contexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n\
         clusters: [{{name: x, cluster: {{server: 'http://{}'}}}}]\nusers: [{{name: x, user: {{token: t}}}}]\n",
        silent.local_addr().unwrap()
    );
    fs::write(&kubeconfig, text).unwrap();
    let kubeconfig = kubeconfig.display().to_string();
    for what in [&["--phase", "pre"][..], &["--status"], &["--cleanup"]] {
        let mut soonest = Duration::MAX;
        let mut said = String::new();
        // A machine that is busy with other tests is slow by itself.
        for _ in 0..60 {
            let begun = Instant::now();
            let mut run = world.spawn(&[what, &["--kubeconfig", &kubeconfig]].concat());
            run.until("its first line", |run| !run.said().is_empty());
            soonest = soonest.min(begun.elapsed());
            said = run.said();
            run.kill();
            if soonest < Duration::from_millis(100) {
                break;
            }
        }
        assert!(
            soonest < Duration::from_millis(100),
            "{what:?}: after {soonest:?}"
        );
        assert!(said.contains("the cluster"), "{what:?}: {said}");
    }
}
