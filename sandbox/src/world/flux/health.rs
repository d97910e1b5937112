//! kstatus in a few lines: whether an applied object has reached what it should be.

use serde_json::Value;

use crate::world::{
    kinds::{self, CLAIMS, DAEMON_SETS, DEPLOYMENTS, PODS, STATEFUL_SETS},
    make::{condition, deleting, name, namespace, text},
    scene::Scene,
};

/// What keeps an applied object from being Current, if anything does: `Kind/namespace/name status: 'InProgress'`.
pub(crate) fn trouble(scene: &Scene<'_>, applied: &Value) -> Option<String> {
    let say = |status: &str| {
        let space = namespace(applied);
        let slash = if space.is_empty() { "" } else { "/" };
        Some(format!(
            "{}/{space}{slash}{} status: '{status}'",
            text(&applied["kind"]),
            name(applied)
        ))
    };
    // Kinds that nobody watches here have no status to wait for.
    let res = kinds::of(applied)?;
    let Some(there) = scene.get(res, namespace(applied), name(applied)) else {
        return say("NotFound");
    };
    if deleting(&there) {
        return say("Terminating");
    }
    let generation = there["metadata"]["generation"].as_i64();
    let observed = there["status"]["observedGeneration"].as_i64();
    if let (Some(generation), Some(observed)) = (generation, observed)
        && observed < generation
    {
        return say("InProgress");
    }
    let count = |at: &Value| at.as_i64().unwrap_or(0);
    let (status, spec) = (&there["status"], &there["spec"]);
    let current = if res == &DEPLOYMENTS || res == &STATEFUL_SETS {
        count(&status["readyReplicas"]) >= spec["replicas"].as_i64().unwrap_or(1)
    } else if res == &DAEMON_SETS {
        count(&status["numberReady"]) >= count(&status["desiredNumberScheduled"])
    } else if res == &CLAIMS {
        status["phase"] == "Bound"
    } else if res == &PODS {
        condition(&there, "Ready") == "True" || status["phase"] == "Succeeded"
    } else {
        // A custom resource: Current without conditions, else as Ready says.
        matches!(condition(&there, "Ready"), "" | "True")
    };
    if current { None } else { say("InProgress") }
}
