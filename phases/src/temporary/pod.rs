//! The manifests of pods: what the level `restricted` of Pod Security demands, a deadline, and no rights at all.

use checks::probe::{Finding, Word};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::labels;
use crate::{ActionContext, ActionError};

/// What a probe does: see its first lines.
pub(crate) const PROBE: &str = include_str!("probe.sh");
/// Serves whoever connects, with what the image has, until it is told to end.
pub(crate) const LISTEN: &str =
    "httpd -f -p 8080 -h /tmp || while nc -l -p 8080 </dev/null >/dev/null; do :; done";
/// The port on which a listener serves.
pub(crate) const PORT: u16 = 8080;

/// Where a pod is to run.
pub(crate) enum Place<'a> {
    /// There, whatever the scheduler thinks of it.
    On(&'a str),
    /// There, if the scheduler agrees.
    Scheduled(&'a str),
}

/// A pod with one container.
pub(crate) fn pod(
    cx: &ActionContext,
    action: &str,
    name: &str,
    place: &Place<'_>,
    container: Value,
) -> Value {
    // Whatever becomes of us, the kubelet ends it a while after the phase could still be interested.
    let left = cx.deadline.saturating_duration_since(Instant::now());
    let mut spec = json!({
        "restartPolicy": "Never",
        "activeDeadlineSeconds": left.as_secs() + 60,
        "terminationGracePeriodSeconds": 1,
        // It has nothing to say to the API server.
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65534, "runAsGroup": 65534, "fsGroup": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    });
    match place {
        Place::On(node) => {
            spec["nodeName"] = (*node).into();
            // Otherwise a taint with NoExecute ends it at once.
            spec["tolerations"] = json!([{"operator": "Exists"}]);
        }
        Place::Scheduled(node) => {
            spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
                "nodeSelectorTerms": [
                    {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]},
                ],
            });
        }
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": cx.checks.settings.probe.namespace, "labels": labels(cx, action),
        },
        "spec": spec,
    })
}

/// A container that runs a script with arguments.
pub(crate) fn container(name: &str, image: &str, script: &str, arguments: &[String]) -> Value {
    json!({
        "name": name, "image": image, "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script, name], "args": arguments,
        "resources": {
            "requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
    })
}

/// A pod that tries targets and reports in its termination message.
pub(crate) fn prober(
    cx: &ActionContext,
    action: &str,
    name: &str,
    node: &str,
    image: &str,
    targets: &[Target],
) -> Value {
    let arguments: Vec<String> = targets.iter().map(|one| one.target.clone()).collect();
    let container = container("probe", image, PROBE, &arguments);
    pod(cx, action, name, &Place::On(node), container)
}

/// A pod that serves whoever connects.
pub(crate) fn listener(
    cx: &ActionContext,
    action: &str,
    name: &str,
    node: &str,
    image: &str,
) -> Value {
    let mut container = container("listen", image, LISTEN, &[]);
    container["ports"] = json!([{"containerPort": PORT, "protocol": "TCP"}]);
    // Only when something answers there is it Ready, and only then is anybody told of it.
    container["readinessProbe"] = json!({"tcpSocket": {"port": PORT}, "periodSeconds": 1});
    pod(cx, action, name, &Place::On(node), container)
}

/// What a pod is to try, and under which name what it finds is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The key of the record: the name of the check that judges it.
    pub(crate) key: &'static str,
    /// `tcp://host:port` or `dns:name`.
    pub(crate) target: String,
    /// What stands there, for a person.
    pub(crate) what: String,
}

impl Target {
    pub(crate) fn tcp(key: &'static str, place: &str, what: impl Into<String>) -> Self {
        Self {
            key,
            target: format!("tcp://{place}"),
            what: what.into(),
        }
    }

    pub(crate) fn name(key: &'static str, name: &str) -> Self {
        Self {
            key,
            target: format!("dns:{name}"),
            what: format!("the name {name}"),
        }
    }
}

/// What a pod's report says of each target.
pub(crate) fn findings(
    node: &str,
    targets: &[Target],
    report: &str,
) -> Result<Vec<(&'static str, Finding)>, ActionError> {
    targets
        .iter()
        .map(|one| {
            let line = report.lines().find_map(|line| {
                let mut parts = line.splitn(3, ' ');
                if parts.next()? != one.target {
                    return None;
                }
                Some((Word::read(parts.next()?)?, parts.next().unwrap_or_default()))
            });
            let Some((word, detail)) = line else {
                let said = if report.is_empty() { "nothing" } else { report };
                let what = format!(
                    "a pod on {node} did not report on {}; it said {said}",
                    one.target
                );
                return Err(ActionError::new("NoReport", what));
            };
            let finding = Finding {
                node: node.to_owned(),
                target: one.target.clone(),
                what: one.what.clone(),
                word,
                detail: detail.trim().to_owned(),
            };
            Ok((one.key, finding))
        })
        .collect()
}
