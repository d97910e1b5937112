//! Joins flags, environment and configuration: flags win over the file, the file over the defaults.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use checks::{git::Transport, rights::Extent};
use reports::model::{Kind, Phase};

use crate::{
    catalogue,
    cli::{self, Cli},
    config::{self, Config},
    engine,
    exit::Halt,
    options::{Options, Purpose, SandboxUse, Selection},
    scripts::{self, Script},
};

/// How many checks are asked at a time unless told otherwise. They wait for answers most of the time.
pub(crate) const JOBS: usize = 8;

/// How long each phase may wait in all unless told otherwise.
pub(crate) fn timeouts() -> BTreeMap<Phase, Duration> {
    let minutes = |phase| match phase {
        Phase::PreValidation => 1,
        Phase::SecurityValidation => 2,
        Phase::NetworkValidation => 3,
        Phase::GitopsActivation
        | Phase::NodeJoinMonitoring
        | Phase::MonitoringIntegration
        | Phase::PostValidation
        | Phase::HealthVerification => 5,
        Phase::StorageIntegration => 10,
    };
    Phase::ALL
        .into_iter()
        .map(|phase| (phase, Duration::from_secs(minutes(phase) * 60)))
        .collect()
}

/// Names the GitOps repository when `--repo` does not.
const REPOSITORY: &str = "ONBOARDING_REPO";

/// What the program is asked to do.
///
/// # Errors
/// The configuration cannot be read or says something that is not understood.
pub(crate) fn from_environment(cli: &Cli) -> Result<Options, Halt> {
    let mut options = options(cli, std::env::var_os(REPOSITORY))?;
    // Before anything looks at the catalogue: scripts are checks of it too.
    scripts::register(&options.scripts);
    options.settings.extent = extent(&options.selection, options.purpose);
    if options.auto_fix {
        options.settings.besides = engine::fix_needs();
    }
    Ok(options)
}

/// What the program is asked to do. `environment` is the value of `ONBOARDING_REPO`.
///
/// # Errors
/// The configuration cannot be read or says something that is not understood.
fn options(cli: &Cli, environment: Option<OsString>) -> Result<Options, Halt> {
    let sandboxed = cli.sandbox.is_some();
    let repository = if sandboxed {
        None
    } else {
        cli.repo
            .clone()
            .or_else(|| environment.filter(|path| !path.is_empty()).map(Into::into))
    };
    let config = Config::find(cli.config.as_deref(), repository.as_deref())?;
    let sandbox = cli
        .sandbox
        .as_ref()
        .map(|dir| sandbox_use(cli, dir.clone()));

    let mut settings = config.settings();
    if let Some(node) = &cli.node {
        settings.node.name.clone_from(node);
    }
    if let Some(node) = &cli.control_plane {
        settings.node.control_plane.clone_from(node);
    }
    // The sandbox brings its own repository, whatever a configuration file names.
    settings.repository.path = if sandboxed {
        None
    } else {
        repository.or(settings.repository.path)
    };
    settings.repository.transport = transport(cli, &config);
    let (selection, purpose) = (selection(cli), purpose(cli));
    if let Some(sandbox) = &sandbox {
        settings.poll.0 = pace(sandbox.speed).poll;
    }
    settings.consent = checks::Consent {
        emptydir: cli.delete_emptydir_data,
        unmanaged: cli.force,
        volumes: cli.lose_volume.iter().cloned().collect(),
    };
    let folder = |flag: &Option<PathBuf>, file: &Option<PathBuf>, kind: &str| {
        let file = if sandboxed { &None } else { file };
        flag.as_ref()
            .or(file.as_ref())
            .cloned()
            .unwrap_or_else(|| default_folder(&settings.node.name, sandboxed, kind))
    };
    Ok(Options {
        state_dir: folder(&cli.state_dir, &config.state.dir, "state"),
        log_dir: folder(&cli.log_dir, &config.logs.dir, "logs"),
        selection,
        purpose,
        dry_run: cli.dry_run,
        auto_fix: cli.auto_fix,
        kubeconfig: cli
            .kubeconfig
            .clone()
            .or_else(|| real(sandboxed, &config.cluster.kubeconfig)),
        context: cli
            .context
            .clone()
            .or_else(|| real(sandboxed, &config.cluster.context)),
        junit: cli.junit.clone(),
        markdown: cli.markdown.clone(),
        report: cli.report,
        format: cli.format.unwrap_or_default(),
        jobs: cli
            .jobs
            .or(config.jobs)
            .map_or(JOBS, std::num::NonZero::get),
        timeouts: limits(cli, &config, sandbox.as_ref()),
        fail_on_warn: fail_on_warn(cli, &config),
        transport: settings.repository.transport,
        require_signed: cli.require_signed || config.git.require_signed,
        verbose: cli.verbose,
        scripts: scripts(cli, &config)?,
        sandbox,
        settings,
    })
}

/// What is selected.
pub(crate) fn selection(cli: &Cli) -> Selection {
    Selection {
        phases: cli.phase.clone(),
        filters: cli.filters.clone(),
        skip: cli.skip.clone(),
        exact: cli.exact,
    }
}

/// The operator's scripts, those of the specification behind those of the configuration.
fn scripts(cli: &Cli, config: &Config) -> Result<Vec<Script>, Halt> {
    let file = config.file.as_deref().unwrap_or(Path::new(config::NAME));
    let folder = std::path::absolute(file)
        .ok()
        .and_then(|file| file.parent().map(Path::to_owned))
        .unwrap_or_default();
    let mut all: Vec<Script> = config
        .scripts
        .iter()
        .map(|one| one.script(&folder))
        .collect();
    if cli.with_scripts {
        all.extend(scripts::known());
    }
    let mut seen = std::collections::BTreeSet::new();
    match all
        .iter()
        .map(Script::id)
        .find(|id| !seen.insert(id.clone()))
    {
        Some(id) => Err(Halt::cannot_start(
            format!("two scripts are called {id}"),
            "give one of the [[script]] another name",
        )),
        None => Ok(all),
    }
}

fn purpose(cli: &Cli) -> Purpose {
    if cli.rollback {
        Purpose::Rollback { yes: cli.yes }
    } else if cli.selects() {
        Purpose::Inspect {
            apply: cli.apply,
            // What an action began takes its time, as in an ordered run.
            wait: cli.wait || cli.apply,
        }
    } else {
        Purpose::Onboard {
            resume: cli.resume,
            fresh: cli.fresh,
            skip_validation: cli.skip_validation,
        }
    }
}

/// What a run takes up, by its selection: that decides which rights it needs.
fn extent(selection: &Selection, purpose: Purpose) -> Extent {
    let Purpose::Inspect { apply, wait } = purpose else {
        return Extent::Onboarding;
    };
    let chosen = |kind: Kind| {
        catalogue::all()
            .iter()
            .filter(move |entry| entry.kind == kind && selection.takes(entry.id))
            .map(|entry| entry.id)
    };
    let actions: Vec<&str> = if apply {
        chosen(Kind::Action).collect()
    } else {
        Vec::new()
    };
    Extent::of(chosen(Kind::Check), actions, wait)
}

/// How the sandbox begins: before the node for an onboarding, with it for everything else.
pub(crate) fn stage(cli: &Cli) -> sandbox::Stage {
    let ordered = cli.task() == cli::Task::Run && !cli.selects();
    match cli.sandbox_at {
        Some(cli::Stage::New) => sandbox::Stage::New,
        Some(cli::Stage::Joining) => sandbox::Stage::Joining,
        Some(cli::Stage::Onboarded) => sandbox::Stage::Onboarded,
        None if ordered || cli.sandbox_serve.is_some() => sandbox::Stage::New,
        None => sandbox::Stage::Onboarded,
    }
}

/// How fast the sandbox moves.
pub(crate) fn speed(cli: &Cli) -> sandbox::Speed {
    match cli.sandbox_speed {
        Some(cli::Speed::Test) => sandbox::Speed::Test,
        Some(cli::Speed::Demo) | None => sandbox::Speed::Demo,
    }
}

fn sandbox_use(cli: &Cli, dir: Option<PathBuf>) -> SandboxUse {
    SandboxUse {
        dir,
        at: stage(cli),
        speed: speed(cli),
        faults: cli.sandbox_fault.clone(),
        keep: cli.sandbox_keep,
    }
}

/// How patient a run is with a sandbox, where time is compressed.
struct Pace {
    poll: Duration,
    limit: Duration,
}

fn pace(speed: sandbox::Speed) -> Pace {
    let (poll, limit) = match speed {
        sandbox::Speed::Test => (50, 30_000),
        sandbox::Speed::Demo => (400, 60_000),
    };
    Pace {
        poll: Duration::from_millis(poll),
        limit: Duration::from_millis(limit),
    }
}

fn limits(cli: &Cli, config: &Config, sandbox: Option<&SandboxUse>) -> BTreeMap<Phase, Duration> {
    let mut limits = timeouts();
    if let Some(sandbox) = sandbox {
        let most = pace(sandbox.speed).limit;
        for limit in limits.values_mut() {
            *limit = (*limit).min(most);
        }
    }
    limits.extend(
        config
            .timeouts
            .iter()
            .map(|(phase, limit)| (*phase, *limit)),
    );
    limits.extend(cli.timeout.iter().copied());
    limits
}

fn fail_on_warn(cli: &Cli, config: &Config) -> bool {
    match (cli.fail_on, config.fail_on) {
        (Some(flag), _) => flag == cli::FailOn::Warn,
        (None, file) => file == Some(config::FailOn::Warn),
    }
}

fn transport(cli: &Cli, config: &Config) -> Transport {
    match (cli.push_transport, config.git.transport) {
        (Some(cli::PushTransport::Git), _) | (None, Some(config::Transport::Git)) => Transport::Git,
        (Some(cli::PushTransport::Libgit2), _) | (None, Some(config::Transport::Libgit2)) => {
            Transport::Libgit2
        }
        (Some(cli::PushTransport::Auto), _) | (None, _) => Transport::Auto,
    }
}

/// What a file says about the real cluster is nothing to a sandbox.
fn real<T: Clone>(sandboxed: bool, value: &Option<T>) -> Option<T> {
    if sandboxed { None } else { value.clone() }
}

fn default_folder(node: &str, sandboxed: bool, kind: &str) -> PathBuf {
    let infix = if sandboxed { "-sandbox" } else { "" };
    Path::new("/tmp").join(format!("{node}-onboarding{infix}-{kind}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn built(arguments: &str) -> Options {
        let cli = Cli::try_parse_from(arguments.split_whitespace()).unwrap();
        assert_eq!(cli.refuse(), None);
        options(&cli, None).unwrap()
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        std::fs::write(
            &file,
            "jobs = 3\nfail_on = \"warn\"\n[node]\nname = \"k3s7\"\n[git]\ntransport = \"git\"\n[timeouts]\njoin = \
             \"9m\"\nstorage = \"9m\"\n[repository]\npath = \"flux\"",
        )
        .unwrap();
        let config = format!("harness --config {}", file.display());
        let from_file = built(&config);
        assert_eq!(from_file.jobs, 3);
        assert!(from_file.fail_on_warn);
        assert_eq!(from_file.transport, Transport::Git);
        assert_eq!(from_file.settings.node.name, "k3s7");
        assert_eq!(from_file.settings.entry(), "../k3s7-node-config/");
        assert_eq!(from_file.state_dir, Path::new("/tmp/k3s7-onboarding-state"));
        assert_eq!(
            from_file.settings.repository.path,
            Some(folder.path().join("flux"))
        );

        let flags = built(&format!(
            "{config} --jobs 1 --fail-on fail --node k3s9 --push-transport auto --timeout storage=1h --repo /r"
        ));
        assert_eq!(flags.jobs, 1);
        assert!(!flags.fail_on_warn);
        assert_eq!(flags.transport, Transport::Auto);
        assert_eq!(flags.settings.node.name, "k3s9");
        assert_eq!(flags.settings.repository.path, Some("/r".into()));
        assert_eq!(flags.timeouts[&Phase::StorageIntegration].as_secs(), 3600);
        assert_eq!(flags.timeouts[&Phase::NodeJoinMonitoring].as_secs(), 540);
    }

    #[test]
    fn the_current_folder_is_never_the_repository_by_itself() {
        let cli = Cli::try_parse_from(["harness"]).unwrap();
        assert_eq!(options(&cli, None).unwrap().settings.repository.path, None);
        assert_eq!(
            options(&cli, Some("".into()))
                .unwrap()
                .settings
                .repository
                .path,
            None
        );
        assert_eq!(
            options(&cli, Some("/flux".into()))
                .unwrap()
                .settings
                .repository
                .path,
            Some("/flux".into())
        );
    }

    #[test]
    fn a_sandbox_has_folders_and_a_repository_of_its_own() {
        let cli = Cli::try_parse_from(["harness", "--sandbox"]).unwrap();
        let options = options(&cli, Some("/flux".into())).unwrap();
        assert_eq!(options.settings.repository.path, None);
        assert_eq!(
            options.state_dir,
            Path::new("/tmp/k3s2-onboarding-sandbox-state")
        );
        assert_eq!(
            options.log_dir,
            Path::new("/tmp/k3s2-onboarding-sandbox-logs")
        );
        let sandbox = options.sandbox.unwrap();
        assert_eq!((sandbox.at, sandbox.dir), (sandbox::Stage::New, None));
        assert!(options.timeouts.values().all(|limit| limit.as_secs() <= 60));
    }

    #[test]
    fn a_filter_makes_an_inspection_on_an_onboarded_sandbox() {
        let options = built("harness --sandbox --phase storage disks");
        assert_eq!(
            options.purpose,
            Purpose::Inspect {
                apply: false,
                wait: false
            }
        );
        let sandbox = options.sandbox.unwrap();
        assert_eq!(sandbox.at, sandbox::Stage::Onboarded);
        assert_eq!(sandbox.dir, None);
        assert_eq!(options.selection.filters, ["disks"]);
        let joining = built("harness --sandbox storage::x --sandbox-at joining --apply");
        assert_eq!(joining.sandbox.unwrap().at, sandbox::Stage::Joining);
        assert_eq!(
            joining.purpose,
            Purpose::Inspect {
                apply: true,
                wait: true
            }
        );
    }
}
