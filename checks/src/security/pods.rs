//! The pods on the new node, and the rules of the namespaces that they come from.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Namespace, Pod, PodSpec, ResourceRequirements, SecurityContext};
use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    monitoring::exporter::is_node_exporter,
    resources::{full_name, workload},
    view::{ReadError, Scope},
};

/// The pods on the new node.
pub const CHECKS: &[Check] = &[
    Check {
        id: "security::pod_security",
        title: "Every namespace with pods says what its pods may do.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[Need::list(&kinds::NAMESPACES), Need::list(&kinds::PODS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.1"),
        why: "A namespace without a Pod Security label takes privileged pods from anybody who may create pods there, \
              and with such a pod the machine.",
        reasons: &[Reason::new(
            "NoPodSecurity",
            "try first, then enforce: kubectl label --dry-run=server namespace NAME pod-security.kubernetes.io/enforce=baseline",
        )],
        ask: ask!(pod_security),
    },
    Check {
        id: "security::privileged_pods",
        title: "No unexpected pod on {node} has the powers of the machine.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[Need::list(&kinds::PODS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.1"),
        why: "Storage, monitoring and load balancing need such powers. Anything else that has them can take over the \
              machine.",
        reasons: &[Reason::new(
            "UnexpectedPower",
            "take the named setting out of the pod's securityContext, or accept it by name with a reason",
        )],
        ask: ask!(privileged_pods),
    },
    Check {
        id: "security::root_containers",
        title: "No application container on {node} runs as root.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[Need::list(&kinds::PODS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.1"),
        why: "A process that is root in its container has fewer walls between itself and the machine.",
        reasons: &[
            Reason::new(
                "RunsAsRoot",
                "set runAsNonRoot: true and a runAsUser other than 0 in the securityContext of the named containers",
            ),
            Reason::new(
                "MayRunAsRoot",
                "the image decides its user: set runAsNonRoot: true in the securityContext of the named containers",
            ),
        ],
        ask: ask!(root_containers),
    },
    Check {
        id: "security::limits",
        title: "Every application container on {node} has a memory limit.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[Need::list(&kinds::PODS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.1"),
        why: "One container without a limit can use up the memory of the node, and the kernel then ends whatever it \
              finds.",
        reasons: &[Reason::new(
            "NoMemoryLimit",
            "set resources.limits.memory for the named containers",
        )],
        ask: ask!(limits),
    },
];

/// What the kernel grants that reaches beyond a container.
const POWERFUL: [&str; 8] = [
    "ALL",
    "SYS_ADMIN",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "NET_ADMIN",
    "DAC_READ_SEARCH",
    "BPF",
];

/// One container of any sort.
struct Container<'a> {
    name: &'a str,
    security: Option<&'a SecurityContext>,
    resources: Option<&'a ResourceRequirements>,
    /// Whether it runs as long as the pod does.
    stays: bool,
}

fn containers(spec: &PodSpec) -> Vec<Container<'_>> {
    let main = spec.containers.iter().map(|one| Container {
        name: &one.name,
        security: one.security_context.as_ref(),
        resources: one.resources.as_ref(),
        stays: true,
    });
    let init = spec.init_containers.iter().flatten().map(|one| Container {
        name: &one.name,
        security: one.security_context.as_ref(),
        resources: one.resources.as_ref(),
        stays: one.restart_policy.as_deref() == Some("Always"),
    });
    let debug = spec
        .ephemeral_containers
        .iter()
        .flatten()
        .map(|one| Container {
            name: &one.name,
            security: one.security_context.as_ref(),
            resources: None,
            stays: false,
        });
    main.chain(init).chain(debug).collect()
}

/// Namespaces whose pods run the cluster itself.
fn is_infrastructure(cx: &Context, namespace: &str) -> bool {
    let settings = &cx.settings;
    namespace == "kube-system"
        || namespace == settings.longhorn.namespace
        || namespace == settings.monitoring.namespace
}

fn namespace_of(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// Pods on the new node that have not finished.
async fn pods_on_node(cx: &Context) -> Result<Vec<Pod>, ReadError> {
    let pods = cx
        .view
        .list::<Pod>(&kinds::PODS, Scope::on_node(cx.node()))
        .await?;
    Ok(pods
        .iter()
        .filter(|pod| !workload::is_finished(pod))
        .cloned()
        .collect())
}

async fn pod_security(cx: &Context) -> Answer {
    const PREFIX: &str = "pod-security.kubernetes.io/";
    let pods = cx.view.list::<Pod>(&kinds::PODS, Scope::all()).await?;
    let used: BTreeSet<&str> = pods.iter().map(namespace_of).collect();
    let namespaces = cx
        .view
        .list::<Namespace>(&kinds::NAMESPACES, Scope::all())
        .await?;
    let mut silent = Vec::new();
    let mut seen = Vec::new();
    for one in namespaces.iter() {
        let name = one.metadata.name.as_deref().unwrap_or_default();
        if !used.contains(name) || is_infrastructure(cx, name) {
            continue;
        }
        let levels: Vec<String> = one
            .metadata
            .labels
            .iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)))
            .filter(|(mode, _)| !mode.ends_with("-version"))
            .map(|(mode, level)| format!("{mode}={level}"))
            .collect();
        let enforced = levels.iter().any(|level| level.starts_with("enforce="));
        seen.push(format!(
            "{name}: {}",
            if levels.is_empty() {
                "no label".to_owned()
            } else {
                levels.join(", ")
            }
        ));
        if !enforced {
            silent.push(name);
        }
    }
    Ok(if silent.is_empty() {
        Verdict::pass(format!("{} namespaces enforce a level", seen.len()))
    } else {
        Verdict::fail(
            "NoPodSecurity",
            format!("nothing is enforced in {}", silent.join(", ")),
        )
    }
    .saw_all(seen))
}

/// What of a pod reaches beyond it.
fn powers(spec: &PodSpec) -> Vec<String> {
    let mut found = Vec::new();
    for (name, on) in [
        ("hostPID", spec.host_pid),
        ("hostIPC", spec.host_ipc),
        ("hostNetwork", spec.host_network),
    ] {
        if on == Some(true) {
            found.push(name.to_owned());
        }
    }
    for container in containers(spec) {
        let Some(security) = container.security else {
            continue;
        };
        if security.privileged == Some(true) {
            found.push(format!("container {} privileged", container.name));
        }
        let added = security
            .capabilities
            .iter()
            .flat_map(|capabilities| capabilities.add.iter().flatten());
        for capability in added {
            if POWERFUL.contains(&capability.trim_start_matches("CAP_")) {
                found.push(format!("container {} adds {capability}", container.name));
            }
        }
    }
    found
}

/// Pods that need their powers: by namespace and owner, never by a part of a name.
fn is_known(cx: &Context, pod: &Pod) -> bool {
    let owner = pod
        .metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true));
    let Some(owner) = owner else {
        return false;
    };
    let label = |key: &str| {
        pod.metadata
            .labels
            .as_ref()
            .is_some_and(|labels| labels.contains_key(key))
    };
    let namespace = namespace_of(pod);
    let is_set = owner.kind == "DaemonSet";
    if namespace == cx.settings.longhorn.namespace {
        return matches!(
            owner.kind.as_str(),
            "InstanceManager" | "BackingImageManager" | "ShareManager"
        ) || (is_set
            && (matches!(
                owner.name.as_str(),
                "longhorn-manager" | "longhorn-csi-plugin"
            ) || label("longhorn.io/component")));
    }
    if is_set && is_node_exporter(pod.metadata.labels.as_ref()) {
        return true;
    }
    namespace == "kube-system" && is_set && label("svccontroller.k3s.cattle.io/svcname")
}

async fn privileged_pods(cx: &Context) -> Answer {
    let pods = pods_on_node(cx).await?;
    let mut known = 0;
    let mut found = Vec::new();
    for pod in &pods {
        let powers = pod.spec.as_ref().map(powers).unwrap_or_default();
        if powers.is_empty() {
            continue;
        }
        if is_known(cx, pod) {
            known += 1;
        } else {
            found.push(format!(
                "{}: {}",
                full_name(&pod.metadata),
                powers.join(", ")
            ));
        }
    }
    Ok(match found.first() {
        None => Verdict::pass(format!("{known} pods have such powers, all of them known")),
        Some(first) => Verdict::fail(
            "UnexpectedPower",
            format!("{} pods on {}, first {first}", found.len(), cx.node()),
        )
        .saw_all(found),
    })
}

async fn root_containers(cx: &Context) -> Answer {
    let pods = pods_on_node(cx).await?;
    let mut looked_at = 0;
    let mut root = Vec::new();
    let mut maybe = Vec::new();
    for pod in pods
        .iter()
        .filter(|pod| !is_infrastructure(cx, namespace_of(pod)))
    {
        let Some(spec) = &pod.spec else { continue };
        let whole = spec.security_context.as_ref();
        for container in containers(spec) {
            looked_at += 1;
            // What the container says goes before what the pod says.
            let user = container
                .security
                .and_then(|one| one.run_as_user)
                .or_else(|| whole.and_then(|one| one.run_as_user));
            let non_root = container
                .security
                .and_then(|one| one.run_as_non_root)
                .or_else(|| whole.and_then(|one| one.run_as_non_root));
            let name = format!("{} {}", full_name(&pod.metadata), container.name);
            match (user, non_root) {
                (Some(0), _) => root.push(name),
                (None, None | Some(false)) => maybe.push(name),
                _ => {}
            }
        }
    }
    Ok(if let Some(first) = root.first() {
        Verdict::fail(
            "RunsAsRoot",
            format!(
                "{} of {looked_at} containers run as root, first {first}",
                root.len()
            ),
        )
        .saw_all(root)
    } else if let Some(first) = maybe.first() {
        Verdict::fail(
            "MayRunAsRoot",
            format!(
                "{} of {looked_at} containers leave their user to the image, first {first}",
                maybe.len()
            ),
        )
        .saw_all(maybe)
    } else {
        Verdict::pass(format!("{looked_at} application containers"))
    })
}

async fn limits(cx: &Context) -> Answer {
    let pods = pods_on_node(cx).await?;
    let mut looked_at = 0;
    let mut without = Vec::new();
    for pod in pods
        .iter()
        .filter(|pod| !is_infrastructure(cx, namespace_of(pod)))
    {
        let Some(spec) = &pod.spec else { continue };
        for container in containers(spec).iter().filter(|one| one.stays) {
            looked_at += 1;
            let limited = container
                .resources
                .and_then(|resources| resources.limits.as_ref())
                .is_some_and(|limits| limits.contains_key("memory"));
            if !limited {
                without.push(format!("{} {}", full_name(&pod.metadata), container.name));
            }
        }
    }
    Ok(match without.first() {
        None => Verdict::pass(format!("{looked_at} application containers")),
        Some(first) => Verdict::fail(
            "NoMemoryLimit",
            format!(
                "{} of {looked_at} containers have no memory limit, first {first}",
                without.len()
            ),
        )
        .saw_all(without),
    })
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Fixture, check};

    fn pod(namespace: &str, owner: (&str, &str), spec: Value) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "namespace": namespace, "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": owner.0, "name": owner.1, "uid": "1", "controller": true},
            ]},
            "spec": {"nodeName": "k3s2"}, "status": {"phase": "Running"},
        });
        pod["spec"]
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        pod
    }

    fn ask(id: &str, one: Value) -> impl Future<Output = Verdict> {
        Fixture::new().with(one).ask(check(id))
    }

    const APP: (&str, &str) = ("ReplicaSet", "app-1");

    #[tokio::test]
    async fn powers_are_known_by_namespace_and_owner() {
        let strong =
            json!({"containers": [{"name": "c", "securityContext": {"privileged": true}}]});
        let id = "security::privileged_pods";
        let manager = pod(
            "longhorn-system",
            ("DaemonSet", "longhorn-manager"),
            strong.clone(),
        );
        assert_eq!(ask(id, manager).await.outcome(), Outcome::Pass);
        let imitator = pod("default", ("DaemonSet", "longhorn-manager"), strong);
        let verdict = ask(id, imitator).await;
        assert_eq!(verdict.reason(), "UnexpectedPower");
        assert!(verdict.message().contains("default/p"), "{verdict:?}");
        for spec in [
            json!({"hostPID": true, "containers": []}),
            json!({"containers": [], "ephemeralContainers": [{"name": "d", "securityContext": {"privileged": true}}]}),
            json!({"containers": [], "initContainers": [{"name": "i", "securityContext": {"capabilities": {"add": ["CAP_SYS_ADMIN"]}}}]}),
        ] {
            let verdict = ask(id, pod("default", APP, spec.clone())).await;
            assert_eq!(verdict.reason(), "UnexpectedPower", "{spec}");
        }
        let weak = json!({"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}}]});
        assert_eq!(
            ask(id, pod("default", APP, weak)).await.outcome(),
            Outcome::Pass
        );
    }

    #[tokio::test]
    async fn the_effective_user_is_the_containers_before_the_pods() {
        for (whole, own, reason) in [
            (json!({"runAsUser": 1000}), json!({}), ""),
            (
                json!({"runAsUser": 1000}),
                json!({"runAsUser": 0}),
                "RunsAsRoot",
            ),
            (json!({"runAsUser": 0}), json!({"runAsUser": 1000}), ""),
            (json!({"runAsNonRoot": true}), json!({}), ""),
            (
                json!({"runAsNonRoot": true}),
                json!({"runAsNonRoot": false}),
                "MayRunAsRoot",
            ),
            (json!({}), json!({}), "MayRunAsRoot"),
        ] {
            let spec = json!({"securityContext": whole, "containers": [{"name": "c", "securityContext": own}]});
            let verdict = ask("security::root_containers", pod("default", APP, spec)).await;
            assert_eq!(verdict.reason(), reason, "{whole} {own}: {verdict:?}");
        }
    }

    #[tokio::test]
    async fn only_containers_that_stay_need_a_limit() {
        let limit = json!({"limits": {"memory": "64Mi"}});
        let good = json!({
            "containers": [{"name": "c", "resources": limit}], "initContainers": [{"name": "i"}],
        });
        let verdict = ask("security::limits", pod("default", APP, good)).await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
        let sidecar = json!({
            "containers": [{"name": "c", "resources": limit}],
            "initContainers": [{"name": "side", "restartPolicy": "Always", "resources": {"limits": {"cpu": "1"}}}],
        });
        let verdict = ask("security::limits", pod("default", APP, sidecar)).await;
        assert_eq!(verdict.reason(), "NoMemoryLimit");
        assert!(verdict.message().contains("default/p side"), "{verdict:?}");
    }

    #[tokio::test]
    async fn a_warning_label_enforces_nothing() {
        let namespace = |labels: Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps", "labels": labels}});
        let ask = |labels: Value| {
            Fixture::new()
                .with(namespace(labels))
                .with(pod("apps", APP, json!({"containers": []})))
                .ask(check("security::pod_security"))
        };
        let good = ask(json!({"pod-security.kubernetes.io/enforce": "baseline"})).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        let silent = ask(json!({"pod-security.kubernetes.io/warn": "restricted"})).await;
        assert_eq!(silent.reason(), "NoPodSecurity");
        assert!(silent.message().ends_with("apps"), "{silent:?}");
    }
}
