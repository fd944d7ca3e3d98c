//! One upstream server in the configuration: where it is, and how it is asked.
//!
//! ```text
//! 10.0.0.2                                   UDP and TCP, port 53
//! dns.example:5353                           likewise, by name: `forward.bootstrap` knows its addresses
//! tls://192.0.2.9#dns.example                DNS over TLS, port 853; the certificate is for the name behind `#`
//! https://dns.example/dns-query              DNS over HTTPS, port 443
//! quic://dns.example                         DNS over QUIC, port 853
//! ```

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;

use crate::config::address::{Host, Purpose, parse_address};
use crate::config::problem::ConfigProblem;

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamServer {
    /// Where it is.
    pub place: ServerPlace,
    /// How it is asked.
    pub transport: UpstreamTransport,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerPlace {
    /// At this address.
    At(SocketAddr),
    /// At the addresses that this name has, on this port.
    Named(Arc<str>, u16),
}

/// How a server is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamTransport {
    /// Over UDP, and over TCP where a reply is truncated.
    Plain,
    /// Over TLS (RFC 7858). The server proves to have this name; without one, that of its place.
    Tls(Option<Arc<str>>),
    /// Over HTTPS (RFC 8484), at this path.
    Https(Option<Arc<str>>, Arc<str>),
    /// Over QUIC (RFC 9250).
    Quic(Option<Arc<str>>),
}

const PLAIN_PORT: u16 = 53;
const TLS_PORT: u16 = 853;
const HTTPS_PORT: u16 = 443;
/// RFC 9250 §4.1.1.
const QUIC_PORT: u16 = 853;
/// What most servers have.
const HTTPS_PATH: &str = "/dns-query";
/// RFC 8484 §4.1: what a URI template has for GET. Queries are sent with POST.
const TEMPLATE_VARIABLE: &str = "{?dns}";

impl UpstreamServer {
    /// A server over UDP and TCP.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            place: ServerPlace::At(address),
            transport: UpstreamTransport::Plain,
        }
    }

    /// Its address, where the configuration has it.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.place {
            ServerPlace::At(address) => Some(address),
            ServerPlace::Named(..) => None,
        }
    }

    /// The name whose addresses are looked up, where the configuration has a name.
    pub fn host_name(&self) -> Option<&str> {
        match &self.place {
            ServerPlace::At(_) => None,
            ServerPlace::Named(name, _) => Some(name),
        }
    }
}

impl fmt::Display for ServerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => write!(f, "{address}"),
            Self::Named(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

impl fmt::Display for UpstreamServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        let name = match &self.transport {
            UpstreamTransport::Plain => return write!(f, "{place}"),
            UpstreamTransport::Tls(name) => {
                write!(f, "tls://{place}")?;
                name
            }
            UpstreamTransport::Https(name, path) => {
                write!(f, "https://{place}{path}")?;
                name
            }
            UpstreamTransport::Quic(name) => {
                write!(f, "quic://{place}")?;
                name
            }
        };
        name.as_ref().map_or(Ok(()), |name| write!(f, "#{name}"))
    }
}

/// Reads a server as it is written in the configuration.
pub(in crate::config) fn parse_server(key: &str, text: &str, host: &Host) -> Result<UpstreamServer, ConfigProblem> {
    let bad = || ConfigProblem::BadUpstreamServer {
        key: key.to_owned(),
        text: text.to_owned(),
    };
    let (scheme, rest) = text.split_once("://").unwrap_or(("udp", text));
    let (rest, name) = match rest.split_once('#') {
        Some((rest, name)) if is_host_name(name) && ServerName::try_from(name).is_ok() => {
            (rest, Some(Arc::from(name.trim_end_matches('.'))))
        }
        Some(_) => return Err(bad()),
        None => (rest, None),
    };
    let (place, transport) = match (scheme, name) {
        ("udp", None) => (parse_place(key, rest, PLAIN_PORT, host)?, UpstreamTransport::Plain),
        ("tls", name) => (parse_place(key, rest, TLS_PORT, host)?, UpstreamTransport::Tls(name)),
        ("quic", name) => (parse_place(key, rest, QUIC_PORT, host)?, UpstreamTransport::Quic(name)),
        ("https", name) => {
            let (authority, path) = match rest.find('/') {
                Some(at) => rest.split_at(at),
                None => (rest, HTTPS_PATH),
            };
            let path = path.strip_suffix(TEMPLATE_VARIABLE).unwrap_or(path);
            if !path
                .bytes()
                .all(|octet| octet.is_ascii_graphic() && !b"{}\"<>\\^`|".contains(&octet))
            {
                return Err(bad());
            }
            let place = parse_place(key, authority, HTTPS_PORT, host)?;
            (place, UpstreamTransport::Https(name, path.into()))
        }
        _ => return Err(bad()),
    };
    let server = UpstreamServer { place, transport };
    // What is no name for a certificate could never be proved.
    let proved = server
        .host_name()
        .filter(|_| server.transport != UpstreamTransport::Plain);
    if proved.is_some_and(|name| ServerName::try_from(name).is_err()) {
        return Err(bad());
    }
    Ok(server)
}

/// An address or a name, optionally with a port.
fn parse_place(key: &str, text: &str, port: u16, host: &Host) -> Result<ServerPlace, ConfigProblem> {
    let (name, given) = match text.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') => (name, digits.parse::<u16>().ok().filter(|port| *port > 0)),
        _ => (text, Some(port)),
    };
    match given {
        Some(port) if is_server_name(name) => Ok(ServerPlace::Named(name.trim_end_matches('.').into(), port)),
        _ => parse_address(key, text, port, Purpose::Server, host).map(ServerPlace::At),
    }
}

/// A host name that nobody can take for an address: its last label has a letter.
fn is_server_name(text: &str) -> bool {
    let labels = text.trim_end_matches('.').rsplit('.');
    let is_letter = |octet: u8| octet.is_ascii_alphabetic();
    !text.contains(':')
        && is_host_name(text)
        && labels.clone().all(|label| (1..64).contains(&label.len()))
        && labels.take(1).any(|label| label.bytes().any(is_letter))
}

/// What a certificate can be for: a host name or an address.
fn is_host_name(text: &str) -> bool {
    let is_letter = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_');
    text.parse::<IpAddr>().is_ok() || (!text.is_empty() && text.len() < 254 && text.bytes().all(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::address::host;

    #[test]
    fn servers_are_addresses_or_names_with_an_optional_scheme() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("udp://192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("dns.example", "dns.example:53"),
            ("unbound", "unbound:53"),
            ("udp://dns.example.:5353", "dns.example:5353"),
            ("tls://192.0.2.9#dns.example.", "tls://192.0.2.9:853#dns.example"),
            ("tls://[2001:db8::1]:8853", "tls://[2001:db8::1]:8853"),
            ("tls://dns.example", "tls://dns.example:853"),
            ("https://dns.example", "https://dns.example:443/dns-query"),
            ("https://dns.example:8443/q{?dns}", "https://dns.example:8443/q"),
            (
                "https://[2001:db8::1]/dns-query#dns.example",
                "https://[2001:db8::1]:443/dns-query#dns.example",
            ),
            ("quic://dns.example", "quic://dns.example:853"),
            ("quic://192.0.2.9:8853#dns.example", "quic://192.0.2.9:8853#dns.example"),
        ] {
            let server = parse_server("servers", text, &host()).expect(text);
            assert_eq!(server.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in [
            "",
            "192.0.2.256",
            "192.0.2.1:0",
            "dns.example:0",
            "dns.example:x",
            "dns..example",
            "a b.example",
            "tls://192.0.2.9#",
            "udp://192.0.2.1#x",
            "sdns://abc",
            "https://dns.example/a b",
            "https:///dns-query",
            "tls://192.0.2.9#-.example",
            "quic://-.example",
        ] {
            assert!(parse_server("servers", text, &host()).is_err(), "{text}");
        }
    }
}
