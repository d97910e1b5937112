//! What should happen now? Onboards a worker node into a k3s cluster and proves it, check by check.
//!
//! This file only dispatches.

mod engine;
mod event;
mod exit;
mod options;

fn main() {}
