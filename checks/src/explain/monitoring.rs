//! How the checks of `monitoring` decide.

/// Check and how it decides.
pub(super) const DECIDED: &[(&str, &str)] = &[
    (
        "monitoring::node_exporter",
        "Looks for a node-exporter pod on the node by its labels; it must be Ready. Where there is none, the DaemonSet's \
         selector, affinity and tolerations are compared with the node.",
    ),
    (
        "monitoring::target_up",
        "Asks Prometheus for its active targets and takes node-exporter's on this node, by the node name that discovery \
         found, not by address and port. One must have the health up and a last scrape less than 2 minutes ago.",
    ),
    (
        "monitoring::node_metrics",
        "Asks Prometheus for node_uname_info, and if that has nothing for node_load1, and looks for a series of this \
         node by name or address.",
    ),
    (
        "monitoring::kubelet_scraped",
        "Looks among the active targets for a job of the kubelet, or a job of k3s (which is one process) at the \
         kubelet's port 10250, on this node: one must have the health up.",
    ),
    (
        "monitoring::kube_state_metrics",
        "Asks Prometheus for kube_node_info and looks for a series with this node's name.",
    ),
    (
        "monitoring::flux_metrics",
        "Lists the ready pods of Flux's controllers and looks for each among the active targets by namespace and pod \
         name; each must have the health up.",
    ),
    (
        "monitoring::metrics_api",
        "Asks the metrics API for this node. There must be numbers for processors and memory, not older than 5 minutes. \
         A cluster without metrics-server is a skip, unless it is expected.",
    ),
    (
        "monitoring::grafana",
        "Asks /api/health of Grafana through the service proxy, as before the onboarding: status 200 and database ok.",
    ),
    (
        "monitoring::dashboards",
        "Goes through the ConfigMaps labelled grafana_dashboard and looks for one whose text uses a series about nodes, \
         such as node_uname_info or kube_node_.",
    ),
    (
        "monitoring::alert_rules",
        "Asks Prometheus for the alerting rules that it has loaded and looks for one whose expression is about nodes that \
         are gone (Ready condition, unreachable taint, up == 0) and whose matchers do not shut this node out. \
         Expressions are read, not evaluated.",
    ),
    (
        "monitoring::alerts",
        "Asks Prometheus for ALERTS in state firing and takes those whose labels carry the node's name or address.",
    ),
];
