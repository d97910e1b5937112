//! Conditions, found by type and never by position, whichever API they come from.
#![expect(
    missing_docs,
    reason = "fields are named as in the reference of Kubernetes, which explains them"
)]

use std::fmt;

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSetCondition, DeploymentCondition, StatefulSetCondition},
        certificates::v1::CertificateSigningRequestCondition,
        core::v1::{NodeCondition, PodCondition},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionCondition,
    apimachinery::pkg::apis::meta::v1,
    kube_aggregator::pkg::apis::apiregistration::v1::APIServiceCondition,
};
use serde::Deserialize;

/// A condition of a custom resource. Longhorn's times are strings that may be empty, so times stay text here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub last_transition_time: String,
}

/// One entry of a list of conditions.
pub trait AsCondition {
    /// Its type, status, reason and message.
    fn parts(&self) -> (&str, &str, &str, &str);
}

impl AsCondition for Condition {
    fn parts(&self) -> (&str, &str, &str, &str) {
        (&self.kind, &self.status, &self.reason, &self.message)
    }
}

impl AsCondition for v1::Condition {
    fn parts(&self) -> (&str, &str, &str, &str) {
        (&self.type_, &self.status, &self.reason, &self.message)
    }
}

macro_rules! built_in {
    ($($kind:ty),*) => {$(
        impl AsCondition for $kind {
            fn parts(&self) -> (&str, &str, &str, &str) {
                (
                    &self.type_,
                    &self.status,
                    self.reason.as_deref().unwrap_or_default(),
                    self.message.as_deref().unwrap_or_default(),
                )
            }
        }
    )*};
}

built_in!(
    NodeCondition,
    PodCondition,
    DeploymentCondition,
    DaemonSetCondition,
    StatefulSetCondition,
    CertificateSigningRequestCondition,
    CustomResourceDefinitionCondition,
    APIServiceCondition
);

/// What a list of conditions says of one type. Displays as `Ready=False (DiskPressure: 98 % full)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    pub kind: &'a str,
    /// `True`, `False`, `Unknown`, or empty when the list has no such condition.
    pub status: &'a str,
    pub reason: &'a str,
    pub message: &'a str,
}

impl Seen<'_> {
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }

    pub fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// Whether the list has such a condition at all. `Stalled` and `Reconciling` are there only while true; an absent
    /// `Ready` means that nobody has looked yet.
    pub fn is_present(&self) -> bool {
        !self.status.is_empty()
    }
}

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_present() {
            return write!(f, "no condition {}", self.kind);
        }
        write!(f, "{}={}", self.kind, self.status)?;
        match (self.reason, self.message.trim()) {
            ("", "") => Ok(()),
            (reason, "") => write!(f, " ({reason})"),
            ("", message) => write!(f, " ({})", one_line(message)),
            (reason, message) => write!(f, " ({reason}: {})", one_line(message)),
        }
    }
}

/// Messages of servers may have many lines; the first that says something is enough for one line of ours.
fn one_line(message: &str) -> String {
    const LONGEST: usize = 200;
    let line = message
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    if line.chars().count() <= LONGEST {
        return line.to_owned();
    }
    let short: String = line.chars().take(LONGEST).collect();
    format!("{short}…")
}

/// What a list of conditions says of one type, by its name.
pub fn of<'a, C: AsCondition>(conditions: &'a [C], kind: &'a str) -> Seen<'a> {
    conditions
        .iter()
        .map(AsCondition::parts)
        .find(|(one, ..)| *one == kind)
        .map_or(
            Seen {
                kind,
                status: "",
                reason: "",
                message: "",
            },
            |(kind, status, reason, message)| Seen {
                kind,
                status,
                reason,
                message,
            },
        )
}

/// As [`of`], for the optional list of a built-in kind.
pub fn of_opt<'a, C: AsCondition>(conditions: Option<&'a Vec<C>>, kind: &'a str) -> Seen<'a> {
    of(conditions.map(Vec::as_slice).unwrap_or_default(), kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Condition {
        Condition {
            kind: kind.into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            ..Condition::default()
        }
    }

    #[test]
    fn a_condition_is_found_by_type_wherever_it_stands() {
        // Flux puts Stalled first: the first condition being True means the opposite of healthy.
        let list = [
            condition("Stalled", "True", "BuildFailed", "x"),
            condition("Ready", "False", "BuildFailed", "no such file\nmore"),
        ];
        assert!(!of(&list, "Ready").is_true());
        assert!(of(&list, "Stalled").is_true());
        assert_eq!(
            of(&list, "Ready").to_string(),
            "Ready=False (BuildFailed: no such file)"
        );
    }

    #[test]
    fn an_absent_condition_is_neither_true_nor_false() {
        let none: [Condition; 0] = [];
        let seen = of(&none, "Ready");
        assert!(!seen.is_true() && !seen.is_false() && !seen.is_present());
        assert_eq!(seen.to_string(), "no condition Ready");
    }

    #[test]
    fn longhorn_leaves_times_and_reasons_empty() {
        let read: Condition = serde_json::from_str(
            r#"{"type":"Ready","status":"True","lastProbeTime":"","lastTransitionTime":"","reason":"","message":""}"#,
        )
        .unwrap();
        let list = [read];
        assert_eq!(of(&list, "Ready").to_string(), "Ready=True");
    }
}
