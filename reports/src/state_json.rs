//! `onboarding-state.json`: the projection for scripts, in the format of the specification.

use serde_json::Value;

use crate::{
    clean::cleaned,
    model::{Phase, PhaseState, Report},
};

/// Pretty-printed JSON, phases in order, ended by a line break. `timestamp` is the time of writing; `current_phase` is
/// the one that runs, else the one that failed, else the next, and empty when all are through.
#[must_use]
pub fn render(report: &Report, now: jiff::Timestamp) -> String {
    render_clean(&cleaned(report), now)
}

/// The same for a report that is clean already.
pub(crate) fn render_clean(report: &Report, now: jiff::Timestamp) -> String {
    // Built by hand, since the order of the phases says something and a map type would sort it away.
    let mut status = Vec::new();
    let mut errors = Vec::new();
    for phase in &report.phases {
        status.push(format!(
            "        \"{}\": \"{}\"",
            phase.phase.name(),
            phase.state.name()
        ));
        errors.push(format!(
            "        \"{}\": {}",
            phase.phase.name(),
            Value::from(phase.error.as_str())
        ));
    }
    let first = |state| report.phases.iter().find(|phase| phase.state == state);
    let current = first(PhaseState::InProgress)
        .or_else(|| first(PhaseState::Failed))
        .or_else(|| first(PhaseState::NotStarted));
    format!(
        "{{\n    \"timestamp\": \"{now:.0}\",\n    \"current_phase\": \"{}\",\n    \"completed_phases\": {},\n    \
         \"failed_phases\": {},\n    \"total_phases\": {},\n    \"phase_status\": {{\n{}\n    }},\n    \
         \"phase_errors\": {{\n{}\n    }}\n}}\n",
        current.map_or("", |phase| phase.phase.name()),
        report.count(PhaseState::Completed),
        report.count(PhaseState::Failed),
        Phase::ALL.len(),
        status.join(",\n"),
        errors.join(",\n"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::junit::samples::{at, blank, stopped};

    fn parse(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn field_for_field_as_specified() {
        let mut report = stopped();
        report.phases[3].error = "a \"quoted\" \u{1b}[31merror".to_owned();
        let text = render(&report, at(190));
        insta::assert_snapshot!(text, @r##"
{
    "timestamp": "2026-11-22T10:18:12Z",
    "current_phase": "storage_integration",
    "completed_phases": 3,
    "failed_phases": 1,
    "total_phases": 9,
    "phase_status": {
        "pre_validation": "completed",
        "gitops_activation": "completed",
        "node_join_monitoring": "completed",
        "storage_integration": "failed",
        "network_validation": "not_started",
        "monitoring_integration": "not_started",
        "security_validation": "not_started",
        "post_validation": "not_started",
        "health_verification": "not_started"
    },
    "phase_errors": {
        "pre_validation": "",
        "gitops_activation": "",
        "node_join_monitoring": "",
        "storage_integration": "a \"quoted\" error",
        "network_validation": "",
        "monitoring_integration": "",
        "security_validation": "",
        "post_validation": "",
        "health_verification": ""
    }
}
"##);
        let read = parse(&text);
        let keys: Vec<&str> = read.keys().map(String::as_str).collect();
        let mut wanted = vec![
            "timestamp",
            "current_phase",
            "completed_phases",
            "failed_phases",
            "total_phases",
            "phase_status",
            "phase_errors",
        ];
        let mut sorted = keys.clone();
        wanted.sort_unstable();
        sorted.sort_unstable();
        assert_eq!(sorted, wanted);
    }

    #[test]
    fn the_current_phase_is_where_a_person_would_look() {
        let current = |report: &Report| {
            parse(&render(report, at(0)))["current_phase"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let mut report = blank();
        assert_eq!(current(&report), "pre_validation");
        report.phases[0].state = PhaseState::Completed;
        report.phases[1].state = PhaseState::InProgress;
        assert_eq!(current(&report), "gitops_activation");
        for phase in &mut report.phases {
            phase.state = PhaseState::Completed;
        }
        assert_eq!(current(&report), "");
    }
}
