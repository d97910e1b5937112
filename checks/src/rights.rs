//! Which rights a run uses, and where: from what checks and actions declare.
//!
//! [`pre::permissions`](crate::pre::permissions) asks the API server for them before anything is changed, and
//! `--rbac` prints the roles that hold exactly these.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Check, Named, Need, Place, Settings, Spot, catalogue,
    cluster::Asked,
    kinds,
    pre::permissions::{ACTION_NEEDS, LOCK},
};

/// Who needs what every run reads: which cluster this is, which versions it serves, which node is the control plane.
pub const EVERY_RUN: &str = "every run";

const EVERY_RUN_NEEDS: &[Need] = &[
    Need::Path("/version"),
    Need::Path("/apis"),
    Need::get(&kinds::NAMESPACES).at(Place::Object(Spot::Cluster, Named::Fixed("kube-system"))),
    Need::list(&kinds::NODES),
    // The pods that try the network ask where they run.
    Need::get(&kinds::NODES).at(Place::Object(Spot::Cluster, Named::ControlPlane)),
];

/// What every user who has a name may do in a cluster with Kubernetes' own roles (`system:discovery`,
/// `system:public-info-viewer`, `system:basic-user`).
/// <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#discovery-roles>
pub const EVERYBODY: &[Need] = &[
    Need::Path("/apis"),
    Need::Path("/livez"),
    Need::Path("/readyz"),
    Need::Path("/version"),
    Need::on("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
    Need::on("create", "authorization.k8s.io", "selfsubjectrulesreviews"),
];

/// One right in one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Empty for the whole cluster.
    pub namespace: String,
    /// Group, empty for core and for paths.
    pub group: &'static str,
    /// Plural with subresource, or the path.
    pub resource: &'static str,
    /// Verb.
    pub verb: &'static str,
    /// The one object that is meant, empty for all.
    pub name: String,
    /// Whether it is a path that is no resource.
    pub path: bool,
}

impl Right {
    /// Where a need is used. Nothing for what is no right in the cluster.
    #[must_use]
    pub fn of(need: &Need, settings: &Settings) -> Option<Self> {
        let (verb, group, resource, place) = match need {
            Need::Repository => return None,
            Need::Path(path) => {
                return Some(Self {
                    namespace: String::new(),
                    group: "",
                    resource: path,
                    verb: "get",
                    name: String::new(),
                    path: true,
                });
            }
            Need::Resource {
                verb,
                group,
                resource,
                place,
            } => (*verb, *group, *resource, *place),
        };
        let place = match place {
            Place::Usual => usual(verb, group, resource),
            place => place,
        };
        let (namespace, name) = match place {
            Place::Usual | Place::Everywhere => (String::new(), String::new()),
            Place::In(spot) => (namespace(spot, settings), String::new()),
            Place::Object(spot, named) => (namespace(spot, settings), name(named, settings)),
        };
        Some(Self {
            namespace,
            group,
            resource,
            verb,
            name,
            path: false,
        })
    }

    /// Whether this right is part of another one.
    #[must_use]
    pub fn is_in(&self, other: &Self) -> bool {
        let same = self.verb == other.verb
            && self.group == other.group
            && self.resource == other.resource
            && self.path == other.path;
        same && (other.namespace.is_empty() || other.namespace == self.namespace)
            && (other.name.is_empty() || other.name == self.name)
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        if !self.namespace.is_empty() {
            write!(f, " in namespace {}", self.namespace)?;
        }
        Ok(())
    }
}

/// Where a right is used unless its need says otherwise.
fn usual(verb: &str, group: &str, resource: &str) -> Place {
    let single = !matches!(verb, "list" | "watch" | "create" | "deletecollection");
    match (group, resource) {
        ("source.toolkit.fluxcd.io", "gitrepositories") if single => {
            Place::Object(Spot::Flux, Named::Source)
        }
        ("kustomize.toolkit.fluxcd.io", "kustomizations") if single => {
            Place::Object(Spot::Flux, Named::Kustomization)
        }
        ("longhorn.io", _) => Place::In(Spot::Longhorn),
        // The lock is made, looked at and renewed. Who reads the Lease of a kubelet says so.
        ("coordination.k8s.io", "leases") if verb == "create" => Place::In(Spot::Lock),
        ("coordination.k8s.io", "leases") if single => Place::Object(Spot::Lock, Named::Lock),
        ("" | "metrics.k8s.io", "nodes") | ("", "nodes/proxy") if single => {
            Place::Object(Spot::Cluster, Named::Node)
        }
        ("", "services/proxy") => Place::In(Spot::Monitoring),
        // What actions make for themselves lies in one namespace.
        ("", "pods" | "persistentvolumeclaims") if matches!(verb, "create" | "delete") => {
            Place::In(Spot::Probes)
        }
        ("", "namespaces") if single => Place::Object(Spot::Cluster, Named::Probes),
        // One Secret is looked at, watched and deleted; who reads others says so.
        ("", "secrets") if verb != "list" => Place::Object(Spot::KubeSystem, Named::NodePassword),
        ("", "configmaps") if verb == "get" => Place::In(Spot::KubeSystem),
        ("", "services") if verb == "get" => {
            Place::Object(Spot::Default, Named::Fixed("kubernetes"))
        }
        _ => Place::Everywhere,
    }
}

fn namespace(spot: Spot, settings: &Settings) -> String {
    match spot {
        Spot::Cluster => "",
        Spot::KubeSystem => "kube-system",
        Spot::NodeLeases => "kube-node-lease",
        Spot::Flux => &settings.flux.namespace,
        Spot::Longhorn => &settings.longhorn.namespace,
        Spot::Monitoring => &settings.monitoring.namespace,
        Spot::Probes => &settings.probe.namespace,
        Spot::Default => "default",
        Spot::Lock => &settings.lock.namespace,
    }
    .to_owned()
}

fn name(named: Named, settings: &Settings) -> String {
    match named {
        Named::Node => settings.node.name.clone(),
        Named::ControlPlane => settings.node.control_plane.clone(),
        Named::NodePassword => format!("{}.node-password.k3s", settings.node.name),
        Named::Source => settings.flux.source.clone(),
        Named::Kustomization => settings.flux.kustomization.clone(),
        Named::Lock => format!("onboarding-{}", settings.node.name),
        Named::Probes => settings.probe.namespace.clone(),
        Named::Fixed(name) => name.to_owned(),
    }
}

/// What a run takes up. Given by the program, since checks do not know how they were selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// An onboarding: all checks, all actions, waits.
    #[default]
    Onboarding,
    /// Some of it.
    Of {
        /// Ids of checks, what they require included.
        checks: BTreeSet<&'static str>,
        /// Ids of actions.
        actions: BTreeSet<&'static str>,
        /// Whether it waits for what is not yet so.
        waits: bool,
    },
}

impl Extent {
    /// A selection, completed by the checks that it rests on: these are asked too, silently.
    #[must_use]
    pub fn of(
        checks: impl IntoIterator<Item = &'static str>,
        actions: impl IntoIterator<Item = &'static str>,
        waits: bool,
    ) -> Self {
        let mut open: Vec<&'static str> = checks.into_iter().collect();
        let mut whole = BTreeSet::new();
        while let Some(id) = open.pop() {
            if whole.insert(id) {
                let rests_on = catalogue::find(id).map_or(&[][..], |check| check.requires);
                open.extend(rests_on.iter().copied());
            }
        }
        Self::Of {
            checks: whole,
            actions: actions.into_iter().collect(),
            waits,
        }
    }

    fn takes(&self, check: &Check) -> bool {
        match self {
            Self::Onboarding => true,
            Self::Of { checks, .. } => checks.contains(check.id),
        }
    }

    /// Whether rights of this action, or of what every run with actions does, are used.
    fn acts(&self, action: &str) -> bool {
        match self {
            Self::Onboarding => true,
            Self::Of { actions, .. } if action.contains("::") => actions.contains(action),
            Self::Of { actions, .. } => !actions.is_empty(),
        }
    }

    fn waits(&self) -> bool {
        match self {
            Self::Onboarding => true,
            Self::Of { waits, actions, .. } => *waits || !actions.is_empty(),
        }
    }
}

/// Who needs a right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Ids of checks and actions.
    pub by: BTreeSet<&'static str>,
    /// Whether something rests on it whose absence would stop the run.
    pub decisive: bool,
}

/// Every right that a run uses: of its checks, of waiting (which watches what it reads), and of its actions.
#[must_use]
pub fn needed(settings: &Settings, extent: &Extent) -> BTreeMap<Right, Wanted> {
    let mut all: BTreeMap<Right, Wanted> = BTreeMap::new();
    let mut add = |need: &Need, by: &'static str, decisive: bool| {
        if let Some(right) = Right::of(need, settings) {
            let wanted = all.entry(right).or_default();
            wanted.by.insert(by);
            wanted.decisive |= decisive;
        }
    };
    for need in EVERY_RUN_NEEDS {
        add(need, EVERY_RUN, true);
    }
    for check in catalogue::all().filter(|check| extent.takes(check)) {
        let decisive = check.severity == reports::model::Severity::Fail;
        for need in check.needs {
            add(need, check.id, decisive);
            if check.awaits && extent.waits() {
                for live in live(need) {
                    add(&live, check.id, decisive);
                }
            }
        }
    }
    for (action, need) in ACTION_NEEDS.iter().filter(|(id, _)| extent.acts(id)) {
        if *action == LOCK {
            // Not read through a view, and not taken where the configuration says so.
            if settings.lock.lease {
                add(need, action, true);
            }
            continue;
        }
        add(need, action, true);
        for live in live(need) {
            add(&live, action, true);
        }
    }
    for (by, need) in &settings.besides {
        add(need, by, false);
    }
    all
}

/// Every right that these needs come to, with the lock that whatever writes takes. A run also reads what every run
/// reads, and waits.
#[must_use]
pub fn needed_by<'a>(
    needs: impl Iterator<Item = &'a Need>,
    by: &'static str,
    run: bool,
    settings: &Settings,
) -> BTreeMap<Right, Wanted> {
    let mut all: BTreeMap<Right, Wanted> = BTreeMap::new();
    let mut add = |need: &Need| {
        if let Some(right) = Right::of(need, settings) {
            let wanted = all.entry(right).or_default();
            wanted.by.insert(by);
            wanted.decisive = true;
        }
    };
    if run {
        EVERY_RUN_NEEDS.iter().for_each(&mut add);
    }
    for need in needs {
        add(need);
        if run {
            live(need).iter().for_each(&mut add);
        }
    }
    if settings.lock.lease {
        let lock = ACTION_NEEDS.iter().filter(|(id, _)| *id == LOCK);
        lock.for_each(|(_, need)| add(need));
    }
    all
}

/// What a live view does for a need: it lists and watches what a snapshot lists or gets.
fn live(need: &Need) -> Vec<Need> {
    let Need::Resource {
        verb,
        group,
        resource,
        place,
    } = *need
    else {
        return Vec::new();
    };
    // Numbers of metrics-server cannot be watched, and a proxy is no object.
    if group == kinds::NODE_METRICS.group || resource.contains('/') {
        return Vec::new();
    }
    let place = match place {
        Place::Usual => usual(verb, group, resource),
        place => place,
    };
    let at = |verb| Need::on(verb, group, resource).at(place);
    match verb {
        "list" => vec![at("watch")],
        "get" => vec![at("list"), at("watch")],
        _ => Vec::new(),
    }
}

/// What was asked for and is covered by no need: a fault in the program. What every run and everybody may is covered,
/// and so is what a live view does for a need.
#[must_use]
pub fn undeclared(asked: &BTreeSet<Asked>, needs: &[Need], settings: &Settings) -> Vec<String> {
    let declared: Vec<Right> = needs
        .iter()
        .chain(EVERY_RUN_NEEDS)
        .chain(EVERYBODY)
        .flat_map(|need| live(need).into_iter().chain([*need]))
        .filter_map(|need| Right::of(&need, settings))
        .collect();
    let covers = |right: &Right, asked: &Asked| {
        right.path == asked.path
            && right.verb == asked.verb
            && right.group == asked.group
            && right.resource == asked.resource
            && (right.namespace.is_empty() || right.namespace == asked.namespace)
            && (right.name.is_empty() || right.name == asked.name)
    };
    asked
        .iter()
        .filter(|asked| !declared.iter().any(|right| covers(right, asked)))
        .map(ToString::to_string)
        .collect()
}

/// One rule of a role. Sets are sorted, so that the same rights give the same text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The one group, empty for core.
    pub group: &'static str,
    /// Plurals with subresources.
    pub resources: BTreeSet<&'static str>,
    /// The objects that are meant, empty for all.
    pub names: BTreeSet<String>,
    /// Verbs.
    pub verbs: BTreeSet<&'static str>,
}

/// The rules of one namespace, or of the cluster under the empty name. Paths that are no resource stand apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// By namespace.
    pub resources: BTreeMap<String, Vec<Rule>>,
    /// Paths that may be got.
    pub paths: BTreeSet<&'static str>,
}

/// The smallest set of rules that holds these rights, without what everybody may and without wildcards: a right that
/// is part of a wider one is left out.
#[must_use]
pub fn rules(rights: &BTreeMap<Right, Wanted>, settings: &Settings) -> Rules {
    let everybody: Vec<Right> = EVERYBODY
        .iter()
        .filter_map(|need| Right::of(need, settings))
        .collect();
    let mut paths = BTreeSet::new();
    // Verbs of the same objects first, then resources with the same verbs and names.
    let mut verbs: BTreeMap<(&str, &'static str, &'static str, &str), BTreeSet<&'static str>> =
        BTreeMap::new();
    for right in rights.keys() {
        if everybody.contains(right)
            || rights
                .keys()
                .any(|other| other != right && right.is_in(other))
        {
            continue;
        }
        if right.path {
            paths.insert(right.resource);
            continue;
        }
        verbs
            .entry((&right.namespace, right.group, right.resource, &right.name))
            .or_default()
            .insert(right.verb);
    }
    let mut resources: BTreeMap<String, Vec<Rule>> = BTreeMap::new();
    for ((namespace, group, resource, name), verbs) in verbs {
        let names: BTreeSet<String> = Some(name.to_owned())
            .filter(|name| !name.is_empty())
            .into_iter()
            .collect();
        let rules = resources.entry(namespace.to_owned()).or_default();
        let same = rules.iter_mut().find(|rule| {
            rule.group == group
                && rule.verbs == verbs
                && (rule.names == names
                    || (!names.is_empty()
                        && !rule.names.is_empty()
                        && rule.resources.len() == 1
                        && rule.resources.contains(resource)))
        });
        match same {
            Some(rule) => {
                rule.resources.insert(resource);
                rule.names.extend(names);
            }
            None => rules.push(Rule {
                group,
                resources: BTreeSet::from([resource]),
                names,
                verbs,
            }),
        }
    }
    Rules { resources, paths }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed_by(extent: &Extent) -> Vec<String> {
        needed(&Settings::default(), extent)
            .keys()
            .map(Right::to_string)
            .collect()
    }

    #[test]
    fn a_right_names_the_one_object_that_is_meant() {
        let all = needed_by(&Extent::Onboarding);
        for wanted in [
            "patch nodes k3s2",
            "patch kustomizations.kustomize.toolkit.fluxcd.io infrastructure-storage in namespace flux-system",
            "get secrets k3s2.node-password.k3s in namespace kube-system",
            "watch secrets k3s2.node-password.k3s in namespace kube-system",
            "get namespaces kube-system",
            "watch leases.coordination.k8s.io k3s2 in namespace kube-node-lease",
            "list volumes.longhorn.io in namespace longhorn-system",
            "get services/proxy in namespace monitoring",
            "get nodes/proxy k3s2",
        ] {
            assert!(all.iter().any(|one| one == wanted), "{wanted}: {all:#?}");
        }
        assert!(!all.iter().any(|one| one == "patch nodes"));
    }

    #[test]
    fn a_selection_needs_what_it_rests_on_and_nothing_else() {
        let snapshot = needed_by(&Extent::of(["storage::node_ready"], [], false));
        // It rests on manager_on_node, which rests on join::ready.
        assert!(snapshot.contains(&"list daemonsets.apps".to_owned()));
        assert!(
            snapshot.contains(&"list nodes.longhorn.io in namespace longhorn-system".to_owned())
        );
        assert!(
            !snapshot
                .iter()
                .any(|one| one.starts_with("watch ") || one.starts_with("patch "))
        );
        assert!(!snapshot.iter().any(|one| one.contains("prometheus")));
        let waiting = needed_by(&Extent::of(["storage::node_ready"], [], true));
        assert!(
            waiting.contains(&"watch nodes.longhorn.io in namespace longhorn-system".to_owned())
        );
        let acting = needed_by(&Extent::of([], ["join::label"], false));
        assert!(acting.contains(&"patch nodes k3s2".to_owned()));
        assert!(
            !acting
                .iter()
                .any(|one| one.starts_with("patch kustomizations"))
        );
    }

    #[test]
    fn rules_hold_every_right_once_and_know_no_wildcard() {
        let settings = Settings::default();
        let rights = needed(&settings, &Extent::Onboarding);
        let rules = rules(&rights, &settings);
        let holds = |right: &Right| {
            rules.resources.iter().any(|(namespace, rules)| {
                (namespace.is_empty() || *namespace == right.namespace)
                    && rules.iter().any(|rule| {
                        rule.group == right.group
                            && rule.resources.contains(right.resource)
                            && rule.verbs.contains(right.verb)
                            && (rule.names.is_empty() || rule.names.contains(&right.name))
                    })
            })
        };
        let everybody: Vec<Right> = EVERYBODY
            .iter()
            .filter_map(|need| Right::of(need, &settings))
            .collect();
        for right in rights.keys() {
            assert!(
                everybody.contains(right) || rules.paths.contains(right.resource) || holds(right),
                "{right} is in no rule"
            );
        }
        for rule in rules.resources.values().flatten() {
            let words = rule.resources.iter().chain(&rule.verbs);
            assert!(words.clone().all(|word| !word.contains('*')), "{rule:?}");
            // No rule gives a verb on a resource that nobody needs.
            for resource in &rule.resources {
                for verb in &rule.verbs {
                    assert!(
                        rights.keys().any(|right| right.resource == *resource
                            && right.verb == *verb
                            && right.group == rule.group),
                        "{verb} {resource} is needed by nobody"
                    );
                }
            }
        }
        assert_eq!(rules.paths, BTreeSet::new());
    }
}
