//! The list of resources, read by lines and by the parser at once.

use std::path::Path;

use pretty_assertions::assert_eq;

use super::super::kustomization::normalised;
use super::super::{EntryState, GitError, Resources};

const ENTRY: &str = "../k3s2-node-config/";

fn read(text: &str) -> Result<Resources, GitError> {
    Resources::read(Path::new("kustomization.yaml"), text)
}

fn state(text: &str) -> EntryState {
    read(text).unwrap().state(ENTRY)
}

#[test]
fn an_active_entry_is_found_in_every_spelling() {
    for line in [
        "  - ../k3s2-node-config/",
        "  - ../k3s2-node-config",
        "  - \"../k3s2-node-config/\"  # the worker",
        "  -   '../k3s2-node-config'",
        "  - ./../k3s2-node-config//",
        "- ../k3s2-node-config/",
    ] {
        assert_eq!(
            state(&format!("resources:\n{line}\n")),
            EntryState::Active { line: 2 },
            "{line}"
        );
        assert_eq!(
            state(&format!("resources:\r\n{line}\r\nnamePrefix: x\r\n")),
            EntryState::Active { line: 2 }
        );
    }
}

#[test]
fn a_commented_entry_keeps_its_spelling() {
    for spelling in ["  # ", "#  ", "#", "  #", "# ", "\t# "] {
        let text = format!("resources:\n  - a.yaml\n{spelling}- {ENTRY} # worker\n");
        assert_eq!(
            state(&text),
            EntryState::Commented {
                line: 3,
                spelling: spelling.into()
            }
        );
    }
}

#[test]
fn only_the_list_counts() {
    let text = format!(
        "# - {ENTRY}\nresources:\n  - a.yaml\n  # - {ENTRY}\n# see {ENTRY}\n# - {ENTRY}: prose about it\ncomponents:\n  # - {ENTRY}\n  - {ENTRY}\n"
    );
    assert_eq!(
        state(&text),
        EntryState::Commented {
            line: 4,
            spelling: "  # ".into()
        }
    );
}

#[test]
fn twice_is_several_commented_or_not() {
    assert_eq!(
        state(&format!(
            "resources:\n  - {ENTRY}\n  # - ../k3s2-node-config\n"
        )),
        EntryState::Several { lines: vec![2, 3] }
    );
    let error = read(&format!("resources:\n- {ENTRY}\n- {ENTRY}\n"))
        .unwrap()
        .require(Path::new("k.yaml"), ENTRY)
        .cloned()
        .unwrap_err();
    assert_eq!(error.reason(), "EntryDoubled");
}

#[test]
fn what_is_missing_comes_with_candidates() {
    let EntryState::Missing { candidates } = state(
        "resources:\n  - ../k3s1-node-config/\n  # - b.yaml\ncomponents:\n  - ../x/k3s2-node-config\n",
    ) else {
        panic!("expected it to be missing");
    };
    assert_eq!(
        candidates,
        [
            "line 2: ../k3s1-node-config/",
            "line 3: # b.yaml",
            "line 5, not under resources: - ../x/k3s2-node-config"
        ]
    );
    assert_eq!(
        state("namePrefix: x\n"),
        EntryState::Missing { candidates: vec![] }
    );
}

#[test]
fn other_shapes_are_clear_errors() {
    for text in [
        "resources: [a, ../k3s2-node-config/]\n",
        "resources: &list\n  - a\n",
        "{resources: [a]}\n",
        "resources:\n  [a]\n",
        "resources:\n  - a\n  -\n    b\n",
    ] {
        assert_eq!(
            read(text).unwrap_err().reason(),
            "UnsupportedShape",
            "{text}"
        );
    }
    for text in [
        "resources:\n  - a: b\n",
        "- a\n",
        "resources: x\n",
        "a: 1\n---\nb: 2\n",
        "a: [\n",
        "resources: 1\nresources: 2\n",
    ] {
        assert_eq!(read(text).unwrap_err().reason(), "NotYaml", "{text}");
    }
}

#[test]
fn paths_compare_normalised() {
    assert_eq!(normalised("./a//b/"), "a/b");
    assert_eq!(normalised("a/../../b"), "../b");
    assert_eq!(normalised("/a/"), "/a");
    assert_eq!(
        normalised("https://host/x//y/?ref=main"),
        "https://host/x//y/?ref=main"
    );
}
