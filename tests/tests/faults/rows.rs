//! The rows: what each trouble leads to.

/// A fault and what follows from it.
pub(crate) struct Row {
    pub(crate) fault: &'static str,
    pub(crate) expected: Expected,
    /// Whether the trouble comes to a node that is already in: the cluster begins onboarded.
    pub(crate) late: bool,
    /// Whether what it left has to be cleared away by hand, as the hint says: the pods of the node start again.
    pub(crate) restart: bool,
}

/// What an onboarding makes of it.
#[derive(Clone, Copy)]
pub(crate) enum Expected {
    /// It stops in the phase of this check or action, which gives this reason.
    Stops {
        id: &'static str,
        reason: &'static str,
        /// The phase's limit on the sandbox, so that the wait for what will not come is short.
        seconds: u32,
    },
    /// It completes, and this check warns for this reason.
    Warns {
        id: &'static str,
        reason: &'static str,
    },
    /// It completes with the verdicts that it has without.
    SameVerdicts,
}

/// Long enough for what a healthy world needs in a phase, short enough to wait in vain.
const SECONDS: u32 = 5;

const fn row(fault: &'static str, expected: Expected) -> Row {
    Row {
        fault,
        expected,
        late: false,
        restart: false,
    }
}

const fn stops(fault: &'static str, id: &'static str, reason: &'static str) -> Row {
    let seconds = SECONDS;
    row(
        fault,
        Expected::Stops {
            id,
            reason,
            seconds,
        },
    )
}

/// Where several things are tried one after the other, each of which takes its share of the phase's time.
const fn patient(fault: &'static str, id: &'static str, reason: &'static str) -> Row {
    let seconds = 20;
    row(
        fault,
        Expected::Stops {
            id,
            reason,
            seconds,
        },
    )
}

const fn warns(fault: &'static str, id: &'static str, reason: &'static str) -> Row {
    row(fault, Expected::Warns { id, reason })
}

const fn wire(fault: &'static str) -> Row {
    row(fault, Expected::SameVerdicts)
}

const fn late(row: Row) -> Row {
    Row { late: true, ..row }
}

const fn restart(row: Row) -> Row {
    Row {
        restart: true,
        ..row
    }
}

pub(crate) const ROWS: &[Row] = &[
    // git and Flux
    stops("push-refused", "gitops::push", "PushRejected"),
    stops("git-remote-unreachable", "gitops::remote", "RemoteAbsent"),
    stops("git-remote-moved", "gitops::remote", "RemoteAhead"),
    stops(
        "flux-source-unreachable",
        "pre::flux_sources",
        "SourceNotReady",
    ),
    stops(
        "flux-kustomization-stalled",
        "pre::flux_kustomizations",
        "KustomizationStalled",
    ),
    stops(
        "flux-suspended",
        "pre::flux_kustomizations",
        "KustomizationSuspended",
    ),
    stops(
        "flux-controller-down",
        "pre::flux_controllers",
        "ControllerUnavailable",
    ),
    stops(
        "flux-artifact-late",
        "gitops::reconcile",
        "RevisionNotAttempted",
    ),
    // The join
    stops("node-never-registers", "join::registered", "NotSeen"),
    stops("node-not-ready", "join::ready", "NodeNotReady"),
    stops("cni-lease-missing", "join::cni_lease", "NoNetworkLease"),
    stops(
        "node-password-conflict",
        "pre::node_password_free",
        "StalePassword",
    ),
    stops("node-clone", "join::not_a_clone", "SharedIdentity"),
    stops("agent-version-newer", "join::version", "NewerThanServer"),
    stops("agent-joined-as-server", "join::is_agent", "IsServer"),
    stops(
        "kubelet-heartbeat-stale",
        "join::heartbeat",
        "HeartbeatStale",
    ),
    stops("node-unreachable", "join::ready", "NodeNotReady"),
    stops("node-disk-pressure", "join::pressure", "NodePressure"),
    stops(
        "daemonset-pod-crashing",
        "join::daemonset_pods",
        "DaemonSetPodNotReady",
    ),
    // Longhorn
    stops(
        "longhorn-manager-crashing-on-node",
        "join::daemonset_pods",
        "DaemonSetPodNotReady",
    ),
    stops(
        "longhorn-disk-not-schedulable",
        "storage::disks_schedulable",
        "DiskPressure",
    ),
    stops(
        "longhorn-disk-not-ready",
        "storage::disks_ready",
        "NoDiskInfo",
    ),
    stops(
        "longhorn-disk-full",
        "storage::disks_schedulable",
        "DiskPressure",
    ),
    warns(
        "longhorn-packages-missing",
        "storage::environment",
        "PackagesMissing",
    ),
    warns(
        "longhorn-multipathd-running",
        "storage::environment",
        "MultipathdRuns",
    ),
    stops(
        "longhorn-csi-missing-on-node",
        "join::daemonset_pods",
        "DaemonSetPodNotReady",
    ),
    stops(
        "longhorn-webhook-down",
        "pre::admission_webhooks",
        "WebhookDead",
    ),
    stops(
        "longhorn-volume-faulted",
        "pre::longhorn_volumes",
        "VolumeFaulted",
    ),
    warns(
        "longhorn-volume-degraded",
        "pre::longhorn_volumes",
        "VolumeDegraded",
    ),
    stops(
        "longhorn-instance-manager-down",
        "storage::instance_manager",
        "InstanceManagerNotRunning",
    ),
    stops("longhorn-stray-node", "storage::no_stray_node", "StrayNode"),
    stops(
        "storageclass-missing",
        "pre::storage_class",
        "StorageClassMissing",
    ),
    warns(
        "storageclass-two-defaults",
        "pre::storage_class",
        "TwoDefaults",
    ),
    warns(
        "longhorn-copies-crowded",
        "storage::replica_placement",
        "CopiesOnOneNode",
    ),
    // The control plane
    stops("coredns-down", "pre::coredns", "DnsUnavailable"),
    stops("datastore-unhealthy", "pre::api_ready", "ApiNotReady"),
    stops("apiserver-not-ready", "pre::api_ready", "ApiNotReady"),
    stops(
        "cp-memory-pressure",
        "pre::control_plane_pressure",
        "NodePressure",
    ),
    // Traffic
    stops("ingress-down", "pre::ingress_controller", "IngressNotReady"),
    stops(
        "kubelet-tunnel-broken",
        "network::kubelet_tunnel",
        "KubeletUnreachable",
    ),
    stops(
        "flannel-backend-differs",
        "network::flannel_backend",
        "BackendDiffers",
    ),
    stops(
        "vtep-mac-duplicate",
        "network::flannel_unique",
        "SameTunnelAddress",
    ),
    stops(
        "overlay-blocked",
        "network::pod_to_pod_from_control_plane",
        "TargetTimedOut",
    ),
    warns("egress-blocked", "pre::dns_external", "NameNotFound"),
    warns("registry-blocked", "pre::egress_registry", "TargetTimedOut"),
    stops("dns-zone-broken", "pre::dns_internal", "NameNotFound"),
    stops(
        "service-rules-lost-on-node",
        "network::service_from_node",
        "TargetTimedOut",
    ),
    stops(
        "dns-blocked-on-node",
        "network::dns_from_node",
        "TargetTimedOut",
    ),
    stops(
        "api-blocked-for-pods-on-node",
        "network::api_from_node",
        "TargetTimedOut",
    ),
    warns(
        "egress-blocked-on-node",
        "network::egress_from_node",
        "TargetTimedOut",
    ),
    // Pods and volumes of our own
    stops("probe-namespace-full", "pre::probe_pod", "QuotaExceeded"),
    late(stops(
        "image-pull-fails-on-node",
        "network::probe_pods",
        "ImageNotPulled",
    )),
    late(patient(
        "scheduler-stuck",
        "health::workload_on_node",
        "Unschedulable",
    )),
    late(patient(
        "containers-never-end-on-node",
        "health::nothing_left_behind",
        "LeftBehind",
    )),
    late(patient(
        "longhorn-attach-fails-on-node",
        "health::storage_redundancy",
        "NotAttached",
    )),
    late(patient(
        "longhorn-copies-stuck-on-node",
        "health::storage_redundancy",
        "OneCopyOnly",
    )),
    stops(
        "kube-proxy-stuck",
        "network::kube_proxy",
        "RulesNeverWritten",
    ),
    // Monitoring
    stops("prometheus-down", "pre::prometheus", "PrometheusDown"),
    stops("grafana-down", "pre::grafana", "GrafanaDown"),
    warns("alertmanager-down", "pre::alertmanager", "AlertmanagerDown"),
    stops(
        "node-exporter-missing-on-node",
        "pre::node_exporter_will_run",
        "ExporterKeepsAway",
    ),
    stops("target-down", "monitoring::target_up", "ScrapeFails"),
    warns(
        "kubelet-not-scraped",
        "monitoring::kubelet_scraped",
        "ScrapeFails",
    ),
    // Security
    stops(
        "node-rights-missing",
        "security::node_rights",
        "RightMissing",
    ),
    stops(
        "node-limits-broken",
        "security::node_limits",
        "RightTooWide",
    ),
    stops(
        "kubelet-anonymous",
        "security::kubelet_config",
        "AnonymousAllowed",
    ),
    // More of the control plane, traffic, monitoring and Longhorn
    stops("ccm-disabled", "join::initialized", "NotInitialized"),
    warns(
        "control-plane-busy",
        "pre::control_plane_usage",
        "UsageHigh",
    ),
    stops(
        "control-plane-not-ready",
        "pre::control_plane_ready",
        "NodeNotReady",
    ),
    warns("csr-pending", "pre::pending_csrs", "RequestPending"),
    stops("pod-range-exhausted", "pre::pod_cidr_room", "NoRangeLeft"),
    // A pod keeps its address for life.
    restart(stops(
        "pod-range-overlaps",
        "network::pod_cidrs_disjoint",
        "RangesOverlap",
    )),
    stops("public-ip-differs", "network::public_ip", "AddressDiffers"),
    warns("pods-nearly-full", "pre::pod_capacity", "PodsNearlyFull"),
    stops(
        "quota-exhausted",
        "join::daemonset_pods",
        "DaemonSetPodMissing",
    ),
    warns("alert-rules-missing", "monitoring::alert_rules", "NoRules"),
    warns(
        "dashboards-missing",
        "monitoring::dashboards",
        "NoDashboards",
    ),
    warns(
        "kube-state-metrics-down",
        "monitoring::kube_state_metrics",
        "NoSeries",
    ),
    stops(
        "node-metrics-dropped",
        "monitoring::node_metrics",
        "NoSeries",
    ),
    warns(
        "longhorn-backup-target-unavailable",
        "pre::backup_target",
        "BackupTargetUnavailable",
    ),
    stops(
        "longhorn-control-plane-disk-full",
        "pre::longhorn_control_plane_node",
        "LonghornNodeUnusable",
    ),
    stops(
        "longhorn-driver-missing",
        "pre::longhorn_csi",
        "DriverMissing",
    ),
    stops(
        "longhorn-engine-image-missing",
        "join::daemonset_pods",
        "DaemonSetPodNotReady",
    ),
    patient(
        "longhorn-provisioner-down",
        "health::storage_redundancy",
        "ClaimNotBound",
    ),
    patient(
        "longhorn-driver-down",
        "health::storage_redundancy",
        "NotAttached",
    ),
    warns(
        "longhorn-replica-count-low",
        "pre::replica_count",
        "TooFewReplicas",
    ),
    // What somebody does to a node that is there
    late(stops(
        "node-cordoned",
        "storage::node_schedulable",
        "Cordoned",
    )),
    late(warns("node-tainted", "join::taints", "UnexpectedTaint")),
    // The run itself puts the labels back.
    late(wire("node-labels-lost")),
    late(stops(
        "longhorn-scheduling-disabled",
        "storage::node_schedulable",
        "SchedulingOff",
    )),
    // The wire
    wire("api-throttled"),
    wire("api-errors"),
    wire("api-resets"),
    wire("api-slow"),
    wire("watch-stale"),
];
