//! Asking Flux for something, and following one commit through it.
//!
//! A request is the annotation `reconcile.fluxcd.io/requestedAt` with a token of our own; the controller copies the
//! token into `status.lastHandledReconcileAt` when it has handled it
//! (<https://fluxcd.io/flux/components/source/gitrepositories/#triggering-a-reconcile>). A Kustomization that is asked
//! while its source still has the old artifact applies the old artifact again, so the source comes first.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use checks::{
    git::Oid,
    kinds::{GIT_REPOSITORIES, KUSTOMIZATIONS, Kind},
    pause::Pause,
    resources::flux::{GitRepository, Health, Kustomization, commit_of},
};
use http::Request;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::{
    ActionContext, ActionError,
    git::{ChangeError, rebase},
    lease::Refused,
    wait::{Look, Unmet, Wait},
};

/// The annotation that asks for a reconciliation.
pub(crate) const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
/// The name under which our fields are managed.
pub(crate) const FIELD_MANAGER: &str = "onboarding";

/// Asks an object of Flux to reconcile now. The token says who asked; sending the same one twice is sending it once.
pub(crate) async fn request(
    cx: &ActionContext,
    kind: &'static Kind,
    name: &str,
    token: &str,
) -> Result<(), ActionError> {
    let patch = json!({"metadata": {"annotations": {REQUESTED_AT: token}}});
    merge_patch(cx, kind, &cx.checks.settings.flux.namespace, name, &patch).await?;
    Ok(())
}

/// Sends a merge patch that sets given values. It says what is to be, not what is to change, so it may be sent again
/// after an error that may pass. Comes back within [`WRITE`].
pub(crate) async fn merge_patch(
    cx: &ActionContext,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    patch: &Value,
) -> Result<Value, ActionError> {
    send(cx, kind, namespace, name, patch, "").await
}

/// How the server would take a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It accepts it: this would be the object.
    Accepted(Box<Value>),
    /// The object does not exist yet, so nothing was sent.
    Absent,
}

impl std::fmt::Display for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Accepted(_) => "server accepts",
            Self::Absent => "not sent: absent",
        })
    }
}

/// Asks the server to try a merge patch (`dryRun=All`) and to keep nothing of it.
///
/// # Errors
/// The server would refuse it, the right is missing, or it does not answer.
pub async fn tried(
    cx: &ActionContext,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    patch: &Value,
) -> Result<Tried, ActionError> {
    match send(cx, kind, namespace, name, patch, "&dryRun=All").await {
        Ok(object) => Ok(Tried::Accepted(Box::new(object))),
        Err(error) if error.reason == "NotFound" => Ok(Tried::Absent),
        Err(error) => Err(error),
    }
}

/// In a dry run, the server's own word on a merge patch, in brackets; nothing otherwise.
///
/// # Errors
/// As [`tried`].
pub(crate) async fn answered(
    cx: &ActionContext,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    patch: &Value,
) -> Result<String, ActionError> {
    if !cx.permit.is_dry_run() {
        return Ok(String::new());
    }
    bracketed(tried(cx, kind, namespace, name, patch).await)
}

/// What the server said to a change that it was to try, in brackets. A no is an answer, too: a step that comes before this
/// one may be what it still lacks.
pub(crate) fn bracketed(
    answer: Result<impl std::fmt::Display, ActionError>,
) -> Result<String, ActionError> {
    match answer {
        Ok(answer) => Ok(format!(" ({answer})")),
        Err(error) if matches!(error.reason, WEBHOOK_REFUSED | "Changed") => {
            Ok(format!(" (as things are, {})", error.message))
        }
        Err(error) => Err(error),
    }
}

/// A write with all its attempts may take this long.
const WRITE: Duration = Duration::from_secs(30);
/// One answer may take this long.
const ANSWER: Duration = Duration::from_secs(10);

async fn send(
    cx: &ActionContext,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    patch: &Value,
    more: &str,
) -> Result<Value, ActionError> {
    let path = cx.checks.view.object_path(kind, namespace, name).await?;
    let what = if kind.namespaced {
        format!("{} {namespace}/{name}", kind.name())
    } else {
        format!("{} {name}", kind.name())
    };
    let malformed =
        |error: String| ActionError::new("Malformed", format!("{what} cannot be patched: {error}"));
    let body = serde_json::to_vec(patch).map_err(|error| malformed(error.to_string()))?;
    let deadline = Instant::now() + WRITE;
    let mut pause = Pause::new(Duration::from_millis(100), Duration::from_secs(3));
    loop {
        let request = Request::patch(format!("{path}?fieldManager={FIELD_MANAGER}{more}"))
            .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
            .header(http::header::ACCEPT, "application/json")
            .body(body.clone())
            .map_err(|error| malformed(error.to_string()))?;
        let limit = deadline.min(Instant::now() + ANSWER);
        let (reason, passing, said) =
            match timeout_at(limit, cx.client.request::<Value>(request)).await {
                Ok(Ok(object)) => {
                    tracing::debug!("patched {what}{more}");
                    return Ok(object);
                }
                Ok(Err(error)) => {
                    let (reason, passing) = meaning(&error);
                    (reason, passing, words(&error))
                }
                Err(_) => ("TimedOut", true, "no answer in time".to_owned()),
            };
        tracing::debug!("patch of {what}: {said}");
        let rest = Instant::now() + pause.take();
        if !passing || rest >= deadline || cx.stop.asked() {
            return Err(ActionError::new(
                reason,
                format!("{what} could not be patched: {said}"),
            ));
        }
        tokio::time::sleep_until(rest).await;
    }
}

/// What an error of a write means: its reason, and whether it may pass.
pub(crate) fn meaning(error: &kube::Error) -> (&'static str, bool) {
    if let Some(refused) = Refused::behind(error) {
        // A Lease that was not renewed in time may still be; one that is lost stays lost.
        return (refused.reason(), matches!(refused, Refused::Lapsed(_)));
    }
    match error {
        kube::Error::Api(status) => match status.code {
            _ if is_refusal(&status.message) => (WEBHOOK_REFUSED, false),
            401 | 403 => ("MissingPermission", false),
            404 => ("NotFound", false),
            409 => ("Conflict", true),
            429 | 500 | 502 | 503 | 504 => ("ServerError", true),
            _ => ("ServerError", false),
        },
        _ => ("Unreachable", true),
    }
}

/// The reason of a change that an admission webhook, or a policy in the API server, does not let through.
pub(crate) const WEBHOOK_REFUSED: &str = "WebhookRefused";

/// Whether these are the words in which the API server passes a refusal on. The code is the webhook's own: Longhorn's says
/// 403 while it brings spec and status of disks together, 422 where a replica is the last one or a node is still used,
/// and 500 where it cannot tell (longhorn-manager, webhook/error).
pub(crate) fn is_refusal(said: &str) -> bool {
    said.contains("denied the request") || said.contains("ValidatingAdmissionPolicy")
}

/// An error in one line.
pub(crate) fn words(error: &kube::Error) -> String {
    if let Some(refused) = Refused::behind(error) {
        return refused.to_string();
    }
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

/// A commit that Flux is followed to. Somebody else may push another on top of it meanwhile: then Flux comes to that one,
/// and never says the name of ours.
pub(crate) struct Followed<'a> {
    cx: &'a ActionContext,
    commit: &'a str,
    /// Revisions that were not known here when they were seen, and were fetched.
    asked: Mutex<BTreeSet<String>>,
}

impl<'a> Followed<'a> {
    pub(crate) fn new(cx: &'a ActionContext, commit: &'a str) -> Self {
        Self {
            cx,
            commit,
            asked: Mutex::default(),
        }
    }

    /// Whether a revision is the commit or has it among its ancestors, as far as the clone and the remote say.
    pub(crate) async fn is_in(&self, revision: &str) -> bool {
        if is_at(revision, self.commit) {
            return true;
        }
        match self.is_ancestor(revision).await {
            Ok(so) => so,
            Err(error) => {
                tracing::debug!("whether {revision} has {}: {error}", self.commit);
                false
            }
        }
    }

    async fn is_ancestor(&self, revision: &str) -> Result<bool, ChangeError> {
        let (Some(found), Ok(wanted)) = (commit_of(revision), self.commit.parse::<Oid>()) else {
            return Ok(false);
        };
        let (Some(repository), Ok(tip)) = (&self.cx.checks.repository, found.parse::<Oid>()) else {
            return Ok(false);
        };
        if !repository.knows(tip)? {
            let new = self
                .asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(found.to_owned());
            if !new || self.cx.permit.is_dry_run() {
                return Ok(false);
            }
            let remote = repository.followed_remote()?;
            rebase::fetch(repository, &remote, self.cx.transport).await?;
        }
        Ok(repository.knows(tip)?
            && repository.knows(wanted)?
            && repository.contains(tip, wanted)?)
    }
}

/// Waits until the source has made an artifact of this commit; ends at once when it is stalled or suspended.
pub(crate) async fn fetched(
    cx: &ActionContext,
    id: &str,
    commit: &str,
    token: &str,
) -> Result<String, ActionError> {
    let flux = &cx.checks.settings.flux;
    let name = format!("{}/{}", flux.namespace, flux.source);
    let name = name.as_str();
    let followed = &Followed::new(cx, commit);
    let met = wait(cx, id)
        .until(|| async move {
            let source = cx
                .checks
                .view
                .get::<GitRepository>(&GIT_REPOSITORIES, &flux.namespace, &flux.source)
                .await;
            let source = match source {
                Ok(source) => source,
                Err(error) => return Look::from(error),
            };
            let revision = source
                .status
                .artifact
                .as_ref()
                .map(|one| one.revision.clone())
                .unwrap_or_default();
            if followed.is_in(&revision).await {
                return Look::Done(revision);
            }
            match source.health() {
                Health::Suspended => Look::Never(
                    ActionError::new(
                        "SourceSuspended",
                        format!("GitRepository {name} is suspended and fetches nothing"),
                    )
                    .saw(format!("artifact {}", shown(&revision))),
                ),
                Health::Stalled(why)
                    if !handled(
                        &source.status.last_handled_reconcile_at,
                        source.status.observed_generation,
                        source.metadata.generation,
                        token,
                    ) =>
                {
                    Look::NotYet(format!(
                        "GitRepository {name} was stalled before it was asked: {why}"
                    ))
                }
                Health::Stalled(why) => Look::Never(
                    ActionError::new(
                        "SourceStalled",
                        format!("GitRepository {name} is stalled: {why}"),
                    )
                    .saw(format!("artifact {}", shown(&revision))),
                ),
                Health::NotReady(why) => {
                    Look::NotYet(format!("GitRepository {name} cannot fetch: {why}"))
                }
                Health::Ready | Health::Progressing(_) => Look::NotYet(format!(
                    "GitRepository {name} is at {}, not yet at {}",
                    shown(&revision),
                    short(commit)
                )),
            }
        })
        .await;
    met.map_err(|unmet| {
        unmet_error(
            unmet,
            "SourceNotFetched",
            &format!(
                "GitRepository {name} did not come to commit {}",
                short(commit)
            ),
        )
    })
}

/// Waits until the Kustomization has tried this commit. Whether it is Ready is asked later: with `wait: true` it is
/// Ready only once the node is there.
pub(crate) async fn attempted(
    cx: &ActionContext,
    id: &str,
    commit: &str,
    token: &str,
) -> Result<String, ActionError> {
    let flux = &cx.checks.settings.flux;
    let name = format!("{}/{}", flux.namespace, flux.kustomization);
    let name = name.as_str();
    let followed = &Followed::new(cx, commit);
    let met = wait(cx, id)
        .until(|| async move {
            let one = match kustomization(cx).await {
                Ok(one) => one,
                Err(look) => return look,
            };
            let tried = one.status.last_attempted_revision.clone();
            if followed.is_in(&tried).await {
                return Look::Done(tried);
            }
            match one.health() {
                Health::Suspended => Look::Never(ActionError::new(
                    "KustomizationSuspended",
                    format!("Kustomization {name} is suspended and applies nothing"),
                )),
                Health::Stalled(why)
                    if !handled(
                        &one.status.last_handled_reconcile_at,
                        one.status.observed_generation,
                        one.metadata.generation,
                        token,
                    ) =>
                {
                    Look::NotYet(format!(
                        "Kustomization {name} was stalled before it was asked: {why}"
                    ))
                }
                Health::Stalled(why) => Look::Never(ActionError::new(
                    "KustomizationStalled",
                    format!("Kustomization {name} is stalled: {why}"),
                )),
                Health::NotReady(why) => Look::NotYet(format!(
                    "Kustomization {name} failed and tries again: {why}"
                )),
                Health::Ready | Health::Progressing(_) => Look::NotYet(format!(
                    "Kustomization {name} has tried {}, not yet {}",
                    shown(&tried),
                    short(commit)
                )),
            }
        })
        .await;
    met.map_err(|unmet| {
        let what = format!("Kustomization {name} did not try commit {}", short(commit));
        unmet_error(unmet, "RevisionNotAttempted", &what)
    })
}

async fn kustomization<T>(
    cx: &ActionContext,
) -> Result<std::sync::Arc<Kustomization>, Look<T, ActionError>> {
    let flux = &cx.checks.settings.flux;
    match cx
        .checks
        .view
        .get::<Kustomization>(&KUSTOMIZATIONS, &flux.namespace, &flux.kustomization)
        .await
    {
        Ok(one) => Ok(one),
        Err(error) => Err(Look::from(error)),
    }
}

/// Whether a status was written after our request: only then does it say how that went.
fn handled(last: &str, observed: i64, generation: i64, token: &str) -> bool {
    last == token && observed >= generation
}

pub(crate) fn wait<'a>(cx: &'a ActionContext, id: &'a str) -> Wait<'a> {
    Wait {
        id,
        view: &cx.checks.view,
        deadline: cx.deadline,
        poll: cx.checks.settings.poll.0,
        observer: cx.observer.as_ref(),
        stop: &cx.stop,
    }
}

/// A wait that did not get there, as an error: why it never can, or the last thing seen.
pub(crate) fn unmet_error(
    unmet: Unmet<ActionError>,
    reason: &'static str,
    what: &str,
) -> ActionError {
    match unmet {
        Unmet::Never(error) => error,
        Unmet::Deadline(seen) => ActionError::new(reason, format!("{what} in time: {seen}")),
        Unmet::Stopped(seen) => {
            ActionError::new("Interrupted", format!("{what}: the run was asked to end")).saw(seen)
        }
    }
}

/// Whether a revision such as `main@sha1:9d0c…` is this commit. What stands before the last colon differs by version.
pub(crate) fn is_at(revision: &str, commit: &str) -> bool {
    let hash = revision.rsplit([':', '/']).next().unwrap_or_default();
    !commit.is_empty() && hash == commit
}

/// The first seven digits.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

fn shown(revision: &str) -> String {
    if revision.is_empty() {
        return "nothing".into();
    }
    match revision.rsplit_once(':') {
        Some((_, hash)) => short(hash).to_owned(),
        None => revision.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_its_words_whatever_its_code() {
        let api = |code: u16, said: &str| {
            let status = kube::core::Status::failure(said, "").with_code(code);
            kube::Error::Api(Box::new(status))
        };
        let denied = "admission webhook \"validator.longhorn.io\" denied the request: no";
        for code in [400, 403, 409, 422, 500] {
            assert_eq!(meaning(&api(code, denied)), ("WebhookRefused", false));
        }
        // Nobody has refused anything where the webhook does not answer.
        let dead = "Internal error occurred: failed calling webhook \"x\": timeout";
        assert_eq!(meaning(&api(500, dead)), ("ServerError", true));
        let right = "nodes \"k3s2\" is forbidden: User \"u\" cannot patch resource";
        assert_eq!(meaning(&api(403, right)), ("MissingPermission", false));
    }

    #[test]
    fn a_status_older_than_the_request_does_not_count() {
        assert!(handled("ours", 3, 3, "ours"));
        assert!(!handled("earlier", 3, 3, "ours"));
        assert!(!handled("", 3, 3, "ours"));
        assert!(!handled("ours", 2, 3, "ours"));
    }

    #[test]
    fn a_revision_is_a_commit_whatever_stands_before_it() {
        let commit = "9d0c4e1f00000000000000000000000000000000";
        assert!(is_at(&format!("main@sha1:{commit}"), commit));
        assert!(is_at(&format!("sha1:{commit}"), commit));
        assert!(is_at(&format!("main/{commit}"), commit));
        assert!(!is_at("main@sha1:9d0c4e1", commit));
        assert!(!is_at("", ""));
    }
}
