//! `--rbac`: the roles that hold exactly what a run needs, for `kubectl apply -f -`. Asks no cluster.

use std::fmt::Write as _;

use checks::{
    Settings,
    rights::{EVERYBODY, Right, Rule, Rules, needed, needed_by, rules},
};

use crate::{
    build, catalogue, cleanup,
    cli::{Account, Cli},
    exit::{Exit, Halt},
    options::{Purpose, Selection},
    selection, term,
};

/// Carries out `--rbac`.
///
/// # Errors
/// Nothing is selected, or the configuration cannot be used.
pub(crate) fn show(cli: &Cli) -> Result<Exit, Halt> {
    let options = build::from_environment(cli)?;
    selection::choose(&options.selection, catalogue::all())?;
    let account = cli.account.clone().unwrap_or_default();
    let settings = &options.settings;
    let rights = match options.purpose {
        _ if cli.cleanup => needed_by(cleanup::NEEDS.iter(), "cleanup", false, settings),
        Purpose::Rollback { .. } => {
            needed_by(phases::rollback::needs(), "rollback", true, settings)
        }
        _ => needed(settings, &settings.extent),
    };
    let rules = rules(&rights, settings);
    let purpose = if cli.cleanup {
        "remove what runs of this program left behind".to_owned()
    } else {
        purpose(&options.selection, options.purpose, settings)
    };
    for line in manifests(&rules, &account, &purpose, settings).lines() {
        term::out(line);
    }
    Ok(Exit::Passed)
}

/// What the roles are for, in a few words.
fn purpose(selection: &Selection, purpose: Purpose, settings: &Settings) -> String {
    let node = &settings.node.name;
    let what = match purpose {
        Purpose::Onboard { .. } => format!("onboard {node}, all phases with their changes"),
        Purpose::Rollback { .. } => format!("take {node} out again"),
        Purpose::Inspect { apply, wait } => {
            let mut words: Vec<String> = selection
                .phases
                .iter()
                .map(|phase| format!("--phase {}", phase.short()))
                .collect();
            words.extend(selection.skip.iter().map(|one| format!("--skip {one}")));
            words.extend(selection.filters.iter().cloned());
            for (given, word) in [
                (selection.exact, "--exact"),
                (wait, "--wait"),
                (apply, "--apply"),
            ] {
                if given {
                    words.push(word.to_owned());
                }
            }
            format!("inspect {node}: {}", words.join(" "))
        }
    };
    // It stands in a comment of one line.
    crate::text::clean(&what).replace(['\n', '\r'], " ")
}

/// The manifests, as YAML: an account, a role for the cluster, and one for each namespace where something is needed
/// only there.
fn manifests(rules: &Rules, account: &Account, purpose: &str, settings: &Settings) -> String {
    let Account { namespace, name } = account;
    let everybody: Vec<String> = EVERYBODY
        .iter()
        .filter_map(|need| Right::of(need, settings))
        .map(|right| right.to_string())
        .collect();
    let mut text = format!(
        "# Rights to {purpose}.\n\
         # A token for an hour: kubectl -n {namespace} create token {name} --duration=1h\n\
         # Besides, what Kubernetes gives to everybody who has a name (system:discovery, system:basic-user):\n\
         # {}\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {name}\n  namespace: {namespace}\n",
        everybody.join(", ")
    );
    let own = &settings.probe.namespace;
    if rules.resources.contains_key(own) {
        // One that is there already is used and left: the role in it must outlive a run.
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {own}\n  labels:\n    \
             pod-security.kubernetes.io/enforce: restricted\n"
        );
    }
    let empty = Vec::new();
    let whole = rules.resources.get("").unwrap_or(&empty);
    if !whole.is_empty() || !rules.paths.is_empty() {
        role(&mut text, "", account, whole);
        for path in &rules.paths {
            let _ = write!(
                text,
                "  - nonResourceURLs: {}\n    verbs: [\"get\"]\n",
                list([*path])
            );
        }
        binding(&mut text, "", account);
    }
    for (place, some) in rules
        .resources
        .iter()
        .filter(|(place, _)| !place.is_empty())
    {
        role(&mut text, place, account, some);
        binding(&mut text, place, account);
    }
    text
}

fn head(text: &mut String, kind: &str, place: &str, account: &Account) {
    let scope = if place.is_empty() { "Cluster" } else { "" };
    let _ = write!(
        text,
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {scope}{kind}\nmetadata:\n  name: {}\n",
        account.name
    );
    if !place.is_empty() {
        let _ = writeln!(text, "  namespace: {place}");
    }
}

fn role(text: &mut String, place: &str, account: &Account, rules: &[Rule]) {
    head(text, "Role", place, account);
    text.push_str("rules:\n");
    for rule in rules {
        let _ = writeln!(text, "  - apiGroups: {}", list([rule.group]));
        let _ = writeln!(
            text,
            "    resources: {}",
            list(rule.resources.iter().copied())
        );
        if !rule.names.is_empty() {
            let _ = writeln!(
                text,
                "    resourceNames: {}",
                list(rule.names.iter().map(String::as_str))
            );
        }
        let _ = writeln!(text, "    verbs: {}", list(rule.verbs.iter().copied()));
    }
}

fn binding(text: &mut String, place: &str, account: &Account) {
    head(text, "RoleBinding", place, account);
    let scope = if place.is_empty() { "Cluster" } else { "" };
    let _ = write!(
        text,
        "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {scope}Role\n  name: {name}\n\
         subjects:\n  - kind: ServiceAccount\n    name: {name}\n    namespace: {}\n",
        account.namespace,
        name = account.name
    );
}

/// A list on one line. JSON strings are YAML strings, whatever stands in them.
fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words
        .into_iter()
        .map(|word| serde_json::Value::from(word).to_string())
        .collect();
    format!("[{}]", words.join(", "))
}

#[cfg(test)]
mod tests {
    use checks::rights::Extent;
    use serde_json::Value;

    use super::*;

    fn printed(extent: &Extent) -> Vec<Value> {
        let settings = Settings::default();
        let rules = rules(&needed(&settings, extent), &settings);
        let text = manifests(&rules, &Account::default(), "try", &settings);
        serde_saphyr::from_multiple(&text).unwrap()
    }

    #[test]
    fn the_manifests_are_yaml_and_bind_what_they_define() {
        let all = printed(&Extent::Onboarding);
        assert_eq!(all[0]["kind"], "ServiceAccount");
        // The namespace of its own, so that there can be a role in it.
        assert_eq!(all[1]["kind"], "Namespace");
        assert_eq!(all[2]["kind"], "ClusterRole");
        assert_eq!(all[3]["kind"], "ClusterRoleBinding");
        for pair in all[2..].chunks(2) {
            let (role, binding) = (&pair[0], &pair[1]);
            assert_eq!(binding["roleRef"]["kind"], role["kind"]);
            assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
            assert_eq!(
                binding["metadata"]["namespace"],
                role["metadata"]["namespace"]
            );
            assert_eq!(binding["subjects"][0]["name"], all[0]["metadata"]["name"]);
            assert!(!role["rules"].as_array().unwrap().is_empty());
        }
    }

    #[test]
    fn an_inspection_only_reads() {
        let all = printed(&Extent::of(["storage::disks_ready"], [], false));
        let verbs: std::collections::BTreeSet<&str> = all
            .iter()
            .flat_map(|one| one["rules"].as_array().into_iter().flatten())
            .flat_map(|rule| rule["verbs"].as_array().into_iter().flatten())
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(verbs.into_iter().collect::<Vec<_>>(), ["get", "list"]);
    }
}
