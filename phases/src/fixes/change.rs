//! A change that a fix would send, as data: shown, tried and sent from the same value.

use checks::kinds::Kind;
use http::Request;
use serde_json::{Value, json};

use crate::{
    ActionContext, ActionError,
    flux::{meaning, merge_patch, tried, words},
};

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Deletes an object, and nothing that took its name since or was changed since.
    Delete {
        /// Of which kind.
        kind: &'static Kind,
        /// Where.
        namespace: String,
        /// Which.
        name: String,
        /// Its uid.
        uid: String,
        /// Its resourceVersion.
        version: String,
    },
    /// Sets values of an object.
    Patch {
        /// Of which kind.
        kind: &'static Kind,
        /// Where; empty for the whole cluster.
        namespace: String,
        /// Which.
        name: String,
        /// A merge patch.
        patch: Value,
        /// Action, key and value for the journal, before it is sent.
        record: Option<(&'static str, &'static str, String)>,
    },
}

impl Change {
    /// `delete secrets kube-system/k3s2.node-password.k3s (uid …)`
    #[must_use]
    pub fn sentence(&self) -> String {
        let place = |namespace: &str, name: &str| {
            if namespace.is_empty() {
                name.to_owned()
            } else {
                format!("{namespace}/{name}")
            }
        };
        match self {
            Self::Delete {
                kind,
                namespace,
                name,
                uid,
                ..
            } => format!(
                "delete {} {} (uid {uid})",
                kind.name(),
                place(namespace, name)
            ),
            Self::Patch {
                kind,
                namespace,
                name,
                patch,
                ..
            } => format!("patch {} {} {patch}", kind.name(), place(namespace, name)),
        }
    }
}

/// Sends a change.
///
/// # Errors
/// The server refuses it, or the permit is gone.
pub async fn send(cx: &ActionContext, change: &Change) -> Result<(), ActionError> {
    match change {
        Change::Delete { .. } => delete(cx, change, false).await,
        Change::Patch {
            kind,
            namespace,
            name,
            patch,
            record,
        } => {
            if let Some((action, key, value)) = record {
                cx.journal.record(action, key, value)?;
            }
            merge_patch(cx, kind, namespace, name, patch)
                .await
                .map(drop)
        }
    }
}

/// Asks the server to try a change and to keep nothing of it.
///
/// # Errors
/// The server would refuse it.
pub async fn try_out(cx: &ActionContext, change: &Change) -> Result<String, ActionError> {
    match change {
        Change::Delete { .. } => delete(cx, change, true)
            .await
            .map(|()| "server accepts".to_owned()),
        Change::Patch {
            kind,
            namespace,
            name,
            patch,
            ..
        } => tried(cx, kind, namespace, name, patch)
            .await
            .map(|answer| answer.to_string()),
    }
}

async fn delete(cx: &ActionContext, change: &Change, only_try: bool) -> Result<(), ActionError> {
    let Change::Delete {
        kind,
        namespace,
        name,
        uid,
        version,
    } = change
    else {
        return Ok(());
    };
    let path = cx.checks.view.object_path(kind, namespace, name).await?;
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions",
        "preconditions": {"uid": uid, "resourceVersion": version},
    });
    let query = if only_try {
        options["dryRun"] = json!(["All"]);
        "?dryRun=All"
    } else {
        ""
    };
    let failed = |reason: &'static str, why: String| {
        ActionError::new(reason, format!("{}: {why}", change.sentence()))
    };
    let request = Request::delete(format!("{path}{query}"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(options.to_string().into_bytes())
        .map_err(|error| failed("Malformed", error.to_string()))?;
    match cx.client.request::<Value>(request).await {
        Ok(_) => Ok(()),
        // Gone by itself is what was wanted; taken or changed since is not.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(failed(meaning(&error).0, words(&error))),
    }
}
