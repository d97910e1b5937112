//! The change in git taken back: by moving the branch to its parent where it never left, by a commit of its own
//! otherwise.

use std::path::Path;

use checks::{
    Context,
    git::{Oid, Remote, Repository, short},
};
use futures::{FutureExt, future::BoxFuture};

use crate::{
    Act, ActionContext, ActionError, Done, Plan,
    git::{
        Change, ChangeError, Looked, Progress, Proposal, Wanted, commit, edit, progress, rebase,
        write,
    },
    own_commit,
};

const DEACTIVATE: &str = "rollback::deactivate";
pub(super) const COMMIT: &str = "rollback::commit";

/// The repository and the entry in it.
struct Work<'a> {
    repository: &'a Repository,
    remote: Remote,
    file: String,
    entry: String,
    run: String,
    /// The commit of the onboarding, and that of the rollback, as far as they were written down.
    added: Option<Oid>,
    removed: Option<Oid>,
    spelling: Option<String>,
}

/// How far the change is from being taken back.
enum Back {
    /// It counts nowhere any more.
    Nothing,
    /// The work tree has it, and no commit.
    Uncommitted(edit::Edit),
    /// Our own commit has it, and never reached the remote.
    Unpushed(Oid),
    /// It counts, and this edit takes it back.
    Active(edit::Edit),
    /// The work tree has it commented out; no commit has.
    Edited(edit::Edit),
    /// Our commit has it commented out; the remote has not.
    Committed(Oid),
}

impl<'a> Work<'a> {
    fn of(cx: &'a Context) -> Result<Self, ActionError> {
        let repository = cx.repository.as_deref().ok_or_else(|| {
            ActionError::new(
                "NoRepository",
                "this takes back a change in the GitOps repository, and none was named",
            )
        })?;
        repository.require_calm().map_err(ChangeError::from)?;
        let oid = |action: &str| {
            cx.recorded(action, "commit")
                .and_then(|commit| commit.parse().ok())
        };
        Ok(Self {
            repository,
            remote: repository.followed_remote().map_err(ChangeError::from)?,
            file: cx.settings.repository.kustomization.clone(),
            entry: cx.settings.entry(),
            run: cx.report.run.clone(),
            added: oid("gitops::commit"),
            removed: oid(COMMIT),
            spelling: cx
                .recorded("gitops::activate", "spelling")
                .map(str::to_owned),
        })
    }

    fn file(&self) -> &Path {
        Path::new(&self.file)
    }

    fn commented(&self) -> Wanted {
        Wanted::Commented {
            spelling: self.spelling.clone(),
        }
    }

    fn progress(&self, wanted: Wanted, commit: Option<Oid>) -> Result<Progress, ActionError> {
        let looked = Looked {
            file: self.file(),
            entry: &self.entry,
            wanted,
            run: &self.run,
            commit,
        };
        Ok(progress(self.repository, &self.remote, &looked)?)
    }

    fn back(&self) -> Result<Back, ActionError> {
        // Seen from the onboarding: what did it leave?
        match self.progress(Wanted::Active, self.added)? {
            Progress::Edited(edit) => return Ok(Back::Uncommitted(edit.undone())),
            Progress::Committed(own) => {
                let newest = self.repository.head().map_err(ChangeError::from)? == own;
                if newest {
                    return Ok(Back::Unpushed(own));
                }
            }
            Progress::Untouched(_) | Progress::Pushed(_) => {}
        }
        Ok(match self.progress(self.commented(), self.removed)? {
            Progress::Untouched(edit) => Back::Active(edit),
            Progress::Edited(edit) => Back::Edited(edit),
            Progress::Committed(own) => Back::Committed(own),
            Progress::Pushed(_) => Back::Nothing,
        })
    }

    fn message(&self, cx: &Context) -> String {
        let node = cx.node();
        commit::message(
            &format!("storage: deactivate {node} node configuration"),
            &format!(
                "Comments {} out again in {}: node {node} was taken out of the cluster.",
                self.entry, self.file
            ),
            &self.run,
        )
    }
}

/// What of the change is to be taken back, in words; empty when nothing is.
pub(super) fn outlook(cx: &Context) -> Result<String, ActionError> {
    let work = Work::of(cx)?;
    let (entry, file) = (&work.entry, &work.file);
    Ok(match work.back()? {
        Back::Nothing => String::new(),
        Back::Uncommitted(_) => {
            format!("{file} is edited and not committed: {entry} is commented out")
        }
        Back::Unpushed(own) => format!(
            "commit {} never reached the remote: the branch goes back to its parent",
            short(own)
        ),
        Back::Active(edit) => format!(
            "{entry} counts in {file}, line {}: it is commented out, committed and pushed",
            edit.line
        ),
        Back::Edited(_) => {
            format!("{entry} is commented out in {file}: it is committed and pushed")
        }
        Back::Committed(own) => format!("commit {} is pushed", short(own)),
    })
}

/// Whether there is a commit to make or to push, which Flux is asked for afterwards.
pub(super) fn commits(cx: &Context) -> Result<bool, ActionError> {
    let back = Work::of(cx)?.back()?;
    Ok(matches!(
        back,
        Back::Active(_) | Back::Edited(_) | Back::Committed(_)
    ))
}

/// `rollback::deactivate`
pub(super) struct Deactivate;

impl Act for Deactivate {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let work = Work::of(&cx.checks)?;
            Ok(match work.back()? {
                Back::Nothing | Back::Edited(_) | Back::Committed(_) => {
                    Some(Done::new(format!("{} is commented out", work.entry)))
                }
                Back::Uncommitted(_) | Back::Unpushed(_) | Back::Active(_) => None,
            })
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let work = Work::of(&cx.checks)?;
            let parts = match work.back()? {
                Back::Uncommitted(edit) | Back::Active(edit) => vec![edit.diff()],
                Back::Unpushed(own) => vec![format!(
                    "move the branch from {} back to its parent, since it never reached {}/{}",
                    short(own),
                    work.remote.name,
                    work.remote.branch
                )],
                Back::Nothing | Back::Edited(_) | Back::Committed(_) => Vec::new(),
            };
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            cx.permit.check("the edit of the kustomization file")?;
            let work = Work::of(&cx.checks)?;
            let edit = match work.back()? {
                Back::Uncommitted(edit) => {
                    write::write(work.repository, &edit)?;
                    return Ok(Done::new(format!(
                        "{}, line {}: as it was before the onboarding",
                        work.file, edit.line
                    )));
                }
                Back::Unpushed(own) => match take_back(cx, &work, own).await? {
                    Some(done) => return Ok(done),
                    // It had arrived after all: it is taken back like any other.
                    None => match work.back()? {
                        Back::Active(edit) => edit,
                        _ => {
                            return Err(ActionError::new(
                                "EditRefused",
                                format!("{} changes while it is looked at", work.file),
                            ));
                        }
                    },
                },
                Back::Active(edit) => edit,
                Back::Nothing | Back::Edited(_) | Back::Committed(_) => {
                    return Ok(Done::new(format!("{} is commented out", work.entry)));
                }
            };
            let kept = write::backup(&edit, &cx.backup, &cx.run)?;
            cx.journal
                .record(DEACTIVATE, "backup", &kept.display().to_string())?;
            write::write(work.repository, &edit)?;
            let done = Done::new(format!("{}, line {}", work.file, edit.line));
            let diff = edit.diff();
            let lines = diff.lines().filter(|line| line.starts_with(['+', '-']));
            Ok(lines
                .fold(done, Done::saw)
                .saw(format!("backup {}", kept.display())))
        }
        .boxed()
    }
}

/// Moves the branch back; nothing when the commit is on the remote after all.
async fn take_back(
    cx: &ActionContext,
    work: &Work<'_>,
    own: Oid,
) -> Result<Option<Done>, ActionError> {
    let taken = rebase::take_back(
        work.repository,
        &work.remote,
        cx.transport,
        work.file(),
        own,
    );
    match taken.await {
        Ok(parent) => Ok(Some(Done::new(format!(
            "commit {} never left: the branch is at {} again",
            short(own),
            short(parent)
        )))),
        Err(ChangeError::AlreadyPushed { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `rollback::commit`
pub(super) struct Commit;

impl Act for Commit {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            Ok(match Work::of(&cx.checks)?.back()? {
                Back::Nothing => Some(Done::new("nothing to commit")),
                Back::Committed(own) => Some(
                    Done::new(format!("{} is there already", short(own)))
                        .record("commit", own.to_string()),
                ),
                _ => None,
            })
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let work = Work::of(&cx.checks)?;
            let parts = match work.back()? {
                Back::Active(_) | Back::Edited(_) => {
                    let signing = work.repository.signing().map_err(ChangeError::from)?;
                    vec![work.message(&cx.checks), signing.description()]
                }
                _ => Vec::new(),
            };
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let work = Work::of(&cx.checks)?;
            let edit = match work.back()? {
                Back::Edited(edit) => edit,
                Back::Nothing => return Ok(Done::new("nothing to commit")),
                _ => {
                    let what = format!("{} is not edited as it was a moment ago", work.file);
                    return Err(ActionError::new("FileModified", what));
                }
            };
            let proposal = Proposal {
                file: work.file().to_owned(),
                content: edit.after,
                message: work.message(&cx.checks),
                require_signed: cx.require_signed,
            };
            own_commit::make(cx, COMMIT, work.repository, &proposal).await
        }
        .boxed()
    }
}

/// `rollback::push`
pub(super) struct Push;

impl Act for Push {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let work = Work::of(&cx.checks)?;
            Ok(match work.back()? {
                Back::Nothing => Some(Done::new(format!(
                    "{}/{} has nothing of it",
                    work.remote.name, work.remote.branch
                ))),
                _ => None,
            })
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let work = Work::of(&cx.checks)?;
            let place = format!("{} {}", work.remote.name, work.remote.branch);
            let parts = match work.back()? {
                Back::Committed(own) => vec![format!("push {} to {place}", short(own))],
                Back::Active(_) | Back::Edited(_) => {
                    vec![format!("push the new commit to {place}")]
                }
                Back::Nothing | Back::Uncommitted(_) | Back::Unpushed(_) => Vec::new(),
            };
            Ok(Plan { parts })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let work = Work::of(&cx.checks)?;
            let own = match work.back()? {
                Back::Committed(own) => own,
                Back::Nothing => return Ok(Done::new("it is there already")),
                _ => {
                    let what = "there is no commit of this rollback to push";
                    return Err(ActionError::new("NothingToPush", what));
                }
            };
            let text = work.message(&cx.checks);
            let change = Change {
                file: work.file(),
                entry: &work.entry,
                wanted: work.commented(),
                message: &text,
                require_signed: cx.require_signed,
            };
            own_commit::send(cx, COMMIT, work.repository, &work.remote, &change, own).await
        }
        .boxed()
    }
}
