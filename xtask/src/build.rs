//! `cargo xtask build-ebpf` and `cargo xtask build`.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::toolchain::Toolchain;
use crate::{process, workspace};

/// What a warning of the compiler's in the XDP program means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warnings {
    /// It is shown.
    Allow,
    /// It is shown, and the build fails.
    Deny,
}

/// Builds the XDP program and gives its object file. Cargo sees whether anything changed.
pub(crate) fn ebpf(toolchain: &Toolchain, warnings: Warnings) -> Result<PathBuf> {
    let mut command = toolchain.cargo_build();
    command.args(["--locked", "--package", "dns-ebpf", "--bins", "--color=never"]);
    eprintln!("$ cargo build --package dns-ebpf --target {}", workspace::BPF_TARGET);
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the eBPF toolchain's cargo")?;
    let mut warned = false;
    let stderr = child.stderr.take().context("cargo has no standard error")?;
    for line in BufReader::new(stderr).lines() {
        let line = line.context("cannot read what cargo says")?;
        // Cargo's closing line of a package that had warnings, repeated where nothing was to be compiled.
        warned |= line.starts_with("warning: `dns-");
        // Where nobody reads any more, the build goes on.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!(
            "the XDP program does not build ({status}), with {}; if bpf-linker cannot read the compiler's bitcode, \
             remove that bpf-linker and run `cargo xtask setup`",
            toolchain.reason()
        );
    }
    if warned && warnings == Warnings::Deny {
        bail!("the XDP program builds with warnings, which are denied here");
    }
    Ok(workspace::ebpf_object())
}

/// Sets up the toolchain and builds the XDP program.
pub(crate) fn ebpf_or_explain(warnings: Warnings) -> Result<PathBuf> {
    let object = ebpf(&Toolchain::set_up()?, warnings)?;
    let bytes = object
        .metadata()
        .with_context(|| format!("no object at {}", object.display()))?
        .len();
    println!("{}: {bytes} bytes", workspace::shown(&object));
    Ok(object)
}

/// Builds everything for release and gives the server's file.
///
/// Without an eBPF toolchain the server is built without the XDP program; it then says so when it starts.
pub(crate) fn release() -> Result<PathBuf> {
    match Toolchain::set_up() {
        Ok(toolchain) => {
            println!("eBPF toolchain: {}", toolchain.reason());
            ebpf(&toolchain, Warnings::Allow)?;
        }
        Err(error) => eprintln!("{error:#}.\nBuilding hotdns without the XDP program."),
    }
    process::run(process::cargo().args(["build", "--release", "--package", "dns-userspace", "--bin", "hotdns"]))?;
    let server = workspace::target().join("release").join("hotdns");
    println!("{}", workspace::shown(&server));
    Ok(server)
}
