//! `hotdns discovery`: tools for moving from one proxy or registry to another.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use dns_userspace::config::PeerSettings;
use dns_userspace::model::name::Name;
use dns_userspace::model::shown::percent_encoded;
use dns_userspace::source::WorldError;
use dns_userspace::source::disagreement::{report, takers};
use dns_userspace::source::services::convert::{Dialect, DocumentError, convert_document, validate_document};
use serde_json::Value;

use super::connection::{Payload, ServerArgs, path_with};
use super::failure::Failure;
use super::files::read;
use super::history::shown as shown_history;
use super::output::{cell, table};

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
    /// Say which routers of a Traefik take requests to a host; exits with 1 where none does.
    Route {
        /// The host, such as app.example.com.
        #[arg(value_parser = parse_host)]
        host: Name,
        /// Traefik's API.
        #[arg(long, value_name = "URL")]
        traefik: String,
        /// A file with USER:PASSWORD for it.
        #[arg(long, value_name = "FILE")]
        basic_file: Option<PathBuf>,
        /// Read rules without a syntax of their own as those of Traefik 2.
        #[arg(long)]
        v2: bool,
    },
    /// Put the records of a source back to an earlier version, and hold them there until `resume`.
    Rollback(RollbackArgs),
    /// Let a source that is held go on: what its world says is served again.
    Resume {
        #[command(flatten)]
        server: ServerArgs,
        /// The source, such as `consul/dc1`.
        #[arg(value_parser = parse_source)]
        source: SourceName,
    },
}

#[derive(Debug, Args)]
struct RollbackArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The source, such as `consul/dc1`.
    #[arg(value_parser = parse_source)]
    source: SourceName,
    /// The version that its records are to be as of.
    #[arg(
        long,
        value_name = "VERSION",
        required_unless_present = "list",
        conflicts_with = "list"
    )]
    to: Option<u64>,
    /// Let the deletion guard let much go.
    #[arg(long)]
    force: bool,
    /// List the changes of the source, the newest first.
    #[arg(long)]
    list: bool,
}

/// A watched source, by kind and name.
#[derive(Debug, Clone)]
struct SourceName {
    kind: String,
    name: String,
}

impl SourceName {
    fn path(&self, what: &str) -> String {
        let [kind, name] = [&self.kind, &self.name].map(|part| percent_encoded(part));
        format!("/api/v1/sources/{kind}/{name}/{what}")
    }
}

fn parse_source(text: &str) -> Result<SourceName, String> {
    match text.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok(SourceName {
            kind: kind.to_owned(),
            name: name.to_owned(),
        }),
        _ => Err("write its kind and its name, as in consul/dc1".to_owned()),
    }
}

fn parse_host(text: &str) -> Result<Name, String> {
    Name::parse_given(text).map_err(|error| error.to_string())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// Traefik's tags.
    Traefik,
    /// `urlprefix-` tags.
    Urlprefix,
}

/// Does what is asked; findings are written to standard error, and are a failure.
pub(crate) fn discovery(args: DiscoveryArgs) -> Result<(), Failure> {
    match run(args, &mut io::stdout().lock(), &mut io::stderr().lock())? {
        true => Ok(()),
        false => Err(Failure::Findings),
    }
}

/// Whether nothing was found.
fn run(args: DiscoveryArgs, out: &mut impl Write, errors: &mut impl Write) -> Result<bool, Failure> {
    match args.verb {
        DiscoveryVerb::Convert { to, file } => {
            let to = match to {
                To::Traefik => Dialect::Traefik,
                To::Urlprefix => Dialect::UrlPrefix,
            };
            let (text, notes) = convert_document(&read(&file)?, to).map_err(in_file(&file))?;
            for note in &notes {
                writeln!(errors, "{note}").map_err(unwritten)?;
            }
            out.write_all(text.as_bytes()).map_err(unwritten)?;
            Ok(true)
        }
        DiscoveryVerb::Validate { files } => {
            let mut is_fine = true;
            for file in &files {
                for problem in validate_document(&read(file)?).map_err(in_file(file))? {
                    is_fine = false;
                    writeln!(errors, "{}: {problem}", file.display()).map_err(unwritten)?;
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
            let asked = report(peer(&traefik, basic_file)?, v2, peer(&server, token_file)?, &target);
            let found = answer_of(asked)?;
            for disagreement in &found {
                writeln!(out, "{disagreement}").map_err(unwritten)?;
            }
            Ok(found.is_empty())
        }
        DiscoveryVerb::Route {
            host,
            traefik,
            basic_file,
            v2,
        } => {
            let taking = answer_of(takers(peer(&traefik, basic_file)?, v2, &host))?;
            if taking.is_empty() {
                writeln!(errors, "no router takes {host}").map_err(unwritten)?;
            }
            for (router, rule) in &taking {
                writeln!(out, "{router}: {rule}").map_err(unwritten)?;
            }
            Ok(!taking.is_empty())
        }
        DiscoveryVerb::Rollback(args) => roll_back(&args).map(|()| true),
        DiscoveryVerb::Resume { server, source } => {
            let answer = server.connect()?.call("POST", &source.path("resume"), Payload::None)?;
            print_state(&server, &answer.json()?).map(|()| true)
        }
    }
}

/// What servers say to somebody who waits for nothing else.
fn answer_of<T>(asked: impl Future<Output = Result<T, WorldError>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Text(format!("no runtime: {error}")))?;
    let answered = runtime.block_on(asked);
    answered.map_err(|error| Failure::Text(error.to_string()))
}

fn roll_back(args: &RollbackArgs) -> Result<(), Failure> {
    let RollbackArgs {
        server, source, force, ..
    } = args;
    let client = server.connect()?;
    let Some(to) = args.to else {
        let key = format!("{}/{}", source.kind, source.name);
        let path = path_with("/api/v1/history", &[("source", Some(&key))]);
        let answer = client.call("GET", &path, Payload::None)?.json()?;
        return server
            .output
            .print(&answer, || shown_history(&answer["entries"], false));
    };
    let to = to.to_string();
    let parameters = [("to", Some(to.as_str())), ("force", force.then_some("true"))];
    let path = path_with(&source.path("rollback"), &parameters);
    print_state(server, &client.call("POST", &path, Payload::None)?.json()?)
}

/// One line for a source.
fn print_state(server: &ServerArgs, source: &Value) -> Result<(), Failure> {
    server.output.print(source, || {
        let row = ["kind", "name", "state", "held", "records"].map(|member| cell(&source[member]));
        table(&["KIND", "NAME", "STATE", "HELD AT", "RRSETS"], [row.to_vec()])
    })
}

fn peer(url: &str, secret_file: Option<PathBuf>) -> Result<PeerSettings, Failure> {
    let peer =
        PeerSettings::new(url).map_err(|reason| Failure::Usage(format!("`{url}` is no URL of a server: {reason}")))?;
    Ok(PeerSettings {
        secret_file: secret_file.map(Into::into),
        ..peer
    })
}

/// An error in a file's text, with the file's name.
fn in_file(file: &Path) -> impl Fn(DocumentError) -> Failure {
    move |error| Failure::Text(format!("{}: {error}", file.display()))
}

/// The failure of an output that nobody takes.
fn unwritten(error: io::Error) -> Failure {
    Failure::File {
        path: "the output".to_owned(),
        error,
    }
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
