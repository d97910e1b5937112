//! What if there is no cluster?
//!
//! The sandbox is an embedded cluster on loopback: a Kubernetes API server ([`api`]), the programs that live in a
//! cluster ([`world`]: kubelets, Flux, Longhorn, monitoring) and causes of trouble that can be switched on and off
//! ([`faults`]). It knows nothing of checks: it only behaves like a cluster.

pub mod api;
pub mod faults;
mod options;
mod run;
pub mod world;

pub use options::{Crowd, Options, Server, Speed, Stage};
pub use run::{Sandbox, SandboxError};
pub use world::Noise;
