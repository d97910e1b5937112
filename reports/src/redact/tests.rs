use super::*;

fn gone(text: &str, secret: &str) {
    let out = redact(text);
    assert!(!out.contains(secret), "{secret} is still in {out}");
    assert!(out.contains("redacted"), "{out}");
    assert_eq!(redact(&out), out, "twice is once");
}

fn stays(text: &str) {
    assert_eq!(redact(text), text);
}

#[test]
fn tokens_and_keys_go() {
    gone(
        &format!("join with K10{}::server:s3cr3t now", "ab12".repeat(16)),
        "s3cr3t",
    );
    gone("curl | K3S_TOKEN=worker:pa55word sh -", "pa55word");
    gone("k3s agent --token abc123 --server https://x", "abc123");
    gone("K3S_AGENT_TOKEN='two words'", "two words");
    gone("AGE-SECRET-KEY-1QQPQYYZ9QQQQPPPPPP0000", "QQPQYYZ9");
    gone("Authorization: Bearer abc.def-123456", "abc.def-123456");
    gone("Authorization: Basic dXNlcjpwdw==", "dXNlcjpwdw==");
    gone(
        "jwt eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln end",
        "eyJzdWIiOiIxIn0",
    );
    gone("https://user:p%40ss@git.example.org/a.git", "p%40ss");
    gone("https://onlytoken@git.example.org/a.git", "onlytoken");
    gone(
        "client-key-data: LS0tLS1CRUdJTiBQUklWQVRF",
        "LS0tLS1CRUdJTiBQUklWQVRF",
    );
    gone("{\"password\": \"hunter two\", \"a\": 1}", "hunter two");
    gone(
        "token: 9a8b7c6d5e4f3a2b1c0d9e8f",
        "9a8b7c6d5e4f3a2b1c0d9e8f",
    );
    gone(&format!("remote: {}{}", "ghp_", "a1".repeat(18)), "a1a1a1");
}

#[test]
fn private_keys_go_also_over_lines_and_without_an_end() {
    let key = "a\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\nZXk=\n-----END OPENSSH PRIVATE KEY-----\nz";
    assert_eq!(redact(key), "a\n[redacted private key]\nz");
    gone("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nnever ends", "MIIE");
    stays("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----");
    stays("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----");
}

#[test]
fn secret_manifests_lose_their_values() {
    let yaml = "kind: Secret\nmetadata:\n  name: sops-age\ndata:\n  age.agekey: QUdFLVNFQ1JFVA==\n  long: |\n    second line\ntype: Opaque\n";
    let out = redact(yaml);
    assert!(
        !out.contains("QUdFLVNFQ1JFVA") && !out.contains("second line"),
        "{out}"
    );
    assert!(
        out.contains("name: sops-age")
            && out.contains("age.agekey:")
            && out.contains("type: Opaque"),
        "{out}"
    );
    assert_eq!(redact(&out), out);
    let json = r#"{"kind":"Secret","data":{"a":"QQ==","b":"QkI="},"metadata":{"name":"x"}}"#;
    let out = redact(json);
    assert!(
        !out.contains("QkI=") && out.contains(r#""name":"x""#),
        "{out}"
    );
    assert_eq!(redact(&out), out);
    stays("kind: ConfigMap\ndata:\n  a: QUdFLVNFQ1JFVA==\n");
}

#[test]
fn only_names_of_this_program_are_no_names_of_secrets() {
    gone("config::password: hunter2", "hunter2");
    gone("rollback::note my password: hunter2", "hunter2");
    gone("rollback::node_password: password=hunter2", "hunter2");
}

#[test]
fn ordinary_text_stays() {
    for text in [
        "commit 9d0c4e1f0a2b3c4d5e6f708192a3b4c5d6e7f809 pushed",
        "uid 7d9f2b1e-1a2b-4c3d-8e4f-001122334455",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "signed with ssh key SHA256:uNiVztksCsDhcc0u9e8BrQXVUpKZIDTMczCvj3tD2s",
        "git@github.com:me/k3s-flux.git",
        "ssh://git@github.com/me/k3s-flux.git",
        "https://192.168.86.71:6443",
        "K3S_URL=https://192.168.86.71:6443 K3S_TOKEN=… sh -",
        "K3S_TOKEN=$(cat token) K3S_TOKEN=<token>",
        "the reconcile token: 2026-11-22T10:15:02.123456789Z",
        "bearer certificates are not used",
        "stopped at rollback::node_password: NodeCameBack: k3s2 has registered again",
        "Flux asks for a token of the service account",
        "main@sha1:9d0c4e1f0a2b3c4d5e6f708192a3b4c5d6e7f809",
    ] {
        stays(text);
    }
}

#[test]
fn the_writer_holds_lines_and_keys_together() {
    let mut out = Redacting::new(Vec::new());
    out.write_all(b"K3S_TO").unwrap();
    out.write_all(b"KEN=worker:pw\nnext\n-----BEGIN PRIVATE KEY-----\nMII")
        .unwrap();
    out.write_all(b"E\n").unwrap();
    out.flush().unwrap();
    out.write_all(b"abc\n-----END PRIVATE KEY-----\nafter")
        .unwrap();
    let text = String::from_utf8(out.into_inner().unwrap()).unwrap();
    assert_eq!(
        text,
        "K3S_TOKEN=[redacted]\nnext\n[redacted private key]\nafter"
    );
}

#[test]
fn a_key_that_never_ends_is_struck_out_when_the_writer_goes() {
    let mut sink = Vec::new();
    {
        let mut out = Redacting::new(&mut sink);
        out.write_all(b"-----BEGIN PRIVATE KEY-----\nMIIE\n")
            .unwrap();
    }
    assert_eq!(sink, b"[redacted private key]");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn twice_is_once(pieces in proptest::collection::vec(proptest::prop_oneof![
        proptest::strategy::Just("token: ".to_owned()),
        proptest::strategy::Just("K3S_TOKEN=".to_owned()),
        proptest::strategy::Just("\"".to_owned()),
        proptest::strategy::Just("https://".to_owned()),
        proptest::strategy::Just("u:p@".to_owned()),
        proptest::strategy::Just("-----BEGIN PRIVATE KEY-----".to_owned()),
        proptest::strategy::Just("kind: Secret\n".to_owned()),
        proptest::strategy::Just("data:\n  ".to_owned()),
        proptest::strategy::Just("Bearer a1b2c3d4e5 ".to_owned()),
        proptest::strategy::Just("password: ".to_owned()),
        proptest::strategy::Just("[redacted]".to_owned()),
        "[a-z0-9 :\n{}@/-]{0,24}",
        "\\PC{0,8}",
    ], 0..12)) {
        let once = redact(&pieces.concat());
        proptest::prop_assert_eq!(redact(&once), once);
    }
}
