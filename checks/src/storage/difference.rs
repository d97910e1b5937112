//! What differs between the Longhorn Node that git declares and the one in the cluster.
//!
//! Flux writes the fields that stand in git and leaves the others alone, so only what git says is compared. A line of
//! the difference names one field with both values.

use serde_json::Value;

/// How the cluster's Longhorn Node differs from git's.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// Fields that git says otherwise, as `disks.ssd1.path: git /a, cluster /b`.
    pub(super) fields: Vec<String>,
    /// Disks that git declares and the cluster does not have.
    pub(super) missing: Vec<String>,
    /// Disks that the cluster has and git does not declare.
    pub(super) undeclared: Vec<String>,
}

impl Difference {
    /// One line a difference.
    pub(super) fn lines(&self) -> Vec<String> {
        self.missing
            .iter()
            .map(|disk| format!("disks.{disk}: git declares it, the cluster has no such disk"))
            .chain(self.fields.iter().cloned())
            .chain(
                self.undeclared
                    .iter()
                    .map(|disk| format!("disks.{disk}: only the cluster has it")),
            )
            .collect()
    }
}

/// Compares two specs of a Longhorn Node: git's and the cluster's.
pub(super) fn between(git: &Value, cluster: &Value) -> Difference {
    let mut found = Difference::default();
    let empty = serde_json::Map::new();
    let fields = |value: &Value| value.as_object().cloned().unwrap_or_default();
    for (key, wanted) in fields(git).iter().filter(|(key, _)| *key != "disks") {
        compare("", key, wanted, cluster.get(key), &mut found.fields);
    }
    let declared = fields(git.get("disks").unwrap_or(&Value::Null));
    let present = cluster
        .get("disks")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    for (disk, wanted) in &declared {
        let Some(there) = present.get(disk) else {
            found.missing.push(disk.clone());
            continue;
        };
        for (key, wanted) in &fields(wanted) {
            compare(
                &format!("disks.{disk}."),
                key,
                wanted,
                there.get(key),
                &mut found.fields,
            );
        }
    }
    found.undeclared = present
        .keys()
        .filter(|disk| !declared.contains_key(*disk))
        .cloned()
        .collect();
    found
}

fn compare(prefix: &str, key: &str, wanted: &Value, there: Option<&Value>, out: &mut Vec<String>) {
    let there = there.unwrap_or(&Value::Null);
    if plain(key, wanted) != plain(key, there) {
        out.push(format!(
            "{prefix}{key}: git {}, cluster {}",
            shown(wanted),
            shown(there)
        ));
    }
}

/// A value in the one form that is compared: the order of tags says nothing, and an absent field has its zero value.
fn plain(key: &str, value: &Value) -> String {
    match value {
        Value::Null => match key {
            "allowScheduling" | "evictionRequested" => "false".into(),
            "storageReserved" | "instanceManagerCPURequest" => "0".into(),
            _ => String::new(),
        },
        Value::Array(items) => {
            let mut items: Vec<String> = items.iter().map(|item| plain("", item)).collect();
            items.sort();
            items.join(",")
        }
        Value::String(text) if key == "path" => {
            // Longhorn keeps a path as it is given; a final slash names the same folder.
            let trimmed = text.trim_end_matches('/');
            if trimmed.is_empty() {
                text.clone()
            } else {
                trimmed.to_owned()
            }
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_git_says_is_compared() {
        let git = json!({"name": "k3s2", "allowScheduling": true, "tags": ["b", "a"], "disks": {
            "ssd1": {"path": "/mnt/a/", "storageReserved": 5, "tags": []}}});
        let cluster = json!({"name": "k3s2", "allowScheduling": true, "tags": ["a", "b"], "evictionRequested": false,
            "disks": {"ssd1": {"path": "/mnt/a", "storageReserved": 5, "diskType": "filesystem"}}});
        let found = between(&git, &cluster);
        assert!(found.lines().is_empty(), "{:?}", found.lines());
    }

    #[test]
    fn each_difference_is_one_line_with_both_values() {
        let git = json!({"allowScheduling": true, "disks": {
            "ssd1": {"path": "/mnt/a", "storageReserved": 5, "allowScheduling": true}, "ssd2": {}}});
        let cluster = json!({"disks": {"ssd1": {"path": "/mnt/b", "allowScheduling": true}, "default-disk": {}}});
        assert_eq!(
            between(&git, &cluster).lines(),
            [
                "disks.ssd2: git declares it, the cluster has no such disk",
                "allowScheduling: git true, cluster nothing",
                "disks.ssd1.path: git /mnt/a, cluster /mnt/b",
                "disks.ssd1.storageReserved: git 5, cluster nothing",
                "disks.default-disk: only the cluster has it",
            ]
        );
    }

    #[test]
    fn a_zero_value_need_not_be_written() {
        let git =
            json!({"evictionRequested": false, "disks": {"a": {"storageReserved": 0, "tags": []}}});
        assert_eq!(
            between(&git, &json!({"disks": {"a": {}}})),
            Difference::default()
        );
    }
}
