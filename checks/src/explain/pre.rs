//! How the checks of `pre` decide.

/// Check and how it decides.
pub(super) const DECIDED: &[(&str, &str)] = &[
    (
        "pre::api_live",
        "Asks the path /livez of the API server. Status 200 passes; any other answer is a no, with the parts that the \
         server calls failed as evidence.",
    ),
    (
        "pre::api_ready",
        "Asks /readyz?verbose, where the server lists each of its parts with [+] or [-]. It passes when the status is \
         200 and no line begins with [-]; otherwise the failing parts are named. An answer that lists no part at all is \
         a warning: nobody has looked.",
    ),
    (
        "pre::api_endpoint_for_agents",
        "Dials port 6443 of the control-plane node's InternalIP from this machine, in TLS, and asks for /. Any HTTP \
         status counts as an answer, 401 too: that is what k3s says to a stranger. Whom the certificate is for is not \
         looked at.",
    ),
    (
        "pre::api_certificate",
        "Takes the certificate that the server shows on that port and reads the end of its validity. Less than 7 days \
         left is a no, less than 30 a warning.",
    ),
    (
        "pre::server_version",
        "Reads gitVersion from /version. It must carry +k3s, and its minor version must be between 1.25 and 1.37, \
         whose objects this program knows.",
    ),
    (
        "pre::clock_skew",
        "Holds the header Date of an answer of the API server against this machine's clock. More than 30 seconds of \
         difference, either way, is too much.",
    ),
    (
        "pre::permissions",
        "Adds up the rights that all checks and actions declare and asks the API server once a namespace for the rules \
         of this user. What those rules do not show is asked for singly, because rules may be incomplete. A right that \
         only warnings need is a warning; one that a failing check or an action needs is a no.",
    ),
    (
        "pre::control_plane_ready",
        "Finds the control-plane node by its configured name, else by its role label, and looks at the condition of \
         type Ready: status True passes, False and Unknown do not.",
    ),
    (
        "pre::control_plane_pressure",
        "Looks at the conditions MemoryPressure, DiskPressure, PIDPressure and NetworkUnavailable of the control-plane \
         node by type. Each that is there must be False. Every kubelet reports the first three: one that is missing is a \
         warning. k3s does not report the last.",
    ),
    (
        "pre::datastore",
        "Finds out from the labels and start arguments of the server whether it uses embedded etcd, SQLite or an \
         external database. Then the part etcd in /readyz?verbose must be [+] (k3s calls every datastore so), and a \
         condition EtcdIsVoter, where there is one, must not be False.",
    ),
    (
        "pre::node_name_free",
        "Lists the nodes. None of the new node's name passes. One that is there is a warning, and the run goes on with \
         it: ready or not ready are told apart.",
    ),
    (
        "pre::node_password_free",
        "Reads the Secret NAME.node-password.k3s in kube-system by its exact name. It may be absent, or belong to a \
         node that exists. Without its node it is a join under way when younger than 10 minutes, and a leftover when \
         older: that is when k3s itself would sweep it.",
    ),
    (
        "pre::pod_cidr_room",
        "Takes the cluster's pod range from the start arguments of the server (10.42.0.0/16 where they do not say), \
         the size of a node's share from the nodes that have one, and counts how many shares are taken. At least one \
         must be left for each address family; a node that has joined already and has its range passes.",
    ),
    (
        "pre::coredns",
        "The Service kube-dns in kube-system must have at least one endpoint that is ready. A Deployment coredns whose \
         replicas are not all available is a warning as long as an endpoint answers. Where the server was started with \
         --disable coredns and nothing is there, it is a skip.",
    ),
    (
        "pre::metrics_api",
        "Looks for the APIService v1beta1.metrics.k8s.io and its condition Available. An absent one is a skip, unless \
         expect.metrics_server is set.",
    ),
    (
        "pre::control_plane_usage",
        "Divides what metrics-server measured on the control-plane node by what the node can hand out (allocatable), \
         for processors and for memory. More than 80 % of either is too much.",
    ),
    (
        "pre::pod_capacity",
        "Counts the pods bound to each node that have not finished and holds them against the node's own \
         allocatable.pods. More than 80 % is too full.",
    ),
    (
        "pre::resource_quotas",
        "Compares used with hard for every resource of every ResourceQuota. More than 80 % is nearly used up; a limit \
         of 0 forbids on purpose and is left out. A quota of which nobody has counted what is used is a warning.",
    ),
    (
        "pre::admission_webhooks",
        "Takes the webhooks with failurePolicy Fail (the default) whose rules cover nodes, pods or Longhorn's objects, \
         and looks whether the Service of each has a ready endpoint. One that is asked about some objects only, because \
         it has a selector, is a warning; one outside the cluster cannot be judged and is named.",
    ),
    (
        "pre::pending_csrs",
        "Lists the CertificateSigningRequests. One without any condition that is older than 10 minutes waits for a \
         person.",
    ),
    (
        "pre::flux_installed",
        "Asks /apis which groups and versions the cluster serves. GitRepository and Kustomization must be served in a \
         version that this program reads; only older versions than the newest known is a warning.",
    ),
    (
        "pre::flux_controllers",
        "The Deployments source-controller and kustomize-controller must exist in Flux's namespace, with all replicas \
         available for their newest generation. Trouble of helm-controller or notification-controller is a warning.",
    ),
    (
        "pre::flux_sources",
        "Looks at the GitRepository of the configuration: its condition Ready must be True for its newest generation, \
         it must have an artifact, be neither suspended nor Stalled. Trouble of other git sources is a warning.",
    ),
    (
        "pre::flux_kustomizations",
        "Looks at the Kustomization that carries the node's configuration and at all that it depends on, over any number \
         of steps: each must exist and be Ready for its newest generation, not suspended, not Stalled. One that is at \
         work, as after a push, is waited for; one that has failed is not. A suspended one counts as a no although it may \
         say Ready: it takes no new commit, and what depends on it waits for that. Others that are not Ready are a \
         warning.",
    ),
    (
        "pre::flux_suspended",
        "Looks at spec.suspend of every git source, Kustomization and Helm release. Any that is true is a warning, \
         because its Ready is frozen and must not count as a pass.",
    ),
    (
        "pre::longhorn_installed",
        "Asks /apis whether longhorn.io/v1beta2 is served, and whether Longhorn knows at least one node in the \
         configured namespace.",
    ),
    (
        "pre::longhorn_managers",
        "The DaemonSet longhorn-manager must have as many ready and updated pods as it wants, at least one, for its \
         newest generation.",
    ),
    (
        "pre::longhorn_csi",
        "The CSIDriver driver.longhorn.io must exist, and the CSINode of the control-plane node must list it: the \
         first says that the cluster knows the driver, the second that the node can use it.",
    ),
    (
        "pre::longhorn_instance_managers",
        "Longhorn runs one instance manager on each node and keeps an InstanceManager object about it. Every node that \
         Longhorn knows must have one that says it is running.",
    ),
    (
        "pre::longhorn_control_plane_node",
        "Asks all that Longhorn's scheduler asks: conditions Ready and Schedulable of its Node object, \
         spec.allowScheduling, no eviction requested, at least one disk that is Ready, Schedulable and switched on, a \
         running instance manager, and an engine image deployed there.",
    ),
    (
        "pre::disk_discovery",
        "Looks for DaemonSets with disk-discovery in their name; each must have a ready pod on every node that it \
         wants. None at all is a skip.",
    ),
    (
        "pre::longhorn_volumes",
        "Reads status.robustness of every volume. faulted is a no, degraded a warning. A detached volume says unknown, \
         which is normal: nobody looks at its copies while it is not in use. An attached one that says anything but \
         healthy, degraded or faulted is a warning.",
    ),
    (
        "pre::longhorn_claims",
        "Takes the claims whose StorageClass is served by Longhorn; each must be Bound. Pending is right for a class \
         that binds only when the first pod uses the claim (WaitForFirstConsumer).",
    ),
    (
        "pre::longhorn_capacity",
        "Adds up, disk by disk, what is available and what may still be promised under Longhorn's own over-provisioning \
         setting, and adds up the sizes of all volumes without two healthy copies. A disk with less free than \
         Longhorn's minimum (25 % unless set) is nearly full; a new node that is known already must have room for the \
         second copies. Where Longhorn says of no disk how large it is, that is a warning.",
    ),
    (
        "pre::storage_class",
        "The class of the configuration must exist with the provisioner driver.longhorn.io. More than one class marked \
         as the default is a warning.",
    ),
    (
        "pre::replica_count",
        "Reads the number of copies in two places, the parameter numberOfReplicas of the class and Longhorn's setting \
         default-replica-count (a plain number or one for each engine). Each must be at least 2 and at most the number \
         of nodes after the join.",
    ),
    (
        "pre::backup_target",
        "Looks for a BackupTarget with a URL that Longhorn calls available; before Longhorn 1.8, for the setting \
         backup-target. User names and passwords in the URL are not shown.",
    ),
    (
        "pre::flannel",
        "Every node but the new one must carry flannel's annotations kube-subnet-manager, backend-type and public-ip, \
         with the same backend type. Where the servers were started with --flannel-backend=none it is a skip; and where no \
         server shows how it was started, nodes that are Ready without a trace of flannel mean another network.",
    ),
    (
        "pre::ingress_controller",
        "Finds the Services with the configured node ports (30080 and 30443); each must have a ready endpoint, and the \
         cluster at least one IngressClass.",
    ),
    (
        "pre::nodeports",
        "Dials both node ports at the control-plane node's InternalIP from this machine, the first with an HTTP \
         request. What is right depends on the Service: with externalTrafficPolicy Local a node without a ready \
         endpoint of its own must stay silent, otherwise any HTTP answer passes, 404 too.",
    ),
    (
        "pre::prometheus",
        "Finds Services in the monitoring namespace that select pods labelled app.kubernetes.io/name=prometheus; at \
         least one must have a ready endpoint.",
    ),
    (
        "pre::prometheus_answers",
        "Asks Prometheus the query `up` through the API server's service proxy. At least one series must have the \
         value 1.",
    ),
    (
        "pre::grafana",
        "Finds the Service that selects Grafana's pods, and asks /api/health through the service proxy: the status must \
         be 200 and the field database must say ok. Which field says so needs no password.",
    ),
    (
        "pre::node_exporter_will_run",
        "Takes the pod template of node-exporter's DaemonSet and compares its node selector, required affinity and \
         tolerations with the labels and taints that the new node has, or will have: those of every k3s node, the \
         control plane's processor architecture, and the configured labels.",
    ),
    (
        "pre::monitors_selected",
        "For every ServiceMonitor and PodMonitor looks for a Prometheus object whose selectors match its labels and its \
         namespace. An absent selector selects nothing, an empty one everything. Without a Prometheus object or without any \
         monitor it is a skip.",
    ),
    (
        "pre::alertmanager",
        "Finds Services that select Alertmanager's pods; at least one must have a ready endpoint. None at all is a \
         skip.",
    ),
    (
        "pre::workloads_steady",
        "Goes through all pods that have not finished: each must be ready, and no container may have been started again \
         within the last hour. Every Deployment that wants replicas must have them available. What is found is kept, so \
         that `post` does not blame the onboarding for it.",
    ),
    (
        "pre::dns_internal",
        "Reads what the action pre::probe_pod wrote down: its pod asks the cluster's DNS for kubernetes.default in \
         the cluster's own domain, up to three times, and an address must come back. Without the action (an \
         inspection) it is skipped.",
    ),
    (
        "pre::dns_external",
        "Reads what the same pod found for the host of [probe] egress. Skipped where egress is empty, which is how \
         an off-line cluster is configured, or names an address.",
    ),
    (
        "pre::egress_registry",
        "Reads whether the same pod could open a TCP connection to [probe] egress; what is spoken there does not \
         matter. Refused, no answer and no such name are told apart.",
    ),
];
