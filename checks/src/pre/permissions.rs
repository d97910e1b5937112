//! `pre`, rights: may the user of the kubeconfig do all that this run will ask for and change?
//!
//! One rules review a namespace shows most of it at once. Rules may be incomplete and may name single objects, so what
//! they do not show is asked for one by one before it is called missing.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    NonResourceRule, ResourceRule, SubjectRulesReviewStatus,
};
use reports::model::Severity;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask, kinds, probe,
    rights::{Extent, Right, Wanted, needed},
};

const RULES: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// A namespace that nobody has (its name is longer than the 63 characters that are allowed): what a rules review shows
/// for it holds in the whole cluster.
const NOWHERE: &str = "a-namespace-that-cannot-exist-because-its-name-is-longer-than-allowed";

/// Who needs the rights of the lock: no action, the run itself.
pub const LOCK: &str = "the lock";

/// So many single questions are asked at a time.
const AT_A_TIME: usize = 8;

/// The rights that actions use, each with the action. Actions live in another room, which `checks` does not know: the
/// tests of `phases` hold this table against what its actions declare.
pub const ACTION_NEEDS: &[(&str, Need)] = &[
    ("gitops::reconcile", Need::get(&kinds::GIT_REPOSITORIES)),
    ("gitops::reconcile", Need::list(&kinds::GIT_REPOSITORIES)),
    (
        "gitops::reconcile",
        Need::verb("watch", &kinds::GIT_REPOSITORIES),
    ),
    (
        "gitops::reconcile",
        Need::verb("patch", &kinds::GIT_REPOSITORIES),
    ),
    ("gitops::reconcile", Need::get(&kinds::KUSTOMIZATIONS)),
    ("gitops::reconcile", Need::list(&kinds::KUSTOMIZATIONS)),
    (
        "gitops::reconcile",
        Need::verb("watch", &kinds::KUSTOMIZATIONS),
    ),
    (
        "gitops::reconcile",
        Need::verb("patch", &kinds::KUSTOMIZATIONS),
    ),
    (LOCK, Need::get(&kinds::LEASES)),
    (LOCK, Need::verb("create", &kinds::LEASES)),
    (LOCK, Need::verb("update", &kinds::LEASES)),
    ("join::label", Need::get(&kinds::NODES)),
    ("join::label", Need::verb("patch", &kinds::NODES)),
    ("storage::reconcile", Need::get(&kinds::GIT_REPOSITORIES)),
    ("storage::reconcile", Need::list(&kinds::GIT_REPOSITORIES)),
    (
        "storage::reconcile",
        Need::verb("watch", &kinds::GIT_REPOSITORIES),
    ),
    (
        "storage::reconcile",
        Need::verb("patch", &kinds::GIT_REPOSITORIES),
    ),
    (
        "storage::reconcile",
        Need::verb("patch", &kinds::KUSTOMIZATIONS),
    ),
    (probe::BEFORE, Need::get(&kinds::CONFIGMAPS)),
    (probe::BEFORE, Need::get(&kinds::NAMESPACES)),
    (probe::BEFORE, Need::verb("create", &kinds::NAMESPACES)),
    (probe::BEFORE, Need::verb("delete", &kinds::NAMESPACES)),
    (probe::BEFORE, Need::list(&kinds::PODS)),
    (probe::BEFORE, Need::verb("watch", &kinds::PODS)),
    (probe::BEFORE, Need::verb("create", &kinds::PODS)),
    (probe::BEFORE, Need::verb("delete", &kinds::PODS)),
    (probe::TRAFFIC, Need::get(&kinds::CONFIGMAPS)),
    (probe::TRAFFIC, Need::get(&kinds::NAMESPACES)),
    (probe::TRAFFIC, Need::verb("create", &kinds::NAMESPACES)),
    (probe::TRAFFIC, Need::verb("delete", &kinds::NAMESPACES)),
    (probe::TRAFFIC, Need::list(&kinds::PODS)),
    (probe::TRAFFIC, Need::verb("watch", &kinds::PODS)),
    (probe::TRAFFIC, Need::verb("create", &kinds::PODS)),
    (probe::TRAFFIC, Need::verb("delete", &kinds::PODS)),
    (probe::TRAFFIC, Need::get(&kinds::NODES)),
    (probe::TRAFFIC, Need::get(&kinds::SERVICES)),
    (probe::VOLUME, Need::get(&kinds::CONFIGMAPS)),
    (probe::VOLUME, Need::get(&kinds::NAMESPACES)),
    (probe::VOLUME, Need::verb("create", &kinds::NAMESPACES)),
    (probe::VOLUME, Need::verb("delete", &kinds::NAMESPACES)),
    (probe::VOLUME, Need::list(&kinds::PODS)),
    (probe::VOLUME, Need::verb("watch", &kinds::PODS)),
    (probe::VOLUME, Need::verb("create", &kinds::PODS)),
    (probe::VOLUME, Need::verb("delete", &kinds::PODS)),
    (probe::VOLUME, Need::get(&kinds::STORAGE_CLASSES)),
    (probe::VOLUME, Need::list(&kinds::STORAGE_CLASSES)),
    (probe::VOLUME, Need::verb("create", &kinds::STORAGE_CLASSES)),
    (probe::VOLUME, Need::verb("delete", &kinds::STORAGE_CLASSES)),
    (probe::VOLUME, Need::list(&kinds::CLAIMS)),
    (probe::VOLUME, Need::verb("watch", &kinds::CLAIMS)),
    (probe::VOLUME, Need::verb("create", &kinds::CLAIMS)),
    (probe::VOLUME, Need::verb("delete", &kinds::CLAIMS)),
    (probe::VOLUME, Need::list(&kinds::LONGHORN_VOLUMES)),
    (probe::VOLUME, Need::verb("watch", &kinds::LONGHORN_VOLUMES)),
    (probe::VOLUME, Need::list(&kinds::LONGHORN_REPLICAS)),
    (
        probe::VOLUME,
        Need::verb("watch", &kinds::LONGHORN_REPLICAS),
    ),
    (probe::WORKLOAD, Need::get(&kinds::CONFIGMAPS)),
    (probe::WORKLOAD, Need::get(&kinds::NAMESPACES)),
    (probe::WORKLOAD, Need::verb("create", &kinds::NAMESPACES)),
    (probe::WORKLOAD, Need::verb("delete", &kinds::NAMESPACES)),
    (probe::WORKLOAD, Need::list(&kinds::PODS)),
    (probe::WORKLOAD, Need::verb("watch", &kinds::PODS)),
    (probe::WORKLOAD, Need::verb("create", &kinds::PODS)),
    (probe::WORKLOAD, Need::verb("delete", &kinds::PODS)),
];

/// The checks of this file.
pub const CHECKS: &[Check] = &[Check {
    id: "pre::permissions",
    title: "The user of the kubeconfig has every right that this run needs.",
    severity: Severity::Fail,
    requires: &["pre::api_live"],
    needs: &[
        Need::on("create", "authorization.k8s.io", "selfsubjectrulesreviews"),
        Need::on("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
    ],
    awaits: false,
    after: None,
    criterion: Criterion::Of("7.1"),
    why: "A right that is missing halfway stops the run with the node half in; now it costs nothing.",
    reasons: &[
        Reason::new(
            "RightMissing",
            "grant the named rights to the user of the kubeconfig, or use another: kubectl auth can-i --list",
        ),
        Reason::new(
            "RightOfWarningsMissing",
            "grant the named rights, or live without the checks that the evidence names: kubectl auth can-i --list",
        ),
    ],
    ask: ask!(permissions),
}];

/// Whether rules show a right.
fn shown(right: &Right, rules: &SubjectRulesReviewStatus) -> bool {
    if right.path {
        rules
            .non_resource_rules
            .iter()
            .any(|rule| path_in(right, rule))
    } else {
        rules
            .resource_rules
            .iter()
            .any(|rule| resource_in(right, rule))
    }
}

fn path_in(right: &Right, rule: &NonResourceRule) -> bool {
    has(Some(&rule.verbs), right.verb)
        && rule.non_resource_urls.iter().flatten().any(|url| {
            url == right.resource
                || url
                    .strip_suffix('*')
                    .is_some_and(|start| right.resource.starts_with(start))
        })
}

fn resource_in(right: &Right, rule: &ResourceRule) -> bool {
    let subresource = right.resource.split_once('/').map(|(_, sub)| sub);
    let resource = rule.resources.iter().flatten().any(|one| {
        one == "*"
            || one == right.resource
            || subresource.is_some_and(|sub| one.strip_prefix("*/") == Some(sub))
    });
    let names = rule.resource_names.as_deref().unwrap_or_default();
    resource
        && has(Some(&rule.verbs), right.verb)
        && has(rule.api_groups.as_ref(), right.group)
        && (names.is_empty() || (!right.name.is_empty() && names.contains(&right.name)))
}

fn question(right: &Right) -> Value {
    if right.path {
        return json!({"spec": {"nonResourceAttributes": {"path": right.resource, "verb": right.verb}}});
    }
    let (resource, subresource) = right
        .resource
        .split_once('/')
        .unwrap_or((right.resource, ""));
    // The server takes a Namespace as lying in itself.
    let namespace = if right.group.is_empty() && resource == "namespaces" {
        &right.name
    } else {
        &right.namespace
    };
    json!({"spec": {"resourceAttributes": {
        "namespace": namespace, "verb": right.verb, "group": right.group, "resource": resource,
        "subresource": subresource, "name": right.name,
    }}})
}

fn has(list: Option<&Vec<String>>, wanted: &str) -> bool {
    list.into_iter()
        .flatten()
        .any(|one| one == "*" || one == wanted)
}

async fn permissions(cx: &Context) -> Answer {
    #[derive(Deserialize)]
    struct Rules {
        status: SubjectRulesReviewStatus,
    }
    #[derive(Deserialize)]
    struct Access {
        status: Decision,
    }
    #[derive(Deserialize)]
    struct Decision {
        #[serde(default)]
        allowed: bool,
    }
    let extent = &cx.settings.extent;
    let wanted = needed(&cx.settings, extent);
    // What an onboarding needs beyond this run is said, and does not decide.
    let beyond: BTreeMap<Right, Wanted> = needed(&cx.settings, &Extent::Onboarding)
        .into_iter()
        .filter(|(right, _)| !wanted.contains_key(right))
        .collect();
    let namespaces: BTreeSet<&str> = wanted
        .keys()
        .chain(beyond.keys())
        .map(|right| right.namespace.as_str())
        .collect();
    let mut rules = BTreeMap::new();
    for namespace in namespaces {
        let asked = if namespace.is_empty() {
            NOWHERE
        } else {
            namespace
        };
        let question = json!({"spec": {"namespace": asked}});
        let answer: Rules = cx.view.review(RULES, &question).await?;
        rules.insert(namespace.to_owned(), answer.status);
    }
    let not_shown: Vec<(&Right, &Wanted)> = wanted
        .iter()
        .chain(&beyond)
        .filter(|(right, _)| {
            !rules
                .get(&right.namespace)
                .is_some_and(|rules| shown(right, rules))
        })
        .collect();
    let mut answers: Vec<(&Right, &Wanted, bool)> = Vec::new();
    for some in not_shown.chunks(AT_A_TIME) {
        let questions: Vec<Value> = some.iter().map(|(right, _)| question(right)).collect();
        let asked = questions
            .iter()
            .map(|question| cx.view.review::<Value, Access>(ACCESS, question));
        let said = try_join_all(asked).await?;
        answers.extend(
            some.iter()
                .zip(said)
                .map(|((right, wanted), said)| (*right, *wanted, said.status.allowed)),
        );
    }
    let (missing, later): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .filter(|(.., allowed)| !allowed)
        .partition(|(right, ..)| wanted.contains_key(*right));
    let told = |(right, wanted, _): &(&Right, &Wanted, bool)| {
        let by: Vec<&str> = wanted.by.iter().copied().collect();
        format!("{right}: for {}", by.join(", "))
    };
    let named = |decisive: bool| -> Vec<String> {
        missing
            .iter()
            .filter(|(_, wanted, _)| wanted.decisive == decisive)
            .map(|(right, ..)| right.to_string())
            .collect()
    };
    let (decisive, others) = (named(true), named(false));
    Ok(if !decisive.is_empty() {
        Verdict::fail("RightMissing", format!("may not {}", decisive.join("; ")))
    } else if !others.is_empty() {
        Verdict::warn(
            "RightOfWarningsMissing",
            format!("may not {}", others.join("; ")),
        )
    } else if later.is_empty() {
        Verdict::pass(format!(
            "all {} rights are there",
            wanted.len() + beyond.len()
        ))
    } else {
        Verdict::pass(format!(
            "all {} rights of this run are there; an onboarding needs {} more",
            wanted.len(),
            later.len()
        ))
    }
    .saw_all(missing.iter().map(told))
    .saw_all(
        later
            .iter()
            .map(|one| format!("missing for an onboarding: {}", told(one))),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Settings,
        testing::{Fixture, check},
    };

    fn rules(resource_rules: Value, paths: Value) -> Value {
        json!({"status": {"incomplete": false, "resourceRules": resource_rules, "nonResourceRules": paths}})
    }

    async fn ask(resource_rules: Value, paths: Value, single: bool) -> Verdict {
        Fixture::new()
            .review(RULES, rules(resource_rules, paths))
            .review(ACCESS, json!({"status": {"allowed": single}}))
            .ask(check("pre::permissions"))
            .await
    }

    fn all_paths() -> Value {
        json!([{"verbs": ["get"], "nonResourceURLs": ["/*"]}])
    }

    #[tokio::test]
    async fn a_wildcard_covers_everything_without_single_questions() {
        let everything = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
        // Single reviews say no, and are not asked.
        let verdict = ask(everything, all_paths(), false).await;
        assert_eq!(verdict.reason(), "", "{}", verdict.message());
    }

    #[tokio::test]
    async fn missing_rights_are_named_with_who_needs_them() {
        let reading = json!([{"verbs": ["get", "list", "watch", "create"], "apiGroups": ["*"], "resources": ["*"]}]);
        let verdict = ask(reading, all_paths(), false).await;
        assert_eq!(verdict.reason(), "RightMissing");
        assert!(
            verdict.message().contains("patch nodes"),
            "{}",
            verdict.message()
        );
        assert!(
            verdict.message().contains(
                "patch kustomizations.kustomize.toolkit.fluxcd.io infrastructure-storage in namespace flux-system"
            ),
            "{}",
            verdict.message()
        );
        assert!(!verdict.message().contains("list"), "{}", verdict.message());
        assert!(
            verdict
                .evidence()
                .iter()
                .any(|line| line == "patch nodes k3s2: for join::label")
        );
    }

    #[tokio::test]
    async fn what_the_rules_do_not_show_is_asked_for_singly() {
        let verdict = ask(json!([]), json!([]), true).await;
        assert_eq!(verdict.reason(), "", "{}", verdict.message());
        let verdict = ask(json!([]), json!([]), false).await;
        assert_eq!(verdict.reason(), "RightMissing");
        assert!(verdict.message().contains("get /readyz"));
    }

    #[test]
    fn a_rule_for_named_objects_counts_only_for_these() {
        let settings = Settings::default();
        let rule = |names: &[&str]| -> SubjectRulesReviewStatus {
            serde_json::from_value(json!({
                "incomplete": false, "nonResourceRules": [],
                "resourceRules": [{
                    "verbs": ["patch", "get", "list"], "apiGroups": ["", "longhorn.io"],
                    "resources": ["nodes", "secrets", "*/proxy"], "resourceNames": names,
                }],
            }))
            .unwrap()
        };
        let right = |need: Need| Right::of(&need, &settings).unwrap();
        let patch = right(Need::verb("patch", &kinds::NODES));
        assert!(shown(&patch, &rule(&["k3s2"])));
        assert!(!shown(&patch, &rule(&["k3s1"])));
        let list = right(Need::list(&kinds::NODES));
        assert!(!shown(&list, &rule(&["k3s2"])));
        assert!(shown(&list, &rule(&[])));
        let proxy = right(Need::on("get", "", "nodes/proxy"));
        assert!(shown(&proxy, &rule(&[])));
        let pods = right(Need::list(&kinds::PODS));
        assert!(!shown(&pods, &rule(&[])));
    }

    #[tokio::test]
    async fn a_right_that_only_a_warning_needs_does_not_stop_the_run() {
        let some = json!([{
            "verbs": ["get", "list", "create"], "apiGroups": ["", "authorization.k8s.io"], "resources": ["*"],
        }]);
        let mut cx = Fixture::new()
            .review(RULES, rules(some, all_paths()))
            .review(ACCESS, json!({"status": {"allowed": false}}))
            .context();
        cx.settings = std::sync::Arc::new(Settings {
            extent: Extent::of(["pre::pending_csrs"], [], false),
            ..Settings::default()
        });
        let verdict = permissions(&cx).await.unwrap_or_else(Verdict::from);
        assert_eq!(
            (verdict.outcome().name(), verdict.reason()),
            ("warn", "RightOfWarningsMissing"),
            "{verdict:?}"
        );
        assert!(
            verdict
                .message()
                .contains("list certificatesigningrequests.certificates.k8s.io"),
            "{verdict:?}"
        );
    }

    #[tokio::test]
    async fn what_only_an_onboarding_needs_does_not_decide_an_inspection() {
        let reading = json!([{"verbs": ["get", "list"], "apiGroups": ["*"], "resources": ["*"]}]);
        let questions =
            json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["*"]});
        let mut rules_of_reader = reading.clone();
        if let Some(all) = rules_of_reader.as_array_mut() {
            all.push(questions);
        }
        let settings = Settings {
            extent: Extent::of(["storage::node_ready"], [], false),
            ..Settings::default()
        };
        let mut cx = Fixture::new()
            .review(RULES, rules(rules_of_reader, all_paths()))
            .review(ACCESS, json!({"status": {"allowed": false}}))
            .context();
        cx.settings = std::sync::Arc::new(settings);
        let verdict = permissions(&cx).await.unwrap_or_else(Verdict::from);
        assert_eq!(verdict.reason(), "", "{}", verdict.message());
        assert!(
            verdict.message().contains("an onboarding needs"),
            "{}",
            verdict.message()
        );
        let line = "missing for an onboarding: patch nodes k3s2: for join::label";
        assert!(
            verdict.evidence().iter().any(|one| one == line),
            "{:?}",
            verdict.evidence()
        );
    }
}
