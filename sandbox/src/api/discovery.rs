//! What is served: groups, versions and resources, in the old and the aggregated form.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Core, call::Call, refusal::Refusal, resource::Resource};

/// Orders versions as the API does: `v2` before `v1` before `v1beta2` before `v1alpha1`.
pub(crate) fn version_priority(version: &str) -> (u8, u64, u64) {
    let Some(rest) = version.strip_prefix('v') else {
        return (0, 0, 0);
    };
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let major = rest[..digits].parse().unwrap_or(0);
    let (stage, minor) = match &rest[digits..] {
        "" => (3, 0),
        tail => match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
            (Some(minor), _) => (2, minor.parse().unwrap_or(0)),
            (_, Some(minor)) => (1, minor.parse().unwrap_or(0)),
            _ => (0, 0),
        },
    };
    (stage, major, minor)
}

/// Whether a resource of an aggregated API is served now: its APIService says so.
pub(crate) fn aggregated(core: &Core, group: &str, version: &str) -> Result<bool, Refusal> {
    if group != "metrics.k8s.io" {
        return Ok(true);
    }
    let services = core
        .store
        .registry
        .find("apiregistration.k8s.io", "apiservices");
    let Some(service) =
        services.and_then(|r| core.store.get(&r, "", &format!("{version}.{group}")))
    else {
        return Ok(false);
    };
    let conditions = service["status"]["conditions"].as_array();
    if conditions.is_some_and(|list| {
        list.iter()
            .any(|c| c["type"] == "Available" && c["status"] == "True")
    }) {
        return Ok(true);
    }
    Err(Refusal::unavailable(
        "the server is currently unable to handle the request",
    ))
}

/// Resources by group and version, as they are served now.
fn served(core: &Core) -> BTreeMap<String, BTreeMap<String, Vec<std::sync::Arc<Resource>>>> {
    let mut groups: BTreeMap<String, BTreeMap<String, Vec<_>>> = BTreeMap::new();
    let all = core.store.registry.all();
    for resource in all
        .into_iter()
        .filter(|one| !core.transport.hides(&one.group))
    {
        for version in &resource.versions {
            if matches!(aggregated(core, &resource.group, version), Ok(true)) {
                let versions = groups.entry(resource.group.clone()).or_default();
                versions
                    .entry(version.clone())
                    .or_default()
                    .push(resource.clone());
            }
        }
    }
    groups
}

fn newest_first<T>(versions: &BTreeMap<String, T>) -> Vec<&String> {
    let mut names: Vec<&String> = versions.keys().collect();
    names.sort_by_key(|version| std::cmp::Reverse(version_priority(version)));
    names
}

fn group_value(name: &str, versions: &[&String]) -> Value {
    let entry = |v: &str| json!({ "groupVersion": format!("{name}/{v}"), "version": v });
    json!({
        "name": name,
        "versions": versions.iter().map(|v| entry(v)).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(|v| entry(v)),
    })
}

/// Answers `/api`, `/apis` and what is directly below.
pub(crate) fn answer(core: &Core, call: &Call) -> Result<Option<(String, Value)>, Refusal> {
    const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let plain = |value: Value| Ok(Some(("application/json".to_owned(), value)));
    let segments: Vec<&str> = call.path.split('/').filter(|s| !s.is_empty()).collect();
    let wants_all = call.accept.contains("as=APIGroupDiscoveryList")
        && call.accept.contains("v=v2;")
        || call.accept.contains("v=v2,")
        || call.accept.ends_with("v=v2");
    let wants_all = wants_all && call.accept.contains("as=APIGroupDiscoveryList");
    match segments.as_slice() {
        ["api"] | ["apis"] if wants_all => {
            let core_group = segments == ["api"];
            let items: Vec<Value> = served(core)
                .iter()
                .filter(|(group, _)| group.is_empty() == core_group)
                .map(|(group, versions)| {
                    let versions: Vec<Value> = newest_first(versions)
                        .into_iter()
                        .map(|v| json!({ "version": v, "freshness": "Current",
                            "resources": versions[v].iter().map(|r| aggregated_resource(r, v)).collect::<Vec<_>>() }))
                        .collect();
                    let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
                    json!({ "metadata": metadata, "versions": versions })
                })
                .collect();
            let list = json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items });
            Ok(Some((AGGREGATED.to_owned(), list)))
        }
        ["api"] => plain(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": core.address.to_string() }],
        })),
        ["apis"] => {
            let groups: Vec<Value> = served(core)
                .iter()
                .filter(|(group, _)| !group.is_empty())
                .map(|(group, versions)| group_value(group, &newest_first(versions)))
                .collect();
            plain(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
        }
        ["apis", group] => match served(core).get(*group) {
            Some(versions) => {
                let mut value = group_value(group, &newest_first(versions));
                value["kind"] = "APIGroup".into();
                value["apiVersion"] = "v1".into();
                plain(value)
            }
            None => Ok(None),
        },
        ["api", version] => resources(core, "", version).map_or(Ok(None), plain),
        ["apis", group, version] => {
            aggregated(core, group, version)?;
            resources(core, group, version).map_or(Ok(None), plain)
        }
        _ => Ok(None),
    }
}

fn resources(core: &Core, group: &str, version: &str) -> Option<Value> {
    let all = served(core);
    let resources = all.get(group)?.get(version)?;
    let mut list = Vec::new();
    for resource in resources {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": resource.verbs(),
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        list.push(entry);
        for (name, kind, verbs) in subresources(resource) {
            let mut entry = json!({
                "name": format!("{}/{name}", resource.plural), "singularName": "", "namespaced": resource.namespaced,
                "kind": kind, "verbs": verbs,
            });
            if let Some((group, version)) = kind_home(kind) {
                entry["group"] = group.into();
                entry["version"] = version.into();
            }
            list.push(entry);
        }
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(
        json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list }),
    )
}

fn subresources(resource: &Resource) -> Vec<(String, &str, Vec<&'static str>)> {
    let mut all = Vec::new();
    if resource.status {
        all.push((
            "status".to_owned(),
            resource.kind.as_str(),
            vec!["get", "patch", "update"],
        ));
    }
    for (name, kind) in &resource.subresources {
        let verbs = match *name {
            "scale" | "approval" => vec!["get", "patch", "update"],
            "finalize" => vec!["update"],
            "log" => vec!["get"],
            "proxy" => vec!["create", "delete", "get", "patch", "update"],
            _ => vec!["create"],
        };
        all.push(((*name).to_owned(), *kind, verbs));
    }
    all
}

/// The group and version of kinds that subresources speak and that live elsewhere.
fn kind_home(kind: &str) -> Option<(&'static str, &'static str)> {
    match kind {
        "Scale" => Some(("autoscaling", "v1")),
        "Eviction" => Some(("policy", "v1")),
        "TokenRequest" => Some(("authentication.k8s.io", "v1")),
        _ => None,
    }
}

fn aggregated_resource(resource: &Resource, version: &str) -> Value {
    let kind = |kind: &str| {
        let (group, version) = kind_home(kind).unwrap_or((&resource.group, version));
        json!({ "group": group, "version": version, "kind": kind })
    };
    let mut entry = json!({
        "resource": resource.plural, "responseKind": kind(&resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular, "verbs": resource.verbs(),
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let subresources: Vec<Value> = subresources(resource)
        .into_iter()
        .map(|(name, of, verbs)| json!({ "subresource": name, "responseKind": kind(of), "verbs": verbs }))
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::version_priority;

    #[test]
    fn stable_versions_come_first() {
        let mut versions = ["v1alpha1", "v1", "v1beta2", "v2", "v1beta1"];
        versions.sort_by_key(|v| std::cmp::Reverse(version_priority(v)));
        assert_eq!(versions, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha1"]);
    }
}
