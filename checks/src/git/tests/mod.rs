//! Stories on real repositories in a temporary folder, with a home of their own.

mod kustomization;
mod manifests;
mod remotes;
mod states;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Environment, Repository};

/// A clone `work` of a bare `remote.git`, one commit on `main`, and an empty home.
pub(super) struct World {
    folder: tempfile::TempDir,
}

pub(super) const FILE: &str = "infrastructure/storage/kustomization.yaml";

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = Self { folder };
        std::fs::create_dir_all(world.path("home")).unwrap();
        world.git(
            ".",
            &[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=main",
                "remote.git",
            ],
        );
        world.git(".", &["clone", "--quiet", "remote.git", "work"]);
        world.git("work", &["symbolic-ref", "HEAD", "refs/heads/main"]);
        world.git("work", &["config", "user.name", "Ada"]);
        world.git("work", &["config", "user.email", "ada@example.org"]);
        world.write(FILE, "resources:\n  - a.yaml\n  # - ../k3s2-node-config/\n");
        world.git("work", &["add", "."]);
        world.git("work", &["commit", "--quiet", "--message", "start"]);
        world.git(
            "work",
            &["push", "--quiet", "--set-upstream", "origin", "main"],
        );
        world
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn environment(&self) -> Environment {
        Environment::isolated(&self.path("home"))
    }

    pub(super) fn repository(&self) -> Repository {
        Repository::open_in(&self.path("work"), self.environment()).unwrap()
    }

    pub(super) fn write(&self, file: &str, text: &str) {
        let path = self.path("work").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits everything in `work`.
    pub(super) fn commit(&self, message: &str) -> String {
        self.git("work", &["add", "--all"]);
        self.git(
            "work",
            &["commit", "--quiet", "--allow-empty", "--message", message],
        );
        self.git("work", &["rev-parse", "HEAD"])
    }

    pub(super) fn git(&self, folder: &str, arguments: &[&str]) -> String {
        run(&self.path("home"), &self.path(folder), arguments)
    }
}

fn run(home: &Path, folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(
        output.status.success(),
        "git {arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}
