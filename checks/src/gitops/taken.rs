//! What came of the activation: the entry in the commit, the commit on the remote, the remote's commit in Flux.

use std::path::PathBuf;

use reports::model::Severity;

use super::{
    declared::{ask as ask_git, refused, repository as opened, undecided},
    revision::{self, Standing, short},
    source,
};
use crate::{
    Answer, Check, Context, Criterion, Need, Reason, Settings, Verdict, ask,
    git::{EntryState, GitError, Oid, Repository, Resources, short as short_id},
    kinds::{GIT_REPOSITORIES, KUSTOMIZATIONS},
    resources::{
        condition,
        flux::{Health, Kustomization},
    },
    view::{ReadError, Scope},
};

pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "gitops::entry_active",
        title: "The entry of {node} is active in the commit.",
        severity: Severity::Fail,
        requires: &["gitops::repository"],
        needs: &[Need::Repository],
        awaits: false,
        after: Some("gitops::commit"),
        criterion: Criterion::Of("3.1"),
        why: "Flux builds what is committed. An entry that is only active in the work tree changes nothing.",
        reasons: &[
            Reason::new(
                "EntryInactive",
                "an ordered run makes it active; by hand: take the comment sign from the line that the message names, commit and push",
            ),
            Reason::new(
                "EntryNotFound",
                "add the line \"- ../{node}-node-config/\" under resources of the kustomization file",
            ),
        ],
        ask: ask!(entry_active),
    },
    Check {
        id: "gitops::commit_pushed",
        title: "The branch that Flux follows has our commit.",
        severity: Severity::Fail,
        requires: &["gitops::repository"],
        needs: &[Need::Repository],
        awaits: false,
        after: Some("gitops::push"),
        criterion: Criterion::Of("3.2"),
        why: "Flux fetches from the remote. Only what has arrived there can reach the cluster.",
        reasons: &[
            Reason::new(
                "NotPushed",
                "in the clone: git push; then go on with --resume",
            ),
            Reason::new(
                "EntryInactive",
                "push the commit in which the entry of {node} is active",
            ),
            Reason::new(
                "RemoteMovedOn",
                "in the clone: git fetch, then ask again: somebody has pushed since",
            ),
            Reason::new(
                "RemoteBranchAbsent",
                "in the clone: git push -u origin <branch>",
            ),
        ],
        ask: ask!(commit_pushed),
    },
    Check {
        id: "gitops::revision_fetched",
        title: "Flux has fetched our commit.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::Repository, Need::list(&GIT_REPOSITORIES)],
        awaits: true,
        after: Some("gitops::reconcile"),
        criterion: Criterion::Of("3.2"),
        why: "The source controller makes an artifact of a commit, and everything that Flux applies comes from an artifact.",
        reasons: &[
            Reason::new(
                "SourceSuspended",
                "flux resume source git {source} -n {flux}",
            ),
            Reason::new(
                "SourceStalled",
                "kubectl -n {flux} describe gitrepository {source}",
            ),
            Reason::new(
                "NotFetched",
                "flux reconcile source git {source} -n {flux}; kubectl -n {flux} describe gitrepository {source}",
            ),
            Reason::new(
                "UnknownRevision",
                "in the clone: git fetch, then ask again: Flux is at a commit that the clone does not know",
            ),
        ],
        ask: ask!(revision_fetched),
    },
    Check {
        id: "gitops::revision_attempted",
        title: "Flux has begun to apply {kustomization} at our commit.",
        severity: Severity::Fail,
        requires: &[],
        needs: &[Need::Repository, Need::list(&KUSTOMIZATIONS)],
        awaits: true,
        after: Some("gitops::reconcile"),
        criterion: Criterion::Of("3.2"),
        why: "That it has begun shows that the commit builds. That everything is healthy cannot be expected before the node has joined, and is asked in the phase storage.",
        reasons: &[
            Reason::new(
                "KustomizationSuspended",
                "flux resume kustomization {kustomization} -n {flux}",
            ),
            Reason::new(
                "KustomizationStalled",
                "kubectl -n {flux} describe kustomization {kustomization}",
            ),
            Reason::new(
                "BuildFailed",
                "kubectl -n {flux} describe kustomization {kustomization} names the file; mend it in git, or go back with --rollback",
            ),
            Reason::new(
                "ApplyFailed",
                "kubectl -n {flux} describe kustomization {kustomization} names the object that was refused",
            ),
            Reason::new(
                "NotAttempted",
                "flux reconcile kustomization {kustomization} -n {flux} --with-source; a dependency that is not ready holds it back: flux get kustomizations -n {flux}",
            ),
            Reason::new(
                "UnknownRevision",
                "in the clone: git fetch, then ask again: Flux is at a commit that the clone does not know",
            ),
        ],
        ask: ask!(revision_attempted),
    },
];

async fn entry_active(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let wanted = cx.commit().and_then(|commit| Oid::from_str(commit).ok());
    let settings = cx.settings.clone();
    let asked = ask_git(&repository, move |repository| {
        let commit = match wanted {
            Some(commit) => commit,
            None => repository.head()?,
        };
        Ok((commit, entry_at(repository, &settings, commit)?))
    });
    Ok(match asked.await {
        Err(verdict) => undecided(verdict, &[]),
        Ok((commit, state)) => told(
            &state,
            &cx.settings,
            &format!("commit {}", short_id(commit)),
        ),
    })
}

/// What a commit says of the entry.
fn entry_at(
    repository: &Repository,
    settings: &Settings,
    commit: Oid,
) -> Result<EntryState, GitError> {
    let file = PathBuf::from(&settings.repository.kustomization);
    let Some(bytes) = repository.file_at(commit, &file)? else {
        return Err(GitError::FileAbsent { path: file });
    };
    Ok(Resources::read(&file, &String::from_utf8_lossy(&bytes))?.state(&settings.entry()))
}

fn told(state: &EntryState, settings: &Settings, place: &str) -> Verdict {
    let (file, entry) = (&settings.repository.kustomization, settings.entry());
    match state {
        EntryState::Active { line } => Verdict::pass(format!("entry {entry} is active in {place}"))
            .saw(format!("{file}, line {line}")),
        EntryState::Commented { line, .. } => Verdict::fail(
            "EntryInactive",
            format!("entry {entry} is commented out in {place}: {file}, line {line}"),
        ),
        EntryState::Missing { .. } | EntryState::Several { .. } => Verdict::fail(
            "EntryNotFound",
            format!("{file} in {place} has no one entry {entry}"),
        ),
    }
}

async fn commit_pushed(cx: &Context) -> Answer {
    let repository = match opened(cx) {
        Ok(repository) => repository,
        Err(verdict) => return Ok(verdict),
    };
    let remote = match ask_git(&repository, Repository::followed_remote).await {
        Ok(remote) => remote,
        Err(verdict) => return Ok(undecided(verdict, &[])),
    };
    let tip = match repository
        .remote_tip(&remote, cx.settings.repository.transport)
        .await
    {
        Ok(Some(tip)) => tip,
        Ok(None) => {
            return Ok(refused(&GitError::RemoteBranchAbsent {
                url: remote.shown_url(),
                branch: remote.branch,
            }));
        }
        Err(error) => return Ok(undecided(refused(&error), &[])),
    };
    let at = format!("{}/{} is at {}", remote.name, remote.branch, short_id(tip));
    let Some(commit) = cx.commit() else {
        // No commit of this run: what the remote has is what counts.
        let settings = cx.settings.clone();
        let asked = ask_git(&repository, move |repository| {
            if repository.knows(tip)? {
                entry_at(repository, &settings, tip).map(Some)
            } else {
                Ok(None)
            }
        });
        return Ok(match asked.await {
            Err(verdict) => undecided(verdict, &[]),
            Ok(Some(state)) => match told(
                &state,
                &cx.settings,
                &format!("{}/{}", remote.name, remote.branch),
            ) {
                verdict if verdict.reason() == "EntryNotFound" => {
                    Verdict::fail("EntryInactive", verdict.message())
                }
                verdict => verdict,
            },
            Ok(None) => Verdict::warn(
                "RemoteMovedOn",
                format!("{at}, a commit that the clone does not have"),
            ),
        });
    };
    let tip = tip.to_string();
    Ok(
        match revision::standing(Some(&repository), Some(&tip), commit).await {
            Err(verdict) => verdict,
            Ok(Standing::Same) => Verdict::pass(format!("{at}, our commit")),
            Ok(Standing::Newer) => {
                Verdict::pass(format!("{at}, which contains our commit {}", short(commit)))
            }
            Ok(Standing::Other) => Verdict::fail(
                "NotPushed",
                format!("{at}, which does not contain our commit {}", short(commit)),
            ),
            Ok(Standing::Unknown) => Verdict::warn(
                "RemoteMovedOn",
                format!(
                    "{at}, a commit that the clone does not have; whether it contains {} is not known",
                    short(commit)
                ),
            ),
        },
    )
}

/// The commit that Flux should be at: this run's, else what the remote has now.
async fn wanted(cx: &Context) -> Result<String, Verdict> {
    if let Some(commit) = cx.commit() {
        return Ok(commit.to_owned());
    }
    let repository = opened(cx)?;
    let remote = ask_git(&repository, Repository::followed_remote)
        .await
        .map_err(|verdict| undecided(verdict, &[]))?;
    match repository
        .remote_tip(&remote, cx.settings.repository.transport)
        .await
    {
        Ok(Some(tip)) => Ok(tip.to_string()),
        Ok(None) => Err(Verdict::error(
            "CouldNotDecide",
            format!("{} has no branch {}", remote.shown_url(), remote.branch),
        )),
        Err(error) => Err(undecided(refused(&error), &[])),
    }
}

async fn revision_fetched(cx: &Context) -> Answer {
    let source = source(cx).await?;
    let name = source.metadata.full_name();
    match source.health() {
        Health::Suspended => {
            return Ok(Verdict::fail(
                "SourceSuspended",
                format!("gitrepository {name} is suspended: it fetches nothing"),
            )
            .hopeless());
        }
        Health::Stalled(why) => {
            return Ok(
                Verdict::fail("SourceStalled", format!("gitrepository {name}: {why}")).hopeless(),
            );
        }
        Health::Ready | Health::Progressing(_) | Health::NotReady(_) => {}
    }
    let wanted = match wanted(cx).await {
        Ok(wanted) => wanted,
        Err(verdict) => return Ok(verdict),
    };
    let standing = match revision::standing(cx.repository.as_ref(), source.commit(), &wanted).await
    {
        Ok(standing) => standing,
        Err(verdict) => return Ok(verdict),
    };
    let at = source.commit().map_or("nothing", short);
    Ok(match standing {
        Standing::Same => Verdict::pass(format!("{name} is at {at}")),
        Standing::Newer => Verdict::pass(format!(
            "{name} is at {at}, which contains {}",
            short(&wanted)
        )),
        Standing::Other => {
            let state = match source.health() {
                Health::NotReady(why) | Health::Progressing(why) => format!(": {why}"),
                _ => String::new(),
            };
            Verdict::fail(
                "NotFetched",
                format!("{name} is at {at}, expected {}{state}", short(&wanted)),
            )
        }
        Standing::Unknown => Verdict::warn(
            "UnknownRevision",
            format!(
                "{name} is at {at}; whether that contains {} is not known",
                short(&wanted)
            ),
        ),
    })
}

async fn revision_attempted(cx: &Context) -> Answer {
    let names = &cx.settings.flux;
    let name = format!("{}/{}", names.namespace, names.kustomization);
    let all = cx
        .view
        .list::<Kustomization>(&KUSTOMIZATIONS, Scope::all())
        .await?;
    let found = all
        .iter()
        .find(|one| one.metadata.full_name() == name)
        .ok_or_else(|| ReadError::Absent {
            what: format!("kustomization {name}"),
        })?;
    match found.health() {
        Health::Suspended => {
            return Ok(Verdict::fail(
                "KustomizationSuspended",
                format!("kustomization {name} is suspended: it applies nothing"),
            )
            .hopeless());
        }
        Health::Stalled(why) => {
            return Ok(Verdict::fail(
                "KustomizationStalled",
                format!("kustomization {name}: {why}"),
            )
            .hopeless());
        }
        Health::Ready | Health::Progressing(_) | Health::NotReady(_) => {}
    }
    let wanted = match wanted(cx).await {
        Ok(wanted) => wanted,
        Err(verdict) => return Ok(verdict),
    };
    let standing =
        match revision::standing(cx.repository.as_ref(), found.attempted(), &wanted).await {
            Ok(standing) => standing,
            Err(verdict) => return Ok(verdict),
        };
    let ready = condition::of(&found.status.conditions, "Ready");
    let at = found.attempted().map_or("nothing", short);
    Ok(match standing {
        Standing::Other => Verdict::fail(
            "NotAttempted",
            format!(
                "{name} was last attempted at {at}, expected {}: {ready}",
                short(&wanted)
            ),
        ),
        Standing::Unknown => Verdict::warn(
            "UnknownRevision",
            format!(
                "{name} was last attempted at {at}; whether that contains {} is not known",
                short(&wanted)
            ),
        ),
        // Another commit is needed before it can build.
        Standing::Same | Standing::Newer if ready.is_false() && ready.reason == "BuildFailed" => {
            Verdict::fail("BuildFailed", format!("{name} at {at}: {ready}")).hopeless()
        }
        Standing::Same | Standing::Newer
            if ready.is_false() && ready.reason == "ReconciliationFailed" =>
        {
            Verdict::warn("ApplyFailed", format!("{name} at {at}: {ready}"))
        }
        Standing::Same | Standing::Newer => {
            Verdict::pass(format!("{name} was attempted at {at}")).saw(ready.to_string())
        }
    })
}
