//! Why something could not be read: absent, forbidden and unreachable are three different answers.

use std::time::Duration;

use http::Method;
use serde::Deserialize;

use crate::cluster::Raw;

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The object does not exist.
    #[error("{what} does not exist")]
    Absent {
        /// Kind, namespace and name, or the path.
        what: String,
    },
    /// The cluster does not serve this kind.
    #[error("the cluster does not serve {what}")]
    NotServed {
        /// Plural and group.
        what: String,
    },
    /// The user may not.
    #[error("may not {verb} {resource}{}", in_namespace(.namespace))]
    Forbidden {
        /// The verb that is missing.
        verb: String,
        /// The resource, with its group, or the path.
        resource: String,
        /// The namespace, empty for the whole cluster.
        namespace: String,
    },
    /// No answer came: connection refused, reset, TLS.
    #[error("no answer to {what}: {message}")]
    Unreachable {
        /// What was asked.
        what: String,
        /// Why.
        message: String,
    },
    /// No answer came in time.
    #[error("no answer to {what} within {} s", .after.as_secs())]
    TimedOut {
        /// What was asked.
        what: String,
        /// After how long.
        after: Duration,
    },
    /// The server answered with an error that is none of the above.
    #[error("{what} was answered with {status}: {message}")]
    Server {
        /// What was asked.
        what: String,
        /// HTTP status.
        status: u16,
        /// The server's words, shortened.
        message: String,
    },
    /// The answer cannot be read.
    #[error("{what} cannot be read: {message}")]
    Malformed {
        /// What was asked.
        what: String,
        /// Why.
        message: String,
    },
}

fn in_namespace(namespace: &str) -> String {
    if namespace.is_empty() {
        String::new()
    } else {
        format!(" in namespace {namespace}")
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
    details: Details,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    name: String,
    group: String,
    kind: String,
}

impl ReadError {
    /// Whether asking again may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::Server { status, .. } => matches!(status, 429 | 500 | 502 | 503 | 504),
            Self::Absent { .. }
            | Self::NotServed { .. }
            | Self::Forbidden { .. }
            | Self::Malformed { .. } => false,
        }
    }

    /// Whether the object or its kind is not there.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::NotServed { .. })
    }

    /// What an answer of 400 or more means.
    pub(crate) fn from_status(method: &Method, path: &str, raw: &Raw) -> Self {
        let status: Status = serde_json::from_slice(&raw.body).unwrap_or_default();
        let message = if status.message.is_empty() {
            raw.text()
        } else {
            status.message
        };
        let message: String = message.trim().chars().take(300).collect();
        let bare = path.split('?').next().unwrap_or(path);
        match raw.status.as_u16() {
            401 => Self::Forbidden {
                verb: "log in to".into(),
                resource: "the API server: it does not accept the credentials of the kubeconfig"
                    .into(),
                namespace: String::new(),
            },
            403 => {
                let verb = if *method == Method::POST {
                    "create"
                } else if status.details.name.is_empty() && !status.details.kind.is_empty() {
                    "list"
                } else {
                    "get"
                };
                let namespace = namespace_of(bare).unwrap_or_default().to_owned();
                let resource = resource_of(bare).unwrap_or_else(|| bare.to_owned());
                Self::Forbidden {
                    verb: verb.into(),
                    resource,
                    namespace,
                }
            }
            404 if status.reason == "NotFound" && !status.details.name.is_empty() => {
                let kind = if status.details.group.is_empty() {
                    status.details.kind
                } else {
                    format!("{}.{}", status.details.kind, status.details.group)
                };
                let namespace = namespace_of(bare)
                    .map(|one| format!(" in namespace {one}"))
                    .unwrap_or_default();
                Self::Absent {
                    what: format!("{kind} {}{namespace}", status.details.name),
                }
            }
            404 => match resource_of(bare) {
                Some(resource) => Self::NotServed { what: resource },
                None => Self::Absent { what: bare.into() },
            },
            code => Self::Server {
                what: bare.into(),
                status: code,
                message,
            },
        }
    }

    /// What an error of kube's client means; only watches use it.
    pub(crate) fn from_kube(what: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 403 => Self::Forbidden {
                verb: "watch".into(),
                resource: what.into(),
                namespace: String::new(),
            },
            kube::Error::Api(status) if status.code == 404 => Self::NotServed { what: what.into() },
            kube::Error::Api(status) => Self::Server {
                what: what.into(),
                status: status.code,
                message: status.message.clone(),
            },
            kube::Error::SerdeError(error) => Self::Malformed {
                what: what.into(),
                message: error.to_string(),
            },
            other => Self::Unreachable {
                what: what.into(),
                message: crate::cluster::chain(other),
            },
        }
    }
}

/// The namespace in an API path.
fn namespace_of(path: &str) -> Option<&str> {
    path.split_once("/namespaces/")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map(|(name, _)| name)
}

/// Plural (with subresource) and group in an API path, as `kubectl` would take it.
fn resource_of(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, mut rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    if let ["namespaces", _, deeper @ ..] = rest
        && !deeper.is_empty()
    {
        rest = deeper;
    }
    let name = match rest {
        [] => return None,
        [plural, _, sub, ..] => format!("{plural}/{sub}"),
        [plural, ..] => (*plural).to_owned(),
    };
    Some(if group.is_empty() {
        name
    } else {
        format!("{name}.{group}")
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn answer(code: u16, body: &str) -> Raw {
        Raw {
            status: StatusCode::from_u16(code).unwrap(),
            headers: HeaderMap::new(),
            body: body.as_bytes().to_vec(),
            received: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn read(path: &str, code: u16, body: &str) -> ReadError {
        ReadError::from_status(&Method::GET, path, &answer(code, body))
    }

    #[test]
    fn absent_forbidden_and_not_served_are_told_apart() {
        let absent =
            r#"{"reason":"NotFound","details":{"name":"k3s2","kind":"nodes"},"message":"x"}"#;
        assert_eq!(
            read("/api/v1/nodes/k3s2", 404, absent),
            ReadError::Absent {
                what: "nodes k3s2".into()
            }
        );
        assert_eq!(
            read(
                "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/nodes",
                404,
                "404 page not found"
            ),
            ReadError::NotServed {
                what: "nodes.longhorn.io".into()
            }
        );
        let forbidden = r#"{"reason":"Forbidden","details":{"kind":"pods"}}"#;
        assert_eq!(
            read("/api/v1/namespaces/x/pods?limit=500", 403, forbidden).to_string(),
            "may not list pods in namespace x"
        );
        let proxy = r#"{"reason":"Forbidden","details":{"kind":"nodes","name":"k3s2"}}"#;
        assert_eq!(
            read("/api/v1/nodes/k3s2/proxy/healthz", 403, proxy).to_string(),
            "may not get nodes/proxy"
        );
    }

    #[test]
    fn only_passing_errors_are_worth_another_try() {
        assert!(read("/api/v1/nodes", 429, "").may_pass());
        assert!(read("/api/v1/nodes", 503, "").may_pass());
        assert!(!read("/api/v1/nodes", 403, "").may_pass());
        assert!(!read("/api/v1/nodes", 422, "").may_pass());
    }
}
