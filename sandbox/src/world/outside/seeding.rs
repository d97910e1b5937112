//! Sends what a cluster begins with to the API server: definitions, namespaces, and what charts and k3s install.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use base64::Engine as _;
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use crate::{
    SandboxError,
    api::Tls,
    world::{
        cast::Cast,
        kinds,
        life::trouble,
        make::{items, name, namespace, text},
        seed,
    },
};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const LIMIT: Duration = Duration::from_secs(60);

/// Sends everything; returns when it is there. What is there already is made as it should be.
pub(super) async fn seed(
    client: &Client,
    cast: &Cast,
    tls: &Tls,
    definitions: Option<&Path>,
) -> Result<(), SandboxError> {
    let (own, rest): (Vec<Value>, Vec<Value>) = seed::objects(cast)
        .into_iter()
        .partition(|object| object["kind"] == "CustomResourceDefinition");
    let mut wanted = match definitions {
        Some(folder) => read(folder)?,
        None => Vec::new(),
    };
    let known: BTreeSet<String> = wanted.iter().map(|it| name(it).to_owned()).collect();
    wanted.extend(own.into_iter().filter(|it| !known.contains(name(it))));
    let send = wanted
        .iter()
        .map(|definition| present(client, DEFINITIONS.to_owned(), definition));
    for sent in futures::future::join_all(send).await {
        sent?;
    }
    established(client, wanted.len()).await?;
    // Where something lives comes before it, and classes of priority before the pods that have one.
    let rank = |object: &Value| match text(&object["kind"]) {
        "Namespace" => 0,
        "PriorityClass" | "ServiceAccount" => 1,
        // Called for every object of Longhorn as soon as they are there; nobody answers yet.
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => 4,
        "Deployment" | "DaemonSet" | "StatefulSet" => 3,
        _ => 2,
    };
    let mut rest: Vec<Value> = rest
        .into_iter()
        .filter(|it| !is_of_the_server(it))
        .collect();
    rest.sort_by_key(rank);
    for group in rest.chunk_by(|a, b| rank(a) == rank(b)) {
        let sent = group.iter().map(|object| install(client, object, tls));
        for sent in futures::future::join_all(sent).await {
            sent?;
        }
    }
    Ok(())
}

/// What every API server keeps by itself.
fn is_of_the_server(object: &Value) -> bool {
    name(object) == "kubernetes"
        && matches!(
            text(&object["kind"]),
            "Service" | "EndpointSlice" | "ServiceCIDR"
        )
}

/// The definitions in the YAML files of a folder.
fn read(folder: &Path) -> Result<Vec<Value>, SandboxError> {
    let cannot = trouble("definitions cannot be read");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| cannot(&error))? {
        let path = entry.map_err(|error| cannot(&error))?.path();
        if path.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
        let yaml = fs::read_to_string(&path).map_err(|error| cannot(&error))?;
        for document in yaml.split("\n---") {
            if !document.contains("kind: CustomResourceDefinition") {
                continue;
            }
            let object: Value = serde_saphyr::from_str(document.trim_start_matches('-'))
                .map_err(|error| cannot(&format!("{}: {error}", path.display())))?;
            found.push(object);
        }
    }
    Ok(found)
}

async fn established(client: &Client, count: usize) -> Result<(), SandboxError> {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let list = super::get(client, DEFINITIONS).await?;
        let ready = items(&list["items"])
            .iter()
            .filter(|it| crate::world::make::condition(it, "Established") == "True")
            .count();
        if ready >= count {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(SandboxError::new(format!(
                "has {ready} of {count} definitions established after {} s",
                LIMIT.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Sends one object, and its status where nobody else writes it.
async fn install(client: &Client, object: &Value, tls: &Tls) -> Result<(), SandboxError> {
    let mut object = object.clone();
    let status = object
        .as_object_mut()
        .and_then(|object| object.remove("status"));
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("uid");
    }
    for hook in object["webhooks"].as_array_mut().into_iter().flatten() {
        let authority = base64::engine::general_purpose::STANDARD.encode(&tls.ca);
        hook["clientConfig"]["caBundle"] = authority.into();
    }
    let api_version = text(&object["apiVersion"]);
    let collection = match kinds::of(&object) {
        Some(res) => res.collection(namespace(&object)),
        None => kinds::collection(
            api_version,
            &plural(text(&object["kind"])),
            namespace(&object),
        ),
    };
    present(client, collection.clone(), &object).await?;
    let told = status.filter(|_| {
        ["longhorn.io/", "monitoring.coreos.com/"]
            .iter()
            .any(|group| api_version.starts_with(group))
    });
    if let Some(status) = told {
        let path = format!("{collection}/{}/status", name(&object));
        let body = json!({"status": status});
        send(
            client,
            Method::PATCH,
            path,
            "application/merge-patch+json",
            &body,
        )
        .await?;
    }
    Ok(())
}

/// Kinds that only the beginning has; the names of the others are known.
fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if lower.ends_with('s') => format!("{lower}es"),
        None => format!("{lower}s"),
    }
}

/// Creates the object, or lays it over the one that is there.
async fn present(client: &Client, collection: String, object: &Value) -> Result<(), SandboxError> {
    match send(
        client,
        Method::POST,
        collection.clone(),
        "application/json",
        object,
    )
    .await
    {
        Err(Refused { code: 409, .. }) => {
            let path = format!("{collection}/{}", name(object));
            let patched = send(
                client,
                Method::PATCH,
                path,
                "application/merge-patch+json",
                object,
            )
            .await;
            match patched {
                // What is there cannot be changed, such as the value of a class of priority, and is as it should be.
                Err(Refused { code: 422, .. }) | Ok(()) => Ok(()),
                Err(refused) => Err(refused.into()),
            }
        }
        other => other.map_err(Into::into),
    }
}

/// What the API server would not do.
#[derive(Debug)]
struct Refused {
    code: u16,
    what: String,
}

impl From<Refused> for SandboxError {
    fn from(refused: Refused) -> Self {
        Self::new(format!("cannot begin: {}", refused.what))
    }
}

async fn send(
    client: &Client,
    method: Method,
    path: String,
    media: &str,
    body: &Value,
) -> Result<(), Refused> {
    let other = |error: &dyn std::fmt::Display| Refused {
        code: 0,
        what: format!("{path}: {error}"),
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let request = Request::builder()
            .method(method.clone())
            .uri(&path)
            .header(http::header::CONTENT_TYPE, media)
            .body(body.to_string().into_bytes())
            .map_err(|error| other(&error))?;
        match client.request::<Value>(request).await {
            Ok(_) => return Ok(()),
            // A kind that was established a moment ago is not served everywhere yet.
            Err(kube::Error::Api(status))
                if matches!(status.code, 404 | 429) && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(kube::Error::Api(status)) => {
                return Err(Refused {
                    code: status.code,
                    what: format!("{path} {}: {} {}", name(body), status.code, status.message),
                });
            }
            Err(error) => return Err(other(&error)),
        }
    }
}
