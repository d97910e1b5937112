//! The columns of built-in kinds.

use serde_json::{Value, json};

use super::{
    columns::{age, age_of, duration},
    pod_columns as pod,
    resource::Resource,
};

/// Name, type, priority (1 is shown by `-o wide` only), cell.
pub(crate) type Row = (&'static str, &'static str, i64, fn(&Value) -> Value);

const AGE: Row = ("Age", "string", 0, age);

/// The columns after the name; empty for kinds that have none of their own.
pub(crate) fn of(resource: &Resource) -> Vec<Row> {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "nodes") => vec![
            ("Status", "string", 0, node_status),
            ("Roles", "string", 0, node_roles),
            AGE,
            ("Version", "string", 0, |o| {
                o["status"]["nodeInfo"]["kubeletVersion"].clone()
            }),
            ("Internal-IP", "string", 1, |o| {
                node_address(o, "InternalIP")
            }),
            ("External-IP", "string", 1, |o| {
                node_address(o, "ExternalIP")
            }),
            ("OS-Image", "string", 1, |o| {
                known(&o["status"]["nodeInfo"]["osImage"])
            }),
            ("Kernel-Version", "string", 1, |o| {
                known(&o["status"]["nodeInfo"]["kernelVersion"])
            }),
            ("Container-Runtime", "string", 1, |o| {
                known(&o["status"]["nodeInfo"]["containerRuntimeVersion"])
            }),
        ],
        ("", "pods") => vec![
            ("Ready", "string", 0, pod::ready),
            ("Status", "string", 0, pod::status),
            ("Restarts", "string", 0, pod::restarts),
            AGE,
            ("IP", "string", 1, |o| none(&o["status"]["podIP"])),
            ("Node", "string", 1, |o| none(&o["spec"]["nodeName"])),
            ("Nominated Node", "string", 1, |o| {
                none(&o["status"]["nominatedNodeName"])
            }),
            ("Readiness Gates", "string", 1, |_| "<none>".into()),
        ],
        ("", "namespaces") => vec![
            ("Status", "string", 0, |o| o["status"]["phase"].clone()),
            AGE,
        ],
        ("", "services") => vec![
            ("Type", "string", 0, |o| o["spec"]["type"].clone()),
            ("Cluster-IP", "string", 0, |o| none(&o["spec"]["clusterIP"])),
            ("External-IP", "string", 0, service_external),
            ("Port(s)", "string", 0, service_ports),
            AGE,
            ("Selector", "string", 1, |o| pairs(&o["spec"]["selector"])),
        ],
        ("", "endpoints") => vec![("Endpoints", "string", 0, endpoints), AGE],
        ("", "secrets") => vec![
            ("Type", "string", 0, |o| o["type"].clone()),
            ("Data", "string", 0, |o| size(&o["data"])),
            AGE,
        ],
        ("", "configmaps") => {
            vec![
                ("Data", "string", 0, |o| {
                    (count(&o["data"]) + count(&o["binaryData"]))
                        .to_string()
                        .into()
                }),
                AGE,
            ]
        }
        ("", "serviceaccounts") => vec![("Secrets", "string", 0, |o| size(&o["secrets"])), AGE],
        ("", "events") | ("events.k8s.io", "events") => vec![
            ("Last Seen", "string", 0, last_seen),
            ("Type", "string", 0, |o| o["type"].clone()),
            ("Reason", "string", 0, |o| o["reason"].clone()),
            ("Object", "string", 0, involved),
            ("Subobject", "string", 1, |o| {
                o["involvedObject"]["fieldPath"]
                    .as_str()
                    .unwrap_or_default()
                    .into()
            }),
            ("Source", "string", 1, source),
            ("Message", "string", 0, |o| {
                o["message"].as_str().unwrap_or_default().trim().into()
            }),
            ("First Seen", "string", 1, first_seen),
            ("Count", "string", 1, |o| {
                o["count"].as_i64().unwrap_or(1).to_string().into()
            }),
        ],
        ("", "persistentvolumeclaims") => vec![
            ("Status", "string", 0, |o| {
                going_or(o, &o["status"]["phase"])
            }),
            ("Volume", "string", 0, |o| text(&o["spec"]["volumeName"])),
            ("Capacity", "string", 0, |o| {
                text(&o["status"]["capacity"]["storage"])
            }),
            ("Access Modes", "string", 0, |o| {
                modes(&o["status"]["accessModes"])
            }),
            ("StorageClass", "string", 0, |o| {
                text(&o["spec"]["storageClassName"])
            }),
            ("VolumeAttributesClass", "string", 0, |_| "<unset>".into()),
            AGE,
            ("VolumeMode", "string", 1, |o| {
                text(&o["spec"]["volumeMode"])
            }),
        ],
        ("", "persistentvolumes") => vec![
            ("Capacity", "string", 0, |o| {
                text(&o["spec"]["capacity"]["storage"])
            }),
            ("Access Modes", "string", 0, |o| {
                modes(&o["spec"]["accessModes"])
            }),
            ("Reclaim Policy", "string", 0, |o| {
                text(&o["spec"]["persistentVolumeReclaimPolicy"])
            }),
            ("Status", "string", 0, |o| {
                going_or(o, &o["status"]["phase"])
            }),
            ("Claim", "string", 0, claim),
            ("StorageClass", "string", 0, |o| {
                text(&o["spec"]["storageClassName"])
            }),
            ("VolumeAttributesClass", "string", 0, |_| "<unset>".into()),
            ("Reason", "string", 0, |o| text(&o["status"]["reason"])),
            AGE,
            ("VolumeMode", "string", 1, |o| {
                text(&o["spec"]["volumeMode"])
            }),
        ],
        ("apps", "deployments") => vec![
            ("Ready", "string", 0, |o| {
                of_wanted(&o["status"]["readyReplicas"], &o["spec"]["replicas"])
            }),
            ("Up-to-date", "string", 0, |o| {
                number(&o["status"]["updatedReplicas"])
            }),
            ("Available", "string", 0, |o| {
                number(&o["status"]["availableReplicas"])
            }),
            AGE,
            ("Containers", "string", 1, |o| containers(o, "name")),
            ("Images", "string", 1, |o| containers(o, "image")),
            ("Selector", "string", 1, |o| {
                pairs(&o["spec"]["selector"]["matchLabels"])
            }),
        ],
        ("apps", "statefulsets") => vec![
            ("Ready", "string", 0, |o| {
                of_wanted(&o["status"]["readyReplicas"], &o["spec"]["replicas"])
            }),
            AGE,
            ("Containers", "string", 1, |o| containers(o, "name")),
            ("Images", "string", 1, |o| containers(o, "image")),
        ],
        ("apps", "replicasets") => vec![
            ("Desired", "integer", 0, |o| number(&o["spec"]["replicas"])),
            ("Current", "integer", 0, |o| {
                number(&o["status"]["replicas"])
            }),
            ("Ready", "integer", 0, |o| {
                number(&o["status"]["readyReplicas"])
            }),
            AGE,
            ("Containers", "string", 1, |o| containers(o, "name")),
            ("Images", "string", 1, |o| containers(o, "image")),
            ("Selector", "string", 1, |o| {
                pairs(&o["spec"]["selector"]["matchLabels"])
            }),
        ],
        ("apps", "daemonsets") => vec![
            ("Desired", "integer", 0, |o| {
                number(&o["status"]["desiredNumberScheduled"])
            }),
            ("Current", "integer", 0, |o| {
                number(&o["status"]["currentNumberScheduled"])
            }),
            ("Ready", "integer", 0, |o| {
                number(&o["status"]["numberReady"])
            }),
            ("Up-to-date", "integer", 0, |o| {
                number(&o["status"]["updatedNumberScheduled"])
            }),
            ("Available", "integer", 0, |o| {
                number(&o["status"]["numberAvailable"])
            }),
            ("Node Selector", "string", 0, |o| {
                pairs(&o["spec"]["template"]["spec"]["nodeSelector"])
            }),
            AGE,
            ("Containers", "string", 1, |o| containers(o, "name")),
            ("Images", "string", 1, |o| containers(o, "image")),
            ("Selector", "string", 1, |o| {
                pairs(&o["spec"]["selector"]["matchLabels"])
            }),
        ],
        ("batch", "jobs") => vec![
            ("Status", "string", 0, job_status),
            ("Completions", "string", 0, |o| {
                of_wanted(&o["status"]["succeeded"], &o["spec"]["completions"])
            }),
            ("Duration", "string", 0, job_duration),
            AGE,
            ("Containers", "string", 1, |o| containers(o, "name")),
            ("Images", "string", 1, |o| containers(o, "image")),
        ],
        ("policy", "poddisruptionbudgets") => vec![
            ("Min Available", "string", 0, |o| {
                available(&o["spec"]["minAvailable"])
            }),
            ("Max Unavailable", "string", 0, |o| {
                available(&o["spec"]["maxUnavailable"])
            }),
            ("Allowed Disruptions", "integer", 0, |o| {
                number(&o["status"]["disruptionsAllowed"])
            }),
            AGE,
        ],
        ("coordination.k8s.io", "leases") => vec![
            ("Holder", "string", 0, |o| {
                text(&o["spec"]["holderIdentity"])
            }),
            AGE,
        ],
        ("discovery.k8s.io", "endpointslices") => vec![
            ("AddressType", "string", 0, |o| text(&o["addressType"])),
            ("Ports", "string", 0, |o| {
                join(&o["ports"], |p| plain(&p["port"]))
            }),
            ("Endpoints", "string", 0, |o| {
                join(&o["endpoints"], |e| plain(&e["addresses"][0]))
            }),
            AGE,
        ],
        ("storage.k8s.io", "storageclasses") => vec![
            ("Provisioner", "string", 0, |o| text(&o["provisioner"])),
            ("ReclaimPolicy", "string", 0, |o| text(&o["reclaimPolicy"])),
            ("VolumeBindingMode", "string", 0, |o| {
                text(&o["volumeBindingMode"])
            }),
            ("AllowVolumeExpansion", "string", 0, |o| {
                (o["allowVolumeExpansion"] == true).into()
            }),
            AGE,
        ],
        ("storage.k8s.io", "csinodes") => vec![
            ("Drivers", "integer", 0, |o| {
                count(&o["spec"]["drivers"]).into()
            }),
            AGE,
        ],
        ("storage.k8s.io", "volumeattachments") => vec![
            ("Attacher", "string", 0, |o| text(&o["spec"]["attacher"])),
            ("PV", "string", 0, |o| {
                text(&o["spec"]["source"]["persistentVolumeName"])
            }),
            ("Node", "string", 0, |o| text(&o["spec"]["nodeName"])),
            ("Attached", "boolean", 0, |o| {
                (o["status"]["attached"] == true).into()
            }),
            AGE,
        ],
        ("networking.k8s.io", "networkpolicies") => {
            vec![
                ("Pod-Selector", "string", 0, |o| {
                    pairs(&o["spec"]["podSelector"]["matchLabels"])
                }),
                AGE,
            ]
        }
        ("networking.k8s.io", "ingresses") => vec![
            ("Class", "string", 0, |o| {
                none(&o["spec"]["ingressClassName"])
            }),
            ("Hosts", "string", 0, |o| {
                join(&o["spec"]["rules"], |r| {
                    r["host"].as_str().unwrap_or("*").to_owned()
                })
            }),
            ("Address", "string", 0, |o| {
                join_or(
                    &o["status"]["loadBalancer"]["ingress"],
                    |i| plain(&i["ip"]),
                    "",
                )
            }),
            ("Ports", "string", 0, |o| {
                if o["spec"]["tls"].is_array() {
                    "80, 443".into()
                } else {
                    "80".into()
                }
            }),
            AGE,
        ],
        ("apiregistration.k8s.io", _) => vec![
            ("Service", "string", 0, api_service),
            ("Available", "string", 0, api_available),
            AGE,
        ],
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => vec![
            ("Role", "string", 0, |o| {
                format!(
                    "{}/{}",
                    plain(&o["roleRef"]["kind"]),
                    plain(&o["roleRef"]["name"])
                )
                .into()
            }),
            AGE,
            ("Users", "string", 1, |o| subjects(o, "User")),
            ("Groups", "string", 1, |o| subjects(o, "Group")),
            ("ServiceAccounts", "string", 1, |o| {
                subjects(o, "ServiceAccount")
            }),
        ],
        ("rbac.authorization.k8s.io" | "apiextensions.k8s.io", _) => {
            vec![("Created At", "date", 0, |o| {
                o["metadata"]["creationTimestamp"].clone()
            })]
        }
        ("certificates.k8s.io", _) => vec![
            AGE,
            ("SignerName", "string", 0, |o| {
                text(&o["spec"]["signerName"])
            }),
            ("Requestor", "string", 0, |o| text(&o["spec"]["username"])),
            ("Condition", "string", 0, |o| {
                join_or(&o["status"]["conditions"], |c| plain(&c["type"]), "Pending")
            }),
        ],
        ("scheduling.k8s.io", _) => vec![
            ("Value", "integer", 0, |o| o["value"].clone()),
            ("Global-Default", "boolean", 0, |o| {
                (o["globalDefault"] == true).into()
            }),
            AGE,
        ],
        _ => vec![AGE],
    }
}

fn plain(value: &Value) -> String {
    if value.is_null() {
        String::new()
    } else {
        super::jsonpath::text(value)
    }
}

fn text(value: &Value) -> Value {
    plain(value).into()
}

fn none(value: &Value) -> Value {
    value
        .as_str()
        .filter(|t| !t.is_empty())
        .unwrap_or("<none>")
        .into()
}

fn known(value: &Value) -> Value {
    value
        .as_str()
        .filter(|t| !t.is_empty())
        .unwrap_or("<unknown>")
        .into()
}

fn number(value: &Value) -> Value {
    value.as_i64().unwrap_or(0).into()
}

fn count(value: &Value) -> usize {
    value
        .as_array()
        .map(Vec::len)
        .or_else(|| value.as_object().map(serde_json::Map::len))
        .unwrap_or(0)
}

fn size(value: &Value) -> Value {
    count(value).to_string().into()
}

fn of_wanted(have: &Value, wanted: &Value) -> Value {
    format!(
        "{}/{}",
        have.as_i64().unwrap_or(0),
        wanted.as_i64().unwrap_or(1)
    )
    .into()
}

fn available(value: &Value) -> Value {
    if value.is_null() {
        "N/A".into()
    } else {
        text(value)
    }
}

fn pairs(map: &Value) -> Value {
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

fn join_or(list: &Value, item: fn(&Value) -> String, empty: &str) -> Value {
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

fn join(list: &Value, item: fn(&Value) -> String) -> Value {
    join_or(list, item, "<unset>")
}

fn containers(object: &Value, field: &str) -> Value {
    let list = object["spec"]["template"]["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten();
    list.map(|c| plain(&c[field]))
        .collect::<Vec<_>>()
        .join(",")
        .into()
}

fn going_or(object: &Value, phase: &Value) -> Value {
    if object["metadata"].get("deletionTimestamp").is_some() {
        "Terminating".into()
    } else {
        phase.clone()
    }
}

fn modes(list: &Value) -> Value {
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

fn claim(object: &Value) -> Value {
    let claim = &object["spec"]["claimRef"];
    if claim.is_object() {
        format!("{}/{}", plain(&claim["namespace"]), plain(&claim["name"])).into()
    } else {
        "".into()
    }
}

fn node_status(object: &Value) -> Value {
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

fn node_roles(object: &Value) -> Value {
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

fn node_address(object: &Value, kind: &str) -> Value {
    let found = object["status"]["addresses"]
        .as_array()
        .and_then(|list| list.iter().find(|a| a["type"] == kind));
    found.map_or_else(|| "<none>".into(), |a| a["address"].clone())
}

fn service_external(object: &Value) -> Value {
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

fn service_ports(object: &Value) -> Value {
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

fn endpoints(object: &Value) -> Value {
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

fn event_time(object: &Value, fields: &[&str]) -> Value {
    let found = fields
        .iter()
        .find_map(|field| object.pointer(field).and_then(Value::as_str));
    found.map_or_else(|| age(object), |time| age_of(time).into())
}

fn last_seen(object: &Value) -> Value {
    event_time(
        object,
        &["/series/lastObservedTime", "/lastTimestamp", "/eventTime"],
    )
}

fn first_seen(object: &Value) -> Value {
    event_time(object, &["/firstTimestamp", "/eventTime"])
}

fn involved(object: &Value) -> Value {
    let about = &object["involvedObject"];
    format!(
        "{}/{}",
        plain(&about["kind"]).to_lowercase(),
        plain(&about["name"])
    )
    .into()
}

fn source(object: &Value) -> Value {
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

fn job_status(object: &Value) -> Value {
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

fn job_duration(object: &Value) -> Value {
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

fn api_service(object: &Value) -> Value {
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

fn api_available(object: &Value) -> Value {
    let found = object["status"]["conditions"]
        .as_array()
        .and_then(|l| l.iter().find(|c| c["type"] == "Available"));
    match found {
        None => "Unknown".into(),
        Some(c) if c["status"] == "True" => "True".into(),
        Some(c) => format!("{} ({})", plain(&c["status"]), plain(&c["reason"])).into(),
    }
}

fn subjects(object: &Value, kind: &str) -> Value {
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
