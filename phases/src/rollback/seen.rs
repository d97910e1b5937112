//! What of the node is in the cluster, read side by side. The same reads serve the forecast, every step that looks
//! before it acts, and every wait.

use std::{collections::BTreeMap, sync::Arc};

use checks::{
    Settings, kinds,
    resources::{
        flux::Kustomization,
        longhorn::{
            Engine, EngineImage, InstanceManager, Node as StorageNode, Replica, Setting, Volume,
        },
        node,
    },
    view::{ReadError, Scope, View},
};
use k8s_openapi::api::{
    apps::v1::DaemonSet,
    core::v1::{Node, PersistentVolume, Pod},
    policy::v1::PodDisruptionBudget,
    storage::v1::VolumeAttachment,
};

use crate::{ActionContext, ActionError};

/// What of the node is in the cluster.
pub(crate) struct Seen {
    /// Its name.
    pub(crate) name: String,
    /// All nodes.
    pub(crate) nodes: Arc<Vec<Node>>,
    /// The pods that are bound to it.
    pub(crate) pods: Arc<Vec<Pod>>,
    /// All PodDisruptionBudgets.
    pub(crate) budgets: Arc<Vec<PodDisruptionBudget>>,
    /// All DaemonSets.
    pub(crate) sets: Arc<Vec<DaemonSet>>,
    /// All PersistentVolumes.
    pub(crate) volumes: Arc<Vec<PersistentVolume>>,
    /// All attachments of Kubernetes.
    pub(crate) attachments: Arc<Vec<VolumeAttachment>>,
    /// The Kustomizations of Flux.
    pub(crate) kustomizations: Arc<Vec<Kustomization>>,
    /// Longhorn, all empty where it is not installed.
    pub(crate) storage: Storage,
}

/// Longhorn's objects.
#[derive(Clone, Default)]
pub(crate) struct Storage {
    pub(crate) nodes: Arc<Vec<StorageNode>>,
    pub(crate) volumes: Arc<Vec<Volume>>,
    pub(crate) replicas: Arc<Vec<Replica>>,
    pub(crate) engines: Arc<Vec<Engine>>,
    pub(crate) managers: Arc<Vec<InstanceManager>>,
    pub(crate) images: Arc<Vec<EngineImage>>,
    pub(crate) settings: BTreeMap<String, String>,
}

impl Storage {
    /// Reads it; nothing where Longhorn is not installed.
    pub(crate) async fn read(view: &View, settings: &Settings) -> Result<Self, ReadError> {
        let place = || Scope::namespace(&settings.longhorn.namespace);
        let read = async {
            let (nodes, volumes, replicas, engines, managers, images, values) = tokio::try_join!(
                view.list::<StorageNode>(&kinds::LONGHORN_NODES, place()),
                view.list::<Volume>(&kinds::LONGHORN_VOLUMES, place()),
                view.list::<Replica>(&kinds::LONGHORN_REPLICAS, place()),
                view.list::<Engine>(&kinds::LONGHORN_ENGINES, place()),
                view.list::<InstanceManager>(&kinds::LONGHORN_INSTANCE_MANAGERS, place()),
                view.list::<EngineImage>(&kinds::LONGHORN_ENGINE_IMAGES, place()),
                view.list::<Setting>(&kinds::LONGHORN_SETTINGS, place()),
            )?;
            let settings = values
                .iter()
                .map(|one| (one.metadata.name.clone(), one.for_v1()))
                .collect();
            Ok(Self {
                nodes,
                volumes,
                replicas,
                engines,
                managers,
                images,
                settings,
            })
        };
        match read.await {
            Err(ReadError::NotServed { .. }) => Ok(Self::default()),
            other => other,
        }
    }

    /// Longhorn's Node of this name.
    pub(crate) fn node(&self, name: &str) -> Option<&StorageNode> {
        self.nodes.iter().find(|one| one.metadata.name == name)
    }

    /// A volume by its name.
    pub(crate) fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|one| one.metadata.name == name)
    }

    /// The replicas on a node.
    pub(crate) fn on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Replica> {
        self.replicas
            .iter()
            .filter(move |one| one.spec.node_id == node)
    }
}

impl Seen {
    /// Reads everything anew.
    pub(crate) async fn now(cx: &ActionContext) -> Result<Self, ActionError> {
        Ok(Self::read(&cx.checks.view.anew(), &cx.checks.settings).await?)
    }

    /// Reads everything.
    pub(crate) async fn read(view: &View, settings: &Settings) -> Result<Self, ReadError> {
        let name = settings.node.name.clone();
        let flux = Scope::namespace(&settings.flux.namespace);
        let (nodes, pods, budgets, sets, volumes, attachments, kustomizations, storage) = tokio::try_join!(
            view.list::<Node>(&kinds::NODES, Scope::all()),
            view.list::<Pod>(&kinds::PODS, Scope::on_node(&name)),
            view.list::<PodDisruptionBudget>(&kinds::DISRUPTION_BUDGETS, Scope::all()),
            view.list::<DaemonSet>(&kinds::DAEMONSETS, Scope::all()),
            view.list::<PersistentVolume>(&kinds::PERSISTENT_VOLUMES, Scope::all()),
            view.list::<VolumeAttachment>(&kinds::VOLUME_ATTACHMENTS, Scope::all()),
            view.list::<Kustomization>(&kinds::KUSTOMIZATIONS, flux),
            Storage::read(view, settings),
        )?;
        Ok(Self {
            name,
            nodes,
            pods,
            budgets,
            sets,
            volumes,
            attachments,
            kustomizations,
            storage,
        })
    }

    /// The node itself.
    pub(crate) fn node(&self) -> Option<&Node> {
        node::named(&self.nodes, &self.name)
    }

    /// Whether its kubelet has stopped answering: nobody there ends a pod or lets a volume go.
    pub(crate) fn is_silent(&self) -> bool {
        self.node().is_some_and(is_silent)
    }

    /// Whether Longhorn can copy replicas away from it: its eviction is cancelled where the node is not ready.
    pub(crate) fn can_evacuate(&self) -> bool {
        self.node().is_some_and(node::is_ready)
            && self
                .storage
                .node(&self.name)
                .is_some_and(|one| one.condition("Ready").is_true())
    }

    /// Longhorn's attachments of Kubernetes on the node, by volume.
    pub(crate) fn attached(&self) -> Vec<String> {
        attached(&self.attachments, &self.name)
    }
}

/// Whether the kubelet of a node has stopped answering.
pub(crate) fn is_silent(node: &Node) -> bool {
    let ready = node::condition(node, "Ready");
    ready.is_present() && !ready.is_true() && !ready.is_false()
}

/// The volumes that Longhorn's CSI driver has attached to a node.
pub(crate) fn attached(all: &[VolumeAttachment], node: &str) -> Vec<String> {
    all.iter()
        .filter(|one| {
            one.spec.node_name == node && one.spec.attacher == checks::resources::longhorn::DRIVER
        })
        .filter_map(|one| one.spec.source.persistent_volume_name.clone())
        .collect()
}
