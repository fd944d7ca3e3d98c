//! `cargo xtask test --discovery`: hotdns beside a real Consul, a real Traefik and a real Caddy.
//!
//! Their programs are in `$HOTDNS_PEERS`, or in `~/.cache/hotdns-peers/bin`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{build, process, suite};

/// Programs, and where they come from.
const PROGRAMS: &[(&str, &str)] = &[
    ("consul", "https://developer.hashicorp.com/consul/install"),
    ("caddy", "https://caddyserver.com/download"),
    ("traefik", "https://github.com/traefik/traefik/releases"),
];

/// Runs these tests, where each program is there. `program` is tested in the place of a new one; `arguments` are
/// filters.
pub(crate) fn test(program: Option<&Path>, arguments: &[OsString]) -> Result<()> {
    let folder = match std::env::var_os("HOTDNS_PEERS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/hotdns-peers/bin"),
    };
    let missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, _)| !folder.join(program).is_file())
        .map(|(program, from)| format!("{program} ({from})"))
        .collect();
    if !missing.is_empty() {
        bail!(
            "{} is missing: put the program into {}, or name another folder in HOTDNS_PEERS",
            missing.join(" and "),
            folder.display()
        );
    }
    build::ebpf_or_explain(build::Warnings::Allow)?;
    suite::build_programs()?;
    let mut cargo = process::cargo();
    cargo.args([
        "test",
        "--package",
        "tests",
        "--test",
        "discovery",
        "--",
        "--ignored",
        "--nocapture",
    ]);
    cargo.args(arguments);
    if let Some(program) = program {
        cargo.env("HOTDNS_PROGRAM", std::path::absolute(program)?);
    }
    process::run(&mut cargo)
}
