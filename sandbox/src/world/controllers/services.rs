//! Services: addresses, and the EndpointSlices that say which pods stand behind them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{
    kinds::{PODS, SERVICES, SLICES},
    make::{
        deleting, entries, items, name, namespace, object, owned_by, stable, stable_hex, text,
        would_change,
    },
    pods,
    scene::{Change, Scene},
};

/// Gives a cluster address to a Service that has none.
pub(crate) fn addresses(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let services = scene.list(&SERVICES);
    let mut taken: BTreeSet<String> = services
        .iter()
        .map(|it| text(&it["spec"]["clusterIP"]).to_owned())
        .collect();
    for service in &services {
        if !text(&service["spec"]["clusterIP"]).is_empty()
            || service["spec"]["type"] == "ExternalName"
        {
            continue;
        }
        let mut seed = stable(&format!("{}/{}", namespace(service), name(service)));
        let address = loop {
            let candidate = format!("10.43.{}.{}", seed / 256 % 255, 2 + seed % 250);
            if taken.insert(candidate.clone()) {
                break candidate;
            }
            seed += 1;
        };
        let patch = json!({"spec": {
            "clusterIP": address, "clusterIPs": [address], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
        }});
        changes.push(Change::spec(&SERVICES, service, patch));
    }
}

pub(crate) fn endpoints(scene: &Scene<'_>, changes: &mut Vec<Change>) {
    let all = scene.list(&PODS);
    for service in scene.list(&SERVICES) {
        if service["spec"]["selector"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
            || deleting(&service)
        {
            continue;
        }
        let cut =
            name(&service) == "longhorn-admission-webhook" && scene.fault("longhorn-webhook-down");
        let behind: Vec<_> = all
            .iter()
            .filter(|pod| {
                namespace(pod) == namespace(&service)
                    && entries(&service["spec"]["selector"])
                        .all(|(key, value)| &pod["metadata"]["labels"][key] == value)
                    && !text(&pod["status"]["podIP"]).is_empty()
                    && !pods::is_finished(pod)
            })
            .collect();
        let endpoints: Vec<Value> = behind
            .iter()
            .map(|pod| {
                let ready = pods::is_ready(pod) && !cut;
                json!({
                    "addresses": [pod["status"]["podIP"]], "nodeName": pod["spec"]["nodeName"],
                    "conditions": {"ready": ready, "serving": ready, "terminating": deleting(pod)},
                    "targetRef": {
                        "kind": "Pod", "name": name(pod), "namespace": namespace(pod), "uid": pod["metadata"]["uid"],
                    },
                })
            })
            .collect();
        let ports: Vec<Value> = items(&service["spec"]["ports"])
            .iter()
            .map(|port| {
                let protocol = port["protocol"].as_str().unwrap_or("TCP");
                json!({
                    "name": text(&port["name"]), "protocol": protocol,
                    "port": target_port(port, behind.first().map(|pod| &***pod)),
                })
            })
            .collect();
        let slice = format!(
            "{}-{}",
            name(&service),
            stable_hex(&format!("{}/{}", namespace(&service), name(&service)), 5)
        );
        match scene.get(&SLICES, namespace(&service), &slice) {
            Some(there) => {
                let patch = json!({"endpoints": endpoints, "ports": ports});
                if would_change(&there, &patch) {
                    changes.push(Change::spec(&SLICES, &there, patch));
                }
            }
            None => changes.push(Change::Create(object(
                "discovery.k8s.io/v1",
                "EndpointSlice",
                namespace(&service),
                &slice,
                json!({
                    "metadata": {
                        "labels": {
                            "kubernetes.io/service-name": name(&service),
                            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                        },
                        "ownerReferences": owned_by(&service),
                    },
                    "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
                }),
            ))),
        }
    }
}

fn target_port(port: &Value, pod: Option<&Value>) -> Value {
    match (&port["targetPort"], pod) {
        (Value::String(wanted), Some(pod)) => items(&pod["spec"]["containers"])
            .iter()
            .flat_map(|container| items(&container["ports"]))
            .find(|it| it["name"] == wanted.as_str())
            .map_or_else(|| port["port"].clone(), |it| it["containerPort"].clone()),
        (Value::Number(number), _) => Value::Number(number.clone()),
        _ => port["port"].clone(),
    }
}
