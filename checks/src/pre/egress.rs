//! `pre`, what a pod on the control plane reaches: the cluster's names, names outside, the registry.

use reports::model::Severity;

use crate::{
    Answer, Check, Context, Criterion, Verdict, ask,
    probe::{self, BEFORE, host_of},
};

/// What a pod reaches from the control plane.
pub const CHECKS: &[Check] = &[
    Check {
        id: "pre::dns_internal",
        title: "A pod on {control_plane} finds Services by their names.",
        severity: Severity::Fail,
        requires: &["pre::coredns"],
        needs: &[],
        awaits: false,
        after: Some(BEFORE),
        criterion: Criterion::Of("4.3"),
        why: "Nearly every workload finds its peers by name. Where that fails before the node is there, it will fail on \
              the node too, and the node would be blamed for it.",
        reasons: &probe::reasons(
            "see that the Service kube-dns has endpoints: kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns",
            "see whether CoreDNS answers at all: kubectl -n kube-system logs -l k8s-app=kube-dns --tail=50; a NetworkPolicy in kube-system may keep pods from it",
            "look at the zone in CoreDNS's configuration: kubectl -n kube-system get configmap coredns -o yaml; [probe] image must hold nslookup",
            "the evidence has the pod's own words; the image of probe pods must hold nslookup: [probe] image",
        ),
        ask: ask!(dns_internal),
    },
    Check {
        id: "pre::dns_external",
        title: "A pod on {control_plane} finds names outside of the cluster.",
        severity: Severity::Warn,
        requires: &["pre::coredns"],
        needs: &[],
        awaits: false,
        after: Some(BEFORE),
        criterion: Criterion::Of("4.3"),
        why: "Flux fetches from a git server and kubelets fetch from registries, all by name.",
        reasons: EXTERNAL,
        ask: ask!(dns_external),
    },
    Check {
        id: "pre::egress_registry",
        title: "A pod on {control_plane} reaches the target of [probe] egress, by default an image registry.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[],
        awaits: false,
        after: Some(BEFORE),
        criterion: Criterion::Beyond,
        why: "The new node has to fetch every image once. If the network has no way out, that will take long and fail.",
        reasons: REGISTRY,
        ask: ask!(egress_registry),
    },
];

const OFFLINE: &str =
    "nothing to do in a cluster without a way out; otherwise name a target in [probe] egress";
const SERVERS: &str = "see which servers CoreDNS asks: kubectl -n kube-system get configmap coredns -o yaml (forward), and /etc/resolv.conf on the nodes";

const EXTERNAL: &[crate::Reason] = &[
    crate::Reason::new("Offline", OFFLINE),
    crate::Reason::new("TargetRefused", SERVERS),
    crate::Reason::new("TargetTimedOut", SERVERS),
    crate::Reason::new("NameNotFound", SERVERS),
    crate::Reason::new(
        "NotReached",
        "the evidence has the pod's own words; the image of probe pods must hold nslookup: [probe] image",
    ),
];

const WAY_OUT: &str = "on a node: curl -sI https://TARGET; look at the firewall and the proxy on the way out, or name another target in [probe] egress";

const REGISTRY: &[crate::Reason] = &[
    crate::Reason::new("Offline", OFFLINE),
    crate::Reason::new("TargetRefused", WAY_OUT),
    crate::Reason::new("TargetTimedOut", WAY_OUT),
    crate::Reason::new("NameNotFound", SERVERS),
    crate::Reason::new("NotReached", WAY_OUT),
];

/// Why nothing outside of the cluster is asked, where that is so.
pub(crate) fn offline(cx: &Context) -> Option<Verdict> {
    cx.settings.probe.egress.is_empty().then(|| {
        Verdict::skip(
            "Offline",
            "[probe] egress is empty: nothing outside of the cluster is asked",
        )
    })
}

async fn dns_internal(cx: &Context) -> Answer {
    Ok(probe::judge(cx, BEFORE, "dns_internal"))
}

async fn dns_external(cx: &Context) -> Answer {
    if let Some(verdict) = offline(cx) {
        return Ok(verdict);
    }
    let (host, named) = host_of(&cx.settings.probe.egress);
    if !named {
        return Ok(Verdict::skip(
            "Offline",
            format!("[probe] egress names the address {host}, so no name outside is asked"),
        ));
    }
    Ok(probe::judge(cx, BEFORE, "dns_external"))
}

async fn egress_registry(cx: &Context) -> Answer {
    Ok(offline(cx).unwrap_or_else(|| probe::judge(cx, BEFORE, "egress_registry")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reports::model::Outcome;

    use super::*;
    use crate::{
        probe::{
            Word,
            tests::{after, finding},
        },
        testing::{Fixture, check},
    };

    fn with_egress(mut cx: Context, egress: &str) -> Context {
        let mut settings = (*cx.settings).clone();
        settings.probe.egress = egress.into();
        cx.settings = Arc::new(settings);
        cx
    }

    #[tokio::test]
    async fn each_question_is_judged_by_its_own_finding() {
        let (ok, timeout) = (
            finding(Word::Ok, ""),
            finding(Word::Timeout, "nc: timed out"),
        );
        let facts = [
            ("dns_internal", ok.as_str()),
            ("dns_external", ok.as_str()),
            ("egress_registry", timeout.as_str()),
        ];
        let cx = after(Fixture::new(), BEFORE, &facts);
        let asked = |id| (check(id).ask)(&cx);
        assert_eq!(asked("pre::dns_internal").await.unwrap().reason(), "");
        assert_eq!(asked("pre::dns_external").await.unwrap().reason(), "");
        let registry = asked("pre::egress_registry").await.unwrap();
        assert_eq!(registry.reason(), "TargetTimedOut");
        assert!(
            check("pre::egress_registry")
                .remedy("TargetTimedOut")
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_cluster_without_a_way_out_skips_what_is_outside() {
        let ok = finding(Word::Ok, "");
        let made = || after(Fixture::new(), BEFORE, &[("dns_internal", &ok)]);
        let cx = with_egress(made(), "");
        for id in ["pre::dns_external", "pre::egress_registry"] {
            let verdict = (check(id).ask)(&cx).await.unwrap();
            assert_eq!(
                (verdict.outcome(), verdict.reason()),
                (Outcome::Skip, "Offline"),
                "{id}"
            );
        }
        assert_eq!(
            (check("pre::dns_internal").ask)(&cx)
                .await
                .unwrap()
                .reason(),
            ""
        );
        let cx = with_egress(made(), "192.0.2.1:443");
        let verdict = (check("pre::dns_external").ask)(&cx).await.unwrap();
        assert!(
            verdict.message().contains("192.0.2.1"),
            "{}",
            verdict.message()
        );
    }
}
