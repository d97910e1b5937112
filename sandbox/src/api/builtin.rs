//! The resources that every API server has.

use super::resource::Resource;

const CLUSTER: bool = false;
const NAMESPACED: bool = true;

type Row = (&'static str, &'static [&'static str], &'static str, &'static str, bool, &'static [&'static str], bool);

/// Group, served versions, plural, kind, namespaced, short names, status subresource.
const TABLE: &[Row] = &[
    ("", &["v1"], "bindings", "Binding", NAMESPACED, &[], false),
    ("", &["v1"], "configmaps", "ConfigMap", NAMESPACED, &["cm"], false),
    ("", &["v1"], "endpoints", "Endpoints", NAMESPACED, &["ep"], false),
    ("", &["v1"], "events", "Event", NAMESPACED, &["ev"], false),
    ("", &["v1"], "limitranges", "LimitRange", NAMESPACED, &["limits"], false),
    ("", &["v1"], "namespaces", "Namespace", CLUSTER, &["ns"], true),
    ("", &["v1"], "nodes", "Node", CLUSTER, &["no"], true),
    ("", &["v1"], "persistentvolumeclaims", "PersistentVolumeClaim", NAMESPACED, &["pvc"], true),
    ("", &["v1"], "persistentvolumes", "PersistentVolume", CLUSTER, &["pv"], true),
    ("", &["v1"], "pods", "Pod", NAMESPACED, &["po"], true),
    ("", &["v1"], "podtemplates", "PodTemplate", NAMESPACED, &[], false),
    ("", &["v1"], "replicationcontrollers", "ReplicationController", NAMESPACED, &["rc"], true),
    ("", &["v1"], "resourcequotas", "ResourceQuota", NAMESPACED, &["quota"], true),
    ("", &["v1"], "secrets", "Secret", NAMESPACED, &[], false),
    ("", &["v1"], "serviceaccounts", "ServiceAccount", NAMESPACED, &["sa"], false),
    ("", &["v1"], "services", "Service", NAMESPACED, &["svc"], true),
    ("admissionregistration.k8s.io", &["v1"], "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", CLUSTER, &[], false),
    ("admissionregistration.k8s.io", &["v1"], "validatingadmissionpolicies", "ValidatingAdmissionPolicy", CLUSTER, &[], true),
    ("admissionregistration.k8s.io", &["v1"], "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", CLUSTER, &[], false),
    ("admissionregistration.k8s.io", &["v1"], "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", CLUSTER, &[], false),
    ("apiextensions.k8s.io", &["v1"], "customresourcedefinitions", "CustomResourceDefinition", CLUSTER, &["crd", "crds"], true),
    ("apiregistration.k8s.io", &["v1"], "apiservices", "APIService", CLUSTER, &[], true),
    ("apps", &["v1"], "controllerrevisions", "ControllerRevision", NAMESPACED, &[], false),
    ("apps", &["v1"], "daemonsets", "DaemonSet", NAMESPACED, &["ds"], true),
    ("apps", &["v1"], "deployments", "Deployment", NAMESPACED, &["deploy"], true),
    ("apps", &["v1"], "replicasets", "ReplicaSet", NAMESPACED, &["rs"], true),
    ("apps", &["v1"], "statefulsets", "StatefulSet", NAMESPACED, &["sts"], true),
    ("authentication.k8s.io", &["v1"], "selfsubjectreviews", "SelfSubjectReview", CLUSTER, &[], false),
    ("authentication.k8s.io", &["v1"], "tokenreviews", "TokenReview", CLUSTER, &[], false),
    ("authorization.k8s.io", &["v1"], "localsubjectaccessreviews", "LocalSubjectAccessReview", NAMESPACED, &[], false),
    ("authorization.k8s.io", &["v1"], "selfsubjectaccessreviews", "SelfSubjectAccessReview", CLUSTER, &[], false),
    ("authorization.k8s.io", &["v1"], "selfsubjectrulesreviews", "SelfSubjectRulesReview", CLUSTER, &[], false),
    ("authorization.k8s.io", &["v1"], "subjectaccessreviews", "SubjectAccessReview", CLUSTER, &[], false),
    ("autoscaling", &["v2"], "horizontalpodautoscalers", "HorizontalPodAutoscaler", NAMESPACED, &["hpa"], true),
    ("batch", &["v1"], "cronjobs", "CronJob", NAMESPACED, &["cj"], true),
    ("batch", &["v1"], "jobs", "Job", NAMESPACED, &[], true),
    ("certificates.k8s.io", &["v1"], "certificatesigningrequests", "CertificateSigningRequest", CLUSTER, &["csr"], true),
    ("coordination.k8s.io", &["v1"], "leases", "Lease", NAMESPACED, &[], false),
    ("discovery.k8s.io", &["v1"], "endpointslices", "EndpointSlice", NAMESPACED, &[], false),
    ("events.k8s.io", &["v1"], "events", "Event", NAMESPACED, &["ev"], false),
    ("flowcontrol.apiserver.k8s.io", &["v1"], "flowschemas", "FlowSchema", CLUSTER, &[], true),
    ("flowcontrol.apiserver.k8s.io", &["v1"], "prioritylevelconfigurations", "PriorityLevelConfiguration", CLUSTER, &[], true),
    ("metrics.k8s.io", &["v1beta1"], "nodes", "NodeMetrics", CLUSTER, &[], false),
    ("metrics.k8s.io", &["v1beta1"], "pods", "PodMetrics", NAMESPACED, &[], false),
    ("networking.k8s.io", &["v1"], "ingressclasses", "IngressClass", CLUSTER, &[], false),
    ("networking.k8s.io", &["v1"], "ingresses", "Ingress", NAMESPACED, &["ing"], true),
    ("networking.k8s.io", &["v1"], "ipaddresses", "IPAddress", CLUSTER, &["ip"], false),
    ("networking.k8s.io", &["v1"], "networkpolicies", "NetworkPolicy", NAMESPACED, &["netpol"], false),
    ("networking.k8s.io", &["v1"], "servicecidrs", "ServiceCIDR", CLUSTER, &[], true),
    ("node.k8s.io", &["v1"], "runtimeclasses", "RuntimeClass", CLUSTER, &[], false),
    ("policy", &["v1"], "poddisruptionbudgets", "PodDisruptionBudget", NAMESPACED, &["pdb"], true),
    ("rbac.authorization.k8s.io", &["v1"], "clusterrolebindings", "ClusterRoleBinding", CLUSTER, &[], false),
    ("rbac.authorization.k8s.io", &["v1"], "clusterroles", "ClusterRole", CLUSTER, &[], false),
    ("rbac.authorization.k8s.io", &["v1"], "rolebindings", "RoleBinding", NAMESPACED, &[], false),
    ("rbac.authorization.k8s.io", &["v1"], "roles", "Role", NAMESPACED, &[], false),
    ("scheduling.k8s.io", &["v1"], "priorityclasses", "PriorityClass", CLUSTER, &["pc"], false),
    ("storage.k8s.io", &["v1"], "csidrivers", "CSIDriver", CLUSTER, &[], false),
    ("storage.k8s.io", &["v1"], "csinodes", "CSINode", CLUSTER, &[], false),
    ("storage.k8s.io", &["v1"], "csistoragecapacities", "CSIStorageCapacity", NAMESPACED, &[], false),
    ("storage.k8s.io", &["v1"], "storageclasses", "StorageClass", CLUSTER, &["sc"], false),
    ("storage.k8s.io", &["v1"], "volumeattachments", "VolumeAttachment", CLUSTER, &[], true),
];

const ALL: &[&str] = &[
    "pods", "services", "replicationcontrollers", "daemonsets", "deployments", "replicasets", "statefulsets",
    "cronjobs", "jobs", "horizontalpodautoscalers",
];

/// Builds the table of built-in resources.
pub(crate) fn resources() -> Vec<Resource> {
    TABLE
        .iter()
        .map(|&(group, versions, plural, kind, namespaced, short, status)| Resource {
            group: group.to_owned(),
            versions: versions.iter().map(|v| (*v).to_owned()).collect(),
            storage: versions.first().copied().unwrap_or("v1").to_owned(),
            plural: plural.to_owned(),
            singular: kind.to_lowercase(),
            kind: kind.to_owned(),
            list_kind: format!("{kind}List"),
            namespaced,
            short_names: short.iter().map(|s| (*s).to_owned()).collect(),
            categories: categories(group, plural),
            status,
            subresources: subresources(group, plural),
            virtual_: matches!(group, "authorization.k8s.io" | "authentication.k8s.io") || plural == "bindings",
            custom: None,
        })
        .collect()
}

fn categories(group: &str, plural: &str) -> Vec<String> {
    if matches!(group, "" | "apps" | "batch" | "autoscaling") && ALL.contains(&plural) {
        return vec!["all".to_owned()];
    }
    match group {
        "apiextensions.k8s.io" | "apiregistration.k8s.io" | "admissionregistration.k8s.io" => {
            vec!["api-extensions".to_owned()]
        }
        _ => Vec::new(),
    }
}

fn subresources(group: &str, plural: &str) -> Vec<(&'static str, &'static str)> {
    match (group, plural) {
        ("", "pods") => vec![("binding", "Binding"), ("eviction", "Eviction"), ("log", "Pod")],
        ("", "nodes") => vec![("proxy", "NodeProxyOptions")],
        ("", "services") => vec![("proxy", "ServiceProxyOptions")],
        ("", "serviceaccounts") => vec![("token", "TokenRequest")],
        ("", "namespaces") => vec![("finalize", "Namespace")],
        ("", "replicationcontrollers") | ("apps", "deployments" | "replicasets" | "statefulsets") => {
            vec![("scale", "Scale")]
        }
        ("certificates.k8s.io", _) => vec![("approval", "CertificateSigningRequest")],
        _ => Vec::new(),
    }
}
