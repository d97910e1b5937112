//! How the checks of `network` decide.

/// Check and how it decides.
pub(super) const DECIDED: &[(&str, &str)] = &[
    (
        "network::flannel_backend",
        "Reads flannel's annotations on all nodes: each must have a whole lease (kube-subnet-manager true, backend-type, \
         public-ip), with the same backend type. It is a skip where the servers run with --flannel-backend=none, or \
         no server shows its arguments, no node shows flannel and all are Ready.",
    ),
    (
        "network::flannel_unique",
        "Compares, over all nodes, the tunnel's hardware address in the annotation backend-data (VXLAN only) and the \
         public address. None may stand there twice.",
    ),
    (
        "network::public_ip",
        "On each node flannel's public-ip must be one of the node's InternalIPs, or what public-ip-overwrite says where \
         that is set.",
    ),
    (
        "network::pod_cidrs_disjoint",
        "Compares spec.podCIDRs of all nodes pair by pair: each must have one, none may overlap, and each must lie inside --cluster-cidr of \
         the server (10.42.0.0/16 where it does not say).",
    ),
    (
        "network::pod_ips_in_range",
        "Takes the addresses of all pods on the node that have one of their own (no host network, not finished). Each \
         must lie in one of the node's ranges.",
    ),
    (
        "network::kubelet_tunnel",
        "Asks /healthz of the kubelet through the API server (nodes/NAME/proxy), which is the way that logs and exec \
         take. An error of the API server means that it does not get there; another answer than 200 that the kubelet is \
         not well.",
    ),
    (
        "network::kube_proxy",
        "Reads the kubelet's /metrics through the API server, where k3s shows kube-proxy too: the time at which rules \
         were last written must be set, and not lie more than 60 seconds behind the time at which they were last asked \
         for. How long ago it was means nothing. Metrics without these numbers are a warning.",
    ),
    (
        "network::nodeports_on_node",
        "Dials both node ports at the new node's InternalIP from this machine. With externalTrafficPolicy Local only a \
         node with a ready endpoint of its own must answer; silence of another is a warning, because requests sent \
         there are lost.",
    ),
    (
        "network::vpn",
        "Looks for Deployments, DaemonSets and StatefulSets with a container of the image tailscale. One of them must be \
         available and name in TS_ROUTES a range that holds the InternalIP of the node. Whether the tailnet has approved \
         that route cannot be seen from the cluster; where no such workload runs there is nothing to ask.",
    ),
    (
        "network::pod_to_pod_from_control_plane",
        "Reads what the action network::probe_pods wrote down: a pod on {control_plane} opens a TCP connection to a \
         pod on {node} that was Ready before and listened all the time. Three tries with a pause, each with a limit \
         of its own; refused and no answer are two reasons.",
    ),
    (
        "network::pod_to_pod_from_node",
        "The same connection in the other direction: from a pod on {node} to one on {control_plane}. Only both \
         together prove the overlay, since a firewall may let traffic out and not in.",
    ),
    (
        "network::service_from_node",
        "A pod on {node} opens a connection to the cluster address of the Service default/kubernetes, which every \
         cluster has. Its endpoint is the API server, so that this asks for the rules of kube-proxy and not for the \
         overlay.",
    ),
    (
        "network::dns_from_node",
        "A pod on {node} asks the cluster's DNS for kubernetes.default in the cluster's own domain; an address must \
         come back.",
    ),
    (
        "network::api_from_node",
        "A pod on {node} opens a connection to port 6443 of the InternalIP of {control_plane}, past every Service.",
    ),
    (
        "network::egress_from_node",
        "A pod on {node} opens a connection to [probe] egress. Skipped where that is empty.",
    ),
];
