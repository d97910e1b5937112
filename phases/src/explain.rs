//! How each action is done, in words: what `--explain` and `docs/checks.md` say beside its title.
//!
//! Say what it looks at first, what it sends or writes, and what it never touches.

/// Action and how it is done.
const DONE: &[(&str, &str)] = &[
    (
        "gitops::activate",
        "Copies the kustomization file into the folder `backup`, takes the comment sign from the one line of the node's \
         entry and keeps every other byte. The file is parsed before and after and must differ in exactly that entry. \
         An entry that is active already is left alone.",
    ),
    (
        "gitops::commit",
        "Makes a commit of that one file on top of the branch, signed the way the user's git signs; other changes in the \
         index and the work tree stay as they are. Its id is written down before the branch moves, and the branch moves \
         only from the commit that was expected.",
    ),
    (
        "gitops::push",
        "Pushes the branch with the expected old commit, by git where it is installed. When somebody else was faster, it \
         fetches and rebases this one commit, once. A push that did not arrive ends the phase.",
    ),
    (
        "gitops::reconcile",
        "Writes a request (the annotation reconcile.fluxcd.io/requestedAt) on the GitRepository, waits until its artifact \
         is our commit, then the same on the Kustomization until that has tried to apply our commit. Nothing but this \
         annotation is written.",
    ),
    (
        "join::label",
        "Writes down which of the configured labels the node has now, and sets those that are missing or differ with one \
         merge patch. No other label is touched, and values that were there before are put back by a rollback.",
    ),
    (
        "storage::reconcile",
        "Writes the same request on the GitRepository and on the Kustomization again, now that Longhorn knows the node. \
         Whether the request was handled is asked by the check storage::gitops_applied.",
    ),
    (
        "pre::probe_pod",
        "Makes the namespace of [probe] unless it is there, and in it one pod on {control_plane} that keeps to the \
         level restricted of Pod Security, has no token and ends by itself. The pod tries names and the way out with \
         busybox's tools and reports in its termination message, so that no right to exec is needed; then it is \
         deleted.",
    ),
    (
        "network::probe_pods",
        "Starts a pod on each of the two nodes that listens, waits until both are Ready, then one on each that tries \
         the other's listener; the one on {node} also tries a Service, a name, the API server and the way out. They \
         report in their termination messages and are deleted, however it went.",
    ),
    (
        "health::test_volume",
        "Creates a StorageClass like the configured one with two replicas, a claim of 64 MiB and a pod on {node} \
         whose first container writes and reads back and whose second one keeps the volume attached. Follows claim, \
         pod and Longhorn's volume until it is healthy on two nodes, then deletes all of it; Longhorn removes the \
         volume.",
    ),
    (
        "health::test_workload",
        "Creates an ordinary pod that may only go to {node} by node affinity and leaves it to the scheduler. It is \
         deleted once it has ended or one minute is over, and the namespace with it if this run has made it.",
    ),
];

/// Step of a rollback and how it is done.
const STEPS: &[(&str, &str)] = &[
    (
        "rollback::leftovers",
        "Looks for pods, claims and StorageClasses that carry the label of the run, and for the namespace that it made, and \
         deletes each by its UID. Only asked where a probe was begun and is on record; what another run made stays.",
    ),
    (
        "rollback::suspend_flux",
        "Finds the Kustomizations whose labels or inventory hold the node's objects, writes down for each whether it was \
         suspended, and sets spec.suspend. One that was suspended before is left alone, now and at the end.",
    ),
    (
        "rollback::cordon",
        "Writes down spec.unschedulable of the node and sets it. A node that is cordoned already is left as it is.",
    ),
    (
        "rollback::stop_scheduling",
        "Writes down what Longhorn's Node says and sets allowScheduling to false and evictionRequested to true in one \
         patch, since Longhorn's webhook refuses the second alone. From a node that is not ready nothing can be copied, so \
         there no eviction is requested.",
    ),
    (
        "rollback::drain",
        "Evicts every pod of the node through the Eviction API, side by side, with its own grace period, asks again where \
         a PodDisruptionBudget says no, and waits until they are gone. Pods of DaemonSets, mirror pods and Longhorn's \
         instance managers stay. On a node whose kubelet is silent a pod counts as gone a minute past its grace.",
    ),
    (
        "rollback::move_replicas",
        "Waits until Longhorn has moved each replica that another node can take and has detached every volume. A replica \
         that no node can take is deleted by UID and resourceVersion, right after a healthy copy on a node that stays was \
         seen. The last healthy copy is never deleted, unless --lose-volume names its volume.",
    ),
    (
        "rollback::restore_labels",
        "Sets the labels that the onboarding changed to what they were before, and removes those that were not there.",
    ),
    (
        "rollback::delete_node",
        "Looks once more whether pods or copies are left, and deletes the Node by its UID; then waits until its finalizer \
         has let it go. A Node of the same name with another UID has joined anew and is not touched.",
    ),
    (
        "rollback::longhorn_node",
        "Waits until Longhorn has deleted its own Node, and deletes it when half a minute has passed. Copies that are left \
         of a node that is lost go first, by the rule of rollback::move_replicas.",
    ),
    (
        "rollback::node_password",
        "Waits until the server has deleted the Secret with the node's password, and deletes it by its UID when a minute \
         has passed. One that is older than the onboarding, of a node that this rollback did not delete, is left alone.",
    ),
    (
        "rollback::deactivate",
        "Comments the one line of the node's entry out, as it was before, and keeps every other byte; the file is parsed \
         before and after. An entry that is commented out already is left alone.",
    ),
    (
        "rollback::commit",
        "Makes a commit of that one file, signed the way the user's git signs. An own commit that never reached the remote \
         is taken back instead, by moving the branch to its parent if it is still at it.",
    ),
    (
        "rollback::push",
        "Pushes the branch with the expected old commit, and after somebody else's push fetches and rebases this one \
         commit, once.",
    ),
    (
        "rollback::resume_flux",
        "Asks the GitRepository for the commit and waits for it, sets spec.suspend of each Kustomization back to what was \
         written down, and waits until the commit, or one on top of it, is applied and Ready.",
    ),
    (
        "rollback::verify_volumes",
        "Holds every volume of Longhorn against what pre_validation recorded of it, and waits until none is worse. Without a \
         record none may be faulted, and each must have a healthy copy on a node that stays. Changes nothing.",
    ),
];

/// How an action or a step of a rollback is done, in one to three sentences.
#[must_use]
pub fn done(id: &str) -> Option<&'static str> {
    DONE.iter()
        .chain(STEPS)
        .find(|(known, _)| *known == id)
        .map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions;

    #[test]
    fn every_step_of_a_rollback_says_how_it_is_done_in_its_order() {
        let steps: Vec<&str> = crate::rollback::ACTIONS.iter().map(|one| one.id).collect();
        let told: Vec<&str> = STEPS.iter().map(|(id, _)| *id).collect();
        assert_eq!(
            steps, told,
            "say in phases/src/explain.rs how each step is done"
        );
        for (id, text) in STEPS {
            assert!(text.len() > 40 && text.ends_with('.'), "{id}: {text}");
        }
    }

    #[test]
    fn every_action_says_how_it_is_done_and_nothing_else_does() {
        let missing: Vec<&str> = actions::all()
            .map(|action| action.id)
            .filter(|id| done(id).is_none())
            .collect();
        assert!(
            missing.is_empty(),
            "say in phases/src/explain.rs how these are done: {missing:?}"
        );
        for (id, text) in DONE {
            assert!(
                actions::find(id).is_some(),
                "{id} is explained and does not exist"
            );
            assert!(text.len() > 40 && text.ends_with('.'), "{id}: {text}");
        }
    }
}
