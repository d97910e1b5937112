//! The real definitions of Flux, Longhorn and the Prometheus operator accept what the sandbox writes.

use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};

use kube::{Client, Config, config::Kubeconfig};
use libtest_mimic::{Completion, Failed};
use sandbox::{Options, Sandbox, Speed, Stage};
use serde_json::{Value, json};
use tests::control_plane::{ControlPlane, Parts};

use crate::{Outcome, block_on};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// The folder of the definitions, which lies beside some checkouts of the project and is no part of it.
fn folder() -> Option<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .map(|above| above.join("shared/data/crds"))
        .find(|dir| dir.is_dir())
}

pub(crate) fn accept_the_sandbox() -> Outcome {
    let Some(folder) = folder() else {
        return Ok(Completion::ignored_with(
            "there is no folder shared/data/crds beside the project",
        ));
    };
    block_on(async move {
        let plane = ControlPlane::start(Parts::Server).await?;
        let real = plane.admin().await?;
        let installed = install(&real, &folder).await?;
        let sandbox = Sandbox::start(Options {
            stage: Stage::Onboarded,
            speed: Speed::Test,
            ..Options::default()
        })
        .await?;
        let kubeconfig: Kubeconfig =
            serde_json::from_str(&fs::read_to_string(sandbox.kubeconfig())?)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
        let ours = Client::try_from(config)?;

        let mut refused = Vec::new();
        let mut accepted = Vec::new();
        let mut namespaces = BTreeSet::new();
        for definition in &installed {
            for object in objects(&ours, definition).await? {
                let namespace = text(&object, "/metadata/namespace").to_owned();
                if namespaces.insert(namespace.clone()) && !namespace.is_empty() {
                    let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
                    send(&real, "POST", "/api/v1/namespaces", &made).await?;
                }
                let name = format!(
                    "{} {namespace}/{}",
                    text(definition, "/metadata/name"),
                    text(&object, "/metadata/name")
                );
                match offer(&real, definition, object).await? {
                    Ok(()) => accepted.push(name),
                    Err(why) => refused.push(format!("{name}: {why}")),
                }
            }
        }
        sandbox.shutdown().await;
        let groups: BTreeSet<&str> = accepted
            .iter()
            .filter_map(|name| name.split_once('.')?.1.split(' ').next())
            .collect();
        println!(
            "{} definitions, {} objects accepted of {groups:?}",
            installed.len(),
            accepted.len()
        );
        if !refused.is_empty() {
            return Err(format!(
                "a real server refuses what the sandbox holds:\n{}",
                refused.join("\n")
            )
            .into());
        }
        assert!(
            groups.len() >= 4,
            "objects of too few groups were tried: {accepted:?}"
        );
        Ok(Completion::Completed)
    })
}

/// Installs every definition of the folder and returns them once they are established.
async fn install(real: &Client, folder: &std::path::Path) -> Result<Vec<Value>, Failed> {
    let mut sent = 0;
    for entry in fs::read_dir(folder)? {
        let yaml = fs::read_to_string(entry?.path())?;
        for document in yaml
            .split("\n---")
            .filter(|document| document.contains("kind: CustomResourceDefinition"))
        {
            let request = http::Request::post(format!("{DEFINITIONS}?fieldValidation=Strict"))
                .header("content-type", "application/yaml")
                .body(document.trim_start_matches('-').as_bytes().to_vec().into())?;
            let (code, body) = answer(real, request).await?;
            if code != 201 {
                return Err(format!("a definition is refused: {code} {body}").into());
            }
            sent += 1;
        }
    }
    assert!(sent > 0, "no definition in {}", folder.display());
    for _ in 0..300 {
        let (_, list) = send(real, "GET", DEFINITIONS, &Value::Null).await?;
        let all = list["items"].as_array().cloned().unwrap_or_default();
        let established = |one: &&Value| {
            one["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|it| it["type"] == "Established" && it["status"] == "True")
        };
        if all.iter().filter(established).count() == sent {
            return Ok(all);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err("the definitions are not established after 60 s".into())
}

/// What the sandbox holds of this kind, in the version that the definition stores.
async fn objects(ours: &Client, definition: &Value) -> Result<Vec<Value>, Failed> {
    let path = format!(
        "/apis/{}/{}/{}",
        text(definition, "/spec/group"),
        stored(definition),
        text(definition, "/spec/names/plural")
    );
    let (code, list) = send(ours, "GET", &path, &Value::Null).await?;
    // The sandbox has none of the kinds that no actor and no check deals with.
    if code == 404 {
        return Ok(Vec::new());
    }
    if code != 200 {
        return Err(format!("{path}: {code} {list}").into());
    }
    let mut items = list["items"].as_array().cloned().unwrap_or_default();
    for item in &mut items {
        item["apiVersion"] = list["apiVersion"].clone();
        item["kind"] = definition["spec"]["names"]["kind"].clone();
    }
    Ok(items)
}

fn stored(definition: &Value) -> &str {
    let versions = definition["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten();
    versions
        .filter(|version| version["storage"] == true)
        .map(|version| text(version, "/name"))
        .next()
        .unwrap_or_default()
}

/// Creates the object, then writes its status; why the server would not, or what it dropped.
async fn offer(
    real: &Client,
    definition: &Value,
    mut object: Value,
) -> Result<Result<(), String>, Failed> {
    let namespace = text(&object, "/metadata/namespace").to_owned();
    let name = text(&object, "/metadata/name").to_owned();
    let scope = if namespace.is_empty() {
        String::new()
    } else {
        format!("namespaces/{namespace}/")
    };
    let path = format!(
        "/apis/{}/{}/{scope}{}",
        text(definition, "/spec/group"),
        stored(definition),
        text(definition, "/spec/names/plural")
    );
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "generation",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        object["metadata"]
            .as_object_mut()
            .map(|metadata| metadata.remove(field));
    }
    // The sandbox's remote is a folder; a real Flux takes only http, https and ssh.
    if object["kind"] == "GitRepository" && text(&object, "/spec/url").starts_with('/') {
        object["spec"]["url"] = "https://git.example.com/home/cluster.git".into();
    }
    let status = object
        .as_object_mut()
        .and_then(|object| object.remove("status"));
    let (code, made) = send(
        real,
        "POST",
        &format!("{path}?fieldValidation=Strict"),
        &object,
    )
    .await?;
    if code != 201 {
        return Ok(Err(format!("{code} {}", text(&made, "/message"))));
    }
    let mut lost = Vec::new();
    missing(&object, &made, "", &mut lost);
    let Some(status) = status else {
        return Ok(lost_is_refused(lost));
    };
    let mut whole = made;
    whole["status"] = status;
    let (code, written) = send(
        real,
        "PUT",
        &format!("{path}/{name}/status?fieldValidation=Strict"),
        &whole,
    )
    .await?;
    if code != 200 {
        return Ok(Err(format!(
            "status: {code} {}",
            text(&written, "/message")
        )));
    }
    missing(&whole["status"], &written["status"], "/status", &mut lost);
    Ok(lost_is_refused(lost))
}

fn lost_is_refused(lost: Vec<String>) -> Result<(), String> {
    if lost.is_empty() {
        Ok(())
    } else {
        Err(format!("kept otherwise: {}", lost.join(", ")))
    }
}

/// Every value of `wanted` that is not in `found`.
fn missing(wanted: &Value, found: &Value, at: &str, lost: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, value) in wanted {
                // A null is the absence of a field, and is not kept.
                if !value.is_null() {
                    missing(
                        value,
                        found.get(key).unwrap_or(&Value::Null),
                        &format!("{at}/{key}"),
                        lost,
                    );
                }
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (index, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                missing(wanted, found, &format!("{at}/{index}"), lost);
            }
        }
        _ if wanted == found => {}
        _ => lost.push(format!("{at}: sent {wanted}, found {found}")),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

async fn send(
    client: &Client,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<(u16, Value), Failed> {
    let bytes = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(bytes.into())?;
    answer(client, request).await
}

async fn answer(
    client: &Client,
    request: http::Request<kube::client::Body>,
) -> Result<(u16, Value), Failed> {
    let response = client.send(request).await?;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect_bytes().await?;
    Ok((
        code,
        serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into()),
    ))
}
