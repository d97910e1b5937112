//! The columns of built-in kinds.

use serde_json::Value;

use super::{
    cells::{
        api_available, api_service, available, claim, containers, count, endpoints, first_seen,
        going_or, involved, job_duration, job_status, join, join_or, known, last_seen, modes,
        node_address, node_roles, node_status, none, number, of_wanted, pairs, plain,
        service_external, service_ports, size, source, subjects, text,
    },
    columns::{age, age_of},
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
                text(&o["status"]["nodeInfo"]["kubeletVersion"])
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
            ("Name", "string", 1, |o| o["metadata"]["name"].clone()),
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
            ("Selector", "string", 1, |o| {
                pairs(&o["spec"]["selector"]["matchLabels"])
            }),
        ],
        ("batch", "cronjobs") => vec![
            ("Schedule", "string", 0, |o| text(&o["spec"]["schedule"])),
            ("Timezone", "string", 0, |o| none(&o["spec"]["timeZone"])),
            ("Suspend", "string", 0, |o| {
                (if o["spec"]["suspend"] == true {
                    "True"
                } else {
                    "False"
                })
                .into()
            }),
            ("Active", "integer", 0, |o| {
                count(&o["status"]["active"]).into()
            }),
            (
                "Last Schedule",
                "string",
                0,
                |o| match o["status"]["lastScheduleTime"].as_str() {
                    Some(time) => age_of(time).into(),
                    None => "<none>".into(),
                },
            ),
            AGE,
            ("Containers", "string", 1, |o| {
                containers(&o["spec"]["jobTemplate"], "name")
            }),
            ("Images", "string", 1, |o| {
                containers(&o["spec"]["jobTemplate"], "image")
            }),
            ("Selector", "string", 1, |o| {
                pairs(&o["spec"]["jobTemplate"]["spec"]["selector"]["matchLabels"])
            }),
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
