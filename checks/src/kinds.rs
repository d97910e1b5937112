//! The kinds of object that are read, each named once.

/// A kind of object as the API serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// Group, empty for core.
    pub group: &'static str,
    /// Versions that our types can read, best first. One that the cluster serves is chosen by discovery.
    pub versions: &'static [&'static str],
    /// Plural, as in paths.
    pub plural: &'static str,
    /// Kind, as in manifests.
    pub kind: &'static str,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
}

impl Kind {
    const fn cluster(
        group: &'static str,
        versions: &'static [&'static str],
        plural: &'static str,
        kind: &'static str,
    ) -> Self {
        Self {
            group,
            versions,
            plural,
            kind,
            namespaced: false,
        }
    }

    const fn namespaced(
        group: &'static str,
        versions: &'static [&'static str],
        plural: &'static str,
        kind: &'static str,
    ) -> Self {
        Self {
            group,
            versions,
            plural,
            kind,
            namespaced: true,
        }
    }

    /// `nodes.longhorn.io`, or only the plural for the core group: what `kubectl get` takes.
    #[must_use]
    pub fn name(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $scope:ident($group:expr, $versions:expr, $plural:expr, $kind:expr);)*) => {
        $($(#[$doc])* pub static $name: Kind = Kind::$scope($group, $versions, $plural, $kind);)*
        /// Every kind in this file.
        pub static ALL: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    /// Nodes.
    NODES = cluster("", &["v1"], "nodes", "Node");
    /// Pods.
    PODS = namespaced("", &["v1"], "pods", "Pod");
    /// Services.
    SERVICES = namespaced("", &["v1"], "services", "Service");
    /// Secrets.
    SECRETS = namespaced("", &["v1"], "secrets", "Secret");
    /// ConfigMaps.
    CONFIGMAPS = namespaced("", &["v1"], "configmaps", "ConfigMap");
    /// Namespaces.
    NAMESPACES = cluster("", &["v1"], "namespaces", "Namespace");
    /// Events.
    EVENTS = namespaced("", &["v1"], "events", "Event");
    /// PersistentVolumeClaims.
    CLAIMS = namespaced("", &["v1"], "persistentvolumeclaims", "PersistentVolumeClaim");
    /// PersistentVolumes.
    PERSISTENT_VOLUMES = cluster("", &["v1"], "persistentvolumes", "PersistentVolume");
    /// ResourceQuotas.
    RESOURCE_QUOTAS = namespaced("", &["v1"], "resourcequotas", "ResourceQuota");
    /// Deployments.
    DEPLOYMENTS = namespaced("apps", &["v1"], "deployments", "Deployment");
    /// DaemonSets.
    DAEMONSETS = namespaced("apps", &["v1"], "daemonsets", "DaemonSet");
    /// StatefulSets.
    STATEFULSETS = namespaced("apps", &["v1"], "statefulsets", "StatefulSet");
    /// Leases.
    LEASES = namespaced("coordination.k8s.io", &["v1"], "leases", "Lease");
    /// EndpointSlices.
    ENDPOINT_SLICES = namespaced("discovery.k8s.io", &["v1"], "endpointslices", "EndpointSlice");
    /// PodDisruptionBudgets.
    DISRUPTION_BUDGETS = namespaced("policy", &["v1"], "poddisruptionbudgets", "PodDisruptionBudget");
    /// StorageClasses.
    STORAGE_CLASSES = cluster("storage.k8s.io", &["v1"], "storageclasses", "StorageClass");
    /// CSIDrivers.
    CSI_DRIVERS = cluster("storage.k8s.io", &["v1"], "csidrivers", "CSIDriver");
    /// CSINodes.
    CSI_NODES = cluster("storage.k8s.io", &["v1"], "csinodes", "CSINode");
    /// The attachments that Kubernetes keeps, not Longhorn's.
    VOLUME_ATTACHMENTS = cluster("storage.k8s.io", &["v1"], "volumeattachments", "VolumeAttachment");
    /// NetworkPolicies.
    NETWORK_POLICIES = namespaced("networking.k8s.io", &["v1"], "networkpolicies", "NetworkPolicy");
    /// IngressClasses.
    INGRESS_CLASSES = cluster("networking.k8s.io", &["v1"], "ingressclasses", "IngressClass");
    /// ServiceCIDRs.
    SERVICE_CIDRS = cluster("networking.k8s.io", &["v1", "v1beta1"], "servicecidrs", "ServiceCIDR");
    /// ClusterRoles.
    CLUSTER_ROLES = cluster("rbac.authorization.k8s.io", &["v1"], "clusterroles", "ClusterRole");
    /// ClusterRoleBindings.
    CLUSTER_ROLE_BINDINGS = cluster("rbac.authorization.k8s.io", &["v1"], "clusterrolebindings", "ClusterRoleBinding");
    /// CertificateSigningRequests.
    SIGNING_REQUESTS = cluster("certificates.k8s.io", &["v1"], "certificatesigningrequests", "CertificateSigningRequest");
    /// Validating webhooks.
    VALIDATING_WEBHOOKS = cluster("admissionregistration.k8s.io", &["v1"], "validatingwebhookconfigurations", "ValidatingWebhookConfiguration");
    /// Mutating webhooks.
    MUTATING_WEBHOOKS = cluster("admissionregistration.k8s.io", &["v1"], "mutatingwebhookconfigurations", "MutatingWebhookConfiguration");
    /// CustomResourceDefinitions.
    CRDS = cluster("apiextensions.k8s.io", &["v1"], "customresourcedefinitions", "CustomResourceDefinition");
    /// APIServices.
    API_SERVICES = cluster("apiregistration.k8s.io", &["v1"], "apiservices", "APIService");
    /// Usage of nodes, from metrics-server.
    NODE_METRICS = cluster("metrics.k8s.io", &["v1beta1"], "nodes", "NodeMetrics");

    /// Flux: git sources.
    GIT_REPOSITORIES = namespaced("source.toolkit.fluxcd.io", &["v1", "v1beta2", "v1beta1"], "gitrepositories", "GitRepository");
    /// Flux: what is applied from a source.
    KUSTOMIZATIONS = namespaced("kustomize.toolkit.fluxcd.io", &["v1", "v1beta2", "v1beta1"], "kustomizations", "Kustomization");
    /// Flux: Helm releases.
    HELM_RELEASES = namespaced("helm.toolkit.fluxcd.io", &["v2", "v2beta2", "v2beta1"], "helmreleases", "HelmRelease");

    /// Longhorn: nodes with their disks.
    LONGHORN_NODES = namespaced("longhorn.io", &["v1beta2"], "nodes", "Node");
    /// Longhorn: volumes.
    LONGHORN_VOLUMES = namespaced("longhorn.io", &["v1beta2"], "volumes", "Volume");
    /// Longhorn: replicas.
    LONGHORN_REPLICAS = namespaced("longhorn.io", &["v1beta2"], "replicas", "Replica");
    /// Longhorn: engines.
    LONGHORN_ENGINES = namespaced("longhorn.io", &["v1beta2"], "engines", "Engine");
    /// Longhorn: instance managers.
    LONGHORN_INSTANCE_MANAGERS = namespaced("longhorn.io", &["v1beta2"], "instancemanagers", "InstanceManager");
    /// Longhorn: engine images.
    LONGHORN_ENGINE_IMAGES = namespaced("longhorn.io", &["v1beta2"], "engineimages", "EngineImage");
    /// Longhorn: settings.
    LONGHORN_SETTINGS = namespaced("longhorn.io", &["v1beta2"], "settings", "Setting");
    /// Longhorn: backup targets.
    LONGHORN_BACKUP_TARGETS = namespaced("longhorn.io", &["v1beta2"], "backuptargets", "BackupTarget");

    /// Prometheus operator: instances.
    PROMETHEUSES = namespaced("monitoring.coreos.com", &["v1"], "prometheuses", "Prometheus");
    /// Prometheus operator: what is scraped by Service.
    SERVICE_MONITORS = namespaced("monitoring.coreos.com", &["v1"], "servicemonitors", "ServiceMonitor");
    /// Prometheus operator: what is scraped by pod.
    POD_MONITORS = namespaced("monitoring.coreos.com", &["v1"], "podmonitors", "PodMonitor");
    /// Prometheus operator: rules.
    PROMETHEUS_RULES = namespaced("monitoring.coreos.com", &["v1"], "prometheusrules", "PrometheusRule");
}
