//! The clone that a run edits, and the remote that it follows.

use std::path::PathBuf;

use reports::model::Severity;

use super::{
    declared::{ask as ask_git, refused, repository as opened, undecided},
    source,
};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Verdict, ask,
    git::{GitError, Oid, SigningKey, short, url::redacted},
    kinds::GIT_REPOSITORIES,
};

const BEGIN: &[&str] = &["gitops::repository"];

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "gitops::repository",
        title: "The GitOps repository is on a branch, with nothing in progress.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::Repository],
        awaits: false,
        after: None,
        criterion: Criterion::Of("3.1"),
        why: "The run commits to this clone. A merge or rebase that was begun, or a detached HEAD, would make that commit part of something else.",
        reasons: &[
            Reason::new(
                "DetachedHead",
                "in the clone: git switch <the branch that Flux follows>",
            ),
            Reason::new("NoCommits", "in the clone: git pull"),
            Reason::new(
                "OperationInProgress",
                "in the clone: git status says what is in progress; finish or abort it",
            ),
        ],
        ask: ask!(repository),
    },
    Check {
        id: "gitops::followed_repository",
        title: "The clone's remote is the repository that Flux follows.",
        severity: Severity::Fail,
        requires: BEGIN,
        needs: &[Need::Repository, Need::list(&GIT_REPOSITORIES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("3.1"),
        why: "A commit that is pushed somewhere else never reaches the cluster.",
        reasons: &[
            Reason::new(
                "RemoteDiffers",
                "name the clone of the repository that Flux follows with --repo: kubectl -n {flux} get gitrepository {source} -o jsonpath='{.spec.url}'",
            ),
            Reason::new(
                "NoRemote",
                "in the clone: git remote -v; git remote add origin <url of the GitRepository>",
            ),
        ],
        ask: ask!(followed_repository),
    },
    Check {
        id: "gitops::branch",
        title: "The branch that is checked out is the one that Flux follows.",
        severity: Severity::Fail,
        requires: BEGIN,
        needs: &[Need::Repository, Need::list(&GIT_REPOSITORIES)],
        awaits: false,
        after: None,
        criterion: Criterion::Of("3.1"),
        why: "Flux looks at one branch. A commit on another one changes nothing.",
        reasons: &[
            Reason::new(
                "WrongBranch",
                "in the clone: git switch <the branch in the message>",
            ),
            Reason::new(
                "WrongUpstream",
                "in the clone: git branch --set-upstream-to=<remote>/<the branch in the message>",
            ),
            Reason::new(
                "FollowsNoBranch",
                "Flux follows a tag or a commit, so a push changes nothing: set spec.ref.branch of gitrepository {source}, or do the change by hand",
            ),
        ],
        ask: ask!(branch),
    },
    Check {
        id: "gitops::remote",
        title: "The remote can be read with these credentials and has nothing that the clone lacks.",
        severity: Severity::Fail,
        requires: BEGIN,
        needs: &[Need::Repository],
        awaits: false,
        after: None,
        criterion: Criterion::Of("3.2"),
        why: "A push needs the remote, and is refused when somebody else has pushed since.",
        reasons: &[
            Reason::new(
                "RemoteUnreachable",
                "in the clone: git ls-remote shows whether it answers from here",
            ),
            Reason::new(
                "RemoteTimedOut",
                "in the clone: git ls-remote shows whether it answers from here",
            ),
            Reason::new(
                "RemoteFailed",
                "in the clone: git ls-remote shows what it answers",
            ),
            Reason::new(
                "AuthenticationFailed",
                "load the key into the ssh agent (ssh-add) or renew the token, then in the clone: git ls-remote",
            ),
            Reason::new(
                "RemoteAbsent",
                "in the clone: git remote -v; see that these credentials may read the repository",
            ),
            Reason::new(
                "RemoteBranchAbsent",
                "in the clone: git push -u origin <branch>",
            ),
            Reason::new(
                "NoRemote",
                "in the clone: git remote add origin <url of the GitRepository>",
            ),
            Reason::new("GitAbsent", "install git"),
            Reason::new("TransportAbsent", "install git"),
            Reason::new("RemoteAhead", "in the clone: git pull --ff-only"),
        ],
        ask: ask!(remote),
    },
    Check {
        id: "gitops::no_unpushed_commits",
        title: "The clone has no commits of its own that a push would take along.",
        severity: Severity::Fail,
        requires: BEGIN,
        needs: &[Need::Repository],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "A push takes every commit of the branch along. What somebody has not pushed yet is theirs to publish.",
        reasons: &[
            Reason::new(
                "UnpushedCommits",
                "in the clone: git log @{upstream}..HEAD; push or drop them first",
            ),
            Reason::new(
                "NoRemote",
                "in the clone: git remote add origin <url of the GitRepository>",
            ),
        ],
        ask: ask!(no_unpushed_commits),
    },
    Check {
        id: "gitops::identity",
        title: "Git knows in whose name to commit.",
        severity: Severity::Fail,
        requires: BEGIN,
        needs: &[Need::Repository],
        awaits: false,
        after: None,
        criterion: Criterion::Of("3.1"),
        why: "Every commit carries a name and an address; git makes none without.",
        reasons: &[Reason::new(
            "NoIdentity",
            "git config --global user.name <name>; git config --global user.email <address>",
        )],
        ask: ask!(identity),
    },
    Check {
        id: "gitops::signing",
        title: "Git signs commits here.",
        severity: Severity::Fail,
        requires: BEGIN,
        needs: &[Need::Repository, Need::list(&GIT_REPOSITORIES)],
        awaits: false,
        after: None,
        criterion: Criterion::Beyond,
        why: "A signature shows who made a change to the cluster. Where Flux verifies signatures, it takes no commit without one.",
        reasons: &[
            Reason::new(
                "NotSigning",
                "git config commit.gpgsign true, with user.signingkey and gpg.format as your key needs",
            ),
            Reason::new(
                "SignatureRequired",
                "Flux takes signed commits only: git config commit.gpgsign true, with user.signingkey and gpg.format as your key needs",
            ),
            Reason::new(
                "SigningUnusable",
                "git config --get-regexp '^(commit.gpgsign|gpg|user.signingkey)' shows what is set",
            ),
            Reason::new(
                "SigningKeyAbsent",
                "git config user.signingkey names a file that does not exist: set it to your key",
            ),
        ],
        ask: ask!(signing),
    },
];

async fn repository(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let asked = ask_git(&repository, |repository| {
        repository.require_calm()?;
        Ok((repository.branch()?, repository.commit(repository.head()?)?))
    });
    Ok(match asked.await {
        Ok((branch, head)) => Verdict::pass(format!(
            "{} is on branch {branch}",
            repository.work_dir().display()
        ))
        .saw(format!("HEAD {head}")),
        Err(verdict) => verdict,
    })
}

async fn followed_repository(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let source = source(cx).await?;
    let url = source.spec.url.clone();
    let asked = ask_git(&repository, move |repository| {
        let remote = repository.followed_remote()?;
        remote.require(&url)?;
        Ok(remote)
    });
    Ok(match asked.await {
        Ok(remote) => Verdict::pass(format!(
            "remote {} is what {} follows",
            remote.name,
            source.metadata.full_name()
        ))
        .saw(format!("remote {}", remote.shown_url()))
        .saw(format!("Flux {}", redacted(&source.spec.url))),
        Err(verdict) => verdict,
    })
}

async fn branch(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let source = source(cx).await?;
    let Some(followed) = source.branch().map(str::to_owned) else {
        return Ok(Verdict::fail(
            "FollowsNoBranch",
            format!("{} follows no branch", source.metadata.full_name()),
        )
        .saw(format!("spec.ref {:?}", source.spec.reference)));
    };
    let wanted = followed.clone();
    let asked = ask_git(&repository, move |repository| {
        repository.require_branch(&wanted)?;
        repository.followed_remote()
    });
    Ok(match asked.await {
        Ok(remote) if remote.branch == followed => {
            Verdict::pass(format!("{followed} is checked out, and Flux follows it"))
        }
        Ok(remote) => Verdict::fail(
            "WrongUpstream",
            format!(
                "branch {followed} pushes to {}/{}, and Flux follows {followed}",
                remote.name, remote.branch
            ),
        ),
        Err(verdict) => undecided(verdict, &["WrongBranch"]),
    })
}

async fn remote(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let remote = match ask_git(&repository, crate::git::Repository::followed_remote).await {
        Ok(remote) => remote,
        Err(verdict) => return Ok(verdict),
    };
    let shown = remote.shown_url();
    let tip = match repository
        .remote_tip(&remote, cx.settings.repository.transport)
        .await
    {
        Ok(Some(tip)) => tip,
        Ok(None) => {
            return Ok(refused(&GitError::RemoteBranchAbsent {
                url: shown,
                branch: remote.branch,
            }));
        }
        Err(error) => return Ok(refused(&error)),
    };
    let asked = ask_git(&repository, move |repository| {
        if !repository.knows(tip)? {
            return Ok(None);
        }
        repository.distance_from(tip).map(Some)
    });
    let at = format!("{}/{} is at {}", remote.name, remote.branch, short(tip));
    Ok(match asked.await {
        Err(verdict) => verdict,
        Ok(None) => Verdict::fail(
            "RemoteAhead",
            format!("{at}, a commit that the clone does not have"),
        ),
        Ok(Some(distance)) if distance.behind > 0 => Verdict::fail(
            "RemoteAhead",
            format!("{at}, {} commits ahead of the clone", distance.behind),
        ),
        Ok(Some(_)) => {
            Verdict::pass(format!("{at}, and the clone has it")).saw(format!("remote {shown}"))
        }
    })
}

async fn no_unpushed_commits(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    // A resumed run finds its own commit, which is meant to be pushed.
    let own: Vec<Oid> = cx
        .commit()
        .and_then(|commit| Oid::from_str(commit).ok())
        .into_iter()
        .collect();
    let asked = ask_git(&repository, move |repository| {
        let remote = repository.followed_remote()?;
        match repository.require_pushed(&remote, &own) {
            Ok(()) => Ok((remote, Vec::new())),
            Err(GitError::UnpushedCommits { commits }) => Ok((remote, commits)),
            Err(error) => Err(error),
        }
    });
    Ok(match asked.await {
        Err(verdict) => verdict,
        Ok((remote, commits)) if commits.is_empty() => Verdict::pass(format!(
            "every commit is on {}/{}",
            remote.name, remote.branch
        )),
        Ok((_, commits)) => {
            let error = GitError::UnpushedCommits {
                commits: commits.clone(),
            };
            refused(&error).saw_all(commits.iter().take(20).map(ToString::to_string))
        }
    })
}

async fn identity(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    Ok(
        match ask_git(&repository, crate::git::Repository::identity).await {
            Ok(who) => Verdict::pass(format!("commits are made by {} <{}>", who.name, who.email)),
            Err(verdict) => verdict,
        },
    )
}

async fn signing(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let verified = source(cx).await?.spec.verify.is_some();
    let asked = ask_git(&repository, |repository| {
        let signing = repository.signing()?;
        let absent: Option<PathBuf> = match &signing.key {
            SigningKey::File(path) if !path.exists() => Some(path.clone()),
            _ => None,
        };
        Ok((signing, absent))
    });
    let (signing, absent) = match asked.await {
        Ok(answer) => answer,
        Err(verdict) => return Ok(verdict),
    };
    let verdict = if signing.wanted && signing.key == SigningKey::Missing {
        Verdict::fail(
            "SigningUnusable",
            "commit.gpgsign is true and no key is configured",
        )
    } else if let (true, Some(path)) = (signing.wanted, absent) {
        Verdict::fail(
            "SigningKeyAbsent",
            format!("signing key {} does not exist", path.display()),
        )
    } else if signing.wanted {
        Verdict::pass(format!("commits are signed ({})", signing.description()))
    } else if verified {
        Verdict::fail(
            "SignatureRequired",
            "Flux verifies signatures, and commit.gpgsign is not true here",
        )
    } else {
        Verdict::warn(
            "NotSigning",
            "commit.gpgsign is not true: the commit will carry no signature",
        )
    };
    Ok(verdict.saw(if verified {
        "spec.verify is set: Flux takes signed commits only"
    } else {
        "spec.verify is not set: Flux takes unsigned commits"
    }))
}
