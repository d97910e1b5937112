//! A network of our own for the machines of a real control plane.
//!
//! A real API server refuses loopback addresses in EndpointSlices and sends no request to a node that has one. So the
//! process starts itself again in a network namespace, where the machines' addresses lie on `lo` and the range of the
//! pods leads to this process. It needs no cleaning up: the namespace ends with the last process in it, however that
//! ends, and nothing outside can see or reach it.

use std::{
    net::Ipv4Addr,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

/// How many clusters have room in one such network.
pub const PLACES: u8 = 3;

/// The addresses of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u8);

impl Place {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..PLACES).map(Self)
    }

    /// The InternalIP of the control-plane node, where the API server listens.
    #[must_use]
    pub const fn control_plane(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.0, 1)
    }

    /// The InternalIP of the new node.
    #[must_use]
    pub const fn node(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 99, self.0, 2)
    }

    /// The third octet of its first pod range: one address leads to one pod.
    #[must_use]
    pub const fn first_range(self) -> u8 {
        self.0 * 64
    }
}

/// Set in the process that is in the namespace.
const INSIDE: &str = "ONBOARDING_TEST_NETWORK";

/// The commands that make the addresses usable, for `sh`.
fn script() -> String {
    let mut script = "ip link set lo up && ip route add local 10.42.0.0/16 dev lo".to_owned();
    for address in Place::all().flat_map(|place| [place.control_plane(), place.node()]) {
        script.push_str(&format!(" && ip addr add {address}/32 dev lo"));
    }
    script
}

/// Starts this process again, with the same arguments, in a network namespace of its own. Returns only when it is in
/// one already, or when that is not possible here.
///
/// # Errors
/// Why there is no such network, in a few words.
pub fn enter() -> Result<(), String> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let (flags, program) = unshare()?;
    let inside = format!("{} && exec \"$@\"", script());
    let error = Command::new("unshare")
        .args(flags)
        .args(["sh", "-c", &inside, "sh"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(format!("the tests cannot be started again: {error}"))
}

/// How a namespace is made here, by trying.
fn unshare() -> Result<(&'static [&'static str], std::path::PathBuf), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut last = String::new();
    // As root, or as the root of a user namespace where the kernel lets anybody make one.
    let ways: [&'static [&'static str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    for flags in ways {
        let tried = Command::new("unshare")
            .args(flags)
            .args(["sh", "-c", &script()])
            .stdin(Stdio::null())
            .output();
        match tried {
            Ok(output) if output.status.success() => return Ok((flags, program)),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                said.lines()
                    .last()
                    .unwrap_or_default()
                    .clone_into(&mut last);
            }
            Err(error) => last = format!("unshare: {error}"),
        }
    }
    Err(format!("no right to make a network interface ({last})"))
}

/// Whether this process is in such a network.
#[must_use]
pub fn is_own() -> bool {
    std::env::var_os(INSIDE).is_some()
}
