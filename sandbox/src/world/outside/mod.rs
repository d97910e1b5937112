//! A world on an API server that is somebody else's, with the real controllers of Kubernetes.
//!
//! The machines are the same actors. What differs is around them: the objects of the beginning are sent to the server
//! ([`seeding`]), kubelets, Services and webhooks are asked over real sockets ([`doors`], [`answers`]), people reach the
//! git remote over HTTP ([`remote`]), and a beginning has to be waited for ([`settled`]).

mod answers;
mod audit;
mod doors;
mod remote;
mod seeding;
mod settled;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use kube::Client;
use serde_json::{Value, json};

use crate::{Options, SandboxError, Server, Stage, api::Tls};

use super::{
    cast::{Cast, Outside, Pace},
    engine::{Engine, Shared},
    fate::Fate,
    git::{self, Places},
    hand::{self, Hand},
    kinds::{self, GIT_REPOSITORIES, KUSTOMIZATIONS, NODE_METRICS, NODES, Res},
    life::{follow_faults, trouble},
    mirror::Mirror,
    nodeports::Ports,
    places::{Description, Folder},
    scene::{Change, Faults, Timers},
};

pub(crate) use audit::requests;

/// Where people reach the git remote, on the control-plane node's address.
const GIT_PORT: u16 = 3000;
/// The file that says at which stage the cluster began.
const STAGE: &str = "stage";
/// How long a cluster may take to become what it begins as.
const LIMIT: Duration = Duration::from_secs(180);

/// Starts the machines. A folder that holds a world already is found again: then the server holds its objects.
pub(crate) async fn start(
    folder: &Folder,
    options: &Options,
    server: &Server,
) -> Result<Engine, SandboxError> {
    let client = client(server).await?;
    let store = folder.file("source.git");
    let places = Places::of(&folder.dir);
    let tls = certificates(folder, server)?;
    let known = folder.read_json::<Description>("sandbox.json").ok();
    let begins = known.is_none();
    let cast = match known {
        Some(told) => told.cast,
        None => cast(options, server, &client, &places).await?,
    };
    let told = Description {
        cast: cast.clone(),
        pid: std::process::id(),
    };
    let kubeconfig = std::fs::read(&server.kubeconfig)
        .map_err(|error| trouble("kubeconfig cannot be read")(&error))?;
    folder
        .write("kubeconfig", &kubeconfig)
        .map_err(|error| trouble("kubeconfig cannot be written")(&error))?;
    if begins {
        let (made, at) = (cast.clone(), places.clone());
        tokio::task::spawn_blocking(move || git::create(&at, &made))
            .await
            .map_err(|error| trouble("repository could not be made")(&error))?
            .map_err(|error| trouble("repository could not be made")(&error))?;
        seeding::seed(&client, &cast, &tls, server.definitions.as_deref()).await?;
    }
    let shared = Arc::new(Shared {
        cast: cast.clone(),
        pace: Pace::of(options.speed),
        mirror: Arc::new(Mirror::default()),
        faults: Faults::default(),
    });
    let seen = look_around(&client, &shared.mirror).await?;
    let mut engine = Engine::start(&shared, &client, store, seen);
    let acceptor = tls
        .acceptor()
        .map_err(|error| trouble("certificate cannot be used")(&error))?;
    engine.spawn(doors::keep(shared.clone(), acceptor.clone()));
    let mut ports = Ports::new(shared.clone(), acceptor);
    ports.settle().await;
    engine.spawn(ports.keep());
    let address = SocketAddr::from((cast.control_plane_ip, GIT_PORT));
    engine.spawn(remote::serve(address, folder.dir.clone()).await?);

    let stands = folder.names(STAGE).pop_first();
    let begun = begin(&shared, &client, &places, stands.as_deref(), options.stage).await;
    if let Err(error) = begun {
        engine.stop().await;
        return Err(error);
    }
    let reached = [name_of(options.stage).to_owned()].into();
    folder
        .write_names(STAGE, &reached)
        .map_err(|error| trouble("file stage cannot be written")(&error))?;
    folder
        .write_json("sandbox.json", &told)
        .map_err(|error| trouble("file sandbox.json cannot be written")(&error))?;
    let mut names = folder.names("faults");
    names.extend(options.faults.iter().cloned());
    let taken = folder.names("faults.taken");
    let mut fate = Fate::new(shared.clone(), client, None, places, taken);
    fate.take(names.clone()).await;
    for file in ["faults", "faults.taken"] {
        folder
            .write_names(file, &names)
            .map_err(|error| trouble("file faults cannot be written")(&error))?;
    }
    engine.spawn(follow_faults(folder.clone(), fate, shared.pace));
    Ok(engine)
}

async fn client(server: &Server) -> Result<Client, SandboxError> {
    let cannot = trouble("has no client for the API server");
    let config =
        kube::config::Kubeconfig::read_from(&server.machines).map_err(|error| cannot(&error))?;
    let mut config =
        kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default())
            .await
            .map_err(|error| cannot(&error))?;
    config.default_retry = false;
    let agent = http::HeaderValue::from_static(audit::MACHINES);
    config.headers.push((http::header::USER_AGENT, agent));
    Client::try_from(config).map_err(|error| cannot(&error))
}

/// The certificates of kubelets and webhooks; kept, since the webhooks' configuration names their authority.
fn certificates(folder: &Folder, server: &Server) -> Result<Tls, SandboxError> {
    if let Ok(tls) = folder.read_json("machines.json") {
        return Ok(tls);
    }
    let addresses = [server.control_plane_ip, server.node_ip].map(IpAddr::V4);
    let tls = Tls::generate(&addresses, answers::WEBHOOKS)
        .map_err(|error| trouble("certificate cannot be made")(&error))?;
    folder
        .write_json("machines.json", &tls)
        .map_err(|error| trouble("file machines.json cannot be written")(&error))?;
    Ok(tls)
}

async fn get(client: &Client, path: &str) -> Result<Value, SandboxError> {
    let asked = http::Request::get(path).body(Vec::new());
    let asked = asked.map_err(|error| trouble("cannot ask the API server")(&error))?;
    let answer = client.request(asked).await;
    answer.map_err(|error| trouble("cannot ask the API server")(&format!("{path}: {error}")))
}

/// Who the API server takes us for.
async fn whoami(client: &Client) -> Result<Value, SandboxError> {
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let asked = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes());
    let asked = asked.map_err(|error| trouble("cannot ask the API server")(&error))?;
    let answer = client.request(asked).await;
    answer.map_err(|error| trouble("does not say who its machines are")(&error))
}

async fn cast(
    options: &Options,
    server: &Server,
    client: &Client,
    places: &Places,
) -> Result<Cast, SandboxError> {
    let or = |name: &str, other: &str| if name.is_empty() { other } else { name }.to_owned();
    let version = get(client, "/version").await?;
    let system = get(client, "/api/v1/namespaces/kube-system").await?;
    let whoami = whoami(client).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let release = text(&version["gitVersion"]);
    let release = release.split('+').next().unwrap_or_default();
    Ok(Cast {
        node: or(&options.node, "k3s2"),
        control_plane: or(&options.control_plane, "k3s1"),
        node_ip: server.node_ip,
        control_plane_ip: server.control_plane_ip,
        cluster_uid: text(&system["metadata"]["uid"]),
        remote: format!("http://{}:{GIT_PORT}/remote.git", server.control_plane_ip),
        outside: Some(Outside {
            version: format!("{release}+k3s1"),
            first_range: server.first_range,
            repository: places.remote.clone(),
            machines: text(&whoami["status"]["userInfo"]["username"]),
        }),
    })
}

/// Fills the mirror, so that no actor takes what it has not seen for absent.
async fn look_around(
    client: &Client,
    mirror: &Mirror,
) -> Result<Vec<(&'static Res, String)>, SandboxError> {
    let watched = kinds::ALL.iter().filter(|res| **res != &NODE_METRICS);
    let asked = watched.map(|res| async move { (*res, listed(client, res).await) });
    let mut seen = Vec::new();
    for (res, answer) in futures::future::join_all(asked).await {
        let (objects, revision) = answer
            .map_err(|error| trouble("cannot look around")(&format!("{}: {error}", res.plural)))?;
        mirror.replace(res, objects);
        seen.push((res, revision));
    }
    Ok(seen)
}

fn name_of(stage: Stage) -> &'static str {
    match stage {
        Stage::New => "new",
        Stage::Joining => "joining",
        Stage::Onboarded => "onboarded",
    }
}

/// One list. What serves a kind that was established a moment ago may have to fill its cache first.
async fn listed(client: &Client, res: &Res) -> Result<(Vec<Value>, String), kube::Error> {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        match hand::list(client, res).await {
            Err(kube::Error::Api(status))
                if matches!(status.code, 404 | 429) && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            other => return other,
        }
    }
}

/// Brings a cluster from the stage where it stands, nothing for one that has just been seeded, to the one asked for.
/// One that stands there already has to be as well as it began.
async fn begin(
    shared: &Arc<Shared>,
    client: &Client,
    places: &Places,
    stands: Option<&str>,
    stage: Stage,
) -> Result<(), SandboxError> {
    match stands {
        None => settled::wait(shared, 1, LIMIT).await?,
        Some("onboarded") => return settled::wait(shared, 2, LIMIT).await,
        Some("joining") => return Ok(()),
        Some(_) => settled::wait(shared, 1, LIMIT).await?,
    }
    if stage == Stage::New {
        return Ok(());
    }
    let (at, cast) = (places.clone(), shared.cast.clone());
    tokio::task::spawn_blocking(move || git::activate(&at, &cast))
        .await
        .map_err(|error| trouble("repository could not be changed")(&error))?
        .map_err(|error| trouble("repository could not be changed")(&error))?;
    ask_flux(shared, client, "switched-on").await;
    if stage == Stage::Joining {
        return Ok(());
    }
    settled::node(shared, LIMIT).await?;
    // What an onboarding does: labels that an agent cannot give itself, and a reconciliation once the node is in.
    let labels = json!({"metadata": {"labels": {"node.longhorn.io/create-default-disk": "config", "storage": "longhorn"}}});
    let node = shared.cast.node.clone();
    patch(shared, client, &NODES, "", &node, labels).await;
    ask_flux(shared, client, "onboarding").await;
    settled::wait(shared, 2, LIMIT).await
}

async fn ask_flux(shared: &Arc<Shared>, client: &Client, token: &str) {
    let ask = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}});
    for (res, name) in [
        (&GIT_REPOSITORIES, "flux-system"),
        (&KUSTOMIZATIONS, "infrastructure-storage"),
    ] {
        patch(shared, client, res, "flux-system", name, ask.clone()).await;
    }
}

async fn patch(
    shared: &Arc<Shared>,
    client: &Client,
    res: &'static Res,
    namespace: &str,
    name: &str,
    patch: Value,
) {
    let hand = Hand::new(client.clone(), shared.mirror.clone());
    let change = Change::Patch {
        res,
        namespace: namespace.into(),
        name: name.into(),
        status: false,
        patch,
    };
    hand.apply(change, &Timers::default()).await;
}
