//! `onboarding.toml`: from `--config`, else from the root of the GitOps repository. Flags win over it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use checks::{
    Expectations, FluxSettings, IngressSettings, LockSettings, LonghornSettings,
    MonitoringSettings, NodeSettings, ProbeSettings, RepositorySettings, Settings,
};
use reports::model::Phase;
use serde::{Deserialize, Deserializer};

use crate::{cli, exit::Halt, near, scripts::ScriptConfig};

mod accept;

pub(crate) use accept::AcceptConfig;

/// Its name in the root of a repository.
pub(crate) const NAME: &str = "onboarding.toml";

/// What the file says. Everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// How many checks are asked at a time.
    pub(crate) jobs: Option<std::num::NonZeroUsize>,
    /// What makes the exit code 1.
    pub(crate) fail_on: Option<FailOn>,
    /// What keeps a second run out.
    pub(crate) lock: LockKind,
    /// Namespace of the Lease.
    pub(crate) lock_namespace: Option<String>,
    /// How long the Lease holds without being renewed.
    #[serde(deserialize_with = "lock_duration")]
    pub(crate) lock_duration: Option<Duration>,
    /// `[node]`
    pub(crate) node: NodeSettings,
    /// `[repository]`
    pub(crate) repository: RepositorySettings,
    /// `[flux]`
    pub(crate) flux: FluxSettings,
    /// `[longhorn]`
    pub(crate) longhorn: LonghornSettings,
    /// `[monitoring]`
    pub(crate) monitoring: MonitoringSettings,
    /// `[ingress]`
    pub(crate) ingress: IngressSettings,
    /// `[probe]`
    pub(crate) probe: ProbeSettings,
    /// `[expect]`
    pub(crate) expect: Expectations,
    /// `[cluster]`
    pub(crate) cluster: ClusterConfig,
    /// `[git]`
    pub(crate) git: GitConfig,
    /// `[timeouts]`, by phase.
    #[serde(deserialize_with = "timeouts")]
    pub(crate) timeouts: BTreeMap<Phase, Duration>,
    /// `[state]`
    pub(crate) state: FolderConfig,
    /// `[logs]`
    pub(crate) logs: FolderConfig,
    /// `[[script]]`
    #[serde(rename = "script")]
    pub(crate) scripts: Vec<ScriptConfig>,
    /// `[[accept]]`
    pub(crate) accept: Vec<AcceptConfig>,
    /// The file itself, for messages.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
}

/// `[cluster]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClusterConfig {
    /// Kubeconfig.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context in it.
    pub(crate) context: Option<String>,
}

/// `[git]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GitConfig {
    /// How to reach the remote.
    pub(crate) transport: Option<Transport>,
    /// Whether an unsigned commit is an error.
    pub(crate) require_signed: bool,
}

/// `git.transport`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// The git command where it is installed, libgit2 otherwise.
    Auto,
    /// The git command.
    Git,
    /// The library.
    Libgit2,
}

/// `lock`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LockKind {
    /// A Lease in the cluster, and the lock of the state folder.
    #[default]
    Lease,
    /// Only the lock of the state folder.
    Folder,
}

/// `fail_on`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FailOn {
    /// Failures and errors.
    Fail,
    /// Warnings too.
    Warn,
}

/// `[state]` and `[logs]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FolderConfig {
    /// Where.
    pub(crate) dir: Option<PathBuf>,
}

impl Config {
    /// What checks and actions look at.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            node: self.node.clone(),
            repository: self.repository.clone(),
            flux: self.flux.clone(),
            longhorn: self.longhorn.clone(),
            monitoring: self.monitoring.clone(),
            ingress: self.ingress.clone(),
            probe: self.probe.clone(),
            expect: self.expect.clone(),
            accept: self
                .accept
                .iter()
                .filter_map(AcceptConfig::accepted)
                .collect(),
            lock: self.lock_settings(),
            poll: checks::Settings::default().poll,
            consent: checks::Consent::default(),
            extent: checks::rights::Extent::default(),
            besides: Vec::new(),
        }
    }

    fn lock_settings(&self) -> LockSettings {
        let default = LockSettings::default();
        LockSettings {
            lease: self.lock == LockKind::Lease,
            namespace: self.lock_namespace.clone().unwrap_or(default.namespace),
            duration: self.lock_duration.unwrap_or(default.duration),
        }
    }

    /// Reads the file that is named, else the one in the root of the repository, else nothing.
    ///
    /// # Errors
    /// The named file does not exist; a file cannot be read or says something that is not understood.
    pub(crate) fn find(named: Option<&Path>, repository: Option<&Path>) -> Result<Self, Halt> {
        if let Some(path) = named {
            return Self::read(path)?.ok_or_else(|| {
                Halt::cannot_start(
                    format!("configuration {} does not exist", path.display()),
                    "name an existing file with --config, or leave it out",
                )
            });
        }
        match repository {
            Some(root) => Ok(Self::read(&root.join(NAME))?.unwrap_or_default()),
            None => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> Result<Option<Self>, Halt> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            // A repository that is no folder is said when it is opened, with what to do.
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
            Err(error) => {
                return Err(Halt::cannot_start(
                    format!("configuration {} cannot be read: {error}", path.display()),
                    "look at its rights and its encoding (UTF-8)",
                ));
            }
        };
        let mut config = Self::parse(&text, path)?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        // A path in the file means the same wherever the program is started.
        for place in [
            &mut config.repository.path,
            &mut config.cluster.kubeconfig,
            &mut config.state.dir,
            &mut config.logs.dir,
        ] {
            if let Some(relative) = place.as_mut() {
                *relative = folder.join(&*relative);
            }
        }
        Ok(Some(config))
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Halt> {
        let mut config: Self =
            toml::from_str(text).map_err(|error| complaint(text, path, &error))?;
        for (key, name) in [
            ("node.name", &config.node.name),
            ("node.control_plane", &config.node.control_plane),
        ] {
            cli::node(name).map_err(|why| {
                Halt::cannot_start(
                    format!("{}: {key}: {why}", path.display()),
                    "correct the name in the file",
                )
            })?;
        }
        if let Some(why) = config.scripts.iter().find_map(ScriptConfig::complaint) {
            return Err(Halt::cannot_start(
                format!("{}: script: {why}", path.display()),
                "docs/configuration.md shows a [[script]]",
            ));
        }
        if let Some((what, hint)) = config.accept.iter().find_map(AcceptConfig::complaint) {
            return Err(Halt::cannot_start(
                format!("{}: accept: {what}", path.display()),
                hint,
            ));
        }
        config.file = Some(path.to_owned());
        Ok(config)
    }
}

/// Says what is wrong where: file, line, key, and what may have been meant.
fn complaint(text: &str, path: &Path, error: &toml::de::Error) -> Halt {
    let line = error
        .span()
        .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let place = match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    };
    let message = error.message();
    let mut words = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field")
        && let Some(key) = words.next()
    {
        let known: Vec<&str> = words.collect();
        let full = match line.and_then(|line| table_of(text, line)) {
            Some(table) => format!("{table}.{key}"),
            None => key.to_owned(),
        };
        let hint = match near::one_of(key, known.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("keys here: {}", known.join(", ")),
        };
        return Halt::cannot_start(format!("{place}: unknown key `{full}`"), hint);
    }
    Halt::cannot_start(
        format!("{place}: {}", message.replace('\n', " ")),
        "docs/configuration.md has a complete example",
    )
}

/// The `[table]` that a line stands in; none for a header and above the first one.
fn table_of(text: &str, line: usize) -> Option<&str> {
    let before: Vec<&str> = text.lines().take(line).collect();
    let header = |line: &&str| line.trim_start().starts_with('[') && !line.contains('=');
    if before.last().is_some_and(header) {
        return None;
    }
    let found = before.into_iter().rev().find(header)?;
    Some(
        found
            .trim_start()
            .trim_start_matches('[')
            .split(']')
            .next()?
            .trim(),
    )
}

fn lock_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    use serde::de::Error as _;
    let duration = cli::duration(&String::deserialize(from)?).map_err(D::Error::custom)?;
    // Kubernetes counts it in whole seconds, and a third of it must be time enough for an answer.
    if !(Duration::from_secs(3)..=Duration::from_secs(3600)).contains(&duration) {
        return Err(D::Error::custom(
            "lock_duration must be between 3s and 1h, such as 30s",
        ));
    }
    Ok(Some(duration))
}

fn timeouts<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Phase, Duration>, D::Error> {
    use serde::de::Error as _;
    BTreeMap::<String, String>::deserialize(from)?
        .into_iter()
        .map(|(phase, limit)| {
            Ok((
                cli::phase(&phase).map_err(D::Error::custom)?,
                cli::duration(&limit).map_err(D::Error::custom)?,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests;
