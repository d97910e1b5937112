//! XML into a small tree, strictly, and the digest over it.
//!
//! The digest is made of names, attributes and text in their order, not of bytes: indentation, quotes and the kind of
//! escape carry no meaning.

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};
use sha2::{Digest as _, Sha256};

use super::JunitError;
use crate::text::line;

/// Who wrote the file, in a property of the root.
pub(super) const GENERATOR: &str = "onboarding harness";
/// Deeper than any report of ours.
const DEPTH: usize = 8;

/// One element.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Node>,
    pub(super) text: String,
}

impl Node {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The root element of a whole document.
pub(super) fn parse(bytes: &[u8]) -> Result<Node, JunitError> {
    let text = std::str::from_utf8(bytes).map_err(|error| match error.error_len() {
        // The last character is cut in two.
        None => JunitError::Truncated { bytes: bytes.len() },
        Some(_) => JunitError::NotXml {
            offset: error.valid_up_to() as u64,
            problem: "not UTF-8".to_owned(),
        },
    })?;
    if !text.trim_end_matches(blank).ends_with("</testsuites>") && looks_like_ours(text) {
        return Err(JunitError::Truncated { bytes: bytes.len() });
    }
    let mut reader = Reader::from_reader(bytes);
    reader.config_mut().check_comments = true;
    let mut open: Vec<Node> = Vec::new();
    let mut root = None;
    let mut buffer = Vec::new();
    loop {
        let offset = reader.buffer_position();
        let bad = |problem: String| JunitError::NotXml {
            offset,
            problem: line(&problem),
        };
        match reader
            .read_event_into(&mut buffer)
            .map_err(|error| bad(error.to_string()))?
        {
            Event::Eof => break,
            Event::Decl(_) if open.is_empty() && root.is_none() => {}
            Event::Start(start) => {
                if root.is_some() || open.len() >= DEPTH {
                    return Err(unexpected(&start, &open));
                }
                open.push(node(&start, offset)?);
            }
            Event::Empty(start) => {
                if root.is_some() || open.is_empty() {
                    return Err(unexpected(&start, &open));
                }
                let node = node(&start, offset)?;
                attach(node, &mut open, &mut root);
            }
            Event::End(_) => {
                let Some(node) = open.pop() else {
                    return Err(bad("an end without a beginning".to_owned()));
                };
                attach(node, &mut open, &mut root);
            }
            Event::Text(text) => push_text(
                &text.xml10_content().map_err(|e| bad(e.to_string()))?,
                &mut open,
                offset,
            )?,
            Event::CData(text) => push_text(
                &text.xml10_content().map_err(|e| bad(e.to_string()))?,
                &mut open,
                offset,
            )?,
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|error| bad(error.to_string()))?;
                let whole = format!("&{name};");
                let char =
                    quick_xml::escape::unescape(&whole).map_err(|error| bad(error.to_string()))?;
                push_text(&char, &mut open, offset)?;
            }
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {
                return Err(bad("only elements and text belong in a report".to_owned()));
            }
        }
        buffer.clear();
    }
    match root {
        Some(root) if open.is_empty() => Ok(root),
        _ => Err(JunitError::Truncated { bytes: bytes.len() }),
    }
}

fn blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\r')
}

/// Whether the beginning is that of a report, as far as it goes.
fn looks_like_ours(text: &str) -> bool {
    const BEGINNING: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites ";
    text.starts_with(BEGINNING) || BEGINNING.starts_with(text.trim_end_matches(blank))
}

fn unexpected(start: &BytesStart<'_>, open: &[Node]) -> JunitError {
    JunitError::Unexpected {
        what: format!(
            "element <{}>",
            line(&String::from_utf8_lossy(start.name().as_ref()))
        ),
        place: open.last().map_or_else(
            || "the document".to_owned(),
            |node| format!("<{}>", line(&node.name)),
        ),
    }
}

fn node(start: &BytesStart<'_>, offset: u64) -> Result<Node, JunitError> {
    let bad = |problem: String| JunitError::NotXml {
        offset,
        problem: line(&problem),
    };
    let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| bad(error.to_string()))?;
        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| bad(error.to_string()))?;
        if let Some(char) = value.chars().find(|char| invalid(*char)) {
            return Err(bad(format!(
                "the character U+{:04X} is not allowed in XML",
                u32::from(char)
            )));
        }
        attributes.push((key, value.into_owned()));
    }
    Ok(Node {
        name,
        attributes,
        ..Node::default()
    })
}

fn attach(node: Node, open: &mut [Node], root: &mut Option<Node>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(node),
        None => *root = Some(node),
    }
}

fn push_text(text: &str, open: &mut [Node], offset: u64) -> Result<(), JunitError> {
    if let Some(char) = text.chars().find(|char| invalid(*char)) {
        let problem = format!(
            "the character U+{:04X} is not allowed in XML",
            u32::from(char)
        );
        return Err(JunitError::NotXml { offset, problem });
    }
    match open.last_mut() {
        Some(node) => node.text.push_str(text),
        None if text.chars().all(blank) => {}
        None => {
            return Err(JunitError::NotXml {
                offset,
                problem: "text outside of the root element".to_owned(),
            });
        }
    }
    Ok(())
}

fn invalid(char: char) -> bool {
    (char < ' ' && !matches!(char, '\t' | '\n' | '\r')) || matches!(char, '\u{fffe}' | '\u{ffff}')
}

/// SHA-256 in hexadecimal over everything but the digest property itself.
pub(super) fn digest(root: &Node) -> String {
    let mut hash = Sha256::new();
    feed(root, 0, &mut hash);
    hex(&hash.finalize())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn feed(node: &Node, depth: usize, hash: &mut Sha256) {
    // A property of the root is at depth 2: testsuites, properties, property.
    if depth == 2 && node.name == "property" && node.attribute("name") == Some("digest") {
        return;
    }
    piece(b"element", &node.name, hash);
    for (key, value) in &node.attributes {
        piece(b"key", key, hash);
        piece(b"value", value, hash);
    }
    let text = if node.children.is_empty() {
        node.text.as_str()
    } else {
        node.text.trim_matches(blank)
    };
    piece(b"text", text, hash);
    for child in &node.children {
        feed(child, depth + 1, hash);
    }
    hash.update(b"end");
}

/// With its length, so that two pieces cannot be read as one.
fn piece(kind: &[u8], text: &str, hash: &mut Sha256) {
    hash.update(kind);
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}
