//! `--explain`: all that is known of one check or action, or of one reason, without a cluster. Written for somebody who
//! knows Kubernetes a little and Longhorn and Flux not at all.

use std::collections::BTreeMap;

use checks::{COMMON_REASONS, Need, Settings, explain::words_in, rights::Right};
use reports::model::{Kind, Severity};
use serde_json::json;

use crate::{
    build,
    catalogue::{self, Entry},
    cli::Cli,
    exit::{Exit, Halt},
    near,
    options::Format,
    shown::{self, Shown},
    term::{self, Look},
    text::{clean, wrap},
};

/// Carries out `--explain`.
///
/// # Errors
/// There is no such check, action or reason, or the configuration cannot be used.
pub(crate) fn show(cli: &Cli, id: &str) -> Result<Exit, Halt> {
    let options = build::from_environment(cli)?;
    let look = Look::stdout(cli.color);
    let entries = catalogue::listed();
    if let Some(lines) = reason(id, entries, look, &options.settings) {
        lines.iter().for_each(|line| term::out(line));
        return Ok(Exit::Passed);
    }
    let entry = find(id, entries)?;
    if cli.format == Some(Format::Json) {
        term::object(&as_json(entry, &options.settings));
    } else {
        for line in explain(entry, look, &options.settings) {
            term::out(&line);
        }
    }
    Ok(Exit::Passed)
}

/// The check or action of this id.
///
/// # Errors
/// There is none; what was meant is said.
fn find<'a>(id: &str, all: &'a [Entry]) -> Result<&'a Entry, Halt> {
    all.iter().find(|entry| entry.id == id).ok_or_else(|| {
        let near = near::several(id, all.iter().map(|entry| entry.id), 3);
        let hint = if near.is_empty() {
            "--list shows every check and action".to_owned()
        } else {
            format!("did you mean {}?", near.join(" or "))
        };
        Halt::new(
            Exit::NothingSelected,
            format!("there is no check or action `{}`", clean(id)),
            hint,
        )
    })
}

/// The lines about one reason: what to do about it, wherever it is given.
fn reason(code: &str, all: &[Entry], look: Look, settings: &Settings) -> Option<Vec<String>> {
    let common = COMMON_REASONS.iter().find(|one| one.code == code);
    let mut remedies: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in all {
        if let Some(own) = entry.reasons.iter().find(|one| one.code == code) {
            remedies.entry(own.remedy).or_default().push(entry.id);
        }
    }
    if common.is_none() && remedies.is_empty() {
        return None;
    }
    let width = look.width.unwrap_or(100);
    let mut lines = vec![look.warn(code)];
    let mut say = |who: &str, remedy: &str| {
        lines.push(String::new());
        lines.extend(wrap(who, width));
        let remedy = settings.fill(remedy);
        lines.extend(indented(&remedy, width, 2));
    };
    if let Some(common) = common {
        say("from any check or action", common.remedy);
    }
    for (remedy, ids) in &remedies {
        say(&format!("from {}", ids.join(", ")), remedy);
    }
    Some(lines)
}

fn indented(text: &str, width: usize, by: usize) -> Vec<String> {
    wrap(text, width.saturating_sub(by))
        .into_iter()
        .map(|line| format!("{:by$}{line}", ""))
        .collect()
}

/// The request that a need leads to, as the API server logs it.
fn call(need: &Need, settings: &Settings) -> Option<String> {
    let right = Right::of(need, settings)?;
    if right.path {
        return Some(format!("GET {}", right.resource));
    }
    let (resource, subresource) = right
        .resource
        .split_once('/')
        .unwrap_or((right.resource, ""));
    let version = checks::kinds::ALL
        .iter()
        .find(|kind| kind.group == right.group && kind.plural == resource)
        .and_then(|kind| kind.versions.first().copied())
        .unwrap_or("v1");
    let mut path = if right.group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{}/{version}", right.group)
    };
    if !right.namespace.is_empty() {
        path.push_str(&format!("/namespaces/{}", right.namespace));
    }
    path.push_str(&format!("/{resource}"));
    if !right.name.is_empty() {
        path.push_str(&format!("/{}", right.name));
    } else if !subresource.is_empty() || !matches!(right.verb, "list" | "watch" | "create") {
        // One of them, whichever it comes to be.
        path.push_str("/…");
    }
    if !subresource.is_empty() {
        path.push_str(&format!("/{subresource}"));
    }
    let method = match right.verb {
        "get" | "list" => "GET",
        "watch" => return Some(format!("GET {path}?watch=true")),
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        _ => "DELETE",
    };
    Some(format!("{method} {path}"))
}

/// `list nodes.longhorn.io in namespace longhorn-system: GET /apis/…`, one line a need.
fn asked(entry: &Entry, settings: &Settings) -> Vec<String> {
    entry
        .rights
        .iter()
        .map(
            |need| match (Right::of(need, settings), call(need, settings)) {
                (Some(right), Some(call)) => format!("{right}: {call}"),
                _ => "reads the GitOps repository".to_owned(),
            },
        )
        .collect()
}

fn weight(entry: &Entry) -> &'static str {
    match (entry.kind, entry.severity) {
        (Kind::Action, _) => "changes something",
        (Kind::Check, Severity::Fail) => "fails the phase",
        (Kind::Check, Severity::Warn) => "warns",
    }
}

fn criterion(entry: &Entry) -> String {
    let text = entry.criterion;
    if text.starts_with(|one: char| one.is_ascii_digit()) {
        format!("criterion {text}")
    } else {
        text.to_owned()
    }
}

fn as_json(entry: &Entry, settings: &Settings) -> serde_json::Value {
    json!({
        "schema": reports::model::SCHEMA, "id": entry.id, "phase": entry.part(), "kind": entry.kind,
        "severity": entry.severity, "criterion": entry.criterion, "title": settings.fill(entry.title),
        "why": settings.fill(entry.why), "decided": settings.fill(entry.decided),
        "requires": entry.requires, "after": entry.after, "waits": entry.awaits,
        "rights": asked(entry, settings), "undo": entry.inverse.map(|text| settings.fill(text)),
        "reasons": entry.reasons.iter().map(|one| json!({"code": one.code, "remedy": settings.fill(one.remedy)}))
            .collect::<Vec<_>>(),
        "shown_by": shown::of(entry.id).map(|one| json!({
            "fault": one.fault, "what": one.what(), "outcome": one.outcome, "reason": one.reason,
            "command": one.command().replace("NAME", one.fault),
        })).collect::<Vec<_>>(),
        "words": words(entry).iter().map(|one| json!({"word": one.word, "meaning": one.meaning})).collect::<Vec<_>>(),
    })
}

fn words(entry: &Entry) -> Vec<&'static checks::explain::Word> {
    words_in(&format!(
        "{}\n{}\n{}",
        entry.title, entry.why, entry.decided
    ))
}

/// The lines about one check or action.
fn explain(entry: &Entry, look: Look, settings: &Settings) -> Vec<String> {
    let width = look.width.unwrap_or(100);
    let part = match entry.phase {
        Some(phase) => format!("phase {phase}"),
        None => "step of --rollback".to_owned(),
    };
    let mut lines = vec![format!(
        "{}   {} · {} · {part}",
        look.strong(entry.id),
        weight(entry),
        criterion(entry),
    )];
    lines.extend(wrap(&settings.fill(entry.title), width));
    lines.push(String::new());
    let mut paragraph = |label: &str, text: &str| {
        for (number, line) in wrap(text, width.saturating_sub(12)).into_iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            lines.push(format!("{label:12}{line}"));
        }
    };
    paragraph("why", &settings.fill(entry.why));
    let how = if entry.kind == Kind::Action {
        "done"
    } else {
        "decided"
    };
    paragraph(how, &settings.fill(entry.decided));
    for (number, line) in asked(entry, settings).iter().enumerate() {
        paragraph(if number == 0 { "asks" } else { "" }, line);
    }
    if !entry.requires.is_empty() {
        paragraph("requires", &entry.requires.join(", "));
    }
    if let Some(action) = entry.after {
        paragraph("after", &format!("the action {action}"));
    }
    if entry.awaits {
        paragraph(
            "waits",
            "in an ordered run, up to the limit of the phase; what it lists is then watched too",
        );
    }
    if let Some(inverse) = entry.inverse {
        paragraph("undo", &settings.fill(inverse));
    }
    for (fix, reasons) in phases::fixes::for_check(entry.id) {
        let text = format!(
            "--auto-fix {} (for {})",
            settings.fill(fix.title),
            reasons.join(", ")
        );
        paragraph("fix", &text);
    }
    lines.push(String::new());
    lines.push("When it does not pass:".into());
    for reason in entry.reasons {
        lines.push(format!("  {}", look.warn(reason.code)));
        lines.extend(indented(&settings.fill(reason.remedy), width, 4));
    }
    let common: Vec<&str> = COMMON_REASONS.iter().map(|one| one.code).collect();
    let others = format!(
        "or, as from any check (--explain tells about each): {}",
        common.join(", ")
    );
    lines.extend(indented(&others, width, 2));
    let words = words(entry);
    if !words.is_empty() {
        lines.push(String::new());
        lines.push("Words:".into());
        for word in words {
            lines.extend(indented(
                &format!("{}: {}", word.word, word.meaning),
                width,
                2,
            ));
        }
    }
    lines.extend(tried(entry, look, width));
    lines.push(String::new());
    lines.push(match entry.kind {
        _ if entry.phase.is_none() => {
            "what it would do now:  harness --rollback --dry-run".to_owned()
        }
        Kind::Check => format!("ask only this:  harness {} --exact", entry.id),
        Kind::Action => format!("do only this:   harness {} --exact --apply", entry.id),
    });
    lines
}

/// Which faults of the sandbox show it, by what is to be typed.
fn tried(entry: &Entry, look: Look, width: usize) -> Vec<String> {
    /// Most faults that are told in a sentence each.
    const TOLD: usize = 6;
    let mut by_command: Vec<(String, Vec<&Shown>)> = Vec::new();
    // A fault that shows in few places is more to the point than one that shows everywhere.
    let mut all: Vec<&Shown> = shown::of(entry.id).collect();
    all.sort_by_key(|one| shown::breadth(one.fault));
    for one in all {
        let command = one.command();
        match by_command.iter_mut().find(|(known, _)| *known == command) {
            Some((_, faults)) => faults.push(one),
            None => by_command.push((command, vec![one])),
        }
    }
    let mut lines = Vec::new();
    if !by_command.is_empty() {
        lines.push(String::new());
        lines.push("To see it say so, without a cluster (NAME is one of those below):".to_owned());
    }
    for (command, faults) in by_command {
        lines.extend(indented(&command, width, 2));
        for one in faults.iter().take(TOLD) {
            lines.push(format!(
                "    {}   {} {}",
                look.strong(one.fault),
                one.outcome,
                one.reason
            ));
            lines.extend(indented(one.what(), width, 6));
        }
        if faults.len() > TOLD {
            let names: Vec<&str> = faults.iter().skip(TOLD).map(|one| one.fault).collect();
            lines.extend(indented(&format!("and {}", names.join(", ")), width, 4));
        }
    }
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
        vec![example("join::registered", Kind::Check), warns]
    }

    #[test]
    fn a_request_for_one_of_many_is_no_request_for_all() {
        let settings = Settings::default();
        let replicas = &checks::kinds::LONGHORN_REPLICAS;
        let all = "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/replicas";
        let called = |need| call(&need, &settings).unwrap();
        assert_eq!(called(Need::list(replicas)), format!("GET {all}"));
        assert_eq!(called(Need::get(replicas)), format!("GET {all}/…"));
        assert_eq!(
            called(Need::verb("delete", replicas)),
            format!("DELETE {all}/…")
        );
        let claims = Need::verb("create", &checks::kinds::CLAIMS);
        assert!(called(claims).ends_with("/persistentvolumeclaims"));
    }

    #[test]
    fn a_check_is_explained_and_a_slip_is_understood() {
        let entries = entries();
        let look = Look {
            color: false,
            width: Some(60),
        };
        let settings = Settings::default();
        let entry = find("join::taints", &entries).unwrap();
        // The reasons that any check may give are a list of their own.
        let mut common = false;
        let mut lines = explain(entry, look, &settings);
        lines.retain(|line| {
            common = line.starts_with("  or, as from any check") || (common && !line.is_empty());
            !common
        });
        insta::assert_snapshot!(lines.join("\n"), @r"
        join::taints   warns · criterion 2.3 · phase node_join_monitoring
        It is as k3s2 wants it.

        why         Because it matters.
        decided     Looks at the conditions of the node.
        asks        list nodes: GET /api/v1/nodes
        requires    join::registered
        after       the action join::label

        When it does not pass:
          NotSo
            make it so on k3s2

        Words:
          condition: one line of an object's status: a type, True,
          False or Unknown, and a reason

        To see it say so, without a cluster (NAME is one of those below):
          harness --sandbox --sandbox-fault NAME --phase join
            node-tainted   warn UnexpectedTaint
              Somebody has tainted the new node.
            node-cordoned   warn Cordoned
              Somebody has cordoned the new node.

        ask only this:  harness join::taints --exact
        ");
        let halt = find("join::taint", &entries).unwrap_err();
        assert_eq!(halt.exit, Exit::NothingSelected);
        assert_eq!(halt.hint, "did you mean join::taints?");
        let halt = find("zzz", &entries).unwrap_err();
        assert_eq!(halt.hint, "--list shows every check and action");
    }

    #[test]
    fn a_reason_is_explained_by_what_to_do() {
        let look = Look {
            color: false,
            width: Some(60),
        };
        let settings = Settings::default();
        let own = reason("NotSo", &entries(), look, &settings)
            .unwrap()
            .join("\n");
        assert!(
            own.contains("from join::registered, join::taints")
                && own.contains("make it so on k3s2"),
            "{own}"
        );
        let common = reason("MissingPermission", &entries(), look, &settings).unwrap();
        assert!(common.iter().any(|line| line == "from any check or action"));
        assert_eq!(reason("Nothing", &entries(), look, &settings), None);
    }

    #[test]
    fn every_check_is_explained_in_full() {
        let settings = Settings::default();
        let mut whole = 0;
        for entry in catalogue::listed() {
            assert!(
                !entry.decided.is_empty() && entry.decided != entry.title,
                "{} does not say how it decides",
                entry.id
            );
            assert!(
                !entry.why.is_empty() && !entry.reasons.is_empty(),
                "{}",
                entry.id
            );
            assert!(!entry.criterion.is_empty(), "{} serves nothing", entry.id);
            assert!(
                entry.reasons.iter().all(|one| one.remedy.len() > 10),
                "{} has a reason without a hint",
                entry.id
            );
            assert!(
                asked(entry, &settings).iter().all(|line| line.len() > 8),
                "{}",
                entry.id
            );
            whole += usize::from(entry.kind == Kind::Check);
        }
        assert!(whole >= 110, "only {whole} checks");
    }
}
