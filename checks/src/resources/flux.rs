//! Flux objects: GitRepository and Kustomization.
//!
//! Status fields follow <https://fluxcd.io/flux/components/>; conditions are read by type, because the controllers put
//! `Stalled` and `Reconciling` before `Ready`.
#![expect(
    missing_docs,
    reason = "fields are named as in the reference of Flux, which explains them"
)]

use serde::Deserialize;

use super::{
    condition::{self, Condition, Seen},
    meta::{Meta, or_default},
};

/// A git source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GitRepository {
    pub metadata: Meta,
    pub spec: GitRepositorySpec,
    pub status: GitRepositoryStatus,
}

/// What a source follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GitRepositorySpec {
    pub url: String,
    #[serde(rename = "ref")]
    pub reference: Option<GitReference>,
    pub suspend: bool,
    /// Set when the controller accepts signed commits only.
    pub verify: Option<serde_json::Value>,
}

/// Which commit of a repository; the controller looks at them in the order name, commit, semver, tag, branch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GitReference {
    pub branch: String,
    pub tag: String,
    pub semver: String,
    pub name: String,
    pub commit: String,
}

/// How far a source has got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GitRepositoryStatus {
    pub observed_generation: i64,
    pub last_handled_reconcile_at: String,
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    pub artifact: Option<Artifact>,
}

/// What a source has made of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Artifact {
    pub revision: String,
}

/// What is applied from a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Kustomization {
    pub metadata: Meta,
    pub spec: KustomizationSpec,
    pub status: KustomizationStatus,
}

/// What is to be applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KustomizationSpec {
    pub path: String,
    pub suspend: bool,
    pub wait: bool,
    pub prune: bool,
    pub target_namespace: String,
    pub source_ref: Reference,
    #[serde(deserialize_with = "or_default")]
    pub depends_on: Vec<Reference>,
    pub decryption: Option<serde_json::Value>,
}

/// Another object, in the same namespace when none is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Reference {
    pub kind: String,
    pub name: String,
    pub namespace: String,
}

/// How far applying has got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KustomizationStatus {
    pub observed_generation: i64,
    pub last_handled_reconcile_at: String,
    pub last_applied_revision: String,
    pub last_attempted_revision: String,
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    pub inventory: Option<Inventory>,
}

/// What was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Inventory {
    #[serde(deserialize_with = "or_default")]
    pub entries: Vec<InventoryEntry>,
}

/// One object that was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct InventoryEntry {
    /// `<namespace>_<name>_<group>_<kind>`, with empty fields for what does not apply.
    pub id: String,
}

/// How an object of Flux is doing: one answer for sources and Kustomizations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Ready, for the generation that is asked for.
    Ready,
    /// Suspended: whatever the conditions say is what they said when it was suspended.
    Suspended,
    /// It will not try again before somebody changes something.
    Stalled(String),
    /// It is at work, or has not looked at the newest generation yet.
    Progressing(String),
    /// It failed and will try again.
    NotReady(String),
}

fn health(suspend: bool, meta: &Meta, observed: i64, conditions: &[Condition]) -> Health {
    let seen = |kind| condition::of(conditions, kind);
    if suspend {
        return Health::Suspended;
    }
    let (ready, stalled, reconciling) = (seen("Ready"), seen("Stalled"), seen("Reconciling"));
    if stalled.is_true() {
        return Health::Stalled(stalled.to_string());
    }
    // A controller writes observedGeneration last: Ready=True beside an older one is about an older spec.
    if observed != meta.generation {
        return Health::Progressing(format!(
            "generation {} is not looked at yet, the last was {observed}",
            meta.generation
        ));
    }
    if ready.is_true() {
        Health::Ready
    } else if ready.is_false() {
        Health::NotReady(ready.to_string())
    } else {
        Health::Progressing(most_telling(&ready, &reconciling))
    }
}

fn most_telling(ready: &Seen<'_>, reconciling: &Seen<'_>) -> String {
    if reconciling.is_true() {
        reconciling.to_string()
    } else {
        ready.to_string()
    }
}

impl GitRepository {
    /// How it is doing.
    pub fn health(&self) -> Health {
        let status = &self.status;
        health(
            self.spec.suspend,
            &self.metadata,
            status.observed_generation,
            &status.conditions,
        )
    }

    /// The commit of the artifact that it offers, in hex.
    pub fn commit(&self) -> Option<&str> {
        commit_of(&self.status.artifact.as_ref()?.revision)
    }

    /// The branch that it follows, `None` when it follows something else (a tag, a commit).
    pub fn branch(&self) -> Option<&str> {
        let Some(reference) = &self.spec.reference else {
            return Some("master");
        };
        if !reference.name.is_empty() {
            return reference.name.strip_prefix("refs/heads/");
        }
        if !reference.commit.is_empty() || !reference.semver.is_empty() || !reference.tag.is_empty()
        {
            return None;
        }
        if reference.branch.is_empty() {
            Some("master")
        } else {
            Some(&reference.branch)
        }
    }
}

impl Kustomization {
    /// How it is doing.
    pub fn health(&self) -> Health {
        let status = &self.status;
        health(
            self.spec.suspend,
            &self.metadata,
            status.observed_generation,
            &status.conditions,
        )
    }

    /// Names of the Kustomizations that must be ready before it, as `namespace/name`.
    pub fn dependencies(&self) -> Vec<String> {
        let own = self.metadata.namespace.as_str();
        let place = |one: &Reference| {
            let namespace = if one.namespace.is_empty() {
                own
            } else {
                &one.namespace
            };
            format!("{namespace}/{}", one.name)
        };
        self.spec.depends_on.iter().map(place).collect()
    }

    /// The commit that was last applied in whole, in hex.
    pub fn applied(&self) -> Option<&str> {
        commit_of(&self.status.last_applied_revision)
    }

    /// The commit that was last tried, in hex.
    pub fn attempted(&self) -> Option<&str> {
        commit_of(&self.status.last_attempted_revision)
    }

    /// Whether it has applied an object.
    pub fn applied_object(&self, namespace: &str, name: &str, group: &str, kind: &str) -> bool {
        let wanted = format!("{namespace}_{name}_{group}_{kind}");
        self.status
            .inventory
            .as_ref()
            .is_some_and(|inventory| inventory.entries.iter().any(|entry| entry.id == wanted))
    }
}

/// The commit in a revision: `main@sha1:9d0c…`, `sha1:9d0c…`, and `main/9d0c…` of releases before v2.
pub fn commit_of(revision: &str) -> Option<&str> {
    let commit = revision.rsplit([':', '/']).next()?;
    (commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(commit)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const COMMIT: &str = "9d0c4e1f00000000000000000000000000000000";

    fn kustomization(generation: i64, suspend: bool, conditions: Value) -> Kustomization {
        serde_json::from_value(json!({
            "metadata": {"name": "infrastructure-storage", "namespace": "flux-system", "generation": generation},
            "spec": {"suspend": suspend, "interval": "10m"},
            "status": {"observedGeneration": 1, "conditions": conditions},
        }))
        .unwrap()
    }

    #[test]
    fn a_commit_is_read_from_every_form_of_revision() {
        for revision in ["main@sha1:", "sha1:", "main/", "feature/x@sha1:"] {
            assert_eq!(commit_of(&format!("{revision}{COMMIT}")), Some(COMMIT));
        }
        assert_eq!(commit_of("main@sha1:"), None);
        assert_eq!(commit_of("main"), None);
        assert_eq!(commit_of(""), None);
    }

    #[test]
    fn ready_counts_only_for_the_generation_that_is_asked_for() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        assert_eq!(
            kustomization(1, false, ready.clone()).health(),
            Health::Ready
        );
        assert!(matches!(
            kustomization(2, false, ready).health(),
            Health::Progressing(_)
        ));
    }

    #[test]
    fn a_suspended_object_is_suspended_whatever_it_last_said() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        assert_eq!(kustomization(1, true, ready).health(), Health::Suspended);
    }

    #[test]
    fn stalled_wins_over_ready() {
        let list = json!([
            {"type": "Stalled", "status": "True", "reason": "InvalidPath"},
            {"type": "Ready", "status": "False", "reason": "InvalidPath"},
        ]);
        assert_eq!(
            kustomization(1, false, list).health(),
            Health::Stalled("Stalled=True (InvalidPath)".into())
        );
    }

    #[test]
    fn nothing_said_yet_is_progress_and_not_failure() {
        assert_eq!(
            kustomization(1, false, json!([])).health(),
            Health::Progressing("no condition Ready".into())
        );
    }

    #[test]
    fn a_source_follows_a_branch_or_something_else() {
        let source = |reference: Value| -> GitRepository {
            serde_json::from_value(json!({"metadata": {}, "spec": {"url": "x", "ref": reference}}))
                .unwrap()
        };
        assert_eq!(source(json!({"branch": "main"})).branch(), Some("main"));
        assert_eq!(
            source(json!({"branch": "main", "tag": "v1"})).branch(),
            None
        );
        assert_eq!(
            source(json!({"name": "refs/heads/main"})).branch(),
            Some("main")
        );
        assert_eq!(source(json!({"name": "refs/tags/v1"})).branch(), None);
    }

    #[test]
    fn dependencies_are_of_the_own_namespace_unless_they_say_otherwise() {
        let one: Kustomization = serde_json::from_value(json!({
            "metadata": {"name": "x", "namespace": "flux-system"},
            "spec": {"dependsOn": [{"name": "core"}, {"name": "base", "namespace": "other"}]},
        }))
        .unwrap();
        assert_eq!(one.dependencies(), ["flux-system/core", "other/base"]);
    }
}
