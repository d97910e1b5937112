//! One row of the table: a request, and what of its answer is compared.

use std::fmt;

use serde_json::Value;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    Admin,
    /// A user without any right.
    Eve,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) class: &'static str,
    pub(super) method: &'static str,
    /// May hold `{name}` for what an earlier row kept under this name.
    pub(super) path: String,
    pub(super) media: &'static str,
    pub(super) accept: &'static str,
    pub(super) user: User,
    /// May hold `{name}` too, in its JSON text.
    pub(super) body: Value,
    /// What is kept of the answer for later rows: a name and where it stands.
    pub(super) keep: Vec<(&'static str, &'static str)>,
    /// The only parts that are compared, when not all; the status is compared always.
    pub(super) only: &'static [&'static str],
    /// Sent again until it is answered with success: what a server does in its own time.
    pub(super) settles: bool,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {} {}", self.class, self.method, self.path)?;
        if self.user == User::Eve {
            write!(f, " as eve")?;
        }
        if !self.body.is_null() {
            let body = self.body.to_string();
            write!(
                f,
                " {} {}",
                self.media,
                body.chars().take(300).collect::<String>()
            )?;
        }
        if self.accept != "application/json" {
            write!(f, " ({})", self.accept)?;
        }
        Ok(())
    }
}

/// What tables are asked for with, as kubectl does it.
pub(super) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// What lists of nothing but metadata are asked for with.
pub(super) const METADATA_LIST: &str =
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
/// What the metadata of one object is asked for with.
pub(super) const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

impl Step {
    fn new(
        class: &'static str,
        method: &'static str,
        path: &str,
        media: &'static str,
        body: Value,
    ) -> Self {
        Self {
            class,
            method,
            path: path.to_owned(),
            media,
            accept: "application/json",
            user: User::Admin,
            body,
            keep: Vec::new(),
            only: &[],
            settles: false,
        }
    }

    pub(super) fn get(class: &'static str, path: &str) -> Self {
        Self::new(class, "GET", path, "application/json", Value::Null)
    }

    pub(super) fn post(class: &'static str, path: &str, body: Value) -> Self {
        Self::new(class, "POST", path, "application/json", body)
    }

    pub(super) fn put(class: &'static str, path: &str, body: Value) -> Self {
        Self::new(class, "PUT", path, "application/json", body)
    }

    pub(super) fn delete(class: &'static str, path: &str) -> Self {
        Self::new(class, "DELETE", path, "application/json", Value::Null)
    }

    /// `kind` is what stands between `application/` and `+json`, or `apply` for server-side apply.
    pub(super) fn patch(class: &'static str, path: &str, kind: &str, body: Value) -> Self {
        let media = match kind {
            "json" => "application/json-patch+json",
            "strategic" => "application/strategic-merge-patch+json",
            "apply" => "application/apply-patch+yaml",
            _ => "application/merge-patch+json",
        };
        Self::new(class, "PATCH", path, media, body)
    }

    pub(super) fn media(mut self, media: &'static str) -> Self {
        self.media = media;
        self
    }

    pub(super) fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = body;
        self
    }

    pub(super) fn eve(mut self) -> Self {
        self.user = User::Eve;
        self
    }

    pub(super) fn keep(mut self, name: &'static str, pointer: &'static str) -> Self {
        self.keep.push((name, pointer));
        self
    }

    pub(super) fn only(mut self, parts: &'static [&'static str]) -> Self {
        self.only = parts;
        self
    }

    pub(super) fn settles(mut self) -> Self {
        self.settles = true;
        self
    }

    /// What kind of request this is, names and values left out.
    pub(super) fn shape(&self) -> String {
        shape(self.method, &self.path)
    }
}

/// Method, group, resource and the names of the parameters: `GET apps daemonsets/* ?limit`.
pub(super) fn shape(method: &str, path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut keys: Vec<&str> = query
        .split('&')
        .filter_map(|pair| pair.split('=').next())
        .filter(|key| !key.is_empty())
        .collect();
    keys.sort_unstable();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => ("core", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        other => ("path", other),
    };
    let said = match rest {
        ["namespaces", _, resource] if group != "path" => format!("namespaced {resource}"),
        ["namespaces", _, resource, _] if group != "path" => format!("namespaced {resource}/*"),
        ["namespaces", _, resource, _, sub, ..] if group != "path" => {
            format!("namespaced {resource}/*/{sub}")
        }
        [resource] => (*resource).to_owned(),
        [resource, _] => format!("{resource}/*"),
        [resource, _, sub, ..] => format!("{resource}/*/{sub}"),
        [] => String::new(),
    };
    format!("{method} {group} {said} ?{}", keys.join("&"))
}
