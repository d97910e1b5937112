use clap::{CommandFactory as _, Parser as _};
use pretty_assertions::assert_eq;

use super::*;

fn parse(arguments: &str) -> Result<Cli, String> {
    let arguments = std::iter::once("harness").chain(arguments.split_whitespace());
    let cli = Cli::try_parse_from(arguments).map_err(|error| {
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    })?;
    match cli.refuse() {
        Some(why) => Err(why),
        None => Ok(cli),
    }
}

#[test]
fn the_command_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn the_sandbox_takes_a_folder_only_with_an_equals_sign() {
    let cli = parse("--sandbox --phase storage").unwrap();
    assert_eq!(
        (cli.sandbox, cli.phase),
        (Some(None), vec![Phase::StorageIntegration])
    );
    let cli = parse("--sandbox storage::x").unwrap();
    assert_eq!(
        (cli.sandbox, cli.filters),
        (Some(None), vec!["storage::x".to_owned()])
    );
    let cli = parse("--sandbox=/tmp/w a b").unwrap();
    assert_eq!(cli.sandbox, Some(Some("/tmp/w".into())));
    assert_eq!(cli.filters, ["a", "b"]);
}

#[test]
fn an_unknown_phase_lists_both_spellings() {
    let said = parse("--phase Storage").unwrap_err();
    assert!(
        said.contains("unknown phase `Storage`, did you mean `storage`?"),
        "{said}"
    );
    for phase in Phase::ALL {
        assert!(
            said.contains(&format!("{} ({})", phase.short(), phase.name())),
            "{said}"
        );
    }
    assert_eq!(
        parse("--phase pre_validation --phase join").unwrap().phase,
        [Phase::PreValidation, Phase::NodeJoinMonitoring]
    );
}

#[test]
fn options_that_exclude_each_other_are_named() {
    for (arguments, said) in [
        (
            "--status --rollback",
            "--status and --rollback exclude each other",
        ),
        ("--resume --list", "--resume and --list exclude each other"),
        ("--status --list", "--status and --list exclude each other"),
        ("--force", "--force is for --rollback"),
        (
            "--lose-volume x --status",
            "--lose-volume is for --rollback",
        ),
        (
            "--status --history",
            "--status and --history exclude each other",
        ),
        (
            "--history --phase join",
            "--history is not for single checks: leave --phase, --skip and filters out",
        ),
        (
            "--history --fresh",
            "--fresh and --history exclude each other",
        ),
        (
            "--resume --fresh",
            "--resume and --fresh exclude each other: one goes on, one starts over",
        ),
        (
            "--apply",
            "--apply needs --phase or a filter: without them all phases run in order, with their actions",
        ),
        (
            "--wait",
            "--wait needs --phase or a filter: an ordered run waits anyway",
        ),
        (
            "--exact",
            "--exact needs the id of a check, such as storage::node_ready",
        ),
        (
            "--resume --phase join",
            "--resume is for the run of all phases: leave --phase, --skip and filters out",
        ),
        (
            "--status disks",
            "--status is not for single checks: leave --phase, --skip and filters out",
        ),
        (
            "--fresh --cleanup",
            "--fresh and --cleanup exclude each other",
        ),
        (
            "--dry-run --status",
            "--dry-run and --status exclude each other",
        ),
        ("--sandbox-keep", "--sandbox-keep needs --sandbox"),
        ("--sandbox-at new", "--sandbox-at needs --sandbox"),
        (
            "--sandbox --repo x",
            "--repo and --sandbox exclude each other: the sandbox has its own cluster and repository",
        ),
        (
            "--sandbox=/w --sandbox-at new",
            "--sandbox-at is for a sandbox that this run starts; the one in /w is served by another process (faults: \
             one name a line in /w/faults)",
        ),
    ] {
        assert_eq!(parse(arguments).unwrap_err(), said, "{arguments}");
    }
    for fine in [
        "--rollback --dry-run",
        "--resume --dry-run",
        "--list --phase storage",
        "--sandbox=/w --resume",
        "--sandbox-serve /w --sandbox-at onboarded",
        "--phase join --apply",
        "--skip x --wait",
    ] {
        assert!(parse(fine).is_ok(), "{fine}");
    }
}

#[test]
fn values_are_refused_with_what_is_accepted() {
    for (arguments, said) in [
        ("--jobs 0", "--jobs"),
        (
            "--timeout storage",
            "expected PHASE=DURATION such as storage=15m",
        ),
        (
            "--timeout storage=soon",
            "`soon` is no duration, expected one such as 90s, 15m or 1h30m",
        ),
        ("--timeout storage=0s", "`0s` is no time at all"),
        ("--timeout storage=-5m", "is no duration"),
        ("--timeout stor=5m", "unknown phase `stor`"),
        ("--timeout join=25h", "longer than a day"),
        ("--node ../x", "node name `../x` is no"),
        ("--node K3S2", "RFC 1123"),
        ("--control-plane a/b", "RFC 1123"),
        (
            "--sandbox --sandbox-fault nonsense",
            "unknown fault `nonsense`",
        ),
        ("--format yaml", "[possible values: pretty, libtest, json]"),
        (
            "--color sometimes",
            "[possible values: auto, always, never]",
        ),
        ("--nonsense", "unexpected argument"),
    ] {
        let why = parse(arguments).unwrap_err();
        assert!(why.contains(said), "{arguments}: {why}");
    }
    let cli = parse("--timeout storage=15m --timeout join=1h30m --timeout pre=90s").unwrap();
    let seconds: Vec<u64> = cli
        .timeout
        .iter()
        .map(|(_, limit)| limit.as_secs())
        .collect();
    assert_eq!(seconds, [900, 5400, 90]);
}

#[test]
fn what_is_not_built_yet_is_a_task_of_its_own() {
    for (arguments, task) in [
        ("--rollback --yes --lose-volume a --force", Task::Rollback),
        ("--dry-run", Task::Run),
        ("--dry-run --resume", Task::Run),
        ("--auto-fix --report", Task::Run),
        ("--status", Task::Status),
        ("--history --format json", Task::History),
        ("--list x", Task::List),
        ("--explain a::b", Task::Explain("a::b".into())),
        ("--cleanup --yes", Task::Cleanup),
        ("--sandbox-serve w", Task::Serve("w".into())),
        ("", Task::Run),
        ("x --wait", Task::Run),
    ] {
        assert_eq!(parse(arguments).unwrap().task(), task, "{arguments}");
    }
}

#[test]
fn help() {
    let help = Cli::command().term_width(80).render_help().to_string();
    insta::assert_snapshot!(help, @r"
    Onboards a worker node into a k3s cluster and proves it, check by check. Without
    a filter it runs all nine phases in order, with their changes. With --phase, a
    filter or --skip it only asks, unless --apply is given

    Usage: harness [OPTIONS] [FILTER]...

    What to do:
          --resume           Go on where an earlier onboarding stopped
          --status           Say how far the onboarding is, and what the cluster
                             says now
          --history          Say how earlier onboardings went: how many came
                             through, what fails most, how long phases take
          --rollback         Take the node out again: says first what that would do
                             and what stands in the way, then asks
          --list             List checks and actions; asks no cluster
          --explain <CHECK>  Say what a check asks, why, and what to do when it
                             fails
          --rbac             Print the roles that hold what the selected checks and
                             actions need, as YAML; asks no cluster
          --cleanup          Remove what runs of this program left in the cluster
          --dry-run          Ask what can be asked now, plan every change, and
                             change nothing
          --fresh            Start over: archive the report of an unfinished
                             onboarding, and keep what it changed on record
          --skip-validation  Leave out the checks of pre_validation (not
                             recommended)
          --auto-fix         Mend what a declared fix can safely mend
          --yes              Do not ask before removing something

    What a rollback may lose:
          --delete-emptydir-data  Evict pods whose emptyDir is lost with them
          --force                 Evict pods that nobody would start again
          --lose-volume <NAME>    Let this volume go with its last copy; may be
                                  given several times

    Which checks:
          --phase <PHASE>  Only this phase; may be given several times
          --skip <FILTER>  Not those whose id contains this; may be given several
                           times
          --exact          Filters are whole ids
          --apply          With the actions of the selected phases: this changes the
                           repository and the cluster
          --wait           Wait for what is not yet so, up to the phase's limit
          --with-scripts   Also run the seven scripts of the specification from
                           scripts/ of the repository, as checks of their phases
      [FILTER]...          Only checks and actions whose id contains one of these

    Cluster and repository:
          --node <NAME>           Name of the new node [default: k3s2]
          --control-plane <NAME>  Name of the control-plane node [default: k3s1]
          --kubeconfig <FILE>     Kubeconfig; else KUBECONFIG, ~/.kube/config, or
                                  the service account of the pod
          --context <NAME>        Context of the kubeconfig
          --repo <DIR>            Working copy of the GitOps repository; else
                                  ONBOARDING_REPO or the configuration
          --config <FILE>         Configuration; else onboarding.toml in the root of
                                  the GitOps repository
          --push-transport <HOW>  How to reach the git remote [default: auto]
                                  [possible values: auto, git, libgit2]
          --account <NAME>        Service account of --rbac [default:
                                  kube-system/onboarding]
          --require-signed        An unsigned commit is an error

    How:
          --jobs <N>
              How many checks are asked at a time [default: 8]
          --timeout <PHASE=DURATION>
              How long a phase may wait, such as storage=15m; may be given several
              times
          --fail-on <OUTCOME>
              What makes the exit code 1 [default: fail] [possible values: fail,
              warn]

    Output:
          --report           Write a timestamped Markdown report into the log folder
          --junit <FILE>     Also write the JUnit report here
          --markdown <FILE>  Also write the Markdown report here
          --format <FORM>    Form of what is printed [default: pretty] [possible
                             values: pretty, libtest, json]
          --color <WHEN>     Colours: auto is on a terminal without NO_COLOR
                             [default: auto] [possible values: auto, always, never]
      -v, --verbose          Say more: what passing checks saw, and DEBUG lines in
                             the log
          --state-dir <DIR>  Folder of the state [default:
                             /tmp/NODE-onboarding-state]
          --log-dir <DIR>    Folder of logs and reports [default:
                             /tmp/NODE-onboarding-logs]

    Sandbox:
          --sandbox[=<DIR>]       Use an embedded cluster with its own git
                                  repository; or, with DIR, the one that
                                  `--sandbox-serve DIR` serves
          --sandbox-keep          Go on serving the embedded cluster after the run,
                                  until Ctrl-C
          --sandbox-serve <DIR>   Only serve an embedded cluster, with everything it
                                  needs in DIR, until Ctrl-C
          --sandbox-at <STAGE>    Where the cluster begins [default: new for an
                                  onboarding, onboarded otherwise] [possible values:
                                  new, joining, onboarded]
          --sandbox-fault <NAME>  Begin with this trouble; may be given several
                                  times

    Other:
          --completions <SHELL>  Print completions for a shell [possible values:
                                 bash, elvish, fish, powershell, zsh]
          --man                  Print the manual page
      -h, --help                 Print help
      -V, --version              Print version

    Examples:
      harness --sandbox --report              onboard into the embedded cluster
      harness --repo ~/k3s-flux --report      onboard into the kubeconfig's cluster
      harness --status                        how far it is, and the node now
      harness --history                       how earlier onboardings went
      harness --resume                        go on where it stopped
      harness --rollback                      take the node out again
      harness --phase storage                 ask the checks of one phase
      harness --phase storage disks           only those with `disks` in their id
      harness storage::node_ready --exact     only this one
      harness --list                          every check and action
      harness --explain storage::node_ready   what it asks, what to do if it fails
      harness --rbac | kubectl apply -f -     an account with these rights only
      harness --sandbox-serve /tmp/world      a cluster to try things on
      harness --sandbox=/tmp/world --resume   use it from another terminal

    Phases, short and long:
      pre         pre_validation              monitoring  monitoring_integration
      gitops      gitops_activation           security    security_validation
      join        node_join_monitoring        post        post_validation
      storage     storage_integration         health      health_verification
      network     network_validation

    Exit codes:
      0 passed    1 failed, can be resumed    2 usage    3 could not start
      4 nothing selected     6 locked by another run     7 report not usable
      8 rollback incomplete  130 interrupted
    ");
}
