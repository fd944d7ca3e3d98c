//! Every developer command of hotdns: `cargo xtask COMMAND`, each with `--help`.
//!
//! ```text
//! setup ──► build-ebpf ──► build ──► run
//!                     └──► test, bench, fuzz, ci
//! ```
//!
//! Each command does what it needs of those before it, and is quick where that is done already.

mod bench;
mod build;
mod ci;
mod coredns;
mod dist;
mod discovery;
mod fuzz;
mod kernels;
mod kubernetes;
mod openapi;
mod packages;
mod privilege;
mod process;
mod serve;
mod setup;
mod suite;
mod tidy;
mod toolchain;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Every developer command of hotdns"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find or install the eBPF toolchain and the tools that the tests call
    Setup {
        /// Also what `test --kernels` boots
        #[arg(long)]
        all: bool,
    },
    /// Build the XDP program into target/ebpf
    BuildEbpf,
    /// Build everything for release: target/release/hotdns, with the XDP program inside
    Build,
    /// Make what a release consists of in target/dist: package, archive, symbols, checksums, list of components
    Dist {
        /// Pack this program instead of building one for release
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
        /// Build a program that needs no library of the host, with musl
        #[arg(long, conflicts_with = "program")]
        musl: bool,
        /// Sign SHA256SUMS with this private key of OpenSSH, such as ~/.ssh/id_ed25519
        #[arg(long, value_name = "FILE")]
        sign_key: Option<PathBuf>,
    },
    /// Serve a sample zone on 127.0.0.1:5300, HTTP on 127.0.0.1:8080, with XDP on lo where permitted
    Run {
        /// Arguments for `hotdns run`, after `--`
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Run all tests; those that need root through `sudo -n` where the caller is not root
    Test {
        /// Load the XDP program and run it on Linux 6.1 and 6.12 in QEMU, instead of the suite
        #[arg(long)]
        kernels: bool,
        /// Run hotdns beside a real Kubernetes API (etcd, kube-apiserver, kubectl), instead of the suite
        #[arg(long, conflicts_with = "kernels")]
        kubernetes: bool,
        /// Run the long comparisons with other servers and of both planes (release build), instead of the suite
        #[arg(long, conflicts_with = "kernels")]
        differential: bool,
        /// Install, upgrade and purge the Debian package in a clean Debian, instead of the suite
        #[arg(long, group = "of_a_program", conflicts_with_all = ["kernels", "differential"])]
        package: bool,
        /// With --package: pack this program instead of building one for release; with --discovery: test it
        #[arg(long, requires = "of_a_program", value_name = "FILE")]
        program: Option<PathBuf>,
        /// Run hotdns beside a real Consul, Traefik and Caddy, instead of the suite; says which of them are missing
        #[arg(long, group = "of_a_program", conflicts_with_all = ["kernels", "kubernetes", "differential", "package"])]
        discovery: bool,
        /// Use the API as its OpenAPI document describes it: schemathesis, a client in Python and one in TypeScript
        #[arg(long, conflicts_with_all = ["kernels", "kubernetes", "differential", "package", "discovery"])]
        openapi: bool,
        /// With --openapi: how many examples schemathesis makes for each operation
        #[arg(long, requires = "openapi", default_value_t = 30)]
        examples: u32,
        /// Check that the server compiles without XDP, for Linux without glibc, macOS and FreeBSD, instead of the suite
        #[arg(long, conflicts_with_all = ["kernels", "kubernetes", "differential", "package", "discovery"])]
        portable: bool,
        /// Compile the server with OpenTelemetry and look at its traces, instead of the suite
        #[arg(long, conflicts_with_all = ["kernels", "kubernetes", "differential", "package", "discovery", "portable"])]
        traces: bool,
        /// With --differential: how many cases each comparison of a plane asks at least
        #[arg(long, requires = "differential")]
        cases: Option<u64>,
        /// With --differential: the seed of its first configuration
        #[arg(long, requires = "differential")]
        seed: Option<u64>,
        /// Arguments for `cargo test`, such as a filter, after `--`
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Run a benchmark; without a name, list them
    Bench {
        /// The benchmark and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Look for octets that messages, zone files and answers cannot cope with (libFuzzer)
    Fuzz {
        /// One folder of tests/corpus; by default all in turn
        target: Option<String>,
        /// How long for each target
        #[arg(long, default_value_t = 300)]
        seconds: u32,
    },
    /// Check style, lints and documentation, warnings denied, then run all tests
    Ci {
        /// Leave the tests out
        #[arg(long)]
        checks_only: bool,
    },
    /// Check the rules of layout, layering and `unsafe` that a program can check
    Tidy,
    /// What cargo starts a test with where the caller is not root
    #[command(hide = true)]
    RunPrivileged {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    match perform(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, without the backtrace that RUST_BACKTRACE would add: these errors are for users.
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn portable() -> Result<()> {
    packages::set_up_tools(packages::NeededBy::Portable)?;
    build::check_portable()
}

fn perform(command: Command) -> Result<()> {
    match command {
        Command::Setup { all } => setup::setup(all),
        Command::BuildEbpf => build::ebpf_or_explain(build::Warnings::Allow).map(|_| ()),
        Command::Build => build::release().map(|_| ()),
        Command::Dist {
            program,
            musl,
            sign_key,
        } => dist::dist(dist::Wish {
            program: program.as_deref(),
            is_static: musl,
            sign_key: sign_key.as_deref(),
        }),
        Command::Run { arguments } => serve::serve(&arguments),
        Command::Test { kernels: true, .. } => kernels::test(),
        Command::Test { kubernetes: true, .. } => kubernetes::test(),
        Command::Test {
            package: true, program, ..
        } => dist::trial::try_package(program.as_deref()),
        Command::Test {
            differential: true,
            cases,
            seed,
            arguments,
            ..
        } => suite::differential(cases, seed, &arguments),
        Command::Test {
            discovery: true,
            program,
            arguments,
            ..
        } => discovery::test(program.as_deref(), &arguments),
        Command::Test {
            openapi: true,
            examples,
            ..
        } => openapi::test(examples),
        Command::Test { portable: true, .. } => portable(),
        Command::Test { traces: true, .. } => suite::traces(),
        Command::Test { arguments, .. } => suite::test(&arguments),
        Command::Bench { arguments } => bench::bench(&arguments),
        Command::Fuzz { target, seconds } => fuzz::fuzz(target.as_deref(), seconds),
        Command::Ci { checks_only } => ci::ci(checks_only),
        Command::Tidy => tidy::tidy(),
        Command::RunPrivileged { command } => privilege::run_privileged(&command),
    }
}
