//! The files that benchmarks need beside their own: eBPF objects and the server.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The load generator's object: `HOTDNS_BENCH_OBJECT`, or where `cargo xtask build-ebpf` leaves it.
pub fn generator() -> Result<PathBuf> {
    file(
        "HOTDNS_BENCH_OBJECT",
        &target().join("ebpf/bpfel-unknown-none/release/bench"),
        "cargo xtask build-ebpf",
    )
}

/// The server's object: `HOTDNS_OBJECT`, or where `cargo xtask build-ebpf` leaves it.
pub fn program() -> Result<PathBuf> {
    file(
        "HOTDNS_OBJECT",
        &target().join("ebpf/bpfel-unknown-none/release/dns-ebpf"),
        "cargo xtask build-ebpf",
    )
}

/// The server: `HOTDNS_BIN`, or beside this very program, or the release build.
pub fn server() -> Result<PathBuf> {
    let beside = env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join("hotdns")))
        .filter(|path| path.exists());
    let default = beside.unwrap_or_else(|| target().join("release/hotdns"));
    file("HOTDNS_BIN", &default, "cargo xtask build")
}

/// Another build of the server, to be compared with it: `HOTDNS_OTHER_BIN`.
pub fn other_server() -> Result<PathBuf> {
    let Some(path) = env::var_os("HOTDNS_OTHER_BIN") else {
        bail!("HOTDNS_OTHER_BIN does not name another build of hotdns");
    };
    file("HOTDNS_OTHER_BIN", Path::new(&path), "cargo xtask build")
}

fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

fn file(variable: &str, default: &Path, how: &str) -> Result<PathBuf> {
    let path = env::var_os(variable).map_or_else(|| default.to_owned(), PathBuf::from);
    if !path.is_file() {
        bail!(
            "{} is missing: build it with `{how}`, or set {variable}",
            path.display()
        );
    }
    path.canonicalize()
        .with_context(|| format!("cannot resolve {}", path.display()))
}
