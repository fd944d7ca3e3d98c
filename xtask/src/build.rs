//! `cargo xtask build-ebpf` and `cargo xtask build`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::toolchain::Toolchain;
use crate::{process, workspace};

/// What a warning of the compiler's in the XDP program means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warnings {
    /// It is shown.
    Allow,
    /// It is shown, and the build fails.
    Deny,
}

/// Builds the XDP program and gives its object file. Cargo sees whether anything changed.
pub(crate) fn ebpf(toolchain: &Toolchain, warnings: Warnings) -> Result<PathBuf> {
    let mut command = toolchain.cargo_build();
    command.args(["--locked", "--package", "dns-ebpf", "--bins", "--color=never"]);
    eprintln!("$ cargo build --package dns-ebpf --target {}", workspace::BPF_TARGET);
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the eBPF toolchain's cargo")?;
    let mut warned = false;
    let stderr = child.stderr.take().context("cargo has no standard error")?;
    for line in BufReader::new(stderr).lines() {
        let line = line.context("cannot read what cargo says")?;
        // Cargo's closing line of a package that had warnings, repeated where nothing was to be compiled.
        warned |= line.starts_with("warning: `dns-");
        // Where nobody reads any more, the build goes on.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        bail!(
            "the XDP program does not build ({status}), with {}; if bpf-linker cannot read the compiler's bitcode, \
             remove that bpf-linker and run `cargo xtask setup`",
            toolchain.reason()
        );
    }
    if warned && warnings == Warnings::Deny {
        bail!("the XDP program builds with warnings, which are denied here");
    }
    Ok(workspace::ebpf_object())
}

/// Sets up the toolchain and builds the XDP program.
pub(crate) fn ebpf_or_explain(warnings: Warnings) -> Result<PathBuf> {
    let object = ebpf(&Toolchain::set_up()?, warnings)?;
    let bytes = object
        .metadata()
        .with_context(|| format!("no object at {}", object.display()))?
        .len();
    println!("{}: {bytes} bytes", workspace::shown(&object));
    Ok(object)
}

/// The XDP program where there is a toolchain for it; else the server is built without, and says so when it starts.
fn ebpf_if_possible() -> Result<()> {
    match Toolchain::set_up() {
        Ok(toolchain) => {
            println!("eBPF toolchain: {}", toolchain.reason());
            ebpf(&toolchain, Warnings::Allow)?;
        }
        Err(error) => eprintln!("{error:#}.\nBuilding hotdns without the XDP program."),
    }
    Ok(())
}

/// Builds the server as tests start it, and gives its file.
///
/// Not for release: whoever tries the server and then runs the tests compiles every dependency once. Without
/// `--package`, cargo chooses the features of dependencies for all default members, which are those of the tests.
pub(crate) fn server() -> Result<PathBuf> {
    ebpf_if_possible()?;
    process::run(process::cargo().args(["build", "--bin", SERVER]))?;
    Ok(workspace::target().join("debug").join(SERVER))
}

/// Builds the server for release, stripped, with its symbols in a file beside it, and gives its file.
pub(crate) fn release() -> Result<PathBuf> {
    ebpf_if_possible()?;
    // Without `--package`, cargo chooses the features of dependencies for all default members: those of the benchmarks
    // are then the same, and compiled once.
    process::run(process::cargo().args(["build", "--release", "--bin", SERVER]))?;
    let folder = workspace::target().join("release");
    if let Err(error) = strip(&folder) {
        eprintln!("{error:#}: {SERVER} keeps its symbols");
    }
    let server = folder.join(SERVER);
    let mebibytes = server.metadata().map_or(0, |metadata| metadata.len()) >> 20;
    println!("{}: {mebibytes} MiB", workspace::shown(&server));
    Ok(server)
}

/// The triple of programs that need no library.
fn static_target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// Builds the server for release, linked with musl and with nothing else, and gives its file.
pub(crate) fn static_release() -> Result<PathBuf> {
    ebpf_if_possible()?;
    let target = static_target();
    add_target(&target)?;
    let mut build = process::cargo();
    build.args(["build", "--release", "--package", "dns-userspace", "--bin", SERVER]);
    process::run(
        build
            .args(["--target", &target])
            .env(static_compiler(&target), "musl-gcc"),
    )?;
    Ok(workspace::target().join(target).join("release").join(SERVER))
}

/// The variable that names the C compiler for a target: of SQLite, and of ring.
fn static_compiler(target: &str) -> String {
    format!("CC_{}", target.replace('-', "_"))
}

/// Checks that the server compiles without XDP: for this host, for Linux without glibc, and for systems that have no
/// eBPF. Fails where one of them cannot be checked, with what is missing.
pub(crate) fn check_portable() -> Result<()> {
    let check = || {
        let mut check = process::cargo();
        check.args(["check", "--package", "dns-userspace", "--no-default-features"]);
        check
    };
    process::run(check().arg("--tests"))?;
    let target = static_target();
    add_target(&target)?;
    process::run(
        check()
            .args(["--target", &target])
            .env(static_compiler(&target), "musl-gcc"),
    )?;
    for target in WITHOUT_EBPF {
        add_target(target)?;
        let mut check = check();
        for_checks_alone(check.args(["--target", target]), target)?;
        process::run(&mut check)?;
    }
    Ok(())
}

/// Systems whose kernels run no eBPF programs of ours.
const WITHOUT_EBPF: [&str; 2] = ["aarch64-apple-darwin", "x86_64-unknown-freebsd"];

/// What ring includes on Apple's systems.
const TARGET_CONDITIONALS: &str = "#define TARGET_OS_OSX 1\n#define TARGET_OS_IPHONE 0\n";

/// Sets C compilers for a check of another system, whose headers are not here: nothing is linked, so that the library
/// of SQLite is taken as being there, and what ring has in C and assembler wants no other header than the compiler's.
fn for_checks_alone(check: &mut Command, target: &str) -> Result<()> {
    let clang = process::find("clang").context("no clang, which Debian's package clang brings")?;
    let name = target.replace('-', "_");
    let headers = workspace::target().join("portable");
    std::fs::create_dir_all(&headers)?;
    std::fs::write(headers.join("TargetConditionals.h"), TARGET_CONDITIONALS)?;
    let flags = format!("-ffreestanding -DRING_CORE_NOSTDLIBINC=1 -I{}", headers.display());
    check
        .env(format!("CC_{name}"), clang)
        .env(format!("CFLAGS_{name}"), flags)
        .env("LIBSQLITE3_SYS_USE_PKG_CONFIG", "1")
        .env("SQLITE3_LIB_DIR", workspace::target())
        // Apple's tools are not asked where they are.
        .env("SDKROOT", "/");
    Ok(())
}

/// Has rustup fetch a target's standard library, where it is not there.
fn add_target(target: &str) -> Result<()> {
    let folder = process::read(process::rustc().args(["--print", "target-libdir", "--target", target]))?;
    if Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    let rustup = process::find("rustup").with_context(|| format!("no standard library for {target}, and no rustup"))?;
    process::run(Command::new(rustup).args(["target", "add", target]))
        .with_context(|| format!("no standard library for {target}: run `rustup target add {target}`"))
}

/// The server's file name.
const SERVER: &str = "hotdns";
/// Its symbols and lines, which backtraces, `gdb` and `perf` find by a note in the server's file (`.gnu_debuglink`).
const SYMBOLS: &str = "hotdns.debug";

/// Takes symbols and debugging information out of the server's file, into one of their own.
fn strip(folder: &Path) -> Result<()> {
    let tool = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(folder);
        command
    };
    // Cargo links its own file here anew at each build; what is stripped already must not become the symbols.
    if !process::read(tool("readelf").args(["-SW", SERVER]))?.contains(".debug_info") {
        return Ok(());
    }
    // Never in place: this file is a link to the one that cargo keeps.
    let (symbols, stripped) = (format!("{SYMBOLS}.new"), format!("{SERVER}.new"));
    process::read(tool("objcopy").args(["--only-keep-debug", SERVER, &symbols]))?;
    rename(folder, &symbols, SYMBOLS)?;
    let link = format!("--add-gnu-debuglink={SYMBOLS}");
    process::read(tool("objcopy").args(["--strip-all", &link, SERVER, &stripped]))?;
    rename(folder, &stripped, SERVER)
}

fn rename(folder: &Path, from: &str, to: &str) -> Result<()> {
    std::fs::rename(folder.join(from), folder.join(to)).with_context(|| format!("cannot rename {from} to {to}"))
}
