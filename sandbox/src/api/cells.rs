//! What stands in the cells of built-in kinds.

use serde_json::{Value, json};

use super::columns::{age, age_of, duration};

pub(super) fn plain(value: &Value) -> String {
    if value.is_null() {
        String::new()
    } else {
        super::jsonpath::text(value)
    }
}

pub(super) fn text(value: &Value) -> Value {
    plain(value).into()
}

/// The name of a storage class, which says whether claims without one get it.
pub(super) fn storage_class(object: &Value) -> Value {
    let name = plain(&object["metadata"]["name"]);
    let annotations = &object["metadata"]["annotations"];
    let chosen = [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ];
    if chosen.iter().any(|key| annotations[*key] == "true") {
        format!("{name} (default)").into()
    } else {
        name.into()
    }
}

pub(super) fn none(value: &Value) -> Value {
    value
        .as_str()
        .filter(|t| !t.is_empty())
        .unwrap_or("<none>")
        .into()
}

pub(super) fn known(value: &Value) -> Value {
    value
        .as_str()
        .filter(|t| !t.is_empty())
        .unwrap_or("<unknown>")
        .into()
}

pub(super) fn number(value: &Value) -> Value {
    value.as_i64().unwrap_or(0).into()
}

pub(super) fn count(value: &Value) -> usize {
    value
        .as_array()
        .map(Vec::len)
        .or_else(|| value.as_object().map(serde_json::Map::len))
        .unwrap_or(0)
}

pub(super) fn size(value: &Value) -> Value {
    count(value).to_string().into()
}

pub(super) fn of_wanted(have: &Value, wanted: &Value) -> Value {
    format!(
        "{}/{}",
        have.as_i64().unwrap_or(0),
        wanted.as_i64().unwrap_or(1)
    )
    .into()
}

pub(super) fn available(value: &Value) -> Value {
    if value.is_null() {
        "N/A".into()
    } else {
        text(value)
    }
}

pub(super) fn pairs(map: &Value) -> Value {
    let terms: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", plain(v)))
        .collect();
    if terms.is_empty() {
        "<none>".into()
    } else {
        terms.join(",").into()
    }
}

pub(super) fn join_or(list: &Value, item: fn(&Value) -> String, empty: &str) -> Value {
    let terms: Vec<String> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(item)
        .filter(|t| !t.is_empty())
        .collect();
    if terms.is_empty() {
        empty.into()
    } else {
        terms.join(",").into()
    }
}

pub(super) fn join(list: &Value, item: fn(&Value) -> String) -> Value {
    join_or(list, item, "<unset>")
}

pub(super) fn containers(object: &Value, field: &str) -> Value {
    let list = object["spec"]["template"]["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten();
    list.map(|c| plain(&c[field]))
        .collect::<Vec<_>>()
        .join(",")
        .into()
}

pub(super) fn going_or(object: &Value, phase: &Value) -> Value {
    if object["metadata"].get("deletionTimestamp").is_some() {
        "Terminating".into()
    } else {
        phase.clone()
    }
}

pub(super) fn modes(list: &Value) -> Value {
    let short = |mode: &Value| {
        match mode.as_str().unwrap_or_default() {
            "ReadWriteOnce" => "RWO",
            "ReadOnlyMany" => "ROX",
            "ReadWriteMany" => "RWX",
            "ReadWriteOncePod" => "RWOP",
            _ => "",
        }
        .to_owned()
    };
    join_or(list, short, "")
}

pub(super) fn claim(object: &Value) -> Value {
    let claim = &object["spec"]["claimRef"];
    if claim.is_object() {
        format!("{}/{}", plain(&claim["namespace"]), plain(&claim["name"])).into()
    } else {
        "".into()
    }
}

pub(super) fn node_status(object: &Value) -> Value {
    let ready = object["status"]["conditions"]
        .as_array()
        .and_then(|list| list.iter().find(|c| c["type"] == "Ready"));
    let mut text = match ready.map(|c| plain(&c["status"])) {
        Some(status) if status == "True" => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if object["spec"]["unschedulable"] == true {
        text.push_str(",SchedulingDisabled");
    }
    text.into()
}

pub(super) fn node_roles(object: &Value) -> Value {
    let labels = object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten();
    let mut roles: Vec<String> = labels
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) if !role.is_empty() => Some(role.to_owned()),
                None if key == "kubernetes.io/role" => value.as_str().map(str::to_owned),
                _ => None,
            },
        )
        .collect();
    roles.sort();
    if roles.is_empty() {
        "<none>".into()
    } else {
        roles.join(",").into()
    }
}

pub(super) fn node_address(object: &Value, kind: &str) -> Value {
    let found = object["status"]["addresses"]
        .as_array()
        .and_then(|list| list.iter().find(|a| a["type"] == kind));
    found.map_or_else(|| "<none>".into(), |a| a["address"].clone())
}

pub(super) fn service_external(object: &Value) -> Value {
    let spec = &object["spec"];
    let external = join_or(&spec["externalIPs"], plain, "<none>");
    match spec["type"].as_str() {
        Some("ExternalName") => text(&spec["externalName"]),
        Some("LoadBalancer") => {
            let given = &object["status"]["loadBalancer"]["ingress"];
            join_or(
                given,
                |i| {
                    if i["ip"].is_string() {
                        plain(&i["ip"])
                    } else {
                        plain(&i["hostname"])
                    }
                },
                "<pending>",
            )
        }
        _ => external,
    }
}

pub(super) fn service_ports(object: &Value) -> Value {
    join_or(
        &object["spec"]["ports"],
        |port| {
            let (number, protocol) = (
                plain(&port["port"]),
                port["protocol"].as_str().unwrap_or("TCP"),
            );
            match port["nodePort"].as_i64() {
                Some(node) if node > 0 => format!("{number}:{node}/{protocol}"),
                _ => format!("{number}/{protocol}"),
            }
        },
        "<none>",
    )
}

pub(super) fn endpoints(object: &Value) -> Value {
    let mut all = Vec::new();
    for subset in object["subsets"].as_array().into_iter().flatten() {
        for address in subset["addresses"].as_array().into_iter().flatten() {
            for port in subset["ports"].as_array().into_iter().flatten() {
                all.push(format!(
                    "{}:{}",
                    plain(&address["ip"]),
                    plain(&port["port"])
                ));
            }
        }
    }
    if all.is_empty() {
        "<none>".into()
    } else {
        all.join(",").into()
    }
}

pub(super) fn event_time(object: &Value, fields: &[&str]) -> Value {
    let found = fields
        .iter()
        .find_map(|field| object.pointer(field).and_then(Value::as_str));
    found.map_or_else(|| age(object), |time| age_of(time).into())
}

pub(super) fn last_seen(object: &Value) -> Value {
    event_time(
        object,
        &["/series/lastObservedTime", "/lastTimestamp", "/eventTime"],
    )
}

pub(super) fn first_seen(object: &Value) -> Value {
    event_time(object, &["/firstTimestamp", "/eventTime"])
}

pub(super) fn involved(object: &Value) -> Value {
    let about = &object["involvedObject"];
    format!(
        "{}/{}",
        plain(&about["kind"]).to_lowercase(),
        plain(&about["name"])
    )
    .into()
}

pub(super) fn source(object: &Value) -> Value {
    let (component, host) = (
        plain(&object["source"]["component"]),
        plain(&object["source"]["host"]),
    );
    match (component.is_empty(), host.is_empty()) {
        (true, _) => text(&object["reportingComponent"]),
        (false, true) => component.into(),
        (false, false) => format!("{component}, {host}").into(),
    }
}

pub(super) fn job_status(object: &Value) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    let is = |kind: &str| {
        conditions.is_some_and(|l| l.iter().any(|c| c["type"] == kind && c["status"] == "True"))
    };
    if is("Complete") {
        "Complete".into()
    } else if is("Failed") {
        "Failed".into()
    } else if object["metadata"].get("deletionTimestamp").is_some() {
        "Terminating".into()
    } else {
        "Running".into()
    }
}

pub(super) fn job_duration(object: &Value) -> Value {
    let time = |key: &str| {
        object["status"][key]
            .as_str()
            .and_then(|t| t.parse::<jiff::Timestamp>().ok())
    };
    match (time("startTime"), time("completionTime")) {
        (Some(start), end) => {
            duration(end.unwrap_or_else(jiff::Timestamp::now).as_second() - start.as_second())
                .into()
        }
        _ => "".into(),
    }
}

pub(super) fn api_service(object: &Value) -> Value {
    let service = &object["spec"]["service"];
    if service.is_object() {
        format!(
            "{}/{}",
            plain(&service["namespace"]),
            plain(&service["name"])
        )
        .into()
    } else {
        "Local".into()
    }
}

pub(super) fn api_available(object: &Value) -> Value {
    let found = object["status"]["conditions"]
        .as_array()
        .and_then(|l| l.iter().find(|c| c["type"] == "Available"));
    match found {
        None => "Unknown".into(),
        Some(c) if c["status"] == "True" => "True".into(),
        Some(c) => format!("{} ({})", plain(&c["status"]), plain(&c["reason"])).into(),
    }
}

pub(super) fn subjects(object: &Value, kind: &str) -> Value {
    let names: Vec<String> = object["subjects"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|s| s["kind"] == kind)
        .map(|s| {
            if kind == "ServiceAccount" {
                format!("{}/{}", plain(&s["namespace"]), plain(&s["name"]))
            } else {
                plain(&s["name"])
            }
        })
        .collect();
    json!(names.join(", "))
}
