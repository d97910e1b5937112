//! The world: what lives in the cluster and moves it.
//!
//! Actors look at the objects ([`scene`]) and say what they would change. They behave like k3s, the controllers of
//! Kubernetes, Flux, Longhorn and the monitoring stack, and know nothing of who asks.

mod begin;
mod cast;
mod controllers;
mod flux;
mod git;
mod k3s;
mod kinds;
mod longhorn;
mod make;
mod memory;
mod pods;
mod scene;
mod seed;
mod tree;
