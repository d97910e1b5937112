//! The life of a world: addresses, folder, API server, actors, faults, and what a restart finds again.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use crate::{
    Options, SandboxError,
    api::{ApiOptions, ApiServer, RequestRecord, Store, Tls},
};

use super::{
    backend::Behind,
    begin,
    cast::{Cast, K3S_VERSION, Pace},
    crowd,
    engine::{Engine, Shared},
    fate::Fate,
    git::Places,
    kinds, make,
    mirror::Mirror,
    nodeports::Ports,
    outside,
    places::{Description, Folder, Secrets},
    scene::Faults,
    transport::{Noise, Wire},
};

/// A running world.
#[derive(Debug)]
pub(crate) struct World {
    server: Server,
    engine: Engine,
    folder: Folder,
    keep: bool,
    /// Absent where the API server is somebody else's, and its wire too.
    wire: Option<Arc<Wire>>,
    /// Held as long as this process serves the folder.
    _lock: File,
}

/// Whose API server it is.
#[derive(Debug)]
enum Server {
    Own(ApiServer),
    /// Somebody else's, and where it writes down who asked for what.
    Outside(Option<PathBuf>, u64),
}

pub(super) fn trouble(what: &str) -> impl Fn(&dyn std::fmt::Display) -> SandboxError + '_ {
    move |error| SandboxError::new(format!("{what}: {error}"))
}

impl World {
    /// Starts what is in the folder, or something new. With `keep`, objects are written there as they change.
    pub(crate) async fn start(
        folder: Folder,
        options: &Options,
        keep: bool,
    ) -> Result<Self, SandboxError> {
        let lock = lock(&folder)?;
        if let Some(server) = &options.server {
            let engine = outside::start(&folder, options, server).await?;
            return Ok(Self {
                server: Server::Outside(server.audit_log.clone(), server.audit_from),
                engine,
                folder,
                keep: false,
                wire: None,
                _lock: lock,
            });
        }
        let store = folder.file("source.git");
        let places = Places::of(&folder.dir);
        let (cast, secrets, mut objects) = match found(&folder)? {
            Some(found) => found,
            None => fresh(&folder, options, &places, &store).await?,
        };
        if let Some(crowd) = options.crowd {
            crowd::add(&mut objects, &cast, crowd);
        }
        folder
            .write_json(
                "sandbox.json",
                &Description {
                    cast: cast.clone(),
                    pid: std::process::id(),
                },
            )
            .map_err(|error| trouble("file sandbox.json cannot be written")(&error))?;
        let shared = Arc::new(Shared {
            cast: cast.clone(),
            pace: Pace::of(options.speed),
            mirror: Arc::new(Mirror::default()),
            faults: Faults::default(),
        });
        let ports_tls = secrets
            .tls
            .acceptor()
            .map_err(|error| trouble("certificate cannot be used")(&error))?;
        let wire = Arc::new(Wire::new(shared.clone()));
        let server = ApiServer::start(ApiOptions {
            listen: vec![SocketAddr::from((cast.control_plane_ip, 6443))],
            tls: secrets.tls,
            version: K3S_VERSION.to_owned(),
            backend: Arc::new(Behind::new(shared.clone())),
            transport: wire.clone(),
            objects,
            record: Some(folder.file("requests.jsonl")),
            actor_token: secrets.actor,
            admin_token: secrets.admin,
        })
        .await
        .map_err(|error| trouble("API server does not start")(&error))?;
        folder
            .write("kubeconfig", server.admin_kubeconfig("sandbox").as_bytes())
            .map_err(|error| trouble("kubeconfig cannot be written")(&error))?;
        let client = client(&server).await?;
        let revision = server.store().revision().to_string();
        let objects = server.store().dump().into_iter();
        objects.for_each(|object| shared.mirror.put(object));
        let seen = kinds::ALL.iter().map(|res| (*res, revision.clone()));
        let mut engine = if options.crowd.is_some() {
            Engine::still()
        } else {
            let mut engine = Engine::start(&shared, &client, store, seen.collect());
            engine.add_controllers(&shared, &client);
            engine
        };

        let mut names = folder.names("faults");
        names.extend(options.faults.iter().cloned());
        let mut fate = Fate::new(
            shared.clone(),
            client,
            Some(server.store()),
            places,
            folder.names("faults.taken"),
        );
        fate.take(names.clone()).await;
        for file in ["faults", "faults.taken"] {
            folder
                .write_names(file, &names)
                .map_err(|error| trouble("file faults cannot be written")(&error))?;
        }
        engine.spawn(follow_faults(folder.clone(), fate, shared.pace));
        let mut ports = Ports::new(shared, ports_tls);
        ports.settle().await;
        engine.spawn(ports.keep());
        if keep {
            engine.spawn(persist(folder.clone(), server.store()));
            save(&folder, &server.store());
        }
        Ok(Self {
            server: Server::Own(server),
            engine,
            folder,
            keep,
            wire: Some(wire),
            _lock: lock,
        })
    }

    /// How much trouble there is on the wire.
    pub(crate) fn set_noise(&self, noise: Option<Noise>) {
        if let Some(wire) = &self.wire {
            wire.set_noise(noise);
        }
    }

    /// The folder in which somebody serves a sandbox that answers.
    pub(crate) async fn find(dir: &Path) -> Result<PathBuf, SandboxError> {
        let nothing = |why: &dyn std::fmt::Display| {
            SandboxError::new(format!("is not served in {}: {why}", dir.display()))
        };
        let dir = dir.canonicalize().map_err(|error| nothing(&error))?;
        let folder = Folder { dir };
        let told: Description = folder
            .read_json("sandbox.json")
            .map_err(|error| nothing(&error))?;
        let address = SocketAddr::from((told.cast.control_plane_ip, 6443));
        let connected = tokio::time::timeout(
            Duration::from_secs(3),
            tokio::net::TcpStream::connect(address),
        )
        .await;
        match connected {
            Ok(Ok(_)) => Ok(folder.dir),
            Ok(Err(error)) => Err(nothing(&format!("{address}: {error}"))),
            Err(_) => Err(nothing(&format!("{address} does not answer"))),
        }
    }

    /// Every request so far, without those of the actors.
    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        match &self.server {
            Server::Own(server) => server.requests(),
            Server::Outside(log, from) => log
                .as_deref()
                .map(|log| outside::requests(log, *from))
                .unwrap_or_default(),
        }
    }

    /// Stops everything; what is kept is written once more.
    pub(crate) async fn stop(self) {
        self.engine.stop().await;
        if let Server::Own(server) = self.server {
            if self.keep {
                save(&self.folder, &server.store());
            }
            server.shutdown().await;
        }
    }
}

fn lock(folder: &Folder) -> Result<File, SandboxError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(folder.file("lock"))
        .map_err(|error| trouble("file lock cannot be opened")(&error))?;
    file.try_lock().map_err(|_| {
        SandboxError::new(format!(
            "in {} is served by another process already",
            folder.dir.display()
        ))
    })?;
    Ok(file)
}

type Beginning = (Cast, Secrets, Vec<Value>);

/// What an earlier process left.
fn found(folder: &Folder) -> Result<Option<Beginning>, SandboxError> {
    if !folder.file("objects.json").exists() {
        return Ok(None);
    }
    let broken =
        trouble("folder holds a sandbox that cannot be read; remove the folder to begin anew");
    let told: Description = folder
        .read_json("sandbox.json")
        .map_err(|error| broken(&error))?;
    let secrets: Secrets = folder
        .read_json("secrets.json")
        .map_err(|error| broken(&error))?;
    let objects: Vec<Value> = folder
        .read_json("objects.json")
        .map_err(|error| broken(&error))?;
    if !free(told.cast.control_plane_ip, told.cast.node_ip) {
        return Err(SandboxError::new(format!(
            "addresses {} and {} are in use by somebody else",
            told.cast.control_plane_ip, told.cast.node_ip
        )));
    }
    Ok(Some((told.cast, secrets, objects)))
}

async fn fresh(
    folder: &Folder,
    options: &Options,
    places: &Places,
    store: &Path,
) -> Result<Beginning, SandboxError> {
    let (control_plane_ip, node_ip) = addresses()?;
    let or = |name: &str, other: &str| {
        if name.is_empty() {
            other.to_owned()
        } else {
            name.to_owned()
        }
    };
    let cast = Cast {
        node: or(&options.node, "k3s2"),
        control_plane: or(&options.control_plane, "k3s1"),
        node_ip,
        control_plane_ip,
        cluster_uid: make::uid(),
        remote: places.remote.to_string_lossy().into_owned(),
        outside: None,
    };
    if cast.node == cast.control_plane {
        return Err(SandboxError::new("needs two different node names"));
    }
    let stage = options.stage;
    let (made_cast, made_places, made_store) = (cast.clone(), places.clone(), store.to_owned());
    let objects = tokio::task::spawn_blocking(move || {
        begin::objects(&made_cast, &made_places, &made_store, stage)
    });
    let tls = Tls::generate(
        &[
            IpAddr::V4(control_plane_ip),
            IpAddr::V4(Ipv4Addr::LOCALHOST),
        ],
        &[
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            &cast.control_plane,
            "localhost",
        ],
    )
    .map_err(|error| trouble("certificate cannot be made")(&error))?;
    let token = || {
        format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        )
    };
    let secrets = Secrets {
        tls,
        admin: token(),
        actor: token(),
    };
    folder
        .write_json("secrets.json", &secrets)
        .map_err(|error| trouble("file secrets.json cannot be written")(&error))?;
    let objects = objects
        .await
        .map_err(|error| trouble("world could not be made")(&error))?
        .map_err(|error| trouble("repository could not be made")(&error))?;
    Ok((cast, secrets, objects))
}

/// A pair of loopback addresses on which nobody listens.
fn addresses() -> Result<(Ipv4Addr, Ipv4Addr), SandboxError> {
    for _ in 0..50 {
        let (second, third) = (fastrand::u8(16..=250), fastrand::u8(1..=250));
        let pair = (
            Ipv4Addr::new(127, second, third, 1),
            Ipv4Addr::new(127, second, third, 2),
        );
        if free(pair.0, pair.1) {
            return Ok(pair);
        }
    }
    Err(SandboxError::new(
        "finds no free addresses in 127.0.0.0/8; they must be usable without being configured",
    ))
}

fn free(control_plane: Ipv4Addr, node: Ipv4Addr) -> bool {
    [
        (control_plane, 6443),
        (control_plane, 30080),
        (control_plane, 30443),
        (node, 30080),
        (node, 30443),
    ]
    .iter()
    .all(|place| TcpListener::bind(place).is_ok())
}

async fn client(server: &ApiServer) -> Result<kube::Client, SandboxError> {
    let cannot = trouble("has no client of its own");
    let config = kube::config::Kubeconfig::from_yaml(&server.actor_kubeconfig("sandbox"))
        .map_err(|error| cannot(&error))?;
    let mut config =
        kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default())
            .await
            .map_err(|error| cannot(&error))?;
    config.default_retry = false;
    kube::Client::try_from(config).map_err(|error| cannot(&error))
}

/// Reads the file of faults again whenever it changes.
pub(super) async fn follow_faults(folder: Folder, mut fate: Fate, pace: Pace) {
    let mut last = None;
    loop {
        tokio::time::sleep(pace.tick.min(Duration::from_millis(100))).await;
        let stamp = std::fs::metadata(folder.file("faults"))
            .and_then(|it| it.modified())
            .ok();
        if stamp == last {
            continue;
        }
        last = stamp;
        let names = folder.names("faults");
        for name in names
            .iter()
            .filter(|name| crate::faults::find(name).is_none())
        {
            tracing::warn!(name, "the file of faults names a fault that nobody knows");
        }
        if &names != fate.taken() {
            fate.take(names.clone()).await;
        }
        if let Err(error) = folder.write_names("faults.taken", &names) {
            tracing::warn!(%error, "file faults.taken cannot be written");
        }
    }
}

/// Writes the objects some time after they have changed.
async fn persist(folder: Folder, store: Arc<Store>) {
    let mut written = store.revision();
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = store.revision();
        if now != written {
            written = now;
            let (folder, store) = (folder.clone(), store.clone());
            let _ = tokio::task::spawn_blocking(move || save(&folder, &store)).await;
        }
    }
}

fn save(folder: &Folder, store: &Store) {
    if let Err(error) = folder.write_json("objects.json", &store.dump()) {
        tracing::warn!(%error, "file objects.json cannot be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_loopback_and_free() {
        let (control_plane, node) = addresses().unwrap();
        assert!(control_plane.is_loopback() && node.is_loopback());
        assert_ne!(control_plane, node);
    }
}
