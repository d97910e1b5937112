//! What the server adds to objects by itself: identity, defaults, and objects that come with others.

use serde_json::{Value, json};

use super::{
    defaults_pods::{pod, pod_spec},
    quantity,
    resource::Resource,
    store::now,
    transaction::Transaction,
    zeros,
};

/// Adds what every object has: kind, uid, creation time, generation.
pub(crate) fn identify(resource: &Resource, object: &mut Value) {
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let metadata = &mut object["metadata"];
    if metadata
        .get("uid")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        metadata["uid"] = uuid::Uuid::new_v4().to_string().into();
    }
    if metadata.get("creationTimestamp").is_none_or(Value::is_null) {
        metadata["creationTimestamp"] = now();
    }
    if resource.has_generation() && metadata["generation"].is_null() {
        metadata["generation"] = 1.into();
    }
    for key in [
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "generation",
        "deletionTimestamp",
    ] {
        let empty = match &metadata[key] {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if empty && let Some(map) = metadata.as_object_mut() {
            map.remove(key);
        }
    }
}

/// Drops fields that are null, as the API does: it knows only fields that are there and fields that are not.
pub(crate) fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

pub(super) fn default(object: &mut Value, key: &str, value: impl Into<Value>) {
    if object.is_object() && object[key].is_null() {
        object[key] = value.into();
    }
}

/// Fills what the API defines a default for and clients look at.
pub(crate) fn fill(resource: &Resource, object: &mut Value) {
    fill_kind(resource, object);
    zeros::fill(resource, object);
    // Looking for a field by its name has left null where there was none.
    without_nulls(object);
}

/// What admission adds to a new object.
pub(crate) fn admit(resource: &Resource, object: &mut Value) {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "nodes") => {
            let key = "node.kubernetes.io/not-ready";
            let known = object["spec"]["taints"]
                .as_array()
                .is_some_and(|list| list.iter().any(|taint| taint["key"] == key));
            if !known {
                default_object(object, "spec");
                default(&mut object["spec"], "taints", json!([]));
                if let Some(list) = object["spec"]["taints"].as_array_mut() {
                    list.push(json!({ "key": key, "effect": "NoSchedule" }));
                }
            }
        }
        ("", "persistentvolumeclaims") => protect(object, CLAIM_PROTECTION),
        ("", "persistentvolumes") => protect(object, VOLUME_PROTECTION),
        ("apps", "daemonsets") => {
            default_object(&mut object["metadata"], "annotations");
            object["metadata"]["annotations"][TEMPLATE] = "1".into();
        }
        _ => {}
    }
}

/// Holds a claim that a pod uses, and a volume that a claim has. A controller takes it away.
pub(crate) const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
pub(crate) const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";

fn protect(object: &mut Value, finalizer: &str) {
    let metadata = &mut object["metadata"];
    default(metadata, "finalizers", json!([]));
    if let Some(list) = metadata["finalizers"].as_array_mut()
        && !list.iter().any(|one| one == finalizer)
    {
        list.push(finalizer.into());
    }
}

/// How often the template of a DaemonSet was changed.
pub(crate) const TEMPLATE: &str = "deprecated.daemonset.template.generation";

fn fill_kind(resource: &Resource, object: &mut Value) {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => pod(object),
        ("", "nodes") => {
            let range = object["spec"]["podCIDR"].clone();
            if range.is_string() {
                default(&mut object["spec"], "podCIDRs", json!([range]));
            }
        }
        ("", "namespaces") => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            if object["metadata"].get("deletionTimestamp").is_none() {
                default_object(object, "spec");
                default(&mut object["spec"], "finalizers", json!(["kubernetes"]));
            }
            default_object(object, "status");
            default(&mut object["status"], "phase", "Active");
        }
        ("", "secrets") => {
            default(object, "type", "Opaque");
            if let Some(text) = object.as_object_mut().and_then(|o| o.remove("stringData"))
                && let Some(text) = text.as_object()
            {
                use base64::Engine as _;
                let engine = base64::engine::general_purpose::STANDARD;
                default_object(object, "data");
                for (key, value) in text {
                    object["data"][key] = engine.encode(value.as_str().unwrap_or_default()).into();
                }
            }
        }
        ("", "services") => service(object),
        ("", "persistentvolumeclaims") => claim(object),
        ("", "persistentvolumes") => {
            quantity::canonical_map(&mut object["spec"]["capacity"]);
            default(&mut object["spec"], "volumeMode", "Filesystem");
            default(
                &mut object["spec"],
                "persistentVolumeReclaimPolicy",
                "Retain",
            );
        }
        ("apps", "deployments") => {
            let spec = &mut object["spec"];
            default(spec, "replicas", 1);
            default(spec, "revisionHistoryLimit", 10);
            default(spec, "progressDeadlineSeconds", 600);
            let update = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "25%", "maxSurge": "25%" } });
            default(spec, "strategy", update);
            pod_spec(&mut spec["template"]["spec"]);
        }
        ("apps", "daemonsets") => {
            let spec = &mut object["spec"];
            default(spec, "revisionHistoryLimit", 10);
            let update = json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } });
            default(spec, "updateStrategy", update);
            pod_spec(&mut spec["template"]["spec"]);
        }
        ("apps", "replicasets") => {
            default(&mut object["spec"], "replicas", 1);
            pod_spec(&mut object["spec"]["template"]["spec"]);
        }
        ("apps", "statefulsets") => stateful_set(&mut object["spec"]),
        ("batch", "jobs") => job(object),
        ("batch", "cronjobs") => {
            let spec = &mut object["spec"];
            default(spec, "concurrencyPolicy", "Allow");
            default(spec, "suspend", false);
            default(spec, "successfulJobsHistoryLimit", 3);
            default(spec, "failedJobsHistoryLimit", 1);
            default_object(&mut spec["jobTemplate"], "metadata");
            default_object(&mut spec["jobTemplate"]["spec"]["template"], "metadata");
            pod_spec(&mut spec["jobTemplate"]["spec"]["template"]["spec"]);
        }
        ("storage.k8s.io", "csidrivers") => {
            default_object(object, "spec");
            let spec = &mut object["spec"];
            default(spec, "attachRequired", true);
            default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
            for field in [
                "podInfoOnMount",
                "requiresRepublish",
                "seLinuxMount",
                "storageCapacity",
            ] {
                default(spec, field, false);
            }
            default(spec, "volumeLifecycleModes", json!(["Persistent"]));
        }
        ("storage.k8s.io", "storageclasses") => {
            default(object, "reclaimPolicy", "Delete");
            default(object, "volumeBindingMode", "Immediate");
        }
        ("apiextensions.k8s.io", "customresourcedefinitions") => definition(object),
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => {
            default(
                &mut object["roleRef"],
                "apiGroup",
                "rbac.authorization.k8s.io",
            );
            for subject in object["subjects"].as_array_mut().into_iter().flatten() {
                if subject["kind"] != "ServiceAccount" {
                    default(subject, "apiGroup", "rbac.authorization.k8s.io");
                }
            }
        }
        _ => {}
    }
}

pub(super) fn default_object(object: &mut Value, key: &str) {
    if !object[key].is_object() {
        object[key] = json!({});
    }
}

fn claim(object: &mut Value) {
    default_object(object, "status");
    default(&mut object["status"], "phase", "Pending");
    default(&mut object["spec"], "volumeMode", "Filesystem");
    for list in ["requests", "limits"] {
        quantity::canonical_map(&mut object["spec"]["resources"][list]);
    }
}

fn stateful_set(spec: &mut Value) {
    default(spec, "replicas", 1);
    default(spec, "revisionHistoryLimit", 10);
    default(spec, "podManagementPolicy", "OrderedReady");
    let keep = json!({ "whenDeleted": "Retain", "whenScaled": "Retain" });
    default(spec, "persistentVolumeClaimRetentionPolicy", keep);
    let update = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } });
    default(spec, "updateStrategy", update);
    for template in spec["volumeClaimTemplates"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        default(template, "apiVersion", "v1");
        default(template, "kind", "PersistentVolumeClaim");
        claim(template);
    }
    pod_spec(&mut spec["template"]["spec"]);
}

/// The labels by which a Job finds its pods, with and without their domain.
const JOB_UID: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
const JOB_NAME: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

fn job(object: &mut Value) {
    let uid = object["metadata"]["uid"].clone();
    let name = object["metadata"]["name"].clone();
    let spec = &mut object["spec"];
    default(spec, "backoffLimit", 6);
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        default(spec, "completions", 1);
    }
    default(spec, "parallelism", 1);
    default(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    let replaced = if spec["podFailurePolicy"].is_object() {
        "Failed"
    } else {
        "TerminatingOrFailed"
    };
    default(spec, "podReplacementPolicy", replaced);
    let own = spec["manualSelector"] == true;
    default(spec, "manualSelector", false);
    if !own && spec["selector"].is_null() {
        spec["selector"] = json!({ "matchLabels": { JOB_UID[0]: uid } });
        default_object(&mut spec["template"], "metadata");
        default_object(&mut spec["template"]["metadata"], "labels");
        let labels = &mut spec["template"]["metadata"]["labels"];
        for (keys, value) in [(JOB_UID, &uid), (JOB_NAME, &name)] {
            for key in keys {
                default(labels, key, value.clone());
            }
        }
    }
    pod_spec(&mut spec["template"]["spec"]);
    // A Job without labels has those of its pods.
    let labels = spec["template"]["metadata"]["labels"].clone();
    default(&mut object["metadata"], "labels", labels);
}

fn service(object: &mut Value) {
    let spec = &mut object["spec"];
    default(spec, "type", "ClusterIP");
    default(spec, "sessionAffinity", "None");
    default(spec, "internalTrafficPolicy", "Cluster");
    let published = matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer"));
    if spec["type"] != "ExternalName" {
        let free = format!("10.43.{}.{}", fastrand::u8(1..=254), fastrand::u8(1..=254));
        default(spec, "clusterIP", free);
        let address = spec["clusterIP"].clone();
        default(spec, "clusterIPs", json!([address]));
        default(spec, "ipFamilies", json!(["IPv4"]));
        default(spec, "ipFamilyPolicy", "SingleStack");
    }
    if published {
        default(spec, "externalTrafficPolicy", "Cluster");
    }
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        default(port, "protocol", "TCP");
        let number = port["port"].clone();
        default(port, "targetPort", number);
        if published {
            default(port, "nodePort", fastrand::u16(30000..=32767));
        }
    }
    default(object, "status", json!({ "loadBalancer": {} }));
}

/// The conditions that the server gives a CustomResourceDefinition, and the finalizer that it removes itself.
fn definition(object: &mut Value) {
    let names = &mut object["spec"]["names"];
    let kind = names["kind"].as_str().unwrap_or_default().to_owned();
    default(names, "singular", kind.to_lowercase());
    default(names, "listKind", format!("{kind}List"));
    default(
        &mut object["spec"],
        "conversion",
        json!({ "strategy": "None" }),
    );
    let accepted = object["spec"]["names"].clone();
    let storage: Vec<Value> = object["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|v| v["storage"] == true)
        .map(|v| v["name"].clone())
        .collect();
    default_object(object, "status");
    let status = &mut object["status"];
    status["acceptedNames"] = accepted;
    default(status, "storedVersions", json!(storage));
    let condition = |kind: &str, reason: &str, message: &str| json!({ "type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now() });
    let missing = status["conditions"]
        .as_array()
        .is_none_or(|list| !list.iter().any(|c| c["type"] == "Established"));
    if missing {
        status["conditions"] = json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition(
                "Established",
                "InitialNamesAccepted",
                "the initial names have been accepted"
            ),
        ]);
    }
}

/// Holds a CustomResourceDefinition until its objects are gone.
pub(crate) const CRD_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Creates what comes with an object: a namespace's `default` ServiceAccount and root certificate.
pub(crate) fn companions(transaction: &mut Transaction<'_>, resource: &Resource, object: &Value) {
    if resource.plural != "namespaces" || !resource.group.is_empty() || transaction.dry {
        return;
    }
    let namespace = object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let ca = transaction.ca();
    let wanted = [
        (
            "serviceaccounts",
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "default" } }),
        ),
        (
            "configmaps",
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": { "name": "kube-root-ca.crt", "annotations": {
                    "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters." } },
                "data": { "ca.crt": ca },
            }),
        ),
    ];
    for (plural, mut object) in wanted {
        let Some(resource) = transaction.registry().find("", plural) else {
            continue;
        };
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if transaction.get(&resource, &namespace, &name).is_none() {
            object["metadata"]["namespace"] = namespace.clone().into();
            identify(&resource, &mut object);
            transaction.put(&resource, (namespace.clone(), name), object);
        }
    }
}
