//! `hotdns doctor`: what of this host helps or hinders the server, with what to do about it. Nothing is changed.

mod host;
mod limits;
mod ports;
mod xdp;
mod zones;

use std::path::PathBuf;

use clap::Args;
use dns_userspace::config::{Config, ConfigSource, Overrides};
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{OutputFormat, table};

/// Arguments of `hotdns doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The configuration [default: /etc/hotdns/hotdns.yaml, if it is there].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to print results.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
}

/// How a finding is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It serves, but less well.
    Warn,
    /// It does not start, or does not answer.
    Fail,
}

/// One row.
#[derive(Debug)]
struct Finding {
    check: String,
    state: State,
    found: String,
    fix: String,
}

impl Finding {
    fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(State::Ok, check, found, "")
    }

    fn new(state: State, check: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            state,
            found: found.into(),
            fix: fix.into(),
        }
    }
}

/// Where the Debian package has its configuration.
const INSTALLED: &str = "/etc/hotdns/hotdns.yaml";

/// Looks at everything, and prints a row for each; exit code 1 where something fails.
pub(crate) fn doctor(args: &DoctorArgs) -> Result<(), Failure> {
    let path = args
        .config
        .clone()
        .or_else(|| Some(PathBuf::from(INSTALLED)).filter(|path| path.exists()));
    let mut findings = Vec::new();
    let config = path.and_then(|path| zones::configuration(path, &mut findings));
    findings.extend(host::findings(config.as_ref()));
    findings.extend(xdp::findings(config.as_ref()));
    findings.extend(ports::findings(config.as_ref()));
    let rows: Vec<Value> = findings.iter().map(row).collect();
    args.output.print(&json!({ "findings": rows }), || shown(&findings))?;
    let fails = findings.iter().any(|finding| finding.state == State::Fail);
    if fails { Err(Failure::Findings) } else { Ok(()) }
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Note => "note",
        State::Warn => "warn",
        State::Fail => "FAIL",
    }
}

fn row(finding: &Finding) -> Value {
    json!({
        "check": finding.check,
        "state": word(finding.state).to_lowercase(),
        "found": finding.found,
        "fix": (!finding.fix.is_empty()).then_some(&finding.fix),
    })
}

/// One line for each finding, and the fix below it.
fn shown(findings: &[Finding]) -> String {
    let rows = findings.iter().map(|finding| {
        let mut found = finding.found.clone();
        if !finding.fix.is_empty() {
            found.push_str(&format!("\n→ {}", finding.fix.replace('\n', "\n  ")));
        }
        vec![finding.check.clone(), word(finding.state).to_owned(), found]
    });
    table(&["CHECK", "STATE", "FOUND"], rows)
}

/// The configuration with all its files.
fn source(path: PathBuf) -> ConfigSource {
    ConfigSource {
        path,
        overrides: Overrides::default(),
    }
}

/// The interfaces that XDP is to be attached to.
fn wanted_interfaces(config: Option<&Config>) -> Vec<String> {
    config.map_or(Vec::new(), |config| config.xdp.interfaces.clone())
}
