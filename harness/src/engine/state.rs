//! The cluster as last seen, for the report. What cannot be read is left out and said.

use std::{collections::BTreeMap, time::Duration};

use checks::{
    Context, kinds,
    resources::{condition, longhorn},
    view::{ReadError, Scope},
};
use k8s_openapi::api::core::v1::{Node, Pod};
use reports::model::{ClusterState, Table};

/// Nodes, Longhorn nodes and pods per node, as far as they can be read within a limit. Three lists.
pub(super) async fn look(cx: &Context, limit: Duration) -> ClusterState {
    let (nodes, disks, pods) = tokio::join!(
        within(limit, "nodes", nodes(cx)),
        within(limit, "nodes.longhorn.io", longhorn_nodes(cx)),
        within(limit, "pods", pods(cx)),
    );
    let table = |title: &str, columns: &[&str], rows: Result<Vec<Vec<String>>, ReadError>| {
        let (columns, rows) = match rows {
            Ok(rows) => (columns.iter().map(|one| (*one).to_owned()).collect(), rows),
            Err(error) => (vec!["not read".to_owned()], vec![vec![error.to_string()]]),
        };
        Table {
            title: title.to_owned(),
            columns,
            rows,
        }
    };
    ClusterState {
        tables: vec![
            table(
                "Nodes",
                &["name", "Ready", "version", "InternalIP", "pod range"],
                nodes,
            ),
            table(
                "Longhorn nodes",
                &["name", "Ready", "Schedulable", "disks", "allowScheduling"],
                disks,
            ),
            table("Pods per node", &["node", "pods", "not running"], pods),
        ],
    }
}

async fn within<T>(
    limit: Duration,
    what: &str,
    read: impl Future<Output = Result<T, ReadError>>,
) -> Result<T, ReadError> {
    tokio::time::timeout(limit, read).await.unwrap_or_else(|_| {
        Err(ReadError::TimedOut {
            what: what.to_owned(),
            after: limit,
        })
    })
}

async fn nodes(cx: &Context) -> Result<Vec<Vec<String>>, ReadError> {
    let nodes = cx.view.list::<Node>(&kinds::NODES, Scope::all()).await?;
    let row = |node: &Node| {
        let status = node.status.clone().unwrap_or_default();
        let address = status
            .addresses
            .iter()
            .flatten()
            .find(|one| one.type_ == "InternalIP");
        vec![
            node.metadata.name.clone().unwrap_or_default(),
            condition::of_opt(status.conditions.as_ref(), "Ready").to_string(),
            status
                .node_info
                .as_ref()
                .map(|info| info.kubelet_version.clone())
                .unwrap_or_default(),
            address.map(|one| one.address.clone()).unwrap_or_default(),
            node.spec
                .as_ref()
                .and_then(|spec| spec.pod_cidr.clone())
                .unwrap_or_default(),
        ]
    };
    Ok(nodes.iter().map(row).collect())
}

async fn longhorn_nodes(cx: &Context) -> Result<Vec<Vec<String>>, ReadError> {
    let scope = Scope::namespace(&cx.settings.longhorn.namespace);
    let nodes = cx
        .view
        .list::<longhorn::Node>(&kinds::LONGHORN_NODES, scope)
        .await?;
    let row = |node: &longhorn::Node| {
        vec![
            node.metadata.name.clone(),
            condition::of(&node.status.conditions, "Ready").to_string(),
            condition::of(&node.status.conditions, "Schedulable").to_string(),
            node.spec.disks.len().to_string(),
            node.spec.allow_scheduling.to_string(),
        ]
    };
    Ok(nodes.iter().map(row).collect())
}

async fn pods(cx: &Context) -> Result<Vec<Vec<String>>, ReadError> {
    let pods = cx.view.list::<Pod>(&kinds::PODS, Scope::all()).await?;
    let mut count: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for pod in pods.iter() {
        let node = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.node_name.clone())
            .unwrap_or_else(|| "none".into());
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.clone())
            .unwrap_or_default();
        let entry = count.entry(node).or_default();
        entry.0 += 1;
        entry.1 += usize::from(!matches!(phase.as_str(), "Running" | "Succeeded"));
    }
    let row = |(node, (all, idle)): (String, (usize, usize))| {
        vec![node, all.to_string(), idle.to_string()]
    };
    Ok(count.into_iter().map(row).collect())
}
