//! What changes a cluster in the way of this program: probe pods and claims, leases, drains, the removal of a node.

use serde_json::{Value, json};

use super::{
    compare::OURS,
    objects::{meta, pod},
    step::Step,
};

const PODS: &str = "/api/v1/namespaces/table/pods";
const CLAIMS: &str = "/api/v1/namespaces/table/persistentvolumeclaims";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/table/leases";
const DISKS: &str = "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes/first";
const OWNER: &str =
    "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/first";
const SOURCE: &str =
    "/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories/first";

/// As the program names itself.
const AS: &str = "fieldManager=onboarding";
/// As it asks what would happen.
const WOULD: &str = "dryRun=All&fieldManager=onboarding";

pub(super) fn steps() -> Vec<Step> {
    [
        places(),
        probes(),
        claims(),
        leases(),
        owners(),
        drains(),
        removals(),
    ]
    .concat()
}

/// The namespace of a run, and a class of its own for its volume.
fn places() -> Vec<Step> {
    let class = "verb";
    let (spaces, classes) = (
        "/api/v1/namespaces",
        "/apis/storage.k8s.io/v1/storageclasses",
    );
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": "probes", "labels": {OURS: "table", "pod-security.kubernetes.io/enforce": "restricted"},
    }});
    let two = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": meta("two-copies"),
        "provisioner": "driver.longhorn.io", "parameters": {"numberOfReplicas": "2"}, "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    });
    vec![
        Step::post("dry run", &format!("{spaces}?{WOULD}"), space.clone()),
        Step::post("create", &format!("{spaces}?{AS}"), space.clone()),
        Step::post("conflict", &format!("{spaces}?{AS}"), space),
        Step::post("dry run", &format!("{classes}?{WOULD}"), two.clone()),
        Step::post("create", &format!("{classes}?{AS}"), two.clone()),
        Step::post("conflict", &format!("{classes}?{AS}"), two),
        Step::get(class, &format!("{classes}/two-copies")),
        Step::delete("dry run", &format!("{classes}/two-copies?dryRun=All")),
        Step::delete(class, &format!("{classes}/two-copies")),
        Step::delete(class, &format!("{classes}/two-copies")),
        Step::delete(
            "dry run",
            "/apis/storage.k8s.io/v1/csidrivers/driver.longhorn.io?dryRun=All",
        ),
        Step::delete(
            "dry run",
            "/apis/storage.k8s.io/v1/csinodes/k3s2?dryRun=All",
        ),
        Step::delete(
            "dry run",
            "/api/v1/namespaces/table/services/web?dryRun=All",
        ),
        Step::delete(
            "dry run",
            "/api/v1/namespaces/table/configmaps/settings?dryRun=All",
        ),
        Step::delete("dry run", &format!("{spaces}/probes?dryRun=All")),
        // Who removes it for good are the controllers of a cluster.
        Step::delete("finalizer", &format!("{spaces}/probes")),
    ]
}

/// A pod that may do nothing, as probes are.
fn probe(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {OURS: "table", "run": "probe"}}, "spec": {
        "restartPolicy": "Never", "activeDeadlineSeconds": 60, "automountServiceAccountToken": false, "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 1, "nodeSelector": {"kubernetes.io/hostname": "k3s2"}, "enableServiceLinks": false,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "runAsGroup": 65534, "fsGroup": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
        "tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}],
        "containers": [{
            "name": "probe", "image": "busybox:1.36", "command": ["sh", "-c", "true"], "env": [{"name": "A", "value": "1"}],
            "ports": [{"containerPort": 8080}],
            "resources": {"requests": {"cpu": "0.05", "memory": "1024Ki"}, "limits": {"cpu": 1, "memory": "64Mi"}},
            "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}, {"name": "data", "mountPath": "/data"}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}},
        }],
        "volumes": [
            {"name": "scratch", "emptyDir": {}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "probe"}},
            {"name": "text", "configMap": {"name": "settings"}},
            {"name": "key", "secret": {"secretName": "keys"}},
            {"name": "host", "hostPath": {"path": "/tmp"}},
        ],
    }})
}

fn probes() -> Vec<Step> {
    let class = "verb";
    let all = "labelSelector=run%3Dprobe";
    vec![
        Step::post("dry run", &format!("{PODS}?{WOULD}"), probe("probe")),
        Step::post("create", &format!("{PODS}?{AS}"), probe("probe"))
            .keep("probe", "/metadata/uid"),
        Step::post("create", PODS, probe("probe-plain")),
        Step::post("create", &format!("{PODS}?{AS}"), probe("probe-other")),
        Step::get(class, &format!("{PODS}/probe")),
        Step::get("selector", &format!("{PODS}?{all}&limit=500")),
        Step::get("selector", &format!("{PODS}?{all}")),
        Step::get("selector", &format!("/api/v1/pods?{all}")),
        Step::get(class, &format!("{PODS}/absent/log")),
        Step::get(class, &format!("{PODS}/absent/log?container=probe&tailLines=20")),
        Step::delete("dry run", &format!("{PODS}/probe?dryRun=All")),
        Step::delete("precondition", &format!("{PODS}/probe")).body(json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
            "preconditions": {"uid": "00000000-0000-4000-8000-000000000000"},
        })).only(&["/reason", "/code"]),
        Step::delete("precondition", &format!("{PODS}/probe")).body(json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": "{probe}"},
        })),
        Step::delete("collection", &format!("{PODS}?labelSelector=run%3Dprobe")),
        Step::get("selector", &format!("{PODS}?{all}&limit=500")),
    ]
}

fn claims() -> Vec<Step> {
    let class = "verb";
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "probe", "labels": {OURS: "table", "run": "probe"}},
        "spec": {"storageClassName": "longhorn", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}});
    vec![
        Step::post("dry run", &format!("{CLAIMS}?{WOULD}"), claim.clone()),
        Step::post("create", &format!("{CLAIMS}?{AS}"), claim.clone()),
        Step::post("conflict", CLAIMS, claim),
        Step::get(class, &format!("{CLAIMS}/probe")),
        Step::get(
            "selector",
            &format!("{CLAIMS}?labelSelector=run%3Dprobe&limit=500"),
        ),
        Step::delete("dry run", &format!("{CLAIMS}/probe?dryRun=All")),
        Step::delete("finalizer", &format!("{CLAIMS}/probe")),
        Step::patch(
            "finalizer",
            &format!("{CLAIMS}/probe?{AS}"),
            "merge",
            json!({"metadata": {"finalizers": null}}),
        ),
        Step::get(class, &format!("{CLAIMS}/probe")),
    ]
}

fn leases() -> Vec<Step> {
    let class = "verb";
    let lease = |holder: &str, version: Option<&str>| {
        let mut lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta("onboarding"), "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": 30, "leaseTransitions": 0,
            "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T00:00:00.000000Z",
        }});
        if let Some(version) = version {
            lease["metadata"]["resourceVersion"] = version.into();
        }
        lease
    };
    let one = format!("{LEASES}/onboarding");
    vec![
        Step::get(class, &one),
        Step::post(
            "dry run",
            &format!("{LEASES}?{WOULD}"),
            lease("first", None),
        ),
        Step::post("create", &format!("{LEASES}?{AS}"), lease("first", None))
            .keep("lease", "/metadata/resourceVersion"),
        Step::post(
            "conflict",
            &format!("{LEASES}?{AS}"),
            lease("second", None),
        ),
        Step::put(
            "conflict",
            &format!("{one}?{AS}"),
            lease("first again", Some("{lease}")),
        ),
        Step::put(
            "conflict",
            &format!("{one}?{AS}"),
            lease("second", Some("{lease}")),
        ),
        Step::patch(
            "patch type",
            &format!("{one}?{AS}"),
            "merge",
            json!({"spec": {"renewTime": "2026-01-01T00:00:09.000000Z"}}),
        ),
        Step::patch(
            "conflict",
            &format!("{one}?{AS}"),
            "merge",
            json!({"metadata": {"resourceVersion": "{lease}"}, "spec": {"holderIdentity": "second"}}),
        ),
        Step::get("selector", &format!("{LEASES}?labelSelector=app%3Donboarding&limit=500")),
        Step::delete("precondition", &one)
            .body(json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": "{lease}"}}))
            .only(&["/reason", "/code"]),
        Step::delete(class, &one),
        Step::delete(class, &one),
    ]
}

/// Suspending and resuming what Flux keeps, and closing the disks of a node.
fn owners() -> Vec<Step> {
    let class = "patch type";
    let suspend = |on: Value| json!({"spec": {"suspend": on}});
    vec![
        Step::get("verb", OWNER).keep("owner", "/metadata/resourceVersion"),
        Step::get("verb", DISKS),
        Step::patch(
            "dry run",
            &format!("{OWNER}?{WOULD}"),
            "merge",
            suspend(true.into()),
        ),
        Step::patch(
            "dry run",
            &format!("{SOURCE}?{WOULD}"),
            "merge",
            json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "tried"}}}),
        ),
        Step::patch(
            class,
            &format!("{OWNER}?{AS}"),
            "merge",
            suspend(true.into()),
        ),
        Step::patch(
            "conflict",
            &format!("{OWNER}?{AS}"),
            "merge",
            json!({"metadata": {"resourceVersion": "{owner}"}, "spec": {"suspend": false}}),
        ),
        Step::patch(
            class,
            &format!("{OWNER}?{AS}"),
            "merge",
            suspend(Value::Null),
        ),
        Step::patch(
            "dry run",
            &format!("{DISKS}?{WOULD}"),
            "merge",
            json!({"spec": {"allowScheduling": false, "evictionRequested": true}}),
        ),
        Step::patch(
            class,
            &format!("{DISKS}?{AS}"),
            "merge",
            json!({"spec": {"allowScheduling": false, "evictionRequested": true}}),
        ),
        Step::patch(
            class,
            &format!("{DISKS}?{AS}"),
            "json",
            json!([{"op": "test", "path": "/spec/evictionRequested", "value": true}, {"op": "replace", "path": "/spec/evictionRequested", "value": false}]),
        ),
    ]
}

fn drains() -> Vec<Step> {
    let class = "patch type";
    let cordon = |on: Value| json!({"spec": {"unschedulable": on}});
    let node = "/api/v1/nodes/k3s2";
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "drained", "namespace": "table"}});
    let mut would = eviction.clone();
    would["deleteOptions"] = json!({"dryRun": ["All"]});
    vec![
        Step::patch(
            "dry run",
            &format!("{node}?{WOULD}"),
            "merge",
            cordon(true.into()),
        ),
        Step::patch(class, &format!("{node}?{AS}"), "merge", cordon(true.into())),
        Step::get(
            "selector",
            "/api/v1/nodes?fieldSelector=spec.unschedulable%3Dtrue",
        ),
        Step::patch(
            class,
            &format!("{node}?{AS}"),
            "strategic",
            cordon(true.into()),
        ),
        Step::patch(class, &format!("{node}?{AS}"), "merge", cordon(Value::Null)),
        Step::patch(
            class,
            &format!("{node}?{AS}"),
            "merge",
            json!({"metadata": {"labels": {"storage": null}, "annotations": {"note": "x"}}}),
        ),
        Step::post("create", PODS, pod("drained", "k3s2")),
        Step::post("dry run", &format!("{PODS}/drained/eviction"), would),
        Step::post(
            "eviction",
            &format!("{PODS}/drained/eviction?dryRun=All"),
            eviction.clone(),
        ),
        Step::post(
            "eviction",
            &format!("{PODS}/drained/eviction?{AS}"),
            eviction.clone(),
        ),
        Step::post(
            "eviction",
            &format!("{PODS}/drained/eviction?{WOULD}"),
            eviction,
        ),
        Step::get("verb", &format!("{PODS}/drained")),
    ]
}

/// Taking out what is left of a node, and the node itself.
fn removals() -> Vec<Step> {
    let class = "verb";
    let replica = "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/replicas/first";
    let node = "/api/v1/nodes/k3s2";
    vec![
        Step::delete("dry run", &format!("{replica}?dryRun=All")),
        Step::delete(class, replica),
        Step::get(class, replica),
        Step::delete("dry run", &format!("{DISKS}?dryRun=All")),
        Step::delete(class, DISKS),
        Step::delete("dry run", "/api/v1/namespaces/table/secrets/keys?dryRun=All"),
        Step::delete(class, "/api/v1/namespaces/table/secrets/keys"),
        Step::delete("dry run", &format!("{node}?dryRun=All")),
        Step::get(class, node).keep("node", "/metadata/uid"),
        Step::delete("dry run", &format!("{node}?dryRun=All"))
            .body(json!({"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"], "preconditions": {"uid": "{node}"}, "propagationPolicy": "Background"})),
        Step::delete("dry run", &format!("{node}?dryRun=All"))
            .body(json!({"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"], "preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}}))
            .only(&["/reason", "/code"]),
        Step::delete("precondition", node)
            .body(json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}}))
            .only(&["/reason", "/code"]),
        Step::patch(
            "finalizer",
            &format!("{node}?{AS}"),
            "merge",
            json!({"metadata": {"finalizers": ["wrangler.cattle.io/node"]}}),
        ),
        Step::delete("finalizer", node)
            .body(json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "{node}"}, "propagationPolicy": "Background"})),
        Step::get("finalizer", node),
        Step::patch(
            "finalizer",
            &format!("{node}?{AS}"),
            "merge",
            json!({"metadata": {"finalizers": null}}),
        ),
        Step::get("finalizer", node),
    ]
}
