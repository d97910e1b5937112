//! Asking Prometheus, found by what its Services select and reached through the service proxy.
//!
//! There may be several (one for the last days, one for the long term): what one of them knows is known.
//! <https://prometheus.io/docs/prometheus/latest/querying/api/>

use std::{collections::BTreeMap, net::IpAddr};

use http::header::DATE;
use jiff::{Timestamp, fmt::rfc2822};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    Context, Need, Reason, Verdict, kinds,
    resources::workload::{has_label, ready_endpoints},
    view::{ReadError, Scope, encode},
};

/// What every question to Prometheus reads.
pub const NEEDS: [Need; 3] = [
    Need::list(&kinds::SERVICES),
    Need::list(&kinds::ENDPOINT_SLICES),
    Need::on("get", "", "services/proxy"),
];

/// No Service selects Prometheus pods.
pub const MISSING: Reason = Reason::new(
    "PrometheusMissing",
    "install kube-prometheus-stack, name its namespace in monitoring.namespace, or set expect.monitoring = false",
);

/// It is there and does not answer.
pub const DOWN: Reason = Reason::new(
    "PrometheusDown",
    "kubectl get pods -A -l app.kubernetes.io/name=prometheus, then describe the pod that is not ready",
);

/// It answers with an error.
pub const REFUSED: Reason = Reason::new(
    "PrometheusRefused",
    "Prometheus does not answer this question; the evidence has its words: look at its log and its route prefix",
);

/// A Prometheus behind a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    namespace: String,
    /// `[scheme:]name:port`, as the service proxy takes it.
    target: String,
}

/// A series with its newest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Value.
    pub value: f64,
}

impl Sample {
    /// A label, empty when the series has none of that name.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Something that Prometheus scrapes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Target {
    /// Labels that its series carry.
    pub labels: BTreeMap<String, String>,
    /// Where it was found: `__meta_kubernetes_pod_node_name` and others.
    pub discovered_labels: BTreeMap<String, String>,
    /// The job of the configuration, such as `serviceMonitor/monitoring/node-exporter/0`.
    pub scrape_pool: String,
    /// Its address.
    pub scrape_url: String,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// Why the last scrape failed.
    pub last_error: String,
    /// When it was last scraped; the year 1 when never.
    pub last_scrape: Option<Timestamp>,
}

impl Target {
    /// Whether it lies on a node, by what discovery says; for what has no pod, by the node's address.
    #[must_use]
    pub fn is_on(&self, node: &str, address: Option<IpAddr>) -> bool {
        const OF_A_NODE: [&str; 6] = [
            "__meta_kubernetes_pod_node_name",
            "__meta_kubernetes_endpoint_node_name",
            "__meta_kubernetes_endpointslice_endpoint_node_name",
            "__meta_kubernetes_node_name",
            "__meta_kubernetes_endpoint_address_target_name",
            "__meta_kubernetes_endpointslice_address_target_name",
        ];
        let mut named = OF_A_NODE
            .iter()
            .filter_map(|key| self.discovered_labels.get(*key))
            .peekable();
        if named.peek().is_some() {
            return named.any(|name| name == node);
        }
        address.is_some_and(|address| self.host() == address.to_string())
    }

    /// The address that is scraped, without scheme, port and path.
    fn host(&self) -> &str {
        let rest = self
            .scrape_url
            .split_once("://")
            .map_or(self.scrape_url.as_str(), |(_, rest)| rest);
        let place = rest.split_once('/').map_or(rest, |(place, _)| place);
        place
            .rsplit_once(':')
            .map_or(place, |(host, _)| host)
            .trim_matches(['[', ']'])
    }

    /// Its job or pool, whichever is there: what it is scraped as.
    #[must_use]
    pub fn job(&self) -> &str {
        self.labels
            .get("job")
            .map_or(self.scrape_pool.as_str(), String::as_str)
    }

    /// Whether job or pool contains a word.
    #[must_use]
    pub fn is_called(&self, word: &str) -> bool {
        self.job().contains(word) || self.scrape_pool.contains(word)
    }
}

/// All active targets, and what time it is where they are scraped.
#[derive(Clone, Debug)]
pub struct Targets {
    /// The targets of all instances.
    pub all: Vec<Target>,
    /// The server's clock, ours if it did not say: ages are told by one clock where possible.
    pub now: Timestamp,
}

/// A rule that may fire.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AlertRule {
    /// Its name.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// Labels that its alerts carry.
    pub labels: BTreeMap<String, String>,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// Why it could not be evaluated.
    pub last_error: String,
}

/// The instances, those with a ready endpoint first.
///
/// # Errors
/// The verdict for a check that needs Prometheus: it is missing, has no ready pod, or could not be looked for.
pub async fn instances(cx: &Context) -> Result<Vec<Instance>, Verdict> {
    let services = cx
        .view
        .list::<Service>(&kinds::SERVICES, Scope::all())
        .await?;
    let slices = cx
        .view
        .list::<EndpointSlice>(&kinds::ENDPOINT_SLICES, Scope::all())
        .await?;
    let found: Vec<&Service> = selecting(cx, &services, "prometheus");
    if found.is_empty() {
        let place = match cx.settings.monitoring.namespace.as_str() {
            "" => "in any namespace".to_owned(),
            namespace => format!("in namespace {namespace}"),
        };
        let message = format!("no Service selects Prometheus pods {place}");
        return Err(if cx.settings.expect.monitoring {
            Verdict::fail("PrometheusMissing", message)
        } else {
            Verdict::skip("PrometheusMissing", message)
        });
    }
    let names: Vec<String> = found
        .iter()
        .map(|service| crate::resources::full_name(&service.metadata))
        .collect();
    let ready: Vec<Instance> = found
        .into_iter()
        .filter(|service| has_ready_endpoint(&slices, service))
        .filter_map(instance)
        .collect();
    if ready.is_empty() {
        return Err(Verdict::fail(
            "PrometheusDown",
            format!("no ready pod behind Service {}", names.join(", ")),
        ));
    }
    Ok(ready)
}

/// The Services that select pods of an application by its well-known label, one for the same pods: a headless one
/// only where there is no other.
pub(crate) fn selecting<'a>(
    cx: &Context,
    services: &'a [Service],
    application: &str,
) -> Vec<&'a Service> {
    let namespace = cx.settings.monitoring.namespace.as_str();
    let selector = |service: &'a Service| service.spec.as_ref()?.selector.as_ref();
    let all: Vec<&Service> = services
        .iter()
        .filter(|service| {
            namespace.is_empty() || service.metadata.namespace.as_deref() == Some(namespace)
        })
        .filter(|service| has_label(selector(service), "app.kubernetes.io/name", application))
        .collect();
    let fronts: Vec<&Service> = all
        .iter()
        .copied()
        .filter(|service| {
            service
                .spec
                .as_ref()
                .and_then(|spec| spec.cluster_ip.as_deref())
                != Some("None")
        })
        .collect();
    if fronts.is_empty() { all } else { fronts }
}

pub(crate) fn has_ready_endpoint(slices: &[EndpointSlice], service: &Service) -> bool {
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let name = service.metadata.name.as_deref().unwrap_or_default();
    ready_endpoints(slices, namespace, name).next().is_some()
}

/// How the service proxy reaches it: at the port whose name says HTTP, else at the first.
fn instance(service: &Service) -> Option<Instance> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let port = ports
        .iter()
        .find(|port| {
            port.name
                .as_deref()
                .is_some_and(|name| name.contains("web") || name.starts_with("http"))
                || port.port == 9090
        })
        .or_else(|| ports.first())?;
    let scheme = match port.name.as_deref() {
        Some(name) if name.starts_with("https") => "https:",
        _ => "",
    };
    Some(Instance {
        namespace: service.metadata.namespace.clone()?,
        target: format!(
            "{scheme}{}:{}",
            service.metadata.name.as_deref()?,
            port.port
        ),
    })
}

/// As [`instance`], for other programs behind a Service.
pub(super) fn proxied(service: &Service) -> Option<(String, String)> {
    instance(service).map(|found| (found.namespace, found.target))
}

/// The newest value of every series that an expression gives; an empty answer means that there is none.
///
/// # Errors
/// The verdict for the check that asked.
pub async fn query(cx: &Context, expression: &str) -> Result<Vec<Sample>, Verdict> {
    #[derive(Deserialize)]
    struct Data {
        result: Vec<Series>,
    }
    #[derive(Deserialize)]
    struct Series {
        metric: BTreeMap<String, String>,
        value: (f64, String),
    }
    let path = format!("/api/v1/query?query={}", encode(expression));
    let answers = ask_all::<Data>(cx, &path).await?;
    Ok(answers
        .into_iter()
        .flat_map(|(data, _)| data.result)
        .filter_map(|series| {
            Some(Sample {
                labels: series.metric,
                value: series.value.1.parse().ok()?,
            })
        })
        .collect())
}

/// Everything that is scraped.
///
/// # Errors
/// The verdict for the check that asked.
pub async fn targets(cx: &Context) -> Result<Targets, Verdict> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        #[serde(default)]
        active_targets: Vec<Target>,
    }
    let answers = ask_all::<Data>(cx, "/api/v1/targets?state=active").await?;
    let now = answers
        .iter()
        .find_map(|(_, date)| *date)
        .unwrap_or_else(Timestamp::now);
    Ok(Targets {
        all: answers
            .into_iter()
            .flat_map(|(data, _)| data.active_targets)
            .collect(),
        now,
    })
}

/// Every alerting rule that Prometheus has loaded.
///
/// # Errors
/// The verdict for the check that asked.
pub async fn alert_rules(cx: &Context) -> Result<Vec<AlertRule>, Verdict> {
    #[derive(Deserialize)]
    struct Data {
        #[serde(default)]
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        #[serde(default)]
        rules: Vec<AlertRule>,
    }
    let answers = ask_all::<Data>(cx, "/api/v1/rules?type=alert").await?;
    Ok(answers
        .into_iter()
        .flat_map(|(data, _)| data.groups)
        .flat_map(|group| group.rules)
        .collect())
}

/// Asks every instance; one that answers is enough.
async fn ask_all<T: DeserializeOwned>(
    cx: &Context,
    path: &str,
) -> Result<Vec<(T, Option<Timestamp>)>, Verdict> {
    let mut answers = Vec::new();
    let mut trouble = None;
    for instance in instances(cx).await? {
        match ask(cx, &instance, path).await {
            Ok(answer) => answers.push(answer),
            Err(verdict) => trouble = Some(verdict),
        }
    }
    match trouble {
        Some(verdict) if answers.is_empty() => Err(verdict),
        _ => Ok(answers),
    }
}

async fn ask<T: DeserializeOwned>(
    cx: &Context,
    instance: &Instance,
    path: &str,
) -> Result<(T, Option<Timestamp>), Verdict> {
    #[derive(Deserialize)]
    struct Envelope<T> {
        data: Option<T>,
        #[serde(default)]
        error: String,
    }
    let name = format!("{}/{}", instance.namespace, instance.target);
    let answer = match cx
        .view
        .service_proxy(&instance.namespace, &instance.target, path)
        .await
    {
        Ok(answer) => answer,
        // The API server answers, the way on to the pod does not.
        Err(ReadError::Server {
            status: 500 | 502 | 503 | 504,
            message,
            ..
        }) => {
            return Err(Verdict::fail(
                "PrometheusDown",
                format!("Prometheus {name} does not answer"),
            )
            .saw(message));
        }
        Err(error) => return Err(error.into()),
    };
    let refused = |what: String| {
        Verdict::error(
            "PrometheusRefused",
            format!("Prometheus {name} does not answer the question"),
        )
        .saw(format!("GET {path}: {what}"))
    };
    let envelope: Envelope<T> = serde_json::from_slice(&answer.body)
        .map_err(|error| refused(format!("{}, not its JSON: {error}", answer.status)))?;
    match envelope.data {
        Some(data) if answer.status.is_success() => {
            let date = answer
                .headers
                .get(DATE)
                .and_then(|date| date.to_str().ok())
                .and_then(|date| rfc2822::parse(date).ok())
                .map(|date| date.timestamp());
            Ok((data, date))
        }
        _ => Err(refused(format!("{}: {}", answer.status, envelope.error))),
    }
}

#[cfg(test)]
pub(crate) mod example {
    use serde_json::{Value, json};

    use crate::testing::Fixture;

    /// Where the example's Prometheus answers.
    pub(crate) const AT: &str =
        "/api/v1/namespaces/monitoring/services/stack-prometheus:9090/proxy";

    pub(crate) fn service(name: &str, application: &str, port: u16, cluster_ip: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "monitoring"},
            "spec": {
                "clusterIP": cluster_ip, "selector": {"app.kubernetes.io/name": application},
                "ports": [{"name": "http-web", "port": port}],
            },
        })
    }

    pub(crate) fn slice(service: &str, ready: bool) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": format!("{service}-x"), "namespace": "monitoring",
                "labels": {"kubernetes.io/service-name": service},
            },
            "endpoints": [{"addresses": ["10.42.0.9"], "conditions": {"ready": ready}}],
        })
    }

    /// A cluster with a Prometheus that answers these paths with this data.
    pub(crate) fn answering(answers: &[(&str, Value)]) -> Fixture {
        let base = Fixture::new()
            .with(service("stack-prometheus", "prometheus", 9090, "10.43.0.7"))
            .with(service("prometheus-operated", "prometheus", 9090, "None"))
            .with(slice("stack-prometheus", true))
            .with(slice("prometheus-operated", true));
        answers.iter().fold(base, |fixture, (path, data)| {
            fixture.raw(
                &format!("{AT}{path}"),
                200,
                json!({"status": "success", "data": data}).to_string(),
            )
        })
    }

    /// The answer to a query: labels and value of each series.
    pub(crate) fn vector(series: &[(Value, &str)]) -> Value {
        let result: Vec<Value> = series
            .iter()
            .map(|(labels, value)| json!({"metric": labels, "value": [1_763_800_000.5, value]}))
            .collect();
        json!({"resultType": "vector", "result": result})
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reports::model::Outcome;
    use serde_json::json;

    use super::{
        example::{AT, answering, service, slice, vector},
        *,
    };
    use crate::testing::Fixture;

    #[tokio::test]
    async fn it_is_found_by_its_selector_and_asked_once_for_the_same_pods() {
        let cx = answering(&[(
            "/api/v1/query?query=up",
            vector(&[(json!({"job": "a"}), "0")]),
        )])
        .context();
        assert_eq!(instances(&cx).await.unwrap().len(), 1);
        let found = query(&cx, "up").await.unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].label("job") == "a" && found[0].value == 0.0);
    }

    #[tokio::test]
    async fn absent_down_and_refusing_are_told_apart() {
        let mut cx = Fixture::new().context();
        let missing = query(&cx, "up").await.unwrap_err();
        assert_eq!(
            (missing.outcome(), missing.reason()),
            (Outcome::Fail, "PrometheusMissing")
        );
        Arc::make_mut(&mut cx.settings).expect.monitoring = false;
        assert_eq!(query(&cx, "up").await.unwrap_err().outcome(), Outcome::Skip);

        let down = Fixture::new()
            .with(service("p", "prometheus", 9090, "10.43.0.7"))
            .with(slice("p", false))
            .context();
        let verdict = query(&down, "up").await.unwrap_err();
        assert_eq!(verdict.reason(), "PrometheusDown");
        assert!(verdict.message().contains("monitoring/p"), "{verdict:?}");

        let refusing = answering(&[])
            .raw(
                &format!("{AT}/api/v1/query"),
                400,
                json!({"status": "error", "error": "parse error"}).to_string(),
            )
            .context();
        let verdict = query(&refusing, "up{").await.unwrap_err();
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Error, "PrometheusRefused")
        );
        assert!(verdict.evidence()[0].contains("parse error"), "{verdict:?}");

        let forbidden = answering(&[]).forbid("/proxy/").context();
        let verdict = query(&forbidden, "up").await.unwrap_err();
        assert_eq!(verdict.reason(), "MissingPermission");
    }

    #[test]
    fn a_target_is_placed_by_discovery_and_else_by_address() {
        let target = |discovered: serde_json::Value| -> Target {
            serde_json::from_value(json!({
                "discoveredLabels": discovered, "scrapeUrl": "http://192.168.86.72:9100/metrics",
            }))
            .unwrap()
        };
        let address = "192.168.86.72".parse().ok();
        let named = target(json!({"__meta_kubernetes_pod_node_name": "k3s1"}));
        assert!(!named.is_on("k3s2", address), "discovery says another node");
        assert!(target(json!({})).is_on("k3s2", address));
        assert!(!target(json!({})).is_on("k3s2", None));
    }
}
