//! Paths that are no resources: discovery, version, health, schemas.

use serde_json::json;

use super::{Core, call::Call, discovery, form, handle::Answer, openapi, refusal::Refusal};

/// Answers a path that is no resource.
pub(crate) fn answer(core: &Core, call: &Call) -> Result<Answer, Refusal> {
    if !matches!(call.method.as_str(), "GET" | "HEAD") {
        return Err(Refusal::method_not_allowed());
    }
    let path = call.path.trim_end_matches('/');
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    match segments.as_slice() {
        [] => {
            let paths = [
                "/api",
                "/api/v1",
                "/apis",
                "/healthz",
                "/livez",
                "/metrics",
                "/openapi/v2",
                "/openapi/v3",
                "/readyz",
                "/version",
            ];
            Ok(Answer::json(200, form::bytes(&json!({ "paths": paths }))))
        }
        ["version"] => Ok(Answer::json(
            200,
            form::bytes(&version(
                core.transport.version().as_ref().unwrap_or(&core.version),
            )),
        )),
        ["healthz" | "readyz" | "livez", rest @ ..] => {
            Ok(health(core, call, segments[0], rest.first().copied()))
        }
        ["metrics"] => {
            let text = "# HELP apiserver_audit_event_total [ALPHA] Counter of audit events generated and sent to the audit backend.\n# TYPE apiserver_audit_event_total counter\napiserver_audit_event_total 0\n";
            Ok(Answer::raw(
                200,
                "text/plain; version=0.0.4; charset=utf-8",
                text.into(),
            ))
        }
        ["openapi", rest @ ..] => {
            openapi::answer(core, rest, &call.accept).ok_or_else(Refusal::no_such_resource)
        }
        ["api" | "apis", ..] => match discovery::answer(core, call)? {
            Some((content_type, value)) => Ok(Answer::raw(200, &content_type, form::bytes(&value))),
            None => Ok(Answer::raw(
                404,
                "text/plain; charset=utf-8",
                b"404 page not found\n".to_vec(),
            )),
        },
        _ => Ok(Answer::raw(
            404,
            "text/plain; charset=utf-8",
            b"404 page not found\n".to_vec(),
        )),
    }
}

fn version(text: &str) -> serde_json::Value {
    let mut parts = text.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("0"));
    json!({
        "major": major, "minor": minor, "gitVersion": text, "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.25.0", "compiler": "gc",
        "platform": "linux/amd64", "emulationMajor": major, "emulationMinor": minor, "minCompatibilityMajor": major,
        "minCompatibilityMinor": minor,
    })
}

fn health(core: &Core, call: &Call, endpoint: &str, single: Option<&str>) -> Answer {
    let excluded: Vec<&str> = call
        .query
        .0
        .iter()
        .filter(|(k, _)| k == "exclude")
        .map(|(_, v)| v.as_str())
        .collect();
    let checks = core.backend.health();
    let (mut text, mut failed) = (String::new(), false);
    for (name, result) in checks
        .iter()
        .filter(|(name, _)| single.is_none_or(|s| s == name))
        // Readiness asks more than liveness does.
        .filter(|(name, _)| {
            endpoint != "livez"
                || !matches!(
                    name.as_str(),
                    "etcd-readiness" | "informer-sync" | "shutdown"
                )
        })
    {
        match result {
            _ if excluded.contains(&name.as_str()) => {
                text.push_str(&format!("[+]{name} excluded: ok\n"))
            }
            Ok(()) => text.push_str(&format!("[+]{name} ok\n")),
            Err(_) => {
                failed = true;
                text.push_str(&format!("[-]{name} failed: reason withheld\n"));
            }
        }
    }
    if single.is_some_and(|single| !checks.iter().any(|(name, _)| name == single)) {
        return Answer::raw(
            404,
            "text/plain; charset=utf-8",
            b"404 page not found\n".to_vec(),
        );
    }
    if failed {
        text.push_str(&format!("{endpoint} check failed\n"));
        return Answer::raw(500, "text/plain; charset=utf-8", text.into());
    }
    if !call.query.has("verbose") {
        return Answer::raw(200, "text/plain; charset=utf-8", b"ok".to_vec());
    }
    text.push_str(&format!("{endpoint} check passed\n"));
    Answer::raw(200, "text/plain; charset=utf-8", text.into())
}
