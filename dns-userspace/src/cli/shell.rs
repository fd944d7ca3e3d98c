//! `hotdns completions` and the man pages: both from the definition of the command line.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::failure::Failure;
use super::output::write_out;

/// Arguments of `hotdns completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Arguments of `hotdns man-pages`.
#[derive(Debug, Args)]
pub(crate) struct ManPagesArgs {
    /// Where the pages are written: hotdns.1, hotdns-record.1 and so on.
    folder: PathBuf,
}

/// Prints the script that completes command lines in a shell.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hotdns", &mut script);
    write_out(&String::from_utf8_lossy(&script))
}

/// Writes a man page for the program and each verb.
pub(crate) fn man_pages(args: &ManPagesArgs) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    page(command, &args.folder)
}

fn page(command: clap::Command, folder: &Path) -> Result<(), Failure> {
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        if verb.get_name() != "help" {
            page(verb.clone(), folder)?;
        }
    }
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let path = folder.join(format!("{name}.1"));
    let mut text = Vec::new();
    let outcome = clap_mangen::Man::new(command.disable_help_subcommand(true)).render(&mut text);
    outcome
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|error| Failure::File {
            path: path.display().to_string(),
            error,
        })
}
