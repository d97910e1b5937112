//! `pre`, monitoring: does it run, and will it see the new node?

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{
        apps::v1::DaemonSet,
        core::v1::{Namespace, PodSpec, Service},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use reports::model::Severity;
use serde::Deserialize;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    kinds::Kind,
    monitoring::{exporter, prometheus, shown},
    resources::{
        full_name,
        meta::Meta,
        node::{self, label},
        workload,
    },
    view::{ReadError, Scope},
};

/// The checks of this file, in order.
pub const CHECKS: &[Check] = &[
    Check {
        id: "pre::prometheus",
        title: "A Prometheus is ready.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &prometheus::NEEDS,
        awaits: false,
        after: None,
        criterion: Criterion::Of("5.1"),
        why: "It is what would notice that one of the nodes has gone.",
        reasons: &[prometheus::MISSING, prometheus::DOWN],
        ask: ask!(prometheus_ready),
    },
    Check {
        id: "pre::prometheus_answers",
        title: "Prometheus answers a question.",
        severity: Severity::Fail,
        requires: &["pre::prometheus"],
        needs: &prometheus::NEEDS,
        awaits: false,
        after: None,
        criterion: Criterion::Of("5.1"),
        why: "A pod can be ready and its data unreadable; later phases ask Prometheus about the new node.",
        reasons: &[
            prometheus::MISSING,
            prometheus::DOWN,
            prometheus::REFUSED,
            Reason::new(
                "NothingScraped",
                "look at its targets: kubectl -n monitoring port-forward svc/prometheus-operated 9090, then /targets",
            ),
        ],
        ask: ask!(prometheus_answers),
    },
    Check {
        id: "pre::grafana",
        title: "Grafana answers and reaches its database.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &prometheus::NEEDS,
        awaits: false,
        after: None,
        criterion: Criterion::Of("5.2"),
        why: "Dashboards are how people see that both nodes work.",
        reasons: &[
            Reason::new(
                "GrafanaMissing",
                "install Grafana, name its namespace in monitoring.namespace, or set expect.grafana = false",
            ),
            Reason::new(
                "GrafanaDown",
                "kubectl get pods -A -l app.kubernetes.io/name=grafana, then describe the pod that is not ready",
            ),
            Reason::new(
                "DatabaseNotOk",
                "kubectl logs the Grafana pod and look at its volume: the database file is locked, full or damaged",
            ),
        ],
        ask: ask!(shown::grafana),
    },
    Check {
        id: "pre::node_exporter_will_run",
        title: "node-exporter will run on {node}: nothing in its DaemonSet keeps away.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[Need::list(&kinds::NODES), Need::list(&kinds::DAEMONSETS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("5.1"),
        why: "It reports what the machine uses; a selector that only fits the first node leaves the second unseen.",
        reasons: &[
            Reason::new(
                "ExporterMissing",
                "install kube-prometheus-stack, which brings node-exporter, or set expect.monitoring = false",
            ),
            Reason::new(
                "ExporterKeepsAway",
                "change the named selector, affinity or toleration in the HelmRelease, in git, or add the label to [node.labels]",
            ),
        ],
        ask: ask!(node_exporter_will_run),
    },
    Check {
        id: "pre::monitors_selected",
        title: "Every ServiceMonitor and PodMonitor is selected by a Prometheus.",
        severity: Severity::Warn,
        requires: &["pre::api_live"],
        needs: &[
            Need::list(&kinds::PROMETHEUSES),
            Need::list(&kinds::SERVICE_MONITORS),
            Need::list(&kinds::POD_MONITORS),
            Need::list(&kinds::NAMESPACES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("5.4"),
        why: "A monitor that no Prometheus selects is configuration that does nothing, and looks as if it did.",
        reasons: &[
            Reason::new(
                "MonitorNotSelected",
                "give it the label that the Prometheus selects: kubectl get prometheuses -A -o yaml | grep -A5 MonitorSelector",
            ),
            Reason::new(
                "NoOperator",
                "nothing to do: this Prometheus is configured without the operator's objects",
            ),
            Reason::new(
                "NoMonitors",
                "nothing is scraped by the operator's objects: kubectl get servicemonitors,podmonitors -A; kube-prometheus-stack brings some",
            ),
        ],
        ask: ask!(monitors_selected),
    },
    Check {
        id: "pre::alertmanager",
        title: "An Alertmanager is ready.",
        severity: Severity::Warn,
        requires: &["pre::api_live"],
        needs: &[
            Need::list(&kinds::SERVICES),
            Need::list(&kinds::ENDPOINT_SLICES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("5.3"),
        why: "It tells people of what Prometheus notices.",
        reasons: &[
            Reason::new(
                "AlertmanagerMissing",
                "nothing to do if alerts are watched in another way; else enable alertmanager in kube-prometheus-stack",
            ),
            Reason::new(
                "AlertmanagerDown",
                "kubectl get pods -A -l app.kubernetes.io/name=alertmanager, then describe the pod that is not ready",
            ),
        ],
        ask: ask!(alertmanager),
    },
];

async fn prometheus_ready(cx: &Context) -> Answer {
    Ok(match prometheus::instances(cx).await {
        Ok(instances) => Verdict::pass(format!("{} with a ready pod", instances.len())),
        Err(verdict) => verdict,
    })
}

pub(crate) async fn prometheus_answers(cx: &Context) -> Answer {
    let samples = match prometheus::query(cx, "up").await {
        Ok(samples) => samples,
        Err(verdict) => return Ok(verdict),
    };
    let up = samples.iter().filter(|one| one.value > 0.0).count();
    let total = samples.len();
    Ok(if up == 0 {
        Verdict::fail("NothingScraped", format!("{up} of {total} targets are up"))
    } else {
        Verdict::pass(format!("{up} of {total} targets are up"))
    })
}

async fn node_exporter_will_run(cx: &Context) -> Answer {
    let sets = cx
        .view
        .list::<DaemonSet>(&kinds::DAEMONSETS, Scope::all())
        .await?;
    let specs: Vec<(String, PodSpec)> = sets
        .iter()
        .filter_map(|set| {
            let template = &set.spec.as_ref()?.template;
            let labels = template.metadata.as_ref()?.labels.as_ref();
            let spec = template.spec.clone()?;
            exporter::is_node_exporter(labels).then(|| (full_name(&set.metadata), spec))
        })
        .collect();
    if specs.is_empty() {
        let message = "no DaemonSet runs node-exporter";
        return Ok(if cx.settings.expect.monitoring {
            Verdict::fail("ExporterMissing", message)
        } else {
            Verdict::skip("ExporterMissing", message)
        });
    }
    let nodes = node::all(cx).await?;
    let joined = node::named(&nodes, cx.node());
    let labels = match joined {
        Some(joined) => joined.metadata.labels.clone().unwrap_or_default(),
        None => labels_to_be(cx, &node::control_plane(cx).await?),
    };
    let taints = joined
        .and_then(|joined| joined.spec.as_ref()?.taints.clone())
        .unwrap_or_default();
    let mut away = Vec::new();
    for (name, spec) in &specs {
        match workload::keeps_away(spec, cx.node(), &labels, &taints) {
            None => {
                return Ok(Verdict::pass(format!(
                    "DaemonSet {name} will run on {}",
                    cx.node()
                )));
            }
            Some(why) => away.push(format!("DaemonSet {name} keeps away: {why}")),
        }
    }
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    Ok(
        Verdict::fail("ExporterKeepsAway", away.join("; ")).saw(format!(
            "labels of {}: {}",
            cx.node(),
            labels.join(", ")
        )),
    )
}

/// The labels that the new node will carry: what k3s gives every node, and what this run sets. Its processor is not
/// known before it joins and taken to be the control plane's.
fn labels_to_be(
    cx: &Context,
    server: &k8s_openapi::api::core::v1::Node,
) -> BTreeMap<String, String> {
    let mut labels = cx.settings.node.labels.clone();
    let mut set = |key: &str, value: &str| {
        labels.insert(key.to_owned(), value.to_owned());
    };
    set("kubernetes.io/os", "linux");
    set("kubernetes.io/hostname", cx.node());
    set("node.kubernetes.io/instance-type", "k3s");
    set("beta.kubernetes.io/instance-type", "k3s");
    set("beta.kubernetes.io/os", "linux");
    for key in ["kubernetes.io/arch", "beta.kubernetes.io/arch"] {
        if let Some(value) = label(server, key) {
            set(key, value);
        }
    }
    labels
}

/// What a Prometheus selects. An absent selector selects nothing, an empty one everything; an absent namespace
/// selector means the own namespace.
/// <https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusSpec>
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Prometheus {
    metadata: Meta,
    spec: PrometheusSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PrometheusSpec {
    service_monitor_selector: Option<LabelSelector>,
    service_monitor_namespace_selector: Option<LabelSelector>,
    pod_monitor_selector: Option<LabelSelector>,
    pod_monitor_namespace_selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Monitor {
    metadata: Meta,
}

async fn monitors_selected(cx: &Context) -> Answer {
    let instances = match cx
        .view
        .list::<Prometheus>(&kinds::PROMETHEUSES, Scope::all())
        .await
    {
        Err(ReadError::NotServed { .. }) => Arc::default(),
        answer => answer?,
    };
    if instances.is_empty() {
        return Ok(Verdict::skip(
            "NoOperator",
            "there is no object Prometheus of the operator",
        ));
    }
    let namespaces = cx
        .view
        .list::<Namespace>(&kinds::NAMESPACES, Scope::all())
        .await?;
    let labels_of = |name: &str| {
        namespaces
            .iter()
            .find(|one| one.metadata.name.as_deref() == Some(name))
            .and_then(|one| one.metadata.labels.as_ref())
    };
    let monitors_of = async |kind: &'static Kind| {
        let found = cx.view.list::<Monitor>(kind, Scope::all()).await;
        match found {
            Err(ReadError::NotServed { .. }) => Ok(Arc::default()),
            answer => answer,
        }
    };
    let of_services = monitors_of(&kinds::SERVICE_MONITORS).await?;
    let of_pods = monitors_of(&kinds::POD_MONITORS).await?;
    let services = of_services.iter().map(|one| (true, &one.metadata));
    let pods = of_pods.iter().map(|one| (false, &one.metadata));
    let mut count = 0;
    let mut lost = Vec::new();
    for (of_service, meta) in services.chain(pods) {
        count += 1;
        let selected = instances.iter().any(|instance| {
            let spec = &instance.spec;
            let (objects, places) = if of_service {
                (
                    &spec.service_monitor_selector,
                    &spec.service_monitor_namespace_selector,
                )
            } else {
                (
                    &spec.pod_monitor_selector,
                    &spec.pod_monitor_namespace_selector,
                )
            };
            let place = match places {
                None => meta.namespace == instance.metadata.namespace,
                Some(places) => workload::selects(places, labels_of(&meta.namespace)),
            };
            place
                && objects
                    .as_ref()
                    .is_some_and(|objects| workload::selects(objects, Some(&meta.labels)))
        });
        if !selected {
            let kind = if of_service {
                "ServiceMonitor"
            } else {
                "PodMonitor"
            };
            lost.push(format!("{kind} {}", meta.full_name()));
        }
    }
    Ok(if count == 0 {
        Verdict::skip(
            "NoMonitors",
            "there is neither a ServiceMonitor nor a PodMonitor",
        )
    } else if lost.is_empty() {
        Verdict::pass(format!("all {count} monitors are selected"))
    } else {
        Verdict::fail(
            "MonitorNotSelected",
            format!(
                "{} of {count} monitors are selected by no Prometheus",
                lost.len()
            ),
        )
        .saw_all(lost)
    })
}

pub(crate) async fn alertmanager(cx: &Context) -> Answer {
    let services = cx
        .view
        .list::<Service>(&kinds::SERVICES, Scope::all())
        .await?;
    let slices = cx
        .view
        .list::<EndpointSlice>(&kinds::ENDPOINT_SLICES, Scope::all())
        .await?;
    let found = prometheus::selecting(cx, &services, "alertmanager");
    let names: Vec<String> = found
        .iter()
        .map(|service| full_name(&service.metadata))
        .collect();
    Ok(if found.is_empty() {
        Verdict::skip(
            "AlertmanagerMissing",
            "no Service selects Alertmanager pods",
        )
    } else if found
        .iter()
        .any(|service| prometheus::has_ready_endpoint(&slices, service))
    {
        Verdict::pass(format!(
            "a pod is ready behind Service {}",
            names.join(", ")
        ))
    } else {
        Verdict::fail(
            "AlertmanagerDown",
            format!("no ready pod behind Service {}", names.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::example::node;
    use crate::{
        monitoring::prometheus::example::{answering, service, slice, vector},
        testing::{Fixture, check},
    };

    #[tokio::test]
    async fn prometheus_must_be_ready_and_answer() {
        let none = Fixture::new().ask(check("pre::prometheus")).await;
        assert_eq!(none.reason(), "PrometheusMissing");
        let query = "/api/v1/query?query=up";
        let well = answering(&[(query, vector(&[(json!({"job": "a"}), "1")]))]);
        assert_eq!(
            well.clone().ask(check("pre::prometheus")).await.reason(),
            ""
        );
        let answer = well.ask(check("pre::prometheus_answers")).await;
        assert_eq!(answer.message(), "1 of 1 targets are up");
        let empty = answering(&[(query, vector(&[]))])
            .ask(check("pre::prometheus_answers"))
            .await;
        assert_eq!(empty.reason(), "NothingScraped");
    }

    #[tokio::test]
    async fn grafana_is_asked_for_its_database() {
        let check = check("pre::grafana");
        assert_eq!(Fixture::new().ask(check).await.reason(), "GrafanaMissing");
        let well = Fixture::new()
            .with(service("g", "grafana", 80, "10.43.0.8"))
            .with(slice("g", true))
            .raw(
                "/api/v1/namespaces/monitoring/services/g:80/proxy/api/health",
                200,
                r#"{"database":"ok"}"#,
            )
            .ask(check)
            .await;
        assert_eq!(well.reason(), "", "{}", well.message());
    }

    fn exporter(spec: Value) -> Value {
        let mut pod = json!({"containers": []});
        pod.as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "exporter", "namespace": "monitoring"},
            "spec": {
                "selector": {},
                "template": {
                    "metadata": {"labels": {"app.kubernetes.io/name": "prometheus-node-exporter"}},
                    "spec": pod,
                },
            },
        })
    }

    #[tokio::test]
    async fn a_selector_for_linux_is_normal_and_one_for_the_first_node_is_not() {
        let check = check("pre::node_exporter_will_run");
        let ask = |spec: Value| {
            Fixture::new()
                .with(node("k3s1"))
                .with(exporter(spec))
                .ask(check)
        };
        let linux = ask(json!({"nodeSelector": {"kubernetes.io/os": "linux"}})).await;
        assert_eq!(linux.reason(), "", "{}", linux.message());
        // A label that this run will set counts as well.
        let ours = ask(json!({"nodeSelector": {"storage": "longhorn"}})).await;
        assert_eq!(ours.reason(), "", "{}", ours.message());
        let first = ask(json!({"nodeSelector": {"kubernetes.io/hostname": "k3s1"}})).await;
        assert_eq!(first.reason(), "ExporterKeepsAway");
        assert!(
            first.message().contains("monitoring/exporter")
                && first.message().contains("kubernetes.io/hostname=k3s1"),
            "{}",
            first.message()
        );
        let none = Fixture::new().with(node("k3s1")).ask(check).await;
        assert_eq!(none.reason(), "ExporterMissing");
    }

    #[tokio::test]
    async fn a_joined_node_is_judged_by_its_own_taints() {
        let mut joined = node("k3s2");
        joined["spec"] = json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]});
        let verdict = Fixture::new()
            .with(node("k3s1"))
            .with(joined)
            .with(exporter(json!({})))
            .ask(check("pre::node_exporter_will_run"))
            .await;
        assert!(
            verdict.message().contains("gpu:NoSchedule"),
            "{}",
            verdict.message()
        );
    }

    #[tokio::test]
    async fn an_absent_selector_selects_nothing_and_an_empty_one_everything() {
        let check = check("pre::monitors_selected");
        let monitor = json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor",
            "metadata": {"name": "m", "namespace": "apps", "labels": {"release": "core"}},
        });
        let ask = |spec: Value| {
            Fixture::new()
                .with(monitor.clone())
                .with(json!({
                    "apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
                    "metadata": {"name": "p", "namespace": "monitoring"}, "spec": spec,
                }))
                .with(
                    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps"}}),
                )
                .ask(check)
        };
        let all =
            ask(json!({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}})).await;
        assert_eq!(all.message(), "all 1 monitors are selected");
        let nothing = ask(json!({"serviceMonitorNamespaceSelector": {}})).await;
        assert_eq!(nothing.reason(), "MonitorNotSelected");
        assert_eq!(nothing.evidence(), ["ServiceMonitor apps/m"]);
        let own_namespace = ask(json!({"serviceMonitorSelector": {}})).await;
        assert_eq!(own_namespace.reason(), "MonitorNotSelected");
        let by_label = ask(json!({
            "serviceMonitorSelector": {"matchLabels": {"release": "core"}}, "serviceMonitorNamespaceSelector": {},
        }))
        .await;
        assert_eq!(by_label.reason(), "");
        assert_eq!(Fixture::new().ask(check).await.reason(), "NoOperator");
        let unused = json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus",
            "metadata": {"name": "p", "namespace": "monitoring"}, "spec": {},
        });
        let unused = Fixture::new().with(unused).ask(check).await;
        assert_eq!(
            (unused.outcome().name(), unused.reason()),
            ("skip", "NoMonitors")
        );
    }

    #[tokio::test]
    async fn alertmanager_is_optional_but_not_dead() {
        let check = check("pre::alertmanager");
        assert_eq!(
            Fixture::new().ask(check).await.reason(),
            "AlertmanagerMissing"
        );
        let with = |ready: bool| {
            Fixture::new()
                .with(service("am", "alertmanager", 9093, "10.43.0.9"))
                .with(slice("am", ready))
                .ask(check)
        };
        assert_eq!(with(true).await.reason(), "");
        assert_eq!(with(false).await.reason(), "AlertmanagerDown");
    }
}
