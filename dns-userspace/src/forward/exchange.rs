//! One question to one upstream server.
//!
//! Over UDP each exchange has a socket of its own: its port is the kernel's random choice among the ephemeral ones, its ID is
//! random, it is connected, and a message counts only with that ID and the question (RFC 5452 §9). Whatever else
//! comes in is passed over.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use super::message::Message;

/// What we say that we take over UDP: what passes unfragmented nearly everywhere (DNS flag day 2020).
pub(super) const UDP_PAYLOAD: u16 = 1232;
/// A query over UDP is sent a second time when there is no reply within this, or within half of the time there is.
const RESEND: Duration = Duration::from_secs(1);
const FORMERR: u16 = 1;
const SERVFAIL: u16 = 2;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const RD: u8 = 0x01;
const AD: u8 = 0x20;
const CD: u8 = 0x10;
const QR: u16 = 0x8000;
const TC: u16 = 0x0200;
const OPCODE: u16 = 0x7800;

/// What is asked.
pub(super) struct Asking<'a> {
    /// Uncompressed wire form.
    pub(super) name: &'a [u8],
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    pub(super) checking_disabled: bool,
    pub(super) authentic_data: bool,
    pub(super) dnssec_ok: bool,
    /// Whether a truncated reply is to be fetched whole over TCP.
    pub(super) whole: bool,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{0}")]
    Network(#[from] io::Error),
    #[error("no reply in time")]
    TimedOut,
    #[error("the reply over TCP is malformed or answers something else")]
    Garbled,
}

/// Asks `server`, for `time` at most. A server that knows no EDNS is asked again without (RFC 6891 §6.2.2, §7).
pub(super) async fn ask(server: SocketAddr, asking: &Asking<'_>, time: Duration) -> Result<Message, Failed> {
    let deadline = Instant::now() + time;
    let mut edns = true;
    loop {
        let query = asking.encode(edns);
        let message = timeout_at(deadline, ask_udp(server, asking, &query, deadline))
            .await
            .map_err(|_| Failed::TimedOut)??;
        if edns && message.opt.is_none() && matches!(message.rcode(), FORMERR | NOTIMP) {
            edns = false;
            continue;
        }
        if message.flags & TC == 0 || !asking.whole {
            return Ok(message);
        }
        let query = asking.encode(edns);
        return timeout_at(deadline, ask_tcp(server, asking, &query))
            .await
            .map_err(|_| Failed::TimedOut)?;
    }
}

async fn ask_udp(server: SocketAddr, asking: &Asking<'_>, query: &[u8], deadline: Instant) -> Result<Message, Failed> {
    let socket = UdpSocket::bind(match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    })
    .await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let now = Instant::now();
    let resend_at = now + RESEND.min(deadline.saturating_duration_since(now) / 2);
    match timeout_at(resend_at, receive(&socket, asking, query)).await {
        Ok(received) => received,
        Err(_) => {
            socket.send(query).await?;
            receive(&socket, asking, query).await
        }
    }
}

async fn receive(socket: &UdpSocket, asking: &Asking<'_>, query: &[u8]) -> Result<Message, Failed> {
    // Some servers send more than they were told they may.
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(message) = asking.accept(query, &buffer[..length]) {
            return Ok(message);
        }
    }
}

async fn ask_tcp(server: SocketAddr, asking: &Asking<'_>, query: &[u8]) -> Result<Message, Failed> {
    let mut stream = TcpStream::connect(server).await?;
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    asking.accept(query, &buffer).ok_or(Failed::Garbled)
}

impl Asking<'_> {
    /// The query, with a new random ID.
    fn encode(&self, edns: bool) -> Vec<u8> {
        let id = rand::random::<u16>().to_be_bytes();
        let bits = if self.checking_disabled { CD } else { 0 } | if self.authentic_data { AD } else { 0 };
        let mut query = Vec::with_capacity(12 + self.name.len() + 15);
        query.extend_from_slice(&[id[0], id[1], RD, bits, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
        query.extend_from_slice(self.name);
        query.extend_from_slice(&self.qtype.to_be_bytes());
        query.extend_from_slice(&self.qclass.to_be_bytes());
        if edns {
            let payload = UDP_PAYLOAD.to_be_bytes();
            let dnssec_ok = if self.dnssec_ok { 0x80 } else { 0 };
            query.extend_from_slice(&[0, 0, 41, payload[0], payload[1], 0, 0, dnssec_ok, 0, 0, 0]);
        }
        query
    }

    /// `bytes` as the reply to `query`, if they are that.
    fn accept(&self, query: &[u8], bytes: &[u8]) -> Option<Message> {
        if bytes.get(..2)? != &query[..2] {
            return None;
        }
        let message = Message::read(bytes)?;
        let is_reply = message.flags & (QR | OPCODE) == QR;
        let answers_it = match &message.question {
            Some((name, qtype, qclass)) => {
                name.eq_ignore_ascii_case(self.name) && *qtype == self.qtype && *qclass == self.qclass
            }
            // Servers leave the question out of errors that they report before they have read it. None of these is an answer
            // that a client gets, so to forge one is worth little.
            None => matches!(message.rcode(), FORMERR | SERVFAIL | NOTIMP | REFUSED),
        };
        (is_reply && answers_it).then_some(message)
    }
}
