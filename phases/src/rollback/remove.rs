//! Deleting one object, and nothing that has taken its name since.

use std::time::Duration;

use checks::{kinds::Kind, pause::Pause, view::ReadError};
use http::Request;
use serde_json::{Value, json};

use crate::{
    ActionContext, ActionError,
    flux::{self, Tried},
};

/// Which object is meant.
pub(super) struct Removal<'a> {
    pub(super) kind: &'static Kind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
    /// Only as it was when it was looked at.
    pub(super) revision: Option<&'a str>,
}

impl<'a> Removal<'a> {
    /// Exactly this object, whatever has been written to it since.
    pub(super) const fn of(
        kind: &'static Kind,
        namespace: &'a str,
        name: &'a str,
        uid: &'a str,
    ) -> Self {
        Self {
            kind,
            namespace,
            name,
            uid,
            revision: None,
        }
    }
}

/// Deletes it. Whatever has gone by itself is deleted; asking twice is asking once, since the UID says what is meant.
///
/// # Errors
/// `Changed` when it is another object, or not as it was; `WebhookRefused` with the words of an admission webhook.
pub(super) async fn delete(cx: &ActionContext, removal: &Removal<'_>) -> Result<(), ActionError> {
    send(cx, removal, false).await.map(drop)
}

/// In a dry run, what the server says now to this deletion (`dryRun=All`), in brackets; nothing otherwise.
///
/// # Errors
/// The right is missing, or the server does not answer.
pub(super) async fn answered(
    cx: &ActionContext,
    removal: &Removal<'_>,
) -> Result<String, ActionError> {
    if !cx.permit.is_dry_run() {
        return Ok(String::new());
    }
    flux::bracketed(send(cx, removal, true).await)
}

async fn send(
    cx: &ActionContext,
    removal: &Removal<'_>,
    try_only: bool,
) -> Result<Tried, ActionError> {
    let Removal {
        kind,
        namespace,
        name,
        uid,
        revision,
    } = *removal;
    let path = match cx.checks.view.object_path(kind, namespace, name).await {
        Err(ReadError::NotServed { .. }) => return Ok(Tried::Absent),
        other => other?,
    };
    let what = if namespace.is_empty() {
        format!("{} {name}", kind.name())
    } else {
        format!("{} {namespace}/{name}", kind.name())
    };
    let mut preconditions = json!({"uid": uid});
    if let Some(revision) = revision {
        preconditions["resourceVersion"] = revision.into();
    }
    let mut body = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        "preconditions": preconditions,
    });
    if try_only {
        // Beside a body the server does not look at the query.
        body["dryRun"] = json!(["All"]);
    }
    let query = if try_only { "?dryRun=All" } else { "" };
    let body = serde_json::to_vec(&body)
        .map_err(|error| ActionError::new("Malformed", format!("{what}: {error}")))?;
    let mut pause = Pause::new(Duration::from_millis(100), Duration::from_secs(3));
    let mut attempt = 0;
    loop {
        let request = Request::delete(format!("{path}{query}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json")
            .body(body.clone())
            .map_err(|error| ActionError::new("Malformed", format!("{what}: {error}")))?;
        let error = match cx.client.request::<Value>(request).await {
            Ok(answer) => return Ok(Tried::Accepted(Box::new(answer))),
            Err(error) => error,
        };
        let said = flux::words(&error);
        let (reason, passing) = flux::meaning(&error);
        if reason == flux::WEBHOOK_REFUSED {
            let message = format!("{what} may not be deleted: {said}");
            return Err(ActionError::new(reason, message));
        }
        if let kube::Error::Api(status) = &error {
            match status.code {
                404 => return Ok(Tried::Absent),
                409 => {
                    let message = format!("{what} is not what was looked at: {said}");
                    return Err(ActionError::new("Changed", message));
                }
                _ => {}
            }
        }
        if !passing || attempt >= 6 || cx.stop.asked() {
            let message = format!("{what} could not be deleted: {said}");
            return Err(ActionError::new(reason, message));
        }
        pause.rest().await;
        attempt += 1;
    }
}
