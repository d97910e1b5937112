//! What a rollback would do, and what stands in the way, as a person reads it before saying yes.

use phases::rollback::Forecast;

use crate::{
    term::Look,
    text::{clean, columns, count, wrap},
};

/// Columns where the output goes to no terminal.
const PIPED: usize = 120;
/// Columns of a label.
const LABEL: usize = 10;
/// Most changes of one step that are shown; the log has them all.
const MOST: usize = 12;

/// The lines.
pub(super) fn lines(
    forecast: &Forecast,
    plan: &[(String, Vec<String>)],
    look: Look,
) -> Vec<String> {
    let mut page = Page {
        lines: Vec::new(),
        width: look.width.unwrap_or(PIPED),
    };
    page.lines
        .push(look.strong("Forecast · from reads only, nothing is changed yet"));
    page.labelled("node", std::slice::from_ref(&forecast.node));
    page.labelled("pods", &pods(forecast));
    let copies: Vec<String> = forecast
        .copies
        .iter()
        .map(|one| format!("{}: {}", one.volume, one.fate))
        .collect();
    page.labelled("copies", &or(copies, "no replica of Longhorn is on it"));
    if !forecast.lost.is_empty() {
        page.labelled("LOST", &forecast.lost);
    }
    let owners = forecast
        .owners
        .iter()
        .map(|one| format!("{one} would put its objects back, and is suspended meanwhile"))
        .collect();
    page.labelled("flux", &or(owners, "no Kustomization owns anything of it"));
    page.labelled(
        "git",
        &or(vec![forecast.git.clone()], "nothing to take back"),
    );
    if !forecast.blockers.is_empty() {
        page.lines.push(String::new());
        page.lines.push(look.bad(&format!(
            "In the way · {}",
            count(forecast.blockers.len(), "thing")
        )));
        for one in &forecast.blockers {
            page.hang(
                &format!("  {}  ", one.reason),
                &format!("{}: {}", clean(&one.object), clean(&one.message)),
                4,
            );
            page.hang("    do  ", one.hint, 8);
        }
    }
    if !plan.is_empty() {
        page.lines.push(String::new());
        page.lines
            .push(look.strong("Plan · in this order, each step as far as it is needed"));
    }
    for (id, changes) in plan {
        page.lines.push(format!("  {}", clean(id)));
        for change in changes.iter().take(MOST) {
            for (number, line) in change.lines().enumerate() {
                let line = keep(line);
                // A diff keeps its shape; a sentence is wrapped.
                if change.lines().count() > 1 {
                    page.lines
                        .push(format!("      {line}").trim_end().to_owned());
                } else if number == 0 {
                    page.hang("    ", &line, 6);
                }
            }
        }
        if changes.len() > MOST {
            page.lines
                .push(format!("    and {} more", changes.len() - MOST));
        }
    }
    page.lines.push(String::new());
    page.lines
}

fn pods(forecast: &Forecast) -> Vec<String> {
    let mut parts: Vec<String> = forecast
        .evicted
        .iter()
        .map(|one| match one.covered_by.as_slice() {
            [] => format!("{} is evicted", one.pod),
            flags => format!("{} is evicted, for good ({})", one.pod, flags.join(", ")),
        })
        .collect();
    if forecast.staying > 0 {
        parts.push(format!("{} go with the node", forecast.staying));
    }
    or(parts, "none")
}

fn or(lines: Vec<String>, nothing: &str) -> Vec<String> {
    let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        vec![nothing.to_owned()]
    } else {
        lines
    }
}

/// Without control characters and secrets, and with its spaces.
fn keep(line: &str) -> String {
    let indent = line.len() - line.trim_start().len();
    format!("{}{}", " ".repeat(indent), clean(line.trim_start()))
}

struct Page {
    lines: Vec<String>,
    width: usize,
}

impl Page {
    fn labelled(&mut self, label: &str, all: &[String]) {
        for (number, one) in all.iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            self.hang(&format!("  {label:LABEL$}"), &clean(one), LABEL + 2);
        }
    }

    /// A first line with its head, the others indented.
    fn hang(&mut self, head: &str, text: &str, indent: usize) {
        let room = self.width.saturating_sub(columns(head).max(indent));
        for (number, line) in wrap(text, room).into_iter().enumerate() {
            self.lines.push(if number == 0 {
                format!("{head}{line}")
            } else {
                format!("{:indent$}{line}", "")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use phases::rollback::{Blocker, Copy, Evicted};

    use super::*;

    #[test]
    fn what_is_lost_and_what_is_in_the_way_is_named() {
        let forecast = Forecast {
            node: "Ready".into(),
            evicted: vec![Evicted {
                pod: "apps/cache".into(),
                covered_by: vec!["--delete-emptydir-data"],
            }],
            staying: 9,
            copies: vec![Copy {
                replica: "r".into(),
                volume: "v (apps/data)".into(),
                fate: "Longhorn copies it to k3s1".into(),
                last: false,
            }],
            lost: vec!["w".into()],
            blockers: vec![Blocker {
                reason: "DisruptionBudget",
                object: "pod apps/whoami".into(),
                message: "needs 1".into(),
                hint: "give it another",
            }],
            ..Forecast::default()
        };
        let plan = vec![(
            "rollback::deactivate".to_owned(),
            vec!["--- a\n+++ b\n-  - x\n+  # - x\n".to_owned()],
        )];
        let text = lines(&forecast, &plan, Look::default()).join("\n");
        for wanted in [
            "apps/cache is evicted, for good (--delete-emptydir-data)",
            "9 go with the node",
            "v (apps/data): Longhorn copies it to k3s1",
            "LOST",
            "In the way · 1 thing",
            "DisruptionBudget  pod apps/whoami: needs 1",
            "do  give it another",
            "      +  # - x",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
    }

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        let forecast = Forecast {
            git: "a word ".repeat(40),
            ..Forecast::default()
        };
        let look = Look {
            width: Some(80),
            ..Look::default()
        };
        for line in lines(&forecast, &[], look) {
            assert!(columns(&line) <= 80, "{line}");
        }
    }
}
