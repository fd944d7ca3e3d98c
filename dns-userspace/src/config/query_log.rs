//! `query_log`: where single queries are written.

use std::path::PathBuf;

use ipnet::IpNet;

use super::collector::{GelfTarget, gelf};
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::Text;
use crate::message::parse_rcode;
use crate::model::name::Name;

/// `query_log`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryLogConfig {
    /// Where queries are written; `None` where they are not.
    pub to: Option<Sink>,
    /// One of so many queries is written.
    pub sample: u32,
    /// Only queries of clients in these prefixes; of all where there are none.
    pub clients: Vec<IpNet>,
    /// Only queries for names at or below these; for all where there are none.
    pub names: Vec<Name>,
    /// Only queries that were answered so; all where there are none.
    pub rcodes: Vec<u8>,
    /// Whether what the XDP program answers is written too.
    pub xdp: bool,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file, at whose end they are written.
    File(PathBuf),
    /// A Unix socket (a stream) that somebody listens to.
    Socket(PathBuf),
    /// A collector that takes GELF.
    Gelf(GelfTarget),
}

const MOST_SAMPLED: u32 = 1_000_000;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["to", "sample", "clients", "names", "rcodes", "xdp"],
    applies: Applies::Live(&[("query_log", |old, new| old.query_log != new.query_log)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> QueryLogConfig {
    let section = input.root.section("query_log", KEY.keys, findings);
    let to = section
        .text("to", "to: stdout", findings)
        .and_then(|given| match given.text {
            "off" => None,
            "stdout" => Some(Sink::Stdout),
            "" => {
                let problem = ConfigProblem::Empty {
                    key: section.path("to"),
                    remedy: "write `stdout`, the path of a file, `unix:` and the path of a socket, `gelf+udp://` or \
                             `gelf+tcp://` and a collector, or `off`",
                };
                findings.error(given.at, problem);
                None
            }
            text if text.starts_with("gelf+") => gelf(section.path("to"), given, findings).map(Sink::Gelf),
            text => Some(match text.strip_prefix("unix:") {
                Some(path) => Sink::Socket(input.base.join(path)),
                None => Sink::File(input.base.join(text)),
            }),
        });
    let sample = section.number("sample", 1..=MOST_SAMPLED, "queries", "sample: 100", findings);
    let clients = section.prefixes("clients", "clients: [10.0.0.0/8]", findings);
    let names = section
        .texts("names", "names: [example.com.]", findings)
        .unwrap_or_default();
    let names = names
        .into_iter()
        .filter_map(|text| text.to_name("query_log.names", findings))
        .collect();
    let mut rcodes = Vec::new();
    for Text { at, text } in section
        .texts("rcodes", "rcodes: [SERVFAIL]", findings)
        .unwrap_or_default()
    {
        match parse_rcode(text) {
            Some(rcode) => rcodes.push(rcode),
            None => {
                let problem = ConfigProblem::NotAChoice {
                    key: section.path("rcodes"),
                    value: text.to_owned(),
                    choices: &[
                        "NOERROR",
                        "FORMERR",
                        "SERVFAIL",
                        "NXDOMAIN",
                        "NOTIMP",
                        "REFUSED",
                        "BADVERS",
                        "BADCOOKIE",
                    ],
                };
                findings.error(at, problem);
            }
        }
    }
    let xdp = section.boolean("xdp", "xdp: false", findings);
    QueryLogConfig {
        to,
        xdp: xdp.unwrap_or(true),
        sample: sample.unwrap_or(1),
        clients: clients.unwrap_or_default(),
        names,
        rcodes,
    }
}
