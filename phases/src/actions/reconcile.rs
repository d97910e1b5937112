//! Asking Flux twice, after the push and after the join, in the same words: the token and the plan.

use checks::kinds::{GIT_REPOSITORIES, KUSTOMIZATIONS};
use serde_json::json;

use crate::{
    ActionContext, ActionError, Plan,
    flux::{REQUESTED_AT, answered},
};

/// The token of this action in this run. It is written down before it is sent: a second start sends the same, and
/// asking twice with one token is asking once.
pub(super) fn token(cx: &ActionContext, id: &str, word: &str) -> Result<String, ActionError> {
    if let Some(token) = cx.recorded(id, "token") {
        return Ok(token);
    }
    let token = format!("onboarding-{}-{word}-{:08x}", cx.run, fastrand::u32(..));
    cx.journal.record(id, "token", &token)?;
    Ok(token)
}

/// Both annotations, in a dry run with the server's answers.
pub(crate) async fn plan(cx: &ActionContext) -> Result<Plan, ActionError> {
    let flux = &cx.checks.settings.flux;
    let patch =
        json!({"metadata": {"annotations": {REQUESTED_AT: format!("onboarding-{}", cx.run)}}});
    let mut parts = Vec::new();
    for (word, kind, name) in [
        ("gitrepository", &GIT_REPOSITORIES, &flux.source),
        ("kustomization", &KUSTOMIZATIONS, &flux.kustomization),
    ] {
        let namespace = &flux.namespace;
        let said = answered(cx, kind, namespace, name, &patch).await?;
        parts.push(format!("annotate {word} {namespace}/{name}{said}"));
    }
    Ok(Plan { parts })
}
