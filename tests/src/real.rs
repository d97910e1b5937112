//! One real control plane for many tests.
//!
//! A process that says [`choose`] gets worlds on it from [`crate::TestEnvironment::at`], with the same methods as on
//! the sandbox. One test at a time has it; each begins with exactly the objects, and the repository, that the stage
//! begins with.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use sandbox::{Options, Sandbox, Server, Speed, Stage};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::OwnedMutexGuard};

use crate::control_plane::{ControlPlane, Parts, network, snapshot::Snapshot};

/// Limits of a run in a test, as arguments; arguments that come later win.
pub const LIMITS: [&str; 18] = [
    "--timeout",
    "pre=60s",
    "--timeout",
    "gitops=60s",
    "--timeout",
    "join=60s",
    "--timeout",
    "storage=60s",
    "--timeout",
    "network=60s",
    "--timeout",
    "monitoring=60s",
    "--timeout",
    "security=60s",
    "--timeout",
    "post=60s",
    "--timeout",
    "health=60s",
];

static CHOSEN: AtomicBool = AtomicBool::new(false);
static REAL: Mutex<Option<Arc<Real>>> = Mutex::new(None);

/// From now on worlds of this process stand on a real control plane, which starts with the first of them.
pub fn choose() {
    CHOSEN.store(true, Ordering::Relaxed);
}

/// Whether worlds of this process stand on a real control plane.
#[must_use]
pub fn is_chosen() -> bool {
    CHOSEN.load(Ordering::Relaxed)
}

/// Ends the control plane, if one was started.
pub fn end() {
    let held = REAL.lock().unwrap_or_else(PoisonError::into_inner).take();
    drop(held);
}

/// The right to use the control plane, until it is dropped.
pub struct Turn {
    _real: Arc<Real>,
    _held: OwnedMutexGuard<()>,
}

struct Beginning {
    objects: Snapshot,
    folder: PathBuf,
}

struct Real {
    /// Ends before the folder goes.
    plane: ControlPlane,
    runtime: Runtime,
    beginnings: Mutex<BTreeMap<&'static str, Beginning>>,
    turns: Arc<tokio::sync::Mutex<()>>,
    root: TempDir,
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::New => "new",
        Stage::Joining => "joining",
        Stage::Onboarded => "onboarded",
    }
}

/// Waits for the control plane, and makes it hold what this stage begins with.
///
/// # Panics
/// It does not start, or does not become what it should.
pub(crate) fn turn(stage: Stage) -> (Turn, Options) {
    let real = {
        let mut there = REAL.lock().unwrap_or_else(PoisonError::into_inner);
        there.get_or_insert_with(|| Arc::new(Real::start())).clone()
    };
    let held = real.runtime.block_on(real.turns.clone().lock_owned());
    real.begin(stage);
    let options = real.options(stage);
    let turn = Turn {
        _real: real,
        _held: held,
    };
    (turn, options)
}

impl Real {
    fn start() -> Self {
        assert!(
            network::is_own(),
            "machines on a real control plane need a network of their own"
        );
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let plane = runtime.block_on(ControlPlane::start(Parts::Machines));
        Self {
            plane: plane.expect("a control plane"),
            runtime,
            beginnings: Mutex::default(),
            turns: Arc::default(),
            root: tempfile::Builder::new()
                .prefix("onboarding-real-")
                .tempdir()
                .expect("a temporary folder"),
        }
    }

    fn world(&self) -> PathBuf {
        self.root.path().join("world")
    }

    fn options(&self, stage: Stage) -> Options {
        Options {
            stage,
            speed: Speed::Test,
            dir: Some(self.world()),
            server: Some(Server {
                kubeconfig: self.plane.kubeconfig(),
                machines: self.plane.programs_kubeconfig(),
                control_plane_ip: network::CONTROL_PLANE,
                node_ip: network::NODE,
                definitions: definitions(),
                audit_log: Some(self.plane.audit_log()),
                audit_from: fs::metadata(self.plane.audit_log()).map_or(0, |file| file.len()),
            }),
            ..Options::default()
        }
    }

    /// Makes objects and folder as they are at the beginning of this stage; the first time by letting the machines
    /// bring the cluster there.
    fn begin(&self, stage: Stage) {
        let mut known = self
            .beginnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(name(stage)) {
            if let Some(before) = known.get(name(Stage::New)) {
                self.put_back(before);
            }
            let made = self.runtime.block_on(async {
                let world = Sandbox::start(self.options(stage)).await?;
                world.shutdown().await;
                Ok::<_, sandbox::SandboxError>(())
            });
            made.expect("a beginning on the real control plane");
            let objects = self.runtime.block_on(self.plane.take()).expect("objects");
            let folder = self.root.path().join(name(stage));
            copy(&self.world(), &folder);
            known.insert(name(stage), Beginning { objects, folder });
            return;
        }
        self.put_back(&known[name(stage)]);
    }

    fn put_back(&self, beginning: &Beginning) {
        let put = self
            .runtime
            .block_on(self.plane.put_back(&beginning.objects));
        put.expect("the objects of the beginning");
        if self.world().exists() {
            fs::remove_dir_all(self.world()).expect("the last world is removed");
        }
        copy(&beginning.folder, &self.world());
    }
}

/// Copies a folder as it is, with modes and times.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(
        copied.expect("cp runs").success(),
        "{} could not be copied",
        from.display()
    );
}

/// The folder of the real definitions, which lies beside some checkouts of the project and is no part of it.
#[must_use]
pub fn definitions() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .map(|above| above.join("shared/data/crds"))
        .find(|dir| dir.is_dir())
}
