use pretty_assertions::assert_eq;

use super::*;
use crate::exit::Exit;

fn parse(text: &str) -> Result<Config, Halt> {
    Config::parse(text, Path::new("onboarding.toml"))
}

fn refused(text: &str) -> String {
    let halt = parse(text).unwrap_err();
    assert_eq!(halt.exit, Exit::CannotStart);
    format!("{} ({})", halt.message, halt.hint)
}

/// The example of the documentation.
fn example() -> String {
    let page = include_str!("../../../docs/configuration.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    example.to_owned()
}

#[test]
fn the_documented_example_is_understood_and_shows_the_defaults() {
    let config = parse(&example()).unwrap();
    let mut settings = config.settings();
    assert_eq!(
        settings.repository.path.take(),
        Some(PathBuf::from("/home/me/k3s-flux"))
    );
    assert_eq!(settings.entry(), Settings::default().entry());
    settings.repository.entry.clear();
    assert_eq!(settings, Settings::default());
    assert_eq!(config.timeouts, crate::build::timeouts());
    assert_eq!(
        config.jobs.map(std::num::NonZero::get),
        Some(crate::build::JOBS)
    );
    assert_eq!(config.fail_on, Some(FailOn::Fail));
    assert_eq!(config.lock, LockKind::Lease);
    assert!(config.lock_namespace.is_some() && config.lock_duration.is_some());
    assert_eq!(config.git.transport, Some(Transport::Auto));
    assert_eq!(config.cluster.context.as_deref(), Some("default"));
    assert_eq!(config.state.dir, Some("/var/lib/onboarding/state".into()));
    assert_eq!(config.logs.dir, Some("/var/lib/onboarding/logs".into()));
}

#[test]
fn the_example_names_every_key_that_checks_look_at() {
    let example: toml::Table = example().parse().unwrap();
    let known = toml::Table::try_from(Settings::default()).unwrap();
    for (table, keys) in &known {
        let shown = example[table].as_table().unwrap();
        for key in keys.as_table().unwrap().keys() {
            assert!(shown.contains_key(key), "{table}.{key} is not documented");
        }
    }
}

#[test]
fn unknown_keys_are_named_with_file_line_and_what_was_meant() {
    assert_eq!(
        refused("[node]\nname = \"k3s2\"\ncontrol_plan = \"k3s1\"\n"),
        "onboarding.toml:3: unknown key `node.control_plan` (did you mean `control_plane`?)"
    );
    assert_eq!(
        refused("jobs = 3\njob = 4\n"),
        "onboarding.toml:2: unknown key `job` (did you mean `jobs`?)"
    );
    assert_eq!(
        refused("[ingress]\nproxy = 1\n"),
        "onboarding.toml:2: unknown key `ingress.proxy` (keys here: http, https)"
    );
    assert_eq!(
        refused("[longhorns]\nnamespace = \"x\"\n"),
        "onboarding.toml:1: unknown key `longhorns` (did you mean `longhorn`?)"
    );
}

#[test]
fn wrong_values_are_named_with_their_line() {
    for (text, wanted) in [
        ("jobs = 0", "onboarding.toml:1: invalid value: integer `0`"),
        ("\n[ingress]\nhttp = 70000", "onboarding.toml:3: "),
        ("[timeouts]\nstorage = \"soon\"", "`soon` is no duration"),
        ("[timeouts]\nstorages = \"5m\"", "did you mean `storage`?"),
        (
            "fail_on = \"never\"",
            "onboarding.toml:1: unknown variant `never`",
        ),
        (
            "[node]\nname = \"../x\"",
            "node.name: node name `../x` is no",
        ),
        ("[node\n", "onboarding.toml:1: "),
        ("lock = \"none\"", "unknown variant `none`"),
        ("lock_duration = \"1s\"", "between 3s and 1h"),
    ] {
        let said = refused(text);
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn paths_in_the_file_are_relative_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(NAME);
    std::fs::write(
        &file,
        "[repository]\npath = \"flux\"\n[logs]\ndir = \"/var/log/x\"\n",
    )
    .unwrap();
    let config = Config::find(None, Some(folder.path())).unwrap();
    assert_eq!(config.repository.path, Some(folder.path().join("flux")));
    assert_eq!(config.logs.dir, Some("/var/log/x".into()));
    assert_eq!(config.file, Some(file));
}

#[test]
fn a_named_file_must_exist_and_one_in_the_repository_need_not() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        Config::find(None, Some(folder.path())).unwrap(),
        Config::default()
    );
    let missing = folder.path().join("other.toml");
    let halt = Config::find(Some(&missing), Some(folder.path())).unwrap_err();
    assert_eq!(halt.exit, Exit::CannotStart);
    assert!(halt.message.contains("other.toml does not exist"));
    std::fs::write(&missing, [0xff, 0xfe]).unwrap();
    assert!(Config::find(Some(&missing), None).is_err());
}
