//! `dnstap`: where messages are shown to collectors as dnstap.

use std::fmt;
use std::path::PathBuf;

use super::collector::host_and_port;
use super::keys::{Applies, Input, TopLevelKey};
use super::problem::{ConfigProblem, Findings};
use super::section::Text;

/// `dnstap`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnstapConfig {
    /// Who takes the frames; `None` where nothing is shown.
    pub to: Option<DnstapTarget>,
    /// What this server calls itself in each frame; the host's name where it is not given.
    pub identity: Option<Box<str>>,
    /// One of so many queries of clients is shown.
    pub sample: u32,
    /// Whether what the XDP program answers is shown too.
    pub xdp: bool,
    /// Whether what is asked of other servers is shown too.
    pub forwarder: bool,
}

/// Who takes frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnstapTarget {
    /// A Unix socket (a stream) that somebody listens to.
    Socket(PathBuf),
    /// A TCP server: name or address, and port.
    Tcp(Box<str>),
}

impl fmt::Display for DnstapTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}

const MOST_SAMPLED: u32 = 1_000_000;
const MAX_IDENTITY_BYTES: usize = 255;

pub(super) const KEY: TopLevelKey = TopLevelKey {
    keys: &["to", "identity", "sample", "xdp", "forwarder"],
    applies: Applies::AtRestart(&[("dnstap", |old, new| old.dnstap != new.dnstap)]),
};

pub(super) fn read(input: &Input<'_>, findings: &mut Findings) -> DnstapConfig {
    let section = input.root.section("dnstap", KEY.keys, findings);
    let to = section.text("to", "to: unix:/run/dnstap.sock", findings);
    let to = to.and_then(|Text { at, text }| {
        if text == "off" {
            return None;
        }
        let target = match (text.strip_prefix("unix:"), text.strip_prefix("tcp://")) {
            (Some(path), _) if !path.is_empty() => Some(DnstapTarget::Socket(input.base.join(path))),
            (_, Some(host)) => host_and_port(host).map(DnstapTarget::Tcp),
            _ => None,
        };
        if target.is_none() {
            let (key, text) = (section.path("to"), text.to_owned());
            findings.error(at, ConfigProblem::BadDnstapTarget { key, text });
        }
        target
    });
    let identity = section.short_text("identity", "identity: ns1.example.com", MAX_IDENTITY_BYTES, findings);
    let sample = section.number("sample", 1..=MOST_SAMPLED, "queries", "sample: 100", findings);
    let xdp = section.boolean("xdp", "xdp: false", findings);
    let forwarder = section.boolean("forwarder", "forwarder: false", findings);
    DnstapConfig {
        to,
        identity,
        sample: sample.unwrap_or(1),
        xdp: xdp.unwrap_or(true),
        forwarder: forwarder.unwrap_or(true),
    }
}
