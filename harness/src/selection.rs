//! Whether a selection chooses something, and what was meant when it does not.

use reports::model::Phase;

use crate::{
    catalogue::Entry,
    exit::{Exit, Halt},
    near,
    options::Selection,
    text::clean,
};

/// The selected checks and actions.
///
/// # Errors
/// A filter or a `--skip` that matches nothing at all, or a selection that leaves nothing.
pub(crate) fn choose<'a>(selection: &Selection, all: &'a [Entry]) -> Result<Vec<&'a Entry>, Halt> {
    for filter in &selection.filters {
        known("filter", filter, selection.exact, all)?;
    }
    for filter in &selection.skip {
        known("--skip", filter, selection.exact, all)?;
    }
    let chosen: Vec<&Entry> = all
        .iter()
        .filter(|entry| selection.takes(entry.id))
        .collect();
    if chosen.is_empty() && !selection.is_everything() {
        return Err(empty(selection, all));
    }
    Ok(chosen)
}

fn matches(filter: &str, exact: bool, id: &str) -> bool {
    if exact {
        filter == id
    } else {
        id.contains(filter)
    }
}

fn known(what: &str, filter: &str, exact: bool, all: &[Entry]) -> Result<(), Halt> {
    if all.iter().any(|entry| matches(filter, exact, entry.id)) {
        return Ok(());
    }
    let parts: Vec<&str> = all
        .iter()
        .map(|entry| entry.id)
        .filter(|id| exact && id.contains(filter))
        .collect();
    let near = if parts.is_empty() {
        near::several(filter, all.iter().map(|entry| entry.id), 3)
    } else {
        parts.into_iter().take(3).collect()
    };
    let hint = if near.is_empty() {
        "--list shows every check and action".to_owned()
    } else {
        format!("did you mean {}? (--list shows all)", or(&near))
    };
    let whole = if exact { " exactly" } else { "" };
    Err(Halt::new(
        Exit::NothingSelected,
        format!(
            "{what} `{}` matches no check or action{whole}",
            clean(filter)
        ),
        hint,
    ))
}

fn empty(selection: &Selection, all: &[Entry]) -> Halt {
    let elsewhere = Selection {
        phases: Vec::new(),
        ..selection.clone()
    };
    let others: Vec<&str> = all
        .iter()
        .map(|entry| entry.id)
        .filter(|id| elsewhere.takes(id))
        .take(3)
        .collect();
    let phases: Vec<&str> = selection
        .phases
        .iter()
        .map(|phase| Phase::name(*phase))
        .collect();
    let (message, hint) = if others.is_empty() {
        (
            "everything that was selected is skipped".to_owned(),
            "leave a --skip out".to_owned(),
        )
    } else {
        (
            format!("nothing is selected in {}", phases.join(" and ")),
            format!("the filter matches {} in another phase", or(&others)),
        )
    };
    Halt::new(Exit::NothingSelected, message, hint)
}

fn or(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use reports::model::Kind;

    use super::*;
    use crate::catalogue::example;

    fn all() -> Vec<Entry> {
        [
            "join::ready",
            "join::label",
            "storage::disks_ready",
            "storage::node_ready",
        ]
        .into_iter()
        .map(|id| example(id, Kind::Check))
        .collect()
    }

    fn chosen(selection: &Selection) -> Result<Vec<&'static str>, String> {
        match choose(selection, &all()) {
            Ok(entries) => Ok(entries.into_iter().map(|entry| entry.id).collect()),
            Err(halt) => {
                assert_eq!(halt.exit, Exit::NothingSelected);
                Err(format!("{} ({})", halt.message, halt.hint))
            }
        }
    }

    fn words(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn several_filters_add_up_and_skips_take_away() {
        assert_eq!(chosen(&Selection::default()).unwrap().len(), 4);
        let selection = Selection {
            filters: words("disks label"),
            ..Selection::default()
        };
        assert_eq!(
            chosen(&selection).unwrap(),
            ["join::label", "storage::disks_ready"]
        );
        let selection = Selection {
            phases: vec![Phase::StorageIntegration],
            skip: words("disks"),
            ..Selection::default()
        };
        assert_eq!(chosen(&selection).unwrap(), ["storage::node_ready"]);
    }

    #[test]
    fn what_matches_nothing_is_named_with_what_was_meant() {
        let filters = |text, exact| Selection {
            filters: words(text),
            exact,
            ..Selection::default()
        };
        assert_eq!(
            chosen(&filters("ready disk_redy", false)).unwrap_err(),
            "filter `disk_redy` matches no check or action (did you mean storage::disks_ready? (--list shows all))"
        );
        assert_eq!(
            chosen(&filters("xyzzy", false)).unwrap_err(),
            "filter `xyzzy` matches no check or action (--list shows every check and action)"
        );
        assert_eq!(
            chosen(&filters("node_ready", true)).unwrap_err(),
            "filter `node_ready` matches no check or action exactly (did you mean storage::node_ready? (--list shows \
             all))"
        );
        let skip = Selection {
            skip: words("volumes"),
            ..Selection::default()
        };
        assert!(
            chosen(&skip)
                .unwrap_err()
                .starts_with("--skip `volumes` matches no")
        );
    }

    #[test]
    fn an_empty_choice_says_why() {
        let elsewhere = Selection {
            phases: vec![Phase::NodeJoinMonitoring],
            filters: words("disks"),
            ..Selection::default()
        };
        assert_eq!(
            chosen(&elsewhere).unwrap_err(),
            "nothing is selected in node_join_monitoring (the filter matches storage::disks_ready in another phase)"
        );
        let skipped = Selection {
            filters: words("disks"),
            skip: words("disks"),
            ..Selection::default()
        };
        assert_eq!(
            chosen(&skipped).unwrap_err(),
            "everything that was selected is skipped (leave a --skip out)"
        );
    }
}
