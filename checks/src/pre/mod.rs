//! `pre`: may this cluster take a node?
//!
//! Split by what is looked at: the API server, the cluster itself, its services and room, rights, Flux, the network,
//! Longhorn, monitoring. `post` asks many of the same questions again, through the same functions.

pub mod api;
mod certificate;
pub mod cluster;
mod dial;
pub mod egress;
#[cfg(test)]
pub(crate) mod example;
pub mod flux;
pub mod longhorn;
pub mod monitoring;
pub mod network;
pub mod permissions;
pub mod services;
pub mod volumes;
pub mod workloads;
