//! node-exporter on the new node: does it run, is it scraped, do its numbers arrive?

use std::net::IpAddr;

use jiff::SignedDuration;
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Node, Pod},
};
use reports::model::Severity;

use super::prometheus::{self, Target};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    resources::{full_name, node, workload},
    view::Scope,
};

/// node-exporter on the new node.
pub const CHECKS: &[Check] = &[
    Check {
        id: "monitoring::node_exporter",
        title: "A node-exporter pod is ready on {node}.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[
            Need::list(&kinds::NODES),
            Need::list(&kinds::PODS),
            Need::list(&kinds::DAEMONSETS),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Of("5.1"),
        why: "node-exporter reports what a machine uses: processor, memory, disks, network. Without it the node has \
              no line in any dashboard.",
        reasons: &[
            Reason::new(
                "NotInstalled",
                "install kube-prometheus-stack, which brings node-exporter, or set expect.monitoring = false",
            ),
            Reason::new(
                "KeptAway",
                "compare selector, affinity and tolerations of the named DaemonSet with kubectl describe node {node}",
            ),
            Reason::new(
                "NoPod",
                "kubectl -n monitoring describe daemonset and look at its events; a new node gets its pod within seconds",
            ),
            Reason::new(
                "PodNotReady",
                "kubectl describe the named pod and read its events; port 9100 of {node} may be taken by another program",
            ),
        ],
        ask: ask!(node_exporter),
    },
    Check {
        id: "monitoring::target_up",
        title: "Prometheus scrapes node-exporter on {node}.",
        severity: Severity::Fail,
        requires: &["monitoring::node_exporter"],
        needs: &[
            prometheus::NEEDS[0],
            prometheus::NEEDS[1],
            prometheus::NEEDS[2],
            Need::list(&kinds::NODES),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Of("5.1"),
        why: "A pod that runs and is not scraped is invisible all the same. Not being a target and being a target \
              that does not answer have different causes.",
        reasons: &[
            prometheus::MISSING,
            prometheus::DOWN,
            prometheus::REFUSED,
            Reason::new(
                "NotATarget",
                "see that a ServiceMonitor selects node-exporter's Service and that the Prometheus object selects that ServiceMonitor by its labels",
            ),
            Reason::new(
                "ScrapeFails",
                "open port 9100/tcp of {node} for the node that runs Prometheus; the evidence has the last error",
            ),
            Reason::new(
                "NotScrapedYet",
                "it is a target and has not been scraped: wait one scrape interval",
            ),
            Reason::new(
                "ScrapeStale",
                "Prometheus has not scraped it for long: look at the load and the log of Prometheus",
            ),
        ],
        ask: ask!(target_up),
    },
    Check {
        id: "monitoring::node_metrics",
        title: "Prometheus has the numbers of {node}.",
        severity: Severity::Fail,
        requires: &["monitoring::target_up"],
        needs: &[
            prometheus::NEEDS[0],
            prometheus::NEEDS[1],
            prometheus::NEEDS[2],
            Need::list(&kinds::NODES),
        ],
        awaits: true,
        after: None,
        criterion: Criterion::Of("5.1"),
        why: "What is scraped may still be thrown away by a relabelling rule. Dashboards and alerts read these \
              series, so these series must be there.",
        reasons: &[
            prometheus::MISSING,
            prometheus::DOWN,
            prometheus::REFUSED,
            Reason::new(
                "NoSeries",
                "look for metricRelabelings that drop node_ series in the ServiceMonitor of node-exporter",
            ),
        ],
        ask: ask!(node_metrics),
    },
];

/// A target that was not scraped for so long has stopped being scraped: four intervals of the usual 30 s.
const STALE: SignedDuration = SignedDuration::from_secs(120);

/// Charts before 4.0 name the pods by `app` only; the jsonnet distribution calls them `node-exporter`.
pub(crate) fn is_node_exporter(
    labels: Option<&std::collections::BTreeMap<String, String>>,
) -> bool {
    workload::has_label(labels, "app.kubernetes.io/name", "prometheus-node-exporter")
        || workload::has_label(labels, "app.kubernetes.io/name", "node-exporter")
        || workload::has_label(labels, "app", "prometheus-node-exporter")
}

async fn node_exporter(cx: &Context) -> Answer {
    let pods = cx
        .view
        .list::<Pod>(&kinds::PODS, Scope::on_node(cx.node()))
        .await?;
    let own: Vec<&Pod> = pods
        .iter()
        .filter(|pod| is_node_exporter(pod.metadata.labels.as_ref()))
        .collect();
    if let Some(pod) = own.iter().find(|pod| workload::is_ready(pod)) {
        return Ok(Verdict::pass(format!(
            "pod {} is ready",
            full_name(&pod.metadata)
        )));
    }
    if let Some(pod) = own.first() {
        let trouble = workload::pod_trouble(pod).unwrap_or_default();
        return Ok(Verdict::fail(
            "PodNotReady",
            format!("pod {} is not ready: {trouble}", full_name(&pod.metadata)),
        ));
    }
    let sets = cx
        .view
        .list::<DaemonSet>(&kinds::DAEMONSETS, Scope::all())
        .await?;
    let template = |set: &DaemonSet| set.spec.as_ref().map(|spec| spec.template.clone());
    let Some((set, pod)) = sets
        .iter()
        .filter_map(|set| Some((set, template(set)?)))
        .find(|(_, pod)| {
            is_node_exporter(pod.metadata.as_ref().and_then(|meta| meta.labels.as_ref()))
        })
    else {
        let message = "no DaemonSet runs node-exporter";
        return Ok(if cx.settings.expect.monitoring {
            Verdict::fail("NotInstalled", message)
        } else {
            Verdict::skip("NotInstalled", message)
        });
    };
    let set = full_name(&set.metadata);
    let new = node::new(cx).await?;
    let kept_away = pod
        .spec
        .as_ref()
        .and_then(|spec| workload::keeps_away_from(spec, &new));
    Ok(match kept_away {
        Some(why) => Verdict::fail(
            "KeptAway",
            format!("DaemonSet {set} keeps away from {}: {why}", cx.node()),
        ),
        None => Verdict::fail(
            "NoPod",
            format!("DaemonSet {set} has no pod on {} yet", cx.node()),
        ),
    })
}

pub(super) async fn address(cx: &Context) -> Result<Option<IpAddr>, crate::view::ReadError> {
    Ok(node::all(cx)
        .await?
        .iter()
        .find(|one: &&Node| node::name(one) == cx.node())
        .and_then(node::internal_ip)
        .and_then(|text| text.parse().ok()))
}

/// Whether a target is node-exporter: by its job, by the pod behind it, or by the port that is its own.
pub(crate) fn is_exporter_target(target: &Target) -> bool {
    target.is_called("node-exporter")
        || target
            .discovered_labels
            .get("__meta_kubernetes_pod_label_app_kubernetes_io_name")
            .is_some_and(|name| name.ends_with("node-exporter"))
}

async fn target_up(cx: &Context) -> Answer {
    let address = address(cx).await?;
    let targets = match prometheus::targets(cx).await {
        Ok(targets) => targets,
        Err(verdict) => return Ok(verdict),
    };
    let own: Vec<&Target> = targets
        .all
        .iter()
        .filter(|target| is_exporter_target(target) && target.is_on(cx.node(), address))
        .collect();
    let Some(first) = own.first() else {
        let others = targets
            .all
            .iter()
            .filter(|target| is_exporter_target(target))
            .map(|target| target.scrape_url.as_str())
            .collect::<Vec<_>>();
        return Ok(Verdict::fail(
            "NotATarget",
            format!("node-exporter on {} is not among the targets", cx.node()),
        )
        .saw(format!(
            "{} active targets, node-exporter at {}",
            targets.all.len(),
            if others.is_empty() {
                "none".to_owned()
            } else {
                others.join(", ")
            }
        )));
    };
    let seen = own.iter().map(|target| {
        let error = if target.last_error.is_empty() {
            String::new()
        } else {
            format!(", last error: {}", target.last_error)
        };
        format!(
            "{} ({}): {}{error}",
            target.scrape_url,
            target.job(),
            target.health
        )
    });
    let seen: Vec<String> = seen.collect();
    let Some(up) = own.iter().find(|target| target.health == "up") else {
        let verdict = if first.health == "down" {
            Verdict::fail(
                "ScrapeFails",
                format!("scraping {} fails: {}", first.scrape_url, first.last_error),
            )
        } else {
            Verdict::fail(
                "NotScrapedYet",
                format!("{} has not been scraped yet", first.scrape_url),
            )
        };
        return Ok(verdict.saw_all(seen));
    };
    let age = up.last_scrape.map(|then| targets.now.duration_since(then));
    if let Some(age) = age.filter(|age| *age > STALE) {
        return Ok(Verdict::fail(
            "ScrapeStale",
            format!("{} was last scraped {} s ago", up.scrape_url, age.as_secs()),
        )
        .saw_all(seen));
    }
    let when = age.map_or_else(
        || "at a time that it does not tell".to_owned(),
        |age| format!("{} s ago", age.as_secs().max(0)),
    );
    Ok(Verdict::pass(format!("{} is up, scraped {when}", up.scrape_url)).saw_all(seen))
}

async fn node_metrics(cx: &Context) -> Answer {
    let node = cx.node();
    // The host's name may be longer than the node's or differ in case; the address is the same.
    let names = match prometheus::query(cx, "node_uname_info").await {
        Ok(samples) => samples,
        Err(verdict) => return Ok(verdict),
    };
    let address = address(cx).await?.map(|address| address.to_string());
    let by_address = |instance: &str| {
        instance
            .rsplit_once(':')
            .is_some_and(|(host, _)| Some(host.trim_matches(['[', ']'])) == address.as_deref())
    };
    let own = names.iter().find(|sample| {
        let name = sample.label("nodename").to_lowercase();
        name == node
            || name.split_once('.').is_some_and(|(short, _)| short == node)
            || by_address(sample.label("instance"))
    });
    if let Some(own) = own {
        return Ok(
            Verdict::pass(format!("node_uname_info of {node} is there")).saw(format!(
                "nodename {}, instance {}, kernel {}",
                own.label("nodename"),
                own.label("instance"),
                own.label("release")
            )),
        );
    }
    // A monitor that keeps only chosen series usually keeps the load.
    let loads = match prometheus::query(cx, "node_load1").await {
        Ok(samples) => samples,
        Err(verdict) => return Ok(verdict),
    };
    let own = loads
        .iter()
        .find(|sample| sample.label("node") == node || by_address(sample.label("instance")));
    Ok(match own {
        Some(own) => Verdict::pass(format!("node_load1 of {node} is {}", own.value))
            .saw(format!("instance {}", own.label("instance"))),
        None => Verdict::fail(
            "NoSeries",
            format!("neither node_uname_info nor node_load1 has a series of {node}"),
        )
        .saw(format!(
            "node_uname_info of {}",
            listed(names.iter().map(|sample| sample.label("nodename")))
        ))
        .saw(format!(
            "node_load1 of {}",
            listed(loads.iter().map(|sample| sample.label("instance")))
        )),
    })
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        monitoring::prometheus::example::{answering, vector},
        network::example::node,
        testing::Fixture,
    };

    const TARGETS: &str = "/api/v1/targets?state=active";
    const UNAME: &str = "/api/v1/query?query=node_uname_info";
    const LOAD: &str = "/api/v1/query?query=node_load1";

    fn labels() -> Value {
        json!({"app.kubernetes.io/name": "prometheus-node-exporter"})
    }

    fn pod(ready: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "ne-1", "namespace": "monitoring", "labels": labels()},
            "spec": {"nodeName": "k3s2", "containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready, "reason": "ContainersNotReady"}]},
        })
    }

    fn set(selector: Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "ne", "namespace": "monitoring"},
            "spec": {"selector": {}, "template": {
                "metadata": {"labels": labels()}, "spec": {"containers": [], "nodeSelector": selector},
            }},
        })
    }

    #[tokio::test]
    async fn a_ready_pod_passes_and_each_other_state_has_its_reason() {
        let base = || Fixture::new().with(node("k3s2", 2));
        let ask = |fixture: Fixture| fixture.ask(&CHECKS[0]);
        let verdict = ask(base().with(pod("True"))).await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
        let verdict = ask(base().with(pod("False"))).await;
        assert_eq!(verdict.reason(), "PodNotReady");
        assert!(verdict.message().contains("monitoring/ne-1"), "{verdict:?}");
        assert_eq!(ask(base().with(set(json!({})))).await.reason(), "NoPod");
        let kept = ask(base().with(set(json!({"disk": "ssd"})))).await;
        assert_eq!(kept.reason(), "KeptAway");
        assert!(kept.message().contains("disk=ssd"), "{kept:?}");
        assert_eq!(ask(base()).await.reason(), "NotInstalled");
    }

    fn target(node: &str, health: &str, scraped: &str) -> Value {
        json!({
            "discoveredLabels": {"__meta_kubernetes_pod_node_name": node}, "labels": {"job": "node-exporter"},
            "scrapePool": "serviceMonitor/monitoring/x/0", "scrapeUrl": format!("http://{node}:9100/metrics"),
            "health": health, "lastError": if health == "down" { "connection refused" } else { "" },
            "lastScrape": scraped,
        })
    }

    async fn targets(all: Value) -> Verdict {
        answering(&[(TARGETS, json!({"activeTargets": all}))])
            .with(node("k3s2", 2))
            .ask(&CHECKS[1])
            .await
    }

    #[tokio::test]
    async fn not_a_target_and_a_target_that_is_down_are_two_findings() {
        let now = jiff::Timestamp::now().to_string();
        let verdict = targets(json!([target("k3s2", "up", &now)])).await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
        let verdict = targets(json!([target("k3s1", "up", &now)])).await;
        assert_eq!(verdict.reason(), "NotATarget");
        assert!(
            verdict.evidence()[0].contains("http://k3s1:9100"),
            "{verdict:?}"
        );
        let verdict = targets(json!([target("k3s2", "down", &now)])).await;
        assert_eq!(verdict.reason(), "ScrapeFails");
        assert!(
            verdict.message().contains("connection refused"),
            "{verdict:?}"
        );
        let verdict = targets(json!([target("k3s2", "unknown", "0001-01-01T00:00:00Z")])).await;
        assert_eq!(verdict.reason(), "NotScrapedYet");
        let verdict = targets(json!([target("k3s2", "up", "2020-01-01T00:00:00.5Z")])).await;
        assert_eq!(verdict.reason(), "ScrapeStale");
    }

    #[tokio::test]
    async fn the_numbers_are_found_by_name_or_by_address() {
        let ask = |uname: &[(Value, &str)], load: &[(Value, &str)]| {
            answering(&[(UNAME, vector(uname)), (LOAD, vector(load))])
                .with(node("k3s2", 2))
                .ask(&CHECKS[2])
        };
        let other = (
            json!({"nodename": "k3s1", "instance": "192.168.86.71:9100"}),
            "1",
        );
        for labels in [
            json!({"nodename": "K3S2.home.lan", "instance": "x:9100"}),
            json!({"nodename": "raspberry", "instance": "192.168.86.72:9100"}),
        ] {
            let verdict = ask(&[other.clone(), (labels, "1")], &[]).await;
            assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
        }
        let load = (json!({"instance": "192.168.86.72:9100"}), "0");
        let verdict = ask(std::slice::from_ref(&other), &[load]).await;
        assert_eq!(
            verdict.outcome(),
            Outcome::Pass,
            "a load of 0 is a number: {verdict:?}"
        );
        let verdict = ask(&[other], &[]).await;
        assert_eq!(verdict.reason(), "NoSeries");
        assert!(verdict.message().contains("k3s2"), "{verdict:?}");
    }
}
