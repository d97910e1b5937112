//! Deleting one object, and nothing that has taken its name since.

use checks::{kinds::Kind, view::ReadError};
use http::Request;
use serde_json::{Value, json};

use crate::{ActionContext, ActionError, flux};

/// Which object is meant.
pub(super) struct Removal<'a> {
    pub(super) kind: &'static Kind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
    /// Only as it was when it was looked at.
    pub(super) revision: Option<&'a str>,
}

/// Deletes it. Whatever has gone by itself is deleted; asking twice is asking once, since the UID says what is meant.
///
/// # Errors
/// `Changed` when it is another object, or not as it was; `Refused` with the words of an admission webhook.
pub(super) async fn delete(cx: &ActionContext, removal: &Removal<'_>) -> Result<(), ActionError> {
    let Removal {
        kind,
        namespace,
        name,
        uid,
        revision,
    } = *removal;
    let path = match cx.checks.view.object_path(kind, namespace, name).await {
        Err(ReadError::NotServed { .. }) => return Ok(()),
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
    let body = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        "preconditions": preconditions,
    });
    let body = serde_json::to_vec(&body)
        .map_err(|error| ActionError::new("Malformed", format!("{what}: {error}")))?;
    let mut pause = std::time::Duration::from_millis(100);
    for attempt in 0.. {
        let request = Request::delete(&path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json")
            .body(body.clone())
            .map_err(|error| ActionError::new("Malformed", format!("{what}: {error}")))?;
        let error = match cx.client.request::<Value>(request).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let said = flux::words(&error);
        if let kube::Error::Api(status) = &error {
            match status.code {
                404 => return Ok(()),
                409 => {
                    let message = format!("{what} is not what was looked at: {said}");
                    return Err(ActionError::new("Changed", message));
                }
                403 if said.contains("admission webhook") => {
                    let message = format!("{what} may not be deleted: {said}");
                    return Err(ActionError::new("Refused", message));
                }
                _ => {}
            }
        }
        let (reason, passing) = flux::meaning(&error);
        if !passing || attempt >= 6 || cx.stop.asked() {
            let message = format!("{what} could not be deleted: {said}");
            return Err(ActionError::new(reason, message));
        }
        tokio::time::sleep(pause / 2 + pause.mul_f64(fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(std::time::Duration::from_secs(3));
    }
    Ok(())
}
