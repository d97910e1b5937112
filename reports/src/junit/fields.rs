//! Every field of a report as named properties.
//!
//! Plain values are plain text, so that CI systems and `xmllint` show them; lists and records are JSON.

use serde::Serialize;

use super::JunitError;
use crate::model::{Case, Outcome, PhaseReport, Progress, Report};

/// Names and values in the order in which they are written.
pub(super) type Properties = Vec<(String, String)>;

/// Properties of the root; the digest is not among them, since it is made of the rest.
pub(super) fn of_report(report: &Report) -> Result<Properties, JunitError> {
    let mut out = Out::default();
    out.say("schema", report.schema);
    out.say("sequence", report.sequence);
    out.say("run", &report.run);
    out.say("mode", report.mode.name());
    out.say("node", &report.node);
    out.say("cluster.uid", &report.cluster.uid);
    out.say("cluster.name", &report.cluster.name);
    out.say("cluster.server", &report.cluster.server);
    out.say("cluster.version", &report.cluster.version);
    out.say("cluster.sandbox", report.cluster.sandbox);
    if let Some(repository) = &report.repository {
        out.say("repository.remote", &repository.remote);
        out.say("repository.branch", &repository.branch);
        out.say("repository.file", &repository.file);
        out.say("repository.entry", &repository.entry);
    }
    out.say("tool", &report.tool);
    out.say("started", report.started);
    out.maybe("finished", report.finished);
    out.maybe("exit_code", report.exit_code);
    out.say("resumed", report.resumed);
    out.say("requests", report.requests);
    out.json("requests.other", &report.other_requests)?;
    for (number, action) in report.actions.iter().enumerate() {
        out.json(&format!("action.{}", number + 1), action)?;
    }
    if let Some(state) = &report.state {
        out.json("state", state)?;
    }
    Ok(out.0)
}

/// Properties of a suite.
pub(super) fn of_phase(phase: &PhaseReport) -> Properties {
    let mut out = Out::default();
    out.say("phase", phase.phase.name());
    out.say("state", phase.state.name());
    out.maybe("started", phase.started);
    out.maybe("finished", phase.finished);
    out.say("error", &phase.error);
    out.say("requests", phase.requests);
    out.0
}

/// Properties of the suite of a rollback's steps.
pub(super) fn of_rollback(steps: &[Case]) -> Properties {
    let mut out = Out::default();
    let ended = |case: &&Case| case.outcome().is_some_and(Outcome::satisfies);
    out.say("steps", steps.len());
    out.say("through", steps.iter().filter(ended).count());
    out.0
}

/// Properties of a case; its id is its name.
pub(super) fn of_case(case: &Case) -> Result<Properties, JunitError> {
    let mut out = Out::default();
    out.say("title", &case.title);
    out.say("kind", case.kind.name());
    out.say("severity", case.severity.name());
    out.say("criterion", &case.criterion);
    match &case.progress {
        Progress::NotStarted => out.say("progress", "not_started"),
        Progress::InProgress { started } => {
            out.say("progress", "in_progress");
            out.say("started", started);
        }
        Progress::Done(ended) => {
            out.say("progress", "done");
            out.say("outcome", ended.outcome.name());
            out.say("reason", &ended.reason);
            out.say("message", &ended.message);
            out.json("evidence", &ended.evidence)?;
            out.say("hint", &ended.hint);
            out.json("blocked_by", &ended.blocked_by)?;
            out.say("started", ended.started);
            out.say("duration", ended.duration);
            out.say("requests", ended.requests);
            out.say("at", &ended.at);
        }
    }
    Ok(out.0)
}

#[derive(Default)]
struct Out(Properties);

impl Out {
    fn say(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    fn maybe(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.say(name, value);
        }
    }

    fn json(&mut self, name: &str, value: &impl Serialize) -> Result<(), JunitError> {
        let text =
            serde_json::to_string(value).map_err(|error| JunitError::Write(error.to_string()))?;
        self.0.push((name.to_owned(), text));
        Ok(())
    }
}
