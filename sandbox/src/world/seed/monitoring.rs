//! What kube-prometheus-stack installs.

use serde_json::{Value, json};

use crate::world::make::{merge, object};

use super::workload::{container, daemon_set, deployment, restricted, service, stateful_set};

const NAMESPACE: &str = "monitoring";
const RELEASE: &str = "kube-prometheus-stack";
const API: &str = "monitoring.coreos.com/v1";

fn labels(name: &str) -> Value {
    json!({"app.kubernetes.io/name": name, "app.kubernetes.io/instance": RELEASE})
}

fn release() -> Value {
    json!({"release": RELEASE, "app.kubernetes.io/instance": RELEASE})
}

pub(super) fn objects() -> Vec<Value> {
    let mut all = exporters();
    all.extend(prometheus());
    all.extend(grafana());
    all.extend(monitors());
    all
}

fn exporters() -> Vec<Value> {
    let name = "prometheus-node-exporter";
    let mut own = labels(name);
    merge(
        &mut own,
        json!({"jobLabel": "node-exporter", "app.kubernetes.io/component": "metrics"}),
    );
    let mut spec = restricted(vec![container(
        "node-exporter",
        "quay.io/prometheus/node-exporter:v1.9.1",
        &[("http-metrics", 9100)],
    )]);
    merge(
        &mut spec,
        json!({
            "hostNetwork": true, "hostPID": true, "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"effect": "NoSchedule", "operator": "Exists"}],
            "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
        }),
    );
    let state = "kube-state-metrics";
    let operator = "kube-prometheus-stack-prometheus-operator";
    vec![
        daemon_set(
            NAMESPACE,
            "kube-prometheus-stack-prometheus-node-exporter",
            &own,
            &labels(name),
            spec,
        ),
        service(
            NAMESPACE,
            "kube-prometheus-stack-prometheus-node-exporter",
            &own,
            &labels(name),
            &[("http-metrics", 9100, "http-metrics")],
        ),
        deployment(
            NAMESPACE,
            "kube-prometheus-stack-kube-state-metrics",
            &labels(state),
            &labels(state),
            restricted(vec![container(
                state,
                "registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.16.0",
                &[("http", 8080)],
            )]),
        ),
        service(
            NAMESPACE,
            "kube-prometheus-stack-kube-state-metrics",
            &labels(state),
            &labels(state),
            &[("http", 8080, "http")],
        ),
        deployment(
            NAMESPACE,
            operator,
            &labels(operator),
            &labels(operator),
            restricted(vec![container(
                "operator",
                "quay.io/prometheus-operator/prometheus-operator:v0.84.0",
                &[("https", 10250)],
            )]),
        ),
    ]
}

fn prometheus() -> Vec<Value> {
    let mut all = Vec::new();
    for (kind, app, image, port, claim) in [
        (
            "Prometheus",
            "prometheus",
            "quay.io/prometheus/prometheus:v3.4.1",
            9090,
            "10Gi",
        ),
        (
            "Alertmanager",
            "alertmanager",
            "quay.io/prometheus/alertmanager:v0.28.1",
            9093,
            "1Gi",
        ),
    ] {
        let custom = format!("{RELEASE}-{app}");
        let custom = custom.as_str();
        let pod = json!({
            "app.kubernetes.io/name": app, "app.kubernetes.io/instance": custom,
            "app.kubernetes.io/managed-by": "prometheus-operator", "operator.prometheus.io/name": custom,
            app: custom,
        });
        let select = json!({"app.kubernetes.io/name": app, "operator.prometheus.io/name": custom});
        let set = format!("{app}-{custom}");
        let mut stateful = stateful_set(
            NAMESPACE,
            &set,
            &pod,
            &select,
            restricted(vec![container(app, image, &[("http-web", port)])]),
        );
        stateful["spec"]["serviceName"] = format!("{app}-operated").into();
        stateful["spec"]["volumeClaimTemplates"] = json!([{
            "metadata": {"name": "db"},
            "spec": {
                "accessModes": ["ReadWriteOnce"], "storageClassName": "longhorn",
                "resources": {"requests": {"storage": claim}},
            },
        }]);
        all.push(stateful);
        let mut front = release();
        merge(
            &mut front,
            json!({"app": format!("{RELEASE}-{app}"), "self-monitor": "true"}),
        );
        all.push(service(
            NAMESPACE,
            custom,
            &front,
            &select,
            &[("http-web", port, "http-web")],
        ));
        let mut operated = service(
            NAMESPACE,
            &format!("{app}-operated"),
            &json!({"operated-prometheus": "true"}),
            &json!({"app.kubernetes.io/name": app}),
            &[("http-web", port, "http-web")],
        );
        operated["spec"]["clusterIP"] = "None".into();
        all.push(operated);
        let selector = json!({"matchLabels": {"release": RELEASE}});
        let stamp = crate::world::make::now();
        let told = |kind: &str| json!({"type": kind, "status": "True", "reason": "", "message": "", "observedGeneration": 1, "lastTransitionTime": stamp});
        let mut spec = json!({"replicas": 1, "version": image.rsplit_once(':').map_or("", |(_, version)| version)});
        if app == "prometheus" {
            merge(
                &mut spec,
                json!({
                    "serviceMonitorSelector": selector, "podMonitorSelector": selector, "ruleSelector": selector,
                    "serviceMonitorNamespaceSelector": {}, "podMonitorNamespaceSelector": {}, "ruleNamespaceSelector": {},
                    "scrapeInterval": "30s", "serviceAccountName": custom,
                }),
            );
        }
        all.push(object(API, kind, NAMESPACE, custom, json!({
            "metadata": {"labels": release()}, "spec": spec,
            "status": {
                "conditions": [told("Available"), told("Reconciled")], "replicas": 1, "availableReplicas": 1,
                "updatedReplicas": 1, "unavailableReplicas": 0, "paused": false,
            },
        })));
    }
    all
}

fn grafana() -> Vec<Value> {
    let own = labels("grafana");
    vec![
        deployment(
            NAMESPACE,
            "kube-prometheus-stack-grafana",
            &own,
            &own,
            restricted(vec![container(
                "grafana",
                "docker.io/grafana/grafana:12.0.1",
                &[("grafana", 3000)],
            )]),
        ),
        service(
            NAMESPACE,
            "kube-prometheus-stack-grafana",
            &own,
            &own,
            &[("http-web", 80, "grafana")],
        ),
    ]
}

fn monitors() -> Vec<Value> {
    let mut all: Vec<Value> = [
        ("prometheus-node-exporter", json!({"app.kubernetes.io/name": "prometheus-node-exporter"}), "http-metrics", "jobLabel"),
        ("kube-state-metrics", json!({"app.kubernetes.io/name": "kube-state-metrics"}), "http", "app.kubernetes.io/name"),
        ("kubelet", json!({"app.kubernetes.io/name": "kubelet", "k8s-app": "kubelet"}), "https-metrics", "k8s-app"),
        ("prometheus", json!({"app": "kube-prometheus-stack-prometheus", "self-monitor": "true"}), "http-web", "app"),
    ]
    .into_iter()
    .map(|(name, select, port, job)| {
        object(API, "ServiceMonitor", NAMESPACE, &format!("{RELEASE}-{name}"), json!({
            "metadata": {"labels": release()},
            "spec": {"jobLabel": job, "selector": {"matchLabels": select}, "endpoints": [{"port": port, "scheme": "http"}]},
        }))
    })
    .collect();
    // The operator keeps this one: its endpoints are the nodes, not pods.
    all.push(object("v1", "Service", "kube-system", "kube-prometheus-stack-kubelet", json!({
        "metadata": {"labels": {
            "app.kubernetes.io/name": "kubelet", "k8s-app": "kubelet", "app.kubernetes.io/managed-by": "prometheus-operator",
        }},
        "spec": {
            "type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"],
            "ports": [{"name": "https-metrics", "port": 10250, "protocol": "TCP", "targetPort": 10250}],
        },
    })));
    all.push(object(API, "PodMonitor", "flux-system", "flux-system", json!({
        "metadata": {"labels": release()},
        "spec": {
            "namespaceSelector": {"matchNames": ["flux-system"]},
            "selector": {"matchExpressions": [{
                "key": "app", "operator": "In",
                "values": ["helm-controller", "source-controller", "kustomize-controller", "notification-controller"],
            }]},
            "podMetricsEndpoints": [{"port": "http-prom"}],
        },
    })));
    all
}
