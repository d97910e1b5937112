//! The script: one command a line, in the order in which they are run. A command finds what those before it have left.

/// One command.
pub(super) struct Step {
    /// The arguments of kubectl; words in single quotes are one argument.
    pub(super) line: &'static str,
    looks: Looks,
}

/// What of the output is compared.
#[derive(Clone, Copy)]
enum Looks {
    All,
    /// Only the lines that name a field with its type, of `explain`: prose is not part of the sandbox.
    Fields,
    /// Sorted, for what comes in no order of its own.
    Sorted,
}

impl Step {
    /// The line as arguments.
    pub(super) fn words(&self) -> Vec<String> {
        let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
        for c in self.line.chars() {
            match c {
                '\'' => {
                    quoted = !quoted;
                    any = true;
                }
                ' ' if !quoted => {
                    if any || !word.is_empty() {
                        words.push(std::mem::take(&mut word));
                    }
                    any = false;
                }
                _ => word.push(c),
            }
        }
        if any || !word.is_empty() {
            words.push(word);
        }
        words
    }

    /// The part of the output that is compared.
    pub(super) fn seen(&self, out: &str) -> String {
        match self.looks {
            Looks::All => out.to_owned(),
            Looks::Fields => {
                let typed = |line: &&str| {
                    let trimmed = line.trim();
                    trimmed.starts_with("KIND:")
                        || trimmed.starts_with("VERSION:")
                        || trimmed.starts_with("FIELD:")
                        || trimmed.contains('\t') && trimmed.contains('<')
                };
                // Which fields are required, the types that the sandbox reads its fields from do not say.
                out.lines()
                    .filter(typed)
                    .map(|line| format!("{}\n", line.replace(" -required-", "")))
                    .collect()
            }
            Looks::Sorted => {
                let mut lines: Vec<&str> = out.lines().collect();
                lines.sort_unstable();
                lines.iter().map(|line| format!("{line}\n")).collect()
            }
        }
    }
}

/// The files that the commands name.
pub(super) const FILES: &[(&str, &str)] = &[
    ("nodes.yaml", include_str!("files/nodes.yaml")),
    ("shop.yaml", include_str!("files/shop.yaml")),
    ("settings.yaml", include_str!("files/settings.yaml")),
    ("definition.yaml", include_str!("files/definition.yaml")),
    ("disks.yaml", include_str!("files/disks.yaml")),
    ("wrong.yaml", include_str!("files/wrong.yaml")),
    ("event.yaml", include_str!("files/event.yaml")),
];

/// The whole script.
pub(super) fn all() -> Vec<Step> {
    let lines = include_str!("files/script.txt").lines();
    lines
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (looks, line) = match line.split_once("| ") {
                Some(("fields", line)) => (Looks::Fields, line),
                Some(("sorted", line)) => (Looks::Sorted, line),
                _ => (Looks::All, line),
            };
            Step { line, looks }
        })
        .collect()
}
