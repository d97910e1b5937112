//! What every run begins with: which cluster, which repository, and that both can be reached.

use std::sync::Arc;

use checks::{
    Settings,
    cluster::{Connection, Reader},
    git::{Environment, Repository},
    kinds,
    rights::EVERY_RUN,
    view::{Scope, View},
};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use phases::lease::Permit;
use reports::model::{Cluster, RepositoryIdentity};

use crate::{
    exit::Halt,
    options::{Options, Purpose},
};

/// The world of a run.
pub(super) struct World {
    pub(super) cluster: Cluster,
    pub(super) connection: Connection,
    pub(super) reader: Reader,
    /// The cluster as it was when the run began, with what was looked at already.
    pub(super) first: View,
    pub(super) client: Client,
    /// Whether it may write now.
    pub(super) permit: Permit,
    pub(super) repository: Option<Arc<Repository>>,
    pub(super) identity: Option<RepositoryIdentity>,
    pub(super) settings: Arc<Settings>,
}

/// Finds the cluster and the repository.
pub(super) async fn find(options: &Options, run: &str) -> Result<World, Halt> {
    let opened = Connection::open(
        options.kubeconfig.as_deref(),
        options.context.as_deref(),
        run,
    );
    let connection = opened
        .await
        .map_err(|error| Halt::cannot_start(error.to_string(), error.hint()))?;
    let connect =
        |error: checks::cluster::ConnectError| Halt::cannot_start(error.to_string(), error.hint());
    let reader = connection.reader().map_err(connect)?;
    let first = View::snapshot(reader.clone());
    let meter = connection.meter();
    let identified = meter.count_as(EVERY_RUN, connection.identify_in(&first));
    let mut cluster = identified.await.map_err(connect)?;
    cluster.sandbox = options.sandbox.is_some();
    let permit = if options.dry_run {
        Permit::dry_run()
    } else {
        Permit::default()
    };
    let client = phases::writer(&connection, &permit).map_err(connect)?;
    let (repository, identity) = repository(options)?;
    let settings = meter.count_as(EVERY_RUN, settings(options, &first));
    let settings = Arc::new(settings.await);
    Ok(World {
        cluster,
        connection,
        reader,
        first,
        client,
        permit,
        repository,
        identity,
        settings,
    })
}

/// Opens the repository where one is named. An inspection does without; an ordered run cannot.
fn repository(
    options: &Options,
) -> Result<(Option<Arc<Repository>>, Option<RepositoryIdentity>), Halt> {
    let Some(path) = &options.settings.repository.path else {
        if matches!(options.purpose, Purpose::Inspect { .. }) {
            return Ok((None, None));
        }
        return Err(Halt::cannot_start(
            "an onboarding changes a GitOps repository, and none was named",
            "name its working copy: --repo PATH, ONBOARDING_REPO, or path under [repository] in onboarding.toml",
        ));
    };
    let failed = |error: checks::git::GitError| Halt::cannot_start(error.to_string(), error.hint());
    // The sandbox's repository has an identity and a key of its own; the user's git configuration stays out of it.
    let environment = match &options.sandbox {
        Some(_) => Environment::isolated(path.parent().unwrap_or(path)),
        None => Environment::inherited(),
    };
    let mut repository = Repository::open_in(path, environment).map_err(failed)?;
    if options.dry_run {
        repository = repository.read_only();
    }
    // What is wrong with branch and remote is for the checks of `gitops` to say; the identity only names them.
    let remote = repository.followed_remote().ok();
    let identity = RepositoryIdentity {
        remote: remote
            .as_ref()
            .map(checks::git::Remote::shown_url)
            .unwrap_or_default(),
        branch: repository.branch().unwrap_or_default(),
        file: options.settings.repository.kustomization.clone(),
        entry: options.settings.entry(),
    };
    Ok((Some(Arc::new(repository)), Some(identity)))
}

/// Finds the control plane by its role label where its name is not in the cluster.
async fn settings(options: &Options, view: &View) -> Settings {
    let mut settings = options.settings.clone();
    // The same list that checks look at.
    let Ok(nodes) = view.list::<Node>(&kinds::NODES, Scope::all()).await else {
        return settings;
    };
    let name = |node: &Node| node.metadata.name.clone().unwrap_or_default();
    if nodes
        .iter()
        .any(|node| name(node) == settings.node.control_plane)
    {
        return settings;
    }
    let leads = |node: &&Node| {
        let labels = node.metadata.labels.iter().flatten();
        labels
            .clone()
            .any(|(key, _)| key == "node-role.kubernetes.io/control-plane")
    };
    if let Some(found) = nodes.iter().find(leads) {
        settings.node.control_plane = name(found);
    }
    settings
}
