//! The payload of a frame: `dnstap.proto`, as far as it is used here.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

/// `Dnstap.Type`: a message.
const MESSAGE: i32 = 1;

/// `Message.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Kind {
    ClientQuery = 5,
    ClientResponse = 6,
    ForwarderQuery = 7,
    ForwarderResponse = 8,
}

/// `SocketProtocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Transport {
    Udp = 1,
    Tcp = 2,
    Tls = 3,
    Https = 4,
    Quic = 7,
}

/// `Dnstap`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Frame {
    #[prost(bytes = "vec", tag = "1")]
    identity: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    version: Vec<u8>,
    #[prost(message, optional, tag = "14")]
    message: Option<Message>,
    #[prost(int32, required, tag = "15")]
    kind: i32,
}

/// `Message`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Message {
    #[prost(int32, required, tag = "1")]
    kind: i32,
    #[prost(int32, optional, tag = "2")]
    family: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    transport: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "4")]
    query_address: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "5")]
    response_address: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "6")]
    query_port: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    response_port: Option<u32>,
    #[prost(uint64, optional, tag = "8")]
    query_seconds: Option<u64>,
    #[prost(fixed32, optional, tag = "9")]
    query_nanoseconds: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "10")]
    query: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "12")]
    response_seconds: Option<u64>,
    #[prost(fixed32, optional, tag = "13")]
    response_nanoseconds: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "14")]
    response: Option<Vec<u8>>,
}

impl Frame {
    pub(super) fn of(identity: &[u8], message: Message) -> Self {
        Self {
            identity: identity.to_vec(),
            version: concat!("hotdns ", env!("CARGO_PKG_VERSION")).into(),
            message: Some(message),
            kind: MESSAGE,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(self)
    }
}

impl Transport {
    /// By the label of metrics, or the scheme of a server's URL.
    pub(super) fn of(label: &str) -> Self {
        match label {
            "udp" | "xdp" => Self::Udp,
            "tls" | "dot" => Self::Tls,
            "https" | "doh" => Self::Https,
            "quic" | "doq" => Self::Quic,
            _ => Self::Tcp,
        }
    }
}

impl Message {
    /// Between a client and us.
    pub(super) fn between(
        kind: Kind,
        transport: Transport,
        client: (IpAddr, u16),
        server: Option<(IpAddr, u16)>,
    ) -> Self {
        let (address, port) = client;
        Self {
            kind: kind as i32,
            family: Some(family(address)),
            transport: Some(transport as i32),
            query_address: Some(octets(address)),
            query_port: Some(port.into()),
            response_address: server.map(|(address, _)| octets(address)),
            response_port: server.map(|(_, port)| port.into()).filter(|port| *port != 0),
            ..Self::default()
        }
    }

    /// Between us and another server.
    pub(super) fn to(kind: Kind, transport: &str, server: SocketAddr) -> Self {
        Self {
            kind: kind as i32,
            family: Some(family(server.ip())),
            transport: Some(Transport::of(transport) as i32),
            response_address: Some(octets(server.ip())),
            response_port: Some(server.port().into()),
            ..Self::default()
        }
    }

    pub(super) fn with_kind(self, kind: Kind) -> Self {
        Self {
            kind: kind as i32,
            ..self
        }
    }

    pub(super) fn with_query(self, time: SystemTime, query: &[u8]) -> Self {
        Self {
            query: Some(query.to_vec()),
            ..self.with_query_time(time)
        }
    }

    pub(super) fn with_query_time(self, time: SystemTime) -> Self {
        let (seconds, nanoseconds) = parts(time);
        Self {
            query_seconds: Some(seconds),
            query_nanoseconds: Some(nanoseconds),
            ..self
        }
    }

    pub(super) fn with_response(self, time: SystemTime, response: &[u8]) -> Self {
        let (seconds, nanoseconds) = parts(time);
        Self {
            response_seconds: Some(seconds),
            response_nanoseconds: Some(nanoseconds),
            response: Some(response.to_vec()),
            ..self
        }
    }
}

/// `SocketFamily`.
fn family(address: IpAddr) -> i32 {
    if address.is_ipv4() { 1 } else { 2 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn parts(time: SystemTime) -> (u64, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_frame_has_the_numbers_of_the_protocol() {
        let client = ("192.0.2.1".parse().expect("an address"), 4242);
        let time = UNIX_EPOCH + Duration::new(1, 2);
        let message = Message::between(Kind::ClientQuery, Transport::Udp, client, None).with_query(time, b"query");
        let frame = Frame::of(b"ns1", message).encode();
        let version = format!("hotdns {}", env!("CARGO_PKG_VERSION"));
        let mut expected = vec![10, 3];
        expected.extend_from_slice(b"ns1");
        expected.extend_from_slice(&[18, version.len() as u8]);
        expected.extend_from_slice(version.as_bytes());
        let message = [
            8, 5, 16, 1, 24, 1, 34, 4, 192, 0, 2, 1, 48, 146, 33, 64, 1, 77, 2, 0, 0, 0, 82, 5, b'q', b'u', b'e', b'r',
            b'y',
        ];
        expected.extend_from_slice(&[114, message.len() as u8]);
        expected.extend_from_slice(&message);
        expected.extend_from_slice(&[120, 1]);
        assert_eq!(frame, expected);
    }
}
