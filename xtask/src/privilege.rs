//! What this process may do: attach XDP itself, and start tests as root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;

// Bits of `CapEff` in /proc/self/status (include/uapi/linux/capability.h).
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The package whose tests load programs and make network namespaces.
const PRIVILEGED_PACKAGE: &str = "tests";

/// How tests that need root get it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// This process has it.
    Root,
    /// `sudo -n` gives it.
    Sudo,
    /// Nothing does, for this reason.
    Missing(String),
}

/// Finds out how tests that need root get it.
pub(crate) fn privilege() -> Privilege {
    if is_root() {
        // As root of a container without the capabilities, a namespace or a program fails to load, sudo or not.
        return match [
            (CAP_NET_ADMIN, "CAP_NET_ADMIN"),
            (CAP_SYS_ADMIN, "CAP_SYS_ADMIN"),
            (CAP_BPF, "CAP_BPF"),
        ]
        .into_iter()
        .find(|(bit, _)| !has_capability(*bit))
        {
            None => Privilege::Root,
            Some((_, name)) => Privilege::Missing(format!("root here lacks {name}")),
        };
    }
    if may_sudo() {
        return Privilege::Sudo;
    }
    Privilege::Missing("not root, and `sudo -n` is refused".to_owned())
}

/// Whether a program started from here may load and attach XDP.
pub(crate) fn may_attach_xdp() -> bool {
    has_capability(CAP_SYS_ADMIN) || [CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON].into_iter().all(has_capability)
}

/// A command that runs as root, where there is a way.
pub(crate) fn as_root(program: &str) -> Option<Command> {
    if is_root() {
        return Some(Command::new(program));
    }
    may_sudo().then(|| {
        let mut command = Command::new("sudo");
        command.arg("-n").arg(program);
        command
    })
}

/// Makes cargo start what it runs through [`run_privileged`].
pub(crate) fn through_sudo(cargo: &mut Command) -> Result<()> {
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    // Debug output of a str is a TOML string too, for what paths are made of.
    cargo.arg("--config").arg(format!(
        "target.'cfg(unix)'.runner=[{:?}, \"run-privileged\"]",
        this.to_string_lossy()
    ));
    Ok(())
}

/// Becomes `command`: as root through sudo where cargo runs it for the package of privileged tests, as is elsewhere.
pub(crate) fn run_privileged(command: &[OsString]) -> Result<()> {
    let Some((program, arguments)) = command.split_first() else {
        bail!("no command to run")
    };
    let privileged = std::env::var("CARGO_PKG_NAME").is_ok_and(|name| name == PRIVILEGED_PACKAGE);
    let mut child = if privileged {
        let mut child = Command::new("sudo");
        // sudo's policy decides which variables survive, so those that the tests read are named.
        child.args(["-n", "env"]).args(inherited_variables()).arg(program);
        child
    } else {
        Command::new(program)
    };
    Err(child.args(arguments).exec()).with_context(|| format!("cannot start {}", Path::new(program).display()))
}

fn inherited_variables() -> impl Iterator<Item = OsString> {
    std::env::vars_os().filter_map(|(key, value)| {
        let name = key.to_string_lossy();
        let wanted = ["HOTDNS_", "CARGO", "RUST", "LD_LIBRARY"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        (wanted || name == "PATH" || name == "CI").then(|| {
            let mut pair = key.clone();
            pair.push("=");
            pair.push(value);
            pair
        })
    })
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn may_sudo() -> bool {
    process::find("sudo").is_some()
        && Command::new("sudo")
            .args(["-n", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

fn has_capability(bit: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_capabilities(&status).is_some_and(|set| set >> bit & 1 == 1)
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_effective_set() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000008000001000\nCapBnd:\tff\n";
        assert_eq!(
            effective_capabilities(status),
            Some((1 << CAP_BPF) | (1 << CAP_NET_ADMIN))
        );
        assert_eq!(effective_capabilities("Name:\tx\n"), None);
    }
}
