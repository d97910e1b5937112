//! How the checks of `post` decide.

/// Check and how it decides.
pub(super) const DECIDED: &[(&str, &str)] = &[
    (
        "post::api_ready",
        "Asks /readyz?verbose once more: status 200 and no part with [-].",
    ),
    (
        "post::nodes_ready",
        "The control-plane node and the new node must be there, and the condition of type Ready must be True on every \
         node of the cluster.",
    ),
    (
        "post::no_pressure",
        "Looks at MemoryPressure, DiskPressure, PIDPressure and NetworkUnavailable of every node by type: each that is \
         there must be False, and one of the first three that is missing is a warning.",
    ),
    (
        "post::datastore",
        "Asks again what `pre` asked: the part etcd of /readyz?verbose must be [+], and EtcdIsVoter not False.",
    ),
    (
        "post::coredns",
        "Asks again what `pre` asked: the Service kube-dns must have a ready endpoint, and the Deployment coredns all its \
         replicas.",
    ),
    (
        "post::pod_capacity",
        "Counts the unfinished pods of every node, the new one included, against its allocatable.pods; more than 80 % is \
         too full.",
    ),
    (
        "post::flannel",
        "Every node, the new one included, must carry flannel's annotations, with the same backend type.",
    ),
    (
        "post::ingress_controller",
        "Asks again what `pre` asked: the Services of both node ports must have ready endpoints, and there must be an \
         IngressClass.",
    ),
    (
        "post::nodeports",
        "Dials both node ports at the control-plane node again, and judges by the Service's traffic policy as `pre` did.",
    ),
    (
        "post::longhorn_managers",
        "The DaemonSet longhorn-manager must have as many ready pods as it wants now that there is one node more.",
    ),
    (
        "post::longhorn_csi",
        "The CSINode of every node that Longhorn knows, and of the new node in any case, must list driver.longhorn.io.",
    ),
    (
        "post::longhorn_nodes",
        "Asks for every node that Longhorn knows all that its scheduler asks: conditions, allowScheduling, no eviction, a \
         usable disk, a running instance manager, an engine image.",
    ),
    (
        "post::longhorn_volumes",
        "Reads status.robustness of every volume again: faulted is a no, degraded a warning.",
    ),
    (
        "post::prometheus_answers",
        "Asks Prometheus the query `up` again through the service proxy: at least one target must be up.",
    ),
    (
        "post::grafana",
        "Asks /api/health of Grafana again through the service proxy: status 200 and database ok.",
    ),
    (
        "post::nothing_got_worse",
        "Asks 23 questions of `pre` again, those that mean the same before and after, and compares each outcome with the \
         one that `pre` of this run recorded. Pass is better than warn, warn than skip, skip than fail. A drop of a check \
         that fails its phase is a no, a drop of one that warns a warning.",
    ),
    (
        "post::workloads_uninterrupted",
        "Takes the pods that were older than 5 minutes and steady when `pre` looked. None may have a container that was \
         started since, or have changed its readiness since; no Deployment may have lost its availability since.",
    ),
];
