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
