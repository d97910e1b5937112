//! How each check decides, in words: what `--explain` and `docs/checks.md` say beside title and reason.
//!
//! The texts stand apart from the checks so that they can be read in one go, and so that writing one does not touch
//! the code that it is about. Say what is read, what counts as yes, and where the obvious way is wrong; in the words of
//! somebody who knows Kubernetes a little and Longhorn and Flux not at all.

mod gitops;
mod health;
mod join;
mod monitoring;
mod network;
mod post;
mod pre;
mod security;
mod storage;
mod words;

pub use words::{Word, words_in};

/// The tables, in the order of the phases.
const TABLES: &[&[(&str, &str)]] = &[
    pre::DECIDED,
    gitops::DECIDED,
    join::DECIDED,
    storage::DECIDED,
    network::DECIDED,
    monitoring::DECIDED,
    security::DECIDED,
    post::DECIDED,
    health::DECIDED,
];

/// How a check decides, in one to three sentences. May name what [`Settings::fill`](crate::Settings::fill) fills in.
#[must_use]
pub fn decided(id: &str) -> Option<&'static str> {
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .find(|(known, _)| *known == id)
        .map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::catalogue;

    #[test]
    fn every_check_says_how_it_decides() {
        let missing: Vec<&str> = catalogue::all()
            .map(|check| check.id)
            .filter(|id| decided(id).is_none())
            .collect();
        assert!(
            missing.is_empty(),
            "say in checks/src/explain/<phase>.rs how these decide (what is read, what counts as yes): {missing:?}"
        );
    }

    #[test]
    fn every_text_belongs_to_a_check_and_says_more_than_its_title() {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        let mut texts = BTreeSet::new();
        for (id, text) in TABLES.iter().flat_map(|table| table.iter()) {
            assert!(seen.insert(id, text).is_none(), "{id} stands twice");
            assert!(texts.insert(text), "{id} says what another check says");
            let check = catalogue::find(id);
            assert!(check.is_some(), "{id} is explained and does not exist");
            if let Some(check) = check {
                let title = check.title.trim_end_matches('.');
                assert!(
                    *text != check.why && !text.starts_with(title),
                    "{id} only repeats itself"
                );
            }
            assert!(text.len() > 40 && text.ends_with('.'), "{id}: {text}");
            assert!(!text.contains("  "), "{id} has a double space");
        }
    }
}
