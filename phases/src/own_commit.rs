//! One commit of ours, made and sent: the same for the change of an onboarding and for taking it back.
//!
//! What the client asks by itself before a write to the cluster is asked here before each write to the repository.

use checks::git::{Oid, Remote, Repository, short};

use crate::{
    ActionContext, ActionError, Done,
    git::{Change, ChangeError, Proposal, Rebased, Signature, commit, push, rebase},
};

/// Commits one file and moves the branch. `id` is the action under which the commit and its parent are written down.
pub(crate) async fn make(
    cx: &ActionContext,
    id: &str,
    repository: &Repository,
    proposal: &Proposal,
) -> Result<Done, ActionError> {
    cx.permit.check("the commit")?;
    let prepared = commit::prepare(repository, proposal).await?;
    // Written down before the branch moves: a run that dies here finds its own commit again.
    record(cx, id, prepared.id, prepared.parent)?;
    // Signing may have taken its time.
    cx.permit.check("the commit")?;
    commit::land(repository, &prepared)?;
    let own = short(prepared.id);
    let done = match &prepared.signature {
        Signature::Signed(how) => Done::new(format!("{own} signed ({how})")),
        Signature::Unsigned => Done::new(format!(
            "{own}, not signed, as git is not set up to sign here"
        ))
        .warn("CommitNotSigned"),
    };
    Ok(done.saw(format!(
        "branch {} {} → {own}",
        prepared.branch,
        short(prepared.parent)
    )))
}

/// Pushes a commit; where somebody pushed in between, makes it again on their tip, once. `id` is the action that made
/// it.
pub(crate) async fn send(
    cx: &ActionContext,
    id: &str,
    repository: &Repository,
    remote: &Remote,
    change: &Change<'_>,
    own: Oid,
) -> Result<Done, ActionError> {
    cx.permit.check("the push")?;
    // A run that died right after its commit may have left the index one step behind.
    commit::settle_index(repository, change.file)?;
    let parent = parent(cx, id, repository, remote, own)?;
    let place = format!("{}/{}", remote.name, remote.branch);
    match push::push(repository, remote, cx.transport, own, parent).await {
        Ok(pushed) => return Ok(Done::new(format!("{place} {pushed}"))),
        Err(ChangeError::NonFastForward { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    cx.permit.check("the commit on the new tip")?;
    match rebase::rebase_once(repository, remote, cx.transport, change, own).await? {
        Rebased::AlreadyThere { tip } => {
            cx.journal.record(id, "commit", &tip.to_string())?;
            Ok(Done::new(format!(
                "{place} has the change already, at {}",
                short(tip)
            )))
        }
        Rebased::Onto { commit, .. } => {
            record(cx, id, commit.id, commit.parent)?;
            cx.permit.check("the push")?;
            let pushed =
                push::push(repository, remote, cx.transport, commit.id, commit.parent).await?;
            let made = format!("{} was made again as {}", short(own), short(commit.id));
            Ok(Done::new(format!(
                "{place} {pushed}, on a commit that came in between"
            ))
            .saw(made))
        }
    }
}

fn record(cx: &ActionContext, id: &str, commit: Oid, parent: Oid) -> Result<(), ActionError> {
    cx.journal.record(id, "commit", &commit.to_string())?;
    cx.journal.record(id, "parent", &parent.to_string())
}

/// The commit that ours builds on: where the remote is expected.
fn parent(
    cx: &ActionContext,
    id: &str,
    repository: &Repository,
    remote: &Remote,
    own: Oid,
) -> Result<Oid, ActionError> {
    let recorded = cx.recorded(id, "commit") == Some(own.to_string());
    let parent = cx
        .recorded(id, "parent")
        .filter(|_| recorded)
        .and_then(|parent| parent.parse().ok());
    if let Some(parent) = parent {
        return Ok(parent);
    }
    let known = repository.tracking_tip(remote).map_err(ChangeError::from)?;
    known.ok_or_else(|| {
        ActionError::new(
            "RemoteBranchAbsent",
            format!("the parent of {} is not known: fetch first", short(own)),
        )
    })
}
