//! What else is collected about the new node: its kubelet, its object, and the Flux controllers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use reports::model::Severity;

use super::{
    exporter::address,
    prometheus::{self, Target},
};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds, resources::workload,
    view::Scope,
};

/// What else is collected about the new node.
pub const CHECKS: &[Check] = &[
    Check {
        id: "monitoring::kubelet_scraped",
        title: "Prometheus scrapes the kubelet of {node}.",
        severity: Severity::Warn,
        requires: &["join::registered"],
        needs: &[
            prometheus::NEEDS[0],
            prometheus::NEEDS[1],
            prometheus::NEEDS[2],
            Need::list(&kinds::NODES),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Of("5.1"),
        why: "The kubelet knows what each pod uses. Without it the dashboards show the machine and none of its pods.",
        reasons: &[
            prometheus::MISSING,
            prometheus::DOWN,
            prometheus::REFUSED,
            Reason::new(
                "NotATarget",
                "enable kubelet.enabled and prometheusOperator.kubeletService.enabled in the chart's values; on k3s one job covers all its parts",
            ),
            Reason::new(
                "ScrapeFails",
                "open port 10250/tcp of {node} for the node that runs Prometheus; the evidence has the last error",
            ),
        ],
        ask: ask!(kubelet_scraped),
    },
    Check {
        id: "monitoring::kube_state_metrics",
        title: "kube-state-metrics knows {node}.",
        severity: Severity::Warn,
        requires: &["join::registered"],
        needs: &prometheus::NEEDS,
        awaits: true,
        after: None,
        criterion: Criterion::Of("5.1"),
        why: "Whether a node is Ready, cordoned or under pressure reaches Prometheus through kube-state-metrics. The \
              usual alerts about nodes are built on it.",
        reasons: &[
            prometheus::MISSING,
            prometheus::DOWN,
            prometheus::REFUSED,
            Reason::new(
                "NoSeries",
                "kubectl get pods -A -l app.kubernetes.io/name=kube-state-metrics, and see that a ServiceMonitor selects its Service",
            ),
        ],
        ask: ask!(kube_state_metrics),
    },
    Check {
        id: "monitoring::flux_metrics",
        title: "Prometheus scrapes every Flux controller.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[
            prometheus::NEEDS[0],
            prometheus::NEEDS[1],
            prometheus::NEEDS[2],
            Need::list(&kinds::PODS),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Of("5.4"),
        why: "A reconciliation that fails for days is found by an alert on these metrics or by nobody. Controllers \
              may move to {node} at any time.",
        reasons: &[
            prometheus::MISSING,
            prometheus::DOWN,
            prometheus::REFUSED,
            Reason::new(
                "NoControllers",
                "no Flux controller runs: kubectl -n {flux} get deployments",
            ),
            Reason::new(
                "NotATarget",
                "add a PodMonitor for port http-prom of the pods in {flux}, with the labels that the Prometheus object selects",
            ),
            Reason::new(
                "ScrapeFails",
                "a NetworkPolicy in {flux} must let Prometheus in (Flux ships allow-scraping); the evidence has the last error",
            ),
        ],
        ask: ask!(flux_metrics),
    },
];

/// Where a kubelet listens; a job may be called after a node or a cluster and be about something else.
const KUBELET_PORT: &str = ":10250";

async fn kubelet_scraped(cx: &Context) -> Answer {
    let node = cx.node();
    let address = address(cx).await?;
    let targets = match prometheus::targets(cx).await {
        Ok(targets) => targets,
        Err(verdict) => return Ok(verdict),
    };
    // k3s is one process: a job for any of its parts brings the kubelet's numbers too.
    let kubelets: Vec<&Target> = targets
        .all
        .iter()
        .filter(|target| {
            target.is_called("kubelet")
                || (target.is_called("k3s") && target.scrape_url.contains(KUBELET_PORT))
        })
        .collect();
    let own: Vec<&Target> = kubelets
        .iter()
        .copied()
        .filter(|target| {
            target.is_on(node, address)
                || target.labels.get("node").is_some_and(|label| label == node)
        })
        .collect();
    let seen = own.iter().map(|target| {
        format!(
            "{} ({}): {}",
            target.scrape_url,
            target.job(),
            target.health
        )
    });
    let seen: Vec<String> = seen.collect();
    Ok(
        if let Some(up) = own.iter().find(|one| one.health == "up") {
            Verdict::pass(format!("{} is up", up.scrape_url)).saw_all(seen)
        } else if let Some(down) = own.first() {
            Verdict::fail(
                "ScrapeFails",
                format!("scraping {} fails: {}", down.scrape_url, down.last_error),
            )
            .saw_all(seen)
        } else {
            Verdict::fail(
                "NotATarget",
                format!("the kubelet of {node} is not among the targets"),
            )
            .saw(format!("{} kubelets are targets", kubelets.len()))
        },
    )
}

async fn kube_state_metrics(cx: &Context) -> Answer {
    let samples = match prometheus::query(cx, "kube_node_info").await {
        Ok(samples) => samples,
        Err(verdict) => return Ok(verdict),
    };
    let node = cx.node();
    let known: Vec<&str> = samples.iter().map(|sample| sample.label("node")).collect();
    Ok(match samples.iter().find(|one| one.label("node") == node) {
        Some(own) => Verdict::pass(format!("kube_node_info of {node} is there")).saw(format!(
            "kubelet {}, {}",
            own.label("kubelet_version"),
            own.label("os_image")
        )),
        None if known.is_empty() => {
            Verdict::fail("NoSeries", "kube_node_info has no series at all")
        }
        None => Verdict::fail(
            "NoSeries",
            format!("kube_node_info has no series of {node}"),
        )
        .saw(format!("it knows {}", known.join(", "))),
    })
}

async fn flux_metrics(cx: &Context) -> Answer {
    let namespace = &cx.settings.flux.namespace;
    let pods = cx
        .view
        .list::<Pod>(&kinds::PODS, Scope::namespace(namespace))
        .await?;
    let controllers: Vec<&str> = pods
        .iter()
        .filter(|pod| workload::is_ready(pod))
        .filter(|pod| {
            pod.metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get("app"))
                .is_some_and(|app| app.ends_with("-controller"))
        })
        .filter_map(|pod| pod.metadata.name.as_deref())
        .collect();
    if controllers.is_empty() {
        return Ok(Verdict::fail(
            "NoControllers",
            format!("no Flux controller is ready in namespace {namespace}"),
        ));
    }
    let targets = match prometheus::targets(cx).await {
        Ok(targets) => targets,
        Err(verdict) => return Ok(verdict),
    };
    let discovered = |target: &Target, key: &str| {
        target
            .discovered_labels
            .get(key)
            .cloned()
            .unwrap_or_default()
    };
    // The same pod may be a target of several monitors; one that is up is enough.
    let mut health: BTreeMap<String, &Target> = BTreeMap::new();
    for target in &targets.all {
        if discovered(target, "__meta_kubernetes_namespace") == *namespace {
            let pod = discovered(target, "__meta_kubernetes_pod_name");
            let known = health.entry(pod).or_insert(target);
            if target.health == "up" {
                *known = target;
            }
        }
    }
    let mut missing = Vec::new();
    let mut failing = Vec::new();
    for pod in &controllers {
        match health.get(*pod) {
            None => missing.push(*pod),
            Some(target) if target.health == "up" => {}
            Some(target) => failing.push(format!("{pod}: {}", target.last_error)),
        }
    }
    Ok(if !missing.is_empty() {
        Verdict::fail(
            "NotATarget",
            format!(
                "{} of {} Flux controllers are not scraped: {}",
                missing.len(),
                controllers.len(),
                missing.join(", ")
            ),
        )
    } else if !failing.is_empty() {
        Verdict::fail(
            "ScrapeFails",
            format!(
                "scraping {} of {} Flux controllers fails",
                failing.len(),
                controllers.len()
            ),
        )
        .saw_all(failing)
    } else {
        Verdict::pass(format!("{} controllers are scraped", controllers.len()))
    })
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        monitoring::prometheus::example::{answering, vector},
        network::example::node,
        testing::Fixture,
    };

    const TARGETS: &str = "/api/v1/targets?state=active";

    fn with_targets(all: Value) -> Fixture {
        answering(&[(TARGETS, json!({"activeTargets": all}))]).with(node("k3s2", 2))
    }

    #[tokio::test]
    async fn a_kubelet_is_found_by_its_node_whatever_its_job_is_called() {
        let ask = |job: &str, node: &str, health: &str| {
            with_targets(json!([{
                "labels": {"job": job}, "health": health, "lastError": "connection refused",
                "discoveredLabels": {"__meta_kubernetes_endpoint_address_target_name": node},
                "scrapeUrl": format!("https://{node}:10250/metrics"),
            }]))
            .ask(&CHECKS[0])
        };
        assert_eq!(
            ask("k3s-server", "k3s2", "up").await.outcome(),
            Outcome::Pass
        );
        let called_so = with_targets(json!([{
            "labels": {"job": "k3s2-node-exporter"}, "health": "up",
            "discoveredLabels": {"__meta_kubernetes_endpoint_address_target_name": "k3s2"},
            "scrapeUrl": "http://k3s2:9100/metrics",
        }]))
        .ask(&CHECKS[0])
        .await;
        assert_eq!(called_so.reason(), "NotATarget", "{called_so:?}");
        let other = ask("kubelet", "k3s1", "up").await;
        assert_eq!(other.reason(), "NotATarget");
        assert!(other.message().contains("k3s2"), "{other:?}");
        assert_eq!(ask("kubelet", "k3s2", "down").await.reason(), "ScrapeFails");
    }

    #[tokio::test]
    async fn kube_state_metrics_must_know_this_node() {
        let ask = |series: Value| {
            answering(&[(
                "/api/v1/query?query=kube_node_info",
                vector(&[(series, "1")]),
            )])
            .ask(&CHECKS[1])
        };
        assert_eq!(ask(json!({"node": "k3s2"})).await.outcome(), Outcome::Pass);
        let verdict = ask(json!({"node": "k3s20"})).await;
        assert_eq!(verdict.reason(), "NoSeries");
        assert!(verdict.evidence()[0].contains("k3s20"), "{verdict:?}");
    }

    #[tokio::test]
    async fn every_flux_controller_counts() {
        let pod = |name: &str| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "flux-system", "labels": {"app": "source-controller"}},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            })
        };
        let target = |pod: &str, health: &str| {
            json!({
                "health": health, "lastError": "timeout",
                "discoveredLabels": {"__meta_kubernetes_namespace": "flux-system", "__meta_kubernetes_pod_name": pod},
            })
        };
        let ask = |all: Value| {
            with_targets(all)
                .with(pod("a"))
                .with(pod("b"))
                .ask(&CHECKS[2])
        };
        let whole = ask(json!([
            target("a", "up"),
            target("b", "down"),
            target("b", "up")
        ]))
        .await;
        assert_eq!(whole.outcome(), Outcome::Pass, "{whole:?}");
        let missing = ask(json!([target("a", "up")])).await;
        assert_eq!(missing.reason(), "NotATarget");
        assert!(missing.message().ends_with(": b"), "{missing:?}");
        let failing = ask(json!([target("a", "up"), target("b", "down")])).await;
        assert_eq!(failing.reason(), "ScrapeFails");
        let none = with_targets(json!([])).ask(&CHECKS[2]).await;
        assert_eq!(none.reason(), "NoControllers");
    }
}
