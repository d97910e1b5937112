//! `docs/checks.md`, the README's list of phases and the manual page, written from the same data as `--list`,
//! `--explain` and `--help`. A test fails when one is stale; `just docs` writes them anew.

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
         for their namespaces. Which fault of the sandbox shows a check is said with it; `--explain CHECK` says what to\n\
         type.\n",
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
        for entry in entries.iter().filter(|entry| entry.phase == Some(phase)) {
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
        "\n### `{}`\n\n{}\n\n{}\n\n{}: {}\n\n",
        entry.id,
        sentence(entry.title),
        entry.why,
        if entry.kind == Kind::Action {
            "How it is done"
        } else {
            "How it is decided"
        },
        entry.decided
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
    let faults: Vec<String> = crate::shown::of(entry.id)
        .map(|one| format!("`{}` ({})", one.fault, one.reason))
        .collect();
    if !faults.is_empty() {
        let _ = writeln!(text, "- shown by the faults {}", faults.join(", "));
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

/// The part of the README between the two marks: phases, their checks, what they change.
fn readme(found: &str) -> Option<String> {
    const BEGIN: &str = "<!-- written by `just docs` from here -->\n";
    const END: &str = "<!-- to here -->\n";
    let (before, rest) = found.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    let entries = catalogue::all();
    let of = |phase: Phase, kind: Kind| {
        entries
            .iter()
            .filter(move |entry| entry.phase == Some(phase) && entry.kind == kind)
    };
    let mut text = format!(
        "{before}{BEGIN}\n| | phase | short | asks | checks | changes |\n| --- | --- | --- | --- | --- | --- |\n"
    );
    for phase in Phase::ALL {
        let actions: Vec<&str> = of(phase, Kind::Action).map(|entry| entry.id).collect();
        let _ = writeln!(
            text,
            "| {} | `{}` | `{}` | {} | {} | {} |",
            phase.number(),
            phase.name(),
            phase.short(),
            phase.question(),
            of(phase, Kind::Check).count(),
            coded(&actions)
        );
    }
    let _ = writeln!(
        text,
        "\n<details><summary>All {} checks and {} actions</summary>\n",
        entries
            .iter()
            .filter(|entry| entry.kind == Kind::Check)
            .count(),
        entries
            .iter()
            .filter(|entry| entry.kind == Kind::Action)
            .count()
    );
    for phase in Phase::ALL {
        let names: Vec<&str> = entries
            .iter()
            .filter(|entry| entry.phase == Some(phase))
            .filter_map(|entry| entry.id.split_once("::"))
            .map(|(_, name)| name)
            .collect();
        let _ = writeln!(text, "- `{}`: {}", phase.short(), coded(&names));
    }
    let _ = write!(text, "\n</details>\n\n{END}{after}");
    Some(text)
}

/// Holds a file against what it should be; writes it anew where `UPDATE_DOCS` is set.
#[cfg(test)]
#[track_caller]
fn is_current(file: &str, wanted: impl FnOnce(&str) -> String) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(file);
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let wanted = wanted(&found);
    if std::env::var_os("UPDATE_DOCS").is_some() && wanted != found {
        std::fs::write(&path, &wanted).unwrap();
        return;
    }
    // Not assert_eq: a difference of a thousand lines helps nobody.
    let first = wanted
        .lines()
        .zip(found.lines())
        .find(|(wanted, found)| wanted != found);
    assert!(
        wanted == found,
        "{file} is stale, run `just docs`; first difference: {first:?}"
    );
}

#[test]
fn docs_of_checks_are_what_the_code_says() {
    is_current("docs/checks.md", |_| checks());
}

#[test]
fn docs_in_the_readme_are_what_the_code_says() {
    is_current("README.md", |found| {
        readme(found).expect("the two marks of the generated part")
    });
}

#[test]
fn docs_for_man_are_what_the_command_line_says() {
    is_current("docs/harness.1", |_| crate::completions::manual().unwrap());
}
