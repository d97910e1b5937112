//! Whether a NodePort answers on one node, held against what the Service lets expect there.
//!
//! With `externalTrafficPolicy: Local` a node without a ready endpoint of its own drops the packets: silence is right
//! there, and a port that answers is the surprise.
//! <https://kubernetes.io/docs/reference/networking/virtual-ips/#external-traffic-policy>

use std::{cmp::Reverse, collections::BTreeSet, fmt, io, net::IpAddr, time::Duration};

use futures::future::join_all;
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::ResourceExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    Answer, Context, Need, Reason, Verdict, kinds,
    resources::node,
    view::{ReadError, Scope},
};

/// What a check that calls [`judge`] reads.
pub(crate) const NEEDS: &[Need] = &[
    Need::list(&kinds::NODES),
    Need::list(&kinds::SERVICES),
    Need::list(&kinds::ENDPOINT_SLICES),
];

/// The reasons that [`judge`] gives.
pub(crate) const REASONS: &[Reason] = &[
    Reason::new(
        "NoService",
        "no Service has this node port: look at the ingress controller's HelmRelease, or set expect.ingress = false",
    ),
    Reason::new(
        "NoEndpoint",
        "the Service has no ready endpoint anywhere: kubectl get pods -A -l app.kubernetes.io/component=controller",
    ),
    Reason::new(
        "EndpointNotReady",
        "a controller pod on the node is not ready: kubectl describe it and read its events",
    ),
    Reason::new(
        "NoLocalEndpoint",
        "traffic that reaches this node is dropped: run a controller pod there (kind DaemonSet, or more replicas), or set externalTrafficPolicy: Cluster",
    ),
    Reason::new(
        "NoInternalAddress",
        "kubectl get node -o wide shows no InternalIP: look at the agent's journal on the node",
    ),
    Reason::new(
        "Refused",
        "the node refuses the connection: see that kube-proxy runs there and that no firewall rejects the port",
    ),
    Reason::new(
        "NoAnswer",
        "packets get lost: open the port in the firewall between this machine and the node, then look at kube-proxy there",
    ),
    Reason::new(
        "NotHttp",
        "something takes connections on this port and does not speak HTTP: see what listens on the node: ss -ltnp",
    ),
    Reason::new(
        "NoRoute",
        "this machine has no route to the node's network: ask again from a machine in it",
    ),
    Reason::new(
        "UnexpectedAnswer",
        "something else listens on this port of the node: ss -ltnp there",
    ),
];

/// One TCP connection, with what it takes to tell a port that answers from one that only accepts.
const PATIENCE: Duration = Duration::from_secs(3);

/// How a port is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    /// With a request; any status is an answer, as the default backend's 404 is.
    Http,
    /// Only with a connection. A packet for a NodePort is handed to a pod before anything accepts it, so an accepted
    /// connection proves that the pod was reached, but not its certificate.
    Tls,
}

/// What the Service on a node port lets expect on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expected {
    service: String,
    local_only: bool,
    /// Nodes with a ready endpoint; an endpoint without a node stands for itself as an empty name.
    ready_on: BTreeSet<String>,
    starting_here: bool,
}

impl Expected {
    /// The Service that has this node port, if any.
    fn of(port: u16, node: &str, services: &[Service], slices: &[EndpointSlice]) -> Option<Self> {
        let service = services.iter().find(|service| {
            service
                .spec
                .iter()
                .flat_map(|spec| spec.ports.iter().flatten())
                .any(|one| {
                    one.node_port == Some(i32::from(port))
                        && one.protocol.as_deref().unwrap_or("TCP") == "TCP"
                })
        })?;
        let endpoints = slices
            .iter()
            .filter(|slice| {
                slice.namespace() == service.namespace()
                    && slice.labels().get("kubernetes.io/service-name")
                        == service.metadata.name.as_ref()
            })
            .flat_map(|slice| &slice.endpoints);
        let mut ready_on = BTreeSet::new();
        let mut starting_here = false;
        for endpoint in endpoints {
            let place = endpoint.node_name.clone().unwrap_or_default();
            let conditions = endpoint.conditions.as_ref();
            // Not said means ready; one that is going away is not starting.
            if conditions.and_then(|one| one.ready).unwrap_or(true) {
                ready_on.insert(place);
            } else if place == node && conditions.and_then(|one| one.terminating) != Some(true) {
                starting_here = true;
            }
        }
        Some(Self {
            service: format!(
                "{}/{}",
                service.namespace().unwrap_or_default(),
                service.name_any()
            ),
            local_only: service
                .spec
                .as_ref()
                .and_then(|spec| spec.external_traffic_policy.as_deref())
                == Some("Local"),
            ready_on,
            starting_here,
        })
    }

    fn answers_on(&self, node: &str) -> bool {
        if self.local_only {
            self.ready_on.contains(node)
        } else {
            !self.ready_on.is_empty()
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = if self.local_only { "Local" } else { "Cluster" };
        let nodes: Vec<&str> = self.ready_on.iter().map(String::as_str).collect();
        let nodes = if nodes.is_empty() {
            "no node".to_owned()
        } else {
            nodes.join(", ")
        };
        write!(
            f,
            "Service {}, externalTrafficPolicy {policy}, ready endpoints on {nodes}",
            self.service
        )
    }
}

/// What a dialled port did.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Dialled {
    /// Answered HTTP with this status.
    Status(u16),
    /// Took the connection.
    Accepted,
    /// Took the connection and answered with something that is no HTTP, or nothing.
    NotHttp,
    /// Refused it.
    Refused(String),
    /// Did not answer in time.
    Silent,
    /// Nothing leads there from this machine.
    NoRoute(String),
}

/// Whether both node ports of the ingress answer on a node as their Services let expect. Dials from this machine.
///
/// # Errors
/// As the lists that it reads.
pub(crate) async fn judge(cx: &Context, name: &str) -> Answer {
    let nodes = node::all(cx).await?;
    let found = node::named(&nodes, name).ok_or_else(|| ReadError::Absent {
        what: format!("nodes {name}"),
    })?;
    let services = cx
        .view
        .list::<Service>(&kinds::SERVICES, Scope::all())
        .await?;
    let slices = cx
        .view
        .list::<EndpointSlice>(&kinds::ENDPOINT_SLICES, Scope::all())
        .await?;
    let Some(address) = node::internal_ip(found).and_then(|text| text.parse().ok()) else {
        return Ok(Verdict::fail(
            "NoInternalAddress",
            format!("node {name} has no InternalIP to dial"),
        ));
    };
    let ingress = &cx.settings.ingress;
    let ports = [(ingress.http, Speaks::Http), (ingress.https, Speaks::Tls)];
    let findings = join_all(ports.map(|(port, speaks)| {
        let expected = Expected::of(port, name, &services, &slices);
        async move { one_port(cx, name, address, port, speaks, expected).await }
    }))
    .await;
    // The worse of the two decides; both are shown.
    let mut findings = findings;
    findings.sort_by_key(|finding| Reverse(weight(finding.outcome())));
    let messages: Vec<&str> = findings.iter().map(Verdict::message).collect();
    let message = messages.join("; ");
    let mut findings = findings.into_iter();
    let Some(worst) = findings.next() else {
        return Ok(Verdict::skip("NoService", "no node port is configured"));
    };
    let others: Vec<String> = findings
        .flat_map(|finding| finding.evidence().to_vec())
        .collect();
    Ok(if weight(worst.outcome()) == 0 {
        Verdict::pass(message).saw_all(worst.evidence().to_vec())
    } else {
        worst
    }
    .saw_all(others))
}

fn weight(outcome: reports::model::Outcome) -> u8 {
    use reports::model::Outcome;
    match outcome {
        Outcome::Fail => 4,
        Outcome::Error => 3,
        Outcome::Warn => 2,
        Outcome::Skip | Outcome::Blocked => 1,
        Outcome::Pass => 0,
    }
}

async fn one_port(
    cx: &Context,
    node: &str,
    address: IpAddr,
    port: u16,
    speaks: Speaks,
    expected: Option<Expected>,
) -> Verdict {
    let place = format!("{address}:{port}");
    let Some(expected) = expected else {
        let message = format!("no Service has node port {port}");
        return if cx.settings.expect.ingress {
            Verdict::fail("NoService", message)
        } else {
            Verdict::skip("NoService", message)
        };
    };
    if expected.ready_on.is_empty() && !expected.starting_here {
        return Verdict::fail(
            "NoEndpoint",
            format!("Service {} has no ready endpoint", expected.service),
        )
        .saw(format!("{port}: {expected}"));
    }
    // With policy Cluster another node's endpoint answers for this one.
    if expected.starting_here && !expected.answers_on(node) {
        return Verdict::fail(
            "EndpointNotReady",
            format!(
                "the endpoint of {} on {node} is not ready",
                expected.service
            ),
        )
        .saw(format!("{port}: {expected}"));
    }
    let dialled = dial(address, port, speaks).await;
    let due = expected.answers_on(node);
    let verdict = match (&dialled, due) {
        (Dialled::Status(status), true) => {
            Verdict::pass(format!("{place} answers with HTTP {status}"))
        }
        (Dialled::Accepted, true) => Verdict::pass(format!("{place} accepts connections")),
        (Dialled::NotHttp, true) => Verdict::fail(
            "NotHttp",
            format!("{place} takes the connection and does not answer HTTP"),
        ),
        (Dialled::Refused(why), true) => {
            Verdict::fail("Refused", format!("{place} refuses the connection: {why}"))
        }
        (Dialled::Silent, true) => Verdict::fail(
            "NoAnswer",
            format!("{place} did not answer within {} s", PATIENCE.as_secs()),
        ),
        (Dialled::NoRoute(why), _) => {
            Verdict::error("NoRoute", format!("{place} cannot be dialled: {why}"))
        }
        (Dialled::Refused(_) | Dialled::Silent, false) => Verdict::warn(
            "NoLocalEndpoint",
            format!(
                "{place} drops traffic, as it must: {} is Local and has no endpoint on {node}",
                expected.service
            ),
        ),
        (Dialled::Status(_) | Dialled::Accepted | Dialled::NotHttp, false) => Verdict::warn(
            "UnexpectedAnswer",
            format!(
                "{place} answers although {} is Local and has no endpoint on {node}",
                expected.service
            ),
        ),
    };
    verdict
        .saw(format!("{port}: {expected}"))
        .saw(format!("dialled {place} from this machine: {dialled:?}"))
}

async fn dial(address: IpAddr, port: u16, speaks: Speaks) -> Dialled {
    let answered = timeout(PATIENCE, async {
        let mut stream = TcpStream::connect((address, port)).await?;
        if speaks == Speaks::Tls {
            return Ok(Dialled::Accepted);
        }
        let request =
            format!("GET / HTTP/1.0\r\nHost: {address}\r\nUser-Agent: onboarding\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        // A peer that closes early or resets after accepting is no HTTP server; the connection itself was there.
        if stream.read_exact(&mut head).await.is_err() {
            return Ok(Dialled::NotHttp);
        }
        Ok(status(&head).map_or(Dialled::NotHttp, Dialled::Status))
    })
    .await;
    match answered {
        Err(_) => Dialled::Silent,
        Ok(Ok(dialled)) => dialled,
        Ok(Err(error)) => refusal(&error),
    }
}

fn refusal(error: &io::Error) -> Dialled {
    match error.kind() {
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
            Dialled::NoRoute(error.to_string())
        }
        io::ErrorKind::TimedOut => Dialled::Silent,
        _ => Dialled::Refused(error.to_string()),
    }
}

/// The status in `HTTP/1.1 404`.
fn status(head: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(head).ok()?;
    text.strip_prefix("HTTP/1.")?
        .split_once(' ')?
        .1
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reports::model::Outcome;
    use serde_json::{Value, json};
    use tokio::{net::TcpListener, task::JoinHandle};

    use super::*;
    use crate::testing::Fixture;

    fn service(policy: &str, http: u16, https: u16) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "controller", "namespace": "ingress"},
            "spec": {"type": "NodePort", "externalTrafficPolicy": policy, "ports": [
                {"port": 80, "nodePort": http, "protocol": "TCP"}, {"port": 443, "nodePort": https},
            ]},
        })
    }

    fn slice(endpoints: Value) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "controller-x", "namespace": "ingress", "labels": {"kubernetes.io/service-name": "controller"}},
            "endpoints": endpoints,
        })
    }

    fn endpoint(node: &str, ready: bool) -> Value {
        json!({"addresses": ["10.42.1.1"], "nodeName": node, "conditions": {"ready": ready}})
    }

    fn node(address: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "k3s2"},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        })
    }

    /// A port of this machine that answers every connection with these bytes.
    async fn listen(answer: &'static str) -> (u16, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 256];
                let _read = stream.read(&mut request).await;
                let _written = stream.write_all(answer.as_bytes()).await;
            }
        });
        (port, serving)
    }

    async fn free_port() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    }

    async fn ask(policy: &str, endpoints: Value, http: u16, https: u16) -> Verdict {
        let mut cx = Fixture::new()
            .with(node("127.0.0.1"))
            .with(service(policy, http, https))
            .with(slice(endpoints))
            .context();
        let settings = Arc::make_mut(&mut cx.settings);
        settings.ingress.http = http;
        settings.ingress.https = https;
        judge(&cx, "k3s2").await.unwrap()
    }

    #[tokio::test]
    async fn any_status_and_an_accepted_connection_are_answers() {
        let (http, _a) = listen("HTTP/1.1 404 Not Found\r\n\r\n").await;
        let (https, _b) = listen("").await;
        let verdict = ask("Local", json!([endpoint("k3s2", true)]), http, https).await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
        assert!(verdict.message().contains("HTTP 404"), "{verdict:?}");
        assert!(
            verdict.message().contains("accepts connections"),
            "{verdict:?}"
        );
    }

    #[tokio::test]
    async fn a_closed_port_with_a_local_endpoint_fails() {
        let (http, https) = (free_port().await, free_port().await);
        let verdict = ask("Local", json!([endpoint("k3s2", true)]), http, https).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Fail, "Refused")
        );
        assert!(verdict.message().contains("127.0.0.1"), "{verdict:?}");
    }

    #[tokio::test]
    async fn silence_without_a_local_endpoint_is_what_local_means() {
        let (http, https) = (free_port().await, free_port().await);
        let elsewhere = json!([endpoint("k3s1", true)]);
        let verdict = ask("Local", elsewhere.clone(), http, https).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Warn, "NoLocalEndpoint")
        );
        let verdict = ask("Cluster", elsewhere, http, https).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Fail, "Refused")
        );
    }

    #[tokio::test]
    async fn an_answer_that_local_does_not_let_expect_is_said() {
        let (http, _a) = listen("HTTP/1.1 404 Not Found\r\n\r\n").await;
        let (https, _b) = listen("").await;
        let verdict = ask("Local", json!([endpoint("k3s1", true)]), http, https).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Warn, "UnexpectedAnswer")
        );
    }

    #[tokio::test]
    async fn a_pod_that_is_starting_there_is_awaited() {
        let endpoints = json!([endpoint("k3s1", true), endpoint("k3s2", false)]);
        let verdict = ask("Local", endpoints, 1, 2).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Fail, "EndpointNotReady")
        );
        let verdict = ask("Cluster", json!([endpoint("k3s1", false)]), 1, 2).await;
        assert_eq!(verdict.reason(), "NoEndpoint");
        // The other node's endpoint answers for this one where the policy is Cluster.
        let (http, _a) = listen("HTTP/1.1 404 Not Found\r\n\r\n").await;
        let (https, _b) = listen("").await;
        let endpoints = json!([endpoint("k3s1", true), endpoint("k3s2", false)]);
        let verdict = ask("Cluster", endpoints, http, https).await;
        assert_eq!(verdict.outcome(), Outcome::Pass, "{verdict:?}");
    }

    #[tokio::test]
    async fn silence_and_an_address_without_a_way_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap().port();
        // The kernel takes the connection, and nobody ever answers.
        let (https, _b) = listen("").await;
        let here = json!([endpoint("k3s2", true)]);
        let verdict = ask("Local", here.clone(), http, https).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Fail, "NoAnswer")
        );
        // No connection can lead to a group of hosts, so nothing is sent.
        let mut cx = Fixture::new()
            .with(node("224.0.0.1"))
            .with(service("Local", http, https))
            .with(slice(here))
            .context();
        let settings = Arc::make_mut(&mut cx.settings);
        (settings.ingress.http, settings.ingress.https) = (http, https);
        let verdict = judge(&cx, "k3s2").await.unwrap();
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Error, "NoRoute")
        );
    }

    #[tokio::test]
    async fn what_does_not_speak_http_is_named() {
        let (http, _a) = listen("SSH-2.0-OpenSSH_9.2\r\n").await;
        let (https, _b) = listen("").await;
        let verdict = ask("Cluster", json!([endpoint("k3s1", true)]), http, https).await;
        assert_eq!(verdict.reason(), "NotHttp");
    }

    #[tokio::test]
    async fn no_service_on_the_port_depends_on_what_is_expected() {
        let mut cx = Fixture::new().with(node("127.0.0.1")).context();
        let verdict = judge(&cx, "k3s2").await.unwrap();
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Fail, "NoService")
        );
        Arc::make_mut(&mut cx.settings).expect.ingress = false;
        let verdict = judge(&cx, "k3s2").await.unwrap();
        assert_eq!(verdict.outcome(), Outcome::Skip);
    }
}
