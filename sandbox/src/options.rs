//! How a sandbox begins.

use std::path::PathBuf;

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
    /// Keep everything here, and find it again after a restart; a temporary folder that is removed at the end when
    /// absent.
    pub dir: Option<PathBuf>,
}
