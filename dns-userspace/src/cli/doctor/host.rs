//! Kernel, privileges, clock and storage.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use dns_userspace::config::Config;
use nix::sys::statvfs::statvfs;
use nix::sys::utsname::uname;
#[cfg(target_os = "linux")]
use rustix::thread::{CapabilitySet, capabilities};

use super::{Finding, State, limits, wanted_interfaces};

/// The oldest kernel that the XDP program is tested on.
const TESTED: (u32, u32) = (6, 1);
/// 2026-01-01: a clock before it is wrong.
const BUILT: u64 = 1_767_225_600;
/// Below this a full disk is near.
const ROOM_MIB: u64 = 256;

pub(super) fn findings(config: Option<&Config>) -> Vec<Finding> {
    let wants_xdp = !wanted_interfaces(config).is_empty();
    let mut findings = vec![kernel(), privileges(wants_xdp)];
    findings.extend(limits::findings(config, wants_xdp, version(&release())));
    findings.extend([clock(), firewall(wants_xdp)]);
    if let Some(config) = config {
        findings.push(storage(&config.storage.path));
    }
    findings
}

fn kernel() -> Finding {
    let release = release();
    if cfg!(not(target_os = "linux")) {
        let name = uname().map_or_else(
            |_| String::new(),
            |system| system.sysname().to_string_lossy().into_owned(),
        );
        return Finding::ok(
            "kernel",
            format!("{name} {release}: sockets answer everything, since XDP is Linux's"),
        );
    }
    match version(&release) {
        Some(found) if found >= TESTED => Finding::ok("kernel", release),
        _ => Finding::new(
            State::Warn,
            "kernel",
            release,
            "the XDP program is tested on Linux 6.1 and later; sockets answer on any",
        ),
    }
}

fn release() -> String {
    uname().map_or_else(
        |_| String::new(),
        |system| system.release().to_string_lossy().into_owned(),
    )
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|letter: char| !letter.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Other systems than Linux know root and nobody else: binding port 53 says what is missing.
#[cfg(not(target_os = "linux"))]
fn privileges(_wants_xdp: bool) -> Finding {
    Finding::ok("capabilities", "this system has none")
}

/// What this very process may do, which is what `hotdns run` may that the same user starts.
#[cfg(target_os = "linux")]
fn privileges(wants_xdp: bool) -> Finding {
    let Ok(sets) = capabilities(None) else {
        return Finding::new(State::Warn, "capabilities", "they cannot be read", "");
    };
    let needed = [
        (CapabilitySet::NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", true),
        (CapabilitySet::BPF, "CAP_BPF", wants_xdp),
        (CapabilitySet::PERFMON, "CAP_PERFMON", wants_xdp),
        (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN", wants_xdp),
    ];
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(capability, _, is_needed)| *is_needed && !sets.effective.contains(*capability))
        .map(|(_, name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Finding::ok("capabilities", "all that are needed");
    }
    let unprivileged = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    let low_ports_are_free = unprivileged.trim().parse::<u32>().is_ok_and(|first| first <= 53);
    if missing == ["CAP_NET_BIND_SERVICE"] && low_ports_are_free {
        return Finding::ok("capabilities", "none, and none are needed for port 53 here");
    }
    Finding::new(
        State::Warn,
        "capabilities",
        format!("this user lacks {}", missing.join(", ")),
        "run this as the service's user or as root; the package's systemd unit gives what is needed",
    )
}

fn clock() -> Finding {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if seconds >= BUILT {
        return match is_synchronized() {
            Some(true) => Finding::ok("clock", "kept by a time service"),
            Some(false) => Finding::new(
                State::Warn,
                "clock",
                "no time service keeps it",
                "timedatectl set-ntp true: signatures, cookies and tokens that expire depend on it",
            ),
            None => Finding::ok("clock", "after this program was written"),
        };
    }
    Finding::new(
        State::Warn,
        "clock",
        "it is before 2026",
        "set it, or start a time service: serials, cookies and tokens that expire depend on it",
    )
}

/// Whether a time service keeps the clock, where systemd can say.
fn is_synchronized() -> Option<bool> {
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .output();
    let output = asked.ok().filter(|output| output.status.success())?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Whether packets are filtered, and what XDP has to do with it.
fn firewall(wants_xdp: bool) -> Finding {
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    let filters = filters(&modules);
    if filters.is_empty() {
        return Finding::ok("firewall", "no packet filter is loaded");
    }
    let xdp = match wants_xdp {
        true => "; what XDP answers does not pass it: `acl` and `rate_limit` are for that",
        false => "",
    };
    Finding::new(
        State::Note,
        "firewall",
        format!("{} may filter{xdp}", filters.join(" and ")),
        "let UDP and TCP port 53 in from your clients, for example: nft add rule inet filter input meta l4proto {tcp, \
         udp} th dport 53 accept",
    )
}

/// Which packet filters have a module loaded.
fn filters(modules: &str) -> Vec<&'static str> {
    let is_loaded = |name: &str| modules.lines().any(|line| line.split(' ').next() == Some(name));
    let known = [
        ("nf_tables", "nftables"),
        ("iptable_filter", "iptables"),
        ("ip6table_filter", "ip6tables"),
    ];
    let loaded = known.into_iter().filter(|(module, _)| is_loaded(module));
    loaded.map(|(_, name)| name).collect()
}

/// The folder of the database: whether it is there, may be written, and has room.
#[allow(clippy::useless_conversion, reason = "macOS counts blocks in 32 bits")]
fn storage(path: &Path) -> Finding {
    let shown = path.display().to_string();
    let there = path
        .ancestors()
        .find(|folder| folder.is_dir())
        .unwrap_or(Path::new("/"));
    let (Ok(room), is_writable) = (statvfs(there), is_writable(there)) else {
        return Finding::new(State::Fail, "storage", shown, "its file system cannot be read");
    };
    let free = (u64::from(room.blocks_available()) * room.fragment_size()) >> 20;
    if !is_writable {
        let fix = format!("give it to the service's user: chown -R hotdns: {}", there.display());
        let found = format!("{} cannot be written by this user", there.display());
        return Finding::new(State::Warn, "storage", found, fix);
    }
    if free < ROOM_MIB {
        let found = format!("{shown}: {free} MiB are free");
        return Finding::new(
            State::Warn,
            "storage",
            found,
            "a full disk refuses changes; names are served on",
        );
    }
    let is_new = if path.is_dir() { "" } else { ", made at the first start" };
    Finding::ok("storage", format!("{shown}{is_new}; {free} MiB are free"))
}

fn is_writable(folder: &Path) -> bool {
    use nix::unistd::{AccessFlags, access};
    access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_filters_are_known_by_their_modules() {
        let modules =
            "nf_tables 331776 0 - Live 0x0\nnf_tables_extra 1 0 - Live 0x0\niptable_filter 12288 1 - Live 0x0\n";
        assert_eq!(filters(modules), ["nftables", "iptables"]);
        assert!(filters("veth 1 0 - Live 0x0\nx_nf_tables 1 0 - Live 0x0\n").is_empty());
    }

    #[test]
    fn releases_are_compared_as_numbers() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("6.12"), Some((6, 12)));
        assert!(version("5.15.0") < Some(TESTED) && version("6.10.1") > Some(TESTED));
        assert_eq!(version("none"), None);
    }
}
