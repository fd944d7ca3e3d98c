//! `cargo xtask ci`: everything that must hold before a commit, the quickest first, the tests last.

use anyhow::Result;

use crate::build::{self, Warnings};
use crate::{process, setup, suite, tidy};

/// The programs of dns-ebpf have no documentation of their own.
const DOCUMENTED: &[&str] = &["--workspace", "--exclude", "dns-ebpf"];

/// Runs the checks and, unless told otherwise, all tests.
pub(crate) fn ci(checks_only: bool) -> Result<()> {
    setup::set_up_components()?;
    tidy::tidy()?;
    process::run(process::cargo().args(["fmt", "--all", "--check"]))?;
    build::ebpf_or_explain(Warnings::Deny)?;
    process::run(process::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let mut doc = process::cargo();
    doc.env("RUSTDOCFLAGS", "-D warnings")
        .arg("doc")
        .args(DOCUMENTED)
        .arg("--no-deps");
    process::run(&mut doc)?;
    if checks_only { Ok(()) } else { suite::test(&[]) }
}
