//! The program `hotdns`: arguments in, exit code out. What serves is in the library.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use dns_userspace::config::EnvironmentVariables;

fn main() -> ExitCode {
    cli::perform(cli::Cli::parse().verb)
}

/// The variables of the environment that stand for keys of the configuration.
fn environment() -> EnvironmentVariables {
    let read = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    EnvironmentVariables::new(EnvironmentVariables::names().filter_map(read))
}
