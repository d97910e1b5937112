//! A request that is refused, as the `Status` object that clients know.

use serde_json::{Value, json};

use super::resource::Resource;

/// Why a request is refused; becomes an HTTP status with a `Status` body.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Value,
}

/// One thing that is wrong with an object: field, reason as the API spells it, message.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) field: String,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Cause {
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Self {
            field: field.into(),
            reason: "FieldValueRequired",
            message,
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self {
            field: field.into(),
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {value}: {detail}"),
        }
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self {
            field: field.into(),
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {detail}"),
        }
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &Value, allowed: &[&str]) -> Self {
        let list = allowed
            .iter()
            .map(|a| format!("{a:?}"))
            .collect::<Vec<_>>()
            .join(", ");
        Self {
            field: field.into(),
            reason: "FieldValueNotSupported",
            message: format!("Unsupported value: {value}: supported values: {list}"),
        }
    }
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: impl Into<String>, details: Value) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message, Value::Null)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized", Value::Null)
    }

    pub(crate) fn not_found(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, plural));
        Self::new(404, "NotFound", message, details(group, plural, name))
    }

    pub(crate) fn no_such_resource() -> Self {
        Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
            json!({}),
        )
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message, json!({}))
    }

    pub(crate) fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!(
            "{} \"{name}\" already exists",
            qualified(&resource.group, &resource.plural)
        );
        Self::new(
            409,
            "AlreadyExists",
            message,
            details(&resource.group, &resource.plural, name),
        )
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            qualified(&resource.group, &resource.plural)
        );
        Self::new(
            409,
            "Conflict",
            message,
            details(&resource.group, &resource.plural, name),
        )
    }

    /// A precondition of a deletion that does not hold; it is told with the kind in the place of the resource.
    pub(crate) fn changed(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            qualified(&resource.group, &resource.kind)
        );
        Self::new(
            409,
            "Conflict",
            message,
            details(&resource.group, &resource.kind, name),
        )
    }

    pub(crate) fn stale(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    pub(crate) fn apply_conflict(message: String, causes: Vec<Value>) -> Self {
        Self::new(409, "Conflict", message, json!({ "causes": causes }))
    }

    pub(crate) fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, plural);
        let message = match (what.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{what} is forbidden: {why}"),
            (false, false) => format!("{what} \"{name}\" is forbidden: {why}"),
        };
        Self::new(403, "Forbidden", message, details(group, plural, name))
    }

    pub(crate) fn invalid(resource: &Resource, name: &str, causes: &[Cause]) -> Self {
        let mut lines: Vec<String> = Vec::new();
        for cause in causes {
            let line = format!("{}: {}", cause.field, cause.message);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let text = if let [one] = lines.as_slice() {
            one.clone()
        } else {
            format!("[{}]", lines.join(", "))
        };
        let message = format!(
            "{} \"{name}\" is invalid: {text}",
            qualified(&resource.group, &resource.kind)
        );
        let mut details = details(&resource.group, &resource.kind, name);
        details["causes"] = causes
            .iter()
            .map(|c| json!({ "reason": c.reason, "message": c.message, "field": c.field }))
            .collect();
        Self::new(422, "Invalid", message, details)
    }

    /// What is not valid in no object at all, such as a patch.
    pub(crate) fn unnamed(causes: &[Cause]) -> Self {
        let lines: Vec<String> = causes
            .iter()
            .map(|c| format!("{}: {}", c.field, c.message))
            .collect();
        let mut details = json!({});
        details["causes"] = causes
            .iter()
            .map(|c| json!({ "reason": c.reason, "message": c.message, "field": c.field }))
            .collect();
        Self::new(
            422,
            "Invalid",
            format!(" \"\" is invalid: {}", lines.join(", ")),
            details,
        )
    }

    /// Options of a request that are not valid, such as an unknown value of `dryRun`.
    pub(crate) fn options(kind: &str, causes: &[Cause]) -> Self {
        let lines: Vec<String> = causes
            .iter()
            .map(|c| format!("{}: {}", c.field, c.message))
            .collect();
        let message = format!("{kind}.meta.k8s.io \"\" is invalid: {}", lines.join(", "));
        let mut details = details("meta.k8s.io", kind, "");
        details["causes"] = causes
            .iter()
            .map(|c| json!({ "reason": c.reason, "message": c.message, "field": c.field }))
            .collect();
        Self::new(422, "Invalid", message, details)
    }

    /// What a real server has no better answer for than its own error.
    pub(crate) fn unexpected(message: impl Into<String>) -> Self {
        Self::new(500, "", message, Value::Null)
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message, Value::Null)
    }

    /// Nothing can be made of the media types that are asked for.
    pub(crate) fn not_acceptable() -> Self {
        let message = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
        Self::new(406, "NotAcceptable", message, Value::Null)
    }

    pub(crate) fn unsupported_media(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message, Value::Null)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        let details = json!({ "causes": [{ "message": message }] });
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
            details,
        )
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message, Value::Null)
    }

    /// What the wire answers in place of the server (transport faults).
    pub(crate) fn transport(code: u16) -> Self {
        match code {
            429 => {
                let message =
                    "the server has received too many requests and has asked us to try again later";
                Self::new(
                    429,
                    "TooManyRequests",
                    message,
                    json!({ "retryAfterSeconds": 1 }),
                )
            }
            500 => Self::internal("the server is not able to answer now"),
            503 => Self::unavailable("the server is currently unable to handle the request"),
            504 => Self::new(
                504,
                "Timeout",
                "the server was unable to return a response in the time allotted",
                Value::Null,
            ),
            401 => Self::unauthorized(),
            other => Self::new(
                other,
                "",
                format!("an error on the server has prevented the request ({other})"),
                Value::Null,
            ),
        }
    }

    pub(crate) fn too_many(message: impl Into<String>, details: Value) -> Self {
        Self::new(429, "TooManyRequests", message, details)
    }

    /// Adds the causes of a refusal to its details.
    pub(crate) fn with_cause(mut self, reason: &str, message: &str, field: &str) -> Self {
        if self.details.is_null() {
            self.details = json!({});
        }
        let mut cause = json!({ "reason": reason, "message": message });
        if !field.is_empty() {
            cause["field"] = field.into();
        }
        self.details["causes"] = json!([cause]);
        self
    }

    /// The `Status` object.
    pub(crate) fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }

    /// Seconds for the `Retry-After` header, when the refusal asks to come back.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self.code {
            429 => Some(self.details["retryAfterSeconds"].as_u64().unwrap_or(1)),
            _ => self.details["retryAfterSeconds"].as_u64(),
        }
    }
}

/// `deployments.apps`, or `pods` for the core group.
pub(crate) fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() || plural.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({});
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details[key] = value.into();
        }
    }
    details
}
