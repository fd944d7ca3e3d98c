//! Embeds the XDP program's object file, where there is one.
//!
//! It is the file that `HOTDNS_EBPF_OBJECT` names, else what `cargo xtask build-ebpf` left in the target folder.
//! Without one, or without the feature `xdp`, the crate builds too: `dataplane/object.rs` then has none.
//!
//! Says besides which compiler builds it, for a metric: `HOTDNS_RUST_VERSION`.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rustc-env=HOTDNS_RUST_VERSION={}", rust_version());
    println!("cargo::rustc-check-cfg=cfg(embedded_object)");
    println!("cargo::rerun-if-env-changed=HOTDNS_EBPF_OBJECT");
    if std::env::var_os("CARGO_FEATURE_XDP").is_none() {
        return;
    }
    let chosen = std::env::var_os("HOTDNS_EBPF_OBJECT").map(PathBuf::from);
    let object = chosen
        .clone()
        .unwrap_or_else(|| ebpf_target().join("bpfel-unknown-none/release/dns-ebpf"));
    if object.is_file() {
        println!("cargo::rerun-if-changed={}", object.display());
        println!("cargo::rustc-cfg=embedded_object");
        println!("cargo::rustc-env=HOTDNS_EMBEDDED_OBJECT={}", object.display());
    } else if chosen.is_some() {
        println!(
            "cargo::error=HOTDNS_EBPF_OBJECT names {}, which is no file",
            object.display()
        );
    } else {
        // A file that is absent would make cargo build this crate each time. The folder that it will appear in is
        // there, made here if need be, and changes when it does.
        let folder = ebpf_target();
        if std::fs::create_dir_all(&folder).is_ok() {
            println!("cargo::rerun-if-changed={}", folder.display());
        } else {
            println!("cargo::rerun-if-changed={}", object.display());
        }
    }
}

/// `1.90.0` of `rustc 1.90.0 (1159e78c4 2025-09-14)`; empty where the compiler does not say it.
fn rust_version() -> String {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(compiler).arg("--version").output();
    let said = said.map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    said.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

/// Where `cargo xtask` builds the XDP program.
fn ebpf_target() -> PathBuf {
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let root = package.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root.join(target).join("ebpf")
}
