//! The world: what lives in the cluster and moves it.
//!
//! Actors look at the objects ([`scene`]) and say what they would change. They behave like k3s, the controllers of
//! Kubernetes, Flux, Longhorn and the monitoring stack, and know nothing of who asks.

mod backend;
mod begin;
mod cast;
mod controllers;
mod crowd;
mod engine;
mod events;
mod fate;
mod flux;
mod git;
mod guest;
mod hand;
mod k3s;
mod kinds;
mod life;
mod longhorn;
mod make;
mod memory;
mod mirror;
mod monitoring;
mod nodeports;
mod outside;
mod places;
mod pods;
mod scene;
mod seed;
mod transport;
mod tree;

pub(crate) use life::World;
pub(crate) use places::Folder;
pub use transport::Noise;
