//! How far a node is on its way into the cluster, as the API shows it.
//!
//! Eight stages that follow each other; each says what has happened, what is missing next, and where on the host to
//! look when it does not come. Every check of the phase that waits for a stage says the same words.
//!
//! Source of the order: k3s `pkg/agent/run.go`, `pkg/agent/config/config.go`, `pkg/cloudprovider/instances.go`.

use k8s_openapi::{
    api::core::v1::{Node, Secret},
    jiff::{SignedDuration, Timestamp},
};

use super::{internal_ips, named, taints};
use crate::{Context, Verdict, kinds::SECRETS, resources::node, view::ReadError};

/// After this time k3s itself takes a password without a Node for a leftover and deletes it.
pub(crate) const LEFTOVER: SignedDuration = SignedDuration::from_mins(10);
/// The taint that a node carries until the cloud controller of k3s has seen it.
pub(crate) const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";
/// Prefix of flannel's annotations.
pub(crate) const FLANNEL: &str = "flannel.alpha.coreos.com/";
/// The annotations by which a k3s agent shows that it has configured its node.
const K3S_ANNOTATIONS: [&str; 3] = [
    "k3s.io/node-args",
    "k3s.io/internal-ip",
    "k3s.io/node-config-hash",
];

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// S0: nothing in the API.
    Unseen,
    /// S1: the agent has logged in to the server; no Node yet.
    Authenticated,
    /// S2: the kubelet has registered the Node.
    Registered,
    /// S3: the k3s agent has annotated it.
    Configured,
    /// S4: the cloud controller of k3s has initialized it.
    Initialized,
    /// S5: it has a range for its pods.
    Ranged,
    /// S6: flannel has its lease.
    Leased,
    /// S7: the kubelet says Ready.
    Ready,
}

impl Stage {
    /// `S2 registered`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unseen => "S0 not seen",
            Self::Authenticated => "S1 authenticated",
            Self::Registered => "S2 registered",
            Self::Configured => "S3 configured",
            Self::Initialized => "S4 initialized",
            Self::Ranged => "S5 has a pod range",
            Self::Leased => "S6 has a network lease",
            Self::Ready => "S7 Ready",
        }
    }

    /// What this stage means.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Unseen => {
                "the agent is not started, cannot reach port 6443 of a server, or its token is refused; none of these leaves a trace in the API"
            }
            Self::Authenticated => {
                "a server has accepted the agent's token and password, but no kubelet has registered the Node"
            }
            Self::Registered => "the kubelet runs; the k3s agent has not annotated the Node",
            Self::Configured => {
                "the agent has configured the Node; the cloud controller of k3s has not initialized it"
            }
            Self::Initialized => {
                "the Node is initialized; the controller manager has not given it a range for pods"
            }
            Self::Ranged => "the Node has a range for pods; flannel has not written its lease",
            Self::Leased => "the network is configured; the kubelet does not say Ready",
            Self::Ready => "the kubelet says Ready",
        }
    }
}

/// How far the new node is, and what shows it.
pub(crate) struct State {
    /// The stage reached.
    pub(crate) stage: Stage,
    /// What is missing next, in a few words.
    pub(crate) missing: String,
    /// The Node, where there is one.
    pub(crate) node: Option<Node>,
    /// Age of the password Secret, where there is one and no Node, at the beginning of the phase.
    pub(crate) password_age: Option<SignedDuration>,
    /// Whether the password Secret could not be looked at.
    pub(crate) password_unknown: bool,
    /// Where to look.
    look: String,
}

/// Reads how far the new node is.
///
/// # Errors
/// When nodes cannot be listed. A Secret that cannot be read only makes the answer less exact.
pub(crate) async fn read(cx: &Context) -> Result<State, ReadError> {
    let list = node::all(cx).await?;
    let node = named(&list, cx.node()).cloned();
    let server = named(&list, &cx.settings.node.control_plane)
        .or_else(|| list.iter().find(|other| node::is_control_plane(other)))
        .and_then(node::internal_ip)
        .unwrap_or(&cx.settings.node.control_plane)
        .to_owned();
    let flannel_elsewhere = node::runs_flannel(&list) == Some(true)
        || list
            .iter()
            .any(|other| node::name(other) != cx.node() && uses_flannel(other));
    if let Some(node) = node {
        let (stage, missing) = stage_of(&node, flannel_elsewhere);
        let look = look_at(stage, cx.node(), &server);
        return Ok(State {
            stage,
            missing,
            node: Some(node),
            password_age: None,
            password_unknown: false,
            look,
        });
    }
    let secret = match cx
        .view
        .find::<Secret>(&SECRETS, "kube-system", &password_secret(cx.node()))
        .await
    {
        Ok(found) => Some(found),
        // A right that only sharpens the message must not keep the question from being answered.
        Err(ReadError::Forbidden { .. }) => None,
        Err(error) => return Err(error),
    };
    let password_unknown = secret.is_none();
    let password_age = secret.flatten().map(|secret| {
        let created = secret.metadata.creation_timestamp.as_ref();
        created.map_or(SignedDuration::ZERO, |created| {
            beginning(cx).duration_since(created.0)
        })
    });
    let (stage, missing) = if password_age.is_some() {
        (Stage::Authenticated, "no Node yet".to_owned())
    } else {
        (Stage::Unseen, "no trace of it in the API".to_owned())
    };
    let look = look_at(stage, cx.node(), &server);
    Ok(State {
        stage,
        missing,
        node: None,
        password_age,
        password_unknown,
        look,
    })
}

/// Name of the Secret in which a server keeps the hash of a node's password.
pub(crate) fn password_secret(node: &str) -> String {
    format!("{node}.node-password.k3s")
}

/// When the wait began: a password that was old already then does not belong to a join in progress.
fn beginning(cx: &Context) -> Timestamp {
    cx.report
        .phase(reports::model::Phase::NodeJoinMonitoring)
        .and_then(|phase| phase.started)
        .unwrap_or_else(Timestamp::now)
}

/// Whether flannel has written anything about this node.
pub(crate) fn uses_flannel(node: &Node) -> bool {
    node::annotation(node, &format!("{FLANNEL}backend-type")).is_some()
}

/// Flannel's annotations that are missing; a node has them for IPv4, for IPv6, or for both.
pub(crate) fn missing_flannel(node: &Node) -> Vec<&'static str> {
    let has = |name: &str| node::annotation(node, &format!("{FLANNEL}{name}")).is_some();
    let mut missing = Vec::new();
    for name in ["kube-subnet-manager", "backend-type"] {
        if !has(name) {
            missing.push(name);
        }
    }
    for (four, six) in [
        ("backend-data", "backend-v6-data"),
        ("public-ip", "public-ipv6"),
    ] {
        if !has(four) && !has(six) {
            missing.push(four);
        }
    }
    missing
}

/// What the cloud controller of k3s has not done yet.
pub(crate) fn uninitialized(node: &Node) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if taints(node).iter().any(|taint| taint.key == UNINITIALIZED) {
        missing.push("the taint uninitialized is still there");
    }
    if node
        .spec
        .as_ref()
        .and_then(|spec| spec.provider_id.as_deref())
        .is_none_or(str::is_empty)
    {
        missing.push("no providerID");
    }
    if internal_ips(node).is_empty() {
        missing.push("no InternalIP");
    }
    missing
}

fn stage_of(node: &Node, flannel_elsewhere: bool) -> (Stage, String) {
    let unannotated: Vec<&str> = K3S_ANNOTATIONS
        .into_iter()
        .filter(|key| node::annotation(node, key).is_none())
        .collect();
    if !unannotated.is_empty() {
        return (
            Stage::Registered,
            format!("not configured yet: no {}", unannotated.join(", ")),
        );
    }
    let uninitialized = uninitialized(node);
    if !uninitialized.is_empty() {
        return (
            Stage::Configured,
            format!("not initialized yet: {}", uninitialized.join(", ")),
        );
    }
    if node::pod_ranges(node).is_empty() {
        return (Stage::Initialized, "no pod range yet".into());
    }
    let ready = node::is_ready(node);
    let unleased = missing_flannel(node);
    let other_network = !flannel_elsewhere && !uses_flannel(node) && ready;
    if !unleased.is_empty() && !other_network {
        return (
            Stage::Ranged,
            format!("no flannel lease yet: no {}", unleased.join(", ")),
        );
    }
    if !ready {
        return (Stage::Leased, node::condition(node, "Ready").to_string());
    }
    (Stage::Ready, String::new())
}

fn look_at(stage: Stage, node: &str, server: &str) -> String {
    match stage {
        Stage::Unseen => format!(
            "on {node}: cloud-init status --long; systemctl status k3s-agent; journalctl -u k3s-agent -n 50 (it names a refused token and a wrong CA hash); curl -k https://{server}:6443/ping must answer pong; timedatectl for the clock"
        ),
        Stage::Authenticated => format!(
            "on {node}: journalctl -u k3s-agent -n 50; \"Node password rejected\" means that the name was used with another password: kubectl -n kube-system delete secret {}",
            password_secret(node)
        ),
        Stage::Registered => format!(
            "on {node}: journalctl -u k3s-agent -n 50; a kubelet that is not started by k3s never gets these annotations"
        ),
        Stage::Configured => format!(
            "on {server}: is k3s started with --disable-cloud-controller? journalctl -u k3s | grep -i cloud; kubectl describe node {node}"
        ),
        Stage::Initialized => format!(
            "kubectl get events --field-selector reason=CIDRNotAvailable; kubectl get nodes -o custom-columns=NAME:.metadata.name,RANGE:.spec.podCIDR; on {server}: journalctl -u k3s | grep -i cidr"
        ),
        Stage::Ranged => format!(
            "on {node}: journalctl -u k3s-agent | grep -i flannel; ip route show default (flannel needs a default route); modprobe vxlan"
        ),
        Stage::Leased => format!(
            "kubectl describe node {node}; on {node}: journalctl -u k3s-agent -n 50; df -h; free -m"
        ),
        Stage::Ready => format!("kubectl describe node {node}"),
    }
}

impl State {
    /// `k3s2 is at S2 registered: no pod range yet`.
    pub(crate) fn line(&self, node: &str) -> String {
        if self.missing.is_empty() {
            format!("{node} is at {}", self.stage.name())
        } else {
            format!("{node} is at {}: {}", self.stage.name(), self.missing)
        }
    }

    /// The failure of a check that waits for a later stage.
    #[track_caller]
    pub(crate) fn not_yet(&self, node: &str, reason: &'static str) -> Verdict {
        let verdict = Verdict::fail(reason, self.line(node))
            .saw(format!("meaning: {}", self.stage.meaning()))
            .hint(self.look.clone());
        if self.password_unknown {
            verdict.saw("the password Secret may not be read, so whether the agent has logged in is not known")
        } else {
            verdict
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::tests::agent, *};

    fn stage(change: impl FnOnce(&mut Value)) -> (Stage, String) {
        let mut node = agent("k3s2", 2);
        change(&mut node);
        stage_of(&serde_json::from_value(node).unwrap(), true)
    }

    #[test]
    fn each_stage_names_what_is_missing_next() {
        assert_eq!(stage(|_| {}), (Stage::Ready, String::new()));
        type Case = (fn(&mut Value), Stage, &'static str);
        let cases: [Case; 6] = [
            (
                |node| node["metadata"]["annotations"] = json!({}),
                Stage::Registered,
                "k3s.io/node-args",
            ),
            (
                |node| {
                    node["spec"]["taints"] = json!([{"key": UNINITIALIZED, "effect": "NoSchedule"}])
                },
                Stage::Configured,
                "taint",
            ),
            (
                |node| node["status"]["addresses"] = json!([]),
                Stage::Configured,
                "InternalIP",
            ),
            (
                |node| {
                    node["spec"]["podCIDR"] = json!(null);
                    node["spec"]["podCIDRs"] = json!(null);
                },
                Stage::Initialized,
                "no pod range yet",
            ),
            (
                |node| {
                    let annotations = node["metadata"]["annotations"].as_object_mut().unwrap();
                    annotations.remove("flannel.alpha.coreos.com/public-ip");
                },
                Stage::Ranged,
                "no flannel lease yet: no public-ip",
            ),
            (
                |node| {
                    node["status"]["conditions"] = json!([{"type": "Ready", "status": "Unknown"}])
                },
                Stage::Leased,
                "Ready=Unknown",
            ),
        ];
        for (change, expected, words) in cases {
            let (reached, missing) = stage(change);
            assert_eq!(reached, expected, "{missing}");
            assert!(missing.contains(words), "{missing}");
        }
    }

    #[test]
    fn another_network_than_flannel_is_not_waited_for() {
        let mut node = agent("k3s2", 2);
        let annotations = node["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.retain(|key, _| !key.starts_with(FLANNEL));
        let node: Node = serde_json::from_value(node).unwrap();
        assert_eq!(stage_of(&node, false).0, Stage::Ready);
        assert_eq!(stage_of(&node, true).0, Stage::Ranged);
    }

    #[test]
    fn a_lease_for_ipv6_alone_is_a_lease() {
        let mut node = agent("k3s2", 2);
        for (four, six) in [
            ("backend-data", "backend-v6-data"),
            ("public-ip", "public-ipv6"),
        ] {
            let annotations = node["metadata"]["annotations"].as_object_mut().unwrap();
            let value = annotations.remove(&format!("{FLANNEL}{four}")).unwrap();
            annotations.insert(format!("{FLANNEL}{six}"), value);
        }
        assert_eq!(
            stage_of(&serde_json::from_value(node).unwrap(), true).0,
            Stage::Ready
        );
    }
}
