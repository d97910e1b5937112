//! Does it all hold together? What the end-to-end tests stand on.
//!
//! A [`TestEnvironment`] is a world of its own: temporary folder, HOME, state and logs, and a sandbox served by the
//! process of the test, so that the program under test can be killed and started again while the cluster lives.

#![expect(
    clippy::expect_used,
    reason = "what a test stands on says by panicking that it cannot go on"
)]

mod binary;
pub mod control_plane;
pub mod faults;
mod look;
mod process;
pub mod real;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use reports::model::Phase;
use sandbox::{Crowd, Options, Sandbox, Speed, Stage};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub use binary::harness as binary;
pub use look::nothing_done;
pub use process::{Output, Running};

/// Makes plain functions into tests on the sandbox, and names them for the runner of the real control plane
/// (`tests/tests/control_plane/main.rs`), where the same bodies run on that.
///
/// ```ignore
/// tests::on_both!(a_new_cluster_is_onboarded);
///
/// fn a_new_cluster_is_onboarded() {
///     let world = TestEnvironment::new();
///     let _ = world.onboard(&[]).exits(0);
/// }
/// ```
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        #[allow(dead_code, reason = "one of the two runners has its tests from the module below")]
        pub(crate) const ON_BOTH: &[(&str, fn())] = &[$((stringify!($name), $name)),+];

        mod on_the_sandbox {
            $(#[test]
            fn $name() {
                super::$name();
            })+
        }
    };
}

/// What selects every phase, for an inspection of all of them.
#[must_use]
pub fn every_phase() -> Vec<&'static str> {
    Phase::ALL
        .iter()
        .flat_map(|phase| ["--phase", phase.short()])
        .collect()
}

/// No start of the program may take longer than this.
pub const LIMIT: Duration = Duration::from_secs(120);

/// A world of its own for one test. Everything in it ends and is removed when it is dropped.
pub struct TestEnvironment {
    sandbox: Option<Sandbox>,
    runtime: Runtime,
    variables: BTreeMap<String, String>,
    root: TempDir,
    /// Held while this world stands on the real control plane.
    turn: Option<real::Turn>,
}

impl TestEnvironment {
    /// Folders and a HOME, and no cluster.
    #[must_use]
    pub fn without_cluster() -> Self {
        let root = tempfile::Builder::new()
            .prefix("onboarding-test-")
            .tempdir()
            .expect("a temporary folder");
        fs::create_dir(root.path().join("home")).expect("a folder for HOME");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        Self {
            sandbox: None,
            runtime,
            variables: BTreeMap::new(),
            root,
            turn: None,
        }
    }

    /// With a cluster that the new node is not in yet.
    #[must_use]
    pub fn new() -> Self {
        Self::at(Stage::New, &[])
    }

    /// With a cluster at this stage and with these faults: the sandbox, or machines on the real control plane where
    /// this process has said [`real::choose`].
    #[must_use]
    pub fn at(stage: Stage, faults: &[&str]) -> Self {
        if real::is_chosen() {
            let mut made = Self::without_cluster();
            let (turn, options) = real::turn(stage);
            let started = made.runtime.block_on(Sandbox::start(options));
            made.sandbox = Some(started.expect("machines on the real control plane"));
            made.turn = Some(turn);
            for fault in faults {
                made.fault(fault, true);
            }
            return made;
        }
        Self::on_the_sandbox(stage, faults)
    }

    /// As [`Self::at`], on the sandbox whatever this process has chosen: it records every request.
    #[must_use]
    pub fn on_the_sandbox(stage: Stage, faults: &[&str]) -> Self {
        let mut made = Self::without_cluster();
        let options = Options {
            stage,
            speed: Speed::Test,
            faults: faults.iter().map(|&name| name.to_owned()).collect(),
            dir: Some(made.root.path().join("world")),
            ..Options::default()
        };
        let started = made.runtime.block_on(Sandbox::start(options));
        made.sandbox = Some(started.expect("a sandbox"));
        made
    }

    /// With a large onboarded cluster in which nothing moves.
    #[must_use]
    pub fn crowded(crowd: Crowd) -> Self {
        let mut made = Self::without_cluster();
        let options = Options {
            stage: Stage::Onboarded,
            speed: Speed::Test,
            crowd: Some(crowd),
            dir: Some(made.root.path().join("world")),
            ..Options::default()
        };
        let started = made.runtime.block_on(Sandbox::start(options));
        made.sandbox = Some(started.expect("a sandbox"));
        made
    }

    /// The folder that everything is in.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The HOME of the program.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// The state folder that [`Self::onboard`] and [`Self::onboard_plain`] name.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root().join("state")
    }

    /// The log folder that [`Self::onboard`] and [`Self::onboard_plain`] name.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root().join("logs")
    }

    /// The cluster.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        self.sandbox.as_ref().expect("a sandbox in this test")
    }

    /// Where async work of the test runs.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Sets a variable for every later start of the program.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    /// Switches a fault of the cluster.
    pub fn fault(&self, name: &str, on: bool) {
        self.switch(name, on);
        // What befalls the remote is there at once, and Flux shall not see it first.
        if self.is_real() && !name.starts_with("git-") {
            // What follows goes through controllers that are not ours before it can be seen.
            self.runtime
                .block_on(async { tokio::time::sleep(real::SETTLES).await });
        }
    }

    /// Switches a fault of the cluster, for whoever looks by himself when it has come about.
    pub fn switch(&self, name: &str, on: bool) {
        let switched = self.runtime.block_on(self.sandbox().set_fault(name, on));
        switched.expect("the fault is switched");
    }

    /// Looks again and again until this is so.
    ///
    /// # Panics
    /// [`LIMIT`] has passed.
    #[track_caller]
    pub fn until(&self, what: &str, so: impl Fn() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !so() {
            assert!(Instant::now() < deadline, "it does not come about: {what}");
            self.runtime
                .block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
        }
    }

    /// The program with this environment and nothing of the person's who runs the test.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("TMPDIR", self.root())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("LANG", "C.UTF-8")
            // What asks for something that it does not declare fails.
            .env("ONBOARDING_STRICT_RIGHTS", "1")
            .envs(&self.variables);
        command
    }

    /// Runs the program with exactly these arguments.
    #[must_use]
    pub fn harness(&self, arguments: &[&str]) -> Output {
        self.spawn(arguments).wait()
    }

    /// Starts the program with exactly these arguments.
    #[must_use]
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        let mut command = self.command();
        command.args(arguments);
        Running::start(command, self.root())
    }

    /// Runs the program on the sandbox (`--sandbox=DIR`), with state and logs in this environment.
    #[must_use]
    pub fn onboard(&self, arguments: &[&str]) -> Output {
        self.spawn_onboard(arguments).wait()
    }

    /// Starts an onboarding of a node that does not come, and returns when it waits for that.
    #[must_use]
    pub fn spawn_waiting(&self) -> Running {
        self.fault("node-never-registers", true);
        let mut run = self.spawn_onboard(&["--timeout", "join=90s"]);
        run.until("the wait for the node", |run| {
            run.said().contains("waiting for join::registered")
        });
        run
    }

    /// Starts the program on the sandbox (`--sandbox=DIR`), with state and logs in this environment.
    #[must_use]
    pub fn spawn_onboard(&self, arguments: &[&str]) -> Running {
        let mut command = self.command();
        command.args(self.arguments()).args(arguments);
        Running::start(command, self.root())
    }

    /// Runs the program as on a real cluster (`--kubeconfig` and `--repo`), with state and logs in this environment.
    #[must_use]
    pub fn onboard_plain(&self, arguments: &[&str]) -> Output {
        self.spawn_plain(arguments).wait()
    }

    /// Starts the program as on a real cluster (`--kubeconfig` and `--repo`), with state and logs in this environment.
    #[must_use]
    pub fn spawn_plain(&self, arguments: &[&str]) -> Running {
        let cluster = if self.is_real() {
            self.cluster()
        } else {
            self.plain()
        };
        let mut command = self.command();
        command.args(cluster).args(self.folders()).args(arguments);
        Running::start(command, self.root())
    }

    /// What names this cluster and its repository, and the folders of this environment.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut all = self.cluster();
        all.extend(self.folders());
        all
    }

    /// What names this cluster and its repository; on a real control plane with the limits of a test, which later
    /// arguments may change.
    #[must_use]
    pub fn cluster(&self) -> Vec<String> {
        if !self.is_real() {
            return vec![format!("--sandbox={}", self.sandbox().dir().display())];
        }
        let mut all = self.plain();
        all.extend(real::LIMITS.map(str::to_owned));
        all
    }

    /// The same as on a real cluster: `--kubeconfig` and `--repo`.
    fn plain(&self) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let sandbox = self.sandbox();
        vec![
            "--kubeconfig".to_owned(),
            text(&sandbox.kubeconfig()),
            "--repo".to_owned(),
            text(&sandbox.checkout()),
        ]
    }

    /// Whether this world stands on a real control plane.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.turn.is_some()
    }

    /// `--state-dir` and `--log-dir` of this environment.
    #[must_use]
    pub fn folders(&self) -> [String; 4] {
        let text = |path: PathBuf| path.display().to_string();
        [
            "--state-dir".to_owned(),
            text(self.state()),
            "--log-dir".to_owned(),
            text(self.logs()),
        ]
    }
}

impl Default for TestEnvironment {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestEnvironment {
    fn drop(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.runtime.block_on(sandbox.shutdown());
        }
    }
}
