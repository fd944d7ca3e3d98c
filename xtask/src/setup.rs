//! `cargo xtask setup`: the eBPF toolchain, the tools that tests call, and cargo's own components.
//!
//! Where all is there already, this looks at files alone.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::packages::{self, NeededBy};
use crate::toolchain::Toolchain;
use crate::{coredns, process};

/// Sets up everything that it can, says what it cannot, and fails if there was any such thing.
pub(crate) fn setup(all: bool) -> Result<()> {
    let mut outcomes = vec![
        Toolchain::set_up().map(|toolchain| println!("eBPF toolchain: {}", toolchain.reason())),
        packages::set_up_tools(NeededBy::Tests).map(|()| println!("Tools of the tests: all there")),
        set_up_components(),
    ];
    if all {
        outcomes.push(packages::set_up_tools(NeededBy::Kernels).map(|()| println!("QEMU for other kernels: there")));
        outcomes.push(packages::set_up_tools(NeededBy::Benches).map(|()| println!("Servers of the benchmarks: there")));
        outcomes.push(coredns::set_up().map(|state| println!("CoreDNS: {state}")));
    }
    let failures: Vec<String> = outcomes
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    for failure in &failures {
        eprintln!("{failure}");
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(anyhow!("not everything could be set up: see above"))
    }
}

/// Adds rustfmt and clippy, which `ci` calls, to the toolchain that runs this.
pub(crate) fn set_up_components() -> Result<()> {
    let missing: Vec<&str> = [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")]
        .into_iter()
        .filter(|(program, _)| !has_component(program))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        println!("rustfmt and clippy: there");
        return Ok(());
    }
    let Some(rustup) = process::find("rustup") else {
        bail!(
            "missing: {}; install what brings them for {}",
            missing.join(" and "),
            cargo_file().display()
        );
    };
    process::run(Command::new(rustup).args(["component", "add"]).args(&missing))
        .with_context(|| format!("missing: run `rustup component add {}`", missing.join(" ")))
}

/// Rustup's proxies are in `PATH` with or without the component, so its toolchain's own folder is what counts.
fn has_component(program: &str) -> bool {
    let cargo = cargo_file();
    cargo.with_file_name(program).is_file()
        || (!cargo.components().any(|part| part.as_os_str() == "toolchains") && process::find(program).is_some())
}

fn cargo_file() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}
