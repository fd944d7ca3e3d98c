//! `cargo xtask test --kubernetes`: hotdns and a real Kubernetes API.
//!
//! ```text
//! etcd ◄─ kube-apiserver ◄─ kubectl apply, delete
//!                  └─ list, watch ─► hotdns ◄─ dig
//! ```
//!
//! The programs are looked for in `PATH` and in `${PEERS:-~/.cache/hotdns-peers}/bin`.

use std::env;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::build::{self, Warnings};
use crate::{process, suite};

/// What the test starts, and how to get it.
const PROGRAMS: &[(&str, &str)] = &[
    ("etcd", "Debian's package etcd-server, or etcd's own releases"),
    (
        "kube-apiserver",
        "built from Go's modules: `go build k8s.io/kubernetes/cmd/kube-apiserver` in a module that requires \
         k8s.io/kubernetes with the `replace` lines of its go.mod; or of a release of Kubernetes (server binaries)",
    ),
    (
        "kubectl",
        "a release of Kubernetes, or Debian's package kubernetes-client",
    ),
    ("openssl", "Debian's package openssl"),
    ("dig", "Debian's package bind9-dnsutils"),
];

/// Runs the tests that need the programs; an error that names each that is missing.
pub(crate) fn test() -> Result<()> {
    let missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(program, source)| format!("{program} is missing: {source}"))
        .collect();
    if !missing.is_empty() {
        bail!("{}", missing.join("\n"));
    }
    build::ebpf_or_explain(Warnings::Allow)?;
    suite::build_programs()?;
    let mut cargo = process::cargo();
    cargo.env("PATH", process::search_path());
    cargo.args([
        "test",
        "--package",
        "tests",
        "--test",
        "kubernetes",
        "--test",
        "kubernetes_writers",
        "--",
        "--ignored",
        "--nocapture",
    ]);
    process::run(&mut cargo)
}

fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let peers = env::var_os("PEERS").map(PathBuf::from);
    let peers = peers.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache/hotdns-peers")));
    let mut folders = env::split_paths(&path).chain(peers.map(|peers| peers.join("bin")));
    folders.any(|folder| folder.join(program).is_file())
}
