//! Finding what runs made for themselves, by its labels, and removing exactly that.

use std::time::Duration;

use checks::{
    kinds::{Kind, NAMESPACES, PODS},
    pause::Pause,
    probe::{MANAGED, RUN},
    view::encode,
};
use http::Request;
use kube::Client;
use serde_json::{Value, json};

use super::{ACTION, KINDS, NODE, collection, refusal};
use crate::{ActionContext, ActionError};

/// How long one removal may take in all: whoever pressed Ctrl-C waits for it.
const REMOVAL: Duration = Duration::from_secs(10);

/// Whose objects are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose<'a> {
    /// Those of one run.
    Run(&'a str),
    /// Those of every run about a node, for who has its lock and no record of what ran before.
    Node(&'a str),
}

impl Whose<'_> {
    const fn label(&self) -> (&'static str, &str) {
        match self {
            Self::Run(run) => (RUN, run),
            Self::Node(node) => (NODE, node),
        }
    }
}

/// Removes what a run has made for itself, but for its namespace: of one action, or of all. Says what was removed.
///
/// # Errors
/// Something could not be listed or deleted; the rest is tried all the same.
pub async fn remove(
    client: &Client,
    namespace: &str,
    run: &str,
    action: Option<&str>,
) -> Result<Vec<String>, ActionError> {
    let mut selector = format!("{RUN}={run}");
    if let Some(action) = action {
        selector.push_str(&format!(",{ACTION}={}", action.replace("::", ".")));
    }
    // Only the test volume needs more than pods, and what is not needed is not asked.
    let kinds = if action.is_none_or(|action| action == checks::probe::VOLUME) {
        &KINDS[..]
    } else {
        &KINDS[..1]
    };
    let work = async {
        let mut removed = Vec::new();
        let mut trouble = None;
        for kind in kinds {
            let path = format!(
                "{}?labelSelector={}",
                collection(kind, namespace),
                encode(&selector)
            );
            match each(client, kind, namespace, &path).await {
                Ok(names) => removed.extend(names),
                Err(error) => {
                    trouble.get_or_insert(error);
                }
            }
        }
        trouble.map_or(Ok(removed), Err)
    };
    match tokio::time::timeout(REMOVAL, work).await {
        Ok(result) => result,
        Err(_) => Err(ActionError::new(
            "TimedOut",
            format!("objects of run {run} could not be removed in time"),
        )),
    }
}

async fn each(
    client: &Client,
    kind: &'static Kind,
    namespace: &str,
    path: &str,
) -> Result<Vec<String>, ActionError> {
    let mut removed = Vec::new();
    let mut trouble = None;
    for one in listed(client, kind, path).await? {
        match remove_left(client, namespace, &one).await {
            Ok(()) => removed.push(format!("{} {}", kind.kind, one.name)),
            Err(error) => {
                trouble.get_or_insert(error);
            }
        }
    }
    trouble.map_or(Ok(removed), Err)
}

/// An object that a run made for itself, and that is not on its way out.
pub(crate) struct Left {
    kind: &'static Kind,
    name: String,
    uid: Value,
}

impl Left {
    /// `pods onboarding-probe/writer-7f3a91c2-0a1b`
    pub(crate) fn shown(&self, namespace: &str) -> String {
        if self.kind.namespaced {
            format!("{} {namespace}/{}", self.kind.name(), self.name)
        } else {
            format!("{} {}", self.kind.name(), self.name)
        }
    }
}

async fn listed(
    client: &Client,
    kind: &'static Kind,
    path: &str,
) -> Result<Vec<Left>, ActionError> {
    let list: Value = send(client, "GET", path, Vec::new(), &kind.name()).await?;
    let there = list["items"].as_array().into_iter().flatten();
    Ok(there
        .map(|object| &object["metadata"])
        .filter(|metadata| metadata.get("deletionTimestamp").is_none())
        .map(|metadata| Left {
            kind,
            name: metadata["name"].as_str().unwrap_or_default().to_owned(),
            uid: metadata["uid"].clone(),
        })
        .collect())
}

/// What of a run is there, in the order in which it is removed: the namespace last, if the run has made it and nobody
/// else has pods in it. Claims and classes are asked for only where the run began a test of a volume.
///
/// # Errors
/// Something could not be listed.
pub(crate) async fn left(
    client: &Client,
    namespace: &str,
    whose: Whose<'_>,
    volume: bool,
) -> Result<Vec<Left>, ActionError> {
    let kinds = if volume { &KINDS[..] } else { &KINDS[..1] };
    let (key, value) = whose.label();
    let selector = encode(&format!("{key}={value}"));
    let mut all = Vec::new();
    for kind in kinds {
        let path = format!("{}?labelSelector={selector}", collection(kind, namespace));
        all.extend(listed(client, kind, &path).await?);
    }
    all.extend(own_namespace(client, namespace, whose).await?);
    Ok(all)
}

/// Deletes exactly this object; one that is gone already is fine.
pub(crate) async fn remove_left(
    client: &Client,
    namespace: &str,
    one: &Left,
) -> Result<(), ActionError> {
    delete(client, namespace, one, false).await
}

/// What the removal of these would be, in words; where `tried`, each with the server's answer to it (`dryRun=All`).
///
/// # Errors
/// The server would refuse one.
pub(crate) async fn removals(
    client: &Client,
    namespace: &str,
    all: &[Left],
    tried: bool,
) -> Result<Vec<String>, ActionError> {
    let mut parts = Vec::new();
    for one in all {
        let mut part = format!("delete {}", one.shown(namespace));
        if tried {
            delete(client, namespace, one, true).await?;
            part.push_str(" (server accepts)");
        }
        parts.push(part);
    }
    Ok(parts)
}

async fn delete(
    client: &Client,
    namespace: &str,
    one: &Left,
    dry_run: bool,
) -> Result<(), ActionError> {
    let Left { kind, name, uid } = one;
    let query = if dry_run { "?dryRun=All" } else { "" };
    let path = format!("{}/{name}{query}", collection(kind, namespace));
    let mut options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
        "preconditions": {"uid": uid},
    });
    if dry_run {
        // Beside a body the server does not look at the query.
        options["dryRun"] = json!(["All"]);
    }
    let what = format!("{} {name}", kind.name());
    match send(
        client,
        "DELETE",
        &path,
        options.to_string().into_bytes(),
        &what,
    )
    .await
    {
        Err(error) if error.reason == "NotFound" => Ok(()),
        other => other.map(drop),
    }
}

/// Sends what may be sent again: a look, or a deletion that names the object's UID.
async fn send(
    client: &Client,
    method: &str,
    path: &str,
    body: Vec<u8>,
    what: &str,
) -> Result<Value, ActionError> {
    let mut pause = Pause::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut attempt = 0;
    loop {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json")
            .body(body.clone())
            .map_err(|error| ActionError::new("Malformed", format!("{what}: {error}")))?;
        let error = match client.request::<Value>(request).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let passing = match &error {
            kube::Error::Api(status) => matches!(status.code, 429 | 500 | 502 | 503 | 504),
            _ => true,
        };
        if !passing || attempt >= 6 {
            return Err(refusal::meaning(what, &error));
        }
        pause.rest().await;
        attempt += 1;
    }
}

/// The end of a run: everything of it goes, and the namespace if this run has made it and no other uses it. Says what
/// was removed; does not wait until it is gone.
///
/// # Errors
/// Something could not be listed or deleted.
pub async fn leave(
    client: &Client,
    namespace: &str,
    run: &str,
) -> Result<Vec<String>, ActionError> {
    let mut removed = remove(client, namespace, run, None).await?;
    removed.extend(leave_namespace(client, namespace, run).await?);
    Ok(removed)
}

/// What [`leave`] would remove, each with the server's answer to its removal (`dryRun=All`).
///
/// # Errors
/// Something could not be listed, or the server would refuse it.
pub async fn would_leave(
    client: &Client,
    namespace: &str,
    run: &str,
) -> Result<Vec<String>, ActionError> {
    let all = left(client, namespace, Whose::Run(run), true).await?;
    removals(client, namespace, &all, true).await
}

/// Deletes the namespace if this run has made it and no other run has pods in it.
pub(crate) async fn leave_namespace(
    client: &Client,
    namespace: &str,
    run: &str,
) -> Result<Option<String>, ActionError> {
    let work = async {
        let Some(own) = own_namespace(client, namespace, Whose::Run(run)).await? else {
            return Ok(None);
        };
        remove_left(client, "", &own).await?;
        Ok(Some(format!("Namespace {namespace}")))
    };
    match tokio::time::timeout(REMOVAL, work).await {
        Ok(result) => result,
        Err(_) => Err(ActionError::new(
            "TimedOut",
            format!("namespace {namespace} could not be removed in time"),
        )),
    }
}

/// The namespace, if they have made it, nobody else has pods in it, and it is not on its way out.
async fn own_namespace(
    client: &Client,
    namespace: &str,
    whose: Whose<'_>,
) -> Result<Option<Left>, ActionError> {
    let (key, value) = whose.label();
    let path = format!("{}/{namespace}", collection(&NAMESPACES, ""));
    let what = format!("namespace {namespace}");
    let found = match send(client, "GET", &path, Vec::new(), &what).await {
        Err(error) if error.reason == "NotFound" => return Ok(None),
        other => other?,
    };
    let metadata = &found["metadata"];
    if metadata["labels"][key] != value || metadata.get("deletionTimestamp").is_some() {
        return Ok(None);
    }
    let others = format!(
        "{}?labelSelector={}",
        collection(&PODS, namespace),
        encode(&format!("{MANAGED},{key}!={value}"))
    );
    let others: Value = send(client, "GET", &others, Vec::new(), "pods").await?;
    if others["items"]
        .as_array()
        .is_some_and(|all| !all.is_empty())
    {
        return Ok(None);
    }
    Ok(Some(Left {
        kind: &NAMESPACES,
        name: namespace.to_owned(),
        uid: metadata["uid"].clone(),
    }))
}

/// What the actions of a run give back: their pods and what belongs to these.
pub(crate) async fn release(cx: &ActionContext, id: &str) -> Result<Vec<String>, ActionError> {
    remove(
        &cx.client,
        &cx.checks.settings.probe.namespace,
        &cx.run,
        Some(id),
    )
    .await
}
