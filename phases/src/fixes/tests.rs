//! What the table of fixes must hold to.

use std::collections::BTreeMap;

use checks::catalogue;

use super::*;

#[test]
fn every_fix_mends_reasons_that_its_checks_can_give() {
    for fix in ALL {
        assert!(fix.id.starts_with(PREFIX));
        assert!(!fix.mends.is_empty() && !fix.needs.is_empty(), "{}", fix.id);
        for (id, reasons) in fix.mends {
            let check = catalogue::find(id).unwrap_or_else(|| panic!("{} names {id}", fix.id));
            for reason in *reasons {
                assert!(check.remedy(reason).is_some(), "{id} never says {reason}");
                assert!(
                    std::ptr::eq(of(id, reason).unwrap(), fix),
                    "{id} {reason} has two fixes"
                );
            }
        }
    }
    assert!(of("pre::node_password_free", "JoinInProgress").is_none());
    assert!(of("pre::api_live", "StalePassword").is_none());
}

#[test]
fn only_what_our_own_records_show_counts() {
    let record = |id: &str, state, key: &str, value: &str| ActionRecord {
        id: id.into(),
        state,
        started: Timestamp::UNIX_EPOCH,
        finished: None,
        recorded: BTreeMap::from([(key.to_owned(), value.to_owned())]),
    };
    let key = "before unschedulable";
    let ours = |record| recorded(&[record], "rollback::cordon", key, "false");
    assert!(ours(record(
        "rollback::cordon",
        ActionState::Done,
        key,
        "false"
    )));
    assert!(ours(record(
        "rollback::cordon",
        ActionState::Begun,
        key,
        "false"
    )));
    assert!(!ours(record(
        "rollback::cordon",
        ActionState::Undone,
        key,
        "false"
    )));
    assert!(!ours(record(
        "rollback::cordon",
        ActionState::Done,
        key,
        "true"
    )));
    assert!(!ours(record(
        "rollback::drain",
        ActionState::Done,
        key,
        "false"
    )));
    assert!(!recorded(&[], "rollback::cordon", key, "false"));
}

#[test]
fn a_change_names_its_object_as_kubectl_does() {
    let change = Change::Delete {
        kind: &SECRETS,
        namespace: "kube-system".into(),
        name: "k3s2.node-password.k3s".into(),
        uid: "u".into(),
        version: "7".into(),
    };
    assert_eq!(
        change.sentence(),
        "delete secrets kube-system/k3s2.node-password.k3s (uid u)"
    );
    let change = Change::Patch {
        kind: &NODES,
        namespace: String::new(),
        name: "k3s2".into(),
        patch: json!({"spec": {"unschedulable": null}}),
        record: None,
    };
    assert_eq!(
        change.sentence(),
        "patch nodes k3s2 {\"spec\":{\"unschedulable\":null}}"
    );
}
