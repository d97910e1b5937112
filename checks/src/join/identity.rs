//! Whether the node is what it should be: an agent, no copy of another host, of a version that fits the server.

use std::cmp::Ordering;

use k8s_openapi::api::core::v1::Node;
use reports::model::Severity;
use serde::Deserialize;

use super::{internal_ips, new_node};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask,
    kinds::NODES,
    resources::node::{self, Arguments},
    view::ReadError,
};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "join::is_agent",
        title: "{node} has joined as a k3s agent.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[Need::list(&NODES)],
        awaits: true,
        after: None,
        criterion: Criterion::Of("1.1"),
        why: "A host that was started as a second server would be part of the control plane, with all its rights and another way to fail.",
        reasons: &[
            Reason::new(
                "NotConfigured",
                "on {node}: journalctl -u k3s-agent -n 50; the agent writes the annotation k3s.io/node-args when it has started",
            ),
            Reason::new(
                "IsServer",
                "on {node}: k3s-uninstall.sh, then install it with K3S_URL and K3S_TOKEN set, which makes it an agent",
            ),
        ],
        ask: ask!(is_agent),
    },
    Check {
        id: "join::not_a_clone",
        title: "{node} shares no machine id, system UUID or address with another node.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[Need::list(&NODES)],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "Hosts copied from one image with the same machine id may get the same address, and storage and network software takes them for one host.",
        reasons: &[
            Reason::new(
                "SharedIdentity",
                "on {node}: rm /etc/machine-id && systemd-machine-id-setup && reboot; for a shared system UUID give the virtual machine its own",
            ),
            Reason::new(
                "IdentityUnknown",
                "see what its kubelet reports: kubectl get node {node} -o jsonpath='{.status.nodeInfo}'; on {node}: cat /etc/machine-id",
            ),
        ],
        ask: ask!(not_a_clone),
    },
    Check {
        id: "join::version",
        title: "The kubelet of {node} is not newer than the server.",
        severity: Severity::Fail,
        requires: &["join::registered"],
        needs: &[Need::list(&NODES), Need::Path("/version")],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "Kubernetes supports kubelets that are as old as the API server or up to three minor versions older, never newer ones.",
        reasons: &[
            Reason::new(
                "NewerThanServer",
                "on {node}: install the server's version: curl -sfL https://get.k3s.io | INSTALL_K3S_VERSION=<version of the server> sh -; or upgrade the server first",
            ),
            Reason::new(
                "TooOld",
                "on {node}: install the server's version: curl -sfL https://get.k3s.io | INSTALL_K3S_VERSION=<version of the server> sh -",
            ),
            Reason::new(
                "OlderThanServer",
                "supported; when convenient, install the server's version on {node}",
            ),
            Reason::new(
                "VersionUnknown",
                "kubectl get node {node} -o jsonpath='{.status.nodeInfo.kubeletVersion}'; kubectl version",
            ),
        ],
        ask: ask!(version),
    },
];

async fn is_agent(cx: &Context) -> Answer {
    let node = new_node(cx).await?;
    let Some(arguments) = Arguments::of(&node) else {
        return Ok(Verdict::fail(
            "NotConfigured",
            format!(
                "{} has no readable annotation k3s.io/node-args: no k3s agent has configured it yet",
                cx.node()
            ),
        ));
    };
    let role = arguments.role();
    if role == "agent" {
        return Ok(Verdict::pass(format!("{} runs k3s agent", cx.node())));
    }
    // The arguments were written when the node started; waiting does not change how it was started.
    Ok(Verdict::fail(
        "IsServer",
        format!("{} runs k3s {role}, expected k3s agent", cx.node()),
    )
    .hopeless())
}

async fn not_a_clone(cx: &Context) -> Answer {
    let list = node::all(cx).await?;
    let node = new_node(cx).await?;
    let mine = identity(&node);
    let mut shared = Vec::new();
    for other in list.iter().filter(|other| node::name(other) != cx.node()) {
        for (what, value) in identity(other) {
            if mine.contains(&(what, value.clone())) {
                shared.push(format!("{what} {value} with {}", node::name(other)));
            }
        }
    }
    let seen = mine.iter().map(|(what, value)| format!("{what} {value}"));
    if shared.is_empty() && mine.iter().all(|(what, _)| *what == "InternalIP") {
        return Ok(Verdict::error(
            "IdentityUnknown",
            format!(
                "{} reports neither a machine id nor a system UUID",
                cx.node()
            ),
        )
        .saw_all(seen));
    }
    if shared.is_empty() {
        return Ok(Verdict::pass(format!(
            "{} differs from the other {} nodes",
            cx.node(),
            list.len().saturating_sub(1)
        ))
        .saw_all(seen));
    }
    Ok(Verdict::fail(
        "SharedIdentity",
        format!("{} shares {}", cx.node(), shared.join(", ")),
    )
    .saw_all(seen))
}

/// What no two hosts have in common; what a node does not report is left out.
fn identity(node: &Node) -> Vec<(&'static str, String)> {
    let mut identity = Vec::new();
    if let Some(info) = node
        .status
        .as_ref()
        .and_then(|status| status.node_info.as_ref())
    {
        identity.push(("machine id", info.machine_id.clone()));
        identity.push(("system UUID", info.system_uuid.to_ascii_lowercase()));
    }
    for address in internal_ips(node) {
        identity.push(("InternalIP", address.to_owned()));
    }
    identity.retain(|(_, value)| !value.is_empty());
    identity
}

async fn version(cx: &Context) -> Answer {
    #[derive(Deserialize)]
    struct Server {
        #[serde(rename = "gitVersion")]
        version: String,
    }
    let answer = cx.view.raw("/version").await?;
    let server: Server =
        serde_json::from_slice(&answer.body).map_err(|error| ReadError::Malformed {
            what: "/version".into(),
            message: error.to_string(),
        })?;
    let node = new_node(cx).await?;
    let kubelet = node
        .status
        .as_ref()
        .and_then(|status| status.node_info.as_ref())
        .map(|info| info.kubelet_version.clone())
        .unwrap_or_default();
    let both = format!(
        "kubelet of {} {kubelet}, server {}",
        cx.node(),
        server.version
    );
    let (Some(ours), Some(theirs)) = (parse(&kubelet), parse(&server.version)) else {
        return Ok(Verdict::error(
            "VersionUnknown",
            format!("versions cannot be compared: {both}"),
        ));
    };
    Ok(match ours.cmp(&theirs) {
        Ordering::Equal => Verdict::pass(both),
        Ordering::Greater => {
            Verdict::fail("NewerThanServer", format!("{both}: the kubelet is newer"))
        }
        Ordering::Less => {
            let behind = theirs.1.saturating_sub(ours.1);
            // https://kubernetes.io/releases/version-skew-policy/#kubelet
            let allowed = if theirs < (1, 28, 0) { 2 } else { 3 };
            if ours.0 != theirs.0 || behind > allowed {
                Verdict::fail(
                    "TooOld",
                    format!(
                        "{both}: {behind} minor versions behind, at most {allowed} are supported"
                    ),
                )
            } else {
                Verdict::warn("OlderThanServer", format!("{both}: the kubelet is older"))
            }
        }
    })
}

/// `v1.36.2+k3s1` as numbers: major, minor, patch. Releases of k3s of one Kubernetes version do not differ in it.
fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let kubernetes = version.trim_start_matches('v').split(['+', '-']).next()?;
    let mut parts = kubernetes.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::super::tests::{agent, server};
    use crate::{catalogue::find, testing::Fixture};

    fn cluster(node: Value) -> Fixture {
        Fixture::new().with(server("k3s1", 1)).with(node).raw(
            "/version",
            200,
            r#"{"gitVersion": "v1.36.2+k3s1"}"#,
        )
    }

    #[tokio::test]
    async fn a_server_is_no_agent_and_waiting_does_not_help() {
        let check = find("join::is_agent").unwrap();
        let good = cluster(agent("k3s2", 2)).ask(check).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        let wrong = cluster(server("k3s2", 2)).ask(check).await;
        assert_eq!(wrong.reason(), "IsServer");
        assert!(wrong.is_hopeless() && wrong.message().contains("k3s2"));
        let mut early = agent("k3s2", 2);
        early["metadata"]["annotations"] = json!({});
        let early = cluster(early).ask(check).await;
        assert_eq!(
            (early.reason(), early.is_hopeless()),
            ("NotConfigured", false)
        );
    }

    #[tokio::test]
    async fn a_copied_host_is_named_with_the_one_it_was_copied_from() {
        let check = find("join::not_a_clone").unwrap();
        let good = cluster(agent("k3s2", 2)).ask(check).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{}", good.message());
        let mut copy = agent("k3s2", 2);
        copy["status"]["nodeInfo"]["machineID"] = json!("machine-1");
        let copy = cluster(copy).ask(check).await;
        assert_eq!(copy.reason(), "SharedIdentity");
        assert!(
            copy.message().contains("machine id machine-1 with k3s1"),
            "{}",
            copy.message()
        );
        let mut silent = agent("k3s2", 2);
        silent["status"]["nodeInfo"]["systemUUID"] = json!("");
        let mut other = server("k3s1", 1);
        other["status"]["nodeInfo"]["systemUUID"] = json!("");
        let silent = Fixture::new().with(other).with(silent).ask(check).await;
        assert_eq!(
            silent.outcome(),
            Outcome::Pass,
            "two empty ids are not the same id"
        );
        let mut bare = agent("k3s2", 2);
        bare["status"]["nodeInfo"] = json!(null);
        let bare = cluster(bare).ask(check).await;
        assert_eq!(
            (bare.outcome(), bare.reason()),
            (Outcome::Error, "IdentityUnknown")
        );
    }

    #[tokio::test]
    async fn newer_fails_older_warns_and_much_older_fails() {
        let check = find("join::version").unwrap();
        for (kubelet, outcome, reason) in [
            ("v1.36.2+k3s1", Outcome::Pass, ""),
            ("v1.36.2+k3s2", Outcome::Pass, ""),
            ("v1.37.0+k3s1", Outcome::Fail, "NewerThanServer"),
            ("v1.36.10+k3s1", Outcome::Fail, "NewerThanServer"),
            ("v1.33.9+k3s1", Outcome::Warn, "OlderThanServer"),
            ("v1.36.1+k3s2", Outcome::Warn, "OlderThanServer"),
            ("v1.32.9+k3s1", Outcome::Fail, "TooOld"),
            ("devel", Outcome::Error, "VersionUnknown"),
        ] {
            let mut node = agent("k3s2", 2);
            node["status"]["nodeInfo"]["kubeletVersion"] = json!(kubelet);
            let verdict = cluster(node).ask(check).await;
            assert_eq!(
                (verdict.outcome(), verdict.reason()),
                (outcome, reason),
                "{kubelet}: {}",
                verdict.message()
            );
        }
    }
}
