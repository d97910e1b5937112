//! Deleting objects: finalizers, grace, preconditions, whole namespaces.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    accept::is_finished,
    call::Call,
    defaults::CRD_FINALIZER,
    refusal::Refusal,
    resource::Resource,
    store::{Key, Store, now},
    transaction::Transaction,
};

/// How something is deleted (`DeleteOptions`, from body and query).
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) dry: bool,
    pub(crate) grace: Option<i64>,
    pub(crate) propagation: String,
    pub(crate) uid: Option<String>,
    pub(crate) revision: Option<String>,
}

impl DeleteOptions {
    pub(crate) fn read(call: &Call, body: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let orphan =
            body["orphanDependents"] == true || call.query.get("orphanDependents") == Some("true");
        let propagation = text(&body["propagationPolicy"])
            .or_else(|| call.query.get("propagationPolicy").map(str::to_owned))
            .unwrap_or_else(|| {
                if orphan {
                    "Orphan".to_owned()
                } else {
                    "Background".to_owned()
                }
            });
        Self {
            dry: call.query.dry_run()
                || body["dryRun"]
                    .as_array()
                    .is_some_and(|d| d.iter().any(|d| d == "All")),
            grace: body["gracePeriodSeconds"].as_i64().or_else(|| {
                call.query
                    .get("gracePeriodSeconds")
                    .and_then(|g| g.parse().ok())
            }),
            propagation,
            uid: text(&body["preconditions"]["uid"]),
            revision: text(&body["preconditions"]["resourceVersion"]),
        }
    }
}

/// What came of a deletion: gone at once, or still there with its deletion time.
pub(crate) enum Deleted {
    Gone(Arc<Value>),
    Going(Arc<Value>),
}

/// Deletes one object.
pub(crate) fn delete(
    transaction: &mut Transaction<'_>,
    resource: &Resource,
    key: &Key,
    options: &DeleteOptions,
) -> Result<Deleted, Refusal> {
    let Some(old) = transaction.get(resource, &key.0, &key.1) else {
        return Err(Refusal::not_found(
            &resource.group,
            &resource.plural,
            &key.1,
        ));
    };
    let metadata = &old["metadata"];
    preconditions(resource, &old, options)?;
    if resource.group.is_empty()
        && resource.plural == "namespaces"
        && matches!(key.1.as_str(), "default" | "kube-system" | "kube-public")
    {
        return Err(Refusal::forbidden(
            "",
            "namespaces",
            &key.1,
            "this namespace may not be deleted",
        ));
    }
    let mut new = (*old).clone();
    let grace = grace_of(resource, &old, options);
    let policy = match options.propagation.as_str() {
        "Foreground" => Some("foregroundDeletion"),
        "Orphan" => Some("orphan"),
        _ => None,
    };
    let already = metadata.get("deletionTimestamp").is_some();
    let policy = policy.or_else(|| {
        // Objects of a definition go before it does.
        let definition = resource.plural == "customresourcedefinitions";
        definition.then_some(CRD_FINALIZER)
    });
    if let (Some(policy), false) = (policy, already) {
        let mut finalizers = metadata["finalizers"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if !finalizers.iter().any(|f| f == policy) {
            finalizers.push(policy.into());
        }
        new["metadata"]["finalizers"] = finalizers.into();
    }
    if already {
        let left = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        if options.grace.is_some_and(|g| g < left) {
            new["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        }
    } else {
        new["metadata"]["deletionTimestamp"] = if grace > 0 { later(grace) } else { now() };
        new["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        if resource.has_generation()
            && let Some(generation) = metadata["generation"].as_i64()
        {
            new["metadata"]["generation"] = (generation + 1).into();
        }
        if resource.plural == "namespaces" && resource.group.is_empty() {
            new["status"]["phase"] = "Terminating".into();
            if let Some(map) = new["metadata"].as_object_mut() {
                map.remove("deletionGracePeriodSeconds");
            }
        }
    }
    if is_finished(resource, &new) {
        // A pod is marked before it goes, which who watches sees.
        let marked = resource.group.is_empty() && resource.plural == "pods";
        let last = if marked {
            transaction.put(resource, key.clone(), new)
        } else {
            old
        };
        let gone = transaction.remove(resource, key.clone());
        return Ok(Deleted::Gone(if transaction.dry {
            last
        } else {
            gone.unwrap_or(last)
        }));
    }
    if *old == new {
        return Ok(Deleted::Going(old));
    }
    Ok(Deleted::Going(transaction.put(resource, key.clone(), new)))
}

/// Refuses when the object is not the one that is meant.
pub(crate) fn preconditions(
    resource: &Resource,
    old: &Value,
    options: &DeleteOptions,
) -> Result<(), Refusal> {
    let metadata = &old["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    for (what, wanted, found, happened) in [
        (
            "UID",
            &options.uid,
            &metadata["uid"],
            "deleted and then recreated",
        ),
        (
            "ResourceVersion",
            &options.revision,
            &metadata["resourceVersion"],
            "modified",
        ),
    ] {
        if let Some(wanted) = wanted
            && found != wanted.as_str()
        {
            let found = found.as_str().unwrap_or_default();
            let why = format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might have been {happened}"
            );
            return Err(Refusal::changed(resource, name, &why));
        }
    }
    Ok(())
}

/// Seconds that the kubelet has to end a pod; 0 for everything else.
fn grace_of(resource: &Resource, object: &Value, options: &DeleteOptions) -> i64 {
    if resource.plural != "pods" || !resource.group.is_empty() {
        return 0;
    }
    let spec = &object["spec"];
    let bound = spec["nodeName"].as_str().is_some_and(|n| !n.is_empty());
    let over = matches!(
        object["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    );
    if !bound || over {
        return 0;
    }
    options
        .grace
        .unwrap_or_else(|| spec["terminationGracePeriodSeconds"].as_i64().unwrap_or(30))
        .max(0)
}

fn later(seconds: i64) -> Value {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    json!(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Kinds of which the object is the answer to its deletion, and not a `Status`: `ReturnDeletedObject` in the registry of
/// Kubernetes.
pub(crate) fn answers_with_object(resource: &Resource) -> bool {
    let kinds: &[&str] = match resource.group.as_str() {
        "" => &[
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "podtemplates",
            "resourcequotas",
            "serviceaccounts",
            "services",
        ],
        "storage.k8s.io" => &[
            "csidrivers",
            "csinodes",
            "storageclasses",
            "volumeattachments",
            "volumeattributesclasses",
        ],
        _ => &[],
    };
    kinds.contains(&resource.plural.as_str())
}

/// The `Status` of a deletion.
pub(crate) fn success(resource: &Resource, object: &Value) -> Value {
    let mut details = json!({ "name": object["metadata"]["name"], "kind": resource.plural, "uid": object["metadata"]["uid"] });
    if !resource.group.is_empty() {
        details["group"] = resource.group.clone().into();
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}

/// Empties namespaces and definitions that are being deleted, once over; says whether any are left.
pub(crate) fn sweep(store: &Store) -> bool {
    let mut left = false;
    let namespaces = store.registry.find("", "namespaces");
    for namespace in store.all("", "namespaces", "") {
        let Some(resource) = namespaces
            .as_ref()
            .filter(|_| namespace["metadata"].get("deletionTimestamp").is_some())
        else {
            continue;
        };
        let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
        let empty = store
            .registry
            .all()
            .iter()
            .filter(|r| r.namespaced && !r.virtual_)
            .all(|r| empty_out(store, r, name));
        if empty {
            let mut transaction = store.begin(false);
            if let Some(now) = transaction.get(resource, "", name) {
                let mut new = (*now).clone();
                if let Some(list) = new["spec"]["finalizers"].as_array_mut() {
                    list.retain(|f| f != "kubernetes");
                }
                finish(
                    &mut transaction,
                    resource,
                    (String::new(), name.to_owned()),
                    &now,
                    new,
                );
            }
        } else {
            left = true;
        }
    }
    let definitions = store
        .registry
        .find("apiextensions.k8s.io", "customresourcedefinitions");
    for definition in store.all("apiextensions.k8s.io", "customresourcedefinitions", "") {
        let Some(resource) = definitions
            .as_ref()
            .filter(|_| definition["metadata"].get("deletionTimestamp").is_some())
        else {
            continue;
        };
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let served = Resource::from_crd(&definition);
        if served.is_none_or(|r| empty_out(store, &r, "")) {
            let mut transaction = store.begin(false);
            if let Some(now) = transaction.get(resource, "", name) {
                let mut new = (*now).clone();
                if let Some(list) = new["metadata"]["finalizers"].as_array_mut() {
                    list.retain(|f| f != CRD_FINALIZER);
                }
                finish(
                    &mut transaction,
                    resource,
                    (String::new(), name.to_owned()),
                    &now,
                    new,
                );
            }
        } else {
            left = true;
        }
    }
    left
}

fn finish(
    transaction: &mut Transaction<'_>,
    resource: &Resource,
    key: Key,
    old: &Value,
    new: Value,
) {
    if is_finished(resource, &new) {
        transaction.remove(resource, key);
    } else if *old != new {
        transaction.put(resource, key, new);
    }
}

/// Deletes every object of a resource in a namespace; says whether none is left.
fn empty_out(store: &Store, resource: &Resource, namespace: &str) -> bool {
    let mut transaction = store.begin(false);
    let mut empty = true;
    for object in transaction.all(resource, namespace) {
        let text = |key: &str| {
            object["metadata"][key]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let options = DeleteOptions {
            propagation: "Background".to_owned(),
            ..DeleteOptions::default()
        };
        match delete(
            &mut transaction,
            resource,
            &(text("namespace"), text("name")),
            &options,
        ) {
            Ok(Deleted::Gone(_)) => {}
            _ => empty = false,
        }
    }
    empty
}
