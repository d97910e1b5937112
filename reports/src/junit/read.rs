//! The strict reader: a report is whole, of this format and unedited, or it is refused with the reason.

use std::{collections::BTreeSet, str::FromStr};

use serde::de::DeserializeOwned;

use super::{
    JunitError, build,
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

/// Suites and cases: the right ones, once, and as many as the totals say.
fn structure(root: &Node) -> Result<(), JunitError> {
    let suites = &root.children[1..];
    let mut ids = BTreeSet::new();
    let mut names = BTreeSet::new();
    for suite in suites {
        let place = place_of(suite);
        if suite.name != "testsuite" {
            return Err(JunitError::Unexpected {
                what: format!("element <{}>", line(&suite.name)),
                place: "the report".into(),
            });
        }
        let name = needed(suite, "name", &place)?;
        if !names.insert(name) {
            return Err(JunitError::Duplicate {
                what: "suite",
                name: line(name),
                place: "the report".to_owned(),
            });
        }
        for case in cases(suite)? {
            let id = needed(case, "name", &place)?;
            if !ids.insert(id) {
                return Err(JunitError::Duplicate {
                    what: "case",
                    name: line(id),
                    place,
                });
            }
        }
        totals(suite, &place, cases(suite)?)?;
    }
    totals(
        root,
        "the report",
        suites
            .iter()
            .flat_map(|suite| suite.children.iter().skip(1)),
    )?;
    for (at, phase) in Phase::ALL.into_iter().enumerate() {
        if suites.get(at).and_then(|suite| suite.attribute("name")) != Some(phase.name()) {
            return Err(JunitError::Missing {
                what: format!("suite `{phase}`"),
                place: format!("position {}", at + 1),
            });
        }
    }
    match suites.get(Phase::ALL.len()) {
        Some(extra) => Err(JunitError::Unexpected {
            what: place_of(extra),
            place: "the report".to_owned(),
        }),
        None => Ok(()),
    }
}

/// The cases of a suite, which follow its properties.
fn cases(suite: &Node) -> Result<impl Iterator<Item = &Node>, JunitError> {
    let place = place_of(suite);
    if suite
        .children
        .first()
        .is_none_or(|node| node.name != "properties")
    {
        return Err(JunitError::Missing {
            what: "<properties>".to_owned(),
            place,
        });
    }
    match suite.children[1..]
        .iter()
        .find(|node| node.name != "testcase")
    {
        Some(other) => Err(JunitError::Unexpected {
            what: format!("element <{}>", line(&other.name)),
            place,
        }),
        None => Ok(suite.children[1..].iter()),
    }
}

fn totals<'a>(
    node: &Node,
    place: &str,
    cases: impl Iterator<Item = &'a Node>,
) -> Result<(), JunitError> {
    let mut found = [("tests", 0), ("failures", 0), ("errors", 0), ("skipped", 0)];
    for case in cases {
        found[0].1 += 1;
        for child in &case.children {
            match child.name.as_str() {
                "failure" => found[1].1 += 1,
                "error" => found[2].1 += 1,
                "skipped" => found[3].1 += 1,
                _ => {}
            }
        }
    }
    for (count, found) in found {
        let said = needed(node, count, place)?;
        if said.parse() != Ok(found) {
            return Err(JunitError::WrongCount {
                count,
                place: place.to_owned(),
                said: line(said),
                found,
            });
        }
    }
    Ok(())
}

fn needed<'a>(node: &'a Node, name: &str, place: &str) -> Result<&'a str, JunitError> {
    node.attribute(name).ok_or_else(|| JunitError::Missing {
        what: format!("attribute `{name}`"),
        place: place.to_owned(),
    })
}

fn place_of(suite: &Node) -> String {
    format!(
        "suite `{}`",
        line(suite.attribute("name").unwrap_or_default())
    )
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
        phases: root.children[1..]
            .iter()
            .map(phase)
            .collect::<Result<_, _>>()?,
        actions,
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
            .map(|node| case(phase, node))
            .collect::<Result<_, _>>()?,
    })
}

fn case(phase: Phase, node: &Node) -> Result<Case, JunitError> {
    let id = needed(node, "name", phase.name())?;
    let place = format!("case `{}`", line(id));
    let expected = build::classname(phase);
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

/// Named values of one element.
struct Properties<'a> {
    all: Vec<(&'a str, &'a str)>,
    place: String,
}

impl<'a> Properties<'a> {
    fn of(node: &'a Node, place: String) -> Result<Self, JunitError> {
        let mut all: Vec<(&str, &str)> = Vec::new();
        for property in &node.children {
            if property.name != "property" {
                return Err(JunitError::Unexpected {
                    what: format!("element <{}>", line(&property.name)),
                    place,
                });
            }
            let name = needed(property, "name", &place)?;
            let value = needed(property, "value", &place)?;
            if all.iter().any(|(known, _)| *known == name) {
                return Err(JunitError::Duplicate {
                    what: "property",
                    name: line(name),
                    place,
                });
            }
            all.push((name, value));
        }
        Ok(Self { all, place })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.all
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Result<&'a str, JunitError> {
        self.get(name).ok_or_else(|| JunitError::Missing {
            what: format!("property `{name}`"),
            place: self.place.clone(),
        })
    }

    fn invalid(&self, name: &str, found: &str, expected: &str) -> JunitError {
        JunitError::Invalid {
            what: format!("property `{name}`"),
            place: self.place.clone(),
            found: line(found),
            expected: expected.to_owned(),
        }
    }

    fn value<T: FromStr>(&self, name: &str, expected: &str) -> Result<T, JunitError> {
        let found = self.text(name)?;
        found
            .parse()
            .map_err(|_| self.invalid(name, found, expected))
    }

    fn maybe<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, JunitError> {
        self.get(name)
            .map(|_| self.value(name, expected))
            .transpose()
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, JunitError> {
        let found = self.text(name)?;
        serde_json::from_str(found)
            .map_err(|error| self.invalid(name, found, &format!("JSON of our kind ({error})")))
    }

    /// One of a few words.
    fn word<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        spelled: fn(T) -> &'static str,
    ) -> Result<T, JunitError> {
        let found = self.text(name)?;
        all.iter()
            .copied()
            .find(|one| spelled(*one) == found)
            .ok_or_else(|| {
                let words: Vec<&str> = all.iter().map(|one| spelled(*one)).collect();
                self.invalid(name, found, &format!("one of {}", words.join(" ")))
            })
    }
}
