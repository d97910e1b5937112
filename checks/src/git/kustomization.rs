//! The list `resources:` of a kustomization file, line by line: which entries are active, which are commented out.
//!
//! The file is parsed as YAML and, beside that, read by lines; both must agree on the active entries. Only then may
//! somebody edit a line of it (`phases::git::edit` does) and know what the edit means. So plain block lists are
//! understood and anything else is an error that says so.

use std::path::Path;

use serde_json::Value;

use super::error::GitError;
use crate::yaml;

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The line it stands on, from 1.
    pub line: usize,
    /// Whether it counts, as opposed to being commented out.
    pub active: bool,
    /// Everything before its dash: the indentation, and where it is commented out the comment sign, as they stand.
    pub prefix: String,
    /// The path as it is written, without quotes.
    pub path: String,
}

/// What there is of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryState {
    /// It counts.
    Active {
        /// The line it stands on, from 1.
        line: usize,
    },
    /// It is commented out.
    Commented {
        /// The line it stands on, from 1.
        line: usize,
        /// Everything before its dash, for example `  # `: what a later deactivation writes again.
        spelling: String,
    },
    /// It is not there.
    Missing {
        /// What is there instead: the entries, and lines elsewhere that mention the name.
        candidates: Vec<String>,
    },
    /// It is there more than once, commented or not.
    Several {
        /// The lines, from 1.
        lines: Vec<usize>,
    },
}

/// The entries under `resources:` of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    items: Vec<Item>,
    indent: Option<String>,
    mentions: Vec<(usize, String)>,
}

impl Resources {
    /// Reads the list; `file` is for messages.
    ///
    /// # Errors
    /// [`GitError::Malformed`] if it is not one YAML document with a list of strings, [`GitError::UnsupportedShape`]
    /// if the list is not written one entry a line.
    pub fn read(file: &Path, text: &str) -> Result<Self, GitError> {
        let expected = listed(&document(file, text)?).map_err(|why| malformed(file, &why))?;
        let found = scan(text).map_err(|why| shape(file, why))?;
        let active: Vec<&str> = found
            .items
            .iter()
            .filter(|item| item.active)
            .map(|item| item.path.as_str())
            .collect();
        if active != expected {
            return Err(shape(
                file,
                "its entries under resources are not each on a line of their own".into(),
            ));
        }
        Ok(found)
    }

    /// Every entry, in the order of lines.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The indentation of the active entries; none if there are none.
    #[must_use]
    pub fn indent(&self) -> Option<&str> {
        self.indent.as_deref()
    }

    /// Every entry that names this path, however it is spelt.
    #[must_use]
    pub fn matching(&self, entry: &str) -> Vec<&Item> {
        let wanted = normalised(entry);
        self.items
            .iter()
            .filter(|item| normalised(&item.path) == wanted)
            .collect()
    }

    /// What there is of this entry.
    #[must_use]
    pub fn state(&self, entry: &str) -> EntryState {
        match self.matching(entry).as_slice() {
            [] => EntryState::Missing {
                candidates: self.candidates(entry),
            },
            [item] if item.active => EntryState::Active { line: item.line },
            [item] => EntryState::Commented {
                line: item.line,
                spelling: item.prefix.clone(),
            },
            several => EntryState::Several {
                lines: several.iter().map(|item| item.line).collect(),
            },
        }
    }

    /// The one item that names this path.
    ///
    /// # Errors
    /// [`GitError::EntryMissing`], [`GitError::EntryDoubled`].
    pub fn require(&self, file: &Path, entry: &str) -> Result<&Item, GitError> {
        let (file, entry_text) = (file.to_owned(), entry.to_owned());
        match self.matching(entry).as_slice() {
            [item] => Ok(item),
            [] => Err(GitError::EntryMissing {
                file,
                entry: entry_text,
                candidates: self.candidates(entry),
            }),
            several => Err(GitError::EntryDoubled {
                file,
                entry: entry_text,
                lines: several.iter().map(|item| item.line).collect(),
            }),
        }
    }

    fn candidates(&self, entry: &str) -> Vec<String> {
        let wanted = normalised(entry);
        let name = wanted.rsplit('/').next().unwrap_or_default();
        let items = self.items.iter().map(|item| {
            format!(
                "line {}: {}{}",
                item.line,
                if item.active { "" } else { "# " },
                item.path
            )
        });
        let elsewhere = self
            .mentions
            .iter()
            .filter(|(_, text)| !name.is_empty() && text.contains(name))
            .map(|(line, text)| format!("line {line}, not under resources: {text}"));
        items.chain(elsewhere).take(12).collect()
    }
}

/// The whole document, as one value.
///
/// # Errors
/// [`GitError::Malformed`].
pub fn document(file: &Path, text: &str) -> Result<Value, GitError> {
    let value: Value =
        serde_saphyr::from_str(text).map_err(|error| malformed(file, &yaml::trouble(error)))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(malformed(file, "expected a mapping at its top"))
    }
}

/// The paths under `resources` of a parsed kustomization; an empty list if the key is absent or has no value.
///
/// # Errors
/// What it is instead of a list of strings.
pub fn listed(document: &Value) -> Result<Vec<String>, String> {
    match document.get("resources") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(entries)) => entries
            .iter()
            .map(|entry| {
                entry
                    .as_str()
                    .map(str::to_owned)
                    .ok_or_else(|| format!("{entry} under resources is not a path"))
            })
            .collect(),
        Some(_) => Err("resources is not a list".into()),
    }
}

/// A path in the one spelling that comparisons use: no `./`, no doubled or trailing slashes. Addresses keep theirs.
#[must_use]
pub fn normalised(path: &str) -> String {
    let path = path.trim();
    if path.contains("://") {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", Some(&last)) if last != ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let rooted = if path.starts_with('/') { "/" } else { "" };
    format!("{rooted}{}", parts.join("/"))
}

/// A line without its end, which may be CR LF.
#[must_use]
pub fn without_end(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

fn scan(text: &str) -> Result<Resources, String> {
    let mut found = Resources {
        items: Vec::new(),
        indent: None,
        mentions: Vec::new(),
    };
    let mut inside = false;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let (number, body) = (index + 1, without_end(line));
        let trimmed = body.trim_start_matches([' ', '\t']);
        let lead = body.get(..body.len() - trimmed.len()).unwrap_or_default();
        if inside
            && lead.is_empty()
            && !trimmed.is_empty()
            && !trimmed.starts_with('#')
            && !is_item(trimmed)
        {
            inside = false;
        }
        if !inside {
            match resources_key(body.trim_start_matches('\u{feff}')) {
                Some(rest) => {
                    block_follows(rest)?;
                    inside = true;
                }
                None if !trimmed.is_empty() => found.mentions.push((number, trimmed.to_owned())),
                None => {}
            }
        } else if is_item(trimmed) {
            // A dash that is indented further belongs to something within an entry, and will not pass the comparison
            // with the parsed list.
            if found.indent.get_or_insert_with(|| lead.to_owned()) == lead {
                let path = item_path(trimmed)
                    .ok_or_else(|| format!("line {number} under resources is not a path"))?;
                found.items.push(Item {
                    line: number,
                    active: true,
                    prefix: lead.to_owned(),
                    path,
                });
            }
        } else if let Some(comment) = trimmed.strip_prefix('#') {
            let inner = comment.trim_start_matches([' ', '\t']);
            match is_item(inner).then(|| item_path(inner)).flatten() {
                Some(path) => {
                    let prefix = body
                        .get(..body.len() - inner.len())
                        .unwrap_or_default()
                        .to_owned();
                    found.items.push(Item {
                        line: number,
                        active: false,
                        prefix,
                        path,
                    });
                }
                None => found.mentions.push((number, trimmed.to_owned())),
            }
        }
    }
    Ok(found)
}

fn is_item(text: &str) -> bool {
    text.strip_prefix('-')
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

/// What follows `resources:` on the line of that key, if this is the line.
fn resources_key(body: &str) -> Option<&str> {
    let rest = ["resources", "\"resources\"", "'resources'"]
        .iter()
        .find_map(|key| body.strip_prefix(key))?;
    let rest = rest.trim_start_matches([' ', '\t']).strip_prefix(':')?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| rest.trim())
}

fn block_follows(rest: &str) -> Result<(), String> {
    match rest.chars().next() {
        None | Some('#') => Ok(()),
        Some('[') => Err("resources is a flow sequence ([a, b])".into()),
        Some(_) => Err(format!("resources: is followed by {rest} on the same line")),
    }
}

/// The path of `- path # comment`; none if it is anything but a string.
fn item_path(item: &str) -> Option<String> {
    match serde_saphyr::from_str::<Value>(item).ok()? {
        Value::Array(entries) => match entries.as_slice() {
            [Value::String(path)] => Some(path.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn malformed(file: &Path, why: &str) -> GitError {
    // The parser shows the place in several lines; the first says it.
    let why = why.lines().next().unwrap_or_default().to_owned();
    GitError::Malformed {
        file: file.to_owned(),
        why,
    }
}

fn shape(file: &Path, why: String) -> GitError {
    GitError::UnsupportedShape {
        file: file.to_owned(),
        why,
    }
}
