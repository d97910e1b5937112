//! A real control plane for one test: etcd and kube-apiserver, and the controllers of Kubernetes when asked for.
//!
//! The programs come from the folder that `KUBEBUILDER_ASSETS` names, laid out as `setup-envtest` does it. They listen
//! on free ports of 127.0.0.1, keep everything in a temporary folder and end with the value.

mod certificates;
pub mod network;
mod processes;
pub(crate) mod snapshot;

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use kube::{Client, Config, config::Kubeconfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use certificates::Authority;
use processes::{Processes, Program};

/// The variable that names the folder of the programs.
pub const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// Who the controllers and the machines are.
pub const PROGRAMS: &str = "test-programs";

/// How long the API server may take until it is ready. A busy machine of two cores needs some 20 s.
const LIMIT: Duration = Duration::from_secs(180);

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
#[error("the control plane {0}")]
pub struct ControlPlaneError(String);

impl ControlPlaneError {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Which programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// etcd and kube-apiserver: nothing changes an object but the test.
    Server,
    /// Also kube-controller-manager and kube-scheduler, when they are in the folder.
    All,
    /// All of them, set up for machines that have these addresses: the API server listens on the control-plane node's,
    /// sends requests for nodes and Services to their own addresses, and writes an
    /// audit log; the controllers wait shorter than they do elsewhere.
    Machines(network::Place),
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    /// End first: they are clients of the others.
    controllers: Processes,
    /// End before the folder goes, which they write into.
    processes: Processes,
    url: String,
    etcd: String,
    authority: Authority,
    root: TempDir,
}

/// The folder of the programs, when the variable names one that has an API server in it.
///
/// # Errors
/// One line that says what is not there.
pub fn assets() -> Result<PathBuf, String> {
    let Some(named) = std::env::var_os(ASSETS).filter(|value| !value.is_empty()) else {
        return Err(format!(
            "{ASSETS} is not set; `just control-plane` builds a control plane and says what to set"
        ));
    };
    let dir = PathBuf::from(named);
    for program in ["etcd", "kube-apiserver"] {
        if !dir.join(program).is_file() {
            return Err(format!(
                "{ASSETS} is {}, and there is no {program} in it",
                dir.display()
            ));
        }
    }
    Ok(dir)
}

impl ControlPlane {
    /// Starts one, and returns once its API server says that it is ready.
    ///
    /// # Errors
    /// No programs, no free ports, or a program that ended: with the end of its log.
    pub async fn start(parts: Parts) -> Result<Self, ControlPlaneError> {
        let assets = assets().map_err(ControlPlaneError::new)?;
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::attempt(&assets, parts).await {
                // Between finding a port free and listening on it somebody else may take it.
                Err(ControlPlaneError(why))
                    if tries < 3 && why.contains("address already in use") => {}
                other => return other,
            }
        }
    }

    async fn attempt(assets: &Path, parts: Parts) -> Result<Self, ControlPlaneError> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: std::io::Error| ControlPlaneError::new(format!("has no {what}: {error}"))
        };
        let root = tempfile::Builder::new()
            .prefix("onboarding-control-plane-")
            .tempdir()
            .map_err(failed("temporary folder"))?;
        let [etcd, peer, free] = free_ports().map_err(failed("free ports"))?;
        let machines = match parts {
            Parts::Machines(place) => Some(place),
            Parts::Server | Parts::All => None,
        };
        // In a network of its own every port is free, and agents join at this one.
        let (host, port) = match machines {
            Some(place) => (place.control_plane(), 6443),
            None => (Ipv4Addr::LOCALHOST, free),
        };
        let authority = Authority::new()
            .map_err(|error| ControlPlaneError::new(format!("has no certificates: {error}")))?;
        for (name, text) in authority.files() {
            write_private(&root.path().join(name), text).map_err(failed(name))?;
        }
        let url = format!("https://{host}:{port}");
        let folder = root.path().to_owned();
        let path = |name: &str| folder.join(name).display().to_string();
        for (name, user) in [
            ("kubeconfig", &authority.admin),
            ("kubeconfig-programs", &authority.programs),
        ] {
            let text = kubeconfig(&url, &authority, user);
            write_private(&root.path().join(name), &text).map_err(failed("kubeconfig"))?;
        }

        let programs = vec![
            Program::new(assets, "etcd", root.path())
                .flag("data-dir", path("etcd"))
                .flag("name", "test")
                .flag("listen-client-urls", format!("http://127.0.0.1:{etcd}"))
                .flag("advertise-client-urls", format!("http://127.0.0.1:{etcd}"))
                .flag("listen-peer-urls", format!("http://127.0.0.1:{peer}"))
                .flag(
                    "initial-advertise-peer-urls",
                    format!("http://127.0.0.1:{peer}"),
                )
                .flag("initial-cluster", format!("test=http://127.0.0.1:{peer}"))
                .flag("log-level", "warn")
                .flag("unsafe-no-fsync", "true"),
            api_server(
                Program::new(assets, "kube-apiserver", root.path()),
                root.path(),
                machines,
            )
            .map_err(failed("audit policy"))?
            .flag("etcd-servers", format!("http://127.0.0.1:{etcd}"))
            .flag("secure-port", port.to_string())
            .flag("authorization-mode", "Node,RBAC")
            .flag("client-ca-file", path("ca.crt"))
            .flag("tls-cert-file", path("server.crt"))
            .flag("tls-private-key-file", path("server.key"))
            .flag("token-auth-file", path("tokens.csv"))
            .flag("service-account-issuer", "https://kubernetes.default.svc")
            .flag("service-account-key-file", path("service-account.pub"))
            .flag(
                "service-account-signing-key-file",
                path("service-account.key"),
            )
            .flag("service-cluster-ip-range", "10.43.0.0/16")
            .flag("allow-privileged", "true")
            // Pods here name no service account, and without the controllers there is none.
            .flag("disable-admission-plugins", "ServiceAccount"),
        ];
        let processes = Processes::start(programs).map_err(ControlPlaneError::new)?;
        let mut made = Self {
            controllers: Processes::none(),
            processes,
            url,
            etcd: format!("http://127.0.0.1:{etcd}"),
            authority,
            root,
        };
        made.wait_until_ready().await?;
        if parts != Parts::Server {
            // They give up when the API server is not healthy soon after they start.
            let programs = [
                controllers(
                    Program::new(assets, "kube-controller-manager", &folder),
                    machines.is_some(),
                )
                .flag("kubeconfig", path("kubeconfig-programs"))
                .flag("leader-elect", "false")
                .flag("secure-port", "0")
                .flag("root-ca-file", path("ca.crt"))
                .flag(
                    "service-account-private-key-file",
                    path("service-account.key"),
                ),
                Program::new(assets, "kube-scheduler", &folder)
                    .flag("kubeconfig", path("kubeconfig-programs"))
                    .flag("leader-elect", "false")
                    .flag("secure-port", "0"),
            ];
            let there = programs.into_iter().filter(Program::is_there).collect();
            made.controllers = Processes::start(there).map_err(ControlPlaneError::new)?;
        }
        Ok(made)
    }

    async fn wait_until_ready(&self) -> Result<(), ControlPlaneError> {
        let client = self.admin().await?;
        let started = Instant::now();
        let mut last = String::new();
        while started.elapsed() < LIMIT {
            if let Some(ended) = self.processes.ended() {
                return Err(ControlPlaneError::new(ended));
            }
            let asked = http::Request::get("/readyz").body(Vec::new());
            let asked = asked.map_err(|error| ControlPlaneError::new(error.to_string()))?;
            match client.request_text(asked).await {
                Ok(_) => return Ok(()),
                Err(error) => last = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(ControlPlaneError::new(format!(
            "is not ready after {LIMIT:?}: {last}; {}",
            self.processes.logs()
        )))
    }

    /// The kubeconfig of the administrator, who has a client certificate.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.path().join("kubeconfig")
    }

    /// The kubeconfig of the cluster's own programs: an administrator whose requests are not in the audit log.
    #[must_use]
    pub fn programs_kubeconfig(&self) -> PathBuf {
        self.root.path().join("kubeconfig-programs")
    }

    /// Where the API server listens, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the API server writes down who asked for what; only with [`Parts::Machines`].
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.root.path().join("audit.log")
    }

    /// Where etcd listens, without a trailing slash.
    #[must_use]
    pub fn etcd(&self) -> &str {
        &self.etcd
    }

    /// The names of the programs that run.
    #[must_use]
    pub fn programs(&self) -> Vec<String> {
        [self.processes.names(), self.controllers.names()].concat()
    }

    /// The process ids of the programs.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        [self.processes.pids(), self.controllers.pids()].concat()
    }

    /// A client with the rights of the administrator.
    ///
    /// # Errors
    /// The kubeconfig does not make a client.
    pub async fn admin(&self) -> Result<Client, ControlPlaneError> {
        client(&kubeconfig(
            &self.url,
            &self.authority,
            &self.authority.admin,
        ))
        .await
    }

    /// A client of a user without any right, named `eve`, of the group `team`.
    ///
    /// # Errors
    /// The kubeconfig does not make a client.
    pub async fn eve(&self) -> Result<Client, ControlPlaneError> {
        let user = json!({"token": self.authority.eve});
        client(&kubeconfig_of(&self.url, &self.authority, &user)).await
    }
}

/// Where it listens, and whom it asks.
fn api_server(
    program: Program,
    root: &Path,
    machines: Option<network::Place>,
) -> std::io::Result<Program> {
    let Some(place) = machines else {
        return Ok(program
            .flag("bind-address", "127.0.0.1")
            .flag("advertise-address", "127.0.0.1")
            // An EndpointSlice may not hold a loopback address, so the Service `kubernetes` has no endpoint here.
            .flag("endpoint-reconciler-type", "none"));
    };
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            // The cluster's own programs ask all the time, and nobody counts that.
            {"level": "None", "users": [PROGRAMS, "system:apiserver"]},
            // Whether a deletion is a dry run stands in its body.
            {"level": "Request", "verbs": ["delete", "deletecollection"]},
            {"level": "Request", "resources": [{"group": "", "resources": ["pods/eviction"]}]},
            {"level": "Metadata"},
        ],
    });
    let file = root.join("audit-policy.json");
    write_private(&file, &policy.to_string())?;
    let path = |name: &str| root.join(name).display().to_string();
    Ok(program
        .flag("bind-address", place.control_plane().to_string())
        .flag("advertise-address", place.control_plane().to_string())
        .flag("enable-aggregator-routing", "true")
        .flag("kubelet-preferred-address-types", "InternalIP")
        .flag("audit-policy-file", path("audit-policy.json"))
        .flag("audit-log-path", path("audit.log"))
        .flag("audit-log-mode", "blocking"))
}

/// Controllers that wait for minutes elsewhere wait for seconds here.
fn controllers(program: Program, machines: bool) -> Program {
    if !machines {
        return program;
    }
    program
        .flag("kube-api-qps", "300")
        .flag("kube-api-burst", "600")
        .flag("node-monitor-period", "500ms")
        .flag("node-monitor-grace-period", "12s")
        .flag("node-startup-grace-period", "12s")
        .flag("pvclaimbinder-sync-period", "1s")
        .flag("attach-detach-reconcile-sync-period", "2s")
}

async fn client(kubeconfig: &str) -> Result<Client, ControlPlaneError> {
    let failed =
        |error: &dyn std::fmt::Display| ControlPlaneError::new(format!("has no client: {error}"));
    let parsed: Kubeconfig = serde_json::from_str(kubeconfig).map_err(|error| failed(&error))?;
    let config = Config::from_custom_kubeconfig(parsed, &Default::default()).await;
    let mut config = config.map_err(|error| failed(&error))?;
    config.default_retry = false;
    config.read_timeout = Some(Duration::from_secs(60));
    Client::try_from(config).map_err(|error| failed(&error))
}

fn kubeconfig(url: &str, authority: &Authority, (certificate, key): &(String, String)) -> String {
    let user = json!({
        "client-certificate-data": certificates::base64(certificate),
        "client-key-data": certificates::base64(key),
    });
    kubeconfig_of(url, authority, &user)
}

fn kubeconfig_of(url: &str, authority: &Authority, user: &Value) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {
            "server": url,
            "certificate-authority-data": certificates::base64(&authority.ca),
        }}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    })
    .to_string()
}

/// Ports of 127.0.0.1 that were free a moment ago, all different.
fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}
