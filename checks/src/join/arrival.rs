//! The stages of joining, each waited for. Their messages come from [`super::state`], so that a wait says one thing.

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Node},
    jiff::{SignedDuration, Timestamp, fmt::rfc2822},
};
use reports::model::Severity;

use super::{
    internal_ips,
    state::{self, LEFTOVER, Stage, State, password_secret},
};
use crate::{
    Answer, Check, Context, Criterion, Named, Need, Place, Reason, Spot, Verdict, ask,
    kinds::{LEASES, NODES, SECRETS},
    resources::node,
    view::ReadError,
};

/// A kubelet renews its Lease every 10 s; after 40 s without one the cluster takes the node for lost.
const FRESH: SignedDuration = SignedDuration::from_secs(40);

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "join::registered",
        title: "{node} is registered with the cluster.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[
            Need::list(&NODES),
            Need::get(&SECRETS).at(Place::Object(Spot::KubeSystem, Named::NodePassword)),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Of("1.1"),
        why: "The host must have started its k3s agent with the right address and token. Until its kubelet registers a Node, nothing else can be asked about it.",
        reasons: &[
            Reason::new(
                "NotSeen",
                "on {node}: cloud-init status --long; journalctl -u k3s-agent -n 50; see that it reaches port 6443 of {control_plane} and that its token is right",
            ),
            Reason::new(
                "KubeletNotRegistered",
                "the agent has logged in and its kubelet has not registered; on {node}: journalctl -u k3s-agent -n 50",
            ),
            Reason::new(
                "NodePasswordStale",
                "the password of an earlier node of this name keeps the host out: kubectl -n kube-system delete secret {node}.node-password.k3s, then on {node}: systemctl restart k3s-agent",
            ),
            Reason::new(
                "BeingDeleted",
                "the Node is being deleted: wait until kubectl get node {node} finds nothing, then on {node}: systemctl restart k3s-agent",
            ),
        ],
        ask: ask!(registered),
    },
    Check {
        id: "join::initialized",
        title: "{node} is initialized: no uninitialized taint, a provider id, an address.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[Need::list(&NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("1.1"),
        why: "Until the cloud controller inside k3s has seen a new node, a taint keeps every ordinary pod off it.",
        reasons: &[Reason::new(
            "NotInitialized",
            "kubectl describe node {node}; on {control_plane}: journalctl -u k3s | grep -i cloud",
        )],
        ask: ask!(initialized),
    },
    Check {
        id: "join::pod_cidr",
        title: "{node} has a range of addresses for its pods.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[Need::list(&NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("4.1"),
        why: "Every pod on the node gets its address from this range. A cluster whose ranges are used up cannot take another node.",
        reasons: &[Reason::new(
            "NoPodRange",
            "kubectl get events -A --field-selector reason=CIDRNotAvailable; kubectl get nodes -o custom-columns=NAME:.metadata.name,RANGE:.spec.podCIDR",
        )],
        ask: ask!(pod_cidr),
    },
    Check {
        id: "join::cni_lease",
        title: "Flannel has set up the pod network on {node}.",
        severity: Severity::Fail,
        requires: &["join::pod_cidr"],
        needs: &[Need::list(&NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("4.1"),
        why: "Flannel carries pod traffic between nodes. It shows that it runs on a node by annotations; without them the node never becomes Ready.",
        reasons: &[
            Reason::new(
                "NoNetworkLease",
                "on {node}: journalctl -u k3s-agent | grep -i flannel; ip route show default; modprobe vxlan",
            ),
            Reason::new(
                "OtherNetwork",
                "nothing to do: this cluster uses another pod network than flannel",
            ),
        ],
        ask: ask!(cni_lease),
    },
    Check {
        id: "join::ready",
        title: "{node} is Ready.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[Need::list(&NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("1.1"),
        why: "Ready is the kubelet's own word that it can run pods. The scheduler believes it.",
        reasons: &[Reason::new(
            "NodeNotReady",
            "kubectl describe node {node}; on {node}: journalctl -u k3s-agent -n 50",
        )],
        ask: ask!(ready),
    },
    Check {
        id: "join::heartbeat",
        title: "The kubelet of {node} has been heard from within 40 s.",
        severity: Severity::Fail,
        requires: &["join::ready"],
        needs: &[
            // One of the many that are renewed every ten seconds in a large cluster.
            Need::get(&LEASES).at(Place::Object(Spot::NodeLeases, Named::Node)),
            Need::Path("/version"),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Beyond,
        why: "Ready stays as it was for a while after a node has died. The Lease that its kubelet renews every 10 s shows that it lives now.",
        reasons: &[
            Reason::new(
                "HeartbeatMissing",
                "kubectl -n kube-node-lease get lease {node} -o yaml; on {node}: systemctl status k3s-agent",
            ),
            Reason::new(
                "HeartbeatStale",
                "on {node}: systemctl status k3s-agent, and see that it still reaches port 6443 of {control_plane}",
            ),
            Reason::new(
                "ClockAhead",
                "the clock of {node} runs ahead of the server's: on both, timedatectl",
            ),
        ],
        ask: ask!(heartbeat),
    },
];

async fn registered(cx: &Context) -> Answer {
    let state = state::read(cx).await?;
    let Some(node) = &state.node else {
        return unregistered(cx, &state).await;
    };
    if node.metadata.deletion_timestamp.is_some() {
        return Ok(Verdict::fail(
            "BeingDeleted",
            format!("{} is being deleted and not gone yet", cx.node()),
        )
        .saw(format!(
            "finalizers: {}",
            node.metadata
                .finalizers
                .clone()
                .unwrap_or_default()
                .join(", ")
        )));
    }
    let addresses = internal_ips(node).join(", ");
    let info = node
        .status
        .as_ref()
        .and_then(|status| status.node_info.clone());
    let verdict = Verdict::pass(format!("{} is registered", cx.node())).saw(state.line(cx.node()));
    Ok(match info {
        Some(info) => verdict.saw(format!(
            "{} on {}, kernel {}, {}, address {}",
            info.kubelet_version, info.os_image, info.kernel_version, info.architecture, addresses
        )),
        None => verdict,
    })
}

/// Nothing, or a password without a Node: which of the two, and whether waiting can help.
async fn unregistered(cx: &Context, state: &State) -> Answer {
    let Some(age) = state.password_age else {
        let list = node::all(cx).await?;
        return Ok(state.not_yet(cx.node(), "NotSeen").saw_all(others(&list)));
    };
    if age > LEFTOVER {
        let secret = password_secret(cx.node());
        return Ok(Verdict::fail(
            "NodePasswordStale",
            format!(
                "{}: Secret kube-system/{secret} is {} min old and there is no Node: a host with another password is refused",
                state.line(cx.node()),
                age.as_mins()
            ),
        )
        .saw(format!("meaning: {}", state.stage.meaning()))
        .hopeless());
    }
    Ok(state.not_yet(cx.node(), "KubeletNotRegistered"))
}

/// The nodes that there are: a host with another name than expected shows here.
fn others(list: &[Node]) -> Vec<String> {
    let mut named: Vec<String> = list
        .iter()
        .map(|node| {
            let since = node.metadata.creation_timestamp.as_ref().map_or_else(
                || "at an unknown time".into(),
                |time| format!("since {}", time.0.strftime("%Y-%m-%d %H:%M:%SZ")),
            );
            format!("node {} has been there {since}", node::name(node))
        })
        .collect();
    let left = named.len().saturating_sub(10);
    named.truncate(10);
    if left > 0 {
        named.push(format!("and {left} more nodes"));
    }
    named
}

async fn initialized(cx: &Context) -> Answer {
    let state = state::read(cx).await?;
    let Some(node) = &state.node else {
        return Ok(state.not_yet(cx.node(), "NotInitialized"));
    };
    let missing = state::uninitialized(node);
    if missing.is_empty() {
        let provider = node.spec.as_ref().and_then(|spec| spec.provider_id.clone());
        return Ok(Verdict::pass(format!(
            "{} is initialized as {}",
            cx.node(),
            provider.unwrap_or_default()
        ))
        .saw(format!("InternalIP {}", internal_ips(node).join(", "))));
    }
    Ok(state.not_yet(cx.node(), "NotInitialized").saw_all(missing))
}

async fn pod_cidr(cx: &Context) -> Answer {
    let state = state::read(cx).await?;
    match &state.node {
        Some(node) if !node::pod_ranges(node).is_empty() => Ok(Verdict::pass(format!(
            "{} has {}",
            cx.node(),
            node::pod_ranges(node).join(", ")
        ))),
        _ => Ok(state.not_yet(cx.node(), "NoPodRange")),
    }
}

async fn cni_lease(cx: &Context) -> Answer {
    let state = state::read(cx).await?;
    let Some(node) = &state.node else {
        return Ok(state.not_yet(cx.node(), "NoNetworkLease"));
    };
    let missing = state::missing_flannel(node);
    if missing.is_empty() {
        let value = |name: &str| {
            node::annotation(node, &format!("{}{name}", state::FLANNEL)).unwrap_or_default()
        };
        return Ok(Verdict::pass(format!(
            "flannel runs on {} with backend {}",
            cx.node(),
            value("backend-type")
        ))
        .saw(format!("public-ip {}", value("public-ip"))));
    }
    if state.stage == Stage::Ready && !state::uses_flannel(node) {
        return Ok(Verdict::skip(
            "OtherNetwork",
            format!(
                "{} is Ready without flannel, and no other node has it either: another pod network is in use",
                cx.node()
            ),
        ));
    }
    Ok(state.not_yet(cx.node(), "NoNetworkLease").saw(format!(
        "annotations missing: {}",
        missing
            .iter()
            .map(|name| format!("{}{name}", state::FLANNEL))
            .collect::<Vec<_>>()
            .join(", ")
    )))
}

async fn ready(cx: &Context) -> Answer {
    let state = state::read(cx).await?;
    match &state.node {
        Some(node) if node::is_ready(node) => {
            let since = node
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten())
                .find(|condition| condition.type_ == "Ready")
                .and_then(|condition| condition.last_transition_time.as_ref());
            let verdict = Verdict::pass(format!("{} is Ready", cx.node()));
            Ok(match (since, &node.metadata.creation_timestamp) {
                (Some(since), Some(created)) => verdict.saw(format!(
                    "Ready since {}, {} s after it registered",
                    since.0.strftime("%Y-%m-%d %H:%M:%SZ"),
                    since.0.duration_since(created.0).as_secs().max(0)
                )),
                _ => verdict,
            })
        }
        // At S6 the line itself says what the condition says.
        Some(node) if state.stage < Stage::Leased => Ok(state
            .not_yet(cx.node(), "NodeNotReady")
            .saw(node::condition(node, "Ready").to_string())),
        _ => Ok(state.not_yet(cx.node(), "NodeNotReady")),
    }
}

async fn heartbeat(cx: &Context) -> Answer {
    let lease = cx
        .view
        .find::<Lease>(&LEASES, "kube-node-lease", cx.node())
        .await?;
    let renewed = lease
        .as_ref()
        .and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref());
    let Some(renewed) = renewed else {
        return Ok(Verdict::fail(
            "HeartbeatMissing",
            format!(
                "Lease kube-node-lease/{} does not exist or was never renewed",
                cx.node()
            ),
        ));
    };
    let (now, clock) = server_time(cx).await?;
    let age = now.duration_since(renewed.0);
    let seen = format!(
        "renewed {}, by {clock} it is {}",
        renewed.0.strftime("%H:%M:%SZ"),
        now.strftime("%H:%M:%SZ")
    );
    if age > FRESH {
        return Ok(Verdict::fail(
            "HeartbeatStale",
            format!(
                "the kubelet of {} was last heard from {} s ago, expected within {} s",
                cx.node(),
                age.as_secs(),
                FRESH.as_secs()
            ),
        )
        .saw(seen));
    }
    if -age > FRESH {
        return Ok(Verdict::warn(
            "ClockAhead",
            format!(
                "the Lease of {} was renewed {} s in the future",
                cx.node(),
                -age.as_secs()
            ),
        )
        .saw(seen));
    }
    Ok(Verdict::pass(format!(
        "the kubelet of {} was heard from {} s ago",
        cx.node(),
        age.as_secs().max(0)
    ))
    .saw(seen))
}

/// The time by the API server's clock, which is what the cluster goes by; by ours where it does not say.
async fn server_time(cx: &Context) -> Result<(Timestamp, &'static str), ReadError> {
    let answer = cx.view.raw("/version").await?;
    let date = answer
        .headers
        .get(http::header::DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
    Ok(match date {
        Some(date) => (date, "the server's clock"),
        None => (Timestamp::now(), "the clock of this machine"),
    })
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::{
        super::tests::{agent, server},
        *,
    };
    use crate::{catalogue::find, testing::Fixture};

    fn check(id: &str) -> &'static Check {
        find(id).unwrap()
    }

    fn cluster(node: Value) -> Fixture {
        Fixture::new().with(server("k3s1", 1)).with(node)
    }

    fn password(age: SignedDuration) -> Value {
        json!({"apiVersion": "v1", "kind": "Secret", "type": "k3s.cattle.io/node-password",
            "metadata": {"name": "k3s2.node-password.k3s", "namespace": "kube-system",
                "creationTimestamp": (Timestamp::now() - age).to_string()}})
    }

    #[tokio::test]
    async fn every_stage_passes_on_a_joined_node() {
        for id in [
            "registered",
            "initialized",
            "pod_cidr",
            "cni_lease",
            "ready",
        ] {
            let verdict = cluster(agent("k3s2", 2))
                .ask(check(&format!("join::{id}")))
                .await;
            assert_eq!(
                verdict.outcome(),
                Outcome::Pass,
                "{id}: {}",
                verdict.message()
            );
            assert!(verdict.message().contains("k3s2"), "{}", verdict.message());
        }
    }

    #[tokio::test]
    async fn nothing_in_the_api_says_where_to_look_on_the_host() {
        let verdict = Fixture::new()
            .with(server("k3s1", 1))
            .ask(check("join::registered"))
            .await;
        assert_eq!(verdict.reason(), "NotSeen");
        assert!(
            verdict.message().contains("k3s2 is at S0"),
            "{}",
            verdict.message()
        );
        assert!(!verdict.is_hopeless());
        let hint = verdict.own_hint().unwrap();
        for place in [
            "journalctl -u k3s-agent",
            "https://192.168.86.1:6443/ping",
            "cloud-init status",
        ] {
            assert!(hint.contains(place), "{hint}");
        }
        assert!(
            verdict
                .evidence()
                .iter()
                .any(|line| line.starts_with("node k3s1 ")),
            "the nodes that are there"
        );
    }

    #[tokio::test]
    async fn a_young_password_is_a_join_in_progress_and_an_old_one_is_hopeless() {
        let ask = |age| {
            Fixture::new()
                .with(server("k3s1", 1))
                .with(password(age))
                .ask(check("join::registered"))
        };
        let young = ask(SignedDuration::from_mins(2)).await;
        assert_eq!(
            (young.reason(), young.is_hopeless()),
            ("KubeletNotRegistered", false)
        );
        assert!(young.message().contains("S1"), "{}", young.message());
        let old = ask(SignedDuration::from_mins(25)).await;
        assert_eq!(
            (old.reason(), old.is_hopeless()),
            ("NodePasswordStale", true)
        );
        assert!(old.message().contains("25 min old"), "{}", old.message());
    }

    #[tokio::test]
    async fn a_password_that_may_not_be_read_does_not_stop_the_question() {
        let verdict = Fixture::new()
            .with(server("k3s1", 1))
            .forbid("secrets")
            .ask(check("join::registered"))
            .await;
        assert_eq!(verdict.reason(), "NotSeen");
        assert!(
            verdict
                .evidence()
                .iter()
                .any(|line| line.contains("may not be read"))
        );
    }

    #[tokio::test]
    async fn a_node_on_its_way_out_is_not_registered() {
        let mut leaving = agent("k3s2", 2);
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        leaving["metadata"]["finalizers"] = json!(["wrangler.cattle.io/node"]);
        let verdict = cluster(leaving).ask(check("join::registered")).await;
        assert_eq!(verdict.reason(), "BeingDeleted");
    }

    #[tokio::test]
    async fn each_stage_fails_with_the_words_of_the_stage() {
        let mut raw = agent("k3s2", 2);
        raw["spec"] = json!({"taints": [{"key": state::UNINITIALIZED, "effect": "NoSchedule"}]});
        raw["status"]["conditions"] = json!([]);
        let annotations = raw["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.retain(|key, _| !key.starts_with(state::FLANNEL));
        for (id, reason) in [
            ("initialized", "NotInitialized"),
            ("pod_cidr", "NoPodRange"),
            ("cni_lease", "NoNetworkLease"),
            ("ready", "NodeNotReady"),
        ] {
            let verdict = cluster(raw.clone())
                .ask(check(&format!("join::{id}")))
                .await;
            assert_eq!(verdict.reason(), reason);
            assert!(
                verdict
                    .message()
                    .contains("k3s2 is at S3 configured: not initialized yet"),
                "{}",
                verdict.message()
            );
        }
    }

    #[tokio::test]
    async fn another_pod_network_is_a_skip_once_the_node_is_ready() {
        let without = |mut node: Value| {
            let annotations = node["metadata"]["annotations"].as_object_mut().unwrap();
            annotations.retain(|key, _| !key.starts_with(state::FLANNEL));
            node
        };
        let ask = |args: &str| {
            let mut server = without(server("k3s1", 1));
            server["metadata"]["annotations"]["k3s.io/node-args"] = json!(args);
            Fixture::new()
                .with(server)
                .with(without(agent("k3s2", 2)))
                .ask(check("join::cni_lease"))
        };
        let verdict = ask(r#"["server","--flannel-backend","none"]"#).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Skip, "OtherNetwork")
        );
        let verdict = ask(r#"["server"]"#).await;
        assert_eq!(verdict.reason(), "NoNetworkLease", "k3s runs flannel");
        let verdict = cluster(without(agent("k3s2", 2)))
            .ask(check("join::cni_lease"))
            .await;
        assert_eq!(
            verdict.reason(),
            "NoNetworkLease",
            "the others have flannel"
        );
    }

    #[tokio::test]
    async fn a_heartbeat_is_measured_and_its_absence_is_not_fresh() {
        let lease = |age: SignedDuration| {
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": "k3s2", "namespace": "kube-node-lease"},
                "spec": {"renewTime": (Timestamp::now() - age).strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string()}})
        };
        let ask = |objects: Vec<Value>| {
            objects
                .into_iter()
                .fold(Fixture::new().raw("/version", 200, "{}"), Fixture::with)
                .ask(check("join::heartbeat"))
        };
        let fresh = ask(vec![lease(SignedDuration::from_secs(5))]).await;
        assert_eq!(fresh.outcome(), Outcome::Pass, "{}", fresh.message());
        let stale = ask(vec![lease(SignedDuration::from_secs(90))]).await;
        assert_eq!(stale.reason(), "HeartbeatStale");
        let ahead = ask(vec![lease(SignedDuration::from_secs(-90))]).await;
        assert_eq!(ahead.reason(), "ClockAhead");
        assert_eq!(ask(Vec::new()).await.reason(), "HeartbeatMissing");
    }

    #[test]
    fn the_date_of_an_answer_is_read() {
        let date = rfc2822::DateTimeParser::new()
            .parse_timestamp("Sun, 22 Nov 2026 16:54:24 GMT")
            .unwrap();
        assert_eq!(date.to_string(), "2026-11-22T16:54:24Z");
    }
}
