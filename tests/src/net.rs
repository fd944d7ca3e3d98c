//! Networks for tests and benchmarks: namespaces of their own, joined by veth pairs.
//!
//! ```text
//!   Namespace "client" ── VethPair ── Namespace "server"     nothing touches the machine's own interfaces
//! ```
//!
//! Names contain the process that made them, so that runs side by side never meet. A namespace goes with its value,
//! also in a panic; on SIGINT, SIGTERM and SIGHUP all of this process go; what a killed process left is removed by
//! the next one that starts.

mod cleanup;
mod namespace;
mod process;
mod raw;
mod seccomp;
mod veth;

use std::io::Write;
use std::time::Duration;

pub use namespace::Namespace;
pub use process::{Running, run};
pub use raw::RawSocket;
pub use seccomp::forbid;
pub use veth::{End, VethOptions, VethPair};

/// How long to wait for what happens soon. It is no measure of speed: on a machine with much else to do a process may
/// not run for seconds, and only what never happens may fail a test.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Why privileged tests cannot run here, if they cannot: what `cargo xtask test` found, or what is seen here.
pub fn missing_privileges() -> Option<String> {
    if let Ok(reason) = std::env::var("HOTDNS_SKIP_PRIVILEGED") {
        return Some(reason);
    }
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root: namespaces and XDP".to_owned());
    }
    run("ip", &["netns", "list"])
        .err()
        .map(|error| format!("needs `ip netns`: {error:#}"))
}

/// True where a test with namespaces is to be skipped; says why, past what the harness keeps for itself.
pub fn is_skipped() -> bool {
    let Some(reason) = missing_privileges() else {
        return false;
    };
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
    true
}
