//! Debian packages: what is missing, and its installation as root or through `sudo -n`.

use anyhow::{Context, Result, bail};

use crate::{privilege, process};

/// A program that some command calls, and where Debian keeps it.
pub(crate) struct Tool {
    /// The program's name.
    pub(crate) program: &'static str,
    /// The package that brings it.
    pub(crate) package: &'static str,
    /// Who calls it, besides those that need it too (see [`NeededBy::includes`]).
    pub(crate) needed_by: NeededBy,
}

/// Who calls a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NeededBy {
    /// Whoever tries what `run` serves, and the test suite.
    Trying,
    /// The test suite.
    Tests,
    /// `bench hot`, besides those of the tests.
    Benches,
    /// `test --kernels`.
    Kernels,
    /// `fuzz`, which compiles libFuzzer.
    Fuzzing,
    /// `dist`.
    Release,
    /// `dist --musl`.
    Static,
    /// `test --portable`, besides those of `dist --musl`.
    Portable,
    /// `test --package`.
    Package,
}

impl NeededBy {
    /// Whether a command needs what another one does: the tests try, too, and a package is made before it is tried.
    fn includes(self, other: Self) -> bool {
        let more = [
            (Self::Tests, Self::Trying),
            (Self::Package, Self::Release),
            (Self::Portable, Self::Static),
        ];
        self == other || more.contains(&(self, other))
    }
}

/// Every tool.
pub(crate) const TOOLS: &[Tool] = &[
    Tool {
        program: "dig",
        package: "bind9-dnsutils",
        needed_by: NeededBy::Trying,
    },
    Tool {
        program: "kdig",
        package: "knot-dnsutils",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "dnsperf",
        package: "dnsperf",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "ip",
        package: "iproute2",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "ethtool",
        package: "ethtool",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "bpftool",
        package: "bpftool",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "curl",
        package: "curl",
        needed_by: NeededBy::Trying,
    },
    Tool {
        program: "qemu-system-x86_64",
        package: "qemu-system-x86",
        needed_by: NeededBy::Kernels,
    },
    Tool {
        program: "busybox",
        package: "busybox-static",
        needed_by: NeededBy::Kernels,
    },
    Tool {
        program: "etcd",
        package: "etcd-server",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "etcdctl",
        package: "etcd-client",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "knotd",
        package: "knot",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "fstrm_capture",
        package: "fstrm-bin",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "dnstap-ldns",
        package: "dnstap-ldns",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "unbound",
        package: "unbound",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "python3",
        package: "python3",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "dnsdist",
        package: "dnsdist",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "nsd",
        package: "nsd",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "named",
        package: "bind9",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "named-compilezone",
        package: "bind9-utils",
        needed_by: NeededBy::Tests,
    },
    Tool {
        // Its backend for zone files, which brings the server.
        program: "pdns_server",
        package: "pdns-backend-bind",
        needed_by: NeededBy::Benches,
    },
    Tool {
        program: "c++",
        package: "g++",
        needed_by: NeededBy::Fuzzing,
    },
    Tool {
        program: "rpmbuild",
        package: "rpm",
        needed_by: NeededBy::Release,
    },
    Tool {
        program: "musl-gcc",
        package: "musl-tools",
        needed_by: NeededBy::Static,
    },
    Tool {
        program: "clang",
        package: "clang",
        needed_by: NeededBy::Portable,
    },
    Tool {
        program: "mmdebstrap",
        package: "mmdebstrap",
        needed_by: NeededBy::Package,
    },
    Tool {
        program: "lintian",
        package: "lintian",
        needed_by: NeededBy::Package,
    },
    Tool {
        program: "systemd-nspawn",
        package: "systemd-container",
        needed_by: NeededBy::Package,
    },
    Tool {
        program: "supervisord",
        package: "supervisor",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "execlineb",
        package: "execline",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "docker-compose",
        package: "docker-compose",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "nginx",
        package: "nginx-light",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "fcgiwrap",
        package: "fcgiwrap",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "ssh-keygen",
        package: "openssh-client",
        needed_by: NeededBy::Tests,
    },
    Tool {
        program: "promtool",
        package: "prometheus",
        needed_by: NeededBy::Tests,
    },
];

/// Installs the tools that are missing. The error is one line that says what to install.
pub(crate) fn set_up_tools(needed_by: NeededBy) -> Result<()> {
    let missing = missing_tools(needed_by);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let programs: Vec<&str> = missing.iter().map(|tool| tool.program).collect();
    install(&packages).with_context(|| {
        format!(
            "missing: {}; install the packages {} (Debian's names)",
            programs.join(", "),
            packages.join(" ")
        )
    })?;
    match missing_tools(needed_by).first() {
        None => Ok(()),
        Some(tool) => bail!(
            "package {} is installed, but brought no program {}",
            tool.package,
            tool.program
        ),
    }
}

/// Whether packages can be installed here: apt, and a way to be root.
pub(crate) fn can_install() -> bool {
    process::find("apt-get").is_some() && privilege::as_root("true").is_some()
}

/// Installs packages with apt.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if process::find("apt-get").is_none() {
        bail!("there is no apt-get here");
    }
    if apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat()).is_ok() {
        return Ok(());
    }
    // Old package lists name files that the mirrors no longer have.
    refresh_lists()?;
    apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat())
}

/// Fetches the package lists anew.
pub(crate) fn refresh_lists() -> Result<()> {
    apt_get(&["update"])
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = privilege::as_root("env").context("not root, and `sudo -n` is refused")?;
    // Another apt may be at work: wait for its lock.
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        // Servers that are installed for comparison must not start, and take port 53.
        "SYSTEMD_OFFLINE=1",
        "RUNLEVEL=1",
        "apt-get",
        "-q",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]);
    process::run(command.args(arguments))
}

fn missing_tools(needed_by: NeededBy) -> Vec<&'static Tool> {
    TOOLS
        .iter()
        .filter(|tool| needed_by.includes(tool.needed_by) && process::find(tool.program).is_none())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(needed_by: NeededBy) -> Vec<&'static str> {
        let needed = TOOLS.iter().filter(|tool| needed_by.includes(tool.needed_by));
        needed.map(|tool| tool.program).collect()
    }

    #[test]
    fn trying_needs_two_clients_and_the_tests_need_them_too() {
        assert_eq!(programs(NeededBy::Trying), ["dig", "curl"]);
        assert!(
            ["dig", "curl", "kdig"]
                .iter()
                .all(|program| programs(NeededBy::Tests).contains(program))
        );
        assert!(!programs(NeededBy::Benches).contains(&"dig"));
    }
}
