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
         age key and of a PEM private key. Places are shown, never the value. Files above 1 MiB are left out; a \
         repository without any text file leaves the question open.",
    ),
    (
        "security::plaintext_secrets",
        "Parses every tracked manifest and looks for Secrets of v1 with values that SOPS has not encrypted, for literals \
         of a secretGenerator, and for values of a HelmRelease whose name ends in password or token. Empty values and \
         obvious placeholders do not count; key names are shown, never values. A file that is no YAML, such as a \
         template, is named and not looked into.",
    ),
    (
        "security::sops_configured",
        "Builds the folder of each Kustomization of this repository and looks for objects that carry the record of SOPS. \
         Each Kustomization that has some must have spec.decryption. None at all is a skip.",
    ),
    (
        "security::network_policies",
        "Looks at the start arguments of the servers for --disable-network-policy, and for policies in the namespace of \
         this tool's own probe pods. Either is a warning, and so is a server that does not show its start arguments. \
         Policies elsewhere are not judged: node-exporter uses the host's network, which no policy reaches.",
    ),
    (
        "security::wildcard_roles",
        "Takes the ClusterRoles with a rule that allows everything, or to escalate, bind or impersonate (as the verb * \
         does), and looks at who is bound to them in the whole cluster. Expected are system:masters, the users of k3s's \
         control plane, and service accounts of kube-system, Flux and Longhorn; anybody else is a warning, \
         system:anonymous above all.",
    ),
    (
        "security::exposed_services",
        "Lists Services with node ports, with external addresses, or of type LoadBalancer. The ingress and k3s's own \
         Traefik in kube-system are expected; any other is a warning.",
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
    (
        "security::sops_key",
        "Takes the Secret that each Kustomization with spec.decryption names. It must exist, and a data key whose name \
         ends in .agekey (the only names that Flux looks at, beside .asc for PGP) must hold a line that begins with \
         AGE-SECRET-KEY-1. Lines are counted; the key itself is never shown.",
    ),
    (
        "security::sops_decrypts",
        "Takes every object that is encrypted in the folders that Flux builds. Its Kustomization must not complain of \
         decryption, its inventory must hold the object, and no value of the Secret in the cluster may begin with ENC[. \
         Values are looked at in memory; names of keys and lengths are all that is said.",
    ),
    (
        "security::secret_age",
        "Lists Secrets and takes the latest write that the API knows of (managedFields, else creation). Releases of \
         Helm, tokens of service accounts, node passwords and what has an owner are left out, because programs look \
         after them. More than a year is a warning.",
    ),
    (
        "security::security_rules",
        "Asks Prometheus for its alerting rules. One that carries the label category: security, is called so, or looks \
         at refused requests, audit or an intrusion detector, and can be evaluated, is enough.",
    ),
];
