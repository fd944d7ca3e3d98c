//! `cargo xtask test --kernels`: the XDP program on the kernels that users have.
//!
//! ```text
//! Debian's kernel package ─► vmlinuz, modules ─┐
//! busybox, kernel_probe and its libraries ─────┴─► initramfs ─► QEMU ─► serial console ─► verdict
//! ```
//!
//! The guest runs `kernel_probe` of the package `tests`, which loads the embedded object and runs it in
//! `BPF_PROG_TEST_RUN`. No KVM is needed.

mod guest;
mod image;

use anyhow::{Context, Result, bail};

use crate::build::{self, Warnings};
use crate::packages::{self, NeededBy};
use crate::{suite, workspace};

/// Series of kernels: Debian 12's own, where the verifier needs most, and the one of its backports and of Debian 13.
const SERIES: &[&str] = &["6.1", "6.12"];

/// Boots each kernel and runs the probe there; fails where any of them fails.
pub(crate) fn test() -> Result<()> {
    packages::set_up_tools(NeededBy::Kernels)?;
    build::ebpf_or_explain(Warnings::Allow)?;
    suite::build_programs()?;
    let probe = workspace::target().join("debug").join("kernel_probe");

    let mut failed = Vec::new();
    for series in SERIES {
        let kernel = image::kernel(series).with_context(|| format!("no kernel {series}"))?;
        println!("== {}", kernel.name);
        match guest::boot(&kernel, &probe) {
            Ok(()) => println!("== {}: ok", kernel.name),
            Err(error) => {
                println!("== {}: FAILED: {error:#}", kernel.name);
                failed.push(kernel.name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("failed on {}", failed.join(", "));
    }
    Ok(())
}
