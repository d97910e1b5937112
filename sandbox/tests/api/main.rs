//! The API server of the sandbox, driven from outside: by kube-rs and, where it is installed, by `kubectl`.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "these are tests, helpers included"
)]

mod access;
mod kubectl;
mod objects;
mod support;
mod watches;
mod wire;
