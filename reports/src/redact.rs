//! The single place where secrets are struck out before text leaves the program.
//!
//! It knows the shapes of secrets that this program can meet: k3s tokens, age keys, bearer tokens, private keys,
//! credentials in URLs, and values that their name gives away. Ordinary identifiers (commit ids, UIDs, digests, SSH
//! fingerprints) stay. Applying it twice changes nothing.

use std::{
    borrow::Cow,
    io::{self, Write},
    sync::LazyLock,
};

use regex::{Captures, Regex};

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";

struct Patterns {
    any: Regex,
    pem: Regex,
    plain: Regex,
    bearer: Regex,
    basic: Regex,
    url: Regex,
    named: Regex,
    token: Regex,
    secret_kind: Regex,
    data_block: Regex,
    data_json: Regex,
    data_value: Regex,
}

#[expect(
    clippy::expect_used,
    reason = "the patterns are constants and every test of this file compiles them"
)]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| Patterns {
    // One word at least of every pattern below: most text has none of them, and is looked at only once.
    any: pattern(
        r"(?i)key|token|secret|pass|bearer|auth|://|eyJ|K10|gh[pousr]_|github_pat|glpat|server:",
    ),
    pem: pattern(
        r"(?s)-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY( BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    plain: pattern(concat!(
        r"\bK10[0-9a-fA-F]{8,}::[^\s'\x22,;<>]+",
        r"|(?i:AGE-SECRET-KEY-[0-9A-Z-]{8,})",
        r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"|\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,})",
        r"|\bserver:[0-9a-fA-F]{32}\b",
    )),
    bearer: pattern(r"(?i)\b(bearer\s+)([A-Za-z0-9._~+/=-]{8,})"),
    basic: pattern(
        r"(?i)\b(authorization\x22?\s*[:=]\s*\x22?(?:basic|token|negotiate)\s+)([^\s\x22]+)",
    ),
    url: pattern(r"(?i)\b([a-z][a-z0-9+.-]*)://([^\s/?#'\x22<>]*)@"),
    named: pattern(concat!(
        // A check or action of this program can be called like a secret; what follows its name is a reason.
        r"(?i)\b(?:pre|gitops|join|storage|network|monitoring|security|post|health|rollback|fix)::[a-z0-9_]+: ",
        r"|((?:(?:client-key-data|passwd|password|passphrase|secret[-_]?key|aws_secret_access_key|client[-_]?secret",
        r"|api[-_]?key|private[-_]?key|access[-_]?token|refresh[-_]?token|id[-_]token|node-password|K3S(?:_AGENT)?_TOKEN)",
        r"\b[\x22']?\s*[:=]\s*)|--(?:agent-)?token[ =]+)(\x22[^\x22\n]*\x22|'[^'\n]*'|[^\s,;}\]\[\x22']+)",
    )),
    token: pattern(r"(?i)\b(token[\x22']?\s*[:=]\s*[\x22']?)([A-Za-z0-9._~+/=-]{20,})"),
    secret_kind: pattern(r#"(?m)\bkind["']?\s*:\s*["']?Secret\b"#),
    data_block: pattern(r"(?m)^([ \t]*)(?:data|stringData):[ \t]*\n((?:[ \t]+[^\n]*(?:\n|\z))+)"),
    data_json: pattern(r#""(?:data|stringData)"\s*:\s*\{[^{}]*\}"#),
    data_value: pattern(r#"(:\s*)("(?:[^"\\]|\\.)*"|[^\s"{}|>][^\n,}]*)"#),
});

/// The text without secrets. The same text again when there are none.
#[must_use]
pub fn redact(text: &str) -> String {
    let patterns = &*PATTERNS;
    let mut out = text.to_owned();
    if !patterns.any.is_match(text) {
        return out;
    }
    // What one pattern puts in place can be the end or the beginning of what another one knows.
    for _ in 0..ROUNDS {
        let next = once(patterns, &out);
        if next == out {
            break;
        }
        out = next;
    }
    out
}

/// More than any text needs that was not made to need more.
const ROUNDS: usize = 8;

fn once(patterns: &Patterns, text: &str) -> String {
    let mut out = Cow::Borrowed(text);
    if patterns.secret_kind.is_match(&out) {
        out = with(&patterns.data_json, &out, |found| values(&found[0]));
        out = with(&patterns.data_block, &out, data_block);
    }
    out = with(&patterns.pem, &out, |_| "[redacted private key]".to_owned());
    out = with(&patterns.plain, &out, |_| REDACTED.to_owned());
    out = with(&patterns.bearer, &out, |found| {
        if_secret(found, opaque(&found[2]))
    });
    out = with(&patterns.basic, &out, |found| if_secret(found, true));
    out = with(&patterns.url, &out, |found| {
        let web = found[1].to_ascii_lowercase().starts_with("http");
        if found[2].contains(':') || (web && !found[2].is_empty()) {
            format!("{}://{REDACTED}@", &found[1])
        } else {
            found[0].to_owned()
        }
    });
    out = with(&patterns.named, &out, |found| match found.get(2) {
        Some(value) => if_secret(found, !placeholder(value.as_str())),
        None => found[0].to_owned(),
    });
    out = with(&patterns.token, &out, |found| {
        if_secret(found, opaque(&found[2]))
    });
    out.into_owned()
}

fn with<'a>(
    pattern: &Regex,
    text: &Cow<'a, str>,
    replace: impl Fn(&Captures<'_>) -> String,
) -> Cow<'a, str> {
    match pattern.replace_all(text, |found: &Captures<'_>| replace(found)) {
        Cow::Borrowed(_) => text.clone(),
        Cow::Owned(changed) => Cow::Owned(changed),
    }
}

/// Keeps the first group, which names the value, and replaces the second if it is a secret.
fn if_secret(found: &Captures<'_>, secret: bool) -> String {
    if !secret {
        return found[0].to_owned();
    }
    let quote = match found[2].chars().next() {
        Some(quote @ ('"' | '\'')) => quote.to_string(),
        _ => String::new(),
    };
    format!("{}{quote}{REDACTED}{quote}", &found[1])
}

/// Whether a word looks like something made by a machine: "bearer certificates" is ordinary text.
fn opaque(word: &str) -> bool {
    word.chars().any(|char| char.is_ascii_digit())
        && word.chars().any(|char| char.is_ascii_alphabetic())
}

/// What people write in instructions in place of the value, and what this function wrote itself.
fn placeholder(value: &str) -> bool {
    let bare = value.trim_matches(['"', '\'']);
    bare.is_empty()
        || bare == REDACTED
        || bare.chars().all(|char| matches!(char, '.' | '…' | '*'))
        || bare.starts_with(['$', '<', '…'])
}

/// The values of a flat JSON object.
fn values(object: &str) -> String {
    let Some((name, body)) = object.split_once('{') else {
        return object.to_owned();
    };
    format!(
        "{name}{{{}",
        PATTERNS
            .data_value
            .replace_all(body, format!("${{1}}\"{REDACTED}\""))
    )
}

/// The lines below `data:` that are indented deeper than it.
fn data_block(found: &Captures<'_>) -> String {
    let depth = found[1].len();
    let head = &found[0][..found[0].len() - found[2].len()];
    let mut out = head.to_owned();
    let mut inside = true;
    for line in found[2].split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        inside &= indent > depth;
        let end = if line.ends_with('\n') { "\n" } else { "" };
        match line.split_once(':') {
            Some((key, _)) if inside => out.push_str(&format!("{key}: {REDACTED}{end}")),
            None if inside && !line.trim().is_empty() => {
                out.push_str(&format!("{}{REDACTED}{end}", &line[..indent]));
            }
            _ => out.push_str(line),
        }
    }
    out
}

/// A writer that redacts what goes through it, whole lines at a time.
///
/// A private key that spans lines is held back until its end is seen. `flush` also passes on an unfinished line, so
/// flush between sentences, not inside them.
#[derive(Debug)]
pub struct Redacting<W: Write> {
    /// Absent only after [`Redacting::into_inner`].
    inner: Option<W>,
    held: Vec<u8>,
}

/// More than this is passed on although a private key seems not to end.
const HELD: usize = 1024 * 1024;

impl<W: Write> Redacting<W> {
    /// Around another writer.
    pub const fn new(inner: W) -> Self {
        Self {
            inner: Some(inner),
            held: Vec::new(),
        }
    }

    /// Passes on everything and gives the inner writer back.
    ///
    /// # Errors
    /// When the inner writer fails.
    pub fn into_inner(mut self) -> io::Result<W> {
        self.flush()?;
        self.inner
            .take()
            .ok_or_else(|| io::Error::other("the writer was taken before"))
    }

    fn pass(&mut self, upto: usize) -> io::Result<()> {
        let text: Vec<u8> = self.held.drain(..upto).collect();
        let Some(inner) = self.inner.as_mut() else {
            return Ok(());
        };
        inner.write_all(redact(&String::from_utf8_lossy(&text)).as_bytes())
    }

    /// How much is ready: whole lines, without a private key that has begun and not ended.
    fn ready(&self) -> usize {
        let Some(end) = self.held.iter().rposition(|byte| *byte == b'\n') else {
            return 0;
        };
        let lines = String::from_utf8_lossy(&self.held[..=end]);
        match (lines.rfind("PRIVATE KEY-----"), lines.rfind("-----BEGIN ")) {
            (Some(mark), Some(begin)) if begin < mark && !lines[begin..].contains("-----END ") => {
                // Byte positions in the lossy text can differ from the raw ones: look the beginning up again.
                let raw = self
                    .held
                    .windows(11)
                    .rposition(|window| window == b"-----BEGIN ");
                raw.unwrap_or(0)
            }
            _ => end + 1,
        }
    }
}

impl<W: Write> Write for Redacting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        let ready = if self.held.len() > HELD {
            self.held.len()
        } else {
            self.ready()
        };
        if ready > 0 {
            self.pass(ready)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let ready = if self.ready() < self.held.len() && self.held.starts_with(b"-----BEGIN ") {
            0
        } else {
            self.held.len()
        };
        if ready > 0 {
            self.pass(ready)?;
        }
        self.inner.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl<W: Write> Drop for Redacting<W> {
    fn drop(&mut self) {
        // A key that never ended is still struck out: the pattern reaches to the end of the text.
        let all = self.held.len();
        if all > 0 {
            let _ = self.pass(all);
        }
    }
}

#[cfg(test)]
mod tests;
