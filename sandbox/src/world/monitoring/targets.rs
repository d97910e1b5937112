//! What Prometheus scrapes: node-exporters, kubelets, kube-state-metrics, Prometheus itself, Flux.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{
    kinds::{NODES, PODS},
    make::{condition, deleting, name, namespace, now, text},
    pods,
    scene::Scene,
};

/// One scraped endpoint.
pub(crate) struct Target {
    /// The labels of its series.
    pub(crate) labels: BTreeMap<String, String>,
    discovered: BTreeMap<String, String>,
    pool: String,
    url: String,
    /// Why the last scrape failed, if it did.
    pub(crate) error: Option<String>,
    /// The node on which it stands.
    pub(crate) node: String,
}

impl Target {
    pub(crate) fn json(&self) -> Value {
        json!({
            "discoveredLabels": self.discovered, "labels": self.labels, "scrapePool": self.pool,
            "scrapeUrl": self.url, "globalUrl": self.url, "lastError": self.error.clone().unwrap_or_default(),
            "lastScrape": now(), "lastScrapeDuration": 0.021, "health": if self.error.is_some() { "down" } else { "up" },
            "scrapeInterval": "30s", "scrapeTimeout": "10s",
        })
    }
}

/// Every target.
pub(crate) fn all(scene: &Scene<'_>) -> Vec<Target> {
    let mut targets = kubelets(scene);
    for pod in scene.list(&PODS) {
        let app = text(&pod["metadata"]["labels"]["app.kubernetes.io/name"]);
        let flux = namespace(&pod) == "flux-system"
            && pod["metadata"]["labels"]["app.kubernetes.io/part-of"] == "flux";
        let (job, port, pool) = match app {
            "prometheus-node-exporter" => (
                "node-exporter",
                9100,
                "serviceMonitor/monitoring/kube-prometheus-stack-prometheus-node-exporter/0",
            ),
            "kube-state-metrics" => (
                "kube-state-metrics",
                8080,
                "serviceMonitor/monitoring/kube-prometheus-stack-kube-state-metrics/0",
            ),
            "prometheus" => (
                "kube-prometheus-stack-prometheus",
                9090,
                "serviceMonitor/monitoring/kube-prometheus-stack-prometheus/0",
            ),
            _ if flux => (
                "flux-system/flux-system",
                8080,
                "podMonitor/flux-system/flux-system/0",
            ),
            _ => continue,
        };
        if !deleting(&pod) && !text(&pod["status"]["podIP"]).is_empty() {
            targets.push(of_pod(scene, &pod, job, port, pool));
        }
    }
    targets
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn of_pod(scene: &Scene<'_>, pod: &Value, job: &str, port: u16, pool: &str) -> Target {
    let node = text(&pod["spec"]["nodeName"]);
    let instance = format!("{}:{port}", text(&pod["status"]["podIP"]));
    let struck = scene.fault("target-down") && node == scene.cast.node && job == "node-exporter";
    let error = if struck {
        Some(format!(
            "Get \"http://{instance}/metrics\": context deadline exceeded"
        ))
    } else if !pods::is_ready(pod) {
        Some(format!(
            "Get \"http://{instance}/metrics\": dial tcp {instance}: connect: connection refused"
        ))
    } else {
        None
    };
    Target {
        labels: labels([
            ("job", job),
            ("instance", &instance),
            ("namespace", namespace(pod)),
            ("pod", name(pod)),
            ("container", text(&pod["spec"]["containers"][0]["name"])),
            ("endpoint", "http-metrics"),
        ]),
        discovered: labels([
            ("__address__", &instance),
            ("__meta_kubernetes_namespace", namespace(pod)),
            ("__meta_kubernetes_pod_name", name(pod)),
            ("__meta_kubernetes_pod_node_name", node),
            ("__meta_kubernetes_endpoint_node_name", node),
            ("__scheme__", "http"),
            ("job", pool),
        ]),
        pool: pool.to_owned(),
        url: format!("http://{instance}/metrics"),
        error,
        node: node.to_owned(),
    }
}

fn kubelets(scene: &Scene<'_>) -> Vec<Target> {
    scene
        .list(&NODES)
        .iter()
        .filter_map(|node| {
            let address = scene.cast.address(name(node))?;
            let instance = format!("{address}:10250");
            let broken = condition(node, "Ready") == "Unknown"
                || (scene.fault("kubelet-not-scraped") && name(node) == scene.cast.node);
            let pool = "serviceMonitor/monitoring/kube-prometheus-stack-kubelet/0";
            Some(Target {
                labels: labels([
                    ("job", "kubelet"),
                    ("instance", &instance),
                    ("node", name(node)),
                    ("namespace", "kube-system"),
                    ("endpoint", "https-metrics"),
                    ("metrics_path", "/metrics"),
                ]),
                discovered: labels([
                    ("__address__", &instance),
                    ("__meta_kubernetes_endpoint_address_target_kind", "Node"),
                    ("__meta_kubernetes_endpoint_address_target_name", name(node)),
                    ("__scheme__", "https"),
                    ("job", pool),
                ]),
                pool: pool.to_owned(),
                url: format!("https://{instance}/metrics"),
                error: broken.then(|| {
                    format!("Get \"https://{instance}/metrics\": context deadline exceeded")
                }),
                node: name(node).to_owned(),
            })
        })
        .collect()
}
