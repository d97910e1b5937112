//! What `--auto-fix` may mend: declared, safe repairs of single reasons of single checks.
//!
//! A fix is data and one function that looks and says which [`Change`]s it would send. It judges by itself whether it
//! is safe, on a fresh look at the cluster; whoever carries it out shows the changes, sends them, and asks the check
//! again. In a dry run the server is asked to try the same changes.

mod change;
#[cfg(test)]
mod tests;

use std::time::Duration;

use checks::{
    Context, Need,
    kinds::{GIT_REPOSITORIES, KUSTOMIZATIONS, NODES, SECRETS},
    resources::flux::Kustomization,
};
use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::{
    api::core::v1::{Node, Secret},
    jiff::Timestamp,
};
use reports::model::{ActionRecord, ActionState};
use serde_json::json;

use crate::{ActionContext, ActionError, flux::REQUESTED_AT};

pub use change::{Change, send, try_out};

/// What the record of every fix begins with.
pub const PREFIX: &str = "fix::";
/// After this time k3s itself takes a password without a Node for a leftover.
const STALE: Duration = Duration::from_secs(600);

/// A declared repair.
pub struct Fix {
    /// `fix::stale_password`
    pub id: &'static str,
    /// Which checks it mends, each for these reasons of theirs.
    pub mends: &'static [(&'static str, &'static [&'static str])],
    /// What it does and when it is safe, one sentence.
    pub title: &'static str,
    /// What it reads and changes.
    pub needs: &'static [Need],
    look: for<'a> fn(&'a Look<'a>) -> BoxFuture<'a, Looked>,
}

/// What a fix looks at.
pub struct Look<'a> {
    /// As an action has it; what is read is read anew.
    pub cx: &'a ActionContext,
    /// What this program's own runs have recorded about this node: this run, and an earlier rollback.
    pub records: &'a [ActionRecord],
}

type Looked = Result<Vec<Change>, ActionError>;

impl Fix {
    /// What it would send now; an error says why it is not safe.
    ///
    /// # Errors
    /// It is not safe, there is nothing to mend, or the cluster cannot be read.
    pub async fn look(&self, look: &Look<'_>) -> Looked {
        (self.look)(look).await
    }
}

/// Every fix.
pub static ALL: &[Fix] = &[
    Fix {
        id: "fix::stale_password",
        mends: &[
            ("pre::node_password_free", &["StalePassword"]),
            ("join::registered", &["NodePasswordStale"]),
        ],
        title: "deletes the node-password Secret of {node} when it is older than 10 minutes and there is no Node {node}",
        needs: &[
            Need::get(&NODES),
            Need::get(&SECRETS),
            Need::verb("delete", &SECRETS),
        ],
        look: |look| stale_password(look).boxed(),
    },
    Fix {
        id: "fix::reconcile",
        mends: &[("storage::gitops_applied", &["OtherRevision"])],
        title: "asks Flux once more when it has handled our request and is at another revision",
        needs: &[
            Need::get(&KUSTOMIZATIONS),
            Need::verb("patch", &GIT_REPOSITORIES),
            Need::verb("patch", &KUSTOMIZATIONS),
        ],
        look: |look| reconcile(look).boxed(),
    },
    Fix {
        id: "fix::uncordon",
        mends: &[
            ("storage::node_schedulable", &["Cordoned"]),
            ("health::nodes_ready", &["NodeCordoned"]),
        ],
        title: "uncordons {node} when a rollback of this program is on record as having cordoned it",
        needs: &[Need::get(&NODES), Need::verb("patch", &NODES)],
        look: |look| uncordon(look).boxed(),
    },
    Fix {
        id: "fix::resume_flux",
        mends: &[
            ("pre::flux_kustomizations", &["KustomizationSuspended"]),
            ("storage::gitops_applied", &["KustomizationSuspended"]),
        ],
        title: "resumes {kustomization} when a rollback of this program is on record as having suspended it",
        needs: &[
            Need::get(&KUSTOMIZATIONS),
            Need::verb("patch", &KUSTOMIZATIONS),
        ],
        look: |look| resume_flux(look).boxed(),
    },
];

/// The fix for this reason of this check.
#[must_use]
pub fn of(check: &str, reason: &str) -> Option<&'static Fix> {
    ALL.iter().find(|fix| {
        fix.mends
            .iter()
            .any(|(id, reasons)| *id == check && reasons.contains(&reason))
    })
}

/// Every fix of a check.
pub fn for_check(check: &str) -> impl Iterator<Item = (&'static Fix, &'static [&'static str])> {
    ALL.iter().filter_map(move |fix| {
        let (_, reasons) = fix.mends.iter().find(|(id, _)| *id == check)?;
        Some((fix, *reasons))
    })
}

fn unsafe_now(why: impl Into<String>) -> ActionError {
    ActionError::new("NotSafe", why)
}

/// A view that asks the cluster anew.
fn anew(cx: &ActionContext) -> Context {
    Context {
        view: cx.checks.view.anew(),
        ..cx.checks.clone()
    }
}

async fn stale_password(look: &Look<'_>) -> Looked {
    let cx = anew(look.cx);
    let name = format!("{}.node-password.k3s", cx.node());
    if cx.view.find::<Node>(&NODES, "", cx.node()).await?.is_some() {
        let why = format!("node {} exists, so its password is in use", cx.node());
        return Err(unsafe_now(why));
    }
    let secret = cx
        .view
        .find::<Secret>(&SECRETS, "kube-system", &name)
        .await?;
    let Some(secret) = secret else {
        return Ok(Vec::new());
    };
    let age = secret
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|created| Timestamp::now().duration_since(created.0));
    match age {
        Some(age) if age.unsigned_abs() > STALE && !age.is_negative() => {}
        Some(age) => {
            return Err(unsafe_now(format!(
                "secret kube-system/{name} is {} s old: a join may be under way",
                age.as_secs()
            )));
        }
        None => return Err(unsafe_now(format!("secret kube-system/{name} has no age"))),
    }
    let (Some(uid), Some(version)) = (
        secret.metadata.uid.clone(),
        &secret.metadata.resource_version,
    ) else {
        return Err(unsafe_now(format!(
            "secret kube-system/{name} has no uid and version to be recognised by"
        )));
    };
    Ok(vec![Change::Delete {
        kind: &SECRETS,
        namespace: "kube-system".into(),
        name,
        uid,
        version: version.clone(),
    }])
}

async fn kustomization(cx: &Context) -> Result<std::sync::Arc<Kustomization>, ActionError> {
    let flux = &cx.settings.flux;
    Ok(cx
        .view
        .get::<Kustomization>(&KUSTOMIZATIONS, &flux.namespace, &flux.kustomization)
        .await?)
}

async fn reconcile(look: &Look<'_>) -> Looked {
    let cx = anew(look.cx);
    let flux = &cx.settings.flux;
    let one = kustomization(&cx).await?;
    if one.spec.suspend {
        return Err(unsafe_now(format!(
            "kustomization {} is suspended",
            one.metadata.full_name()
        )));
    }
    let handled = &one.status.last_handled_reconcile_at;
    if let Some(token) = look.cx.recorded("storage::reconcile", "token")
        && token != *handled
    {
        return Err(unsafe_now(format!(
            "the request {token} is not handled yet, so it is not asked again"
        )));
    }
    let token = format!("onboarding-{}-again-{:08x}", look.cx.run, fastrand::u32(..));
    let patch = json!({"metadata": {"annotations": {REQUESTED_AT: token}}});
    Ok([
        (&GIT_REPOSITORIES, &flux.source),
        (&KUSTOMIZATIONS, &flux.kustomization),
    ]
    .into_iter()
    .map(|(kind, name)| Change::Patch {
        kind,
        namespace: flux.namespace.clone(),
        name: name.clone(),
        patch: patch.clone(),
        // The check waits for the token that is on record.
        record: Some(("storage::reconcile", "token", token.clone())),
    })
    .collect())
}

/// Whether one of our runs recorded this of one of its actions, and has not taken it back.
fn recorded(records: &[ActionRecord], action: &str, key: &str, value: &str) -> bool {
    records.iter().any(|record| {
        record.id == action
            && record.state != ActionState::Undone
            && record.recorded.get(key).is_some_and(|found| found == value)
    })
}

async fn uncordon(look: &Look<'_>) -> Looked {
    let cx = anew(look.cx);
    let node = cx.view.get::<Node>(&NODES, "", cx.node()).await?;
    let cordoned = node
        .spec
        .as_ref()
        .and_then(|spec| spec.unschedulable)
        .unwrap_or_default();
    if !cordoned {
        return Err(unsafe_now(format!("node {} is not cordoned", cx.node())));
    }
    if !recorded(
        look.records,
        "rollback::cordon",
        "before unschedulable",
        "false",
    ) {
        return Err(unsafe_now(format!(
            "no run of this program is on record as having cordoned node {}",
            cx.node()
        )));
    }
    Ok(vec![Change::Patch {
        kind: &NODES,
        namespace: String::new(),
        name: cx.node().to_owned(),
        patch: json!({"spec": {"unschedulable": null}}),
        record: None,
    }])
}

async fn resume_flux(look: &Look<'_>) -> Looked {
    let cx = anew(look.cx);
    let one = kustomization(&cx).await?;
    let name = one.metadata.full_name();
    if !one.spec.suspend {
        return Err(unsafe_now(format!("kustomization {name} is not suspended")));
    }
    let key = format!("before {name}");
    if !recorded(look.records, "rollback::suspend_flux", &key, "false") {
        return Err(unsafe_now(format!(
            "no run of this program is on record as having suspended kustomization {name}"
        )));
    }
    Ok(vec![Change::Patch {
        kind: &KUSTOMIZATIONS,
        namespace: one.metadata.namespace.clone(),
        name: one.metadata.name.clone(),
        patch: json!({"spec": {"suspend": false}}),
        record: None,
    }])
}
