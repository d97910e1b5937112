//! Which columns a Table has, and what stands in them.

use serde_json::{Value, json};

use super::{jsonpath, resource::Resource};

/// One column.
pub(crate) struct Column {
    name: String,
    kind: String,
    format: &'static str,
    priority: i64,
    description: String,
    cell: Cell,
}

enum Cell {
    Function(fn(&Value) -> Value),
    Path(String),
    /// A time at the path, told as an age.
    Age(String),
}

impl Column {
    fn new(name: &str, kind: &str, priority: i64, cell: fn(&Value) -> Value) -> Self {
        let format = if name == "Name" { "name" } else { "" };
        Self {
            name: name.into(),
            kind: kind.into(),
            format,
            priority,
            description: String::new(),
            cell: Cell::Function(cell),
        }
    }

    pub(crate) fn definition(&self) -> Value {
        json!({ "name": self.name, "type": self.kind, "format": self.format, "description": self.description, "priority": self.priority })
    }

    pub(crate) fn cell(&self, object: &Value) -> Value {
        match &self.cell {
            Cell::Function(function) => function(object),
            Cell::Age(path) => match jsonpath::first(object, path)
                .as_ref()
                .and_then(Value::as_str)
            {
                Some(time) => age_of(time).into(),
                None => "<unknown>".into(),
            },
            Cell::Path(path) => match jsonpath::first(object, path) {
                None => Value::Null,
                Some(value) if self.kind == "string" && !value.is_string() => {
                    jsonpath::text(&value).into()
                }
                Some(value) => value,
            },
        }
    }
}

/// The columns of a resource.
pub(crate) fn of(resource: &Resource, version: &str) -> Vec<Column> {
    let mut columns = vec![Column::new("Name", "string", 0, |o| {
        o["metadata"]["name"].clone()
    })];
    if let Some(custom) = &resource.custom {
        match custom.columns.get(version) {
            Some(extra) if !extra.is_empty() => {
                columns.extend(extra.iter().filter_map(printer_column))
            }
            _ => columns.push(Column::new("Age", "date", 0, age)),
        }
        return columns;
    }
    let special = super::columns_builtin::of(resource);
    if special.iter().any(|(name, ..)| *name == "Name") {
        // Events put their name last.
        columns.clear();
    }
    if resource.plural == "storageclasses" {
        columns = vec![Column::new(
            "Name",
            "string",
            0,
            super::cells::storage_class,
        )];
    }
    if special.is_empty() {
        columns.push(Column::new("Created At", "date", 0, |o| {
            o["metadata"]["creationTimestamp"].clone()
        }));
    }
    columns.extend(
        special
            .into_iter()
            .map(|(name, kind, priority, cell)| Column::new(name, kind, priority, cell)),
    );
    columns
}

fn printer_column(column: &Value) -> Option<Column> {
    let path = column["jsonPath"].as_str()?.to_owned();
    let kind = column["type"].as_str().unwrap_or("string").to_owned();
    let cell = if kind == "date" {
        Cell::Age(path)
    } else {
        Cell::Path(path)
    };
    Some(Column {
        name: column["name"].as_str()?.to_owned(),
        kind,
        format: "",
        priority: column["priority"].as_i64().unwrap_or(0),
        description: column["description"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        cell,
    })
}

/// How old the object is.
pub(crate) fn age(object: &Value) -> Value {
    object["metadata"]["creationTimestamp"]
        .as_str()
        .map_or_else(|| "<unknown>".into(), |time| age_of(time).into())
}

/// The time since a moment, in the words of `kubectl`.
pub(crate) fn age_of(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => duration(jiff::Timestamp::now().as_second() - time.as_second()),
        Err(_) => "<invalid>".to_owned(),
    }
}

/// Seconds as `kubectl` tells durations: two units while they matter, then one.
pub(crate) fn duration(seconds: i64) -> String {
    let two = |big: i64, unit: &str, small: i64, sub: &str| {
        if small == 0 {
            format!("{big}{unit}")
        } else {
            format!("{big}{unit}{small}{sub}")
        }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if hours < 3 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 365 * 8 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_kubectl_writes_them() {
        for (seconds, text) in [
            (5, "5s"),
            (119, "119s"),
            (185, "3m5s"),
            (600, "10m"),
            (4 * 3600 + 60, "4h1m"),
            (40 * 3600, "40h"),
            (3 * 86400, "3d"),
            (100 * 86400, "100d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
