//! What stands in the cluster before anything has happened: the objects that charts and k3s install. Pods, endpoints,
//! replicas and every status come from the actors.

mod crds;
mod flux;
mod ingress;
mod longhorn;
mod monitoring;
mod rbac;
mod system;
mod workload;

use serde_json::Value;

use super::cast::Cast;

/// Every object, those of definitions and namespaces first.
pub(crate) fn objects(cast: &Cast) -> Vec<Value> {
    let mut all = crds::objects();
    all.extend(system::objects(cast));
    all.extend(rbac::objects());
    all.extend(flux::objects(cast));
    all.extend(longhorn::objects());
    all.extend(ingress::objects());
    all.extend(monitoring::objects());
    all
}

/// Objects that a fault takes away and its end brings back: those of this seed with these kinds and names.
pub(crate) fn find(cast: &Cast, wanted: &[(&str, &str)]) -> Vec<Value> {
    objects(cast)
        .into_iter()
        .filter(|object| {
            wanted
                .iter()
                .any(|(kind, name)| object["kind"] == *kind && object["metadata"]["name"] == *name)
        })
        .collect()
}
