//! Suites and cases of a report that was read: all there, once each, and counted right.

use std::collections::BTreeSet;

use super::{JunitError, build::ROLLBACK, tree::Node};
use crate::{model::Phase, text::line};

/// Suites and cases: the right ones, once, and as many as the totals say.
pub(super) fn structure(root: &Node) -> Result<(), JunitError> {
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
    let rest = suites.get(Phase::ALL.len()..).unwrap_or_default();
    let is_rollback = |suite: &Node| suite.attribute("name") == Some(ROLLBACK);
    // Only one that has steps is written.
    let unknown = match rest {
        [] => None,
        [one] if is_rollback(one) && one.children.len() > 1 => None,
        [one, more, ..] if is_rollback(one) => Some(more),
        [one, ..] => Some(one),
    };
    match unknown {
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

pub(super) fn needed<'a>(node: &'a Node, name: &str, place: &str) -> Result<&'a str, JunitError> {
    node.attribute(name).ok_or_else(|| JunitError::Missing {
        what: format!("attribute `{name}`"),
        place: place.to_owned(),
    })
}

pub(super) fn place_of(suite: &Node) -> String {
    format!(
        "suite `{}`",
        line(suite.attribute("name").unwrap_or_default())
    )
}
