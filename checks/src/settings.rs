//! What is wanted of the cluster: the part of the configuration that checks and actions look at.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Accepted, Need, git::Transport, rights::Extent};

/// What is wanted, from flags, `onboarding.toml` and defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `[node]`
    pub node: NodeSettings,
    /// `[repository]`
    pub repository: RepositorySettings,
    /// `[flux]`
    pub flux: FluxSettings,
    /// `[longhorn]`
    pub longhorn: LonghornSettings,
    /// `[monitoring]`
    pub monitoring: MonitoringSettings,
    /// `[ingress]`
    pub ingress: IngressSettings,
    /// `[probe]`
    pub probe: ProbeSettings,
    /// `[expect]`
    pub expect: Expectations,
    /// `[[accept]]`: failures that somebody has accepted. Read with the rest of the file by the program.
    #[serde(skip)]
    pub accept: Vec<Accepted>,
    /// How a second run is kept out: `lock`, `lock_namespace` and `lock_duration` of the file.
    #[serde(skip)]
    pub lock: LockSettings,
    /// How often what cannot be watched is asked again during a wait. Not in the file: given by the program.
    #[serde(skip)]
    pub poll: Poll,
    /// What this run takes up, whose rights `pre::permissions` asks for. Not in the file: given by the program.
    #[serde(skip)]
    pub extent: Extent,
    /// Rights that this run uses besides those of its checks and actions, each with what uses it: those of the fixes.
    /// Without them it goes on. Not in the file: given by the program.
    #[serde(skip)]
    pub besides: Vec<(&'static str, Need)>,
    /// What may be lost when the node is taken out. Not in the file: given by flags, each time anew.
    #[serde(skip)]
    pub consent: Consent,
}

/// What a person has agreed to lose when the node is taken out again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// `--delete-emptydir-data`
    pub emptydir: bool,
    /// `--force`: pods that nobody would start again.
    pub unmanaged: bool,
    /// `--lose-volume`: by name, of Longhorn's volumes and of PersistentVolumes that lie on the node.
    pub volumes: std::collections::BTreeSet<String>,
}

/// The nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSettings {
    /// Name of the new node.
    pub name: String,
    /// Name of the control-plane node; found by its role label when that name does not exist.
    pub control_plane: String,
    /// Labels that the new node is to carry.
    pub labels: BTreeMap<String, String>,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            name: "k3s2".into(),
            control_plane: "k3s1".into(),
            labels: BTreeMap::from([
                (
                    "node.longhorn.io/create-default-disk".into(),
                    "config".into(),
                ),
                ("storage".into(), "longhorn".into()),
            ]),
        }
    }
}

/// The lock that keeps a second run out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockSettings {
    /// Whether a Lease is taken beside the lock of the state folder.
    pub lease: bool,
    /// Namespace of the Lease.
    pub namespace: String,
    /// How long the Lease holds without being renewed.
    pub duration: Duration,
}

impl Default for LockSettings {
    fn default() -> Self {
        Self {
            lease: true,
            namespace: "kube-system".into(),
            duration: Duration::from_secs(30),
        }
    }
}

/// The GitOps repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepositorySettings {
    /// Working copy on this machine.
    pub path: Option<PathBuf>,
    /// The kustomization file in it.
    pub kustomization: String,
    /// The entry that stands for the new node; `../<node>-node-config/` when empty.
    pub entry: String,
    /// How to reach the remote. Not in this table of the file: `--push-transport`, or `transport` under `[git]`.
    #[serde(skip)]
    pub transport: Transport,
}

impl Default for RepositorySettings {
    fn default() -> Self {
        Self {
            path: None,
            kustomization: "infrastructure/storage/kustomization.yaml".into(),
            entry: String::new(),
            transport: Transport::default(),
        }
    }
}

/// The Flux objects that carry the node's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FluxSettings {
    /// Namespace of the objects below and of the controllers.
    pub namespace: String,
    /// The GitRepository.
    pub source: String,
    /// The Kustomization that builds the folder of the kustomization file.
    pub kustomization: String,
}

impl Default for FluxSettings {
    fn default() -> Self {
        Self {
            namespace: "flux-system".into(),
            source: "flux-system".into(),
            kustomization: "infrastructure-storage".into(),
        }
    }
}

/// Longhorn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LonghornSettings {
    /// Its namespace.
    pub namespace: String,
    /// The StorageClass that workloads use.
    pub storage_class: String,
}

impl Default for LonghornSettings {
    fn default() -> Self {
        Self {
            namespace: "longhorn-system".into(),
            storage_class: "longhorn".into(),
        }
    }
}

/// Monitoring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitoringSettings {
    /// Its namespace; every namespace is searched when empty.
    pub namespace: String,
}

impl Default for MonitoringSettings {
    fn default() -> Self {
        Self {
            namespace: "monitoring".into(),
        }
    }
}

/// Ingress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngressSettings {
    /// Node port for HTTP.
    pub http: u16,
    /// Node port for HTTPS.
    pub https: u16,
}

impl Default for IngressSettings {
    fn default() -> Self {
        Self {
            http: 30080,
            https: 30443,
        }
    }
}

/// Probe pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeSettings {
    /// Image with a shell and busybox's tools; the helper image of local-path-provisioner when empty.
    pub image: String,
    /// Namespace of the tool's own, for probe pods.
    pub namespace: String,
    /// `host:port` outside the cluster that pods are expected to reach; nothing outside is asked when empty.
    pub egress: String,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self {
            image: String::new(),
            namespace: "onboarding-probe".into(),
            egress: "registry-1.docker.io:443".into(),
        }
    }
}

/// Optional parts: one that is expected and absent is a failure, otherwise a skip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one switch a component, as in the file"
)]
pub struct Expectations {
    /// metrics-server.
    pub metrics_server: bool,
    /// Prometheus and node-exporter.
    pub monitoring: bool,
    /// Grafana.
    pub grafana: bool,
    /// An ingress controller on the node ports.
    pub ingress: bool,
}

impl Default for Expectations {
    fn default() -> Self {
        Self {
            metrics_server: false,
            monitoring: true,
            grafana: true,
            ingress: true,
        }
    }
}

/// How often what cannot be watched is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll(pub Duration);

impl Default for Poll {
    fn default() -> Self {
        Self(Duration::from_secs(2))
    }
}

impl Settings {
    /// The entry that stands for the new node.
    #[must_use]
    pub fn entry(&self) -> String {
        if self.repository.entry.is_empty() {
            format!("../{}-node-config/", self.node.name)
        } else {
            self.repository.entry.clone()
        }
    }

    /// Puts names into a title or a remedy: `{node}`, `{control_plane}`, `{longhorn}` (namespace), `{flux}`
    /// (namespace), `{kustomization}`, `{source}`.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        text.replace("{node}", &self.node.name)
            .replace("{control_plane}", &self.node.control_plane)
            .replace("{longhorn}", &self.longhorn.namespace)
            .replace("{flux}", &self.flux.namespace)
            .replace("{kustomization}", &self.flux.kustomization)
            .replace("{source}", &self.flux.source)
    }
}
