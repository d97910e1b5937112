//! `pre`, the API server: does it live, is it ready, can an agent reach it, and for how long?

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use reports::model::Severity;
use serde::Deserialize;

use super::{certificate, dial};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds, resources::node,
    view::ReadError,
};

/// Where agents reach the API server.
const PORT: u16 = 6443;
/// A certificate that ends sooner fails the phase: k3s renews its own at a restart, which somebody must do.
const DAYS_FAIL: i64 = 7;
/// A certificate that ends sooner is worth a warning.
const DAYS_WARN: i64 = 30;
/// Clocks that differ by more break tokens and certificates of a joining agent.
const SKEW: i64 = 30;
/// The minors of Kubernetes whose objects are known here: everything that is read has had its form since 1.25.
const KNOWN_MINORS: std::ops::RangeInclusive<u32> = 25..=37;

/// The checks of this file, in order.
pub const CHECKS: &[Check] = &[
    Check {
        id: "pre::api_live",
        title: "The API server is alive.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::Path("/livez")],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "Every further question is asked through it, and the new node joins through it.",
        reasons: &[Reason::new(
            "ApiNotLive",
            "look at k3s on {control_plane}: journalctl -u k3s --since -10min",
        )],
        ask: ask!(api_live),
    },
    Check {
        id: "pre::api_ready",
        title: "The API server says of every part of it that it is ready.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[Need::Path("/readyz")],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "A server that is alive but not ready answers some questions and loses others.",
        reasons: &[
            Reason::new(
                "ApiNotReady",
                "see which part is not: kubectl get --raw '/readyz?verbose'",
            ),
            Reason::new(
                "PartsUnknown",
                "see whether a proxy answers in place of the API server: kubectl get --raw '/readyz?verbose'",
            ),
        ],
        ask: ask!(api_ready),
    },
    Check {
        id: "pre::api_endpoint_for_agents",
        title: "Port 6443 of {control_plane} answers in TLS at the address that agents use.",
        severity: Severity::Fail,
        requires: &["pre::api_live"],
        needs: &[Need::list(&kinds::NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("1.1"),
        why: "The new node joins by calling this address; a kubeconfig may go another way and hide that it is closed.",
        reasons: &[
            Reason::new(
                "EndpointUnreachable",
                "open 6443/tcp on {control_plane} and see whether k3s listens: ss -ltn sport = :6443",
            ),
            Reason::new(
                "EndpointNotTls",
                "see what listens there on {control_plane}: ss -ltnp sport = :6443",
            ),
            Reason::new(
                "NoInternalIp",
                "see which addresses it has: kubectl get node {control_plane} -o wide",
            ),
        ],
        ask: ask!(api_endpoint_for_agents),
    },
    Check {
        id: "pre::api_certificate",
        title: "The certificate of the API server holds for another 30 days.",
        severity: Severity::Fail,
        requires: &["pre::api_endpoint_for_agents"],
        needs: &[Need::list(&kinds::NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "When it ends, every agent loses the server at once, the new one included.",
        reasons: &[
            Reason::new(
                "CertificateEnds",
                "restart k3s on {control_plane}, which renews it: systemctl restart k3s",
            ),
            Reason::new(
                "CertificateUnreadable",
                "look at it: openssl s_client -connect ADDRESS:6443 </dev/null | openssl x509 -noout -dates",
            ),
        ],
        ask: ask!(api_certificate),
    },
    Check {
        id: "pre::server_version",
        title: "The server is a k3s build of a Kubernetes version that this program knows.",
        severity: Severity::Warn,
        requires: &["pre::api_live"],
        needs: &[Need::Path("/version")],
        awaits: false,
        after: None,
        criterion: Criterion::Of("7.1"),
        why: "The way a node joins is k3s's own, and objects of a much older or newer version may mean something else.",
        reasons: &[
            Reason::new(
                "NotK3s",
                "see whether this is the cluster that you mean: kubectl version",
            ),
            Reason::new(
                "VersionUnknown",
                "read the release notes of this version before the onboarding: kubectl version",
            ),
        ],
        ask: ask!(server_version),
    },
    Check {
        id: "pre::clock_skew",
        title: "The clocks of this machine and of the server agree.",
        severity: Severity::Warn,
        requires: &["pre::api_live"],
        needs: &[Need::Path("/livez")],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "Ages and expiry are judged by this machine's clock; with the server's clock wrong, joining agents are refused.",
        reasons: &[
            Reason::new(
                "ClockSkew",
                "see which clock is wrong, here and on {control_plane}: timedatectl status",
            ),
            Reason::new(
                "NoDate",
                "a proxy before the API server drops the header Date: compare the clocks by hand with timedatectl",
            ),
        ],
        ask: ask!(clock_skew),
    },
];

async fn api_live(cx: &Context) -> Answer {
    let answer = cx.view.raw("/livez").await?;
    if answer.status.is_success() {
        return Ok(Verdict::pass("/livez answers ok"));
    }
    let message = format!("/livez answers {}, expected 200", answer.status.as_u16());
    Ok(Verdict::fail("ApiNotLive", message).saw_all(failing(&answer.text())))
}

/// The parts that `/readyz?verbose` and `/livez?verbose` call failed: lines `[-]etcd failed: reason withheld`.
fn failing(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("[-]"))
        .map(str::to_owned)
        .collect()
}

fn passing(text: &str) -> usize {
    text.lines()
        .filter(|line| line.trim().starts_with("[+]"))
        .count()
}

pub(crate) async fn api_ready(cx: &Context) -> Answer {
    let answer = cx.view.raw("/readyz?verbose").await?;
    let text = answer.text();
    let failed = failing(&text);
    if answer.status.is_success() && failed.is_empty() {
        return Ok(match passing(&text) {
            0 => Verdict::warn("PartsUnknown", "/readyz answers 200 and names no part"),
            parts => Verdict::pass(format!("{parts} parts are ready")),
        });
    }
    let names: Vec<&str> = failed
        .iter()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let what = if names.is_empty() {
        format!("/readyz answers {}, expected 200", answer.status.as_u16())
    } else {
        format!("not ready: {}", names.join(", "))
    };
    Ok(Verdict::fail("ApiNotReady", what).saw_all(failed))
}

/// The address of the control plane that agents use, or why there is none.
fn address(node: &Node) -> Result<IpAddr, Verdict> {
    let text = node::internal_ip(node).unwrap_or_default();
    text.parse().map_err(|_| {
        Verdict::fail(
            "NoInternalIp",
            format!(
                "node {} has no usable InternalIP, found {text:?}",
                node::name(node)
            ),
        )
    })
}

pub(crate) async fn api_endpoint_for_agents(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    let ip = match address(&server) {
        Ok(ip) => ip,
        Err(verdict) => return Ok(verdict),
    };
    Ok(endpoint_at(node::name(&server), ip, PORT).await)
}

/// Whether something speaks TLS there. 401 is the answer of a healthy k3s to somebody without credentials.
async fn endpoint_at(server: &str, ip: IpAddr, port: u16) -> Verdict {
    match dial::https(ip, port).await {
        Ok(status) => Verdict::pass(format!("{server} at {ip}:{port} answers in TLS ({status})")),
        Err(error @ dial::DialError::Connect { .. }) => {
            Verdict::fail("EndpointUnreachable", error.to_string())
        }
        Err(error) => Verdict::fail("EndpointNotTls", error.to_string()),
    }
}

pub(crate) async fn api_certificate(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    let ip = match address(&server) {
        Ok(ip) => ip,
        Err(verdict) => return Ok(verdict),
    };
    let place = format!("{ip}:{PORT}");
    let shown = dial::certificate(ip, PORT)
        .await
        .map_err(|error| ReadError::Unreachable {
            what: place.clone(),
            message: error.to_string(),
        })?;
    let end = shown.as_deref().and_then(certificate::not_after);
    Ok(judge_certificate(&place, end, Timestamp::now()))
}

fn judge_certificate(place: &str, end: Option<Timestamp>, now: Timestamp) -> Verdict {
    let Some(end) = end else {
        return Verdict::warn(
            "CertificateUnreadable",
            format!("the certificate of {place} cannot be read"),
        );
    };
    let days = end.duration_since(now).as_secs().div_euclid(86_400);
    let message = if end <= now {
        format!("the certificate of {place} ended on {end}")
    } else {
        format!("the certificate of {place} holds for {days} days, until {end}")
    };
    if days < DAYS_FAIL {
        Verdict::fail("CertificateEnds", message)
    } else if days < DAYS_WARN {
        Verdict::warn("CertificateEnds", message)
    } else {
        Verdict::pass(message)
    }
}

async fn server_version(cx: &Context) -> Answer {
    #[derive(Deserialize)]
    struct Version {
        #[serde(rename = "gitVersion")]
        git_version: String,
    }
    // A run asks for it when it begins, to say which cluster it is about.
    let known = &cx.report.cluster.version;
    let version = if known.is_empty() {
        let answer = cx.view.raw("/version").await?;
        let version: Version =
            serde_json::from_slice(&answer.body).map_err(|error| ReadError::Malformed {
                what: "/version".into(),
                message: error.to_string(),
            })?;
        version.git_version
    } else {
        known.clone()
    };
    if !version.contains("+k3s") {
        return Ok(Verdict::fail(
            "NotK3s",
            format!("the server is {version}, expected a k3s build such as v1.33.4+k3s1"),
        ));
    }
    let known = format!("1.{} to 1.{}", KNOWN_MINORS.start(), KNOWN_MINORS.end());
    Ok(match minor(&version) {
        Some(minor) if KNOWN_MINORS.contains(&minor) => {
            Verdict::pass(format!("{version}, within {known}"))
        }
        _ => Verdict::fail(
            "VersionUnknown",
            format!("the server is {version}, known here are {known}"),
        ),
    })
}

/// The minor of `v1.33.4+k3s1`, where the major is 1.
fn minor(version: &str) -> Option<u32> {
    let mut parts = version.strip_prefix("v1.")?.split(['.', '+', '-']);
    parts.next()?.parse().ok()
}

async fn clock_skew(cx: &Context) -> Answer {
    let answer = cx.view.raw("/livez").await?;
    let date = answer
        .headers
        .get(http::header::DATE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| jiff::fmt::rfc2822::parse(text).ok())
        .map(|date| date.timestamp());
    Ok(match date {
        Some(server) => judge_clock(server, answer.received),
        None => Verdict::warn("NoDate", "the API server's answer carries no date"),
    })
}

fn judge_clock(server: Timestamp, now: Timestamp) -> Verdict {
    let ahead = server.duration_since(now).as_secs();
    let message = match ahead {
        0 => "the clocks agree to the second".to_owned(),
        ahead if ahead > 0 => format!("the server's clock is {ahead} s ahead of this machine's"),
        behind => format!("the server's clock is {} s behind this machine's", -behind),
    };
    if ahead.abs() > SKEW {
        Verdict::fail("ClockSkew", format!("{message}, at most {SKEW} s expected"))
            .saw(format!("server {server}, here {now}"))
    } else {
        Verdict::pass(message)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Fixture, check};

    #[tokio::test]
    async fn a_live_server_answers_200() {
        let check = check("pre::api_live");
        let live = Fixture::new().raw("/livez", 200, "ok").ask(check).await;
        assert_eq!(live.reason(), "", "{}", live.message());
        let dead = Fixture::new()
            .raw("/livez", 500, "[-]etcd failed")
            .ask(check)
            .await;
        assert_eq!(dead.reason(), "ApiNotLive");
        assert!(dead.message().contains("500"), "{}", dead.message());
        let forbidden = Fixture::new().forbid("/livez").ask(check).await;
        assert_eq!(forbidden.reason(), "MissingPermission");
    }

    #[tokio::test]
    async fn the_parts_that_are_not_ready_are_named() {
        let check = check("pre::api_ready");
        let ready = Fixture::new()
            .raw(
                "/readyz",
                200,
                "[+]ping ok\n[+]etcd ok\nreadyz check passed\n",
            )
            .ask(check)
            .await;
        assert_eq!(ready.message(), "2 parts are ready");
        // Somebody in between who says ok to everything has looked at nothing.
        let silent = Fixture::new().raw("/readyz", 200, "ok").ask(check).await;
        assert_eq!(
            (silent.outcome().name(), silent.reason()),
            ("warn", "PartsUnknown")
        );
        let not = Fixture::new()
            .raw(
                "/readyz",
                500,
                "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n",
            )
            .ask(check)
            .await;
        assert_eq!(
            (not.reason(), not.message()),
            ("ApiNotReady", "not ready: etcd")
        );
        assert_eq!(not.evidence(), ["etcd failed: reason withheld"]);
    }

    #[tokio::test]
    async fn a_closed_port_is_named_with_its_address() {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "k3s1"},
            "status": {"addresses": [{"type": "InternalIP", "address": "127.77.77.77"}]},
        });
        let closed = Fixture::new()
            .with(node)
            .ask(check("pre::api_endpoint_for_agents"))
            .await;
        assert_eq!(closed.reason(), "EndpointUnreachable");
        assert!(
            closed.message().contains("127.77.77.77:6443"),
            "{}",
            closed.message()
        );
        let bare = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "k3s1"}});
        let nowhere = Fixture::new()
            .with(bare)
            .ask(check("pre::api_endpoint_for_agents"))
            .await;
        assert_eq!(nowhere.reason(), "NoInternalIp");
    }

    #[tokio::test]
    async fn a_port_that_speaks_something_else_is_told_from_a_closed_one() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let listener = tokio::net::TcpListener::bind((ip, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.try_write(b"SSH-2.0-OpenSSH_9.2\r\n");
            }
        });
        let other = endpoint_at("k3s1", ip, port).await;
        assert_eq!(other.reason(), "EndpointNotTls", "{other:?}");
        server.abort();
        let _ = server.await;
        let closed = endpoint_at("k3s1", ip, port).await;
        assert_eq!(closed.reason(), "EndpointUnreachable", "{closed:?}");
    }

    #[test]
    fn a_certificate_warns_a_month_before_and_fails_a_week_before() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let judge = |days: i64| {
            let end = now + jiff::SignedDuration::from_hours(days * 24);
            let verdict = judge_certificate("10.0.0.1:6443", Some(end), now);
            (verdict.outcome().name(), verdict.message().to_owned())
        };
        assert_eq!(judge(364).0, "pass");
        assert_eq!(judge(30).0, "pass");
        assert_eq!(judge(29).0, "warn");
        assert_eq!(judge(6).0, "fail");
        let (outcome, message) = judge(-1);
        assert_eq!(outcome, "fail");
        assert!(message.contains("10.0.0.1:6443 ended on"), "{message}");
        assert_eq!(
            judge_certificate("x", None, now).reason(),
            "CertificateUnreadable"
        );
    }

    #[tokio::test]
    async fn a_server_that_is_no_k3s_or_too_old_is_named() {
        let check = check("pre::server_version");
        for (version, reason) in [
            ("v1.36.2+k3s1", ""),
            ("v1.33.4", "NotK3s"),
            ("v1.19.4+k3s1", "VersionUnknown"),
            ("v1.99.0+k3s1", "VersionUnknown"),
        ] {
            let body = json!({"gitVersion": version}).to_string();
            let verdict = Fixture::new().raw("/version", 200, body).ask(check).await;
            assert_eq!(verdict.reason(), reason);
            assert!(verdict.message().contains(version));
        }
    }

    #[tokio::test]
    async fn clocks_may_differ_by_half_a_minute() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let judge = |seconds: i64| judge_clock(now + jiff::SignedDuration::from_secs(seconds), now);
        assert_eq!(judge(0).reason(), "");
        assert_eq!(judge(-30).reason(), "");
        assert_eq!(judge(31).reason(), "ClockSkew");
        assert!(
            judge(-90).message().contains("90 s behind"),
            "{}",
            judge(-90).message()
        );
        let silent = Fixture::new()
            .raw("/livez", 200, "ok")
            .ask(check("pre::clock_skew"))
            .await;
        assert_eq!(silent.reason(), "NoDate");
        let dated = Fixture::new()
            .raw("/livez", 200, "ok")
            .header("date", "Thu, 01 Jan 2015 00:00:00 GMT")
            .ask(check("pre::clock_skew"))
            .await;
        assert_eq!(dated.reason(), "ClockSkew", "{}", dated.message());
    }
}
