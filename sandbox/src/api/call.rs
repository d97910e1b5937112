//! What a request asks for: verb, resource, namespace, name and options, from method, path and query.

use super::auth::User;

/// A request, read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) user: User,
    pub(crate) agent: String,
    pub(crate) accept: String,
    pub(crate) content_type: String,
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) version: String,
    /// Plural name, empty for a path that is no resource.
    pub(crate) resource: String,
    pub(crate) subresource: String,
    /// What follows a `proxy` subresource, with its leading slash.
    pub(crate) rest: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Decoded query parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(pub(crate) Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text
            .trim_start_matches('?')
            .split('&')
            .filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key), decode(value))
                })
                .collect(),
        )
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
            .filter(|v| !v.is_empty())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0
            .iter()
            .any(|(k, v)| k == key && (v.is_empty() || v == "true" || v == "1"))
    }

    /// The parameters as text for people; encoded only as far as reading it again needs.
    pub(crate) fn text(&self) -> String {
        let encoded = |text: &str| {
            text.replace('%', "%25")
                .replace('&', "%26")
                .replace(' ', "+")
        };
        self.0
            .iter()
            .map(|(k, v)| format!("{k}={}", encoded(v)))
            .collect::<Vec<_>>()
            .join("&")
    }

    pub(crate) fn dry_run(&self) -> bool {
        self.0.iter().any(|(k, v)| k == "dryRun" && v == "All")
    }
}

/// Undoes percent encoding and `+`.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', _, _) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Call {
    /// Reads method, path and query; the rest is filled by the caller.
    pub(crate) fn read(method: &str, path: &str, query: &str) -> Self {
        let mut call = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: Query::parse(query),
            verb: method.to_lowercase(),
            ..Self::default()
        };
        // Encoded slashes stay inside their segment.
        let raw: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        let segments: Vec<String> = raw.iter().map(|s| decode(s)).collect();
        let mut rest = match segments.first().map(String::as_str) {
            Some("api") if segments.len() > 2 => {
                call.version.clone_from(&segments[1]);
                &segments[2..]
            }
            Some("apis") if segments.len() > 3 => {
                call.group.clone_from(&segments[1]);
                call.version.clone_from(&segments[2]);
                &segments[3..]
            }
            _ => return call,
        };
        let legacy_watch = rest.first().is_some_and(|s| s == "watch") && rest.len() > 1;
        if legacy_watch {
            rest = &rest[1..];
        }
        if rest.len() > 1 && rest[0] == "namespaces" {
            call.namespace.clone_from(&rest[1]);
            if rest.len() > 2 && !matches!(rest[2].as_str(), "status" | "finalize") {
                rest = &rest[2..];
            }
        }
        call.resource.clone_from(&rest[0]);
        call.name = rest.get(1).cloned().unwrap_or_default();
        call.subresource = rest.get(2).cloned().unwrap_or_default();
        if call.subresource == "proxy" {
            call.rest = path_after(path, segments.len() - rest.len() + 3);
        } else if rest.len() > 3 {
            // Nothing is served so deep; an unknown subresource answers it.
            call.subresource = rest[2..].join("/");
        }
        let watching = legacy_watch || call.query.flag("watch");
        let single = !call.name.is_empty();
        call.verb = match method {
            "GET" | "HEAD" if watching && call.subresource.is_empty() => "watch",
            "GET" | "HEAD" if single => "get",
            "GET" | "HEAD" => "list",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" if single => "delete",
            "DELETE" => "deletecollection",
            other => {
                return Self {
                    verb: other.to_lowercase(),
                    ..call
                };
            }
        }
        .to_owned();
        call
    }

    pub(crate) fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }

    /// `nodes/proxy`.
    pub(crate) fn resource_path(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// The path after that many segments, with its leading slash.
fn path_after(path: &str, segments: usize) -> String {
    let mut rest = path;
    for _ in 0..segments {
        rest = rest.trim_start_matches('/');
        rest = rest.find('/').map_or("", |at| &rest[at..]);
    }
    if rest.is_empty() {
        "/".to_owned()
    } else {
        decode(&rest.replace('+', "%2B"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, url: &str) -> Call {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        Call::read(method, path, query)
    }

    #[test]
    fn paths_become_resources() {
        let call = read("GET", "/api/v1/namespaces/default/pods/a/log?container=x");
        assert_eq!(
            (
                call.verb.as_str(),
                call.resource_path().as_str(),
                call.name.as_str()
            ),
            ("get", "pods/log", "a")
        );
        let call = read("GET", "/apis/apps/v1/deployments?watch=true");
        assert_eq!(
            (
                call.verb.as_str(),
                call.group.as_str(),
                call.namespace.as_str()
            ),
            ("watch", "apps", "")
        );
        let call = read("DELETE", "/api/v1/namespaces/x");
        assert_eq!(
            (
                call.verb.as_str(),
                call.resource.as_str(),
                call.name.as_str()
            ),
            ("delete", "namespaces", "x")
        );
        let call = read("PUT", "/api/v1/namespaces/x/finalize");
        assert_eq!(call.resource_path(), "namespaces/finalize");
        assert!(!read("GET", "/readyz?verbose").is_resource());
        assert!(!read("GET", "/apis/apps/v1").is_resource());
    }

    #[test]
    fn proxied_paths_and_encodings_stay_whole() {
        let call = read(
            "GET",
            "/api/v1/namespaces/m/services/http:prom:9090/proxy/api/v1/query?query=up%3D%3D1",
        );
        assert_eq!(
            (call.name.as_str(), call.rest.as_str()),
            ("http:prom:9090", "/api/v1/query")
        );
        assert_eq!(call.query.get("query"), Some("up==1"));
        assert_eq!(read("GET", "/api/v1/nodes/a/proxy").rest, "/");
    }
}
