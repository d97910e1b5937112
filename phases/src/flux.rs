//! Asking Flux for something, and following one commit through it.
//!
//! A request is the annotation `reconcile.fluxcd.io/requestedAt` with a token of our own; the controller copies the
//! token into `status.lastHandledReconcileAt` when it has handled it
//! (<https://fluxcd.io/flux/components/source/gitrepositories/#triggering-a-reconcile>). A Kustomization that is asked
//! while its source still has the old artifact applies the old artifact again, so the source comes first.

use checks::{
    kinds::{GIT_REPOSITORIES, KUSTOMIZATIONS, Kind},
    resources::flux::{GitRepository, Health, Kustomization},
};
use http::Request;
use serde_json::{Value, json};

use crate::{
    ActionContext, ActionError,
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

/// Sends a merge patch once. One that was not answered may have arrived all the same, so callers read back.
pub(crate) async fn merge_patch(
    cx: &ActionContext,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    patch: &Value,
) -> Result<Value, ActionError> {
    let path = cx.checks.view.object_path(kind, namespace, name).await?;
    let what = if kind.namespaced {
        format!("{} {namespace}/{name}", kind.name())
    } else {
        format!("{} {name}", kind.name())
    };
    let body = serde_json::to_vec(patch)
        .map_err(|error| ActionError::new("Malformed", format!("{what}: {error}")))?;
    let mut pause = std::time::Duration::from_millis(100);
    // A merge patch that sets given values may be sent again: it says what is to be, not what is to change.
    for attempt in 0.. {
        let request = Request::patch(format!("{path}?fieldManager={FIELD_MANAGER}"))
            .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
            .header(http::header::ACCEPT, "application/json")
            .body(body.clone())
            .map_err(|error| ActionError::new("Malformed", format!("{what}: {error}")))?;
        let error = match cx.client.request::<Value>(request).await {
            Ok(object) => {
                tracing::debug!("patched {what}");
                return Ok(object);
            }
            Err(error) => error,
        };
        tracing::debug!("patch of {what}, attempt {attempt}: {error}");
        let (reason, passing) = meaning(&error);
        if !passing || attempt >= 6 || cx.stop.asked() {
            return Err(ActionError::new(
                reason,
                format!("{what} could not be patched: {}", words(&error)),
            ));
        }
        tokio::time::sleep(pause / 2 + pause.mul_f64(fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(std::time::Duration::from_secs(3));
    }
    Err(ActionError::new(
        "ServerError",
        format!("{what} could not be patched"),
    ))
}

fn meaning(error: &kube::Error) -> (&'static str, bool) {
    match error {
        kube::Error::Api(status) => match status.code {
            401 | 403 => ("MissingPermission", false),
            404 => ("NotFound", false),
            409 => ("Conflict", true),
            429 | 500 | 502 | 503 | 504 => ("ServerError", true),
            _ => ("ServerError", false),
        },
        _ => ("Unreachable", true),
    }
}

fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

/// Waits until the source has made an artifact of this commit; ends at once when it is stalled or suspended.
pub(crate) async fn fetched(
    cx: &ActionContext,
    id: &str,
    commit: &str,
) -> Result<String, ActionError> {
    let flux = &cx.checks.settings.flux;
    let name = format!("{}/{}", flux.namespace, flux.source);
    let name = name.as_str();
    let met = wait(cx, id)
        .until(|| async move {
            let source = cx
                .checks
                .view
                .get::<GitRepository>(&GIT_REPOSITORIES, &flux.namespace, &flux.source)
                .await;
            let source = match source {
                Ok(source) => source,
                Err(error) if error.may_pass() => return Look::NotYet(error.to_string()),
                Err(error) => return Look::Never(ActionError::from(error)),
            };
            let revision = source
                .status
                .artifact
                .as_ref()
                .map(|one| one.revision.clone())
                .unwrap_or_default();
            if is_at(&revision, commit) {
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
) -> Result<String, ActionError> {
    let flux = &cx.checks.settings.flux;
    let name = format!("{}/{}", flux.namespace, flux.kustomization);
    let name = name.as_str();
    let met = wait(cx, id)
        .until(|| async move {
            let one = match kustomization(cx).await {
                Ok(one) => one,
                Err(look) => return look,
            };
            let tried = one.status.last_attempted_revision.clone();
            if is_at(&tried, commit) {
                return Look::Done(tried);
            }
            match one.health() {
                Health::Suspended => Look::Never(ActionError::new(
                    "KustomizationSuspended",
                    format!("Kustomization {name} is suspended and applies nothing"),
                )),
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
        Err(error) if error.may_pass() => Err(Look::NotYet(error.to_string())),
        Err(error) => Err(Look::Never(ActionError::from(error))),
    }
}

fn wait<'a>(cx: &'a ActionContext, id: &'a str) -> Wait<'a> {
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
fn unmet_error(unmet: Unmet<ActionError>, reason: &'static str, what: &str) -> ActionError {
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
    fn a_revision_is_a_commit_whatever_stands_before_it() {
        let commit = "9d0c4e1f00000000000000000000000000000000";
        assert!(is_at(&format!("main@sha1:{commit}"), commit));
        assert!(is_at(&format!("sha1:{commit}"), commit));
        assert!(is_at(&format!("main/{commit}"), commit));
        assert!(!is_at("main@sha1:9d0c4e1", commit));
        assert!(!is_at("", ""));
    }
}
