//! What k3s writes into a Node, as pure values; faults change what a machine says of itself.

use serde_json::{Value, json};

use crate::world::{
    cast::Cast,
    make::{now, object, stable_hex},
    scene::Scene,
};

/// The kubelet version that a node reports.
pub(crate) fn kubelet_version(scene: &Scene<'_>, name: &str) -> String {
    let version = scene.cast.k3s_version();
    if scene.fault("agent-version-newer") && name == scene.cast.node {
        next_minor(version)
    } else {
        version.to_owned()
    }
}

/// The first patch of the minor after `v1.33.5+k3s1`.
fn next_minor(version: &str) -> String {
    let minor = version
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse::<u32>().ok());
    format!("v1.{}.1+k3s1", minor.unwrap_or_default() + 1)
}

/// The Node as the kubelet registers it: nothing of k3s in it yet.
pub(crate) fn registered(scene: &Scene<'_>, name: &str) -> Value {
    object(
        "v1",
        "Node",
        "",
        name,
        json!({
            "metadata": {
                "labels": {
                    "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                },
                "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            },
            "spec": {"taints": [
                {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"},
                {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
            ]},
            "status": status(scene, name),
        }),
    )
}

/// Capacity, versions and identity of the machine.
pub(crate) fn status(scene: &Scene<'_>, name: &str) -> Value {
    let cast = scene.cast;
    // A cloned disk image brings the machine-id along; the firmware's UUID is copied by some hypervisors.
    let identity = if scene.fault("node-clone") {
        &cast.control_plane
    } else {
        name
    };
    let version = kubelet_version(scene, name);
    let capacity = json!({
        "cpu": "4", "ephemeral-storage": "101430960Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        "memory": "8131092Ki", "pods": "110",
    });
    let mut allocatable = capacity.clone();
    if name == cast.control_plane && scene.fault("pods-nearly-full") {
        allocatable["pods"] = "30".into();
    }
    allocatable["ephemeral-storage"] = "98672037776".into();
    let mut images =
        vec![json!({"names": ["docker.io/rancher/mirrored-pause:3.6"], "sizeBytes": 301_463})];
    if name == cast.control_plane {
        // local-path-provisioner has run its helper pods there.
        let busybox = "docker.io/rancher/mirrored-library-busybox:1.36.1";
        images.insert(0, json!({"names": [busybox], "sizeBytes": 2_158_744}));
    }
    json!({
        "capacity": capacity, "allocatable": allocatable,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": cast.machine_id(identity), "systemUUID": cast.system_uuid(identity),
            "bootID": cast.system_uuid(&format!("boot/{name}")), "kernelVersion": "6.1.0-37-amd64",
            "osImage": "Debian GNU/Linux 12 (bookworm)", "containerRuntimeVersion": "containerd://2.1.4-k3s1",
            "kubeletVersion": version, "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
        },
        "images": images,
    })
}

/// Whether the machine runs a server instead of an agent.
pub(crate) fn is_server(scene: &Scene<'_>, name: &str) -> bool {
    name == scene.cast.control_plane || scene.fault("agent-joined-as-server")
}

/// What the k3s process writes about itself (S3): arguments, environment, addresses.
pub(crate) fn k3s_annotations(scene: &Scene<'_>, name: &str) -> Value {
    let cast = scene.cast;
    let address = cast
        .address(name)
        .map(|ip| ip.to_string())
        .unwrap_or_default();
    let server = is_server(scene, name);
    let args = if name == cast.control_plane {
        json!([
            "server",
            "--node-ip",
            address,
            "--disable",
            "traefik",
            "--disable",
            "servicelb",
            "--secrets-encryption",
            "--kube-apiserver-arg",
            "audit-log-path=/var/lib/rancher/k3s/server/logs/audit.log",
            "--kube-apiserver-arg",
            "audit-policy-file=/etc/rancher/k3s/audit-policy.yaml",
        ])
    } else if server {
        json!(["server", "--node-ip", address])
    } else {
        json!(["agent", "--node-ip", address])
    };
    let mut args = args;
    if name == cast.control_plane
        && scene.fault("pod-range-exhausted")
        && let Some(list) = args.as_array_mut()
    {
        let first = cast.outside.as_ref().map_or(0, |it| it.first_range);
        list.extend([
            json!("--cluster-cidr"),
            json!(format!("10.42.{first}.0/24")),
        ]);
    }
    if name == cast.control_plane
        && scene.fault("network-policies-off")
        && let Some(list) = args.as_array_mut()
    {
        list.push(json!("--disable-network-policy"));
    }
    let environment = if name == cast.control_plane {
        json!({"K3S_TOKEN": "********"})
    } else {
        json!({"K3S_TOKEN": "********", "K3S_URL": format!("https://{}:6443", cast.control_plane_ip)})
    };
    let mut annotations = json!({
        "k3s.io/hostname": name, "k3s.io/internal-ip": address, "k3s.io/node-args": args.to_string(),
        "k3s.io/node-env": environment.to_string(),
        "k3s.io/node-config-hash": format!("{}====", stable_hex(&args.to_string(), 52).to_uppercase()),
        "alpha.kubernetes.io/provided-node-ip": address,
    });
    if name == cast.control_plane {
        annotations["k3s.io/encryption-config-hash"] = format!(
            "start-{}",
            stable_hex(&format!("encryption/{}", cast.cluster_uid), 64)
        )
        .into();
    }
    annotations
}

/// Labels of k3s (S4); a null removes one that no longer holds.
pub(crate) fn k3s_labels(scene: &Scene<'_>, name: &str) -> Value {
    let role = if is_server(scene, name) {
        json!("true")
    } else {
        Value::Null
    };
    json!({
        "node.kubernetes.io/instance-type": "k3s", "beta.kubernetes.io/instance-type": "k3s",
        "node-role.kubernetes.io/control-plane": role, "node-role.kubernetes.io/master": role,
    })
}

/// The addresses that the cloud controller writes (S4).
pub(crate) fn addresses(cast: &Cast, name: &str) -> Value {
    let address = cast
        .address(name)
        .map(|ip| ip.to_string())
        .unwrap_or_default();
    json!([{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}])
}

/// The flannel lease of a node (S6); nulls when the lease is gone.
pub(crate) fn flannel(scene: &Scene<'_>, name: &str) -> Value {
    let cast = scene.cast;
    let new = name == cast.node;
    let key = |part: &str| format!("flannel.alpha.coreos.com/{part}");
    let lost = if new {
        "cni-lease-missing"
    } else {
        "flannel-lease-lost"
    };
    if scene.fault(lost) {
        return json!({
            key("backend-data"): null, key("backend-type"): null, key("kube-subnet-manager"): null,
            key("public-ip"): null,
        });
    }
    let (backend, data) = if new && scene.fault("flannel-backend-differs") {
        ("host-gw", "null".to_owned())
    } else {
        let mac_of = if new && scene.fault("vtep-mac-duplicate") {
            &cast.control_plane
        } else {
            name
        };
        (
            "vxlan",
            json!({"VNI": 1, "VtepMAC": cast.vtep_mac(mac_of)}).to_string(),
        )
    };
    let address = if new && scene.fault("public-ip-differs") {
        "192.0.2.77".to_owned()
    } else {
        cast.address(name)
            .map(|ip| ip.to_string())
            .unwrap_or_default()
    };
    json!({
        key("backend-data"): data, key("backend-type"): backend, key("kube-subnet-manager"): "true",
        key("public-ip"): address,
    })
}

/// The kubelet's conditions. `network` says whether its CNI is configured.
pub(crate) fn conditions(scene: &Scene<'_>, name: &str, network: bool) -> Vec<Value> {
    let cast = scene.cast;
    let memory = name == cast.control_plane && scene.fault("cp-memory-pressure");
    let disk = name == cast.node && scene.fault("node-disk-pressure");
    let pressure = |kind: &str, on: bool, bad: (&str, &str), good: (&str, &str)| {
        let (reason, message) = if on { bad } else { good };
        json!({"type": kind, "status": if on { "True" } else { "False" }, "reason": reason, "message": message})
    };
    let ready = if name == cast.control_plane && scene.fault("control-plane-not-ready") {
        json!({
            "type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "container runtime is down",
        })
    } else if network {
        json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"})
    } else {
        json!({
            "type": "Ready", "status": "False", "reason": "KubeletNotReady",
            "message": "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                        message:Network plugin returns error: cni plugin not initialized",
        })
    };
    vec![
        pressure(
            "MemoryPressure",
            memory,
            (
                "KubeletHasInsufficientMemory",
                "kubelet has insufficient memory available",
            ),
            (
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available",
            ),
        ),
        pressure(
            "DiskPressure",
            disk,
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        pressure(
            "PIDPressure",
            false,
            (
                "KubeletHasInsufficientPID",
                "kubelet has insufficient PID available",
            ),
            (
                "KubeletHasSufficientPID",
                "kubelet has sufficient PID available",
            ),
        ),
        ready,
    ]
}

/// A kubelet's Lease.
pub(crate) fn lease(scene: &Scene<'_>, node: &Value) -> Value {
    let name = crate::world::make::name(node);
    object(
        "coordination.k8s.io/v1",
        "Lease",
        "kube-node-lease",
        name,
        json!({
            "metadata": {"ownerReferences": [{
                "apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"],
            }]},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renew_time(scene, name)},
        }),
    )
}

/// When the kubelet says that it renewed its Lease last.
pub(crate) fn renew_time(scene: &Scene<'_>, name: &str) -> String {
    // Compressed: what takes minutes to grow stale elsewhere is stale at once here.
    let silent = name == scene.cast.node
        && (scene.fault("kubelet-heartbeat-stale") || scene.fault("node-unreachable"));
    crate::world::make::micro_ago(std::time::Duration::from_secs(if silent { 300 } else { 0 }))
}

/// A condition with the kubelet's heartbeat.
pub(crate) fn with_heartbeat(mut conditions: Vec<Value>, old: &Value) -> Vec<Value> {
    for condition in &mut conditions {
        let there = crate::world::make::items(old)
            .iter()
            .find(|other| other["type"] == condition["type"]);
        condition["lastHeartbeatTime"] = match there {
            Some(there)
                if there["status"] == condition["status"]
                    && there["lastHeartbeatTime"].is_string() =>
            {
                there["lastHeartbeatTime"].clone()
            }
            _ => now().into(),
        };
    }
    conditions
}
