//! What these tests share: chance with a seed, reports made by the real writer, the program in another garb.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tests::TestEnvironment;

/// Chance that can be had again.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// From `ONBOARDING_SEED`, or a new one; printed, so that what failed can be done again.
    pub(crate) fn of(what: &str) -> (Self, u64) {
        let set = std::env::var("ONBOARDING_SEED").ok();
        let seed = match set.and_then(|text| text.trim().parse().ok()) {
            Some(seed) => seed,
            None => {
                let now = std::time::SystemTime::now();
                let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
                u64::from(since.subsec_nanos()) ^ u64::from(std::process::id())
            }
        };
        println!("{what}: ONBOARDING_SEED={seed}");
        (Self::with(seed), seed)
    }

    /// From this seed.
    pub(crate) fn with(seed: u64) -> Self {
        Self(seed.wrapping_add(0x9E37_79B9_7F4A_7C15))
    }

    /// The next number (splitmix64).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One below `most`.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most.max(1) as u64).unwrap()
    }

    /// So many of these, in their order.
    pub(crate) fn some<T>(&mut self, from: Vec<T>, number: usize) -> Vec<T> {
        let mut left = from.len();
        let mut wanted = number.min(left);
        let mut out = Vec::new();
        for one in from {
            if self.below(left) < wanted {
                out.push(one);
                wanted -= 1;
            }
            left -= 1;
        }
        out
    }
}

/// The tests that keep both cores busy do so one after the other, where they share a process.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static BUSY: Mutex<()> = Mutex::new(());
    BUSY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A whole number from the environment.
pub(crate) fn number(variable: &str, default: usize) -> usize {
    let set = std::env::var(variable).ok();
    set.and_then(|text| text.trim().parse().ok())
        .unwrap_or(default)
}

/// Every file below, with mode and content.
pub(crate) fn content(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(about) = fs::symlink_metadata(&path) else {
            continue;
        };
        if about.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else {
            let bytes = fs::read(&path).unwrap_or_default();
            found.insert(path, (about.permissions().mode() & 0o7777, bytes));
        }
    }
    found
}

/// The program on the sandbox of this environment, behind a command that ends by starting it.
pub(crate) fn behind(world: &TestEnvironment, front: &[&str], arguments: &[&str]) -> Command {
    let plain = world.command();
    let mut command = if let Some((first, rest)) = front.split_first() {
        let mut command = Command::new(first);
        command.args(rest).arg(plain.get_program());
        command.env_clear().current_dir(world.root());
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command
    } else {
        plain
    };
    command
        .arg(format!("--sandbox={}", world.sandbox().dir().display()))
        .args(world.folders())
        .args(arguments);
    command
}

/// Whether the tests run as root, whom no mode of a file stops.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    tempfile::tempfile().unwrap().metadata().unwrap().uid() == 0
}
