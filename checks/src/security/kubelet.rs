//! How the kubelet of the new node was really configured, from its own mouth.

use reports::model::Severity;
use serde::Deserialize;

use crate::{Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, view::ReadError};

/// How the kubelet was configured.
pub const CHECKS: &[Check] = &[Check {
    id: "security::kubelet_config",
    title: "The kubelet of {node} lets nobody in without a name and a right.",
    severity: Severity::Fail,
    requires: &["network::kubelet_tunnel"],
    needs: &[Need::on("get", "", "nodes/proxy")],
    awaits: false,
    after: None,
    criterion: Criterion::Of("6.1"),
    why: "The kubelet's port can start commands in every pod of its node. k3s closes it by default; an argument of \
          the agent can open it again.",
    reasons: &[
        Reason::new(
            "AnonymousAllowed",
            "on {node}: remove anonymous-auth=true from the kubelet arguments in /etc/rancher/k3s/config.yaml and restart k3s-agent",
        ),
        Reason::new(
            "NobodyAuthorizes",
            "on {node}: remove authorization-mode from the kubelet arguments in /etc/rancher/k3s/config.yaml and restart k3s-agent",
        ),
        Reason::new(
            "TokensNotVerified",
            "on {node}: remove authentication-token-webhook=false from the kubelet arguments and restart k3s-agent",
        ),
        Reason::new(
            "ReadOnlyPortOpen",
            "on {node}: remove read-only-port from the kubelet arguments and restart k3s-agent",
        ),
        Reason::new(
            "NotShown",
            "the kubelet does not show its configuration: kubectl get --raw /api/v1/nodes/{node}/proxy/configz",
        ),
    ],
    ask: ask!(kubelet_config),
}];

/// The part of KubeletConfiguration that says who may come in. What is absent has the closed default of
/// <https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/>, except what we demand to see.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KubeletConfiguration {
    authentication: Authentication,
    authorization: Authorization,
    #[serde(default)]
    read_only_port: i64,
}

#[derive(Deserialize)]
struct Authentication {
    anonymous: Switch,
    webhook: Switch,
    #[serde(default)]
    x509: X509,
}

#[derive(Deserialize)]
struct Switch {
    enabled: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct X509 {
    #[serde(rename = "clientCAFile")]
    client_ca_file: String,
}

#[derive(Deserialize)]
struct Authorization {
    mode: String,
}

async fn kubelet_config(cx: &Context) -> Answer {
    #[derive(Deserialize)]
    struct Configz {
        kubeletconfig: KubeletConfiguration,
    }
    let node = cx.node();
    let answer = cx.view.node_proxy(node, "/configz").await?;
    if answer.status.as_u16() == 404 && answer.text().contains("\"NotFound\"") {
        return Err(ReadError::Absent {
            what: format!("nodes {node}"),
        });
    }
    let read = serde_json::from_slice::<Configz>(&answer.body);
    let configuration = match read {
        Ok(configz) if answer.status.is_success() => configz.kubeletconfig,
        Ok(_) => {
            return Ok(Verdict::error(
                "NotShown",
                format!(
                    "the kubelet of {node} answers configz with {}",
                    answer.status
                ),
            ));
        }
        Err(error) => {
            return Ok(Verdict::error(
                "NotShown",
                format!("the configuration of the kubelet of {node} cannot be read: {error}"),
            ));
        }
    };
    let KubeletConfiguration {
        authentication,
        authorization,
        read_only_port,
    } = configuration;
    let seen = format!(
        "anonymous {}, token webhook {}, client CA {}, authorization {}, read-only port {read_only_port}",
        authentication.anonymous.enabled,
        authentication.webhook.enabled,
        if authentication.x509.client_ca_file.is_empty() {
            "none"
        } else {
            &authentication.x509.client_ca_file
        },
        authorization.mode,
    );
    let verdict = if authentication.anonymous.enabled {
        Verdict::fail(
            "AnonymousAllowed",
            format!("the kubelet of {node} answers anybody"),
        )
    } else if authorization.mode != "Webhook" {
        Verdict::fail(
            "NobodyAuthorizes",
            format!(
                "the kubelet of {node} authorizes by {}, not by asking the API server",
                authorization.mode
            ),
        )
    } else if read_only_port != 0 {
        Verdict::fail(
            "ReadOnlyPortOpen",
            format!("the kubelet of {node} shows its pods to anybody on port {read_only_port}"),
        )
    } else if !authentication.webhook.enabled {
        Verdict::warn(
            "TokensNotVerified",
            format!("the kubelet of {node} takes no tokens, only certificates"),
        )
    } else {
        Verdict::pass("anonymous off, the API server authorizes, no read-only port")
    };
    Ok(verdict.saw(seen))
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::Fixture;

    async fn ask(changes: &[(&str, Value)]) -> Verdict {
        let mut configuration = json!({
            "authentication": {
                "anonymous": {"enabled": false}, "webhook": {"enabled": true, "cacheTTL": "2m0s"},
                "x509": {"clientCAFile": "/var/lib/rancher/k3s/agent/client-ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
        });
        for (pointer, value) in changes {
            match configuration.pointer_mut(pointer) {
                Some(place) => *place = value.clone(),
                None => configuration[pointer.trim_start_matches('/')] = value.clone(),
            }
        }
        Fixture::new()
            .raw(
                "/api/v1/nodes/k3s2/proxy/configz",
                200,
                json!({"kubeletconfig": configuration}).to_string(),
            )
            .ask(&CHECKS[0])
            .await
    }

    #[tokio::test]
    async fn the_defaults_of_k3s_pass_and_each_opening_is_named() {
        assert_eq!(ask(&[]).await.outcome(), Outcome::Pass);
        for (pointer, value, reason) in [
            (
                "/authentication/anonymous/enabled",
                json!(true),
                "AnonymousAllowed",
            ),
            (
                "/authorization/mode",
                json!("AlwaysAllow"),
                "NobodyAuthorizes",
            ),
            ("/readOnlyPort", json!(10255), "ReadOnlyPortOpen"),
            (
                "/authentication/webhook/enabled",
                json!(false),
                "TokensNotVerified",
            ),
        ] {
            let verdict = ask(&[(pointer, value)]).await;
            assert_eq!(verdict.reason(), reason, "{verdict:?}");
            assert!(verdict.message().contains("k3s2"), "{verdict:?}");
        }
    }

    #[tokio::test]
    async fn a_configuration_that_does_not_say_is_not_taken_for_closed() {
        let verdict = ask(&[("/authentication", json!({}))]).await;
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Error, "NotShown")
        );
    }
}
