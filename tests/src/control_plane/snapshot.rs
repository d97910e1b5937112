//! What a cluster holds, taken out of etcd and put back, so that many tests share one control plane.
//!
//! Only what differs is written, each key as a write of its own: the API server and the controllers follow as they
//! follow any other change.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::{ControlPlane, ControlPlaneError};

/// Keys and values, as etcd has them.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot(BTreeMap<String, Vec<u8>>);

/// What belongs to the running programs and not to the cluster, or comes with a lease that is over.
const LEFT_ALONE: &[&str] = &[
    "/registry/leases/kube-system/apiserver-",
    "/registry/masterleases/",
    "/registry/events/",
    "/registry/endpointslices/default/kubernetes",
    "/registry/services/endpoints/default/kubernetes",
];

/// In this order keys are written, and those that are too many are removed: owners before what they own, and nodes
/// before their pods, which nobody shall place anew.
const ORDER: &[&str] = &[
    "/registry/namespaces/",
    "/registry/minions/",
    "/registry/longhorn.io/volumes/",
    "/registry/longhorn.io/instancemanagers/",
    "/registry/deployments/",
    "/registry/daemonsets/",
    "/registry/statefulsets/",
    "/registry/controllerrevisions/",
    "/registry/replicasets/",
    "/registry/services/specs/",
    "/registry/persistentvolumeclaims/",
    "/registry/persistentvolumes/",
    "/registry/pods/",
];

/// Whose controller remembers the newest generation that it wrote, and does nothing about a Service whose slices are
/// older: for it to forget, they have to go first.
const FORGOTTEN_FIRST: &str = "/registry/endpointslices/";

fn rank(key: &str) -> usize {
    ORDER
        .iter()
        .position(|prefix| key.starts_with(prefix))
        .unwrap_or(ORDER.len())
}

impl ControlPlane {
    fn store(&self) -> Result<Client, ControlPlaneError> {
        let failed = |error: &dyn std::fmt::Display| {
            ControlPlaneError::new(format!("has no client for etcd: {error}"))
        };
        let url = self.etcd.parse().map_err(|error| failed(&error))?;
        let mut config = Config::new(url);
        config.read_timeout = Some(Duration::from_secs(30));
        config.default_retry = false;
        Client::try_from(config).map_err(|error| failed(&error))
    }

    /// What the cluster holds now.
    ///
    /// # Errors
    /// etcd does not answer.
    pub(crate) async fn take(&self) -> Result<Snapshot, ControlPlaneError> {
        Ok(Snapshot(read(&self.store()?).await?))
    }

    /// Makes the cluster hold what it held; how many keys were written and removed.
    ///
    /// # Errors
    /// etcd does not answer.
    pub(crate) async fn put_back(&self, snapshot: &Snapshot) -> Result<usize, ControlPlaneError> {
        let store = self.store()?;
        let now = read(&store).await?;
        let mut written: Vec<(&String, &Vec<u8>)> = snapshot
            .0
            .iter()
            .filter(|(key, value)| now.get(*key) != Some(*value))
            .collect();
        written.sort_by_key(|(key, _)| rank(key));
        let mut removed: Vec<&String> = now
            .keys()
            .filter(|key| !snapshot.0.contains_key(*key))
            .collect();
        removed.sort_by_key(|key| rank(key));
        let count = written.len() + removed.len();
        for (key, value) in written {
            if key.starts_with(FORGOTTEN_FIRST) && now.contains_key(key) {
                let body = json!({"key": STANDARD.encode(key)});
                ask(&store, "/v3/kv/deleterange", &body).await?;
            }
            let body = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(value)});
            ask(&store, "/v3/kv/put", &body).await?;
        }
        for key in removed {
            let body = json!({"key": STANDARD.encode(key)});
            ask(&store, "/v3/kv/deleterange", &body).await?;
        }
        Ok(count)
    }
}

async fn read(store: &Client) -> Result<BTreeMap<String, Vec<u8>>, ControlPlaneError> {
    let strange = |what: &dyn std::fmt::Display| {
        ControlPlaneError::new(format!("keeps what cannot be read: {what}"))
    };
    // From the first key of Kubernetes to the first one after the last.
    let range =
        json!({"key": STANDARD.encode("/registry/"), "range_end": STANDARD.encode("/registry0")});
    let answer = ask(store, "/v3/kv/range", &range).await?;
    let mut found = BTreeMap::new();
    for pair in answer["kvs"].as_array().into_iter().flatten() {
        let decoded = |part: &str| {
            let text = pair[part].as_str().unwrap_or_default();
            STANDARD.decode(text).map_err(|error| strange(&error))
        };
        let key = String::from_utf8(decoded("key")?).map_err(|error| strange(&error))?;
        if !LEFT_ALONE.iter().any(|prefix| key.starts_with(prefix)) {
            found.insert(key, decoded("value")?);
        }
    }
    Ok(found)
}

async fn ask(store: &Client, path: &str, body: &Value) -> Result<Value, ControlPlaneError> {
    let failed =
        |error: &dyn std::fmt::Display| ControlPlaneError::new(format!("{path} of etcd: {error}"));
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .map_err(|error| failed(&error))?;
    store.request(request).await.map_err(|error| failed(&error))
}
