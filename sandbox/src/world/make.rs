//! Small tools for objects as JSON: made, named, timed, compared.

use std::{
    cell::Cell,
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// An object with its identity; `body` holds the rest, and may hold more metadata.
pub(crate) fn object(
    api_version: &str,
    kind: &str,
    namespace: &str,
    name: &str,
    body: Value,
) -> Value {
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    merge(&mut object, body);
    object
}

/// Lays `over` on `base`: maps are merged, everything else is replaced.
pub(crate) fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(there) if there.is_object() && value.is_object() => merge(there, value),
                    _ => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// Whether a JSON merge patch would change `object`.
pub(crate) fn would_change(object: &Value, patch: &Value) -> bool {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            patch.iter().any(|(key, value)| match object.get(key) {
                None => !value.is_null() && !is_empty_map(value),
                Some(there) => would_change(there, value),
            })
        }
        (there, patch) => there != patch,
    }
}

fn is_empty_map(value: &Value) -> bool {
    value.as_object().is_some_and(|map| {
        map.values()
            .all(|inner| inner.is_null() || is_empty_map(inner))
    })
}

/// A random UID.
pub(crate) fn uid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A random suffix as the API server appends to a `generateName`.
pub(crate) fn suffix(length: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..length)
        .map(|_| char::from(LETTERS[fastrand::usize(..LETTERS.len())]))
        .collect()
}

/// A number that only depends on the text: for things that stay the same over a restart.
pub(crate) fn stable(text: &str) -> u64 {
    // FNV-1a: short, and good enough to tell names apart.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Hexadecimal digits that only depend on the text.
pub(crate) fn stable_hex(text: &str, length: usize) -> String {
    let mut digits = String::new();
    let mut round = 0;
    while digits.len() < length {
        let _ = write!(digits, "{:016x}", stable(&format!("{text}/{round}")));
        round += 1;
    }
    digits.truncate(length);
    digits
}

thread_local! {
    static PAST: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Lets this thread live in the past while `work` runs: a cluster that begins has stood for a while.
pub(crate) fn in_the_past<T>(before: Duration, work: impl FnOnce() -> T) -> T {
    let now = PAST.replace(before);
    let result = work();
    PAST.set(now);
    result
}

/// Now, as Kubernetes writes times: whole seconds, UTC.
pub(crate) fn now() -> String {
    ago(Duration::ZERO)
}

/// Some time before now.
pub(crate) fn ago(before: Duration) -> String {
    format_time(
        SystemTime::now() - before - PAST.get(),
        "%Y-%m-%dT%H:%M:%SZ",
    )
}

/// Now, as Leases write times: microseconds.
pub(crate) fn micro_ago(before: Duration) -> String {
    format_time(
        SystemTime::now() - before - PAST.get(),
        "%Y-%m-%dT%H:%M:%S.%6fZ",
    )
}

fn format_time(time: SystemTime, format: &str) -> String {
    Timestamp::try_from(time)
        .unwrap_or_default()
        .strftime(format)
        .to_string()
}

/// Seconds from a time that Kubernetes wrote until [`now`]; `None` when it is no time.
pub(crate) fn age(written: &str) -> Option<f64> {
    let then: Timestamp = written.parse().ok()?;
    let since = Timestamp::now().duration_since(then).as_secs_f64();
    Some(since - PAST.get().as_secs_f64())
}

/// The object's name, empty without one.
pub(crate) fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

/// The object's namespace, empty for the cluster's own.
pub(crate) fn namespace(object: &Value) -> &str {
    text(&object["metadata"]["namespace"])
}

/// The object's UID.
pub(crate) fn uid_of(object: &Value) -> &str {
    text(&object["metadata"]["uid"])
}

/// Whether somebody has asked for its deletion.
pub(crate) fn deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// A string, empty when it is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list, empty when it is none.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A map, empty when it is none.
pub(crate) fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// The status of the condition of this type: `True`, `False`, `Unknown`, or empty when absent.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    items(&object["status"]["conditions"])
        .iter()
        .find(|condition| condition["type"] == kind)
        .map_or("", |condition| text(&condition["status"]))
}

/// An owner reference from `owner`, as a controller writes it.
pub(crate) fn owned_by(owner: &Value) -> Value {
    json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }])
}

/// The UID of the controller that owns the object, empty without one.
pub(crate) fn controller_uid(object: &Value) -> &str {
    items(&object["metadata"]["ownerReferences"])
        .iter()
        .find(|owner| owner["controller"] == true)
        .map_or("", |owner| text(&owner["uid"]))
}

/// The conditions of `old` with those of `new` laid over them by type; a transition time changes only with the status.
pub(crate) fn conditions(old: &Value, new: &[Value]) -> Value {
    let stamp = now();
    let mut result = items(old).to_vec();
    for condition in new {
        let mut condition = condition.clone();
        let there = result
            .iter()
            .position(|other| other["type"] == condition["type"]);
        let since = there
            .filter(|&at| result[at]["status"] == condition["status"])
            .map_or_else(
                || stamp.clone(),
                |at| text(&result[at]["lastTransitionTime"]).to_owned(),
            );
        condition["lastTransitionTime"] = since.into();
        match there {
            Some(at) => {
                merge(&mut result[at], condition);
            }
            None => result.push(condition),
        }
    }
    result.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_keeps_what_it_is_not_told() {
        let mut base = json!({"a": {"b": 1, "c": [1]}});
        merge(&mut base, json!({"a": {"c": [2], "d": 3}}));
        assert_eq!(base, json!({"a": {"b": 1, "c": [2], "d": 3}}));
    }

    #[test]
    fn a_patch_that_says_what_is_there_changes_nothing() {
        let object = json!({"a": {"b": 1}, "c": [1, 2]});
        assert!(!would_change(&object, &json!({"a": {"b": 1}, "x": null})));
        assert!(would_change(&object, &json!({"a": {"b": null}})));
        assert!(would_change(&object, &json!({"c": [1]})));
    }

    #[test]
    fn transition_times_move_with_the_status_only() {
        let old = json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]);
        let same = conditions(
            &old,
            &[json!({"type": "Ready", "status": "True", "reason": "Fine"})],
        );
        assert_eq!(same[0]["lastTransitionTime"], "2020-01-01T00:00:00Z");
        assert_eq!(same[0]["reason"], "Fine");
        let other = conditions(&old, &[json!({"type": "Ready", "status": "False"})]);
        assert_ne!(other[0]["lastTransitionTime"], "2020-01-01T00:00:00Z");
    }

    #[test]
    fn ages_are_counted_from_now() {
        for before in [Duration::ZERO, Duration::from_secs(86_400)] {
            let age = in_the_past(before, || age(&micro_ago(Duration::from_secs(90)))).unwrap();
            assert!((89.0..100.0).contains(&age), "{age}");
        }
    }
}
