//! `pre`, what every node rests on: name resolution, numbers, room for pods, admission.

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        admissionregistration::v1::{
            MutatingWebhookConfiguration, RuleWithOperations, ValidatingWebhookConfiguration,
            WebhookClientConfig,
        },
        apps::v1::Deployment,
        certificates::v1::CertificateSigningRequest,
        core::v1::{Node, Pod, ResourceQuota, Service},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use reports::model::Severity;
use serde::Deserialize;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    resources::{
        condition, full_name,
        meta::Meta,
        node::{self, Arguments},
        quantity, workload,
    },
    view::{ReadError, Scope},
};

/// A node or a quota that is fuller is worth a warning, in percent.
const FULL: f64 = 80.0;
/// A request for a certificate that waits longer has been forgotten, in seconds.
const FORGOTTEN: i64 = 600;

/// The checks of this file, in order.
pub const CHECKS: &[Check] = &[
    Check {
        id: "pre::coredns",
        title: "Names are resolved inside the cluster.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[
            Need::list(&kinds::NODES),
            Need::list(&kinds::DEPLOYMENTS),
            Need::list(&kinds::SERVICES),
            Need::list(&kinds::ENDPOINT_SLICES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "Pods on the new node find every service by name, and ask this Service for it.",
        reasons: &[
            Reason::new(
                "DnsUnavailable",
                "see why: kubectl -n kube-system describe deployment coredns",
            ),
            Reason::new(
                "DnsMissing",
                "restore it: kubectl -n kube-system get deployment coredns, service kube-dns",
            ),
            Reason::new(
                "DnsDisabled",
                "nothing to do: k3s was started with --disable coredns",
            ),
        ],
        ask: ask!(coredns),
    },
    Check {
        id: "pre::metrics_api",
        title: "metrics-server answers for the usage of nodes.",
        severity: Severity::Warn,
        requires: &["pre::api_live"],
        needs: &[Need::list(&kinds::API_SERVICES)],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "`kubectl top` and autoscaling read their numbers from it.",
        reasons: &[
            Reason::new(
                "MetricsServerMissing",
                "install metrics-server, or leave expect.metrics_server unset",
            ),
            Reason::new(
                "MetricsServerUnavailable",
                "see why: kubectl describe apiservice v1beta1.metrics.k8s.io",
            ),
        ],
        ask: ask!(metrics_api),
    },
    Check {
        id: "pre::control_plane_usage",
        title: "The control-plane node uses less than 80 % of its processors and memory.",
        severity: Severity::Warn,
        requires: &["pre::metrics_api"],
        needs: &[Need::list(&kinds::NODES), Need::list(&kinds::NODE_METRICS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "While the node joins, the control plane works more: images, replicas and certificates go through it.",
        reasons: &[
            Reason::new(
                "UsageHigh",
                "see what uses it: kubectl top pods -A --sort-by=memory",
            ),
            Reason::new(
                "NoNumbers",
                "wait a minute after a restart of metrics-server, then: kubectl top nodes",
            ),
        ],
        ask: ask!(control_plane_usage),
    },
    Check {
        id: "pre::pod_capacity",
        title: "Every node has room for more pods.",
        severity: Severity::Warn,
        requires: &["pre::api_live"],
        needs: &[Need::list(&kinds::NODES), Need::list(&kinds::PODS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "A kubelet takes a fixed number of pods; what comes after waits, however idle the machine is.",
        reasons: &[
            Reason::new(
                "PodsNearlyFull",
                "raise the limit of the named node (kubelet-arg: max-pods) or move pods: kubectl get pods -A -o wide",
            ),
            Reason::new(
                "CapacityUnknown",
                "see what its kubelet says: kubectl get node NAME -o jsonpath={.status.allocatable}",
            ),
        ],
        ask: ask!(pod_capacity),
    },
    Check {
        id: "pre::resource_quotas",
        title: "No quota is nearly used up.",
        severity: Severity::Warn,
        requires: &["pre::api_live"],
        needs: &[Need::list(&kinds::RESOURCE_QUOTAS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "DaemonSets add a pod a node; where a quota is used up the pod is refused and the node stays half served.",
        reasons: &[
            Reason::new(
                "QuotaNearlyUsed",
                "raise it or free what it counts: kubectl -n NAMESPACE describe resourcequota NAME",
            ),
            Reason::new(
                "QuotaNotCounted",
                "the quota is new, or the controller manager inside k3s does not run: kubectl -n NAMESPACE get resourcequota NAME -o yaml",
            ),
        ],
        ask: ask!(resource_quotas),
    },
    Check {
        id: "pre::admission_webhooks",
        title: "Every webhook that may refuse nodes, pods or Longhorn objects answers.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[
            Need::list(&kinds::VALIDATING_WEBHOOKS),
            Need::list(&kinds::MUTATING_WEBHOOKS),
            Need::list(&kinds::ENDPOINT_SLICES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "A webhook of policy Fail whose server is gone refuses everything it is asked about: the node cannot be \
              labelled, its pods cannot start.",
        reasons: &[
            Reason::new(
                "WebhookDead",
                "bring its Service back, or remove the configuration if its program is gone: \
                 kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
            ),
            Reason::new(
                "SelectiveWebhookDead",
                "it is asked about some objects only; see which: kubectl get validatingwebhookconfigurations NAME -o yaml",
            ),
        ],
        ask: ask!(admission_webhooks),
    },
    Check {
        id: "pre::pending_csrs",
        title: "No request for a certificate has been forgotten.",
        severity: Severity::Warn,
        requires: &["pre::api_live"],
        needs: &[Need::list(&kinds::SIGNING_REQUESTS)],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "k3s needs none of them to let a node join; where a kubelet is told to ask for its certificate, somebody must answer.",
        reasons: &[Reason::new(
            "RequestPending",
            "look at it, then: kubectl certificate approve NAME, or kubectl certificate deny NAME",
        )],
        ask: ask!(pending_csrs),
    },
];

pub(crate) async fn coredns(cx: &Context) -> Answer {
    const NAMESPACE: &str = "kube-system";
    let deployments = cx
        .view
        .list::<Deployment>(&kinds::DEPLOYMENTS, Scope::all())
        .await?;
    let services = cx
        .view
        .list::<Service>(&kinds::SERVICES, Scope::all())
        .await?;
    let slices = cx
        .view
        .list::<EndpointSlice>(&kinds::ENDPOINT_SLICES, Scope::all())
        .await?;
    let deployment = deployments.iter().find(|one| {
        one.metadata.namespace.as_deref() == Some(NAMESPACE)
            && one.metadata.name.as_deref() == Some("coredns")
    });
    let service = services.iter().any(|one| {
        one.metadata.namespace.as_deref() == Some(NAMESPACE)
            && one.metadata.name.as_deref() == Some("kube-dns")
    });
    let endpoints = workload::ready_endpoints(&slices, NAMESPACE, "kube-dns").count();
    if deployment.is_none() && !service {
        let server = node::control_plane(cx).await?;
        let disabled = Arguments::of(&server).is_some_and(|one| one.disables("coredns"));
        let message =
            "there is neither Deployment kube-system/coredns nor Service kube-system/kube-dns";
        return Ok(if disabled {
            Verdict::skip("DnsDisabled", message)
        } else {
            Verdict::fail("DnsMissing", message)
        });
    }
    let trouble = deployment.and_then(workload::deployment_trouble);
    Ok(if !service {
        Verdict::fail("DnsMissing", "Service kube-system/kube-dns does not exist")
    } else if endpoints == 0 {
        Verdict::fail(
            "DnsUnavailable",
            "Service kube-system/kube-dns has no ready endpoint",
        )
        .saw_all(trouble)
    } else if let Some(trouble) = trouble {
        Verdict::warn(
            "DnsUnavailable",
            format!("Deployment kube-system/coredns: {trouble}"),
        )
    } else {
        Verdict::pass(format!("kube-dns has {endpoints} ready endpoints"))
    })
}

async fn metrics_api(cx: &Context) -> Answer {
    const NAME: &str = "v1beta1.metrics.k8s.io";
    let services = cx
        .view
        .list::<APIService>(&kinds::API_SERVICES, Scope::all())
        .await?;
    let Some(service) = services
        .iter()
        .find(|one| one.metadata.name.as_deref() == Some(NAME))
    else {
        let message = format!("metrics-server is not installed: APIService {NAME} does not exist");
        return Ok(if cx.settings.expect.metrics_server {
            Verdict::fail("MetricsServerMissing", message)
        } else {
            Verdict::skip("MetricsServerMissing", message)
        });
    };
    let conditions = service
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let available = condition::of_opt(conditions, "Available");
    Ok(if available.is_true() {
        Verdict::pass(format!("APIService {NAME} is available"))
    } else {
        Verdict::fail(
            "MetricsServerUnavailable",
            format!("APIService {NAME}: {available}"),
        )
    })
}

/// Usage of a node, from metrics-server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeMetrics {
    metadata: Meta,
    usage: Usage,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    cpu: String,
    memory: String,
}

fn allocatable(node: &Node, resource: &str) -> Option<f64> {
    quantity::of(node.status.as_ref()?.allocatable.as_ref()?.get(resource))
}

async fn control_plane_usage(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    let name = node::name(&server);
    let metrics = match cx
        .view
        .list::<NodeMetrics>(&kinds::NODE_METRICS, Scope::all())
        .await
    {
        Err(ReadError::NotServed { .. }) => std::sync::Arc::default(),
        answer => answer?,
    };
    let Some(usage) = metrics
        .iter()
        .find(|one| one.metadata.name == name)
        .map(|one| &one.usage)
    else {
        return Ok(Verdict::fail(
            "NoNumbers",
            format!("metrics-server has no numbers for {name}"),
        ));
    };
    let mut parts = Vec::new();
    let mut high = false;
    for (resource, used) in [("cpu", &usage.cpu), ("memory", &usage.memory)] {
        let (Some(used), Some(all)) = (quantity::number(used), allocatable(&server, resource))
        else {
            return Ok(Verdict::fail(
                "NoNumbers",
                format!(
                    "{name}: usage {used:?} of {resource} cannot be held against what is allocatable"
                ),
            ));
        };
        let percent = used / all * 100.0;
        high |= percent > FULL;
        parts.push(format!("{resource} {percent:.0} %"));
    }
    let message = format!("{name} uses {}", parts.join(", "));
    Ok(if high {
        Verdict::fail("UsageHigh", format!("{message}, at most {FULL} % expected"))
    } else {
        Verdict::pass(message)
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count of pods is far below what a float holds"
)]
pub(crate) async fn pod_capacity(cx: &Context) -> Answer {
    let nodes = node::all(cx).await?;
    let pods = cx.view.list::<Pod>(&kinds::PODS, Scope::all()).await?;
    let mut seen = Vec::new();
    let mut full = Vec::new();
    let mut unknown = Vec::new();
    for one in nodes.iter() {
        let name = node::name(one);
        let count = pods
            .iter()
            .filter(|pod| workload::node_of(pod) == Some(name) && !workload::is_finished(pod))
            .count();
        match allocatable(one, "pods") {
            Some(all) if all > 0.0 => {
                let line = format!("{name}: {count} of {all} pods");
                if count as f64 / all * 100.0 > FULL {
                    full.push(line.clone());
                }
                seen.push(line);
            }
            _ => unknown.push(format!("{name} does not say how many pods it takes")),
        }
    }
    Ok(if !full.is_empty() {
        Verdict::fail("PodsNearlyFull", full.join("; "))
    } else if !unknown.is_empty() {
        Verdict::fail("CapacityUnknown", unknown.join("; "))
    } else {
        Verdict::pass(seen.join("; "))
    })
}

async fn resource_quotas(cx: &Context) -> Answer {
    let quotas = cx
        .view
        .list::<ResourceQuota>(&kinds::RESOURCE_QUOTAS, Scope::all())
        .await?;
    let mut nearly = Vec::new();
    let mut unknown = Vec::new();
    for quota in quotas.iter() {
        let wanted = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
        let Some(status) = quota
            .status
            .as_ref()
            .filter(|status| status.hard.is_some() || wanted.is_none_or(|hard| hard.is_empty()))
        else {
            unknown.push(full_name(&quota.metadata));
            continue;
        };
        for (resource, hard) in status.hard.iter().flatten() {
            let used = status.used.as_ref().and_then(|used| used.get(resource));
            let (Some(limit), Some(taken)) = (quantity::number(&hard.0), quantity::of(used)) else {
                continue;
            };
            // A limit of zero forbids on purpose.
            if limit > 0.0 && taken / limit * 100.0 > FULL {
                nearly.push(format!(
                    "{}: {} of {} {resource}",
                    full_name(&quota.metadata),
                    used.map_or("0", |used| &used.0),
                    hard.0
                ));
            }
        }
    }
    Ok(if !nearly.is_empty() {
        Verdict::fail("QuotaNearlyUsed", nearly.join("; ")).saw_all(unknown)
    } else if !unknown.is_empty() {
        Verdict::fail(
            "QuotaNotCounted",
            format!("nobody has counted what is used of {}", unknown.join(", ")),
        )
    } else {
        Verdict::pass(format!("none of {} quotas is above {FULL} %", quotas.len()))
    })
}

/// What the two kinds of webhook have in common.
struct Webhook<'a> {
    name: String,
    policy: Option<&'a str>,
    rules: &'a [RuleWithOperations],
    client: &'a WebhookClientConfig,
    selects: bool,
}

fn is_selective(namespace: Option<&LabelSelector>, object: Option<&LabelSelector>) -> bool {
    [namespace, object].into_iter().flatten().any(|selector| {
        selector
            .match_labels
            .as_ref()
            .is_some_and(|labels| !labels.is_empty())
            || selector
                .match_expressions
                .as_ref()
                .is_some_and(|terms| !terms.is_empty())
    })
}

/// Whether a rule is about something that an onboarding writes: nodes, pods, Longhorn's objects.
fn concerns_us(rule: &RuleWithOperations) -> bool {
    let groups = rule.api_groups.as_deref().unwrap_or_default();
    let resources = rule.resources.as_deref().unwrap_or_default();
    let group = |wanted: &str| groups.iter().any(|one| one == "*" || one == wanted);
    let resource = |wanted: &str| {
        resources
            .iter()
            .any(|one| matches!(one.as_str(), "*" | "*/*") || one == wanted)
    };
    group("longhorn.io") || (group("") && (resource("nodes") || resource("pods")))
}

async fn admission_webhooks(cx: &Context) -> Answer {
    let validating = cx
        .view
        .list::<ValidatingWebhookConfiguration>(&kinds::VALIDATING_WEBHOOKS, Scope::all())
        .await?;
    let mutating = cx
        .view
        .list::<MutatingWebhookConfiguration>(&kinds::MUTATING_WEBHOOKS, Scope::all())
        .await?;
    let slices = cx
        .view
        .list::<EndpointSlice>(&kinds::ENDPOINT_SLICES, Scope::all())
        .await?;
    let name = |configuration: Option<&str>, webhook: &str| {
        format!("{}/{webhook}", configuration.unwrap_or_default())
    };
    let first = validating.iter().flat_map(|configuration| {
        configuration.webhooks.iter().flatten().map(|one| Webhook {
            name: name(configuration.metadata.name.as_deref(), &one.name),
            policy: one.failure_policy.as_deref(),
            rules: one.rules.as_deref().unwrap_or_default(),
            client: &one.client_config,
            selects: is_selective(
                one.namespace_selector.as_ref(),
                one.object_selector.as_ref(),
            ),
        })
    });
    let second = mutating.iter().flat_map(|configuration| {
        configuration.webhooks.iter().flatten().map(|one| Webhook {
            name: name(configuration.metadata.name.as_deref(), &one.name),
            policy: one.failure_policy.as_deref(),
            rules: one.rules.as_deref().unwrap_or_default(),
            client: &one.client_config,
            selects: is_selective(
                one.namespace_selector.as_ref(),
                one.object_selector.as_ref(),
            ),
        })
    });
    let mut count = 0;
    let mut dead = Vec::new();
    let mut selective = Vec::new();
    let mut outside = Vec::new();
    for webhook in first.chain(second) {
        // Fail is the default of admissionregistration.k8s.io/v1.
        if webhook.policy == Some("Ignore") || !webhook.rules.iter().any(concerns_us) {
            continue;
        }
        count += 1;
        let Some(service) = &webhook.client.service else {
            outside.push(format!("{} is served outside the cluster", webhook.name));
            continue;
        };
        let alive = workload::ready_endpoints(&slices, &service.namespace, &service.name)
            .next()
            .is_some();
        if !alive {
            let line = format!(
                "{}: Service {}/{} has no ready endpoint",
                webhook.name, service.namespace, service.name
            );
            if webhook.selects {
                selective.push(line);
            } else {
                dead.push(line);
            }
        }
    }
    Ok(if !dead.is_empty() {
        Verdict::fail("WebhookDead", dead.join("; ")).saw_all(selective)
    } else if !selective.is_empty() {
        Verdict::warn("SelectiveWebhookDead", selective.join("; "))
    } else {
        Verdict::pass(format!("{count} webhooks of policy Fail, all served"))
    }
    .saw_all(outside))
}

async fn pending_csrs(cx: &Context) -> Answer {
    let requests = cx
        .view
        .list::<CertificateSigningRequest>(&kinds::SIGNING_REQUESTS, Scope::all())
        .await?;
    let now = Timestamp::now();
    let pending: Vec<String> = requests
        .iter()
        .filter(|one| {
            let conditions = one
                .status
                .as_ref()
                .and_then(|status| status.conditions.as_ref());
            conditions.is_none_or(Vec::is_empty)
        })
        .filter_map(|one| {
            let age = one
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|created| now.duration_since(created.0).as_secs())?;
            (age > FORGOTTEN).then(|| {
                format!(
                    "{} of {} for {}, {} min old",
                    one.metadata.name.as_deref().unwrap_or_default(),
                    one.spec.username.as_deref().unwrap_or("somebody"),
                    one.spec.signer_name,
                    age / 60
                )
            })
        })
        .collect();
    Ok(if pending.is_empty() {
        Verdict::pass(format!("none of {} requests waits", requests.len()))
    } else {
        Verdict::fail("RequestPending", pending.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::node;
    use crate::testing::{Fixture, check};

    fn slice(namespace: &str, service: &str, ready: bool) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{service}-1"), "namespace": namespace,
                "labels": {"kubernetes.io/service-name": service},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.42.0.2"], "conditions": {"ready": ready}}],
        })
    }

    #[tokio::test]
    async fn names_are_resolved_when_the_service_has_an_endpoint() {
        let check = check("pre::coredns");
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "coredns", "namespace": "kube-system", "generation": 1},
            "spec": {"replicas": 1, "selector": {}, "template": {}},
            "status": {"observedGeneration": 1, "availableReplicas": 1},
        });
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system"}, "spec": {},
        });
        let with = |ready: bool| {
            Fixture::new()
                .with(node("k3s1"))
                .with(deployment.clone())
                .with(service.clone())
                .with(slice("kube-system", "kube-dns", ready))
                .ask(check)
        };
        assert_eq!(with(true).await.message(), "kube-dns has 1 ready endpoints");
        assert_eq!(with(false).await.reason(), "DnsUnavailable");
        let gone = Fixture::new().with(node("k3s1")).ask(check).await;
        assert_eq!(
            (gone.outcome().name(), gone.reason()),
            ("fail", "DnsMissing")
        );
        let mut server = node("k3s1");
        server["metadata"]["annotations"] =
            json!({"k3s.io/node-args": "[\"server\",\"--disable\",\"coredns\"]"});
        let off = Fixture::new().with(server).ask(check).await;
        assert_eq!(
            (off.outcome().name(), off.reason()),
            ("skip", "DnsDisabled")
        );
    }

    #[tokio::test]
    async fn metrics_server_is_optional_and_judged_by_its_condition() {
        let check = check("pre::metrics_api");
        let absent = Fixture::new().ask(check).await;
        assert_eq!(
            (absent.outcome().name(), absent.reason()),
            ("skip", "MetricsServerMissing")
        );
        let service = |status: &str| {
            json!({
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": "v1beta1.metrics.k8s.io"},
                "spec": {"groupPriorityMinimum": 1, "versionPriority": 1},
                "status": {"conditions": [{"type": "Available", "status": status, "reason": "MissingEndpoints"}]},
            })
        };
        let ask = |status: &str| Fixture::new().with(service(status)).ask(check);
        assert_eq!(ask("True").await.reason(), "");
        let ill = ask("False").await;
        assert_eq!(ill.reason(), "MetricsServerUnavailable");
        assert!(ill.message().contains("MissingEndpoints"));
    }

    #[tokio::test]
    async fn usage_is_held_against_what_is_allocatable() {
        let check = check("pre::control_plane_usage");
        let metrics = |cpu: &str| {
            json!({
                "apiVersion": "metrics.k8s.io/v1beta1", "kind": "NodeMetrics",
                "metadata": {"name": "k3s1"}, "usage": {"cpu": cpu, "memory": "2Gi"},
            })
        };
        let with = |cpu: &str| {
            Fixture::new()
                .with(node("k3s1"))
                .with(metrics(cpu))
                .ask(check)
        };
        assert_eq!(
            with("1000000000n").await.message(),
            "k3s1 uses cpu 25 %, memory 25 %"
        );
        let high = with("3300m").await;
        assert_eq!(high.reason(), "UsageHigh");
        assert!(high.message().contains("cpu 82 %"), "{}", high.message());
        let none = Fixture::new().with(node("k3s1")).ask(check).await;
        assert_eq!(none.reason(), "NoNumbers");
    }

    #[tokio::test]
    async fn finished_pods_take_no_room() {
        let check = check("pre::pod_capacity");
        let mut small = node("k3s1");
        small["status"]["allocatable"]["pods"] = json!("2");
        let pod = |name: &str, phase: &str| {
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "a"},
                "spec": {"nodeName": "k3s1", "containers": []}, "status": {"phase": phase},
            })
        };
        let fixture = Fixture::new()
            .with(small)
            .with(pod("a", "Running"))
            .with(pod("b", "Succeeded"));
        assert_eq!(
            fixture.clone().ask(check).await.message(),
            "k3s1: 1 of 2 pods"
        );
        let silent = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "k3s1"}});
        let unknown = Fixture::new().with(silent).ask(check).await;
        assert_eq!(unknown.reason(), "CapacityUnknown");
        let full = fixture.with(pod("c", "Pending")).ask(check).await;
        assert_eq!(
            (full.reason(), full.message()),
            ("PodsNearlyFull", "k3s1: 2 of 2 pods")
        );
    }

    #[tokio::test]
    async fn a_quota_of_zero_forbids_on_purpose() {
        let check = check("pre::resource_quotas");
        let quota = |hard: &str, used: &str| {
            json!({
                "apiVersion": "v1", "kind": "ResourceQuota",
                "metadata": {"name": "q", "namespace": "apps"},
                "status": {"hard": {"memory": hard}, "used": {"memory": used}},
            })
        };
        let ask = |hard: &str, used: &str| Fixture::new().with(quota(hard, used)).ask(check);
        assert_eq!(ask("1Gi", "512Mi").await.reason(), "");
        assert_eq!(ask("0", "0").await.reason(), "");
        let nearly = ask("1Gi", "1000Mi").await;
        assert_eq!(nearly.reason(), "QuotaNearlyUsed");
        assert!(nearly.message().contains("apps/q: 1000Mi of 1Gi memory"));
        let mut fresh = quota("1Gi", "1Gi");
        fresh["spec"] = json!({"hard": {"memory": "1Gi"}});
        fresh["status"] = json!({});
        let fresh = Fixture::new().with(fresh).ask(check).await;
        assert_eq!(fresh.reason(), "QuotaNotCounted", "{fresh:?}");
    }

    #[tokio::test]
    async fn only_a_dead_webhook_that_may_refuse_our_objects_counts() {
        let check = check("pre::admission_webhooks");
        let webhook = |policy: Value, group: &str, resource: &str, selector: Value| {
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": "guard"},
                "webhooks": [{
                    "name": "v.example.org", "failurePolicy": policy, "sideEffects": "None",
                    "admissionReviewVersions": ["v1"], "namespaceSelector": selector,
                    "clientConfig": {"service": {"namespace": "a", "name": "s"}},
                    "rules": [{"apiGroups": [group], "apiVersions": ["*"], "operations": ["*"], "resources": [resource]}],
                }],
            })
        };
        let ask = |hook: Value, ready: bool| {
            Fixture::new()
                .with(hook)
                .with(slice("a", "s", ready))
                .ask(check)
        };
        // No policy means Fail.
        let nodes = || webhook(Value::Null, "", "nodes", Value::Null);
        assert_eq!(
            ask(nodes(), true).await.message(),
            "1 webhooks of policy Fail, all served"
        );
        let dead = ask(nodes(), false).await;
        assert_eq!(dead.reason(), "WebhookDead");
        assert!(
            dead.message()
                .contains("guard/v.example.org: Service a/s has no ready endpoint")
        );
        let longhorn = webhook(json!("Fail"), "longhorn.io", "volumes", Value::Null);
        assert_eq!(ask(longhorn, false).await.reason(), "WebhookDead");
        let ignored = webhook(json!("Ignore"), "", "pods", Value::Null);
        assert_eq!(ask(ignored, false).await.reason(), "");
        let other = webhook(json!("Fail"), "networking.k8s.io", "ingresses", Value::Null);
        assert_eq!(ask(other, false).await.reason(), "");
        let some = webhook(
            json!("Fail"),
            "",
            "pods",
            json!({"matchLabels": {"x": "y"}}),
        );
        assert_eq!(ask(some, false).await.reason(), "SelectiveWebhookDead");
    }

    #[tokio::test]
    async fn a_request_that_was_answered_or_is_new_is_not_forgotten() {
        let check = check("pre::pending_csrs");
        let request = |created: &str, status: Value| {
            json!({
                "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
                "metadata": {"name": "csr-1", "creationTimestamp": created},
                "spec": {"request": "", "signerName": "kubernetes.io/kubelet-serving", "username": "system:node:k3s1"},
                "status": status,
            })
        };
        let ask =
            |created: &str, status: Value| Fixture::new().with(request(created, status)).ask(check);
        let old = "2020-01-01T00:00:00Z";
        let pending = ask(old, json!({})).await;
        assert_eq!(pending.reason(), "RequestPending");
        assert!(pending.message().contains("csr-1 of system:node:k3s1"));
        let answered = json!({"conditions": [{"type": "Approved", "status": "True"}]});
        assert_eq!(ask(old, answered).await.reason(), "");
        let now = jiff::Timestamp::now().to_string();
        assert_eq!(ask(&now, json!({})).await.reason(), "");
    }
}
