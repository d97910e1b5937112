//! What the configuration adds to the checks: the operator's own scripts, and failures that somebody has accepted.

use std::{fs, os::unix::fs::PermissionsExt as _};

use reports::model::Outcome;
use sandbox::Stage;
use tests::TestEnvironment;

const CONFIGURATION: &str = r#"
[[script]]
name = "greets"
command = ["./greets.sh", "the node"]
phase = "post"

[[accept]]
check = "security::join_token_in_git"
object = "infrastructure/cloud-init/user-data.yaml"
owner = "ops"
reason = "it is rotated next week"
expires = 2099-12-31
"#;

#[test]
fn scripts_are_cases_and_an_accepted_failure_stays_visible_until_its_day() {
    let world = TestEnvironment::at(Stage::New, &["join-token-in-git"]);
    let folder = world.root().join("configuration");
    fs::create_dir(&folder).unwrap();
    let (file, script) = (folder.join("onboarding.toml"), folder.join("greets.sh"));
    fs::write(&file, CONFIGURATION).unwrap();
    fs::write(&script, "#!/bin/sh\necho \"$1 is $ONBOARDING_NODE\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let named = |name: &str| world.root().join(name).display().to_string();
    let (config, junit, markdown) = (file.display().to_string(), named("j.xml"), named("m.md"));

    let copies = [
        "--config",
        &config,
        "--junit",
        &junit,
        "--markdown",
        &markdown,
    ];
    let output = world.onboard(&copies).exits(0);
    let words = "accepted by ops until 2099-12-31: it is rotated next week";
    output.says(words);
    for copy in [&junit, &markdown] {
        let text = fs::read_to_string(copy).unwrap();
        assert!(text.contains(words), "{copy} does not say it");
        assert!(!text.contains("::server:"), "{copy} shows the token");
    }
    let report = world.archived().unwrap();
    let ended = |id: &str| report.case(id).unwrap().ended().unwrap().clone();
    let greeting = ended("post::script_greets");
    assert_eq!(greeting.outcome, Outcome::Pass);
    assert_eq!(greeting.message, "the node is k3s2");
    let accepted = ended("security::join_token_in_git");
    assert_eq!(
        (accepted.outcome, accepted.reason.as_str()),
        (Outcome::Warn, "KeyInGit")
    );

    // Only an onboarding and `--apply` run scripts.
    fs::write(&script, "#!/bin/sh\ntouch \"$0.was.run\"\n").unwrap();
    let inspected = world
        .onboard(&["--config", &config, "script_greets"])
        .exits(0);
    inspected.says("scripts are run in an onboarding and with --apply");
    assert!(!folder.join("greets.sh.was.run").exists());
    let applied = ["--config", &config, "script_greets", "--apply"];
    let applied = world.onboard(&applied).exits(1);
    applied.says("NothingChecked");
    assert!(folder.join("greets.sh.was.run").exists());

    fs::write(&file, CONFIGURATION.replace("2099", "2020")).unwrap();
    let over = world.onboard(&["--config", &config, "join_token"]).exits(1);
    over.says("no longer accepted by ops until 2020-12-31");
    fs::write(&file, CONFIGURATION.replace("_in_git", "_in_gti")).unwrap();
    let wrong = world.onboard(&["--config", &config, "join_token"]).exits(3);
    wrong.says("did you mean `security::join_token_in_git`?");
}
