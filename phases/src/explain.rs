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

/// How an action is done, in one to three sentences.
#[must_use]
pub fn done(id: &str) -> Option<&'static str> {
    DONE.iter()
        .find(|(known, _)| *known == id)
        .map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions;

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
