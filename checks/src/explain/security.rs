//! How the checks of `security` decide.

/// Check and how it decides.
pub(super) const DECIDED: &[(&str, &str)] = &[
    (
        "security::node_rights",
        "Asks the API server's authorizer, by SubjectAccessReview with the user system:node:NAME and the group \
         system:nodes, for each right that a kubelet cannot do without: its own Node, its status, its Lease, its \
         CSINode, reviews, events. All must be allowed.",
    ),
    (
        "security::node_limits",
        "Asks in the same way for what a kubelet must not have: all Secrets, another node's Lease and password, deleting \
         another node, creating Deployments, reading roles. From Kubernetes 1.32 on also other nodes and all pods. All \
         must be denied.",
    ),
    (
        "security::kubelet_config",
        "Reads the configuration that the kubelet itself shows (configz, through the API server): anonymous must be off, \
         the authorization mode Webhook, the read-only port 0. No token webhook is a warning.",
    ),
    (
        "security::join_token_in_git",
        "Goes through every tracked text file line by line and looks for the form of a k3s token (K10, hash, ::), of an \
         age key and of a PEM private key. Places are shown, never the value.",
    ),
    (
        "security::plaintext_secrets",
        "Parses every tracked manifest and looks for Secrets of v1 with values that SOPS has not encrypted. Empty values \
         and obvious placeholders do not count; key names are shown, never values.",
    ),
    (
        "security::sops_configured",
        "Builds the folder of each Kustomization of this repository and looks for objects that carry the record of SOPS. \
         Each Kustomization that has some must have spec.decryption. None at all is a skip.",
    ),
    (
        "security::network_policies",
        "Looks at the start arguments of the servers for --disable-network-policy, and for policies in the namespace of \
         this tool's own probe pods. Either is a warning.",
    ),
    (
        "security::wildcard_roles",
        "Takes the ClusterRoles with a rule that allows everything, or escalate, bind or impersonate, and looks at who \
         is bound to them. The system's own users, kube-system and Flux are expected; anybody else is a warning.",
    ),
    (
        "security::exposed_services",
        "Lists Services with node ports or external addresses. The ingress and k3s's own in kube-system are expected; \
         any other is a warning.",
    ),
    (
        "security::secrets_encryption",
        "Looks on every server node for the annotation k3s.io/encryption-config-hash: it must be there, with the same \
         value on all of them.",
    ),
    (
        "security::audit_log",
        "Reads the start arguments of the servers from the annotation k3s.io/node-args: an audit log or webhook and an \
         audit policy must be named.",
    ),
    (
        "security::pod_security",
        "Looks at each namespace that has pods for a label pod-security.kubernetes.io/enforce. The namespaces of the \
         system, of Longhorn and of monitoring need more and are left out.",
    ),
    (
        "security::privileged_pods",
        "Looks at every container of every pod on the node, init containers too, for privileged, host namespaces and \
         powerful capabilities. Longhorn's own, node-exporter and k3s's load balancer are expected, known by namespace \
         and owner, never by a part of their name.",
    ),
    (
        "security::root_containers",
        "Works out the user of every application container on the node: what the container says goes before what the \
         pod says. User 0 is one reason, a user that only the image knows another.",
    ),
    (
        "security::limits",
        "Looks for resources.limits.memory on every container of an application pod on the node that runs as long as its \
         pod does.",
    ),
];
