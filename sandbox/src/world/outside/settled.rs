//! Whether a cluster has become what it begins as: every workload ready, Flux through, every volume healthy.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    SandboxError,
    world::{
        engine::Shared,
        k3s,
        kinds::{
            CSI_NODES, DAEMON_SETS, DEPLOYMENTS, KUSTOMIZATIONS, LH_NODES, LH_VOLUMES, NODES, PODS,
            STATEFUL_SETS,
        },
        make::{condition, items, name, namespace, text},
        mirror::Mirror,
        pods,
    },
};

/// Volumes that the workloads of a beginning cluster ask for.
const VOLUMES: usize = 3;

/// Waits until the cluster has this many nodes and is well.
pub(super) async fn wait(
    shared: &Arc<Shared>,
    nodes: usize,
    limit: Duration,
) -> Result<(), SandboxError> {
    until(shared, limit, |mirror| trouble(mirror, nodes)).await
}

/// Waits until the new node is there.
pub(super) async fn node(shared: &Arc<Shared>, limit: Duration) -> Result<(), SandboxError> {
    let node = shared.cast.node.clone();
    until(shared, limit, |mirror| {
        match mirror.get(&NODES, "", &node) {
            Some(there) if k3s::joined(&there) => None,
            _ => Some(format!("node {node} has not joined")),
        }
    })
    .await
}

async fn until(
    shared: &Arc<Shared>,
    limit: Duration,
    trouble: impl Fn(&Mirror) -> Option<String>,
) -> Result<(), SandboxError> {
    let deadline = tokio::time::Instant::now() + limit;
    let mut changed = shared.mirror.subscribe();
    let mut quiet = 0;
    loop {
        match trouble(&shared.mirror) {
            // Once could be the moment before somebody acts.
            None if quiet >= 3 => return Ok(()),
            None => quiet += 1,
            Some(why) if tokio::time::Instant::now() > deadline => {
                return Err(SandboxError::new(format!(
                    "is not well after {} s: {why}",
                    limit.as_secs()
                )));
            }
            Some(_) => quiet = 0,
        }
        let _ = tokio::time::timeout(Duration::from_millis(200), changed.changed()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is not well, the first thing found.
fn trouble(mirror: &Mirror, nodes: usize) -> Option<String> {
    let who = |object: &Value| {
        format!(
            "{} {}/{}",
            text(&object["kind"]),
            namespace(object),
            name(object)
        )
    };
    let count = |value: &Value| value.as_i64().unwrap_or(0);
    let behind = |object: &Value| {
        count(&object["status"]["observedGeneration"]) < count(&object["metadata"]["generation"])
    };
    let there = mirror.list(&NODES);
    if there.len() != nodes || !there.iter().all(|node| k3s::joined(node)) {
        return Some(format!("{} nodes of {nodes} have joined", there.len()));
    }
    for res in [&DEPLOYMENTS, &STATEFUL_SETS] {
        for object in mirror.list(res) {
            let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
            if behind(&object) || count(&object["status"]["readyReplicas"]) < wanted {
                return Some(format!("{} is not ready", who(&object)));
            }
        }
    }
    for set in mirror.list(&DAEMON_SETS) {
        if behind(&set) || count(&set["status"]["numberReady"]) != i64::try_from(nodes).unwrap_or(0)
        {
            return Some(format!("{} is not ready on {nodes} nodes", who(&set)));
        }
    }
    if let Some(pod) = mirror
        .list(&PODS)
        .iter()
        .find(|pod| !pods::is_ready(pod) && !pods::is_finished(pod))
    {
        return Some(format!("{} is not ready", who(pod)));
    }
    let kustomizations = mirror.list(&KUSTOMIZATIONS);
    if kustomizations.len() < 5 {
        return Some("Flux has not read the repository".into());
    }
    for one in kustomizations {
        if condition(&one, "Ready") != "True"
            || one["status"]["lastAppliedRevision"] != one["status"]["lastAttemptedRevision"]
        {
            return Some(format!("{} is not applied", who(&one)));
        }
    }
    for node in mirror.list(&CSI_NODES) {
        if items(&node["spec"]["drivers"]).is_empty() {
            return Some(format!("{} has no driver", who(&node)));
        }
    }
    let disks = mirror.list(&LH_NODES);
    if disks.len() != nodes || disks.iter().any(|node| condition(node, "Ready") != "True") {
        return Some(format!(
            "{} Longhorn nodes of {nodes} are ready",
            disks.len()
        ));
    }
    let volumes = mirror.list(&LH_VOLUMES);
    if volumes.len() != VOLUMES {
        return Some(format!("{} volumes of {VOLUMES}", volumes.len()));
    }
    volumes
        .iter()
        .find(|volume| volume["status"]["robustness"] != "healthy")
        .map(|volume| format!("{} is not healthy", who(volume)))
}
