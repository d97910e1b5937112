//! Bodies in protobuf: `kubectl` from 1.32 on sends what it creates by itself (reviews, evictions, `kubectl create`) so.
//!
//! Only bodies are read; answers are JSON, which those clients accept. The field numbers are those of the upstream
//! `generated.proto` files; kinds that are not in the table are refused as an unknown format.

use std::{collections::HashMap, sync::LazyLock};

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::{
    protobuf_messages::{MESSAGES, UNREADABLE},
    refusal::Refusal,
};

/// The media type.
pub(crate) const MEDIA: &str = "application/vnd.kubernetes.protobuf";

type Message = HashMap<u64, (&'static str, &'static str)>;

static TABLE: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let lines = MESSAGES.lines().filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, fields)| {
            let fields = fields.split(", ").filter_map(|field| {
                let mut words = field.split(' ');
                Some((words.next()?.parse().ok()?, (words.next()?, words.next()?)))
            });
            (name, fields.collect())
        })
        .collect()
});

/// Reads a body: magic, envelope, message.
pub(crate) fn decode(body: &[u8]) -> Result<Value, Refusal> {
    let unknown = || Refusal::unsupported_media(&["application/json", "application/yaml"]);
    let envelope = body
        .strip_prefix(b"k8s\0")
        .ok_or_else(|| Refusal::bad_request("the protobuf body has no k8s prefix"))?;
    let broken = || Refusal::bad_request("the protobuf body is cut short or damaged");
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for (number, field) in fields(envelope).ok_or_else(broken)? {
        match (number, field) {
            (1, Field::Bytes(meta)) => {
                for (number, field) in fields(meta).ok_or_else(broken)? {
                    match (number, field) {
                        (1, Field::Bytes(text)) => {
                            api_version = String::from_utf8_lossy(text).into_owned()
                        }
                        (2, Field::Bytes(text)) => {
                            kind = String::from_utf8_lossy(text).into_owned()
                        }
                        _ => {}
                    }
                }
            }
            (2, Field::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let name = TABLE
        .keys()
        .find(|name| **name == kind)
        .copied()
        .ok_or_else(unknown)?;
    let mut object = message(name, raw)?.ok_or_else(broken)?;
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    Ok(object)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Field::Bytes(value)
            }
            1 => {
                bytes = bytes.get(8..)?;
                continue;
            }
            5 => {
                bytes = bytes.get(4..)?;
                continue;
            }
            _ => return None,
        };
        all.push((key >> 3, field));
    }
    Some(all)
}

/// A message as JSON; `None` when the bytes are damaged.
fn message(name: &str, bytes: &[u8]) -> Result<Option<Value>, Refusal> {
    let Some(table) = TABLE.get(name) else {
        return Ok(None);
    };
    let Some(all) = fields(bytes) else {
        return Ok(None);
    };
    let mut object = Map::new();
    for (number, field) in all {
        let Some((key, kind)) = table.get(&number) else {
            let unreadable = UNREADABLE
                .iter()
                .any(|(of, numbers)| *of == name && numbers.contains(&number));
            if unreadable && matches!(field, Field::Bytes(b) if !b.is_empty()) {
                return Err(Refusal::unsupported_media(&[
                    "application/json",
                    "application/yaml",
                ]));
            }
            continue;
        };
        if let Some(kind) = kind.strip_prefix('*') {
            let Some(item) = value(kind, &field, true)? else {
                return Ok(None);
            };
            let list = object.entry(*key).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.push(item);
            }
        } else if let Some(kind) = kind.strip_prefix("m:") {
            let Field::Bytes(entry) = field else {
                return Ok(None);
            };
            let Some(pair) = fields(entry) else {
                return Ok(None);
            };
            let (mut name, mut item) = (String::new(), json!(""));
            for (number, field) in pair {
                match (number, &field) {
                    (1, Field::Bytes(text)) => name = String::from_utf8_lossy(text).into_owned(),
                    (2, _) => item = value(kind, &field, true)?.unwrap_or_default(),
                    _ => {}
                }
            }
            let map = object.entry(*key).or_insert_with(|| json!({}));
            map[name] = item;
        } else if let Some(kind) = kind.strip_prefix('^') {
            let Some(inner) = value(kind, &field, true)? else {
                return Ok(None);
            };
            object.extend(inner.as_object().cloned().unwrap_or_default());
        } else {
            let (kind, keep) = (kind.trim_start_matches('!'), kind.starts_with('!'));
            match value(kind, &field, keep)? {
                Some(Value::Null) => {}
                Some(item) => {
                    object.insert((*key).to_owned(), item);
                }
                None => return Ok(None),
            }
        }
    }
    Ok(Some(Value::Object(object)))
}

/// A field's value; null for what JSON leaves out. `keep` keeps empty values, as in lists.
fn value(kind: &str, field: &Field<'_>, keep: bool) -> Result<Option<Value>, Refusal> {
    let value = match (kind, field) {
        ("i" | "I", Field::Number(number)) => {
            let number = number.cast_signed();
            if number == 0 && kind == "i" {
                Value::Null
            } else {
                number.into()
            }
        }
        ("b" | "B", Field::Number(number)) => {
            if *number == 0 && kind == "b" {
                Value::Null
            } else {
                (*number != 0).into()
            }
        }
        ("s", Field::Bytes([])) if !keep => Value::Null,
        ("s", Field::Bytes(text)) => String::from_utf8_lossy(text).into_owned().into(),
        ("y", Field::Bytes([])) if !keep => Value::Null,
        ("y", Field::Bytes(bytes)) => base64::engine::general_purpose::STANDARD
            .encode(bytes)
            .into(),
        ("t" | "p" | "q", Field::Bytes(bytes)) => match fields(bytes) {
            Some(parts) => special(kind, &parts),
            None => return Ok(None),
        },
        (name, Field::Bytes(bytes)) => match message(name, bytes)? {
            Some(Value::Object(map)) if map.is_empty() && !keep => Value::Null,
            other => return Ok(other),
        },
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn special(kind: &str, parts: &[(u64, Field<'_>)]) -> Value {
    let number = |wanted: u64| {
        parts.iter().find_map(|(at, field)| match field {
            Field::Number(number) if *at == wanted => Some(number.cast_signed()),
            _ => None,
        })
    };
    let text = |wanted: u64| {
        parts.iter().find_map(|(at, field)| match field {
            Field::Bytes(text) if *at == wanted => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        })
    };
    match kind {
        "t" => match number(1).and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) {
            Some(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into(),
            None => Value::Null,
        },
        "q" => text(1).unwrap_or_default().into(),
        _ if number(1) == Some(1) => text(3).unwrap_or_default().into(),
        _ => match number(2) {
            None | Some(0) => Value::Null,
            Some(number) => number.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).expect("short")];
        out.extend_from_slice(bytes);
        out
    }

    fn wrapped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [b"k8s\0".to_vec(), field(1, &meta), field(2, raw)].concat()
    }

    #[test]
    fn messages_become_the_json_that_they_mean() {
        let metadata = [field(1, b"p"), field(2, b""), field(8, b"")].concat();
        let options = [vec![1 << 3, 5], field(5, b"All")].concat();
        let body = wrapped(
            "policy/v1",
            "Eviction",
            &[field(1, &metadata), field(2, &options)].concat(),
        );
        let wanted = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "p" },
            "deleteOptions": { "gracePeriodSeconds": 5, "dryRun": ["All"] } });
        assert_eq!(decode(&body).expect("eviction"), wanted);
        let entry = [field(1, b"a"), field(2, b"b")].concat();
        let body = wrapped("v1", "ConfigMap", &field(2, &entry));
        assert_eq!(decode(&body).expect("map")["data"], json!({ "a": "b" }));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert_eq!(
            decode(&wrapped("v1", "Mystery", b""))
                .expect_err("unknown")
                .code,
            415
        );
        assert_eq!(decode(b"{}").expect_err("no prefix").code, 400);
        assert_eq!(
            decode(&wrapped("v1", "ConfigMap", &[0x0a, 200]))
                .expect_err("damaged")
                .code,
            400
        );
    }
}
