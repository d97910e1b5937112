//! Secrets that nobody has changed for a long time, and whether somebody would be told of an attack.

use std::time::Duration;

use jiff::Timestamp;
use reports::model::Severity;
use serde::Deserialize;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds, monitoring::prometheus,
    resources::meta::or_default, view::Scope,
};

/// Old secrets, and rules about security.
pub const CHECKS: &[Check] = &[
    Check {
        id: "security::secret_age",
        title: "Every Secret that people look after was changed within the last year.",
        severity: Severity::Warn,
        requires: &[],
        needs: &[Need::list(&kinds::SECRETS)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.2"),
        why: "A password that is never changed is known to everybody who ever saw it. What controllers make and \
              renew by themselves is not looked at. The time of the last write is what the API knows: a value that \
              was written again unchanged looks young.",
        reasons: &[Reason::new(
            "OldSecret",
            "change the value where it is used and in git (sops FILE); accept by name what cannot change, such as an age key",
        )],
        ask: ask!(secret_age),
    },
    Check {
        id: "security::security_rules",
        title: "An alert would tell of an attack on the cluster.",
        severity: Severity::Warn,
        requires: &[],
        needs: &prometheus::NEEDS,
        awaits: false,
        after: None,
        criterion: Criterion::Of("5.3"),
        why: "Refused requests, failed logins and new privileged pods are how an attack begins. If no rule looks at \
              them, the first to notice is somebody else.",
        reasons: &[
            prometheus::MISSING,
            prometheus::DOWN,
            prometheus::REFUSED,
            Reason::new(
                "NoSecurityRule",
                "add a PrometheusRule with the label category: security, for example on apiserver_request_total{code=\"403\"}",
            ),
            Reason::new(
                "RuleBroken",
                "Prometheus cannot evaluate the named rule; the evidence has its error",
            ),
        ],
        ask: ask!(security_rules),
    },
];

/// Older than this is old.
const OLD: Duration = Duration::from_secs(365 * 86_400);
/// Most Secrets that are named one by one.
const NAMED: usize = 20;

/// A Secret without its values, which are not kept.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Secret {
    metadata: Meta,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    name: String,
    namespace: String,
    creation_timestamp: Option<Timestamp>,
    #[serde(deserialize_with = "or_default")]
    managed_fields: Vec<Written>,
    #[serde(deserialize_with = "or_default")]
    owner_references: Vec<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    time: Option<Timestamp>,
}

impl Secret {
    /// When it was last written.
    fn written(&self) -> Option<Timestamp> {
        let times = self.metadata.managed_fields.iter().map(|one| one.time);
        times
            .chain([self.metadata.creation_timestamp])
            .flatten()
            .max()
    }

    /// Whether a program made it and looks after it.
    fn is_kept_by_a_program(&self) -> bool {
        const KINDS: [&str; 4] = [
            "helm.sh/release.v1",
            "kubernetes.io/service-account-token",
            "k3s.cattle.io/node-password",
            "bootstrap.kubernetes.io/token",
        ];
        KINDS.contains(&self.kind.as_str())
            || self.metadata.name.ends_with(".node-password.k3s")
            // k3s' own certificates, renewed when it starts.
            || (self.metadata.namespace == "kube-system" && self.metadata.name == "k3s-serving")
            || !self.metadata.owner_references.is_empty()
    }
}

async fn secret_age(cx: &Context) -> Answer {
    // Releases of Helm are the largest Secrets of all and say nothing here.
    let scope = Scope::all().fields("type!=helm.sh/release.v1");
    let secrets = cx.view.list::<Secret>(&kinds::SECRETS, scope).await?;
    let now = Timestamp::now();
    let mut kept = 0;
    let mut old: Vec<(Timestamp, String)> = Vec::new();
    for secret in secrets.iter().filter(|one| !one.is_kept_by_a_program()) {
        kept += 1;
        let Some(written) = secret.written() else {
            continue;
        };
        let age = now.duration_since(written).unsigned_abs();
        if written < now && age > OLD {
            let days = age.as_secs() / 86_400;
            old.push((
                written,
                format!(
                    "{}/{}: {days} days",
                    secret.metadata.namespace, secret.metadata.name
                ),
            ));
        }
    }
    old.sort();
    let others = secrets.len() - kept;
    Ok(match old.first() {
        None => Verdict::pass(format!(
            "{kept} Secrets changed within a year, {others} kept by programs"
        )),
        Some((_, first)) => Verdict::fail(
            "OldSecret",
            format!("{} of {kept} Secrets are old, first {first}", old.len()),
        )
        .saw_all(old.iter().take(NAMED).map(|(_, line)| line.clone())),
    })
}

/// Whether a rule is about security: it says so, or it looks at what an attack would show in.
fn is_about_security(rule: &prometheus::AlertRule) -> bool {
    /// Series that tell of refusals, audit and intrusion.
    const SERIES: [&str; 6] = [
        "apiserver_audit",
        "authentication_attempts",
        "authenticated_user_requests",
        "falco",
        "kubewarden",
        "kyverno",
    ];
    let labelled = ["category", "type", "team"].iter().any(|label| {
        rule.labels
            .get(*label)
            .is_some_and(|value| value == "security")
    });
    let refused = rule.query.contains("apiserver_request")
        && ["401", "403"].iter().any(|code| rule.query.contains(code));
    let name = rule.name.to_ascii_lowercase();
    labelled
        || refused
        || name.contains("security")
        || SERIES.iter().any(|series| rule.query.contains(series))
}

async fn security_rules(cx: &Context) -> Answer {
    let rules = match prometheus::alert_rules(cx).await {
        Ok(rules) => rules,
        Err(verdict) => return Ok(verdict),
    };
    let about: Vec<&prometheus::AlertRule> = rules
        .iter()
        .filter(|rule| is_about_security(rule))
        .collect();
    let (broken, working): (Vec<&prometheus::AlertRule>, Vec<_>) =
        about.iter().copied().partition(|rule| rule.health == "err");
    Ok(match (working.first(), broken.first()) {
        (Some(_), _) => {
            let names: Vec<&str> = working.iter().map(|rule| rule.name.as_str()).collect();
            Verdict::pass(names.join(", "))
        }
        (None, Some(rule)) => Verdict::fail(
            "RuleBroken",
            format!("alert {} cannot be evaluated", rule.name),
        )
        .saw(rule.last_error.clone()),
        (None, None) => Verdict::fail(
            "NoSecurityRule",
            format!("none of {} alerts is about security", rules.len()),
        ),
    })
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use reports::model::Outcome;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        monitoring::prometheus::example::answering,
        testing::{Fixture, check},
    };

    fn secret(name: &str, kind: &str, days: i64) -> Value {
        let made = Timestamp::now() - (days * 24).hours();
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind, "data": {"password": "aHVudGVyMg=="},
            "metadata": {"name": name, "namespace": "apps", "creationTimestamp": made.to_string()},
        })
    }

    async fn ask(secrets: Vec<Value>) -> Verdict {
        let fixture = secrets.into_iter().fold(Fixture::new(), Fixture::with);
        fixture.ask(check("security::secret_age")).await
    }

    #[tokio::test]
    async fn an_old_secret_is_named_and_its_value_is_not() {
        let old = ask(vec![
            secret("db", "Opaque", 800),
            secret("web", "Opaque", 10),
        ])
        .await;
        assert_eq!(old.reason(), "OldSecret");
        assert_eq!(old.evidence(), ["apps/db: 800 days"]);
        assert!(!format!("{old:?}").contains("aHVudGVy"));

        let mut changed = secret("db", "Opaque", 800);
        let lately = (Timestamp::now() - 5.hours()).to_string();
        changed["metadata"]["managedFields"] = json!([{"manager": "kubectl", "time": lately}]);
        let good = ask(vec![changed]).await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
    }

    #[tokio::test]
    async fn what_programs_look_after_is_left_out() {
        let mut owned = secret("admission", "Opaque", 800);
        owned["metadata"]["ownerReferences"] = json!([{"kind": "Deployment"}]);
        let good = ask(vec![
            owned,
            secret("token", "kubernetes.io/service-account-token", 800),
            secret("k3s2.node-password.k3s", "Opaque", 800),
        ])
        .await;
        assert_eq!(good.outcome(), Outcome::Pass, "{good:?}");
        assert!(good.message().contains("3 kept by programs"), "{good:?}");
    }

    #[tokio::test]
    async fn a_rule_about_security_is_told_by_what_it_looks_at() {
        let ask = |rules: Value| {
            answering(&[(
                "/api/v1/rules?type=alert",
                json!({"groups": [{"name": "g", "rules": rules}]}),
            )])
            .ask(check("security::security_rules"))
        };
        let rule = |name: &str, query: &str, health: &str, labels: Value| {
            json!({
                "type": "alerting", "name": name, "query": query, "health": health,
                "lastError": "many-to-many", "labels": labels,
            })
        };
        let refused = "sum(rate(apiserver_request_total{code=\"403\"}[5m])) > 5";
        let none = json!({});
        for good in [
            rule("Forbidden", refused, "ok", none.clone()),
            rule("Shell", "x > 0", "ok", json!({"category": "security"})),
            rule("SecurityScan", "x > 0", "ok", none.clone()),
        ] {
            assert_eq!(ask(json!([good])).await.outcome(), Outcome::Pass);
        }
        let other = ask(json!([rule("NodeGone", "up == 0", "ok", none.clone())])).await;
        assert_eq!(other.reason(), "NoSecurityRule");
        let broken = ask(json!([rule("Forbidden", refused, "err", none)])).await;
        assert_eq!(broken.reason(), "RuleBroken");
        assert_eq!(broken.evidence(), ["many-to-many"]);
    }
}
