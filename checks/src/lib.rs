//! What is true?
//!
//! A check is a question about the cluster or the repository that changes nothing: data ([`Check`]) and one async
//! function. One file a phase; [`catalogue`] joins them. Whatever a check reads goes through a [`view::View`], which
//! asks the cluster once for each kind and shares the answer, and whose client refuses to change anything.

mod accept;
pub mod catalogue;
mod check;
pub mod cluster;
mod context;
pub mod explain;
pub mod git;
pub mod gitops;
pub mod health;
pub mod join;
pub mod kinds;
pub mod monitoring;
pub mod network;
pub mod pause;
pub mod post;
pub mod pre;
pub mod probe;
pub mod resources;
pub mod rights;
pub mod security;
mod settings;
pub mod storage;
#[cfg(test)]
mod testing;
mod verdict;
pub mod view;
mod yaml;

pub use accept::Accepted;
pub use check::{Answer, Ask, COMMON_REASONS, Check, Criterion, Named, Need, Place, Reason, Spot};
pub use context::Context;
pub use settings::{
    Consent, Expectations, FluxSettings, IngressSettings, LockSettings, LonghornSettings,
    MonitoringSettings, NodeSettings, Poll, ProbeSettings, RepositorySettings, Settings,
};
pub use verdict::Verdict;
