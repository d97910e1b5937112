//! `pre`: may this cluster take a node?
//!
//! Split by what is looked at: the API server, the cluster itself, rights, Flux, the network, Longhorn, monitoring.

pub mod api;
mod certificate;
mod dial;
