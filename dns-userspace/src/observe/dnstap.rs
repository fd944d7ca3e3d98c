//! dnstap: messages as they were on the wire, for collectors.
//!
//! ```text
//! query log's thread ─ client_response ─┐ frame ─ try_send ─► thread `dnstap`: Frame Streams ─► socket, TCP
//! resolve            ─ exchange        ─┘          └ full: dropped, and counted
//! ```
//!
//! There is one in a process, as there is one log: what asks other servers shows it
//! by a [`ForwarderExchange`]. Nobody waits for it. <https://dnstap.info>, `dnstap.proto`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use self::message::{Frame, Kind, Message, Transport};
use self::writer::{Item, Writer};
use crate::config::DnstapConfig;
use crate::host::privileges::{self, Needs};
use crate::observe::figures::Figures;

mod frames;
mod message;
mod writer;

/// Frames that wait for the thread.
const WAITING: usize = 8192;

/// Where messages are shown.
#[derive(Clone)]
pub(crate) struct Dnstap {
    sender: SyncSender<Item>,
    identity: Arc<[u8]>,
    figures: Arc<Figures>,
}

/// A query of a client's with its answer.
pub(crate) struct Answered<'a> {
    /// `udp`, `tcp` and so on, as metrics call it.
    pub(crate) transport: &'a str,
    pub(crate) client: (IpAddr, u16),
    /// Our address and port, where they are known.
    pub(crate) server: Option<(IpAddr, u16)>,
    /// The query, where it is known.
    pub(crate) query: Option<(SystemTime, &'a [u8])>,
    pub(crate) answered: SystemTime,
    pub(crate) reply: &'a [u8],
}

static FORWARDERS: OnceLock<Dnstap> = OnceLock::new();

/// A query to another server, shown where dnstap wants it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForwarderExchange {
    server: SocketAddr,
    transport: &'static str,
}

impl ForwarderExchange {
    /// A query that is sent now. `transport` is `udp`, `tcp`, `tls` and so on.
    pub(crate) fn query(server: SocketAddr, transport: &'static str, query: &[u8]) -> Self {
        if let Some(dnstap) = FORWARDERS.get() {
            let message = Message::to(Kind::ForwarderQuery, transport, server);
            dnstap.send(message.with_query(SystemTime::now(), query));
        }
        Self { server, transport }
    }

    /// What came back.
    pub(crate) fn reply(self, reply: &[u8]) {
        if let Some(dnstap) = FORWARDERS.get() {
            let message = Message::to(Kind::ForwarderResponse, self.transport, self.server);
            dnstap.send(message.with_response(SystemTime::now(), reply));
        }
    }
}

impl Dnstap {
    /// Starts the thread; `None` where nothing is to be shown.
    pub(crate) fn start(config: &DnstapConfig, figures: &Arc<Figures>) -> io::Result<Option<Self>> {
        let Some(target) = config.to.clone() else {
            return Ok(None);
        };
        let identity = match &config.identity {
            Some(identity) => identity.to_string(),
            None => crate::observe::gelf::host_name(),
        };
        let (sender, receiver) = sync_channel(WAITING);
        let writer = Writer::new(target, receiver, Arc::clone(figures));
        std::thread::Builder::new().name("dnstap".into()).spawn(move || {
            // The socket may be another user's.
            privileges::keep_what_is_needed(Needs { xdp: false });
            writer.run();
        })?;
        let dnstap = Self {
            sender,
            identity: identity.into_bytes().into(),
            figures: Arc::clone(figures),
        };
        if config.forwarder {
            let _ = FORWARDERS.set(dnstap.clone());
        }
        Ok(Some(dnstap))
    }

    /// Shows a client's query, where it is known, and its answer.
    pub(crate) fn client(&self, answered: &Answered<'_>) {
        let Answered {
            transport,
            client,
            server,
            query,
            answered,
            reply,
        } = *answered;
        let transport = Transport::of(transport);
        let message = Message::between(Kind::ClientQuery, transport, client, server);
        if let Some((time, query)) = query {
            self.send(message.clone().with_query(time, query));
        }
        let response = message.with_kind(Kind::ClientResponse).with_response(answered, reply);
        self.send(match query {
            Some((time, _)) => response.with_query_time(time),
            None => response,
        });
    }

    /// Ends the stream in good order, as far as somebody reads it.
    pub(crate) fn end(&self) {
        let _ = self.sender.try_send(Item::End);
    }

    fn send(&self, message: Message) {
        let frame = Frame::of(&self.identity, message).encode();
        if self.sender.try_send(Item::Frame(frame)).is_err() {
            self.figures.dnstap_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
