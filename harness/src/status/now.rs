//! The node as the cluster has it now, asked for a few seconds at most.

use std::time::Duration;

use checks::{
    cluster::Connection,
    kinds,
    resources::{longhorn, node},
    view::{ReadError, View},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use crate::{options::Options, text::duration};

/// A status that keeps somebody waiting is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the cluster says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Now {
    /// It did not say, and why.
    Unknown(String),
    /// It answered.
    Known(Box<Known>),
}

/// What the cluster says of itself and the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Which cluster.
    pub(super) uid: String,
    /// The node, if it is there.
    pub(super) node: Option<NodeNow>,
    /// What Longhorn says; an error is a reason why it is not known.
    pub(super) storage: Storage,
}

/// The node as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeNow {
    /// Whether it is Ready, by condition type.
    pub(super) ready: bool,
    /// `Ready=False (KubeletNotReady: …)`
    pub(super) condition: String,
    /// Whether new pods are kept away.
    pub(super) cordoned: bool,
    /// How long ago it was registered.
    pub(super) age: Option<Duration>,
}

/// What Longhorn says of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Storage {
    /// It could not be read, and why.
    Unknown(String),
    /// Longhorn does not know the node.
    #[default]
    Absent,
    /// Disks by name, each with what keeps replicas away; empty when nothing does.
    Disks(Vec<(String, Vec<String>)>),
}

/// Looks, for three seconds at most.
pub(super) async fn look(options: &Options) -> Now {
    match tokio::time::timeout(PATIENCE, ask(options)).await {
        Ok(Ok(known)) => Now::Known(Box::new(known)),
        Ok(Err(why)) => Now::Unknown(why),
        Err(_) => Now::Unknown(format!(
            "the cluster did not answer in {}",
            duration(PATIENCE)
        )),
    }
}

async fn ask(options: &Options) -> Result<Known, String> {
    let connection = Connection::open(
        options.kubeconfig.as_deref(),
        options.context.as_deref(),
        "status",
    )
    .await
    .map_err(|error| error.to_string())?;
    let cluster = connection
        .identify()
        .await
        .map_err(|error| error.to_string())?;
    let view = View::snapshot(connection.reader().map_err(|error| error.to_string())?);
    let name = &options.settings.node.name;
    let (found, disks) = tokio::join!(
        view.find::<Node>(&kinds::NODES, "", name),
        view.find::<longhorn::Node>(
            &kinds::LONGHORN_NODES,
            &options.settings.longhorn.namespace,
            name
        )
    );
    let node = found
        .map_err(|error| error.to_string())?
        .map(|found| node_now(&found));
    Ok(Known {
        uid: cluster.uid,
        node,
        storage: match disks {
            Ok(Some(found)) => Storage::Disks(
                found
                    .disks()
                    .map(|disk| (disk.name.to_owned(), disk.obstacles()))
                    .collect(),
            ),
            Ok(None) => Storage::Absent,
            Err(ReadError::NotServed { .. }) => Storage::Unknown("not installed".into()),
            Err(error) => Storage::Unknown(error.to_string()),
        },
    })
}

fn node_now(found: &Node) -> NodeNow {
    let age = found
        .metadata
        .creation_timestamp
        .as_ref()
        .and_then(|made| Duration::try_from(Timestamp::now().duration_since(made.0)).ok());
    NodeNow {
        ready: node::is_ready(found),
        condition: node::condition(found, "Ready").to_string(),
        cordoned: found
            .spec
            .as_ref()
            .and_then(|spec| spec.unschedulable)
            .unwrap_or(false),
        age,
    }
}

impl Storage {
    /// Whether Longhorn would put replicas on a disk of the node.
    pub(super) fn usable(&self) -> bool {
        matches!(self, Self::Disks(disks) if !disks.is_empty() && disks.iter().all(|(_, why)| why.is_empty()))
    }

    fn sentence(&self) -> String {
        match self {
            Self::Unknown(why) => format!("Longhorn: {why}"),
            Self::Absent => "Longhorn does not know it".into(),
            Self::Disks(disks) if disks.is_empty() => "Longhorn: it has no disks".into(),
            Self::Disks(disks) => {
                let parts: Vec<String> = disks
                    .iter()
                    .map(|(name, why)| {
                        if why.is_empty() {
                            format!("disk {name} usable")
                        } else {
                            format!("disk {name} {}", why.join(", "))
                        }
                    })
                    .collect();
                format!("Longhorn: {}", parts.join(", "))
            }
        }
    }
}

impl Now {
    /// UID of the cluster, when it said.
    pub(super) fn cluster_uid(&self) -> Option<&str> {
        match self {
            Self::Unknown(_) => None,
            Self::Known(known) => Some(&known.uid),
        }
    }

    /// `k3s2 Ready, registered 48 s ago · Longhorn: disk sdb1 usable`
    pub(super) fn sentence(&self, name: &str) -> String {
        match self {
            Self::Unknown(why) => format!("not known: {why}"),
            Self::Known(known) => match &known.node {
                None => format!("{name} is not in the cluster"),
                Some(node) => {
                    let ready = if node.ready {
                        "Ready"
                    } else {
                        node.condition.as_str()
                    };
                    let cordon = if node.cordoned { ", cordoned" } else { "" };
                    let age = node
                        .age
                        .map(|age| format!(", registered {} ago", duration(age)))
                        .unwrap_or_default();
                    format!("{name} {ready}{cordon}{age} · {}", known.storage.sentence())
                }
            },
        }
    }

    /// The same for programs.
    pub(super) fn object(&self) -> Value {
        match self {
            Self::Unknown(why) => json!({ "known": false, "message": why }),
            Self::Known(known) => json!({
                "known": true,
                "cluster": known.uid,
                "node": known.node.as_ref().map(|node| json!({
                    "ready": node.ready,
                    "condition": node.condition,
                    "cordoned": node.cordoned,
                    "age_seconds": node.age.map(|age| age.as_secs()),
                })),
                "longhorn": match &known.storage {
                    Storage::Unknown(why) => json!({ "known": false, "message": why }),
                    Storage::Absent => json!({ "known": true, "disks": null }),
                    Storage::Disks(disks) => json!({
                        "known": true,
                        "disks": disks
                            .iter()
                            .map(|(name, why)| json!({ "name": name, "obstacles": why }))
                            .collect::<Vec<_>>(),
                    }),
                },
            }),
        }
    }
}
