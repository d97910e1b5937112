//! What a kubelet is refused although the Node authorizer lets it: other nodes, other nodes' pods, labels that say what
//! a node is for. Access reviews do not see this, on a real server neither.
//!
//! Rules: <https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction>.

use serde_json::Value;

use super::{call::Call, node_authorizer::node_of, refusal::Refusal, store::Store};

/// Checks a request that would change something, before it does.
pub(crate) fn check(store: &Store, call: &Call, body: &[u8]) -> Result<(), Refusal> {
    let Some(node) = node_of(&call.user) else {
        return Ok(());
    };
    if matches!(call.verb.as_str(), "get" | "list" | "watch") || !call.group.is_empty() {
        return Ok(());
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let named = body["metadata"]["name"].as_str().unwrap_or_default();
    let name = if call.name.is_empty() {
        named
    } else {
        &call.name
    };
    let refuse = |why: String| Err(Refusal::forbidden("", &call.resource, name, &why));
    match (
        call.resource.as_str(),
        call.subresource.as_str(),
        call.verb.as_str(),
    ) {
        ("nodes", _, _) if name != node => refuse(format!(
            "node \"{node}\" is not allowed to modify node \"{name}\""
        )),
        ("pods", "", "create") => {
            if body["metadata"]["annotations"]
                .get("kubernetes.io/config.mirror")
                .is_some()
            {
                return Ok(());
            }
            refuse(format!(
                "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"{node}\" can only create mirror pods"
            ))
        }
        ("pods", _, _) => {
            let pod = store
                .registry
                .find("", "pods")
                .and_then(|pods| store.get(&pods, &call.namespace, &call.name));
            match pod {
                Some(pod) if pod["spec"]["nodeName"] != node => refuse(format!(
                    "node \"{node}\" can only change pods with spec.nodeName set to itself"
                )),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Checks which labels a kubelet changes on its own node.
pub(crate) fn check_labels(call: &Call, old: &Value, new: &Value) -> Result<(), Refusal> {
    let Some(node) = node_of(&call.user).filter(|_| call.resource == "nodes") else {
        return Ok(());
    };
    let (before, after) = (&old["metadata"]["labels"], &new["metadata"]["labels"]);
    let keys = [before, after]
        .into_iter()
        .filter_map(Value::as_object)
        .flatten();
    let mut wrong: Vec<&str> = keys
        .map(|(key, _)| key.as_str())
        .filter(|key| before.get(*key) != after.get(*key) && !may_set(key))
        .collect();
    wrong.sort_unstable();
    wrong.dedup();
    if wrong.is_empty() {
        return Ok(());
    }
    let why = format!(
        "node \"{node}\" is not allowed to modify labels: {}",
        wrong.join(", ")
    );
    Err(Refusal::forbidden("", "nodes", &call.name, &why))
}

/// Whether a kubelet may set a label on itself: its own descriptions, and whatever is not of Kubernetes.
fn may_set(key: &str) -> bool {
    let (prefix, _) = key.split_once('/').unwrap_or(("", key));
    let of = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    if !of("kubernetes.io") && !of("k8s.io") {
        return true;
    }
    of("kubelet.kubernetes.io")
        || (of("node.kubernetes.io") && !of("node-restriction.kubernetes.io"))
        || matches!(
            key,
            "kubernetes.io/hostname"
                | "kubernetes.io/os"
                | "kubernetes.io/arch"
                | "beta.kubernetes.io/os"
                | "beta.kubernetes.io/arch"
                | "beta.kubernetes.io/instance-type"
                | "topology.kubernetes.io/zone"
                | "topology.kubernetes.io/region"
                | "failure-domain.beta.kubernetes.io/zone"
                | "failure-domain.beta.kubernetes.io/region"
        )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::auth::User, *};

    #[test]
    fn kubelets_change_their_own_node_and_few_labels() {
        let store = Store::new();
        let call = |verb: &str, name: &str| {
            let mut call = Call::read(verb, &format!("/api/v1/nodes/{name}"), "");
            call.user = User::new("system:node:n2", &["system:nodes"]);
            call
        };
        assert!(check(&store, &call("PATCH", "n2"), b"").is_ok());
        let refusal = check(&store, &call("PATCH", "n1"), b"").expect_err("other node");
        assert_eq!(
            (refusal.code, refusal.message.as_str()),
            (
                403,
                "nodes \"n1\" is forbidden: node \"n2\" is not allowed to modify node \"n1\""
            )
        );
        let labelled = |key: &str| json!({ "metadata": { "labels": { key: "x" } } });
        for (key, allowed) in [
            ("example.com/a", true),
            ("node.longhorn.io/a", true),
            ("kubernetes.io/os", true),
            ("node-role.kubernetes.io/worker", false),
            ("node-restriction.kubernetes.io/a", false),
        ] {
            let result = check_labels(&call("PATCH", "n2"), &json!({}), &labelled(key));
            assert_eq!(result.is_ok(), allowed, "{key}");
        }
    }
}
