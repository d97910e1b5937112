//! Whether two addresses name the same repository.
//!
//! People clone over ssh what Flux fetches over https, and git knows two spellings of ssh. So the scheme family, the
//! user, default ports, a trailing `.git` and slashes do not count; host (without case) and path do. Ports count
//! between addresses of one family only: a forge serves ssh and https on different ones.

use std::path::PathBuf;

#[derive(Debug, PartialEq, Eq)]
enum Address {
    Local(PathBuf),
    Network {
        family: Family,
        host: String,
        port: Option<u16>,
        path: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Ssh,
    Http,
    Git,
    Other,
}

/// Whether the two addresses name the same repository, see the module's text for what counts.
#[must_use]
pub fn same_repository(a: &str, b: &str) -> bool {
    match (parse(a), parse(b)) {
        (Address::Local(a), Address::Local(b)) => a == b,
        (
            Address::Network {
                family: family_a,
                host: host_a,
                port: port_a,
                path: path_a,
            },
            Address::Network {
                family: family_b,
                host: host_b,
                port: port_b,
                path: path_b,
            },
        ) => host_a == host_b && path_a == path_b && (family_a != family_b || port_a == port_b),
        _ => false,
    }
}

/// The address without a password or token in it, fit for output.
#[must_use]
pub fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    match authority.rsplit_once('@') {
        // In http a lone user name is often a token.
        Some((user, host)) if user.contains(':') || scheme.contains("http") => {
            format!("{scheme}://***@{host}{path}")
        }
        _ => url.to_owned(),
    }
}

/// A program's words without the passwords of addresses that stand in them.
#[must_use]
pub fn redacted_words(words: &str) -> String {
    let redact = |word: &str| {
        let start = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0);
        let (quote, url) = word.split_at(start);
        if url.contains("://") {
            format!("{quote}{}", redacted(url))
        } else {
            word.to_owned()
        }
    };
    words
        .split_inclusive(char::is_whitespace)
        .map(redact)
        .collect()
}

/// Whether this address is a folder of this machine.
#[must_use]
pub(crate) fn is_local(url: &str) -> bool {
    matches!(parse(url), Address::Local(_))
}

/// Whether this address needs libssh2 or OpenSSL under libgit2.
#[must_use]
pub(crate) fn needs_crypto(url: &str) -> bool {
    url.starts_with("https://")
        || matches!(
            parse(url),
            Address::Network {
                family: Family::Ssh,
                ..
            }
        )
}

fn parse(url: &str) -> Address {
    let url = url.trim();
    if let Some((scheme, rest)) = url.split_once("://") {
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "file" {
            let path = rest
                .strip_prefix("localhost")
                .filter(|path| path.starts_with('/'))
                .unwrap_or(rest);
            return local(&decoded(path));
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (family, default_port) = match scheme.as_str() {
            "ssh" | "git+ssh" | "ssh+git" => (Family::Ssh, Some(22)),
            "https" => (Family::Http, Some(443)),
            "http" => (Family::Http, Some(80)),
            "git" => (Family::Git, Some(9418)),
            _ => (Family::Other, None),
        };
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let (host, port) = host_and_port(host);
        return Address::Network {
            family,
            host,
            port: port.filter(|port| Some(*port) != default_port),
            path: tidy(path),
        };
    }
    // `host:path` is ssh, unless a slash comes before the colon: then it is a path with a colon in it.
    if let Some((authority, path)) = scp_like(url) {
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        return Address::Network {
            family: Family::Ssh,
            host,
            port: None,
            path: tidy(path),
        };
    }
    local(url)
}

fn scp_like(url: &str) -> Option<(&str, &str)> {
    let (authority, path) = match url.find("]:") {
        Some(at) => (url.get(..=at)?, url.get(at + 2..)?),
        None => url.split_once(':')?,
    };
    (!authority.is_empty() && !authority.contains('/')).then_some((authority, path))
}

fn host_and_port(host: &str) -> (String, Option<u16>) {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => host
            .rsplit_once(':')
            .map_or((host, None), |(host, port)| (host, Some(port))),
    };
    (
        host.to_ascii_lowercase(),
        port.and_then(|port| port.parse().ok()),
    )
}

fn tidy(path: &str) -> String {
    let path = decoded(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let path = parts.join("/");
    path.strip_suffix(".git").unwrap_or(&path).to_owned()
}

fn local(path: &str) -> Address {
    let given = PathBuf::from(path);
    let with_suffix = PathBuf::from(format!("{}.git", path.trim_end_matches('/')));
    // git itself tries the name with `.git` when the plain one is not there.
    let found = given.canonicalize().or_else(|_| with_suffix.canonicalize());
    Address::Local(found.unwrap_or_else(|_| PathBuf::from(format!("/{}", tidy(path)))))
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_repository_are_the_same() {
        for (a, b) in [
            (
                "git@github.com:me/k3s-flux.git",
                "ssh://git@github.com/me/k3s-flux",
            ),
            (
                "git@github.com:me/k3s-flux.git",
                "ssh://git@GitHub.com:22/me/k3s-flux/",
            ),
            (
                "https://github.com/me/k3s-flux",
                "https://me:secret@github.com:443/me/k3s-flux.git/",
            ),
            (
                "https://github.com/me/k3s-flux",
                "git@github.com:me/k3s-flux",
            ),
            (
                "ssh://git@forge.lan:2222/me/x.git",
                "https://forge.lan/me/x",
            ),
            ("file:///nowhere/x.git", "/nowhere/x"),
            ("file://localhost/nowhere/a%20b", "/nowhere/a b"),
            ("[::1]:me/x", "ssh://[::1]/me/x"),
        ] {
            assert!(same_repository(a, b), "{a} = {b}");
        }
    }

    #[test]
    fn different_repositories_are_not() {
        for (a, b) in [
            (
                "git@github.com:me/k3s-flux.git",
                "git@github.com:you/k3s-flux.git",
            ),
            (
                "git@github.com:me/k3s-flux.git",
                "git@gitlab.com:me/k3s-flux.git",
            ),
            ("https://forge.lan:3000/me/x", "https://forge.lan/me/x"),
            ("/srv/git/x", "ssh://host/srv/git/x"),
            ("./a:b", "a:b"),
            ("/nowhere/x", "/nowhere/y"),
        ] {
            assert!(!same_repository(a, b), "{a} != {b}");
        }
    }

    #[test]
    fn a_folder_is_the_same_by_every_path_that_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let bare = folder.path().join("x.git");
        std::fs::create_dir(&bare).unwrap();
        std::os::unix::fs::symlink(&bare, folder.path().join("link")).unwrap();
        let text = |name: &str| folder.path().join(name).display().to_string();
        assert!(same_repository(
            &text("x.git/"),
            &format!("file://{}", text("link"))
        ));
        assert!(same_repository(&text("x"), &text("x.git")));
    }

    #[test]
    fn passwords_do_not_leave() {
        assert_eq!(redacted("https://me:t0ken@host/x"), "https://***@host/x");
        assert_eq!(redacted("https://t0ken@host/x"), "https://***@host/x");
        assert_eq!(redacted("ssh://git@host/x"), "ssh://git@host/x");
        let words = redacted_words("fatal: unable to access 'https://me:t0ken@host/x/': no\n");
        assert_eq!(words, "fatal: unable to access 'https://***@host/x/': no\n");
    }
}
