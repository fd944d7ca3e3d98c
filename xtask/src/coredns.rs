//! CoreDNS, which `bench hot` measures too: Debian has no package of it, so Go builds it, where Go is.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// What is built. Older ones than 1.12 have no plugin `multisocket`.
const MODULE: &str = "github.com/coredns/coredns@v1.12.4";

/// Where it is put; `process::search_path` has it.
pub(crate) fn folder() -> PathBuf {
    workspace::target().join("tools")
}

/// Builds it where it is missing and Go is there; says what is the case. Its modules come from Go's proxy.
pub(crate) fn set_up() -> Result<&'static str> {
    if process::find("coredns").is_some() {
        return Ok("there");
    }
    let Some(go) = process::find("go") else {
        return Ok("not there, as there is no Go to build it: benchmarks leave it out");
    };
    let mut command = Command::new(go);
    command.args(["install", MODULE]).env("GOBIN", folder());
    process::run(&mut command).context("CoreDNS was not built: benchmarks leave it out")?;
    Ok("built")
}
