//! What somebody asked of the API server, in the words of rights: verb, resource, place.

use http::Method;

/// One thing that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// `get list watch create update patch delete deletecollection`.
    pub verb: String,
    /// Group, empty for core and for paths.
    pub group: String,
    /// Plural with subresource, or the path.
    pub resource: String,
    /// Empty for the whole cluster.
    pub namespace: String,
    /// Empty for all.
    pub name: String,
    /// Whether it is a path that is no resource.
    pub path: bool,
}

impl Asked {
    /// What a request asks for, by its method and its path with query.
    #[must_use]
    pub fn of(method: &Method, uri: &str) -> Self {
        let whole = uri.split_once("://").map_or(uri, |(_, rest)| {
            rest.find('/').map_or("/", |at| &rest[at..])
        });
        let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let group = match parts.next() {
            Some("api") => parts.next().map(|_| ""),
            Some("apis") => {
                let group = parts.next();
                parts.next().and(group)
            }
            _ => None,
        };
        let mut rest: Vec<&str> = parts.collect();
        let Some(group) = group.filter(|_| !rest.is_empty()) else {
            return Self {
                verb: method.as_str().to_ascii_lowercase(),
                resource: path.to_owned(),
                path: true,
                ..Self::default()
            };
        };
        let mut namespace = String::new();
        if let ["namespaces", name, _, ..] = rest[..] {
            name.clone_into(&mut namespace);
            rest.drain(..2);
        }
        let plural = rest.first().copied().unwrap_or_default();
        let mut name = rest.get(1).copied().unwrap_or_default().to_owned();
        // A selector for one name is a right on that name.
        if name.is_empty() {
            let exact = query.split('&').find_map(|pair| {
                let value = pair.strip_prefix("fieldSelector=")?;
                value
                    .strip_prefix("metadata.name%3D")
                    .or_else(|| value.strip_prefix("metadata.name="))
            });
            exact.unwrap_or_default().clone_into(&mut name);
        }
        let resource = match rest.get(2) {
            Some(subresource) => format!("{plural}/{subresource}"),
            None => plural.to_owned(),
        };
        let single = rest.len() > 1;
        let verb = match *method {
            Method::GET
                if query
                    .split('&')
                    .any(|pair| pair.starts_with("watch=true") || pair == "watch=1") =>
            {
                "watch"
            }
            Method::GET | Method::HEAD if single => "get",
            Method::GET | Method::HEAD => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if single => "delete",
            Method::DELETE => "deletecollection",
            _ => method.as_str(),
        };
        Self {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource,
            namespace,
            name,
            path: false,
        }
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        for (before, part) in [
            (".", &self.group),
            (" ", &self.name),
            (" in namespace ", &self.namespace),
        ] {
            if !part.is_empty() {
                write!(f, "{before}{part}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, uri: &str) -> String {
        Asked::of(method, uri).to_string()
    }

    #[test]
    fn requests_are_read_as_rights() {
        for (method, uri, wanted) in [
            (Method::GET, "/api/v1/nodes?limit=500", "list nodes"),
            (
                Method::GET,
                "https://a:6443/api/v1/nodes/k3s2",
                "get nodes k3s2",
            ),
            (
                Method::GET,
                "/api/v1/nodes/k3s2/proxy/healthz",
                "get nodes/proxy k3s2",
            ),
            (
                Method::GET,
                "/apis/apps/v1/namespaces/a/deployments?watch=true",
                "watch deployments.apps in namespace a",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/a/secrets?limit=5&fieldSelector=metadata.name%3Dx",
                "list secrets x in namespace a",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/kube-system",
                "get namespaces kube-system",
            ),
            (
                Method::POST,
                "/api/v1/namespaces/a/pods/p/eviction",
                "create pods/eviction p in namespace a",
            ),
            (
                Method::PATCH,
                "/api/v1/nodes/k3s2?fieldManager=x",
                "patch nodes k3s2",
            ),
            (
                Method::DELETE,
                "/api/v1/namespaces/a/pods",
                "deletecollection pods in namespace a",
            ),
            (Method::GET, "/readyz?verbose", "get /readyz"),
            (Method::GET, "/apis", "get /apis"),
        ] {
            assert_eq!(asked(&method, uri), wanted, "{uri}");
        }
    }
}
