//! What checks ask of a Kubernetes node: its role, address, conditions, and the arguments that k3s was started with.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;

use super::condition::{self, Seen};
use crate::{
    Context, kinds,
    view::{ReadError, Scope},
};

/// Labels that k3s puts on servers; agents have no role label.
pub const CONTROL_PLANE_LABELS: [&str; 2] = [
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/master",
];

/// Its name.
#[must_use]
pub fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

/// A label of it.
#[must_use]
pub fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// An annotation of it.
#[must_use]
pub fn annotation<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    node.metadata
        .annotations
        .as_ref()?
        .get(key)
        .map(String::as_str)
}

/// Whether it carries a label of the control plane.
#[must_use]
pub fn is_control_plane(node: &Node) -> bool {
    CONTROL_PLANE_LABELS
        .iter()
        .any(|key| label(node, key).is_some())
}

/// A condition of it, by type.
#[must_use]
pub fn condition<'a>(node: &'a Node, kind: &'a str) -> Seen<'a> {
    condition::of_opt(
        node.status
            .as_ref()
            .and_then(|status| status.conditions.as_ref()),
        kind,
    )
}

/// Whether its kubelet says that it is ready.
#[must_use]
pub fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_true()
}

/// Its first address of type InternalIP.
#[must_use]
pub fn internal_ip(node: &Node) -> Option<&str> {
    node.status
        .as_ref()?
        .addresses
        .as_ref()?
        .iter()
        .find(|address| address.type_ == "InternalIP")
        .map(|address| address.address.as_str())
}

/// The ranges that its pods get their addresses from.
#[must_use]
pub fn pod_ranges(node: &Node) -> Vec<&str> {
    let Some(spec) = &node.spec else {
        return Vec::new();
    };
    match &spec.pod_cidrs {
        Some(ranges) if !ranges.is_empty() => ranges.iter().map(String::as_str).collect(),
        _ => spec.pod_cidr.iter().map(String::as_str).collect(),
    }
}

/// The arguments that k3s was started with, its configuration file included, from annotation `k3s.io/node-args`.
/// Values that look like tokens are masked by k3s itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Those of a node; `None` before k3s has written them.
    #[must_use]
    pub fn of(node: &Node) -> Option<Self> {
        serde_json::from_str(annotation(node, "k3s.io/node-args")?)
            .ok()
            .map(Self)
    }

    /// `server` or `agent`.
    #[must_use]
    pub fn role(&self) -> &str {
        self.0.first().map(String::as_str).unwrap_or_default()
    }

    /// Every value that a flag was given: `--flag value` and `--flag=value`, several with commas.
    #[must_use]
    pub fn values(&self, flag: &str) -> Vec<&str> {
        let mut values: Vec<&str> = Vec::new();
        for (place, argument) in self.0.iter().enumerate() {
            if argument == flag {
                let next = self.0.get(place + 1).map(String::as_str);
                values.extend(next.filter(|next| !next.starts_with("--")));
            } else if let Some(value) = argument
                .strip_prefix(flag)
                .and_then(|rest| rest.strip_prefix('='))
            {
                values.push(value);
            }
        }
        values
            .into_iter()
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// Whether a switch is on: given, and not as `false`.
    #[must_use]
    pub fn switch(&self, flag: &str) -> bool {
        let given = self
            .0
            .iter()
            .any(|argument| argument == flag || argument.starts_with(&format!("{flag}=")));
        given && !self.values(flag).contains(&"false")
    }

    /// Whether a packaged component was switched off with `--disable`.
    #[must_use]
    pub fn disables(&self, component: &str) -> bool {
        self.values("--disable").contains(&component)
    }
}

/// Whether k3s itself runs flannel, as its servers were started; nothing where no server shows its arguments.
#[must_use]
pub fn runs_flannel(nodes: &[Node]) -> Option<bool> {
    let mut servers = nodes
        .iter()
        .filter_map(Arguments::of)
        .filter(|arguments| arguments.role() == "server")
        .peekable();
    servers.peek()?;
    Some(!servers.any(|one| one.values("--flannel-backend").contains(&"none")))
}

/// Every node.
///
/// # Errors
/// See [`ReadError`].
pub async fn all(cx: &Context) -> Result<Arc<Vec<Node>>, ReadError> {
    cx.view.list::<Node>(&kinds::NODES, Scope::all()).await
}

/// One node of a list, by its name.
#[must_use]
pub fn named<'a>(nodes: &'a [Node], wanted: &str) -> Option<&'a Node> {
    nodes.iter().find(|node| name(node) == wanted)
}

/// The new node.
///
/// # Errors
/// As the list, and [`ReadError::Absent`].
pub async fn new(cx: &Context) -> Result<Node, ReadError> {
    named(&all(cx).await?, cx.node())
        .cloned()
        .ok_or_else(|| ReadError::Absent {
            what: format!("nodes {}", cx.node()),
        })
}

/// The control-plane node: the one that is configured, else the first that carries the role's label.
///
/// # Errors
/// Absent when there is neither; otherwise see [`ReadError`].
pub async fn control_plane(cx: &Context) -> Result<Node, ReadError> {
    let nodes = all(cx).await?;
    let wanted = &cx.settings.node.control_plane;
    nodes
        .iter()
        .find(|node| name(node) == wanted)
        .or_else(|| nodes.iter().find(|node| is_control_plane(node)))
        .cloned()
        .ok_or_else(|| ReadError::Absent {
            what: format!(
                "a control-plane node (neither node {wanted} nor one with label {})",
                CONTROL_PLANE_LABELS[0]
            ),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::Fixture;

    fn node(name: &str, labels: serde_json::Value) -> serde_json::Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
    }

    #[tokio::test]
    async fn the_control_plane_is_found_by_name_and_else_by_label() {
        let role = json!({"node-role.kubernetes.io/control-plane": "true"});
        let by_name = Fixture::new()
            .with(node("other", role.clone()))
            .with(node("k3s1", json!({})))
            .context();
        assert_eq!(name(&control_plane(&by_name).await.unwrap()), "k3s1");
        let by_label = Fixture::new()
            .with(node("worker", json!({})))
            .with(node("server-a", role))
            .context();
        assert_eq!(name(&control_plane(&by_label).await.unwrap()), "server-a");
        let none = Fixture::new().with(node("worker", json!({}))).context();
        let error = control_plane(&none).await.unwrap_err();
        assert!(error.to_string().contains("k3s1"), "{error}");
    }

    #[test]
    fn arguments_are_read_in_both_spellings() {
        let arguments = Arguments(
            [
                "server",
                "--disable",
                "traefik,servicelb",
                "--disable=metrics-server",
                "--cluster-cidr",
                "10.44.0.0/16",
                "--disable-network-policy",
                "--secrets-encryption=false",
            ]
            .map(String::from)
            .to_vec(),
        );
        assert_eq!(arguments.role(), "server");
        assert!(arguments.disables("servicelb") && arguments.disables("metrics-server"));
        assert!(!arguments.disables("coredns"));
        assert_eq!(arguments.values("--cluster-cidr"), ["10.44.0.0/16"]);
        assert!(arguments.switch("--disable-network-policy"));
        assert!(!arguments.switch("--secrets-encryption"));
        assert!(!arguments.switch("--disable-kube-proxy"));
    }
}
