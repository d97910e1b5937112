//! The hand of fate: causes that are a deed, done when a fault is switched on and undone when it is switched off.
//! Causes that are a state are seen by the actors themselves.

mod objects;
mod repository;

pub(crate) use objects::{ONLOOKERS, WITHOUT_STORAGE};

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use git2::Oid;
use kube::Client;
use serde_json::{Value, json};

use crate::api::Store;

use super::{
    engine::Shared,
    git::{self, Places},
    guest,
    hand::Hand,
    k3s,
    kinds::{
        self, CLAIMS, CLUSTER_ROLE_BINDINGS, CONFIG_MAPS, DAEMON_SETS, KUSTOMIZATIONS,
        LH_BACKUP_TARGETS, LH_NODES, LH_SETTINGS, LH_VOLUMES, NODES, PODS, QUOTAS, RULES, Res,
        SECRETS, SERVICES, SIGNING_REQUESTS, STORAGE_CLASSES, VOLUMES,
    },
    longhorn,
    make::{ago, items, object},
    scene::{Change, Timers},
    seed, tree,
};

/// The annotation with which people keep Flux from an object.
const LEFT_ALONE: &str = "kustomize.toolkit.fluxcd.io/reconcile";

/// Does and undoes deeds.
pub(crate) struct Fate {
    shared: Arc<Shared>,
    hand: Hand,
    /// What only the sandbox's own API server can be told; absent elsewhere.
    store: Option<Arc<Store>>,
    places: Places,
    taken: BTreeSet<String>,
    moved: Option<Oid>,
}

impl Fate {
    /// `taken` is what was on when the world stopped last.
    pub(crate) fn new(
        shared: Arc<Shared>,
        client: Client,
        store: Option<Arc<Store>>,
        places: Places,
        taken: BTreeSet<String>,
    ) -> Self {
        let hand = Hand::new(client, shared.mirror.clone());
        Self {
            shared,
            hand,
            store,
            places,
            taken,
            moved: None,
        }
    }

    /// Makes the world as this set of faults says; returns when every deed is done.
    pub(crate) async fn take(&mut self, wanted: BTreeSet<String>) {
        let before = std::mem::replace(&mut self.taken, wanted.clone());
        self.shared.faults.set(wanted.clone());
        for name in before.difference(&wanted) {
            self.deed(name, false).await;
        }
        for name in wanted.difference(&before) {
            self.deed(name, true).await;
        }
        self.shared.mirror.wake();
    }

    /// What is on now.
    pub(crate) fn taken(&self) -> &BTreeSet<String> {
        &self.taken
    }

    async fn deed(&mut self, name: &str, on: bool) {
        let node = self.shared.cast.node.clone();
        match name {
            "push-refused" => told(name, git::refuse_pushes(&self.places.remote, on)),
            "git-remote-unreachable" => told(name, git::hide(&self.places.remote, on)),
            "git-remote-moved" => self.move_remote(on),
            "flux-suspended" => {
                let patch =
                    json!({"spec": {"suspend": if on { json!(true) } else { Value::Null }}});
                self.patch(
                    &KUSTOMIZATIONS,
                    "flux-system",
                    "infrastructure-storage",
                    patch,
                )
                .await;
            }
            "node-exporter-missing-on-node" => {
                let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [
                        {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [node]},
                    ]}],
                }}});
                let affinity = if on { affinity } else { Value::Null };
                let patch = json!({"spec": {"template": {"spec": {"affinity": affinity}}}});
                self.patch(
                    &DAEMON_SETS,
                    "monitoring",
                    "kube-prometheus-stack-prometheus-node-exporter",
                    patch,
                )
                .await;
            }
            "storageclass-missing" => self.installed(&[("StorageClass", "longhorn")], !on).await,
            "metrics-server-absent" => {
                let parts = [
                    ("Deployment", "metrics-server"),
                    ("Service", "metrics-server"),
                    ("APIService", "v1beta1.metrics.k8s.io"),
                ];
                self.installed(&parts, !on).await;
            }
            "storageclass-two-defaults" => {
                let told = if on { "true" } else { "false" };
                let patch = json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": told}}});
                self.patch(&STORAGE_CLASSES, "", "local-path", patch).await;
            }
            "node-limits-broken" => {
                let grant = object(
                    "rbac.authorization.k8s.io/v1",
                    "ClusterRoleBinding",
                    "",
                    "nodes-are-administrators",
                    json!({
                        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}],
                    }),
                );
                self.present(&CLUSTER_ROLE_BINDINGS, grant, on).await;
            }
            "longhorn-stray-node" => {
                let stray = object(
                    "longhorn.io/v1beta2",
                    "Node",
                    "default",
                    &node,
                    json!({
                        "spec": {"name": node, "allowScheduling": true, "disks": {}},
                    }),
                );
                self.present(&LH_NODES, stray, on).await;
            }
            "node-tainted" => self.taint(on).await,
            "node-cordoned" => {
                let patch =
                    json!({"spec": {"unschedulable": if on { json!(true) } else { Value::Null }}});
                self.patch(&NODES, "", &node, patch).await;
            }
            "node-labels-lost" => {
                let lost = |value: &str| if on { Value::Null } else { json!(value) };
                let labels = json!({"node.longhorn.io/create-default-disk": lost("config"), "storage": lost("longhorn")});
                self.patch(&NODES, "", &node, json!({"metadata": {"labels": labels}}))
                    .await;
            }
            "longhorn-scheduling-disabled" => {
                let patch = json!({
                    "metadata": {"annotations": {LEFT_ALONE: if on { json!("disabled") } else { Value::Null }}},
                    "spec": {"allowScheduling": !on},
                });
                self.patch(&LH_NODES, "longhorn-system", &node, patch).await;
            }
            "longhorn-driver-missing" => {
                self.installed(&[("CSIDriver", "driver.longhorn.io")], !on)
                    .await
            }
            "longhorn-replica-count-low" => {
                let value = if on { "1" } else { "2" };
                self.patch(
                    &LH_SETTINGS,
                    "longhorn-system",
                    "default-replica-count",
                    json!({"value": value}),
                )
                .await;
            }
            "longhorn-backup-target-unavailable" => {
                let patch = json!({"status": {"available": !on}});
                let change = Change::Patch {
                    res: &LH_BACKUP_TARGETS,
                    namespace: "longhorn-system".into(),
                    name: "default".into(),
                    status: true,
                    patch,
                };
                self.apply(change).await;
            }
            "longhorn-provisioner-down" => {
                // Nobody notices before somebody asks for a volume.
                let claim = object(
                    "v1",
                    "PersistentVolumeClaim",
                    "apps",
                    "scratch",
                    json!({"spec": {
                        "accessModes": ["ReadWriteOnce"], "storageClassName": "longhorn",
                        "resources": {"requests": {"storage": "1Gi"}},
                    }}),
                );
                self.present(&CLAIMS, claim, on).await;
            }
            "probe-namespace-full" => {
                let space = object("v1", "Namespace", "", "onboarding-probe", json!({}));
                let quota = object(
                    "v1",
                    "ResourceQuota",
                    "onboarding-probe",
                    "no-pods",
                    json!({"spec": {"hard": {"pods": "0"}}}),
                );
                if on {
                    self.present(&kinds::NAMESPACES, space, true).await;
                    self.present(&QUOTAS, quota.clone(), true).await;
                    let used = json!({"hard": {"pods": "0"}, "used": {"pods": "0"}});
                    self.apply(Change::status(&QUOTAS, &quota, used)).await;
                } else {
                    self.present(&QUOTAS, quota, false).await;
                    self.present(&kinds::NAMESPACES, space, false).await;
                }
            }
            "quota-exhausted" => {
                let quota = object(
                    "v1",
                    "ResourceQuota",
                    "apps",
                    "few-pods",
                    json!({"spec": {"hard": {"pods": "4"}}}),
                );
                self.present(&QUOTAS, quota.clone(), on).await;
                if on {
                    let used = json!({"hard": {"pods": "4"}, "used": {"pods": "4"}});
                    self.apply(Change::status(&QUOTAS, &quota, used)).await;
                }
            }
            "csr-pending" => {
                let request = object(
                    "certificates.k8s.io/v1",
                    "CertificateSigningRequest",
                    "",
                    "csr-nobody-approves",
                    json!({
                        "spec": {
                            "request": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K",
                            "signerName": "kubernetes.io/kubelet-serving", "usages": ["digital signature", "server auth"],
                            "username": format!("system:node:{node}"), "groups": ["system:nodes"],
                        },
                    }),
                );
                if on {
                    self.load_old(name, request).await;
                } else {
                    self.present(&SIGNING_REQUESTS, request, false).await;
                }
            }
            "dashboards-missing" => {
                let patch = json!({"metadata": {
                    "annotations": {LEFT_ALONE: if on { json!("disabled") } else { Value::Null }},
                    "labels": {"grafana_dashboard": if on { Value::Null } else { json!("1") }},
                }});
                self.patch(&CONFIG_MAPS, "monitoring", "nodes-dashboard", patch)
                    .await;
            }
            "alert-rules-missing" => {
                let groups = if on {
                    json!([])
                } else {
                    self.in_git("PrometheusRule", "node-alerts")["spec"]["groups"].clone()
                };
                let patch = json!({
                    "metadata": {"annotations": {LEFT_ALONE: if on { json!("disabled") } else { Value::Null }}},
                    "spec": {"groups": groups},
                });
                self.patch(&RULES, "monitoring", "node-alerts", patch).await;
            }
            "pod-budget-exhausted" | "pod-budgets-two" | "pod-emptydir" => {
                self.guest(name, on).await;
            }
            "pod-unmanaged" => {
                let mut pod = object(
                    "v1",
                    "Pod",
                    "apps",
                    "loner",
                    json!({"spec": guest::pod_spec()}),
                );
                pod["spec"]["nodeName"] = node.into();
                self.present(&PODS, pod, on).await;
            }
            "local-volume" => self.local_volume(&node, on).await,
            "longhorn-hard-anti-affinity" => {
                let value = if on { "false" } else { "true" };
                self.patch(
                    &LH_SETTINGS,
                    "longhorn-system",
                    "replica-soft-anti-affinity",
                    json!({"value": value}),
                )
                .await;
            }
            "longhorn-single-copy" => {
                let volumes = self.shared.mirror.list(&LH_VOLUMES);
                if let Some(first) = longhorn::oldest_volume(&volumes) {
                    let count = if on { 1 } else { 2 };
                    let patch = json!({"spec": {"numberOfReplicas": count}});
                    self.apply(Change::spec(&LH_VOLUMES, first, patch)).await;
                }
            }
            "longhorn-attached-by-hand" => {
                let volume = guest::volume_by_hand(&node);
                if let Some(there) = self.shared.mirror.find(&volume).filter(|_| !on) {
                    let patch = json!({"spec": {"nodeID": ""}});
                    self.apply(Change::spec(&LH_VOLUMES, &there, patch)).await;
                }
                self.present(&LH_VOLUMES, volume, on).await;
            }
            "node-rights-missing" => {
                if let Some(store) = &self.store {
                    store.authorize_nodes(!on);
                }
            }
            "longhorn-webhook-down" if !self.shared.cast.own_controllers() => {
                // Where the endpoints are somebody else's matter, the Service looks for pods that are not there.
                let pods = if on {
                    "nobody"
                } else {
                    "longhorn-admission-webhook"
                };
                let patch = json!({"spec": {"selector": {"longhorn.io/admission-webhook": pods}}});
                let service = "longhorn-admission-webhook";
                self.patch(&SERVICES, "longhorn-system", service, patch)
                    .await;
            }
            "node-password-conflict" => self.leave_password(on).await,
            _ => {
                let _ = self.deed_in_git(name, on) || self.deed_to_objects(name, on).await;
            }
        }
    }

    /// A workload on the new node that cannot simply be evicted.
    async fn guest(&self, fault: &str, on: bool) {
        for object in guest::objects(fault, &self.shared.cast.node) {
            if let Some(res) = kinds::of(&object) {
                self.present(res, object, on).await;
            }
        }
    }

    /// A volume of the local-path provisioner, with its claim.
    async fn local_volume(&self, node: &str, on: bool) {
        let [volume, claim] = guest::local_volume(node);
        self.present(&VOLUMES, volume.clone(), on).await;
        self.present(&CLAIMS, claim.clone(), on).await;
        if on {
            for (res, object) in [(&VOLUMES, volume), (&CLAIMS, claim)] {
                self.apply(Change::status(res, &object, json!({"phase": "Bound"})))
                    .await;
            }
        }
    }

    /// An object as the repository began with it.
    fn in_git(&self, kind: &str, name: &str) -> Value {
        tree::files(&self.shared.cast, false)
            .into_iter()
            .filter(|(path, _)| path.ends_with(".yaml"))
            .flat_map(|(_, text)| serde_saphyr::from_multiple::<Value>(&text).unwrap_or_default())
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
            .unwrap_or_default()
    }

    /// A taint that keeps workloads away from the new node.
    async fn taint(&self, on: bool) {
        let Some(node) = self.shared.mirror.get(&NODES, "", &self.shared.cast.node) else {
            return;
        };
        let mut taints: Vec<Value> = items(&node["spec"]["taints"])
            .iter()
            .filter(|taint| taint["key"] != "reserved")
            .cloned()
            .collect();
        if on {
            taints.push(json!({"key": "reserved", "value": "somebody", "effect": "NoSchedule"}));
        }
        let taints = if taints.is_empty() {
            Value::Null
        } else {
            taints.into()
        };
        self.apply(Change::spec(
            &NODES,
            &node,
            json!({"spec": {"taints": taints}}),
        ))
        .await;
    }

    fn move_remote(&mut self, on: bool) {
        let done = if on {
            git::push_from_elsewhere(&self.places.remote).map(|commit| self.moved = Some(commit))
        } else {
            self.moved
                .take()
                .map_or(Ok(()), |commit| git::take_back(&self.places.remote, commit))
        };
        told("git-remote-moved", done);
    }

    /// A node password of a machine that is gone, older than any join that could still be going on.
    async fn leave_password(&self, on: bool) {
        let name = format!("{}.node-password.k3s", self.shared.cast.node);
        if on {
            if self
                .shared
                .mirror
                .get(&NODES, "", &self.shared.cast.node)
                .is_none()
            {
                self.load_old("node-password-conflict", k3s::foreign_password(&name))
                    .await;
            }
        } else if let Some(secret) = self.shared.mirror.get(&SECRETS, "kube-system", &name)
            && secret["data"] == k3s::foreign_password(&name)["data"]
        {
            self.apply(Change::delete(&SECRETS, &secret)).await;
        }
    }

    /// An object that has been there for two hours: only what loads objects can say that they are old. Elsewhere it
    /// is as old as it is.
    async fn load_old(&self, fault: &str, mut object: Value) {
        let Some(store) = &self.store else {
            self.apply(Change::Create(object)).await;
            return;
        };
        object["metadata"]["creationTimestamp"] = ago(Duration::from_secs(7_200)).into();
        told(fault, store.load(vec![object]));
    }

    async fn patch(&self, res: &'static Res, namespace: &str, name: &str, patch: Value) {
        let change = Change::Patch {
            res,
            namespace: namespace.into(),
            name: name.into(),
            status: false,
            patch,
        };
        self.apply(change).await;
    }

    /// Something that was never meant to be there.
    async fn present(&self, res: &'static Res, object: Value, on: bool) {
        if on {
            self.apply(Change::Create(object)).await;
        } else if let Some(there) = self.shared.mirror.find(&object) {
            self.apply(Change::delete(res, &there)).await;
        }
    }

    /// Something that an installation brought.
    async fn installed(&self, parts: &[(&str, &str)], there: bool) {
        for object in seed::find(&self.shared.cast, parts) {
            let Some(res) = kinds::of(&object) else {
                continue;
            };
            if !there {
                self.present(res, object, false).await;
            } else if self.shared.mirror.find(&object).is_none() {
                self.apply(Change::Create(object)).await;
            }
        }
    }

    async fn apply(&self, change: Change) {
        self.hand.apply(change, &Timers::default()).await;
    }
}

fn told<T, E: std::fmt::Display>(name: &str, done: Result<T, E>) {
    if let Err(error) = done {
        tracing::warn!(%error, fault = name, "the fault could not be switched");
    }
}
