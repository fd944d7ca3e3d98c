//! The program `hotdns`: arguments in, exit code out. What serves is in the library.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::perform(cli::Cli::parse().verb)
}
