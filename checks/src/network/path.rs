//! The ways to the new node: the tunnel to its kubelet, kube-proxy's rules, and the node ports.

use std::sync::Arc;

use reports::model::Severity;

use super::node_port;
use crate::{
    Answer, Check, Context, Criterion, Named, Need, Place, Reason, Spot, Verdict, ask,
    cluster::Raw,
    kinds,
    resources::{
        exposition,
        node::{self, Arguments},
    },
    view::ReadError,
};

/// The ways to the new node.
pub const CHECKS: &[Check] = &[
    Check {
        id: "network::kubelet_tunnel",
        title: "The API server reaches the kubelet of {node}.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[Need::on("get", "", "nodes/proxy")],
        awaits: true,
        after: None,
        criterion: Criterion::Of("7.3"),
        why: "Logs, exec and port-forward go from the API server to the kubelet. On k3s they travel through a tunnel \
              that the agent opens to the server, so this also proves that the agent holds that tunnel open.",
        reasons: &[
            Reason::new(
                "KubeletUnreachable",
                "on {node}: journalctl -u k3s-agent | grep -i tunnel; the agent must reach port 6443 of every server",
            ),
            Reason::new(
                "KubeletNotHealthy",
                "on {node}: journalctl -u k3s-agent -n 100; kubectl get --raw /api/v1/nodes/{node}/proxy/healthz shows its answer",
            ),
        ],
        ask: ask!(kubelet_tunnel),
    },
    Check {
        id: "network::kube_proxy",
        title: "kube-proxy on {node} has written its rules.",
        severity: Severity::Fail,
        requires: &["network::kubelet_tunnel"],
        needs: &[
            Need::list(&kinds::NODES),
            Need::on("get", "", "nodes/proxy"),
            Need::on("get", "", "nodes/proxy")
                .at(Place::Object(Spot::Cluster, Named::ControlPlane)),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Of("4.2"),
        why: "kube-proxy turns the address of a Service into the address of one of its pods. Without its rules no \
              Service and no NodePort works from {node}. On k3s it is part of the agent and has no pod to look at.",
        reasons: &[
            Reason::new(
                "RulesNeverWritten",
                "on {node}: journalctl -u k3s-agent | grep -i proxy, and see that iptables or nftables works there",
            ),
            Reason::new(
                "RulesBehind",
                "on {node}: journalctl -u k3s-agent | grep -i 'sync.*rules', then restart k3s-agent",
            ),
            Reason::new(
                "NotShown",
                "the kubelet's metrics do not carry kube-proxy's: prove it from a pod on {node} that reaches a ClusterIP",
            ),
            Reason::new(
                "SwitchedOff",
                "the servers run with --disable-kube-proxy: another component must serve Services",
            ),
        ],
        ask: ask!(kube_proxy),
    },
    Check {
        id: "network::nodeports_on_node",
        title: "The ingress node ports answer on {node} as their Service lets expect.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: node_port::NEEDS,
        awaits: true,
        after: None,
        criterion: Criterion::Of("4.2"),
        why: "Users and routers may send requests to any node. With externalTrafficPolicy Local only nodes that run \
              a controller pod answer; the others drop the packets.",
        reasons: node_port::REASONS,
        ask: ask!(nodeports_on_node),
    },
];

/// Rules that were asked for this long ago and are not written yet are late.
const LATE_SECONDS: f64 = 60.0;

async fn kubelet_tunnel(cx: &Context) -> Answer {
    let answer = cx.view.node_proxy(cx.node(), "/healthz").await;
    what_healthz_means(cx.node(), answer)
}

fn what_healthz_means(node: &str, answer: Result<Arc<Raw>, ReadError>) -> Answer {
    match answer {
        Ok(answer) if answer.status.is_success() => Ok(Verdict::pass(format!(
            "the kubelet of {node} answers through the API server"
        ))
        .saw(format!(
            "GET nodes/{node}/proxy/healthz: {}",
            short(&answer.text())
        ))),
        Ok(answer) if answer.status.as_u16() == 404 && answer.text().contains("NotFound") => {
            Err(ReadError::Absent {
                what: format!("nodes {node}"),
            })
        }
        Ok(answer) => Ok(Verdict::fail(
            "KubeletNotHealthy",
            format!(
                "the kubelet of {node} answers healthz with {}",
                answer.status
            ),
        )
        .saw(short(&answer.text()))),
        // The API server answers, the way on to the kubelet does not.
        Err(ReadError::Server {
            status: 500 | 502 | 503 | 504,
            message,
            ..
        }) => Ok(Verdict::fail(
            "KubeletUnreachable",
            format!("the API server does not reach the kubelet of {node}"),
        )
        .saw(short(&message))),
        Err(error) => Err(error),
    }
}

async fn kube_proxy(cx: &Context) -> Answer {
    const WRITTEN: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";
    const QUEUED: &str = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds";
    let nodes = node::all(cx).await?;
    let mut arguments = nodes.iter().filter_map(Arguments::of);
    if arguments.any(|args| args.switch("--disable-kube-proxy")) {
        return Ok(Verdict::skip(
            "SwitchedOff",
            "the servers run with --disable-kube-proxy",
        ));
    }
    let node = cx.node();
    let answer = cx.view.node_proxy(node, "/metrics").await?;
    if !answer.status.is_success() {
        return Ok(Verdict::warn(
            "NotShown",
            format!(
                "the kubelet of {node} answers metrics with {}",
                answer.status
            ),
        ));
    }
    let text = answer.text();
    let latest = |name| exposition::values(&text, name).into_iter().reduce(f64::max);
    let Some(written) = latest(WRITTEN) else {
        // All parts of k3s share one registry: where the server shows kube-proxy, its absence here means something.
        let server = node::control_plane(cx).await?;
        let there = cx.view.node_proxy(node::name(&server), "/metrics").await?;
        if node::name(&server) != node && !exposition::values(&there.text(), WRITTEN).is_empty() {
            return Ok(Verdict::fail(
                "RulesNeverWritten",
                format!(
                    "kube-proxy on {node} shows nothing, on {} it does",
                    node::name(&server)
                ),
            )
            .saw(format!("no sample of {WRITTEN} on {node}")));
        }
        return Ok(Verdict::warn(
            "NotShown",
            format!("the metrics of {node} do not say when kube-proxy wrote its rules"),
        )
        .saw(format!("no sample of {WRITTEN}")));
    };
    if written <= 0.0 {
        return Ok(Verdict::fail(
            "RulesNeverWritten",
            format!("kube-proxy on {node} has not written its rules yet"),
        )
        .saw(format!("{WRITTEN} {written}")));
    }
    let queued = latest(QUEUED).unwrap_or_default();
    let seen =
        format!("rules written at {written:.0}, last asked for at {queued:.0} (Unix seconds)");
    // How long ago means nothing: without a change of a Service nothing is written.
    if queued - written > LATE_SECONDS {
        return Ok(Verdict::fail(
            "RulesBehind",
            format!(
                "kube-proxy on {node} is {:.0} s behind with its rules",
                queued - written
            ),
        )
        .saw(seen));
    }
    Ok(Verdict::pass("rules are written and none are waiting").saw(seen))
}

async fn nodeports_on_node(cx: &Context) -> Answer {
    node_port::judge(cx, cx.node()).await
}

/// The first line of an answer, not too long.
fn short(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::json;

    use super::*;
    use crate::{
        network::example::{annotate, node},
        testing::Fixture,
    };

    const HEALTHZ: &str = "/api/v1/nodes/k3s2/proxy/healthz";
    const METRICS: &str = "/api/v1/nodes/k3s2/proxy/metrics";

    fn check(id: &str) -> &'static Check {
        CHECKS.iter().find(|check| check.id == id).unwrap()
    }

    #[tokio::test]
    async fn the_kubelets_answer_decides() {
        let ask = |status, body: &str| {
            Fixture::new()
                .raw(HEALTHZ, status, body)
                .ask(check("network::kubelet_tunnel"))
        };
        assert_eq!(ask(200, "ok").await.outcome(), Outcome::Pass);
        let sick = ask(500, "[-]syncloop failed").await;
        assert_eq!(sick.reason(), "KubeletNotHealthy");
        assert!(sick.message().contains("k3s2"), "{sick:?}");
        let missing = json!({"kind": "Status", "reason": "NotFound", "details": {"name": "k3s2", "kind": "nodes"}});
        let absent = ask(404, &missing.to_string()).await;
        assert_eq!(absent.reason(), "NotFound");
        let forbidden = Fixture::new()
            .forbid("/proxy/")
            .ask(check("network::kubelet_tunnel"))
            .await;
        assert_eq!(
            (forbidden.outcome(), forbidden.reason()),
            (Outcome::Skip, "MissingPermission")
        );
    }

    #[test]
    fn a_tunnel_that_is_down_is_no_server_error() {
        let answer = Err(ReadError::Server {
            what: HEALTHZ.into(),
            status: 502,
            message: "error dialing backend: tunnel disconnected".into(),
        });
        let verdict = what_healthz_means("k3s2", answer).unwrap();
        assert_eq!(verdict.reason(), "KubeletUnreachable");
        assert!(
            verdict.evidence()[0].contains("tunnel disconnected"),
            "{verdict:?}"
        );
    }

    async fn proxy(written: &str, queued: &str) -> Verdict {
        let metrics = format!(
            "# HELP kubeproxy_sync_proxy_rules_last_timestamp_seconds x\n\
             kubeproxy_sync_proxy_rules_last_timestamp_seconds{{ip_family=\"IPv4\"}} {written}\n\
             kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds {queued}\n"
        );
        Fixture::new()
            .with(node("k3s1", 1))
            .raw(METRICS, 200, metrics)
            .ask(check("network::kube_proxy"))
            .await
    }

    #[tokio::test]
    async fn old_rules_are_fine_and_late_ones_are_not() {
        assert_eq!(proxy("1.7e+09", "1.7e+09").await.outcome(), Outcome::Pass);
        let never = proxy("0", "0").await;
        assert_eq!(never.reason(), "RulesNeverWritten");
        assert!(never.message().contains("k3s2"), "{never:?}");
        assert_eq!(
            proxy("1700000000", "1700000100").await.reason(),
            "RulesBehind"
        );
    }

    #[tokio::test]
    async fn metrics_without_kube_proxy_prove_nothing() {
        let verdict = Fixture::new()
            .with(node("k3s1", 1))
            .raw(METRICS, 200, "up 1\n")
            .raw("/api/v1/nodes/k3s1/proxy/metrics", 200, "up 1\n")
            .ask(check("network::kube_proxy"))
            .await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Warn, "NotShown")
        );
        let shown = "kubeproxy_sync_proxy_rules_last_timestamp_seconds 1.7e9\n";
        let verdict = Fixture::new()
            .with(node("k3s1", 1))
            .raw(METRICS, 200, "up 1\n")
            .raw("/api/v1/nodes/k3s1/proxy/metrics", 200, shown)
            .ask(check("network::kube_proxy"))
            .await;
        assert_eq!(verdict.reason(), "RulesNeverWritten", "{verdict:?}");
        let off = annotate(
            node("k3s1", 1),
            "k3s.io/node-args",
            r#"["server","--disable-kube-proxy"]"#,
        );
        let verdict = Fixture::new()
            .with(off)
            .ask(check("network::kube_proxy"))
            .await;
        assert_eq!(verdict.reason(), "SwitchedOff");
    }
}
