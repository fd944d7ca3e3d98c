//! Where collectors of logs are: `gelf+udp://graylog.example:12201`.

use std::fmt;

use super::problem::{ConfigProblem, Findings};
use super::section::Text;

/// A collector that takes GELF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GelfTarget {
    /// How it is reached.
    pub transport: GelfTransport,
    /// Its name or address, and the port.
    pub host: Box<str>,
}

/// How GELF travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GelfTransport {
    /// A message is a datagram, or several where it is long.
    Udp,
    /// A message ends with an octet that is zero.
    Tcp,
}

impl fmt::Display for GelfTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            GelfTransport::Udp => "gelf+udp",
            GelfTransport::Tcp => "gelf+tcp",
        };
        write!(f, "{scheme}://{}", self.host)
    }
}

/// The collector of GELF that a text names. What is none is an error.
pub(super) fn gelf(key: String, Text { at, text }: Text<'_>, findings: &mut Findings) -> Option<GelfTarget> {
    let transport = match text.split_once("://") {
        Some(("gelf+udp", host)) => Some((GelfTransport::Udp, host)),
        Some(("gelf+tcp", host)) => Some((GelfTransport::Tcp, host)),
        _ => None,
    };
    let target = transport.and_then(|(transport, host)| Some((transport, host_and_port(host)?)));
    if target.is_none() {
        let text = text.to_owned();
        findings.error(at, ConfigProblem::BadCollector { key, text });
    }
    target.map(|(transport, host)| GelfTarget { transport, host })
}

/// `NAME:PORT` or `ADDRESS:PORT`; names are looked up when they are needed.
pub(super) fn host_and_port(text: &str) -> Option<Box<str>> {
    let (host, port) = text.rsplit_once(':')?;
    let is_bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    let is_host = !host.is_empty() && !is_bare_ipv6 && !host.contains(['/', ' ', '@']);
    let is_port = port.parse::<u16>().is_ok_and(|port| port != 0);
    (is_host && is_port).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_has_a_host_and_a_port() {
        for good in ["graylog:12201", "192.0.2.1:1", "[2001:db8::1]:12201"] {
            assert_eq!(host_and_port(good).as_deref(), Some(good));
        }
        for bad in [
            "graylog",
            "graylog:0",
            "graylog:99999",
            ":12201",
            "2001:db8::1",
            "2001:db8::1:53",
            "a@b:1",
            "a/b:1",
        ] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }
}
