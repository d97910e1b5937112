//! How the checks of `join` decide.

/// Check and how it decides.
pub(super) const DECIDED: &[(&str, &str)] = &[
    (
        "join::registered",
        "Looks for the Node object. As long as there is none, the Secret with the node's password shows whether an \
         agent has logged in: absent means that it was never heard of, present that its kubelet is late, present since \
         before this run that another password is kept and the host is refused.",
    ),
    (
        "join::initialized",
        "The taint node.cloudprovider.kubernetes.io/uninitialized must be gone, spec.providerID set, and an InternalIP \
         among the addresses.",
    ),
    (
        "join::pod_cidr",
        "spec.podCIDRs of the node must not be empty.",
    ),
    (
        "join::cni_lease",
        "Flannel must have written its annotations on the node: kube-subnet-manager, backend-type, and backend-data and \
         public-ip for IPv4 or IPv6. A node that is Ready without them uses another network, a skip, where the \
         servers run with --flannel-backend=none, or show no arguments and no node has these annotations.",
    ),
    (
        "join::ready",
        "The condition of type Ready must have the status True. As long as it has not, the message names how far the \
         node has come on its way (S0 to S7), what that means and where to look on the host.",
    ),
    (
        "join::heartbeat",
        "Reads renewTime of the node's Lease in kube-node-lease and holds it against the API server's clock. Not more \
         than 40 seconds may have passed; a time that lies ahead by more is a warning about the node's clock.",
    ),
    (
        "join::is_agent",
        "Reads the annotation k3s.io/node-args, in which k3s writes down how it was started: its first word must be \
         agent.",
    ),
    (
        "join::not_a_clone",
        "Compares machine id, system UUID and InternalIPs of the node with those of every other node. None may be the \
         same; what a node does not report is left out. A new node that reports neither id leaves the question open.",
    ),
    (
        "join::version",
        "Compares the kubelet's version with gitVersion of the server. Equal passes, older by up to three minor versions \
         (two before 1.28) is a warning, newer or older than that is a no.",
    ),
    (
        "join::pressure",
        "Looks at MemoryPressure, DiskPressure, PIDPressure and NetworkUnavailable of the new node by type: those that \
         are there must be False, and one of the first three that is missing is a warning.",
    ),
    (
        "join::taints",
        "Looks at spec.unschedulable and at the taints that do not come from a condition which has a check of its own. \
         Any that is left is a warning.",
    ),
    (
        "join::longhorn_labels",
        "Compares the labels of the node with those of [node.labels]: each must be there with its value. Where none is wanted \
         it is a skip.",
    ),
    (
        "join::daemonset_pods",
        "For each DaemonSet decides, by selector, affinity and tolerations, whether it wants a pod on this node, and \
         looks for a pod that it owns there and that is Ready. Where none wants a pod there it is a skip.",
    ),
];
