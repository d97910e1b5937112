//! The controllers of kube-controller-manager and the scheduler, as far as a small cluster needs them.

mod budgets;
mod cleanup;
mod scheduler;
mod services;
mod workloads;

use super::scene::{Actor, Change, Scene};

/// All of them, as one actor.
#[derive(Debug, Default)]
pub(crate) struct Controllers;

impl Actor for Controllers {
    fn step(&mut self, scene: &Scene<'_>) -> Vec<Change> {
        let mut changes = Vec::new();
        workloads::daemon_sets(scene, &mut changes);
        workloads::deployments(scene, &mut changes);
        workloads::replica_sets(scene, &mut changes);
        workloads::stateful_sets(scene, &mut changes);
        scheduler::schedule(scene, &mut changes);
        services::addresses(scene, &mut changes);
        services::endpoints(scene, &mut changes);
        budgets::count(scene, &mut changes);
        cleanup::orphans(scene, &mut changes);
        cleanup::lost_pods(scene, &mut changes);
        cleanup::protection(scene, &mut changes);
        cleanup::namespaces(scene, &mut changes);
        changes
    }
}
