//! Taking the node out again, so that no volume loses its last healthy copy.
//!
//! [`Forecast`] says from reads only what would be done and what stands in the way. [`ACTIONS`] are the steps, in their
//! order. Each one looks first at the world whether there is anything left to undo, never at the journal, so that a
//! rollback that was killed anywhere goes on with the next start. The journal keeps what the world does not say: what
//! was suspended before, which labels were there, which commit is ours.

mod copies;
mod flux;
mod forecast;
mod git;
mod leftovers;
mod node;
mod remove;
mod seen;
mod storage;
mod volumes;

use checks::{
    Criterion, Need, Reason,
    kinds::{
        CLAIMS, DAEMONSETS, DISRUPTION_BUDGETS, GIT_REPOSITORIES, KUSTOMIZATIONS,
        LONGHORN_ENGINE_IMAGES, LONGHORN_ENGINES, LONGHORN_INSTANCE_MANAGERS, LONGHORN_NODES,
        LONGHORN_REPLICAS, LONGHORN_SETTINGS, LONGHORN_VOLUMES, NAMESPACES, NODES,
        PERSISTENT_VOLUMES, PODS, SECRETS, STORAGE_CLASSES, VOLUME_ATTACHMENTS,
    },
};

pub use copies::Fate;
pub use forecast::{Blocker, Copy, Evicted, Forecast};

use crate::{Act, Action, ActionContext};

const CONFLICT: Reason = Reason::new(
    "Conflict",
    "somebody else changes the object at the same time: --rollback goes on",
);

const LAST_COPY: Reason = Reason::new(
    "LastReplica",
    "make another healthy copy or a backup; --lose-volume NAME lets it go for good",
);

const CAME_BACK: Reason = Reason::new(
    "NodeCameBack",
    "stop the agent on the host: systemctl disable --now k3s-agent",
);

/// What every step reads to see what is left of the node.
const LOOK: [Need; 15] = [
    Need::list(&NODES),
    Need::list(&PODS),
    Need::list(&DISRUPTION_BUDGETS),
    Need::list(&DAEMONSETS),
    Need::list(&PERSISTENT_VOLUMES),
    Need::list(&VOLUME_ATTACHMENTS),
    Need::list(&KUSTOMIZATIONS),
    Need::list(&LONGHORN_NODES),
    Need::list(&LONGHORN_VOLUMES),
    Need::list(&LONGHORN_REPLICAS),
    Need::list(&LONGHORN_ENGINES),
    Need::list(&LONGHORN_INSTANCE_MANAGERS),
    Need::list(&LONGHORN_ENGINE_IMAGES),
    Need::list(&LONGHORN_SETTINGS),
    Need::get(&NODES),
];

const fn step(
    id: &'static str,
    title: &'static str,
    why: &'static str,
    needs: &'static [Need],
    reasons: &'static [Reason],
    act: &'static dyn Act,
) -> Action {
    Action {
        id,
        title,
        requires: &[],
        needs,
        criterion: Criterion::Beyond,
        why,
        inverse: "nothing: a rollback goes on until the node is out",
        reasons,
        act,
    }
}

/// The steps of a rollback, in their order. The first that does not get through ends it.
pub static ACTIONS: &[Action] = &[
    step(
        leftovers::LEFTOVERS,
        "nothing is left of what the run made for itself",
        "A run that was killed could not remove its probe pods and its test volume, and they would be in the way of the \
         drain.",
        &[
            LOOK[1],
            Need::get(&NAMESPACES),
            Need::verb("delete", &NAMESPACES),
            Need::verb("delete", &PODS),
            Need::list(&CLAIMS),
            Need::verb("delete", &CLAIMS),
            Need::list(&STORAGE_CLASSES),
            Need::verb("delete", &STORAGE_CLASSES),
        ],
        &[CONFLICT],
        &leftovers::Leftovers,
    ),
    step(
        flux::SUSPEND,
        "Flux does not put back what is taken away",
        "A Kustomization that owns the node's objects would restore them in the middle of everything.",
        &[LOOK[6], LOOK[7], Need::verb("patch", &KUSTOMIZATIONS)],
        &[CONFLICT],
        &flux::Suspend,
    ),
    step(
        "rollback::cordon",
        "no new pods are placed on {node}",
        "What is evicted must not come back, and Longhorn lets its instance manager go only on a cordoned node.",
        &[Need::get(&NODES), Need::verb("patch", &NODES)],
        &[CONFLICT],
        &node::Cordon,
    ),
    step(
        "rollback::stop_scheduling",
        "Longhorn places nothing new on {node} and moves its replicas away",
        "Replicas must leave before the node does.",
        &[
            Need::list(&LONGHORN_NODES),
            Need::verb("patch", &LONGHORN_NODES),
        ],
        &[
            Reason::new(
                "WebhookRefused",
                "see what Longhorn's webhook says: kubectl -n {longhorn} get pods -l app=longhorn-manager",
            ),
            CONFLICT,
        ],
        &storage::StopScheduling,
    ),
    step(
        "rollback::drain",
        "every pod that can run elsewhere has left {node}",
        "Pods are asked to go with their own grace, within what their budgets allow; nothing is ever deleted instead.",
        &[
            Need::list(&PODS),
            Need::verb("watch", &PODS),
            Need::on("create", "", "pods/eviction"),
        ],
        &[
            Reason::new(
                "DrainUnfinished",
                "see what holds them: kubectl get pods -A --field-selector spec.nodeName={node}",
            ),
            Reason::new(
                "SeveralBudgets",
                "leave one budget for each pod: kubectl get poddisruptionbudgets -A",
            ),
            Reason::new(
                "UnmanagedPod",
                "let it go for good with --force, or move what it is for",
            ),
            Reason::new(
                "EmptyDirData",
                "save what is in it, or let it go with --delete-emptydir-data",
            ),
            Reason::new(
                "DisruptionBudget",
                "give the workload another replica that is ready",
            ),
        ],
        &node::Drain,
    ),
    step(
        storage::MOVE,
        "no replica and no attached volume is left on {node}",
        "The copy on the node may be the last one; a Replica object is deleted only when a healthy copy elsewhere is \
         confirmed a moment before.",
        &[
            LOOK[5],
            LOOK[9],
            Need::verb("watch", &LONGHORN_REPLICAS),
            Need::get(&LONGHORN_REPLICAS),
            Need::verb("delete", &LONGHORN_REPLICAS),
        ],
        &[
            LAST_COPY,
            Reason::new(
                "ReplicasStay",
                "see what holds them: kubectl -n {longhorn} get replicas.longhorn.io -l longhornnode={node}",
            ),
            Reason::new(
                "WebhookRefused",
                "Longhorn's webhook refuses; its words say why",
            ),
            Reason::new(
                "Changed",
                "somebody else changes the object: --rollback goes on",
            ),
        ],
        &storage::MoveReplicas,
    ),
    step(
        "rollback::restore_labels",
        "{node} has the labels that it had before",
        "What the onboarding set is not left behind, whatever becomes of the node.",
        &[Need::get(&NODES), Need::verb("patch", &NODES)],
        &[CONFLICT],
        &node::Labels,
    ),
    step(
        "rollback::delete_node",
        "{node} is not in the cluster",
        "From here on nothing of the cluster counts on the node.",
        &[
            Need::get(&NODES),
            Need::verb("watch", &NODES),
            Need::verb("delete", &NODES),
        ],
        &[
            Reason::new(
                "NotDrained",
                "--rollback drains again; see: kubectl get pods -A --field-selector spec.nodeName={node}",
            ),
            LAST_COPY,
            Reason::new("ReplicasLeft", "--rollback waits for them again"),
            Reason::new(
                "NodeHeld",
                "see its finalizers, which the k3s server removes: kubectl get node {node} -o yaml",
            ),
            CAME_BACK,
            Reason::new(
                "Changed",
                "somebody else changes the node: --rollback goes on",
            ),
        ],
        &node::Delete,
    ),
    step(
        "rollback::longhorn_node",
        "Longhorn does not know {node}",
        "Longhorn deletes its Node when the Kubernetes node is gone; an old one would be in the way of the next join.",
        &[
            LOOK[0],
            Need::list(&LONGHORN_NODES),
            Need::verb("delete", &LONGHORN_NODES),
            Need::get(&LONGHORN_REPLICAS),
            Need::verb("delete", &LONGHORN_REPLICAS),
        ],
        &[
            Reason::new(
                "StorageNodeLeft",
                "see why: kubectl -n {longhorn} describe nodes.longhorn.io {node}",
            ),
            LAST_COPY,
            CAME_BACK,
        ],
        &storage::StorageNodeGone,
    ),
    step(
        "rollback::node_password",
        "the server keeps no password of {node}",
        "With an old password there, the next machine of this name would be rejected.",
        &[
            LOOK[0],
            Need::get(&SECRETS),
            Need::verb("watch", &SECRETS),
            Need::verb("delete", &SECRETS),
        ],
        &[
            Reason::new(
                "PasswordDeleted",
                "nothing to do: the server had not removed it in time",
            ),
            Reason::new(
                "PasswordLeft",
                "kubectl -n kube-system delete secret {node}.node-password.k3s",
            ),
            CAME_BACK,
        ],
        &node::Password,
    ),
    step(
        "rollback::deactivate",
        "the entry of {node} is commented out",
        "Flux applies what git says.",
        &[Need::Repository],
        &[
            Reason::new(
                "FileModified",
                "commit or restore the kustomization file first: git status",
            ),
            Reason::new("EditRefused", "make the change by hand and commit it"),
        ],
        &git::Deactivate,
    ),
    step(
        git::COMMIT,
        "the change is committed, alone and signed as the user's git signs",
        "The history of the repository is the record of what the cluster was told.",
        &[Need::Repository],
        &[
            Reason::new(
                "CommitNotSigned",
                "nothing to do where nobody verifies signatures; else set git up to sign",
            ),
            Reason::new(
                "FileModified",
                "commit or restore the kustomization file first: git status",
            ),
        ],
        &git::Commit,
    ),
    step(
        "rollback::push",
        "the commit is on the branch that Flux follows",
        "Flux sees only what is on the remote.",
        &[Need::Repository],
        &[
            Reason::new("PushRejected", "look at the server's words; allow the push"),
            Reason::new(
                "NonFastForward",
                "somebody keeps pushing: git pull --rebase, then --rollback",
            ),
        ],
        &git::Push,
    ),
    step(
        "rollback::resume_flux",
        "Flux goes on, at the commit without {node}",
        "A cluster whose Flux is left suspended drifts away from git.",
        &[
            Need::list(&KUSTOMIZATIONS),
            Need::get(&KUSTOMIZATIONS),
            Need::verb("watch", &KUSTOMIZATIONS),
            Need::verb("patch", &KUSTOMIZATIONS),
            Need::get(&GIT_REPOSITORIES),
            Need::verb("patch", &GIT_REPOSITORIES),
        ],
        &[
            Reason::new(
                "SuspendedBefore",
                "resume it when whoever suspended it agrees: flux resume kustomization {kustomization} -n {flux}",
            ),
            Reason::new(
                "RevisionNotApplied",
                "see what it waits for: kubectl -n {flux} describe kustomization {kustomization}",
            ),
            Reason::new(
                "KustomizationStalled",
                "see why: kubectl -n {flux} describe kustomization {kustomization}",
            ),
            CONFLICT,
        ],
        &flux::Resume,
    ),
    step(
        VERIFY,
        "every volume is as well as it was before {node} came",
        "The one promise of a rollback.",
        &[
            LOOK[0],
            LOOK[8],
            LOOK[9],
            Need::verb("watch", &LONGHORN_VOLUMES),
        ],
        &[
            Reason::new(
                "VolumesWorse",
                "see what they lack: kubectl -n {longhorn} get volumes.longhorn.io",
            ),
            CAME_BACK,
        ],
        &storage::Verify,
    ),
];

/// The step that only looks back; whether there was anything to undo is said by the others.
pub const VERIFY: &str = "rollback::verify_volumes";

/// What the forecast reads, which every step may look at again.
#[must_use]
pub const fn looks() -> &'static [Need] {
    &LOOK
}

/// Everything that the forecast and the steps read and change.
pub fn needs() -> impl Iterator<Item = &'static Need> {
    LOOK.iter()
        .chain(ACTIONS.iter().flat_map(|action| action.needs))
}

/// One step by its id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|action| action.id == id)
}

/// What a person has to do before a step, on the host, where no program reaches; nothing for most.
#[must_use]
pub fn advice(id: &str, cx: &ActionContext) -> Option<String> {
    let node = cx.checks.node();
    (id == "rollback::delete_node").then(|| {
        format!(
            "On the host {node}, now, so that it does not join again when it restarts:\n  \
             systemctl disable --now k3s-agent\n\
             or, to remove it for good:\n  k3s-agent-uninstall.sh"
        )
    })
}

/// What a rollback that stopped here leaves behind, as far as the cluster says it; empty where nothing of it is left
/// half done.
///
/// # Errors
/// The cluster does not say.
pub async fn left_behind(cx: &ActionContext) -> Result<Vec<String>, crate::ActionError> {
    let seen = seen::Seen::now(cx).await?;
    let mut left = Vec::new();
    for one in seen.kustomizations.iter().filter(|one| one.spec.suspend) {
        if flux::was_suspended_by_us(cx, one) {
            let (namespace, name) = (&one.metadata.namespace, &one.metadata.name);
            left.push(format!(
                "Kustomization {namespace}/{name} is suspended (flux resume kustomization {name} -n {namespace})"
            ));
        }
    }
    let name = &seen.name;
    if let Some(node) = seen.node() {
        let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable);
        if cordoned == Some(true) {
            left.push(format!("node {name} is cordoned (kubectl uncordon {name})"));
        }
    }
    if let Some(one) = seen.storage.node(name)
        && !one.spec.allow_scheduling
    {
        let leaving = if one.spec.eviction_requested {
            ", and its replicas are asked to leave"
        } else {
            ""
        };
        left.push(format!("Longhorn places nothing on {name}{leaving}"));
    }
    Ok(left)
}
