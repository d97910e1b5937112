//! What a kubelet may do, as the upstream Node authorizer decides it from the pods bound to its node.
//!
//! Rules: <https://github.com/kubernetes/kubernetes/blob/master/plugin/pkg/auth/authorizer/node/node_authorizer.go>.
//! What NodeRestriction refuses in admission is not refused here, as upstream.

use serde_json::Value;

use super::{auth::User, rbac::Attributes, store::Store};

/// The node that a user is the kubelet of.
pub(crate) fn node_of(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix("system:node:")?;
    user.groups
        .iter()
        .any(|g| g == "system:nodes")
        .then_some(name)
}

/// Whether the kubelet of `node` may.
pub(crate) fn allows(store: &Store, node: &str, wanted: &Attributes) -> bool {
    if wanted.path.is_some() {
        return false;
    }
    let verb = wanted.verb.as_str();
    let own = wanted.name == node;
    let read = matches!(verb, "get" | "list" | "watch");
    let sub = wanted.subresource.as_str();
    match (wanted.group.as_str(), wanted.resource.as_str()) {
        ("", "nodes") => match (verb, sub) {
            ("get" | "list" | "watch", "") => own,
            ("create" | "update" | "patch", "") | ("update" | "patch", "status") => true,
            _ => false,
        },
        ("", "pods") => match (verb, sub) {
            ("list" | "watch", "") => {
                wanted.fields.exact("spec.nodeName") == Some(node)
                    || (!wanted.name.is_empty() && bound(store, node, wanted))
            }
            ("get", "") => bound(store, node, wanted),
            ("create" | "delete", "") | ("update" | "patch", "status") | ("create", "eviction") => {
                true
            }
            _ => false,
        },
        ("", "secrets") if sub.is_empty() && read => {
            mounted(store, node, wanted, &["secret", "secretName"])
        }
        ("", "configmaps") if sub.is_empty() && read => {
            mounted(store, node, wanted, &["configMap", "name"])
        }
        ("", "persistentvolumeclaims") if read && sub.is_empty() => {
            mounted(store, node, wanted, &["persistentVolumeClaim", "claimName"])
        }
        ("", "serviceaccounts") if sub.is_empty() => {
            verb == "get" && account_used(store, node, wanted)
        }
        ("", "serviceaccounts") => {
            verb == "create" && sub == "token" && account_used(store, node, wanted)
        }
        ("", "services" | "endpoints")
        | ("node.k8s.io", "runtimeclasses")
        | ("storage.k8s.io", "csidrivers") => read && sub.is_empty(),
        ("", "persistentvolumes") => {
            read && sub.is_empty() && verb == "get" && volume_used(store, node, &wanted.name)
        }
        ("", "events") | ("events.k8s.io", "events") => {
            matches!(verb, "create" | "patch" | "update")
        }
        ("coordination.k8s.io", "leases") => {
            wanted.namespace == "kube-node-lease"
                && match verb {
                    "create" => wanted.name.is_empty() || own,
                    "get" | "update" | "patch" | "delete" => own,
                    _ => false,
                }
        }
        ("storage.k8s.io", "csinodes") => match verb {
            "create" => wanted.name.is_empty() || own,
            "get" | "update" | "patch" | "delete" => own,
            _ => false,
        },
        ("storage.k8s.io", "volumeattachments") => {
            verb == "get"
                && store
                    .all("storage.k8s.io", "volumeattachments", "")
                    .iter()
                    .any(|a| {
                        a["metadata"]["name"] == wanted.name.as_str()
                            && a["spec"]["nodeName"] == node
                    })
        }
        ("certificates.k8s.io", "certificatesigningrequests") => {
            sub.is_empty() && matches!(verb, "create" | "get" | "list" | "watch")
        }
        ("authentication.k8s.io", "tokenreviews") => verb == "create",
        ("authorization.k8s.io", "subjectaccessreviews" | "localsubjectaccessreviews") => {
            verb == "create"
        }
        _ => false,
    }
}

fn pods_on(store: &Store, node: &str, namespace: &str) -> Vec<std::sync::Arc<Value>> {
    let mut pods = store.all("", "pods", namespace);
    pods.retain(|pod| pod["spec"]["nodeName"] == node);
    pods
}

fn bound(store: &Store, node: &str, wanted: &Attributes) -> bool {
    let Some(resource) = store.registry.find("", "pods") else {
        return false;
    };
    store
        .get(&resource, &wanted.namespace, &wanted.name)
        .is_some_and(|pod| pod["spec"]["nodeName"] == node)
}

/// Whether a pod on the node names the object anywhere that a pod names such an object.
fn mounted(store: &Store, node: &str, wanted: &Attributes, [volume, field]: &[&str; 2]) -> bool {
    if wanted.name.is_empty() || wanted.namespace.is_empty() {
        return false;
    }
    let name = wanted.name.as_str();
    pods_on(store, node, &wanted.namespace).iter().any(|pod| {
        let spec = &pod["spec"];
        let each = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let volumes = each(&spec["volumes"]).iter().any(|v| {
            v[*volume][*field] == name
                || each(&v["projected"]["sources"])
                    .iter()
                    .any(|s| s[*volume]["name"] == name)
        });
        let pull = *volume == "secret"
            && each(&spec["imagePullSecrets"])
                .iter()
                .any(|s| s["name"] == name);
        let containers = each(&spec["containers"])
            .into_iter()
            .chain(each(&spec["initContainers"]));
        let (from_env, from_all) = if *volume == "secret" {
            ("secretKeyRef", "secretRef")
        } else {
            ("configMapKeyRef", "configMapRef")
        };
        volumes
            || pull
            || containers.into_iter().any(|c| {
                each(&c["env"])
                    .iter()
                    .any(|e| e["valueFrom"][from_env]["name"] == name)
                    || each(&c["envFrom"])
                        .iter()
                        .any(|e| e[from_all]["name"] == name)
            })
    })
}

fn account_used(store: &Store, node: &str, wanted: &Attributes) -> bool {
    pods_on(store, node, &wanted.namespace)
        .iter()
        .any(|pod| pod["spec"]["serviceAccountName"] == wanted.name.as_str())
}

fn volume_used(store: &Store, node: &str, volume: &str) -> bool {
    let claims = store.all("", "persistentvolumeclaims", "");
    let of: Vec<_> = claims
        .iter()
        .filter(|c| c["spec"]["volumeName"] == volume)
        .collect();
    pods_on(store, node, "").iter().any(|pod| {
        pod["spec"]["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|v| {
                let claim = &v["persistentVolumeClaim"]["claimName"];
                of.iter().any(|c| {
                    c["metadata"]["name"] == *claim
                        && c["metadata"]["namespace"] == pod["metadata"]["namespace"]
                })
            })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(
        store: &Store,
        verb: &str,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> bool {
        let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let wanted = Attributes {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: sub.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..Attributes::default()
        };
        allows(store, "n2", &wanted)
    }

    #[test]
    fn kubelets_reach_what_is_theirs() {
        let store = Store::new();
        store
            .load(vec![json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "namespace": "a" },
                "spec": { "nodeName": "n2", "containers": [], "volumes": [{ "name": "v", "secret": { "secretName": "s" } }] } })])
            .expect("pod");
        let lease = "coordination.k8s.io";
        assert!(ask(&store, "get", "", "nodes", "", "n2"));
        assert!(!ask(&store, "get", "", "nodes", "", "n1"));
        assert!(!ask(&store, "list", "", "nodes", "", ""));
        assert!(ask(&store, "patch", "", "nodes/status", "", "n2"));
        assert!(!ask(&store, "delete", "", "nodes", "", "n2"));
        assert!(ask(
            &store,
            "update",
            lease,
            "leases",
            "kube-node-lease",
            "n2"
        ));
        assert!(!ask(
            &store,
            "get",
            lease,
            "leases",
            "kube-node-lease",
            "n1"
        ));
        assert!(!ask(&store, "get", lease, "leases", "kube-system", "n2"));
        assert!(ask(&store, "get", "", "secrets", "a", "s"));
        assert!(!ask(&store, "get", "", "secrets", "a", "other"));
        assert!(!ask(&store, "list", "", "secrets", "", ""));
        assert!(ask(
            &store,
            "create",
            "authentication.k8s.io",
            "tokenreviews",
            "",
            ""
        ));
        assert!(!ask(&store, "list", "", "pods", "", ""));
        let fields =
            super::super::selector::FieldSelector::parse("spec.nodeName=n2").expect("selector");
        let wanted = Attributes {
            verb: "list".into(),
            resource: "pods".into(),
            fields,
            ..Attributes::default()
        };
        assert!(allows(&store, "n2", &wanted));
    }
}
