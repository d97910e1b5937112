//! What people see of the node: its numbers, dashboards and alerts.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    core::v1::{ConfigMap, Service},
    discovery::v1::EndpointSlice,
};
use reports::model::Severity;
use serde::Deserialize;

use super::{
    alerting,
    exporter::address,
    prometheus::{self, has_ready_endpoint, proxied, selecting},
};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds,
    resources::{full_name, quantity},
    view::{ReadError, Scope},
};

/// What people see of the node.
pub const CHECKS: &[Check] = &[
    Check {
        id: "monitoring::metrics_api",
        title: "The metrics API has numbers for {node}.",
        severity: Severity::Warn,
        requires: &["join::registered"],
        needs: &[Need::get(&kinds::NODE_METRICS)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("5.1"),
        why: "kubectl top and autoscalers read these numbers. metrics-server asks every kubelet directly, so a closed \
              port between the nodes shows here first.",
        reasons: &[
            Reason::new(
                "NotInstalled",
                "install metrics-server (k3s brings it unless started with --disable metrics-server)",
            ),
            Reason::new(
                "NoNumbers",
                "open port 10250/tcp of {node} for the other nodes, then: kubectl -n kube-system logs deploy/metrics-server",
            ),
            Reason::new(
                "NumbersOld",
                "kubectl -n kube-system logs deploy/metrics-server | grep {node}",
            ),
            Reason::new(
                "MetricsApiDown",
                "kubectl get apiservice v1beta1.metrics.k8s.io, and look at the pods of metrics-server",
            ),
        ],
        ask: ask!(metrics_api),
    },
    Check {
        id: "monitoring::grafana",
        title: "Grafana answers and reaches its database.",
        severity: Severity::Fail,
        requires: &[],
        needs: &prometheus::NEEDS,
        awaits: true,
        after: None,
        criterion: Criterion::Of("5.2"),
        why: "Dashboards are how people see that both nodes work.",
        reasons: &[
            Reason::new(
                "GrafanaMissing",
                "install Grafana, name its namespace in monitoring.namespace, or set expect.grafana = false",
            ),
            Reason::new(
                "GrafanaDown",
                "kubectl get pods -A -l app.kubernetes.io/name=grafana, then describe the pod that is not ready",
            ),
            Reason::new(
                "DatabaseNotOk",
                "kubectl logs the Grafana pod and look at its volume: the database file is locked, full or damaged",
            ),
        ],
        ask: ask!(grafana),
    },
    Check {
        id: "monitoring::dashboards",
        title: "At least one dashboard shows nodes.",
        severity: Severity::Warn,
        requires: &["monitoring::grafana"],
        needs: &[Need::list(&kinds::CONFIGMAPS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("5.2"),
        why: "Numbers that no dashboard draws help nobody at night. Only dashboards in ConfigMaps are looked at: \
              those that were made by hand in Grafana need a password to see.",
        reasons: &[
            Reason::new(
                "NoDashboards",
                "no ConfigMap carries the label grafana_dashboard: enable grafana.defaultDashboardsEnabled in the chart's values",
            ),
            Reason::new(
                "NoNodeDashboard",
                "add the dashboard Node Exporter Full (grafana.com 1860) as a ConfigMap with the label grafana_dashboard",
            ),
        ],
        ask: ask!(dashboards),
    },
    Check {
        id: "monitoring::alert_rules",
        title: "An alert would fire if {node} were gone.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[
            prometheus::NEEDS[0],
            prometheus::NEEDS[1],
            prometheus::NEEDS[2],
            Need::list(&kinds::NODES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("5.3"),
        why: "A node that dies at night should wake somebody. A rule that names nodes by a pattern which the series \
              do not carry never fires and looks fine.",
        reasons: &[
            prometheus::MISSING,
            prometheus::DOWN,
            prometheus::REFUSED,
            Reason::new(
                "NoRules",
                "Prometheus has loaded no alerting rule: compare the labels of the PrometheusRules with ruleSelector of the Prometheus object",
            ),
            Reason::new(
                "NoRuleForNodes",
                "enable defaultRules.rules.kubernetesSystem in the chart's values, which brings KubeNodeNotReady",
            ),
            Reason::new(
                "RuleBroken",
                "Prometheus cannot evaluate the named rule; the evidence has its error",
            ),
        ],
        ask: ask!(alert_rules),
    },
    Check {
        id: "monitoring::alerts",
        title: "No alert is firing about {node}.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[
            prometheus::NEEDS[0],
            prometheus::NEEDS[1],
            prometheus::NEEDS[2],
            Need::list(&kinds::NODES),
        ],
        awaits: false,
        after: None,
        criterion: Criterion::Of("5.3"),
        why: "What monitoring already complains about should be known before the node gets work.",
        reasons: &[
            prometheus::MISSING,
            prometheus::DOWN,
            prometheus::REFUSED,
            Reason::new(
                "Firing",
                "look the named alerts up in Alertmanager; an alert about the join itself ends within minutes",
            ),
        ],
        ask: ask!(alerts),
    },
];

/// metrics-server measures every 15 s or every minute; numbers older than this are left over.
const OLD: SignedDuration = SignedDuration::from_mins(5);

/// The metrics API serves no watches, so it is asked by its path.
async fn metrics_api(cx: &Context) -> Answer {
    #[derive(Deserialize)]
    struct NodeMetrics {
        timestamp: Option<Timestamp>,
        usage: Usage,
    }
    #[derive(Deserialize)]
    struct Usage {
        cpu: String,
        memory: String,
    }
    let node = cx.node();
    let path = format!("/apis/metrics.k8s.io/v1beta1/nodes/{node}");
    let answer = match cx.view.raw(&path).await {
        Ok(answer) => answer,
        Err(ReadError::Server {
            status: 500 | 502 | 503 | 504,
            message,
            ..
        }) => {
            return Ok(Verdict::fail(
                "MetricsApiDown",
                "the metrics API is registered and does not answer",
            )
            .saw(message));
        }
        Err(error) => return Err(error),
    };
    if answer.status.as_u16() == 404 {
        // A server that does not know the API answers with a Status too, which names no object.
        let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let named = status
            .pointer("/details/name")
            .and_then(|name| name.as_str());
        return Ok(if named.is_some_and(|name| !name.is_empty()) {
            Verdict::fail(
                "NoNumbers",
                format!("the metrics API has no numbers for {node} yet"),
            )
        } else if cx.settings.expect.metrics_server {
            Verdict::fail("NotInstalled", "the metrics API is not served")
        } else {
            Verdict::skip("NotInstalled", "metrics-server is not installed")
        });
    }
    let metrics: NodeMetrics =
        serde_json::from_slice(&answer.body).map_err(|error| ReadError::Malformed {
            what: path,
            message: error.to_string(),
        })?;
    let (Some(cpu), Some(memory)) = (
        quantity::number(&metrics.usage.cpu),
        quantity::number(&metrics.usage.memory),
    ) else {
        return Ok(Verdict::fail(
            "NoNumbers",
            format!("the usage of {node} has no numbers"),
        ));
    };
    let usage = format!("{cpu:.2} cores, {:.0} MiB of memory", memory / 1_048_576.0);
    let age = metrics
        .timestamp
        .map(|then| Timestamp::now().duration_since(then));
    Ok(match age {
        Some(age) if age > OLD => Verdict::fail(
            "NumbersOld",
            format!("the numbers of {node} are {} s old", age.as_secs()),
        )
        .saw(usage),
        _ => Verdict::pass(format!("{node} uses {usage}")),
    })
}

pub(crate) async fn grafana(cx: &Context) -> Answer {
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Health {
        database: String,
        version: String,
    }
    let services = cx
        .view
        .list::<Service>(&kinds::SERVICES, Scope::all())
        .await?;
    let slices = cx
        .view
        .list::<EndpointSlice>(&kinds::ENDPOINT_SLICES, Scope::all())
        .await?;
    let found = selecting(cx, &services, "grafana");
    let Some(any) = found.first() else {
        let message = "no Service selects Grafana pods";
        return Ok(if cx.settings.expect.grafana {
            Verdict::fail("GrafanaMissing", message)
        } else {
            Verdict::skip("GrafanaMissing", message)
        });
    };
    let ready = found
        .iter()
        .find(|service| has_ready_endpoint(&slices, service));
    let Some((namespace, target)) = ready.and_then(|service| proxied(service)) else {
        return Ok(Verdict::fail(
            "GrafanaDown",
            format!("no ready pod behind Service {}", full_name(&any.metadata)),
        ));
    };
    let answer = match cx
        .view
        .service_proxy(&namespace, &target, "/api/health")
        .await
    {
        Ok(answer) => answer,
        Err(ReadError::Server {
            status: 500 | 502 | 503 | 504,
            message,
            ..
        }) => {
            return Ok(Verdict::fail(
                "GrafanaDown",
                format!("Grafana {namespace}/{target} does not answer"),
            )
            .saw(message));
        }
        Err(error) => return Err(error),
    };
    let health: Health = serde_json::from_slice(&answer.body).unwrap_or_default();
    Ok(if !answer.status.is_success() {
        Verdict::fail(
            "GrafanaDown",
            format!(
                "Grafana {namespace}/{target} answers its health with {}",
                answer.status
            ),
        )
    } else if health.database != "ok" {
        Verdict::fail(
            "DatabaseNotOk",
            format!("Grafana says of its database: `{}`", health.database),
        )
    } else {
        Verdict::pass(format!("Grafana {} answers, database ok", health.version))
            .saw(format!("GET /api/health of {namespace}/{target}"))
    })
}

async fn dashboards(cx: &Context) -> Answer {
    const LABEL: &str = "grafana_dashboard";
    /// What a dashboard about nodes cannot do without.
    const SERIES: [&str; 4] = [
        "node_uname_info",
        "node_load1",
        "node_cpu_seconds_total",
        "kube_node_",
    ];
    let maps = cx
        .view
        .list::<ConfigMap>(&kinds::CONFIGMAPS, Scope::all().labels(LABEL))
        .await?;
    let mut all = 0;
    let mut about_nodes = Vec::new();
    for map in maps.iter() {
        let labelled = map
            .metadata
            .labels
            .as_ref()
            .is_some_and(|labels| labels.contains_key(LABEL));
        for (file, text) in map.data.iter().flatten().filter(|_| labelled) {
            all += 1;
            if SERIES.iter().any(|series| text.contains(series)) {
                about_nodes.push(format!("{} {file}", full_name(&map.metadata)));
            }
        }
    }
    Ok(if !about_nodes.is_empty() {
        Verdict::pass(format!(
            "{} of {all} dashboards show nodes",
            about_nodes.len()
        ))
        .saw_all(about_nodes)
    } else if all == 0 {
        Verdict::fail(
            "NoDashboards",
            format!("no ConfigMap carries the label {LABEL}"),
        )
    } else {
        Verdict::fail(
            "NoNodeDashboard",
            format!("none of {all} dashboards uses a series about nodes"),
        )
    })
}

async fn alert_rules(cx: &Context) -> Answer {
    let rules = match prometheus::alert_rules(cx).await {
        Ok(rules) => rules,
        Err(verdict) => return Ok(verdict),
    };
    if rules.is_empty() {
        return Ok(Verdict::fail(
            "NoRules",
            "Prometheus has loaded no alerting rule",
        ));
    }
    let node = cx.node();
    let address = address(cx).await?;
    let mut watching = Vec::new();
    let mut broken = Vec::new();
    let mut seen = Vec::new();
    for rule in &rules {
        match alerting::watches(&rule.query, node, address) {
            alerting::Watches::Yes if rule.health == "err" => broken.push(rule),
            alerting::Watches::Yes => watching.push(rule.name.as_str()),
            alerting::Watches::NotThisNode(why) => seen.push(format!("{}: {why}", rule.name)),
            alerting::Watches::SomethingElse => {}
        }
    }
    watching.dedup();
    Ok(if !watching.is_empty() {
        Verdict::pass(watching.join(", ")).saw_all(seen)
    } else if let Some(rule) = broken.first() {
        Verdict::fail(
            "RuleBroken",
            format!("alert {} cannot be evaluated", rule.name),
        )
        .saw(rule.last_error.clone())
        .saw_all(seen)
    } else {
        Verdict::fail(
            "NoRuleForNodes",
            format!(
                "none of {} alerts would fire if {node} were gone",
                rules.len()
            ),
        )
        .saw_all(seen)
    })
}

async fn alerts(cx: &Context) -> Answer {
    let firing = match prometheus::query(cx, "ALERTS{alertstate=\"firing\"}").await {
        Ok(samples) => samples,
        Err(verdict) => return Ok(verdict),
    };
    let node = cx.node();
    let address = address(cx).await?;
    let about: Vec<String> = firing
        .iter()
        .filter(|alert| alerting::is_about(alert, node, address))
        .map(|alert| {
            let severity = match alert.label("severity") {
                "" => "no severity",
                severity => severity,
            };
            format!("{} ({severity})", alert.label("alertname"))
        })
        .collect();
    Ok(if about.is_empty() {
        Verdict::pass(format!("{} alerts fire, none about {node}", firing.len()))
    } else {
        Verdict::fail(
            "Firing",
            format!(
                "{} alerts fire about {node}: {}",
                about.len(),
                about.join(", ")
            ),
        )
        .saw_all(about)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        monitoring::prometheus::example::{answering, service, slice, vector},
        network::example::node,
        testing::Fixture,
        view::encode,
    };

    const METRICS: &str = "/apis/metrics.k8s.io/v1beta1/nodes/k3s2";

    fn check(id: &str) -> &'static Check {
        CHECKS.iter().find(|check| check.id == id).unwrap()
    }

    fn numbers(timestamp: &str) -> String {
        json!({"timestamp": timestamp, "usage": {"cpu": "125m", "memory": "700Mi"}}).to_string()
    }

    #[tokio::test]
    async fn no_metrics_server_and_no_numbers_are_two_findings() {
        let ask = |status, body: String| {
            Fixture::new()
                .raw(METRICS, status, body)
                .ask(check("monitoring::metrics_api"))
        };
        let verdict = ask(200, numbers(&Timestamp::now().to_string())).await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
        assert!(
            verdict.message().contains("0.12 cores, 700 MiB")
                || verdict.message().contains("0.13 cores, 700 MiB"),
            "{verdict:?}"
        );
        let verdict = ask(200, numbers("2020-01-01T00:00:00Z")).await;
        assert_eq!(verdict.reason(), "NumbersOld");
        let status = json!({"kind": "Status", "reason": "NotFound", "details": {"name": "k3s2"}});
        let verdict = ask(404, status.to_string()).await;
        assert_eq!(verdict.reason(), "NoNumbers");
        assert!(verdict.message().contains("k3s2"), "{verdict:?}");
        let verdict = ask(404, "404 page not found".into()).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Skip, "NotInstalled")
        );
    }

    #[tokio::test]
    async fn grafana_must_reach_its_database() {
        const AT: &str = "/api/v1/namespaces/monitoring/services/g:80/proxy/api/health";
        let there = |ready: bool| {
            Fixture::new()
                .with(service("g", "grafana", 80, "10.43.0.8"))
                .with(slice("g", ready))
        };
        let ask = |fixture: Fixture| fixture.ask(check("monitoring::grafana"));
        let ok = ask(there(true).raw(AT, 200, r#"{"database":"ok","version":"12.0.1"}"#)).await;
        assert_eq!(ok.outcome(), Outcome::Pass, "{ok:?}");
        let locked = ask(there(true).raw(AT, 200, r#"{"database":"failing"}"#)).await;
        assert_eq!(locked.reason(), "DatabaseNotOk");
        assert!(locked.message().contains("failing"), "{locked:?}");
        let down = ask(there(false)).await;
        assert_eq!(down.reason(), "GrafanaDown");
        assert!(down.message().contains("monitoring/g"), "{down:?}");
        let mut cx = Fixture::new().context();
        assert_eq!(grafana(&cx).await.unwrap().reason(), "GrafanaMissing");
        Arc::make_mut(&mut cx.settings).expect.grafana = false;
        assert_eq!(grafana(&cx).await.unwrap().outcome(), Outcome::Skip);
    }

    #[tokio::test]
    async fn a_dashboard_about_something_else_is_not_enough() {
        let map = |text: &str| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "d", "namespace": "monitoring", "labels": {"grafana_dashboard": "1"}},
                "data": {"d.json": text},
            })
        };
        let ask = |fixture: Fixture| fixture.ask(check("monitoring::dashboards"));
        let nodes =
            ask(Fixture::new().with(map(r#"{"expr": "node_load1{instance=\"$x\"}"}"#))).await;
        assert_eq!(nodes.outcome(), Outcome::Pass, "{nodes:?}");
        let other = ask(Fixture::new().with(map(r#"{"expr": "gotk_reconcile"}"#))).await;
        assert_eq!(other.reason(), "NoNodeDashboard");
        assert_eq!(ask(Fixture::new()).await.reason(), "NoDashboards");
    }

    #[tokio::test]
    async fn a_rule_must_watch_this_node_and_work() {
        let ask = |rules: Value| {
            answering(&[(
                "/api/v1/rules?type=alert",
                json!({"groups": [{"rules": rules}]}),
            )])
            .with(node("k3s2", 2))
            .ask(check("monitoring::alert_rules"))
        };
        let rule = |query: &str, health: &str| json!({"name": "NodeGone", "query": query, "health": health, "lastError": "many-to-many"});
        let good = "kube_node_status_condition{condition=\"Ready\",status=\"true\"} == 0";
        assert_eq!(
            ask(json!([rule(good, "ok")])).await.outcome(),
            Outcome::Pass
        );
        let broken = ask(json!([rule(good, "err")])).await;
        assert_eq!(broken.reason(), "RuleBroken");
        assert!(broken.message().contains("NodeGone"), "{broken:?}");
        let never = ask(json!([rule("up{instance=~\".*k3s2.*\"} == 0", "ok")])).await;
        assert_eq!(never.reason(), "NoRuleForNodes");
        assert!(never.evidence()[0].contains("instance"), "{never:?}");
        assert_eq!(ask(json!([])).await.reason(), "NoRules");
    }

    #[tokio::test]
    async fn only_alerts_about_this_node_count() {
        let query = format!(
            "/api/v1/query?query={}",
            encode("ALERTS{alertstate=\"firing\"}")
        );
        let ask = |series: &[(Value, &str)]| {
            answering(&[(query.as_str(), vector(series))])
                .with(node("k3s2", 2))
                .ask(check("monitoring::alerts"))
        };
        let watchdog = (json!({"alertname": "Watchdog"}), "1");
        let quiet = ask(std::slice::from_ref(&watchdog)).await;
        assert_eq!(quiet.outcome(), Outcome::Pass, "{quiet:?}");
        let full = (
            json!({"alertname": "DiskFull", "instance": "192.168.86.72:9100", "severity": "critical"}),
            "1",
        );
        let verdict = ask(&[watchdog, full]).await;
        assert_eq!(verdict.reason(), "Firing");
        assert!(
            verdict.message().contains("DiskFull (critical)"),
            "{verdict:?}"
        );
    }

    #[tokio::test]
    async fn a_metrics_api_that_is_down_absent_or_without_numbers_are_three_answers() {
        let path = "/apis/metrics.k8s.io/v1beta1/nodes/k3s2";
        let status = |details: serde_json::Value| {
            json!({"kind": "Status", "reason": "NotFound", "details": details}).to_string()
        };
        let ask = |code: u16, body: String| {
            Fixture::new()
                .raw(path, code, body)
                .ask(check("monitoring::metrics_api"))
        };
        let down = ask(503, "no endpoints available".into()).await;
        assert_eq!(down.reason(), "MetricsApiDown");
        // A server that does not know the API says NotFound as well, of nothing in particular.
        let absent = ask(404, status(json!({}))).await;
        assert_eq!(absent.reason(), "NotInstalled");
        let empty = ask(404, status(json!({"name": "k3s2", "kind": "nodes"}))).await;
        assert_eq!(empty.reason(), "NoNumbers");
    }
}
