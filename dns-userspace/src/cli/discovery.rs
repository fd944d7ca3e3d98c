//! `hotdns discovery`: tools for moving from one proxy or registry to another.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use dns_userspace::config::PeerSettings;
use dns_userspace::source::disagreement::report;
use dns_userspace::source::services::convert::{Dialect, convert_document, validate_document};

/// Arguments of `hotdns discovery`.
#[derive(Debug, Args)]
pub(crate) struct DiscoveryArgs {
    #[command(subcommand)]
    verb: DiscoveryVerb,
}

#[derive(Debug, Subcommand)]
enum DiscoveryVerb {
    /// Convert the tags in a service or job file: between `urlprefix-` (Caddy, fabio) and Traefik's.
    ///
    /// Reads JSON of Consul and Nomad, and job files in HCL. Writes the file to standard output, and what cannot be
    /// said to standard error.
    Convert {
        /// Whose tags are wanted.
        #[arg(long)]
        to: To,
        /// The file; `-` for standard input.
        file: PathBuf,
    },
    /// List what is wrong with the tags in service or job files; exits with 1 where something is.
    Validate {
        /// The files; `-` for standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Compare a Traefik's routers with the names of a running hotdns; exits with 1 where they disagree.
    Report {
        /// Traefik's API.
        #[arg(long, value_name = "URL")]
        traefik: String,
        /// A file with USER:PASSWORD for it.
        #[arg(long, value_name = "FILE")]
        basic_file: Option<PathBuf>,
        /// hotdns's HTTP API.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
        server: String,
        /// A file with the token for it.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// An address of Traefik: names that lead there have to be routed; repeatable.
        #[arg(long, value_name = "ADDRESS")]
        target: Vec<IpAddr>,
        /// Read rules without a syntax of their own as those of Traefik 2.
        #[arg(long)]
        v2: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// Traefik's tags.
    Traefik,
    /// `urlprefix-` tags.
    Urlprefix,
}

/// Does what is asked; errors and findings are written to `errors`.
pub(crate) fn perform(args: DiscoveryArgs, out: &mut impl Write, errors: &mut impl Write) -> ExitCode {
    match run(args, out, errors) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody may read it any more.
            let _ = writeln!(errors, "{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was found.
fn run(args: DiscoveryArgs, out: &mut impl Write, errors: &mut impl Write) -> anyhow::Result<bool> {
    match args.verb {
        DiscoveryVerb::Convert { to, file } => {
            let to = match to {
                To::Traefik => Dialect::Traefik,
                To::Urlprefix => Dialect::UrlPrefix,
            };
            let (text, notes) = convert_document(&read(&file)?, to)?;
            for note in &notes {
                writeln!(errors, "{note}")?;
            }
            out.write_all(text.as_bytes())?;
            Ok(true)
        }
        DiscoveryVerb::Validate { files } => {
            let mut is_fine = true;
            for file in &files {
                for problem in validate_document(&read(file)?)? {
                    is_fine = false;
                    writeln!(errors, "{}: {problem}", file.display())?;
                }
            }
            Ok(is_fine)
        }
        DiscoveryVerb::Report {
            traefik,
            basic_file,
            server,
            token_file,
            target,
            v2,
        } => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let asked = report(peer(&traefik, basic_file)?, v2, peer(&server, token_file)?, &target);
            let found = runtime.block_on(asked)?;
            for disagreement in &found {
                writeln!(out, "{disagreement}")?;
            }
            Ok(found.is_empty())
        }
    }
}

fn peer(url: &str, secret_file: Option<PathBuf>) -> anyhow::Result<PeerSettings> {
    let peer = PeerSettings::new(url).map_err(|reason| anyhow::anyhow!("`{url}` is no URL of a server: {reason}"))?;
    Ok(PeerSettings {
        secret_file: secret_file.map(Into::into),
        ..peer
    })
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: DiscoveryArgs,
    }

    /// Output, errors, and whether it succeeded.
    fn performed(line: &[&str]) -> (String, String, bool) {
        let args = Line::try_parse_from([&["hotdns"], line].concat()).expect("valid").args;
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let is_fine = run(args, &mut out, &mut errors).expect("done");
        let text = |octets| String::from_utf8(octets).expect("text");
        (text(out), text(errors), is_fine)
    }

    #[test]
    fn a_file_is_converted_and_validated() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("web.json");
        std::fs::write(&file, r#"{"Name": "web", "Tags": ["urlprefix-web.x/ strip=/a"]}"#).expect("written");
        let path = file.to_str().expect("a path");
        let (out, errors, is_fine) = performed(&["convert", "--to", "traefik", path]);
        assert!(
            is_fine && out.contains("Host(`web.x`)") && errors.contains("strip=/a"),
            "{out} {errors}"
        );
        assert!(performed(&["validate", path]).2);
        std::fs::write(
            &file,
            r#"{"Name": "web", "Tags": ["traefik.http.routers.a.rule=Host()"]}"#,
        )
        .expect("written");
        let (_, errors, is_fine) = performed(&["validate", path]);
        assert!(!is_fine && errors.contains("no argument"), "{errors}");
    }
}
