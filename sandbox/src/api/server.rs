//! The server itself: sockets, TLS, HTTP, and what it is given at the start.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::{
    ApiError, Backend, RequestRecord, Tls, Transport,
    auth::{ACTOR, SharedTokens, Tokens, User},
    bootstrap, connection, delete,
    record::Recorder,
    store::Store,
};

/// How an API server begins.
pub struct ApiOptions {
    /// Where it listens; the same server answers on all of them. Port 0 takes a free port.
    pub listen: Vec<SocketAddr>,
    /// Authority and server certificate.
    pub tls: Tls,
    /// What `/version` says, such as `v1.36.2+k3s1`.
    pub version: String,
    /// Kubelets, Services and health behind the server.
    pub backend: Arc<dyn Backend>,
    /// Trouble on the wire.
    pub transport: Arc<dyn Transport>,
    /// Objects from an earlier life (see [`Store::dump`]); what every cluster has is added.
    pub objects: Vec<Value>,
    /// File that requests are appended to, one JSON object a line.
    pub record: Option<PathBuf>,
    /// Bearer token of the sandbox's own programs: `system:masters`, never disturbed, not recorded.
    pub actor_token: String,
    /// Bearer token of the administrator: `system:admin` of `system:masters`.
    pub admin_token: String,
}

/// What all connections share.
pub(crate) struct Core {
    pub(crate) store: Arc<Store>,
    pub(crate) tokens: SharedTokens,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) version: String,
    pub(crate) address: SocketAddr,
    pub(crate) ca: String,
    pub(crate) recorder: Recorder,
    /// Turns true when the server ends.
    pub(crate) ending: watch::Sender<bool>,
}

/// A running API server. Dropping it ends it too, without waiting.
pub struct ApiServer {
    core: Arc<Core>,
    addresses: Vec<SocketAddr>,
    admin_token: String,
    actor_token: String,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Starts a server; it answers when this returns.
    ///
    /// # Errors
    /// An address that cannot be listened on, a certificate that cannot be used, an object that cannot be held, a
    /// record that cannot be written.
    pub async fn start(options: ApiOptions) -> Result<Self, ApiError> {
        let acceptors = connection::Acceptors {
            usual: options.tls.acceptor()?,
            ending: options.tls.ending_acceptor()?,
        };
        let mut listeners = Vec::new();
        for address in &options.listen {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|source| ApiError::Listen {
                    address: *address,
                    source,
                })?;
            listeners.push(listener);
        }
        let bound = |listener: &TcpListener| {
            listener.local_addr().map_err(|source| ApiError::Listen {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                source,
            })
        };
        let addresses = listeners.iter().map(bound).collect::<Result<Vec<_>, _>>()?;
        let Some(address) = addresses.first().copied() else {
            return Err(ApiError::NoAddress);
        };

        let store = Arc::new(Store::new());
        store.trust(&options.tls.ca);
        store.load(options.objects)?;
        bootstrap::load(&store)?;
        let tokens = Arc::new(Tokens::default());
        tokens.add(
            &options.admin_token,
            User::new("system:admin", &["system:masters"]),
        );
        tokens.add(&options.actor_token, User::new(ACTOR, &["system:masters"]));
        let core = Arc::new(Core {
            store,
            tokens,
            backend: options.backend,
            transport: options.transport,
            version: options.version,
            address,
            ca: options.tls.ca,
            recorder: Recorder::open(options.record.as_deref())?,
            ending: watch::Sender::new(false),
        });
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(connection::accept(
                listener,
                acceptors.clone(),
                core.clone(),
            ));
        }
        tasks.spawn(sweep(core.clone()));
        Ok(Self {
            core,
            addresses,
            admin_token: options.admin_token,
            actor_token: options.actor_token,
            tasks,
        })
    }

    /// The objects.
    #[must_use]
    pub fn store(&self) -> Arc<Store> {
        self.core.store.clone()
    }

    /// Where the server answers, in the order that was asked for.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Every request so far, oldest first, without those of the sandbox's own programs.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.core.recorder.all()
    }

    /// Lets somebody in: whoever sends this bearer token is this user.
    pub fn add_user(&self, token: &str, name: &str, groups: &[&str]) {
        self.core.tokens.add(token, User::new(name, groups));
    }

    /// A kubeconfig with one context, for the user of a token.
    #[must_use]
    pub fn kubeconfig(&self, context: &str, user: &str, token: &str) -> String {
        use base64::Engine as _;
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.core.ca);
        // JSON is YAML; names and tokens need no thought about quoting.
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "preferences": {}, "current-context": context,
            "clusters": [{ "name": context, "cluster": { "server": format!("https://{}", self.core.address), "certificate-authority-data": ca } }],
            "contexts": [{ "name": context, "context": { "cluster": context, "user": user } }],
            "users": [{ "name": user, "user": { "token": token } }],
        });
        serde_json::to_string_pretty(&config).unwrap_or_default()
    }

    /// The kubeconfig of the administrator.
    #[must_use]
    pub fn admin_kubeconfig(&self, context: &str) -> String {
        self.kubeconfig(context, "admin", &self.admin_token)
    }

    /// The kubeconfig of the sandbox's own programs.
    #[must_use]
    pub fn actor_kubeconfig(&self, context: &str) -> String {
        self.kubeconfig(context, "actor", &self.actor_token)
    }

    /// Ends watches and connections, and returns when nothing listens any more.
    pub async fn shutdown(mut self) {
        self.core.ending.send_replace(true);
        self.tasks.shutdown().await;
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.core.ending.send_replace(true);
    }
}

/// Empties what is being deleted: namespaces and definitions with objects in them.
async fn sweep(core: Arc<Core>) {
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(50));
    pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        while delete::sweep(&core.store) {
            pause.tick().await;
        }
        core.store.sweep.notified().await;
    }
}
