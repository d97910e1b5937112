//! The kinds of objects that the world deals with, and where the API keeps them.

use serde_json::Value;

/// One kind of object: what kubectl calls a resource.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Res {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) namespaced: bool,
}

impl Res {
    const fn of(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        namespaced: bool,
    ) -> Self {
        Self {
            group,
            version,
            kind,
            plural,
            namespaced,
        }
    }

    /// `v1` or `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// The path of the collection, in one namespace unless it is empty.
    pub(crate) fn collection(&self, namespace: &str) -> String {
        collection(
            &self.api_version(),
            self.plural,
            if self.namespaced { namespace } else { "" },
        )
    }

    /// The path of one object.
    pub(crate) fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection(namespace))
    }

    /// What kube-rs calls it.
    pub(crate) fn api_resource(&self) -> kube::core::ApiResource {
        kube::core::ApiResource {
            group: self.group.into(),
            version: self.version.into(),
            api_version: self.api_version(),
            kind: self.kind.into(),
            plural: self.plural.into(),
        }
    }
}

/// `v1` or `apps/v1`.
pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// The path of a collection; all namespaces, or the cluster, when `namespace` is empty.
pub(crate) fn collection(api_version: &str, plural: &str, namespace: &str) -> String {
    let root = if api_version.contains('/') {
        "apis"
    } else {
        "api"
    };
    if namespace.is_empty() {
        format!("/{root}/{api_version}/{plural}")
    } else {
        format!("/{root}/{api_version}/namespaces/{namespace}/{plural}")
    }
}

/// Events are written and never looked at.
pub(crate) static EVENTS: Res = Res::of("", "v1", "Event", "events", true);

/// The kind of an object as it describes itself, when it is one that the world deals with.
pub(crate) fn of(object: &Value) -> Option<&'static Res> {
    by_kind(object["apiVersion"].as_str()?, object["kind"].as_str()?)
}

/// The kind with this `apiVersion` and `kind`; the version is not looked at, since the world knows one of each.
pub(crate) fn by_kind(api_version: &str, kind: &str) -> Option<&'static Res> {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    ALL.iter()
        .copied()
        .chain([&EVENTS])
        .find(|res| res.group == group && res.kind == kind)
}

macro_rules! kinds {
    ($($id:ident $group:literal $version:literal $kind:literal $plural:literal $scope:literal;)*) => {
        $(pub(crate) static $id: Res = Res::of($group, $version, $kind, $plural, $scope);)*
        /// Every kind that the world watches.
        pub(crate) static ALL: &[&Res] = &[$(&$id),*];
    };
}

kinds! {
    NODES "" "v1" "Node" "nodes" false;
    NAMESPACES "" "v1" "Namespace" "namespaces" false;
    PODS "" "v1" "Pod" "pods" true;
    SERVICES "" "v1" "Service" "services" true;
    CONFIG_MAPS "" "v1" "ConfigMap" "configmaps" true;
    SECRETS "" "v1" "Secret" "secrets" true;
    SERVICE_ACCOUNTS "" "v1" "ServiceAccount" "serviceaccounts" true;
    CLAIMS "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims" true;
    VOLUMES "" "v1" "PersistentVolume" "persistentvolumes" false;
    DEPLOYMENTS "apps" "v1" "Deployment" "deployments" true;
    REPLICA_SETS "apps" "v1" "ReplicaSet" "replicasets" true;
    DAEMON_SETS "apps" "v1" "DaemonSet" "daemonsets" true;
    STATEFUL_SETS "apps" "v1" "StatefulSet" "statefulsets" true;
    JOBS "batch" "v1" "Job" "jobs" true;
    BUDGETS "policy" "v1" "PodDisruptionBudget" "poddisruptionbudgets" true;
    SLICES "discovery.k8s.io" "v1" "EndpointSlice" "endpointslices" true;
    QUOTAS "" "v1" "ResourceQuota" "resourcequotas" true;
    SIGNING_REQUESTS "certificates.k8s.io" "v1" "CertificateSigningRequest" "certificatesigningrequests" false;
    CSI_DRIVERS "storage.k8s.io" "v1" "CSIDriver" "csidrivers" false;
    LEASES "coordination.k8s.io" "v1" "Lease" "leases" true;
    CSI_NODES "storage.k8s.io" "v1" "CSINode" "csinodes" false;
    STORAGE_CLASSES "storage.k8s.io" "v1" "StorageClass" "storageclasses" false;
    ATTACHMENTS "storage.k8s.io" "v1" "VolumeAttachment" "volumeattachments" false;
    API_SERVICES "apiregistration.k8s.io" "v1" "APIService" "apiservices" false;
    CLUSTER_ROLES "rbac.authorization.k8s.io" "v1" "ClusterRole" "clusterroles" false;
    CLUSTER_ROLE_BINDINGS "rbac.authorization.k8s.io" "v1" "ClusterRoleBinding" "clusterrolebindings" false;
    GIT_REPOSITORIES "source.toolkit.fluxcd.io" "v1" "GitRepository" "gitrepositories" true;
    KUSTOMIZATIONS "kustomize.toolkit.fluxcd.io" "v1" "Kustomization" "kustomizations" true;
    HELM_RELEASES "helm.toolkit.fluxcd.io" "v2" "HelmRelease" "helmreleases" true;
    HELM_REPOSITORIES "source.toolkit.fluxcd.io" "v1" "HelmRepository" "helmrepositories" true;
    LH_NODES "longhorn.io" "v1beta2" "Node" "nodes" true;
    LH_VOLUMES "longhorn.io" "v1beta2" "Volume" "volumes" true;
    LH_REPLICAS "longhorn.io" "v1beta2" "Replica" "replicas" true;
    LH_ENGINES "longhorn.io" "v1beta2" "Engine" "engines" true;
    LH_INSTANCE_MANAGERS "longhorn.io" "v1beta2" "InstanceManager" "instancemanagers" true;
    LH_ENGINE_IMAGES "longhorn.io" "v1beta2" "EngineImage" "engineimages" true;
    LH_SETTINGS "longhorn.io" "v1beta2" "Setting" "settings" true;
    LH_BACKUP_TARGETS "longhorn.io" "v1beta2" "BackupTarget" "backuptargets" true;
    SERVICE_MONITORS "monitoring.coreos.com" "v1" "ServiceMonitor" "servicemonitors" true;
    RULES "monitoring.coreos.com" "v1" "PrometheusRule" "prometheusrules" true;
    NODE_METRICS "metrics.k8s.io" "v1beta1" "NodeMetrics" "nodes" false;
}
