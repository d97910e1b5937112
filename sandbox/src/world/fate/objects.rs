//! Deeds to objects: what somebody has installed, opened, forgotten or taken away.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::world::{
    flux::decrypt::lock,
    kinds::{
        CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, DAEMON_SETS, DEPLOYMENTS, EVENTS, KUSTOMIZATIONS,
        LH_REPLICAS, LH_SETTINGS, LH_VOLUMES, NAMESPACES, NODES, SECRETS, SERVICE_MONITORS,
        SERVICES,
    },
    make::{ago, name, now, object},
    scene::Change,
};

use super::{Fate, LEFT_ALONE, told};

/// The group that the administrator is in when somebody has taken his rights away.
pub(crate) const ONLOOKERS: &str = "sandbox:onlookers";
/// The group that he is in when his role leaves one API group out.
pub(crate) const WITHOUT_STORAGE: &str = "sandbox:without-storage";
/// What he may do with the rest.
const VERBS: [&str; 7] = [
    "get", "list", "watch", "create", "update", "patch", "delete",
];
/// Everything that is served but for `storage.k8s.io`: RBAC can only name what is allowed.
const OTHER_GROUPS: [&str; 19] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "helm.toolkit.fluxcd.io",
    "kustomize.toolkit.fluxcd.io",
    "longhorn.io",
    "metrics.k8s.io",
    "monitoring.coreos.com",
    "networking.k8s.io",
    "notification.toolkit.fluxcd.io",
    "policy",
    "rbac.authorization.k8s.io",
    "source.toolkit.fluxcd.io",
];

impl Fate {
    /// Does or undoes a deed to objects; whether this is one.
    pub(super) async fn deed_to_objects(&self, fault: &str, on: bool) -> bool {
        let left_alone = if on { json!("disabled") } else { Value::Null };
        match fault {
            "sops-key-missing" => self.installed(&[("Secret", "sops-age")], !on).await,
            "sops-decryption-missing" => {
                let decryption = json!({"provider": "sops", "secretRef": {"name": "sops-age"}});
                let patch = json!({
                    "metadata": {"annotations": {LEFT_ALONE: left_alone}},
                    "spec": {"decryption": if on { Value::Null } else { decryption }},
                });
                self.patch(&KUSTOMIZATIONS, "flux-system", "apps", patch)
                    .await;
            }
            "sops-ciphertext-applied" => {
                let value = STANDARD.encode("not-a-secret");
                let value = if on {
                    STANDARD.encode(lock(&value))
                } else {
                    value
                };
                let patch = json!({
                    "metadata": {"annotations": {LEFT_ALONE: left_alone}},
                    "data": {"password": value},
                });
                self.patch(&SECRETS, "apps", "notes-login", patch).await;
            }
            "secret-old" => {
                let mut secret = object(
                    "v1",
                    "Secret",
                    "apps",
                    "forgotten",
                    json!({"type": "Opaque", "data": {"password": STANDARD.encode("not-a-secret")}}),
                );
                if on && let Some(store) = &self.store {
                    let two_years = Duration::from_secs(2 * 365 * 86_400);
                    secret["metadata"]["creationTimestamp"] = ago(two_years).into();
                    told(fault, store.load(vec![secret]));
                } else {
                    self.present(&SECRETS, secret, false).await;
                }
            }
            "service-exposed" => {
                let service = object(
                    "v1",
                    "Service",
                    "default",
                    "camera",
                    json!({"spec": {
                        "type": "NodePort", "selector": {"app": "camera"}, "clusterIP": "10.43.77.77",
                        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30090}],
                    }}),
                );
                self.present(&SERVICES, service, on).await;
            }
            "privileged-workload" => self.privileged(on).await,
            "vpn-router-down" => {
                let container = json!({
                    "name": "tailscale", "image": "ghcr.io/tailscale/tailscale:v1.84.0",
                    "env": [{"name": "TS_ROUTES", "value": "127.0.0.0/8"}],
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 10001, "allowPrivilegeEscalation": false,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {"limits": {"memory": "128Mi"}},
                });
                let router = deployment(
                    "apps",
                    "tailscale-router",
                    json!({"containers": [container]}),
                );
                self.present(&DEPLOYMENTS, router, on).await;
            }
            "disk-discovery-crashing" => {
                let labels = json!({"app": "disk-discovery"});
                let set = object(
                    "apps/v1",
                    "DaemonSet",
                    "longhorn-system",
                    "disk-discovery",
                    json!({"spec": {
                        "selector": {"matchLabels": labels},
                        "template": {
                            "metadata": {"labels": labels},
                            "spec": {"containers": [{
                                "name": "discovery", "image": "docker.io/library/busybox:1.36.1",
                                "resources": {"limits": {"memory": "32Mi"}},
                            }]},
                        },
                    }}),
                );
                self.present(&DAEMON_SETS, set, on).await;
            }
            "monitor-unselected" => {
                let release = if on {
                    Value::Null
                } else {
                    json!("kube-prometheus-stack")
                };
                let patch = json!({"metadata": {"labels": {"release": release}}});
                let name = "kube-prometheus-stack-prometheus-node-exporter";
                self.patch(&SERVICE_MONITORS, "monitoring", name, patch)
                    .await;
            }
            "node-flapped" => {
                let node = &self.shared.cast.node;
                let stamp = now();
                let event = object(
                    "v1",
                    "Event",
                    "default",
                    &format!("{node}.flapped"),
                    json!({
                        "type": "Normal", "reason": "NodeNotReady", "count": 1,
                        "message": format!("Node {node} status is now: NodeNotReady"),
                        "firstTimestamp": stamp, "lastTimestamp": stamp,
                        "source": {"component": "node-controller"}, "reportingComponent": "node-controller",
                        "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node},
                    }),
                );
                self.present(&EVENTS, event, on).await;
            }
            "control-plane-address-changed" => {
                let cast = &self.shared.cast;
                let [first, second, third, last] = cast.control_plane_ip.octets();
                let address = if on {
                    std::net::Ipv4Addr::new(first, second, third, last.saturating_add(8))
                } else {
                    cast.control_plane_ip
                };
                let addresses = json!([
                    {"type": "InternalIP", "address": address.to_string()},
                    {"type": "Hostname", "address": cast.control_plane},
                ]);
                let change = Change::Patch {
                    res: &NODES,
                    namespace: String::new(),
                    name: cast.control_plane.clone(),
                    status: true,
                    patch: json!({"status": {"addresses": addresses}}),
                };
                self.apply(change).await;
            }
            "rights-reduced" => {
                let reading = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]});
                self.rights(ONLOOKERS, &reading, on).await;
            }
            "rights-without-storage" => {
                let most = json!({"apiGroups": OTHER_GROUPS, "resources": ["*"], "verbs": VERBS});
                self.rights(WITHOUT_STORAGE, &most, on).await;
            }
            "longhorn-copies-crowded" => self.crowd(on).await,
            _ => return false,
        }
        true
    }

    /// A pod with the powers of the machine, as root and without limits, in a namespace without rules.
    async fn privileged(&self, on: bool) {
        let space = object("v1", "Namespace", "", "tools", json!({}));
        let mut debug = deployment(
            "tools",
            "debug",
            json!({"containers": [{
                "name": "shell", "image": "docker.io/library/busybox:1.36.1",
                "securityContext": {"privileged": true, "runAsUser": 0},
            }]}),
        );
        debug["spec"]["template"]["spec"]["nodeSelector"] =
            json!({"kubernetes.io/hostname": self.shared.cast.node});
        if on {
            self.present(&NAMESPACES, space, true).await;
            self.present(&DEPLOYMENTS, debug, true).await;
        } else {
            self.present(&DEPLOYMENTS, debug, false).await;
            self.present(&NAMESPACES, space, false).await;
        }
    }

    /// Moves every copy of the first volume to the control plane, as it was when there was no other node, and lets
    /// Longhorn leave it there.
    async fn crowd(&self, on: bool) {
        let value = if on { "disabled" } else { "best-effort" };
        let settings = "replica-auto-balance";
        self.patch(
            &LH_SETTINGS,
            "longhorn-system",
            settings,
            json!({"value": value}),
        )
        .await;
        let mut volumes = self.shared.mirror.list(&LH_VOLUMES);
        volumes.sort_by(|a, b| name(a).cmp(name(b)));
        let Some(first) = volumes.first().filter(|_| on) else {
            return;
        };
        let copies = self.shared.mirror.list(&LH_REPLICAS);
        let (home, away): (Vec<_>, Vec<_>) = copies
            .iter()
            .filter(|copy| copy["spec"]["volumeName"] == name(first))
            .partition(|copy| copy["spec"]["nodeID"] == self.shared.cast.control_plane.as_str());
        let Some(place) = home.first() else { return };
        for copy in away {
            let patch = json!({
                "metadata": {"labels": {
                    "longhornnode": place["spec"]["nodeID"], "longhorndiskuuid": place["spec"]["diskID"],
                }},
                "spec": {"nodeID": place["spec"]["nodeID"], "diskID": place["spec"]["diskID"]},
            });
            self.apply(Change::spec(&LH_REPLICAS, copy, patch)).await;
        }
    }

    /// What is left to an administrator who is one no longer. The API server puts him into this group.
    async fn rights(&self, whose: &str, rule: &Value, on: bool) {
        let group = "rbac.authorization.k8s.io";
        let role = object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRole",
            "",
            whose,
            json!({"rules": [
                rule,
                {"nonResourceURLs": ["*"], "verbs": ["get"]},
                {"apiGroups": ["authorization.k8s.io"], "resources": ["*"], "verbs": ["create"]},
            ]}),
        );
        let binding = object(
            "rbac.authorization.k8s.io/v1",
            "ClusterRoleBinding",
            "",
            whose,
            json!({
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": whose},
                "subjects": [{"apiGroup": group, "kind": "Group", "name": whose}],
            }),
        );
        self.present(&CLUSTER_ROLES, role, on).await;
        self.present(&CLUSTER_ROLE_BINDINGS, binding, on).await;
    }
}

fn deployment(namespace: &str, name: &str, mut spec: Value) -> Value {
    let labels = json!({"app": name});
    spec["restartPolicy"] = "Always".into();
    object(
        "apps/v1",
        "Deployment",
        namespace,
        name,
        json!({"spec": {
            "replicas": 1, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        }}),
    )
}
