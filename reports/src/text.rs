//! Text that may enter a report.
//!
//! What a server, a log line or a file name says is hostile until proven otherwise: it may carry terminal sequences,
//! characters that XML forbids, megabytes, or a secret. [`XmlText`] is the only road into the report writers: it is
//! made from any text, and what it changed once it leaves alone the second time.

use std::fmt;

use crate::redact::redact;

/// Longest single-line text in bytes.
pub const LINE_CAP: usize = 2_000;
/// Longest text of several lines in bytes.
pub const BLOCK_CAP: usize = 64 * 1024;
/// Longest recorded value in bytes; wide, since pre-images of files are kept there.
pub const EXACT_CAP: usize = 1024 * 1024;
/// Room kept for the note that says how much was cut.
const NOTE: usize = 64;

/// Text without terminal sequences, without characters that XML forbids, without known secrets, and of bounded size.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct XmlText(String);

impl XmlText {
    /// One line: line breaks and tabs become spaces, at most [`LINE_CAP`] bytes.
    #[must_use]
    pub fn line(text: &str) -> Self {
        Self(settle(text, LINE_CAP, Shape::Line))
    }

    /// Several lines that end in `\n`, at most [`BLOCK_CAP`] bytes.
    #[must_use]
    pub fn block(text: &str) -> Self {
        Self(settle(text, BLOCK_CAP, Shape::Block))
    }

    /// Line endings as they are, at most [`EXACT_CAP`] bytes.
    #[must_use]
    pub fn exact(text: &str) -> Self {
        Self(settle(text, EXACT_CAP, Shape::Exact))
    }

    /// Text that [`crate::cleaned`] has been over already.
    pub(crate) fn known(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, owned.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }

    /// For a CDATA section: `]]>` is spread over two sections, so that a reader puts it together again.
    #[must_use]
    pub fn cdata(&self) -> String {
        self.0.replace("]]>", "]]]]><![CDATA[>")
    }
}

impl fmt::Display for XmlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One clean line, for messages of all kinds.
#[must_use]
pub fn line(text: &str) -> String {
    XmlText::line(text).into_string()
}

/// Clean text of several lines.
#[must_use]
pub fn block(text: &str) -> String {
    XmlText::block(text).into_string()
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Line,
    Block,
    Exact,
}

/// Repeats until nothing changes: a cut may uncover what a pattern did not see before.
fn settle(text: &str, cap: usize, shape: Shape) -> String {
    let mut now = once(text, cap, shape);
    for _ in 0..8 {
        let next = once(&now, cap, shape);
        if next == now {
            break;
        }
        now = next;
    }
    now
}

fn once(text: &str, cap: usize, shape: Shape) -> String {
    // Far more than the cap is cut before the patterns run, so that the work is bounded too.
    let (text, lost) = split_at_most(text, cap.saturating_mul(4));
    let shaped = shape_of(&plain(text), shape);
    capped(&redact(&shaped), cap, lost)
}

fn shape_of(text: &str, shape: Shape) -> String {
    match shape {
        Shape::Exact => text.to_owned(),
        Shape::Block => text.replace("\r\n", "\n").replace('\r', "\n"),
        Shape::Line => {
            let spaced = text.replace("\r\n", " ");
            let spaced = spaced.replace(['\n', '\r', '\t', '\u{2028}', '\u{2029}'], " ");
            spaced.trim().to_owned()
        }
    }
}

/// Cuts at a character boundary and says how much was left out; `lost` bytes were cut before.
fn capped(text: &str, cap: usize, lost: usize) -> String {
    if text.len() <= cap && lost == 0 {
        return text.to_owned();
    }
    let (kept, rest) = split_at_most(text, cap - NOTE);
    format!("{kept} … [{} bytes left out]", rest.saturating_add(lost))
}

/// The beginning of at most `most` bytes, and how many bytes follow it.
fn split_at_most(text: &str, most: usize) -> (&str, usize) {
    let at = text.floor_char_boundary(most);
    let (kept, rest) = text.split_at(at);
    (kept, rest.len())
}

/// Strips terminal sequences and replaces what XML forbids or what deceives the eye by U+FFFD.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let after = &rest[char.len_utf8()..];
        rest = match char {
            '\u{1b}' => after_escape(after),
            '\u{9b}' => after_csi(after),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => after_string(after),
            '\t' | '\n' | '\r' => {
                out.push(char);
                after
            }
            other => {
                out.push(if forbidden(other) { '\u{fffd}' } else { other });
                after
            }
        };
    }
    out
}

/// Control characters, non-characters of the first plane, and marks that reorder what is shown.
fn forbidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{fffe}' | '\u{ffff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn after_escape(text: &str) -> &str {
    let Some(first) = text.chars().next() else {
        return text;
    };
    let after = &text[first.len_utf8()..];
    match first {
        '[' => after_csi(after),
        ']' | 'P' | 'X' | '^' | '_' => after_string(after),
        ' '..='/' => after_csi(after),
        '0'..='~' => after,
        _ => text,
    }
}

/// Parameters, intermediates, one final character; an unfinished sequence ends where it stops being one.
fn after_csi(text: &str) -> &str {
    let body = text.trim_start_matches(|char: char| (' '..='?').contains(&char));
    match body.chars().next() {
        Some('@'..='~') => &body[1..],
        _ if body.len() < text.len() => body,
        _ => text,
    }
}

/// A string up to its terminator; without one only the introducer goes, so that no text is hidden.
fn after_string(text: &str) -> &str {
    let end = text.char_indices().find(|(at, char)| {
        *char == '\u{7}'
            || *char == '\u{9c}'
            || (*char == '\u{1b}' && text[at + 1..].starts_with('\\'))
    });
    match end {
        Some((at, '\u{1b}')) => &text[at + 2..],
        Some((at, char)) => &text[at + char.len_utf8()..],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_go_and_text_stays() {
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m"), "red");
        assert_eq!(plain("a\u{1b}]0;title\u{7}b"), "ab");
        assert_eq!(
            plain("a\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\"),
            "alink"
        );
        assert_eq!(plain("\u{9b}1mx"), "x");
        assert_eq!(plain("a\u{1b}]0;never ends"), "a0;never ends");
        assert_eq!(plain("a\u{1b}"), "a");
        assert_eq!(plain("\u{1b}(Bx"), "x");
    }

    #[test]
    fn what_xml_forbids_becomes_visible() {
        assert_eq!(
            plain("a\0b\u{fffe}c\u{7f}d"),
            "a\u{fffd}b\u{fffd}c\u{fffd}d"
        );
        assert_eq!(plain("pay\u{202e}lla"), "pay\u{fffd}lla");
        assert_eq!(plain(&String::from_utf8_lossy(b"a\xffb")), "a\u{fffd}b");
    }

    #[test]
    fn lines_are_lines_and_long_text_says_what_is_missing() {
        assert_eq!(line(" a\r\nb\tc\n"), "a b c");
        assert_eq!(block("a\r\nb\rc"), "a\nb\nc");
        assert_eq!(XmlText::exact("a\r\nb").as_str(), "a\r\nb");
        let long = line(&"é ".repeat(40_000));
        assert!(
            long.len() <= LINE_CAP && long.ends_with("bytes left out]"),
            "{}",
            long.len()
        );
        assert_eq!(line(&long), long);
    }

    #[test]
    fn the_end_of_a_cdata_section_is_split() {
        assert_eq!(XmlText::block("a]]>b").cdata(), "a]]]]><![CDATA[>b");
    }
}
