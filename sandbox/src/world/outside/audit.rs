//! The audit log of a real API server, read as the record of requests.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
};

use serde_json::Value;

use crate::{api::RequestRecord, world::make::text};

/// How the machines of the sandbox call themselves.
pub(super) const MACHINES: &str = "sandbox-machines";

/// Every request that a finished event tells of from this byte on, oldest first, without those of the machines.
/// Whoever runs the API server keeps its own programs out of the log.
pub(crate) fn requests(log: &Path, from: u64) -> Vec<RequestRecord> {
    let mut text = String::new();
    let read = File::open(log).and_then(|mut file| {
        file.seek(SeekFrom::Start(from))?;
        file.read_to_string(&mut text)
    });
    if let Err(error) = read {
        tracing::warn!(%error, "the audit log cannot be read");
    }
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter_map(|event| record(&event))
        .collect()
}

fn record(event: &Value) -> Option<RequestRecord> {
    let agent = text(&event["userAgent"]);
    // A watch that goes on has answered, and is not complete.
    let stage = text(&event["stage"]);
    let counts = stage == "ResponseComplete"
        || stage == "Panic"
        || (stage == "ResponseStarted" && event["verb"] == "watch");
    if agent == MACHINES || !counts || (stage == "ResponseComplete" && event["verb"] == "watch") {
        return None;
    }
    let object = &event["objectRef"];
    let resource = match (text(&object["resource"]), text(&object["subresource"])) {
        (resource, "") => resource.to_owned(),
        (resource, sub) => format!("{resource}/{sub}"),
    };
    let path = text(&event["requestURI"]).to_owned();
    Some(RequestRecord {
        user: text(&event["user"]["username"]).to_owned(),
        agent: agent.to_owned(),
        verb: text(&event["verb"]).to_owned(),
        group: text(&object["apiGroup"]).to_owned(),
        resource,
        namespace: text(&object["namespace"]).to_owned(),
        name: text(&object["name"]).to_owned(),
        dry_run: path.contains("dryRun=All")
            || event["requestObject"]["dryRun"][0] == "All"
            || event["requestObject"]["deleteOptions"]["dryRun"][0] == "All",
        status: event["responseStatus"]["code"]
            .as_u64()
            .and_then(|code| u16::try_from(code).ok())
            .unwrap_or_default(),
        path,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(agent: &str, stage: &str, verb: &str) -> Value {
        json!({
            "stage": stage, "verb": verb, "userAgent": agent, "user": {"username": "test-admin"},
            "requestURI": "/api/v1/namespaces/a/pods/b/eviction?dryRun=All",
            "objectRef": {"resource": "pods", "subresource": "eviction", "namespace": "a", "name": "b", "apiVersion": "v1"},
            "responseStatus": {"code": 201},
        })
    }

    #[test]
    fn requests_of_people_are_read_and_those_of_the_cluster_left_out() {
        let read = record(&event("onboarding", "ResponseComplete", "create")).unwrap();
        assert_eq!(
            (read.resource.as_str(), read.verb.as_str(), read.status),
            ("pods/eviction", "create", 201)
        );
        assert!(read.dry_run && !read.mutates());
        assert!(record(&event(MACHINES, "ResponseComplete", "create")).is_none());
    }

    #[test]
    fn a_watch_counts_once() {
        assert!(record(&event("onboarding", "ResponseStarted", "watch")).is_some());
        assert!(record(&event("onboarding", "ResponseComplete", "watch")).is_none());
        assert!(record(&event("onboarding", "RequestReceived", "get")).is_none());
    }
}
