//! The compiler and linker of the XDP program: two ways to have them, found or installed.
//!
//! | way | compiler and `core` for BPF | bpf-linker |
//! |---|---|---|
//! | Debian | `rustc-web`, `libstd-rust-web-dev-bpf` (prebuilt) | built against the same packages' LLVM |
//! | rustup | nightly with `rust-src`, `-Z build-std=core` | a release binary |
//!
//! bpf-linker reads the compiler's bitcode, so its LLVM has to be at least the compiler's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{packages, process, workspace};

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";
const DEBIAN_LLVM: &str = "/usr/lib/llvm-22";
const DEBIAN_PACKAGES: &[&str] = &[
    "rustc-web",
    "cargo-web",
    "libstd-rust-web-dev-bpf",
    "llvm-22-dev",
    "libzstd-dev",
];

const LINKER: &str = "bpf-linker";
const LINKER_VERSION: &str = "0.13.0";
const LINKER_RELEASES: &str = "https://github.com/aya-rs/bpf-linker/releases/latest/download";

/// What to hand to bpf-linker, each as `-C link-arg`: BTF, for the verifier; and loads of whole words at any address,
/// which the kernel allows where the processor does (x86-64, arm64), in place of one load per octet.
const LINKER_ARGUMENTS: &[&str] = &["--btf", "--cpu-features=+allows-misaligned-mem-access"];

/// What to install where this program cannot.
const ADVICE: &str = "no eBPF toolchain: on Debian 12 install the packages rustc-web cargo-web libstd-rust-web-dev-bpf \
    llvm-22-dev libzstd-dev (as root, or let `sudo -n` work); elsewhere install rustup, curl and zstd. \
    Then run `cargo xtask setup` again";

/// A complete eBPF toolchain.
pub(crate) struct Toolchain {
    way: Way,
    linker: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    Debian,
    Nightly { rustup: PathBuf },
}

impl Toolchain {
    /// The one that is there. Looks at files alone.
    pub(crate) fn find() -> Option<Self> {
        let linker = find_linker()?;
        let way = find_debian().or_else(find_nightly)?;
        Some(Self { way, linker })
    }

    /// The one that is there, else the one that can be installed. The error says what to install.
    pub(crate) fn set_up() -> Result<Self> {
        if let Some(toolchain) = Self::find() {
            return Ok(toolchain);
        }
        eprintln!("Setting up the eBPF toolchain, once for this machine: this takes a few minutes.");
        install().context(ADVICE)?;
        match Self::find() {
            Some(toolchain) => Ok(toolchain),
            None => bail!("the eBPF toolchain was installed, but is incomplete: {ADVICE}"),
        }
    }

    /// Which way this is and why, in one line.
    pub(crate) fn reason(&self) -> String {
        let linker = self.linker.display();
        match &self.way {
            Way::Debian => {
                format!("Debian's {DEBIAN_RUSTC}, because its core for BPF is installed; linked by {linker}")
            }
            Way::Nightly { .. } => {
                format!(
                    "rustup's nightly with rust-src, because Debian's core for BPF is not installed; linked by {linker}"
                )
            }
        }
    }

    /// `cargo build` for the BPF target, ready for the package to be named.
    pub(crate) fn cargo_build(&self) -> Command {
        let mut command = match &self.way {
            Way::Debian => {
                let mut command = Command::new(DEBIAN_CARGO);
                command.env("RUSTC", DEBIAN_RUSTC).env_remove("RUSTUP_TOOLCHAIN");
                // aya-ebpf turns on a nightly feature.
                command.env("RUSTC_BOOTSTRAP", "1").arg("build");
                command
            }
            Way::Nightly { rustup } => {
                let mut command = Command::new(rustup);
                command
                    .env_remove("RUSTC")
                    .args(["run", "nightly", "cargo", "build", "-Z", "build-std=core"]);
                command
            }
        };
        process::forget_cargo_run(&mut command);
        // With `--target`, these reach the target's crates alone: build scripts and macros are compiled as usual.
        command
            .current_dir(workspace::root())
            .env_remove("RUSTC_WRAPPER")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustflags().join("\u{1f}"))
            .args(["--release", "--target", workspace::BPF_TARGET, "--target-dir"])
            .arg(workspace::ebpf_target());
        command
    }

    fn rustflags(&self) -> Vec<String> {
        let mut flags = vec![
            format!("-Clinker={}", self.linker.display()),
            "-Cdebuginfo=2".to_owned(),
            // 32-bit registers and jumps: fewer instructions to run, more for the verifier to follow.
            "-Ctarget-cpu=v3".to_owned(),
        ];
        flags.extend(LINKER_ARGUMENTS.iter().map(|argument| format!("-Clink-arg={argument}")));
        flags
    }
}

fn find_debian() -> Option<Way> {
    let has_core = std::fs::read_dir(DEBIAN_CORE).ok()?.flatten().any(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("libcore-")
    });
    (has_core && Path::new(DEBIAN_CARGO).is_file() && Path::new(DEBIAN_RUSTC).is_file()).then_some(Way::Debian)
}

fn find_nightly() -> Option<Way> {
    let rustup = process::find("rustup")?;
    let home = std::env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".rustup")))?;
    std::fs::read_dir(home.join("toolchains"))
        .ok()?
        .flatten()
        .find(|entry| {
            entry.file_name().to_string_lossy().starts_with("nightly-")
            // A dated nightly (nightly-2026-01-01-…) is not what `rustup run nightly` takes.
            && !entry.file_name().to_string_lossy().starts_with("nightly-2")
            && entry.path().join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file()
        })?;
    Some(Way::Nightly { rustup })
}

/// Cargo's own folder first: that is where `setup` installs it.
fn find_linker() -> Option<PathBuf> {
    cargo_bin()
        .map(|folder| folder.join(LINKER))
        .filter(|file| file.is_file())
        .or_else(|| process::find(LINKER))
}

fn cargo_bin() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))?;
    Some(home.join("bin"))
}

fn install() -> Result<()> {
    if find_debian().is_some() {
        return install_debian();
    }
    if find_nightly().is_none() && packages::can_install() && debian_has_packages() {
        return install_debian();
    }
    install_nightly()
}

fn install_debian() -> Result<()> {
    if find_debian().is_none() || !Path::new(DEBIAN_LLVM).join("lib/libLLVM.so").exists() {
        packages::install(DEBIAN_PACKAGES)?;
    }
    if find_linker().is_some() {
        return Ok(());
    }
    let mut command = process::cargo();
    command
        .env("LLVM_PREFIX", DEBIAN_LLVM)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    // Its own target folder: CARGO_TARGET_DIR may be one that this build is about to use.
    command.env_remove("CARGO_TARGET_DIR");
    command.args(["install", LINKER, "--version", LINKER_VERSION, "--locked"]);
    process::run(command.args(["--no-default-features", "--features", "llvm-22"]))
}

/// Whether this distribution has the packages, by what `apt-cache` knows, with new lists where it knows nothing.
fn debian_has_packages() -> bool {
    let known = || {
        process::read(
            Command::new("apt-cache")
                .args(["show", "--no-all-versions"])
                .args(DEBIAN_PACKAGES),
        )
        .is_ok()
    };
    known() || (packages::refresh_lists().is_ok() && known())
}

fn install_nightly() -> Result<()> {
    let rustup = process::find("rustup").context("rustup is not there")?;
    if find_nightly().is_none() {
        let arguments = [
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
            "--component",
            "rust-src",
        ];
        process::run(Command::new(rustup).args(arguments))?;
    }
    if find_linker().is_some() {
        return Ok(());
    }
    let folder = cargo_bin().context("neither CARGO_HOME nor HOME is set")?;
    let archive = format!("{LINKER}-{}-unknown-linux-musl.tar.zst", std::env::consts::ARCH);
    let download = workspace::target().join(&archive);
    let url = format!("{LINKER_RELEASES}/{archive}");
    process::run(
        Command::new("curl")
            .args(["-fsSL", "--retry", "3", "-o"])
            .arg(&download)
            .arg(url),
    )?;
    process::run(
        Command::new("tar")
            .arg("--zstd")
            .arg("-xf")
            .arg(&download)
            .arg("-C")
            .arg(folder),
    )
}
