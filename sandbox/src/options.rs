//! How a sandbox begins.

use std::{net::Ipv4Addr, path::PathBuf};

/// Where in the life of the new node the cluster begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The node's configuration is commented out in git and nothing of the node exists. Its machine stands ready and
    /// joins by itself once it is switched on, which is when the cluster has taken the configuration from git.
    #[default]
    New,
    /// Git is active and the machine has just been switched on.
    Joining,
    /// The node is fully in.
    Onboarded,
}

/// How fast the world moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speed {
    /// For tests: a full onboarding in under 3 s.
    Test,
    /// For people: a full onboarding in under 30 s, slow enough to watch.
    #[default]
    Demo,
}

/// Many nodes and pods beside the two of the story, in a world that stands still: they are there to be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Nodes in all.
    pub nodes: usize,
    /// Pods in all; at least those that the cluster has anyway.
    pub pods: usize,
}

/// How a sandbox begins.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Name of the new node; `k3s2` when empty.
    pub node: String,
    /// Name of the control-plane node; `k3s1` when empty.
    pub control_plane: String,
    /// Where the cluster begins.
    pub stage: Stage,
    /// How fast the world moves.
    pub speed: Speed,
    /// Faults that are on from the start, by name.
    pub faults: Vec<String>,
    /// Live on this API server, with the controllers that it has, instead of an own one.
    pub server: Option<Server>,
    /// How many more take part, without anybody who lets them live.
    pub crowd: Option<Crowd>,
    /// Keep everything here, and find it again after a restart; a temporary folder that is removed at the end when
    /// absent.
    pub dir: Option<PathBuf>,
}

/// An API server that somebody else runs, with the controllers of Kubernetes, for the machines of the sandbox to live
/// on: kubelets, Flux, Longhorn and monitoring. They use nothing but its API.
///
/// It has to send requests for nodes and Services to their own addresses (`--enable-aggregator-routing`), and the
/// addresses of pods (10.42.0.0/16) have to lead to this process, as a local route of a network namespace does.
#[derive(Clone, Debug)]
pub struct Server {
    /// The kubeconfig of the cluster's administrator: what [`crate::Sandbox::kubeconfig`] is a copy of.
    pub kubeconfig: PathBuf,
    /// The kubeconfig of the machines, with every right. Another user than the administrator, if requests are to be
    /// told apart.
    pub machines: PathBuf,
    /// The InternalIP of the control-plane node. Not of 127.0.0.0/8: a real API server refuses those.
    pub control_plane_ip: Ipv4Addr,
    /// The InternalIP of the new node.
    pub node_ip: Ipv4Addr,
    /// The third octet of the first pod range, so that clusters that share a network share no address of a pod.
    pub first_range: u8,
    /// A folder of the real CustomResourceDefinitions as YAML files. What is not in it comes from the sandbox's own.
    pub definitions: Option<PathBuf>,
    /// The audit log of the API server, one JSON event a line: where [`crate::Sandbox::requests`] comes from.
    pub audit_log: Option<PathBuf>,
    /// How many bytes of the audit log tell of what was before.
    pub audit_from: u64,
}
