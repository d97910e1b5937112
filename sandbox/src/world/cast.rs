//! Who takes part in a world: the two nodes with their names and addresses, and what identifies the cluster.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::Speed;

use super::make::stable_hex;

/// The k3s release that the cluster runs.
pub(crate) const K3S_VERSION: &str = "v1.33.5+k3s1";
/// The pod range of the cluster.
pub(crate) const CLUSTER_CIDR: &str = "10.42.0.0/16";
/// The address of the cluster's DNS Service.
pub(crate) const DNS_ADDRESS: &str = "10.43.0.10";

/// Names, addresses and identities; the same for the life of one sandbox folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cast {
    /// Name of the new node.
    pub(crate) node: String,
    /// Name of the control-plane node.
    pub(crate) control_plane: String,
    /// InternalIP of the new node.
    pub(crate) node_ip: Ipv4Addr,
    /// InternalIP of the control-plane node.
    pub(crate) control_plane_ip: Ipv4Addr,
    /// UID of the namespace `kube-system`: the identity of the cluster.
    pub(crate) cluster_uid: String,
    /// The git remote, as `GitRepository.spec.url` says it.
    pub(crate) remote: String,
    /// What is so because the API server is somebody else's; absent where it is the sandbox's own.
    #[serde(default)]
    pub(crate) outside: Option<Outside>,
}

/// What is so on an API server that is somebody else's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outside {
    /// The version that its kubelets say, such as `v1.36.3+k3s1`.
    pub(crate) version: String,
    /// The third octet of the first pod range.
    pub(crate) first_range: u8,
    /// Where Flux reads what people push to [`Cast::remote`].
    pub(crate) repository: PathBuf,
    /// Who the machines are to the API server: what Longhorn itself does its webhook lets through.
    #[serde(default)]
    pub(crate) machines: String,
}

impl Cast {
    /// The InternalIP of a node; only the two of the cast have one.
    pub(crate) fn address(&self, node: &str) -> Option<Ipv4Addr> {
        if node == self.node {
            Some(self.node_ip)
        } else if node == self.control_plane {
            Some(self.control_plane_ip)
        } else {
            None
        }
    }

    /// The node at an InternalIP.
    pub(crate) fn node_at(&self, address: Ipv4Addr) -> Option<&str> {
        if address == self.node_ip {
            Some(&self.node)
        } else if address == self.control_plane_ip {
            Some(&self.control_plane)
        } else {
            None
        }
    }

    /// The machine-id of a node's machine.
    pub(crate) fn machine_id(&self, node: &str) -> String {
        stable_hex(&format!("machine/{}/{node}", self.cluster_uid), 32)
    }

    /// The DMI UUID of a node's machine.
    pub(crate) fn system_uuid(&self, node: &str) -> String {
        let hex = stable_hex(&format!("system/{}/{node}", self.cluster_uid), 32);
        format!(
            "{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    }

    /// The MAC address of a node's VXLAN device.
    pub(crate) fn vtep_mac(&self, node: &str) -> String {
        let hex = stable_hex(&format!("vtep/{}/{node}", self.cluster_uid), 10);
        // The first octet says: unicast, locally administered.
        format!(
            "36:{}:{}:{}:{}:{}",
            &hex[..2],
            &hex[2..4],
            &hex[4..6],
            &hex[6..8],
            &hex[8..10]
        )
    }

    /// Where Flux finds the repository that people push to.
    pub(crate) fn remote_path(&self) -> &Path {
        match &self.outside {
            Some(outside) => &outside.repository,
            None => Path::new(&self.remote),
        }
    }

    /// Whether the controllers of Kubernetes are the sandbox's own. Elsewhere they run already, and what they do is
    /// left to them.
    pub(crate) fn own_controllers(&self) -> bool {
        self.outside.is_none()
    }

    /// The k3s release of the machines.
    pub(crate) fn k3s_version(&self) -> &str {
        self.outside
            .as_ref()
            .map_or(K3S_VERSION, |outside| &outside.version)
    }
}

/// How long things take in this world. Proportions are those of a real cluster, roughly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How often an actor looks by itself, when nothing has woken it.
    pub(crate) tick: Duration,
    /// Between two states of a joining node.
    pub(crate) join_step: Duration,
    /// From bound to Running: pulling, network, start.
    pub(crate) pod_start: Duration,
    /// From a deletion to the end of a container.
    pub(crate) pod_stop: Duration,
    /// How long a probe pod works.
    pub(crate) probe: Duration,
    /// Between two heartbeats of a kubelet.
    pub(crate) heartbeat: Duration,
    /// Between two polls of the git remote.
    pub(crate) git_interval: Duration,
    /// Between two reconciliations of a Kustomization that is well.
    pub(crate) kustomize_interval: Duration,
    /// Between two of one that is not.
    pub(crate) kustomize_retry: Duration,
    /// How long a Kustomization with `wait` waits for health.
    pub(crate) health_timeout: Duration,
    /// One step of Longhorn: a disk looked at, a replica rebuilt.
    pub(crate) storage_step: Duration,
}

impl Pace {
    /// The pace of a speed.
    pub(crate) fn of(speed: Speed) -> Self {
        let ms = Duration::from_millis;
        match speed {
            Speed::Test => Self {
                tick: ms(40),
                join_step: ms(25),
                pod_start: ms(30),
                pod_stop: ms(20),
                probe: ms(30),
                heartbeat: ms(2_000),
                git_interval: ms(2_000),
                kustomize_interval: ms(5_000),
                kustomize_retry: ms(400),
                health_timeout: ms(900),
                storage_step: ms(30),
            },
            Speed::Demo => Self {
                tick: ms(250),
                join_step: ms(900),
                pod_start: ms(1_200),
                pod_stop: ms(800),
                probe: ms(500),
                heartbeat: ms(10_000),
                git_interval: ms(10_000),
                kustomize_interval: ms(30_000),
                kustomize_retry: ms(3_000),
                health_timeout: ms(6_000),
                storage_step: ms(1_000),
            },
        }
    }
}
