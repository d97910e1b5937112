//! Activates or deactivates one entry of a kustomization by changing one line and no other byte.
//!
//! Nothing here reads or writes files: bytes in, bytes out. The document is parsed before and after and must differ in
//! exactly that entry, at the place in the list where the line stands.

use std::path::{Path, PathBuf};

use checks::git::GitError;
use checks::git::kustomization::{self, Item, Resources};
use serde_json::Value;
use similar::TextDiff;

use super::error::ChangeError;

/// An edit of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file, from the root of the repository.
    pub file: PathBuf,
    /// The bytes before it.
    pub before: Vec<u8>,
    /// The bytes after it.
    pub after: Vec<u8>,
    /// The line, from 1.
    pub line: usize,
    /// What stands before the dash of the entry while it is commented out, for example `  # `: kept, it makes a later
    /// deactivation restore the very same bytes.
    pub spelling: String,
}

/// What is to become of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// It counts.
    Active,
    /// It is commented out, in this spelling if one is known.
    Commented {
        /// See [`Edit::spelling`].
        spelling: Option<String>,
    },
}

impl Edit {
    /// The edit that takes this one back.
    #[must_use]
    pub fn undone(&self) -> Self {
        Self {
            before: self.after.clone(),
            after: self.before.clone(),
            ..self.clone()
        }
    }

    /// The edit as a unified diff, as `git diff` would show it.
    #[must_use]
    pub fn diff(&self) -> String {
        let (before, after) = (
            String::from_utf8_lossy(&self.before),
            String::from_utf8_lossy(&self.after),
        );
        let name = self.file.display();
        TextDiff::from_lines(before.as_ref(), after.as_ref())
            .unified_diff()
            .context_radius(3)
            .header(&format!("a/{name}"), &format!("b/{name}"))
            .to_string()
    }
}

/// Uncomments the entry; none if it counts already.
///
/// # Errors
/// [`GitError::EntryMissing`], [`GitError::EntryDoubled`], [`GitError::Malformed`], [`GitError::UnsupportedShape`],
/// [`ChangeError::EditRefused`].
pub fn activate(file: &Path, bytes: &[u8], entry: &str) -> Result<Option<Edit>, ChangeError> {
    edit(file, bytes, entry, &Wanted::Active)
}

/// Comments the entry out, in the spelling given if it is one; none if it is commented out already.
///
/// # Errors
/// As [`activate`].
pub fn deactivate(
    file: &Path,
    bytes: &[u8],
    entry: &str,
    spelling: Option<&str>,
) -> Result<Option<Edit>, ChangeError> {
    edit(
        file,
        bytes,
        entry,
        &Wanted::Commented {
            spelling: spelling.map(str::to_owned),
        },
    )
}

/// Makes of the entry what is wanted; none if it is so already.
///
/// # Errors
/// As [`activate`].
pub fn edit(
    file: &Path,
    bytes: &[u8],
    entry: &str,
    wanted: &Wanted,
) -> Result<Option<Edit>, ChangeError> {
    let text = std::str::from_utf8(bytes).map_err(|error| GitError::Malformed {
        file: file.to_owned(),
        why: format!("it is not UTF-8: {error}"),
    })?;
    let resources = Resources::read(file, text)?;
    let item = resources.require(file, entry)?;
    let (prefix, spelling) = match (wanted, item.active) {
        (Wanted::Active, true) | (Wanted::Commented { .. }, false) => return Ok(None),
        (Wanted::Active, false) => (indentation(&resources, &item.prefix), item.prefix.clone()),
        (Wanted::Commented { spelling }, true) => {
            let spelling = spelling
                .clone()
                .filter(|spelling| is_comment_prefix(spelling));
            let spelling = spelling.unwrap_or_else(|| format!("{}# ", item.prefix));
            (spelling.clone(), spelling)
        }
    };
    let after = with_prefix(text, item, &prefix);
    let edit = Edit {
        file: file.to_owned(),
        before: bytes.to_owned(),
        after: after.into_bytes(),
        line: item.line,
        spelling,
    };
    prove(&edit, item).map_err(|why| ChangeError::EditRefused {
        file: file.to_owned(),
        entry: entry.to_owned(),
        why,
    })?;
    Ok(Some(edit))
}

/// Where an entry belongs once its comment sign is gone: under the others; without others, where the comment had it.
fn indentation(resources: &Resources, prefix: &str) -> String {
    if let Some(indent) = resources.indent() {
        return indent.to_owned();
    }
    let (lead, rest) = prefix.split_once('#').unwrap_or((prefix, ""));
    // `# - x` was made of `- x`, `#  - x` of `  - x`, `#   - x` of `  - x` again: people and editors insert either
    // the sign alone or the sign and one space, and nobody indents by an odd number.
    let kept = rest.len() - rest.len() % 2;
    let indent = format!("{lead}{}", rest.get(..kept).unwrap_or_default());
    // YAML does not indent with tabs.
    if indent.contains('\t') {
        "  ".into()
    } else {
        indent
    }
}

fn is_comment_prefix(spelling: &str) -> bool {
    let blank = |text: &str| text.chars().all(|c| c == ' ' || c == '\t');
    spelling
        .split_once('#')
        .is_some_and(|(lead, rest)| blank(lead) && blank(rest))
}

fn with_prefix(text: &str, item: &Item, prefix: &str) -> String {
    let lines = text.split_inclusive('\n').enumerate().map(|(index, line)| {
        match line
            .strip_prefix(item.prefix.as_str())
            .filter(|_| index + 1 == item.line)
        {
            Some(rest) => format!("{prefix}{rest}"),
            None => line.to_owned(),
        }
    });
    lines.collect()
}

/// That the edit is what it says: one line differs, and the document in nothing but that entry.
fn prove(edit: &Edit, item: &Item) -> Result<(), String> {
    let [before, after] =
        [&edit.before, &edit.after].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let (old, new): (Vec<&str>, Vec<&str>) = (
        before.split_inclusive('\n').collect(),
        after.split_inclusive('\n').collect(),
    );
    let differing: Vec<usize> = old
        .iter()
        .zip(&new)
        .enumerate()
        .filter(|(_, (old, new))| old != new)
        .map(|(index, _)| index + 1)
        .collect();
    if old.len() != new.len() || differing != [item.line] {
        return Err(format!(
            "lines {differing:?} would differ, expected line {} alone",
            item.line
        ));
    }
    let [mut old, mut new] = [parsed(edit, &before)?, parsed(edit, &after)?];
    let [mut without, mut with] = [taken(&mut old)?, taken(&mut new)?];
    if item.active {
        std::mem::swap(&mut without, &mut with);
    }
    if old != new {
        return Err("something besides resources would differ".into());
    }
    let at = with
        .iter()
        .zip(&without)
        .take_while(|(a, b)| a == b)
        .count();
    // Where the neighbour is equal the place is not unique, which is as good.
    if with.get(at).is_none_or(|gained| *gained != item.path) {
        return Err(format!("resources would not gain or lose {}", item.path));
    }
    with.remove(at);
    if with == without {
        Ok(())
    } else {
        Err("another entry of resources would differ".into())
    }
}

fn parsed(edit: &Edit, text: &str) -> Result<Value, String> {
    kustomization::document(&edit.file, text).map_err(|error| error.to_string())
}

/// Takes the list out of the document. A key without a value and no key at all are both an empty list.
fn taken(document: &mut Value) -> Result<Vec<String>, String> {
    let entries = kustomization::listed(document)?;
    if let Some(object) = document.as_object_mut() {
        object.remove("resources");
    }
    Ok(entries)
}
