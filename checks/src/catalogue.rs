//! Every check, in the order of the phases.

use std::sync::OnceLock;

use reports::model::Phase;

use crate::Check;

/// Checks that are not known when the program is built: the operator's own scripts.
static ADDED: OnceLock<Vec<&'static Check>> = OnceLock::new();

/// Adds checks behind those of their phases. Once, before anything asks what there is; they stay as long as the program
/// runs. Returns whether they were taken.
pub fn add(checks: Vec<Check>) -> bool {
    let leaked = checks.into_iter().map(|check| &*Box::leak(Box::new(check)));
    ADDED.set(leaked.collect()).is_ok()
}

/// The checks of one phase, in the order in which they are listed and asked. A phase with many is split by what its
/// checks look at.
#[must_use]
pub fn of(phase: Phase) -> Vec<&'static Check> {
    let parts: &[&'static [Check]] = match phase {
        Phase::PreValidation => &[
            crate::pre::api::CHECKS,
            crate::pre::permissions::CHECKS,
            crate::pre::cluster::CHECKS,
            crate::pre::services::CHECKS,
            crate::pre::flux::CHECKS,
            crate::pre::longhorn::CHECKS,
            crate::pre::volumes::CHECKS,
            crate::pre::network::CHECKS,
            crate::pre::monitoring::CHECKS,
            crate::pre::workloads::CHECKS,
            crate::pre::egress::CHECKS,
        ],
        Phase::GitopsActivation => &[
            crate::gitops::CLONE,
            crate::gitops::MANIFESTS,
            crate::gitops::BUILDERS,
            crate::gitops::TAKEN,
        ],
        Phase::NodeJoinMonitoring => &[
            crate::join::ARRIVAL,
            crate::join::IDENTITY,
            crate::join::FITNESS,
        ],
        Phase::StorageIntegration => &[
            crate::storage::SERVICE,
            crate::storage::DISKS,
            crate::storage::ENGINES,
            crate::storage::APPLIED,
        ],
        Phase::NetworkValidation => &[
            crate::network::flannel::CHECKS,
            crate::network::ranges::CHECKS,
            crate::network::path::CHECKS,
            crate::network::vpn::CHECKS,
            crate::network::traffic::CHECKS,
        ],
        Phase::MonitoringIntegration => &[
            crate::monitoring::exporter::CHECKS,
            crate::monitoring::collected::CHECKS,
            crate::monitoring::shown::CHECKS,
        ],
        Phase::SecurityValidation => &[
            crate::security::rights::CHECKS,
            crate::security::kubelet::CHECKS,
            crate::security::repository::CHECKS,
            crate::security::sops::CHECKS,
            crate::security::secrets::CHECKS,
            crate::security::cluster::CHECKS,
            crate::security::pods::CHECKS,
        ],
        Phase::PostValidation => &[crate::post::again::CHECKS, crate::post::compared::CHECKS],
        Phase::HealthVerification => &[
            crate::health::cluster::CHECKS,
            crate::health::history::CHECKS,
            crate::health::services::CHECKS,
            crate::health::temporary::CHECKS,
        ],
    };
    let added = ADDED.get().into_iter().flatten().copied();
    parts
        .iter()
        .copied()
        .flatten()
        .chain(added.filter(|check| check.phase() == Some(phase)))
        .collect()
}

/// Every check.
pub fn all() -> impl Iterator<Item = &'static Check> {
    Phase::ALL.into_iter().flat_map(of)
}

/// One check by its id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Check> {
    all().find(|check| check.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_is_whole() {
        let mut seen = BTreeSet::new();
        for phase in Phase::ALL {
            for check in of(phase) {
                assert!(seen.insert(check.id), "{} stands twice", check.id);
                assert_eq!(check.phase(), Some(phase), "{}", check.id);
                let (_, name) = check.id.split_once("::").unwrap();
                assert!(
                    name.chars()
                        .all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_'),
                    "{name}"
                );
                assert!(
                    !check.title.is_empty() && !check.why.is_empty(),
                    "{}",
                    check.id
                );
                // A check may judge what an action has written down, and read nothing itself.
                assert!(
                    !check.needs.is_empty() || check.after.is_some(),
                    "{} reads nothing",
                    check.id
                );
                assert!(!check.reasons.is_empty(), "{} cannot say why not", check.id);
                for reason in check.reasons {
                    assert!(
                        reason
                            .code
                            .starts_with(|one: char| one.is_ascii_uppercase()),
                        "{} {}",
                        check.id,
                        reason.code
                    );
                    assert!(
                        reason.code.chars().all(|one| one.is_ascii_alphanumeric()),
                        "{} {}",
                        check.id,
                        reason.code
                    );
                    assert!(
                        reason.remedy.len() > 10,
                        "{} {} says nothing to do",
                        check.id,
                        reason.code
                    );
                }
                if let Some(action) = check.after {
                    assert_eq!(
                        Phase::of_id(action),
                        Some(phase),
                        "{} rests on an action of another phase",
                        check.id
                    );
                }
            }
        }
    }

    #[test]
    fn requirements_exist_and_come_first() {
        let order: Vec<&str> = all().map(|check| check.id).collect();
        let place = |id: &str| order.iter().position(|one| *one == id);
        for check in all() {
            for required in check.requires {
                let required_at = place(required);
                assert!(
                    required_at.is_some(),
                    "{} requires {required}, which does not exist",
                    check.id
                );
                assert!(
                    required_at < place(check.id),
                    "{} stands before {required}, which it requires",
                    check.id
                );
            }
        }
    }

    /// The text of every source file of this crate: the part that is built, and the part that tests.
    fn sources() -> (String, String) {
        let (mut built, mut tests) = (String::new(), String::new());
        let mut open = vec![std::path::PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src"
        ))];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                let entries = std::fs::read_dir(&path).unwrap();
                open.extend(entries.map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let whole =
                path.to_string_lossy().contains("/tests") || path.ends_with("every_kind.rs");
            let at = if whole {
                0
            } else {
                text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len())
            };
            built.push_str(&text[..at]);
            tests.push_str(&text[at..]);
        }
        (built, tests)
    }

    #[test]
    fn every_reason_is_given_by_a_test_or_a_fault() {
        let (_, mut tests) = sources();
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests");
        for file in ["faults.table", "tests/faults/rows.rs"] {
            let text = std::fs::read_to_string(format!("{beside}/{file}")).unwrap();
            // In the table reasons are words; in tests they stand in quotes.
            let words = text.split(|c: char| !c.is_ascii_alphanumeric());
            tests.extend(words.map(|word| format!("\"{word}\" ")));
        }
        // What the engine and the lock say is tested there.
        let of_the_engine = [
            "Blocked",
            "CouldNotDecide",
            "LeaseLapsed",
            "LeaseLost",
            "NeedsAction",
            "NotAppliedInDryRun",
            "Panicked",
            "UndeclaredRight",
            "ValidationSkipped",
            "WebhookRefused",
        ];
        let declared: std::collections::BTreeSet<&str> = all()
            .flat_map(|check| check.reasons)
            .chain(crate::COMMON_REASONS)
            .map(|reason| reason.code)
            .collect();
        let untested: Vec<&str> = declared
            .into_iter()
            .filter(|code| !of_the_engine.contains(code))
            .filter(|code| !tests.contains(&format!("\"{code}\"")))
            .collect();
        assert!(untested.is_empty(), "nothing gives {untested:?}");
    }
}
