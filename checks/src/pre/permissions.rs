//! `pre`, rights: may the user of the kubeconfig do all that this run will ask for and change?
//!
//! One rules review a namespace shows most of it at once. Rules may be incomplete and may name single objects, so what
//! they do not show is asked for one by one before it is called missing.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::authorization::v1::{
    NonResourceRule, ResourceRule, SubjectRulesReviewStatus,
};
use reports::model::Severity;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Settings, Verdict, ask, catalogue, kinds,
    probe, view::ReadError,
};

const RULES: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// A namespace that nobody has (its name is longer than the 63 characters that are allowed): what a rules review shows
/// for it holds in the whole cluster.
const NOWHERE: &str = "a-namespace-that-cannot-exist-because-its-name-is-longer-than-allowed";

/// Who needs the rights of the lock: no action, the run itself.
pub const LOCK: &str = "the lock";

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

/// One right in one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    /// Empty for the whole cluster.
    namespace: String,
    verb: &'static str,
    group: &'static str,
    /// Plural with subresource, or the path.
    resource: &'static str,
    /// The one object that is meant, empty for all.
    name: String,
    path: bool,
}

/// Who needs a right.
#[derive(Clone, Debug, Default)]
struct Wanted {
    by: BTreeSet<&'static str>,
    /// Whether something rests on it whose absence would stop the run.
    decisive: bool,
}

impl Right {
    /// Where a need is used: the places that checks and actions look at are few and known from the settings.
    fn of(need: &Need, settings: &Settings) -> Option<Self> {
        let (verb, group, resource) = match need {
            Need::Repository => return None,
            Need::Path(path) => {
                return Some(Self {
                    namespace: String::new(),
                    verb: "get",
                    group: "",
                    resource: path,
                    name: String::new(),
                    path: true,
                });
            }
            Need::Resource {
                verb,
                group,
                resource,
            } => (*verb, *group, *resource),
        };
        let single = !matches!(verb, "list" | "watch" | "create");
        let flux = group.ends_with(".fluxcd.io");
        let (namespace, name) = match resource {
            "gitrepositories" if flux && single => (
                settings.flux.namespace.clone(),
                settings.flux.source.clone(),
            ),
            "kustomizations" if flux && single => (
                settings.flux.namespace.clone(),
                settings.flux.kustomization.clone(),
            ),
            "secrets" if verb == "get" => (
                "kube-system".into(),
                format!("{}.node-password.k3s", settings.node.name),
            ),
            "nodes" if group.is_empty() && verb == "patch" => {
                (String::new(), settings.node.name.clone())
            }
            "leases" if group == kinds::LEASES.group && verb != "list" && verb != "watch" => {
                let name = if verb == "create" {
                    String::new()
                } else {
                    format!("onboarding-{}", settings.node.name)
                };
                (settings.lock.namespace.clone(), name)
            }
            // What actions make for themselves lies in one namespace.
            "pods" | "persistentvolumeclaims" if matches!(verb, "create" | "delete") => {
                (settings.probe.namespace.clone(), String::new())
            }
            "namespaces" if single => (String::new(), settings.probe.namespace.clone()),
            "configmaps" if verb == "get" => ("kube-system".into(), String::new()),
            "services" if verb == "get" => ("default".into(), "kubernetes".into()),
            "services/proxy" => (settings.monitoring.namespace.clone(), String::new()),
            _ if group == kinds::LONGHORN_NODES.group => {
                (settings.longhorn.namespace.clone(), String::new())
            }
            _ => (String::new(), String::new()),
        };
        Some(Self {
            namespace,
            verb,
            group,
            resource,
            name,
            path: false,
        })
    }

    /// Whether rules show it.
    fn shown_by(&self, rules: &SubjectRulesReviewStatus) -> bool {
        if self.path {
            rules
                .non_resource_rules
                .iter()
                .any(|rule| self.path_in(rule))
        } else {
            rules
                .resource_rules
                .iter()
                .any(|rule| self.resource_in(rule))
        }
    }

    fn path_in(&self, rule: &NonResourceRule) -> bool {
        has(Some(&rule.verbs), self.verb)
            && rule.non_resource_urls.iter().flatten().any(|url| {
                url == self.resource
                    || url
                        .strip_suffix('*')
                        .is_some_and(|start| self.resource.starts_with(start))
            })
    }

    fn resource_in(&self, rule: &ResourceRule) -> bool {
        let subresource = self.resource.split_once('/').map(|(_, sub)| sub);
        let resource = rule.resources.iter().flatten().any(|one| {
            one == "*"
                || one == self.resource
                || subresource.is_some_and(|sub| one.strip_prefix("*/") == Some(sub))
        });
        let names = rule.resource_names.as_deref().unwrap_or_default();
        resource
            && has(Some(&rule.verbs), self.verb)
            && has(rule.api_groups.as_ref(), self.group)
            && (names.is_empty() || (!self.name.is_empty() && names.contains(&self.name)))
    }

    fn question(&self) -> Value {
        if self.path {
            return json!({"spec": {"nonResourceAttributes": {"path": self.resource, "verb": self.verb}}});
        }
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        json!({"spec": {"resourceAttributes": {
            "namespace": self.namespace, "verb": self.verb, "group": self.group, "resource": resource,
            "subresource": subresource, "name": self.name,
        }}})
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.namespace.is_empty() {
            write!(f, " in namespace {}", self.namespace)?;
        }
        Ok(())
    }
}

fn has(list: Option<&Vec<String>>, wanted: &str) -> bool {
    list.into_iter()
        .flatten()
        .any(|one| one == "*" || one == wanted)
}

/// Every right that a whole run needs: of all checks of the catalogue, of waiting (which watches what it lists), and
/// of the actions.
fn wanted(settings: &Settings) -> BTreeMap<Right, Wanted> {
    let mut all: BTreeMap<Right, Wanted> = BTreeMap::new();
    let mut add = |need: &Need, by: &'static str, decisive: bool| {
        if let Some(right) = Right::of(need, settings) {
            let wanted = all.entry(right).or_default();
            wanted.by.insert(by);
            wanted.decisive |= decisive;
        }
    };
    for check in catalogue::all() {
        let decisive = check.severity == Severity::Fail;
        for need in check.needs {
            add(need, check.id, decisive);
            if let (
                true,
                Need::Resource {
                    verb: "list",
                    group,
                    resource,
                },
            ) = (check.awaits, need)
            {
                add(&Need::on("watch", group, resource), check.id, decisive);
            }
        }
    }
    for (action, need) in ACTION_NEEDS {
        if *action == LOCK && !settings.lock.lease {
            continue;
        }
        add(need, action, true);
    }
    all
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
    let wanted = wanted(&cx.settings);
    let namespaces: BTreeSet<&str> = wanted
        .keys()
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
    let mut missing: Vec<(&Right, &Wanted)> = Vec::new();
    for (right, by) in &wanted {
        let shown = rules
            .get(&right.namespace)
            .is_some_and(|rules| right.shown_by(rules));
        if shown {
            continue;
        }
        let answer: Result<Access, ReadError> = cx.view.review(ACCESS, &right.question()).await;
        if !answer?.status.allowed {
            missing.push((right, by));
        }
    }
    let evidence: Vec<String> = missing
        .iter()
        .map(|(right, wanted)| {
            let by: Vec<&str> = wanted.by.iter().copied().collect();
            format!("{right}: for {}", by.join(", "))
        })
        .collect();
    let named = |decisive: bool| -> Vec<String> {
        missing
            .iter()
            .filter(|(_, wanted)| wanted.decisive == decisive)
            .map(|(right, _)| right.to_string())
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
    } else {
        Verdict::pass(format!("all {} rights are there", wanted.len()))
    }
    .saw_all(evidence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fixture, check};

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
                "patch kustomizations.kustomize.toolkit.fluxcd.io in namespace flux-system"
            ),
            "{}",
            verdict.message()
        );
        assert!(!verdict.message().contains("list"), "{}", verdict.message());
        assert!(
            verdict
                .evidence()
                .iter()
                .any(|line| line == "patch nodes: for join::label")
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
        assert!(patch.shown_by(&rule(&["k3s2"])));
        assert!(!patch.shown_by(&rule(&["k3s1"])));
        let list = right(Need::list(&kinds::NODES));
        assert!(!list.shown_by(&rule(&["k3s2"])));
        assert!(list.shown_by(&rule(&[])));
        let proxy = right(Need::on("get", "", "nodes/proxy"));
        assert!(proxy.shown_by(&rule(&[])));
        let pods = right(Need::list(&kinds::PODS));
        assert!(!pods.shown_by(&rule(&[])));
    }

    #[test]
    fn waiting_needs_watch_as_well() {
        let all = wanted(&Settings::default());
        assert!(all.keys().any(|right| right.verb == "watch"
            && right.resource == "nodes"
            && right.group.is_empty()));
        let of_actions: BTreeSet<&str> = ACTION_NEEDS.iter().map(|(action, _)| *action).collect();
        let named: BTreeSet<&str> = all
            .values()
            .flat_map(|wanted| wanted.by.iter().copied())
            .collect();
        assert!(of_actions.is_subset(&named));
    }
}
