//! One question to one upstream server.
//!
//! Over UDP each exchange has a socket of its own: its port is the kernel's random choice among the ephemeral ones, its
//! ID is random, it is connected, and a message counts only with that ID and the question (RFC 5452 §9), and with our
//! cookie where the server gives cookies. Whatever else comes in is passed over. TC is looked at before the records: a
//! truncated message may end anywhere (RFC 2181 §9).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use super::failure::Failure;
use super::secure::SecureServer;
use crate::message::{MARK_BYTES, Mark, Message};
use crate::observe::dnstap::ForwarderExchange as Tapped;

mod cookie;
mod extension;

use cookie::{Cookie, Judged};
pub(super) use extension::EdnsMemory;
use extension::Extension;

/// What we say that we take over UDP: what passes unfragmented nearly everywhere (DNS flag day 2020).
pub(super) const UDP_PAYLOAD: u16 = 1232;
/// What we do take: some servers send more than they were told they may. What is larger is fetched over TCP.
const UDP_ROOM: usize = 4096;
/// A query over UDP is sent a second time when there is no reply within this, or within half of the time there is.
const RESEND: Duration = Duration::from_secs(1);
/// How long a reply is still waited for after an ICMP error.
const ICMP_PATIENCE: Duration = Duration::from_millis(100);
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

/// What is asked. Questions that differ in nothing are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asking {
    /// Uncompressed wire form.
    pub(super) name: Box<[u8]>,
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    pub(super) checking_disabled: bool,
    pub(super) authentic_data: bool,
    pub(super) dnssec_ok: bool,
    /// Whether a truncated reply is to be fetched whole over TCP.
    pub(super) whole: bool,
    /// The view of the clients that ask.
    pub(super) view: u16,
    /// The set of servers that is asked.
    pub(super) set: u16,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{0}")]
    Network(#[from] io::Error),
    #[error("no reply in time")]
    TimedOut,
    #[error("the reply is malformed or answers something else")]
    Garbled,
    #[error("HTTP status {0}")]
    Status(u16),
    #[error("its addresses are not known")]
    Unresolved,
    #[error("the reply is truncated over UDP, and over TCP: {0}")]
    Truncated(Box<Failed>),
}

impl Failed {
    /// Whether the server could not be reached, or does no work: then it may come to rest.
    pub(super) fn is_silence(&self) -> bool {
        self.failure() == Failure::Silence
    }

    /// What it says of the server.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Network(_) | Self::TimedOut | Self::Status(_) | Self::Unresolved => Failure::Silence,
            Self::Garbled => Failure::Malformed,
            Self::Truncated(_) => Failure::Truncated,
        }
    }
}

/// What came in over UDP, of the server and for the query.
enum Reply {
    Whole(Message),
    /// Header and question of a message that says it is cut off.
    Truncated(Message),
    /// Larger than our room, cut off without saying so, or without the cookie that it should have.
    Unusable,
}

/// A query, and the cookie in it.
struct Sent {
    octets: Vec<u8>,
    cookie: Option<Cookie>,
}

/// How a server is reached.
#[derive(Debug)]
pub(super) enum Channel {
    /// Over UDP, and TCP where that does not do.
    Plain(EdnsMemory),
    /// Over TLS, HTTPS or QUIC.
    Secure(SecureServer),
}

/// Asks a server at one of its addresses, for `time` at most.
pub(super) async fn ask(
    channel: &Channel,
    address: SocketAddr,
    asking: &Asking,
    mark: Mark,
    time: Duration,
) -> Result<Message, Failed> {
    let deadline = Instant::now() + time;
    let asked = async {
        match channel {
            Channel::Plain(memory) => ask_plainly(address, memory, asking, mark, deadline).await,
            // What is rare is boxed: the common question stays small, since it is moved several times.
            Channel::Secure(server) => Box::pin(ask_securely(server, address, asking, mark)).await,
        }
    };
    let answer = timeout_at(deadline, asked).await.unwrap_or(Err(Failed::TimedOut));
    if let (Channel::Plain(memory), Err(Failed::TimedOut)) = (channel, &answer) {
        memory.note_silence();
    }
    answer
}

async fn ask_securely(
    server: &SecureServer,
    address: SocketAddr,
    asking: &Asking,
    mark: Mark,
) -> Result<Message, Failed> {
    let mut extension = Extension::Marked(mark);
    loop {
        let query = asking.encode(extension, None);
        let tapped = Tapped::query(address, server.transport(), &query);
        let reply = server.ask(address, &query).await?;
        tapped.reply(&reply);
        let head = asking.head_of_reply(&query, &reply);
        let message = head.and_then(|_| Message::read(&reply)).ok_or(Failed::Garbled)?;
        match extension.less(&message) {
            Some(less) => extension = less,
            None => return Ok(message),
        }
    }
}

async fn ask_plainly(
    server: SocketAddr,
    memory: &EdnsMemory,
    asking: &Asking,
    mark: Mark,
    deadline: Instant,
) -> Result<Message, Failed> {
    let is_known = memory.lacks(Instant::now());
    let mut extension = if is_known {
        Extension::None
    } else {
        Extension::Marked(mark)
    };
    let mut is_refused = false;
    loop {
        let second = if memory.is_doubtful() {
            Extension::None
        } else {
            extension
        };
        let socket = connect(server)?;
        let cookie = memory.cookies.cookie(server, socket.local_addr()?.ip(), Instant::now());
        let first = asking.send(extension, cookie);
        let other = (second != extension).then(|| asking.send(second, cookie));
        let queries = [&first, other.as_ref().unwrap_or(&first)];
        let (mut reply, is_second) = ask_udp(&socket, server, asking, queries, deadline).await?;
        if is_second {
            memory.note_lack(Instant::now());
            extension = second;
        }
        if let Reply::Whole(message) = &reply
            && let Some(sent) = &queries[usize::from(is_second)].cookie
        {
            memory.cookies.note(server, sent, message, false, Instant::now());
            if cookie::is_refusal(message) {
                if !is_refused {
                    is_refused = true;
                    continue;
                }
                // RFC 7873 §5.3: what it wants is not to be had over UDP.
                reply = Reply::Unusable;
            }
        }
        if let Reply::Whole(message) | Reply::Truncated(message) = &reply {
            memory.note_reply(message);
            if let Some(less) = extension.less(message) {
                extension = less;
                continue;
            }
            if extension == Extension::None && !is_known && message.is_answer() {
                memory.note_lack(Instant::now());
            }
        }
        match reply {
            Reply::Whole(message) => return Ok(message),
            // The client is to come over TCP itself.
            Reply::Truncated(message) if !asking.whole => return Ok(message),
            Reply::Truncated(_) | Reply::Unusable => {}
        }
        let query = asking.send(extension, cookie);
        let message = match timeout_at(deadline, Box::pin(ask_tcp(server, asking, &query.octets))).await {
            Ok(message) => message,
            Err(_) => Err(Failed::TimedOut),
        };
        if let (Ok(message), Some(sent)) = (&message, &query.cookie) {
            memory.cookies.note(server, sent, message, true, Instant::now());
        }
        return message.map_err(|error| Failed::Truncated(Box::new(error)));
    }
}

/// A socket that sends to this server, and receives from it alone. The kernel draws its port when it is connected.
fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let kind = socket2::Type::DGRAM.nonblocking();
    let socket = socket2::Socket::new(socket2::Domain::for_address(server), kind, Some(socket2::Protocol::UDP))?;
    socket.connect(&server.into())?;
    UdpSocket::from_std(socket.into())
}

/// Sends the first query, and after a while the second. What came, and whether it is the reply to the second alone.
async fn ask_udp(
    socket: &UdpSocket,
    server: SocketAddr,
    asking: &Asking,
    queries: [&Sent; 2],
    deadline: Instant,
) -> Result<(Reply, bool), Failed> {
    let [first, second] = queries.map(|query| &query.octets);
    let tapped = Tapped::query(server, "udp", first);
    socket.send(first).await?;
    let now = Instant::now();
    let resend_at = now + RESEND.min(deadline.saturating_duration_since(now) / 2);
    match timeout_at(resend_at, receive(socket, asking, &queries[..1], tapped)).await {
        Ok(received) => received,
        Err(_) => {
            socket.send(second).await?;
            receive(socket, asking, &queries, tapped).await
        }
    }
}

async fn receive(
    socket: &UdpSocket,
    asking: &Asking,
    queries: &[&Sent],
    tapped: Tapped,
) -> Result<(Reply, bool), Failed> {
    let mut refused = None;
    loop {
        let readable = match refused {
            None => socket.readable().await,
            Some(until) => match timeout_at(until, socket.readable()).await {
                Ok(readable) => readable,
                Err(_) => Err(io::ErrorKind::ConnectionRefused.into()),
            },
        };
        // An octet more than there is room for tells that there was more. On the stack, since nothing is waited for
        // while it is in use.
        let mut buffer = [0; UDP_ROOM + 1];
        let length = match readable.and_then(|()| socket.try_recv(&mut buffer)) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            // Anyone can send an ICMP error: the reply may be on its way all the same.
            Err(error) if refused.is_none_or(|until| Instant::now() < until) => {
                refused.get_or_insert(Instant::now() + ICMP_PATIENCE);
                tracing::debug!(%error, "an ICMP error instead of a reply");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let bytes = &buffer[..length];
        let mut heads = queries
            .iter()
            .map(|query| asking.head_of_reply(&query.octets, bytes))
            .enumerate();
        let Some((place, head)) = heads.find_map(|(place, head)| Some((place, head?))) else {
            continue;
        };
        let mut reply = Reply::Unusable;
        if head.flags & TC != 0 {
            reply = Reply::Truncated(head);
        } else if let Some(message) = Message::read(bytes).filter(|_| length <= UDP_ROOM) {
            let cookie = queries.get(place).and_then(|query| query.cookie);
            match cookie.map_or(Judged::Good, |cookie| cookie.judge(&message)) {
                Judged::Good => reply = Reply::Whole(message),
                Judged::Missing => {}
                Judged::Forged => continue,
            }
        }
        tapped.reply(bytes);
        return Ok((reply, place > 0));
    }
}

async fn ask_tcp(server: SocketAddr, asking: &Asking, query: &[u8]) -> Result<Message, Failed> {
    let mut stream = TcpStream::connect(server).await?;
    let tapped = Tapped::query(server, "tcp", query);
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    tapped.reply(&buffer);
    let head = asking.head_of_reply(query, &buffer);
    head.and_then(|_| Message::read(&buffer)).ok_or(Failed::Garbled)
}

impl Asking {
    /// The same question, however it is written (RFC 4343).
    pub(super) fn in_lower_case(&self) -> Self {
        Self {
            // The octets of lengths are no letters.
            name: self.name.to_ascii_lowercase().into(),
            ..self.clone()
        }
    }

    /// The query, with a new random ID, and with this cookie where it has options.
    fn send(&self, extension: Extension, cookie: Cookie) -> Sent {
        let cookie = Some(cookie).filter(|_| matches!(extension, Extension::Marked(_)));
        Sent {
            octets: self.encode(extension, cookie.as_ref()),
            cookie,
        }
    }

    fn encode(&self, extension: Extension, cookie: Option<&Cookie>) -> Vec<u8> {
        let id = rand::random::<u16>().to_be_bytes();
        let bits = if self.checking_disabled { CD } else { 0 } | if self.authentic_data { AD } else { 0 };
        let has_opt = extension != Extension::None;
        let mut query = Vec::with_capacity(12 + self.name.len() + 15 + MARK_BYTES + cookie::MOST_OPTION_BYTES);
        query.extend_from_slice(&[id[0], id[1], RD, bits, 0, 1, 0, 0, 0, 0, 0, u8::from(has_opt)]);
        query.extend_from_slice(&self.name);
        query.extend_from_slice(&self.qtype.to_be_bytes());
        query.extend_from_slice(&self.qclass.to_be_bytes());
        if has_opt {
            let payload = UDP_PAYLOAD.to_be_bytes();
            let dnssec_ok = if self.dnssec_ok { 0x80 } else { 0 };
            query.extend_from_slice(&[0, 0, 41, payload[0], payload[1], 0, 0, dnssec_ok, 0, 0, 0]);
            let options = query.len();
            if let Extension::Marked(mark) = extension {
                if let Some(cookie) = cookie {
                    cookie.write(&mut query);
                }
                mark.write(&mut query);
            }
            let length = (query.len() - options) as u16;
            query[options - 2..options].copy_from_slice(&length.to_be_bytes());
        }
        query
    }

    /// Header and question of `bytes`, where these say that it is the reply to `query`.
    fn head_of_reply(&self, query: &[u8], bytes: &[u8]) -> Option<Message> {
        if bytes.get(..2)? != &query[..2] {
            return None;
        }
        let head = Message::read_head(bytes)?;
        let is_reply = head.flags & (QR | OPCODE) == QR;
        let answers_it = match &head.question {
            Some((name, qtype, qclass)) => {
                name.eq_ignore_ascii_case(&self.name) && *qtype == self.qtype && *qclass == self.qclass
            }
            // Servers leave the question out of errors that they report before they have read it. None of these is an
            // answer that a client gets, so to forge one is worth little.
            None => matches!(head.rcode(), FORMERR | SERVFAIL | NOTIMP | REFUSED),
        };
        (is_reply && answers_it).then_some(head)
    }
}
