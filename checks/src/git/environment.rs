//! What `git`, the signers and libgit2 may see of the world around them.
//!
//! A run on somebody's own repository inherits the process' environment, because that is where the ssh agent, the
//! credential helpers and the configuration live. The sandbox and the tests bring their own home instead. Variables
//! are handed over as data: setting them in our own process would be unsafe and would leak into other threads.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Variables that would point git at another repository than the one we opened, as they are set inside hooks and
/// `git rebase --exec` (the list of `git rev-parse --local-env-vars`, without the configuration variables).
const OF_ANOTHER_REPOSITORY: [&str; 11] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
];

/// The environment of child processes and the place where git's configuration is looked up.
#[derive(Debug, Clone)]
pub struct Environment {
    inherits: bool,
    changes: BTreeMap<OsString, Option<OsString>>,
}

impl Default for Environment {
    fn default() -> Self {
        Self::inherited()
    }
}

impl Environment {
    /// The environment of our own process.
    #[must_use]
    pub fn inherited() -> Self {
        Self {
            inherits: true,
            changes: BTreeMap::new(),
        }
    }

    /// Nothing but a search path and this home: neither the user's nor the machine's git configuration is read.
    #[must_use]
    pub fn isolated(home: &Path) -> Self {
        let mut environment = Self {
            inherits: false,
            changes: BTreeMap::new(),
        }
        .with("HOME", home)
        .with("XDG_CONFIG_HOME", home.join(".config"))
        .with("GNUPGHOME", home.join(".gnupg"))
        .with("GIT_CONFIG_NOSYSTEM", "1");
        for kept in ["PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(kept) {
                environment = environment.with(kept, value);
            }
        }
        environment
    }

    /// The same with one variable set.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.changes.insert(name.into(), Some(value.into()));
        self
    }

    /// The same without one variable.
    #[must_use]
    pub fn without(mut self, name: impl Into<OsString>) -> Self {
        self.changes.insert(name.into(), None);
        self
    }

    /// The value that a child process would see.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<OsString> {
        match self.changes.get(OsStr::new(name)) {
            Some(change) => change.clone(),
            None if self.inherits => std::env::var_os(name),
            None => None,
        }
    }

    /// Whether a variable is set to something other than the empty string.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.var(name).is_some_and(|value| !value.is_empty())
    }

    /// Where this program lies on the search path; a name with a slash is taken as it is.
    #[must_use]
    pub fn find_program(&self, name: &str) -> Option<PathBuf> {
        if name.contains('/') {
            return Some(PathBuf::from(name)).filter(|path| is_executable(path));
        }
        let path = self.var("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| is_executable(file))
    }

    /// Whether libgit2's own look-up of configuration files gives what this environment says: it reads the process'
    /// environment, and of that only the home.
    pub(crate) fn matches_libgit2(&self) -> bool {
        self.inherits
            && self.changes.is_empty()
            && [
                "GIT_CONFIG_GLOBAL",
                "GIT_CONFIG_SYSTEM",
                "GIT_CONFIG_NOSYSTEM",
            ]
            .iter()
            .all(|name| !self.has(name))
    }

    /// Gives a child process this environment and nothing else.
    pub(crate) fn apply_to(&self, command: &mut tokio::process::Command) {
        if !self.inherits {
            command.env_clear();
        }
        for name in OF_ANOTHER_REPOSITORY {
            command.env_remove(name);
        }
        for (name, change) in &self.changes {
            match change {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_isolated_environment_knows_only_what_it_was_given() {
        let environment = Environment::isolated(Path::new("/nowhere"))
            .with("A", "1")
            .without("B");
        assert_eq!(environment.var("A"), Some(OsString::from("1")));
        assert_eq!(environment.var("B"), None);
        assert_eq!(environment.var("USER"), None);
        assert_eq!(environment.var("HOME"), Some(OsString::from("/nowhere")));
        assert!(!environment.matches_libgit2());
    }

    #[test]
    fn programs_are_found_on_the_search_path_only() {
        let environment = Environment::inherited();
        assert!(
            environment
                .find_program("sh")
                .is_some_and(|path| path.is_absolute())
        );
        assert_eq!(environment.find_program("no-such-program-here"), None);
        assert_eq!(
            environment.with("PATH", "/nonexistent").find_program("sh"),
            None
        );
    }
}
