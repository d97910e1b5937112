//! What the new node may do, asked of the authorizer that decides it.
//!
//! A kubelet is the user `system:node:<name>` in the group `system:nodes`; a question without the group is answered no
//! to everything. Some rights are granted here and narrowed by the admission plugin NodeRestriction, which a review
//! does not run: creating pods, or writing other nodes. Those are not asked.
//! <https://kubernetes.io/docs/reference/access-authn-authz/node/>

use std::fmt;

use futures::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
    SubjectAccessReviewStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldSelectorRequirement;
use reports::model::Severity;
use serde::Deserialize;

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, resources::node, view::ReadError,
};

const NEEDS: &[Need] = &[
    Need::on("create", "authorization.k8s.io", "subjectaccessreviews"),
    Need::list(&crate::kinds::NODES),
    Need::Path("/version"),
];

/// What the new node may do.
pub const CHECKS: &[Check] = &[
    Check {
        id: "security::node_rights",
        title: "The kubelet of {node} may do what a kubelet must.",
        severity: Severity::Fail,
        requires: &[],
        needs: NEEDS,
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.1"),
        why: "Without these rights the node cannot report its state, renew its lease or start the pods that it is \
              given.",
        reasons: &[Reason::new(
            "RightMissing",
            "see that the API server runs with --authorization-mode=Node,RBAC and ask one of them again: kubectl auth can-i get nodes/{node} --as=system:node:{node} --as-group=system:nodes",
        )],
        ask: ask!(node_rights),
    },
    Check {
        id: "security::node_limits",
        title: "The kubelet of {node} may do nothing beyond its own node.",
        severity: Severity::Fail,
        requires: &[],
        needs: NEEDS,
        awaits: false,
        after: None,
        criterion: Criterion::Of("6.1"),
        why: "Whoever takes over the machine has the kubelet's rights. They must end at that machine: no list of \
              secrets, no other node's lease, no workloads of its own making.",
        reasons: &[Reason::new(
            "RightTooWide",
            "find what grants it: kubectl get clusterrolebindings -o wide | grep system:nodes, and delete that binding",
        )],
        ask: ask!(node_limits),
    },
];

/// One thing that a kubelet may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wish {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    namespace: &'static str,
    name: String,
    /// Only objects bound to this node.
    on_node: Option<String>,
}

impl Wish {
    fn new(verb: &'static str, group: &'static str, resource: &'static str) -> Self {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Self {
            verb,
            group,
            resource,
            subresource,
            ..Self::default()
        }
    }

    fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    fn in_namespace(mut self, namespace: &'static str) -> Self {
        self.namespace = namespace;
        self
    }

    fn on_node(mut self, node: &str) -> Self {
        self.on_node = Some(node.into());
        self
    }

    fn review(&self, node: &str) -> SubjectAccessReview {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let field_selector = self.on_node.as_ref().map(|value| FieldSelectorAttributes {
            raw_selector: None,
            requirements: Some(vec![FieldSelectorRequirement {
                key: "spec.nodeName".into(),
                operator: "In".into(),
                values: Some(vec![value.clone()]),
            }]),
        });
        SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:node:{node}")),
                groups: Some(vec!["system:nodes".into(), "system:authenticated".into()]),
                resource_attributes: Some(ResourceAttributes {
                    verb: text(self.verb),
                    group: text(self.group),
                    resource: text(self.resource),
                    subresource: text(self.subresource),
                    namespace: text(self.namespace),
                    name: text(&self.name),
                    field_selector,
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        for (before, part) in [
            ("/", self.subresource),
            (".", self.group),
            (" ", self.name.as_str()),
            (" in namespace ", self.namespace),
        ] {
            if !part.is_empty() {
                write!(f, "{before}{part}")?;
            }
        }
        match &self.on_node {
            Some(node) => write!(f, " bound to {node}"),
            None => Ok(()),
        }
    }
}

const LEASES: &str = "coordination.k8s.io";
const STORAGE: &str = "storage.k8s.io";

/// What a kubelet cannot do without.
fn must(node: &str) -> Vec<Wish> {
    vec![
        Wish::new("get", "", "nodes").named(node),
        Wish::new("update", "", "nodes/status").named(node),
        Wish::new("patch", "", "nodes/status").named(node),
        Wish::new("get", LEASES, "leases")
            .named(node)
            .in_namespace("kube-node-lease"),
        Wish::new("update", LEASES, "leases")
            .named(node)
            .in_namespace("kube-node-lease"),
        Wish::new("get", STORAGE, "csinodes").named(node),
        Wish::new("create", "authentication.k8s.io", "tokenreviews"),
        Wish::new("create", "authorization.k8s.io", "subjectaccessreviews"),
        Wish::new("create", "", "events"),
        Wish::new("list", "", "pods").on_node(node),
    ]
}

/// What a kubelet must be denied. `selective`: the server narrows reads of nodes and pods to the kubelet's own.
fn must_not(control_plane: &str, selective: bool) -> Vec<Wish> {
    let mut wishes = vec![
        Wish::new("list", "", "secrets"),
        Wish::new("get", "", "secrets")
            .named(format!("{control_plane}.node-password.k3s"))
            .in_namespace("kube-system"),
        Wish::new("get", LEASES, "leases")
            .named(control_plane)
            .in_namespace("kube-node-lease"),
        Wish::new("get", LEASES, "leases")
            .named("kube-scheduler")
            .in_namespace("kube-system"),
        Wish::new("get", STORAGE, "csinodes").named(control_plane),
        Wish::new("delete", "", "nodes").named(control_plane),
        Wish::new("create", "apps", "deployments").in_namespace("default"),
        Wish::new("get", "rbac.authorization.k8s.io", "clusterroles").named("cluster-admin"),
    ];
    if selective {
        wishes.extend([
            Wish::new("get", "", "nodes").named(control_plane),
            Wish::new("list", "", "nodes"),
            Wish::new("list", "", "pods"),
        ]);
    }
    wishes
}

async fn ask_all(
    cx: &Context,
    wishes: Vec<Wish>,
) -> Result<Vec<(Wish, SubjectAccessReviewStatus)>, ReadError> {
    try_join_all(wishes.into_iter().map(|wish| async move {
        let answer: SubjectAccessReview = cx
            .view
            .review(
                "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                &wish.review(cx.node()),
            )
            .await?;
        // Without an answer nothing was denied.
        let status = answer.status.ok_or_else(|| ReadError::Malformed {
            what: format!("the review of {wish}"),
            message: "it has no status".into(),
        })?;
        Ok((wish, status))
    }))
    .await
}

/// `get nodes k3s2: denied`, with what the authorizers said about it.
fn told(wish: &Wish, status: &SubjectAccessReviewStatus) -> String {
    let word = if status.allowed { "allowed" } else { "denied" };
    let notes = [&status.reason, &status.evaluation_error];
    let notes: Vec<&str> = notes
        .into_iter()
        .flatten()
        .map(String::as_str)
        .filter(|note| !note.is_empty())
        .collect();
    if notes.is_empty() {
        format!("{wish}: {word}")
    } else {
        format!("{wish}: {word} ({})", notes.join("; "))
    }
}

/// The verdict over all answers, of which each should have been `wanted`.
fn judge(
    wanted: bool,
    reason: &'static str,
    user: &str,
    answers: &[(Wish, SubjectAccessReviewStatus)],
) -> Verdict {
    let wrong: Vec<&(Wish, SubjectAccessReviewStatus)> = answers
        .iter()
        .filter(|(_, status)| status.allowed != wanted)
        .collect();
    let word = if wanted { "allowed" } else { "denied" };
    if wrong.is_empty() {
        return Verdict::pass(format!("{} questions, all {word}", answers.len()))
            .saw_all(answers.iter().map(|(wish, status)| told(wish, status)));
    }
    let names: Vec<String> = wrong.iter().map(|(wish, _)| wish.to_string()).collect();
    let verb = if wanted { "may not" } else { "may" };
    Verdict::fail(reason, format!("{user} {verb} {}", names.join(", ")))
        .saw_all(wrong.iter().map(|(wish, status)| told(wish, status)))
}

async fn node_rights(cx: &Context) -> Answer {
    let mut wishes = must(cx.node());
    // Older servers take no selector in a review and would answer for all pods.
    if !narrows_reads(cx).await? {
        wishes.retain(|wish| wish.on_node.is_none());
    }
    let answers = ask_all(cx, wishes).await?;
    let user = format!("system:node:{}", cx.node());
    Ok(judge(true, "RightMissing", &user, &answers))
}

async fn node_limits(cx: &Context) -> Answer {
    let server = node::control_plane(cx).await?;
    let wishes = must_not(node::name(&server), narrows_reads(cx).await?);
    let answers = ask_all(cx, wishes).await?;
    let user = format!("system:node:{}", cx.node());
    Ok(judge(false, "RightTooWide", &user, &answers))
}

/// Whether the server limits a kubelet's reads to its own node: on by default since 1.32.
async fn narrows_reads(cx: &Context) -> Result<bool, ReadError> {
    #[derive(Deserialize)]
    struct Version {
        minor: String,
    }
    let answer = cx.view.raw("/version").await?;
    let version: Version =
        serde_json::from_slice(&answer.body).map_err(|error| ReadError::Malformed {
            what: "/version".into(),
            message: error.to_string(),
        })?;
    // Some distributions write `32+`.
    let digits = version
        .minor
        .trim_end_matches(|one: char| !one.is_ascii_digit());
    Ok(digits.parse::<u32>().is_ok_and(|minor| minor >= 32))
}

#[cfg(test)]
mod tests {
    use reports::model::Outcome;
    use serde_json::json;

    use super::*;
    use crate::testing::Fixture;

    fn cluster(allowed: bool, minor: &str) -> Fixture {
        Fixture::new()
            .with(json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": "server-a", "labels": {"node-role.kubernetes.io/control-plane": "true"}},
            }))
            .raw("/version", 200, json!({"major": "1", "minor": minor}).to_string())
            .review(
                "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                json!({"spec": {}, "status": {"allowed": allowed, "evaluationError": "no relationship found"}}),
            )
    }

    #[tokio::test]
    async fn what_is_denied_is_missing_and_what_is_allowed_is_too_wide() {
        let rights = cluster(true, "33").ask(&CHECKS[0]).await;
        assert_eq!(rights.outcome(), Outcome::Pass, "{rights:?}");
        let rights = cluster(false, "33").ask(&CHECKS[0]).await;
        assert_eq!(rights.reason(), "RightMissing");
        assert!(
            rights
                .message()
                .contains("system:node:k3s2 may not get nodes k3s2"),
            "{rights:?}"
        );
        assert!(
            rights.evidence()[0].contains("no relationship found"),
            "{rights:?}"
        );
        let limits = cluster(false, "33").ask(&CHECKS[1]).await;
        assert_eq!(limits.outcome(), Outcome::Pass, "{limits:?}");
        let limits = cluster(true, "33").ask(&CHECKS[1]).await;
        assert_eq!(limits.reason(), "RightTooWide");
        assert!(
            limits.message().contains("server-a.node-password.k3s"),
            "{limits:?}"
        );
    }

    #[tokio::test]
    async fn an_older_server_is_not_asked_for_what_it_does_not_know() {
        let limits = cluster(false, "31").ask(&CHECKS[1]).await;
        assert!(limits.message().starts_with("8 "), "{limits:?}");
        let limits = cluster(false, "33+").ask(&CHECKS[1]).await;
        assert!(limits.message().starts_with("11 "), "{limits:?}");
    }

    #[test]
    fn a_review_names_user_groups_and_selector() {
        let review = Wish::new("list", "", "pods").on_node("k3s2").review("k3s2");
        let value = serde_json::to_value(review).unwrap();
        assert_eq!(value["spec"]["user"], "system:node:k3s2");
        assert_eq!(
            value["spec"]["groups"],
            json!(["system:nodes", "system:authenticated"])
        );
        assert_eq!(
            value["spec"]["resourceAttributes"]["fieldSelector"]["requirements"][0],
            json!({"key": "spec.nodeName", "operator": "In", "values": ["k3s2"]})
        );
        let status = Wish::new("patch", "", "nodes/status").named("k3s2");
        assert_eq!(status.to_string(), "patch nodes/status k3s2");
        let value = serde_json::to_value(status.review("k3s2")).unwrap();
        assert_eq!(value["spec"]["resourceAttributes"]["subresource"], "status");
    }
}
