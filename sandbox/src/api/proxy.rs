//! `proxy` of nodes and services: found here, answered by what stands behind the server.

use std::sync::Arc;

use super::{
    Core, ProxyRequest, ServiceTarget, call::Call, handle::Answer, refusal::Refusal,
    resource::Resource,
};

/// Hands a request through.
pub(crate) async fn serve(
    core: &Arc<Core>,
    call: &Call,
    resource: &Resource,
    body: Vec<u8>,
) -> Result<Answer, Refusal> {
    let request = ProxyRequest {
        method: call.method.clone(),
        path: call.rest.clone(),
        query: call.query.0.clone(),
        body,
    };
    let response = match resource.plural.as_str() {
        "nodes" => {
            let (name, _) = call.name.split_once(':').unwrap_or((&call.name, ""));
            if core.store.get(resource, "", name).is_none() {
                return Err(Refusal::not_found("", "nodes", name));
            }
            core.backend.node_proxy(name.to_owned(), request).await
        }
        "services" => {
            let (name, port) = service_and_port(&call.name);
            let Some(service) = core.store.get(resource, &call.namespace, &name) else {
                return Err(Refusal::not_found("", "services", &name));
            };
            let ports = service["spec"]["ports"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let known = ports.iter().any(|p| {
                p["name"] == port.as_str() || p["port"] == port.parse::<u16>().unwrap_or(0)
            });
            let only = port.is_empty() && ports.len() == 1;
            if !known && !only {
                return Err(Refusal::unavailable(format!(
                    "no service port {port:?} found for service {name:?}"
                )));
            }
            if !has_ready_endpoint(core, &call.namespace, &name) {
                return Err(Refusal::unavailable(format!(
                    "no endpoints available for service {:?}",
                    call.name
                )));
            }
            core.backend
                .service_proxy(
                    ServiceTarget {
                        namespace: call.namespace.clone(),
                        name,
                        port,
                    },
                    request,
                )
                .await
        }
        _ => return Err(Refusal::no_such_resource()),
    };
    Ok(Answer::raw(
        response.status,
        &response.content_type,
        response.body,
    ))
}

/// Reads `[scheme:]name[:port]`.
fn service_and_port(text: &str) -> (String, String) {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [_, name, port] => ((*name).to_owned(), (*port).to_owned()),
        [name, port] => ((*name).to_owned(), (*port).to_owned()),
        _ => (text.to_owned(), String::new()),
    }
}

fn has_ready_endpoint(core: &Core, namespace: &str, service: &str) -> bool {
    core.store
        .all("discovery.k8s.io", "endpointslices", namespace)
        .iter()
        .any(|slice| {
            slice["metadata"]["labels"]["kubernetes.io/service-name"] == service
                && slice["endpoints"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|e| {
                        // Unknown readiness counts as ready.
                        e["conditions"]["ready"] != false
                    })
        })
}
