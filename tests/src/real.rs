//! A few real control planes for many tests.
//!
//! A process that says [`choose`] gets worlds on them from [`crate::TestEnvironment::at`], with the same methods as on
//! the sandbox. One test at a time has one of them; each begins with exactly the objects, and the repository, that the
//! stage begins with.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Condvar, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sandbox::{Options, Sandbox, Server, Speed, Stage};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::control_plane::{
    ControlPlane, Parts,
    network::{self, Place},
    snapshot::Snapshot,
};

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

/// What the real controllers need until a fault has been seen by the last of them.
pub const SETTLES: Duration = Duration::from_millis(1500);

static CHOSEN: AtomicBool = AtomicBool::new(false);
/// Those that no test has now, and the places where there is room for one more.
static IDLE: LazyLock<Mutex<(Vec<Real>, Vec<Place>)>> =
    LazyLock::new(|| Mutex::new((Vec::new(), Place::all().collect())));
static BACK: Condvar = Condvar::new();

/// From now on worlds of this process stand on a real control plane, which starts with the first of them.
pub fn choose() {
    CHOSEN.store(true, Ordering::Relaxed);
}

/// Whether worlds of this process stand on a real control plane.
#[must_use]
pub fn is_chosen() -> bool {
    CHOSEN.load(Ordering::Relaxed)
}

/// Ends the control planes that were started, when every test has ended.
pub fn end() {
    let idle = std::mem::take(&mut idle().0);
    drop(idle);
}

fn idle() -> MutexGuard<'static, (Vec<Real>, Vec<Place>)> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place that is free again when no control plane starts there.
struct Room(Option<Place>);

impl Room {
    fn taken(mut self) {
        self.0 = None;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(place) = self.0.take() {
            idle().1.push(place);
            BACK.notify_one();
        }
    }
}

/// A control plane that one test has, until this is dropped.
pub struct Turn(Option<Real>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(real) = self.0.take() {
            idle().0.push(real);
            BACK.notify_one();
        }
    }
}

struct Beginning {
    objects: Snapshot,
    folder: PathBuf,
}

struct Real {
    /// Ends before the folder goes.
    plane: ControlPlane,
    runtime: Runtime,
    place: Place,
    beginnings: BTreeMap<&'static str, Beginning>,
    root: TempDir,
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::New => "new",
        Stage::Joining => "joining",
        Stage::Onboarded => "onboarded",
    }
}

/// Waits for a control plane, and makes it hold what this stage begins with.
///
/// # Panics
/// It does not start, or does not become what it should.
pub(crate) fn turn(stage: Stage) -> (Turn, Options) {
    let mut there = idle();
    let real = loop {
        if let Some(real) = there.0.pop() {
            break Some(real);
        }
        if !there.1.is_empty() {
            break None;
        }
        there = BACK.wait(there).unwrap_or_else(PoisonError::into_inner);
    };
    let real = match real {
        Some(real) => {
            drop(there);
            real
        }
        None => {
            let place = there.1.pop().expect("a place, as was seen");
            drop(there);
            let room = Room(Some(place));
            let real = Real::start(place);
            room.taken();
            real
        }
    };
    let mut turn = Turn(Some(real));
    let real = turn.0.as_mut().expect("the one that was put there");
    real.begin(stage);
    let options = real.options(stage);
    (turn, options)
}

impl Real {
    fn start(place: Place) -> Self {
        assert!(
            network::is_own(),
            "machines on a real control plane need a network of their own"
        );
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let plane = runtime.block_on(ControlPlane::start(Parts::Machines(place)));
        Self {
            plane: plane.expect("a control plane"),
            runtime,
            place,
            beginnings: BTreeMap::new(),
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
                control_plane_ip: self.place.control_plane(),
                node_ip: self.place.node(),
                first_range: self.place.first_range(),
                definitions: definitions(),
                audit_log: Some(self.plane.audit_log()),
                audit_from: fs::metadata(self.plane.audit_log()).map_or(0, |file| file.len()),
            }),
            ..Options::default()
        }
    }

    /// Makes objects and folder as they are at the beginning of this stage; the first time by letting the machines
    /// bring the cluster there.
    fn begin(&mut self, stage: Stage) {
        // Every other stage is made from the first one, which therefore is made before anything else has happened here.
        if stage != Stage::New && !self.beginnings.contains_key(name(Stage::New)) {
            self.begin(Stage::New);
        }
        if !self.beginnings.contains_key(name(stage)) {
            if let Some(before) = self.beginnings.get(name(Stage::New)) {
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
            self.beginnings
                .insert(name(stage), Beginning { objects, folder });
            return;
        }
        self.put_back(&self.beginnings[name(stage)]);
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
