//! Subresources besides `status`: scale, binding, log, token, finalize, approval.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Core,
    call::Call,
    eviction, jsonpath, patch,
    refusal::{Cause, Refusal},
    resource::Resource,
    store::{now, revision_of},
    write::Writer,
};

/// Answers a subresource: HTTP status and body.
pub(crate) fn serve(
    core: &Core,
    call: &Call,
    resource: &Resource,
    body: &[u8],
) -> Result<(u16, Value), Refusal> {
    let known = resource
        .subresources
        .iter()
        .any(|(name, _)| *name == call.subresource);
    if !known {
        return Err(Refusal::no_such_resource());
    }
    let parsed = || {
        if body.is_empty() {
            Ok(json!({}))
        } else {
            patch::parse_yaml(&String::from_utf8_lossy(body))
        }
    };
    match (call.subresource.as_str(), call.verb.as_str()) {
        ("eviction", "create") => Ok((201, eviction::evict(&core.store, call, &parsed()?)?)),
        ("binding", "create") => Ok((201, bind(core, call, resource, &parsed()?)?)),
        ("token", "create") => Ok((201, token(core, call, &parsed()?)?)),
        ("finalize", "update") => {
            finalize(core, call, resource, &parsed()?).map(|o| (200, (*o).clone()))
        }
        ("approval", "update" | "get") => {
            approval(core, call, resource, parsed()?).map(|o| (200, (*o).clone()))
        }
        ("scale", "get" | "update" | "patch") => {
            scale(core, call, resource, body).map(|o| (200, o))
        }
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn present(core: &Core, call: &Call, resource: &Resource) -> Result<Arc<Value>, Refusal> {
    let namespace = if resource.namespaced {
        call.namespace.as_str()
    } else {
        ""
    };
    core.store
        .get(resource, namespace, &call.name)
        .ok_or_else(|| Refusal::not_found(&resource.group, &resource.plural, &call.name))
}

/// What a pod has written: the annotation `sandbox/log` says it.
pub(crate) fn log(core: &Core, call: &Call, resource: &Resource) -> Result<String, Refusal> {
    let pod = present(core, call, resource)?;
    if let Some(container) = call.query.get("container") {
        let has = |list: &str| {
            pod["spec"][list]
                .as_array()
                .is_some_and(|l| l.iter().any(|c| c["name"] == container))
        };
        if !has("containers") && !has("initContainers") {
            return Err(Refusal::bad_request(format!(
                "container {container} is not valid for pod {}",
                call.name
            )));
        }
    }
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if !node.is_empty() {
        let nodes = core
            .store
            .registry
            .find("", "nodes")
            .ok_or_else(Refusal::no_such_resource)?;
        let node = core
            .store
            .get(&nodes, "", node)
            .ok_or_else(|| Refusal::not_found("", "nodes", node))?;
        if node["status"]["addresses"]
            .as_array()
            .is_none_or(Vec::is_empty)
        {
            return Err(Refusal::unexpected(
                "no preferred addresses found; known addresses: []",
            ));
        }
    }
    let text = pod["metadata"]["annotations"]["sandbox/log"]
        .as_str()
        .unwrap_or_default();
    let tail = call
        .query
        .get("tailLines")
        .and_then(|t| t.parse::<usize>().ok());
    let lines: Vec<&str> = text.lines().collect();
    let skip = tail.map_or(0, |tail| lines.len().saturating_sub(tail));
    Ok(lines[skip..]
        .iter()
        .map(|line| format!("{line}\n"))
        .collect())
}

fn bind(core: &Core, call: &Call, resource: &Resource, body: &Value) -> Result<Value, Refusal> {
    let Some(node) = body["target"]["name"].as_str().filter(|n| !n.is_empty()) else {
        return Err(Refusal::invalid(
            resource,
            &call.name,
            &[Cause::required("target.name", "")],
        ));
    };
    let writer = Writer::new(&core.store, call, resource);
    let mut transaction = core.store.begin(writer.dry);
    let pod = writer.present(&transaction, &call.namespace)?;
    let bound = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if !bound.is_empty() {
        let why = format!("pod {} is already assigned to node \"{bound}\"", call.name);
        return Err(Refusal::conflict(resource, &call.name, &why));
    }
    let mut new = (*pod).clone();
    new["spec"]["nodeName"] = node.into();
    let condition =
        json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": now() });
    match new["status"]["conditions"].as_array_mut() {
        Some(list) => {
            list.retain(|c| c["type"] != "PodScheduled");
            list.push(condition);
        }
        None => new["status"]["conditions"] = json!([condition]),
    }
    writer.keep(&mut transaction, &pod, new, true)?;
    Ok(
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 }),
    )
}

fn token(core: &Core, call: &Call, body: &Value) -> Result<Value, Refusal> {
    let accounts = core
        .store
        .registry
        .find("", "serviceaccounts")
        .ok_or_else(Refusal::no_such_resource)?;
    let account = present(core, call, &accounts)?;
    let seconds = body["spec"]["expirationSeconds"].as_i64().unwrap_or(3600);
    if seconds < 600 {
        let why = "may not specify a duration less than 10 minutes";
        let cause = Cause::invalid("spec.expirationSeconds", &seconds.into(), why);
        let mut refusal = Refusal::invalid(&accounts, "", &[cause]);
        refusal.message = format!(
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: {seconds}: {why}"
        );
        return Err(refusal);
    }
    let uid = account["metadata"]["uid"].as_str().unwrap_or_default();
    let audiences = body["spec"]["audiences"].clone();
    let token = core
        .tokens
        .issue(&call.namespace, &call.name, uid, seconds, &audiences);
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    Ok(json!({
        "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "metadata": { "name": call.name, "namespace": call.namespace, "creationTimestamp": now() },
        "spec": { "audiences": if audiences.is_array() { audiences } else { json!(["https://kubernetes.default.svc.cluster.local"]) },
            "expirationSeconds": seconds, "boundObjectRef": body["spec"]["boundObjectRef"] },
        "status": { "token": token, "expirationTimestamp": until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() },
    }))
}

fn finalize(
    core: &Core,
    call: &Call,
    resource: &Resource,
    body: &Value,
) -> Result<Arc<Value>, Refusal> {
    let writer = Writer::new(&core.store, call, resource);
    let mut transaction = core.store.begin(writer.dry);
    let old = writer.present(&transaction, "")?;
    let mut new = (*old).clone();
    new["spec"]["finalizers"] = body["spec"]["finalizers"]
        .as_array()
        .cloned()
        .unwrap_or_default()
        .into();
    writer.keep(&mut transaction, &old, new, true)
}

fn approval(
    core: &Core,
    call: &Call,
    resource: &Resource,
    body: Value,
) -> Result<Arc<Value>, Refusal> {
    if call.verb == "get" {
        return present(core, call, resource);
    }
    let writer = Writer::new(&core.store, call, resource);
    let mut transaction = core.store.begin(writer.dry);
    let old = writer.present(&transaction, "")?;
    let mut new = (*old).clone();
    new["status"]["conditions"] = body["status"]["conditions"].clone();
    writer.keep(&mut transaction, &old, new, true)
}

/// Where a kind says how many there are wanted and are, and how they are selected.
fn scale_paths(resource: &Resource, version: &str) -> Option<(String, String, Option<String>)> {
    let Some(custom) = &resource.custom else {
        return Some((
            ".spec.replicas".to_owned(),
            ".status.replicas".to_owned(),
            None,
        ));
    };
    let scale = custom.scale.get(version)?;
    let text = |key: &str| scale[key].as_str().map(str::to_owned);
    Some((
        text("specReplicasPath")?,
        text("statusReplicasPath")?,
        text("labelSelectorPath"),
    ))
}

fn as_scale(resource: &Resource, version: &str, object: &Value) -> Option<Value> {
    let (wanted, present, selector) = scale_paths(resource, version)?;
    let metadata = &object["metadata"];
    let text = match selector {
        Some(path) => jsonpath::first(object, &path)
            .as_ref()
            .map(jsonpath::text)
            .unwrap_or_default(),
        None => {
            let labels = object["spec"]["selector"]["matchLabels"].as_object();
            let terms = labels
                .into_iter()
                .flatten()
                .map(|(k, v)| format!("{k}={}", jsonpath::text(v)));
            terms.collect::<Vec<_>>().join(",")
        }
    };
    Some(json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": { "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"] },
        "spec": { "replicas": jsonpath::first(object, &wanted).unwrap_or(json!(0)) },
        "status": { "replicas": jsonpath::first(object, &present).unwrap_or(json!(0)), "selector": text },
    }))
}

fn scale(core: &Core, call: &Call, resource: &Resource, body: &[u8]) -> Result<Value, Refusal> {
    let version = call.version.as_str();
    let unsupported = || Refusal::no_such_resource();
    if call.verb == "get" {
        return as_scale(resource, version, &*present(core, call, resource)?)
            .ok_or_else(unsupported);
    }
    let writer = Writer::new(&core.store, call, resource);
    let mut transaction = core.store.begin(writer.dry);
    let old = writer.present(&transaction, &call.namespace)?;
    let mut wanted = as_scale(resource, version, &old).ok_or_else(unsupported)?;
    if call.verb == "update" {
        wanted = patch::parse(body)?;
    } else {
        json_patch::merge(&mut wanted, &patch::parse(body)?);
    }
    if revision_of(&wanted).is_some() && revision_of(&wanted) != revision_of(&old) {
        return Err(Refusal::stale(resource, &call.name));
    }
    let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let cause = Cause::invalid(
            "spec.replicas",
            &replicas.into(),
            "must be greater than or equal to 0",
        );
        return Err(Refusal::invalid(resource, &call.name, &[cause]));
    }
    let (path, ..) = scale_paths(resource, version).ok_or_else(unsupported)?;
    let mut new = (*old).clone();
    if let Some(target) = new.pointer_mut(&path.replace('.', "/")) {
        *target = replicas.into();
    } else {
        new["spec"]["replicas"] = replicas.into();
    }
    if *old != new {
        new["metadata"]["generation"] =
            (old["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
    }
    let kept = writer.keep(&mut transaction, &old, new, true)?;
    as_scale(resource, version, &kept).ok_or_else(unsupported)
}
