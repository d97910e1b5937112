//! kube-system as k3s sets it up: DNS, metrics, local storage, and what identifies the cluster.

use serde_json::{Value, json};

use crate::world::{
    cast::{Cast, DNS_ADDRESS},
    make::{merge, object},
};

use super::workload::{container, deployment, namespace, restricted, service};

const SYSTEM: &str = "kube-system";
const COREFILE: &str = ".:53 {\n    errors\n    health\n    ready\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n      pods insecure\n      fallthrough in-addr.arpa ip6.arpa\n    }\n    hosts /etc/coredns/NodeHosts {\n      ttl 60\n      reload 15s\n      fallthrough\n    }\n    prometheus :9153\n    forward . /etc/resolv.conf\n    cache 30\n    loop\n    reload\n    loadbalance\n}\n";

pub(super) fn objects(cast: &Cast) -> Vec<Value> {
    let mut system = namespace(SYSTEM, "privileged");
    system["metadata"]["uid"] = cast.cluster_uid.clone().into();
    let mut all = vec![system, kubernetes_service(), service_cidr()];
    all.extend(kubernetes_endpoints(cast));
    all.extend(dns());
    all.extend(metrics());
    all.extend(local_path());
    for (name, value) in [
        ("system-node-critical", 2_000_001_000_u64),
        ("system-cluster-critical", 2_000_000_000),
        ("longhorn-critical", 1_000_000_000),
    ] {
        let body = json!({"value": value, "globalDefault": false, "description": "", "preemptionPolicy": "PreemptLowerPriority"});
        all.push(object(
            "scheduling.k8s.io/v1",
            "PriorityClass",
            "",
            name,
            body,
        ));
    }
    all
}

fn kubernetes_service() -> Value {
    let mut kubernetes = service(
        "default",
        "kubernetes",
        &json!({"component": "apiserver", "provider": "kubernetes"}),
        &Value::Null,
        &[("https", 443, "6443")],
    );
    merge(
        &mut kubernetes,
        json!({"spec": {
            "clusterIP": "10.43.0.1", "clusterIPs": ["10.43.0.1"], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
        }}),
    );
    kubernetes["spec"]
        .as_object_mut()
        .map(|spec| spec.remove("selector"));
    kubernetes
}

fn kubernetes_endpoints(cast: &Cast) -> Option<Value> {
    Some(object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "default",
        "kubernetes",
        json!({
            "metadata": {"labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4", "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
            "endpoints": [{"addresses": [cast.control_plane_ip.to_string()], "conditions": {"ready": true}}],
        }),
    ))
}

fn service_cidr() -> Value {
    object(
        "networking.k8s.io/v1",
        "ServiceCIDR",
        "",
        "kubernetes",
        json!({
            "spec": {"cidrs": ["10.43.0.0/16"]},
            "status": {"conditions": [{
                "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready",
                "lastTransitionTime": crate::world::make::now(),
            }]},
        }),
    )
}

fn config_map(name: &str, data: Value) -> Value {
    object("v1", "ConfigMap", SYSTEM, name, json!({"data": data}))
}

fn dns() -> Vec<Value> {
    let select = json!({"k8s-app": "kube-dns"});
    let labels = json!({"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"});
    let mut spec = restricted(vec![container(
        "coredns",
        "docker.io/rancher/mirrored-coredns-coredns:1.12.3",
        &[("dns-tcp", 53), ("metrics", 9153)],
    )]);
    merge(
        &mut spec,
        json!({
            "priorityClassName": "system-cluster-critical", "serviceAccountName": "coredns", "dnsPolicy": "Default",
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [
                {"key": "CriticalAddonsOnly", "operator": "Exists"},
                {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"},
            ],
        }),
    );
    let mut kube_dns = service(
        SYSTEM,
        "kube-dns",
        &select,
        &select,
        &[
            ("dns", 53, "53"),
            ("dns-tcp", 53, "53"),
            ("metrics", 9153, "9153"),
        ],
    );
    kube_dns["spec"]["ports"][0]["protocol"] = "UDP".into();
    merge(
        &mut kube_dns,
        json!({"spec": {"clusterIP": DNS_ADDRESS, "clusterIPs": [DNS_ADDRESS], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}}),
    );
    vec![
        config_map("coredns", json!({"Corefile": COREFILE, "NodeHosts": ""})),
        config_map(
            "cluster-dns",
            json!({"clusterDNS": DNS_ADDRESS, "clusterDomain": "cluster.local"}),
        ),
        deployment(SYSTEM, "coredns", &labels, &select, spec),
        kube_dns,
    ]
}

fn metrics() -> Vec<Value> {
    let labels = json!({"k8s-app": "metrics-server"});
    let mut spec = restricted(vec![container(
        "metrics-server",
        "docker.io/rancher/mirrored-metrics-server:v0.8.0",
        &[("https", 10250)],
    )]);
    merge(
        &mut spec,
        json!({"priorityClassName": "system-node-critical", "serviceAccountName": "metrics-server"}),
    );
    vec![
        deployment(SYSTEM, "metrics-server", &labels, &labels, spec),
        service(
            SYSTEM,
            "metrics-server",
            &labels,
            &labels,
            &[("https", 443, "https")],
        ),
        object(
            "apiregistration.k8s.io/v1",
            "APIService",
            "",
            "v1beta1.metrics.k8s.io",
            json!({"spec": {
                "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": true, "service": {"name": "metrics-server", "namespace": SYSTEM, "port": 443},
            }}),
        ),
    ]
}

fn local_path() -> Vec<Value> {
    let labels = json!({"app": "local-path-provisioner"});
    let helper = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: helper-pod\nspec:\n  containers:\n  - name: helper-pod\n    image: \"docker.io/rancher/mirrored-library-busybox:1.36.1\"\n    imagePullPolicy: IfNotPresent\n";
    let config = json!({"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": ["/var/lib/rancher/k3s/storage"]}]});
    let mut spec = restricted(vec![container(
        "local-path-provisioner",
        "docker.io/rancher/local-path-provisioner:v0.0.31",
        &[],
    )]);
    merge(
        &mut spec,
        json!({"serviceAccountName": "local-path-provisioner-service-account"}),
    );
    vec![
        config_map(
            "local-path-config",
            json!({
                "config.json": config.to_string(), "helperPod.yaml": helper,
                "setup": "#!/bin/sh\nset -eu\nmkdir -m 0777 -p \"${VOL_DIR}\"\n",
                "teardown": "#!/bin/sh\nset -eu\nrm -rf \"${VOL_DIR}\"\n",
            }),
        ),
        deployment(SYSTEM, "local-path-provisioner", &labels, &labels, spec),
        object(
            "storage.k8s.io/v1",
            "StorageClass",
            "",
            "local-path",
            json!({
                // Longhorn is the default here.
                "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "false"}},
                "provisioner": "rancher.io/local-path", "reclaimPolicy": "Delete",
                "volumeBindingMode": "WaitForFirstConsumer",
            }),
        ),
    ]
}
