//! How the checks of `storage` decide.

/// Check and how it decides.
pub(super) const DECIDED: &[(&str, &str)] = &[
    (
        "storage::manager_on_node",
        "Looks for a pod of the DaemonSet longhorn-manager on the node: it must be Ready. Where there is none, the \
         DaemonSet's selector, affinity and tolerations are compared with the node; what keeps it away does not change \
         by waiting.",
    ),
    (
        "storage::csi_on_node",
        "The CSINode object of the node, in which the kubelet lists the storage drivers that have registered with it, \
         must list driver.longhorn.io.",
    ),
    (
        "storage::node_known",
        "Looks for the object nodes.longhorn.io of the node's name in Longhorn's namespace. It must be there and not be \
         on its way out.",
    ),
    (
        "storage::node_ready",
        "The condition of type Ready of Longhorn's Node object must be True.",
    ),
    (
        "storage::environment",
        "Looks at the conditions RequiredPackages, MountPropagation, Multipathd, KernelModulesLoaded and \
         NFSClientInstalled of Longhorn's Node object. True is good for all of them: for Multipathd it means that the \
         program does not run. What is not reported is left out; what is reported and not True is a warning.",
    ),
    (
        "storage::node_schedulable",
        "Three things must hold: the condition Schedulable is True (which only says that the node is not cordoned), \
         spec.allowScheduling is true, and spec.evictionRequested is not set. A condition that is not there yet is told \
         from one that is False.",
    ),
    (
        "storage::disks_as_in_git",
        "Builds the node's folder of the repository, takes the Longhorn Node from it, and compares every field of its \
         spec that git sets with the object in the cluster, disk by disk. A missing disk or a different value is a no, a \
         disk that git does not declare a warning.",
    ),
    (
        "storage::disks_ready",
        "Every disk of Longhorn's Node object must have the condition Ready True in its status. The reason that \
         Longhorn gives tells an unmounted path, another file system and other trouble apart.",
    ),
    (
        "storage::disks_schedulable",
        "Takes the disks with allowScheduling true: at least one must be there, and each must have the condition \
         Schedulable True and no eviction requested.",
    ),
    (
        "storage::capacity",
        "Adds up storageMaximum of the disks, which must be more than 0, and what may still be promised: size without \
         the reserve, times the over-provisioning setting, without what is scheduled. A disk with less free than \
         Longhorn's minimum counts as 0.",
    ),
    (
        "storage::instance_manager",
        "Longhorn runs one instance manager on each node and keeps an InstanceManager object about it. The one of the new node \
         must be there and say that it is running. One that is only there for the newer v2 engine does not count.",
    ),
    (
        "storage::engine_image",
        "The engine is the program that serves a volume, and Longhorn unpacks it on each node before a replica may lie \
         there. Which nodes have it stands in the EngineImage object, as a list of node names (nodeDeploymentMap). \
         The node must be in the list of the image that new volumes use (setting default-engine-image; every image, where \
         that setting is not known). An older image that is missing there is a warning: only volumes that still use it \
         are concerned.",
    ),
    (
        "storage::replica_placement",
        "Takes the volumes that want two or more copies and counts the nodes with a healthy replica of each: one that \
         has been healthy, has not failed since and is not being deleted. Fewer than two nodes is a warning.",
    ),
    (
        "storage::gitops_applied",
        "The Kustomization must have handled this run's request (lastHandledReconcileAt), be Ready for its newest \
         generation, and have applied the commit of this run or a later one. Without a request of this run, its state \
         as it is and its source's commit count.",
    ),
    (
        "storage::no_stray_node",
        "Lists Longhorn's Node objects of all namespaces. One of the new node's name outside Longhorn's own namespace is \
         a no.",
    ),
];
