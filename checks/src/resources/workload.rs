//! Whether Deployments, DaemonSets, pods and Services do what they are for.
//!
//! A pod's phase says little (a crash-looping pod is `Running`): what counts is readiness, and the availability that
//! controllers count for the newest generation.

use std::collections::BTreeMap;

use super::{condition, node};
use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment},
        core::v1::{Node, Pod, PodSpec, Taint, Toleration},
        discovery::v1::{Endpoint, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

/// Why a Deployment does not serve in full; nothing when it does.
#[must_use]
pub fn deployment_trouble(deployment: &Deployment) -> Option<String> {
    let status = deployment.status.as_ref();
    let generation = deployment.metadata.generation.unwrap_or_default();
    let observed = status
        .and_then(|status| status.observed_generation)
        .unwrap_or_default();
    if observed < generation {
        return Some(format!(
            "generation {generation} is not looked at yet, the last was {observed}"
        ));
    }
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let available = status
        .and_then(|status| status.available_replicas)
        .unwrap_or_default();
    if wanted == 0 {
        return Some("scaled to 0 replicas".into());
    }
    (available < wanted).then(|| format!("{available} of {wanted} replicas available"))
}

/// Why a DaemonSet does not serve on all its nodes; nothing when it does.
#[must_use]
pub fn daemonset_trouble(set: &DaemonSet) -> Option<String> {
    let status = set.status.clone().unwrap_or_default();
    let generation = set.metadata.generation.unwrap_or_default();
    let observed = status.observed_generation.unwrap_or_default();
    let wanted = status.desired_number_scheduled;
    if observed < generation {
        return Some(format!(
            "generation {generation} is not looked at yet, the last was {observed}"
        ));
    }
    if status.number_ready < wanted {
        return Some(format!("{} of {wanted} pods ready", status.number_ready));
    }
    let updated = status.updated_number_scheduled.unwrap_or_default();
    (updated < wanted).then(|| format!("{updated} of {wanted} pods updated"))
}

/// Whether a pod is ready and is not being deleted.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && pod_condition(pod, "Ready").is_true()
}

/// A condition of a pod, by type.
#[must_use]
pub fn pod_condition<'a>(pod: &'a Pod, kind: &'a str) -> condition::Seen<'a> {
    condition::of_opt(
        pod.status
            .as_ref()
            .and_then(|status| status.conditions.as_ref()),
        kind,
    )
}

/// Whether a pod has run to its end, well or badly.
#[must_use]
pub fn is_finished(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The node that a pod is bound to.
#[must_use]
pub fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// Whether labels have a value.
#[must_use]
pub fn has_label(labels: Option<&BTreeMap<String, String>>, key: &str, value: &str) -> bool {
    labels
        .and_then(|labels| labels.get(key))
        .is_some_and(|one| one == value)
}

/// Why a pod does not run, in the kubelet's or the scheduler's words: a waiting container's reason and message, or the
/// condition that says no. Nothing when it is ready.
#[must_use]
pub fn pod_trouble(pod: &Pod) -> Option<String> {
    if is_ready(pod) {
        return None;
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Some("being deleted".into());
    }
    let status = pod.status.clone().unwrap_or_default();
    let waiting = status
        .init_container_statuses
        .into_iter()
        .chain(status.container_statuses)
        .flatten()
        .find_map(|container| {
            let waiting = container.state?.waiting?;
            let reason = waiting.reason.unwrap_or_default();
            Some(match waiting.message {
                Some(message) => format!("{} waits: {reason}: {message}", container.name),
                None => format!("{} waits: {reason}", container.name),
            })
        });
    let scheduled = pod_condition(pod, "PodScheduled");
    Some(if let Some(waiting) = waiting {
        waiting
    } else if scheduled.is_false() {
        scheduled.to_string()
    } else {
        pod_condition(pod, "Ready").to_string()
    })
}

/// The endpoints of a Service that take traffic. An unset `ready` means ready.
pub fn ready_endpoints<'a>(
    slices: &'a [EndpointSlice],
    namespace: &'a str,
    service: &'a str,
) -> impl Iterator<Item = &'a Endpoint> {
    slices
        .iter()
        .filter(move |slice| {
            slice.metadata.namespace.as_deref() == Some(namespace)
                && has_label(
                    slice.metadata.labels.as_ref(),
                    "kubernetes.io/service-name",
                    service,
                )
        })
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| {
            endpoint
                .conditions
                .as_ref()
                .and_then(|conditions| conditions.ready)
                .unwrap_or(true)
        })
}

/// Whether a label selector selects; an empty one selects everything, as in Kubernetes.
#[must_use]
pub fn selects(selector: &LabelSelector, labels: Option<&BTreeMap<String, String>>) -> bool {
    let value = |key: &str| {
        labels
            .and_then(|labels| labels.get(key))
            .map(String::as_str)
    };
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, wanted)| value(key) == Some(wanted));
    equal
        && selector.match_expressions.iter().flatten().all(|term| {
            matches_expression(value(&term.key), &term.operator, term.values.as_deref())
        })
}

fn matches_expression(value: Option<&str>, operator: &str, wanted: Option<&[String]>) -> bool {
    let wanted = wanted.unwrap_or_default();
    let number = |text: &str| text.parse::<i64>().ok();
    let compare = |order: fn(&i64, &i64) -> bool| {
        let (Some(value), Some(wanted)) = (
            value.and_then(number),
            wanted.first().and_then(|one| number(one)),
        ) else {
            return false;
        };
        order(&value, &wanted)
    };
    match operator {
        "In" => value.is_some_and(|value| wanted.iter().any(|one| one == value)),
        "NotIn" => value.is_none_or(|value| wanted.iter().all(|one| one != value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}

/// Why a DaemonSet would put no pod on a node with these labels and taints; nothing when it would.
///
/// Follows what the DaemonSet controller decides: node selector, required node affinity, and taints. Taints that only
/// say how the node is doing at the moment are left out.
#[must_use]
pub fn keeps_away(
    spec: &PodSpec,
    name: &str,
    labels: &BTreeMap<String, String>,
    taints: &[Taint],
) -> Option<String> {
    for (key, wanted) in spec.node_selector.iter().flatten() {
        let value = labels.get(key);
        if value != Some(wanted) {
            return Some(format!(
                "its node selector wants {key}={wanted}, the node has {}",
                value.map_or("no such label".into(), |value| format!("{key}={value}"))
            ));
        }
    }
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| {
            affinity
                .required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    if let Some(required) = required {
        let fits = required.node_selector_terms.iter().any(|term| {
            let expressions = term.match_expressions.as_deref().unwrap_or_default();
            let fields = term.match_fields.as_deref().unwrap_or_default();
            // A term without any requirement selects nothing.
            !(expressions.is_empty() && fields.is_empty())
                && expressions.iter().all(|one| {
                    matches_expression(
                        labels.get(&one.key).map(String::as_str),
                        &one.operator,
                        one.values.as_deref(),
                    )
                })
                && fields.iter().all(|one| {
                    one.key == "metadata.name"
                        && matches_expression(Some(name), &one.operator, one.values.as_deref())
                })
        });
        if !fits {
            return Some("its required node affinity does not select the node".into());
        }
    }
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    taints
        .iter()
        .filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"))
        .filter(|taint| !PASSING.contains(&taint.key.as_str()))
        .find(|taint| !tolerations.iter().any(|one| tolerates(one, taint)))
        .map(|taint| {
            format!(
                "it does not tolerate taint {}{}:{}",
                taint.key,
                taint
                    .value
                    .as_ref()
                    .map(|value| format!("={value}"))
                    .unwrap_or_default(),
                taint.effect
            )
        })
}

/// Taints that say how a node is doing: they come and go, and the controller lets pods of DaemonSets tolerate them.
/// <https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations>
const PASSING: [&str; 7] = [
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
];

/// Whether a toleration covers a taint.
#[must_use]
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    let key = toleration.key.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    if key.is_empty() {
        return exists;
    }
    key == taint.key
        && (exists
            || toleration.value.as_deref().unwrap_or_default()
                == taint.value.as_deref().unwrap_or_default())
}

/// As [`keeps_away`], for a node that exists.
#[must_use]
pub fn keeps_away_from(spec: &PodSpec, node: &Node) -> Option<String> {
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    keeps_away(spec, node::name(node), &labels, &taints)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod_spec(value: Value) -> PodSpec {
        let mut whole = json!({"containers": []});
        whole
            .as_object_mut()
            .unwrap()
            .extend(value.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_deployment_serves_when_the_newest_generation_is_available() {
        let deployment = |generation: i64, replicas: i32, available: i32| -> Deployment {
            serde_json::from_value(json!({
                "metadata": {"generation": generation},
                "spec": {"replicas": replicas, "selector": {}, "template": {}},
                "status": {"observedGeneration": 1, "availableReplicas": available},
            }))
            .unwrap()
        };
        assert_eq!(deployment_trouble(&deployment(1, 2, 2)), None);
        assert_eq!(
            deployment_trouble(&deployment(1, 2, 1)).unwrap(),
            "1 of 2 replicas available"
        );
        assert!(deployment_trouble(&deployment(2, 1, 1)).is_some());
        assert_eq!(
            deployment_trouble(&deployment(1, 0, 0)).unwrap(),
            "scaled to 0 replicas"
        );
    }

    #[test]
    fn a_daemonset_follows_selector_affinity_and_taints() {
        let linux = labels(&[("kubernetes.io/os", "linux")]);
        let spec = pod_spec(json!({"nodeSelector": {"kubernetes.io/os": "linux"}}));
        assert_eq!(keeps_away(&spec, "k3s2", &linux, &[]), None);
        let other = pod_spec(json!({"nodeSelector": {"disk": "ssd"}}));
        assert!(
            keeps_away(&other, "k3s2", &linux, &[])
                .unwrap()
                .contains("disk=ssd")
        );
        let affinity = pod_spec(json!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["k3s1"]}]},
            ]},
        }}}));
        assert!(keeps_away(&affinity, "k3s2", &linux, &[]).is_some());
        let taint = Taint {
            key: "dedicated".into(),
            effect: "NoSchedule".into(),
            ..Taint::default()
        };
        let message = keeps_away(&spec, "k3s2", &linux, std::slice::from_ref(&taint)).unwrap();
        assert!(message.contains("dedicated:NoSchedule"), "{message}");
        let tolerant =
            pod_spec(json!({"tolerations": [{"operator": "Exists", "effect": "NoSchedule"}]}));
        assert_eq!(keeps_away(&tolerant, "k3s2", &linux, &[taint]), None);
        let cordoned = Taint {
            key: "node.kubernetes.io/unschedulable".into(),
            effect: "NoSchedule".into(),
            ..Taint::default()
        };
        assert_eq!(keeps_away(&spec, "k3s2", &linux, &[cordoned]), None);
    }

    #[test]
    fn an_endpoint_that_does_not_say_is_ready() {
        let slices: Vec<EndpointSlice> = serde_json::from_value(json!([
            {
                "metadata": {"namespace": "a", "name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": ["10.0.0.1"], "conditions": {"ready": false}},
                    {"addresses": ["10.0.0.2"], "conditions": {}},
                ],
            },
            {
                "metadata": {"namespace": "b", "name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.0.0.3"]}],
            },
        ]))
        .unwrap();
        let found: Vec<&Endpoint> = ready_endpoints(&slices, "a", "s").collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].addresses, ["10.0.0.2"]);
    }

    #[test]
    fn a_waiting_container_says_why_a_pod_does_not_run() {
        let pod: Pod = serde_json::from_value(json!({
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{
                    "name": "main", "ready": false, "restartCount": 7, "image": "x", "imageID": "",
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
                }],
            },
        }))
        .unwrap();
        assert_eq!(
            pod_trouble(&pod).unwrap(),
            "main waits: CrashLoopBackOff: back-off 5m0s"
        );
    }
}
