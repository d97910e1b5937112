//! Which scripts there are: `[[script]]` in the configuration, and the seven of the specification.

use std::{path::Path, time::Duration};

use reports::model::Phase;
use serde::{Deserialize, Deserializer};

use super::Script;
use crate::cli;

/// How long a script may take unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(120);

/// One `[[script]]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptConfig {
    /// Its name, from which the id of its check is made.
    pub(crate) name: String,
    /// Program and arguments.
    #[serde(deserialize_with = "command")]
    pub(crate) command: Vec<String>,
    /// Its phase.
    #[serde(deserialize_with = "phase")]
    pub(crate) phase: Phase,
    /// How long it may take.
    #[serde(default, deserialize_with = "timeout")]
    pub(crate) timeout: Option<Duration>,
}

impl ScriptConfig {
    /// What is wrong with it, if anything.
    pub(crate) fn complaint(&self) -> Option<String> {
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if self.name.is_empty() || !self.name.chars().all(named) {
            return Some(format!(
                "name `{}` must be of lower-case letters, digits and _",
                self.name
            ));
        }
        if self.command.first().is_none_or(String::is_empty) {
            return Some(format!("script {} names no command", self.name));
        }
        (self.timeout == Some(Duration::ZERO)).then(|| format!("script {} has no time", self.name))
    }

    /// The script. `folder` is the one of the configuration file.
    pub(crate) fn script(&self, folder: &Path) -> Script {
        Script {
            name: self.name.clone(),
            phase: self.phase,
            command: self.command.clone(),
            timeout: self.timeout.unwrap_or(TIMEOUT),
            folder: Some(folder.to_owned()),
            instead: &[],
        }
    }
}

/// A script of the specification: file without `.sh`, phase, and the checks that ask its questions.
type Known = (&'static str, Phase, &'static [&'static str]);

/// The specification's list, in the phases in which it runs them.
const KNOWN: [Known; 7] = [
    (
        "k3s2-pre-onboarding-validation",
        Phase::PreValidation,
        &[
            "pre::api_ready",
            "pre::control_plane_ready",
            "pre::flux_kustomizations",
        ],
    ),
    (
        "cluster-readiness-validation",
        Phase::PostValidation,
        &[
            "post::api_ready",
            "post::nodes_ready",
            "post::coredns",
            "pre::flux_controllers",
        ],
    ),
    (
        "storage-health-check",
        Phase::PostValidation,
        &[
            "post::longhorn_managers",
            "post::longhorn_nodes",
            "post::longhorn_volumes",
        ],
    ),
    (
        "monitoring-validation",
        Phase::PostValidation,
        &[
            "post::prometheus_answers",
            "post::grafana",
            "monitoring::node_exporter",
        ],
    ),
    (
        "network-connectivity-verification",
        Phase::PostValidation,
        &[
            "post::flannel",
            "post::nodeports",
            "network::kubelet_tunnel",
        ],
    ),
    (
        "security-validation",
        Phase::SecurityValidation,
        &[
            "security::node_rights",
            "security::plaintext_secrets",
            "security::sops_decrypts",
        ],
    ),
    (
        "post-onboarding-health-verification",
        Phase::HealthVerification,
        &[
            "health::nodes_ready",
            "health::daemonsets_complete",
            "health::flux_in_sync",
        ],
    ),
];

/// `--with-scripts`: the seven scripts of the specification, as they lie in the GitOps repository.
pub(crate) fn known() -> Vec<Script> {
    KNOWN
        .into_iter()
        .map(|(file, phase, instead)| Script {
            name: file.replace('-', "_"),
            phase,
            command: vec![format!("scripts/{file}.sh")],
            // They wait for things themselves.
            timeout: TIMEOUT * 5,
            folder: None,
            instead,
        })
        .collect()
}

fn command<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a program, or a list of program and arguments")]
    enum Command {
        Program(String),
        Whole(Vec<String>),
    }
    Ok(match Command::deserialize(from)? {
        Command::Program(program) => vec![program],
        Command::Whole(whole) => whole,
    })
}

fn phase<'de, D: Deserializer<'de>>(from: D) -> Result<Phase, D::Error> {
    cli::phase(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

fn timeout<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    cli::duration(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}
