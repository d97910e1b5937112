//! Named values of an element that was read, each demanded in its kind.

use std::str::FromStr;

use serde::de::DeserializeOwned;

use super::{JunitError, structure::needed, tree::Node};
use crate::text::line;

/// Named values of one element.
pub(super) struct Properties<'a> {
    all: Vec<(&'a str, &'a str)>,
    place: String,
}

impl<'a> Properties<'a> {
    pub(super) fn of(node: &'a Node, place: String) -> Result<Self, JunitError> {
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

    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.all
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }

    pub(super) fn text(&self, name: &str) -> Result<&'a str, JunitError> {
        self.get(name).ok_or_else(|| JunitError::Missing {
            what: format!("property `{name}`"),
            place: self.place.clone(),
        })
    }

    pub(super) fn invalid(&self, name: &str, found: &str, expected: &str) -> JunitError {
        JunitError::Invalid {
            what: format!("property `{name}`"),
            place: self.place.clone(),
            found: line(found),
            expected: expected.to_owned(),
        }
    }

    pub(super) fn value<T: FromStr>(&self, name: &str, expected: &str) -> Result<T, JunitError> {
        let found = self.text(name)?;
        found
            .parse()
            .map_err(|_| self.invalid(name, found, expected))
    }

    pub(super) fn maybe<T: FromStr>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, JunitError> {
        self.get(name)
            .map(|_| self.value(name, expected))
            .transpose()
    }

    pub(super) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, JunitError> {
        let found = self.text(name)?;
        serde_json::from_str(found)
            .map_err(|error| self.invalid(name, found, &format!("JSON of our kind ({error})")))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
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
