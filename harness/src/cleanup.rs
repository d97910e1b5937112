//! `--cleanup`: removes what runs of this program left in the cluster, found by its label.

use std::{
    io::{BufRead as _, IsTerminal as _},
    sync::Arc,
};

use checks::{Need, cluster::Connection, kinds};
use k8s_openapi::api::{
    core::v1::{Namespace, PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Preconditions},
};
use phases::lease::{Lease, Permit};
use reports::{
    folder::StateFolder,
    lock::{Lock, LockError},
    store::Store,
};

use crate::{
    build,
    cli::Cli,
    event::{Event, Sink},
    exit::{Exit, Halt},
    lease,
    options::{Format, Options},
    progress::Progress,
    sandbox_mode,
    term::{self, Look},
    text::{clean, count},
};

/// What every object carries that a run makes for itself.
const LABEL: &str = checks::probe::MANAGED;

/// The rights to find and remove it. Only where a run makes it: what carries the label elsewhere is shown, too.
pub(crate) const NEEDS: &[Need] = &[
    Need::list(&kinds::PODS),
    Need::list(&kinds::CLAIMS),
    Need::list(&kinds::STORAGE_CLASSES),
    Need::list(&kinds::NAMESPACES),
    Need::verb("delete", &kinds::PODS),
    Need::verb("delete", &kinds::CLAIMS),
    Need::verb("delete", &kinds::STORAGE_CLASSES),
    Need::verb("delete", &kinds::NAMESPACES),
];

/// Something that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    kind: &'static str,
    namespace: Option<String>,
    name: String,
    uid: Option<String>,
}

impl Found {
    pub(crate) fn shown(&self) -> String {
        let place = self
            .namespace
            .as_ref()
            .map(|namespace| format!(" -n {namespace}"))
            .unwrap_or_default();
        clean(&format!("{} {}{place}", self.kind, self.name))
    }
}

/// Carries out `--cleanup`.
///
/// # Errors
/// The cluster cannot be reached, a run is going, or nobody agreed.
pub(crate) fn clean_up(cli: &Cli) -> Result<Exit, Halt> {
    let mut options = build::from_environment(cli)?;
    let folder = folder_lock(&options)?;
    let runtime = crate::run::runtime()?;
    let stop = crate::run::stop_on_signals(&runtime)?;
    let sandbox = sandbox_mode::open(&mut options, &runtime, &stop)?;
    let result = (|| {
        let progress = Progress::new(Look::stderr(cli.color));
        let (connection, permit, client, found) = runtime.block_on(progress.answer(async {
            let (connection, permit, client) = client(&options).await?;
            let found = find(&client, &options.settings.probe.namespace).await?;
            Ok::<_, Halt>((connection, permit, client, found))
        }))?;
        let who = lease::Who {
            run: format!("{:08x}", fastrand::u32(..)),
            mode: "cleanup",
            ended: ended(&options, folder.as_ref()),
        };
        let settings = &options.settings;
        if found.is_empty() {
            lease::give_back_left(&runtime, &connection, settings, who, &Told)?;
            return nothing(cli, &connection);
        }
        let locked = || {
            let sink: Arc<dyn Sink> = Arc::new(Told);
            lease::take(&runtime, &connection, &permit, settings, who, &stop, &sink)
        };
        remove(cli, &connection, &client, &found, locked, |work| {
            runtime.block_on(work)
        })
    })();
    if let Some(sandbox) = sandbox {
        sandbox_mode::close(sandbox, &options, &runtime, &stop);
    }
    result
}

/// Says on standard error what happens about the lock.
struct Told;

impl Sink for Told {
    fn event(&self, event: &Event) {
        match event {
            Event::Warning(text) => term::err(&clean(text)),
            Event::Waiting(waiting) => term::err(&clean(&waiting.seen)),
            _ => {}
        }
    }
}

/// The lock of the state folder, when there is one: what a run made may be in use while that run goes on.
fn folder_lock(options: &Options) -> Result<Option<Lock>, Halt> {
    let Ok(Some(state)) = StateFolder::open(&options.state_dir) else {
        return Ok(None);
    };
    match Lock::take(&state, "cleanup") {
        Err(LockError::Held { holder, .. }) => Err(Halt::new(
            Exit::Locked,
            format!("what it made may still be in use: {holder} is going on"),
            "wait for it, or end it",
        )),
        Ok(lock) => Ok(Some(lock)),
        // A folder that cannot be used holds no run of ours.
        Err(LockError::File(_)) => Ok(None),
    }
}

/// Runs of the state folder that have ended.
fn ended(options: &Options, lock: Option<&Lock>) -> Vec<String> {
    let Some(lock) = lock else { return Vec::new() };
    let killed = lock.previous().map(|holder| holder.run.clone());
    let report = StateFolder::open(&options.state_dir)
        .ok()
        .flatten()
        .and_then(|state| Store::load(&state).ok().flatten())
        .map(|loaded| loaded.report.run);
    killed.into_iter().chain(report).collect()
}

async fn client(options: &Options) -> Result<(Connection, Permit, Client), Halt> {
    let connection = Connection::open(
        options.kubeconfig.as_deref(),
        options.context.as_deref(),
        "cleanup",
    )
    .await
    .map_err(|error| Halt::cannot_start(error.to_string(), error.hint()))?;
    let permit = Permit::default();
    let client = phases::writer(&connection, &permit)
        .map_err(|error| Halt::cannot_start(error.to_string(), error.hint()))?;
    Ok((connection, permit, client))
}

pub(crate) async fn find(client: &Client, namespace: &str) -> Result<Vec<Found>, Halt> {
    let labelled = ListParams::default().labels(LABEL);
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: kube::Error| {
            Halt::cannot_start(
                format!("{what} labelled {LABEL} could not be listed: {error}"),
                format!("see whether you may: kubectl auth can-i list {what} --all-namespaces"),
            )
        }
    };
    let pods = Api::<Pod>::all(client.clone())
        .list(&labelled)
        .await
        .map_err(failed("pods"))?;
    let claims = Api::<PersistentVolumeClaim>::all(client.clone())
        .list(&labelled)
        .await
        .map_err(failed("persistentvolumeclaims"))?;
    let classes = Api::<StorageClass>::all(client.clone())
        .list(&labelled)
        .await
        .map_err(failed("storageclasses.storage.k8s.io"))?;
    let namespaces = Api::<Namespace>::all(client.clone())
        .list(&labelled)
        .await
        .map_err(failed("namespaces"))?;
    let pods = pods.iter().map(|one| named("pod", one));
    // A claim takes its volume with it.
    let claims = claims.iter().map(|one| named("pvc", one));
    let classes = classes.iter().map(|one| named("storageclass", one));
    // A label is quickly put on something else; a namespace goes with everything in it, so its name must be ours too.
    let namespaces = namespaces
        .into_iter()
        .filter(|one| one.metadata.name.as_deref() == Some(namespace))
        .map(|one| named("namespace", &one));
    Ok(pods
        .chain(claims)
        .chain(classes)
        .chain(namespaces)
        .collect())
}

fn named(kind: &'static str, object: &impl kube::Resource) -> Found {
    let metadata = object.meta();
    Found {
        kind,
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

fn nothing(cli: &Cli, connection: &Connection) -> Result<Exit, Halt> {
    if cli.format != Some(Format::Json) {
        term::out(&format!(
            "nothing to remove: no pod, claim, StorageClass or namespace of this program is labelled {LABEL}"
        ));
    }
    tell(cli, &[], 0, connection);
    Ok(Exit::Passed)
}

fn remove(
    cli: &Cli,
    connection: &Connection,
    client: &Client,
    found: &[Found],
    locked: impl FnOnce() -> Result<Option<Lease>, Halt>,
    block_on: impl Fn(
        std::pin::Pin<Box<dyn Future<Output = Result<(), kube::Error>> + Send>>,
    ) -> Result<(), kube::Error>,
) -> Result<Exit, Halt> {
    let say = |line: &str| {
        if cli.format != Some(Format::Json) {
            term::out(line);
        }
    };
    say(&format!(
        "left by runs of this program ({}):",
        count(found.len(), "object")
    ));
    for one in found {
        say(&format!("  {}", one.shown()));
    }
    if !agreed(cli)? {
        say("nothing was removed");
        return Ok(Exit::RollbackIncomplete);
    }
    let _lease = locked()?;
    let look = Look::stdout(cli.color);
    let mut removed = 0;
    for one in found {
        match block_on(Box::pin(delete(client.clone(), one.clone()))) {
            Ok(()) => {
                removed += 1;
                say(&format!("{} {}", look.good("removed"), one.shown()));
            }
            Err(error) => say(&format!(
                "{} {}: {}",
                look.bad("FAILED"),
                one.shown(),
                clean(&error.to_string())
            )),
        }
    }
    tell(cli, found, removed, connection);
    if removed == found.len() {
        Ok(Exit::Passed)
    } else {
        Ok(Exit::RollbackIncomplete)
    }
}

/// Deletes what was found and nothing that took its name since. What has gone by itself is removed.
pub(crate) async fn delete(client: Client, one: Found) -> Result<(), kube::Error> {
    send(client, one, false).await
}

/// Asks the server to try the deletion and to keep everything (`dryRun=All`).
pub(crate) async fn try_out(client: Client, one: Found) -> Result<(), kube::Error> {
    send(client, one, true).await
}

async fn send(client: Client, one: Found, dry_run: bool) -> Result<(), kube::Error> {
    let parameters = DeleteParams {
        dry_run,
        preconditions: Some(Preconditions {
            uid: one.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let place = one.namespace.as_deref().unwrap_or_default();
    let name = one.name.as_str();
    let result = match one.kind {
        "pod" => {
            let all = Api::<Pod>::namespaced(client, place);
            all.delete(name, &parameters).await.map(drop)
        }
        "pvc" => {
            let all = Api::<PersistentVolumeClaim>::namespaced(client, place);
            all.delete(name, &parameters).await.map(drop)
        }
        "storageclass" => {
            let all = Api::<StorageClass>::all(client);
            all.delete(name, &parameters).await.map(drop)
        }
        _ => {
            let all = Api::<Namespace>::all(client);
            all.delete(name, &parameters).await.map(drop)
        }
    };
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other,
    }
}

fn agreed(cli: &Cli) -> Result<bool, Halt> {
    if cli.yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Halt::new(
            Exit::RollbackIncomplete,
            "nobody can be asked whether to remove it, since standard input is no terminal; nothing was removed",
            "add --yes to remove it without being asked",
        ));
    }
    term::err("Remove it? Type yes:");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && answer.trim() == "yes")
}

/// How many requests it took, which stands in no report.
fn tell(cli: &Cli, found: &[Found], removed: usize, connection: &Connection) {
    let requests = connection.meter().total().requests;
    if cli.verbose {
        term::err(&count(
            usize::try_from(requests).unwrap_or(usize::MAX),
            "request",
        ));
    }
    if cli.format == Some(Format::Json) {
        let objects: Vec<String> = found.iter().map(Found::shown).collect();
        term::object(&serde_json::json!({
            "schema": reports::model::SCHEMA,
            "event": "cleanup",
            "at": jiff::Timestamp::now(),
            "found": objects,
            "removed": removed,
            "requests": requests,
        }));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn it_refuses_while_a_run_is_going() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let arguments = [
            "harness",
            "--cleanup",
            "--state-dir",
            state.to_str().unwrap(),
        ];
        let cli = Cli::try_parse_from(arguments).unwrap();
        let options = build::from_environment(&cli).unwrap();
        assert!(folder_lock(&options).unwrap().is_none());
        let folder = StateFolder::open_or_create(&state).unwrap();
        let lock = Lock::take(&folder, "7f3a91c2").unwrap();
        let halt = folder_lock(&options).unwrap_err();
        assert_eq!(halt.exit, Exit::Locked);
        assert!(halt.message.contains("7f3a91c2"));
        drop(lock);
        assert!(folder_lock(&options).unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_what_carries_the_label_and_our_name_is_found_and_removed() {
        let sandbox = sandbox::Sandbox::start(sandbox::Options {
            speed: sandbox::Speed::Test,
            ..sandbox::Options::default()
        })
        .await
        .unwrap();
        let kubeconfig = sandbox.kubeconfig();
        let cli = Cli::try_parse_from(["harness", "--cleanup", "--yes"]).unwrap();
        let mut options = build::from_environment(&cli).unwrap();
        options.kubeconfig = Some(kubeconfig);
        let (_, permit, client) = client(&options).await.unwrap();
        permit.rest_on_folder();
        let namespaces = Api::<Namespace>::all(client.clone());
        let parameters = kube::api::PostParams::default();
        let class = serde_json::json!({
            "metadata": { "name": "two-copies", "labels": { "app.kubernetes.io/managed-by": "onboarding" } },
            "provisioner": "driver.longhorn.io",
        });
        Api::<StorageClass>::all(client.clone())
            .create(&parameters, &serde_json::from_value(class).unwrap())
            .await
            .unwrap();
        for (name, label) in [
            ("onboarding-probe", "onboarding"),
            ("precious", "onboarding"),
            ("other", "helm"),
        ] {
            let namespace = serde_json::json!({
                "metadata": { "name": name, "labels": { "app.kubernetes.io/managed-by": label } },
            });
            namespaces
                .create(&parameters, &serde_json::from_value(namespace).unwrap())
                .await
                .unwrap();
        }
        let pods = Api::<Pod>::namespaced(client.clone(), "precious");
        for (name, label) in [("probe-1", "onboarding"), ("database", "helm")] {
            let pod = serde_json::json!({
                "metadata": { "name": name, "labels": { "app.kubernetes.io/managed-by": label } },
                "spec": { "containers": [{ "name": "one", "image": "one" }] },
            });
            pods.create(&parameters, &serde_json::from_value(pod).unwrap())
                .await
                .unwrap();
        }
        let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), "precious");
        let claim = serde_json::json!({
            "metadata": { "name": "volume-1", "labels": { "app.kubernetes.io/managed-by": "onboarding" } },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Mi" } } },
        });
        claims
            .create(&parameters, &serde_json::from_value(claim).unwrap())
            .await
            .unwrap();
        let found = find(&client, "onboarding-probe").await.unwrap();
        let shown: Vec<String> = found.iter().map(Found::shown).collect();
        assert_eq!(
            shown,
            [
                "pod probe-1 -n precious",
                "pvc volume-1 -n precious",
                "storageclass two-copies",
                "namespace onboarding-probe"
            ]
        );
        // Something that took the name since is another object.
        let mut other = found[0].clone();
        other.uid = Some("00000000-0000-0000-0000-000000000000".into());
        assert!(delete(client.clone(), other).await.is_err());
        for one in &found {
            delete(client.clone(), one.clone()).await.unwrap();
            // Gone by itself is removed too, unless it is still on its way out.
            let again = delete(client.clone(), one.clone()).await;
            assert!(again.is_ok(), "{again:?}");
        }
        assert!(pods.get("database").await.is_ok());
        assert!(namespaces.get("precious").await.is_ok());
        sandbox.shutdown().await;
    }

    #[test]
    fn objects_are_named_as_kubectl_takes_them() {
        let pod = Found {
            kind: "pod",
            namespace: Some("onboarding-probe".into()),
            name: "probe-1".into(),
            uid: None,
        };
        assert_eq!(pod.shown(), "pod probe-1 -n onboarding-probe");
    }
}
