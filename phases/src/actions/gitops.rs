//! `gitops`: one entry of one file, one signed commit, one push, and that one commit followed through Flux.
//!
//! Every step asks the repository first how far the change has come, so a run that died in between goes on where it
//! was, and one that finds the entry active already changes nothing.

use std::path::Path;

use checks::{
    Criterion, Need, Reason,
    git::{Oid, Remote, Repository, short},
    kinds::{GIT_REPOSITORIES, KUSTOMIZATIONS},
};
use futures::{FutureExt, future::BoxFuture};

use super::reconcile;
use crate::{
    Act, Action, ActionContext, ActionError, Done, Plan, flux,
    git::{
        Change, ChangeError, Looked, Progress, Proposal, Wanted, commit, progress, sign::signer,
        write,
    },
    own_commit,
};

const COMMIT: &str = "gitops::commit";
const RECONCILE: &str = "gitops::reconcile";

const REPOSITORY_REASONS: &[Reason] = &[
    Reason::new(
        "EntryMissing",
        "add the entry of {node} to the resources of the kustomization file, commented out",
    ),
    Reason::new(
        "EntryDoubled",
        "leave one of the listed entries in the kustomization file and commit that",
    ),
    Reason::new(
        "FileModified",
        "commit or restore the kustomization file first: git status",
    ),
    Reason::new(
        "FileStaged",
        "commit or unstage the kustomization file first: git status",
    ),
    Reason::new(
        "UnpushedCommits",
        "push or drop the listed commits first: git log @{upstream}..",
    ),
    Reason::new(
        "EditRefused",
        "make the change by hand and commit it; the message says what was in the way",
    ),
    Reason::new(
        "Unsigned",
        "set git up to sign (commit.gpgsign, user.signingkey), or drop --require-signed",
    ),
    Reason::new(
        "SigningFailed",
        "try it by hand: git commit -S --allow-empty, and look at the signer's words",
    ),
    Reason::new(
        "PushRejected",
        "look at the server's words; allow the push or let somebody else merge it",
    ),
    Reason::new(
        "NonFastForward",
        "somebody keeps pushing: git pull --rebase, then --resume",
    ),
    Reason::new("RemoteUnreachable", "try it by hand: git ls-remote"),
    Reason::new(
        "AuthenticationFailed",
        "try it by hand: git ls-remote; look at the key or the credential helper",
    ),
];

/// The actions of this phase, in order.
pub(super) const ACTIONS: &[Action] = &[
    Action {
        id: "gitops::activate",
        title: "the entry of {node} counts in the kustomization file",
        requires: &[],
        needs: &[Need::Repository],
        criterion: Criterion::Of("3.1"),
        why: "Flux applies what git says; the node's configuration waits there commented out.",
        inverse: "comments the entry out again, in its old spelling",
        reasons: REPOSITORY_REASONS,
        act: &Activate,
    },
    Action {
        id: COMMIT,
        title: "the change is committed, alone and signed as the user's git signs",
        requires: &["gitops::activate"],
        needs: &[Need::Repository],
        criterion: Criterion::Of("3.2"),
        why: "The history of the repository is the record of what the cluster was told.",
        inverse: "a commit that takes it back; one that was never pushed is dropped",
        reasons: REPOSITORY_REASONS,
        act: &Commit,
    },
    Action {
        id: "gitops::push",
        title: "the commit is on the branch that Flux follows",
        requires: &[COMMIT],
        needs: &[Need::Repository],
        criterion: Criterion::Of("3.2"),
        why: "Flux sees only what is on the remote.",
        inverse: "the commit that takes the change back is pushed",
        reasons: REPOSITORY_REASONS,
        act: &Push,
    },
    Action {
        id: RECONCILE,
        title: "Flux has fetched the commit and tried to apply it",
        requires: &["gitops::push"],
        needs: &[
            Need::get(&GIT_REPOSITORIES),
            Need::list(&GIT_REPOSITORIES),
            Need::verb("watch", &GIT_REPOSITORIES),
            Need::verb("patch", &GIT_REPOSITORIES),
            Need::get(&KUSTOMIZATIONS),
            Need::list(&KUSTOMIZATIONS),
            Need::verb("watch", &KUSTOMIZATIONS),
            Need::verb("patch", &KUSTOMIZATIONS),
        ],
        criterion: Criterion::Of("1.4"),
        why: "Until Flux has taken the commit, nothing of it is in the cluster.",
        inverse: "nothing: asking for a reconciliation leaves nothing to undo",
        reasons: &[
            Reason::new(
                "SourceSuspended",
                "resume it: flux resume source git {source} -n {flux}",
            ),
            Reason::new(
                "SourceStalled",
                "see why: kubectl -n {flux} describe gitrepository {source}",
            ),
            Reason::new(
                "SourceNotFetched",
                "see why: kubectl -n {flux} describe gitrepository {source}",
            ),
            Reason::new(
                "KustomizationSuspended",
                "resume it: flux resume kustomization {kustomization} -n {flux}",
            ),
            Reason::new(
                "KustomizationStalled",
                "see why: kubectl -n {flux} describe kustomization {kustomization}",
            ),
            Reason::new(
                "RevisionNotAttempted",
                "see what it waits for: kubectl -n {flux} describe kustomization {kustomization}",
            ),
            Reason::new(
                "Conflict",
                "somebody else changes the object at the same time: --resume",
            ),
        ],
        act: &Reconcile,
    },
];

/// The repository of a run and what is to be changed in it.
struct Work<'a> {
    repository: &'a Repository,
    remote: Remote,
    file: String,
    entry: String,
    run: &'a str,
    commit: Option<Oid>,
}

impl<'a> Work<'a> {
    fn of(cx: &'a ActionContext) -> Result<Self, ActionError> {
        let repository = cx.checks.repository.as_deref().ok_or_else(|| {
            ActionError::new(
                "NoRepository",
                "this changes the GitOps repository, and none was named",
            )
        })?;
        repository.require_calm().map_err(ChangeError::from)?;
        Ok(Self {
            repository,
            remote: repository.followed_remote().map_err(ChangeError::from)?,
            file: cx.checks.settings.repository.kustomization.clone(),
            entry: cx.checks.settings.entry(),
            run: &cx.run,
            commit: cx
                .recorded(COMMIT, "commit")
                .and_then(|commit| commit.parse().ok()),
        })
    }

    fn file(&self) -> &Path {
        Path::new(&self.file)
    }

    /// Where only a signed commit may be made: git is set up to sign, or at least has a key.
    fn require_signer(&self) -> Result<(), ActionError> {
        let signing = self.repository.signing().map_err(ChangeError::from)?;
        if signing.wanted || signing.has_chosen_key() {
            Ok(())
        } else {
            Err(ChangeError::Unsigned.into())
        }
    }

    fn progress(&self) -> Result<Progress, ActionError> {
        let looked = Looked {
            file: self.file(),
            entry: &self.entry,
            wanted: Wanted::Active,
            run: self.run,
            commit: self.commit,
        };
        Ok(progress(self.repository, &self.remote, &looked)?)
    }
}

/// What, why, and which run.
fn message(cx: &ActionContext, work: &Work<'_>) -> String {
    let node = cx.checks.node();
    commit::message(
        &format!("storage: activate {node} node configuration"),
        &format!(
            "Uncomments {} in {}, so that Flux applies the configuration of node {node}.",
            work.entry, work.file
        ),
        &cx.run,
    )
}

struct Activate;

impl Act for Activate {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let work = Work::of(cx)?;
            let (file, entry) = (&work.file, &work.entry);
            let progress = work.progress()?;
            if cx.require_signed && matches!(progress, Progress::Untouched(_)) {
                // Said before the file is edited, so that nothing lies about uncommitted.
                work.require_signer()?;
            }
            Ok(match progress {
                Progress::Untouched(_) => None,
                Progress::Edited(edit) => Some(Done::new(format!(
                    "{file}, line {} is edited already",
                    edit.line
                ))),
                Progress::Committed(id) => Some(Done::new(format!(
                    "{entry} is active since commit {}",
                    short(id)
                ))),
                Progress::Pushed(_) => {
                    Some(Done::new(format!("{entry} is active in {file} already")))
                }
            })
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            Ok(match Work::of(cx)?.progress()? {
                Progress::Untouched(edit) => Plan {
                    parts: vec![format!("change {}\n{}", edit.file.display(), edit.diff())],
                },
                _ => Plan::default(),
            })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let work = Work::of(cx)?;
            let Progress::Untouched(edit) = work.progress()? else {
                return Ok(Done::new(format!("{} is active already", work.entry)));
            };
            let kept = write::backup(&edit, &cx.backup, &cx.run)?;
            cx.journal.record("gitops::activate", "file", &work.file)?;
            cx.journal
                .record("gitops::activate", "spelling", &edit.spelling)?;
            cx.journal
                .record("gitops::activate", "backup", &kept.display().to_string())?;
            cx.permit.check("the edit of the kustomization file")?;
            write::write(work.repository, &edit)?;
            let mut done = Done::new(format!("{}, line {}", work.file, edit.line));
            for line in edit
                .diff()
                .lines()
                .filter(|line| line.starts_with(['+', '-']))
            {
                done = done.saw(line);
            }
            Ok(done.saw(format!("backup {}", kept.display())))
        }
        .boxed()
    }
}

struct Commit;

impl Act for Commit {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            Ok(match Work::of(cx)?.progress()? {
                Progress::Untouched(_) | Progress::Edited(_) => None,
                Progress::Committed(id) => Some(
                    Done::new(format!("{} is there already", short(id)))
                        .record("commit", id.to_string()),
                ),
                // Somebody else's commit, or an earlier run's: the branch's tip is what Flux is to come to.
                Progress::Pushed(tip) => Some(
                    Done::new(format!("nothing to commit, active at {}", short(tip)))
                        .record("commit", tip.to_string()),
                ),
            })
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let work = Work::of(cx)?;
            Ok(match work.progress()? {
                Progress::Untouched(_) | Progress::Edited(_) => {
                    let signing = work.repository.signing().map_err(ChangeError::from)?;
                    let message = message(cx, &work);
                    let (subject, rest) = message.split_once('\n').unwrap_or((&message, ""));
                    let how = if signing.wanted || (cx.require_signed && signing.has_chosen_key()) {
                        format!("signed with {}", signer(&signing))
                    } else {
                        "not signed, as git is not set up to sign here".to_owned()
                    };
                    Plan {
                        parts: vec![format!("commit \"{subject}\" {how}\n{}", rest.trim())],
                    }
                }
                _ => Plan::default(),
            })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let work = Work::of(cx)?;
            let Progress::Edited(edit) = work.progress()? else {
                let what = format!(
                    "{} is not edited as it was a moment ago, so it is not committed",
                    work.file
                );
                return Err(ActionError::new("FileModified", what));
            };
            let proposal = Proposal {
                file: work.file().to_owned(),
                content: edit.after,
                message: message(cx, &work),
                require_signed: cx.require_signed,
            };
            own_commit::make(cx, COMMIT, work.repository, &proposal).await
        }
        .boxed()
    }
}

struct Push;

impl Act for Push {
    fn probe<'a>(
        &'a self,
        cx: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        async move {
            let work = Work::of(cx)?;
            Ok(match work.progress()? {
                Progress::Pushed(tip) => {
                    let place = format!("{}/{}", work.remote.name, work.remote.branch);
                    Some(Done::new(format!("{place} has {} already", short(tip))))
                }
                _ => None,
            })
        }
        .boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        async move {
            let work = Work::of(cx)?;
            let place = format!("{} {}", work.remote.name, work.remote.branch);
            Ok(match work.progress()? {
                Progress::Pushed(_) => Plan::default(),
                Progress::Committed(id) => Plan {
                    parts: vec![format!("push {} to {place}", short(id))],
                },
                _ => {
                    let head = work.repository.head().map_err(ChangeError::from)?;
                    Plan {
                        parts: vec![format!("push {} → (new) to {place}", short(head))],
                    }
                }
            })
        }
        .boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let work = Work::of(cx)?;
            let own = match work.progress()? {
                Progress::Committed(id) => id,
                Progress::Pushed(_) => return Ok(Done::new("it is there already")),
                _ => {
                    return Err(ActionError::new(
                        "NothingToPush",
                        "there is no commit of this run to push",
                    ));
                }
            };
            let text = message(cx, &work);
            let change = Change {
                file: work.file(),
                entry: &work.entry,
                wanted: Wanted::Active,
                message: &text,
                require_signed: cx.require_signed,
            };
            own_commit::send(cx, COMMIT, work.repository, &work.remote, &change, own).await
        }
        .boxed()
    }
}

struct Reconcile;

impl Act for Reconcile {
    fn probe<'a>(
        &'a self,
        _: &'a ActionContext,
    ) -> BoxFuture<'a, Result<Option<Done>, ActionError>> {
        // Asking twice with the same token is asking once, so there is nothing to look at first.
        async { Ok(None) }.boxed()
    }

    fn plan<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Plan, ActionError>> {
        reconcile::plan(cx).boxed()
    }

    fn apply<'a>(&'a self, cx: &'a ActionContext) -> BoxFuture<'a, Result<Done, ActionError>> {
        async move {
            let names = &cx.checks.settings.flux;
            let Some(commit) = cx.recorded(COMMIT, "commit") else {
                return Err(ActionError::new(
                    "NothingToFollow",
                    "no commit of this run is known",
                ));
            };
            let token = reconcile::token(cx, RECONCILE, "gitops")?;
            let begun = std::time::Instant::now();
            flux::request(cx, &GIT_REPOSITORIES, &names.source, &token).await?;
            let revision = flux::fetched(cx, RECONCILE, &commit, &token).await?;
            let fetched = begun.elapsed().as_secs_f64();
            flux::request(cx, &KUSTOMIZATIONS, &names.kustomization, &token).await?;
            flux::attempted(cx, RECONCILE, &commit, &token).await?;
            let attempted = begun.elapsed().as_secs_f64();
            let at = flux::short(&commit);
            Ok(Done::new(format!(
                "source at {at} after {fetched:.1} s, attempted after {attempted:.1} s"
            ))
            .saw(format!("artifact {revision}"))
            .saw(format!("requestedAt {token}")))
        }
        .boxed()
    }
}

impl From<ChangeError> for ActionError {
    fn from(error: ChangeError) -> Self {
        let mut message = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            if !message.contains(&cause_text) {
                message.push_str(": ");
                message.push_str(&cause_text);
            }
            next = cause.source();
        }
        Self::new(error.reason(), message).hint(error.hint())
    }
}
