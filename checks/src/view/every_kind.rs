//! Absent, forbidden, unreachable, malformed and slow are five different answers, for every kind that is read.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reports::model::Outcome;
use serde_json::{Value, json};

use super::{ReadError, Scope};
use crate::{
    Verdict,
    kinds::{self, Kind},
    testing::Fixture,
};

/// A typed reading, as checks do it: what is no object cannot be read.
#[derive(Debug, serde::Deserialize)]
struct Named {
    metadata: crate::resources::meta::Meta,
}

fn object(kind: &Kind) -> Value {
    let version = kind.versions[0];
    let api_version = if kind.group.is_empty() {
        version.to_owned()
    } else {
        format!("{}/{version}", kind.group)
    };
    let mut object =
        json!({"apiVersion": api_version, "kind": kind.kind, "metadata": {"name": "one"}});
    if kind.namespaced {
        object["metadata"]["namespace"] = "space".into();
    }
    object
}

fn collection(kind: &Kind) -> String {
    let root = if kind.group.is_empty() {
        "/api".to_owned()
    } else {
        format!("/apis/{}", kind.group)
    };
    format!("{root}/{}/{}", kind.versions[0], kind.plural)
}

async fn list(fixture: Fixture, kind: &'static Kind) -> Result<Vec<String>, ReadError> {
    let cx = fixture.context();
    let found = cx.view.list::<Named>(kind, Scope::all()).await?;
    Ok(found.iter().map(|one| one.metadata.name.clone()).collect())
}

/// Asks for every kind at once.
async fn of_all(world: impl Fn(&'static Kind) -> Fixture) -> Vec<(&'static Kind, Answer)> {
    let asked = kinds::ALL.iter().map(|kind| {
        let fixture = world(kind);
        async move { (*kind, list(fixture, kind).await) }
    });
    join_all(asked).await
}

type Answer = Result<Vec<String>, ReadError>;

fn there(kind: &Kind) -> Fixture {
    Fixture::new().with(object(kind))
}

#[tokio::test]
async fn what_is_there_is_read_and_what_is_absent_is_no_error_of_its_own() {
    for (kind, answer) in of_all(there).await {
        assert_eq!(answer, Ok(vec!["one".to_owned()]), "{}", kind.name());
    }
    for (kind, answer) in of_all(|_| Fixture::new()).await {
        let not_served = Err(ReadError::NotServed { what: kind.name() });
        let built_in = !kind.group.contains('.') || kind.group.ends_with(".k8s.io");
        let several_versions = kind.versions.len() > 1;
        if built_in && !several_versions {
            assert_eq!(answer, Ok(Vec::new()), "{}", kind.name());
        } else {
            assert_eq!(answer, not_served, "{}", kind.name());
        }
    }
}

#[tokio::test]
async fn what_is_forbidden_names_verb_and_kind_and_skips() {
    for (kind, answer) in of_all(|kind| there(kind).forbid(&collection(kind))).await {
        let error = answer.expect_err("it was forbidden");
        assert_eq!(error.to_string(), format!("may not list {}", kind.name()));
        let verdict = Verdict::from(error);
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Skip, "MissingPermission"),
            "{}",
            kind.name()
        );
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_tried_again_and_is_an_error() {
    for (kind, answer) in of_all(|kind| there(kind).unreachable(&collection(kind))).await {
        let error = answer.expect_err("it could not be reached");
        assert!(
            matches!(error, ReadError::Unreachable { .. }),
            "{}: {error:?}",
            kind.name()
        );
        let verdict = Verdict::from(error);
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Error, "Unreachable")
        );
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_that_names_it() {
    let no_object = json!({"metadata": {}, "items": [{"metadata": {"name": 5}}]}).to_string();
    for body in ["<html>", no_object.as_str()] {
        let worlds = |kind: &'static Kind| there(kind).raw(&collection(kind), 200, body);
        for (kind, answer) in of_all(worlds).await {
            let error = answer.expect_err("it cannot be read");
            assert!(
                matches!(error, ReadError::Malformed { .. }),
                "{}: {error:?}",
                kind.name()
            );
            let verdict = Verdict::from(error);
            assert_eq!(
                (verdict.outcome(), verdict.reason()),
                (Outcome::Error, "Malformed")
            );
            assert!(
                verdict.message().contains(kind.plural),
                "{}",
                verdict.message()
            );
        }
    }
}

#[tokio::test]
async fn what_fails_inside_the_server_is_an_error_and_what_is_slow_is_only_slow() {
    for (kind, answer) in of_all(|kind| there(kind).raw(&collection(kind), 500, "boom")).await {
        let verdict = Verdict::from(answer.expect_err("the server failed"));
        assert_eq!(
            (verdict.outcome(), verdict.reason()),
            (Outcome::Error, "ServerError"),
            "{}",
            kind.name()
        );
    }
    let begun = Instant::now();
    let pause = Duration::from_millis(200);
    for (kind, answer) in of_all(|kind| there(kind).slow(pause)).await {
        assert_eq!(answer, Ok(vec!["one".to_owned()]), "{}", kind.name());
    }
    assert!(begun.elapsed() >= pause);
}

#[test]
fn no_answer_in_time_is_not_the_same_as_no_connection() {
    let verdict = Verdict::from(ReadError::TimedOut {
        what: "/api/v1/nodes".into(),
        after: Duration::from_secs(15),
    });
    assert_eq!(
        (verdict.outcome(), verdict.reason()),
        (Outcome::Error, "TimedOut")
    );
    assert_eq!(verdict.message(), "no answer to /api/v1/nodes within 15 s");
}
