//! What a server says may be anything: it must come out as text, well-formed, and without secrets.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use sandbox::Stage;
use serde_json::{Value, json};
use tests::{Output, TestEnvironment};

use crate::garbage::{Spoiled, content};

/// Parts of secrets as they stand in the hostile texts below.
const SECRETS: &[&str] = &[
    "K10a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9::server:0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "hunter2hunter2",
    "AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQQPZRY9X8GF2TVDW0S3",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJlc2lnbmF0dXJl",
];

fn hostile() -> String {
    format!(
        "\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7} ]]> </system-out></testcase> & <b> \u{0}\u{8}\u{b} \u{fffe} \u{202e}rtl \r\nnext | `x` \
         <!-- --> ``` {} https://user:{}@git.invalid/x {} Authorization: Bearer {} end-of-words",
        SECRETS[0], SECRETS[1], SECRETS[2], SECRETS[3]
    )
}

/// Nothing that a terminal or a parser would obey, and no secret.
#[track_caller]
fn tame(place: &str, bytes: &[u8], colour: bool) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|error| panic!("{place}: {error}"));
    for (at, one) in text.char_indices() {
        let control = one.is_control() && !matches!(one, '\n' | '\t');
        let allowed = colour && one == '\u{1b}';
        assert!(
            !control || allowed,
            "{place}: {one:?} at {at}: {:?}",
            near(text, at)
        );
        assert!(
            !matches!(one, '\u{202a}'..='\u{202e}' | '\u{fffe}' | '\u{ffff}'),
            "{place}: {one:?} at {at}"
        );
    }
    for secret in SECRETS {
        assert!(!text.contains(secret), "{place} holds the secret {secret}");
    }
}

fn near(text: &str, at: usize) -> String {
    text.chars()
        .skip(text[..at].chars().count().saturating_sub(40))
        .take(80)
        .collect()
}

fn with_files(env: &TestEnvironment, name: &str) -> (PathBuf, PathBuf) {
    (
        env.root().join(format!("{name}.xml")),
        env.root().join(format!("{name}.md")),
    )
}

/// An event about the node with the hostile text as message and in every other field that takes any text.
fn event(env: &TestEnvironment) {
    let object = json!({
        "apiVersion": "v1", "kind": "Event", "type": "Warning",
        "metadata": {"name": "hostile", "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": "k3s2"},
        "reason": "Bad\u{1b}[5m]]>Reason", "message": hostile(), "count": 3,
        "source": {"component": "somebody"},
        "firstTimestamp": now(), "lastTimestamp": now(),
    });
    let status = crate::kubectl::raw(
        env,
        "POST",
        "/api/v1/namespaces/default/events",
        Some(&object),
    );
    assert_eq!(status["kind"], "Event", "{status}");
}

/// Later than anything that has happened in the sandbox.
fn now() -> String {
    let out = Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
fn hostile_words_of_the_cluster_come_out_tame_everywhere() {
    let env = TestEnvironment::at(Stage::Onboarded, &[]);
    event(&env);
    for format in ["pretty", "json", "libtest"] {
        let (xml, md) = with_files(&env, format);
        let (one, two) = (xml.display().to_string(), md.display().to_string());
        let out = env.onboard(&[
            "--format",
            format,
            "--junit",
            &one,
            "--markdown",
            &two,
            "--verbose",
            "--fail-on",
            "warn",
            "health::events",
            "--exact",
        ]);
        let said = out.exits(1);
        tame(&format!("{format} stdout"), said.stdout.as_bytes(), false);
        tame(&format!("{format} stderr"), said.stderr.as_bytes(), false);
        let (text, markdown) = (fs::read(&xml).unwrap(), fs::read(&md).unwrap());
        tame(&format!("{format} JUnit"), &text, false);
        tame(&format!("{format} Markdown"), &markdown, false);
        let suites = junit_parser::from_reader(&text[..]).unwrap();
        assert_eq!(suites.tests, 1);
        let shown = String::from_utf8(text).unwrap();
        assert!(
            shown.contains("end-of-words"),
            "the evidence is not there: {shown}"
        );
        quick_junit::Report::deserialize_from_str(&shown).unwrap();
        let markdown = String::from_utf8(markdown).unwrap();
        assert!(markdown.contains("end-of-words"));
        assert!(
            reports::markdown::embedded(&markdown)
                .unwrap()
                .case("health::events")
                .is_some()
        );
        assert!(
            said.stdout.contains("end-of-words")
                || said.stderr.contains("end-of-words")
                || format == "libtest"
        );
        if format == "json" {
            lines(&said);
        }
    }
    // On a terminal that wants colours there are ours and no others.
    let coloured = env.onboard(&["--color", "always", "health::events", "--exact"]);
    tame("coloured", coloured.stdout.as_bytes(), true);
    assert!(coloured.stdout.contains("\u{1b}["), "no colour at all");
    assert!(
        !coloured.stdout.contains("\u{1b}]0;") && !coloured.stdout.contains("\u{1b}[5m"),
        "{}",
        coloured.stdout
    );
}

/// Every line of `--format json` is an object with a schema and an event.
fn lines(out: &Output) -> Vec<Value> {
    let lines: Vec<Value> = out
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.len() > 3, "{}", out.stdout);
    for line in &lines {
        assert_eq!(line["schema"], 1, "{line}");
        assert!(
            line["event"].as_str().is_some_and(|name| !name.is_empty()),
            "{line}"
        );
    }
    lines
}

#[test]
fn hostile_words_of_a_git_server_come_out_tame_everywhere() {
    let env = TestEnvironment::new();
    let words = env.root().join("words");
    let mut bytes = hostile().replace('\0', "").into_bytes();
    bytes.extend(b" \xff\xfe\xc3\x28 invalid-utf-8");
    fs::write(&words, bytes).unwrap();
    let hook = env.sandbox().remote().join("hooks/pre-receive");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(
        &hook,
        format!("#!/bin/sh\ncat '{}' >&2\nexit 1\n", words.display()),
    )
    .unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let out = env
        .onboard(&["--format", "json", "--verbose", "--report"])
        .exits(1);
    let said = lines(&out);
    tame("stdout", out.stdout.as_bytes(), false);
    tame("stderr", out.stderr.as_bytes(), false);
    for folder in [env.state(), env.logs()] {
        for (path, (_, bytes)) in content(&folder) {
            tame(&path.display().to_string(), &bytes, false);
        }
    }
    let report = env.report().unwrap();
    let ended = report
        .case("gitops::push")
        .and_then(|case| case.ended())
        .unwrap();
    assert_eq!(ended.reason, "PushRejected", "{ended:?}");
    assert!(
        format!("{} {:?}", ended.message, ended.evidence).contains("red"),
        "the server's words are lost: {ended:?}"
    );
    assert!(
        said.iter()
            .any(|line| line["id"] == "gitops::push" && line["outcome"] == "fail")
    );
    let text = fs::read(env.state().join("onboarding.xml")).unwrap();
    assert!(junit_parser::from_reader(&text[..]).unwrap().failures >= 1);
}

#[test]
fn each_format_is_what_it_says() {
    let env = TestEnvironment::at(Stage::Onboarded, &[]);
    let ask = |arguments: &[&str]| {
        env.onboard(&[arguments, &["--phase", "storage"]].concat())
            .exits(0)
    };

    let json = ask(&["--format", "json"]);
    let said = lines(&json);
    let names: Vec<&str> = said
        .iter()
        .filter_map(|line| line["event"].as_str())
        .collect();
    assert!(names.contains(&"case_ended"), "{names:?}");
    let begun = said
        .iter()
        .filter(|line| line["event"] == "case_started")
        .count();
    let ended = said
        .iter()
        .filter(|line| line["event"] == "case_ended")
        .count();
    assert!(begun <= ended && ended > 3, "{begun} began, {ended} ended");

    let libtest = ask(&["--format", "libtest"]);
    let first = libtest
        .stdout
        .lines()
        .find(|line| !line.is_empty())
        .unwrap();
    assert_eq!(
        first,
        format!("running {ended} tests"),
        "{}",
        libtest.stdout
    );
    assert!(
        libtest.stdout.contains("test storage::node_ready"),
        "{}",
        libtest.stdout
    );
    assert!(
        libtest.stdout.contains("test result: ok. "),
        "{}",
        libtest.stdout
    );

    let pretty = ask(&[]);
    assert!(
        pretty.stdout.contains("test storage::node_ready"),
        "{}",
        pretty.stdout
    );
    for out in [&json, &libtest, &pretty] {
        assert!(
            !out.stdout.contains('\u{1b}') && !out.stderr.contains('\u{1b}'),
            "colour in a pipe"
        );
    }
    assert!(ask(&["--color", "always"]).stdout.contains('\u{1b}'));
    assert!(!ask(&["--color", "never"]).stdout.contains('\u{1b}'));
}

#[test]
fn no_secret_of_the_kubeconfig_or_of_a_remote_is_told_anywhere() {
    let env = TestEnvironment::new();
    let kubeconfig = fs::read_to_string(env.sandbox().kubeconfig()).unwrap();
    let kubeconfig: Value = serde_json::from_str(&kubeconfig).unwrap();
    let token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap();
    assert!(token.len() > 8, "{token}");
    let place = Spoiled::new(&env, "secret");
    let url = format!("http://me:{}@127.0.0.1:9/flux.git", SECRETS[1]);
    place.git(&["remote", "set-url", "origin", &url]);
    for format in ["pretty", "json"] {
        let out = place
            .run(&["--verbose", "--report", "--fresh", "--format", format])
            .exits(1);
        let mut places: Vec<(String, Vec<u8>)> = vec![
            ("stdout".into(), out.stdout.clone().into_bytes()),
            ("stderr".into(), out.stderr.clone().into_bytes()),
        ];
        for folder in [&place.state, &place.logs] {
            let files = content(folder).into_iter();
            places.extend(files.map(|(path, (_, bytes))| (path.display().to_string(), bytes)));
        }
        assert!(places.len() > 6, "there are reports to look at");
        for (name, bytes) in places {
            tame(&name, &bytes, false);
            let text = String::from_utf8(bytes).unwrap();
            assert!(
                !text.contains(token),
                "{name} holds the token of the kubeconfig"
            );
        }
        assert!(
            out.stdout.contains("127.0.0.1:9/flux.git"),
            "the remote itself is named"
        );
    }
}
