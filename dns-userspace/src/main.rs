//! The program `hotdns`: arguments in, exit code out. Everything else is in the library.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use dns_userspace::server;

use crate::cli::{Cli, Verb, check, discovery};

fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Discovery(args) => discovery::perform(args, &mut std::io::stdout().lock(), &mut std::io::stderr().lock()),
        Verb::Run(run) => server::run(run.into_source()),
        Verb::Check(check) => match check::check(&check.into_source(), &mut std::io::stderr().lock()) {
            Ok(summary) => {
                println!("{summary}");
                ExitCode::SUCCESS
            }
            Err(_) => ExitCode::FAILURE,
        },
    }
}
