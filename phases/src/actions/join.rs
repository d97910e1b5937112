//! `join::label`: the labels that an agent cannot give itself.

use std::collections::BTreeMap;

use checks::{Context, Criterion, Need, Reason, kinds::NODES};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

use crate::{
    Act, Action, ActionContext, ActionError, Done, Plan,
    flux::{merge_patch, tried},
};

/// The actions of this phase, in order.
pub(super) const ACTIONS: &[Action] = &[Action {
    id: "join::label",
    title: "{node} carries the labels of [node.labels]",
    requires: &["join::registered"],
    needs: &[Need::get(&NODES), Need::verb("patch", &NODES)],
    criterion: Criterion::Of("1.2"),
    why: "Longhorn prepares disks only on nodes with its label, and an agent has no kubeconfig to label itself with.",
    inverse: "puts back the values that were there before, and removes the labels that were not",
    reasons: &[
        Reason::new(
            "NodeAbsent",
            "see whether the agent runs on the host: journalctl -u k3s-agent -e",
        ),
        Reason::new(
            "NotLabelled",
            "label it by hand: kubectl label node {node} KEY=VALUE --overwrite",
        ),
        Reason::new(
            "Conflict",
            "somebody else changes the node at the same time: --resume",
        ),
    ],
    act: &Label,
}];

struct Label;

impl Act for Label {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let missing = missing(cx).await?;
            if !missing.is_empty() {
                return Ok(None);
            }
            let labels = &cx.checks.settings.node.labels;
            Ok(Some(Done::new(match labels.len() {
                0 => "no labels are configured".into(),
                1 => "the label is there already".into(),
                count => format!("all {count} labels are there already"),
            })))
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let node = cx.checks.node();
            let wanted = &cx.checks.settings.node.labels;
            let missing = match missing(cx).await {
                Ok(missing) => missing,
                // Before the join there is nothing to compare with.
                Err(error) if error.reason == "NodeAbsent" => wanted
                    .iter()
                    .map(|(key, new)| (key.clone(), (None, new.clone())))
                    .collect(),
                Err(error) => return Err(error),
            };
            if missing.is_empty() {
                return Ok(Plan::default());
            }
            let labels: BTreeMap<&String, &String> =
                missing.iter().map(|(key, (_, new))| (key, new)).collect();
            let patch = json!({"metadata": {"labels": labels}});
            let answer = tried(cx, &NODES, "", node, &patch).await?;
            let mut part = format!("label node {node} ({answer})");
            for (key, (old, new)) in &missing {
                let was = old
                    .as_ref()
                    .map_or_else(String::new, |old| format!(", was {old}"));
                part.push_str(&format!("\n  {key}={new}{was}"));
            }
            Ok(Plan { parts: vec![part] })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let missing = missing(cx).await?;
            let node = cx.checks.node();
            for (key, (old, _)) in &missing {
                // What was there is written down once: a second start must not take our own value for the old one.
                let entry = format!("before {key}");
                if cx.recorded("join::label", &entry).is_none() {
                    let before = old
                        .as_ref()
                        .map_or("absent".to_owned(), |old| format!("={old}"));
                    cx.journal.record("join::label", &entry, &before)?;
                }
            }
            let labels: BTreeMap<&String, &String> =
                missing.iter().map(|(key, (_, new))| (key, new)).collect();
            let patched = merge_patch(
                cx,
                &NODES,
                "",
                node,
                &json!({"metadata": {"labels": labels}}),
            )
            .await?;
            for (key, value) in &labels {
                let now = patched
                    .pointer("/metadata/labels")
                    .and_then(|all| all.get(key.as_str()));
                if now.and_then(serde_json::Value::as_str) != Some(value.as_str()) {
                    let now = now.map_or("absent".into(), ToString::to_string);
                    let message = format!(
                        "node {node} was patched, and its label {key} is {now} instead of {value}"
                    );
                    return Err(ActionError::new("NotLabelled", message));
                }
            }
            let mut done = Done::new(match labels.len() {
                1 => "1 label set".to_owned(),
                count => format!("{count} labels set"),
            });
            for (key, (old, new)) in &missing {
                let before = old.as_ref().map_or("absent", String::as_str);
                done = done.saw(format!("{key}: {before} → {new}"));
            }
            Ok(done)
        }
        .boxed()
    }
}

/// The labels that the node has not, or has with another value: what is there, and what is wanted.
async fn missing(
    cx: &ActionContext,
) -> Result<BTreeMap<String, (Option<String>, String)>, ActionError> {
    let name = cx.checks.node();
    let Some(node) = cx.checks.view.find::<Node>(&NODES, "", name).await? else {
        return Err(ActionError::new(
            "NodeAbsent",
            format!("node {name} is not in the cluster, so it cannot be labelled"),
        ));
    };
    let there = node.metadata.labels.clone().unwrap_or_default();
    let wanted = cx.checks.settings.node.labels.iter();
    Ok(wanted
        .filter(|(key, value)| there.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), (there.get(key).cloned(), value.clone())))
        .collect())
}

/// What to run on the host: the server's own version, and where to read the token, never the token.
pub(super) async fn advice(cx: &Context) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Version {
        #[serde(rename = "gitVersion")]
        git_version: String,
    }
    let node = cx.node();
    if let Ok(Some(_)) = cx.view.find::<Node>(&NODES, "", node).await {
        return None;
    }
    let control_plane = cx
        .view
        .get::<Node>(&NODES, "", &cx.settings.node.control_plane)
        .await
        .ok()?;
    let addresses = control_plane.status.as_ref()?.addresses.as_ref()?;
    let address = &addresses
        .iter()
        .find(|one| one.type_ == "InternalIP")?
        .address;
    let version: Version = cx.view.reader().json("/version").await.ok()?;
    Some(format!(
        "On the host {node}, if it is not running yet, with what {} has in /var/lib/rancher/k3s/server/node-token:\n  \
         curl -sfL https://get.k3s.io | INSTALL_K3S_VERSION={} K3S_URL=https://{address}:6443 K3S_TOKEN=… sh -s - \
         agent --node-name {node}",
        cx.settings.node.control_plane, version.git_version
    ))
}
