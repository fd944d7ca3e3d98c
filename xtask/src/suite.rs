//! `cargo xtask test`: the whole suite in one `cargo test`, behind a short one of the XDP program's arithmetic.
//!
//! Tests that need root are those of the package `tests`. As root they just run; elsewhere cargo starts that package's
//! test programs through `sudo -n`. Where that is refused too, the variable [`SKIP`] holds the reason, and those tests
//! list themselves as skipped with it.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Result, bail};

use crate::build::{self, Warnings};
use crate::packages::{self, NeededBy};
use crate::privilege::{self, Privilege};
use crate::process;

/// The variable that tells tests to skip what needs root; its value is the reason.
const SKIP: &str = "HOTDNS_SKIP_PRIVILEGED";

/// All packages but dns-ebpf, whose program `bench` would take the place of the one of the package `tests`.
const SUITE: &[&str] = &["--workspace", "--exclude", "dns-ebpf", "--features", "tests/suite"];

/// The arithmetic of the XDP program, compiled for the host.
const KERNEL_SIDE: [&str; 5] = ["test", "--package", "dns-ebpf", "--bin", "dns-ebpf"];

/// Runs all tests, with the XDP program built and embedded. `arguments` go to `cargo test`; with any, the arithmetic of
/// the XDP program is left out.
pub(crate) fn test(arguments: &[OsString]) -> Result<()> {
    let privilege = privilege::privilege();
    if let Privilege::Missing(reason) = &privilege {
        if is_ci() {
            bail!("{reason}: privileged tests cannot run, and with CI set they must not be skipped");
        }
        eprintln!("Privileged tests are skipped: {reason}");
    }
    set_up_tools(&privilege)?;
    build::ebpf_or_explain(Warnings::Allow)?;
    build_programs()?;
    if arguments.is_empty() {
        process::run(process::cargo().args(KERNEL_SIDE))?;
    }
    let mut cargo = prepared(&privilege)?;
    process::run(cargo.arg("test").args(SUITE).args(arguments))
}

/// Builds the programs that tests start, which `cargo test` alone does not: the server, the probe of kernels.
///
/// For the whole workspace, so that dependencies are compiled with the features that `cargo test` wants, once; and with
/// its profile, so that our own library is.
pub(crate) fn build_programs() -> Result<()> {
    let mut cargo = process::cargo();
    process::run(cargo.arg("build").args(SUITE).args(["--profile", "test", "--bins"]))
}

/// Compiles the server with OpenTelemetry, and has a collector look at its traces. Dependencies have the features that
/// the suite wants, so these are the only ones that are compiled for it.
pub(crate) fn traces() -> Result<()> {
    let mut cargo = process::cargo();
    cargo.arg("test").args(SUITE);
    process::run(cargo.args(["--features", "dns-userspace/otel", "--test", "traces"]))
}

/// Runs the long comparisons: with other servers, then of each plane with the reference answerer. `arguments`, where
/// there are any, are filters that take the place of all. With `cases` each comparison of a plane asks so many.
pub(crate) fn differential(cases: Option<u64>, seed: Option<u64>, arguments: &[OsString]) -> Result<()> {
    let privilege = privilege::privilege();
    if let Privilege::Missing(reason) = privilege {
        bail!("{reason}: the comparison runs the XDP program, which needs root or `sudo -n`");
    }
    set_up_tools(&privilege)?;
    build::release()?;
    let all = ["differential_references", "differential_planes", "differential_xdp"].map(OsString::from);
    let filters = if arguments.is_empty() { &all[..] } else { arguments };
    for filter in filters {
        let mut cargo = prepared(&privilege)?;
        for (name, number) in [("CASES", cases), ("SEED", seed)] {
            if let Some(number) = number {
                cargo.env(format!("HOTDNS_DIFFERENTIAL_{name}"), number.to_string());
            }
        }
        // Without `--package`, so that features are those of the release build.
        cargo.args(["test", "--release"]);
        for test in ["differential", "references", "xdp_test_run"] {
            cargo.args(["--test", test]);
        }
        cargo.args(["--", "--ignored", "--nocapture"]);
        process::run(cargo.arg(filter))?;
    }
    Ok(())
}

/// Whether this runs as continuous integration, where nothing may be skipped.
fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// What the tests call is needed where they run; where they are skipped for want of root, it is only mentioned.
fn set_up_tools(privilege: &Privilege) -> Result<()> {
    let outcome = packages::set_up_tools(NeededBy::Tests);
    match (outcome, privilege) {
        (Err(error), Privilege::Missing(_)) => {
            eprintln!("{error:#}");
            Ok(())
        }
        (outcome, _) => outcome,
    }
}

fn prepared(privilege: &Privilege) -> Result<Command> {
    let mut cargo = process::cargo();
    cargo.env("PATH", process::search_path()).env_remove(SKIP);
    match privilege {
        Privilege::Root => {}
        Privilege::Sudo => privilege::through_sudo(&mut cargo)?,
        Privilege::Missing(reason) => {
            cargo.env(SKIP, reason);
        }
    }
    Ok(cargo)
}
