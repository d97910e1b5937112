//! `docs/checks.md`, written from the same data as `--list` and `--explain`. A test fails when it is stale;
//! `just docs` writes it anew.

use std::fmt::Write as _;

use reports::model::{Kind, Phase, Severity};

use crate::catalogue::{self, Entry};

/// The whole document.
fn checks() -> String {
    let entries = catalogue::all();
    let count = |kind: Kind| entries.iter().filter(|entry| entry.kind == kind).count();
    let mut text = format!(
        "# Checks and actions\n\n\
         Written from the code by `just docs`; do not edit. {} checks and {} actions, in the order of a run.\n\n\
         A check of severity *fail* fails its phase when it says no; one of severity *warn* only ever warns. In remedies\n\
         `{{node}}` stands for the new node, `{{control_plane}}` for the control-plane node, `{{longhorn}}` and `{{flux}}`\n\
         for their namespaces.\n",
        count(Kind::Check),
        count(Kind::Action)
    );
    for phase in Phase::ALL {
        let _ = write!(
            text,
            "\n## {}. `{}`: {}\n",
            phase.number(),
            phase.name(),
            phase.question()
        );
        for entry in entries.iter().filter(|entry| entry.phase == phase) {
            text.push_str(&one(entry));
        }
    }
    text.push_str("\n## Reasons that every check may give\n\n");
    for reason in checks::COMMON_REASONS {
        let _ = writeln!(text, "- `{}`: {}", reason.code, reason.remedy);
    }
    text
}

fn one(entry: &Entry) -> String {
    let mut text = format!(
        "\n### `{}`\n\n{}\n\n{}\n\n",
        entry.id,
        sentence(entry.title),
        entry.why
    );
    let kind = match (entry.kind, entry.severity) {
        (Kind::Action, _) => "action",
        (Kind::Check, Severity::Fail) => "check, fails the phase",
        (Kind::Check, Severity::Warn) => "check, warns",
    };
    let _ = writeln!(text, "- {kind}; {}", criterion(entry.criterion));
    if !entry.requires.is_empty() {
        let _ = writeln!(text, "- requires {}", coded(entry.requires));
    }
    if let Some(action) = entry.after {
        let _ = writeln!(text, "- asked after `{action}`");
    }
    if entry.awaits {
        text.push_str("- an ordered run waits for it, up to the phase's limit\n");
    }
    let needs: Vec<&str> = entry.needs.iter().map(String::as_str).collect();
    let _ = writeln!(text, "- uses {}", coded(&needs));
    if let Some(inverse) = entry.inverse {
        let _ = writeln!(text, "- to undo: {inverse}");
    }
    for (fix, reasons) in phases::fixes::for_check(entry.id) {
        let _ = writeln!(
            text,
            "- `--auto-fix` ({}, for {}) {}",
            fix.id,
            coded(reasons),
            fix.title
        );
    }
    for reason in entry.reasons {
        let _ = writeln!(text, "- `{}`: {}", reason.code, reason.remedy);
    }
    text
}

fn criterion(text: &str) -> String {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        format!("criterion {text}")
    } else {
        text.to_owned()
    }
}

/// A title as a sentence of its own.
fn sentence(title: &str) -> String {
    let mut letters = title.trim_end_matches('.').chars();
    // A name or a placeholder keeps its spelling.
    let first = letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>())
        .unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn coded(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[test]
fn docs_of_checks_are_what_the_code_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/checks.md");
    let wanted = checks();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    // Not assert_eq: a difference of a thousand lines helps nobody.
    let first = wanted
        .lines()
        .zip(found.lines())
        .find(|(wanted, found)| wanted != found);
    assert!(
        wanted == found,
        "docs/checks.md is stale, run `just docs`; first difference: {first:?}"
    );
}
