//! How closed the cluster is that the node has joined: roles, open ports, encryption, audit, network policies.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::{
    core::v1::{Node, Service},
    networking::v1::NetworkPolicy,
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Subject},
};
use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    resources::{
        full_name,
        node::{self, Arguments},
    },
    view::Scope,
};

/// How closed the cluster is.
pub const CHECKS: &[Check] = &[
    Check {
        id: "security::network_policies",
        title: "Network policies are enforced and let the tool's own pods talk.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[
            Need::list(&kinds::NODES),
            Need::list(&kinds::NETWORK_POLICIES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.3"),
        why: "k3s enforces network policies on every node by itself, unless it was switched off. A policy that nobody \
              enforces only looks like a wall.",
        reasons: &[
            Reason::new(
                "NotEnforced",
                "remove --disable-network-policy from the servers, or see that another plugin enforces the policies",
            ),
            Reason::new(
                "HitsProbes",
                "the named policy would cut off probe pods: choose another probe.namespace",
            ),
            Reason::new(
                "ArgumentsNotShown",
                "no server shows its arguments in annotation k3s.io/node-args: look at the server's service file",
            ),
        ],
        ask: ask!(network_policies),
    },
    Check {
        id: "security::wildcard_roles",
        title: "Only the cluster's own parts may do everything.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[
            Need::list(&kinds::CLUSTER_ROLES),
            Need::list(&kinds::CLUSTER_ROLE_BINDINGS),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.1"),
        why: "A role with every right matters by who holds it. An application that holds it is the cluster's weakest \
              pod.",
        reasons: &[Reason::new(
            "WideRoleBound",
            "write a role with the rights that the named subject uses, bind it, and delete the wide binding",
        )],
        ask: ask!(wildcard_roles),
    },
    Check {
        id: "security::exposed_services",
        title: "Nothing but the ingress is open on the nodes.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[Need::list(&kinds::SERVICES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.3"),
        why: "A NodePort opens on every node, so the new node opens it once more, without a password in front of it.",
        reasons: &[Reason::new(
            "Exposed",
            "make the named Service a ClusterIP behind the ingress, or accept it by name with a reason",
        )],
        ask: ask!(exposed_services),
    },
    Check {
        id: "security::secrets_encryption",
        title: "Secrets are encrypted in the datastore, the same way on every server.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[Need::list(&kinds::NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "Without it every backup of the server holds all secrets in plain text. The annotation proves that the \
              server was started with it, not that it was never switched off since.",
        reasons: &[
            Reason::new(
                "NotEncrypted",
                "start the servers with --secrets-encryption: k3s secrets-encrypt status",
            ),
            Reason::new(
                "RestartPending",
                "the servers have different keys: restart k3s on each server, one after the other",
            ),
        ],
        ask: ask!(secrets_encryption),
    },
    Check {
        id: "security::audit_log",
        title: "The API server writes down who did what.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[Need::list(&kinds::NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "After an incident the audit log is the only one who remembers. k3s keeps none by default.",
        reasons: &[
            Reason::new(
                "NoAuditLog",
                "start the servers with --kube-apiserver-arg=audit-log-path=… and --kube-apiserver-arg=audit-policy-file=…",
            ),
            Reason::new(
                "NoAuditPolicy",
                "a log without a policy stays empty: add --kube-apiserver-arg=audit-policy-file=…",
            ),
            Reason::new(
                "ArgumentsNotShown",
                "no server shows its arguments in annotation k3s.io/node-args: look at the server's service file",
            ),
        ],
        ask: ask!(audit_log),
    },
];

/// Arguments of every server that shows them; a configuration file is merged into them.
fn servers(nodes: &[Node]) -> Vec<Arguments> {
    nodes
        .iter()
        .filter_map(Arguments::of)
        .filter(|arguments| arguments.role() == "server")
        .collect()
}

async fn network_policies(cx: &Context) -> Answer {
    let nodes = node::all(cx).await?;
    let policies = cx
        .view
        .list::<NetworkPolicy>(&kinds::NETWORK_POLICIES, Scope::all())
        .await?;
    let switched_off = servers(&nodes)
        .iter()
        .any(|arguments| arguments.switch("--disable-network-policy"));
    if switched_off {
        return Ok(Verdict::fail(
            "NotEnforced",
            format!(
                "{} network policies, and the servers run with --disable-network-policy",
                policies.len()
            ),
        ));
    }
    if servers(&nodes).is_empty() {
        return Ok(Verdict::error(
            "ArgumentsNotShown",
            "no server shows the arguments that it was started with, so whether anybody enforces them is not known",
        ));
    }
    let probes = &cx.settings.probe.namespace;
    let own: Vec<String> = policies
        .iter()
        .filter(|policy| policy.metadata.namespace.as_deref() == Some(probes))
        .map(|policy| full_name(&policy.metadata))
        .collect();
    if !own.is_empty() {
        return Ok(Verdict::fail(
            "HitsProbes",
            format!("{} is about the pods of this tool", own.join(", ")),
        ));
    }
    let mut by_namespace: BTreeMap<&str, u32> = BTreeMap::new();
    for policy in policies.iter() {
        *by_namespace
            .entry(policy.metadata.namespace.as_deref().unwrap_or_default())
            .or_default() += 1;
    }
    Ok(Verdict::pass(format!(
        "{} network policies, enforced by k3s",
        policies.len()
    ))
    .saw_all(
        by_namespace
            .iter()
            .map(|(namespace, count)| format!("{namespace}: {count}")),
    ))
}

/// Whether a rule alone opens everything, or a way to everything. Verbs and resources must stand in the same rule.
fn is_wide(rule: &PolicyRule) -> bool {
    let has =
        |list: &Option<Vec<String>>, wanted: &str| list.iter().flatten().any(|one| one == wanted);
    let verb = |wanted: &str| rule.verbs.iter().any(|one| one == wanted);
    let everything = verb("*") && has(&rule.resources, "*") && has(&rule.api_groups, "*");
    let rbac = has(&rule.api_groups, "rbac.authorization.k8s.io") || has(&rule.api_groups, "*");
    // `*` takes in escalate, bind and impersonate, where it is about what these are about.
    let climbs = rbac
        && (verb("escalate") || verb("bind") || verb("*"))
        && ["*", "roles", "clusterroles"]
            .iter()
            .any(|kind| has(&rule.resources, kind));
    let impersonates = (verb("impersonate") || verb("*"))
        && (has(&rule.api_groups, "") || has(&rule.api_groups, "*"))
        && ["*", "users", "groups", "serviceaccounts"]
            .iter()
            .any(|kind| has(&rule.resources, kind));
    everything || climbs || impersonates
}

/// The cluster's own parts: its administrators, its control plane, and Flux, which applies whatever stands in git.
fn is_own(cx: &Context, subject: &Subject) -> bool {
    match subject.kind.as_str() {
        "Group" => subject.name == "system:masters",
        // A service account may be named as a user, too; `system:anonymous` is everybody.
        "User" => match subject.name.strip_prefix("system:serviceaccount:") {
            Some(account) => is_own_namespace(cx, account.split(':').next().unwrap_or_default()),
            None => CONTROL_PLANE.contains(&subject.name.as_str()),
        },
        _ => is_own_namespace(cx, subject.namespace.as_deref().unwrap_or_default()),
    }
}

/// The users by which the parts of k3s's own control plane call the API server.
const CONTROL_PLANE: [&str; 6] = [
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-scheduler",
    "system:kube-proxy",
    "system:k3s-controller",
    "k3s-cloud-controller-manager",
];

fn is_own_namespace(cx: &Context, namespace: &str) -> bool {
    let settings = &cx.settings;
    [
        "kube-system",
        settings.flux.namespace.as_str(),
        settings.longhorn.namespace.as_str(),
    ]
    .contains(&namespace)
}

async fn wildcard_roles(cx: &Context) -> Answer {
    let roles = cx
        .view
        .list::<ClusterRole>(&kinds::CLUSTER_ROLES, Scope::all())
        .await?;
    let bindings = cx
        .view
        .list::<ClusterRoleBinding>(&kinds::CLUSTER_ROLE_BINDINGS, Scope::all())
        .await?;
    let wide: BTreeSet<&str> = roles
        .iter()
        .filter(|role| role.rules.iter().flatten().any(is_wide))
        .filter_map(|role| role.metadata.name.as_deref())
        .collect();
    let mut found = Vec::new();
    for binding in bindings.iter() {
        let role = binding.role_ref.name.as_str();
        if !wide.contains(role) {
            continue;
        }
        for subject in binding.subjects.iter().flatten() {
            if !is_own(cx, subject) {
                let place = subject
                    .namespace
                    .as_ref()
                    .map(|namespace| format!("{namespace}/"))
                    .unwrap_or_default();
                found.push(format!(
                    "{} {place}{} holds {role} by {}",
                    subject.kind,
                    subject.name,
                    binding.metadata.name.as_deref().unwrap_or_default()
                ));
            }
        }
    }
    Ok(match found.first() {
        None => Verdict::pass(format!(
            "{} wide roles, held only by the cluster's own parts",
            wide.len()
        )),
        Some(first) => Verdict::fail(
            "WideRoleBound",
            format!("{} holders of wide roles, first {first}", found.len()),
        )
        .saw_all(found),
    })
}

async fn exposed_services(cx: &Context) -> Answer {
    let services = cx
        .view
        .list::<Service>(&kinds::SERVICES, Scope::all())
        .await?;
    let ingress = &cx.settings.ingress;
    let mut found = Vec::new();
    for service in services.iter() {
        let Some(spec) = &service.spec else { continue };
        let ports: Vec<i32> = spec
            .ports
            .iter()
            .flatten()
            .filter_map(|port| port.node_port)
            .collect();
        let outside: Vec<&str> = spec
            .external_ips
            .iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let known = [i32::from(ingress.http), i32::from(ingress.https)];
        let is_ingress = ports.iter().any(|port| known.contains(port));
        // What k3s brings itself as its way in.
        let is_k3s = service.metadata.namespace.as_deref() == Some("kube-system")
            && service.metadata.name.as_deref() == Some("traefik");
        // ServiceLB opens the Service's own ports on the nodes, with or without node ports.
        let balanced = spec.type_.as_deref() == Some("LoadBalancer");
        if is_ingress || is_k3s || (ports.is_empty() && outside.is_empty() && !balanced) {
            continue;
        }
        let own = spec.ports.iter().flatten().map(|port| port.port);
        let ports = ports
            .iter()
            .copied()
            .chain(own.filter(|_| balanced))
            .collect::<BTreeSet<i32>>()
            .iter()
            .map(i32::to_string)
            .chain(outside.into_iter().map(str::to_owned))
            .collect::<Vec<_>>()
            .join(", ");
        found.push(format!(
            "{} ({}: {ports})",
            full_name(&service.metadata),
            spec.type_.as_deref().unwrap_or("ClusterIP"),
        ));
    }
    Ok(if found.is_empty() {
        Verdict::pass(format!(
            "{} Services, none open beside the ingress",
            services.len()
        ))
    } else {
        Verdict::fail(
            "Exposed",
            format!("open on every node: {}", found.join("; ")),
        )
        .saw_all(found)
    })
}

async fn secrets_encryption(cx: &Context) -> Answer {
    const HASH: &str = "k3s.io/encryption-config-hash";
    let nodes = node::all(cx).await?;
    let servers: Vec<&Node> = nodes
        .iter()
        .filter(|one| node::is_control_plane(one))
        .collect();
    let mut hashes = BTreeSet::new();
    let mut without = Vec::new();
    let mut seen = Vec::new();
    for server in &servers {
        let name = node::name(server);
        match node::annotation(server, HASH) {
            // The stage before the dash tells where a rotation stands; the hash says nothing to a person.
            Some(value) => {
                let stage = value.split('-').next().unwrap_or_default();
                seen.push(format!("{name}: stage {stage}"));
                hashes.insert(value);
            }
            None => without.push(name),
        }
    }
    Ok(if servers.is_empty() {
        Verdict::fail("NotEncrypted", "no server is to be seen")
    } else if !without.is_empty() {
        Verdict::fail(
            "NotEncrypted",
            format!(
                "started without encryption of secrets: {}",
                without.join(", ")
            ),
        )
    } else if hashes.len() > 1 {
        Verdict::fail(
            "RestartPending",
            format!("{} servers with different keys", servers.len()),
        )
    } else {
        Verdict::pass(format!("{} servers, one configuration", servers.len()))
    }
    .saw_all(seen))
}

async fn audit_log(cx: &Context) -> Answer {
    let nodes = node::all(cx).await?;
    let servers = servers(&nodes);
    if servers.is_empty() {
        return Ok(Verdict::error(
            "ArgumentsNotShown",
            "no server shows the arguments that it was started with",
        ));
    }
    let mut logs = true;
    let mut has_policy = true;
    for server in &servers {
        let given = server.values("--kube-apiserver-arg");
        let has = |flag: &str| {
            given
                .iter()
                .any(|one| one.trim_start_matches('-').starts_with(flag))
        };
        logs &= has("audit-log-path=") || has("audit-webhook-config-file=");
        has_policy &= has("audit-policy-file=");
    }
    Ok(if !logs {
        Verdict::fail(
            "NoAuditLog",
            "a server runs without audit-log-path and without audit-webhook-config-file",
        )
    } else if !has_policy {
        Verdict::fail("NoAuditPolicy", "a server runs without audit-policy-file")
    } else {
        Verdict::pass(format!("{} servers log by a policy", servers.len()))
    })
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use crate::testing::{Fixture, check};

    fn server(name: &str, args: Value, hash: Option<&str>) -> Value {
        let mut node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": name, "labels": {"node-role.kubernetes.io/control-plane": "true"},
                "annotations": {"k3s.io/node-args": args.to_string()},
            },
        });
        if let Some(hash) = hash {
            node["metadata"]["annotations"]["k3s.io/encryption-config-hash"] = hash.into();
        }
        node
    }

    #[tokio::test]
    async fn policies_that_nobody_enforces_are_no_wall() {
        let policy = |namespace: &str| {
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": "deny", "namespace": namespace}, "spec": {"podSelector": {}},
            })
        };
        let ask = |args: Value, namespace: &str| {
            Fixture::new()
                .with(server("k3s1", args, None))
                .with(policy(namespace))
                .ask(check("security::network_policies"))
        };
        assert_eq!(
            ask(json!(["server"]), "flux-system").await.outcome(),
            Outcome::Pass
        );
        let off = ask(json!(["server", "--disable-network-policy"]), "flux-system").await;
        assert_eq!(off.reason(), "NotEnforced");
        let hit = ask(json!(["server"]), "onboarding-probe").await;
        assert_eq!(hit.reason(), "HitsProbes");
        assert!(hit.message().contains("onboarding-probe/deny"), "{hit:?}");
        let silent = ask(json!(["agent"]), "flux-system").await;
        assert_eq!(silent.reason(), "ArgumentsNotShown", "{silent:?}");
    }

    fn role(name: &str, rules: Value) -> Value {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
    }

    fn binding(role: &str, subject: Value) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "b"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [subject],
        })
    }

    #[tokio::test]
    async fn a_wide_role_counts_by_who_holds_it() {
        let all = json!([{"verbs": ["*"], "resources": ["*"], "apiGroups": ["*"]}]);
        let ask = |rules: Value, subject: Value| {
            Fixture::new()
                .with(role("wide", rules))
                .with(binding("wide", subject))
                .ask(check("security::wildcard_roles"))
        };
        let app = json!({"kind": "ServiceAccount", "namespace": "default", "name": "app"});
        let verdict = ask(all.clone(), app.clone()).await;
        assert_eq!(verdict.reason(), "WideRoleBound");
        assert!(verdict.message().contains("default/app"), "{verdict:?}");
        let everybody = json!({"kind": "Group", "name": "system:authenticated"});
        assert_eq!(ask(all.clone(), everybody).await.reason(), "WideRoleBound");
        for user in ["system:anonymous", "system:serviceaccount:default:app"] {
            let user = json!({"kind": "User", "name": user});
            let verdict = ask(all.clone(), user).await;
            assert_eq!(verdict.reason(), "WideRoleBound", "{verdict:?}");
        }
        for own in [
            json!({"kind": "Group", "name": "system:masters"}),
            json!({"kind": "User", "name": "system:kube-scheduler"}),
            json!({"kind": "User", "name": "system:serviceaccount:flux-system:helm-controller"}),
            json!({"kind": "ServiceAccount", "namespace": "flux-system", "name": "kustomize-controller"}),
        ] {
            assert_eq!(ask(all.clone(), own).await.outcome(), Outcome::Pass);
        }
        // What makes others mighty is as mighty as they are.
        for rules in [
            json!([{"verbs": ["*"], "resources": ["*"], "apiGroups": ["rbac.authorization.k8s.io"]}]),
            json!([{"verbs": ["*"], "resources": ["pods", "serviceaccounts"], "apiGroups": [""]}]),
        ] {
            assert_eq!(ask(rules, app.clone()).await.reason(), "WideRoleBound");
        }
        // Two rules of which neither is wide alone are not wide together.
        let apart = json!([
            {"verbs": ["*"], "resources": ["pods"], "apiGroups": [""]},
            {"verbs": ["get"], "resources": ["*"], "apiGroups": ["*"]},
        ]);
        assert_eq!(ask(apart, app).await.outcome(), Outcome::Pass);
    }

    #[tokio::test]
    async fn a_node_port_beside_the_ingress_is_named() {
        let service = |name: &str, port: u16| {
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "x"},
                "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]},
            })
        };
        let ask = |fixture: Fixture| fixture.ask(check("security::exposed_services"));
        let good = ask(Fixture::new().with(service("ingress", 30080))).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        let mut balanced = service("mail", 0);
        balanced["spec"] = json!({"type": "LoadBalancer", "ports": [{"port": 25}]});
        let balanced = ask(Fixture::new().with(balanced)).await;
        assert!(
            balanced.message().contains("x/mail (LoadBalancer: 25)"),
            "{balanced:?}"
        );
        for (name, outcome) in [("traefik", Outcome::Pass), ("backdoor", Outcome::Fail)] {
            let mut own = service(name, 30099);
            own["metadata"]["namespace"] = json!("kube-system");
            assert_eq!(ask(Fixture::new().with(own)).await.outcome(), outcome);
        }
        let open = ask(Fixture::new().with(service("cloud-init", 30090))).await;
        assert_eq!(open.reason(), "Exposed");
        assert!(
            open.message().contains("x/cloud-init (NodePort: 30090)"),
            "{open:?}"
        );
    }

    #[tokio::test]
    async fn encryption_and_audit_are_read_from_the_servers() {
        let audited = json!([
            "server",
            "--kube-apiserver-arg",
            "audit-log-path=/a",
            "--kube-apiserver-arg=audit-policy-file=/b",
        ]);
        let ask = |id: &str, servers: Vec<Value>| {
            servers
                .into_iter()
                .fold(Fixture::new(), Fixture::with)
                .ask(check(id))
        };
        let encrypted = |name, hash| server(name, audited.clone(), Some(hash));
        let id = "security::secrets_encryption";
        let good = ask(
            id,
            vec![encrypted("a", "start-1"), encrypted("b", "start-1")],
        )
        .await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        let pending = ask(
            id,
            vec![encrypted("a", "start-1"), encrypted("b", "start-2")],
        )
        .await;
        assert_eq!(pending.reason(), "RestartPending");
        let plain = ask(id, vec![server("a", json!(["server"]), None)]).await;
        assert_eq!(plain.reason(), "NotEncrypted");
        assert!(plain.message().ends_with(": a"), "{plain:?}");

        let id = "security::audit_log";
        let good = ask(id, vec![encrypted("a", "x")]).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        let none = ask(id, vec![server("a", json!(["server"]), None)]).await;
        assert_eq!(none.reason(), "NoAuditLog");
        let no_policy = json!(["server", "--kube-apiserver-arg=audit-log-path=/a"]);
        let empty = ask(id, vec![server("a", no_policy, None)]).await;
        assert_eq!(empty.reason(), "NoAuditPolicy");
        assert_eq!(ask(id, Vec::new()).await.reason(), "ArgumentsNotShown");
    }
}
