//! `cargo xtask bench`: builds for release, then hands over to the benchmarks of the `tests` package.

use std::ffi::OsString;

use anyhow::Result;

use crate::packages::{self, NeededBy};
use crate::privilege::{self, Privilege};
use crate::{build, process};

/// Runs one benchmark; without arguments, the benchmarks' own help lists them.
pub(crate) fn bench(arguments: &[OsString]) -> Result<()> {
    for needed_by in [NeededBy::Tests, NeededBy::Benches] {
        if let Err(error) = packages::set_up_tools(needed_by) {
            eprintln!("{error:#}; going on without");
        }
    }
    build::release()?;
    let mut cargo = process::cargo();
    cargo.env("PATH", process::search_path());
    match privilege::privilege() {
        Privilege::Root => {}
        Privilege::Sudo => privilege::through_sudo(&mut cargo)?,
        Privilege::Missing(reason) => eprintln!("{reason}: what needs network namespaces or XDP will fail"),
    }
    cargo.args(["run", "--release", "--bin", "bench", "--"]);
    if arguments.is_empty() {
        cargo.arg("--help");
    }
    process::run(cargo.args(arguments))
}
