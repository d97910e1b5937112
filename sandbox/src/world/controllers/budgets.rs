//! PodDisruptionBudgets: how many pods an eviction may still take.

use serde_json::{Value, json};

use crate::world::{
    kinds::{BUDGETS, PODS},
    make::{condition, conditions, namespace, would_change},
    pods,
    scene::{Change, Scene},
};

pub(crate) fn count(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let all = scene.list(&PODS);
    for budget in scene.list(&BUDGETS) {
        let guarded: Vec<_> = all
            .iter()
            .filter(|pod| {
                namespace(pod) == namespace(&budget)
                    && pods::selects(&budget["spec"]["selector"], &pod["metadata"]["labels"])
                    && !pods::is_finished(pod)
            })
            .collect();
        let expected = i64::try_from(guarded.len()).unwrap_or(0);
        let healthy = guarded
            .iter()
            .filter(|pod| condition(pod, "Ready") == "True" && pods::is_ready(pod))
            .count();
        let healthy = i64::try_from(healthy).unwrap_or(0);
        let desired = if budget["spec"]["maxUnavailable"].is_null() {
            amount(&budget["spec"]["minAvailable"], expected)
        } else {
            (expected - amount(&budget["spec"]["maxUnavailable"], expected)).max(0)
        };
        let allowed = (healthy - desired).max(0);
        let told = json!({
            "type": "DisruptionAllowed", "status": if allowed > 0 { "True" } else { "False" },
            "reason": if allowed > 0 { "SufficientPods" } else { "InsufficientPods" }, "message": "",
            "observedGeneration": budget["metadata"]["generation"],
        });
        let status = json!({
            "currentHealthy": healthy, "desiredHealthy": desired, "disruptionsAllowed": allowed,
            "expectedPods": expected, "observedGeneration": budget["metadata"]["generation"],
            "conditions": conditions(&budget["status"]["conditions"], &[told]),
        });
        if would_change(&budget["status"], &status) {
            changes.push(Change::status(&BUDGETS, &budget, status));
        }
    }
}

/// A number, or a percentage of `whole`, rounded up.
fn amount(value: &Value, whole: i64) -> i64 {
    match value {
        Value::Number(number) => number.as_i64().unwrap_or(0),
        Value::String(text) => match text
            .strip_suffix('%')
            .and_then(|percent| percent.parse::<i64>().ok())
        {
            Some(percent) => (whole * percent + 99) / 100,
            None => text.parse().unwrap_or(0),
        },
        _ => 0,
    }
}
