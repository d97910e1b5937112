//! The files of the GitOps repository: what a small household of Flux, Longhorn and monitoring keeps in git.
//!
//! The objects that the cluster begins with are built from these same files, so that git and cluster agree.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{cast::Cast, flux::decrypt::lock};

/// The folder that the root Kustomization follows.
pub(crate) const ROOT: &str = "clusters/home";
/// The kustomization that lists the nodes' storage configuration.
pub(crate) const STORAGE: &str = "infrastructure/storage/kustomization.yaml";

/// Every file: path and content. With `active` the new node's entry is not commented out.
pub(crate) fn files(cast: &Cast, active: bool) -> Vec<(String, String)> {
    let (cp, node) = (&cast.control_plane, &cast.node);
    let mut files = vec![
        ("README.md".to_owned(), readme(cast)),
        (
            format!("{ROOT}/kustomization.yaml"),
            list(&[
                "flux-system.yaml",
                "infrastructure-core.yaml",
                "infrastructure-storage.yaml",
                "monitoring.yaml",
                "apps.yaml",
            ]),
        ),
        (format!("{ROOT}/flux-system.yaml"), sync(&cast.remote)),
        (
            format!("{ROOT}/infrastructure-core.yaml"),
            kustomization("infrastructure-core", "infrastructure/core", None),
        ),
        (
            format!("{ROOT}/infrastructure-storage.yaml"),
            kustomization(
                "infrastructure-storage",
                "infrastructure/storage",
                Some("infrastructure-core"),
            ),
        ),
        (
            format!("{ROOT}/monitoring.yaml"),
            kustomization(
                "monitoring",
                "infrastructure/monitoring",
                Some("infrastructure-storage"),
            ),
        ),
        (
            format!("{ROOT}/apps.yaml"),
            kustomization("apps", "apps", Some("infrastructure-storage")) + DECRYPTION,
        ),
        (
            "infrastructure/core/kustomization.yaml".to_owned(),
            list(&["namespace.yaml", "ingress-nginx.yaml"]),
        ),
        (
            "infrastructure/core/namespace.yaml".to_owned(),
            namespace("ingress-nginx", "privileged"),
        ),
        (
            "infrastructure/core/ingress-nginx.yaml".to_owned(),
            helm(
                "ingress-nginx",
                "ingress-nginx",
                "https://kubernetes.github.io/ingress-nginx",
                "4.12.1",
                INGRESS_VALUES,
            ),
        ),
        (STORAGE.to_owned(), storage(cast, active)),
        (
            "infrastructure/longhorn/kustomization.yaml".to_owned(),
            list(&["namespace.yaml", "longhorn.yaml"]),
        ),
        (
            "infrastructure/longhorn/namespace.yaml".to_owned(),
            namespace("longhorn-system", "privileged"),
        ),
        (
            "infrastructure/longhorn/longhorn.yaml".to_owned(),
            helm(
                "longhorn",
                "longhorn-system",
                "https://charts.longhorn.io",
                "1.9.1",
                LONGHORN_VALUES,
            ),
        ),
        (
            "infrastructure/monitoring/kustomization.yaml".to_owned(),
            list(&[
                "namespace.yaml",
                "kube-prometheus-stack.yaml",
                "node-alerts.yaml",
                "node-dashboard.yaml",
            ]),
        ),
        (
            "infrastructure/monitoring/namespace.yaml".to_owned(),
            namespace("monitoring", "privileged"),
        ),
        (
            "infrastructure/monitoring/kube-prometheus-stack.yaml".to_owned(),
            helm(
                "kube-prometheus-stack",
                "monitoring",
                "https://prometheus-community.github.io/helm-charts",
                "75.6.0",
                MONITORING_VALUES,
            ),
        ),
        (
            "infrastructure/monitoring/node-alerts.yaml".to_owned(),
            NODE_ALERTS.to_owned(),
        ),
        (
            "infrastructure/monitoring/node-dashboard.yaml".to_owned(),
            NODE_DASHBOARD.to_owned(),
        ),
        (
            "apps/kustomization.yaml".to_owned(),
            list(&[
                "namespace.yaml",
                "whoami.yaml",
                "notes.yaml",
                "notes-login.yaml",
                "log-agent.yaml",
            ]),
        ),
        (".sops.yaml".to_owned(), SOPS.to_owned()),
        ("apps/notes-login.yaml".to_owned(), notes_login()),
        (
            "apps/namespace.yaml".to_owned(),
            namespace("apps", "baseline"),
        ),
        ("apps/whoami.yaml".to_owned(), WHOAMI.to_owned()),
        ("apps/notes.yaml".to_owned(), NOTES.to_owned()),
        ("apps/log-agent.yaml".to_owned(), LOG_AGENT.to_owned()),
    ];
    for name in [cp, node] {
        let folder = format!("infrastructure/{name}-node-config");
        files.push((
            format!("{folder}/kustomization.yaml"),
            list(&[&format!("{name}-node.yaml")]),
        ));
        files.push((format!("{folder}/{name}-node.yaml"), longhorn_node(name)));
    }
    files
}

fn readme(cast: &Cast) -> String {
    format!(
        "# Home cluster\n\nFlux applies what stands here. A node's storage is configured in \
         `infrastructure/<node>-node-config/` and switched on in `{STORAGE}`.\nThe control plane is `{}`.\n",
        cast.control_plane
    )
}

fn list(resources: &[&str]) -> String {
    let mut text =
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n".to_owned();
    for resource in resources {
        text.push_str("  - ");
        text.push_str(resource);
        text.push('\n');
    }
    text
}

fn storage(cast: &Cast, active: bool) -> String {
    let (cp, node) = (&cast.control_plane, &cast.node);
    let mark = if active { "" } else { "# " };
    format!(
        "# Storage of the cluster: Longhorn, and the disks of each node.\n\
         apiVersion: kustomize.config.k8s.io/v1beta1\n\
         kind: Kustomization\n\
         resources:\n\
         \x20 - ../longhorn/\n\
         \x20 # One entry a node; a node joins Longhorn when its entry is active.\n\
         \x20 - ../{cp}-node-config/\n\
         \x20 {mark}- ../{node}-node-config/\n\
         # Common labels go into the folders above, not here.\n"
    )
}

fn sync(url: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\n\
         kind: GitRepository\n\
         metadata:\n  name: flux-system\n  namespace: flux-system\n\
         spec:\n  interval: 1m0s\n  timeout: 60s\n  ref:\n    branch: main\n  url: {url}\n\
         ---\n{}",
        kustomization("flux-system", ROOT, None).replace("  wait: true\n", "")
    )
}

fn kustomization(name: &str, path: &str, depends_on: Option<&str>) -> String {
    let depends = depends_on.map_or_else(String::new, |other| {
        format!("  dependsOn:\n    - name: {other}\n")
    });
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\n\
         kind: Kustomization\n\
         metadata:\n  name: {name}\n  namespace: flux-system\n\
         spec:\n  interval: 10m0s\n  retryInterval: 1m0s\n  timeout: 5m0s\n  path: ./{path}\n  prune: true\n  wait: true\n\
         {depends}  sourceRef:\n    kind: GitRepository\n    name: flux-system\n"
    )
}

fn namespace(name: &str, level: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    \
         pod-security.kubernetes.io/enforce: {level}\n    pod-security.kubernetes.io/warn: {level}\n"
    )
}

fn helm(name: &str, namespace: &str, url: &str, version: &str, values: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\n\
         metadata:\n  name: {name}\n  namespace: flux-system\nspec:\n  interval: 24h\n  url: {url}\n\
         ---\n\
         apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n\
         metadata:\n  name: {name}\n  namespace: {namespace}\n\
         spec:\n  interval: 30m\n  chart:\n    spec:\n      chart: {name}\n      version: {version}\n      \
         sourceRef:\n        kind: HelmRepository\n        name: {name}\n        namespace: flux-system\n  \
         install:\n    crds: CreateReplace\n  upgrade:\n    crds: CreateReplace\n  values:\n{values}"
    )
}

fn longhorn_node(name: &str) -> String {
    format!(
        "# Which disks of {name} Longhorn may use.\n\
         apiVersion: longhorn.io/v1beta2\n\
         kind: Node\n\
         metadata:\n  name: {name}\n  namespace: longhorn-system\n  labels:\n    storage: longhorn\n\
         spec:\n  name: {name}\n  allowScheduling: true\n  evictionRequested: false\n  tags: []\n  disks:\n    \
         ssd1:\n      diskType: filesystem\n      path: /var/lib/longhorn\n      allowScheduling: true\n      \
         evictionRequested: false\n      storageReserved: 10737418240\n      tags: []\n"
    )
}

/// A Secret that only Flux can read.
fn notes_login() -> String {
    let value = STANDARD.encode("not-a-secret");
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: notes-login\n  namespace: apps\ntype: Opaque\ndata:\n  \
         password: {}\nsops:\n  age:\n    - recipient: {RECIPIENT}\n      enc: none\n  lastmodified: \
         \"2025-01-01T00:00:00Z\"\n  mac: {}\n  encrypted_regex: ^(data|stringData)$\n  version: 3.10.2\n",
        lock(&value),
        lock("mac")
    )
}

/// Whom the files are encrypted to: no key that anybody has.
const RECIPIENT: &str = "age1sandboxsandboxsandboxsandboxsandboxsandboxsandboxsandbox00";
const SOPS: &str = "creation_rules:\n  - path_regex: .*-login\\.yaml$\n    encrypted_regex: ^(data|stringData)$\n    \
    age: age1sandboxsandboxsandboxsandboxsandboxsandboxsandboxsandbox00\n";
const DECRYPTION: &str =
    "  decryption:\n    provider: sops\n    secretRef:\n      name: sops-age\n";
const INGRESS_VALUES: &str = "    controller:\n      kind: DaemonSet\n      service:\n        type: NodePort\n        \
    externalTrafficPolicy: Local\n        nodePorts:\n          http: 30080\n          https: 30443\n";
// Soft anti-affinity keeps two-replica volumes healthy while there is one node; auto-balance spreads them later.
const LONGHORN_VALUES: &str = "    persistence:\n      defaultClass: true\n      defaultClassReplicaCount: 2\n    \
    defaultSettings:\n      createDefaultDiskLabeledNodes: true\n      replicaSoftAntiAffinity: true\n      \
    replicaAutoBalance: best-effort\n";
const MONITORING_VALUES: &str = "    fullnameOverride: prometheus\n    grafana:\n      enabled: true\n    \
    alertmanager:\n      enabled: true\n";

const NODE_ALERTS: &str = r#"apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: node-alerts
  namespace: monitoring
  labels:
    release: kube-prometheus-stack
spec:
  groups:
    - name: nodes
      interval: 30s
      rules:
        - alert: NodeGone
          expr: up{job="node-exporter"} == 0
          for: 2m
          labels:
            severity: critical
          annotations:
            summary: Node exporter of {{ $labels.instance }} does not answer
        - alert: KubeNodeNotReady
          expr: kube_node_status_condition{condition="Ready",status="true"} == 0
          for: 5m
          labels:
            severity: critical
          annotations:
            summary: Node {{ $labels.node }} is not Ready
    - name: security
      rules:
        - alert: ApiServerManyForbidden
          expr: sum(rate(apiserver_request_total{code="403"}[5m])) > 5
          for: 10m
          labels:
            severity: warning
            category: security
          annotations:
            summary: Many requests are refused for want of rights
"#;

const NODE_DASHBOARD: &str = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: nodes-dashboard
  namespace: monitoring
  labels:
    grafana_dashboard: "1"
data:
  nodes.json: |
    {"title": "Nodes", "uid": "nodes", "panels": [
      {"title": "Load", "type": "timeseries", "targets": [{"expr": "node_load1{instance=~\"$instance\"}"}]},
      {"title": "Memory", "type": "timeseries", "targets": [{"expr": "node_memory_MemAvailable_bytes"}]}
    ]}
"#;

const WHOAMI: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: whoami
  namespace: apps
  labels: {app: whoami}
spec:
  replicas: 2
  selector:
    matchLabels: {app: whoami}
  template:
    metadata:
      labels: {app: whoami}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 10001, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: whoami
          image: docker.io/traefik/whoami:v1.10.4
          ports:
            - {name: http, containerPort: 8080, protocol: TCP}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          resources:
            requests: {cpu: 10m, memory: 16Mi}
            limits: {cpu: 100m, memory: 32Mi}
---
apiVersion: v1
kind: Service
metadata:
  name: whoami
  namespace: apps
spec:
  type: ClusterIP
  selector: {app: whoami}
  ports:
    - {name: http, port: 80, protocol: TCP, targetPort: http}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: whoami
  namespace: apps
spec:
  minAvailable: 1
  selector:
    matchLabels: {app: whoami}
"#;

const NOTES: &str = r#"apiVersion: v1
kind: Service
metadata:
  name: notes
  namespace: apps
spec:
  clusterIP: None
  selector: {app: notes}
  ports:
    - {name: http, port: 8080, protocol: TCP, targetPort: http}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: notes
  namespace: apps
  labels: {app: notes}
spec:
  replicas: 1
  serviceName: notes
  selector:
    matchLabels: {app: notes}
  template:
    metadata:
      labels: {app: notes}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 10001, fsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: notes
          image: docker.io/filebrowser/filebrowser:v2.32.0
          ports:
            - {name: http, containerPort: 8080, protocol: TCP}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          resources:
            requests: {cpu: 10m, memory: 32Mi}
            limits: {cpu: 200m, memory: 128Mi}
          volumeMounts:
            - {name: data, mountPath: /srv}
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: longhorn
        resources:
          requests:
            storage: 2Gi
"#;

const LOG_AGENT: &str = r#"apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: log-agent
  namespace: apps
  labels: {app: log-agent}
spec:
  selector:
    matchLabels: {app: log-agent}
  template:
    metadata:
      labels: {app: log-agent}
    spec:
      nodeSelector: {kubernetes.io/os: linux}
      securityContext: {runAsNonRoot: true, runAsUser: 10001, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: agent
          image: docker.io/fluent/fluent-bit:3.2.10
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          resources:
            requests: {cpu: 10m, memory: 32Mi}
            limits: {cpu: 100m, memory: 64Mi}
"#;
