//! Where things are: the repository, cargo's target folder, and what the builds leave in it.

use std::path::{Path, PathBuf};

/// The triple that the XDP program is built for.
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    // Cargo sets it for what it runs; the value of build time serves a binary that was started by hand.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest)
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, else `target`. The build script of `dns-userspace` looks in the same
/// place.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The target folder of the XDP program, apart so that its cargo never waits for, or rebuilds for, the other one.
pub(crate) fn ebpf_target() -> PathBuf {
    target().join("ebpf")
}

/// The XDP program's object file.
pub(crate) fn ebpf_object() -> PathBuf {
    ebpf_target().join(BPF_TARGET).join("release").join("dns-ebpf")
}

/// `path` as seen from the root, for messages.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
