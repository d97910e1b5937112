//! Traffic itself: what pods on both nodes reach, as an action found out with pods of its own.

use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Reason, ask,
    pre::egress::offline,
    probe::{self, TRAFFIC},
};

const OVERLAY: &str = "open 8472/udp (vxlan) or 51820/udp (wireguard) between the nodes in both directions; on a node: tcpdump -ni any udp port 8472";
const LISTENER: &str = "the pod that listens there was Ready, so something in between answers for it: look for a NetworkPolicy or a host firewall on the nodes";
const DNS: &str = "compare with a pod on {control_plane}; if that finds names, pod traffic from {node} does not cross: see network::pod_to_pod_from_node";
const PROXY: &str = "on {node}: iptables-save | grep KUBE-SVC; journalctl -u k3s-agent | grep -i proxy; a firewall that was reloaded has dropped the rules";
const OUT: &str = "on {node}: curl -sI https://TARGET; look at the firewall and the default route of {node}, or name another target in [probe] egress";
const WORDS: &str = "the evidence has the pod's own words; the image of probe pods must hold nc and nslookup: [probe] image";

const fn traffic(
    id: &'static str,
    title: &'static str,
    why: &'static str,
    criterion: Criterion,
    reasons: &'static [Reason],
    ask: crate::Ask,
) -> Check {
    Check {
        id,
        title,
        severity: Severity::Fail,
        requires: &[],
        needs: &[],
        awaits: false,
        after: Some(TRAFFIC),
        criterion,
        why,
        reasons,
        ask,
    }
}

/// What pods reach.
pub const CHECKS: &[Check] = &[
    traffic(
        "network::pod_to_pod_from_control_plane",
        "A pod on {control_plane} reaches a pod on {node}.",
        "flannel's annotations say how the overlay is meant to be; only a packet that arrives says that no firewall is in the way.",
        Criterion::Of("4.2"),
        &probe::reasons(LISTENER, OVERLAY, WORDS, OVERLAY),
        ask!(pod_to_pod_from_control_plane),
    ),
    traffic(
        "network::pod_to_pod_from_node",
        "A pod on {node} reaches a pod on {control_plane}.",
        "Traffic may cross one way only: a firewall on one of the nodes lets answers through and no questions.",
        Criterion::Of("4.2"),
        &probe::reasons(LISTENER, OVERLAY, WORDS, OVERLAY),
        ask!(pod_to_pod_from_node),
    ),
    traffic(
        "network::service_from_node",
        "A pod on {node} reaches a Service by its cluster address.",
        "kube-proxy on the node turns cluster addresses into addresses of pods. This is the proof that its rules work.",
        Criterion::Of("4.2"),
        &probe::reasons(PROXY, PROXY, WORDS, PROXY),
        ask!(service_from_node),
    ),
    traffic(
        "network::dns_from_node",
        "A pod on {node} finds Services by their names.",
        "A workload on the node that finds no names finds nothing at all; names are answered by CoreDNS, which often runs on another node.",
        Criterion::Of("4.3"),
        &probe::reasons(DNS, DNS, DNS, WORDS),
        ask!(dns_from_node),
    ),
    traffic(
        "network::api_from_node",
        "A pod on {node} reaches the API server at the address of {control_plane}.",
        "Controllers, CSI drivers and exporters on the node talk to the API server all the time.",
        Criterion::Of("4.2"),
        &probe::reasons(
            "see that the API server listens on the InternalIP of {control_plane}: ss -ltnp | grep 6443",
            "open 6443/tcp on {control_plane} for the pod range of {node}, not only for the address of {node}",
            WORDS,
            "see the routes on {node}: ip route get the address in the evidence",
        ),
        ask!(api_from_node),
    ),
    Check {
        severity: Severity::Warn,
        ..traffic(
            "network::egress_from_node",
            "A pod on {node} reaches the target of [probe] egress, by default an image registry.",
            "What runs on the node usually needs a way out: to registries, mail servers, time servers.",
            Criterion::Beyond,
            &[
                Reason::new(
                    "Offline",
                    "nothing to do in a cluster without a way out; otherwise name a target in [probe] egress",
                ),
                Reason::new("TargetRefused", OUT),
                Reason::new("TargetTimedOut", OUT),
                Reason::new("NameNotFound", OUT),
                Reason::new("NotReached", OUT),
            ],
            ask!(egress_from_node),
        )
    },
];

async fn pod_to_pod_from_control_plane(cx: &Context) -> Answer {
    Ok(probe::judge(cx, TRAFFIC, "pod_to_pod_from_control_plane"))
}

async fn pod_to_pod_from_node(cx: &Context) -> Answer {
    Ok(probe::judge(cx, TRAFFIC, "pod_to_pod_from_node"))
}

async fn service_from_node(cx: &Context) -> Answer {
    Ok(probe::judge(cx, TRAFFIC, "service_from_node"))
}

async fn dns_from_node(cx: &Context) -> Answer {
    Ok(probe::judge(cx, TRAFFIC, "dns_from_node"))
}

async fn api_from_node(cx: &Context) -> Answer {
    Ok(probe::judge(cx, TRAFFIC, "api_from_node"))
}

async fn egress_from_node(cx: &Context) -> Answer {
    Ok(offline(cx).unwrap_or_else(|| probe::judge(cx, TRAFFIC, "egress_from_node")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        probe::{
            Word,
            tests::{after, finding},
        },
        testing::{Fixture, check},
    };

    #[tokio::test]
    async fn every_check_judges_the_finding_of_its_own_name() {
        let bad = finding(Word::Refused, "nc: refused");
        let good = finding(Word::Ok, "");
        for check_of in CHECKS {
            let (_, own) = check_of.id.split_once("::").unwrap();
            let facts: Vec<(&str, &str)> = CHECKS
                .iter()
                .filter_map(|one| one.id.split_once("::"))
                .map(|(_, key)| (key, if key == own { &*bad } else { &*good }))
                .collect();
            let cx = after(Fixture::new(), TRAFFIC, &facts);
            for asked in CHECKS {
                let verdict = (asked.ask)(&cx).await.unwrap();
                let wanted = if asked.id == check_of.id {
                    "TargetRefused"
                } else {
                    ""
                };
                assert_eq!(verdict.reason(), wanted, "{}", asked.id);
            }
        }
    }

    #[test]
    fn every_reason_of_a_finding_has_a_remedy() {
        for check_of in CHECKS {
            for code in [
                "TargetRefused",
                "TargetTimedOut",
                "NameNotFound",
                "NotReached",
            ] {
                assert!(
                    check(check_of.id).remedy(code).is_some(),
                    "{} {code}",
                    check_of.id
                );
            }
        }
    }
}
