//! DNS over QUIC (RFC 9250): each query is a stream of its own on one connection.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, IdleTimeout, TransportConfig};
use rustls::pki_types::ServerName;

use super::super::exchange::Failed;
use super::{IDLE, give_id, take_id, with_protocol};

/// RFC 9250 §4.1.1.
const PROTOCOL: &[u8] = b"doq";
/// A length and the longest message.
const MOST_OCTETS: usize = 2 + 65_535;

/// Makes connections to one server.
pub(super) struct Dialer {
    name: String,
    config: Option<ClientConfig>,
}

/// A connection.
#[derive(Clone)]
pub(super) struct Session(Connection);

impl Dialer {
    /// For a server with this name.
    pub(super) fn new(name: &ServerName<'_>, config: &rustls::ClientConfig) -> Self {
        let crypto = QuicClientConfig::try_from(with_protocol(config, PROTOCOL)).ok();
        let config = crypto.map(|crypto| {
            let mut config = ClientConfig::new(Arc::new(crypto));
            let mut transport = TransportConfig::default();
            transport.max_idle_timeout(IdleTimeout::try_from(IDLE).ok());
            // RFC 9250 §4.2: only clients open streams, and these are bidirectional.
            transport.max_concurrent_uni_streams(0u8.into());
            transport.max_concurrent_bidi_streams(0u8.into());
            config.transport_config(Arc::new(transport));
            config
        });
        Self {
            name: name.to_str().into_owned(),
            config,
        }
    }

    pub(super) async fn dial(&self, address: SocketAddr) -> Result<Session, Failed> {
        let local = match address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let config = self
            .config
            .clone()
            .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        // A socket of its own, and so a port of its own.
        let endpoint = Endpoint::client(local)?;
        let connecting = endpoint
            .connect_with(config, address, &self.name)
            .map_err(io::Error::other)?;
        Ok(Session(connecting.await.map_err(io::Error::other)?))
    }
}

impl Session {
    pub(super) fn is_over(&self) -> bool {
        self.0.close_reason().is_some()
    }

    pub(super) async fn ask(&self, query: &[u8]) -> Result<Vec<u8>, Failed> {
        let mut framed = (query.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(query);
        let id = take_id(framed.get_mut(2..).unwrap_or_default());
        let (mut send, mut receive) = self.0.open_bi().await.map_err(io::Error::other)?;
        send.write_all(&framed).await.map_err(io::Error::other)?;
        // RFC 9250 §4.2: the end of the stream says that there is one query.
        send.finish().map_err(io::Error::other)?;
        let received = receive.read_to_end(MOST_OCTETS).await.map_err(io::Error::other)?;
        let (length, reply) = received.split_first_chunk::<2>().ok_or(Failed::Garbled)?;
        if usize::from(u16::from_be_bytes(*length)) != reply.len() {
            return Err(Failed::Garbled);
        }
        let mut reply = reply.to_vec();
        give_id(&mut reply, id);
        Ok(reply)
    }
}
