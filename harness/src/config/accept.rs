//! `[[accept]]`: failures that somebody has accepted.

use checks::Accepted;
use jiff::civil::Date;
use phases::actions;
use reports::model::Phase;
use serde::Deserialize;

use crate::near;

/// One `[[accept]]`, as it stands in the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptConfig {
    check: String,
    #[serde(default)]
    object: String,
    owner: String,
    reason: String,
    /// A date of TOML, or the same in quotes.
    expires: toml::Value,
}

impl AcceptConfig {
    /// The acceptance; nothing where its date is none, which [`Self::complaint`] says.
    pub(crate) fn accepted(&self) -> Option<Accepted> {
        Some(Accepted {
            check: self.check.clone(),
            object: self.object.clone(),
            owner: self.owner.clone(),
            reason: self.reason.clone(),
            expires: self.date()?,
        })
    }

    fn date(&self) -> Option<Date> {
        match &self.expires {
            toml::Value::String(text) => text.parse().ok(),
            toml::Value::Datetime(date) if date.time.is_none() => date.to_string().parse().ok(),
            _ => None,
        }
    }

    /// What is wrong with it and what to do, if anything is.
    pub(crate) fn complaint(&self) -> Option<(String, String)> {
        let id = self.check.as_str();
        if actions::find(id).is_some() {
            return Some((
                format!("`{id}` is an action: what was to be done and was not cannot be accepted"),
                "accept the check that rests on it".to_owned(),
            ));
        }
        // Scripts are named in the same file, and are no checks yet.
        let is_script = id.split_once("::script_").is_some();
        if checks::catalogue::find(id).is_none() && !is_script {
            let all = Phase::ALL.into_iter().flat_map(checks::catalogue::of);
            let hint = near::one_of(id, all.map(|check| check.id)).map_or_else(
                || "--list shows every check".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            return Some((format!("no check is called `{id}`"), hint));
        }
        if self.date().is_none() {
            return Some((
                format!("expires of `{id}` is {}, which is no date", self.expires),
                "write the last day on which it holds, such as expires = 2027-01-31".to_owned(),
            ));
        }
        [("owner", &self.owner), ("reason", &self.reason)]
            .into_iter()
            .find(|(_, text)| text.trim().is_empty())
            .map(|(key, _)| {
                (
                    format!("the one of `{id}` has an empty {key}"),
                    "say who answers for it and why".to_owned(),
                )
            })
    }
}
