//! What Longhorn's admission webhook refuses of everybody but Longhorn itself: the last healthy replica of a volume, an
//! eviction from a node that is still scheduled on, and (as from 1.10 on) a Node that something still lies on.
//!
//! It stands in for the webhook only where one is registered. Without an endpoint nothing of Longhorn can be written,
//! since its failure policy is `Fail`.

use serde_json::{Value, json};

use super::{auth, call::Call, refusal::Refusal, store::Store};

const WEBHOOK: &str = "longhorn-webhook-validator";
const SERVICE: &str = "longhorn-admission-webhook";
const NAMESPACE: &str = "longhorn-system";

/// Checks a request that would change something of Longhorn, before it does.
pub(crate) fn check(store: &Store, call: &Call, body: &[u8]) -> Result<(), Refusal> {
    let reads = matches!(call.verb.as_str(), "get" | "list" | "watch");
    if call.group != "longhorn.io" || reads || call.user.name == auth::ACTOR {
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
    if call.namespace != NAMESPACE {
        return Ok(());
    }
    let why = match (call.resource.as_str(), call.verb.as_str()) {
        ("replicas", "delete") => last_replica(store, &call.name),
        ("nodes", "delete") => still_used(store, &call.name),
        ("nodes", "patch" | "update") => still_scheduled(store, &call.name, body),
        _ => None,
    };
    why.map_or(Ok(()), |why| {
        let mut refusal = Refusal::forbidden("longhorn.io", &call.resource, &call.name, "");
        refusal.message =
            format!("admission webhook \"validator.longhorn.io\" denied the request: {why}");
        Err(refusal)
    })
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

fn last_replica(store: &Store, name: &str) -> Option<String> {
    let all = store.all("longhorn.io", "replicas", NAMESPACE);
    let meant = all.iter().find(|one| one["metadata"]["name"] == name)?;
    let volume = &meant["spec"]["volumeName"];
    let others = all.iter().any(|one| {
        one["spec"]["volumeName"] == *volume && one["metadata"]["name"] != name && is_healthy(one)
    });
    (is_healthy(meant) && !others).then(|| {
        format!(
            "unable to delete replica {name}: it is the last available replica of volume {}",
            volume.as_str().unwrap_or_default()
        )
    })
}

fn still_used(store: &Store, name: &str) -> Option<String> {
    let there = store.all("longhorn.io", "nodes", NAMESPACE);
    let node = there.iter().find(|one| one["metadata"]["name"] == name)?;
    let lie = |plural: &str| {
        let all = store.all("longhorn.io", plural, NAMESPACE);
        all.iter()
            .filter(|one| one["spec"]["nodeID"] == name)
            .count()
    };
    let (replicas, engines) = (lie("replicas"), lie("engines"));
    let machine = store
        .all("", "nodes", "")
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

fn still_scheduled(store: &Store, name: &str, body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let there = store.all("longhorn.io", "nodes", NAMESPACE);
    let node = there.iter().find(|one| one["metadata"]["name"] == name)?;
    let after = |key: &str| match &body["spec"][key] {
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
        objects.push(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "replicas.longhorn.io"},
            "spec": {
                "group": "longhorn.io", "scope": "Namespaced", "names": {"plural": "replicas", "kind": "Replica"},
                "versions": [{"name": "v1beta2", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                }}}],
            },
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
        assert_eq!(refusal.code, 403);
        assert!(
            refusal.message.starts_with("admission webhook"),
            "{}",
            refusal.message
        );
        delete(&alone, "a", "admin").expect("it has failed");
        delete(&alone, "b", auth::ACTOR).expect("Longhorn itself");
    }
}
