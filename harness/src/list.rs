//! `--list`: every check and action, and the steps of a rollback, without a cluster.

use reports::model::{Kind, Severity};

use crate::{
    build,
    catalogue::{self, Entry},
    cli::Cli,
    exit::{Exit, Halt},
    options::Format,
    selection,
    term::{self, Look},
    text::{count, cut},
};

/// Carries out `--list`.
///
/// # Errors
/// Nothing is selected, or the configuration cannot be used.
pub(crate) fn show(cli: &Cli) -> Result<Exit, Halt> {
    let options = build::from_environment(cli)?;
    let chosen = selection::choose(&options.selection, catalogue::listed())?;
    let look = Look::stdout(cli.color);
    for line in list(&chosen, cli.format, look, &|text| {
        options.settings.fill(text)
    }) {
        term::out(&line);
    }
    Ok(Exit::Passed)
}

/// The lines of `--list`. Without a format, a terminal gets headings and titles, a pipe what libtest prints.
pub(crate) fn list(
    entries: &[&Entry],
    format: Option<Format>,
    look: Look,
    fill: &dyn Fn(&str) -> String,
) -> Vec<String> {
    match format.unwrap_or(if look.width.is_some() {
        Format::Pretty
    } else {
        Format::Libtest
    }) {
        // What libtest prints can be selected by its name; a step of a rollback cannot.
        Format::Libtest => entries
            .iter()
            .filter(|entry| entry.phase.is_some())
            .map(|entry| format!("{}: test", entry.id))
            .collect(),
        Format::Json => entries.iter().map(|entry| json(entry, fill)).collect(),
        Format::Pretty => pretty(entries, look, fill),
    }
}

fn json(entry: &Entry, fill: &dyn Fn(&str) -> String) -> String {
    let mut value = serde_json::to_value(entry).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.insert("title".into(), fill(entry.title).into());
        map.insert("schema".into(), reports::model::SCHEMA.into());
    }
    value.to_string()
}

fn pretty(entries: &[&Entry], look: Look, fill: &dyn Fn(&str) -> String) -> Vec<String> {
    let name = |entry: &Entry| match entry.kind {
        Kind::Check => entry.id.to_owned(),
        Kind::Action => format!("{} [action]", entry.id),
    };
    let longest = entries
        .iter()
        .map(|entry| name(entry).len())
        .max()
        .unwrap_or(0);
    let mut lines = Vec::new();
    let mut phase = None;
    for entry in entries {
        if phase != Some(entry.phase) {
            if phase.is_some() {
                lines.push(String::new());
            }
            phase = Some(entry.phase);
            let (heading, question) = match entry.phase {
                Some(phase) => (
                    format!("{} {}", phase.number(), phase.name()),
                    phase.question(),
                ),
                None => (
                    "rollback".to_owned(),
                    "how does it go out again? (--rollback; no step can be selected)",
                ),
            };
            lines.push(format!("{} · {question}", look.strong(&heading)));
        }
        let name = format!("{:longest$}", name(entry));
        let mut title = fill(entry.title);
        if entry.severity == Severity::Warn {
            title.push_str(" (warns)");
        }
        if let Some(width) = look.width {
            title = cut(&title, width.saturating_sub(longest + 4));
        }
        lines.push(format!("  {name}  {}", look.faint(&title)));
    }
    let number = |kind: Kind, step: bool| {
        let of = |entry: &&&Entry| entry.kind == kind && entry.phase.is_none() == step;
        entries.iter().filter(of).count()
    };
    let steps = number(Kind::Action, true);
    let more = match steps {
        0 => String::new(),
        _ => format!(", {} of a rollback", count(steps, "step")),
    };
    lines.push(String::new());
    lines.push(format!(
        "{}, {}{more}",
        count(number(Kind::Check, false), "check"),
        count(number(Kind::Action, false), "action")
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::example;

    fn entries() -> Vec<Entry> {
        let mut warns = example("join::taints", Kind::Check);
        warns.severity = Severity::Warn;
        warns.requires = &["join::registered"];
        warns.after = Some("join::label");
        vec![
            example("join::registered", Kind::Check),
            example("join::label", Kind::Action),
            warns,
            example("storage::node_ready", Kind::Check),
        ]
    }

    fn fill(text: &str) -> String {
        text.replace("{node}", "k3s2")
    }

    fn listed(format: Option<Format>, width: Option<usize>) -> String {
        let entries = entries();
        let all: Vec<&Entry> = entries.iter().collect();
        let look = Look {
            color: false,
            width,
        };
        list(&all, format, look, &fill).join("\n")
    }

    #[test]
    fn a_terminal_gets_headings_and_titles() {
        insta::assert_snapshot!(listed(None, Some(50)), @r"
        3 node_join_monitoring · is it in the cluster?
          join::registered      It is as k3s2 wants it.
          join::label [action]  It is as k3s2 wants it.
          join::taints          It is as k3s2 wants it. (…

        4 storage_integration · does Longhorn use it?
          storage::node_ready   It is as k3s2 wants it.

        3 checks, 1 action
        ");
    }

    #[test]
    fn a_pipe_gets_what_libtest_prints() {
        insta::assert_snapshot!(listed(None, None), @r"
        join::registered: test
        join::label: test
        join::taints: test
        storage::node_ready: test
        ");
        assert_eq!(listed(Some(Format::Libtest), Some(80)), listed(None, None));
        assert_ne!(listed(Some(Format::Pretty), None), listed(None, None));
    }

    #[test]
    fn json_is_one_object_a_line() {
        let listed = listed(Some(Format::Json), None);
        assert_eq!(listed.lines().count(), 4);
        let third: serde_json::Value =
            serde_json::from_str(listed.lines().nth(2).unwrap()).unwrap();
        assert_eq!(
            third,
            serde_json::json!({
                "schema": 1, "id": "join::taints", "phase": "node_join_monitoring", "kind": "check",
                "severity": "warn", "title": "It is as k3s2 wants it.", "criterion": "2.3",
                "requires": ["join::registered"], "after": "join::label", "needs": ["list nodes"],
            })
        );
    }
}
