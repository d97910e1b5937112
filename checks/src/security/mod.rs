//! `security`: is it as closed as the others?
//!
//! Questions about secrets show names and counts, never a value.

pub mod cluster;
pub mod kubelet;
pub mod pods;
pub mod repository;
pub mod rights;
pub mod secrets;
pub mod sops;
