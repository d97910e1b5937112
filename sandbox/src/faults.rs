//! Causes of trouble in the world, by name.

/// One cause of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name that switches it, such as `longhorn-disk-full`.
    pub name: &'static str,
    /// What happens in the world, in one sentence.
    pub what: &'static str,
}

/// Every fault that the sandbox knows. "The new node" is the one that joins.
#[must_use]
pub fn catalogue() -> &'static [Fault] {
    CATALOGUE
}

/// The fault of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Fault> {
    CATALOGUE.iter().find(|fault| fault.name == name)
}

/// Why a fault is more than a matter of objects, and so cannot be brought about on an API server that is somebody
/// else's ([`crate::Server`]); nothing where it is one.
#[must_use]
pub fn beyond_objects(name: &str) -> Option<&'static str> {
    BEYOND
        .iter()
        .find(|(names, _)| names.contains(&name))
        .map(|(_, why)| *why)
}

/// Faults that are not a matter of objects alone, and why.
const BEYOND: &[(&[&str], &str)] = &[
    (
        &[
            "api-throttled",
            "api-errors",
            "api-resets",
            "api-slow",
            "watch-stale",
        ],
        "trouble on the wire to the API server",
    ),
    (
        &[
            "datastore-unhealthy",
            "datastore-lost",
            "apiserver-not-ready",
        ],
        "the health of the API server itself",
    ),
    (
        &["scheduler-stuck"],
        "the health of the scheduler, which is a program of its own there",
    ),
    (
        &[
            "node-rights-missing",
            "api-certificate-ends",
            "server-clock-ahead",
            "server-version-unknown",
            "rights-reduced",
            "rights-without-storage",
            "flux-definitions-gone",
            "longhorn-definitions-gone",
        ],
        "the way the API server was started",
    ),
    (
        &["csr-pending", "node-password-conflict", "secret-old"],
        "an object that is older than the cluster: only its store can say so",
    ),
];

const fn fault(name: &'static str, what: &'static str) -> Fault {
    Fault { name, what }
}

const CATALOGUE: &[Fault] = &[
    // git and Flux
    fault("push-refused", "The git remote refuses every push to main."),
    fault(
        "git-remote-unreachable",
        "The git remote is not there, for people and for Flux.",
    ),
    fault(
        "git-remote-moved",
        "Somebody else has pushed a commit to main.",
    ),
    fault(
        "flux-source-unreachable",
        "Flux cannot reach the git remote; people can.",
    ),
    fault(
        "flux-kustomization-stalled",
        "The Kustomization infrastructure-storage is stalled: it may not read its source.",
    ),
    fault(
        "flux-suspended",
        "Somebody has suspended the Kustomization infrastructure-storage.",
    ),
    fault(
        "flux-controller-down",
        "kustomize-controller ends as soon as it starts.",
    ),
    fault(
        "flux-artifact-late",
        "kustomize-controller hears of no new commit: asked to apply infrastructure-storage, it applies what it knew before.",
    ),
    fault(
        "checkout-detached",
        "The working copy stands on a commit and not on a branch.",
    ),
    fault(
        "checkout-other-branch",
        "The working copy stands on another branch than the one that Flux follows.",
    ),
    fault(
        "checkout-other-remote",
        "The working copy's remote is not the one that Flux follows.",
    ),
    fault(
        "checkout-unpushed",
        "Somebody has committed to main and not pushed.",
    ),
    fault("git-identity-missing", "git does not know who commits."),
    fault("git-signing-off", "git signs nothing."),
    fault(
        "node-config-entry-missing",
        "The kustomization does not list the new node at all.",
    ),
    fault(
        "node-config-inactive",
        "Somebody has commented the new node's entry out again and pushed.",
    ),
    fault(
        "node-manifest-incomplete",
        "The manifest of the new node's disks does not say whether they may be used.",
    ),
    fault(
        "node-owned-twice",
        "A second Kustomization builds the new node's disks into another namespace.",
    ),
    fault(
        "manifest-of-old-api",
        "A manifest in git is of a version that the cluster serves no longer.",
    ),
    fault(
        "flux-definitions-gone",
        "The API server does not serve the kinds of Flux.",
    ),
    // The join
    fault(
        "node-never-registers",
        "The agent of the new node cannot reach the server: it leaves no trace.",
    ),
    fault(
        "node-not-ready",
        "The network plugin of the new node is never initialised: it stays NotReady.",
    ),
    fault(
        "cni-lease-missing",
        "flannel writes no lease for the new node.",
    ),
    fault(
        "node-password-conflict",
        "A former machine of this name has left its node password; the new one is rejected.",
    ),
    fault(
        "node-clone",
        "The new node's disk is a clone of the control plane's: same machine-id and system UUID.",
    ),
    fault(
        "agent-version-newer",
        "The new node runs a newer minor of k3s than the server.",
    ),
    fault(
        "agent-joined-as-server",
        "k3s on the new node was started as a server.",
    ),
    fault(
        "ccm-disabled",
        "The cloud controller is switched off: a joining node stays uninitialized.",
    ),
    fault(
        "pod-range-exhausted",
        "The cluster's pod range has room for one node only.",
    ),
    fault(
        "pod-range-overlaps",
        "The new node has the control plane's pod range.",
    ),
    fault("node-tainted", "Somebody has tainted the new node."),
    fault("node-cordoned", "Somebody has cordoned the new node."),
    fault(
        "node-labels-lost",
        "Somebody has removed the storage labels of the new node.",
    ),
    fault(
        "kubelet-heartbeat-stale",
        "The kubelet of the new node does not renew its Lease.",
    ),
    fault(
        "node-unreachable",
        "The new node is cut off: its kubelet is silent and nothing on it answers.",
    ),
    fault(
        "node-disk-pressure",
        "The disk of the new node is nearly full: DiskPressure.",
    ),
    fault(
        "daemonset-pod-crashing",
        "The log agent's pod on the new node crashes again and again.",
    ),
    // Longhorn
    fault(
        "longhorn-manager-crashing-on-node",
        "longhorn-manager on the new node crashes again and again.",
    ),
    fault(
        "longhorn-disk-not-schedulable",
        "More is scheduled on the new node's disk than it may hold.",
    ),
    fault(
        "longhorn-disk-not-ready",
        "Longhorn cannot read the new node's disk.",
    ),
    fault(
        "longhorn-disk-full",
        "The new node's disk has less room than Longhorn keeps free.",
    ),
    fault(
        "longhorn-packages-missing",
        "open-iscsi is not installed on the new node.",
    ),
    fault(
        "longhorn-multipathd-running",
        "multipathd runs on the new node and takes Longhorn's devices.",
    ),
    fault(
        "longhorn-csi-missing-on-node",
        "The CSI plugin on the new node crashes: its driver is not registered.",
    ),
    fault(
        "longhorn-webhook-down",
        "Longhorn's admission webhook has no endpoint.",
    ),
    fault(
        "longhorn-volume-faulted",
        "Every replica of one volume has failed.",
    ),
    fault(
        "longhorn-volume-degraded",
        "One replica of one volume has failed.",
    ),
    fault(
        "longhorn-instance-manager-down",
        "The instance manager on the new node crashes.",
    ),
    fault(
        "longhorn-engine-image-missing",
        "The engine image's pod on the new node crashes: the engine is not there.",
    ),
    fault(
        "longhorn-scheduling-disabled",
        "Somebody has disabled scheduling on the new node in Longhorn.",
    ),
    fault(
        "longhorn-control-plane-disk-full",
        "The control plane's disk has less room than Longhorn keeps free.",
    ),
    fault(
        "longhorn-driver-missing",
        "Somebody has deleted the CSIDriver of Longhorn.",
    ),
    fault(
        "longhorn-provisioner-down",
        "csi-provisioner crashes, and a claim waits for its volume.",
    ),
    fault(
        "longhorn-replica-count-low",
        "Somebody has set Longhorn's default replica count to one.",
    ),
    fault(
        "longhorn-copies-crowded",
        "Longhorn is told not to balance, and one volume has both of its copies on the control plane.",
    ),
    fault(
        "longhorn-backup-target-unavailable",
        "Longhorn's backup target does not answer.",
    ),
    fault(
        "longhorn-driver-down",
        "csi-attacher crashes again and again.",
    ),
    fault(
        "longhorn-stray-node",
        "A Longhorn Node of the new node's name was applied to the namespace default.",
    ),
    fault(
        "storageclass-missing",
        "Somebody has deleted the StorageClass longhorn.",
    ),
    fault(
        "storageclass-two-defaults",
        "local-path is marked as the default StorageClass too.",
    ),
    fault(
        "longhorn-definitions-gone",
        "The API server does not serve the kinds of Longhorn.",
    ),
    fault(
        "disk-discovery-crashing",
        "disk-discovery crashes on the new node.",
    ),
    // The control plane
    fault("coredns-down", "CoreDNS crashes again and again."),
    fault(
        "datastore-unhealthy",
        "The datastore answers late: readyz fails on etcd-readiness.",
    ),
    fault(
        "apiserver-not-ready",
        "The API server's informers are not in sync: readyz fails.",
    ),
    fault(
        "control-plane-not-ready",
        "The container runtime of the control-plane node is down.",
    ),
    fault(
        "control-plane-busy",
        "CPU and memory of the control-plane node are nearly used up.",
    ),
    fault(
        "pods-nearly-full",
        "The control-plane node may run few more pods than it does.",
    ),
    fault("quota-exhausted", "A ResourceQuota is used up."),
    fault(
        "csr-pending",
        "A certificate signing request waits for somebody.",
    ),
    fault(
        "cp-memory-pressure",
        "The control-plane node is short of memory.",
    ),
    fault("metrics-server-absent", "metrics-server is not installed."),
    fault(
        "datastore-lost",
        "The API server has lost its datastore: livez fails.",
    ),
    fault(
        "api-certificate-ends",
        "The API server's certificate ends within days.",
    ),
    fault(
        "server-clock-ahead",
        "The server's clock is five minutes ahead.",
    ),
    fault(
        "server-version-unknown",
        "The server runs a release that nobody knows yet.",
    ),
    fault(
        "rights-reduced",
        "Somebody has taken the rights of the administrator away: he may only read.",
    ),
    fault(
        "rights-without-storage",
        "The administrator was given a role that leaves out CSI drivers and StorageClasses.",
    ),
    fault(
        "control-plane-address-changed",
        "The control plane says that it has another address, at which nobody answers.",
    ),
    // Traffic
    fault(
        "ingress-down",
        "The ingress controllers crash on every node.",
    ),
    fault(
        "kubelet-tunnel-broken",
        "The API server does not reach the kubelet of the new node.",
    ),
    fault(
        "flannel-backend-differs",
        "flannel on the new node runs with another backend.",
    ),
    fault(
        "vtep-mac-duplicate",
        "The VXLAN device of the new node has the control plane's MAC address.",
    ),
    fault(
        "public-ip-differs",
        "flannel on the new node has published another address than its InternalIP.",
    ),
    fault(
        "overlay-blocked",
        "8472/udp is blocked between the nodes: no pod traffic crosses.",
    ),
    fault(
        "egress-blocked",
        "Nothing outside of the cluster can be reached.",
    ),
    fault(
        "dns-zone-broken",
        "CoreDNS was configured with another zone: it knows no names of the cluster.",
    ),
    fault(
        "registry-blocked",
        "A firewall drops connections to everything outside; names are found.",
    ),
    fault(
        "service-rules-lost-on-node",
        "A firewall that was reloaded on the new node has dropped the rules of kube-proxy.",
    ),
    fault(
        "dns-blocked-on-node",
        "A firewall on the new node drops port 53 of its pods.",
    ),
    fault(
        "api-blocked-for-pods-on-node",
        "A firewall on the control plane drops 6443 for the pods of the new node.",
    ),
    fault(
        "egress-blocked-on-node",
        "The pods of the new node have no way out of the cluster.",
    ),
    // Pods of their own that somebody runs
    fault(
        "image-pull-fails-on-node",
        "The new node can fetch no image that it does not have.",
    ),
    fault(
        "probe-namespace-full",
        "An administrator has prepared the namespace onboarding-probe and allows no pods in it.",
    ),
    fault("scheduler-stuck", "The scheduler places no pod any more."),
    fault(
        "containers-never-end-on-node",
        "The container runtime of the new node ends no container that it is told to end.",
    ),
    fault(
        "longhorn-attach-fails-on-node",
        "Longhorn attaches no further volume on the new node.",
    ),
    fault(
        "longhorn-copies-stuck-on-node",
        "No further copy on the new node becomes whole.",
    ),
    fault(
        "kube-proxy-stuck",
        "kube-proxy on the new node has never written its rules.",
    ),
    fault(
        "flannel-lease-lost",
        "The control plane has lost its flannel lease.",
    ),
    fault(
        "nodeports-closed",
        "A firewall closes the node ports of the control plane.",
    ),
    fault(
        "vpn-router-down",
        "A Tailscale router runs in the cluster and crashes.",
    ),
    fault(
        "node-flapped",
        "The new node was NotReady for a moment after it had joined.",
    ),
    // Monitoring
    fault("prometheus-down", "Prometheus crashes again and again."),
    fault("grafana-down", "Grafana crashes again and again."),
    fault("alertmanager-down", "Alertmanager crashes again and again."),
    fault(
        "node-exporter-missing-on-node",
        "The node-exporter DaemonSet excludes the new node.",
    ),
    fault(
        "target-down",
        "Prometheus cannot scrape the node-exporter of the new node.",
    ),
    fault(
        "kube-state-metrics-down",
        "kube-state-metrics crashes again and again.",
    ),
    fault(
        "node-metrics-dropped",
        "A relabelling rule drops the series of the new node's node-exporter.",
    ),
    fault(
        "dashboards-missing",
        "The dashboard of the nodes has lost its label.",
    ),
    fault(
        "alert-rules-missing",
        "Somebody has emptied the alert rules about nodes.",
    ),
    fault(
        "kubelet-not-scraped",
        "Prometheus cannot scrape the kubelet of the new node.",
    ),
    fault(
        "prometheus-refusing",
        "Prometheus refuses every query: it would need too much memory.",
    ),
    fault(
        "monitor-unselected",
        "The ServiceMonitor of node-exporter has lost the label by which it is selected.",
    ),
    // Security
    fault(
        "node-rights-missing",
        "The API server was started without the node authorizer: nodes have no rights.",
    ),
    fault(
        "node-limits-broken",
        "Somebody has made every node a cluster administrator.",
    ),
    fault(
        "kubelet-anonymous",
        "The kubelet of the new node lets anybody in.",
    ),
    // Taking the node out again
    fault(
        "pod-budget-exhausted",
        "A pod on the new node is guarded by a PodDisruptionBudget that has no disruption left.",
    ),
    fault(
        "pod-budgets-two",
        "Two PodDisruptionBudgets select the same pod on the new node.",
    ),
    fault(
        "pod-unmanaged",
        "A pod on the new node belongs to nobody who would start it again.",
    ),
    fault(
        "pod-emptydir",
        "A pod on the new node keeps data in an emptyDir.",
    ),
    fault(
        "local-volume",
        "A claim is bound to a volume that lies on the new node itself.",
    ),
    fault(
        "longhorn-hard-anti-affinity",
        "Longhorn places no two replicas of a volume on one node.",
    ),
    fault(
        "longhorn-single-copy",
        "One volume has its only replica on the new node.",
    ),
    fault(
        "longhorn-eviction-stuck",
        "Longhorn moves no replica away from where it is.",
    ),
    fault(
        "longhorn-attached-by-hand",
        "Somebody has attached a volume to the new node without Kubernetes.",
    ),
    fault(
        "longhorn-node-kept",
        "Longhorn does not notice that a Kubernetes node is gone, and keeps its Node.",
    ),
    fault(
        "node-finalizer-stuck",
        "The k3s server does not remove its finalizer from a deleted node.",
    ),
    fault(
        "node-password-kept",
        "The node password of a deleted node is not collected.",
    ),
    fault(
        "agent-restarted",
        "The agent of the new node is started again as soon as its Node is gone.",
    ),
    fault(
        "network-policies-off",
        "The server was started with --disable-network-policy.",
    ),
    fault(
        "sops-key-missing",
        "The Secret with the age key of Flux is gone.",
    ),
    fault(
        "sops-decryption-missing",
        "Somebody has removed the decryption of the Kustomization apps.",
    ),
    fault(
        "sops-ciphertext-applied",
        "Somebody has applied a file as SOPS has encrypted it.",
    ),
    fault("secret-old", "A Secret has not been changed for two years."),
    fault(
        "service-exposed",
        "Somebody has opened a node port beside the ingress.",
    ),
    fault(
        "privileged-workload",
        "Somebody runs a privileged pod as root, without limits, in a namespace without rules.",
    ),
    fault(
        "join-token-in-git",
        "The server's join token stands in a file of the repository.",
    ),
    fault(
        "plaintext-secret-in-git",
        "A Secret stands in the repository in plain text.",
    ),
    // The wire: about one request in seven
    fault(
        "api-throttled",
        "The API server answers some requests 429 with Retry-After.",
    ),
    fault("api-errors", "The API server answers some requests 500."),
    fault(
        "api-resets",
        "Some connections to the API server are closed without an answer.",
    ),
    fault(
        "api-slow",
        "The API server takes its time with some requests.",
    ),
    fault(
        "watch-stale",
        "Some watches are told that their resource version is too old.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_a_command_line() {
        let mut names: Vec<&str> = CATALOGUE.iter().map(|fault| fault.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for fault in CATALOGUE {
            assert!(
                fault
                    .name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{}",
                fault.name
            );
            assert!(fault.what.ends_with('.'), "{}", fault.what);
        }
        let beyond = BEYOND.iter().flat_map(|(names, _)| *names);
        for name in beyond {
            assert!(find(name).is_some(), "{name} is no fault");
            assert!(beyond_objects(name).is_some());
        }
        assert!(beyond_objects("longhorn-disk-full").is_none());
        assert!(find("longhorn-disk-full").is_some());
        assert!(find("longhorn-disk-ful").is_none());
    }
}
