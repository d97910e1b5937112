//! The Kubernetes API server of the sandbox.
//!
//! It holds objects, versions them, tells watchers, evaluates RBAC and answers the way a real API server answers, as
//! far as `kubectl` and kube-rs look. It starts no pod and heals nothing: that is what the actors in [`crate::world`]
//! do, through this API like everybody else.

use std::collections::BTreeMap;

use futures::future::BoxFuture;

mod accept;
mod apply;
mod auth;
mod bootstrap;
mod builtin;
mod call;
mod cells;
mod columns;
mod columns_builtin;
mod connection;
mod defaults;
mod defaults_pods;
mod delete;
mod discovery;
mod eviction;
mod fields;
mod form;
mod handle;
mod jsonpath;
mod listing;
pub(crate) mod longhorn_guard;
mod node_authorizer;
mod node_restriction;
mod openapi;
mod options;
mod patch;
mod plain;
mod pod_columns;
mod pod_security;
mod protobuf;
mod protobuf_messages;
mod proxy;
mod quantity;
mod quota;
mod rbac;
mod read;
mod record;
mod refusal;
mod resource;
mod reviews;
mod selector;
mod server;
mod shapes;
mod shapes_kinds;
mod store;
mod strategic;
mod strict;
mod subresource;
mod table;
mod tls;
mod transaction;
mod typing;
mod validate;
mod watch;
mod write;
mod zeros;

/// Decoded query parameters.
pub(crate) fn query(text: &str) -> Vec<(String, String)> {
    call::Query::parse(text).0
}

pub(crate) use server::Core;
pub use server::{ApiOptions, ApiServer};
pub use shapes::fields_of;
pub use store::{LoadError, Store};
pub use tls::Tls;

/// What stands behind the API server: the kubelets and the Services that it proxies to, and its own health.
pub trait Backend: Send + Sync + 'static {
    /// Answers `/api/v1/nodes/{node}/proxy/...`. A node that cannot be reached is a 502 or 503 with a message.
    fn node_proxy(&self, node: String, request: ProxyRequest) -> BoxFuture<'static, ProxyResponse>;

    /// Answers `/api/v1/namespaces/{namespace}/services/[scheme:]{name}[:{port}]/proxy/...` once the server has found
    /// that the Service exists and has a ready endpoint (without one the server answers 503 by itself).
    fn service_proxy(
        &self,
        target: ServiceTarget,
        request: ProxyRequest,
    ) -> BoxFuture<'static, ProxyResponse>;

    /// The health checks behind `/readyz` and `/livez`, in order: name, and why it fails if it does.
    fn health(&self) -> Vec<(String, Result<(), String>)>;
}

/// The Service that a proxied request goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTarget {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
    /// The port as the request gave it: a number or a name, empty when it gave none.
    pub port: String,
}

/// A request that the API server hands through. The `Authorization` header is gone, as on a real server.
#[derive(Clone, Debug)]
pub struct ProxyRequest {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// The path after `proxy`, with its leading slash.
    pub path: String,
    /// The decoded query parameters.
    pub query: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// What a proxied request came back with.
#[derive(Clone, Debug)]
pub struct ProxyResponse {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// Trouble on the wire between a client and the API server, asked once for every request before it is handled.
/// Actors are exempt: they authenticate as `system:masters` with the certificate or token of the sandbox itself.
pub trait Transport: Send + Sync + 'static {
    /// What happens to this request.
    fn disturb(&self, method: &str, path: &str) -> Disturbance;
    /// Another release than the server's own that `/version` tells.
    fn version(&self) -> Option<String> {
        None
    }
    /// By how many seconds the server's clock is ahead in its answers.
    fn ahead(&self) -> i64 {
        0
    }
    /// Whether a group is not served to anybody but actors, as if its definitions were gone.
    fn hides(&self, _group: &str) -> bool {
        false
    }
    /// The group that is left to an administrator who has lost his rights.
    fn demotes(&self) -> Option<&'static str> {
        None
    }
    /// Whether the server shows a certificate that ends within days.
    fn certificate_ends(&self) -> bool {
        false
    }
}

/// What the wire does to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Nothing.
    None,
    /// Answered with this status (429 carries `Retry-After`) before the server has looked at it.
    Answer(u16),
    /// The connection is closed without an answer; the server has not looked at it.
    Reset,
    /// Handled, and the connection is closed before the answer has gone out.
    Lost,
    /// Handled, after this long.
    Slow(std::time::Duration),
    /// Only for watches: answered 410 Expired as if the resource version were too old.
    StaleWatch,
}

/// One request as the server saw it, for tests and for `--sandbox-serve`'s record.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct RequestRecord {
    /// Who asked: user name after authentication, `system:anonymous` without.
    pub user: String,
    /// The client's `User-Agent`, empty without.
    pub agent: String,
    /// Kubernetes verb: `get list watch create update patch delete deletecollection`, or the lower-case HTTP method
    /// for a path that is no resource.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// Plural resource with subresource (`nodes/proxy`), empty for a path that is no resource.
    pub resource: String,
    /// Namespace, empty for cluster scope.
    pub namespace: String,
    /// Object name, empty for collections.
    pub name: String,
    /// The path with its query.
    pub path: String,
    /// Whether it was sent with `dryRun=All`.
    pub dry_run: bool,
    /// The HTTP status that was answered.
    pub status: u16,
}

impl RequestRecord {
    /// Whether this request could change an object: not a read, not an access review, not a dry run.
    #[must_use]
    pub fn mutates(&self) -> bool {
        !self.dry_run
            && matches!(
                self.verb.as_str(),
                "create" | "update" | "patch" | "delete" | "deletecollection"
            )
            && self.group != "authorization.k8s.io"
            && self.group != "authentication.k8s.io"
    }
}

/// Labels as they stand in object metadata.
pub type Labels = BTreeMap<String, String>;

/// Why an API server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// No address was given.
    #[error("no address to listen on was given")]
    NoAddress,
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A stored certificate or key could not be read.
    #[error("cannot read the stored certificate or key: {0}")]
    Pem(String),
    /// A certificate could not be used.
    #[error("cannot use the certificate: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
    /// An object could not be held.
    #[error(transparent)]
    Object(#[from] LoadError),
    /// The record of requests could not be opened.
    #[error("cannot append to the record of requests {path}: {source}")]
    Record {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A ClusterRole as it is read: an aggregated one shows the rules of those that it selects.
pub(crate) fn rbac_view(
    store: &Store,
    resource: &resource::Resource,
    object: std::sync::Arc<serde_json::Value>,
) -> std::sync::Arc<serde_json::Value> {
    if resource.plural != "clusterroles" || !object["aggregationRule"].is_object() {
        return object;
    }
    let mut role = (*object).clone();
    role["rules"] = rbac::aggregated_rules(store, &object, 0).into();
    std::sync::Arc::new(role)
}
