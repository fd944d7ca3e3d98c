//! What this process may have at most: open files, locked memory, memory.

use std::fs;

use dns_userspace::config::Config;
#[cfg(target_os = "linux")]
use nix::sys::resource::RLIM_INFINITY;
use nix::sys::resource::{Resource, getrlimit};

use super::{Finding, State};

/// Below this there are fewer TCP connections than are configured by default.
const FILES: u64 = 65_535;
/// From this kernel on the memory of maps is charged to the control group, and `RLIMIT_MEMLOCK` is not asked.
#[cfg(target_os = "linux")]
const CHARGES_GROUPS: (u32, u32) = (5, 11);
/// Idle it takes less; below this a zone file, or XDP's table, may find no room.
const MEMORY_MIB: u64 = 128;

/// The rows. `kernel` is its version, where it is known.
pub(super) fn findings(config: Option<&Config>, wants_xdp: bool, kernel: Option<(u32, u32)>) -> Vec<Finding> {
    let connections = config.and_then(|config| config.tcp.max_connections);
    let mut findings = vec![files(connections)];
    #[cfg(target_os = "linux")]
    if wants_xdp {
        findings.push(locked_memory(kernel));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (wants_xdp, kernel);
    findings.extend(config.map(|config| memory(config.limits.memory.0 >> 20)));
    findings
}

/// How many files are needed for all connections that are configured (`docs/OPERATIONS.md`, "Open files").
fn wanted_files(connections: Option<u32>) -> u64 {
    connections.map_or(FILES, |connections| (u64::from(connections) * 3 / 2 + 2048).max(1024))
}

#[allow(clippy::unnecessary_cast, reason = "FreeBSD counts in signed numbers")]
fn files(connections: Option<u32>) -> Finding {
    let wanted = wanted_files(connections);
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) if hard as u64 >= wanted => Finding::ok("open files", format!("up to {hard}")),
        Ok((_, hard)) => Finding::new(
            State::Warn,
            "open files",
            format!("up to {hard} here, and all connections that are configured take {wanted}"),
            format!(
                "set LimitNOFILE={wanted} in the service (`systemctl edit hotdns`), or `ulimit -n {wanted}` in the \
                 shell that starts it; or lower `tcp.max_connections`"
            ),
        ),
        Err(error) => Finding::new(State::Warn, "open files", error.to_string(), ""),
    }
}

#[cfg(target_os = "linux")]
fn locked_memory(kernel: Option<(u32, u32)>) -> Finding {
    let check = "locked memory";
    match getrlimit(Resource::RLIMIT_MEMLOCK) {
        Ok((soft, _)) if soft == RLIM_INFINITY => Finding::ok(check, "without a limit"),
        Ok((soft, _)) if kernel.is_some_and(|version| version >= CHARGES_GROUPS) => Finding::ok(
            check,
            format!(
                "up to {} KiB, which this kernel does not count XDP's tables to",
                soft >> 10
            ),
        ),
        Ok((soft, _)) => Finding::new(
            State::Warn,
            check,
            format!("up to {} KiB, which XDP's tables do not fit in", soft >> 10),
            "set LimitMEMLOCK=infinity in the service, or `ulimit -l unlimited` in the shell that starts it",
        ),
        Err(error) => Finding::new(State::Warn, check, error.to_string(), ""),
    }
}

/// `limit` is what the configuration gives to zones, or half of what there is.
fn memory(limit: u64) -> Finding {
    if limit >= MEMORY_MIB / 2 {
        return Finding::ok("memory", format!("up to {limit} MiB for zones{}", group_limit()));
    }
    Finding::new(
        State::Warn,
        "memory",
        format!("{limit} MiB for zones{}", group_limit()),
        format!(
            "set MemoryMax= of the service, or the container's limit, to {MEMORY_MIB} MiB at least, or `limits.memory`"
        ),
    )
}

/// What the control group of this process says, for people.
fn group_limit() -> String {
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = group.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let file = format!("/sys/fs/cgroup{}/memory.max", path.trim_end_matches('/'));
    let limit = fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    limit.map_or_else(String::new, |octets| {
        format!("; the control group's limit is {} MiB", octets >> 20)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_for_the_connections_that_are_configured() {
        assert_eq!(wanted_files(None), 65_535);
        assert_eq!(wanted_files(Some(16_384)), 26_624);
        assert_eq!(wanted_files(Some(1)), 2049);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn locked_memory_matters_on_old_kernels_alone() {
        if getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY) {
            assert_eq!(locked_memory(None).state, State::Ok);
            return;
        }
        assert_eq!(locked_memory(Some((6, 1))).state, State::Ok);
        let old = locked_memory(Some((5, 4)));
        assert!(
            old.state == State::Warn && old.fix.contains("LimitMEMLOCK=infinity"),
            "{old:?}"
        );
    }

    #[test]
    fn little_memory_is_told_with_what_to_do() {
        assert_eq!(memory(512).state, State::Ok);
        let little = memory(16);
        assert!(
            little.state == State::Warn && little.fix.contains("MemoryMax"),
            "{little:?}"
        );
    }
}
