//! The edit: one line, in both directions, whatever the file looks like.

use std::path::Path;

use pretty_assertions::assert_eq;
use proptest::prelude::*;

use super::super::edit::{Edit, activate, deactivate};
use super::{BEFORE, ENTRY, FILE};

fn activated(text: &str) -> Edit {
    activate(Path::new(FILE), text.as_bytes(), ENTRY)
        .unwrap()
        .unwrap()
}

fn after(text: &str) -> String {
    String::from_utf8(activated(text).after).unwrap()
}

#[test]
fn the_diff_is_one_line() {
    let edit = activated(BEFORE);
    assert_eq!((edit.line, edit.spelling.as_str()), (9, "  # "));
    assert_eq!(
        edit.diff(),
        "\
--- a/infrastructure/storage/kustomization.yaml
+++ b/infrastructure/storage/kustomization.yaml
@@ -6,5 +6,5 @@
   - ../longhorn/base/
   - ../k3s1-node-config/
   # the second node
-  # - ../k3s2-node-config/
+  - ../k3s2-node-config/
 # If Longhorn is down, this fails gracefully
"
    );
}

#[test]
fn the_entry_lands_under_the_others() {
    for (commented, active) in [
        (
            "resources:\n- a\n#- ../k3s2-node-config/\n",
            "resources:\n- a\n- ../k3s2-node-config/\n",
        ),
        (
            "resources:\n  - a\n#- ../k3s2-node-config/\n",
            "resources:\n  - a\n  - ../k3s2-node-config/\n",
        ),
        (
            "resources:\n  - a\n#  - ../k3s2-node-config/\n",
            "resources:\n  - a\n  - ../k3s2-node-config/\n",
        ),
        (
            "resources:\n    - a\n  # - ../k3s2-node-config\n",
            "resources:\n    - a\n    - ../k3s2-node-config\n",
        ),
        (
            "resources:\n  # - ../k3s2-node-config/\n",
            "resources:\n  - ../k3s2-node-config/\n",
        ),
        (
            "resources:\n#  - ../k3s2-node-config/\n",
            "resources:\n  - ../k3s2-node-config/\n",
        ),
        (
            "resources:\n#   - ../k3s2-node-config/\n",
            "resources:\n  - ../k3s2-node-config/\n",
        ),
        (
            "resources:\n# - ../k3s2-node-config/\nnamePrefix: x\n",
            "resources:\n- ../k3s2-node-config/\nnamePrefix: x\n",
        ),
        (
            "resources: # all\n  - a\n  # -   \"../k3s2-node-config\"  # two\nimages: []",
            "resources: # all\n  - a\n  -   \"../k3s2-node-config\"  # two\nimages: []",
        ),
    ] {
        assert_eq!(after(commented), active);
    }
}

#[test]
fn line_ends_and_a_missing_last_one_stay() {
    let text = BEFORE.replace('\n', "\r\n");
    assert_eq!(
        after(&text),
        BEFORE
            .replace("  # - ../k3s2", "  - ../k3s2")
            .replace('\n', "\r\n")
    );
    assert_eq!(
        after("resources:\r\n- a\r\n# - ../k3s2-node-config/"),
        "resources:\r\n- a\r\n- ../k3s2-node-config/"
    );
}

#[test]
fn what_is_so_already_needs_no_edit() {
    let active = after(BEFORE);
    assert_eq!(
        activate(Path::new(FILE), active.as_bytes(), ENTRY).unwrap(),
        None
    );
    assert_eq!(
        deactivate(Path::new(FILE), BEFORE.as_bytes(), ENTRY, None).unwrap(),
        None
    );
}

#[test]
fn deactivation_restores_the_spelling_that_was_recorded() {
    let text = BEFORE.replace("  # - ../k3s2", "#\t - ../k3s2");
    let edit = activated(&text);
    let back = deactivate(Path::new(FILE), &edit.after, ENTRY, Some(&edit.spelling))
        .unwrap()
        .unwrap();
    assert_eq!(String::from_utf8(back.after).unwrap(), text);
    // A spelling that would not be a comment is not used.
    for odd in ["", "x", "  ", "# x ", "#\n"] {
        let back = deactivate(Path::new(FILE), &edit.after, ENTRY, Some(odd))
            .unwrap()
            .unwrap();
        assert!(
            String::from_utf8(back.after)
                .unwrap()
                .contains("\n  # - ../k3s2-node-config/\n"),
            "{odd:?}"
        );
    }
}

#[test]
fn none_several_and_other_shapes_are_errors_with_reasons() {
    let reason = |text: &str| {
        activate(Path::new(FILE), text.as_bytes(), ENTRY)
            .unwrap_err()
            .reason()
    };
    assert_eq!(reason("resources:\n  - a\n"), "EntryMissing");
    assert_eq!(
        reason("resources:\n  # - ../k3s2-node-config\n  # - ../k3s2-node-config/\n"),
        "EntryDoubled"
    );
    assert_eq!(
        reason("resources:\n  - ../k3s2-node-config\n  # - ../k3s2-node-config/\n"),
        "EntryDoubled"
    );
    assert_eq!(
        reason("resources: [a]\n# - ../k3s2-node-config/\n"),
        "UnsupportedShape"
    );
    assert_eq!(reason("resources:\n  - a\n - b\n"), "NotYaml");
    let error = activate(Path::new(FILE), b"resources:\n  - \xff\n", ENTRY).unwrap_err();
    assert_eq!(error.reason(), "NotYaml");
}

/// One line under `resources:`.
#[derive(Debug, Clone)]
enum Line {
    Entry(String),
    Commented(String),
    Prose(String),
    Blank,
}

fn line() -> impl Strategy<Value = Line> {
    let path = "[a-z][a-z0-9-]{0,8}(/[a-z]{1,5})?(\\.yaml)?";
    prop_oneof![
        3 => path.prop_map(Line::Entry),
        2 => path.prop_map(Line::Commented),
        1 => "[a-zA-Z ,.:'-]{0,20}".prop_map(Line::Prose),
        1 => Just(Line::Blank),
    ]
}

prop_compose! {
    /// A file with our entry commented out somewhere among others, and what stands before its dash.
    fn file()(
        above in prop::collection::vec(line(), 0..6),
        below in prop::collection::vec(line(), 0..6),
        indent in prop_oneof![Just(""), Just("  "), Just("    ")],
        spelling in prop_oneof![Just("# "), Just("#"), Just("#  "), Just("  # "), Just("  #")],
        quoted in prop_oneof![
            Just("../k3s2-node-config/"),
            Just("../k3s2-node-config"),
            Just("\"../k3s2-node-config/\""),
            Just("'../k3s2-node-config'"),
        ],
        comment in prop_oneof![Just(""), Just(" # the worker"), Just("   #x")],
        tail in prop_oneof![Just(""), Just("namePrefix: x-"), Just("components:\n  # - ../k3s2-node-config/")],
        crlf in any::<bool>(),
        ends in any::<bool>(),
    ) -> String {
        let show = |line: &Line| match line {
            Line::Entry(path) => format!("{indent}- x/{path}"),
            Line::Commented(path) => format!("{indent}# - x/{path}"),
            Line::Prose(text) => format!("{indent}# {text}"),
            Line::Blank => String::new(),
        };
        let mut lines = vec!["kind: Kustomization".to_owned(), "resources:".to_owned()];
        lines.extend(above.iter().map(show));
        lines.push(format!("{spelling}- {quoted}{comment}"));
        lines.extend(below.iter().map(show));
        if !tail.is_empty() {
            lines.push(tail.to_owned());
        }
        let mut text = lines.join("\n");
        if ends {
            text.push('\n');
        }
        if crlf { text.replace('\n', "\r\n") } else { text }
    }
}

proptest! {
    #[test]
    fn activation_changes_one_line_and_deactivation_brings_it_back(text in file()) {
        let edit = activated(&text);
        let differing = text
            .split_inclusive('\n')
            .zip(String::from_utf8(edit.after.clone()).unwrap().split_inclusive('\n'))
            .filter(|(old, new)| old != new)
            .count();
        prop_assert_eq!(differing, 1);
        let back = deactivate(Path::new(FILE), &edit.after, ENTRY, Some(&edit.spelling)).unwrap().unwrap();
        prop_assert_eq!(&back.after, text.as_bytes());
        // Without a recorded spelling the active file comes back all the same.
        let plain = deactivate(Path::new(FILE), &edit.after, ENTRY, None).unwrap().unwrap();
        let again = activate(Path::new(FILE), &plain.after, ENTRY).unwrap().unwrap();
        prop_assert_eq!(again.after, edit.after);
    }

    #[test]
    fn no_file_makes_it_panic(text in "(resources:|[ \t]{0,3}|#|- |a: b|\\.\\./k3s2-node-config/|\\[|\r?\n|---|\"){0,24}") {
        if let Ok(Some(edit)) = activate(Path::new(FILE), text.as_bytes(), ENTRY) {
            prop_assert_ne!(edit.before, edit.after);
        }
    }
}
