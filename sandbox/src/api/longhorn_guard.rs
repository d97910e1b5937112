//! What Longhorn's admission webhook refuses of everybody but Longhorn itself: the last healthy replica of a volume, an
//! eviction from a node that is still scheduled on, and (as from 1.10 on) a Node that something still lies on. It answers
//! with 422 and reason Invalid (longhorn-manager, webhook/resources).
//!
//! It stands in for the webhook only where one is registered. Without an endpoint nothing of Longhorn can be written,
//! since its failure policy is `Fail`. A real API server calls the webhook by itself, and gets the same answers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{auth, call::Call, refusal::Refusal, store::Store};

const WEBHOOK: &str = "longhorn-webhook-validator";
const SERVICE: &str = "longhorn-admission-webhook";
const NAMESPACE: &str = "longhorn-system";
const GROUP: &str = "longhorn.io";

/// Everything of one kind in a namespace: group, plural, namespace.
pub(crate) type Known<'a> = dyn Fn(&str, &str, &str) -> Vec<Arc<Value>> + 'a;

/// A change of an object of Longhorn.
pub(crate) struct Asked<'a> {
    /// `nodes`
    pub(crate) resource: &'a str,
    /// Whether it is deleted; it is written otherwise.
    pub(crate) deleted: bool,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// What of it is written, or all of it as it would be.
    pub(crate) object: &'a Value,
}

/// Checks a request that would change something of Longhorn, before it does.
pub(crate) fn check(store: &Store, call: &Call, body: &[u8]) -> Result<(), Refusal> {
    let reads = matches!(call.verb.as_str(), "get" | "list" | "watch");
    if call.group != GROUP || reads || call.user.name == auth::ACTOR {
        return Ok(());
    }
    let hooks = store.all(
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        "",
    );
    if !hooks.iter().any(|one| one["metadata"]["name"] == WEBHOOK) {
        return Ok(());
    }
    if !answers(store) {
        return Err(Refusal::internal(format!(
            "Internal error occurred: failed calling webhook \"validator.longhorn.io\": no endpoints available for \
             service \"{SERVICE}\""
        )));
    }
    if !matches!(call.verb.as_str(), "delete" | "patch" | "update") {
        return Ok(());
    }
    let object = serde_json::from_slice(body).unwrap_or_default();
    let asked = Asked {
        resource: &call.resource,
        deleted: call.verb == "delete",
        namespace: &call.namespace,
        name: &call.name,
        object: &object,
    };
    let known = |group: &str, plural: &str, namespace: &str| store.all(group, plural, namespace);
    refusal(&known, &asked).map_or(Ok(()), |why| {
        Err(Refusal {
            code: CODE,
            reason: REASON,
            message: format!(
                "admission webhook \"validator.longhorn.io\" denied the request: {why}"
            ),
            details: details(&why),
        })
    })
}

const CODE: u16 = 422;
const REASON: &str = "Invalid";

fn details(why: &str) -> Value {
    json!({"causes": [{"reason": "FieldValueInvalid", "message": why}]})
}

/// The status in which the webhook itself says so.
pub(crate) fn status(why: &str) -> Value {
    json!({"status": "Failure", "code": CODE, "reason": REASON, "message": why, "details": details(why)})
}

/// Why the webhook does not let a change through, if it does not.
pub(crate) fn refusal(known: &Known<'_>, asked: &Asked<'_>) -> Option<String> {
    if asked.namespace != NAMESPACE {
        return None;
    }
    match (asked.resource, asked.deleted) {
        ("replicas", true) => last_replica(known, asked.name),
        ("nodes", true) => still_used(known, asked.name),
        ("nodes", false) => still_scheduled(known, asked.name, asked.object),
        _ => None,
    }
}

/// Whether the webhook's Service has an endpoint, or nobody keeps endpoints here.
fn answers(store: &Store) -> bool {
    let slices = store.all("discovery.k8s.io", "endpointslices", NAMESPACE);
    let mut known = slices
        .iter()
        .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == SERVICE)
        .peekable();
    known.peek().is_none()
        || known
            .filter_map(|slice| slice["endpoints"].as_array())
            .flatten()
            .any(|endpoint| endpoint["conditions"]["ready"] == true)
}

fn is_healthy(replica: &Value) -> bool {
    let filled = |key: &str| {
        replica["spec"][key]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    };
    filled("healthyAt")
        && !filled("failedAt")
        && replica["metadata"].get("deletionTimestamp").is_none()
}

/// A replica that is to leave its node does not count as one that would remain.
fn last_replica(known: &Known<'_>, name: &str) -> Option<String> {
    let all = known(GROUP, "replicas", NAMESPACE);
    let meant = all.iter().find(|one| one["metadata"]["name"] == name)?;
    let volume = &meant["spec"]["volumeName"];
    let volumes = known(GROUP, "volumes", NAMESPACE);
    let there = volumes
        .iter()
        .find(|one| one["metadata"]["name"] == *volume)?;
    if there["metadata"].get("deletionTimestamp").is_some() {
        return None;
    }
    let counts = |one: &Value| is_healthy(one) && one["spec"]["evictionRequested"] != true;
    let others = all.iter().any(|one| {
        one["spec"]["volumeName"] == *volume && one["metadata"]["name"] != name && counts(one)
    });
    (counts(meant) && !others).then(|| {
        format!(
            "unable to delete replica {name}: it is the last available replica of volume {}",
            volume.as_str().unwrap_or_default()
        )
    })
}

fn still_used(known: &Known<'_>, name: &str) -> Option<String> {
    let there = known(GROUP, "nodes", NAMESPACE);
    let node = there.iter().find(|one| one["metadata"]["name"] == name)?;
    let lie = |plural: &str| {
        let all = known(GROUP, plural, NAMESPACE);
        all.iter()
            .filter(|one| one["spec"]["nodeID"] == name)
            .count()
    };
    let (replicas, engines) = (lie("replicas"), lie("engines"));
    let machine = known("", "nodes", "")
        .iter()
        .any(|one| one["metadata"]["name"] == name);
    if machine {
        Some(format!(
            "could not delete node {name}: its Kubernetes node is still there"
        ))
    } else if node["spec"]["allowScheduling"] == true {
        Some(format!(
            "could not delete node {name} with scheduling enabled"
        ))
    } else if replicas + engines > 0 {
        Some(format!(
            "could not delete node {name} with {replicas} replicas, {engines} engines running on it"
        ))
    } else {
        None
    }
}

fn still_scheduled(known: &Known<'_>, name: &str, object: &Value) -> Option<String> {
    let there = known(GROUP, "nodes", NAMESPACE);
    let node = there.iter().find(|one| one["metadata"]["name"] == name)?;
    let after = |key: &str| match &object["spec"][key] {
        Value::Null => node["spec"][key].clone(),
        given => given.clone(),
    };
    (after("evictionRequested") == json!(true) && after("allowScheduling") == json!(true)).then(|| {
        format!(
            "need to disable scheduling on node {name} for node eviction, or cancel eviction to enable scheduling on \
             this node"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(replicas: &[(&str, &str, &str)]) -> Store {
        let store = Store::new();
        let mut objects = vec![json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": WEBHOOK},
        })];
        for (plural, kind) in [("replicas", "Replica"), ("volumes", "Volume")] {
            objects.push(json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{plural}.longhorn.io")},
                "spec": {
                    "group": "longhorn.io", "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
                    "versions": [{"name": "v1beta2", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    }}}],
                },
            }));
        }
        objects.push(json!({
            "apiVersion": "longhorn.io/v1beta2", "kind": "Volume",
            "metadata": {"name": "v", "namespace": NAMESPACE},
        }));
        for (name, node, failed) in replicas {
            objects.push(json!({
                "apiVersion": "longhorn.io/v1beta2", "kind": "Replica",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"volumeName": "v", "nodeID": node, "healthyAt": "t", "failedAt": failed},
            }));
        }
        store.load(objects).expect("objects");
        store
    }

    #[test]
    fn a_replica_that_is_to_leave_is_no_copy_that_remains() {
        let replica = |name: &str, leaves: bool| {
            Arc::new(json!({
                "metadata": {"name": name},
                "spec": {"volumeName": "v", "healthyAt": "t", "failedAt": "", "evictionRequested": leaves},
            }))
        };
        let refused = |replicas: Vec<Arc<Value>>, volumes: Vec<Arc<Value>>, name: &str| {
            let known = |_: &str, plural: &str, _: &str| match plural {
                "replicas" => replicas.clone(),
                "volumes" => volumes.clone(),
                _ => Vec::new(),
            };
            let asked = Asked {
                resource: "replicas",
                deleted: true,
                namespace: NAMESPACE,
                name,
                object: &Value::Null,
            };
            refusal(&known, &asked).is_some()
        };
        let volume = vec![Arc::new(json!({"metadata": {"name": "v"}}))];
        let both = vec![replica("a", false), replica("b", true)];
        assert!(refused(both.clone(), volume.clone(), "a"));
        assert!(!refused(both.clone(), volume.clone(), "b"));
        // Longhorn itself does not keep the last one of all when it is to leave.
        assert!(!refused(vec![replica("b", true)], volume.clone(), "b"));
        assert!(!refused(both, Vec::new(), "a"));
    }

    fn delete(store: &Store, name: &str, user: &str) -> Result<(), Refusal> {
        let path = format!("/apis/longhorn.io/v1beta2/namespaces/{NAMESPACE}/replicas/{name}");
        let mut call = Call::read("DELETE", &path, "");
        user.clone_into(&mut call.user.name);
        check(store, &call, b"")
    }

    #[test]
    fn the_last_healthy_replica_is_kept_and_longhorn_may_do_anything() {
        let both = store(&[("a", "k3s1", ""), ("b", "k3s2", "")]);
        delete(&both, "b", "admin").expect("another one is healthy");
        let alone = store(&[("a", "k3s1", "t"), ("b", "k3s2", "")]);
        let refusal = delete(&alone, "b", "admin").expect_err("the last one");
        assert_eq!((refusal.code, refusal.reason), (422, "Invalid"));
        assert!(
            refusal.message.starts_with("admission webhook"),
            "{}",
            refusal.message
        );
        delete(&alone, "a", "admin").expect("it has failed");
        delete(&alone, "b", auth::ACTOR).expect("Longhorn itself");
    }
}
