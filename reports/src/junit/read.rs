//! The strict reader: a report is whole, of this format and unedited, or it is refused with the reason.

use super::{
    JunitError, build,
    properties::Properties,
    structure::{needed, place_of, structure},
    tree::{self, GENERATOR, Node},
};
use crate::{
    model::{
        ActionRecord, Case, Cluster, Ended, Kind, Mode, Outcome, Phase, PhaseReport, PhaseState,
        Progress, Report, RepositoryIdentity, SCHEMA, Severity,
    },
    text::line,
};

/// The report that [`super::write`] wrote.
///
/// # Errors
/// Every way in which a file can be wrong has its own [`JunitError`]; see there.
pub fn read(bytes: &[u8]) -> Result<Report, JunitError> {
    let root = tree::parse(bytes)?;
    let properties = ours(&root)?;
    known_schema(&properties)?;
    structure(&root)?;
    let said = properties.text("digest")?;
    let found = tree::digest(&root);
    if said != found {
        return Err(JunitError::Digest {
            said: line(said),
            found,
        });
    }
    report(&root, &properties)
}

/// The properties of the root, if this program wrote the file.
fn ours(root: &Node) -> Result<Properties<'_>, JunitError> {
    if root.name != "testsuites" {
        return Err(JunitError::NotOurs {
            found: format!("root element <{}>", line(&root.name)),
        });
    }
    let Some(first) = root
        .children
        .first()
        .filter(|node| node.name == "properties")
    else {
        return Err(JunitError::NotOurs {
            found: "a JUnit file without our properties".to_owned(),
        });
    };
    let properties = Properties::of(first, "the report".to_owned())?;
    match properties.get("generator") {
        Some(GENERATOR) => Ok(properties),
        Some(other) => Err(JunitError::NotOurs {
            found: format!("a JUnit file written by `{}`", line(other)),
        }),
        None => Err(JunitError::NotOurs {
            found: "a JUnit file that does not say who wrote it".to_owned(),
        }),
    }
}

fn known_schema(properties: &Properties<'_>) -> Result<(), JunitError> {
    let found = properties.text("schema")?;
    if found.parse() == Ok(SCHEMA) {
        return Ok(());
    }
    Err(JunitError::UnknownSchema {
        found: line(found),
        known: SCHEMA,
    })
}

fn report(root: &Node, from: &Properties<'_>) -> Result<Report, JunitError> {
    let cluster = Cluster {
        uid: from.text("cluster.uid")?.to_owned(),
        name: from.text("cluster.name")?.to_owned(),
        server: from.text("cluster.server")?.to_owned(),
        version: from.text("cluster.version")?.to_owned(),
        sandbox: from.value("cluster.sandbox", "true or false")?,
    };
    let repository = match from.get("repository.remote") {
        None => None,
        Some(remote) => Some(RepositoryIdentity {
            remote: remote.to_owned(),
            branch: from.text("repository.branch")?.to_owned(),
            file: from.text("repository.file")?.to_owned(),
            entry: from.text("repository.entry")?.to_owned(),
        }),
    };
    let mut actions: Vec<ActionRecord> = Vec::new();
    while from.get(&format!("action.{}", actions.len() + 1)).is_some() {
        actions.push(from.json(&format!("action.{}", actions.len() + 1))?);
    }
    Ok(Report {
        schema: from.value("schema", "a number")?,
        sequence: from.value("sequence", "a number")?,
        run: from.text("run")?.to_owned(),
        mode: from.word(
            "mode",
            &[Mode::Onboard, Mode::DryRun, Mode::Inspect, Mode::Rollback],
            Mode::name,
        )?,
        node: from.text("node")?.to_owned(),
        cluster,
        repository,
        tool: from.text("tool")?.to_owned(),
        started: from.value("started", TIME)?,
        finished: from.maybe("finished", TIME)?,
        exit_code: from.maybe("exit_code", "a number up to 255")?,
        resumed: from.value("resumed", "a number")?,
        phases: root
            .children
            .iter()
            .skip(1)
            .take(Phase::ALL.len())
            .map(phase)
            .collect::<Result<_, _>>()?,
        steps: root
            .children
            .iter()
            .skip(1 + Phase::ALL.len())
            .flat_map(|suite| suite.children.iter().skip(1))
            .map(|node| case(build::ROLLBACK, node))
            .collect::<Result<_, _>>()?,
        actions,
        // Reports of earlier versions have neither.
        requests: from.maybe("requests", "a number")?.unwrap_or_default(),
        other_requests: from
            .get("requests.other")
            .map(|_| from.json("requests.other"))
            .transpose()?
            .unwrap_or_default(),
        state: from.get("state").map(|_| from.json("state")).transpose()?,
    })
}

const TIME: &str = "a time such as 2026-11-22T10:15:02Z";

fn phase(suite: &Node) -> Result<PhaseReport, JunitError> {
    let place = place_of(suite);
    let from = Properties::of(&suite.children[0], place)?;
    let phase = from.word("phase", &Phase::ALL, Phase::name)?;
    let states = [
        PhaseState::NotStarted,
        PhaseState::InProgress,
        PhaseState::Completed,
        PhaseState::Failed,
        PhaseState::Skipped,
    ];
    Ok(PhaseReport {
        phase,
        state: from.word("state", &states, PhaseState::name)?,
        started: from.maybe("started", TIME)?,
        finished: from.maybe("finished", TIME)?,
        error: from.text("error")?.to_owned(),
        requests: from.value("requests", "a number")?,
        cases: suite.children[1..]
            .iter()
            .map(|node| case(phase.name(), node))
            .collect::<Result<_, _>>()?,
    })
}

fn case(suite: &str, node: &Node) -> Result<Case, JunitError> {
    let id = needed(node, "name", suite)?;
    let place = format!("case `{}`", line(id));
    let expected = build::classname(suite);
    let classname = needed(node, "classname", &place)?;
    if classname != expected {
        let (what, found) = ("classname".to_owned(), line(classname));
        return Err(JunitError::Invalid {
            what,
            place,
            found,
            expected,
        });
    }
    let Some(properties) = node
        .children
        .first()
        .filter(|child| child.name == "properties")
    else {
        return Err(JunitError::Missing {
            what: "<properties>".to_owned(),
            place,
        });
    };
    let from = Properties::of(properties, place)?;
    let progress = match from.text("progress")? {
        "not_started" => Progress::NotStarted,
        "in_progress" => Progress::InProgress {
            started: from.value("started", TIME)?,
        },
        "done" => Progress::Done(Box::new(ended(&from)?)),
        other => return Err(from.invalid("progress", other, "not_started, in_progress or done")),
    };
    Ok(Case {
        id: id.to_owned(),
        title: from.text("title")?.to_owned(),
        kind: from.word("kind", &[Kind::Check, Kind::Action], Kind::name)?,
        severity: from.word(
            "severity",
            &[Severity::Fail, Severity::Warn],
            Severity::name,
        )?,
        criterion: from.text("criterion")?.to_owned(),
        progress,
    })
}

fn ended(from: &Properties<'_>) -> Result<Ended, JunitError> {
    Ok(Ended {
        outcome: from.word("outcome", &Outcome::ALL, Outcome::name)?,
        reason: from.text("reason")?.to_owned(),
        message: from.text("message")?.to_owned(),
        evidence: from.json("evidence")?,
        hint: from.text("hint")?.to_owned(),
        blocked_by: from.json("blocked_by")?,
        started: from.value("started", TIME)?,
        duration: from.value("duration", "a duration such as PT1.5S")?,
        requests: from.value("requests", "a number")?,
        at: from.text("at")?.to_owned(),
    })
}
