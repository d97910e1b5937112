//! Stories on real repositories in a temporary folder, with a home of their own.

mod commits;
mod edits;
mod pushes;
mod rebases;
mod signatures;
mod writes;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use checks::git::{Environment, Oid, Remote, Repository, Transport};

use super::commit::{self, Prepared, Proposal};
use super::edit::{self, Edit, Wanted};
use super::{ChangeError, Looked, Progress, progress, push, write};

pub(super) const FILE: &str = "infrastructure/storage/kustomization.yaml";
pub(super) const ENTRY: &str = "../k3s2-node-config/";
pub(super) const BEFORE: &str = "\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization

resources:
  # Storage components
  - ../longhorn/base/
  - ../k3s1-node-config/
  # the second node
  # - ../k3s2-node-config/
# If Longhorn is down, this fails gracefully
";

/// A clone `work` of a bare `remote.git`, one commit on `main`, and a home with nothing in it.
pub(super) struct World {
    folder: tempfile::TempDir,
    environment: Environment,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(BEFORE)
    }

    pub(super) fn with(kustomization: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir_all(&home).unwrap();
        let world = Self {
            folder,
            environment: Environment::isolated(&home),
        };
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
        world.identify("work", "Ada");
        world.write("work", FILE, kustomization);
        world.write("work", "README.md", "hello\n");
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

    pub(super) fn repository(&self) -> Repository {
        Repository::open_in(&self.path("work"), self.environment.clone()).unwrap()
    }

    pub(super) fn remote(&self) -> Remote {
        self.repository().followed_remote().unwrap()
    }

    pub(super) fn identify(&self, clone: &str, name: &str) {
        self.git(clone, &["config", "user.name", name]);
        self.git(
            clone,
            &[
                "config",
                "user.email",
                &format!("{name}@example.org").to_lowercase(),
            ],
        );
    }

    pub(super) fn write(&self, clone: &str, file: &str, text: &str) {
        let path = self.path(clone).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path("work").join(file)).unwrap()
    }

    /// Somebody else pushes a change of this file.
    pub(super) fn somebody_pushes(&self, file: &str, text: &str) -> Oid {
        if !self.path("other").exists() {
            self.git(".", &["clone", "--quiet", "remote.git", "other"]);
            self.identify("other", "Eve");
        }
        self.write("other", file, text);
        self.git("other", &["add", "--all"]);
        self.git(
            "other",
            &["commit", "--quiet", "--message", &format!("theirs: {file}")],
        );
        self.git("other", &["push", "--quiet"]);
        self.id("other", "HEAD")
    }

    pub(super) fn git(&self, folder: &str, arguments: &[&str]) -> String {
        let output = self.run("git", folder, arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    pub(super) fn run(&self, program: &str, folder: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path(folder))
            .env_clear()
            .env("GIT_CONFIG_NOSYSTEM", "1");
        for name in ["PATH", "HOME", "GNUPGHOME", "SSH_AUTH_SOCK"] {
            if let Some(value) = self.environment.var(name) {
                command.env(name, value);
            }
        }
        command.output().unwrap()
    }

    pub(super) fn id(&self, folder: &str, name: &str) -> Oid {
        Oid::from_str(&self.git(folder, &["rev-parse", name])).unwrap()
    }

    /// Where the remote's branch is, read in the bare repository itself.
    pub(super) fn on_remote(&self) -> Oid {
        self.id("remote.git", "refs/heads/main")
    }

    pub(super) fn status(&self) -> String {
        self.git("work", &["status", "--porcelain"])
    }

    /// The edit of the file as it lies in the work tree.
    pub(super) fn edit(&self) -> Edit {
        let bytes = self.repository().work_file(Path::new(FILE)).unwrap();
        edit::activate(Path::new(FILE), &bytes, ENTRY)
            .unwrap()
            .unwrap()
    }

    pub(super) fn proposal(&self, edit: &Edit) -> Proposal {
        Proposal {
            file: edit.file.clone(),
            content: edit.after.clone(),
            message: commit::message("Activate k3s2", "The node joins.", "run-1"),
            require_signed: false,
        }
    }

    /// Edit, write and commit; the branch is at the commit.
    pub(super) async fn committed(&self) -> Result<Prepared, ChangeError> {
        let edit = self.edit();
        write::write(&self.repository(), &edit)?;
        let prepared = commit::prepare(&self.repository(), &self.proposal(&edit)).await?;
        commit::land(&self.repository(), &prepared)?;
        Ok(prepared)
    }

    pub(super) fn progress(&self) -> Result<Progress, ChangeError> {
        let looked = Looked {
            file: Path::new(FILE),
            entry: ENTRY,
            wanted: Wanted::Active,
            run: "run-1",
            commit: None,
        };
        progress(&self.repository(), &self.remote(), &looked)
    }

    pub(super) async fn push(
        &self,
        transport: Transport,
        prepared: &Prepared,
    ) -> Result<push::Pushed, ChangeError> {
        push::push(
            &self.repository(),
            &self.remote(),
            transport,
            prepared.id,
            prepared.parent,
        )
        .await
    }
}
