//! The benchmarks of hotdns: `cargo xtask bench`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use tests::bench::{api, cache, change, churn, flood, fuzz, hot, pass, query_log, scale, size, soak, sockets};
use tests::net::missing_privileges;

/// Measures hotdns, beside the limit of the path and other servers.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Queries a second, as a share of the limit: XDP, sockets and other servers in turn.
    Hot(hot::Options),
    /// Frames that pass, beside a program that passes all, on the same interface.
    Pass(pass::Options),
    /// Floods of random names, and the cost of the dearest queries.
    Flood(flood::Options),
    /// Ten thousand changes a second while a closed loop goes on: no old, wrong or missing answer.
    Churn(churn::Options),
    /// From sockets, beside NSD and Knot DNS: UDP, TCP, times at half load, overload, idle connections.
    Sockets(sockets::Options),
    /// Answers from the cache, from sockets, beside Unbound and dnsdist.
    Cache(cache::Options),
    /// How many changes the HTTP API takes, one by one and in sets; searches; a restart.
    Api(api::Options),
    /// How long changes, reloads and restarts take, under load.
    Change(change::Options),
    /// An hour of reloads, broken files, interfaces that come and go, API load and hostile clients, against a model.
    Soak(soak::Options),
    /// What one change costs, with ten zones and with a hundred thousand.
    Scale(scale::Options),
    /// How long a zone of a million records takes to load, and how much memory it takes.
    Load(size::Options),
    /// What the query log costs XDP, and how many lines it writes: off, 1 % and all.
    QueryLog(query_log::Options),
    /// A million mutated packets through the XDP program.
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if let Some(reason) = missing_privileges() {
        bail!("cannot measure here: {reason}");
    }
    match &arguments.bench {
        Bench::Hot(options) => hot::run(options),
        Bench::Pass(options) => pass::run(options),
        Bench::Flood(options) => flood::run(options),
        Bench::Churn(options) => churn::run(options),
        Bench::Sockets(options) => sockets::run(options),
        Bench::Cache(options) => cache::run(options),
        Bench::Api(options) => api::run(options),
        Bench::Change(options) => change::run(options),
        Bench::Soak(options) => soak::run(options),
        Bench::Scale(options) => scale::run(options),
        Bench::Load(options) => size::run(options),
        Bench::QueryLog(options) => query_log::run(options),
        Bench::Fuzz(options) => fuzz::run(options),
    }
}
