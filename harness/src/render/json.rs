//! One JSON object a line: what happens, when it happens.

use std::sync::Arc;

use jiff::Timestamp;
use reports::model::{Case, SCHEMA};
use serde_json::{Value, json};

use crate::{
    event::{Event, Sink},
    progress::Progress,
    term,
};

/// Prints an object for every event.
pub(super) struct Json {
    progress: Arc<Progress>,
}

impl Json {
    pub(super) const fn new(progress: Arc<Progress>) -> Self {
        Self { progress }
    }
}

impl Sink for Json {
    fn event(&self, event: &Event) {
        let worth = match event {
            Event::Waiting(waiting) => self.progress.waiting(waiting),
            Event::Waited => {
                self.progress.rest();
                true
            }
            _ => true,
        };
        if worth {
            let object = object(event, Timestamp::now());
            self.progress.suspend(|| term::object(&object));
        }
    }
}

/// An event as an object. `at` is when it happened.
pub(crate) fn object(event: &Event, at: Timestamp) -> Value {
    let (name, mut fields) = match event {
        Event::Started {
            run,
            mode,
            ordered,
            resumed,
            node,
            cluster,
            repository,
            followed_by,
            log,
        } => (
            "started",
            json!({
                "run": run, "mode": mode, "ordered": ordered, "resumed": resumed, "node": node, "cluster": cluster,
                "repository": repository, "followed_by": followed_by, "log": log,
            }),
        ),
        Event::PhaseStarted { phase, cases } => {
            ("phase_started", json!({ "phase": phase, "cases": cases }))
        }
        Event::Forecast { forecast, plan } => {
            let steps: Vec<Value> = plan
                .iter()
                .map(|(id, changes)| json!({ "id": id, "changes": changes }))
                .collect();
            ("forecast", json!({ "forecast": forecast, "plan": steps }))
        }
        Event::Advice(text) => ("advice", json!({ "message": text })),
        Event::CaseStarted { id, action } => (
            "case_started",
            json!({ "id": id, "kind": if *action { "action" } else { "check" } }),
        ),
        Event::CaseEnded(case) => ("case_ended", self::case(case)),
        Event::Waiting(waiting) => (
            "waiting",
            json!({
                "id": waiting.id, "seen": waiting.seen, "since_seconds": waiting.since.as_secs_f64(),
                "limit_seconds": waiting.limit.as_secs_f64(),
            }),
        ),
        Event::Waited => ("waited", json!({})),
        Event::PhaseEnded {
            phase,
            state,
            took,
            requests,
        } => (
            "phase_ended",
            json!({
                "phase": phase, "state": state, "duration_seconds": took.as_secs_f64(), "requests": requests,
            }),
        ),
        Event::PhaseSkipped { phase, why } => {
            ("phase_skipped", json!({ "phase": phase, "message": why }))
        }
        Event::Mends { fix, check, parts } => (
            "mends",
            json!({ "fix": fix, "check": check, "changes": parts }),
        ),
        Event::Fixed { fix, check } => ("fixed", json!({ "fix": fix, "check": check })),
        Event::Planned { id, parts } => ("planned", json!({ "id": id, "would": parts })),
        Event::Warning(text) => ("warning", json!({ "message": text })),
    };
    if let Some(map) = fields.as_object_mut() {
        if term::is_marked() {
            map.insert("dry_run".into(), true.into());
        }
        map.insert("schema".into(), SCHEMA.into());
        map.insert("event".into(), name.into());
        map.insert("at".into(), at.to_string().into());
    }
    tidy(fields)
}

/// A case as an object, its end included.
pub(crate) fn case(case: &Case) -> Value {
    let mut fields = json!({
        "id": case.id, "title": case.title, "kind": case.kind, "severity": case.severity,
        "criterion": case.criterion,
    });
    if let (Some(map), Some(ended)) = (fields.as_object_mut(), case.ended()) {
        for (key, value) in [
            ("outcome", json!(ended.outcome)),
            ("reason", json!(ended.reason)),
            ("message", json!(ended.message)),
            ("evidence", json!(ended.evidence)),
            ("hint", json!(ended.hint)),
            ("blocked_by", json!(ended.blocked_by)),
            ("started", json!(ended.started)),
            ("duration_seconds", json!(ended.duration.as_secs_f64())),
            ("requests", json!(ended.requests)),
            ("source", json!(ended.at)),
        ] {
            map.insert(key.into(), value);
        }
    }
    fields
}

/// The same value with every text in it made fit to leave the program. Lines stay lines, as a diff needs it: JSON escapes
/// their ends.
pub(crate) fn tidy(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(reports::text::block(&text)),
        Value::Array(items) => items.into_iter().map(tidy).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, tidy(value)))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reports::model::{Outcome, Phase};

    use super::*;
    use crate::testing;

    #[test]
    fn every_event_has_schema_name_and_time_on_one_line() {
        let at: Timestamp = "2026-11-22T10:15:02Z".parse().unwrap();
        let case = testing::case(
            "storage::disks_ready",
            Outcome::Fail,
            "DiskNotReady",
            "no\n\u{1b}[31mdisk",
        );
        let events = [
            testing::started(true),
            Event::PhaseStarted {
                phase: Phase::PreValidation,
                cases: 3,
            },
            Event::Advice("do\nthis".into()),
            Event::CaseStarted {
                id: "a::b".into(),
                action: true,
            },
            Event::CaseEnded(Box::new(case)),
            Event::Waited,
            Event::PhaseEnded {
                phase: Phase::PreValidation,
                state: reports::model::PhaseState::Failed,
                took: Duration::from_millis(1500),
                requests: 31,
            },
            Event::PhaseSkipped {
                phase: Phase::PreValidation,
                why: "done".into(),
            },
            Event::Warning("w".into()),
            Event::Planned {
                id: "a::b".into(),
                parts: vec!["change x\n-a\n+b".into()],
            },
        ];
        for event in &events {
            let line = object(event, at).to_string();
            assert!(
                !line.contains('\n') && !line.contains('\u{1b}') && !line.contains("\\u001b"),
                "{line}"
            );
            let read: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(read["schema"], SCHEMA);
            assert_eq!(read["at"], "2026-11-22T10:15:02Z");
            assert!(read["event"].is_string());
        }
        let ended = object(&events[4], at);
        assert_eq!(ended["event"], "case_ended");
        assert_eq!(ended["outcome"], "fail");
        assert_eq!(ended["reason"], "DiskNotReady");
        assert_eq!(ended["duration_seconds"], 0.004);
        assert_eq!(object(&events[6], at)["state"], "failed");
        assert_eq!(object(&events[0], at)["cluster"]["name"], "home");
    }
}
