//! How the checks of `health` decide.

/// Check and how it decides.
pub(super) const DECIDED: &[(&str, &str)] = &[
    (
        "health::nodes_ready",
        "The new node must exist and the condition Ready be True on every node. A node that is Ready and cordoned is a \
         warning.",
    ),
    (
        "health::node_stable",
        "Looks for events NodeNotReady, Rebooted or NodeStatusUnknown about the node since it joined, and, because \
         events are gone after an hour, whether Ready changed for the last time more than a minute after this run first \
         saw it. A condition that does not say since when leaves the question open.",
    ),
    (
        "health::daemonsets_complete",
        "Every DaemonSet must have as many ready and updated pods as it wants, for its newest generation. A cluster \
         without any is a skip.",
    ),
    (
        "health::pods_spread",
        "Counts the unfinished pods of each node. None at all on the new node, or more than 90 % of a node's limit, is a \
         warning; the numbers are shown in any case.",
    ),
    (
        "health::events",
        "Lists Warning events and takes those about the node, or reported by its kubelet, that happened since it was \
         first Ready. InvalidDiskCapacity, which every kubelet reports at its start, is left out.",
    ),
    (
        "health::flux_in_sync",
        "Every Kustomization must be Ready for its newest generation and have applied the commit that its git source \
         offers. Suspended ones are a warning.",
    ),
    (
        "health::monitoring_both",
        "Takes node-exporter's targets from Prometheus and looks for one with the health up on each node of the \
         cluster.",
    ),
    (
        "health::ingress_on_node",
        "Dials both node ports at the new node's InternalIP from this machine, the first with an HTTP request, and judges \
         by the Service's traffic policy.",
    ),
    (
        "health::storage_redundancy",
        "Reads what the action health::test_volume wrote down: a claim of a class with two replicas must be bound, \
         its pod on {node} must write and read back, and Longhorn must call the volume healthy with whole replicas \
         on two nodes. Volumes that were there before and are still copied to a second node are a warning, with the \
         percentage that their engine reports.",
    ),
    (
        "health::workload_on_node",
        "Reads what the action health::test_workload wrote down: the scheduler must place an ordinary pod, which \
         tolerates nothing, on {node}, and its container must end well. Where somebody has tainted the node on \
         purpose, that is a warning.",
    ),
    (
        "health::nothing_left_behind",
        "Looks for pods, claims, volumes, StorageClasses and the namespace that carry the label of this run, and \
         waits until they are gone. A namespace that somebody else has prepared does not count.",
    ),
];
