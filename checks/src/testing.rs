//! A small cluster made of JSON objects, for unit tests of checks.
//!
//! It answers lists, single objects, discovery and raw paths, and nothing else: what a check makes of given objects is
//! tested here; whether real programs make such objects is tested on the sandbox and on a real control plane.

use std::{collections::BTreeMap, sync::Arc};

use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use kube::{Client, client::Body};
use reports::model::{Cluster, Mode, Report};
use serde_json::{Value, json};
use tower::service_fn;

use crate::{
    Context, Settings, Verdict,
    check::Check,
    cluster::{Meter, Reader},
    kinds,
    view::View,
};

/// The objects of a cluster, raw answers by path, and what is forbidden.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fixture {
    objects: Vec<Value>,
    raw: BTreeMap<String, (u16, String)>,
    reviews: BTreeMap<String, Value>,
    forbidden: Vec<String>,
    headers: Vec<(String, String)>,
    unreachable: Vec<String>,
    pause: std::time::Duration,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds an object; it needs `apiVersion`, `kind` and `metadata.name`.
    pub(crate) fn with(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    /// Answers this path (without query, or exactly with it) with a status and a body.
    pub(crate) fn raw(mut self, path: &str, status: u16, body: impl Into<String>) -> Self {
        self.raw.insert(path.into(), (status, body.into()));
        self
    }

    /// Answers a POST to this path with an object.
    pub(crate) fn review(mut self, path: &str, answer: Value) -> Self {
        self.reviews.insert(path.into(), answer);
        self
    }

    /// Answers 403 for every path that contains this text.
    pub(crate) fn forbid(mut self, part: &str) -> Self {
        self.forbidden.push(part.into());
        self
    }

    /// Refuses the connection for every path that contains this text.
    pub(crate) fn unreachable(mut self, part: &str) -> Self {
        self.unreachable.push(part.into());
        self
    }

    /// Answers after this long.
    pub(crate) fn slow(mut self, pause: std::time::Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Puts a header on every answer.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A context over this cluster, without a repository.
    pub(crate) fn context(self) -> Context {
        Context {
            view: View::snapshot(self.reader()),
            settings: Arc::new(Settings::default()),
            repository: None,
            report: Arc::new(empty_report()),
        }
    }

    /// What a check says of this cluster; a read error is turned into a verdict as in a run.
    pub(crate) async fn ask(self, check: &Check) -> Verdict {
        let cx = self.context();
        (check.ask)(&cx).await.unwrap_or_else(Verdict::from)
    }

    fn reader(self) -> Reader {
        let fixture = Arc::new(self);
        let service = service_fn(move |request: Request<Body>| {
            let fixture = Arc::clone(&fixture);
            async move {
                let whole = request.uri().to_string();
                if fixture.unreachable.iter().any(|part| whole.contains(part)) {
                    return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
                }
                if !fixture.pause.is_zero() {
                    tokio::time::sleep(fixture.pause).await;
                }
                let (status, body) = fixture.answer(&request);
                let mut response = Response::builder().status(status);
                for (name, value) in &fixture.headers {
                    response = response.header(name, value);
                }
                let response = response.body(Body::from(body.into_bytes()));
                Ok(response.unwrap())
            }
        });
        let client = Client::new(service, "default");
        Reader::new(client.clone(), client, Meter::default())
    }

    fn answer(&self, request: &Request<Body>) -> (StatusCode, String) {
        let path = request.uri().path();
        let whole = request.uri().to_string();
        let status = |code: u16| StatusCode::from_u16(code).unwrap();
        if self.forbidden.iter().any(|part| whole.contains(part)) {
            return (
                status(403),
                json!({"kind": "Status", "reason": "Forbidden", "details": {"kind": "x"}})
                    .to_string(),
            );
        }
        if *request.method() == Method::POST {
            return match self.reviews.get(path) {
                Some(answer) => (status(201), answer.to_string()),
                None => (status(404), "no such review".into()),
            };
        }
        for wanted in [whole.as_str(), path] {
            if let Some((code, body)) = self.raw.get(wanted) {
                return (status(*code), body.clone());
            }
        }
        if path == "/apis" {
            return (status(200), self.groups().to_string());
        }
        self.objects_at(path, request.uri().query().unwrap_or_default())
            .unwrap_or_else(|| (status(404), "404 page not found".into()))
    }

    fn groups(&self) -> Value {
        let mut groups: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for kind in kinds::ALL
            .iter()
            .filter(|kind| self.objects.iter().any(|object| is(object, kind)))
        {
            groups
                .entry(kind.group)
                .or_default()
                .push(json!({"version": kind.versions[0]}));
        }
        json!({"groups": groups.into_iter().map(|(name, versions)| json!({"name": name, "versions": versions})).collect::<Vec<_>>()})
    }

    fn objects_at(&self, path: &str, query: &str) -> Option<(StatusCode, String)> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let kind = kinds::ALL
            .iter()
            .find(|kind| kind.group == group && kind.plural == rest[0])?;
        // A kind of a custom group is served once the fixture holds one of it; built-in kinds always are.
        let built_in = !kind.group.contains('.') || kind.group.ends_with(".k8s.io");
        if !built_in && !self.objects.iter().any(|object| is(object, kind)) {
            return None;
        }
        let selector = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("fieldSelector="))
            .map(|value| {
                let pairs = [("%3D", "="), ("%2C", ","), ("%21", "!"), ("%2F", "/")];
                let decoded = pairs.iter();
                decoded.fold(value.to_owned(), |text, (from, to)| text.replace(from, to))
            });
        let text = |object: &Value, pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let selected = self
            .objects
            .iter()
            .filter(|object| is(object, kind))
            .filter(|object| {
                namespace.is_none_or(|namespace| text(object, "/metadata/namespace") == namespace)
                    && selector
                        .iter()
                        .flat_map(|selector| selector.split(','))
                        .all(|term| {
                            let (field, value) = term.split_once('=').unwrap();
                            let (field, equal) = match field.strip_suffix('!') {
                                Some(field) => (field, false),
                                None => (field, true),
                            };
                            let found = text(object, &format!("/{}", field.replace('.', "/")));
                            (found == value) == equal
                        })
            });
        if let Some(name) = rest.get(1) {
            let found = selected
                .into_iter()
                .find(|object| text(object, "/metadata/name") == *name);
            return Some(match found {
                Some(object) => (StatusCode::OK, object.to_string()),
                None => (
                    StatusCode::NOT_FOUND,
                    json!({"kind": "Status", "reason": "NotFound", "details": {"name": name, "kind": kind.plural, "group": kind.group}})
                        .to_string(),
                ),
            });
        }
        let items: Vec<&Value> = selected.collect();
        Some((
            StatusCode::OK,
            json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string(),
        ))
    }
}

fn is(object: &Value, kind: &kinds::Kind) -> bool {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    object["kind"] == kind.kind && group == kind.group
}

/// A check of the catalogue, by its id.
pub(crate) fn check(id: &str) -> &'static Check {
    crate::catalogue::find(id).unwrap()
}

/// A report of a run in which nothing has happened yet.
pub(crate) fn empty_report() -> Report {
    Report {
        schema: reports::model::SCHEMA,
        sequence: 0,
        run: "00000000".into(),
        mode: Mode::Inspect,
        node: "k3s2".into(),
        cluster: Cluster::default(),
        repository: None,
        tool: "test".into(),
        started: Timestamp::UNIX_EPOCH,
        finished: None,
        exit_code: None,
        resumed: 0,
        phases: Vec::new(),
        steps: Vec::new(),
        actions: Vec::new(),
        requests: 0,
        other_requests: std::collections::BTreeMap::new(),
        state: None,
    }
}

#[tokio::test]
async fn lists_single_objects_and_absence_are_told_apart() {
    use k8s_openapi::api::core::v1::Node;

    use crate::view::{ReadError, Scope};

    let node = |name: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    let cx = Fixture::new()
        .with(node("k3s1"))
        .with(node("k3s2"))
        .forbid("/api/v1/pods")
        .context();
    let nodes = cx
        .view
        .list::<Node>(&kinds::NODES, Scope::all())
        .await
        .unwrap();
    assert_eq!(nodes.len(), 2);
    assert!(
        cx.view
            .find::<Node>(&kinds::NODES, "", "k3s2")
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        cx.view
            .find::<Node>(&kinds::NODES, "", "k3s9")
            .await
            .unwrap()
            .is_none()
    );
    let pods = cx
        .view
        .list::<Value>(&kinds::PODS, Scope::all())
        .await
        .unwrap_err();
    assert!(matches!(pods, ReadError::Forbidden { .. }), "{pods:?}");
    let longhorn = cx
        .view
        .list::<Value>(&kinds::LONGHORN_NODES, Scope::namespace("longhorn-system"))
        .await
        .unwrap_err();
    assert_eq!(
        longhorn,
        ReadError::NotServed {
            what: "nodes.longhorn.io".into()
        }
    );
}

#[tokio::test]
async fn raw_paths_and_reviews_answer_what_they_were_given() {
    let cx = Fixture::new()
        .raw("/readyz", 500, "[-]etcd failed")
        .review(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            json!({"status": {"allowed": true}}),
        )
        .context();
    let ready = cx.view.raw("/readyz?verbose").await.unwrap();
    assert_eq!(
        (ready.status.as_u16(), ready.text().as_str()),
        (500, "[-]etcd failed")
    );
    let answer: Value = cx
        .view
        .review(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            &json!({}),
        )
        .await
        .unwrap();
    assert_eq!(answer["status"]["allowed"], true);
}
