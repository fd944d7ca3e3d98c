//! How much memory there is, and sizes as people write them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// A number of octets; shown as `512MiB`, or as `1.5GiB` where it is no whole number of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Size {
    /// A whole number and one of `B`, `KiB`, `MiB`, `GiB` and `TiB`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let (_, octets) = UNITS.iter().find(|(known, _)| *known == unit.trim_start_matches(' '))?;
        Some(Self(number.parse::<u64>().ok()?.checked_mul(*octets)?))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(octets) = *self;
        let fits = |(_, unit): &&(&str, u64)| octets >= *unit;
        let (name, unit) = *UNITS.iter().find(fits).unwrap_or(&("B", 1));
        if octets % unit == 0 {
            write!(f, "{}{name}", octets / unit)
        } else {
            // Rounded up: what is needed is not shown as less.
            let tenths = (u128::from(octets) * 10).div_ceil(unit.into());
            write!(f, "{}.{}{name}", tenths / 10, tenths % 10)
        }
    }
}

/// What this process may have: the least of the machine's memory, the limits of its control groups and its own limit of
/// address space.
pub fn available() -> Size {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups, Path::new("/sys/fs/cgroup"));
    let limits = limits.iter().filter_map(|file| read_limit(file));
    let least = limits.chain(machine()).chain(address_space()).min();
    Size(least.unwrap_or(1 << 30))
}

#[allow(clippy::unnecessary_cast, reason = "FreeBSD counts in signed numbers")]
fn address_space() -> Option<u64> {
    #[cfg(not(target_os = "freebsd"))]
    let limit = Resource::RLIMIT_AS;
    #[cfg(target_os = "freebsd")]
    let limit = Resource::RLIMIT_VMEM;
    let (soft, _) = getrlimit(limit).ok().filter(|(soft, _)| *soft != RLIM_INFINITY)?;
    Some(soft as u64)
}

fn machine() -> Option<u64> {
    total_of(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// `MemTotal:` of `/proc/meminfo`, in octets.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

/// The files that limit the control groups of `/proc/self/cgroup`, and those above them: of version 2, and of the
/// memory controller of version 1. In a container the path may be the host's, so the mount's own top is looked at too.
fn limit_files(groups: &str, mount: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (top, file) = match controllers {
            "" => (mount.to_owned(), "memory.max"),
            known if known.split(',').any(|one| one == "memory") => (mount.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        let own = top.join(path.trim_start_matches('/'));
        files.extend(
            own.ancestors()
                .take_while(|at| at.starts_with(&top))
                .map(|at| at.join(file)),
        );
    }
    files
}

/// A number of octets; `max`, and what is no number, is no limit.
fn read_limit(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_with_their_unit() {
        for (text, octets) in [
            ("64MiB", 64 << 20),
            ("2 GiB", 2 << 30),
            ("1536KiB", 1536 << 10),
            ("0B", 0),
        ] {
            assert_eq!(Size::parse(text), Some(Size(octets)), "{text}");
        }
        for text in [
            "",
            "64",
            "MiB",
            "64MB",
            "64mib",
            "-1MiB",
            "1.5GiB",
            "64MiB ",
            "99999999999TiB",
        ] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
        for (octets, shown) in [
            (64 << 20, "64MiB"),
            (3 << 29, "1.5GiB"),
            ((1 << 30) + 1, "1.1GiB"),
            (0, "0B"),
            (1023, "1023B"),
        ] {
            assert_eq!(Size(octets).to_string(), shown);
        }
    }

    #[test]
    fn limits_of_all_groups_above_count() {
        let mount = tempfile::tempdir().expect("a folder");
        let at = |path: &str| mount.path().join(path);
        fs::create_dir_all(at("system.slice/hotdns.service")).expect("folders");
        fs::create_dir_all(at("memory/docker")).expect("folders");
        fs::write(at("memory.max"), "max\n").expect("written");
        fs::write(at("system.slice/memory.max"), "1000\n").expect("written");
        fs::write(at("system.slice/hotdns.service/memory.max"), "2000\n").expect("written");
        fs::write(at("memory/memory.limit_in_bytes"), "3000\n").expect("written");
        let limits = |groups: &str| -> Vec<u64> {
            let files = limit_files(groups, mount.path());
            files.iter().filter_map(|file| read_limit(file)).collect()
        };
        assert_eq!(limits("0::/system.slice/hotdns.service\n"), [2000, 1000]);
        assert_eq!(limits("12:cpu,cpuacct:/x\n7:memory:/docker/abc\n"), [3000]);
        assert_eq!(limits("0::/\nnonsense\n"), [0; 0]);
        assert_eq!(total_of("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert!(available() > Size(1 << 20));
    }
}
