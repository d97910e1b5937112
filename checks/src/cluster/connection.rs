//! From a kubeconfig to a client.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderValue, Method, header::USER_AGENT};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use reports::model::Cluster;
use serde::Deserialize;

use super::{Meter, MeterLayer, ReadOnly, Reader};
use crate::view::{ReadError, View};

/// Why there is no way to the cluster. Each says what to do with [`ConnectError::hint`].
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a flag, nor `KUBECONFIG`, nor `~/.kube/config`, nor a service account.
    #[error("no kubeconfig was found")]
    NoKubeconfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file cannot be read or is no kubeconfig.
    #[error("kubeconfig {path} cannot be used: {}", why(source))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<KubeconfigError>,
    },
    /// The file has no such context.
    #[error("context `{context}` is not in the kubeconfig, which has: {known}")]
    UnknownContext {
        /// What was asked for.
        context: String,
        /// What there is.
        known: String,
    },
    /// The client could not be made (TLS material, proxy).
    #[error("the client for {server} could not be made: {source}")]
    Client {
        /// URL of the API server.
        server: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// The server was asked who it is and did not say.
    #[error("{server} did not say which cluster it is: {source}")]
    Identity {
        /// URL of the API server.
        server: String,
        /// Why.
        source: ReadError,
    },
}

impl ConnectError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoKubeconfig(_) => {
                "name one with --kubeconfig or KUBECONFIG (on a k3s server: /etc/rancher/k3s/k3s.yaml), or try the \
                 embedded cluster with --sandbox"
                    .into()
            }
            Self::Unusable { path, source } => {
                let path = path.display();
                match unread(source) {
                    Some(ErrorKind::NotFound) => {
                        "name one that is there with --kubeconfig or KUBECONFIG (on a k3s server: \
                         /etc/rancher/k3s/k3s.yaml)"
                            .into()
                    }
                    // k3s writes its own for root alone.
                    Some(ErrorKind::PermissionDenied) => format!(
                        "take a copy of your own: sudo install -m 600 -o \"$USER\" {path} ~/.kube/config"
                    ),
                    _ => format!("look at it: kubectl --kubeconfig {path} config view"),
                }
            }
            Self::UnknownContext { .. } => "choose one of these with --context".into(),
            Self::Client { .. } => "look at the certificates and the proxy that the kubeconfig names".into(),
            Self::Identity { source, .. } => match source {
                ReadError::Forbidden { .. } => {
                    "the user of the kubeconfig may not read namespace kube-system: grant `get namespaces`, or use \
                     another user"
                        .into()
                }
                _ => "see whether it answers: kubectl get --raw /readyz?verbose".into(),
            },
        }
    }
}

/// Why a file could not even be read.
fn unread(error: &KubeconfigError) -> Option<ErrorKind> {
    match error {
        KubeconfigError::ReadConfig(error, _) => Some(error.kind()),
        _ => None,
    }
}

/// What is wrong with a kubeconfig, without anything that stands in it.
fn why(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        KubeconfigError::Parse(error) => crate::yaml::trouble(error),
        other => other.to_string(),
    }
}

/// The way to one cluster. Makes clients; holds the count of all their requests.
#[derive(Clone, Debug)]
pub struct Connection {
    config: Config,
    context: String,
    meter: Meter,
}

impl Connection {
    /// Reads a kubeconfig: the file given, else `KUBECONFIG`, `~/.kube/config`, or the service account of the pod.
    ///
    /// # Errors
    /// No kubeconfig, one that cannot be read, a context that it does not have.
    pub async fn open(
        file: Option<&Path>,
        context: Option<&str>,
        run: &str,
    ) -> Result<Self, ConnectError> {
        let options = KubeConfigOptions {
            context: context.map(str::to_owned),
            cluster: None,
            user: None,
        };
        let (mut config, name) = match Self::kubeconfig(file)? {
            Some((path, kubeconfig)) => {
                let known: Vec<String> = kubeconfig
                    .contexts
                    .iter()
                    .map(|one| one.name.clone())
                    .collect();
                if let Some(context) =
                    context.filter(|context| !known.iter().any(|one| one == context))
                {
                    return Err(ConnectError::UnknownContext {
                        context: context.into(),
                        known: known.join(", "),
                    });
                }
                let name = context
                    .map(str::to_owned)
                    .or_else(|| kubeconfig.current_context.clone());
                let config = Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .map_err(|source| ConnectError::Unusable {
                        path,
                        source: Box::new(source),
                    })?;
                (config, name.unwrap_or_else(|| "default".into()))
            }
            None => {
                let config = Config::incluster()
                    .map_err(|source| ConnectError::NoKubeconfig(Box::new(source)))?;
                (config, "in-cluster".into())
            }
        };
        // kube's own retries repeat POST and PATCH; reads are retried by `Reader`, writes never blindly.
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(5));
        let agent = format!("onboarding/{} (run {run})", env!("CARGO_PKG_VERSION"));
        if let Ok(agent) = HeaderValue::from_str(&agent) {
            config.headers.push((USER_AGENT, agent));
        }
        Ok(Self {
            config,
            context: name,
            meter: Meter::default(),
        })
    }

    fn kubeconfig(file: Option<&Path>) -> Result<Option<(PathBuf, Kubeconfig)>, ConnectError> {
        let unusable = |path: &Path, source| ConnectError::Unusable {
            path: path.into(),
            source: Box::new(source),
        };
        if let Some(path) = file {
            let read = Kubeconfig::read_from(path).map_err(|source| unusable(path, source))?;
            return Ok(Some((path.into(), read)));
        }
        if let Some(list) = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty()) {
            let read =
                Kubeconfig::from_env().map_err(|source| unusable(Path::new(&list), source))?;
            return Ok(read.map(|read| (PathBuf::from(list), read)));
        }
        let Some(path) = std::env::home_dir()
            .map(|home| home.join(".kube/config"))
            .filter(|path| path.exists())
        else {
            return Ok(None);
        };
        let read = Kubeconfig::read_from(&path).map_err(|source| unusable(&path, source))?;
        Ok(Some((path, read)))
    }

    /// Name of the context.
    #[must_use]
    pub fn context(&self) -> &str {
        &self.context
    }

    /// URL of the API server, without credentials.
    #[must_use]
    pub fn server(&self) -> String {
        let url = &self.config.cluster_url;
        let host = url.host().unwrap_or_default();
        let port = url
            .port_u16()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        format!(
            "{}://{host}{port}{}",
            url.scheme_str().unwrap_or("https"),
            url.path().trim_end_matches('/')
        )
    }

    /// The configuration, for whoever makes a client of its own.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The count of all requests made through this connection.
    #[must_use]
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// A reader for checks: it cannot change anything.
    ///
    /// # Errors
    /// The TLS material or the proxy of the kubeconfig cannot be used.
    pub fn reader(&self) -> Result<Reader, ConnectError> {
        // One client for single answers, whose silence is an error, and one for watches, which may be silent for long.
        let mut unary = self.config.clone();
        unary.read_timeout = Some(Duration::from_secs(20));
        unary.reset_reader_on_write = true;
        let mut streaming = self.config.clone();
        streaming.read_timeout = Some(Duration::from_secs(330));
        Ok(Reader::new(
            self.read_only(unary)?,
            self.read_only(streaming)?,
            self.meter.clone(),
        ))
    }

    fn read_only(&self, config: Config) -> Result<Client, ConnectError> {
        let builder = ClientBuilder::try_from(config).map_err(|source| ConnectError::Client {
            server: self.server(),
            source: Box::new(source),
        })?;
        Ok(builder
            .with_layer(&MeterLayer(self.meter.clone()))
            .with_layer(&ReadOnly)
            .build())
    }

    /// Which cluster this is. Two requests.
    ///
    /// # Errors
    /// The server does not answer, or the user may not read namespace `kube-system`.
    pub async fn identify(&self) -> Result<Cluster, ConnectError> {
        self.identify_in(&View::snapshot(self.reader()?)).await
    }

    /// Which cluster this is, by a view that keeps what was read for whoever asks next.
    ///
    /// # Errors
    /// As [`Connection::identify`].
    pub async fn identify_in(&self, view: &View) -> Result<Cluster, ConnectError> {
        #[derive(Deserialize)]
        struct Version {
            #[serde(rename = "gitVersion")]
            git_version: String,
        }
        #[derive(Deserialize)]
        struct Object {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            uid: String,
        }
        let unknown = |source| ConnectError::Identity {
            server: self.server(),
            source,
        };
        let raw = view.raw("/version").await.map_err(unknown)?;
        if !raw.status.is_success() {
            return Err(unknown(ReadError::from_status(
                &Method::GET,
                "/version",
                &raw,
            )));
        }
        let version: Version = serde_json::from_slice(&raw.body).map_err(|error| {
            unknown(ReadError::Malformed {
                what: "/version".into(),
                message: error.to_string(),
            })
        })?;
        let system: Object = view
            .reader()
            .json("/api/v1/namespaces/kube-system")
            .await
            .map_err(unknown)?;
        Ok(Cluster {
            uid: system.metadata.uid,
            name: self.context.clone(),
            server: self.server(),
            version: version.git_version,
            sandbox: false,
        })
    }
}
