//! Who may do what: the Node authorizer for kubelets, then RBAC as the objects say.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    auth::User,
    call::Call,
    node_authorizer,
    refusal::Refusal,
    selector::{FieldSelector, LabelSelector},
    store::Store,
};

/// What somebody wants to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Set for a path that is no resource.
    pub(crate) path: Option<String>,
    pub(crate) fields: FieldSelector,
}

/// Whether it is allowed, and by what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
}

impl Attributes {
    pub(crate) fn of(call: &Call) -> Self {
        let fields = call
            .query
            .get("fieldSelector")
            .and_then(|text| FieldSelector::parse(text).ok())
            .unwrap_or_default();
        let mut name = call.name.clone();
        if name.is_empty()
            && matches!(call.verb.as_str(), "list" | "watch" | "deletecollection")
            && let Some(exact) = fields.exact("metadata.name")
        {
            exact.clone_into(&mut name);
        }
        Self {
            verb: call.verb.clone(),
            group: call.group.clone(),
            resource: call.resource.clone(),
            subresource: call.subresource.clone(),
            namespace: call.namespace.clone(),
            name,
            path: (!call.is_resource()).then(|| call.path.clone()),
            fields,
        }
    }

    fn resource_path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// The refusal in the words of the real server.
    pub(crate) fn refusal(&self, user: &User) -> Refusal {
        if let Some(path) = &self.path {
            return Refusal::forbidden(
                "",
                "",
                "",
                &format!(
                    "User \"{}\" cannot {} path \"{path}\"",
                    user.name, self.verb
                ),
            );
        }
        let scope = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{}\"", self.namespace)
        };
        let why = format!(
            "User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {scope}",
            user.name,
            self.verb,
            self.resource_path(),
            self.group,
        );
        Refusal::forbidden(&self.group, &self.resource, &self.name, &why)
    }
}

/// Decides.
pub(crate) fn authorize(store: &Store, user: &User, attributes: &Attributes) -> Decision {
    if user.groups.iter().any(|g| g == "system:masters") {
        return Decision {
            allowed: true,
            reason: String::new(),
        };
    }
    if let Some(node) = node_authorizer::node_of(user)
        && store.authorizes_nodes()
        && node_authorizer::allows(store, node, attributes)
    {
        return Decision {
            allowed: true,
            reason: String::new(),
        };
    }
    let mut found = Decision::default();
    visit_rules(store, user, &attributes.namespace, &mut |rule, source| {
        if rule_allows(rule, attributes) {
            found = Decision {
                allowed: true,
                reason: format!("RBAC: allowed by {source}"),
            };
        }
        !found.allowed
    });
    found
}

/// Calls `visit` with every rule that applies to a user in a namespace (cluster-wide rules always), until it says no.
pub(crate) fn visit_rules(
    store: &Store,
    user: &User,
    namespace: &str,
    visit: &mut dyn FnMut(&Value, &str) -> bool,
) {
    for binding in store.all(GROUP, "clusterrolebindings", "") {
        if let Some(subject) = bound_subject(&binding, user, "") {
            let role = binding["roleRef"]["name"].as_str().unwrap_or_default();
            let name = binding["metadata"]["name"].as_str().unwrap_or_default();
            let source =
                format!("ClusterRoleBinding \"{name}\" of ClusterRole \"{role}\" to {subject}");
            for rule in cluster_role_rules(store, role) {
                if !visit(&rule, &source) {
                    return;
                }
            }
        }
    }
    if namespace.is_empty() {
        return;
    }
    for binding in store.all(GROUP, "rolebindings", namespace) {
        let Some(subject) = bound_subject(&binding, user, namespace) else {
            continue;
        };
        let role = binding["roleRef"]["name"].as_str().unwrap_or_default();
        let kind = binding["roleRef"]["kind"].as_str().unwrap_or_default();
        let name = binding["metadata"]["name"].as_str().unwrap_or_default();
        let source =
            format!("RoleBinding \"{name}/{namespace}\" of {kind} \"{role}\" to {subject}");
        let rules = if kind == "ClusterRole" {
            cluster_role_rules(store, role)
        } else {
            let resource = store.registry.find(GROUP, "roles");
            resource
                .and_then(|r| store.get(&r, namespace, role))
                .map(|r| rules_of(&r))
                .unwrap_or_default()
        };
        for rule in rules {
            if !visit(&rule, &source) {
                return;
            }
        }
    }
}

const GROUP: &str = "rbac.authorization.k8s.io";

fn rules_of(role: &Arc<Value>) -> Vec<Value> {
    role["rules"].as_array().cloned().unwrap_or_default()
}

/// The rules of a ClusterRole. An aggregated one has the rules of those that it selects, whatever it says itself.
fn cluster_role_rules(store: &Store, name: &str) -> Vec<Value> {
    let Some(resource) = store.registry.find(GROUP, "clusterroles") else {
        return Vec::new();
    };
    let Some(role) = store.get(&resource, "", name) else {
        return Vec::new();
    };
    aggregated_rules(store, &role, 0)
}

/// The rules of a ClusterRole with its aggregation resolved.
pub(crate) fn aggregated_rules(store: &Store, role: &Arc<Value>, depth: u8) -> Vec<Value> {
    let Some(selectors) = role["aggregationRule"]["clusterRoleSelectors"].as_array() else {
        return rules_of(role);
    };
    if depth > 4 {
        return rules_of(role);
    }
    let selectors: Vec<LabelSelector> = selectors.iter().map(LabelSelector::from_object).collect();
    let mut rules = Vec::new();
    for other in store.all(GROUP, "clusterroles", "") {
        if other["metadata"]["name"] != role["metadata"]["name"]
            && selectors.iter().any(|s| s.matches(&other))
        {
            rules.extend(aggregated_rules(store, &other, depth + 1));
        }
    }
    rules
}

fn bound_subject(binding: &Value, user: &User, namespace: &str) -> Option<String> {
    binding["subjects"].as_array()?.iter().find_map(|subject| {
        let name = subject["name"].as_str()?;
        match subject["kind"].as_str()? {
            "User" if name == user.name => Some(format!("User \"{name}\"")),
            "Group" if user.groups.iter().any(|g| g == name) => Some(format!("Group \"{name}\"")),
            "ServiceAccount" => {
                let of = subject["namespace"].as_str().unwrap_or(namespace);
                (user.name == format!("system:serviceaccount:{of}:{name}"))
                    .then(|| format!("ServiceAccount \"{name}/{of}\""))
            }
            _ => None,
        }
    })
}

fn holds(list: &Value, wanted: &str) -> bool {
    list.as_array()
        .is_some_and(|list| list.iter().any(|v| v == "*" || v == wanted))
}

/// Whether one rule allows what is asked.
pub(crate) fn rule_allows(rule: &Value, attributes: &Attributes) -> bool {
    if !holds(&rule["verbs"], &attributes.verb) {
        return false;
    }
    if let Some(path) = &attributes.path {
        return rule["nonResourceURLs"].as_array().is_some_and(|urls| {
            urls.iter()
                .filter_map(Value::as_str)
                .any(|url| match url.strip_suffix('*') {
                    Some(prefix) => path.starts_with(prefix),
                    None => url == path,
                })
        });
    }
    let resource = attributes.resource_path();
    let resource_matches = rule["resources"].as_array().is_some_and(|resources| {
        resources.iter().filter_map(Value::as_str).any(|r| {
            r == "*"
                || r == resource
                || (!attributes.subresource.is_empty()
                    && r.strip_prefix("*/") == Some(attributes.subresource.as_str()))
        })
    });
    let names = rule["resourceNames"]
        .as_array()
        .filter(|names| !names.is_empty());
    holds(&rule["apiGroups"], &attributes.group)
        && resource_matches
        && names.is_none_or(|names| {
            names
                .iter()
                .any(|n| n.as_str() == Some(attributes.name.as_str()))
        })
}

/// The answer of a SelfSubjectRulesReview.
pub(crate) fn rules_review(store: &Store, user: &User, namespace: &str) -> Value {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    let mut take = |rule: &Value| {
        if rule["nonResourceURLs"]
            .as_array()
            .is_some_and(|u| !u.is_empty())
        {
            paths.push(
                json!({ "verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"] }),
            );
        }
        if rule["resources"].as_array().is_some_and(|r| !r.is_empty()) {
            let mut entry = json!({ "verbs": rule["verbs"], "apiGroups": rule["apiGroups"], "resources": rule["resources"] });
            if let Some(names) = rule.get("resourceNames") {
                entry["resourceNames"] = names.clone();
            }
            resources.push(entry);
        }
    };
    visit_rules(store, user, namespace, &mut |rule, _| {
        take(rule);
        true
    });
    let incomplete = node_authorizer::node_of(user).is_some();
    let mut status =
        json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": incomplete });
    if incomplete {
        status["evaluationError"] = "node authorizer does not support user rule resolution".into();
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(objects: Vec<Value>) -> Store {
        let store = Store::new();
        store.load(objects).expect("objects");
        store
    }

    fn role(name: &str, labels: Value, rules: Value) -> Value {
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": name, "labels": labels }, "rules": rules })
    }

    fn binding(kind: &str, namespace: Option<&str>, role: &str, subject: Value) -> Value {
        let mut binding = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": { "name": "b" }, "subjects": [subject],
            "roleRef": { "kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io" } });
        if let Some(namespace) = namespace {
            binding["metadata"]["namespace"] = namespace.into();
        }
        binding
    }

    fn wants(verb: &str, resource: &str, namespace: &str, name: &str) -> Attributes {
        Attributes {
            verb: verb.into(),
            resource: resource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..Attributes::default()
        }
    }

    #[test]
    fn a_role_binding_reaches_its_namespace_only() {
        let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"] }]);
        let subject = json!({ "kind": "ServiceAccount", "name": "reader", "namespace": "tools" });
        let store = store(vec![
            role("see", json!({}), rules),
            binding("RoleBinding", Some("apps"), "see", subject),
        ]);
        let user = User::service_account("tools", "reader", "1");
        assert!(authorize(&store, &user, &wants("list", "pods", "apps", "")).allowed);
        assert!(!authorize(&store, &user, &wants("list", "pods", "tools", "")).allowed);
        assert!(!authorize(&store, &user, &wants("list", "pods", "", "")).allowed);
        assert!(!authorize(&store, &user, &wants("delete", "pods", "apps", "a")).allowed);
    }

    #[test]
    fn aggregated_roles_have_the_rules_of_those_they_select() {
        let rules = json!([{ "apiGroups": [""], "resources": ["nodes"], "resourceNames": ["a"], "verbs": ["*"] }]);
        let mut all = role("all", json!({}), json!([]));
        all["aggregationRule"] =
            json!({ "clusterRoleSelectors": [{ "matchLabels": { "part": "all" } }] });
        let subject = json!({ "kind": "Group", "name": "team" });
        let store = store(vec![
            role("part", json!({ "part": "all" }), rules),
            all,
            binding("ClusterRoleBinding", None, "all", subject),
        ]);
        let user = User::new("eve", &["team"]);
        assert!(authorize(&store, &user, &wants("delete", "nodes", "", "a")).allowed);
        let refused = wants("list", "nodes", "", "");
        assert!(!authorize(&store, &user, &refused).allowed);
        assert_eq!(
            refused.refusal(&user).message,
            "nodes is forbidden: User \"eve\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
        );
    }

    #[test]
    fn masters_pass_and_strangers_do_not() {
        let store = Store::new();
        let wanted = wants("delete", "nodes", "", "a");
        assert!(authorize(&store, &User::new("root", &["system:masters"]), &wanted).allowed);
        assert!(!authorize(&store, &User::new("eve", &[]), &wanted).allowed);
    }

    #[test]
    fn paths_match_by_prefix() {
        let rule = json!({ "verbs": ["get"], "nonResourceURLs": ["/healthz", "/api/*"] });
        let at = |path: &str| Attributes {
            verb: "get".into(),
            path: Some(path.into()),
            ..Attributes::default()
        };
        assert!(rule_allows(&rule, &at("/api/v1")));
        assert!(rule_allows(&rule, &at("/healthz")));
        assert!(!rule_allows(&rule, &at("/healthz/etcd")));
    }
}
