//! `cargo xtask fuzz`: the coverage-guided fuzzer, libFuzzer, on a stable compiler.
//!
//! ```text
//! tests/corpus/TARGET ─► libFuzzer ─► target/fuzz/corpus/TARGET     what reached new code
//!                            └──────► target/fuzz/found/TARGET-…    what failed: into tests/corpus, and fix it
//! ```
//!
//! The compiler's pass that counts coverage is not tied to a nightly one; sanitizers are, and there is next to no
//! `unsafe` to watch. Overflows and debug assertions are on.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::packages::{self, NeededBy};
use crate::{process, workspace};

/// As cargo-fuzz has them without a sanitizer.
const RUSTFLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
];

/// Octets of a case at most: larger ones find little more, and take longer.
const MAX_BYTES: u32 = 4096;
/// A case that takes longer is a fault, in seconds.
const SLOW: u32 = 10;

/// Runs one target for some time, or all of them in turn.
pub(crate) fn fuzz(target: Option<&str>, seconds: u32) -> Result<()> {
    let corpus = workspace::root().join("tests").join("corpus");
    let mut targets: Vec<String> = std::fs::read_dir(&corpus)
        .with_context(|| format!("cannot read {}", corpus.display()))?
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    targets.sort();
    if let Some(wanted) = target {
        if !targets.iter().any(|target| target == wanted) {
            bail!("there is no target `{wanted}`: there are {}", targets.join(", "));
        }
        targets = vec![wanted.to_owned()];
    }
    packages::set_up_tools(NeededBy::Fuzzing)?;
    let program = build()?;
    for target in targets {
        run(&program, &corpus, &target, seconds)?;
    }
    Ok(())
}

fn build() -> Result<std::path::PathBuf> {
    let host = host()?;
    let folder = workspace::target().join("fuzz");
    let mut cargo = process::cargo();
    // With `--target`, the flags reach neither build scripts nor macros.
    cargo
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\u{1f}"))
        .args(["build", "--release", "--package", "tests", "--features", "fuzzing"])
        .args(["--bin", "fuzz", "--target", &host, "--target-dir"])
        .arg(&folder);
    process::run(&mut cargo)?;
    Ok(folder.join(host).join("release").join("fuzz"))
}

/// The triple of the compiler's own machine.
fn host() -> Result<String> {
    let mut rustc = std::process::Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let text = process::read(rustc.arg("-vV"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("`rustc -vV` names no host")
}

fn run(program: &Path, seeds: &Path, target: &str, seconds: u32) -> Result<()> {
    let folder = workspace::target().join("fuzz");
    let (grown, found) = (folder.join("corpus").join(target), folder.join("found"));
    for folder in [&grown, &found] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let mut fuzzer = std::process::Command::new(program);
    fuzzer
        .env("HOTDNS_FUZZ_TARGET", target)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={MAX_BYTES}"))
        .arg(format!("-timeout={SLOW}"))
        .arg(format!("-artifact_prefix={}/{target}-", found.display()))
        .arg("-print_final_stats=1")
        .args([grown.as_path(), &seeds.join(target)]);
    process::run(&mut fuzzer).with_context(|| {
        format!(
            "{target}: the case is in {}; copy it into tests/corpus/{target}, under a name that says what it is, and \
             the suite \
             replays it",
            workspace::shown(&found)
        )
    })
}
