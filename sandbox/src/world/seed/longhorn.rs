//! What the Longhorn chart installs.

use serde_json::{Value, json};

use crate::world::{
    longhorn::{DRIVER, NAMESPACE},
    make::{merge, object},
};

use super::workload::{container, daemon_set, deployment, service};

const MANAGER: &str = "docker.io/longhornio/longhorn-manager:v1.9.1";

fn privileged(name: &str, image: &str, ports: &[(&str, u16)]) -> Value {
    let mut container = container(name, image, ports);
    container["securityContext"] = json!({"privileged": true});
    json!({
        "containers": [container], "serviceAccountName": "longhorn-service-account",
        "priorityClassName": "longhorn-critical",
    })
}

fn plain(name: &str, image: &str) -> Value {
    let mut spec = json!({"containers": [container(name, image, &[])], "serviceAccountName": "longhorn-service-account"});
    merge(&mut spec, json!({"priorityClassName": "longhorn-critical"}));
    spec
}

pub(super) fn objects() -> Vec<Value> {
    let manager = json!({
        "app": "longhorn-manager", "app.kubernetes.io/name": "longhorn", "longhorn.io/admission-webhook": "longhorn-admission-webhook",
    });
    let mut all = vec![
        object(
            "v1",
            "ServiceAccount",
            NAMESPACE,
            "longhorn-service-account",
            json!({}),
        ),
        daemon_set(
            NAMESPACE,
            "longhorn-manager",
            &manager,
            &json!({"app": "longhorn-manager"}),
            privileged(
                "longhorn-manager",
                MANAGER,
                &[("manager", 9500), ("admission-wh", 9502)],
            ),
        ),
        service(
            NAMESPACE,
            "longhorn-backend",
            &json!({"app": "longhorn-manager"}),
            &json!({"app": "longhorn-manager"}),
            &[("manager", 9500, "manager")],
        ),
        service(
            NAMESPACE,
            "longhorn-admission-webhook",
            &json!({"app": "longhorn-admission-webhook"}),
            &json!({"longhorn.io/admission-webhook": "longhorn-admission-webhook"}),
            &[("admission-webhook", 9502, "admission-wh")],
        ),
    ];
    let plugin = json!({"app": "longhorn-csi-plugin"});
    all.push(daemon_set(
        NAMESPACE,
        "longhorn-csi-plugin",
        &plugin,
        &plugin,
        privileged("longhorn-csi-plugin", MANAGER, &[]),
    ));
    let image = json!({
        "longhorn.io/component": "engine-image", "longhorn.io/engine-image": "ei-b4bcf0a5", "longhorn.io/managed-by": "longhorn-manager",
    });
    all.push(daemon_set(
        NAMESPACE,
        "engine-image-ei-b4bcf0a5",
        &image,
        &json!({"longhorn.io/engine-image": "ei-b4bcf0a5"}),
        privileged(
            "engine-image-ei-b4bcf0a5",
            "docker.io/longhornio/longhorn-engine:v1.9.1",
            &[],
        ),
    ));
    for (name, image) in [
        ("longhorn-driver-deployer", MANAGER),
        ("longhorn-ui", "docker.io/longhornio/longhorn-ui:v1.9.1"),
        ("csi-attacher", "docker.io/longhornio/csi-attacher:v4.9.0"),
        (
            "csi-provisioner",
            "docker.io/longhornio/csi-provisioner:v5.3.0",
        ),
        ("csi-resizer", "docker.io/longhornio/csi-resizer:v1.14.0"),
        (
            "csi-snapshotter",
            "docker.io/longhornio/csi-snapshotter:v8.3.0",
        ),
    ] {
        let labels = json!({"app": name});
        all.push(deployment(
            NAMESPACE,
            name,
            &labels,
            &labels,
            plain(name, image),
        ));
    }
    all.push(object("storage.k8s.io/v1", "CSIDriver", "", DRIVER, json!({"spec": {
        "attachRequired": true, "podInfoOnMount": true, "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "volumeLifecycleModes": ["Persistent"], "storageCapacity": false,
    }})));
    all.push(storage_class());
    all.push(object(
        "longhorn.io/v1beta2",
        "EngineImage",
        NAMESPACE,
        "ei-b4bcf0a5",
        json!({
            "spec": {"image": "docker.io/longhornio/longhorn-engine:v1.9.1"},
        }),
    ));
    all.push(object("longhorn.io/v1beta2", "BackupTarget", NAMESPACE, "default", json!({
        "spec": {"backupTargetURL": "nfs://backup.home.invalid:/longhorn", "credentialSecret": "", "pollInterval": "5m0s"},
        "status": {"available": true, "conditions": []},
    })));
    for (name, value) in [
        ("create-default-disk-labeled-nodes", "true"),
        ("default-data-path", "/var/lib/longhorn"),
        ("default-replica-count", "2"),
        ("disable-scheduling-on-cordoned-node", "true"),
        ("node-drain-policy", "block-if-contains-last-replica"),
        ("replica-auto-balance", "best-effort"),
        ("replica-replenishment-wait-interval", "600"),
        // With one node both replicas of a volume stand on it, and it is healthy; that is what this setting allows.
        ("replica-soft-anti-affinity", "true"),
        ("storage-minimal-available-percentage", "25"),
        ("storage-over-provisioning-percentage", "100"),
    ] {
        all.push(object(
            "longhorn.io/v1beta2",
            "Setting",
            NAMESPACE,
            name,
            json!({"value": value, "status": {"applied": true}}),
        ));
    }
    all.extend(webhooks());
    all
}

fn storage_class() -> Value {
    object(
        "storage.k8s.io/v1",
        "StorageClass",
        "",
        "longhorn",
        json!({
            "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": DRIVER, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate", "allowVolumeExpansion": true,
            "parameters": {
                "numberOfReplicas": "2", "staleReplicaTimeout": "30", "fromBackup": "", "fsType": "ext4",
                "dataLocality": "disabled", "dataEngine": "v1",
            },
        }),
    )
}

fn webhooks() -> Vec<Value> {
    let hook = |name: &str, path: &str, operations: &[&str]| {
        json!([{
            "name": name, "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {
                "name": "longhorn-admission-webhook", "namespace": NAMESPACE, "path": path, "port": 9502,
            }},
            "rules": [{
                "apiGroups": ["longhorn.io"], "apiVersions": ["v1beta2"], "operations": operations,
                "resources": ["nodes", "volumes", "replicas", "engines", "settings"], "scope": "Namespaced",
            }],
            "timeoutSeconds": 10, "matchPolicy": "Exact",
        }])
    };
    [
        (
            "MutatingWebhookConfiguration",
            "longhorn-webhook-mutator",
            hook(
                "mutator.longhorn.io",
                "/v1/webhook/mutation",
                &["CREATE", "UPDATE"],
            ),
        ),
        (
            "ValidatingWebhookConfiguration",
            "longhorn-webhook-validator",
            hook(
                "validator.longhorn.io",
                "/v1/webhook/validation",
                &["CREATE", "UPDATE", "DELETE"],
            ),
        ),
    ]
    .into_iter()
    .map(|(kind, name, hooks)| {
        object(
            "admissionregistration.k8s.io/v1",
            kind,
            "",
            name,
            json!({"webhooks": hooks}),
        )
    })
    .collect()
}
