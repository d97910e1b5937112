//! A report as it can be kept: nine phases in order, distinct ids, clean text.
//!
//! Every writer starts here. A report that has been cleaned is left alone the second time, so what is read back equals
//! what was written.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{
        ActionRecord, Case, ClusterState, Ended, Phase, PhaseReport, PhaseState, Progress, Report,
        Table,
    },
    text::{LINE_CAP, XmlText, block, line},
};

/// Most lines of evidence kept for one case.
const EVIDENCE_LINES: usize = 400;

/// The report as the writers see it.
#[must_use]
pub fn cleaned(report: &Report) -> Report {
    let mut seen = BTreeSet::new();
    let mut out = report.clone();
    for text in [&mut out.run, &mut out.node, &mut out.tool] {
        *text = line(text);
    }
    let cluster = &mut out.cluster;
    for text in [
        &mut cluster.uid,
        &mut cluster.name,
        &mut cluster.server,
        &mut cluster.version,
    ] {
        *text = line(text);
    }
    if let Some(repository) = &mut out.repository {
        for text in [
            &mut repository.remote,
            &mut repository.branch,
            &mut repository.file,
            &mut repository.entry,
        ] {
            *text = line(text);
        }
    }
    out.phases = Phase::ALL
        .into_iter()
        .map(|phase| self::phase(report, phase, &mut seen))
        .collect();
    out.steps = report
        .steps
        .iter()
        .map(|one| case(one, &mut seen))
        .collect();
    out.actions = report.actions.iter().map(action).collect();
    out.state = report.state.as_ref().map(state);
    out
}

fn phase(report: &Report, phase: Phase, seen: &mut BTreeSet<String>) -> PhaseReport {
    let Some(found) = report.phase(phase) else {
        return PhaseReport {
            phase,
            state: PhaseState::NotStarted,
            started: None,
            finished: None,
            error: String::new(),
            requests: 0,
            cases: Vec::new(),
        };
    };
    let cases = found.cases.iter().map(|one| case(one, seen)).collect();
    PhaseReport {
        error: line(&found.error),
        cases,
        ..found.clone()
    }
}

fn case(case: &Case, seen: &mut BTreeSet<String>) -> Case {
    let mut id = line(&case.id);
    if id.is_empty() {
        id.push_str("unnamed");
    }
    let mut unique = id.clone();
    let mut number = 1;
    while !seen.insert(unique.clone()) {
        number += 1;
        unique = format!(
            "{} ({number})",
            &id[..id.floor_char_boundary(LINE_CAP - 64)]
        );
    }
    let progress = match &case.progress {
        Progress::Done(ended) => Progress::Done(Box::new(self::ended(ended))),
        other => other.clone(),
    };
    Case {
        id: unique,
        title: line(&case.title),
        criterion: line(&case.criterion),
        progress,
        ..case.clone()
    }
}

fn ended(ended: &Ended) -> Ended {
    Ended {
        reason: line(&ended.reason),
        message: line(&ended.message),
        evidence: evidence(&ended.evidence),
        hint: block(&ended.hint),
        blocked_by: ended.blocked_by.iter().map(|id| line(id)).collect(),
        at: line(&ended.at),
        ..ended.clone()
    }
}

/// Judged as one text, since a key may be spread over lines; then one fact a line again.
fn evidence(lines: &[String]) -> Vec<String> {
    if lines.is_empty() {
        return Vec::new();
    }
    let text = block(&lines.join("\n"));
    let mut out: Vec<String> = text.split('\n').map(str::to_owned).collect();
    if out.len() > EVIDENCE_LINES {
        let lost = out.len() - (EVIDENCE_LINES - 1);
        out.truncate(EVIDENCE_LINES - 1);
        out.push(format!("… [{lost} lines left out]"));
    }
    out
}

fn action(action: &ActionRecord) -> ActionRecord {
    let mut recorded = BTreeMap::new();
    for (key, value) in &action.recorded {
        recorded.insert(line(key), XmlText::exact(value).into_string());
    }
    ActionRecord {
        id: line(&action.id),
        recorded,
        ..action.clone()
    }
}

fn state(state: &ClusterState) -> ClusterState {
    let lines = |texts: &[String]| texts.iter().map(|text| line(text)).collect();
    let tables = state.tables.iter().map(|table| Table {
        title: line(&table.title),
        columns: lines(&table.columns),
        rows: table.rows.iter().map(|row| lines(row)).collect(),
    });
    ClusterState {
        tables: tables.collect(),
    }
}
